// SPDX-License-Identifier: GPL-2.0-only
/*
 * kmemdump: KUnit tests of registration, ids, names and the fan-out.
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
	{ "null name", { NULL, buffer, 0, 1, 1 }, -EINVAL },
	{ "empty name", { "", buffer, 0, 1, 1 }, -EINVAL },
	{ "64 characters", { NAME_63 "4", buffer, 0, 1, 1 }, -ENAMETOOLONG },
	{ "control character", { "a\033[2Jb", buffer, 0, 1, 1 }, -EINVAL },
	{ "newline", { "a\n", buffer, 0, 1, 1 }, -EINVAL },
	{ "not ASCII", { "caf\xc3\xa9", buffer, 0, 1, 1 }, -EINVAL },
	{ "size 0", { "x", buffer, 0, 0, 1 }, -EINVAL },
	{ "negative id", { "x", buffer, 0, 1, -1 }, -EINVAL },
	{ "id of the core", { "x", buffer, 0, 1, KMEMDUMP_ID_AUTO }, -EINVAL },
	{ "highest id", { "x", buffer, 0, 1, INT_MAX }, -EINVAL },
	{ "lowest id", { "x", buffer, 0, 1, INT_MIN }, -EINVAL },
	{ "wraps", { "x", buffer, 0, SIZE_MAX, 1 }, -EOVERFLOW },
	{ "last byte wraps", { "x", (void *)-1UL, 0, 2, 1 }, -EOVERFLOW },
	{ "physical wraps", { "x", NULL, ~(phys_addr_t)0, 2, 1 }, -EOVERFLOW },
	{ "no address", { "x", NULL, 0, 1, 1 }, -EFAULT },
	{ "user address", { "x", (void *)0x400000UL, 0, 16, 1 }, -EFAULT },
	{ "top of the address space", { "x", (void *)(-1UL - 15), 0, 16, 1 }, -EFAULT },
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

	KUNIT_EXPECT_EQ(test, kmemdump_add(table, &region, NULL, KMEMDUMP_CLASS_DRIVER),
			bad->want);
	KUNIT_EXPECT_EQ(test, table->nr_regions, 0);
	KUNIT_EXPECT_TRUE(test, xa_empty(&table->regions));
	KUNIT_EXPECT_TRUE(test, RB_EMPTY_ROOT(&table->names));
}

static void register_refuses_null(struct kunit *test)
{
	struct kmemdump_table *table = kmemdump_test_table(test);

	KUNIT_EXPECT_EQ(test, kmemdump_add(table, NULL, NULL, KMEMDUMP_CLASS_DRIVER), -EINVAL);
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

	KUNIT_EXPECT_EQ(test, kmemdump_add(table, &a, NULL, KMEMDUMP_CLASS_DRIVER), 0);
	KUNIT_EXPECT_EQ(test, kmemdump_add(table, &same_id, NULL, KMEMDUMP_CLASS_DRIVER), -EEXIST);
	KUNIT_EXPECT_EQ(test, kmemdump_add(table, &same_name, NULL, KMEMDUMP_CLASS_DRIVER),
			-EEXIST);
	KUNIT_EXPECT_EQ(test, table->nr_regions, 1);

	/* What was refused left nothing behind: both can be used now. */
	KUNIT_EXPECT_EQ(test, kmemdump_remove(table, &a), 0);
	KUNIT_EXPECT_EQ(test, kmemdump_add(table, &same_id, NULL, KMEMDUMP_CLASS_DRIVER), 0);
	KUNIT_EXPECT_EQ(test, kmemdump_add(table, &same_name, NULL, KMEMDUMP_CLASS_DRIVER), 0);
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
	KUNIT_EXPECT_EQ(test, kmemdump_add(table, &last, NULL, KMEMDUMP_CLASS_DRIVER), 0);
}

static void unregister(struct kunit *test)
{
	struct kmemdump_table *table = kmemdump_test_table(test);
	struct kmemdump_region a = { .name = "a", .virt_addr = buffer, .size = 8 };
	struct kmemdump_region foreign;

	KUNIT_ASSERT_EQ(test, kmemdump_add(table, &a, NULL, KMEMDUMP_CLASS_DRIVER), 0);

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
	KUNIT_EXPECT_EQ(test, table->nr_segments, 0);

	/* The given id went back, so the same struct can be used again. */
	KUNIT_EXPECT_EQ(test, foreign.id, 0);
	KUNIT_EXPECT_EQ(test, kmemdump_remove(table, &foreign), -EINVAL);
	KUNIT_EXPECT_EQ(test, kmemdump_add(table, &foreign, NULL, KMEMDUMP_CLASS_DRIVER), 0);
}

/* The list must not depend on what the provider does with its struct. */
static void own_copy(struct kunit *test)
{
	struct kmemdump_table *table = kmemdump_test_table(test);
	char name[] = "mine";
	struct kmemdump_region region = { .name = name, .virt_addr = buffer, .size = 8, .id = 3 };
	struct kmemdump_entry *entry;

	KUNIT_ASSERT_EQ(test, kmemdump_add(table, &region, NULL, KMEMDUMP_CLASS_DRIVER), 0);
	memset(name, 'x', sizeof(name) - 1);
	memset(&region, 0xff, sizeof(region));

	entry = xa_load(&table->regions, 3);
	KUNIT_ASSERT_NOT_NULL(test, entry);
	KUNIT_EXPECT_STREQ(test, entry->name, "mine");
	KUNIT_EXPECT_EQ(test, entry->size, 8);
}

static void attach_replays(struct kunit *test)
{
	struct kmemdump_table *table = kmemdump_test_table(test);
	struct kmemdump_test_backend *tb = kmemdump_test_hands_off(test, 10);
	struct kmemdump_entry *entry;
	int id;

	/* Registering works with nobody there to carry. */
	id = kmemdump_test_add(test, table, "a", buffer, 8, 0);
	entry = xa_load(&table->regions, id);
	KUNIT_EXPECT_EQ(test, entry->carriers, 0);

	KUNIT_ASSERT_EQ(test, kmemdump_test_attach(test, table, tb), 0);
	KUNIT_EXPECT_EQ(test, tb->nr_added, 1);
	kmemdump_test_add(test, table, "b", buffer, 8, 0);
	KUNIT_EXPECT_EQ(test, tb->nr_added, 2);
	KUNIT_EXPECT_EQ(test, tb->be.used_slots, 2);
	KUNIT_EXPECT_EQ(test, entry->carriers, BIT(tb->be.index));

	kmemdump_test_detach(tb);
	KUNIT_EXPECT_EQ(test, tb->nr_removed, 2);
	KUNIT_EXPECT_EQ(test, entry->carriers, 0);
	KUNIT_EXPECT_EQ(test, table->nr_regions, 2);
}

static void full_backend(struct kunit *test)
{
	struct kmemdump_table *table = kmemdump_test_table(test);
	struct kmemdump_test_backend *tb = kmemdump_test_hands_off(test, 2);
	struct kmemdump_region c = { .name = "c", .virt_addr = buffer, .size = 8, .id = 3 };

	KUNIT_ASSERT_EQ(test, kmemdump_test_attach(test, table, tb), 0);
	kmemdump_test_add(test, table, "a", buffer, 8, 0);
	kmemdump_test_add(test, table, "b", buffer, 8, 0);
	KUNIT_EXPECT_EQ(test, kmemdump_add(table, &c, NULL, KMEMDUMP_CLASS_DRIVER), 0);
	KUNIT_EXPECT_EQ(test, tb->nr_added, 2);
	KUNIT_EXPECT_EQ(test, tb->be.nr_refused, 1);

	/* What was not carried is not taken back. */
	KUNIT_EXPECT_EQ(test, kmemdump_remove(table, &c), 0);
	KUNIT_EXPECT_EQ(test, tb->nr_removed, 0);
	KUNIT_EXPECT_EQ(test, tb->be.nr_refused, 0);
}

static void failing_backend(struct kunit *test)
{
	struct kmemdump_table *table = kmemdump_test_table(test);
	struct kmemdump_test_backend *bad = kmemdump_test_hands_off(test, 10);
	struct kmemdump_test_backend *good = kmemdump_test_hands_off(test, 10);

	bad->add_error = -EIO;
	good->be.name = "other";
	KUNIT_ASSERT_EQ(test, kmemdump_test_attach(test, table, bad), 0);
	KUNIT_ASSERT_EQ(test, kmemdump_test_attach(test, table, good), 0);
	kmemdump_test_add(test, table, "a", buffer, 8, 0);
	KUNIT_EXPECT_EQ(test, bad->be.nr_refused, 1);
	KUNIT_EXPECT_EQ(test, bad->be.used_slots, 0);
	KUNIT_EXPECT_EQ(test, good->nr_added, 1);
}

static void attach_refuses(struct kunit *test)
{
	struct kmemdump_table *table = kmemdump_test_table(test);
	struct kmemdump_test_backend *tb = kmemdump_test_hands_off(test, 10);
	struct kmemdump_test_backend *namesake = kmemdump_test_hands_off(test, 10);
	struct kmemdump_test_backend *writer = kmemdump_test_writer(test, PAGE_SIZE);
	const struct kmemdump_backend_ops no_ops = { };

	KUNIT_EXPECT_EQ(test, kmemdump_attach(table, NULL), -EINVAL);
	KUNIT_ASSERT_EQ(test, kmemdump_test_attach(test, table, tb), 0);
	KUNIT_EXPECT_EQ(test, kmemdump_test_attach(test, table, tb), -EEXIST);
	KUNIT_EXPECT_EQ(test, kmemdump_test_attach(test, table, namesake), -EEXIST);

	namesake->be.name = "";
	KUNIT_EXPECT_EQ(test, kmemdump_test_attach(test, table, namesake), -EINVAL);
	namesake->be.name = "other";
	namesake->be.max_slots = 0;
	KUNIT_EXPECT_EQ(test, kmemdump_test_attach(test, table, namesake), -EINVAL);
	namesake->be.max_slots = 1;
	namesake->be.ops = &no_ops;
	KUNIT_EXPECT_EQ(test, kmemdump_test_attach(test, table, namesake), -EINVAL);
	namesake->be.ops = NULL;
	KUNIT_EXPECT_EQ(test, kmemdump_test_attach(test, table, namesake), -EINVAL);

	writer->be.max_bytes = 0;
	KUNIT_EXPECT_EQ(test, kmemdump_test_attach(test, table, writer), -EINVAL);
}

/* The writer's memory exists while a writer is attached, and always has room. */
static void writer_memory(struct kunit *test)
{
	struct kmemdump_table *table = kmemdump_test_table(test);
	struct kmemdump_test_backend *writer = kmemdump_test_writer(test, PAGE_SIZE);
	char name[16];
	int i;

	kmemdump_test_add(test, table, "before", buffer, 8, 0);
	KUNIT_EXPECT_NULL(test, table->image);
	KUNIT_ASSERT_EQ(test, kmemdump_test_attach(test, table, writer), 0);
	KUNIT_ASSERT_NOT_NULL(test, table->image);
	KUNIT_EXPECT_NOT_NULL(test, table->stream);

	for (i = 0; i < 300; i++) {
		snprintf(name, sizeof(name), "r%d", i);
		kmemdump_test_add(test, table, name, buffer, 8, 0);
		KUNIT_ASSERT_GE(test, table->image->max_regions, table->nr_regions);
		KUNIT_ASSERT_GE(test, table->image->max_loads, table->nr_segments);
	}

	kmemdump_test_detach(writer);
	KUNIT_EXPECT_NULL(test, table->image);
	KUNIT_EXPECT_NULL(test, table->stream);
}

static struct kunit_case core_cases[] = {
	KUNIT_CASE_PARAM(register_refuses, bad_region_gen_params),
	KUNIT_CASE(register_refuses_null),
	KUNIT_CASE(longest_name),
	KUNIT_CASE(taken_id_and_name),
	KUNIT_CASE(given_ids),
	KUNIT_CASE(unregister),
	KUNIT_CASE(own_copy),
	KUNIT_CASE(attach_replays),
	KUNIT_CASE(full_backend),
	KUNIT_CASE(failing_backend),
	KUNIT_CASE(attach_refuses),
	KUNIT_CASE(writer_memory),
	{}
};

static struct kunit_suite core_suite = {
	.name		= "kmemdump-core",
	.test_cases	= core_cases,
};

kunit_test_suite(core_suite);

MODULE_LICENSE("GPL");
