/* SPDX-License-Identifier: GPL-2.0 */
/*
 * kmemdump: what only the architecture knows of a crash.
 *
 * <asm/kmemdump.h> has:
 *
 *	KMEMDUMP_ELF_FLAGS		e_flags of the ELF core
 *	KMEMDUMP_STACK_OVERREAD		bytes that debuggers read past the end of a stack
 *	KMEMDUMP_CPU_STACKS		number of stacks that a CPU has besides those of tasks
 *	KMEMDUMP_FIRST_ALIAS		number of the first one whose memory is in the dump by
 *					another address: only page tables lead to it
 *	kmemdump_arch_save_regs()	the registers of this CPU, or NULL
 *	kmemdump_arch_task_on()		what a CPU runs, found without a lock
 *	kmemdump_arch_saved_sp()	the stack pointer of a task that does not run, or 0
 *	kmemdump_arch_cpu_stack()	start and size of a stack of a CPU, or 0
 *	kmemdump_arch_add_cpu()		add what else debuggers need of a CPU to the image
 *	kmemdump_arch_add_needed()	add what else they can't start without
 *	kmemdump_arch_add_text()	add what they need to unwind a frame besides its text
 */
#ifndef _MM_KMEMDUMP_ARCH_H
#define _MM_KMEMDUMP_ARCH_H

#include <linux/sched.h>
#include <linux/smp.h>

#ifdef CONFIG_KMEMDUMP_ARCH
#include <asm/kmemdump.h>
#else
#include <linux/kexec.h>

#define KMEMDUMP_ELF_FLAGS	0

static __always_inline struct pt_regs *kmemdump_arch_save_regs(struct pt_regs *regs)
{
#ifdef CONFIG_CRASH_DUMP
	crash_setup_regs(regs, NULL);
	return regs;
#else
	return NULL;
#endif
}

static inline const struct task_struct *kmemdump_arch_task_on(unsigned int cpu)
{
	return NULL;
}
#endif

/*
 * What @cpu runs, or NULL. The scheduler's own function for that takes the lock of the
 * run queue, which this CPU or one that was stopped may hold. Any context.
 */
static inline const struct task_struct *kmemdump_task_on(unsigned int cpu)
{
	return cpu == raw_smp_processor_id() ? current : kmemdump_arch_task_on(cpu);
}

#endif /* _MM_KMEMDUMP_ARCH_H */
