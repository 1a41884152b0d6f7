/* SPDX-License-Identifier: GPL-2.0 */
/* kmemdump: what only powerpc knows of a crash. See mm/kmemdump/arch.h. */
#ifndef _ASM_POWERPC_KMEMDUMP_H
#define _ASM_POWERPC_KMEMDUMP_H

#include <linux/kmemdump_backend.h>
#include <linux/sched.h>
#include <linux/thread_info.h>

#include <asm/irq.h>
#include <asm/kexec.h>
#include <asm/paca.h>
#include <asm/pgalloc.h>
#include <asm/processor.h>

/* Not ELF_CORE_EFLAGS, which depends on the current task: the version of the ABI. */
#define KMEMDUMP_ELF_FLAGS	(IS_ENABLED(CONFIG_PPC64_ELF_ABI_V2) ? 2 : 1)

/*
 * From the last frame of a stack, "crash" looks for the mark of an exception, without a
 * look at where the stack ends.
 */
#define KMEMDUMP_STACK_OVERREAD	128

/* The stacks of interrupts and of soft interrupts, and three for emergencies. */
#define KMEMDUMP_CPU_STACKS	5
#define KMEMDUMP_FIRST_ALIAS	KMEMDUMP_CPU_STACKS

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
	return READ_ONCE(paca_ptrs[cpu]->__current);
}

static inline unsigned long kmemdump_arch_saved_sp(const struct task_struct *task)
{
	unsigned long sp;

	return kmemdump_peek(&sp, &task->thread.ksp, sizeof(sp)) ? sp : 0;
}

#ifdef CONFIG_PPC_BOOK3S_64
static inline unsigned long kmemdump_arch_cpu_stack(unsigned int cpu, unsigned int i,
						    unsigned long *size)
{
	const struct paca_struct *paca = paca_ptrs[cpu];
	void * const *ends[] = {
		(void **)&paca->emergency_sp, (void **)&paca->nmi_emergency_sp,
		(void **)&paca->mc_emergency_sp,
	};
	void *end;

	*size = THREAD_SIZE;
	if (i < 2)
		return (unsigned long)(i ? softirq_ctx[cpu] : hardirq_ctx[cpu]);
	return kmemdump_peek(&end, ends[i - 2], sizeof(end)) && end ?
	       (unsigned long)end - THREAD_SIZE : 0;
}

/* Where the exception entries find the stacks and variables of the CPU. */
static inline void kmemdump_arch_add_cpu(struct kmemdump_image *image, unsigned int cpu)
{
	kmemdump_image_add(image, (unsigned long)paca_ptrs[cpu], sizeof(struct paca_struct),
			   KMEMDUMP_ORDER_PERCPU);
}
#else
static inline unsigned long kmemdump_arch_cpu_stack(unsigned int cpu, unsigned int i,
						    unsigned long *size)
{
	return 0;
}

static inline void kmemdump_arch_add_cpu(struct kmemdump_image *image, unsigned int cpu)
{
}
#endif

/* What backs the struct pages; with the hash MMU that is in no page table. */
static inline void kmemdump_arch_add_needed(struct kmemdump_image *image)
{
#if defined(CONFIG_PPC_BOOK3S_64) && defined(CONFIG_SPARSEMEM_VMEMMAP)
	struct vmemmap_backing *entry = vmemmap_list;
	unsigned int left = 65536;

	while (entry && left--) {
		kmemdump_image_add(image, (unsigned long)entry, sizeof(*entry),
				   KMEMDUMP_ORDER_IMAGE);
		if (!kmemdump_peek(&entry, &entry->list, sizeof(entry)))
			break;
	}
#endif
}

static inline void kmemdump_arch_add_text(struct kmemdump_image *image, unsigned long addr,
					  enum kmemdump_order order)
{
}

#endif /* _ASM_POWERPC_KMEMDUMP_H */
