// SPDX-License-Identifier: GPL-2.0-only
/*
 * Qualcomm minidump: KUnit tests of the table. They parse it after each single store,
 * as firmware would if it ran at that moment.
 *
 * Copyright (C) 2026 the kmemdump authors
 */
#include <kunit/test.h>
#include <linux/io.h>
#include <linux/prandom.h>
#include <linux/string.h>

#include "minidump.h"

#define MAX_REGIONS	12
#define NR_SUBSYSTEMS	3

struct md_test {
	struct minidump_table	table;		/* first, for the hook */
	struct kunit		*test;
	bool			filled;		/* table */
	struct {
		struct minidump_toc		toc;
		struct minidump_subsystem	subsystems[NR_SUBSYSTEMS];
	} smem;

	/* The tables that firmware may find. If nr is 0, there is no such table. */
	struct minidump_slot	before[MAX_REGIONS], after[MAX_REGIONS], panic[MAX_REGIONS];
	unsigned int		nr_before, nr_after, nr_panic;
	unsigned int		stores_left;
	unsigned int		nr_looks;
	bool			read_only;
};

/* Whether @regions are these @nr slots, followed only by entries marked as invalid. */
static bool is_table(const struct minidump_region *regions, unsigned int count,
		     const struct minidump_slot *slots, unsigned int nr)
{
	unsigned int i;

	if (count < nr || !nr)
		return false;
	for (i = 0; i < count; i++) {
		/* Firmware that does not look at the mark finds the first slot again. */
		const struct minidump_slot *slot = &slots[i < nr ? i : 0];
		u32 valid = i < nr ? MINIDUMP_VALID : MINIDUMP_INVALID;

		if (le32_to_cpu(regions[i].valid) != valid || regions[i].seq_num ||
		    strcmp(regions[i].name, slot->name) ||
		    le64_to_cpu(regions[i].address) != slot->phys_addr ||
		    le64_to_cpu(regions[i].size) != slot->size)
			return false;
	}
	return true;
}

/* Read the table as firmware would, which knows only the format. */
static void look(struct minidump_table *table)
{
	struct md_test *t = container_of(table, struct md_test, table);
	const struct minidump_subsystem *apss = &t->smem.subsystems[MINIDUMP_APSS];
	unsigned int count = le32_to_cpu(apss->region_count);
	phys_addr_t base = le64_to_cpu(apss->regions);
	const struct minidump_region *regions = NULL;
	bool right;
	int i;

	t->nr_looks++;
	if (t->read_only)
		memset(&t->smem.subsystems[MINIDUMP_APSS], 0xff, sizeof(*apss));
	if (le32_to_cpu(apss->status) != 1 || le32_to_cpu(apss->enabled) != 0x454e424c) {
		/* A missing table is fine only if there was none before, or there will be none. */
		KUNIT_EXPECT_TRUE(t->test, !t->nr_before || (!t->nr_after && !t->nr_panic));
		return;
	}
	KUNIT_EXPECT_EQ(t->test, le32_to_cpu(apss->encryption_status), 0x444f4e45);
	KUNIT_EXPECT_EQ(t->test, le32_to_cpu(apss->encryption_required), 0x4e52);
	for (i = 0; i < MINIDUMP_COPIES; i++)
		if (virt_to_phys(table->copies[i]) == base)
			regions = table->copies[i];
	KUNIT_ASSERT_NOT_NULL(t->test, regions);
	KUNIT_ASSERT_LE(t->test, count, table->max);
	right = is_table(regions, count, t->before, t->nr_before) ||
		is_table(regions, count, t->after, t->nr_after) ||
		is_table(regions, count, t->panic, t->nr_panic);
	KUNIT_EXPECT_TRUE(t->test, right);
}

static void free_table(void *data)
{
	struct md_test *t = data;

	if (t->filled)
		minidump_table_free(&t->table);
}

static struct md_test *new_test(struct kunit *test)
{
	struct md_test *t = kunit_kzalloc(test, sizeof(*t), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, t);
	t->test = test;
	t->smem.toc.status = cpu_to_le32(1);
	t->smem.toc.revision = cpu_to_le32(1);
	t->smem.toc.enabled = cpu_to_le32(1);
	t->table.stored = look;
	KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, free_table, t), 0);
	return t;
}

static void init(struct md_test *t)
{
	KUNIT_ASSERT_EQ(t->test, minidump_table_init(&t->table, &t->smem.toc, MAX_REGIONS), 0);
	t->filled = true;
}

static void make_slots(struct minidump_slot *slots, unsigned int nr, unsigned int n)
{
	unsigned int i;

	for (i = 0; i < nr; i++) {
		snprintf(slots[i].name, sizeof(slots[i].name), "K%04x_%c", n & 0xffff,
			 'a' + (i & 15));
		slots[i].phys_addr = 0x80000000ULL + n * 0x100000ULL + i * 0x1000;
		slots[i].size = 0x1000 * (1 + n % 7);
	}
}

/* Publish @nr slots, which differ with @n, and let firmware look after each store. */
static void publish(struct md_test *t, unsigned int copy, unsigned int nr, unsigned int n)
{
	memcpy(t->before, t->after, sizeof(t->before));
	t->nr_before = t->nr_after;
	make_slots(t->after, nr, n);
	t->nr_after = nr;
	minidump_table_fill(&t->table, copy, t->after, nr);
	if (nr > 1) {
		t->after[nr - 1].phys_addr += 0x40000000;
		minidump_table_move(&t->table, copy, nr - 1, t->after[nr - 1].phys_addr);
	}
	minidump_table_publish(&t->table, copy, nr);

	/* At the end, firmware has to find the new table. */
	t->nr_before = nr;
	memcpy(t->before, t->after, sizeof(t->before));
	look(&t->table);
}

static void old_or_new(struct kunit *test)
{
	struct md_test *t = new_test(test);
	struct rnd_state rnd;
	unsigned int i;

	init(t);
	publish(t, 0, 1, 0);
	KUNIT_EXPECT_EQ(test, le32_to_cpu(t->smem.subsystems[0].region_count), 1);
	prandom_seed_state(&rnd, 5);
	for (i = 1; i < 2000; i++) {
		unsigned int nr = 1 + prandom_u32_state(&rnd) % MAX_REGIONS;
		bool same = nr == t->nr_after;

		t->nr_looks = 0;
		publish(t, i & 1, nr, i);
		KUNIT_EXPECT_EQ(test, le32_to_cpu(t->smem.subsystems[0].region_count),
				t->nr_after);
		/* look() ran after the store of the address, of a new count, and at the end. */
		KUNIT_EXPECT_EQ(test, t->nr_looks, same ? 2 : 3);
	}
	KUNIT_EXPECT_NULL(test, memchr_inv(&t->smem.subsystems[1], 0,
					   2 * sizeof(t->smem.subsystems[1])));
}

static void publish_none(struct kunit *test)
{
	struct md_test *t = new_test(test);

	init(t);
	publish(t, 0, 5, 0);
	t->nr_after = 0;
	minidump_table_publish(&t->table, 1, 0);
	KUNIT_EXPECT_FALSE(test, t->smem.subsystems[0].status);
	KUNIT_EXPECT_FALSE(test, t->smem.subsystems[0].enabled);
	KUNIT_EXPECT_FALSE(test, t->smem.subsystems[0].region_count);
	KUNIT_EXPECT_FALSE(test, t->smem.subsystems[0].regions);
	/* After that, a table can be published again. */
	publish(t, 0, 3, 7);
}

/* After @stores_left stores, a panic publishes another table from the last copy. */
static void panic_now(struct minidump_table *table)
{
	struct md_test *t = container_of(table, struct md_test, table);

	look(table);
	if (--t->stores_left)
		return;
	table->stored = look;
	minidump_table_fill(table, MINIDUMP_COPIES - 1, t->panic, t->nr_panic);
	minidump_table_publish(table, MINIDUMP_COPIES - 1, t->nr_panic);
	t->nr_before = 0;
	t->nr_after = 0;
	look(table);
	t->nr_panic = 0;
	/* The code that the panic interrupted does not go on. */
	table->stored = NULL;
}

static void panic_in_between(struct kunit *test)
{
	static const unsigned int numbers[][3] = {
		{ 3, 5, 4 }, { 5, 3, 4 }, { 3, 5, 2 }, { 5, 3, 7 }, { 4, 4, 4 }, { 3, 5, 9 },
	};
	unsigned int i, stores;

	for (i = 0; i < ARRAY_SIZE(numbers); i++) {
		for (stores = 1; stores <= 1 + (numbers[i][0] != numbers[i][1]); stores++) {
			struct md_test *t = new_test(test);

			init(t);
			publish(t, 0, numbers[i][0], 1);
			make_slots(t->after, numbers[i][1], 2);
			t->nr_after = numbers[i][1];
			make_slots(t->panic, numbers[i][2], 3);
			t->nr_panic = numbers[i][2];
			t->stores_left = stores;
			t->table.stored = panic_now;
			minidump_table_fill(&t->table, 1, t->after, t->nr_after);
			minidump_table_publish(&t->table, 1, t->nr_after);
			KUNIT_EXPECT_EQ(test, t->nr_panic, 0);
		}
	}
}

static void stale_table(struct kunit *test)
{
	struct md_test *t = new_test(test);
	struct minidump_subsystem *apss = &t->smem.subsystems[0];

	/* As an earlier kernel left it. Its regions may be overwritten by now. */
	apss->status = cpu_to_le32(1);
	apss->enabled = cpu_to_le32(MINIDUMP_ENABLED);
	apss->encryption_required = cpu_to_le32(MINIDUMP_ENCR_YES);
	apss->region_count = cpu_to_le32(77);
	apss->regions = cpu_to_le64(0x123456789000);
	KUNIT_EXPECT_NULL(test, minidump_check(&t->smem.toc, sizeof(t->smem)));
	init(t);
	KUNIT_EXPECT_FALSE(test, apss->status);
	KUNIT_EXPECT_FALSE(test, apss->regions);
	publish(t, 0, 4, 0);
}

static void not_writable(struct kunit *test)
{
	struct md_test *t = new_test(test);

	t->read_only = true;
	KUNIT_EXPECT_EQ(test, minidump_table_init(&t->table, &t->smem.toc, MAX_REGIONS), -EROFS);
}

static void bad_tables(struct kunit *test)
{
	struct md_test *t = new_test(test);
	struct minidump_toc *toc = &t->smem.toc;

	KUNIT_EXPECT_NULL(test, minidump_check(toc, sizeof(t->smem)));
	KUNIT_EXPECT_NULL(test, minidump_check(toc, 16 + 32));
	KUNIT_EXPECT_STREQ(test, minidump_check(toc, 15), "it is too small");
	KUNIT_EXPECT_STREQ(test, minidump_check(toc, 47), "it has no room for a subsystem");
	toc->status = 0;
	KUNIT_EXPECT_STREQ(test, minidump_check(toc, 48), "the firmware has not set it up");
	toc->status = cpu_to_le32(1);
	toc->revision = 0;
	KUNIT_EXPECT_NULL(test, minidump_check(toc, 48));
	toc->revision = cpu_to_le32(2);
	KUNIT_EXPECT_STREQ(test, minidump_check(toc, 48), "its revision is not known");
	toc->revision = cpu_to_le32(1);
	toc->enabled = 0;
	KUNIT_EXPECT_STREQ(test, minidump_check(toc, 48),
			   "the firmware has not enabled minidumps");
	toc->enabled = cpu_to_le32(MINIDUMP_ENABLED);
	KUNIT_EXPECT_NULL(test, minidump_check(toc, 48));
	t->smem.subsystems[0].encryption_required = cpu_to_le32(MINIDUMP_ENCR_YES);
	KUNIT_EXPECT_STREQ(test, minidump_check(toc, 48), "the firmware would encrypt the dump");
}

static void others(struct kunit *test)
{
	struct md_test *t = new_test(test);
	struct minidump_subsystem *sub = t->smem.subsystems;
	int i;

	KUNIT_EXPECT_EQ(test, minidump_count_others(&t->smem.toc, sizeof(t->smem), 300), 0);
	for (i = 0; i < NR_SUBSYSTEMS; i++) {
		sub[i].status = cpu_to_le32(1);
		sub[i].region_count = cpu_to_le32(10 + i);
	}
	KUNIT_EXPECT_EQ(test, minidump_count_others(&t->smem.toc, sizeof(t->smem), 300), 0);
	for (i = 0; i < NR_SUBSYSTEMS; i++)
		sub[i].enabled = cpu_to_le32(MINIDUMP_ENABLED);
	KUNIT_EXPECT_EQ(test, minidump_count_others(&t->smem.toc, sizeof(t->smem), 300), 11 + 12);
	KUNIT_EXPECT_EQ(test, minidump_count_others(&t->smem.toc, sizeof(t->smem) - 1, 300), 11);
	KUNIT_EXPECT_EQ(test, minidump_count_others(&t->smem.toc, 16 + 32, 300), 0);
	sub[1].region_count = cpu_to_le32(U32_MAX);
	sub[2].region_count = cpu_to_le32(U32_MAX);
	KUNIT_EXPECT_EQ(test, minidump_count_others(&t->smem.toc, sizeof(t->smem), 300), 300);
}

static struct kunit_case table_cases[] = {
	KUNIT_CASE(old_or_new),
	KUNIT_CASE(publish_none),
	KUNIT_CASE(panic_in_between),
	KUNIT_CASE(stale_table),
	KUNIT_CASE(not_writable),
	KUNIT_CASE(bad_tables),
	KUNIT_CASE(others),
	{ }
};

static struct kunit_suite table_suite = {
	.name = "kmemdump-minidump",
	.test_cases = table_cases,
};

kunit_test_suite(table_suite);
