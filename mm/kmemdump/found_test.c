// SPDX-License-Identifier: GPL-2.0-only
/*
 * kmemdump: KUnit tests of memory that hooks find.
 *
 * Copyright (C) 2026 the kmemdump authors
 */
#include <linux/io.h>
#include <linux/mm.h>
#include <linux/pfn.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include "test_backend.h"

static char variable[8];

/* Start an image that holds only what the test adds. */
static struct kmemdump_image *start(struct kunit *test)
{
	struct kmemdump_image *image = kmemdump_test_image(test, 1, 1, 64);

	kmemdump_image_start(image, NULL);
	return image;
}

/* Find the load that holds @addr, or NULL. */
static const struct elf64_phdr *find_load(const struct kmemdump_image *image, const void *addr)
{
	unsigned int i;

	for (i = 0; i < image->nr_loads; i++)
		if ((unsigned long)addr - image->loads[i].p_vaddr < image->loads[i].p_memsz)
			return &image->loads[i];
	return NULL;
}

/* Whole pages go into the image, and none of them twice. */
static void pages(struct kunit *test)
{
	struct kmemdump_image *image = start(test);
	u8 *p = kunit_kmalloc(test, 4 * PAGE_SIZE, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, p);
	kmemdump_image_add(image, (unsigned long)p + 100, PAGE_SIZE, KMEMDUMP_ORDER_REST);
	kmemdump_image_add(image, (unsigned long)p, 1, KMEMDUMP_ORDER_TASKS);
	kmemdump_image_finish(image);
	KUNIT_ASSERT_EQ(test, image->nr_loads, 1);
	KUNIT_EXPECT_EQ(test, kmemdump_test_order(image, 0), KMEMDUMP_ORDER_TASKS);
	KUNIT_EXPECT_EQ(test, image->loads[0].p_vaddr, (unsigned long)p);
	KUNIT_EXPECT_EQ(test, image->loads[0].p_paddr, __pa(p));
	KUNIT_EXPECT_EQ(test, image->loads[0].p_memsz, 2 * PAGE_SIZE);
}

/* Addresses may come from damaged memory, so bad ones add nothing. */
static void bad_addresses(struct kunit *test)
{
	struct kmemdump_image *image = start(test);
	void *gone = vmalloc(PAGE_SIZE);

	KUNIT_ASSERT_NOT_NULL(test, gone);
	vfree(gone);
	kmemdump_image_add(image, 0, 8, KMEMDUMP_ORDER_REST);
	kmemdump_image_add(image, 0x400000UL, 8, KMEMDUMP_ORDER_REST);
	kmemdump_image_add(image, (unsigned long)variable, 0 - (unsigned long)variable,
			   KMEMDUMP_ORDER_REST);
	kmemdump_image_add(image, (unsigned long)variable, SIZE_MAX - PAGE_SIZE,
			   KMEMDUMP_ORDER_REST);
	kmemdump_image_add(image, (unsigned long)variable & PAGE_MASK, 0, KMEMDUMP_ORDER_REST);
	kmemdump_image_add(image, (unsigned long)gone, PAGE_SIZE, KMEMDUMP_ORDER_REST);
	KUNIT_EXPECT_NULL(test, find_load(image, variable));
	KUNIT_EXPECT_NULL(test, find_load(image, gone));
	KUNIT_EXPECT_EQ(test, image->nr_left_out, 0);
}

/* Pages of the kernel image get its order, as a worse one would only split it. */
static void kernel_image(struct kunit *test)
{
	struct kmemdump_image *image = start(test);

	kmemdump_image_add(image, (unsigned long)variable, 1, KMEMDUMP_ORDER_REST);
	kmemdump_image_finish(image);
	KUNIT_ASSERT_EQ(test, image->nr_loads, 1);
	KUNIT_EXPECT_EQ(test, image->loads[0].p_vaddr, (unsigned long)variable & PAGE_MASK);
	KUNIT_EXPECT_EQ(test, image->loads[0].p_paddr, __pa_symbol(variable) & PAGE_MASK);
	KUNIT_EXPECT_EQ(test, kmemdump_test_order(image, 0), KMEMDUMP_ORDER_IMAGE);
}

/* Debuggers also need the page tables that lead to memory outside the linear map. */
static void page_tables(struct kunit *test)
{
	struct kmemdump_image *image = start(test);
	void *p = vmalloc(2 * PAGE_SIZE);
	const struct elf64_phdr *load;
	unsigned int nr;

	KUNIT_ASSERT_NOT_NULL(test, p);
	kmemdump_image_add_tables(image, (unsigned long)p, PAGE_SIZE, KMEMDUMP_ORDER_REST);
	KUNIT_EXPECT_EQ(test, image->nr_loads, 0);
	image->debuggers = true;
	kmemdump_image_add_tables(image, (unsigned long)p, PAGE_SIZE, KMEMDUMP_ORDER_REST);
	nr = image->nr_loads;
	KUNIT_EXPECT_GT(test, nr, 0);
	KUNIT_EXPECT_NULL(test, find_load(image, p));

	image->debuggers = false;
	kmemdump_image_add(image, (unsigned long)p, PAGE_SIZE, KMEMDUMP_ORDER_REST);
	load = find_load(image, p);
	KUNIT_ASSERT_NOT_NULL(test, load);
	KUNIT_EXPECT_EQ(test, load->p_paddr, PFN_PHYS(vmalloc_to_pfn(p)));
	KUNIT_EXPECT_EQ(test, load->p_memsz, 1 * PAGE_SIZE);
	KUNIT_EXPECT_GT(test, image->nr_loads, nr);
	vfree(p);
}

static struct kunit_case found_cases[] = {
	KUNIT_CASE(pages),
	KUNIT_CASE(bad_addresses),
	KUNIT_CASE(kernel_image),
	KUNIT_CASE(page_tables),
	{}
};

static struct kunit_suite found_suite = {
	.name		= "kmemdump-found",
	.test_cases	= found_cases,
};

kunit_test_suite(found_suite);

MODULE_LICENSE("GPL");
