// SPDX-License-Identifier: GPL-2.0-only
/*
 * kmemdump: writers in plain memory, and other helpers that the KUnit suites share.
 *
 * Copyright (C) 2026 the kmemdump authors
 */
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/vmalloc.h>

#include "test_backend.h"

static int test_open(struct kmemdump_backend *be)
{
	struct kmemdump_test_backend *tb = kmemdump_to_test(be);

	if (tb->used)
		return -EBUSY;
	tb->nr_writes = 0;
	return 0;
}

static int test_write(struct kmemdump_backend *be, const void *buf, size_t len)
{
	struct kmemdump_test_backend *tb = kmemdump_to_test(be);

	if (++tb->nr_writes == tb->fail_at_write)
		return tb->error;
	/* The core promised never to write more than this. */
	if (len > be->max_bytes - tb->used)
		return -EOVERFLOW;
	memcpy(tb->buf + tb->used, buf, len);
	tb->used += len;
	return 0;
}

static void test_close(struct kmemdump_backend *be)
{
	kmemdump_to_test(be)->nr_closed++;
}

static const struct kmemdump_writer_ops writer_ops = {
	.open	= test_open,
	.write	= test_write,
	.close	= test_close,
};

static void empty_table(void *data)
{
	struct kmemdump_table *table = data;
	struct kmemdump_entry *entry, *next;

	mutex_lock(&table->lock);
	list_for_each_entry_safe(entry, next, &table->entries, list)
		kmemdump_remove_entry(table, entry);
	mutex_unlock(&table->lock);
	xa_destroy(&table->ids);
	if (table->names_ready)
		rhashtable_destroy(&table->names);
}

/* Make a table for @test. It is emptied when the test ends. */
struct kmemdump_table *kmemdump_test_table(struct kunit *test)
{
	struct kmemdump_table *table = kunit_kzalloc(test, sizeof(*table), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, table);
	mutex_init(&table->lock);
	INIT_LIST_HEAD(&table->entries);
	INIT_LIST_HEAD(&table->backends);
	xa_init_flags(&table->ids, XA_FLAGS_ALLOC);
	KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, empty_table, table), 0);
	return table;
}

static void free_buf(void *buf)
{
	vfree(buf);
}

struct kmemdump_test_backend *kmemdump_test_writer(struct kunit *test, size_t max_bytes)
{
	struct kmemdump_test_backend *tb = kunit_kzalloc(test, sizeof(*tb), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, tb);
	tb->buf = vzalloc(max_bytes);
	KUNIT_ASSERT_NOT_NULL(test, tb->buf);
	KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, free_buf, tb->buf), 0);
	tb->be.name = "test-writer";
	tb->be.writer = &writer_ops;
	tb->be.max_bytes = max_bytes;
	return tb;
}

static void detach(void *data)
{
	struct kmemdump_test_backend *tb = data;

	if (tb->table)
		kmemdump_test_detach(tb);
}

/* Attach @tb until the test ends. */
int kmemdump_test_attach(struct kunit *test, struct kmemdump_table *table,
			 struct kmemdump_test_backend *tb)
{
	int ret = kmemdump_attach(table, &tb->be);

	if (ret)
		return ret;
	tb->table = table;
	return kunit_add_action_or_reset(test, detach, tb);
}

void kmemdump_test_detach(struct kmemdump_test_backend *tb)
{
	kmemdump_detach(tb->table, &tb->be);
	tb->table = NULL;
}

int kmemdump_test_add(struct kunit *test, struct kmemdump_table *table, const char *name,
		      const void *addr, size_t size, int want)
{
	struct kmemdump_region region = {
		.name = name, .virt_addr = addr, .size = size,
	};

	KUNIT_EXPECT_EQ(test, kmemdump_add(table, &region, NULL, KMEMDUMP_CLASS_DRIVER, 0), want);
	return region.id;
}

int kmemdump_test_add_ranked(struct kunit *test, struct kmemdump_table *table, const char *name,
			     const void *addr, size_t size, enum kmemdump_priority priority)
{
	struct kmemdump_region region = {
		.name = name, .virt_addr = addr, .size = size, .priority = priority,
	};

	KUNIT_EXPECT_EQ(test, kmemdump_add(table, &region, NULL, KMEMDUMP_CLASS_DRIVER, 0), 0);
	return region.id;
}

/* Whether @tb carries the region @id. */
bool kmemdump_test_carries(struct kmemdump_test_backend *tb, int id)
{
	return kmemdump_test_reason(tb, id) == KMEMDUMP_CARRIED;
}

/* Why @tb does not carry the region @id; KMEMDUMP_CARRIED if it does. */
int kmemdump_test_reason(struct kmemdump_test_backend *tb, int id)
{
	return kmemdump_reason(&tb->be, xa_load(&tb->table->ids, id));
}

/* Copy what the live table says of a region, as the region may go at any time. */
struct kmemdump_test_live kmemdump_test_find(const char *name)
{
	struct kmemdump_test_live live = { };
	struct kmemdump_entry *entry;

	mutex_lock(&kmemdump_table.lock);
	entry = kmemdump_find(&kmemdump_table, name);
	if (entry) {
		live.found = true;
		live.size = kmemdump_entry_size(entry);
		live.addr = kmemdump_entry_pieces(entry, &live.nr_pieces)->virt_addr;
		live.flags = entry->flags;
	}
	mutex_unlock(&kmemdump_table.lock);
	return live;
}
