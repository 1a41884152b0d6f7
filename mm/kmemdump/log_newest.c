// SPDX-License-Identifier: GPL-2.0-only
/*
 * kmemdump: the newest part of the kernel log.
 *
 * The log may be larger than the storage. So the structs that lead to its records
 * go into the image first, and the newest records before older ones.
 *
 * Copyright (C) 2026 the kmemdump authors
 */
#include <linux/align.h>
#include <linux/init.h>
#include <linux/minmax.h>
#include <linux/mm.h>

#include "kmemdump.h"

/* The upper two bits of the word that holds an id are a state. */
#define ID_MASK		(~0UL >> 2)

/* Records of the newest part. Each part has twice as many as the next newer one. */
#define NEWEST		64

struct ring {
	unsigned long	base;
	size_t		size;	/* of an element */
	unsigned int	bits;	/* there are 1 << @bits of them */
};

/*
 * Add [@low, @high) of @ring. Loads that share a page become one load, of the better order. So
 * each part but the newest leaves out the page in which it ends, which the newer part has. The
 * @oldest part also leaves out the page in which it starts: in a full ring the newest part ends
 * there. fill_regions() adds the pages that the ring shares with its neighbors.
 */
static void add_part(struct kmemdump_image *image, const struct ring *ring, unsigned long low,
		     unsigned long high, unsigned int order, bool oldest)
{
	unsigned long end = ring->base + (ring->size << ring->bits);

	if (order != KMEMDUMP_ORDER_LOG_NEWEST) {
		low = oldest ? PAGE_ALIGN(low) : PAGE_ALIGN_DOWN(low);
		low = max(low, PAGE_ALIGN(ring->base));
		high = PAGE_ALIGN_DOWN(min(high, end));
	}
	if (low < high)
		kmemdump_image_add(image, low, high - low, order);
}

/*
 * Add @count elements, starting with number @from. Numbers go on when the ring wraps around.
 * The ring has @older elements before these.
 */
static void add_elements(struct kmemdump_image *image, const struct ring *ring,
			 unsigned long from, unsigned long count, unsigned long older,
			 unsigned int order)
{
	unsigned long nr = 1UL << ring->bits, first = from & (nr - 1);
	unsigned long straight = min(count, nr - first);

	add_part(image, ring, ring->base + first * ring->size,
		 ring->base + (first + straight) * ring->size, order,
		 older * ring->size < PAGE_SIZE);
	add_part(image, ring, ring->base, ring->base + (count - straight) * ring->size, order,
		 false);
}

/* Where the text of the record @id starts in its ring; false if it has none. */
static bool text_of(unsigned long id, unsigned long *lpos)
{
	const struct kmemdump_log *log = &kmemdump_log;
	unsigned long index = id & ((1UL << log->count_bits) - 1);

	/* The position of a record without text is odd. */
	return kmemdump_peek(lpos, log->descs + index * log->desc_size + log->begin,
			     sizeof(*lpos)) && !(*lpos & 1);
}

/*
 * Add the structs that lead to the records, and then the records, the newest first. All of these
 * loads have better orders than the regions of the log.
 */
static void add_newest_log(struct kmemdump_image *image)
{
	const struct kmemdump_log *log = &kmemdump_log;
	const struct ring descs = { (unsigned long)log->descs, log->desc_size, log->count_bits };
	const struct ring infos = { (unsigned long)log->infos, log->info_size, log->count_bits };
	const struct ring texts = { (unsigned long)log->text, 1, log->text_bits };
	unsigned long head, tail, text_head, text_tail, text_left, text, left, count = NEWEST;
	unsigned int order;

	kmemdump_image_add(image, (unsigned long)log->prb, sizeof(*log->prb),
			   KMEMDUMP_ORDER_LOG_HEAD);
	kmemdump_image_add(image, (unsigned long)log->ring, log->ring_size,
			   KMEMDUMP_ORDER_LOG_HEAD);
	if (!kmemdump_peek(&head, log->head_id, sizeof(head)) ||
	    !kmemdump_peek(&tail, log->tail_id, sizeof(tail)) ||
	    !kmemdump_peek(&text_head, log->head_lpos, sizeof(text_head)) ||
	    !kmemdump_peek(&text_tail, log->tail_lpos, sizeof(text_tail)))
		return;
	head &= ID_MASK;
	left = ((head - tail) & ID_MASK) + 1;
	text_left = text_head - text_tail;
	if (left > 1UL << log->count_bits || text_left > 1UL << log->text_bits)
		return;

	for (order = KMEMDUMP_ORDER_LOG_NEWEST; left && order < KMEMDUMP_ORDER_LOG;
	     order++, count *= 2) {
		count = min(count, left);
		left -= count;
		head -= count;
		add_elements(image, &descs, head + 1, count, left, order);
		add_elements(image, &infos, head + 1, count, left, order);
		/* If the first record has no text, the next older part adds these texts. */
		if (!text_of(head + 1, &text))
			continue;
		/*
		 * The ring of texts may have overwritten this text, though its descriptor is
		 * still there. Then all texts that are left are of newer records.
		 */
		text -= text_tail;
		if (text > text_left)
			text = 0;
		add_elements(image, &texts, text_tail + text, text_left - text, text, order);
		text_left = text;
	}
}

static int __init kmemdump_log_newest_init(void)
{
	if (kmemdump_log.prb)
		kmemdump_image_hooks.add_log = add_newest_log;
	return 0;
}

/* Runs after kmemdump_log_init(), which finds the log. */
fs_initcall_sync(kmemdump_log_newest_init);
