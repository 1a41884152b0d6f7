// SPDX-License-Identifier: GPL-2.0-only
/*
 * kmemdump: a firmware-assisted backend for the KUnit suites.
 *
 * Copyright (C) 2026 the kmemdump authors
 */
#include "test_backend.h"

static int test_add(struct kmemdump_backend *be, const struct kmemdump_entry *entry)
{
	struct kmemdump_test_backend *tb = kmemdump_to_test(be);

	if (tb->add_error)
		return tb->add_error;
	tb->nr_added++;
	if (tb->in_add)
		tb->in_add(tb, entry);
	return 0;
}

static void test_remove(struct kmemdump_backend *be, const struct kmemdump_entry *entry)
{
	kmemdump_to_test(be)->nr_removed++;
}

static int test_update(struct kmemdump_backend *be, const struct kmemdump_entry *entry)
{
	struct kmemdump_test_backend *tb = kmemdump_to_test(be);

	tb->nr_updates++;
	return tb->update_error;
}

static const struct kmemdump_table_ops table_ops = {
	.add	= test_add,
	.remove	= test_remove,
	.update	= test_update,
};

struct kmemdump_test_backend *kmemdump_test_assisted(struct kunit *test, unsigned int max_slots)
{
	struct kmemdump_test_backend *tb = kunit_kzalloc(test, sizeof(*tb), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, tb);
	tb->be.name = "test-firmware";
	tb->be.table = &table_ops;
	tb->be.max_slots = max_slots;
	tb->be.max_bytes = U64_MAX;
	return tb;
}
