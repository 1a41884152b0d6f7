// SPDX-License-Identifier: GPL-2.0-only
/*
 * kmemdump: the list of regions, for who has a dump of all memory.
 *
 * kdump and FADump save memory and know nothing of regions. So VMCOREINFO tells
 * where the list is, and how to read it without debug information. It is the
 * very list that the core works with: nothing is kept twice, nothing has to run
 * at the crash.
 *
 * Copyright (C) 2026 the kmemdump authors
 */
#define pr_fmt(fmt) "kmemdump: " fmt

#include <linux/bits.h>
#include <linux/cpumask.h>
#include <linux/init.h>
#include <linux/io.h>
#include <linux/kasan.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/vmalloc.h>
#include <linux/vmcore_info.h>
#include <linux/xarray.h>

#include "kmemdump.h"

/* Page of the vmalloc range -> page frame: of what the list leads to there. */
static DEFINE_XARRAY(far_pages);

static struct kmemdump_index kmemdump_index __ro_after_init = {
	.magic		= KMEMDUMP_MAGIC,
	.version	= KMEMDUMP_VERSION,
	.size		= sizeof(struct kmemdump_index),
	.long_size	= sizeof(long),
	.phys_size	= sizeof(phys_addr_t),
	.page_shift	= PAGE_SHIFT,
	.node_bits	= XA_CHUNK_SHIFT,
	.node_shift	= offsetof(struct xa_node, shift),
	.node_slots	= offsetof(struct xa_node, slots),
	.entry_id	= offsetof(struct kmemdump_entry, id),
	.entry_class	= offsetof(struct kmemdump_entry, class),
	.entry_flags	= offsetof(struct kmemdump_entry, flags),
	.flag_percpu	= KMEMDUMP_ENTRY_PERCPU,
	.entry_owner	= offsetof(struct kmemdump_entry, owner),
	.entry_version	= offsetof(struct kmemdump_entry, version),
	.entry_nr	= offsetof(struct kmemdump_entry, nr_segments),
	.entry_max	= offsetof(struct kmemdump_entry, max_segments),
	.entry_segments	= offsetof(struct kmemdump_entry, segments),
	.segment_size	= sizeof(struct kmemdump_segment),
	.segment_virt	= offsetof(struct kmemdump_segment, virt_addr),
	.segment_phys	= offsetof(struct kmemdump_segment, phys_addr),
	.segment_bytes	= offsetof(struct kmemdump_segment, size),
#ifdef CONFIG_MODULES
	.module_name	= offsetof(struct module, name),
#endif
};

static unsigned long page_of(const void *addr)
{
	return (unsigned long)kasan_reset_tag(addr) >> PAGE_SHIFT;
}

/*
 * Make [@addr, @addr + @size) known to who reads the index, if it is not in the
 * linear map. No two such ranges share a page. May sleep. Returns 0 or -ENOMEM.
 */
int kmemdump_index_add(const void *addr, size_t size)
{
	const void *page;

	if (!is_vmalloc_or_module_addr(addr))
		return 0;
	for (page = PTR_ALIGN_DOWN(addr, PAGE_SIZE); page < addr + size; page += PAGE_SIZE) {
		void *pfn = xa_mk_value(vmalloc_to_pfn(page));

		if (xa_err(xa_store(&far_pages, page_of(page), pfn, GFP_KERNEL))) {
			kmemdump_index_remove(addr, size);
			return -ENOMEM;
		}
	}
	return 0;
}

/* The memory that kmemdump_index_add() was told of will go. May sleep. */
void kmemdump_index_remove(const void *addr, size_t size)
{
	const void *page;

	if (!is_vmalloc_or_module_addr(addr))
		return;
	for (page = PTR_ALIGN_DOWN(addr, PAGE_SIZE); page < addr + size; page += PAGE_SIZE)
		xa_erase(&far_pages, page_of(page));
}

static int __init kmemdump_index_init(void)
{
	struct kmemdump_index *index = &kmemdump_index;

	if (!vmcoreinfo_data)
		return -ENOENT;
	index->linear_offset = (unsigned long)vmcoreinfo_data - __pa(vmcoreinfo_data);
	/* The tags of KASAN take the place of bits that are all set. */
	if (IS_ENABLED(CONFIG_KASAN_SW_TAGS) || IS_ENABLED(CONFIG_KASAN_HW_TAGS))
		index->pointer_bits = GENMASK_ULL(63, 56);
	index->regions = __pa_symbol(&kmemdump_table.regions.xa_head);
	index->far_pages = __pa_symbol(&far_pages.xa_head);
	index->possible_cpus = __pa_symbol(&__cpu_possible_mask);
	index->cpu_bits = nr_cpu_ids;

	vmcoreinfo_append_str(KMEMDUMP_INDEX_KEY "=%llx\n", (u64)__pa_symbol(index));
	/* Some take the note as it was made at boot. */
	final_note(append_elf_note((Elf_Word *)vmcoreinfo_note, VMCOREINFO_NOTE_NAME, 0,
				   vmcoreinfo_data, vmcoreinfo_size));
	return 0;
}

/* Before the core set registers VMCOREINFO, and after it was made. */
subsys_initcall_sync(kmemdump_index_init);
