// SPDX-License-Identifier: GPL-2.0-only
/*
 * kmemdump: how the list of regions is found in a dump of all memory.
 *
 * kdump, FADump and hypervisors save all memory and know nothing of regions. So VMCOREINFO says
 * where the list of entries is, and how to read it without debug information; see the uapi
 * header. This needs no second copy of the list, and no code that runs at the crash.
 *
 * Copyright (C) 2026 the kmemdump authors
 */
#include <linux/cpumask.h>
#include <linux/init.h>
#include <linux/kasan.h>
#include <linux/mm.h>
#include <linux/vmcore_info.h>

#include "kmemdump.h"

static int __init kmemdump_describe_list(void)
{
	if (!vmcoreinfo_data)
		return -ENOENT;

	vmcoreinfo_append_str(KMEMDUMP_ENTRIES_KEY "=%llx\n",
			      (u64)__pa_symbol(&kmemdump_table.entries));
	vmcoreinfo_append_str(KMEMDUMP_LINEAR_KEY "=%llx\n",
			      (u64)(unsigned long)kasan_reset_tag(vmcoreinfo_data) -
			      __pa(vmcoreinfo_data));
	vmcoreinfo_append_str(KMEMDUMP_CPUS_KEY "=%llx\n",
			      (u64)__pa_symbol(&__cpu_possible_mask));
	vmcoreinfo_append_str("NUMBER(kmemdump_cpus)=%u\n", nr_cpu_ids);
	VMCOREINFO_OFFSET(kmemdump_entry, list);
	VMCOREINFO_OFFSET(kmemdump_entry, id);
	VMCOREINFO_OFFSET(kmemdump_entry, class);
	VMCOREINFO_OFFSET(kmemdump_entry, flags);
	VMCOREINFO_OFFSET(kmemdump_entry, version);
	VMCOREINFO_OFFSET(kmemdump_entry, nr_pieces);
	VMCOREINFO_OFFSET(kmemdump_entry, max_pieces);
	VMCOREINFO_OFFSET(kmemdump_entry, pieces);
	VMCOREINFO_OFFSET(kmemdump_entry, pfns);
	VMCOREINFO_OFFSET(kmemdump_entry, names);
	VMCOREINFO_STRUCT_SIZE(kmemdump_piece);
	VMCOREINFO_OFFSET(kmemdump_piece, virt_addr);
	VMCOREINFO_OFFSET(kmemdump_piece, phys_addr);
	VMCOREINFO_OFFSET(kmemdump_piece, size);
	/* Hypervisors take the note that was made at boot: make it again, with these lines. */
	final_note(append_elf_note(vmcoreinfo_note, VMCOREINFO_NOTE_NAME, 0,
				   vmcoreinfo_data, vmcoreinfo_size));
	return 0;
}

/* Runs after VMCOREINFO is made, and before the core set registers it. */
subsys_initcall_sync(kmemdump_describe_list);
