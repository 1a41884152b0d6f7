/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Qualcomm minidump: regions, for drivers that know only minidumps.
 *
 * New code uses <linux/kmemdump.h>, which this wraps: what is registered gets into minidumps,
 * and into any other dump that kmemdump makes. A region is known by its name, so the struct
 * need not be kept.
 */
#ifndef _LINUX_SOC_QCOM_MINIDUMP_H
#define _LINUX_SOC_QCOM_MINIDUMP_H

#include <linux/errno.h>
#include <linux/kmemdump.h>
#include <linux/string.h>
#include <linux/types.h>

/**
 * struct qcom_minidump_region - a range of memory to be saved
 * @name:	unique name, with a NUL
 * @phys_addr:	physical address; 0: taken from @virt_addr, as it has to be for memory
 *		in several pieces, such as that of vmalloc()
 * @virt_addr:	kernel virtual address
 * @size:	bytes
 */
struct qcom_minidump_region {
	char		name[12];
	phys_addr_t	phys_addr;
	void		*virt_addr;
	size_t		size;
};

/**
 * qcom_minidump_region_register() - have memory carried across a crash
 * @region: what to carry; may go afterwards, the memory may not
 *
 * Context: process context, may sleep.
 * Return: 0; %-EINVAL if the name has no end; else as kmemdump_register_region().
 */
static inline int qcom_minidump_region_register(const struct qcom_minidump_region *region)
{
	struct kmemdump_region copy = {
		.name		= region->name,
		.virt_addr	= region->virt_addr,
		.phys_addr	= region->phys_addr,
		.size		= region->size,
	};

	if (strnlen(region->name, sizeof(region->name)) == sizeof(region->name))
		return -EINVAL;
	return kmemdump_register_region(&copy);
}

/**
 * qcom_minidump_region_unregister() - stop carrying a region
 * @region: one of its name
 *
 * Context: process context, may sleep.
 * Return: 0; %-EINVAL if the name has no end; %-ENOENT if there is none of it.
 */
static inline int qcom_minidump_region_unregister(const struct qcom_minidump_region *region)
{
	struct kmemdump_region copy = { .name = region->name };

	if (strnlen(region->name, sizeof(region->name)) == sizeof(region->name))
		return -EINVAL;
	copy.id = kmemdump_region_id(region->name);
	return copy.id < 0 ? copy.id : kmemdump_unregister_region(&copy);
}

#endif /* _LINUX_SOC_QCOM_MINIDUMP_H */
