// SPDX-License-Identifier: GPL-2.0-only
/*
 * kmemdump: KUnit tests of address translation.
 *
 * Copyright (C) 2026 the kmemdump authors
 */
#include <kunit/test.h>

#include <linux/mm.h>
#include <linux/string.h>
#include <linux/vmalloc.h>

#include "kmemdump.h"

static int initialised = 42;

static void pieces(struct kunit *test)
{
	struct kmemdump_place place = { .size = 2 * PAGE_SIZE - 200 };
	struct kmemdump_piece found[2];
	struct page *pages[2], *both;
	void *p;

	/* Map two neighboring pages in reverse order, which makes two pieces. */
	both = alloc_pages(GFP_KERNEL, 1);
	KUNIT_ASSERT_NOT_NULL(test, both);
	split_page(both, 1);
	pages[0] = both + 1;
	pages[1] = both;
	p = vmap(pages, 2, VM_MAP, PAGE_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, p);

	place.addr = (unsigned long)p + 100;
	KUNIT_EXPECT_EQ(test, kmemdump_find_pieces(&place, NULL, 0, false), 2);
	KUNIT_EXPECT_EQ(test, kmemdump_find_pieces(&place, found, 1, false), -ENOSPC);
	KUNIT_EXPECT_EQ(test, kmemdump_find_pieces(&place, found, 2, true), 2);
	KUNIT_EXPECT_EQ(test, found[0].phys_addr,
			PFN_PHYS(page_to_pfn(pages[0])) + 100);
	KUNIT_EXPECT_EQ(test, found[0].size, PAGE_SIZE - 100);
	KUNIT_EXPECT_EQ(test, found[1].phys_addr, PFN_PHYS(page_to_pfn(pages[1])));
	KUNIT_EXPECT_EQ(test, found[1].size, PAGE_SIZE - 100);
	KUNIT_EXPECT_TRUE(test, kmemdump_piece_present(&found[1]));

	/* The page after them is the guard page. */
	place.size = 3 * PAGE_SIZE;
	KUNIT_EXPECT_EQ(test, kmemdump_find_pieces(&place, NULL, 0, false), -EFAULT);
	vunmap(p);
	KUNIT_EXPECT_FALSE(test, kmemdump_piece_present(&found[1]));
	__free_page(pages[0]);
	__free_page(pages[1]);
}

/* Bytes that can't be read become zeros, and the others are still read. */
static void read_past_the_end(struct kunit *test)
{
	char *p = vmalloc(PAGE_SIZE), buf[16];

	KUNIT_ASSERT_NOT_NULL(test, p);
	memset(p, 0x5a, PAGE_SIZE);
	memset(buf, 0xff, sizeof(buf));
	KUNIT_EXPECT_FALSE(test, kmemdump_read(buf, (unsigned long)p + PAGE_SIZE - 8,
					       PFN_PHYS(vmalloc_to_pfn(p)) + PAGE_SIZE - 8,
					       sizeof(buf)));
	KUNIT_EXPECT_EQ(test, buf[7], 0x5a);
	KUNIT_EXPECT_PTR_EQ(test, memchr_inv(buf + 8, 0, 8), NULL);
	KUNIT_EXPECT_TRUE(test, kmemdump_read(buf, (unsigned long)p, PFN_PHYS(vmalloc_to_pfn(p)),
					      sizeof(buf)));
	KUNIT_EXPECT_PTR_EQ(test, memchr_inv(buf, 0x5a, sizeof(buf)), NULL);
	vfree(p);
}

/* The walk finds the same pages as vmalloc_to_pfn(), and none that are not mapped. */
static void page_tables(struct kunit *test)
{
	struct kmemdump_tables tables;
	void *p = vmalloc(2 * PAGE_SIZE);
	unsigned long addr = (unsigned long)p;
	phys_addr_t phys;

	KUNIT_ASSERT_NOT_NULL(test, p);
	KUNIT_EXPECT_TRUE(test, kmemdump_walk_tables(addr + 5, &phys, &tables));
	KUNIT_EXPECT_EQ(test, phys, PFN_PHYS(vmalloc_to_pfn(p)) + 5);
	KUNIT_EXPECT_EQ(test, tables.nr, ARRAY_SIZE(tables.entries));
	KUNIT_EXPECT_TRUE(test, kmemdump_walk_tables(addr + PAGE_SIZE, &phys, &tables));
	KUNIT_EXPECT_EQ(test, phys, PFN_PHYS(vmalloc_to_pfn(p + PAGE_SIZE)));
	KUNIT_EXPECT_FALSE(test, kmemdump_walk_tables(addr + 2 * PAGE_SIZE, &phys, &tables));
	vfree(p);
	KUNIT_EXPECT_FALSE(test, kmemdump_walk_tables(addr, &phys, &tables));
}

/* kmemdump_peek() takes any address, also a bad one. */
static void peek(struct kunit *test)
{
	const unsigned long bad[] = { 0, 8, PAGE_SIZE, TASK_SIZE_MAX - 1, -1UL, -4UL };
	char *p = vmalloc(2 * PAGE_SIZE);
	u64 word;
	int i;

	KUNIT_ASSERT_NOT_NULL(test, p);
	for (i = 0; i < ARRAY_SIZE(bad); i++)
		KUNIT_EXPECT_FALSE(test, kmemdump_peek(&word, (void *)bad[i], sizeof(word)));
	KUNIT_EXPECT_TRUE(test, kmemdump_peek(&i, &initialised, sizeof(i)));
	KUNIT_EXPECT_EQ(test, i, initialised);

	/* Read across the border of two pages, and past the end. */
	memset(p, 0x5a, 2 * PAGE_SIZE);
	KUNIT_EXPECT_TRUE(test, kmemdump_peek(&word, p + PAGE_SIZE - 4, sizeof(word)));
	KUNIT_EXPECT_EQ(test, word, 0x5a5a5a5a5a5a5a5aULL);
	KUNIT_EXPECT_TRUE(test, kmemdump_peek(&word, p + 2 * PAGE_SIZE - 8, sizeof(word)));
	KUNIT_EXPECT_FALSE(test, kmemdump_peek(&word, p + 2 * PAGE_SIZE - 4, sizeof(word)));
	vfree(p);
	KUNIT_EXPECT_FALSE(test, kmemdump_peek(&word, p, sizeof(word)));
}

static struct kunit_case translate_cases[] = {
	KUNIT_CASE(pieces),
	KUNIT_CASE(read_past_the_end),
	KUNIT_CASE(page_tables),
	KUNIT_CASE(peek),
	{}
};

static struct kunit_suite translate_suite = {
	.name		= "kmemdump-translate",
	.test_cases	= translate_cases,
};

kunit_test_suite(translate_suite);

MODULE_LICENSE("GPL");
