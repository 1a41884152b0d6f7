// SPDX-License-Identifier: GPL-2.0-only
/*
 * Qualcomm minidump: a backend of kmemdump.
 *
 * Boot firmware leaves a table in SMEM. After a crash, it saves the memory that Linux has
 * listed in that table, before it boots again. So nothing has to run here when the kernel
 * crashes or hangs.
 *
 * Copyright (C) 2026 the kmemdump authors
 */
#include <linux/atomic.h>
#include <linux/kmemdump_backend.h>
#include <linux/module.h>
#include <linux/of.h>
#include <linux/platform_device.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/soc/qcom/smem.h>

#include "minidump.h"

/* There is one table. */
static atomic_t taken = ATOMIC_INIT(0);

static unsigned int slots;
module_param(slots, uint, 0444);
MODULE_PARM_DESC(slots, "regions in the table, with the ELF header (default 201)");

static unsigned int firmware_slots;
module_param(firmware_slots, uint, 0444);
MODULE_PARM_DESC(firmware_slots, "regions that the firmware can take, of all subsystems (default 300)");

static unsigned int staging_size;
module_param(staging_size, uint, 0444);
MODULE_PARM_DESC(staging_size, "bytes of memory to put small regions together in (default 4 MiB)");

static bool running;
module_param(running, bool, 0444);
MODULE_PARM_DESC(running, "list the tasks that run, for resets without a panic (default off)");

struct minidump {
	struct minidump_table	table;
	struct minidump_slots	*slots;
	bool			follows;	/* the tasks that the CPUs run */
};

static void minidump_fill(struct minidump_slots *s, unsigned int copy,
			  const struct minidump_slot *slots, unsigned int nr)
{
	minidump_table_fill(s->data, copy, slots, nr);
}

static void minidump_move(struct minidump_slots *s, unsigned int copy, unsigned int slot,
			  phys_addr_t phys_addr)
{
	minidump_table_move(s->data, copy, slot, phys_addr);
}

static void minidump_publish(struct minidump_slots *s, unsigned int copy, unsigned int nr)
{
	minidump_table_publish(s->data, copy, nr);
}

static const struct minidump_slots_ops minidump_ops = {
	.fill = minidump_fill,
	.move = minidump_move,
	.publish = minidump_publish,
};

/* A parameter of the module, else a property of the device, else the default. */
static u32 get_number(struct device *dev, u32 param, const char *property, u32 value)
{
	device_property_read_u32(dev, property, &value);
	return param ?: value;
}

/* How many slots this driver may take, with the head; 0 if they are too few to be of use. */
static unsigned int get_slots(struct device *dev, const struct minidump_toc *toc, size_t size)
{
	unsigned int nr = get_number(dev, slots, "qcom,num-slots", MINIDUMP_SHARE);
	unsigned int total = get_number(dev, firmware_slots, "qcom,firmware-slots", MINIDUMP_TOTAL);
	unsigned int others = minidump_count_others(toc, size, total);

	if (nr > total - others) {
		dev_warn(dev, "%u regions asked for, but the firmware can take %u and other subsystems have %u\n",
			 nr, total, others);
		nr = total - others;
	}
	/* The head, the staging buffer, and one more. */
	return nr < 3 ? 0 : nr;
}

/* Whether the driver of SMEM made @dev although the device tree has a node. */
static bool has_better_device(struct device *dev)
{
	struct device_node *node;
	bool found;

	if (dev->of_node)
		return false;
	node = of_find_matching_node(NULL, dev->driver->of_match_table);
	found = node && of_device_is_available(node);
	of_node_put(node);
	return found;
}

static void free_minidump(struct minidump *md)
{
	minidump_slots_free(md->slots);
	minidump_table_free(&md->table);
	kfree(md);
}

/* The table that firmware left, or an error; *@nr is set to the slots that Linux may take. */
static struct minidump_toc *find_table(struct device *dev, unsigned int *nr)
{
	struct minidump_toc *toc;
	const char *problem;
	size_t size;

	toc = qcom_smem_get(QCOM_SMEM_HOST_ANY, MINIDUMP_ITEM, &size);
	if (toc == ERR_PTR(-EPROBE_DEFER))
		return dev_err_ptr_probe(dev, -EPROBE_DEFER, "SMEM is not there\n");
	/* Most boards have SMEM, but no such firmware. */
	if (toc == ERR_PTR(-ENOENT) || toc == ERR_PTR(-ENXIO)) {
		dev_dbg(dev, "the firmware has left no table for minidumps\n");
		return ERR_PTR(-ENODEV);
	}
	if (IS_ERR(toc))
		return dev_err_ptr_probe(dev, PTR_ERR(toc),
					 "the firmware's table can't be found in a damaged SMEM\n");
	problem = minidump_check(toc, size);
	if (problem)
		return dev_err_ptr_probe(dev, -EINVAL, "the firmware's table is of no use: %s\n",
					 problem);
	*nr = get_slots(dev, toc, size);
	if (!*nr)
		return dev_err_ptr_probe(dev, -ENOSPC,
					 "no room for regions in the firmware's table\n");
	if (le32_to_cpu(toc->subsystems[MINIDUMP_APSS].status) == MINIDUMP_STATUS_READY)
		dev_info(dev, "an earlier kernel's table is dropped\n");
	return toc;
}

static int take_table(struct device *dev)
{
	struct minidump_toc *toc;
	struct minidump *md;
	unsigned int nr;
	int ret;

	toc = find_table(dev, &nr);
	if (IS_ERR(toc))
		return PTR_ERR(toc);
	/* Not devm_: if the driver goes in a panic, all of this stays. */
	md = kzalloc(sizeof(*md), GFP_KERNEL);
	if (!md)
		return -ENOMEM;
	ret = minidump_table_init(&md->table, toc, nr);
	if (ret) {
		kfree(md);
		return dev_err_probe(dev, ret, "the firmware's table can't be %s\n",
				     ret == -EROFS ? "written" : "set up");
	}
	md->slots = minidump_slots_alloc("minidump", &minidump_ops, nr - 1,
					 get_number(dev, staging_size, "qcom,staging-size", SZ_4M),
					 running);
	if (!md->slots) {
		free_minidump(md);
		return -ENOMEM;
	}
	md->slots->data = &md->table;
	ret = kmemdump_register_backend(&md->slots->be);
	if (ret) {
		free_minidump(md);
		return dev_err_probe(dev, ret, "kmemdump does not take it as a backend\n");
	}
	if (running) {
		ret = minidump_follow_tasks(md->slots);
		md->follows = !ret;
		if (ret)
			dev_warn(dev, "can't follow the tasks that CPUs run: %pe\n", ERR_PTR(ret));
	}
	dev_set_drvdata(dev, md);
	return 0;
}

static int minidump_probe(struct platform_device *pdev)
{
	int ret;

	if (has_better_device(&pdev->dev))
		return -ENODEV;
	if (atomic_xchg(&taken, 1))
		return dev_err_probe(&pdev->dev, -EBUSY, "another device has the table\n");
	ret = take_table(&pdev->dev);
	if (ret)
		atomic_set(&taken, 0);
	return ret;
}

static void minidump_remove(struct platform_device *pdev)
{
	struct minidump *md = platform_get_drvdata(pdev);

	/* In a panic, firmware still needs the table and all that it lists. */
	if (!kmemdump_unregister_backend(&md->slots->be))
		return;
	if (md->follows)
		minidump_unfollow_tasks(md->slots);
	minidump_slots_stop(md->slots);
	free_minidump(md);
	atomic_set(&taken, 0);
}

static const struct of_device_id minidump_of_match[] = {
	{ .compatible = "qcom,minidump" },
	{ }
};
MODULE_DEVICE_TABLE(of, minidump_of_match);

static struct platform_driver minidump_driver = {
	.probe	= minidump_probe,
	.remove	= minidump_remove,
	.driver	= {
		.name = "qcom-minidump",
		.of_match_table = minidump_of_match,
	},
};
module_platform_driver(minidump_driver);

MODULE_ALIAS("platform:qcom-minidump");
MODULE_DESCRIPTION("Qualcomm minidump");
MODULE_LICENSE("GPL");
