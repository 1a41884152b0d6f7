// SPDX-License-Identifier: GPL-2.0-only
/*
 * kmemdump through firmware: the memory that must not be handed out.
 *
 * That is done before the first allocation, in real mode: of a dump that waits the
 * pages that it names, else the reservation for the next one.
 *
 * Copyright (C) 2026 the kmemdump authors
 */
#define pr_fmt(fmt) "kmemdump: fadump: " fmt

#include <linux/cma.h>
#include <linux/crash_reserve.h>
#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/kmemdump_backend.h>
#include <linux/libfdt.h>
#include <linux/memblock.h>
#include <linux/mm.h>
#include <linux/of.h>
#include <linux/of_fdt.h>
#include <linux/string.h>

#include <asm/kmemdump_fadump.h>
#include <asm/sections.h>

#include "fadump.h"

/* Below, loaders and firmware put what they like. */
#define LOADER_TOP	(SZ_512M + SZ_256M)
/* SLOF works in that much below 2 GiB, or below the end of less memory. */
#define SLOF_TOP	SZ_2G
#define SLOF_SIZE	(40 * SZ_1M)

struct fadump fadump = {
	.lock = __MUTEX_INITIALIZER(fadump.lock),
};

static bool mainline __initdata;
static u64 wanted_size __initdata;
static u64 cpus_size __initdata;
static u64 head_addr __initdata;
/* Where SLOF works, if only movable pages are to be there. */
static u64 work_start __initdata, work_size __initdata;
/* The device tree's may move. */
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
/* Who asks for all memory gets all memory. */
static int __init parse_mainline(char *text)
{
	mainline = text && (!strncmp(text, "on", 2) || !strncmp(text, "nocma", 5));
	return 0;
}
early_param("fadump", parse_mainline);
#endif

/**
 * kmemdump_fadump_waiting() - whether there is a dump of kmemdump from before the boot
 *
 * Context: any, from the scan of the device tree on.
 * Return: true until the dump is released.
 */
bool kmemdump_fadump_waiting(void)
{
	return fadump.waiting;
}

/**
 * kmemdump_fadump_in_charge() - whether the dump service of the firmware is kmemdump's
 *
 * Nobody else may register with it then.
 *
 * Context: any, once the boot parameters are parsed.
 * Return: true if it was asked for and mainline's FADump was not, or if a dump of
 * kmemdump waits.
 */
bool kmemdump_fadump_in_charge(void)
{
	return fadump.enabled || fadump.waiting;
}

/**
 * kmemdump_fadump_scan() - look at what the device tree says of dumps
 * @rtas_node: the node /rtas of the flat device tree
 *
 * Context: early boot.
 * Return: true if a dump waits that is one of kmemdump, which nobody else may touch.
 */
bool __init kmemdump_fadump_scan(unsigned long rtas_node)
{
	const __be32 *sizes;
	const void *prop;
	int len;

	if (!of_get_flat_dt_prop(rtas_node, "ibm,configure-kernel-dump", NULL))
		return false;
	fadump.supported = true;

	/* Triples: type, and size in two cells. */
	sizes = of_get_flat_dt_prop(rtas_node, "ibm,configure-kernel-dump-sizes", &len);
	for (; sizes && len >= 3 * (int)sizeof(*sizes); sizes += 3, len -= 3 * sizeof(*sizes))
		if (be32_to_cpu(sizes[0]) == 1)
			cpus_size = of_read_number(sizes + 1, 2);

	prop = of_get_flat_dt_prop(rtas_node, "ibm,kernel-dump", &len);
	if (!prop)
		return false;
	memcpy(&dump, prop, min_t(size_t, len, sizeof(dump)));
	head_addr = fadump_rtas_find_head(&dump, min_t(size_t, len, sizeof(dump)));
	fadump.waiting = head_addr;
	/* If it is somebody else's, so is the service. */
	fadump.supported = fadump.waiting;
	return fadump.waiting;
}

static int __init find_rtas(unsigned long node, const char *name, int depth, void *data)
{
	if (depth != 1 || strcmp(name, "rtas"))
		return 0;
	kmemdump_fadump_scan(node);
	return 1;
}

/* The dump that waits */

/*
 * Somebody has memory of @load already, so it is overwritten. Keep what is before
 * that or, if that is nothing, what is behind.
 */
static void __init clip_load(struct fadump_slot *slot, struct fadump_load *load)
{
	const struct memblock_region *region;
	u64 end = load->paddr + load->size, before = load->size;

	for_each_reserved_mem_region(region) {
		u64 start = max_t(u64, region->base, load->paddr);
		u64 stop = min_t(u64, region->base + region->size, end);

		if (start >= stop)
			continue;
		if (ALIGN_DOWN(start, PAGE_SIZE) == load->paddr) {
			u64 gone = min(ALIGN(stop, PAGE_SIZE) - load->paddr, load->size);

			load->vaddr += gone;
			load->paddr += gone;
			load->size -= gone;
		} else {
			load->size = ALIGN_DOWN(start, PAGE_SIZE) - load->paddr;
		}
		end = load->paddr + load->size;
	}
	slot->nr_lost += (before - load->size) >> PAGE_SHIFT;
}

static bool __init stays(const struct fadump_head *head, const struct fadump_load *load)
{
	return load->size && !load->copy && load->paddr >= head->low_top;
}

/* Keep the reservation, and the pages that @slot names and that are where they were. */
static int __init keep_pages(const struct fadump_head *head, struct fadump_slot *slot)
{
	struct fadump_load *loads = fadump_loads(slot);
	u64 lost = slot->nr_lost;
	phys_addr_t limit;
	unsigned int i;
	int ret;

	for (i = 0; i < slot->nr_loads; i++) {
		if (!stays(head, &loads[i]))
			continue;
		clip_load(slot, &loads[i]);
		if (!memblock_is_region_memory(loads[i].paddr, loads[i].size ?: 1)) {
			slot->nr_lost += loads[i].size >> PAGE_SHIFT;
			loads[i].size = 0;
		}
	}

	/* If memblock needs a larger list meanwhile, then from below what we keep. */
	limit = memblock_get_current_limit();
	memblock_set_current_limit(min_t(u64, limit, head->low_top));
	ret = memblock_reserve(head->base, head->size);
	for (i = 0; !ret && i < slot->nr_loads; i++) {
		if (!stays(head, &loads[i]))
			continue;
		if (memblock_reserve(loads[i].paddr, loads[i].size)) {
			slot->nr_lost += loads[i].size >> PAGE_SHIFT;
			loads[i].size = 0;
		}
		fadump.preserved += loads[i].size;
	}
	memblock_set_current_limit(limit);
	if (ret)
		return ret;

	/* It has to be good for another boot, too. */
	if (slot->nr_lost != lost)
		fadump_slot_seal(slot);
	return 0;
}

static void __init keep_dump(void)
{
	struct fadump_head *head = __va(head_addr);
	const char *why = NULL;
	unsigned int nr_bad;

	if (!PAGE_ALIGNED(head_addr) || !memblock_is_region_memory(head_addr, PAGE_SIZE) ||
	    head_addr >= memblock_get_current_limit())
		why = "not in memory";
	else
		why = fadump_head_check(head, head_addr);
	if (!why && (!memblock_is_region_memory(head->base, head->size) ||
		     head->base + head->size > memblock_get_current_limit()))
		why = "not in memory that can be reached yet";
	if (!why && memblock_is_region_reserved(head->base, head->size))
		why = "in memory that something else is in now";
	if (!why && head->state == FADUMP_IDLE) {
		/* Without a registration firmware makes none: kexec passed on an old word. */
		fadump.waiting = false;
		fadump.void_dump = true;
		return;
	}
	if (why) {
		pr_err("a dump waits, but can't be read: its head is %s\n", why);
		return;
	}

	fadump.head = head;
	fadump.slot = fadump_slot_newest(head);
	if (!fadump.slot) {
		pr_err("a dump waits, but can't be read: both copies of its table are damaged\n");
		memblock_reserve(head->base, head->size);
		return;
	}
	if (keep_pages(head, fadump.slot)) {
		pr_err("a dump waits, but can't be kept: memblock has no room for it\n");
		fadump.head = NULL;
		fadump.slot = NULL;
		return;
	}
	nr_bad = fadump_rtas_read_copies(&dump, head, &fadump.copied);
	if (nr_bad)
		pr_err("firmware failed to copy %u parts of the dump\n", nr_bad);
	fadump.cpus_saved = fadump_rtas_has_cpus(&dump);
	pr_info("a dump waits; kept for it: %llu KiB, and %llu KiB of reservation\n",
		fadump.preserved >> 10, head->size >> 10);
}

/* The reservation for the next dump */

/* That of a kdump kernel is reserved, but nothing of a boot is in it. */
static bool __init is_crashkernel(const struct memblock_region *region)
{
	return IS_ENABLED(CONFIG_CRASH_RESERVE) && crashk_res.end &&
	       region->base >= crashk_res.start &&
	       region->base + region->size - 1 <= crashk_res.end;
}

/* Where all ends that this boot has put into low memory; the next one will, too. */
static u64 __init find_low_top(void)
{
	const struct memblock_region *region;
	/* A loader has it elsewhere first, and the end of its neighbour is not known. */
	u64 top = SZ_4M + 2ULL * (u64)__pa(_end);

	for_each_reserved_mem_region(region)
		if (region->base + region->size <= SZ_512M && !is_crashkernel(region))
			top = max_t(u64, top, region->base + region->size);
	return ALIGN(top + SZ_16M, SZ_1M);
}

/* What is above the limit can't be reached yet, and SLOF is below that, too. */
static u64 __init find_work_end(void)
{
	u64 end = min_t(u64, memblock_end_of_DRAM(), memblock_get_current_limit());

	return min_t(u64, end, SLOF_TOP);
}

/* CMA takes whole page blocks, which have that much at most. */
static u64 __init find_work_start(void)
{
	return ALIGN_DOWN(find_work_end() - SLOF_SIZE, SZ_16M);
}

/*
 * The reboot overwrites what SLOF works in, and that can't be told in advance. Have
 * nothing there that could be registered: only movable pages, which are no kernel's.
 */
static void __init keep_off_firmware(void)
{
	u64 start = find_work_start();
	u64 size = find_work_end() - start;

	if (!memblock_is_region_memory(start, size) ||
	    memblock_is_region_reserved(start, size) || memblock_reserve(start, size)) {
		pr_warn("the reboot may damage what is registered from %#llx to %#llx, where SLOF works\n",
			start, start + size);
		return;
	}
	work_start = start;
	work_size = size;
}

static int __init free_for_movable_pages(void)
{
	struct cma *cma;
	int ret;

	if (!work_size)
		return 0;
	ret = cma_init_reserved_mem(work_start, work_size, 0, "kmemdump_fadump", &cma);
	if (ret)
		pr_warn("%llu MiB at %#llx, where SLOF works, are not used: %pe\n",
			work_size / SZ_1M, work_start, ERR_PTR(ret));
	return 0;
}
early_initcall(free_for_movable_pages);

static u64 __init find_room(u64 size)
{
	u64 top = find_work_start(), addr;

	/* Low, where memory is not removed from. */
	addr = memblock_phys_alloc_range(size, SZ_1M, LOADER_TOP, min_t(u64, top, SZ_1G));
	return addr ?: memblock_phys_alloc_range(size, SZ_1M, LOADER_TOP, top);
}

static void __init reserve_area(void)
{
	u64 ram = memblock_phys_mem_size(), addr;
	struct fadump_sizes sizes = fadump_sizes(ram, cpus_size, kmemdump_image_data_size());
	struct fadump_head *old;

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

	old = __va(addr);
	if (!fadump_head_check(old, addr) && old->state == FADUMP_CHANGING)
		pr_warn("the last kernel died while its registration changed: there is no dump\n");
	fadump.head = old;
	fadump_head_init(fadump.head, addr, wanted_size, fadump.low_top, sizes.slot, sizes.cpus);
	pr_info("reserved %llu MiB at %#llx (of %llu MiB RAM); the reboot overwrites what is below %llu MiB\n",
		wanted_size / SZ_1M, addr, ram / SZ_1M, fadump.low_top / SZ_1M);
}

/**
 * kmemdump_fadump_reserve() - reserve memory for dumps
 *
 * Context: early boot, when memblock knows what is in use and may grow, before
 * the first allocation.
 */
void __init kmemdump_fadump_reserve(void)
{
	of_scan_flat_dt(find_rtas, NULL);
	fadump.low_top = find_low_top();
	if (fadump.waiting)
		keep_dump();
	if (fadump.waiting) {
		if (mainline)
			pr_warn("fadump=on has no effect in this boot: a dump of kmemdump waits\n");
		if (fadump.enabled && fadump.head)
			keep_off_firmware();
		return;
	}
	if (fadump.enabled && mainline) {
		pr_info("FADump of all memory is asked for, too, and goes first\n");
		fadump.enabled = false;
	}
	if (fadump.enabled && !fadump.supported) {
		pr_err("firmware has no dump service, or a dump of somebody else waits\n");
		fadump.enabled = false;
	}
	if (fadump.enabled)
		reserve_area();
	if (fadump.head)
		keep_off_firmware();
}
