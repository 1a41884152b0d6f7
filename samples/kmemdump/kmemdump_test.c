// SPDX-License-Identifier: GPL-2.0-only
/*
 * Sample: have a driver's state carried across a crash.
 *
 * Load it, crash the machine, and find the text again with
 * "kmemdump show DUMP my_critical_data". See
 * Documentation/admin-guide/kmemdump.rst.
 */
#include <linux/kmemdump.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/string.h>

#define DATA_SIZE	1024

static char *critical_data;

static struct kmemdump_region region = {
	.name	= "my_critical_data",
	.size	= DATA_SIZE,
	.id	= 10,
};

static int __init kmemdump_test_init(void)
{
	int ret;

	critical_data = kzalloc(DATA_SIZE, GFP_KERNEL);
	if (!critical_data)
		return -ENOMEM;
	strscpy(critical_data,
		"CRITICAL_STATE: User_ID=1234, Last_Cmd=Format, Status=Panic!!",
		DATA_SIZE);

	region.virt_addr = critical_data;
	ret = kmemdump_register_region(&region);
	if (ret) {
		kfree(critical_data);
		return ret;
	}

	pr_info("Kmemdump Test: Region Registered at %p\n", critical_data);
	return 0;
}

static void __exit kmemdump_test_exit(void)
{
	kmemdump_unregister_region(&region);
	kfree(critical_data);
}

module_init(kmemdump_test_init);
module_exit(kmemdump_test_exit);

MODULE_DESCRIPTION("Sample of a kmemdump provider");
MODULE_LICENSE("GPL");
