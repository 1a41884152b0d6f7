// SPDX-License-Identifier: GPL-2.0-only
/*
 * kmemdump through firmware: the backend.
 *
 * While the system runs, a work item keeps the table and the registration true,
 * so that nothing has to run at the crash. If panic code does run, it makes the
 * table anew, with what exists only at the crash.
 *
 * Copyright (C) 2026 the kmemdump authors
 */
#define pr_fmt(fmt) "kmemdump: fadump: " fmt

#include <linux/irq_work.h>
#include <linux/kernel.h>
#include <linux/kmemdump_backend.h>
#include <linux/memblock.h>
#include <linux/lockdep.h>
#include <linux/mm.h>
#include <linux/rcupdate.h>
#include <linux/reboot.h>
#include <linux/smp.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>

#include <asm/kmemdump_fadump.h>

#include "fadump.h"

/* Changes within that time are one; so firmware is called at most that often. */
#define BATCH_TIME	HZ

/* What we carry, by id. Entries go only after an RCU grace period. */
static DEFINE_XARRAY(entries);
/* What firmware has to copy, and what it was told to. Never is @told half of one. */
static struct fadump_copies wanted, told_ones[2];
static const struct fadump_copies *told = told_ones;
/* Panic code has to know: @told may not be with firmware yet. */
static bool changing;
/* The administrator wants it registered, though firmware may have refused. */
static bool wants_registration;

static u64 copies_room(void)
{
	return fadump.head->size - fadump.head->copies;
}

static int want_entry(struct fadump_copies *copies, const struct kmemdump_entry *entry)
{
	const struct kmemdump_piece *pieces;
	unsigned int i, nr;

	pieces = kmemdump_entry_pieces(entry, &nr);
	for (i = 0; i < nr; i++) {
		u64 start = pieces[i].phys_addr;
		u64 end = min_t(u64, start + pieces[i].size, fadump.head->low_top);

		if (start < end && fadump_copies_add(copies, start, end, copies_room()))
			return -ENOSPC;
	}
	return 0;
}

/* Add what all regions have in low memory. Returns -ENOSPC if some of it has no room. */
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

/* Regions have moved. Returns -ENOSPC if one is now where there is no room for it. */
static int want_moved(void)
{
	int ret;

	lockdep_assert_held(&fadump.lock);
	ret = want_all(&wanted);
	if (!ret)
		return 0;
	/* There may be room if what is no longer needed goes. */
	memset(&wanted, 0, sizeof(wanted));
	return want_all(&wanted);
}

static int give_registration(void)
{
	int ret = fadump_rtas_register(fadump.head, told, false);

	/* The last kernel's: it did not take it back. */
	if (ret == -EEXIST && !fadump_rtas_command(FADUMP_UNREGISTER))
		ret = fadump_rtas_register(fadump.head, told, false);
	/* Firmware made a dump of a kernel that had made this reservation anew: of nothing. */
	if (ret == -EBUSY && !fadump.waiting && !fadump_rtas_command(FADUMP_INVALIDATE))
		ret = fadump_rtas_register(fadump.head, told, false);
	fadump.registered = !ret;
	fadump.head->state = ret ? FADUMP_IDLE : FADUMP_REGISTERED;
	if (ret)
		pr_err("firmware does not take the registration: %pe\n", ERR_PTR(ret));
	return ret;
}

/* Register @wanted instead of @told. Nothing is registered for the time of a call. */
static int change_registration(void)
{
	const struct fadump_copies *old = told;
	struct fadump_copies *new = &told_ones[old == told_ones];
	bool was_registered = fadump.registered;
	int ret;

	lockdep_assert_held(&fadump.lock);
	*new = wanted;
	fadump_copies_place(new, fadump.head->base + fadump.head->copies);
	WRITE_ONCE(fadump.head->state, FADUMP_CHANGING);
	/* Panic code on another CPU finishes what it finds begun: see fadump_image(). */
	WRITE_ONCE(changing, true);
	/* Not before @new is whole, and not before that either. */
	smp_store_release(&told, new);
	ret = was_registered ? fadump_rtas_command(FADUMP_UNREGISTER) : 0;
	if (ret) {
		told = old;
		fadump.head->state = FADUMP_REGISTERED;
		pr_err("firmware does not give the registration back: %pe\n", ERR_PTR(ret));
	} else {
		ret = give_registration();
		/* Better what there was before than nothing. */
		if (ret && was_registered) {
			/* As above: whole, whoever reads it. */
			smp_store_release(&told, old);
			if (!give_registration())
				pr_warn("the dump will be of what was registered before\n");
		}
	}
	/* Not before @told and what is registered agree. */
	smp_store_release(&changing, false);
	return ret;
}

static bool same_copies(void)
{
	unsigned int i;

	for (i = 0; i < wanted.nr; i++)
		if (!fadump_copies_cover(told, wanted.copy[i].start,
					 wanted.copy[i].start + wanted.copy[i].size))
			return false;
	return true;
}

static void fadump_image(struct kmemdump_backend *be, const struct kmemdump_image *image)
{
	bool live = kmemdump_image_live(image);
	int ret = 0;

	/* Pairs with the releases in change_registration(). */
	if (!live && smp_load_acquire(&changing)) {
		ret = fadump_rtas_register(fadump.head, told, true);
		fadump.registered = !ret;
	}
	if (!live && !fadump.registered)
		pr_err("firmware has no registration (%d): this crash is NOT saved\n", ret);
	else if (fadump_table_write(fadump.head, image, told))
		pr_warn_ratelimited("there are more regions than the table has room for\n");
}

static int fadump_add(struct kmemdump_backend *be, const struct kmemdump_entry *entry);
static void fadump_remove(struct kmemdump_backend *be, const struct kmemdump_entry *entry);
static int fadump_update(struct kmemdump_backend *be, const struct kmemdump_entry *entry);

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

static void refresh(struct work_struct *work)
{
	mutex_lock(&fadump.lock);
	if (want_moved())
		pr_warn_ratelimited("no room for a copy of all regions that moved\n");
	if (wants_registration && !(fadump.registered && same_copies()))
		change_registration();
	mutex_unlock(&fadump.lock);
	kmemdump_refresh_backend(&backend);
}

static DECLARE_DELAYED_WORK(refresh_work, refresh);

static void something_changed(void)
{
	schedule_delayed_work(&refresh_work, BATCH_TIME);
}

static void moved(struct irq_work *work)
{
	something_changed();
}

static DEFINE_IRQ_WORK(moved_work, moved);

static int fadump_add(struct kmemdump_backend *be, const struct kmemdump_entry *entry)
{
	struct fadump_copies copies;
	int ret;

	mutex_lock(&fadump.lock);
	copies = wanted;
	ret = want_entry(&copies, entry);
	if (ret) {
		memset(&copies, 0, sizeof(copies));
		ret = want_all(&copies) ?: want_entry(&copies, entry);
	}
	if (!ret)
		ret = xa_err(xa_store(&entries, kmemdump_entry_id(entry), (void *)entry,
				      GFP_KERNEL));
	if (!ret)
		wanted = copies;
	mutex_unlock(&fadump.lock);
	if (!ret)
		something_changed();
	return ret;
}

static void fadump_remove(struct kmemdump_backend *be, const struct kmemdump_entry *entry)
{
	xa_erase(&entries, kmemdump_entry_id(entry));
	something_changed();
}

/* Any context: all else is done later. */
static int fadump_update(struct kmemdump_backend *be, const struct kmemdump_entry *entry)
{
	irq_work_queue(&moved_work);
	return 0;
}

/* Under fadump.lock. The administrator's "echo 1 > registered", and at boot. */
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

/*
 * Have the core tell us of regions from now on, and make the first table. If it does
 * already, that is fine. May sleep.
 */
int fadump_attach(void)
{
	/* A part of it is for what is found at the crash. */
	u64 room = fadump.head->slot_size / 4 * 3;
	int ret;

	/* The next kernel has to do with what is left. */
	backend.max_bytes = memblock_phys_mem_size() / 2;
	/* At worst each piece is a region, and its pages are two loads. */
	backend.max_slots = room / (sizeof(struct kmemdump_note_region) +
				    sizeof(struct kmemdump_note_piece) +
				    2 * sizeof(struct fadump_load));
	ret = kmemdump_register_backend(&backend);
	if (!ret)
		kmemdump_refresh_backend(&backend);
	return ret == -EEXIST ? 0 : ret;
}

/* Who restarts in order leaves nothing behind with firmware. */
static int before_reboot(struct notifier_block *nb, unsigned long action, void *unused)
{
	mutex_lock(&fadump.lock);
	fadump_unregister();
	mutex_unlock(&fadump.lock);
	return NOTIFY_DONE;
}

static struct notifier_block reboot_nb = {
	.notifier_call = before_reboot,
};

/* Before mainline's FADump registers, and before /proc/vmcore is made. */
static int __init fadump_early_init(void)
{
	if (fadump.waiting)
		return fadump_vmcore_init();
	/* A kernel that did not restart in order may have left it. */
	if (fadump.supported)
		fadump_rtas_command(FADUMP_UNREGISTER);
	/* Firmware registers nothing while it has one; if we do, give_registration() sees to it. */
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
	mutex_lock(&fadump.lock);
	ret = fadump_register();
	mutex_unlock(&fadump.lock);
	return ret;
}
late_initcall(fadump_late_init);
