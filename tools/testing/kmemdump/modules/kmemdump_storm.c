// SPDX-License-Identifier: GPL-2.0-only
/*
 * Test module: every CPU registers, moves and unregisters regions without a
 * pause, while interrupts move regions that stay. After some rounds and a delay,
 * one CPU panics while at least one region of another CPU is registered. With
 * crash=0, a backend comes and goes meanwhile, and everything stops in the end.
 *
 * Copyright (C) 2026 the kmemdump authors
 */
#include <linux/cpumask.h>
#include <linux/delay.h>
#include <linux/irq_work.h>
#include <linux/kmemdump.h>
#include <linux/kmemdump_backend.h>
#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/panic.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/vmalloc.h>

static unsigned int delay_us = 1000;
module_param(delay_us, uint, 0);

/* The storm ends after delay_us, but not before all CPUs together did this many rounds. */
static unsigned int least_rounds = 100;
module_param(least_rounds, uint, 0);

/* With crash=0, it does not end before the backend was attached this often, either. */
static unsigned int least_attaches;
module_param(least_attaches, uint, 0);

static bool crash = true;
module_param(crash, bool, 0);

/* If set, one region keeps moving through this much of the lowest memory. */
static unsigned int roam_mib;
module_param(roam_mib, uint, 0);

/* Regions that stay all the time, and so have to be in every dump. */
#define NR_STABLE	50

/* Aligned so that each region stays within a page when it moves: a second piece has no room. */
static char stable[NR_STABLE][128] __aligned(128);

static struct kmemdump_region regions[NR_STABLE];
static char names[NR_STABLE][16];

static atomic_t running;
static atomic_long_t rounds, moves, attaches;
/* @panics: a panic is due, and one region has to stay registered. @stays: one does. */
static bool panics;
static atomic_t stays;
static int error;

/* Fill a region with its number, to tell it from others in the dump. */
static void fill(char *p, size_t size, int n)
{
	memset(p, n, size);
}

/* If a panic is due, and no other CPU does this yet, move @region between @p and @q forever. */
static void stay(struct kmemdump_region *region, char *p, char *q)
{
	if (!READ_ONCE(panics) || atomic_cmpxchg(&stays, 0, 1))
		return;
	while (!kthread_should_stop()) {
		int ret;

		region->virt_addr = region->virt_addr == p ? q : p;
		ret = kmemdump_update_region(region);
		if (ret && ret != -EBUSY)
			WRITE_ONCE(error, ret);
		cond_resched();
	}
}

static int one_round(unsigned int cpu, unsigned int n)
{
	size_t size = 1 + n * 37 % 9000;
	char name[KMEMDUMP_NAME_LEN];
	struct kmemdump_region region = { .name = name, .size = size };
	char *p, *q;
	int ret = 0;

	snprintf(name, sizeof(name), "storm-%u-%u", cpu, n);
	p = n & 1 ? kmalloc(size, GFP_KERNEL) : vmalloc(size);
	q = n & 1 ? kmalloc(size, GFP_KERNEL) : vmalloc(size);
	if (p && q) {
		fill(p, size, n);
		fill(q, size, n);
		region.virt_addr = p;
		region.priority = n % 3 - 1;
		ret = kmemdump_register_region(&region);
		if (!ret) {
			region.virt_addr = q;
			/* The backend is still being told about the region. */
			do {
				ret = kmemdump_update_region(&region);
			} while (ret == -EBUSY);
			stay(&region, p, q);
			ret = kmemdump_unregister_region(&region) ?: ret;
		}
	}
	kvfree(q);
	kvfree(p);
	return ret;
}

static int storm(void *cpu)
{
	unsigned int n = 0;
	int ret = 0;

	atomic_inc(&running);
	while (!kthread_should_stop()) {
		ret = one_round((unsigned long)cpu, n++);
		if (ret)
			WRITE_ONCE(error, ret);
		else
			atomic_long_inc(&rounds);
		cond_resched();
	}
	return 0;
}

/* A backend that comes and goes, and that has to be told about each change. */

static int storm_add(struct kmemdump_backend *be, const struct kmemdump_entry *entry)
{
	return 0;
}

static void storm_remove(struct kmemdump_backend *be, const struct kmemdump_entry *entry)
{
}

static int storm_update(struct kmemdump_backend *be, const struct kmemdump_entry *entry)
{
	return 0;
}

static const struct kmemdump_table_ops storm_ops = {
	.add = storm_add, .remove = storm_remove, .update = storm_update,
};

static struct kmemdump_backend storm_backend = {
	.name = "storm", .table = &storm_ops, .max_slots = 40, .max_bytes = U64_MAX,
};

static int come_and_go(void *unused)
{
	int ret;

	while (!kthread_should_stop()) {
		ret = kmemdump_register_backend(&storm_backend);
		if (ret) {
			WRITE_ONCE(error, ret);
			break;
		}
		kmemdump_unregister_backend(&storm_backend);
		atomic_long_inc(&attaches);
		cond_resched();
	}
	while (!kthread_should_stop())
		schedule_timeout_interruptible(1);
	return 0;
}

/* Interrupts move the stable regions back and forth between two places. */
static struct irq_work mover;

static void move_stable(struct irq_work *work)
{
	static unsigned int n;
	struct kmemdump_region region = regions[n++ % NR_STABLE];
	int ret;

	region.virt_addr += n & 1 ? 50 : 0;
	ret = kmemdump_update_region(&region);
	if (!ret)
		atomic_long_inc(&moves);
	else if (ret != -EBUSY)
		WRITE_ONCE(error, ret);
}

static struct kmemdump_region roaming = { .name = "roaming", .size = 1 };

static void roam(void)
{
	static unsigned int n;
	struct kmemdump_region region = roaming;
	int ret;

	region.virt_addr = __va(n++ * PAGE_SIZE % (roam_mib * SZ_1M));
	ret = kmemdump_update_region(&region);
	/* Some of this memory may be free, and no region can be there: -EFAULT. */
	if (ret && ret != -EBUSY && ret != -EFAULT)
		WRITE_ONCE(error, ret);
}

static int keep_moving(void *unused)
{
	while (!kthread_should_stop()) {
		irq_work_queue(&mover);
		if (roam_mib)
			roam();
		cond_resched();
	}
	irq_work_sync(&mover);
	return 0;
}

static int __init kmemdump_storm_init(void)
{
	struct task_struct *tasks[NR_CPUS] = { }, *others[2];
	unsigned int here = get_cpu();
	unsigned int cpu;
	int i, ret = 0;

	put_cpu();
	for (i = 0; i < NR_STABLE; i++) {
		snprintf(names[i], sizeof(names[i]), "stable-%d", i);
		fill(stable[i], sizeof(stable[i]), i);
		regions[i] = (struct kmemdump_region) {
			.name = names[i], .virt_addr = stable[i], .size = sizeof(stable[i]) / 2,
		};
		if (kmemdump_register_region(&regions[i]))
			return -EINVAL;
	}
	roaming.virt_addr = __va(0);
	if (roam_mib && kmemdump_register_region(&roaming))
		return -EINVAL;
	init_irq_work(&mover, move_stable);
	others[0] = kthread_run(keep_moving, NULL, "storm-move");
	/* Detaching waits for all CPUs, and all others wait for it: too slow before a panic. */
	if (!crash)
		others[1] = kthread_run(come_and_go, NULL, "storm-attach");
	else if (kmemdump_register_backend(&storm_backend))
		return -EINVAL;

	for_each_online_cpu(cpu) {
		/* The CPU that panics has other things to do. */
		if (crash && cpu == here)
			continue;
		tasks[cpu] = kthread_create(storm, (void *)(unsigned long)cpu, "storm-%u", cpu);
		if (IS_ERR(tasks[cpu]))
			return PTR_ERR(tasks[cpu]);
		kthread_bind(tasks[cpu], cpu);
		wake_up_process(tasks[cpu]);
	}
	while (atomic_read(&running) < num_online_cpus() - crash)
		cond_resched();
	if (crash) {
		while (atomic_long_read(&rounds) < least_rounds)
			cond_resched();
		udelay(delay_us % 1000);
		mdelay(delay_us / 1000);
		WRITE_ONCE(panics, true);
		while (!atomic_read(&stays))
			cond_resched();
		panic("kmemdump test: in the storm, after %ld rounds, %ld moves, result %d",
		      atomic_long_read(&rounds), atomic_long_read(&moves), READ_ONCE(error));
	}

	msleep(delay_us / 1000);
	while (atomic_long_read(&rounds) < least_rounds ||
	       atomic_long_read(&attaches) < least_attaches)
		msleep(20);
	for_each_online_cpu(cpu)
		kthread_stop(tasks[cpu]);
	for (i = 0; i < ARRAY_SIZE(others); i++)
		kthread_stop(others[i]);
	ret = error;
	pr_info("storm over: %ld rounds, %ld moves, %ld attaches, result %d\n",
		atomic_long_read(&rounds), atomic_long_read(&moves),
		atomic_long_read(&attaches), ret);
	return ret;
}

static void __exit kmemdump_storm_exit(void)
{
	int i;

	for (i = 0; i < NR_STABLE; i++)
		kmemdump_unregister_region(&regions[i]);
	if (roam_mib)
		kmemdump_unregister_region(&roaming);
}

module_init(kmemdump_storm_init);
module_exit(kmemdump_storm_exit);

MODULE_DESCRIPTION("Registers without a pause, and panics, for kmemdump tests");
MODULE_LICENSE("GPL");
