/* SPDX-License-Identifier: GPL-2.0 */
/* kmemdump: what only x86 knows of a crash. See mm/kmemdump/arch.h. */
#ifndef _ASM_X86_KMEMDUMP_H
#define _ASM_X86_KMEMDUMP_H

#include <linux/align.h>
#include <linux/fs.h>
#include <linux/futex.h>
#include <linux/kmemdump_backend.h>
#include <linux/percpu.h>
#include <linux/sched.h>

#include <asm/cpu_entry_area.h>
#include <asm/current.h>
#include <asm/kexec.h>
#include <asm/processor.h>
#include <asm/sections.h>
#include <asm/syscall.h>
#include <asm/unistd.h>

#ifdef CONFIG_UNWINDER_ORC
#include <asm/orc_lookup.h>
#include <asm/orc_types.h>
#endif

/* Before Linux 6.15, the per-CPU variables that x86 uses most were in a structure. */
#ifdef DECLARE_PER_CPU_CACHE_HOT
#define kmemdump_hot_var(name)	name
#else
#define kmemdump_hot_var(name)	pcpu_hot.name
#endif

#define KMEMDUMP_ELF_FLAGS	0
#define KMEMDUMP_STACK_OVERREAD	0

/*
 * The stack of interrupts, and those of NMIs, double faults and other exceptions. The memory of
 * the latter is in the per-CPU area, at other addresses; between them are pages without memory.
 */
#define KMEMDUMP_CPU_STACKS	2
#define KMEMDUMP_FIRST_ALIAS	1

static __always_inline struct pt_regs *kmemdump_arch_save_regs(struct pt_regs *regs)
{
	crash_setup_regs(regs, NULL);
	return regs;
}

static inline const struct task_struct *kmemdump_arch_task_on(unsigned int cpu)
{
	return READ_ONCE(per_cpu(kmemdump_hot_var(current_task), cpu));
}

static inline unsigned long kmemdump_arch_saved_sp(const struct task_struct *task)
{
	unsigned long sp;

	return kmemdump_peek(&sp, &task->thread.sp, sizeof(sp)) ? sp : 0;
}

static inline unsigned long kmemdump_arch_cpu_stack(unsigned int cpu, unsigned int i,
						    unsigned long *size)
{
	unsigned long top = (unsigned long)per_cpu(kmemdump_hot_var(hardirq_stack_ptr), cpu);

	if (i) {
		*size = sizeof(struct cea_exception_stacks);
		return (unsigned long)per_cpu(cea_exception_stacks, cpu);
	}
	/* @top is the address of the last word. */
	*size = IRQ_STACK_SIZE;
	return top ? ALIGN(top, IRQ_STACK_SIZE) - IRQ_STACK_SIZE : 0;
}

static inline void kmemdump_arch_add_cpu(struct kmemdump_image *image, unsigned int cpu)
{
}

/* From the first instructions of these "crash" learns if there are frame pointers. */
static inline void kmemdump_arch_add_needed(struct kmemdump_image *image)
{
	const void *functions[] = {
		sys_call_table[__NR_open], sys_call_table[__NR_fork], sys_call_table[__NR_write],
		vfs_read, IS_ENABLED(CONFIG_FUTEX) ? do_futex : NULL,
	};
	int i;

	for (i = 0; i < ARRAY_SIZE(functions); i++)
		if (functions[i])
			kmemdump_image_add(image, (unsigned long)functions[i], 32,
					   KMEMDUMP_ORDER_IMAGE);
}

#ifdef CONFIG_UNWINDER_ORC
/* The linker makes the tables of the unwinder. */
extern int __start_orc_unwind_ip[];
extern struct orc_entry __start_orc_unwind[];

/* What an unwinder reads to get past a frame of the function at @addr. */
static inline void kmemdump_arch_add_text(struct kmemdump_image *image, unsigned long addr,
					  enum kmemdump_order order)
{
	const unsigned int max = 4096;
	unsigned int *block, range[2];
	size_t nr;

	if (addr < LOOKUP_START_IP || addr >= LOOKUP_STOP_IP)
		return;
	block = orc_lookup + (addr - LOOKUP_START_IP) / LOOKUP_BLOCK_SIZE;
	if (!kmemdump_peek(range, block, sizeof(range)) || range[1] < range[0] ||
	    range[1] - range[0] > max)
		return;
	nr = range[1] - range[0] + 1;
	kmemdump_image_add(image, (unsigned long)block, sizeof(range), order);
	kmemdump_image_add(image, (unsigned long)(__start_orc_unwind_ip + range[0]),
			   nr * sizeof(int), order);
	kmemdump_image_add(image, (unsigned long)(__start_orc_unwind + range[0]),
			   nr * sizeof(struct orc_entry), order);
}
#else
static inline void kmemdump_arch_add_text(struct kmemdump_image *image, unsigned long addr,
					  enum kmemdump_order order)
{
}
#endif

#endif /* _ASM_X86_KMEMDUMP_H */
