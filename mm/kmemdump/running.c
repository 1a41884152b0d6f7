// SPDX-License-Identifier: GPL-2.0-only
/*
 * kmemdump: keep what runs on each CPU in the dump, for resets without a panic.
 *
 * A panic finds that itself. When the machine hangs and a watchdog resets it, what
 * firmware saves is what was listed before: so list the task that each CPU goes
 * over to, and its stack. This is in the way of each context switch, and off unless
 * asked for.
 *
 * Copyright (C) 2026 the kmemdump authors
 */
#define pr_fmt(fmt) "kmemdump: " fmt

#include <linux/init.h>
#include <linux/mm.h>
#include <linux/moduleparam.h>
#include <linux/sched.h>
#include <linux/sched/task_stack.h>
#include <linux/vmalloc.h>

#include <asm/sections.h>

#include <trace/events/sched.h>

#include "kmemdump.h"

#undef MODULE_PARAM_PREFIX
#define MODULE_PARAM_PREFIX "kmemdump."

/* Each backend makes room for it as it is attached, and that does not change then. */
module_param_named(running, kmemdump_table.follow_tasks, bool, 0400);

static void cut(struct kmemdump_segment *piece, unsigned long addr, unsigned int nr_pages)
{
	piece->virt_addr = addr;
	piece->phys_addr = __is_kernel(addr) ? __pa_symbol(addr) : __pa(addr);
	piece->size = (size_t)nr_pages << PAGE_SHIFT;
}

static bool is_ram(phys_addr_t phys)
{
	unsigned long pfn = PHYS_PFN(phys);

	return pfn_valid(pfn) && !PageReserved(pfn_to_page(pfn));
}

/*
 * The same number of pages for any task. That may be one more than it has, and is
 * a neighbour then that firmware can't do harm by reading.
 */
static void cut_struct(const struct task_struct *task, struct kmemdump_segment *piece)
{
	unsigned long addr = (unsigned long)task & PAGE_MASK;
	unsigned int nr = PFN_UP(sizeof(*task)) + 1;

	cut(piece, addr, nr);
	if (PFN_UP(offset_in_page(task) + sizeof(*task)) < nr &&
	    !is_ram(piece->phys_addr + piece->size - PAGE_SIZE))
		cut(piece, addr - PAGE_SIZE, nr);
}

/* The KMEMDUMP_TASK_PIECES of @task, which runs, each of the same size for any task. */
void kmemdump_cut_task(const struct task_struct *task, struct kmemdump_segment *pieces)
{
	unsigned long stack = (unsigned long)task_stack_page(task) & PAGE_MASK;
	const struct vm_struct *area = task_stack_vm_area(task);
	unsigned int i, nr = PFN_UP(THREAD_SIZE) / KMEMDUMP_STACK_PIECES;

	/*
	 * That of init_task is in the dump with the kernel's variables, and may be the first of
	 * them. No two ranges must start at the same place.
	 */
	if (__is_kernel(stack) && THREAD_SIZE > PAGE_SIZE)
		stack += PAGE_SIZE;
	cut_struct(task, &pieces[0]);
	for (i = 0; i < KMEMDUMP_STACK_PIECES; i++) {
		struct kmemdump_segment *piece = &pieces[1 + i];

		if (area) {
			piece->virt_addr = stack + i * PAGE_SIZE;
			piece->phys_addr = page_to_phys(area->pages[i]);
			piece->size = PAGE_SIZE;
		} else {
			cut(piece, stack + i * PAGE_SIZE, nr);
		}
	}
}

static void switch_task(void *data, bool preempt, struct task_struct *prev,
			struct task_struct *next, unsigned int prev_state)
{
	kmemdump_backends_switch(&kmemdump_table, next);
}

static int __init kmemdump_running_init(void)
{
	int ret;

	if (!kmemdump_table.follow_tasks)
		return 0;
	ret = register_trace_sched_switch(switch_task, NULL);
	if (ret)
		pr_warn("can't follow what runs: %pe\n", ERR_PTR(ret));
	return ret;
}
late_initcall(kmemdump_running_init);
