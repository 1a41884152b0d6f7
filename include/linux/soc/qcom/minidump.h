/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Qualcomm minidump: regions in the words that drivers of vendors have for them.
 *
 * New code uses <linux/kmemdump.h>, which this is only other words for: what is
 * registered gets into minidumps, and into any other dump that kmemdump makes.
 * There are two sets of words, of series posted for mainline and of vendors'
 * kernels. Both know a region by its name, so the struct need not be kept.
 */
#ifndef _LINUX_SOC_QCOM_MINIDUMP_H
#define _LINUX_SOC_QCOM_MINIDUMP_H

#include <linux/errno.h>
#include <linux/kmemdump.h>
#include <linux/string.h>
#include <linux/types.h>

/**
 * struct qcom_minidump_region - a range of memory to be saved
 * @name:	unique name
 * @phys_addr:	physical address, or 0 to have it found out. Of memory that is in
 *		several pieces, such as that of vmalloc(), it has to be 0
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
 * struct md_region - a range of memory to be saved, as vendors' kernels have it
 * @name:	unique name
 * @id:		not used
 * @virt_addr:	kernel virtual address
 * @phys_addr:	as in struct qcom_minidump_region
 * @size:	bytes
 */
struct md_region {
	char	name[13];
	u32	id;
	u64	virt_addr;
	u64	phys_addr;
	u64	size;
};

static inline int qcom_minidump_unregister_name(const char *name, size_t size)
{
	struct kmemdump_region region = { .name = name };

	if (strnlen(name, size) == size)
		return -EINVAL;
	region.id = kmemdump_region_id(name);
	return region.id < 0 ? region.id : kmemdump_unregister_region(&region);
}

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
	return qcom_minidump_unregister_name(region->name, sizeof(region->name));
}

static inline struct kmemdump_region md_region_to_kmemdump(const struct md_region *region, int id)
{
	return (struct kmemdump_region) {
		.name		= region->name,
		.virt_addr	= (const void *)(uintptr_t)region->virt_addr,
		.phys_addr	= region->phys_addr,
		.size		= region->size,
		.id		= id,
	};
}

/**
 * msm_minidump_add_region() - have memory carried across a crash
 * @region: what to carry; may go afterwards, the memory may not
 *
 * Unlike in vendors' kernels, not in atomic context.
 *
 * Context: process context, may sleep.
 * Return: a number for msm_minidump_update_region(); %-EINVAL if the name has no
 * end; else as kmemdump_register_region().
 */
static inline int msm_minidump_add_region(const struct md_region *region)
{
	struct kmemdump_region copy = md_region_to_kmemdump(region, 0);

	if (strnlen(region->name, sizeof(region->name)) == sizeof(region->name))
		return -EINVAL;
	return kmemdump_register_region(&copy) ?: copy.id;
}

/**
 * msm_minidump_update_region() - tell that a region has moved
 * @regno:	what msm_minidump_add_region() returned
 * @region:	its name and size as before, and its new address
 *
 * Context: any, also NMI.
 * Return: as kmemdump_update_region().
 */
static inline int msm_minidump_update_region(int regno, const struct md_region *region)
{
	struct kmemdump_region copy = md_region_to_kmemdump(region, regno);

	return kmemdump_update_region(&copy);
}

/**
 * msm_minidump_remove_region() - stop carrying a region
 * @region: one of its name
 *
 * Context: process context, may sleep.
 * Return: 0; %-EINVAL if the name has no end; %-ENOENT if there is none of it.
 */
static inline int msm_minidump_remove_region(const struct md_region *region)
{
	return qcom_minidump_unregister_name(region->name, sizeof(region->name));
}

/**
 * msm_minidump_enabled() - whether it is of use to add regions
 *
 * Context: any.
 * Return: true if the kernel has kmemdump, as a backend may attach at any time.
 */
static inline bool msm_minidump_enabled(void)
{
	return IS_ENABLED(CONFIG_KMEMDUMP);
}

#endif /* _LINUX_SOC_QCOM_MINIDUMP_H */
