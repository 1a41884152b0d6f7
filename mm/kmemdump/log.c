// SPDX-License-Identifier: GPL-2.0-only
/*
 * kmemdump: the kernel log.
 *
 * This finds the printk ring buffer as debuggers do, by the symbol and the offsets that the
 * kernel publishes in VMCOREINFO. So no variable of printk has to become global, and the regions
 * are by construction what the command "log" of a debugger reads.
 *
 * The log may be larger than the store. So what leads to its records goes into
 * the image first, and the newest records before older ones.
 *
 * Copyright (C) 2026 the kmemdump authors
 */
#define pr_fmt(fmt) "kmemdump: " fmt

#include <linux/init.h>
#include <linux/kstrtox.h>
#include <linux/string.h>
#include <linux/vmcore_info.h>

#include <asm/sections.h>

#include "kmemdump.h"

/* The value of "@key=" in VMCOREINFO, where every line is at most 80 bytes. */
int __init kmemdump_vmcoreinfo_value(const char *key, unsigned int base, unsigned long *value)
{
	const char *line = vmcoreinfo_data, *end = line + vmcoreinfo_size;
	size_t key_len = strlen(key);

	while (line < end) {
		const char *eol = memchr(line, '\n', end - line);
		char number[24];

		if (!eol)
			break;
		if (eol - line > key_len && !memcmp(line, key, key_len) && line[key_len] == '=') {
			size_t len = eol - line - key_len - 1;

			if (len >= sizeof(number))
				return -EINVAL;
			memcpy(number, line + key_len + 1, len);
			number[len] = '\0';
			return kstrtoul(number, base, value);
		}
		line = eol + 1;
	}
	return -ENOENT;
}

/* The fields of the ring buffer that lead to its parts. */
enum {
	PRB, PRB_SIZE, DESC_RING, TEXT_RING,
	COUNT_BITS, DESCS, INFOS, HEAD_ID, TAIL_ID, DESC_SIZE, INFO_SIZE,
	TEXT_LPOS, LPOS_BEGIN, SIZE_BITS, DATA, HEAD_LPOS, TAIL_LPOS,
	NR_KEYS
};

static const char * const prb_keys[NR_KEYS] __initconst = {
	[PRB]		= "SYMBOL(prb)",
	[PRB_SIZE]	= "SIZE(printk_ringbuffer)",
	[DESC_RING]	= "OFFSET(printk_ringbuffer.desc_ring)",
	[TEXT_RING]	= "OFFSET(printk_ringbuffer.text_data_ring)",
	[COUNT_BITS]	= "OFFSET(prb_desc_ring.count_bits)",
	[DESCS]		= "OFFSET(prb_desc_ring.descs)",
	[INFOS]		= "OFFSET(prb_desc_ring.infos)",
	[HEAD_ID]	= "OFFSET(prb_desc_ring.head_id)",
	[TAIL_ID]	= "OFFSET(prb_desc_ring.tail_id)",
	[DESC_SIZE]	= "SIZE(prb_desc)",
	[INFO_SIZE]	= "SIZE(printk_info)",
	[TEXT_LPOS]	= "OFFSET(prb_desc.text_blk_lpos)",
	[LPOS_BEGIN]	= "OFFSET(prb_data_blk_lpos.begin)",
	[SIZE_BITS]	= "OFFSET(prb_data_ring.size_bits)",
	[DATA]		= "OFFSET(prb_data_ring.data)",
	[HEAD_LPOS]	= "OFFSET(prb_data_ring.head_lpos)",
	[TAIL_LPOS]	= "OFFSET(prb_data_ring.tail_lpos)",
};

/* Where the log is. Its head and its tail change; everything else is set at boot. */
static struct {
	void		**prb;
	void		*ring;
	size_t		ring_size;
	unsigned long	*head_id;
	unsigned long	*tail_id;
	unsigned long	*head_lpos;
	unsigned long	*tail_lpos;
	void		*descs;
	size_t		desc_size;
	size_t		begin;		/* offset in a descriptor: where its text starts */
	void		*infos;
	size_t		info_size;
	unsigned int	count_bits;
	char		*text;
	unsigned int	text_bits;
} log;

static int __init add_log(void)
{
	unsigned long key[NR_KEYS];
	void *descs, *text;
	int i, ret;

	for (i = 0; i < NR_KEYS; i++) {
		ret = kmemdump_vmcoreinfo_value(prb_keys[i], i == PRB ? 16 : 10, &key[i]);
		if (ret)
			return ret;
	}

	/* setup_log_buf() has run by now, so these are the final buffers. */
	log.prb = (void **)key[PRB];
	log.ring = *log.prb;
	log.ring_size = key[PRB_SIZE];
	descs = log.ring + key[DESC_RING];
	log.count_bits = *(unsigned int *)(descs + key[COUNT_BITS]);
	log.descs = *(void **)(descs + key[DESCS]);
	log.infos = *(void **)(descs + key[INFOS]);
	log.head_id = descs + key[HEAD_ID];
	log.tail_id = descs + key[TAIL_ID];
	log.desc_size = key[DESC_SIZE];
	log.info_size = key[INFO_SIZE];
	log.begin = key[TEXT_LPOS] + key[LPOS_BEGIN];
	text = log.ring + key[TEXT_RING];
	log.text_bits = *(unsigned int *)(text + key[SIZE_BITS]);
	log.text = *(char **)(text + key[DATA]);
	log.head_lpos = text + key[HEAD_LPOS];
	log.tail_lpos = text + key[TAIL_LPOS];

	ret = kmemdump_add_core_region("log_prb", log.prb, sizeof(*log.prb),
				       KMEMDUMP_CLASS_LOG, 0);
	ret = ret ?: kmemdump_add_core_region("log_ring", log.ring, log.ring_size,
					      KMEMDUMP_CLASS_LOG, 0);
	ret = ret ?: kmemdump_add_core_region("log_descs", log.descs,
					      log.desc_size << log.count_bits,
					      KMEMDUMP_CLASS_LOG, KMEMDUMP_ENTRY_RING);
	ret = ret ?: kmemdump_add_core_region("log_infos", log.infos,
					      log.info_size << log.count_bits,
					      KMEMDUMP_CLASS_LOG, KMEMDUMP_ENTRY_RING);
	return ret ?: kmemdump_add_core_region("log_text", log.text, 1UL << log.text_bits,
					       KMEMDUMP_CLASS_LOG, KMEMDUMP_ENTRY_RING);
}

/* The upper two bits of the word that holds an id are a state. */
#define ID_MASK		(~0UL >> 2)

/* The newest part has so many records; each older part has twice as many. */
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
 * there. fill_regions() adds the pages that the ring shares with its neighbours.
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
 * Add @count elements from the number @from on. Numbers go on counting when the ring is full.
 * There are @older elements before them.
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
	unsigned long index = id & ((1UL << log.count_bits) - 1);

	/* A record without text has an odd place. */
	return kmemdump_peek(lpos, log.descs + index * log.desc_size + log.begin,
			     sizeof(*lpos)) && !(*lpos & 1);
}

/*
 * Add to @image what leads to the records, and the records, the newest first. All of these
 * loads have better orders than the regions of the log have.
 */
static void add_newest_log(struct kmemdump_image *image)
{
	const struct ring descs = { (unsigned long)log.descs, log.desc_size, log.count_bits };
	const struct ring infos = { (unsigned long)log.infos, log.info_size, log.count_bits };
	const struct ring texts = { (unsigned long)log.text, 1, log.text_bits };
	unsigned long head, tail, text_head, text_tail, text_left, text, left, count = NEWEST;
	unsigned int order;

	kmemdump_image_add(image, (unsigned long)log.prb, sizeof(*log.prb),
			   KMEMDUMP_ORDER_LOG_HEAD);
	kmemdump_image_add(image, (unsigned long)log.ring, log.ring_size,
			   KMEMDUMP_ORDER_LOG_HEAD);
	if (!kmemdump_peek(&head, log.head_id, sizeof(head)) ||
	    !kmemdump_peek(&tail, log.tail_id, sizeof(tail)) ||
	    !kmemdump_peek(&text_head, log.head_lpos, sizeof(text_head)) ||
	    !kmemdump_peek(&text_tail, log.tail_lpos, sizeof(text_tail)))
		return;
	head &= ID_MASK;
	left = ((head - tail) & ID_MASK) + 1;
	text_left = text_head - text_tail;
	if (left > 1UL << log.count_bits || text_left > 1UL << log.text_bits)
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

static int __init kmemdump_log_init(void)
{
	if (!vmcoreinfo_data)
		return -ENOENT;
	kmemdump_image_hooks.add_log = add_newest_log;
	if (add_log())
		pr_warn("the kernel log will be missing from dumps\n");
	kmemdump_add_core_region("vmcoreinfo", vmcoreinfo_data, PAGE_SIZE, KMEMDUMP_CLASS_LOG, 0);
	/* Debuggers start from what is set once at boot, such as the memory layout. */
	kmemdump_add_core_region("kernel:ro_after_init", __start_ro_after_init,
				 __end_ro_after_init - __start_ro_after_init,
				 KMEMDUMP_CLASS_LOG, 0);
	return 0;
}

/* After VMCOREINFO was made and says where the list of entries is. */
fs_initcall(kmemdump_log_init);
