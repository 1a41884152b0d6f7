// SPDX-License-Identifier: GPL-2.0-only
/*
 * Test module: damages what kmemdump walks through at a panic, and panics.
 * Loading it does not return.
 *
 * Copyright (C) 2026 the kmemdump authors
 */
#include <linux/kmemdump.h>
#include <linux/kthread.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/panic.h>
#include <linux/pgtable.h>
#include <linux/pid_namespace.h>
#include <linux/sched/task.h>
#include <linux/sched/task_stack.h>
#include <linux/sizes.h>
#include <linux/vmalloc.h>
#include <linux/xarray.h>

static char *with = "";
module_param(with, charp, 0);
MODULE_PARM_DESC(with, "what pointers become: garbage, user or cycle");

/* Addresses of variables that are not exported to modules. */
static unsigned long slab_caches;
module_param(slab_caches, ulong, 0);

static unsigned long init_mm_addr;
module_param_named(init_mm, init_mm_addr, ulong, 0);

/* A physical address at which no test machine has memory or a device. */
#define NOWHERE	(3ULL << 37)

/* More than a page table maps. */
#define AREA_SIZE	(4 * PMD_SIZE)

/* This looks like an entry of any list, but has no object around it. */
static struct {
	char			before[SZ_8K];
	struct list_head	list;
	char			behind[SZ_8K];
} loop;

/* The pointer that damage leaves, or NULL for one that leads back to itself. */
static void *bad_pointer(void)
{
	if (!strcmp(with, "garbage"))
		return (void *)__va(NOWHERE);
	if (!strcmp(with, "user"))
		return (void *)0x400000;
	return NULL;
}

static void damage_list(struct list_head *head)
{
	loop.list.next = &loop.list;
	WRITE_ONCE(head->next, bad_pointer() ?: &loop.list);
}

/* A task that sleeps forever. */
static int sleeper(void *unused)
{
	set_current_state(TASK_UNINTERRUPTIBLE);
	schedule();
	return 0;
}

static struct task_struct *start_sleeper(const char *name)
{
	struct task_struct *task = kthread_run(sleeper, NULL, "%s", name);

	/* A task that has not run yet is on no CPU either, so look at its state, too. */
	while (!IS_ERR(task) && (READ_ONCE(task->__state) != TASK_UNINTERRUPTIBLE ||
				 READ_ONCE(task->on_cpu)))
		cond_resched();
	return task;
}

static void damage_idr(struct xarray *xa)
{
	void *bad = bad_pointer(), *entry = xa->xa_head;
	struct xa_node *node;
	int i;

	if (!xa_is_node(entry))
		return;
	node = (void *)((unsigned long)entry & ~3UL);
	for (i = XA_CHUNK_SIZE / 2; i < XA_CHUNK_SIZE; i++)
		node->slots[i] = bad ? bad + 2 : entry;
}

static pmd_t *find_pmd(unsigned long addr)
{
	pgd_t *pgd = pgd_offset((struct mm_struct *)init_mm_addr, addr);

	return pmd_offset(pud_offset(p4d_offset(pgd, addr), addr), addr);
}

/* Make one page table of @area, and one page of the next table, lead to no memory. */
static void damage_tables(void *area)
{
	unsigned long addr = ALIGN((unsigned long)area, PMD_SIZE);
	pmd_t *pmd = find_pmd(addr);

	*pmd = __pmd(pmd_val(*pmd) ^ PFN_PHYS(pmd_pfn(*pmd)) ^ NOWHERE);
	addr += PMD_SIZE;
	*pte_offset_kernel(find_pmd(addr), addr) = pfn_pte(PHYS_PFN(NOWHERE), PAGE_KERNEL);
}

static int register_in(const char *name, void *area, unsigned long offset)
{
	struct kmemdump_region region = {
		.name = name,
		.virt_addr = (void *)ALIGN((unsigned long)area, PMD_SIZE) + offset,
		.size = PAGE_SIZE,
	};

	return kmemdump_register_region(&region);
}

static int __init kmemdump_damage_init(void)
{
	struct task_struct *lost, *mapped;
	void *area = vmalloc(AREA_SIZE);
	int ret;

	if (!area || !slab_caches || !init_mm_addr)
		return -EINVAL;
	lost = start_sleeper("lost-stack");
	mapped = start_sleeper("mapped-stack");
	if (IS_ERR(lost) || IS_ERR(mapped))
		return -ENOMEM;
	ret = register_in("lost_table", area, 0);
	if (!ret)
		ret = register_in("lost_page", area, PMD_SIZE);
	if (!ret)
		ret = register_in("intact", area, PMD_SIZE + PAGE_SIZE);
	if (ret)
		return ret;

	local_irq_disable();
	lost->stack = bad_pointer() ?: lost;
	mapped->stack = (void *)ALIGN((unsigned long)area, PMD_SIZE);
	damage_tables(area);
	/* In a ring of threads, the walk would end before it gets to the ring of tasks. */
	if (bad_pointer())
		damage_list(&mapped->signal->thread_head);
	damage_list(&mapped->tasks);
	damage_list((struct list_head *)slab_caches);
	damage_idr(&init_pid_ns.idr.idr_rt);
	panic("kmemdump test: damaged with %s", with);
}

module_init(kmemdump_damage_init);

MODULE_DESCRIPTION("Damages lists and tables for kmemdump tests");
MODULE_LICENSE("GPL");
