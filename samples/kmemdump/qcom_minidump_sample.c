// SPDX-License-Identifier: GPL-2.0-only
/*
 * Sample: what a driver does that knows only Qualcomm's minidumps.
 *
 * The region gets into any dump that kmemdump makes, not only into minidumps.
 */
#include <linux/io.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/soc/qcom/minidump.h>
#include <linux/string.h>

#define SIZE	256

static char *data;

static int __init qcom_minidump_sample_init(void)
{
	/* The struct need not stay. */
	struct qcom_minidump_region region = { .name = "VENDOR_DATA", .size = SIZE };
	int ret;

	data = kzalloc(SIZE, GFP_KERNEL);
	if (!data)
		return -ENOMEM;
	strscpy(data, "vendor data of a minidump region", SIZE);
	region.virt_addr = data;
	region.phys_addr = virt_to_phys(data);
	ret = qcom_minidump_region_register(&region);
	if (ret)
		kfree(data);
	return ret;
}

static void __exit qcom_minidump_sample_exit(void)
{
	static const struct qcom_minidump_region region = { .name = "VENDOR_DATA" };

	WARN_ON(qcom_minidump_region_unregister(&region));
	kfree(data);
}

module_init(qcom_minidump_sample_init);
module_exit(qcom_minidump_sample_exit);

MODULE_DESCRIPTION("Sample of a driver that registers a minidump region");
MODULE_LICENSE("GPL");
