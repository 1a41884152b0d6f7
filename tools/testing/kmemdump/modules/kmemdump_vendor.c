// SPDX-License-Identifier: GPL-2.0-only
/* Test module: what drivers of vendors do, which know only minidumps. */
#include <linux/io.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/soc/qcom/minidump.h>
#include <linux/string.h>

#define TEXT	"vendor data of a minidump region"
#define SIZE	256

static char *data, *places[2];

/* In the words of the series for mainline, with a struct that does not stay. */
static int register_data(void)
{
	struct qcom_minidump_region region;

	strscpy(region.name, "VENDOR_DATA", sizeof(region.name));
	region.virt_addr = data;
	region.phys_addr = virt_to_phys(data);
	region.size = SIZE;
	return qcom_minidump_region_register(&region);
}

static int unregister_data(void)
{
	static const struct qcom_minidump_region region = { .name = "VENDOR_DATA" };

	return qcom_minidump_region_unregister(&region);
}

/* In those of vendors' kernels. */
static struct md_region at_place(int i)
{
	struct md_region region = {
		.virt_addr = (uintptr_t)places[i], .phys_addr = virt_to_phys(places[i]),
		.size = SIZE,
	};

	strscpy(region.name, "VENDOR_MOVES", sizeof(region.name));
	return region;
}

static int add_and_move(void)
{
	struct md_region region = at_place(0);
	int regno;

	if (!msm_minidump_enabled())
		return 0;
	regno = msm_minidump_add_region(&region);
	if (regno < 0)
		return regno;
	region = at_place(1);
	return msm_minidump_update_region(regno, &region);
}

static int remove_moved(void)
{
	const struct md_region region = at_place(0);

	return msm_minidump_remove_region(&region);
}

static void free_all(void)
{
	kfree(data);
	kfree(places[0]);
	kfree(places[1]);
}

static int __init kmemdump_vendor_init(void)
{
	int ret;

	data = kzalloc(SIZE, GFP_KERNEL);
	places[0] = kzalloc(SIZE, GFP_KERNEL);
	places[1] = kzalloc(SIZE, GFP_KERNEL);
	if (!data || !places[0] || !places[1]) {
		free_all();
		return -ENOMEM;
	}
	strscpy(data, TEXT, SIZE);
	strscpy(places[0], "before", SIZE);
	strscpy(places[1], "after the move", SIZE);
	ret = register_data();
	if (ret)
		free_all();
	else
		WARN_ON(add_and_move());
	return ret;
}

static void __exit kmemdump_vendor_exit(void)
{
	WARN_ON(unregister_data());
	WARN_ON(remove_moved());
	/* Nothing of these names is left. */
	if (IS_ENABLED(CONFIG_KMEMDUMP))
		WARN_ON(unregister_data() != -ENOENT || remove_moved() != -ENOENT);
	free_all();
}

module_init(kmemdump_vendor_init);
module_exit(kmemdump_vendor_exit);

MODULE_DESCRIPTION("A vendor's driver for kmemdump tests");
MODULE_LICENSE("GPL");
