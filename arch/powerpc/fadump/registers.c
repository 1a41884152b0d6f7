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
 * Make notes of what firmware left in @area, @size bytes. Returns the bytes of the
 * notes in @notes, at most @room; 0 if it makes no sense from the start. Each CPU
 * that is whole counts.
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
