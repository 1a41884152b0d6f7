// SPDX-License-Identifier: GPL-2.0-only
/*
 * kmemdump: what the kernel registers about itself.
 *
 * Debuggers find nearly all they read in the variables of the kernel image and in the per-CPU
 * areas. So these are carried as a whole, and there is no list of variables to maintain.
 * crashset.c adds what exists only at the crash.
 *
 * Copyright (C) 2026 the kmemdump authors
 */
#define pr_fmt(fmt) "kmemdump: " fmt

#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/mmzone.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/percpu.h>
#include <linux/string.h>
#include <linux/vmcore_info.h>

#include <asm/sections.h>

#include "../percpu-internal.h"

#include "kmemdump.h"

#undef MODULE_PARAM_PREFIX
#define MODULE_PARAM_PREFIX "kmemdump."

static const char * const set_names[] = {
	[KMEMDUMP_SET_MINIMAL]	= "minimal",
	[KMEMDUMP_SET_STANDARD]	= "standard",
	[KMEMDUMP_SET_EXTENDED]	= "extended",
};

enum kmemdump_set kmemdump_set __ro_after_init;

static char *coreset = CONFIG_KMEMDUMP_CORESET_DEFAULT;
module_param(coreset, charp, 0400);

/* Register a range of the kernel image, which changes while the dump is made. */
static void __init add_area(const char *name, const void *start, const void *end)
{
	if (start < end)
		kmemdump_add_core_region(name, start, end - start, KMEMDUMP_CLASS_CORE,
					 KMEMDUMP_ENTRY_AREA);
}

/*
 * Where the constants end. After the variables that are read-only after boot, there are only
 * tables of exported symbols, parameters and the like, which no debugger reads.
 */
static void * __init rodata_end(void)
{
	unsigned long end = (unsigned long)__end_ro_after_init;

	if (end > (unsigned long)__start_rodata && end < (unsigned long)__end_rodata)
		return (void *)end;
	return __end_rodata;
}

/**
 * kmemdump_image_data_size() - what the standard core set takes of the kernel image
 *
 * For a backend that reserves memory before regions are registered.
 *
 * Context: any, also before the MMU is on.
 * Return: bytes, an upper limit.
 */
size_t __init kmemdump_image_data_size(void)
{
	return (_edata - _sdata) + (__bss_stop - __bss_start) +
	       ((char *)rodata_end() - __start_rodata);
}

/*
 * Constants, such as names that debuggers print. Most of the symbol table is left out: it is the
 * larger part, and debuggers have a better one.
 */
static void __init add_rodata(void)
{
	static const char * const keys[] __initconst = {
		"SYMBOL(kallsyms_names)", "SYMBOL(kallsyms_num_syms)",
		"SYMBOL(kallsyms_token_table)", "SYMBOL(kallsyms_token_index)",
		"SYMBOL(kallsyms_offsets)", "SYMBOL(kallsyms_relative_base)",
	};
	unsigned long low = ULONG_MAX, high = 0, addr;
	void *end = rodata_end();
	int i;

	for (i = 0; i < ARRAY_SIZE(keys); i++) {
		if (kmemdump_vmcoreinfo_value(keys[i], 16, &addr))
			continue;
		low = min(low, addr);
		high = max(high, addr);
	}
	if (low >= high || low < (unsigned long)__start_rodata ||
	    high > (unsigned long)end) {
		add_area("kernel:rodata", __start_rodata, end);
	} else {
		add_area("kernel:rodata", __start_rodata, (void *)low);
		add_area("kernel:rodata_2", (void *)high, end);
	}
}

static void __init add_image(void)
{
	add_area("kernel:data", _sdata, _edata);
	add_area("kernel:bss", __bss_start, __bss_stop);
	add_rodata();
}

/*
 * The static and the first dynamic per-CPU variables. Each CPU has a region of its own: one
 * per-CPU region for all of them would start at the pointer 0 on x86, which is no address.
 */
static void __init add_percpu(void)
{
	void *end = pcpu_first_chunk->base_addr +
		    ((size_t)pcpu_first_chunk->nr_pages << PAGE_SHIFT);
	char name[KMEMDUMP_NAME_LEN];
	unsigned int cpu;

	for_each_possible_cpu(cpu) {
		unsigned long offset = pcpu_unit_offsets ? pcpu_unit_offsets[cpu] : 0;

		snprintf(name, sizeof(name), "cpu:%u", cpu);
		kmemdump_add_core_region(name, pcpu_base_addr + offset, end - pcpu_base_addr,
					 KMEMDUMP_CLASS_CORE,
					 KMEMDUMP_ENTRY_AREA | KMEMDUMP_ENTRY_CPU);
	}
}

static void __init add_nodes(void)
{
#ifdef CONFIG_NUMA
	char name[KMEMDUMP_NAME_LEN];
	int node;

	for_each_online_node(node) {
		snprintf(name, sizeof(name), "node:%d", node);
		kmemdump_add_core_region(name, NODE_DATA(node), sizeof(pg_data_t),
					 KMEMDUMP_CLASS_CORE, KMEMDUMP_ENTRY_AREA);
	}
#endif
}

/* The table of physical memory sections. Without SPARSEMEM_EXTREME it is in .bss. */
static void __init add_sections(void)
{
#ifdef CONFIG_SPARSEMEM_EXTREME
	char name[KMEMDUMP_NAME_LEN];
	unsigned long root;

	if (!mem_section)
		return;
	add_area("kernel:mem_section", mem_section, mem_section + NR_SECTION_ROOTS);
	for (root = 0; root < NR_SECTION_ROOTS; root++) {
		if (!mem_section[root])
			continue;
		snprintf(name, sizeof(name), "kernel:mem_section:%lu", root);
		add_area(name, mem_section[root], mem_section[root] + SECTIONS_PER_ROOT);
	}
#endif
}

static int __init kmemdump_coreset_init(void)
{
	int set;

	for (set = ARRAY_SIZE(set_names) - 1; set >= KMEMDUMP_SET_MINIMAL; set--)
		if (!strcmp(set_names[set], coreset))
			break;
	if (set < KMEMDUMP_SET_MINIMAL)
		pr_warn("kmemdump.coreset: there is no set \"%s\", taking %s\n", coreset,
			set_names[KMEMDUMP_SET_MINIMAL]);
	kmemdump_set = max_t(int, set, KMEMDUMP_SET_MINIMAL);

	if (kmemdump_set == KMEMDUMP_SET_MINIMAL)
		return 0;
	add_image();
	add_percpu();
	add_nodes();
	add_sections();
	return 0;
}

/* VMCOREINFO, from which this takes addresses, is made in a subsys_initcall(). */
fs_initcall(kmemdump_coreset_init);
