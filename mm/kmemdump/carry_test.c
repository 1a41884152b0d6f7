// SPDX-License-Identifier: GPL-2.0-only
/*
 * kmemdump: KUnit tests of what firmware-assisted backends carry.
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
	struct kmemdump_test_backend *tb = kmemdump_test_assisted(test, 10);
	struct kmemdump_entry *entry;
	int id;

	/* Registering works without any backend. */
	id = kmemdump_test_add(test, table, "a", buffer, 8, 0);
	entry = xa_load(&table->ids, id);
	KUNIT_EXPECT_EQ(test, entry->state, 0);

	KUNIT_ASSERT_EQ(test, kmemdump_test_attach(test, table, tb), 0);
	KUNIT_EXPECT_EQ(test, tb->nr_added, 1);
	kmemdump_test_add(test, table, "b", buffer, 8, 0);
	KUNIT_EXPECT_EQ(test, tb->nr_added, 2);
	KUNIT_EXPECT_EQ(test, tb->be.carrier->carry->orders[KMEMDUMP_ORDER_NORMAL].used_slots, 2);
	KUNIT_EXPECT_EQ(test, kmemdump_reason(&tb->be, entry), KMEMDUMP_CARRIED);

	kmemdump_test_detach(tb);
	KUNIT_EXPECT_EQ(test, tb->nr_removed, 2);
	KUNIT_EXPECT_EQ(test, entry->state, 0);
	KUNIT_EXPECT_EQ(test, table->nr_regions, 2);
}

static void full_backend(struct kunit *test)
{
	struct kmemdump_table *table = kmemdump_test_table(test);
	struct kmemdump_test_backend *tb = kmemdump_test_assisted(test, 2);
	struct kmemdump_region a = { .name = "a", .virt_addr = buffer, .size = 8, .id = 1 };
	struct kmemdump_region d = { .name = "d", .virt_addr = buffer, .size = 8, .id = 4 };
	int c;

	KUNIT_ASSERT_EQ(test, kmemdump_test_attach(test, table, tb), 0);
	KUNIT_EXPECT_EQ(test, kmemdump_add(table, &a, NULL, KMEMDUMP_CLASS_DRIVER, 0), 0);
	kmemdump_test_add(test, table, "b", buffer, 8, 0);
	c = kmemdump_test_add(test, table, "c", buffer, 8, 0);
	KUNIT_EXPECT_EQ(test, kmemdump_add(table, &d, NULL, KMEMDUMP_CLASS_DRIVER, 0), 0);
	KUNIT_EXPECT_EQ(test, tb->nr_added, 2);
	KUNIT_EXPECT_EQ(test, tb->be.carrier->nr_carried, 2);
	KUNIT_EXPECT_EQ(test, tb->be.carrier->nr_refused, 2);
	KUNIT_EXPECT_EQ(test, kmemdump_test_reason(tb, c), -ENOSPC);

	/* Removing a region that the backend does not carry does not call its remove(). */
	KUNIT_EXPECT_EQ(test, kmemdump_remove(table, &d), 0);
	KUNIT_EXPECT_EQ(test, tb->nr_removed, 0);
	KUNIT_EXPECT_EQ(test, tb->be.carrier->nr_refused, 1);

	/* A region that waits gets the room that a removed one leaves. */
	KUNIT_EXPECT_EQ(test, kmemdump_remove(table, &a), 0);
	KUNIT_EXPECT_TRUE(test, kmemdump_test_carries(tb, c));
	KUNIT_EXPECT_EQ(test, tb->be.carrier->nr_refused, 0);
	KUNIT_EXPECT_EQ(test, tb->be.carrier->nr_carried, 2);
}

/* Bytes are a limit, just like slots. */
static void full_of_bytes(struct kunit *test)
{
	struct kmemdump_table *table = kmemdump_test_table(test);
	struct kmemdump_test_backend *tb = kmemdump_test_assisted(test, 10);
	int a, b, c;

	tb->be.max_bytes = 100;
	KUNIT_ASSERT_EQ(test, kmemdump_test_attach(test, table, tb), 0);
	a = kmemdump_test_add(test, table, "a", buffer, 60, 0);
	b = kmemdump_test_add(test, table, "b", buffer, 41, 0);
	c = kmemdump_test_add(test, table, "c", buffer, 40, 0);
	KUNIT_EXPECT_EQ(test, kmemdump_test_reason(tb, a), KMEMDUMP_CARRIED);
	KUNIT_EXPECT_EQ(test, kmemdump_test_reason(tb, b), -ENOSPC);
	KUNIT_EXPECT_EQ(test, kmemdump_test_reason(tb, c), KMEMDUMP_CARRIED);
}

/* Regions that matter less give way to others, and come back when there is room again. */
static void priorities(struct kunit *test)
{
	struct kmemdump_table *table = kmemdump_test_table(test);
	struct kmemdump_test_backend *tb = kmemdump_test_assisted(test, 2);
	struct kmemdump_region log = { .name = "log", .virt_addr = buffer, .size = 8 };
	int low, normal, high;

	KUNIT_ASSERT_EQ(test, kmemdump_test_attach(test, table, tb), 0);
	low = kmemdump_test_add_ranked(test, table, "low", buffer, 8, KMEMDUMP_PRIORITY_LOW);
	normal = kmemdump_test_add_ranked(test, table, "normal", buffer, 8,
					  KMEMDUMP_PRIORITY_NORMAL);
	high = kmemdump_test_add_ranked(test, table, "high", buffer, 8, KMEMDUMP_PRIORITY_HIGH);
	KUNIT_EXPECT_EQ(test, kmemdump_test_reason(tb, low), -ENOSPC);
	KUNIT_EXPECT_TRUE(test, kmemdump_test_carries(tb, normal));
	KUNIT_EXPECT_TRUE(test, kmemdump_test_carries(tb, high));
	KUNIT_EXPECT_EQ(test, tb->nr_removed, 1);

	KUNIT_EXPECT_EQ(test, kmemdump_add(table, &log, NULL, KMEMDUMP_CLASS_LOG, 0), 0);
	KUNIT_EXPECT_EQ(test, kmemdump_test_reason(tb, normal), -ENOSPC);
	KUNIT_EXPECT_TRUE(test, kmemdump_test_carries(tb, high));
	KUNIT_EXPECT_EQ(test, tb->be.carrier->nr_refused, 2);

	KUNIT_EXPECT_EQ(test, kmemdump_remove(table, &log), 0);
	KUNIT_EXPECT_TRUE(test, kmemdump_test_carries(tb, normal));
	KUNIT_EXPECT_FALSE(test, kmemdump_test_carries(tb, low));

	/* A backend that attaches late also takes the most important regions, not the oldest. */
	kmemdump_test_detach(tb);
	KUNIT_ASSERT_EQ(test, kmemdump_test_attach(test, table, tb), 0);
	KUNIT_EXPECT_TRUE(test, kmemdump_test_carries(tb, high));
	KUNIT_EXPECT_TRUE(test, kmemdump_test_carries(tb, normal));
	KUNIT_EXPECT_FALSE(test, kmemdump_test_carries(tb, low));
}

/* No region gives way to one that would not fit even then. */
static void too_large(struct kunit *test)
{
	struct kmemdump_table *table = kmemdump_test_table(test);
	struct kmemdump_test_backend *tb = kmemdump_test_assisted(test, 3);
	int low, normal, large;

	tb->be.max_bytes = 100;
	KUNIT_ASSERT_EQ(test, kmemdump_test_attach(test, table, tb), 0);
	low = kmemdump_test_add_ranked(test, table, "low", buffer, 40, KMEMDUMP_PRIORITY_LOW);
	normal = kmemdump_test_add_ranked(test, table, "normal", buffer, 40,
					  KMEMDUMP_PRIORITY_NORMAL);
	large = kmemdump_test_add_ranked(test, table, "large", buffer, 61,
					 KMEMDUMP_PRIORITY_NORMAL);
	KUNIT_EXPECT_TRUE(test, kmemdump_test_carries(tb, low));
	KUNIT_EXPECT_TRUE(test, kmemdump_test_carries(tb, normal));
	KUNIT_EXPECT_EQ(test, kmemdump_test_reason(tb, large), -ENOSPC);
	KUNIT_EXPECT_EQ(test, tb->nr_removed, 0);
}

/* A region also waits for room if only add() of the backend finds that there is none. */
static void out_of_room_in_add(struct kunit *test)
{
	struct kmemdump_table *table = kmemdump_test_table(test);
	struct kmemdump_test_backend *tb = kmemdump_test_assisted(test, 10);
	struct kmemdump_region a = { .name = "a", .virt_addr = buffer, .size = 8 };
	int b;

	KUNIT_ASSERT_EQ(test, kmemdump_test_attach(test, table, tb), 0);
	KUNIT_EXPECT_EQ(test, kmemdump_add(table, &a, NULL, KMEMDUMP_CLASS_DRIVER, 0), 0);
	tb->add_error = -ENOSPC;
	b = kmemdump_test_add(test, table, "b", buffer, 8, 0);
	KUNIT_EXPECT_EQ(test, kmemdump_test_reason(tb, b), -ENOSPC);
	tb->add_error = 0;
	KUNIT_EXPECT_EQ(test, kmemdump_remove(table, &a), 0);
	KUNIT_EXPECT_TRUE(test, kmemdump_test_carries(tb, b));
}

static void name_and_alignment(struct kunit *test)
{
	struct kmemdump_table *table = kmemdump_test_table(test);
	struct kmemdump_test_backend *tb = kmemdump_test_assisted(test, 10);
	u8 *p = PTR_ALIGN(&buffer[0], 8);

	tb->be.max_name = 3;
	tb->be.align = 8;
	KUNIT_ASSERT_EQ(test, kmemdump_test_attach(test, table, tb), 0);
	KUNIT_EXPECT_EQ(test, kmemdump_test_reason(tb, kmemdump_test_add(test, table, "abcd", p,
									 8, 0)), -ENAMETOOLONG);
	KUNIT_EXPECT_EQ(test, kmemdump_test_reason(tb, kmemdump_test_add(test, table, "b", p + 4,
									 8, 0)), -EINVAL);
	KUNIT_EXPECT_EQ(test, kmemdump_test_reason(tb, kmemdump_test_add(test, table, "c", p,
									 4, 0)), -EINVAL);
	KUNIT_EXPECT_EQ(test, kmemdump_test_reason(tb, kmemdump_test_add(test, table, "abc", p,
									 8, 0)), KMEMDUMP_CARRIED);
}

/* A region is stale while it is at a place that is not aligned. */
static void moved_off_alignment(struct kunit *test)
{
	struct kmemdump_table *table = kmemdump_test_table(test);
	struct kmemdump_test_backend *tb = kmemdump_test_assisted(test, 10);
	u8 *p = PTR_ALIGN(&buffer[0], 8);
	struct kmemdump_region region = { .name = "a", .virt_addr = p, .size = 8 };

	tb->be.align = 8;
	KUNIT_ASSERT_EQ(test, kmemdump_test_attach(test, table, tb), 0);
	KUNIT_ASSERT_EQ(test, kmemdump_add(table, &region, NULL, KMEMDUMP_CLASS_DRIVER, 0), 0);
	region.virt_addr = p + 4;
	KUNIT_EXPECT_EQ(test, kmemdump_update(table, &region), 0);
	KUNIT_EXPECT_EQ(test, kmemdump_test_reason(tb, region.id), KMEMDUMP_STALE);
	KUNIT_EXPECT_EQ(test, tb->nr_updates, 0);
	region.virt_addr = p + 16;
	KUNIT_EXPECT_EQ(test, kmemdump_update(table, &region), 0);
	KUNIT_EXPECT_EQ(test, kmemdump_test_reason(tb, region.id), KMEMDUMP_CARRIED);
}

/* A large region that gives way to a small one may leave room for another that waits. */
static void room_left_over(struct kunit *test)
{
	struct kmemdump_table *table = kmemdump_test_table(test);
	struct kmemdump_test_backend *tb = kmemdump_test_assisted(test, 10);
	int large, small, high;

	tb->be.max_bytes = 100;
	KUNIT_ASSERT_EQ(test, kmemdump_test_attach(test, table, tb), 0);
	large = kmemdump_test_add_ranked(test, table, "large", buffer, 100, KMEMDUMP_PRIORITY_LOW);
	small = kmemdump_test_add_ranked(test, table, "small", buffer, 10, KMEMDUMP_PRIORITY_LOW);
	high = kmemdump_test_add_ranked(test, table, "high", buffer, 10, KMEMDUMP_PRIORITY_HIGH);
	KUNIT_EXPECT_TRUE(test, kmemdump_test_carries(tb, high));
	KUNIT_EXPECT_TRUE(test, kmemdump_test_carries(tb, small));
	KUNIT_EXPECT_EQ(test, kmemdump_test_reason(tb, large), -ENOSPC);
	KUNIT_EXPECT_EQ(test, tb->be.carrier->nr_refused, 1);
}

static void failing_backend(struct kunit *test)
{
	struct kmemdump_table *table = kmemdump_test_table(test);
	struct kmemdump_test_backend *bad = kmemdump_test_assisted(test, 10);
	struct kmemdump_test_backend *good = kmemdump_test_assisted(test, 10);
	int id;

	bad->add_error = -EIO;
	good->be.name = "other";
	KUNIT_ASSERT_EQ(test, kmemdump_test_attach(test, table, bad), 0);
	KUNIT_ASSERT_EQ(test, kmemdump_test_attach(test, table, good), 0);
	id = kmemdump_test_add(test, table, "a", buffer, 8, 0);
	KUNIT_EXPECT_EQ(test, bad->be.carrier->nr_refused, 1);
	KUNIT_EXPECT_EQ(test, kmemdump_test_reason(bad, id), -EIO);
	KUNIT_EXPECT_EQ(test, kmemdump_test_reason(good, id), KMEMDUMP_CARRIED);

	/* A positive value is no errno, so it becomes -EINVAL. */
	bad->add_error = 5;
	id = kmemdump_test_add(test, table, "b", buffer, 8, 0);
	KUNIT_EXPECT_EQ(test, kmemdump_test_reason(bad, id), -EINVAL);
	KUNIT_EXPECT_EQ(test, bad->be.carrier->carry->orders[KMEMDUMP_ORDER_NORMAL].used_slots, 0);
	KUNIT_EXPECT_EQ(test, good->nr_added, 2);
}

/* backend_test.c has what is wrong with a backend of any kind. */
static void attach_refuses(struct kunit *test)
{
	struct kmemdump_table *table = kmemdump_test_table(test);
	struct kmemdump_test_backend *tb = kmemdump_test_assisted(test, 10);
	struct kmemdump_test_backend *writer = kmemdump_test_writer(test, PAGE_SIZE);
	const struct kmemdump_table_ops *whole = tb->be.table;
	const struct kmemdump_image_ops no_image = { };
	struct kmemdump_table_ops partial;
	int i;

	tb->be.max_slots = 0;
	KUNIT_EXPECT_EQ(test, kmemdump_test_attach(test, table, tb), -EINVAL);
	tb->be.max_slots = 1;
	tb->be.max_bytes = 0;
	KUNIT_EXPECT_EQ(test, kmemdump_test_attach(test, table, tb), -EINVAL);
	tb->be.max_bytes = 1;
	tb->be.align = 3;
	KUNIT_EXPECT_EQ(test, kmemdump_test_attach(test, table, tb), -EINVAL);
	tb->be.align = 0;
	for (i = 0; i < 3; i++) {
		partial = *whole;
		if (i == 0)
			partial.add = NULL;
		else if (i == 1)
			partial.remove = NULL;
		else
			partial.update = NULL;
		tb->be.table = &partial;
		KUNIT_EXPECT_EQ(test, kmemdump_test_attach(test, table, tb), -EINVAL);
	}
	tb->be.table = whole;
	tb->be.image = &no_image;
	KUNIT_EXPECT_EQ(test, kmemdump_test_attach(test, table, tb), -EINVAL);
	tb->be.image = NULL;
	tb->be.writer = writer->be.writer;
	KUNIT_EXPECT_EQ(test, kmemdump_test_attach(test, table, tb), -EINVAL);
	tb->be.writer = NULL;
	tb->be.table = NULL;
	KUNIT_EXPECT_EQ(test, kmemdump_test_attach(test, table, tb), -EINVAL);

	/* Nothing else is wrong with the backend: now it attaches. */
	tb->be.table = whole;
	KUNIT_EXPECT_EQ(test, kmemdump_test_attach(test, table, tb), 0);
}

/*
 * If update() of a backend fails, the region is stale there until an update works again. Other
 * backends still have it.
 */
static void moves(struct kunit *test)
{
	struct kmemdump_table *table = kmemdump_test_table(test);
	struct kmemdump_test_backend *bad = kmemdump_test_assisted(test, 10);
	struct kmemdump_test_backend *good = kmemdump_test_assisted(test, 10);
	struct kmemdump_region region = { .name = "a", .virt_addr = buffer, .size = 8 };

	good->be.name = "other";
	KUNIT_ASSERT_EQ(test, kmemdump_add(table, &region, NULL, KMEMDUMP_CLASS_DRIVER, 0), 0);
	KUNIT_ASSERT_EQ(test, kmemdump_test_attach(test, table, bad), 0);
	KUNIT_ASSERT_EQ(test, kmemdump_test_attach(test, table, good), 0);

	bad->update_error = -EIO;
	region.virt_addr = buffer + 8;
	KUNIT_EXPECT_EQ(test, kmemdump_update(table, &region), 0);
	KUNIT_EXPECT_EQ(test, kmemdump_update(table, &region), 0);
	KUNIT_EXPECT_EQ(test, good->nr_updates, 2);
	KUNIT_EXPECT_EQ(test, kmemdump_test_reason(bad, region.id), KMEMDUMP_STALE);
	KUNIT_EXPECT_EQ(test, kmemdump_test_reason(good, region.id), KMEMDUMP_CARRIED);
	KUNIT_EXPECT_EQ(test, atomic_read(&bad->be.carrier->nr_stale), 1);

	bad->update_error = 0;
	KUNIT_EXPECT_EQ(test, kmemdump_update(table, &region), 0);
	KUNIT_EXPECT_EQ(test, kmemdump_test_reason(bad, region.id), KMEMDUMP_CARRIED);
	KUNIT_EXPECT_EQ(test, atomic_read(&bad->be.carrier->nr_stale), 0);

	bad->update_error = -EIO;
	KUNIT_EXPECT_EQ(test, kmemdump_update(table, &region), 0);
	KUNIT_EXPECT_EQ(test, kmemdump_remove(table, &region), 0);
	KUNIT_EXPECT_EQ(test, bad->nr_removed, 1);
	KUNIT_EXPECT_EQ(test, atomic_read(&bad->be.carrier->nr_stale), 0);
}

static void move_in_add(struct kmemdump_test_backend *tb, const struct kmemdump_entry *entry)
{
	struct kmemdump_region region = {
		.name = kmemdump_entry_name(entry), .id = kmemdump_entry_id(entry),
		.virt_addr = buffer + 16, .size = 8,
	};

	kmemdump_update(container_of(tb->be.list.prev, struct kmemdump_table, backends), &region);
}

/* A region that moves while add() of a backend runs gets an update() after that. */
static void move_while_added(struct kunit *test)
{
	struct kmemdump_table *table = kmemdump_test_table(test);
	struct kmemdump_test_backend *tb = kmemdump_test_assisted(test, 10);
	int a, b;

	a = kmemdump_test_add(test, table, "a", buffer, 8, 0);
	tb->in_add = move_in_add;
	KUNIT_ASSERT_EQ(test, kmemdump_test_attach(test, table, tb), 0);
	KUNIT_EXPECT_EQ(test, tb->nr_updates, 1);
	KUNIT_EXPECT_TRUE(test, kmemdump_test_carries(tb, a));

	tb->update_error = -EIO;
	b = kmemdump_test_add(test, table, "b", buffer, 8, 0);
	KUNIT_EXPECT_EQ(test, tb->nr_updates, 2);
	KUNIT_EXPECT_EQ(test, kmemdump_test_reason(tb, b), KMEMDUMP_STALE);
}

static void filtered(struct kunit *test)
{
	struct kmemdump_table *table = kmemdump_test_table(test);
	struct kmemdump_test_backend *tb = kmemdump_test_assisted(test, 10);
	struct kmemdump_region region = { .name = "log", .virt_addr = buffer, .size = 8 };
	int id;

	KUNIT_ASSERT_EQ(test, kmemdump_test_attach(test, table, tb), 0);
	tb->be.carrier->classes = BIT(KMEMDUMP_CLASS_LOG);
	id = kmemdump_test_add(test, table, "driver", buffer, 8, 0);
	KUNIT_EXPECT_EQ(test, kmemdump_add(table, &region, NULL, KMEMDUMP_CLASS_LOG, 0), 0);
	KUNIT_EXPECT_EQ(test, tb->nr_added, 1);
	KUNIT_EXPECT_EQ(test, tb->be.carrier->nr_filtered, 1);
	KUNIT_EXPECT_EQ(test, tb->be.carrier->nr_refused, 0);
	KUNIT_EXPECT_EQ(test, kmemdump_test_reason(tb, id), KMEMDUMP_FILTERED);
	kmemdump_test_detach(tb);
	KUNIT_EXPECT_EQ(test, tb->nr_removed, 1);
}

/* The exported functions do the same with the live table. */
static void exported(struct kunit *test)
{
	struct kmemdump_test_backend *tb = kmemdump_test_assisted(test, 1);

	KUNIT_EXPECT_EQ(test, kmemdump_register_backend(NULL), -EINVAL);
	tb->be.name = "kunit";
	KUNIT_ASSERT_EQ(test, kmemdump_register_backend(&tb->be), 0);
	KUNIT_EXPECT_EQ(test, kmemdump_register_backend(&tb->be), -EEXIST);
	KUNIT_EXPECT_EQ(test, tb->be.carrier->nr_carried, 1);
	kmemdump_unregister_backend(&tb->be);
	KUNIT_EXPECT_EQ(test, tb->nr_removed, tb->nr_added);
}

static struct kunit_case carry_cases[] = {
	KUNIT_CASE(attach_replays),
	KUNIT_CASE(full_backend),
	KUNIT_CASE(full_of_bytes),
	KUNIT_CASE(priorities),
	KUNIT_CASE(too_large),
	KUNIT_CASE(out_of_room_in_add),
	KUNIT_CASE(name_and_alignment),
	KUNIT_CASE(moved_off_alignment),
	KUNIT_CASE(room_left_over),
	KUNIT_CASE(failing_backend),
	KUNIT_CASE(attach_refuses),
	KUNIT_CASE(moves),
	KUNIT_CASE(move_while_added),
	KUNIT_CASE(filtered),
	KUNIT_CASE(exported),
	{}
};

static struct kunit_suite carry_suite = {
	.name		= "kmemdump-carry",
	.test_cases	= carry_cases,
};

kunit_test_suite(carry_suite);

MODULE_LICENSE("GPL");
