/* SPDX-License-Identifier: GPL-2.0 */
/* kmemdump: what only arm64 knows of a crash. See mm/kmemdump/arch.h. */
#ifndef _ASM_ARM64_KMEMDUMP_H
#define _ASM_ARM64_KMEMDUMP_H

#include <linux/kmemdump_backend.h>
#include <linux/percpu.h>
#include <linux/sched.h>

#include <asm/kexec.h>
#include <asm/processor.h>
#include <asm/stacktrace.h>

#define KMEMDUMP_ELF_FLAGS	0
#define KMEMDUMP_STACK_OVERREAD	0

/* The stack of interrupts, and the one for when the stack of a task is full. */
#define KMEMDUMP_CPU_STACKS	2
#define KMEMDUMP_FIRST_ALIAS	KMEMDUMP_CPU_STACKS

DECLARE_PER_CPU(struct task_struct *, __entry_task);

static __always_inline struct pt_regs *kmemdump_arch_save_regs(struct pt_regs *regs)
{
	crash_setup_regs(regs, NULL);
	return regs;
}

static inline const struct task_struct *kmemdump_arch_task_on(unsigned int cpu)
{
	return READ_ONCE(per_cpu(__entry_task, cpu));
}

static inline unsigned long kmemdump_arch_saved_sp(const struct task_struct *task)
{
	unsigned long sp;

	return kmemdump_peek(&sp, &task->thread.cpu_context.sp, sizeof(sp)) ? sp : 0;
}

static inline unsigned long kmemdump_arch_cpu_stack(unsigned int cpu, unsigned int i,
						    unsigned long *size)
{
	if (!i) {
		*size = IRQ_STACK_SIZE;
		return (unsigned long)per_cpu(irq_stack_ptr, cpu);
	}
#ifdef CONFIG_VMAP_STACK
	*size = OVERFLOW_STACK_SIZE;
	return (unsigned long)per_cpu(overflow_stack, cpu);
#else
	return 0;
#endif
}

static inline void kmemdump_arch_add_cpu(struct kmemdump_image *image, unsigned int cpu)
{
}

static inline void kmemdump_arch_add_needed(struct kmemdump_image *image)
{
}

static inline void kmemdump_arch_add_text(struct kmemdump_image *image, unsigned long addr,
					  enum kmemdump_order order)
{
}

#endif /* _ASM_ARM64_KMEMDUMP_H */
