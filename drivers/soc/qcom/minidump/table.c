// SPDX-License-Identifier: GPL-2.0-only
/*
 * Qualcomm minidump: edits of the table that firmware may read at any time.
 *
 * A crash can come between any two stores, and then firmware has to find the table as it was or
 * as it is to be. So there are several copies of the array of regions, and each change fills one
 * that firmware does not see. Then two stores switch firmware over: the address and the number
 * of entries. Between them, the larger number is in effect with either array. Therefore the
 * entries of an array after its last region are marked invalid, and repeat the first region for
 * firmware that does not look at the mark.
 *
 * Copyright (C) 2026 the kmemdump authors
 */
#include <linux/build_bug.h>
#include <linux/io.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "minidump.h"

static_assert(sizeof(struct minidump_region) == 40);
static_assert(sizeof(struct minidump_subsystem) == 32);
static_assert(offsetof(struct minidump_toc, subsystems) == 16);

static void show_test(struct minidump_table *table)
{
	if (IS_ENABLED(CONFIG_QCOM_MINIDUMP_KUNIT_TEST) && table->stored)
		table->stored(table);
}

/* Everything that firmware sees is stored by put32() or put64(), one store at a time. */
static void put32(struct minidump_table *table, __le32 *to, u32 value)
{
	WRITE_ONCE(*to, cpu_to_le32(value));
	/* Firmware, which takes over at a reset, has to see the stores in this order. */
	wmb();
	show_test(table);
}

static void put64(struct minidump_table *table, __le64 *to, u64 value)
{
	WRITE_ONCE(*to, cpu_to_le64(value));
	/* As above. */
	wmb();
	show_test(table);
}

static u32 get32(const __le32 *from)
{
	return le32_to_cpu(READ_ONCE(*from));
}

/* Why the table that firmware left is of no use, or NULL. */
const char *minidump_check(const struct minidump_toc *toc, size_t size)
{
	const struct minidump_subsystem *apss = &toc->subsystems[MINIDUMP_APSS];

	if (size < sizeof(*toc))
		return "it is too small";
	if (size < offsetofend(struct minidump_toc, subsystems[MINIDUMP_APSS]))
		return "it has no room for a subsystem";
	if (!get32(&toc->status))
		return "the firmware has not set it up";
	/*
	 * No firmware is known to look at the revision, and some may not set it. The layout of a
	 * later revision is not known, so don't write that.
	 */
	if (get32(&toc->revision) > MINIDUMP_REVISION)
		return "its revision is not known";
	if (!get32(&toc->enabled))
		return "the firmware has not enabled minidumps";
	if (get32(&apss->encryption_required) == MINIDUMP_ENCR_YES &&
	    get32(&apss->status) != MINIDUMP_STATUS_READY)
		return "the firmware would encrypt the dump";
	return NULL;
}

/* How many of @total regions the other subsystems have by now. */
unsigned int minidump_count_others(const struct minidump_toc *toc, size_t size,
				   unsigned int total)
{
	unsigned int nr = (size - sizeof(*toc)) / sizeof(toc->subsystems[0]), i, sum = 0;

	for (i = 0; i < nr; i++) {
		const struct minidump_subsystem *other = &toc->subsystems[i];

		if (i != MINIDUMP_APSS && get32(&other->status) == MINIDUMP_STATUS_READY &&
		    get32(&other->enabled) == MINIDUMP_ENABLED)
			sum += min(get32(&other->region_count), total - sum);
	}
	return sum;
}

/* Have firmware not look at the table, which then points nowhere. */
void minidump_table_clear(struct minidump_table *table)
{
	struct minidump_subsystem *apss = table->apss;

	put32(table, &apss->status, 0);
	put32(table, &apss->region_count, 0);
	put64(table, &apss->regions, 0);
	put32(table, &apss->enabled, 0);
}

void minidump_table_free(struct minidump_table *table)
{
	int i;

	for (i = 0; i < MINIDUMP_COPIES; i++)
		if (table->copies[i])
			free_pages_exact(table->copies[i],
					 table->max * sizeof(*table->copies[i]));
}

/*
 * Take over our part of @toc, which minidump_check() has seen, for @max regions. What
 * is there may be the table of an earlier kernel, and what that points to is in
 * other use by now.
 */
int minidump_table_init(struct minidump_table *table, struct minidump_toc *toc, unsigned int max)
{
	struct minidump_subsystem *apss = &toc->subsystems[MINIDUMP_APSS];
	int i;

	table->apss = apss;
	table->max = max;
	for (i = 0; i < MINIDUMP_COPIES; i++) {
		table->copies[i] = alloc_pages_exact(max * sizeof(*table->copies[i]),
						     GFP_KERNEL | __GFP_ZERO);
		if (!table->copies[i]) {
			minidump_table_free(table);
			return -ENOMEM;
		}
	}

	minidump_table_clear(table);
	put32(table, &apss->encryption_status, MINIDUMP_ENCR_DONE);
	put32(table, &apss->encryption_required, MINIDUMP_ENCR_NO);
	if (get32(&apss->status) || get32(&apss->encryption_status) != MINIDUMP_ENCR_DONE ||
	    get32(&apss->encryption_required) != MINIDUMP_ENCR_NO) {
		minidump_table_free(table);
		return -EROFS;
	}
	return 0;
}

static void fill_region(struct minidump_region *region, const struct minidump_slot *slot, u32 valid)
{
	*region = (struct minidump_region) {
		.valid		= cpu_to_le32(valid),
		.address	= cpu_to_le64(slot->phys_addr),
		.size		= cpu_to_le64(slot->size),
	};
	strscpy(region->name, slot->name);
}

/* Put @nr slots, at least one, into @copy, which firmware does not see now. Any context. */
void minidump_table_fill(struct minidump_table *table, unsigned int copy,
			 const struct minidump_slot *slots, unsigned int nr)
{
	unsigned int i;

	for (i = 0; i < table->max; i++)
		fill_region(&table->copies[copy][i], &slots[i < nr ? i : 0],
			    i < nr ? MINIDUMP_VALID : MINIDUMP_INVALID);
}

void minidump_table_move(struct minidump_table *table, unsigned int copy, unsigned int slot,
			 phys_addr_t phys_addr)
{
	table->copies[copy][slot].address = cpu_to_le64(phys_addr);
}

/*
 * Have firmware see the @nr slots in @copy, which it does not see now; or nothing, if @nr is 0.
 * Any context. If a panic interrupts this, the table is whole all the same.
 */
void minidump_table_publish(struct minidump_table *table, unsigned int copy, unsigned int nr)
{
	struct minidump_subsystem *apss = table->apss;
	unsigned int count;

	if (!nr) {
		minidump_table_clear(table);
		return;
	}
	/* The entries of the copy have to be there before its address is. */
	wmb();

	/* The number that firmware sees now, also if another CPU was stopped in here. */
	count = get32(&apss->region_count);
	if (nr > count)
		put32(table, &apss->region_count, nr);
	put64(table, &apss->regions, virt_to_phys(table->copies[copy]));
	if (nr < count)
		put32(table, &apss->region_count, nr);

	if (get32(&apss->status) != MINIDUMP_STATUS_READY) {
		put32(table, &apss->enabled, MINIDUMP_ENABLED);
		put32(table, &apss->status, MINIDUMP_STATUS_READY);
	}
}
