// SPDX-License-Identifier: GPL-2.0-only
/* Test module: what the driver of a vendor would do, which knows only minidumps. */
#include <linux/io.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/soc/qcom/minidump.h>
#include <linux/string.h>

#define TEXT	"vendor data of a minidump region"

static struct md_region region = {
	.name = "VENDOR_DATA",
	.size = 256,
};

static char *data;

static int __init kmemdump_vendor_init(void)
{
	int ret;

	data = kzalloc(region.size, GFP_KERNEL);
	if (!data)
		return -ENOMEM;
	strscpy(data, TEXT, region.size);
	region.virt_addr = (uintptr_t)data;
	region.phys_addr = virt_to_phys(data);
	ret = qcom_minidump_region_register(&region);
	if (ret)
		kfree(data);
	return ret;
}

static void __exit kmemdump_vendor_exit(void)
{
	qcom_minidump_region_unregister(&region);
	kfree(data);
}

module_init(kmemdump_vendor_init);
module_exit(kmemdump_vendor_exit);

MODULE_DESCRIPTION("A vendor's driver for kmemdump tests");
MODULE_LICENSE("GPL");
