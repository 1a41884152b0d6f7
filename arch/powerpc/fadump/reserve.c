// SPDX-License-Identifier: GPL-2.0-only
/*
 * kmemdump through firmware: the memory that nothing else may use.
 *
 * If a dump waits, that is the pages in its table, else the reservation for the next dump.
 * All of it is reserved before the first allocation, in real mode.
 *
 * Copyright (C) 2026 the kmemdump authors
 */
#define pr_fmt(fmt) "kmemdump: fadump: " fmt

#include <linux/cma.h>
#include <linux/crash_reserve.h>
#include <linux/kernel.h>
#include <linux/kmemdump_backend.h>
#include <linux/memblock.h>
#include <linux/mm.h>
#include <linux/of.h>
#include <linux/of_fdt.h>
#include <linux/string.h>

#include <asm/kmemdump_fadump.h>
#include <asm/sections.h>

#include "fadump.h"

/* The reservation is above this, as loaders and firmware use the memory below. */
#define LOADER_TOP	(SZ_512M + SZ_256M)
/* SLOF uses this much memory below 2 GiB, or below the end if there is less. */
#define SLOF_TOP	SZ_2G
#define SLOF_SIZE	(40 * SZ_1M)

struct fadump fadump = {
	.lock = __MUTEX_INITIALIZER(fadump.lock),
};

static bool mainline_enabled __initdata;
static u64 wanted_size __initdata;
static u64 cpus_size __initdata;
static u64 head_addr __initdata;
/* Bytes outside of the reservation that are kept for the waiting dump. */
static u64 kept __initdata;
/* SLOF uses this memory. CMA gets it if it could be reserved. */
static u64 slof_start __initdata, slof_size __initdata;
static bool slof_reserved __initdata;
/* A copy, as the device tree may move. */
static struct rtas_fadump_mem_struct dump __initdata;

/* kmemdump.fadump=on[,SIZE] */
static int __init parse_fadump(char *text)
{
	if (!text)
		return -EINVAL;
	fadump.enabled = !strncmp(text, "on", 2) && (!text[2] || text[2] == ',');
	wanted_size = fadump.enabled && text[2] ? memparse(text + 3, NULL) : 0;
	if (!fadump.enabled && strcmp(text, "off"))
		pr_warn("kmemdump.fadump=%s: neither on nor off\n", text);
	return 0;
}
early_param("kmemdump.fadump", parse_fadump);

#ifdef CONFIG_FA_DUMP
static int __init parse_mainline(char *text)
{
	mainline_enabled = text && (!strncmp(text, "on", 2) || !strncmp(text, "nocma", 5));
	return 0;
}
early_param("fadump", parse_mainline);
#endif

/* Returns true from the scan of the device tree until the release, if a dump of ours waits. */
bool kmemdump_fadump_waiting(void)
{
	return fadump.waiting;
}

/* Returns whether only kmemdump may use the dump service, once boot parameters are parsed. */
bool kmemdump_fadump_in_charge(void)
{
	return fadump.enabled || fadump.waiting;
}

/**
 * kmemdump_fadump_scan() - read what the device tree says of dumps
 * @rtas_node: the node /rtas of the flat device tree
 *
 * Context: early boot.
 * Return: true if a dump of kmemdump waits, which mainline's FADump must not parse.
 */
bool __init kmemdump_fadump_scan(unsigned long rtas_node)
{
	const __be32 *sizes;
	const void *prop;
	int len;

	if (!of_get_flat_dt_prop(rtas_node, "ibm,configure-kernel-dump", NULL))
		return false;
	fadump.supported = true;

	/* It is a list of types, each with a size in two cells. */
	sizes = of_get_flat_dt_prop(rtas_node, "ibm,configure-kernel-dump-sizes", &len);
	for (; sizes && len >= 3 * (int)sizeof(*sizes); sizes += 3, len -= 3 * sizeof(*sizes))
		if (be32_to_cpu(sizes[0]) == RTAS_FADUMP_CPU_STATE_DATA)
			cpus_size = of_read_number(sizes + 1, 2);

	prop = of_get_flat_dt_prop(rtas_node, "ibm,kernel-dump", &len);
	if (!prop)
		return false;
	len = min_t(size_t, len, sizeof(dump));
	memcpy(&dump, prop, len);
	head_addr = fadump_rtas_find_head(&dump, len);
	fadump.waiting = head_addr;
	/* While a dump of something else waits, firmware takes no registration. */
	fadump.supported = fadump.waiting;
	return fadump.waiting;
}

/*
 * This boot has overwritten pages of @load that are reserved already. Keep the pages before
 * the first of these or, if the load begins with it, those up to the next one.
 */
static void __init clip_load(struct fadump_slot *slot, struct fadump_load *load)
{
	const struct memblock_region *region;
	u64 end = load->paddr + load->size, before = load->size;

	for_each_reserved_mem_region(region) {
		u64 start = max_t(u64, ALIGN_DOWN(region->base, PAGE_SIZE), load->paddr);
		u64 stop = min_t(u64, ALIGN(region->base + region->size, PAGE_SIZE), end);

		if (start >= stop)
			continue;
		if (start == load->paddr) {
			load->vaddr += stop - start;
			load->paddr = stop;
		} else {
			end = start;
		}
		load->size = end - load->paddr;
	}
	slot->nr_lost += (before - load->size) >> PAGE_SHIFT;
}

static void __init lose_load(struct fadump_slot *slot, struct fadump_load *load)
{
	slot->nr_lost += load->size >> PAGE_SHIFT;
	load->size = 0;
}

/* Reserve the reservation of the last kernel, and the loads that stay where they are. */
static int __init reserve_loads(const struct fadump_head *head, struct fadump_slot *slot)
{
	phys_addr_t limit = memblock_get_current_limit();
	struct fadump_load *load, *end = fadump_loads(slot) + slot->nr_loads;
	int ret;

	/* memblock may need a larger list, which must not be in pages that are kept. */
	memblock_set_current_limit(min_t(u64, limit, head->low_top));
	ret = memblock_reserve(head->base, head->size);
	for (load = fadump_loads(slot); !ret && load < end; load++) {
		if (!fadump_load_stays(head, load))
			continue;
		if (memblock_reserve(load->paddr, load->size))
			lose_load(slot, load);
		kept += load->size;
	}
	memblock_set_current_limit(limit);
	return ret;
}

static int __init keep_pages(const struct fadump_head *head, struct fadump_slot *slot)
{
	struct fadump_load *load, *end = fadump_loads(slot) + slot->nr_loads;
	u64 lost = slot->nr_lost;
	int ret;

	/* Loads may overlap, so all are clipped before the first one is reserved. */
	for (load = fadump_loads(slot); load < end; load++) {
		if (!fadump_load_stays(head, load))
			continue;
		clip_load(slot, load);
		if (!memblock_is_region_memory(load->paddr, load->size ?: 1))
			lose_load(slot, load);
	}
	ret = reserve_loads(head, slot);
	/* If this kernel crashes, the next one reads the table again. */
	if (!ret && slot->nr_lost != lost)
		fadump_slot_seal(slot);
	return ret;
}

/* Returns why the reservation at @head_addr can't be used, or NULL. */
static const char * __init check_reservation(const struct fadump_head *head)
{
	const char *why;

	if (!PAGE_ALIGNED(head_addr) || !memblock_is_region_memory(head_addr, PAGE_SIZE) ||
	    head_addr >= memblock_get_current_limit())
		return "not in memory";
	why = fadump_head_check(head, head_addr);
	if (why)
		return why;
	if (!memblock_is_region_memory(head->base, head->size) ||
	    head->base + head->size > memblock_get_current_limit())
		return "not in memory that can be reached yet";
	if (memblock_is_region_reserved(head->base, head->size))
		return "in memory that something else is in now";
	return NULL;
}

static void __init keep_dump(void)
{
	struct fadump_head *head = __va(head_addr);
	const char *why = check_reservation(head);
	unsigned int nr_bad;

	if (why) {
		pr_err("a dump waits, but can't be read: its head is %s\n", why);
		return;
	}
	if (head->state == FADUMP_IDLE) {
		/* Without a registration firmware makes no dump: kexec passed on an old one. */
		fadump.waiting = false;
		fadump.void_dump = true;
		return;
	}
	fadump.slot = fadump_slot_newest(head);
	if (!fadump.slot) {
		pr_err("a dump waits, but can't be read: both copies of its table are damaged\n");
		fadump.head = head;
		memblock_reserve(head->base, head->size);
		return;
	}
	if (keep_pages(head, fadump.slot)) {
		pr_err("a dump waits, but can't be kept: memblock has no room for it\n");
		fadump.slot = NULL;
		return;
	}
	fadump.head = head;
	nr_bad = fadump_rtas_read_copies(&dump, head, &fadump.copied);
	if (nr_bad)
		pr_err("firmware failed to copy %u parts of the dump\n", nr_bad);
	fadump.cpus_saved = fadump_rtas_has_cpus(&dump);
	pr_info("a dump waits; kept for it: %llu KiB, and %llu KiB of reservation\n",
		kept >> 10, head->size >> 10);
}

/* The memory of a kdump kernel is reserved, but this boot has not written to it. */
static bool __init is_crashkernel(const struct memblock_region *region)
{
	return IS_ENABLED(CONFIG_CRASH_RESERVE) && crashk_res.end &&
	       region->base >= crashk_res.start &&
	       region->base + region->size - 1 <= crashk_res.end;
}

/* Returns the end of the low memory that this boot has overwritten, as the next boot will. */
static u64 __init find_low_top(void)
{
	const struct memblock_region *region;
	/* The loader may put the kernel elsewhere first, with something after it. */
	u64 top = SZ_4M + 2ULL * (u64)__pa(_end);

	for_each_reserved_mem_region(region)
		if (region->base + region->size <= SZ_512M && !is_crashkernel(region))
			top = max_t(u64, top, region->base + region->size);
	return ALIGN(top + SZ_16M, SZ_1M);
}

/* SLOF is below the limit of early memory. CMA takes whole page blocks, of 16 MiB at most. */
static void __init find_slof(void)
{
	u64 end = min3((u64)memblock_end_of_DRAM(), (u64)memblock_get_current_limit(),
		       (u64)SLOF_TOP);

	slof_start = ALIGN_DOWN(end - SLOF_SIZE, SZ_16M);
	slof_size = end - slof_start;
}

/*
 * The reboot overwrites the memory that SLOF uses. Only movable pages may be there: they
 * have no data of the kernel, so no region is in them.
 */
static void __init reserve_slof(void)
{
	slof_reserved = memblock_is_region_memory(slof_start, slof_size) &&
			!memblock_is_region_reserved(slof_start, slof_size) &&
			!memblock_reserve(slof_start, slof_size);
	if (!slof_reserved)
		pr_warn("the reboot may damage what is registered from %#llx to %#llx, where SLOF works\n",
			slof_start, slof_start + slof_size);
}

static int __init use_slof_for_movable_pages(void)
{
	struct cma *cma;
	int ret;

	if (!slof_reserved)
		return 0;
	ret = cma_init_reserved_mem(slof_start, slof_size, 0, "kmemdump_fadump", &cma);
	if (ret)
		pr_warn("%llu MiB at %#llx, where SLOF works, are not used: %pe\n",
			slof_size / SZ_1M, slof_start, ERR_PTR(ret));
	return 0;
}
early_initcall(use_slof_for_movable_pages);

/* Low memory is better: it is not removed by hotplug. */
static u64 __init find_room(u64 size)
{
	u64 addr;

	addr = memblock_phys_alloc_range(size, SZ_1M, LOADER_TOP,
					 min_t(u64, slof_start, SZ_1G));
	return addr ?: memblock_phys_alloc_range(size, SZ_1M, LOADER_TOP, slof_start);
}

static void __init reserve_area(void)
{
	u64 ram = memblock_phys_mem_size(), addr;
	struct fadump_sizes sizes = fadump_sizes(ram, cpus_size, kmemdump_image_data_size());

	wanted_size = ALIGN(wanted_size ?: sizes.usual, SZ_1M);
	if (wanted_size > FADUMP_MAX_SIZE) {
		pr_err("%llu MiB are too much for a reservation\n", wanted_size / SZ_1M);
		return;
	}
	if (wanted_size < sizes.least) {
		pr_err("%llu MiB are too few for a reservation, it takes %llu MiB at least\n",
		       wanted_size / SZ_1M, sizes.least / SZ_1M);
		return;
	}
	addr = find_room(wanted_size);
	if (!addr) {
		pr_err("there is no room for a reservation of %llu MiB from 768 MiB on\n",
		       wanted_size / SZ_1M);
		return;
	}

	/* The last kernel had its reservation at the same place. */
	fadump.head = __va(addr);
	if (!fadump_head_check(fadump.head, addr) && fadump.head->state == FADUMP_CHANGING)
		pr_warn("the last kernel died while its registration changed: there is no dump\n");
	fadump_head_init(fadump.head, addr, wanted_size, fadump.low_top, sizes.slot, sizes.cpus);
	pr_info("reserved %llu MiB at %#llx (of %llu MiB RAM); the reboot overwrites what is below %llu MiB\n",
		wanted_size / SZ_1M, addr, ram / SZ_1M, fadump.low_top / SZ_1M);
}

/**
 * kmemdump_fadump_reserve() - reserve memory for dumps
 *
 * Context: early boot, when memblock knows the memory in use and may grow, and before the
 * first allocation.
 */
void __init kmemdump_fadump_reserve(void)
{
	int rtas = of_get_flat_dt_subnode_by_name(of_get_flat_dt_root(), "rtas");

	/* Without FA_DUMP, no other code scans it. */
	if (rtas >= 0)
		kmemdump_fadump_scan(rtas);
	fadump.low_top = find_low_top();
	find_slof();
	if (fadump.waiting)
		keep_dump();
	if (fadump.waiting) {
		if (mainline_enabled)
			pr_warn("fadump=on has no effect in this boot: a dump of kmemdump waits\n");
	} else if (fadump.enabled && mainline_enabled) {
		pr_info("FADump of all memory is asked for, too, and goes first\n");
		fadump.enabled = false;
	} else if (fadump.enabled && !fadump.supported) {
		pr_err("firmware has no dump service, or a dump of somebody else waits\n");
		fadump.enabled = false;
	} else if (fadump.enabled) {
		reserve_area();
	}
	if (fadump.enabled && fadump.head)
		reserve_slof();
}
