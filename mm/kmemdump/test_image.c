// SPDX-License-Identifier: GPL-2.0-only
/*
 * kmemdump: core images for the KUnit suites.
 *
 * Copyright (C) 2026 the kmemdump authors
 */
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "test_backend.h"

/* Allocate a whole page, so that only the regions of @test are in it. */
u8 *kmemdump_test_page(struct kunit *test, u8 fill)
{
	u8 *p = kunit_kmalloc(test, PAGE_SIZE, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, p);
	KUNIT_ASSERT_TRUE(test, PAGE_ALIGNED(p));
	memset(p, fill, PAGE_SIZE);
	return p;
}

static void free_image(void *image)
{
	kmemdump_image_free(image);
}

/* Allocate an image. It is freed when the test ends. */
struct kmemdump_image *kmemdump_test_image(struct kunit *test, unsigned int max_regions,
					   unsigned int max_pieces, unsigned int max_loads)
{
	struct kmemdump_image *image = kmemdump_image_alloc(max_regions, max_pieces, max_loads);

	KUNIT_ASSERT_NOT_NULL(test, image);
	KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, free_image, image), 0);
	return image;
}

/* Build an image of all regions in @table. */
struct kmemdump_image *kmemdump_test_build(struct kunit *test, struct kmemdump_table *table)
{
	struct kmemdump_image *image = kmemdump_test_image(test, table->nr_regions,
							   table->nr_pieces, table->nr_pieces);
	static struct pt_regs regs;

	kmemdump_image_build(image, table, NULL, &regs);
	return image;
}

/* Read the whole image into memory that is freed when the test ends. */
void *kmemdump_test_read(struct kunit *test, const struct kmemdump_image *image)
{
	void *buf = kunit_kmalloc(test, image->size, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, buf);
	kmemdump_image_read(image, 0, buf, image->size);
	return buf;
}

/* The order of the load @i of an image. */
enum kmemdump_order kmemdump_test_order(const struct kmemdump_image *image, unsigned int i)
{
	unsigned int order = 0;

	while (i >= image->order_end[order])
		order++;
	return order;
}
