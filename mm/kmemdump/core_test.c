// SPDX-License-Identifier: GPL-2.0-only
/*
 * kmemdump: KUnit tests of registration, ids and names.
 *
 * Copyright (C) 2026 the kmemdump authors
 */
#include <linux/kernel.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "test_backend.h"

static char buffer[256];

struct bad_region {
	const char *what;
	struct kmemdump_region region;
	int want;
};

#define NAME_63 "123456789012345678901234567890123456789012345678901234567890123"

static const struct bad_region bad_regions[] = {
	{ "null name", { .name = NULL, .virt_addr = buffer, .size = 1, .id = 1 }, -EINVAL },
	{ "empty name", { .name = "", .virt_addr = buffer, .size = 1, .id = 1 }, -EINVAL },
	{ "64 characters", {
		.name = NAME_63 "4", .virt_addr = buffer, .size = 1, .id = 1,
	  }, -ENAMETOOLONG },
	{ "control character", {
		.name = "a\033[2Jb", .virt_addr = buffer, .size = 1, .id = 1,
	  }, -EINVAL },
	{ "newline", { .name = "a\n", .virt_addr = buffer, .size = 1, .id = 1 }, -EINVAL },
	{ "not ASCII", {
		.name = "caf\xc3\xa9", .virt_addr = buffer, .size = 1, .id = 1,
	  }, -EINVAL },
	{ "size 0", { .name = "x", .virt_addr = buffer, .size = 0, .id = 1 }, -EINVAL },
	{ "negative id", { .name = "x", .virt_addr = buffer, .size = 1, .id = -1 }, -EINVAL },
	{ "id of the core", {
		.name = "x", .virt_addr = buffer, .size = 1, .id = KMEMDUMP_ID_AUTO,
	  }, -EINVAL },
	{ "highest id", {
		.name = "x", .virt_addr = buffer, .size = 1, .id = INT_MAX,
	  }, -EINVAL },
	{ "lowest id", {
		.name = "x", .virt_addr = buffer, .size = 1, .id = INT_MIN,
	  }, -EINVAL },
	{ "wraps", {
		.name = "x", .virt_addr = buffer, .size = SIZE_MAX, .id = 1,
	  }, -EOVERFLOW },
	{ "last byte wraps", {
		.name = "x", .virt_addr = (void *)-1UL, .size = 2, .id = 1,
	  }, -EOVERFLOW },
	{ "physical wraps", {
		.name = "x", .phys_addr = ~(phys_addr_t)0, .size = 2, .id = 1,
	  }, -EOVERFLOW },
	{ "no address", { .name = "x", .size = 1, .id = 1 }, -EFAULT },
	{ "user address", {
		.name = "x", .virt_addr = (void *)0x400000UL, .size = 16, .id = 1,
	  }, -EFAULT },
	{ "unknown priority", {
		.name = "x", .virt_addr = buffer, .size = 1, .id = 1, .priority = 2,
	  }, -EINVAL },
	{ "per-CPU and virtual", {
		.name = "x", .virt_addr = buffer, .percpu_addr = (void __percpu *)8, .size = 1,
	  }, -EINVAL },
	{ "per-CPU and physical", {
		.name = "x", .phys_addr = 8, .percpu_addr = (void __percpu *)8, .size = 1,
	  }, -EINVAL },
	{ "top of the address space", {
		.name = "x", .virt_addr = (void *)(-1UL - 15), .size = 16, .id = 1,
	  }, -EFAULT },
};

static void bad_region_desc(const struct bad_region *bad, char *desc)
{
	strscpy(desc, bad->what, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(bad_region, bad_regions, bad_region_desc);

static void register_refuses(struct kunit *test)
{
	const struct bad_region *bad = test->param_value;
	struct kmemdump_table *table = kmemdump_test_table(test);
	struct kmemdump_region region = bad->region;

	KUNIT_EXPECT_EQ(test, kmemdump_add(table, &region, NULL, KMEMDUMP_CLASS_DRIVER, 0),
			bad->want);
	KUNIT_EXPECT_EQ(test, table->nr_regions, 0);
	KUNIT_EXPECT_TRUE(test, xa_empty(&table->ids));
	KUNIT_EXPECT_EQ(test, table->nr_pieces, 0);
}

static void register_refuses_null(struct kunit *test)
{
	struct kmemdump_table *table = kmemdump_test_table(test);

	KUNIT_EXPECT_EQ(test, kmemdump_add(table, NULL, NULL, KMEMDUMP_CLASS_DRIVER, 0), -EINVAL);
	KUNIT_EXPECT_EQ(test, kmemdump_remove(table, NULL), -EINVAL);
}

static void longest_name(struct kunit *test)
{
	struct kmemdump_table *table = kmemdump_test_table(test);

	kmemdump_test_add(test, table, NAME_63, buffer, 1, 0);
	kmemdump_test_add(test, table, "with space", buffer, 1, 0);
}

static void taken_id_and_name(struct kunit *test)
{
	struct kmemdump_table *table = kmemdump_test_table(test);
	struct kmemdump_region a = { .name = "a", .virt_addr = buffer, .size = 8, .id = 7 };
	struct kmemdump_region same_id = { .name = "b", .virt_addr = buffer, .size = 8, .id = 7 };
	struct kmemdump_region same_name = { .name = "a", .virt_addr = buffer, .size = 8, .id = 8 };

	KUNIT_EXPECT_EQ(test, kmemdump_add(table, &a, NULL, KMEMDUMP_CLASS_DRIVER, 0), 0);
	KUNIT_EXPECT_EQ(test, kmemdump_add(table, &same_id, NULL, KMEMDUMP_CLASS_DRIVER, 0),
			-EEXIST);
	KUNIT_EXPECT_EQ(test, kmemdump_add(table, &same_name, NULL, KMEMDUMP_CLASS_DRIVER, 0),
			-EEXIST);
	KUNIT_EXPECT_EQ(test, table->nr_regions, 1);

	/* The refused regions left nothing in the table: both can be registered now. */
	KUNIT_EXPECT_EQ(test, kmemdump_remove(table, &a), 0);
	KUNIT_EXPECT_EQ(test, kmemdump_add(table, &same_id, NULL, KMEMDUMP_CLASS_DRIVER, 0), 0);
	KUNIT_EXPECT_EQ(test, kmemdump_add(table, &same_name, NULL, KMEMDUMP_CLASS_DRIVER, 0), 0);
	KUNIT_EXPECT_EQ(test, table->nr_regions, 2);
}

static void given_ids(struct kunit *test)
{
	struct kmemdump_table *table = kmemdump_test_table(test);
	struct kmemdump_region last = {
		.name = "last", .virt_addr = buffer, .size = 8, .id = KMEMDUMP_ID_AUTO - 1,
	};
	int a, b;

	a = kmemdump_test_add(test, table, "a", buffer, 8, 0);
	b = kmemdump_test_add(test, table, "b", buffer, 8, 0);
	KUNIT_EXPECT_EQ(test, a, KMEMDUMP_ID_AUTO);
	KUNIT_EXPECT_EQ(test, b, KMEMDUMP_ID_AUTO + 1);
	KUNIT_EXPECT_EQ(test, kmemdump_add(table, &last, NULL, KMEMDUMP_CLASS_DRIVER, 0), 0);
}

/* An id is not used again at once, so that a stale one does not remove the next region. */
static void ids_rest(struct kunit *test)
{
	struct kmemdump_table *table = kmemdump_test_table(test);
	struct kmemdump_region a = { .name = "a", .virt_addr = buffer, .size = 8 }, old;

	KUNIT_ASSERT_EQ(test, kmemdump_add(table, &a, NULL, KMEMDUMP_CLASS_DRIVER, 0), 0);
	old = a;
	KUNIT_ASSERT_EQ(test, kmemdump_remove(table, &a), 0);
	KUNIT_ASSERT_EQ(test, kmemdump_add(table, &a, NULL, KMEMDUMP_CLASS_DRIVER, 0), 0);
	KUNIT_EXPECT_EQ(test, kmemdump_remove(table, &old), -ENOENT);
	KUNIT_EXPECT_EQ(test, table->nr_regions, 1);
}

static void unregister(struct kunit *test)
{
	struct kmemdump_table *table = kmemdump_test_table(test);
	struct kmemdump_region a = { .name = "a", .virt_addr = buffer, .size = 8 };
	struct kmemdump_region foreign;

	KUNIT_ASSERT_EQ(test, kmemdump_add(table, &a, NULL, KMEMDUMP_CLASS_DRIVER, 0), 0);

	foreign = a;
	foreign.name = "b";
	KUNIT_EXPECT_EQ(test, kmemdump_remove(table, &foreign), -ENOENT);
	foreign = a;
	foreign.id++;
	KUNIT_EXPECT_EQ(test, kmemdump_remove(table, &foreign), -ENOENT);
	foreign.id = 0;
	KUNIT_EXPECT_EQ(test, kmemdump_remove(table, &foreign), -EINVAL);
	KUNIT_EXPECT_EQ(test, table->nr_regions, 1);

	foreign = a;
	KUNIT_EXPECT_EQ(test, kmemdump_remove(table, &foreign), 0);
	KUNIT_EXPECT_EQ(test, kmemdump_remove(table, &a), -ENOENT);
	KUNIT_EXPECT_EQ(test, table->nr_regions, 0);
	KUNIT_EXPECT_EQ(test, table->nr_pieces, 0);

	/* Removing resets an id that the core gave, so the same struct can be used again. */
	KUNIT_EXPECT_EQ(test, foreign.id, 0);
	KUNIT_EXPECT_EQ(test, kmemdump_remove(table, &foreign), -EINVAL);
	KUNIT_EXPECT_EQ(test, kmemdump_add(table, &foreign, NULL, KMEMDUMP_CLASS_DRIVER, 0), 0);
}

/* The list must not depend on what the provider does with its struct. */
static void own_copy(struct kunit *test)
{
	struct kmemdump_table *table = kmemdump_test_table(test);
	char name[] = "mine";
	struct kmemdump_region region = { .name = name, .virt_addr = buffer, .size = 8, .id = 3 };
	struct kmemdump_entry *entry;

	KUNIT_ASSERT_EQ(test, kmemdump_add(table, &region, NULL, KMEMDUMP_CLASS_DRIVER, 0), 0);
	memset(name, 'x', sizeof(name) - 1);
	memset(&region, 0xff, sizeof(region));

	entry = xa_load(&table->ids, 3);
	KUNIT_ASSERT_NOT_NULL(test, entry);
	KUNIT_EXPECT_STREQ(test, kmemdump_entry_name(entry), "mine");
	KUNIT_EXPECT_EQ(test, kmemdump_entry_size(entry), 8);
}

/*
 * Each of many regions is found by its name and its id. Removed ones are not found, until others
 * take their names. Regions can be removed in any order.
 */
static void many_regions(struct kunit *test)
{
	struct kmemdump_table *table = kmemdump_test_table(test);
	const int nr = 1000;
	int *ids = kunit_kcalloc(test, nr, sizeof(*ids), GFP_KERNEL);
	char name[16];
	int i;

	KUNIT_ASSERT_NOT_NULL(test, ids);
	for (i = 0; i < nr; i++) {
		snprintf(name, sizeof(name), "r%d", i);
		ids[i] = kmemdump_test_add(test, table, name, buffer, 8, 0);
	}
	/* 7 and 500 have no common factor: this removes each even one once, out of order. */
	for (i = 0; i < nr / 2; i++) {
		int victim = 2 * (i * 7 % (nr / 2));
		struct kmemdump_region region = { .name = name, .id = ids[victim] };

		snprintf(name, sizeof(name), "r%d", victim);
		KUNIT_ASSERT_EQ(test, kmemdump_remove(table, &region), 0);
	}
	KUNIT_EXPECT_EQ(test, table->nr_regions, nr / 2);

	mutex_lock(&table->lock);
	for (i = 0; i < nr; i++) {
		struct kmemdump_entry *entry;

		snprintf(name, sizeof(name), "r%d", i);
		entry = kmemdump_find(table, name);
		KUNIT_ASSERT_EQ(test, !!entry, i & 1);
		KUNIT_ASSERT_PTR_EQ(test, xa_load(&table->ids, ids[i]), entry);
	}
	KUNIT_EXPECT_NULL(test, kmemdump_find(table, "nobody"));
	mutex_unlock(&table->lock);

	/* The names can be used again, with new ids. */
	for (i = 0; i < nr; i += 2) {
		struct kmemdump_entry *entry;
		int id;

		snprintf(name, sizeof(name), "r%d", i);
		id = kmemdump_test_add(test, table, name, buffer, 8, 0);
		KUNIT_ASSERT_NE(test, id, ids[i]);
		mutex_lock(&table->lock);
		entry = kmemdump_find(table, name);
		mutex_unlock(&table->lock);
		KUNIT_ASSERT_PTR_EQ(test, xa_load(&table->ids, id), entry);
	}
	KUNIT_EXPECT_EQ(test, table->nr_regions, nr);
}

static struct kunit_case core_cases[] = {
	KUNIT_CASE_PARAM(register_refuses, bad_region_gen_params),
	KUNIT_CASE(register_refuses_null),
	KUNIT_CASE(longest_name),
	KUNIT_CASE(taken_id_and_name),
	KUNIT_CASE(given_ids),
	KUNIT_CASE(ids_rest),
	KUNIT_CASE(unregister),
	KUNIT_CASE(own_copy),
	KUNIT_CASE(many_regions),
	{}
};

static struct kunit_suite core_suite = {
	.name		= "kmemdump-core",
	.test_cases	= core_cases,
};

kunit_test_suite(core_suite);

MODULE_LICENSE("GPL");
