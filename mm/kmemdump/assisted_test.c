// SPDX-License-Identifier: GPL-2.0-only
/*
 * kmemdump: KUnit tests of the core image as firmware-assisted backends see it.
 *
 * Copyright (C) 2026 the kmemdump authors
 */
#include <linux/mm.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "test_backend.h"

/* The accessors for backends return what the image holds. */
static void accessors(struct kunit *test)
{
	struct kmemdump_table *table = kmemdump_test_table(test);
	u8 *p = kunit_kmalloc(test, 8 * PAGE_SIZE, GFP_KERNEL);
	struct kmemdump_region log = { .name = "log", .size = 100 };
	const struct kmemdump_piece *piece;
	struct kmemdump_image *image;
	const char *name = NULL;
	struct kmemdump_load load;
	unsigned int nr = 0;
	size_t size, at;

	KUNIT_ASSERT_NOT_NULL(test, p);
	kmemdump_test_add(test, table, "driver", p, 2 * PAGE_SIZE, 0);
	log.virt_addr = p + 4 * PAGE_SIZE;
	KUNIT_EXPECT_EQ(test, kmemdump_add(table, &log, NULL, KMEMDUMP_CLASS_LOG, 0), 0);
	image = kmemdump_test_build(test, table);
	KUNIT_EXPECT_FALSE(test, kmemdump_image_live(image));
	KUNIT_EXPECT_FALSE(test, kmemdump_image_moved(image));

	KUNIT_ASSERT_EQ(test, kmemdump_image_nr_loads(image), 2);
	load = kmemdump_image_load(image, 0);
	KUNIT_EXPECT_EQ(test, load.order, KMEMDUMP_ORDER_LOG);
	KUNIT_EXPECT_EQ(test, load.vaddr, (unsigned long)p + 4 * PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, load.paddr, __pa(p) + 4 * PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, load.size, PAGE_SIZE);
	load = kmemdump_image_load(image, 1);
	KUNIT_EXPECT_EQ(test, load.order, KMEMDUMP_ORDER_NORMAL);
	KUNIT_EXPECT_EQ(test, load.vaddr, (unsigned long)p);
	KUNIT_EXPECT_EQ(test, load.size, 2 * PAGE_SIZE);

	KUNIT_ASSERT_EQ(test, kmemdump_image_nr_regions(image), 2);
	piece = kmemdump_image_pieces(image, 0, &name, &nr);
	KUNIT_EXPECT_EQ(test, nr, 1);
	KUNIT_EXPECT_STREQ(test, name, image->regions[0].entry->names);
	KUNIT_EXPECT_PTR_EQ(test, piece, kmemdump_region_pieces(&image->regions[0]));

	KUNIT_EXPECT_PTR_EQ(test, kmemdump_image_notes(image, &size, &at), image->notes);
	KUNIT_EXPECT_EQ(test, size, image->notes_size);
	KUNIT_EXPECT_LT(test, at, size);
	KUNIT_EXPECT_GE(test, kmemdump_image_max_notes(image), size);
}

static u64 checksum_of(const struct kmemdump_image *image, const struct kmemdump_region *of)
{
	unsigned int i;

	for (i = 0; i < image->nr_regions; i++)
		if (!strcmp(kmemdump_entry_name(image->regions[i].entry), of->name))
			return image->regions[i].checksum;
	return 0;
}

/*
 * The kernel may log more before firmware saves the log. So an image for firmware has no checksum
 * of the log, as it would be wrong by then.
 */
static void log_saved_later(struct kunit *test)
{
	struct kmemdump_table *table = kmemdump_test_table(test);
	struct kmemdump_test_backend *writer = kmemdump_test_writer(test, PAGE_SIZE);
	struct kmemdump_test_backend *assisted = kmemdump_test_assisted(test, 10);
	struct kmemdump_region log = {
		.name = "log", .virt_addr = kmemdump_test_page(test, 1), .size = 8,
	};
	struct kmemdump_image *image;

	KUNIT_EXPECT_EQ(test, kmemdump_add(table, &log, NULL, KMEMDUMP_CLASS_LOG, 0), 0);
	kmemdump_test_add(test, table, "driver", kmemdump_test_page(test, 2), 8, 0);
	KUNIT_ASSERT_EQ(test, kmemdump_test_attach(test, table, writer), 0);
	KUNIT_ASSERT_EQ(test, kmemdump_test_attach(test, table, assisted), 0);
	image = kmemdump_test_build(test, table);
	kmemdump_image_build(image, table, &writer->be, NULL);
	KUNIT_ASSERT_EQ(test, image->nr_regions, 2);
	KUNIT_EXPECT_NE(test, checksum_of(image, &log), 0);

	kmemdump_image_build(image, table, &assisted->be, NULL);
	KUNIT_ASSERT_EQ(test, image->nr_regions, 2);
	KUNIT_EXPECT_EQ(test, checksum_of(image, &log), 0);
	KUNIT_EXPECT_NE(test, image->regions[0].checksum + image->regions[1].checksum, 0);
}

/*
 * A firmware-assisted backend with image ops gets the image after the writers are done, with the
 * regions that it carries.
 */
static struct kmemdump_load told_load;
static unsigned int nr_told, nr_told_loads, nr_closed_when_told;
static bool told_live, told_notes;
static const struct kmemdump_test_backend *told_after;

static void told_image(struct kmemdump_backend *be, const struct kmemdump_image *image)
{
	size_t size;

	nr_told++;
	told_live = kmemdump_image_live(image);
	nr_told_loads = kmemdump_image_nr_loads(image);
	if (nr_told_loads)
		told_load = kmemdump_image_load(image, 0);
	told_notes = kmemdump_image_notes(image, &size, NULL) && size;
	nr_closed_when_told = told_after->nr_closed;
}

static void image_for_assisted(struct kunit *test)
{
	struct kmemdump_table *table = kmemdump_test_table(test);
	struct kmemdump_test_backend *tb = kmemdump_test_assisted(test, UINT_MAX);
	struct kmemdump_test_backend *writer = kmemdump_test_writer(test, SZ_1M);
	static const struct kmemdump_image_ops ops = { .build = told_image };
	u8 *data = kmemdump_test_page(test, 1);

	kmemdump_test_add(test, table, "data", data, PAGE_SIZE, 0);
	KUNIT_ASSERT_EQ(test, kmemdump_test_attach(test, table, writer), 0);
	tb->be.image = &ops;
	nr_told = 0;
	told_after = writer;
	KUNIT_ASSERT_EQ(test, kmemdump_test_attach(test, table, tb), 0);
	kmemdump_write_all(table, NULL);
	KUNIT_EXPECT_EQ(test, nr_told, 1);
	KUNIT_EXPECT_FALSE(test, told_live);
	KUNIT_EXPECT_TRUE(test, told_notes);
	KUNIT_EXPECT_GT(test, nr_told_loads, 0);
	KUNIT_EXPECT_EQ(test, told_load.vaddr, (unsigned long)data);
	KUNIT_EXPECT_EQ(test, nr_closed_when_told, 1);
	KUNIT_EXPECT_EQ(test, writer->nr_closed, 1);

	/* The image leaves out a region that the backend does not carry. */
	kmemdump_test_detach(tb);
	tb->add_error = -ENOSPC;
	KUNIT_ASSERT_EQ(test, kmemdump_attach(table, &tb->be), 0);
	kmemdump_write_all(table, NULL);
	kmemdump_detach(table, &tb->be);
	KUNIT_EXPECT_EQ(test, nr_told, 2);
	KUNIT_EXPECT_EQ(test, nr_told_loads, 0);
	KUNIT_EXPECT_EQ(test, nr_closed_when_told, 2);
}

static struct kunit_case assisted_cases[] = {
	KUNIT_CASE(accessors),
	KUNIT_CASE(log_saved_later),
	KUNIT_CASE(image_for_assisted),
	{}
};

static struct kunit_suite assisted_suite = {
	.name		= "kmemdump-assisted",
	.test_cases	= assisted_cases,
};

kunit_test_suite(assisted_suite);

MODULE_LICENSE("GPL");
