// SPDX-License-Identifier: GPL-2.0-only
/*
 * kmemdump: keep what runs on each CPU in the dump, for resets without a panic.
 *
 * A panic finds that itself. When the machine hangs and a watchdog resets it, what
 * firmware saves is what was listed before: so list the task and the stack of each
 * CPU, and follow as they change.
 *
 * The CPUs look at each other now and then, rather than each at itself when it
 * switches: a table for firmware can be changed only as a whole, which is too much
 * for each switch, and who hangs does so for long. A CPU that hangs with interrupts
 * off is seen by the others.
 *
 * Copyright (C) 2026 the kmemdump authors
 */
#define pr_fmt(fmt) "kmemdump: " fmt

#include <linux/cpumask.h>
#include <linux/init.h>
#include <linux/jiffies.h>
#include <linux/moduleparam.h>
#include <linux/percpu.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/sched/stat.h>
#include <linux/sched/task_stack.h>
#include <linux/timer.h>

#include "kmemdump.h"

#undef MODULE_PARAM_PREFIX
#define MODULE_PARAM_PREFIX "kmemdump."

/* Milliseconds from one look to the next; 0 is never. */
static unsigned int running;
module_param(running, uint, 0400);

/* What is listed of a CPU. */
struct running {
	struct timer_list		timer;
	struct kmemdump_region		task, stack;
	const struct task_struct	*last;
	char				task_name[16];
	char				stack_name[16];
};

static DEFINE_PER_CPU(struct running, running_on);

static int move_to(struct kmemdump_region region, const void *addr)
{
	region.virt_addr = addr;
	return kmemdump_move(&kmemdump_table, &region);
}

/* List what runs on @cpu by now. Two CPUs may do that at once: then one is refused. */
static void follow(unsigned int cpu)
{
	struct running *r = per_cpu_ptr(&running_on, cpu);
	struct task_struct *task;
	void *stack;

	rcu_read_lock();
	task = cpu_curr_snapshot(cpu);
	if (task == READ_ONCE(r->last))
		goto out;
	stack = try_get_task_stack(task);
	if (!stack)
		goto out;
	if (!move_to(r->task, task) && !move_to(r->stack, stack))
		WRITE_ONCE(r->last, task);
	put_task_stack(task);
out:
	rcu_read_unlock();
}

static void look_around(struct timer_list *timer)
{
	unsigned int cpu;

	for_each_online_cpu(cpu)
		follow(cpu);
	mod_timer(timer, jiffies + msecs_to_jiffies(running));
}

static int __init add(struct kmemdump_region *region)
{
	/* It changes all the time, as areas do. */
	return kmemdump_add(&kmemdump_table, region, NULL, KMEMDUMP_CLASS_CORE,
			    KMEMDUMP_ENTRY_AREA);
}

static int __init kmemdump_running_init(void)
{
	unsigned int cpu;
	int ret = 0;

	if (!running)
		return 0;
	for_each_possible_cpu(cpu) {
		struct running *r = per_cpu_ptr(&running_on, cpu);

		snprintf(r->task_name, sizeof(r->task_name), "task:%u", cpu);
		snprintf(r->stack_name, sizeof(r->stack_name), "stack:%u", cpu);
		r->task.name = r->task_name;
		/* For now; idle tasks may have stacks that need less room in the list. */
		r->task.virt_addr = current;
		r->task.size = sizeof(*current);
		r->stack.name = r->stack_name;
		r->stack.virt_addr = current->stack;
		r->stack.size = THREAD_SIZE;
		ret = add(&r->task) ?: add(&r->stack);
		if (ret) {
			pr_warn("can't keep what runs on CPU %u: %pe\n", cpu, ERR_PTR(ret));
			return ret;
		}
	}
	for_each_online_cpu(cpu) {
		struct running *r = per_cpu_ptr(&running_on, cpu);

		timer_setup(&r->timer, look_around, TIMER_PINNED);
		r->timer.expires = jiffies + msecs_to_jiffies(running);
		add_timer_on(&r->timer, cpu);
	}
	return 0;
}
late_initcall(kmemdump_running_init);
