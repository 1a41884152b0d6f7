// SPDX-License-Identifier: GPL-2.0-only
/*
 * kmemdump: KUnit tests of the newest part of the log.
 *
 * Copyright (C) 2026 the kmemdump authors
 */
#include <linux/kernel.h>
#include <linux/mm.h>
#include <linux/slab.h>

#include "test_backend.h"

/* The log is split by age into loads that have room, however many other regions there are. */
static void log_has_room(struct kunit *test)
{
	static const char * const rings[] = { "log_descs", "log_infos", "log_text" };
	struct kmemdump_table *table = kmemdump_test_table(test);
	struct kmemdump_test_backend *writer = kmemdump_test_writer(test, PAGE_SIZE);
	u8 *p = kunit_kmalloc(test, 200 * PAGE_SIZE, GFP_KERNEL);
	struct kmemdump_image *image;
	unsigned int i, first;
	char name[8];

	KUNIT_ASSERT_NOT_NULL(test, p);
	for (i = 0; i < ARRAY_SIZE(rings); i++) {
		struct kmemdump_region region = { .name = rings[i] };
		struct kmemdump_entry *entry;
		unsigned int nr = 0;

		mutex_lock(&kmemdump_table.lock);
		entry = kmemdump_find(&kmemdump_table, rings[i]);
		if (entry) {
			region.virt_addr = (void *)kmemdump_entry_pieces(entry, &nr)->virt_addr;
			region.size = kmemdump_entry_size(entry);
		}
		mutex_unlock(&kmemdump_table.lock);
		KUNIT_ASSERT_EQ(test, nr, 1);
		KUNIT_ASSERT_EQ(test, kmemdump_add(table, &region, NULL, KMEMDUMP_CLASS_LOG,
						   KMEMDUMP_ENTRY_RING), 0);
	}
	KUNIT_ASSERT_EQ(test, kmemdump_test_attach(test, table, writer), 0);
	/* Add regions that use up all room but the loads that are reserved for the log. */
	for (i = 0; i < 100; i++) {
		snprintf(name, sizeof(name), "r%u", i);
		kmemdump_test_add(test, table, name, p + 2 * i * PAGE_SIZE, PAGE_SIZE, 0);
	}
	image = kmemdump_test_image(test, table->nr_regions, table->nr_pieces,
				    table->nr_pieces + KMEMDUMP_LOG_LOADS);
	kmemdump_image_build(image, table, NULL, NULL);
	KUNIT_EXPECT_EQ(test, image->nr_left_out, 0);
	KUNIT_EXPECT_LE(test, image->nr_loads, image->max_loads);
	for (first = 0; first < image->nr_loads; first++)
		if (kmemdump_test_order(image, first) > KMEMDUMP_ORDER_LOG)
			break;
	/* The 100 regions share no pages, so each is a load, and all come after the log. */
	KUNIT_EXPECT_EQ(test, image->nr_loads - first, 100);
	KUNIT_EXPECT_GT(test, first, ARRAY_SIZE(rings));
}

static struct kunit_case log_newest_cases[] = {
	KUNIT_CASE(log_has_room),
	{}
};

static struct kunit_suite log_newest_suite = {
	.name		= "kmemdump-log-newest",
	.test_cases	= log_newest_cases,
};

kunit_test_suite(log_newest_suite);

MODULE_LICENSE("GPL");
