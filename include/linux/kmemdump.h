/* SPDX-License-Identifier: GPL-2.0 */
/*
 * kmemdump: keep chosen memory for after a crash.
 *
 * A driver names the memory that matters; when the kernel dies, the attached
 * backends carry it across the reset. The kernel itself only describes memory
 * here: nothing is copied while the system runs.
 * See Documentation/driver-api/kmemdump.rst.
 */
#ifndef _LINUX_KMEMDUMP_H
#define _LINUX_KMEMDUMP_H

#include <linux/init.h>
#include <linux/types.h>
#include <uapi/linux/kmemdump.h>

struct module;

/* Ids from here on are handed out by the core; smaller ones are free to choose. */
#define KMEMDUMP_ID_AUTO	0x10000

/**
 * struct kmemdump_region - what a provider registers
 * @name:	unique name, 1 to %KMEMDUMP_NAME_LEN - 1 printable ASCII
 *		characters
 * @virt_addr:	kernel virtual address: linear map, vmalloc or vmap, kernel
 *		image or module memory. May be NULL if @phys_addr is set
 * @phys_addr:	physical address of RAM in the linear map; 0 if @virt_addr is
 *		set
 * @size:	bytes
 * @id:		unique number from 1 to %KMEMDUMP_ID_AUTO - 1, or 0 to be
 *		given one
 *
 * The core copies all of this, so the struct may be on the stack and @name may
 * go away after registration. Only the memory described must stay.
 */
struct kmemdump_region {
	const char	*name;
	const void	*virt_addr;
	phys_addr_t	phys_addr;
	size_t		size;
	int		id;
};

#ifdef CONFIG_KMEMDUMP

int __kmemdump_register_region(struct kmemdump_region *region, struct module *owner);
int kmemdump_unregister_region(struct kmemdump_region *region);

#else

static inline int __kmemdump_register_region(struct kmemdump_region *region,
					     struct module *owner)
{
	return 0;
}

static inline int kmemdump_unregister_region(struct kmemdump_region *region)
{
	return 0;
}

#endif /* CONFIG_KMEMDUMP */

/* Notes the calling module as the owner; see __kmemdump_register_region(). */
#define kmemdump_register_region(region) \
	__kmemdump_register_region(region, THIS_MODULE)

#endif /* _LINUX_KMEMDUMP_H */
