// SPDX-License-Identifier: GPL-2.0-only
/*
 * kmemdump: memory that is found at the crash.
 *
 * Hooks add memory to the core image that is in no region. Its address may come from damaged
 * memory.
 *
 * All of this runs at panic: it must not allocate or take locks, and every read may fault.
 *
 * Copyright (C) 2026 the kmemdump authors
 */
#include <linux/align.h>
#include <linux/mm.h>
#include <linux/pgtable.h>

#include <asm/sections.h>

#include "kmemdump.h"

/*
 * Find @addr in the page tables: true, and *@phys, if it is mapped. With @add, put the tables on
 * the way into the image, as debuggers can't find the memory without them.
 */
static bool walk_tables(struct kmemdump_image *image, unsigned long addr,
			enum kmemdump_order order, bool add, phys_addr_t *phys)
{
	struct kmemdump_tables tables;
	bool found = kmemdump_walk_tables(addr, phys, &tables);
	unsigned int i;

	for (i = 0; add && i < tables.nr; i++) {
		unsigned long table = (unsigned long)tables.entries[i] & PAGE_MASK;
		phys_addr_t table_phys;

		if (kmemdump_translate_addr(table, &table_phys))
			kmemdump_image_push(image, table, table_phys, PAGE_SIZE, order);
	}
	return found;
}

/* Add the page tables of [@addr, @addr + @size), which is not in the linear map. */
void kmemdump_image_add_tables(struct kmemdump_image *image, unsigned long addr, size_t size,
			       enum kmemdump_order order)
{
	unsigned long end = addr + size;
	phys_addr_t phys;

	if (!image->debuggers)
		return;
	for (; addr < end; addr = ALIGN(addr + 1, PMD_SIZE))
		walk_tables(image, addr, order, true, &phys);
}

/*
 * Put those pages of [@addr, @addr + @size) that exist into the image. @addr and @size may be
 * anything, as they may come from damaged memory.
 */
void kmemdump_image_add(struct kmemdump_image *image, unsigned long addr, size_t size,
			enum kmemdump_order order)
{
	unsigned long end = PAGE_ALIGN(addr + size);
	phys_addr_t phys;
	bool kernel;

	addr &= PAGE_MASK;
	if (addr < TASK_SIZE_MAX || end <= addr)
		return;
	for (; addr < end; addr += PAGE_SIZE) {
		kernel = __is_kernel(addr);
		if (kmemdump_is_linear(addr) && virt_addr_valid((void *)addr)) {
			/* Add free memory, too: debuggers look past the ends of stacks. */
			phys = __pa(addr);
		} else if (kernel) {
			if (!kmemdump_translate_addr(addr, &phys))
				continue;
		} else {
			/* Add the tables once for all pages that share them. */
			bool first = (addr & PMD_MASK) != image->last_table;

			image->last_table = addr & PMD_MASK;
			if (!walk_tables(image, addr, order, first, &phys))
				continue;
		}
		/* A worse order would only split the kernel image into more loads. */
		if (kernel && order > KMEMDUMP_ORDER_IMAGE)
			kmemdump_image_push(image, addr, phys, PAGE_SIZE, KMEMDUMP_ORDER_IMAGE);
		else
			kmemdump_image_push(image, addr, phys, PAGE_SIZE, order);
	}
}
