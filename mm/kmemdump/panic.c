// SPDX-License-Identifier: GPL-2.0-only
/*
 * kmemdump: what happens at panic, and the memory that is set aside for it.
 *
 * Copyright (C) 2026 the kmemdump authors
 */
#define pr_fmt(fmt) "kmemdump: " fmt

#include <linux/atomic.h>
#include <linux/cpumask.h>
#include <linux/delay.h>
#include <linux/init.h>
#include <linux/kexec.h>
#include <linux/panic.h>
#include <linux/panic_notifier.h>
#include <linux/rculist.h>
#include <linux/slab.h>
#include <linux/smp.h>

#include "arch.h"
#include "kmemdump.h"

/* The architectures wait as long for CPUs to stop. */
#define STOP_WAIT_US		USEC_PER_SEC
#define STOP_POLL_US		100

/* Memory */

/* Not kvfree_rcu(), which may keep many of these large ones for seconds. */
static void free_image(struct rcu_head *rcu)
{
	kmemdump_image_free(container_of(rcu, struct kmemdump_image, rcu));
}

static int reserve(struct kmemdump_table *table, unsigned int nr_regions, unsigned int nr_pieces)
{
	struct kmemdump_image *old = table->room->image, *image;
	unsigned int nr_loads = nr_pieces + KMEMDUMP_LOG_LOADS;

	if (table == &kmemdump_table && kmemdump_image_hooks.add_needed)
		nr_loads += KMEMDUMP_MAX_FOUND;
	if (old && nr_regions <= old->max_regions && nr_pieces <= old->max_pieces &&
	    nr_loads <= old->max_loads)
		return 0;

	/* Growing by a share keeps the cost of a registration constant on average. */
	image = kmemdump_image_alloc(max(nr_regions + nr_regions / 8, 64U),
				     max(nr_pieces + nr_pieces / 8, 64U),
				     nr_loads + nr_pieces / 8);
	if (!image)
		return -ENOMEM;

	/* [B] Pairs with the acquire in kmemdump_write_all(): the image before its address. */
	smp_store_release(&table->room->image, image);
	/* Panic notifiers run in an RCU read-side section. */
	if (old)
		call_rcu(&old->rcu, free_image);
	return 0;
}

static bool wants_image(const struct kmemdump_backend *be)
{
	return be->writer || be->image;
}

/* Free what only @be, which is off the list, needed of the memory for panic code. May sleep. */
static void put_room(struct kmemdump_table *table, const struct kmemdump_backend *be)
{
	struct kmemdump_room *room = table->room, *old_room = NULL;
	struct kmemdump_stream *old_stream = NULL;

	if (be->writer && !--room->nr_writers) {
		old_stream = room->stream;
		WRITE_ONCE(room->stream, NULL);
	}
	if (wants_image(be) && !--room->nr_imagers) {
		old_room = room;
		WRITE_ONCE(table->room, NULL);
	}
	if (!old_stream && !old_room)
		return;
	/* Panic code of another CPU may use them still, in an RCU read-side section. */
	synchronize_rcu();
	kmemdump_stream_free(old_stream);
	if (old_room) {
		kmemdump_image_free(old_room->image);
		kfree(old_room);
	}
}

static int get_room(struct kmemdump_table *table, const struct kmemdump_backend *be)
{
	struct kmemdump_room *room = table->room;
	int ret = 0;

	if (!wants_image(be))
		return 0;
	if (!room) {
		room = kzalloc(sizeof(*room), GFP_KERNEL);
		if (!room)
			return -ENOMEM;
		/* [C] Pairs with the acquire in kmemdump_write_all(). */
		smp_store_release(&table->room, room);
	}
	room->nr_imagers++;
	if (be->writer && !room->nr_writers++) {
		room->stream = kmemdump_stream_alloc();
		ret = room->stream ? 0 : -ENOMEM;
	}
	ret = ret ?: reserve(table, table->nr_regions, table->nr_pieces);
	if (ret)
		put_room(table, be);
	return ret;
}

static const struct kmemdump_room_ops room_ops = {
	.attach		= get_room,
	.detach		= put_room,
	.reserve	= reserve,
};

/* At panic */

/* Write what is in @table to all its writers. Panic context. */
void kmemdump_write_all(struct kmemdump_table *table, struct pt_regs *regs)
{
	/* Pairs with the release [C] in get_room(). */
	struct kmemdump_room *room = smp_load_acquire(&table->room);
	struct kmemdump_image *image = NULL;
	struct kmemdump_backend *be;

	list_for_each_entry_rcu(be, &table->backends, list, true) {
		unsigned int stale = atomic_read(&be->carrier->nr_stale);

		if (be->table)
			pr_notice("%s: %u regions left to it, %u not carried\n", be->name,
				  be->carrier->nr_carried - stale,
				  be->carrier->nr_refused + stale);
	}
	if (room)
		/* Pairs with the release [B] in reserve(). */
		image = smp_load_acquire(&room->image);
	if (!image)
		return;

	image->live = false;
	kmemdump_build_images(table, image, regs, true);
	/* Build it again for each writer: what the last one printed has changed the log. */
	list_for_each_entry_rcu(be, &table->backends, list, true) {
		struct kmemdump_stream *stream = READ_ONCE(room->stream);

		if (!be->writer || !stream)
			continue;
		kmemdump_image_build(image, table, be, regs);
		kmemdump_serialize(be, stream, image);
	}
	kmemdump_build_images(table, image, regs, false);
}

/* Whether @cpu is offline, or has left its registers in a note. */
static bool has_stopped(unsigned int cpu)
{
	struct pt_regs regs;

	return !cpu_online(cpu) || kmemdump_noted_regs(cpu, &regs);
}

/*
 * Not all architectures wait until the other CPUs have really stopped: powerpc
 * goes on as soon as they have taken the interrupt for it. A CPU that has stopped
 * stays so, so each is looked at once, and all of them share one second.
 */
static void wait_for_other_cpus(void)
{
	unsigned int left = STOP_WAIT_US / STOP_POLL_US, cpu;
	bool all = true;

	for_each_online_cpu(cpu) {
		if (cpu == raw_smp_processor_id())
			continue;
		for (; left && !has_stopped(cpu); left--)
			udelay(STOP_POLL_US);
		all &= has_stopped(cpu);
	}
	if (!all)
		pr_warn("not all CPUs have stopped\n");
	/* A CPU writes the head of its note before the registers: give the last one the time. */
	if (num_online_cpus() > 1)
		udelay(STOP_POLL_US);
	/* A CPU notes its registers before it goes offline. */
	smp_rmb();
}

/*
 * The registers of this function are those of the CPU that crashed: debuggers start from its
 * stack frame, so it must not return before the image is written.
 */
static int kmemdump_panic(struct notifier_block *nb, unsigned long event, void *unused)
{
	static atomic_t entered = ATOMIC_INIT(0);
	static struct pt_regs regs;

	/* With crash_kexec_post_notifiers this runs before kdump, but leaves the crash to it. */
	if (kexec_crash_loaded())
		return NOTIFY_DONE;

	/* A panic in kmemdump itself has to go on to the reboot, and an oops has to become one. */
	if (atomic_xchg(&entered, 1))
		return NOTIFY_DONE;
	panic_on_oops = 1;

	wait_for_other_cpus();
	kmemdump_write_all(&kmemdump_table, kmemdump_arch_save_regs(&regs));
	return NOTIFY_DONE;
}

/*
 * Early in the chain: other callbacks may hang or do damage. Only firmware
 * dumps that do not return (FADump, INT_MAX) go before.
 */
static struct notifier_block kmemdump_panic_nb = {
	.notifier_call	= kmemdump_panic,
	.priority	= INT_MAX - 1,
};

/* Before any backend attaches; ramoops is the first, in a postcore_initcall(). */
static int __init kmemdump_panic_init(void)
{
	kmemdump_room_ops = &room_ops;
	return atomic_notifier_chain_register(&panic_notifier_list, &kmemdump_panic_nb);
}
core_initcall(kmemdump_panic_init);
