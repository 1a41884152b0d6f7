// SPDX-License-Identifier: GPL-2.0-only
/*
 * kmemdump: KUnit tests of address translation.
 *
 * Copyright (C) 2026 the kmemdump authors
 */
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/vmalloc.h>

#include "test_backend.h"

static int initialised = 42;
static int zeroed;
static const int constant = 43;

static struct kmemdump_entry *translate(struct kunit *test, const void *addr, phys_addr_t phys,
					size_t size)
{
	struct kmemdump_region region = {
		.name = "test", .virt_addr = addr, .phys_addr = phys, .size = size,
	};

	return kmemdump_translate(&region, NULL);
}

/* Segments must cover the range in order, each with the physical address it has. */
static void check_segments(struct kunit *test, const struct kmemdump_entry *entry,
			   const void *addr, size_t size)
{
	unsigned long next = (unsigned long)addr;
	unsigned int i;

	for (i = 0; i < entry->nr_segments; i++) {
		KUNIT_EXPECT_EQ(test, entry->segments[i].virt_addr, next);
		KUNIT_EXPECT_GT(test, entry->segments[i].size, 0);
		next += entry->segments[i].size;
	}
	KUNIT_EXPECT_EQ(test, next, (unsigned long)addr + size);
	KUNIT_EXPECT_EQ(test, entry->size, size);
	KUNIT_EXPECT_STREQ(test, entry->name, "test");
	KUNIT_EXPECT_TRUE(test, kmemdump_entry_present(entry));
}

static void linear(struct kunit *test)
{
	size_t sizes[] = { 1, 7, 1024, PAGE_SIZE, 3 * PAGE_SIZE + 5 };
	struct kmemdump_entry *entry;
	void *p;
	int i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		p = kmalloc(sizes[i], GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, p);
		entry = translate(test, p, 0, sizes[i]);
		KUNIT_ASSERT_NOT_ERR_OR_NULL(test, entry);
		KUNIT_EXPECT_EQ(test, entry->nr_segments, 1);
		KUNIT_EXPECT_EQ(test, entry->segments[0].phys_addr, __pa(p));
		check_segments(test, entry, p, sizes[i]);
		kvfree(entry);
		kfree(p);
	}
}

static void vmalloc_segments(struct kunit *test)
{
	struct page *pages[4];
	struct kmemdump_entry *entry;
	void *p;

	/* Four pages mapped in an order that leaves no two physical neighbours. */
	pages[0] = alloc_pages(GFP_KERNEL, 2);
	KUNIT_ASSERT_NOT_NULL(test, pages[0]);
	split_page(pages[0], 2);
	pages[3] = pages[0] + 2;
	pages[2] = pages[0];
	pages[1] = pages[0] + 3;
	pages[0] = pages[2] + 1;
	p = vmap(pages, 4, VM_MAP, PAGE_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, p);

	entry = translate(test, p + 100, 0, 4 * PAGE_SIZE - 200);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, entry);
	KUNIT_EXPECT_EQ(test, entry->nr_segments, 4);
	KUNIT_EXPECT_EQ(test, entry->segments[0].phys_addr,
			PFN_PHYS(page_to_pfn(pages[0])) + 100);
	KUNIT_EXPECT_EQ(test, entry->segments[1].phys_addr, PFN_PHYS(page_to_pfn(pages[1])));
	check_segments(test, entry, p + 100, 4 * PAGE_SIZE - 200);

	vunmap(p);
	KUNIT_EXPECT_FALSE(test, kmemdump_entry_present(entry));
	kvfree(entry);
	__free_page(pages[2]);
	__free_page(pages[0]);
	__free_page(pages[3]);
	__free_page(pages[1]);
}

static void large_vmalloc(struct kunit *test)
{
	size_t size = 4 * SZ_1M + 12;
	struct kmemdump_entry *entry;
	void *p = vmalloc(size);

	KUNIT_ASSERT_NOT_NULL(test, p);
	entry = translate(test, p, 0, size);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, entry);
	check_segments(test, entry, p, size);
	kvfree(entry);

	/* One byte more is the guard page. */
	entry = translate(test, p, 0, PAGE_ALIGN(size) + 1);
	KUNIT_EXPECT_EQ(test, PTR_ERR_OR_ZERO(entry), -EFAULT);
	vfree(p);
}

static void kernel_image(struct kunit *test)
{
	const void *vars[] = { &initialised, &zeroed, &constant };
	struct kmemdump_entry *entry;
	int i;

	for (i = 0; i < ARRAY_SIZE(vars); i++) {
		entry = translate(test, vars[i], 0, sizeof(int));
		KUNIT_ASSERT_NOT_ERR_OR_NULL(test, entry);
		KUNIT_EXPECT_EQ(test, entry->nr_segments, 1);
		KUNIT_EXPECT_EQ(test, entry->segments[0].phys_addr, __pa_symbol(vars[i]));
		check_segments(test, entry, vars[i], sizeof(int));
		kvfree(entry);
	}
}

static void physical(struct kunit *test)
{
	void *p = kmalloc(64, GFP_KERNEL), *q = kmalloc(64, GFP_KERNEL);
	struct kmemdump_entry *entry;

	KUNIT_ASSERT_NOT_NULL(test, p);
	KUNIT_ASSERT_NOT_NULL(test, q);
	entry = translate(test, NULL, __pa(p), 64);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, entry);
	check_segments(test, entry, p, 64);
	kvfree(entry);

	/* Both addresses: they have to agree. */
	entry = translate(test, p, __pa(p), 64);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, entry);
	kvfree(entry);
	KUNIT_EXPECT_EQ(test, PTR_ERR_OR_ZERO(translate(test, p, __pa(q), 64)), -EINVAL);
	kfree(q);
	kfree(p);

	/* No RAM there. */
	KUNIT_EXPECT_EQ(test, PTR_ERR_OR_ZERO(translate(test, NULL, 1ULL << 45, 64)), -EFAULT);
}

/* Pages of order 0 to 3 go to per-CPU lists, larger ones straight to the buddy. */
static void freed_page(struct kunit *test)
{
	struct kmemdump_entry *entry;
	unsigned int order;
	unsigned long p;

	for (order = 0; order < 6; order++) {
		p = __get_free_pages(GFP_KERNEL, order);
		KUNIT_ASSERT_NE(test, p, 0);
		entry = translate(test, (void *)p, 0, PAGE_SIZE << order);
		KUNIT_ASSERT_NOT_ERR_OR_NULL(test, entry);
		KUNIT_EXPECT_TRUE(test, kmemdump_entry_present(entry));
		/* Keep this CPU from handing the pages to someone else. */
		preempt_disable();
		free_pages(p, order);
		KUNIT_EXPECT_FALSE_MSG(test, kmemdump_entry_present(entry), "order %u", order);
		preempt_enable();
		kvfree(entry);
	}
}

/* Mapped like vmalloc memory, but no RAM. */
static void device_memory(struct kunit *test)
{
	struct page *page = alloc_page(GFP_KERNEL);
	void *p;

	KUNIT_ASSERT_NOT_NULL(test, page);
	p = vmap(&page, 1, VM_MAP | VM_IOREMAP, PAGE_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, p);
	KUNIT_EXPECT_EQ(test, PTR_ERR_OR_ZERO(translate(test, p, 0, 4)), -EFAULT);
	vunmap(p);
	__free_page(page);
}

static void freed_vmalloc(struct kunit *test)
{
	struct kmemdump_entry *entry;
	void *p = vmalloc(3 * PAGE_SIZE);

	KUNIT_ASSERT_NOT_NULL(test, p);
	entry = translate(test, p, 0, 3 * PAGE_SIZE);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, entry);
	vfree(p);
	KUNIT_EXPECT_FALSE(test, kmemdump_entry_present(entry));
	KUNIT_EXPECT_EQ(test, PTR_ERR_OR_ZERO(translate(test, p, 0, 1)), -EFAULT);
	kvfree(entry);
}

static struct kunit_case translate_cases[] = {
	KUNIT_CASE(linear),
	KUNIT_CASE(vmalloc_segments),
	KUNIT_CASE(large_vmalloc),
	KUNIT_CASE(kernel_image),
	KUNIT_CASE(physical),
	KUNIT_CASE(freed_page),
	KUNIT_CASE(device_memory),
	KUNIT_CASE(freed_vmalloc),
	{}
};

static struct kunit_suite translate_suite = {
	.name		= "kmemdump-translate",
	.test_cases	= translate_cases,
};

kunit_test_suite(translate_suite);

MODULE_LICENSE("GPL");
