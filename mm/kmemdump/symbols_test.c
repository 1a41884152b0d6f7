// SPDX-License-Identifier: GPL-2.0-only
/*
 * kmemdump: KUnit tests of regions named by symbol.
 *
 * Copyright (C) 2026 the kmemdump authors
 */
#include <linux/jiffies.h>
#include <linux/percpu.h>
#include <linux/string.h>

#include "test_backend.h"

/* Not static, so that no other symbol has these names. */
extern long kmemdump_test_symbol[4];
long kmemdump_test_symbol[4];
DECLARE_PER_CPU(long, kmemdump_test_percpu_symbol);
DEFINE_PER_CPU(long, kmemdump_test_percpu_symbol);

static int symbols_init(struct kunit *test)
{
	if (!IS_ENABLED(CONFIG_KALLSYMS_ALL))
		kunit_skip(test, "this kernel does not know symbols of data");
	return 0;
}

static struct kmemdump_entry *find(struct kmemdump_table *table, const char *name)
{
	struct kmemdump_entry *entry;

	mutex_lock(&table->lock);
	entry = kmemdump_find(table, name);
	mutex_unlock(&table->lock);
	return entry;
}

static void by_name(struct kunit *test)
{
	struct kmemdump_table *table = kmemdump_test_table(test);
	struct kmemdump_entry *entry;
	unsigned int nr;

	KUNIT_EXPECT_EQ(test, kmemdump_add_symbol(table, "kmemdump_test_symbol"), 0);
	entry = find(table, "kmemdump_test_symbol");
	KUNIT_ASSERT_NOT_NULL(test, entry);
	KUNIT_EXPECT_EQ(test, kmemdump_entry_pieces(entry, &nr)->virt_addr,
			(unsigned long)kmemdump_test_symbol);
	/* kallsyms has no sizes, so the region ends where the next symbol starts. */
	KUNIT_EXPECT_GE(test, kmemdump_entry_size(entry), sizeof(kmemdump_test_symbol));
	KUNIT_EXPECT_EQ(test, entry->class, KMEMDUMP_CLASS_ADMIN);

	KUNIT_EXPECT_EQ(test, kmemdump_add_symbol(table, "kmemdump_test_symbol"), -EEXIST);
	KUNIT_EXPECT_EQ(test, kmemdump_remove_symbol(table, "kmemdump_test_symbol"), 0);
	KUNIT_EXPECT_EQ(test, kmemdump_remove_symbol(table, "kmemdump_test_symbol"), -ENOENT);
}

static void with_size(struct kunit *test)
{
	struct kmemdump_table *table = kmemdump_test_table(test);
	struct kmemdump_entry *entry;

	KUNIT_EXPECT_EQ(test, kmemdump_add_symbol(table, "kmemdump_test_symbol+0x11"), 0);
	entry = find(table, "kmemdump_test_symbol");
	KUNIT_ASSERT_NOT_NULL(test, entry);
	KUNIT_EXPECT_EQ(test, kmemdump_entry_size(entry), 0x11);
}

static void percpu_symbol(struct kunit *test)
{
	struct kmemdump_table *table = kmemdump_test_table(test);
	struct kmemdump_entry *entry;

	KUNIT_EXPECT_EQ(test, kmemdump_add_symbol(table, "kmemdump_test_percpu_symbol+8"), 0);
	entry = find(table, "kmemdump_test_percpu_symbol");
	KUNIT_ASSERT_NOT_NULL(test, entry);
	KUNIT_EXPECT_EQ(test, kmemdump_entry_size(entry), 8 * num_possible_cpus());

	KUNIT_EXPECT_EQ(test, kmemdump_remove_symbol(table, "kmemdump_test_percpu_symbol"), 0);
	KUNIT_EXPECT_EQ(test, kmemdump_add_symbol(table, "kmemdump_test_percpu_symbol"), 0);
	entry = find(table, "kmemdump_test_percpu_symbol");
	KUNIT_ASSERT_NOT_NULL(test, entry);
	KUNIT_EXPECT_GE(test, kmemdump_entry_size(entry), sizeof(long) * num_possible_cpus());
	KUNIT_EXPECT_LT(test, kmemdump_entry_size(entry), 4096 * num_possible_cpus());
}

static void symbol_refuses(struct kunit *test)
{
	struct kmemdump_table *table = kmemdump_test_table(test);

	kmemdump_test_add(test, table, "driver", kmemdump_test_symbol, 8, 0);
	KUNIT_EXPECT_EQ(test, kmemdump_remove_symbol(table, "driver"), -ENOENT);
	KUNIT_EXPECT_EQ(test, kmemdump_remove_symbol(table, ""), -ENOENT);
	KUNIT_EXPECT_EQ(test, kmemdump_add_symbol(table, ""), -ENOENT);
	KUNIT_EXPECT_EQ(test, kmemdump_add_symbol(table, "+8"), -ENOENT);
	KUNIT_EXPECT_EQ(test, kmemdump_add_symbol(table, "no_such_symbol_here"), -ENOENT);
	KUNIT_EXPECT_EQ(test, kmemdump_add_symbol(table, "no_such_module:symbol"), -ENOENT);
	KUNIT_EXPECT_EQ(test, kmemdump_add_symbol(table, "kmemdump_test_symbol+"), -EINVAL);
	KUNIT_EXPECT_EQ(test, kmemdump_add_symbol(table, "kmemdump_test_symbol+x"), -EINVAL);
	KUNIT_EXPECT_EQ(test, kmemdump_add_symbol(table, "kmemdump_test_symbol+0"), -EINVAL);
	KUNIT_EXPECT_EQ(test, kmemdump_add_symbol(table, "kmemdump_test_symbol+-1"), -EINVAL);
	KUNIT_EXPECT_EQ(test, kmemdump_add_symbol(table,
						  "kmemdump_test_symbol+0x10000000000000000"),
			-ERANGE);
	/* Several files of these tests have a symbol of this name. */
	KUNIT_EXPECT_EQ(test, kmemdump_add_symbol(table, "buffer"), -ENOTUNIQ);
	KUNIT_EXPECT_EQ(test, table->nr_regions, 1);
}

static struct kunit_case symbols_cases[] = {
	KUNIT_CASE(by_name),
	KUNIT_CASE(with_size),
	KUNIT_CASE(percpu_symbol),
	KUNIT_CASE(symbol_refuses),
	{}
};

static struct kunit_suite symbols_suite = {
	.name		= "kmemdump-symbols",
	.init		= symbols_init,
	.test_cases	= symbols_cases,
};

kunit_test_suite(symbols_suite);

MODULE_LICENSE("GPL");
