// SPDX-License-Identifier: GPL-2.0-only
/*
 * kmemdump: KUnit tests of the fan-out to backends, and of their filters.
 *
 * Copyright (C) 2026 the kmemdump authors
 */
#include <linux/kernel.h>
#include <linux/string.h>

#include "test_backend.h"

static char buffer[256];

static void attach_replays(struct kunit *test)
{
	struct kmemdump_table *table = kmemdump_test_table(test);
	struct kmemdump_test_backend *tb = kmemdump_test_writer(test, PAGE_SIZE);
	struct kmemdump_entry *entry;
	int id;

	/* Registering works without any backend. */
	id = kmemdump_test_add(test, table, "a", buffer, 8, 0);
	entry = xa_load(&table->ids, id);
	KUNIT_EXPECT_EQ(test, entry->state, 0);

	KUNIT_ASSERT_EQ(test, kmemdump_test_attach(test, table, tb), 0);
	KUNIT_EXPECT_EQ(test, tb->be.carrier->nr_carried, 1);
	id = kmemdump_test_add(test, table, "b", buffer, 8, 0);
	KUNIT_EXPECT_EQ(test, tb->be.carrier->nr_carried, 2);
	KUNIT_EXPECT_TRUE(test, kmemdump_test_carries(tb, id));
	KUNIT_EXPECT_EQ(test, kmemdump_reason(&tb->be, entry), KMEMDUMP_CARRIED);
	mutex_lock(&table->lock);
	kmemdump_remove_entry(table, xa_load(&table->ids, id));
	mutex_unlock(&table->lock);
	KUNIT_EXPECT_EQ(test, tb->be.carrier->nr_carried, 1);

	kmemdump_test_detach(tb);
	KUNIT_EXPECT_EQ(test, entry->state, 0);
	KUNIT_EXPECT_EQ(test, table->nr_regions, 1);
}

static void attach_refuses(struct kunit *test)
{
	struct kmemdump_table *table = kmemdump_test_table(test);
	struct kmemdump_test_backend *tb = kmemdump_test_writer(test, PAGE_SIZE);
	struct kmemdump_test_backend *namesake = kmemdump_test_writer(test, PAGE_SIZE);
	const struct kmemdump_writer_ops *whole = namesake->be.writer;
	const struct kmemdump_table_ops no_table = { };
	const struct kmemdump_image_ops no_image = { };
	const struct kmemdump_writer_ops no_write = { };

	KUNIT_EXPECT_EQ(test, kmemdump_attach(table, NULL), -EINVAL);
	KUNIT_ASSERT_EQ(test, kmemdump_test_attach(test, table, tb), 0);
	KUNIT_EXPECT_EQ(test, kmemdump_test_attach(test, table, tb), -EEXIST);
	KUNIT_EXPECT_EQ(test, kmemdump_test_attach(test, table, namesake), -EEXIST);

	namesake->be.name = NULL;
	KUNIT_EXPECT_EQ(test, kmemdump_test_attach(test, table, namesake), -EINVAL);
	namesake->be.name = "";
	KUNIT_EXPECT_EQ(test, kmemdump_test_attach(test, table, namesake), -EINVAL);
	namesake->be.name = "other";
	namesake->be.max_bytes = 0;
	KUNIT_EXPECT_EQ(test, kmemdump_test_attach(test, table, namesake), -EINVAL);
	namesake->be.max_bytes = PAGE_SIZE;
	namesake->be.writer = &no_write;
	KUNIT_EXPECT_EQ(test, kmemdump_test_attach(test, table, namesake), -EINVAL);
	namesake->be.writer = whole;
	namesake->be.image = &no_image;
	KUNIT_EXPECT_EQ(test, kmemdump_test_attach(test, table, namesake), -EINVAL);
	namesake->be.image = NULL;
	namesake->be.table = &no_table;
	KUNIT_EXPECT_EQ(test, kmemdump_test_attach(test, table, namesake), -EINVAL);
	namesake->be.writer = NULL;
	KUNIT_EXPECT_EQ(test, kmemdump_test_attach(test, table, namesake), -EINVAL);
	namesake->be.table = NULL;
	KUNIT_EXPECT_EQ(test, kmemdump_test_attach(test, table, namesake), -EINVAL);

	/* Nothing else is wrong with the backend: now it attaches. */
	namesake->be.writer = whole;
	KUNIT_EXPECT_EQ(test, kmemdump_test_attach(test, table, namesake), 0);
}

/*
 * The memory for writing a record exists only while a writer is attached, and always has room for
 * all regions.
 */
static void writer_memory(struct kunit *test)
{
	struct kmemdump_table *table = kmemdump_test_table(test);
	struct kmemdump_test_backend *writer = kmemdump_test_writer(test, PAGE_SIZE);
	const struct kmemdump_image *image;
	char name[16];
	int i;

	kmemdump_test_add(test, table, "before", buffer, 8, 0);
	KUNIT_EXPECT_NULL(test, table->room);
	KUNIT_ASSERT_EQ(test, kmemdump_test_attach(test, table, writer), 0);
	KUNIT_ASSERT_NOT_NULL(test, table->room);
	KUNIT_EXPECT_NOT_NULL(test, table->room->stream);

	for (i = 0; i < 300; i++) {
		snprintf(name, sizeof(name), "r%d", i);
		kmemdump_test_add(test, table, name, buffer, 8, 0);
		image = table->room->image;
		KUNIT_ASSERT_NOT_NULL(test, image);
		KUNIT_ASSERT_GE(test, image->max_regions, table->nr_regions);
		KUNIT_ASSERT_GE(test, image->max_pieces, table->nr_pieces);
		KUNIT_ASSERT_GE(test, image->max_loads, table->nr_pieces + KMEMDUMP_LOG_LOADS);
	}

	kmemdump_test_detach(writer);
	KUNIT_EXPECT_NULL(test, table->room);
}

/*
 * Of one backend more than there can be, only the last is refused. Detaching one does not affect
 * the others, and makes room for another one.
 */
static void many_backends(struct kunit *test)
{
	struct kmemdump_table *table = kmemdump_test_table(test);
	struct kmemdump_test_backend *tb[KMEMDUMP_MAX_BACKENDS + 1];
	struct kmemdump_entry *entry;
	char *names;
	int i;

	names = kunit_kcalloc(test, ARRAY_SIZE(tb), 8, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, names);
	entry = xa_load(&table->ids, kmemdump_test_add(test, table, "a", buffer, 8, 0));
	for (i = 0; i < ARRAY_SIZE(tb); i++) {
		tb[i] = kmemdump_test_writer(test, PAGE_SIZE);
		tb[i]->be.name = names + 8 * i;
		snprintf(names + 8 * i, 8, "be%d", i);
		KUNIT_ASSERT_EQ(test, kmemdump_test_attach(test, table, tb[i]),
				i < KMEMDUMP_MAX_BACKENDS ? 0 : -ENOSPC);
	}
	KUNIT_EXPECT_EQ(test, hweight_long(entry->state), KMEMDUMP_MAX_BACKENDS);

	kmemdump_test_detach(tb[3]);
	KUNIT_EXPECT_EQ(test, hweight_long(entry->state), KMEMDUMP_MAX_BACKENDS - 1);
	KUNIT_EXPECT_EQ(test, kmemdump_reason(&tb[4]->be, entry), KMEMDUMP_CARRIED);
	KUNIT_ASSERT_EQ(test, kmemdump_test_attach(test, table, tb[KMEMDUMP_MAX_BACKENDS]), 0);
	KUNIT_EXPECT_EQ(test, hweight_long(entry->state), KMEMDUMP_MAX_BACKENDS);
}

#define ALL U32_MAX

static const struct {
	const char *text;
	u32 mask;
} filters[] = {
	{ "", ALL },
	{ "minidump:log", ALL },
	{ "ramoops2:log", ALL },
	{ "ramoops:log", BIT(KMEMDUMP_CLASS_LOG) },
	{ "ramoops:log+driver", BIT(KMEMDUMP_CLASS_LOG) | BIT(KMEMDUMP_CLASS_DRIVER) },
	{ "minidump:log,ramoops:core", BIT(KMEMDUMP_CLASS_CORE) },
	{ "ramoops:admin,minidump:log", BIT(KMEMDUMP_CLASS_ADMIN) },
	/* A malformed filter or an unknown class allows nothing. */
	{ "ramoops", 0 },
	{ "ramoops:", 0 },
	{ "ramoops:,minidump:log", 0 },
	{ "ramoops:drivers", 0 },
	{ "ramoops:log+drivers", BIT(KMEMDUMP_CLASS_LOG) },
	{ "ramoops:+", 0 },
};

static void class_filters(struct kunit *test)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(filters); i++)
		KUNIT_EXPECT_EQ_MSG(test, kmemdump_parse_classes(filters[i].text, "ramoops"),
				    filters[i].mask, "\"%s\"", filters[i].text);
}

static void filtered(struct kunit *test)
{
	struct kmemdump_table *table = kmemdump_test_table(test);
	struct kmemdump_test_backend *tb = kmemdump_test_writer(test, PAGE_SIZE);
	struct kmemdump_region region = { .name = "log", .virt_addr = buffer, .size = 8 };
	int id;

	KUNIT_ASSERT_EQ(test, kmemdump_test_attach(test, table, tb), 0);
	tb->be.carrier->classes = BIT(KMEMDUMP_CLASS_LOG);
	id = kmemdump_test_add(test, table, "driver", buffer, 8, 0);
	KUNIT_EXPECT_EQ(test, kmemdump_add(table, &region, NULL, KMEMDUMP_CLASS_LOG, 0), 0);
	KUNIT_EXPECT_EQ(test, tb->be.carrier->nr_carried, 1);
	KUNIT_EXPECT_EQ(test, tb->be.carrier->nr_filtered, 1);
	KUNIT_EXPECT_EQ(test, tb->be.carrier->nr_refused, 0);
	KUNIT_EXPECT_EQ(test, kmemdump_test_reason(tb, id), KMEMDUMP_FILTERED);
	KUNIT_EXPECT_TRUE(test, kmemdump_test_carries(tb, region.id));
	mutex_lock(&table->lock);
	kmemdump_remove_entry(table, xa_load(&table->ids, id));
	mutex_unlock(&table->lock);
	KUNIT_EXPECT_EQ(test, tb->be.carrier->nr_filtered, 0);
	KUNIT_EXPECT_EQ(test, tb->be.carrier->nr_carried, 1);
}

/* The exported functions do the same with the live table. */
static void exported(struct kunit *test)
{
	struct kmemdump_test_backend *tb = kmemdump_test_writer(test, PAGE_SIZE);
	struct kmemdump_region region = {
		.name = "kmemdump-backend-test", .virt_addr = buffer, .size = 8,
	};

	KUNIT_EXPECT_EQ(test, kmemdump_register_backend(NULL), -EINVAL);
	KUNIT_ASSERT_EQ(test, kmemdump_register_region(&region), 0);
	tb->be.name = "kunit";
	KUNIT_ASSERT_EQ(test, kmemdump_register_backend(&tb->be), 0);
	KUNIT_EXPECT_EQ(test, kmemdump_register_backend(&tb->be), -EEXIST);
	KUNIT_EXPECT_GT(test, tb->be.carrier->nr_carried, 0);
	KUNIT_EXPECT_TRUE(test, kmemdump_unregister_backend(&tb->be));
	KUNIT_EXPECT_NULL(test, tb->be.carrier);
	KUNIT_EXPECT_EQ(test, kmemdump_unregister_region(&region), 0);
}

static struct kunit_case backend_cases[] = {
	KUNIT_CASE(attach_replays),
	KUNIT_CASE(attach_refuses),
	KUNIT_CASE(writer_memory),
	KUNIT_CASE(many_backends),
	KUNIT_CASE(class_filters),
	KUNIT_CASE(filtered),
	KUNIT_CASE(exported),
	{}
};

static struct kunit_suite backend_suite = {
	.name		= "kmemdump-backend",
	.test_cases	= backend_cases,
};

kunit_test_suite(backend_suite);

MODULE_LICENSE("GPL");
