// SPDX-License-Identifier: GPL-2.0-only
/*
 * kmemdump: what the CPUs were doing at the crash.
 *
 * Copyright (C) 2026 the kmemdump authors
 */
#include <linux/cpumask.h>
#include <linux/elfcore.h>
#include <linux/kexec.h>
#include <linux/percpu.h>
#include <linux/sched.h>
#include <linux/string.h>
#include <linux/uaccess.h>
#include <linux/vmcore_info.h>

#include <asm/irq_regs.h>

#include "arch.h"
#include "kmemdump.h"

#ifdef CONFIG_CRASH_DUMP
/* CPUs that left no registers: kmemdump itself has filled their notes. */
static cpumask_t without_regs;

/*
 * The registers that @cpu has left in the kernel's own note of it: true if there are
 * some. The note is empty until the crash. Any context.
 */
bool kmemdump_noted_regs(unsigned int cpu, struct pt_regs *regs)
{
	struct {
		struct elf_note		head;
		char			name[CRASH_CORE_NOTE_NAME_BYTES];
		struct elf_prstatus	prstatus;
	} __packed note;

	if (!crash_notes || cpumask_test_cpu(cpu, &without_regs) ||
	    copy_from_kernel_nofault(&note, per_cpu_ptr(crash_notes, cpu), sizeof(note)) ||
	    note.head.n_type != NT_PRSTATUS || note.head.n_descsz != sizeof(note.prstatus) ||
	    memcmp(note.name, "CORE", sizeof("CORE")))
		return false;
	/* pt_regs is larger than pr_reg on some architectures, and smaller on others. */
	memset(regs, 0, sizeof(*regs));
	memcpy(regs, &note.prstatus.pr_reg, min(sizeof(*regs), sizeof(note.prstatus.pr_reg)));
	return true;
}
#else
bool kmemdump_noted_regs(unsigned int cpu, struct pt_regs *regs)
{
	return false;
}
#endif

/*
 * A CPU that stopped took its last interrupt for that, and the registers of the interrupt are
 * what it was doing. With crash_kexec_post_notifiers it may have left them in the kernel's own
 * note instead, and stays online then.
 */
static void save_other_cpu(struct kmemdump_image_cpu *out, unsigned int cpu, bool live)
{
	struct pt_regs *regs = per_cpu(__irq_regs, cpu);

	out->state = KMEMDUMP_CPU_RUNNING;
	if (live)
		return;
	if (kmemdump_noted_regs(cpu, &out->regs)) {
		out->state = KMEMDUMP_CPU_STOPPED;
		return;
	}
	if (cpu_online(cpu))
		return;
	out->state = KMEMDUMP_CPU_STOPPED;
	if (!regs || copy_from_kernel_nofault(&out->regs, regs, sizeof(out->regs)))
		out->state = KMEMDUMP_CPU_LOST;
}

/*
 * Note what @cpu does: @regs if it is this one, NULL if it is another. In a @live system the
 * registers of others are not known. Any context.
 */
void kmemdump_save_cpu(struct kmemdump_image_cpu *out, unsigned int cpu, struct pt_regs *regs,
		       bool live)
{
	pid_t pid = 0;

	memset(out, 0, sizeof(*out));
	out->cpu = cpu;
	get_kernel_nofault(pid, &kmemdump_task_on(cpu)->pid);
	out->pid = pid;
	if (regs)
		out->regs = *regs;
	else
		save_other_cpu(out, cpu, live);
}

void kmemdump_fill_prstatus(struct elf_prstatus *prstatus, const struct kmemdump_image_cpu *cpu)
{
	memset(prstatus, 0, sizeof(*prstatus));
	prstatus->common.pr_pid = cpu->pid;
	elf_core_copy_regs(&prstatus->pr_reg, (struct pt_regs *)&cpu->regs);
}

/*
 * Some debuggers look for the registers of a CPU in the kernel's own notes, which kdump
 * fills. kdump does not run if kmemdump does, so fill those that are empty, also of CPUs
 * that did not stop: crash takes a CPU with an empty note for one that has none in the ELF
 * core either, and counts on from there. What a CPU has noted of itself stays. Panic context.
 */
void kmemdump_fill_crash_note(const struct kmemdump_image_cpu *cpu)
{
#ifdef CONFIG_CRASH_DUMP
	struct elf_prstatus prstatus;
	struct pt_regs regs;

	if (!crash_notes || kmemdump_noted_regs(cpu->cpu, &regs))
		return;
	if (cpu->state > KMEMDUMP_CPU_STOPPED)
		cpumask_set_cpu(cpu->cpu, &without_regs);
	kmemdump_fill_prstatus(&prstatus, cpu);
	final_note(append_elf_note((u32 *)per_cpu_ptr(crash_notes, cpu->cpu), "CORE",
				   NT_PRSTATUS, &prstatus, sizeof(prstatus)));
#endif
}
