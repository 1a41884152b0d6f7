// SPDX-License-Identifier: GPL-2.0-only
/*
 * kmemdump: KUnit tests of the index that full dumps are read with.
 *
 * They go the way of a reader of such a dump: from VMCOREINFO, by physical
 * addresses and offsets, without the types of kmemdump. How xarrays are made is
 * left to the kernel.
 *
 * Copyright (C) 2026 the kmemdump authors
 */
#include <linux/io.h>
#include <linux/kasan.h>
#include <linux/kstrtox.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/vmalloc.h>
#include <linux/vmcore_info.h>

#include "test_backend.h"

static const struct kmemdump_index *find_index(struct kunit *test)
{
	static const char key[] = "\n" KMEMDUMP_INDEX_KEY "=";
	char number[20] = "";
	const char *line;
	u64 phys;

	line = strnstr(vmcoreinfo_data, key, vmcoreinfo_size);
	KUNIT_ASSERT_NOT_NULL(test, line);
	line += strlen(key);
	strscpy(number, line, min_t(size_t, sizeof(number), strcspn(line, "\n") + 1));
	KUNIT_ASSERT_EQ(test, kstrtou64(number, 16, &phys), 0);
	return phys_to_virt(phys);
}

/* What is at @key in the xarray whose root is at @root. */
static void *load_key(u64 root, unsigned long key)
{
	void *head = phys_to_virt(root);

	return xa_load(container_of(head, struct xarray, xa_head), key);
}

static void leads_to_entry(struct kunit *test)
{
	const struct kmemdump_index *index = find_index(test);
	struct kmemdump_region region = {
		.name = "kmemdump-index-test", .size = 100,
	};
	void *entry, *segment;
	u32 nr, max;

	KUNIT_EXPECT_MEMEQ(test, index->magic, KMEMDUMP_MAGIC, sizeof(index->magic));
	KUNIT_EXPECT_EQ(test, index->version, KMEMDUMP_VERSION);
	KUNIT_EXPECT_EQ(test, index->size, sizeof(*index));
	KUNIT_EXPECT_EQ(test, index->cpu_bits, nr_cpu_ids);

	region.virt_addr = kunit_kmalloc(test, 100, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, region.virt_addr);
	KUNIT_ASSERT_EQ(test, kmemdump_register_region(&region), 0);

	entry = load_key(index->regions, region.id);
	KUNIT_EXPECT_NOT_NULL(test, entry);
	if (entry) {
		KUNIT_EXPECT_EQ(test, (unsigned long)entry - index->linear_offset, __pa(entry));
		KUNIT_EXPECT_EQ(test, *(int *)(entry + index->entry_id), region.id);
		KUNIT_EXPECT_EQ(test, *(u8 *)(entry + index->entry_class), KMEMDUMP_CLASS_DRIVER);
		nr = *(u32 *)(entry + index->entry_nr);
		max = *(u32 *)(entry + index->entry_max);
		KUNIT_EXPECT_EQ(test, nr, 1);
		segment = entry + index->entry_segments;
		KUNIT_EXPECT_PTR_EQ(test, *(void **)(segment + index->segment_virt),
				    (void *)region.virt_addr);
		KUNIT_EXPECT_EQ(test, *(phys_addr_t *)(segment + index->segment_phys),
				__pa(region.virt_addr));
		KUNIT_EXPECT_EQ(test, *(size_t *)(segment + index->segment_bytes), 100);
		KUNIT_EXPECT_STREQ(test, segment + 2 * max * index->segment_size, region.name);
	}
	KUNIT_EXPECT_EQ(test, kmemdump_unregister_region(&region), 0);
}

static void far_pages(struct kunit *test)
{
	const struct kmemdump_index *index = find_index(test);
	void *area = vmalloc(3 * PAGE_SIZE);
	unsigned long page;
	int i;

	KUNIT_ASSERT_NOT_NULL(test, area);
	page = (unsigned long)kasan_reset_tag(area) >> PAGE_SHIFT;
	KUNIT_EXPECT_EQ(test, kmemdump_index_add(area + 10, 2 * PAGE_SIZE), 0);
	for (i = 0; i < 3; i++) {
		void *pfn = load_key(index->far_pages, page + i);

		KUNIT_EXPECT_TRUE(test, xa_is_value(pfn));
		KUNIT_EXPECT_EQ(test, xa_to_value(pfn), vmalloc_to_pfn(area + i * PAGE_SIZE));
	}
	kmemdump_index_remove(area + 10, 2 * PAGE_SIZE);
	for (i = 0; i < 3; i++)
		KUNIT_EXPECT_NULL(test, load_key(index->far_pages, page + i));
	vfree(area);
}

/* What is in the linear map needs no help. */
static void linear_pages(struct kunit *test)
{
	const struct kmemdump_index *index = find_index(test);
	char *buf = kunit_kmalloc(test, 64, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, buf);
	KUNIT_EXPECT_EQ(test, kmemdump_index_add(buf, 64), 0);
	KUNIT_EXPECT_NULL(test, load_key(index->far_pages, (unsigned long)buf >> PAGE_SHIFT));
	kmemdump_index_remove(buf, 64);
}

static struct kunit_case index_cases[] = {
	KUNIT_CASE(leads_to_entry),
	KUNIT_CASE(far_pages),
	KUNIT_CASE(linear_pages),
	{}
};

static struct kunit_suite index_suite = {
	.name		= "kmemdump-index",
	.test_cases	= index_cases,
};

kunit_test_suite(index_suite);
