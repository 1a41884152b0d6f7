// SPDX-License-Identifier: GPL-2.0-only
/*
 * kmemdump through firmware: the dump that waits, as /proc/vmcore.
 *
 * Copyright (C) 2026 the kmemdump authors
 */
#define pr_fmt(fmt) "kmemdump: fadump: " fmt

#include <linux/crash_dump.h>
#include <linux/elf.h>
#include <linux/elfcore.h>
#include <linux/errno.h>
#include <linux/gfp.h>
#include <linux/kernel.h>
#include <linux/kmemdump_backend.h>
#include <linux/libfdt.h>
#include <linux/memblock.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/of.h>
#include <linux/of_fdt.h>
#include <linux/sched.h>

#include "fadump.h"

/* Less than PN_XNUM with the notes, though the last load is in a piece for each copy. */
#define MAX_LOADS	(PN_XNUM - 3 - 2 * FADUMP_MAX_COPIES - 1)

/* What /proc/vmcore is made of: ELF headers and the notes of the CPUs. */
static void *headers, *cpu_notes;
static size_t headers_size, cpu_notes_size;

static void add_phdr(struct elf64_phdr *phdr, u32 type, u64 vaddr, u64 paddr, u64 size, u64 where)
{
	*phdr = (struct elf64_phdr) {
		.p_type		= type,
		.p_flags	= type == PT_LOAD ? PF_R | PF_W | PF_X : 0,
		.p_offset	= where,
		.p_vaddr	= vaddr,
		.p_paddr	= type == PT_LOAD ? paddr : where,
		.p_filesz	= size,
		.p_memsz	= size,
	};
}

/*
 * Make a program header of each piece of @load that is there. With @phdr NULL they are
 * only counted. Returns how many; adds the bytes that are not there to *@lost.
 */
static unsigned int add_load(const struct fadump_load *load, struct elf64_phdr *phdr, u64 *lost)
{
	unsigned int nr = 0;
	u64 done, size;

	for (done = 0; done < load->size; done += size) {
		u64 paddr = load->paddr + done, where = paddr;

		size = load->size - done;
		if (load->copy) {
			where = load->copy + done;
		} else if (paddr < fadump.head->low_top) {
			u64 len;

			where = fadump_copies_find(&fadump.copied, paddr, &len);
			size = min(size, len);
			/* Only the part below is in danger. */
			size = min(size, fadump.head->low_top - paddr);
		}
		if (!where) {
			*lost += size;
			continue;
		}
		if (phdr)
			add_phdr(&phdr[nr], PT_LOAD, load->vaddr + done, paddr, size, where);
		nr++;
	}
	return nr;
}

/* As many as an ELF header can count; what matters most stands first. */
static unsigned int add_loads(struct elf64_phdr *phdr, u64 *lost)
{
	const struct fadump_slot *slot = fadump.slot;
	unsigned int i, nr = 0;

	*lost = 0;
	for (i = 0; i < slot->nr_loads; i++) {
		const struct fadump_load *load = &fadump_loads(slot)[i];

		if (nr < MAX_LOADS)
			nr += add_load(load, phdr ? phdr + nr : NULL, lost);
		else
			*lost += load->size;
	}
	return nr;
}

static void make_cpu_notes(void)
{
	const struct fadump_head *head = fadump.head;
	/* An area has more of each CPU than the note. */
	size_t room = head->copies - head->cpus;

	if (fadump.slot->flags & FADUMP_SLOT_FINAL || !fadump.cpus_saved)
		return;
	cpu_notes = alloc_pages_exact(room, GFP_KERNEL | __GFP_ZERO | __GFP_NOWARN);
	if (!cpu_notes) {
		pr_err("no memory for the registers of the CPUs\n");
		return;
	}
	/* An empty note ends them. */
	cpu_notes_size = fadump_cpu_notes((void *)head + head->cpus, room, cpu_notes,
					  room - sizeof(struct elf_note));
	if (cpu_notes_size)
		cpu_notes_size += sizeof(struct elf_note);
	else
		pr_err("what firmware saved of the CPUs makes no sense\n");
}

/* Early enough for /proc/vmcore, which looks for the headers once. */
int __init fadump_vmcore_init(void)
{
	const struct fadump_slot *slot = fadump.slot;
	struct elf64_phdr *phdr;
	struct elf64_hdr *ehdr;
	unsigned int nr;
	u64 lost;

	if (!slot)
		return 0;
	nr = add_loads(NULL, &lost);
	make_cpu_notes();
	headers_size = sizeof(*ehdr) + (nr + 2) * sizeof(*phdr);
	headers = alloc_pages_exact(headers_size, GFP_KERNEL | __GFP_ZERO);
	if (!headers)
		return -ENOMEM;

	ehdr = headers;
	phdr = headers + sizeof(*ehdr);
	if (cpu_notes_size)
		add_phdr(phdr++, PT_NOTE, 0, 0, cpu_notes_size, __pa(cpu_notes));
	add_phdr(phdr++, PT_NOTE, 0, 0, slot->notes_size, __pa(fadump_notes(slot)));
	phdr += add_loads(phdr, &lost);
	kmemdump_fill_elf_header(ehdr, phdr - (struct elf64_phdr *)(ehdr + 1));
	elfcorehdr_addr = __pa(headers);

	pr_info("the dump that waits is in /proc/vmcore%s\n", slot->flags & FADUMP_SLOT_FINAL ?
		"" : "; no panic code has run, so it has only what was known before");
	if (lost || slot->nr_lost)
		pr_warn("%llu KiB of it are not there\n",
			(lost >> 10) + (slot->nr_lost << (PAGE_SHIFT - 10)));
	return 0;
}

/*
 * Have kexec not tell the next kernel of a dump that is no longer there. One of its ways
 * begins with the tree, the other one with what that was made of.
 */
static void forget_dump(void)
{
	struct device_node *rtas = of_find_node_by_path("/rtas");
	struct property *prop = rtas ? of_find_property(rtas, "ibm,kernel-dump", NULL) : NULL;
	int node = fdt_path_offset(initial_boot_params, "/rtas");

	if (prop)
		of_remove_property(rtas, prop);
	of_node_put(rtas);
	if (node >= 0)
		fdt_nop_property(initial_boot_params, node, "ibm,kernel-dump");
}

static void free_range(u64 start, u64 size)
{
	unsigned long pfn;

	for (pfn = PHYS_PFN(start); pfn < PHYS_PFN(start + size); pfn++) {
		struct page *page = pfn_to_page(pfn);

		/* Two loads may be of one page. */
		if (PageReserved(page))
			free_reserved_page(page);
		cond_resched();
	}
}

/*
 * The dump is no longer needed: tell firmware, and give its memory back; the
 * reservation only if there will be no other dump. Under fadump.lock.
 */
int fadump_release(void)
{
	struct fadump_head *head = fadump.head;
	unsigned int i;
	int ret;

	lockdep_assert_held(&fadump.lock);
	ret = fadump_rtas_command(FADUMP_INVALIDATE);
	if (ret)
		return ret;
	fadump.waiting = false;
	forget_dump();
	if (IS_ENABLED(CONFIG_PROC_VMCORE) && headers)
		vmcore_cleanup();
	elfcorehdr_addr = ELFCORE_ADDR_MAX;
	if (headers)
		free_pages_exact(headers, headers_size);
	if (cpu_notes)
		free_pages_exact(cpu_notes, head->copies - head->cpus);
	headers = NULL;
	cpu_notes = NULL;

	for (i = 0; fadump.slot && i < fadump.slot->nr_loads; i++) {
		const struct fadump_load *load = &fadump_loads(fadump.slot)[i];

		if (!load->copy && load->paddr >= head->low_top)
			free_range(load->paddr, load->size);
	}
	fadump.slot = NULL;
	if (!head)
		return 0;
	if (fadump.enabled) {
		fadump_head_init(head, head->base, head->size, fadump.low_top, head->slot_size,
				 head->copies - head->cpus);
	} else {
		fadump.head = NULL;
		free_range(__pa(head), head->size);
	}
	return 0;
}
