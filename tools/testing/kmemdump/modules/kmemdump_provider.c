// SPDX-License-Identifier: GPL-2.0-only
/*
 * Test module: provides regions at every kind of address, and makes the mistakes of
 * careless providers if asked to. Parameters choose what it does.
 *
 * Copyright (C) 2026 the kmemdump authors
 */
#include <linux/cpumask.h>
#include <linux/gfp.h>
#include <linux/kmemdump.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/percpu.h>
#include <linux/pfn.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/vmalloc.h>

static bool leave;
module_param(leave, bool, 0);
MODULE_PARM_DESC(leave, "leave two regions registered when the module goes");

static bool fail;
module_param(fail, bool, 0);
MODULE_PARM_DESC(fail, "register, and fail to load");

static unsigned long phys, phys_size;
module_param(phys, ulong, 0);
module_param(phys_size, ulong, 0);
MODULE_PARM_DESC(phys, "register this physical range");

static bool large;
module_param(large, bool, 0);
MODULE_PARM_DESC(large, "register 64 MiB of vmalloc memory");

static bool apart;
module_param(apart, bool, 0);
MODULE_PARM_DESC(apart, "register two pages that are over 4 GiB apart");

static unsigned long movable;
module_param(movable, ulong, 0);
MODULE_PARM_DESC(movable, "register movable memory at or above this address, and free it");

static char *names[4];
static int nr_names;
module_param_array(names, charp, &nr_names, 0);
MODULE_PARM_DESC(names, "register two pages of each of these names");

/* The annotation alone registers this. */
static char annotated[64] = "annotated in a module";
KMEMDUMP_VAR(annotated);

static char annotated_part[64] = "only a part of it";
KMEMDUMP_VAR_SIZE(annotated_part, 11);

static DEFINE_PER_CPU(char[32], annotated_percpu);
KMEMDUMP_VAR(annotated_percpu);

static char __percpu *dynamic;
static char *odd;
static void *area;
static unsigned long low, high;
static void *named[ARRAY_SIZE(names)];

/* The registered regions, which are unregistered by their ids. */
static struct kmemdump_region regions[16];
static unsigned int nr_regions;

static int add_region(const struct kmemdump_region *region)
{
	struct kmemdump_region *copy = &regions[nr_regions];
	int ret;

	*copy = *region;
	ret = kmemdump_register_region(copy);
	if (!ret)
		nr_regions++;
	return ret;
}

static int add(const char *name, const void *addr, size_t size)
{
	struct kmemdump_region region = { .name = name, .virt_addr = addr, .size = size };

	return add_region(&region);
}

static int add_percpu(void)
{
	struct kmemdump_region region = { .name = "dynamic_percpu", .size = 32 };
	unsigned int cpu;

	dynamic = __alloc_percpu(32, 8);
	if (!dynamic)
		return -ENOMEM;
	for_each_possible_cpu(cpu) {
		snprintf(per_cpu_ptr(dynamic, cpu), 32, "dynamic of CPU %u", cpu);
		snprintf(per_cpu(annotated_percpu, cpu), 32, "static of CPU %u", cpu);
	}
	region.percpu_addr = dynamic;
	return add_region(&region);
}

/* Register one byte, an odd place, and a byte on each side of a page boundary. */
static int add_odd(void)
{
	int ret;

	odd = kzalloc(2 * PAGE_SIZE, GFP_KERNEL);
	if (!odd)
		return -ENOMEM;
	strscpy(odd + PAGE_SIZE - 5, "odd place", 10);
	ret = add("one_byte", odd + PAGE_SIZE - 5, 1);
	ret = ret ?: add("boundary", odd + PAGE_SIZE - 1, 2);
	return ret ?: add("odd", odd + PAGE_SIZE - 5, 9);
}

static int add_physical(void)
{
	struct kmemdump_region region = {
		.name = "physical", .phys_addr = phys, .size = phys_size,
	};

	return add_region(&region);
}

static int add_large(void)
{
	size_t size = 64UL << 20, i;

	area = vmalloc(size);
	if (!area)
		return -ENOMEM;
	for (i = 0; i < size / sizeof(u32); i++)
		((u32 *)area)[i] = i / 256;
	return add("large", area, size);
}

/* Allocate blocks of 4 MiB until one is at @lowest or above, and free the others. */
static unsigned long get_block(gfp_t gfp, phys_addr_t lowest)
{
	const unsigned int order = get_order(4UL << 20);
	unsigned long found = 0, block, chain = 0;

	while (!found) {
		struct page *page = alloc_pages(gfp | __GFP_NOWARN, order);

		if (!page)
			break;
		block = (unsigned long)page_address(page);
		if (__pa(block) >= lowest) {
			found = block;
		} else {
			*(unsigned long *)block = chain;
			chain = block;
		}
	}
	while (chain) {
		block = chain;
		chain = *(unsigned long *)block;
		free_pages(block, order);
	}
	return found;
}

static int add_apart(void)
{
	int ret;

	low = __get_free_page(GFP_KERNEL | GFP_DMA32);
	high = low ? get_block(GFP_KERNEL, __pa(low) + (4ULL << 30)) : 0;
	if (!low || !high)
		return -ENOMEM;
	strscpy((char *)low, "far below", 10);
	strscpy((char *)high, "far above", 10);
	ret = add("low", (void *)low, 10);
	return ret ?: add("high", (void *)high, 10);
}

static int add_movable(void)
{
	unsigned long block = get_block(GFP_HIGHUSER_MOVABLE, movable);
	int ret;

	if (!block)
		return -ENOMEM;
	ret = add("movable", (void *)block, PAGE_SIZE);
	pr_info("movable memory at %#llx\n", (u64)__pa(block));
	free_pages(block, get_order(4UL << 20));
	return ret;
}

/* Register two pages for each of the names. No two regions are adjacent. */
static int add_names(void)
{
	int i, ret = 0;

	for (i = 0; i < nr_names && !ret; i++) {
		void *pages = kzalloc(4 * PAGE_SIZE, GFP_KERNEL);

		named[i] = pages;
		ret = pages ? add(names[i], pages, 2 * PAGE_SIZE) : -ENOMEM;
	}
	return ret;
}

static int __init kmemdump_provider_init(void)
{
	int ret;

	ret = add_percpu();
	ret = ret ?: add_odd();
	if (phys_size)
		ret = ret ?: add_physical();
	if (large)
		ret = ret ?: add_large();
	if (apart)
		ret = ret ?: add_apart();
	if (movable)
		ret = ret ?: add_movable();
	ret = ret ?: add_names();
	return ret ?: fail ? -EIO : 0;
}

static void __exit kmemdump_provider_exit(void)
{
	int i;

	while (nr_regions && !leave)
		kmemdump_unregister_region(&regions[--nr_regions]);
	for (i = 0; i < nr_names; i++)
		kfree(named[i]);
	vfree(area);
	kfree(odd);
	free_percpu(dynamic);
}

module_init(kmemdump_provider_init);
module_exit(kmemdump_provider_exit);

MODULE_DESCRIPTION("Provider of regions for kmemdump tests");
MODULE_LICENSE("GPL");
