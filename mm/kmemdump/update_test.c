// SPDX-License-Identifier: GPL-2.0-only
/*
 * kmemdump: KUnit tests of regions that move.
 *
 * Copyright (C) 2026 the kmemdump authors
 */
#include <linux/cpumask.h>
#include <linux/kernel.h>
#include <linux/mm.h>
#include <linux/percpu.h>
#include <linux/vmalloc.h>
#include <linux/xxhash.h>

#include "test_backend.h"

static char buffer[256];
static DEFINE_PER_CPU(u64, static_percpu);

static unsigned long place_of(struct kmemdump_table *table, int id)
{
	unsigned int nr;

	return kmemdump_entry_pieces(xa_load(&table->ids, id), &nr)->virt_addr;
}

static void update(struct kunit *test)
{
	struct kmemdump_table *table = kmemdump_test_table(test);
	struct kmemdump_region region = { .name = "a", .virt_addr = buffer, .size = 8 };
	int i;

	KUNIT_ASSERT_EQ(test, kmemdump_add(table, &region, NULL, KMEMDUMP_CLASS_DRIVER, 0), 0);
	for (i = 1; i < 10; i++) {
		region.virt_addr = buffer + i;
		KUNIT_EXPECT_EQ(test, kmemdump_update(table, &region), 0);
		KUNIT_EXPECT_EQ(test, place_of(table, region.id), (unsigned long)buffer + i);
	}

	/* An update also works with interrupts off. */
	local_irq_disable();
	region.virt_addr = buffer;
	KUNIT_EXPECT_EQ(test, kmemdump_update(table, &region), 0);
	local_irq_enable();
	KUNIT_EXPECT_EQ(test, place_of(table, region.id), (unsigned long)buffer);
}

/* After an error, the region is where it was. */
static void update_refuses(struct kunit *test)
{
	struct kmemdump_table *table = kmemdump_test_table(test);
	struct kmemdump_region region = { .name = "a", .virt_addr = buffer, .size = 8 }, bad;
	struct kmemdump_entry *entry;

	KUNIT_EXPECT_EQ(test, kmemdump_update(table, NULL), -EINVAL);
	KUNIT_EXPECT_EQ(test, kmemdump_update(table, &region), -EINVAL);
	KUNIT_ASSERT_EQ(test, kmemdump_add(table, &region, NULL, KMEMDUMP_CLASS_DRIVER, 0), 0);

	bad = region;
	bad.name = NULL;
	KUNIT_EXPECT_EQ(test, kmemdump_update(table, &bad), -EINVAL);
	bad.name = "b";
	KUNIT_EXPECT_EQ(test, kmemdump_update(table, &bad), -ENOENT);
	bad = region;
	bad.id++;
	KUNIT_EXPECT_EQ(test, kmemdump_update(table, &bad), -ENOENT);
	bad = region;
	bad.size = 0;
	KUNIT_EXPECT_EQ(test, kmemdump_update(table, &bad), -EINVAL);
	bad.size = 9;
	KUNIT_EXPECT_EQ(test, kmemdump_update(table, &bad), -EINVAL);
	bad = region;
	bad.virt_addr = (void *)-1UL;
	KUNIT_EXPECT_EQ(test, kmemdump_update(table, &bad), -EOVERFLOW);
	bad.virt_addr = (void *)0x400000UL;
	KUNIT_EXPECT_EQ(test, kmemdump_update(table, &bad), -EFAULT);
	bad.virt_addr = NULL;
	KUNIT_EXPECT_EQ(test, kmemdump_update(table, &bad), -EFAULT);
	bad = region;
	bad.size = KMEMDUMP_UPDATE_MAX + 1;
	KUNIT_EXPECT_EQ(test, kmemdump_update(table, &bad), -EOPNOTSUPP);
	bad = region;
	bad.phys_addr = 1;
	KUNIT_EXPECT_EQ(test, kmemdump_update(table, &bad), -EINVAL);

	/* Another update holds the lock; it may be one that this context has interrupted. */
	entry = xa_load(&table->ids, region.id);
	kmemdump_entry_lock(entry);
	KUNIT_EXPECT_EQ(test, kmemdump_update(table, &region), -EBUSY);
	kmemdump_entry_unlock(entry);

	/* A region that the core has mapped can't be updated. */
	entry->flags |= KMEMDUMP_ENTRY_MAPPED;
	KUNIT_EXPECT_EQ(test, kmemdump_update(table, &region), -EOPNOTSUPP);
	entry->flags &= ~KMEMDUMP_ENTRY_MAPPED;

	KUNIT_EXPECT_EQ(test, place_of(table, region.id), (unsigned long)buffer);
	bad.id = region.id;
	KUNIT_EXPECT_EQ(test, kmemdump_remove(table, &region), 0);
	region.id = bad.id;
	KUNIT_EXPECT_EQ(test, kmemdump_update(table, &region), -ENOENT);
}

/* A driver does not know what devm puts before the name, so the end of the name is enough. */
static void update_by_end_of_name(struct kunit *test)
{
	struct kmemdump_table *table = kmemdump_test_table(test);
	struct kmemdump_region region = {
		.name = "device-1:stats", .virt_addr = buffer, .size = 4,
	};

	KUNIT_ASSERT_EQ(test, kmemdump_add(table, &region, NULL, KMEMDUMP_CLASS_DRIVER, 0), 0);
	region.name = "stats";
	region.virt_addr = buffer + 16;
	KUNIT_EXPECT_EQ(test, kmemdump_update(table, &region), 0);
	KUNIT_EXPECT_EQ(test, place_of(table, region.id), (unsigned long)buffer + 16);
	region.name = "tats";
	region.virt_addr = buffer;
	KUNIT_EXPECT_EQ(test, kmemdump_update(table, &region), -ENOENT);
	KUNIT_EXPECT_EQ(test, place_of(table, region.id), (unsigned long)buffer + 16);
}

/* A small vmalloc region has room for as many pieces as it can get at any place. */
static void moved_vmalloc(struct kunit *test)
{
	struct kmemdump_region region = { .name = "test", .size = 3 * PAGE_SIZE };
	struct page *pages[4], *block = alloc_pages(GFP_KERNEL, 3);
	struct kmemdump_entry *entry;
	void *together, *apart;
	int i;

	KUNIT_ASSERT_NOT_NULL(test, block);
	for (i = 0; i < 4; i++)
		pages[i] = block + i;
	together = vmap(pages, 4, VM_MAP, PAGE_KERNEL);
	for (i = 0; i < 4; i++)
		pages[i] = block + 2 * i;
	apart = vmap(pages, 4, VM_MAP, PAGE_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, together);
	KUNIT_ASSERT_NOT_NULL(test, apart);

	region.virt_addr = together;
	entry = kmemdump_entry_make(&region, NULL);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, entry);
	KUNIT_EXPECT_EQ(test, entry->nr_pieces[0], 1);
	region.virt_addr = apart + 100;
	KUNIT_EXPECT_EQ(test, kmemdump_entry_update(entry, &region), 0);
	KUNIT_EXPECT_EQ(test, entry->nr_pieces[1], 4);
	kmemdump_entry_free(entry);

	/* A region in the linear map has room for one piece only. */
	region.size = 2 * PAGE_SIZE;
	region.virt_addr = page_address(block);
	entry = kmemdump_entry_make(&region, NULL);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, entry);
	region.virt_addr = apart;
	KUNIT_EXPECT_EQ(test, kmemdump_entry_update(entry, &region), -ENOSPC);
	region.virt_addr = NULL;
	region.percpu_addr = &static_percpu;
	KUNIT_EXPECT_EQ(test, kmemdump_entry_update(entry, &region), -EINVAL);
	kmemdump_entry_free(entry);

	vunmap(apart);
	vunmap(together);
	__free_pages(block, 3);
}

static void moved_percpu(struct kunit *test)
{
	struct kmemdump_region region = {
		.name = "test", .percpu_addr = &static_percpu, .size = sizeof(u64),
	};
	struct kmemdump_entry *entry = kmemdump_entry_make(&region, NULL);
	u64 __percpu *other = alloc_percpu(u64);

	KUNIT_ASSERT_TRUE(test, !!other);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, entry);
	region.percpu_addr = other;
	KUNIT_EXPECT_EQ(test, kmemdump_entry_update(entry, &region), 0);
	KUNIT_EXPECT_EQ(test, entry->pieces[entry->max_pieces].virt_addr,
			(unsigned long)per_cpu_ptr(other, cpumask_first(cpu_possible_mask)));
	region.size = SIZE_MAX;
	KUNIT_EXPECT_EQ(test, kmemdump_entry_update(entry, &region), -EINVAL);
	kmemdump_entry_free(entry);
	free_percpu(other);
}

/* The image has the region at its new place, not where it was registered. */
static void moved_region(struct kunit *test)
{
	struct kmemdump_table *table = kmemdump_test_table(test);
	u8 *a = kmemdump_test_page(test, 0xaa), *b = kmemdump_test_page(test, 0xbb), *buf;
	struct kmemdump_region region = { .name = "a", .virt_addr = a, .size = PAGE_SIZE };
	struct kmemdump_image *image;

	KUNIT_EXPECT_EQ(test, kmemdump_add(table, &region, NULL, KMEMDUMP_CLASS_DRIVER, 0), 0);
	region.virt_addr = b;
	KUNIT_EXPECT_EQ(test, kmemdump_update(table, &region), 0);
	image = kmemdump_test_build(test, table);
	KUNIT_ASSERT_EQ(test, image->nr_loads, 1);
	buf = kmemdump_test_read(test, image);
	KUNIT_EXPECT_MEMEQ(test, buf + image->loads[0].p_offset, b, PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, image->regions[0].checksum, xxh64(b, PAGE_SIZE, 0));
}

static struct kunit_case update_cases[] = {
	KUNIT_CASE(update),
	KUNIT_CASE(update_refuses),
	KUNIT_CASE(update_by_end_of_name),
	KUNIT_CASE(moved_vmalloc),
	KUNIT_CASE(moved_percpu),
	KUNIT_CASE(moved_region),
	{}
};

static struct kunit_suite update_suite = {
	.name		= "kmemdump-update",
	.test_cases	= update_cases,
};

kunit_test_suite(update_suite);

MODULE_LICENSE("GPL");
