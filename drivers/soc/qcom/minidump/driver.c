// SPDX-License-Identifier: GPL-2.0-only
/*
 * Qualcomm minidump: a backend of kmemdump.
 *
 * Boot firmware leaves a table in SMEM. What Linux lists in it is saved after a
 * crash, by the firmware, before it boots again. So nothing has to run here when
 * the kernel crashes or hangs.
 *
 * Copyright (C) 2026 the kmemdump authors
 */
#include <linux/atomic.h>
#include <linux/kmemdump_backend.h>
#include <linux/module.h>
#include <linux/of.h>
#include <linux/platform_device.h>
#include <linux/sizes.h>
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

struct minidump {
	struct minidump_table	table;
	struct kmemdump_backend	backend;
};

static struct minidump_table *to_table(struct kmemdump_backend *be)
{
	return &container_of(be, struct minidump, backend)->table;
}

static void minidump_fill(struct kmemdump_backend *be, unsigned int copy,
			  const struct kmemdump_slot *slots, unsigned int nr)
{
	minidump_table_fill(to_table(be), copy, slots, nr);
}

static void minidump_move(struct kmemdump_backend *be, unsigned int copy, unsigned int slot,
			  phys_addr_t phys_addr)
{
	minidump_table_move(to_table(be), copy, slot, phys_addr);
}

static void minidump_publish(struct kmemdump_backend *be, unsigned int copy, unsigned int nr)
{
	minidump_table_publish(to_table(be), copy, nr);
}

static const struct kmemdump_backend_ops minidump_ops = {
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

/* How many regions we may list, the first one included; 0 if it is not worth it. */
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
	/* The header, the staging buffer, and one more. */
	return nr < 3 ? 0 : nr;
}

/* Whether @dev is the one that the driver of SMEM makes, though there is a node. */
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

static int take_table(struct device *dev)
{
	struct minidump_toc *toc;
	struct minidump *md;
	const char *problem;
	unsigned int nr;
	size_t size;
	int ret;

	toc = qcom_smem_get(QCOM_SMEM_HOST_ANY, MINIDUMP_ITEM, &size);
	if (toc == ERR_PTR(-EPROBE_DEFER))
		return dev_err_probe(dev, -EPROBE_DEFER, "SMEM is not there\n");
	/* Most boards have SMEM, but no such firmware. */
	if (toc == ERR_PTR(-ENOENT) || toc == ERR_PTR(-ENXIO)) {
		dev_dbg(dev, "the firmware has left no table for minidumps\n");
		return -ENODEV;
	}
	if (IS_ERR(toc))
		return dev_err_probe(dev, PTR_ERR(toc),
				     "the firmware's table can't be found in a damaged SMEM\n");
	problem = minidump_check(toc, size);
	if (problem)
		return dev_err_probe(dev, -EINVAL, "the firmware's table is of no use: %s\n",
				     problem);
	nr = get_slots(dev, toc, size);
	if (!nr)
		return dev_err_probe(dev, -ENOSPC, "no room for regions in the firmware's table\n");
	if (le32_to_cpu(toc->subsystems[MINIDUMP_APSS].status) == MINIDUMP_STATUS_READY)
		dev_info(dev, "an earlier kernel's table is dropped\n");

	md = devm_kzalloc(dev, sizeof(*md), GFP_KERNEL);
	if (!md)
		return -ENOMEM;
	ret = minidump_table_init(&md->table, toc, nr);
	if (ret)
		return dev_err_probe(dev, ret, "the firmware's table can't be %s\n",
				     ret == -EROFS ? "written" : "set up");
	md->backend = (struct kmemdump_backend) {
		.name		= "minidump",
		.ops		= &minidump_ops,
		.max_slots	= nr - 1,
		.max_bytes	= U64_MAX,
		.staging_size	= get_number(dev, staging_size, "qcom,staging-size", SZ_4M),
	};
	ret = kmemdump_register_backend(&md->backend);
	if (ret) {
		minidump_table_free(&md->table);
		return dev_err_probe(dev, ret, "kmemdump does not take it as a backend\n");
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

	kmemdump_unregister_backend(&md->backend);
	minidump_table_free(&md->table);
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
