// SPDX-License-Identifier: GPL-2.0-only
/*
 * kmemdump through firmware: the backend.
 *
 * While the system runs, a work item keeps the table and the registration up to date,
 * so that no code has to run at the crash. If panic code does run, it writes the table
 * again, with the memory that matters only at the crash.
 *
 * Copyright (C) 2026 the kmemdump authors
 */
#define pr_fmt(fmt) "kmemdump: fadump: " fmt

#include <linux/cleanup.h>
#include <linux/irq_work.h>
#include <linux/kernel.h>
#include <linux/kmemdump_backend.h>
#include <linux/lockdep.h>
#include <linux/memblock.h>
#include <linux/rcupdate.h>
#include <linux/reboot.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>

#include <asm/kmemdump_fadump.h>

#include "fadump.h"

/* The registration changes at most once in this time. */
#define BATCH_TIME	HZ

/* The regions that the backend carries, by id. An RCU grace period after removal ends one. */
static DEFINE_XARRAY(entries);
/* Firmware should copy these ranges. fadump.lock protects them. */
static struct fadump_copies wanted;
/*
 * Firmware copies these ranges; @registered_copies is the set that it has now. A new set is
 * written into the other element of @copy_sets, so that panic code never reads half of one.
 */
static struct fadump_copies copy_sets[2];
static const struct fadump_copies *registered_copies = copy_sets;
/* The registration is being changed, so firmware may not have @registered_copies yet. */
static bool changing;
/* The administrator wants a registration, which firmware may have refused. */
static bool wants_registration;
static struct kmemdump_backend backend;

static int want_entry(struct fadump_copies *copies, const struct kmemdump_entry *entry)
{
	const struct fadump_head *head = fadump.head;
	const struct kmemdump_piece *pieces;
	unsigned int i, nr;

	pieces = kmemdump_entry_pieces(entry, &nr);
	for (i = 0; i < nr; i++) {
		u64 start = pieces[i].phys_addr;
		u64 end = min_t(u64, start + pieces[i].size, head->low_top);

		if (start < end && fadump_copies_add(copies, start, end, head->size - head->copies))
			return -ENOSPC;
	}
	return 0;
}

/* Add the low memory of all regions. Returns -ENOSPC if some of it has no room. */
static int want_all(struct fadump_copies *copies)
{
	struct kmemdump_entry *entry;
	unsigned long id;
	int ret = 0;

	rcu_read_lock();
	xa_for_each(&entries, id, entry)
		ret = want_entry(copies, entry) ?: ret;
	rcu_read_unlock();
	return ret;
}

/* As want_all(), but without the ranges that no region needs any more. */
static int want_only_all(struct fadump_copies *copies)
{
	memset(copies, 0, sizeof(*copies));
	return want_all(copies);
}

static int register_copies(void)
{
	int ret = fadump_rtas_register(fadump.head, registered_copies, false);

	/* The last kernel did not end its registration. */
	if (ret == -EEXIST && !fadump_rtas_command(FADUMP_UNREGISTER))
		ret = fadump_rtas_register(fadump.head, registered_copies, false);
	/* Firmware made a dump of a kernel that had nothing in its table yet. */
	if (ret == -EBUSY && !fadump.waiting && !fadump_rtas_command(FADUMP_INVALIDATE))
		ret = fadump_rtas_register(fadump.head, registered_copies, false);
	fadump.registered = !ret;
	fadump.head->state = ret ? FADUMP_IDLE : FADUMP_REGISTERED;
	if (ret)
		pr_err("firmware does not take the registration: %pe\n", ERR_PTR(ret));
	return ret;
}

/* Register @wanted. If firmware refuses it, register the set before it again. */
static int change_registration(void)
{
	const struct fadump_copies *old = registered_copies;
	struct fadump_copies *new = &copy_sets[old == copy_sets];
	bool was_registered = fadump.registered;
	int ret;

	lockdep_assert_held(&fadump.lock);
	*new = wanted;
	fadump_copies_place(new, fadump.head->base + fadump.head->copies);
	WRITE_ONCE(fadump.head->state, FADUMP_CHANGING);
	WRITE_ONCE(changing, true);
	/*
	 * [A] Panic code that finds @new finds all of its ranges. A CPU that is stopped after
	 * this store has set @changing, too, so that panic code registers @new. Pairs with [D].
	 */
	smp_store_release(&registered_copies, new);
	ret = was_registered ? fadump_rtas_command(FADUMP_UNREGISTER) : 0;
	if (ret) {
		WRITE_ONCE(registered_copies, old);
		fadump.head->state = FADUMP_REGISTERED;
		pr_err("firmware does not give the registration back: %pe\n", ERR_PTR(ret));
	} else {
		ret = register_copies();
		if (ret && was_registered) {
			WRITE_ONCE(registered_copies, old);
			if (!register_copies())
				pr_warn("the dump will be of what was registered before\n");
		}
	}
	/*
	 * [B] Panic code that finds @changing cleared finds the set that firmware has. Pairs
	 * with [C].
	 */
	smp_store_release(&changing, false);
	return ret;
}

static bool registration_has_wanted(void)
{
	const struct fadump_copy *copy;

	for (copy = wanted.copy; copy < wanted.copy + wanted.nr; copy++)
		if (!fadump_copies_cover(registered_copies, copy->start, copy->start + copy->size))
			return false;
	return true;
}

/* Write the table. At panic, also finish a change of the registration that a CPU had begun. */
static void fadump_image(struct kmemdump_backend *be, const struct kmemdump_image *image)
{
	bool live = kmemdump_image_live(image);
	/* [C] Pairs with [B]. */
	bool finish = !live && smp_load_acquire(&changing);
	/* [D] Pairs with [A]. */
	const struct fadump_copies *copies = smp_load_acquire(&registered_copies);
	int ret = 0;

	if (finish) {
		ret = fadump_rtas_register(fadump.head, copies, true);
		fadump.registered = !ret;
	}
	if (!live && !fadump.registered)
		pr_err("firmware has no registration (%d): this crash is NOT saved\n", ret);
	else if (fadump_table_write(fadump.head, image, copies))
		pr_warn_ratelimited("there are more regions than the table has room for\n");
}

static void refresh(struct work_struct *work)
{
	mutex_lock(&fadump.lock);
	if (want_all(&wanted) && want_only_all(&wanted))
		pr_warn_ratelimited("no room for a copy of all regions that moved\n");
	if (wants_registration && !(fadump.registered && registration_has_wanted()))
		change_registration();
	mutex_unlock(&fadump.lock);
	kmemdump_refresh_backend(&backend);
}

static DECLARE_DELAYED_WORK(refresh_work, refresh);

static void schedule_refresh(struct irq_work *work)
{
	schedule_delayed_work(&refresh_work, BATCH_TIME);
}

/* Regions may move in any context, in which a work item can't be queued. */
static DEFINE_IRQ_WORK(changed_work, schedule_refresh);

static int fadump_add(struct kmemdump_backend *be, const struct kmemdump_entry *entry)
{
	struct fadump_copies copies;
	int ret;

	guard(mutex)(&fadump.lock);
	copies = wanted;
	if (want_entry(&copies, entry)) {
		ret = want_only_all(&copies) ?: want_entry(&copies, entry);
		if (ret)
			return ret;
	}
	ret = xa_err(xa_store(&entries, kmemdump_entry_id(entry), (void *)entry, GFP_KERNEL));
	if (ret)
		return ret;
	wanted = copies;
	irq_work_queue(&changed_work);
	return 0;
}

static void fadump_remove(struct kmemdump_backend *be, const struct kmemdump_entry *entry)
{
	xa_erase(&entries, kmemdump_entry_id(entry));
	irq_work_queue(&changed_work);
}

static int fadump_update(struct kmemdump_backend *be, const struct kmemdump_entry *entry)
{
	irq_work_queue(&changed_work);
	return 0;
}

static const struct kmemdump_table_ops table_ops = {
	.add	= fadump_add,
	.remove	= fadump_remove,
	.update	= fadump_update,
};

static const struct kmemdump_image_ops image_ops = {
	.build	= fadump_image,
};

static struct kmemdump_backend backend = {
	.name	= "fadump",
	.table	= &table_ops,
	.image	= &image_ops,
};

/* Register with firmware, at boot and for "echo 1 > registered". */
int fadump_register(void)
{
	lockdep_assert_held(&fadump.lock);
	if (!fadump.head)
		return -ENODEV;
	wants_registration = true;
	return change_registration();
}

int fadump_unregister(void)
{
	int ret;

	lockdep_assert_held(&fadump.lock);
	wants_registration = false;
	if (!fadump.registered)
		return 0;
	ret = fadump_rtas_command(FADUMP_UNREGISTER);
	if (ret)
		return ret;
	fadump.registered = false;
	fadump.head->state = FADUMP_IDLE;
	return 0;
}

/* Attach the backend, unless that is done already, and write the first table. May sleep. */
int fadump_attach(void)
{
	/* A quarter of a slot is for memory that is added at the crash. */
	u64 room = fadump.head->slot_size / 4 * 3;
	int ret;

	/* The next kernel has to work with the rest of the memory. */
	backend.max_bytes = memblock_phys_mem_size() / 2;
	/* At worst each piece is a region of its own, and its pages are in two loads. */
	backend.max_slots = room / (sizeof(struct kmemdump_note_region) +
				    sizeof(struct kmemdump_note_piece) +
				    2 * sizeof(struct fadump_load));
	ret = kmemdump_register_backend(&backend);
	if (!ret)
		kmemdump_refresh_backend(&backend);
	return ret == -EEXIST ? 0 : ret;
}

/* After an orderly restart firmware must not have a registration of this kernel. */
static int before_reboot(struct notifier_block *nb, unsigned long action, void *unused)
{
	guard(mutex)(&fadump.lock);
	fadump_unregister();
	return NOTIFY_DONE;
}

static struct notifier_block reboot_nb = {
	.notifier_call = before_reboot,
};

/* Must run before mainline's FADump registers, and before /proc/vmcore is made. */
static int __init fadump_early_init(void)
{
	if (fadump.waiting)
		return fadump_vmcore_init();
	/* The last kernel may not have restarted in order. */
	if (fadump.supported)
		fadump_rtas_command(FADUMP_UNREGISTER);
	/* An empty dump keeps mainline from registering; for us, register_copies() drops it. */
	if (fadump.void_dump && !fadump.enabled)
		fadump_rtas_command(FADUMP_INVALIDATE);
	return 0;
}
subsys_initcall(fadump_early_init);

static int __init fadump_late_init(void)
{
	int ret;

	if (!kmemdump_fadump_in_charge())
		return 0;
	ret = fadump_sysfs_init();
	if (ret)
		pr_err("no files in /sys/kernel: %pe\n", ERR_PTR(ret));
	register_reboot_notifier(&reboot_nb);
	if (fadump.waiting || !fadump.head)
		return 0;

	ret = fadump_attach();
	if (ret) {
		pr_err("can't be attached: %pe\n", ERR_PTR(ret));
		return ret;
	}
	guard(mutex)(&fadump.lock);
	return fadump_register();
}
late_initcall(fadump_late_init);
