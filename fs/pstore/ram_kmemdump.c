// SPDX-License-Identifier: GPL-2.0-only
/*
 * The zone of ramoops that takes a kmemdump record.
 *
 * The zone may be large, so it is not copied at boot, but when pstore reads its records. A record
 * in it is not overwritten before it was erased. A record describes itself by its frames, and the
 * header of the zone is only a hint.
 *
 * Copyright (C) 2026 the kmemdump authors
 */
#define pr_fmt(fmt) "ramoops: " fmt

#include <linux/kmemdump_backend.h>
#include <linux/pstore.h>
#include <linux/slab.h>
#include <linux/sizes.h>

#include "ram_internal.h"

/* Whether there is any good frame of a record in the zone. */
static bool has_frame(struct persistent_ram_zone *prz)
{
	size_t window = SZ_4K, more = sizeof(struct kmemdump_frame) - 1, at;
	void *buf = kmalloc(window + more, GFP_KERNEL);
	bool found = false;

	/* Without memory to look for one, the contents of the zone stay. */
	if (!buf)
		return true;
	for (at = 0; at < prz->buffer_size && !found; at += window) {
		size_t size = min(window + more, prz->buffer_size - at);

		persistent_ram_peek(prz, at, buf, size);
		found = kmemdump_has_frame(buf, size);
		cond_resched();
	}
	kfree(buf);
	return found;
}

/*
 * Find out if a boot before this one has left a record. The header of the zone may be wrong
 * though the record is good: a bit of it may have flipped, or the reset may have lost its line
 * of the cache. A zone without any good frame is emptied, as it would keep later dumps from
 * being saved.
 */
void ramoops_find_kmemdump(struct persistent_ram_zone *prz)
{
	struct kmemdump_frame frame;

	if (persistent_ram_used(prz)) {
		/* Error correction, when the zone is read, may make a frame good. */
		if (prz->ecc_info.ecc_size || has_frame(prz))
			return;
		pr_warn("kmemdump area: dropped what is in it, it is no record\n");
		persistent_ram_zap(prz);
		return;
	}
	persistent_ram_peek(prz, 0, &frame, sizeof(frame));
	if (!kmemdump_record_probe(&frame, sizeof(frame), NULL)) {
		pr_warn("kmemdump area: its header is damaged, but a record is in it\n");
		persistent_ram_fill(prz);
	}
}

/* A copy, with errors corrected, of the first @size bytes; NULL without memory for it. */
static void *copy_start(struct persistent_ram_zone *prz, size_t size)
{
	/* No process is to be killed for it. */
	void *buf = kvzalloc(size, GFP_KERNEL | __GFP_NOWARN | __GFP_RETRY_MAYFAIL);

	if (buf) {
		persistent_ram_ecc_old(prz);
		persistent_ram_peek(prz, 0, buf, size);
	}
	return buf;
}

/*
 * This makes the only copy of the record, and pstore frees it. Without memory for all of it,
 * the copy has the start of the record: a record without a file could not be erased, and no
 * later dump would be saved.
 */
ssize_t ramoops_read_kmemdump(struct persistent_ram_zone *prz, struct pstore_record *record)
{
	size_t used = persistent_ram_used(prz), size;
	void *buf = NULL;

	/* Each read counts these from 0. */
	prz->corrected_bytes = 0;
	prz->bad_blocks = 0;
	for (size = used; size; size /= 2) {
		buf = copy_start(prz, size);
		if (buf)
			break;
	}
	if (size < used)
		pr_err("kmemdump record: no memory to show more than %zu of its %zu bytes\n",
		       size, used);
	if (!size)
		return 0;
	if (prz->bad_blocks)
		pr_warn("kmemdump record: %d unrecoverable blocks\n", prz->bad_blocks);
	/* Later frames of it may be good. */
	if (kmemdump_record_probe(buf, size, &record->time))
		pr_warn("kmemdump record: damaged header\n");

	record->type = prz->type;
	record->id = 0;
	record->buf = buf;
	return size;
}

/* Called in panic, on the only CPU that still runs. */
int notrace ramoops_write_kmemdump(struct persistent_ram_zone *prz, struct pstore_record *record)
{
	/* The dump of an earlier crash stays until it was read and erased. */
	if (record->part == 1 && persistent_ram_used(prz))
		return -EBUSY;
	if (record->size > prz->buffer_size - persistent_ram_used(prz))
		return -ENOSPC;

	persistent_ram_write(prz, record->buf, record->size);
	return 0;
}

/* Erase the first frame as well, or ramoops_find_kmemdump() would find the record again. */
void ramoops_erase_kmemdump(struct persistent_ram_zone *prz)
{
	static const struct kmemdump_frame none;

	persistent_ram_zap(prz);
	persistent_ram_poke(prz, 0, &none, sizeof(none));
}
