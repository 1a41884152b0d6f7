// SPDX-License-Identifier: GPL-2.0-only
/*
 * kmemdump: KUnit tests of regions that go with their module, memory or device.
 *
 * Copyright (C) 2026 the kmemdump authors
 */
#include <kunit/platform_device.h>
#include <linux/completion.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/pfn.h>
#include <linux/platform_device.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "test_backend.h"

static char buffer[64];

#ifdef CONFIG_MODULES
static void add_owned(struct kunit *test, struct kmemdump_table *table, const char *name,
		      struct module *owner, u8 flags)
{
	struct kmemdump_region region = { .name = name, .virt_addr = buffer, .size = 8 };

	KUNIT_EXPECT_EQ(test, kmemdump_add(table, &region, owner, KMEMDUMP_CLASS_DRIVER, flags),
			0);
}

static void module_goes(struct kunit *test)
{
	struct kmemdump_table *table = kmemdump_test_table(test);
	struct module *mod = kunit_kcalloc(test, 2, sizeof(*mod), GFP_KERNEL);
	struct kmemdump_entry *entry;

	KUNIT_ASSERT_NOT_NULL(test, mod);
	strscpy(mod[0].name, "going");
	strscpy(mod[1].name, "staying");
	add_owned(test, table, "left a", &mod[0], 0);
	add_owned(test, table, "other", &mod[1], 0);
	add_owned(test, table, "kernel", NULL, 0);
	add_owned(test, table, "left b", &mod[0], 0);
	add_owned(test, table, "annotated", &mod[0], KMEMDUMP_ENTRY_SILENT);

	mutex_lock(&table->lock);
	entry = kmemdump_find(table, "left a");
	KUNIT_EXPECT_STREQ(test, kmemdump_entry_owner(entry), "going");
	mutex_unlock(&table->lock);

	KUNIT_EXPECT_EQ(test, kmemdump_remove_module(table, &mod[0]), 2);
	KUNIT_EXPECT_EQ(test, table->nr_regions, 2);
	KUNIT_EXPECT_EQ(test, kmemdump_remove_module(table, &mod[0]), 0);
	KUNIT_EXPECT_EQ(test, kmemdump_remove_module(table, &mod[1]), 1);
	KUNIT_EXPECT_EQ(test, table->nr_regions, 1);
}
#else
static void module_goes(struct kunit *test)
{
	kunit_skip(test, "this kernel has no modules");
}
#endif

static void memory_goes(struct kunit *test)
{
	struct kmemdump_table *table = kmemdump_test_table(test);
	struct page *page = alloc_pages(GFP_KERNEL, 2);
	unsigned long pfn = page_to_pfn(page);
	void *p = page_address(page);

	KUNIT_ASSERT_NOT_NULL(test, page);
	kmemdump_test_add(test, table, "before", p, PAGE_SIZE, 0);
	kmemdump_test_add(test, table, "first byte", p + 2 * PAGE_SIZE - 1, 2, 0);
	kmemdump_test_add(test, table, "within", p + 2 * PAGE_SIZE, 10, 0);
	kmemdump_test_add(test, table, "last byte", p + 3 * PAGE_SIZE - 1, 1, 0);
	kmemdump_test_add(test, table, "all", p, 4 * PAGE_SIZE, 0);
	kmemdump_test_add(test, table, "after", p + 3 * PAGE_SIZE, 1, 0);

	KUNIT_EXPECT_EQ(test, kmemdump_remove_range(table, pfn + 2, 1), 4);
	mutex_lock(&table->lock);
	KUNIT_EXPECT_NOT_NULL(test, kmemdump_find(table, "before"));
	KUNIT_EXPECT_NOT_NULL(test, kmemdump_find(table, "after"));
	mutex_unlock(&table->lock);
	KUNIT_EXPECT_EQ(test, kmemdump_remove_range(table, pfn + 2, 1), 0);
	KUNIT_EXPECT_EQ(test, kmemdump_remove_range(table, pfn, 4), 2);
	__free_pages(page, 2);
}

/* A driver of a real platform device. Its probe is deferred until a supplier has probed. */

static struct {
	bool ready;
	unsigned int probes;
	bool in_list;		/* while probe was running */
	int ret;
	struct completion bound;
	struct completion deferred;
} drv;

static int provider_probe(struct platform_device *pdev)
{
	struct kmemdump_region region = { .name = "kunit_devm", .size = 32 };

	drv.probes++;
	region.virt_addr = devm_kzalloc(&pdev->dev, 32, GFP_KERNEL);
	if (!region.virt_addr)
		return -ENOMEM;
	drv.ret = devm_kmemdump_register_region(&pdev->dev, &region);
	if (drv.ret)
		return drv.ret;
	drv.in_list = kmemdump_test_find("kmemdump-kunit:kunit_devm").found;
	if (!drv.ready) {
		complete(&drv.deferred);
		return -EPROBE_DEFER;
	}
	return 0;
}

static struct platform_driver provider = {
	.probe		= provider_probe,
	.driver.name	= "kmemdump-kunit",
};

static int supplier_probe(struct platform_device *pdev)
{
	drv.ready = true;
	return 0;
}

static struct platform_driver supplier = {
	.probe		= supplier_probe,
	.driver.name	= "kmemdump-kunit-supplier",
};

static void make_device(struct kunit *test, const char *name, struct platform_device **pdev)
{
	*pdev = kunit_platform_device_alloc(test, name, PLATFORM_DEVID_NONE);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, *pdev);
}

static void driver_unbinds(struct kunit *test)
{
	struct platform_device *pdev, *other;

	memset(&drv, 0, sizeof(drv));
	init_completion(&drv.bound);
	init_completion(&drv.deferred);
	make_device(test, "kmemdump-kunit", &pdev);
	make_device(test, "kmemdump-kunit-supplier", &other);
	KUNIT_ASSERT_EQ(test, kunit_platform_device_add(test, pdev), 0);
	KUNIT_ASSERT_EQ(test, kunit_platform_driver_register(test, &provider), 0);

	/* The probe registered the region and was deferred, so devm removed the region. */
	KUNIT_ASSERT_NE(test, wait_for_completion_timeout(&drv.deferred, 10 * HZ), 0);
	wait_for_device_probe();
	KUNIT_EXPECT_EQ(test, drv.ret, 0);
	KUNIT_EXPECT_TRUE(test, drv.in_list);
	KUNIT_EXPECT_FALSE(test, kmemdump_test_find("kmemdump-kunit:kunit_devm").found);

	/* Once the supplier has probed, the driver core probes the provider again. */
	KUNIT_ASSERT_EQ(test, kunit_platform_device_prepare_wait_for_probe(test, pdev,
									   &drv.bound), 0);
	KUNIT_ASSERT_EQ(test, kunit_platform_driver_register(test, &supplier), 0);
	KUNIT_ASSERT_EQ(test, kunit_platform_device_add(test, other), 0);
	KUNIT_ASSERT_NE(test, wait_for_completion_timeout(&drv.bound, 10 * HZ), 0);
	KUNIT_EXPECT_GE(test, drv.probes, 2);
	KUNIT_EXPECT_TRUE(test, kmemdump_test_find("kmemdump-kunit:kunit_devm").found);

	device_release_driver(&pdev->dev);
	KUNIT_EXPECT_FALSE(test, kmemdump_test_find("kmemdump-kunit:kunit_devm").found);
}

/* Several devices can each have a region of the same name, and remove it by that name. */
static void devm_names(struct kunit *test)
{
	struct kmemdump_region one = { .name = "stats", .virt_addr = buffer, .size = 4 };
	struct kmemdump_region two = { .name = "stats", .virt_addr = buffer + 8, .size = 4 };
	struct platform_device *pdev, *other;

	make_device(test, "kmemdump-kunit-1", &pdev);
	make_device(test, "kmemdump-kunit-2", &other);
	KUNIT_ASSERT_EQ(test, kunit_platform_device_add(test, pdev), 0);
	KUNIT_ASSERT_EQ(test, kunit_platform_device_add(test, other), 0);
	KUNIT_ASSERT_EQ(test, devm_kmemdump_register_region(&pdev->dev, &one), 0);
	KUNIT_ASSERT_EQ(test, devm_kmemdump_register_region(&other->dev, &two), 0);
	KUNIT_EXPECT_EQ(test, kmemdump_region_id("kmemdump-kunit-1:stats"), one.id);
	KUNIT_EXPECT_EQ(test, kmemdump_region_id("kmemdump-kunit-2:stats"), two.id);
	KUNIT_EXPECT_EQ(test, kmemdump_region_id("stats"), -ENOENT);

	KUNIT_EXPECT_EQ(test, kmemdump_test_find("kmemdump-kunit-2:stats").addr,
			(unsigned long)buffer + 8);
	KUNIT_EXPECT_EQ(test, kmemdump_test_find("kmemdump-kunit-1:stats").addr,
			(unsigned long)buffer);
	one.name = "tats";
	KUNIT_EXPECT_EQ(test, kmemdump_unregister_region(&one), -ENOENT);
	one.name = "stats";
	KUNIT_EXPECT_EQ(test, kmemdump_unregister_region(&one), 0);
	KUNIT_EXPECT_FALSE(test, kmemdump_test_find("kmemdump-kunit-1:stats").found);
	KUNIT_EXPECT_TRUE(test, kmemdump_test_find("kmemdump-kunit-2:stats").found);
}

/* If the name of a device is too long, only its end is in the name of the region. */
static void devm_long_name(struct kunit *test)
{
	static const char device[] = "kmemdump-kunit-of-a-bus-with-long-names-behind-a-bus:port";
	struct kmemdump_region region = { .name = "0123456789", .virt_addr = buffer, .size = 4 };
	char name[KMEMDUMP_NAME_LEN];
	struct platform_device *pdev;

	make_device(test, device, &pdev);
	KUNIT_ASSERT_EQ(test, kunit_platform_device_add(test, pdev), 0);
	KUNIT_ASSERT_EQ(test, devm_kmemdump_register_region(&pdev->dev, &region), 0);
	snprintf(name, sizeof(name), "%s:0123456789", device + strlen(device) - 52);
	KUNIT_EXPECT_EQ(test, strlen(name), sizeof(name) - 1);
	KUNIT_EXPECT_EQ(test, kmemdump_region_id(name), region.id);

	/* There has to be room for at least one character of the device's name. */
	memset(name, 'x', sizeof(name));
	name[KMEMDUMP_NAME_LEN - 2] = '\0';
	region.name = name;
	region.id = 0;
	KUNIT_EXPECT_EQ(test, devm_kmemdump_register_region(&pdev->dev, &region), -ENAMETOOLONG);
	region.name = name + 1;
	KUNIT_EXPECT_EQ(test, devm_kmemdump_register_region(&pdev->dev, &region), 0);
}

static void devm_refuses(struct kunit *test)
{
	struct kmemdump_region region = { .name = "kunit_devm", .virt_addr = buffer };
	struct platform_device *pdev;

	make_device(test, "kmemdump-kunit-bad", &pdev);
	KUNIT_ASSERT_EQ(test, kunit_platform_device_add(test, pdev), 0);
	KUNIT_EXPECT_EQ(test, devm_kmemdump_register_region(&pdev->dev, NULL), -EINVAL);
	KUNIT_EXPECT_EQ(test, devm_kmemdump_register_region(&pdev->dev, &region), -EINVAL);
	region.name = NULL;
	KUNIT_EXPECT_EQ(test, devm_kmemdump_register_region(&pdev->dev, &region), -EINVAL);
	region.name = "";
	KUNIT_EXPECT_EQ(test, devm_kmemdump_register_region(&pdev->dev, &region), -EINVAL);
}

static struct kunit_case lifetime_cases[] = {
	KUNIT_CASE(module_goes),
	KUNIT_CASE(memory_goes),
	KUNIT_CASE(driver_unbinds),
	KUNIT_CASE(devm_names),
	KUNIT_CASE(devm_long_name),
	KUNIT_CASE(devm_refuses),
	{}
};

static struct kunit_suite lifetime_suite = {
	.name		= "kmemdump-lifetime",
	.test_cases	= lifetime_cases,
};

kunit_test_suite(lifetime_suite);

MODULE_LICENSE("GPL");
