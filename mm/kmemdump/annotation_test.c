// SPDX-License-Identifier: GPL-2.0-only
/*
 * kmemdump: KUnit tests of annotated variables.
 *
 * Copyright (C) 2026 the kmemdump authors
 */
#include <linux/cpumask.h>
#include <linux/kernel.h>
#include <linux/percpu.h>

#include "test_backend.h"

static char buffer[64];

/* Variables that the kernel image annotates are in the live list from boot on. */

static int kmemdump_test_annotated = 42;
KMEMDUMP_VAR(kmemdump_test_annotated);

static char kmemdump_test_annotated_part[100];
KMEMDUMP_VAR_SIZE(kmemdump_test_annotated_part, 10);

static DEFINE_PER_CPU(int, kmemdump_test_annotated_percpu);
KMEMDUMP_VAR(kmemdump_test_annotated_percpu);

static void annotated(struct kunit *test)
{
	struct kmemdump_test_live live;

	live = kmemdump_test_find("annotation_test:kmemdump_test_annotated");
	KUNIT_ASSERT_TRUE(test, live.found);
	KUNIT_EXPECT_EQ(test, live.addr, (unsigned long)&kmemdump_test_annotated);
	KUNIT_EXPECT_EQ(test, live.size, sizeof(kmemdump_test_annotated));

	live = kmemdump_test_find("annotation_test:kmemdump_test_annotated_part");
	KUNIT_ASSERT_TRUE(test, live.found);
	KUNIT_EXPECT_EQ(test, live.addr, (unsigned long)kmemdump_test_annotated_part);
	KUNIT_EXPECT_EQ(test, live.size, 10);

	live = kmemdump_test_find("annotation_test:kmemdump_test_annotated_percpu");
	KUNIT_ASSERT_TRUE(test, live.found);
	KUNIT_EXPECT_EQ(test, live.size, num_possible_cpus() * sizeof(int));
	KUNIT_EXPECT_TRUE(test, live.flags & KMEMDUMP_ENTRY_PERCPU);
}

/* A bad annotation is left out; the good ones are still registered. */
static void bad_annotations(struct kunit *test)
{
	static const char * const refused[] = { "", "kmemdump-test-zero", "kmemdump-test-user" };
	struct kmemdump_region region = { .name = "kmemdump-test-good" };
	unsigned int i;

	kmemdump_add_var("kmemdump-test-good", buffer, sizeof(buffer), NULL);
	kmemdump_add_var("kmemdump-test-good", buffer, 1, NULL);
	kmemdump_add_var("kmemdump-test-zero", buffer, 0, NULL);
	kmemdump_add_var("", buffer, sizeof(buffer), NULL);
	kmemdump_add_var(NULL, buffer, sizeof(buffer), NULL);
	kmemdump_add_var("kmemdump-test-user", (void *)0x400000UL, 1, NULL);
	for (i = 0; i < ARRAY_SIZE(refused); i++)
		KUNIT_EXPECT_FALSE(test, kmemdump_test_find(refused[i]).found);
	KUNIT_EXPECT_EQ(test, kmemdump_test_find(region.name).size, sizeof(buffer));
	region.id = kmemdump_region_id(region.name);
	KUNIT_EXPECT_EQ(test, kmemdump_unregister_region(&region), 0);
}

static struct kunit_case annotation_cases[] = {
	KUNIT_CASE(annotated),
	KUNIT_CASE(bad_annotations),
	{}
};

static struct kunit_suite annotation_suite = {
	.name		= "kmemdump-annotation",
	.test_cases	= annotation_cases,
};

kunit_test_suite(annotation_suite);

MODULE_LICENSE("GPL");
