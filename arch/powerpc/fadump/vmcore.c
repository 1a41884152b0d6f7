// SPDX-License-Identifier: GPL-2.0-only
/*
 * kmemdump through firmware: the waiting dump as /proc/vmcore.
 *
 * Copyright (C) 2026 the kmemdump authors
 */
#define pr_fmt(fmt) "kmemdump: fadump: " fmt

#include <linux/crash_dump.h>
#include <linux/elf.h>
#include <linux/elfcore.h>
#include <linux/gfp.h>
#include <linux/kernel.h>
#include <linux/kmemdump_backend.h>
#include <linux/kstrtox.h>
#include <linux/libfdt.h>
#include <linux/mm.h>
#include <linux/of.h>
#include <linux/of_fdt.h>
#include <linux/ptrace.h>
#include <linux/sched.h>
#include <linux/string.h>
#include <linux/vmcore_info.h>

#include "fadump.h"

/* /proc/vmcore reads the ELF headers and the notes of the CPUs until the release. */
static void *headers, *cpu_notes;
static size_t headers_size, cpu_notes_size;

/* The names that firmware has for the members of struct pt_regs, without the GPRs. */
static const struct {
	const char	*name;
	size_t		offset;
} registers[] = {
	{ "NIA",	offsetof(struct pt_regs, nip) },
	{ "MSR",	offsetof(struct pt_regs, msr) },
	{ "CTR",	offsetof(struct pt_regs, ctr) },
	{ "LR",		offsetof(struct pt_regs, link) },
	{ "XER",	offsetof(struct pt_regs, xer) },
	{ "CR",		offsetof(struct pt_regs, ccr) },
	{ "DAR",	offsetof(struct pt_regs, dar) },
	{ "DSISR",	offsetof(struct pt_regs, dsisr) },
};

static bool has_id(const struct rtas_fadump_reg_entry *entry, const char *name)
{
	return be64_to_cpu(entry->reg_id) == fadump_str_to_u64(name);
}

static void set_register(struct pt_regs *regs, const struct rtas_fadump_reg_entry *entry)
{
	char name[sizeof(entry->reg_id) + 1] = "";
	u64 value = be64_to_cpu(entry->reg_value);
	unsigned int i;
	u8 nr;

	memcpy(name, &entry->reg_id, sizeof(entry->reg_id));
	if (str_has_prefix(name, "GPR") && !kstrtou8(name + 3, 10, &nr) &&
	    nr < ARRAY_SIZE(regs->gpr))
		regs->gpr[nr] = value;
	for (i = 0; i < ARRAY_SIZE(registers); i++)
		if (has_id(entry, registers[i].name))
			*(unsigned long *)((void *)regs + registers[i].offset) = value;
}

/*
 * Make notes of the CPU state in @area. Returns the bytes of @notes that they take, of at most
 * @room; 0 if firmware left no valid data. A CPU whose list has no end gets no note.
 */
size_t fadump_cpu_notes(const void *area, size_t size, void *notes, size_t room)
{
	size_t note_size = sizeof(struct elf_note) + ALIGN(sizeof("CORE"), 4) +
			   ALIGN(sizeof(struct elf_prstatus), 4);
	const struct rtas_fadump_reg_save_area_header *head = area;
	const struct rtas_fadump_reg_entry *entry, *end;
	struct elf_prstatus prstatus;
	struct pt_regs regs;
	unsigned int nr = 0;
	void *note = notes;
	bool inside = false;
	u32 offset;

	if (size < sizeof(*head) ||
	    be64_to_cpu(head->magic_number) != fadump_str_to_u64("REGSAVE"))
		return 0;
	/* The list of registers starts after the number of CPUs, which is not needed. */
	offset = be32_to_cpu(head->num_cpu_offset);
	if (offset < sizeof(*head) || offset > size - sizeof(u32))
		return 0;
	offset += sizeof(u32);
	entry = area + offset;
	end = entry + (size - offset) / sizeof(*entry);

	for (; entry < end && notes + room - note >= note_size; entry++) {
		if (has_id(entry, "CPUSTRT")) {
			memset(&regs, 0, sizeof(regs));
			inside = true;
		} else if (!inside) {
			break;
		} else if (has_id(entry, "CPUEND")) {
			memset(&prstatus, 0, sizeof(prstatus));
			/* gdb before 16 needs distinct PIDs. No task has these. */
			prstatus.common.pr_pid = PID_MAX_LIMIT + nr++;
			elf_core_copy_regs(&prstatus.pr_reg, &regs);
			note = append_elf_note(note, "CORE", NT_PRSTATUS, &prstatus,
					       sizeof(prstatus));
			inside = false;
		} else {
			set_register(&regs, entry);
		}
	}
	return note - notes;
}

/* Program headers that are being made; while @phdr is NULL they are only counted. */
struct maker {
	struct elf64_phdr	*phdr;
	unsigned int		nr;
	u64			lost;	/* bytes that no program header has */
};

static void add_phdr(struct maker *maker, u32 type, u64 vaddr, u64 paddr, u64 size, u64 where)
{
	/* An ELF header counts no more. The table has the loads that matter most first. */
	if (!where || maker->nr == PN_XNUM - 1) {
		maker->lost += size;
		return;
	}
	if (maker->phdr)
		maker->phdr[maker->nr] = (struct elf64_phdr) {
			.p_type		= type,
			.p_flags	= type == PT_LOAD ? PF_R | PF_W | PF_X : 0,
			.p_offset	= where,
			.p_vaddr	= vaddr,
			.p_paddr	= paddr,
			.p_filesz	= size,
			.p_memsz	= size,
		};
	maker->nr++;
}

static void add_note(struct maker *maker, const void *note, u64 size)
{
	add_phdr(maker, PT_NOTE, 0, __pa(note), size, __pa(note));
}

/* Add what is left of @load. Firmware may have copied it in several pieces. */
static void add_load(struct maker *maker, const struct fadump_load *load)
{
	u64 done, size, len;

	for (done = 0; done < load->size; done += size) {
		u64 paddr = load->paddr + done, where = paddr;

		size = load->size - done;
		if (load->copy) {
			where = load->copy + done;
		} else if (paddr < fadump.head->low_top) {
			where = fadump_copies_find(&fadump.copied, paddr, &len);
			size = min(size, len);
		}
		add_phdr(maker, PT_LOAD, load->vaddr + done, paddr, size, where);
	}
}

static void add_all(struct maker *maker)
{
	const struct fadump_slot *slot = fadump.slot;
	unsigned int i;

	if (cpu_notes_size)
		add_note(maker, cpu_notes, cpu_notes_size);
	add_note(maker, fadump_notes(slot), slot->notes_size);
	for (i = 0; i < slot->nr_loads; i++)
		add_load(maker, &fadump_loads(slot)[i]);
}

/* Panic code writes better notes of the CPUs; without it, use the registers from firmware. */
static void make_cpu_notes(void)
{
	const struct fadump_head *head = fadump.head;
	/* A CPU takes more room in the CPU state than in the notes. */
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

/* Must run before /proc/vmcore is made, which looks for the headers only once. */
int __init fadump_vmcore_init(void)
{
	const struct fadump_slot *slot = fadump.slot;
	struct maker maker = {};

	if (!slot)
		return 0;
	make_cpu_notes();
	add_all(&maker);
	headers_size = sizeof(struct elf64_hdr) + maker.nr * sizeof(struct elf64_phdr);
	headers = alloc_pages_exact(headers_size, GFP_KERNEL | __GFP_ZERO);
	if (!headers)
		return -ENOMEM;
	maker = (struct maker) { .phdr = headers + sizeof(struct elf64_hdr) };
	add_all(&maker);
	kmemdump_fill_elf_header(headers, maker.nr);
	elfcorehdr_addr = __pa(headers);

	pr_info("the dump that waits is in /proc/vmcore%s\n", slot->flags & FADUMP_SLOT_FINAL ?
		"" : "; no panic code has run, so it has only what was known before");
	if (maker.lost || slot->nr_lost)
		pr_warn("%llu KiB of it are not there\n",
			(maker.lost >> 10) + (slot->nr_lost << (PAGE_SHIFT - 10)));
	return 0;
}

/*
 * Remove the dump from the device tree, so that kexec does not announce it to the next
 * kernel: kexec_load() passes on the live tree, kexec_file_load() the flat one.
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

static void free_headers(void)
{
	if (IS_ENABLED(CONFIG_PROC_VMCORE) && headers)
		vmcore_cleanup();
	elfcorehdr_addr = ELFCORE_ADDR_MAX;
	if (headers)
		free_pages_exact(headers, headers_size);
	if (cpu_notes)
		free_pages_exact(cpu_notes, fadump.head->copies - fadump.head->cpus);
	headers = NULL;
	cpu_notes = NULL;
}

static void free_range(u64 start, u64 size)
{
	unsigned long pfn;

	for (pfn = PHYS_PFN(start); pfn < PHYS_PFN(start + size); pfn++) {
		struct page *page = pfn_to_page(pfn);

		/* Two loads may have the same page, which must not be freed twice. */
		if (PageReserved(page))
			free_reserved_page(page);
		cond_resched();
	}
}

static void free_loads(const struct fadump_slot *slot)
{
	unsigned int i;

	for (i = 0; i < slot->nr_loads; i++)
		if (fadump_load_stays(fadump.head, &fadump_loads(slot)[i]))
			free_range(fadump_loads(slot)[i].paddr, fadump_loads(slot)[i].size);
}

/*
 * Discard the dump and free its memory. The reservation is freed only if this kernel wants
 * no dump of its own.
 */
int fadump_release(void)
{
	struct fadump_head *head = fadump.head;
	int ret;

	lockdep_assert_held(&fadump.lock);
	ret = fadump_rtas_command(FADUMP_INVALIDATE);
	if (ret)
		return ret;
	fadump.waiting = false;
	forget_dump();
	free_headers();
	if (fadump.slot)
		free_loads(fadump.slot);
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
