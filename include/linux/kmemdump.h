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

#include <linux/compiler.h>
#include <linux/init.h>
#include <linux/types.h>
#include <uapi/linux/kmemdump.h>

struct device;
struct module;

/* The core hands out ids from here on; providers may choose smaller ones. */
#define KMEMDUMP_ID_AUTO	0x10000

/* Bytes of the largest region that can be updated; of a per-CPU one, on each CPU. */
#define KMEMDUMP_UPDATE_MAX	0x100000

/**
 * enum kmemdump_priority - what goes first where there is not room for all
 * @KMEMDUMP_PRIORITY_LOW:	only after all that debuggers need
 * @KMEMDUMP_PRIORITY_NORMAL:	after the kernel log
 * @KMEMDUMP_PRIORITY_HIGH:	before other drivers' regions
 */
enum kmemdump_priority {
	KMEMDUMP_PRIORITY_LOW		= -1,
	KMEMDUMP_PRIORITY_NORMAL	= 0,
	KMEMDUMP_PRIORITY_HIGH		= 1,
};

/**
 * struct kmemdump_region - what a provider registers
 * @name:	unique name, 1 to %KMEMDUMP_NAME_LEN - 1 printable ASCII
 *		characters
 * @virt_addr:	kernel virtual address: linear map, vmalloc or vmap, kernel
 *		image or module memory
 * @percpu_addr: static or dynamic per-CPU variable; the region is what each
 *		possible CPU has of it
 * @phys_addr:	physical address of RAM, or of memory that is not in the linear
 *		map, such as reserved memory and SRAM: the core maps that
 * @size:	bytes; of a per-CPU variable, those of one CPU
 * @id:		unique number from 1 to %KMEMDUMP_ID_AUTO - 1, or 0 to be
 *		given one
 * @priority:	enum kmemdump_priority; 0 is normal
 *
 * Just one of the three addresses is set; or @virt_addr and @phys_addr both, and
 * then they have to agree.
 *
 * The core copies all of this, so the struct may be on the stack and @name may
 * go away after registration. Only the memory described must stay.
 */
struct kmemdump_region {
	const char		*name;
	const void		*virt_addr;
	const void __percpu	*percpu_addr;
	phys_addr_t		phys_addr;
	size_t			size;
	int			id;
	enum kmemdump_priority	priority;
};

#ifdef CONFIG_KMEMDUMP

int __kmemdump_register_region(struct kmemdump_region *region, struct module *owner);
int kmemdump_unregister_region(struct kmemdump_region *region);
int kmemdump_region_id(const char *name);
int kmemdump_update_region(const struct kmemdump_region *region);
int __devm_kmemdump_register_region(struct device *dev, struct kmemdump_region *region,
				    struct module *owner);

void kmemdump_add_var(const char *name, const void *addr, size_t size, struct module *owner);

/* A constructor runs at boot, or when the module is loaded, so the variable stays static. */
#define KMEMDUMP_VAR_SIZE(sym, bytes)					\
	static_assert(sizeof(KBUILD_MODNAME ":" #sym) <= KMEMDUMP_NAME_LEN); \
	static void __init __attribute__((__constructor__))		\
	__kmemdump_add_##sym(void)					\
	{								\
		kmemdump_add_var(KBUILD_MODNAME ":" #sym,		\
				 (const void __force *)&(sym), (bytes),	\
				 THIS_MODULE);				\
	}								\
	static_assert(1)

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

static inline int kmemdump_region_id(const char *name)
{
	return 0;
}

static inline int kmemdump_update_region(const struct kmemdump_region *region)
{
	return 0;
}

static inline int __devm_kmemdump_register_region(struct device *dev,
						  struct kmemdump_region *region,
						  struct module *owner)
{
	return 0;
}

/* Checks that there is an object of that name, and makes no code or data. */
#define KMEMDUMP_VAR_SIZE(sym, bytes)	\
	static_assert(sizeof(typeof(sym) *) + 0 * (bytes))

#endif /* CONFIG_KMEMDUMP */

/**
 * KMEMDUMP_VAR() - have a static variable carried across a crash
 * @sym: variable of the kernel image or of a module, also a per-CPU one
 *
 * Goes next to the variable, at file scope. The region is named "module:variable", also if the
 * module is built in. It comes and goes with the module.
 */
#define KMEMDUMP_VAR(sym)	KMEMDUMP_VAR_SIZE(sym, sizeof(sym))

/**
 * kmemdump_register_region() - have memory carried across a crash
 * @region: what to carry
 *
 * Notes the calling module as the owner. See __kmemdump_register_region().
 *
 * Return: 0 or a negative errno.
 */
#define kmemdump_register_region(region) \
	__kmemdump_register_region(region, THIS_MODULE)

/**
 * devm_kmemdump_register_region() - register a region until a driver unbinds
 * @dev: device whose driver registers
 * @region: what to carry
 *
 * Notes the calling module as the owner. See __devm_kmemdump_register_region().
 *
 * Return: 0 or a negative errno.
 */
#define devm_kmemdump_register_region(dev, region) \
	__devm_kmemdump_register_region(dev, region, THIS_MODULE)

#endif /* _LINUX_KMEMDUMP_H */
