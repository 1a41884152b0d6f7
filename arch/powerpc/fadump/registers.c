// SPDX-License-Identifier: GPL-2.0-only
/*
 * kmemdump through firmware: what firmware saves of the CPUs, as ELF notes.
 *
 * Copyright (C) 2026 the kmemdump authors
 */
#include <linux/elfcore.h>
#include <linux/kstrtox.h>
#include <linux/ptrace.h>
#include <linux/string.h>
#include <linux/vmcore_info.h>

#include "fadump.h"

struct area {
	u8	magic[8];	/* "REGSAVE" */
	__be32	version;
	__be32	nr_cpus_offset;
};

/* A register, or "CPUSTRT" or "CPUEND" around those of a CPU. */
struct entry {
	char	name[8];
	__be64	value;
};

static bool is(const struct entry *entry, const char *name)
{
	return !strncmp(entry->name, name, sizeof(entry->name));
}

static void set_register(struct pt_regs *regs, const struct entry *entry)
{
	u64 value = be64_to_cpu(entry->value);
	char digits[3] = { entry->name[3], entry->name[4] };
	u8 nr;

	if (!strncmp(entry->name, "GPR", 3) && !entry->name[5]) {
		if (!kstrtou8(digits, 10, &nr) && nr < ARRAY_SIZE(regs->gpr))
			regs->gpr[nr] = value;
	} else if (is(entry, "NIA")) {
		regs->nip = value;
	} else if (is(entry, "MSR")) {
		regs->msr = value;
	} else if (is(entry, "CTR")) {
		regs->ctr = value;
	} else if (is(entry, "LR")) {
		regs->link = value;
	} else if (is(entry, "XER")) {
		regs->xer = value;
	} else if (is(entry, "CR")) {
		regs->ccr = value;
	} else if (is(entry, "DAR")) {
		regs->dar = value;
	} else if (is(entry, "DSISR")) {
		regs->dsisr = value;
	}
}

/*
 * Make notes of what firmware left in @area, @size bytes. Returns the bytes of the
 * notes in @notes, at most @room; 0 if it makes no sense from the start. Each CPU
 * that is whole counts.
 */
size_t fadump_cpu_notes(const void *area, size_t size, void *notes, size_t room)
{
	size_t note_size = sizeof(struct elf_note) + ALIGN(sizeof("CORE"), 4) +
			   ALIGN(sizeof(struct elf_prstatus), 4);
	const struct area *head = area;
	const struct entry *entry, *end;
	struct elf_prstatus prstatus;
	struct pt_regs regs;
	unsigned int nr = 0;
	void *note = notes;
	bool inside = false;
	u32 offset;

	if (size < sizeof(*head) || strncmp(head->magic, "REGSAVE", sizeof(head->magic)))
		return 0;
	/* Behind the number of CPUs, which the list tells as well. */
	offset = be32_to_cpu(head->nr_cpus_offset);
	if (offset < sizeof(*head) || offset > size - sizeof(u32))
		return 0;
	offset += sizeof(u32);
	entry = area + offset;
	end = entry + (size - offset) / sizeof(*entry);

	for (; entry < end && notes + room - note >= note_size; entry++) {
		if (is(entry, "CPUSTRT")) {
			memset(&regs, 0, sizeof(regs));
			inside = true;
		} else if (!inside) {
			break;
		} else if (is(entry, "CPUEND")) {
			memset(&prstatus, 0, sizeof(prstatus));
			/* No task has these; gdb before 16 wants them to differ. */
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
