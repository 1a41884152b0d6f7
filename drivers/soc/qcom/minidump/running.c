// SPDX-License-Identifier: GPL-2.0-only
/*
 * Qualcomm minidump: keep the task that each CPU runs in the dump, for resets without a panic.
 *
 * Panic code finds these tasks itself. When the machine hangs and a watchdog resets it, no
 * panic code runs, and firmware saves the memory that the table listed until then. So at each
 * context switch the table gets the task that the CPU switches to, and the stack of that task.
 * This slows every context switch down, so it is off unless the administrator asks for it.
 *
 * Copyright (C) 2026 the kmemdump authors
 */
#include <linux/io.h>
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/sched/task.h>
#include <linux/sched/task_stack.h>
#include <linux/string.h>
#include <linux/tracepoint.h>
#include <linux/vmalloc.h>

#include "minidump.h"

/* init_task and its stack are in the kernel image; other tasks are in the linear map. */
static void cut(const struct task_struct *task, struct kmemdump_piece *piece, unsigned long addr,
		unsigned int nr_pages)
{
	piece->virt_addr = addr;
	piece->phys_addr = task == &init_task ? __pa_symbol(addr) : __pa(addr);
	piece->size = (size_t)nr_pages << PAGE_SHIFT;
}

static bool is_ram(phys_addr_t phys)
{
	unsigned long pfn = PHYS_PFN(phys);

	return pfn_valid(pfn) && !PageReserved(pfn_to_page(pfn));
}

/*
 * The same number of pages for any task. That may be one more than it has: then it is a
 * neighbour, which has to be RAM, as firmware reads it.
 */
static void cut_struct(const struct task_struct *task, struct kmemdump_piece *piece)
{
	unsigned long addr = (unsigned long)task & PAGE_MASK;
	unsigned int nr = PFN_UP(sizeof(*task)) + 1;

	cut(task, piece, addr, nr);
	if (PFN_UP(offset_in_page(task) + sizeof(*task)) < nr &&
	    !is_ram(piece->phys_addr + piece->size - PAGE_SIZE))
		cut(task, piece, addr - PAGE_SIZE, nr);
}

/* The MINIDUMP_TASK_PIECES of @task, which runs, each of the same size for any task. */
void minidump_cut_task(const struct task_struct *task, struct kmemdump_piece *pieces)
{
	unsigned long stack = (unsigned long)task_stack_page(task) & PAGE_MASK;
	const struct vm_struct *area = task_stack_vm_area(task);
	unsigned int i, nr = PFN_UP(THREAD_SIZE) / MINIDUMP_STACK_PIECES;

	/*
	 * The stack of init_task is in the dump with the kernel's variables, and may be the first
	 * of them. No two ranges must start at the same place.
	 */
	if (task == &init_task && THREAD_SIZE > PAGE_SIZE)
		stack += PAGE_SIZE;
	cut_struct(task, &pieces[0]);
	for (i = 0; i < MINIDUMP_STACK_PIECES; i++) {
		struct kmemdump_piece *piece = &pieces[1 + i];

		if (area) {
			piece->virt_addr = stack + i * PAGE_SIZE;
			piece->phys_addr = page_to_phys(area->pages[i]);
			piece->size = PAGE_SIZE;
		} else {
			cut(task, piece, stack + i * PAGE_SIZE, nr);
		}
	}
}

#ifdef CONFIG_TRACEPOINTS
static void switch_task(void *data, bool preempt, struct task_struct *prev,
			struct task_struct *next, unsigned int prev_state)
{
	struct kmemdump_piece pieces[MINIDUMP_TASK_PIECES];

	minidump_cut_task(next, pieces);
	minidump_slots_switch(data, raw_smp_processor_id(), pieces);
}

/* Modules can't name it. */
static void find_sched_switch(struct tracepoint *tp, void *found)
{
	if (!strcmp(tp->name, "sched_switch"))
		*(struct tracepoint **)found = tp;
}

static struct tracepoint *sched_switch(void)
{
	struct tracepoint *found = NULL;

	for_each_kernel_tracepoint(find_sched_switch, &found);
	return found;
}

/*
 * From now on, @s lists the task that each CPU runs, and the stack of that task. May sleep.
 * Returns 0, -ENOENT if the kernel has no tracepoint for context switches, or -ENOMEM.
 */
int minidump_follow_tasks(struct minidump_slots *s)
{
	struct tracepoint *tp = sched_switch();

	return tp ? tracepoint_probe_register(tp, switch_task, s) : -ENOENT;
}

/* After minidump_follow_tasks() has returned 0. May sleep. */
void minidump_unfollow_tasks(struct minidump_slots *s)
{
	struct tracepoint *tp = sched_switch();

	if (tp)
		tracepoint_probe_unregister(tp, switch_task, s);
	tracepoint_synchronize_unregister();
}
#else
int minidump_follow_tasks(struct minidump_slots *s)
{
	return -ENOENT;
}

void minidump_unfollow_tasks(struct minidump_slots *s)
{
}
#endif
