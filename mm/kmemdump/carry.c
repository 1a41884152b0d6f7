// SPDX-License-Identifier: GPL-2.0-only
/*
 * kmemdump: which regions a firmware-assisted backend carries.
 *
 * Such a backend has room for a limited number of pieces and bytes. If it is full, it gives up
 * regions that matter less than a new one. Regions without room wait until there is some.
 *
 * Copyright (C) 2026 the kmemdump authors
 */
#define pr_fmt(fmt) "kmemdump: " fmt

#include <linux/align.h>
#include <linux/rculist.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "kmemdump.h"

#include <trace/events/kmemdump.h>

/* Allocate what the core keeps of a firmware-assisted backend; NULL if there is no memory. */
struct kmemdump_carry *kmemdump_carry_alloc(void)
{
	struct kmemdump_carry *carry = kzalloc(sizeof(*carry), GFP_KERNEL);
	int order;

	if (!carry)
		return NULL;
	xa_init(&carry->errors);
	for (order = 0; order < KMEMDUMP_NR_ORDERS; order++)
		xa_init(&carry->orders[order].waiting);
	return carry;
}

void kmemdump_carry_free(struct kmemdump_carry *carry)
{
	int order;

	if (!carry)
		return;
	for (order = 0; order < KMEMDUMP_NR_ORDERS; order++)
		xa_destroy(&carry->orders[order].waiting);
	xa_destroy(&carry->errors);
	kfree(carry);
}

static bool is_aligned(const struct kmemdump_entry *entry, unsigned int align)
{
	const struct kmemdump_piece *pieces;
	unsigned int nr, i;

	pieces = kmemdump_entry_pieces(entry, &nr);
	for (i = 0; align && i < nr; i++)
		if (!IS_ALIGNED(pieces[i].phys_addr | pieces[i].size, align))
			return false;
	return true;
}

/* Have @be follow an update of @entry, which is locked. Any context. */
static void follow_update(struct kmemdump_backend *be, struct kmemdump_entry *entry)
{
	int ret = is_aligned(entry, be->align) ? be->table->update(be, entry) : -EINVAL;

	if (!!ret == kmemdump_is_stale(be, entry))
		return;
	change_bit(be->carrier->index + KMEMDUMP_BIT_STALE, &entry->state);
	atomic_add(ret ? 1 : -1, &be->carrier->nr_stale);
	trace_kmemdump_carried(be, entry, ret);
}

/* Have @be carry @entry, for which it has room, and follow its updates since @version. */
static int give(struct kmemdump_backend *be, struct kmemdump_entry *entry, unsigned int version)
{
	struct kmemdump_carrier *carrier = be->carrier;
	struct kmemdump_carry *carry = carrier->carry;
	int ret = be->table->add(be, entry);

	if (ret)
		return ret < 0 ? ret : -EINVAL;
	carry->orders[entry->order].used_slots += entry->max_pieces;
	carry->orders[entry->order].used_bytes += kmemdump_entry_size(entry);

	kmemdump_entry_lock(entry);
	set_bit(carrier->index, &entry->state);
	if (entry->version != version)
		follow_update(be, entry);
	kmemdump_entry_unlock(entry);
	carrier->nr_carried++;
	return 0;
}

/*
 * Take @entry back from @be. The bits go first, under the lock of @entry, so that no update()
 * comes after remove().
 */
static void take_back(struct kmemdump_backend *be, struct kmemdump_entry *entry)
{
	struct kmemdump_carrier *carrier = be->carrier;
	struct kmemdump_carry *carry = carrier->carry;

	kmemdump_entry_lock(entry);
	clear_bit(carrier->index, &entry->state);
	if (test_and_clear_bit(carrier->index + KMEMDUMP_BIT_STALE, &entry->state))
		atomic_dec(&carrier->nr_stale);
	kmemdump_entry_unlock(entry);

	be->table->remove(be, entry);
	carry->orders[entry->order].used_slots -= entry->max_pieces;
	carry->orders[entry->order].used_bytes -= kmemdump_entry_size(entry);
	carrier->nr_carried--;
}

/* Count that @be does not carry @entry, and store @what in @xa under the id of @entry. */
static void note_refusal(struct kmemdump_backend *be, struct kmemdump_entry *entry,
			 struct xarray *xa, void *what)
{
	be->carrier->nr_refused++;
	if (xa_err(xa_store(xa, entry->id, what, GFP_KERNEL)))
		pr_warn("backend %s: out of memory; region %s will not be tried again\n",
			be->name, entry->names);
}

/* Have @entry wait until there is room in @be. */
static void wait_for_room(struct kmemdump_backend *be, struct kmemdump_entry *entry)
{
	struct kmemdump_carry *carry = be->carrier->carry;

	note_refusal(be, entry, &carry->orders[entry->order].waiting, entry);
	if (!carry->was_full)
		pr_warn("backend %s has no room for region %s; what it does not carry is listed in debugfs\n",
			be->name, entry->names);
	carry->was_full = true;
}

/* Whether @be has room for @entry besides the regions of an order better than @order. */
static bool has_room(const struct kmemdump_backend *be, const struct kmemdump_entry *entry,
		     unsigned int order)
{
	const struct kmemdump_carry *carry = be->carrier->carry;
	unsigned int slots = 0, i;
	u64 bytes = 0;

	for (i = 0; i < order; i++) {
		slots += carry->orders[i].used_slots;
		bytes += carry->orders[i].used_bytes;
	}
	return entry->max_pieces <= be->max_slots - slots &&
	       kmemdump_entry_size(entry) <= be->max_bytes - bytes;
}

/*
 * Have @be give up regions that matter less than @entry, the least important first, until @entry
 * has room. Returns how many were given up; or -ENOSPC, and gives up none, if all of them would
 * not be enough.
 */
static int make_room(struct kmemdump_table *table, struct kmemdump_backend *be,
		     const struct kmemdump_entry *entry)
{
	struct kmemdump_entry *victim;
	int order, nr = 0;

	if (!has_room(be, entry, entry->order + 1))
		return -ENOSPC;

	for (order = KMEMDUMP_NR_ORDERS - 1; order > entry->order; order--) {
		if (has_room(be, entry, KMEMDUMP_NR_ORDERS))
			break;
		if (!be->carrier->carry->orders[order].used_slots)
			continue;
		list_for_each_entry(victim, &table->entries, list) {
			if (victim->order != order || !kmemdump_has_accepted(be, victim))
				continue;
			take_back(be, victim);
			wait_for_room(be, victim);
			trace_kmemdump_carried(be, victim, -ENOSPC);
			nr++;
			if (has_room(be, entry, KMEMDUMP_NR_ORDERS))
				break;
		}
	}
	return nr;
}

/* Check whether @be could carry @entry if it had room. *@version is what was checked. */
static int fits_backend(const struct kmemdump_backend *be, struct kmemdump_entry *entry,
			unsigned int *version)
{
	bool aligned;

	kmemdump_entry_lock(entry);
	*version = entry->version;
	aligned = is_aligned(entry, be->align);
	kmemdump_entry_unlock(entry);

	if (be->max_name && strlen(entry->names) > be->max_name)
		return -ENAMETOOLONG;
	return aligned ? 0 : -EINVAL;
}

/* Have @be carry @entry if it can. Returns whether others had to give way. */
static bool offer(struct kmemdump_table *table, struct kmemdump_backend *be,
		  struct kmemdump_entry *entry)
{
	unsigned int version;
	int nr_gone = 0, ret;

	ret = fits_backend(be, entry, &version);
	if (!ret) {
		nr_gone = make_room(table, be, entry);
		ret = nr_gone < 0 ? nr_gone : give(be, entry, version);
	}
	/* A backend with other limits as well returns this error from add(). */
	if (ret == -ENOSPC)
		wait_for_room(be, entry);
	else if (ret)
		note_refusal(be, entry, &be->carrier->carry->errors, xa_mk_value(-ret));
	trace_kmemdump_carried(be, entry, ret ?: kmemdump_is_stale(be, entry) ? -ESTALE : 0);
	return nr_gone > 0;
}

/*
 * A removal stops after this many waiting regions that do not fit. Trying all of them could cost
 * as much as all registrations did. The next removal goes on from there.
 */
#define MAX_MISFITS	16

static void refill_order(struct kmemdump_table *table, struct kmemdump_backend *be, int order)
{
	struct kmemdump_carry *carry = be->carrier->carry;
	unsigned long *last = &carry->orders[order].last_tried, id = *last, first = 0;
	struct xarray *waiting = &carry->orders[order].waiting;
	unsigned int misfits = 0;
	struct kmemdump_entry *entry;

	while (misfits < MAX_MISFITS) {
		entry = xa_find_after(waiting, &id, ULONG_MAX, XA_PRESENT);
		if (!entry) {
			id = 0;
			entry = xa_find(waiting, &id, ULONG_MAX, XA_PRESENT);
		}
		/* None waits, or all have been tried. */
		if (!entry || id == first)
			return;

		*last = id;
		if (has_room(be, entry, order + 1)) {
			xa_erase(waiting, id);
			be->carrier->nr_refused--;
			offer(table, be, entry);
		}
		if (!kmemdump_has_accepted(be, entry)) {
			first = first ?: id;
			misfits++;
		}
	}
}

/* Have @be carry waiting regions for which there is room now, the most important first. */
static void refill(struct kmemdump_table *table, struct kmemdump_backend *be)
{
	int order;

	for (order = 0; order < KMEMDUMP_NR_ORDERS; order++)
		refill_order(table, be, order);
}

static void tell_refused(struct kmemdump_backend *be)
{
	if (be->table->refused)
		be->table->refused(be, be->carrier->nr_refused);
}

/* Have @be carry @entry if it can. */
void kmemdump_carry_add(struct kmemdump_table *table, struct kmemdump_backend *be,
			struct kmemdump_entry *entry)
{
	/* The regions that gave way may have left more room than @entry needs. */
	if (offer(table, be, entry))
		refill(table, be);
	tell_refused(be);
}

/*
 * Remove @entry from @be. After that, the caller calls kmemdump_carry_refill(), unless @be goes,
 * too.
 */
void kmemdump_carry_remove(struct kmemdump_backend *be, struct kmemdump_entry *entry)
{
	struct kmemdump_carry *carry = be->carrier->carry;

	if (kmemdump_has_accepted(be, entry)) {
		take_back(be, entry);
		return;
	}
	xa_erase(&carry->orders[entry->order].waiting, entry->id);
	xa_erase(&carry->errors, entry->id);
	be->carrier->nr_refused--;
}

/* An entry was removed: have waiting ones take its place in @be. */
void kmemdump_carry_refill(struct kmemdump_table *table, struct kmemdump_backend *be)
{
	refill(table, be);
	tell_refused(be);
}

/* Why @be has not accepted @entry, though its filter allows it. */
int kmemdump_carry_error(const struct kmemdump_backend *be, const struct kmemdump_entry *entry)
{
	void *error = xa_load(&be->carrier->carry->errors, entry->id);

	return error ? -(int)xa_to_value(error) : -ENOSPC;
}

/*
 * Tell the backends that @entry, which is locked, was updated. Any context, in an RCU read-side
 * section. If a backend can't follow, the region is stale there; the others are not affected.
 */
void kmemdump_backends_update(struct kmemdump_table *table, struct kmemdump_entry *entry)
{
	struct kmemdump_backend *be;

	list_for_each_entry_rcu(be, &table->backends, list)
		if (be->table && kmemdump_has_accepted(be, entry))
			follow_update(be, entry);
}
