/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Qualcomm minidump: regions in the form that vendors' drivers have them.
 *
 * New code uses <linux/kmemdump.h>, which this is only other words for: what is
 * registered gets into minidumps, and into any other dump that kmemdump makes.
 */
#ifndef _LINUX_SOC_QCOM_MINIDUMP_H
#define _LINUX_SOC_QCOM_MINIDUMP_H

#include <linux/kmemdump.h>
#include <linux/types.h>

/**
 * struct md_region - a range of memory to be saved
 * @name:	unique name
 * @id:		unique number, or 0 to be given one. To be kept until the region is
 *		unregistered
 * @virt_addr:	kernel virtual address
 * @phys_addr:	physical address, or 0 to have it found out. Of memory that is in
 *		several pieces, such as that of vmalloc(), it has to be 0
 * @size:	bytes
 */
struct md_region {
	char	name[KMEMDUMP_NAME_LEN];
	u32	id;
	u64	virt_addr;
	u64	phys_addr;
	u64	size;
};

static inline struct kmemdump_region qcom_minidump_to_kmemdump(const struct md_region *region)
{
	return (struct kmemdump_region) {
		.name		= region->name,
		.virt_addr	= (const void *)(uintptr_t)region->virt_addr,
		.phys_addr	= region->phys_addr,
		.size		= region->size,
		.id		= region->id,
	};
}

/**
 * qcom_minidump_region_register() - have memory carried across a crash
 * @region: what to carry; its @id is filled in if it was 0
 *
 * See kmemdump_register_region() for context and errors.
 *
 * Return: 0 or a negative errno.
 */
static inline int qcom_minidump_region_register(struct md_region *region)
{
	struct kmemdump_region copy = qcom_minidump_to_kmemdump(region);
	int ret = kmemdump_register_region(&copy);

	region->id = copy.id;
	return ret;
}

/**
 * qcom_minidump_region_unregister() - stop carrying a region
 * @region: the struct that was registered
 *
 * See kmemdump_unregister_region() for context and errors.
 *
 * Return: 0 or a negative errno.
 */
static inline int qcom_minidump_region_unregister(struct md_region *region)
{
	struct kmemdump_region copy = qcom_minidump_to_kmemdump(region);
	int ret = kmemdump_unregister_region(&copy);

	region->id = copy.id;
	return ret;
}

#endif /* _LINUX_SOC_QCOM_MINIDUMP_H */
