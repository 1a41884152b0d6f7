/* SPDX-License-Identifier: GPL-2.0 */
/* Qualcomm minidump: the table in SMEM, as boot firmware reads it. */
#ifndef _QCOM_MINIDUMP_H
#define _QCOM_MINIDUMP_H

#include <linux/kmemdump_backend.h>
#include <linux/types.h>

/* The item of SMEM. */
#define MINIDUMP_ITEM		602

/* The subsystem that runs Linux. */
#define MINIDUMP_APSS		0

/* Firmware has room for this many regions, of all subsystems; Linux has its share. */
#define MINIDUMP_TOTAL		300
#define MINIDUMP_SHARE		201

#define MINIDUMP_REVISION	1

#define MINIDUMP_STATUS_READY	1

/* Four letters, the first one in the top byte. */
#define MINIDUMP_ENABLED	0x454e424c	/* ENBL */
#define MINIDUMP_VALID		0x56414c49	/* VALI */
#define MINIDUMP_INVALID	0x494e5641	/* INVA */
#define MINIDUMP_ENCR_DONE	0x444f4e45	/* DONE */
#define MINIDUMP_ENCR_NO	0x4e52		/* NR */
#define MINIDUMP_ENCR_YES	0x594553	/* YES */

/**
 * struct minidump_region - a range of memory to be saved
 * @name:		at most %MINIDUMP_NAME characters; firmware adds four
 * @seq_num:		tells regions of the same name apart; ours have none
 * @valid:		%MINIDUMP_VALID or not to be looked at
 * @address:		physical
 * @size:		bytes
 */
struct minidump_region {
	char	name[16];
	__le32	seq_num;
	__le32	valid;
	__le64	address;
	__le64	size;
};

#define MINIDUMP_NAME		12

/**
 * struct minidump_subsystem - what one processor wants saved
 * @status:		%MINIDUMP_STATUS_READY once the rest is filled in
 * @enabled:		%MINIDUMP_ENABLED
 * @encryption_status:	%MINIDUMP_ENCR_DONE: not waiting for that
 * @encryption_required: %MINIDUMP_ENCR_NO or %MINIDUMP_ENCR_YES
 * @region_count:	entries of the array
 * @reserved:		0
 * @regions:		physical address of an array of struct minidump_region
 */
struct minidump_subsystem {
	__le32	status;
	__le32	enabled;
	__le32	encryption_status;
	__le32	encryption_required;
	__le32	region_count;
	__le32	reserved;
	__le64	regions;
};

/**
 * struct minidump_toc - the item of SMEM
 * @status:		not 0 once firmware has set it up
 * @revision:		of this format
 * @enabled:		not 0 if firmware would make minidumps
 * @reserved:		0
 * @subsystems:		as many as there is room for in the item
 */
struct minidump_toc {
	__le32				status;
	__le32				revision;
	__le32				enabled;
	__le32				reserved;
	struct minidump_subsystem	subsystems[];
};

/**
 * struct minidump_table - our part of the table
 * @apss:	our subsystem
 * @max:	entries of each copy of the regions
 * @copies:	arrays of regions; firmware sees one of them
 * @stored:	a test wants to look at what firmware would see after each store
 */
struct minidump_table {
	struct minidump_subsystem	*apss;
	unsigned int			max;
	struct minidump_region		*copies[KMEMDUMP_SLOT_COPIES];
	void				(*stored)(struct minidump_table *table);
};

const char *minidump_check(const struct minidump_toc *toc, size_t size);
unsigned int minidump_count_others(const struct minidump_toc *toc, size_t size,
				   unsigned int total);
int minidump_table_init(struct minidump_table *table, struct minidump_toc *toc, unsigned int max);
void minidump_table_free(struct minidump_table *table);
void minidump_table_fill(struct minidump_table *table, unsigned int copy,
			 const struct kmemdump_slot *slots, unsigned int nr);
void minidump_table_move(struct minidump_table *table, unsigned int copy, unsigned int slot,
			 phys_addr_t phys_addr);
void minidump_table_publish(struct minidump_table *table, unsigned int copy, unsigned int nr);
void minidump_table_clear(struct minidump_table *table);

#endif /* _QCOM_MINIDUMP_H */
