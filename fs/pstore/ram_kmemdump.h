/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What ramoops and ram_kmemdump.c use of each other.
 *
 * Copyright (C) 2026 the kmemdump authors
 */
#ifndef _FS_PSTORE_RAM_KMEMDUMP_H
#define _FS_PSTORE_RAM_KMEMDUMP_H

#include <linux/errno.h>
#include <linux/limits.h>
#include <linux/overflow.h>
#include <linux/printk.h>
#include <linux/types.h>

struct persistent_ram_zone;
struct pstore_record;

/* Tells a kmemdump zone from what another layout left at its place. */
#define RAMOOPS_KMEMDUMP_SIG	0x504d444b /* KDMP */
/* The size of the area is a multiple of it. */
#define RAMOOPS_KMEMDUMP_UNIT	4096

/* ram_core.c */
void persistent_ram_ecc_old(struct persistent_ram_zone *prz);
size_t persistent_ram_used(struct persistent_ram_zone *prz);
void persistent_ram_fill(struct persistent_ram_zone *prz);
void persistent_ram_peek(struct persistent_ram_zone *prz, size_t offset, void *buf, size_t size);
void persistent_ram_poke(struct persistent_ram_zone *prz, size_t offset, const void *buf,
			 size_t size);

/*
 * How large the kmemdump area is when @size bytes are asked for and there are @room bytes for
 * it and the records of dmesg: 0 if it can't be so large. The area is an optional extra: what is
 * wrong with it must not cost the other records, and one record of dmesg has to fit beside it.
 */
static inline size_t ramoops_kmemdump_area(size_t size, size_t record_size, size_t room)
{
	if (size % RAMOOPS_KMEMDUMP_UNIT || size > INT_MAX) {
		pr_err("kmemdump_size %zu is no multiple of %d, or too large: no kmemdump records\n",
		       size, RAMOOPS_KMEMDUMP_UNIT);
		return 0;
	}
	if (size && size_add(size, record_size) > room) {
		pr_err("no room for a kmemdump area of %zu bytes beside other records\n", size);
		return 0;
	}
	return size;
}

#ifdef CONFIG_KMEMDUMP
void ramoops_find_kmemdump(struct persistent_ram_zone *prz);
ssize_t ramoops_read_kmemdump(struct persistent_ram_zone *prz, struct pstore_record *record);
int ramoops_write_kmemdump(struct persistent_ram_zone *prz, struct pstore_record *record);
void ramoops_erase_kmemdump(struct persistent_ram_zone *prz);
#else
static inline void ramoops_find_kmemdump(struct persistent_ram_zone *prz)
{
}

static inline ssize_t ramoops_read_kmemdump(struct persistent_ram_zone *prz,
					    struct pstore_record *record)
{
	return 0;
}

static inline int ramoops_write_kmemdump(struct persistent_ram_zone *prz,
					 struct pstore_record *record)
{
	return -ENOSPC;
}

static inline void ramoops_erase_kmemdump(struct persistent_ram_zone *prz)
{
}
#endif

#endif /* _FS_PSTORE_RAM_KMEMDUMP_H */
