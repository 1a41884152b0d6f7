// SPDX-License-Identifier: GPL-2.0-only
/*
 * kmemdump: which backend carries which region.
 *
 * Copyright (C) 2026 the kmemdump authors
 */
#define pr_fmt(fmt) "kmemdump: " fmt

#include <linux/export.h>
#include <linux/log2.h>
#include <linux/moduleparam.h>
#include <linux/panic.h>
#include <linux/rculist.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "kmemdump.h"

#include <trace/events/kmemdump.h>

#undef MODULE_PARAM_PREFIX
#define MODULE_PARAM_PREFIX "kmemdump."

/* "ramoops:log+driver,minidump:log"; a backend that is not named carries all. */
static char *classes = "";
module_param(classes, charp, 0400);

static const char * const class_names[] = {
	[KMEMDUMP_CLASS_LOG]	= "log",
	[KMEMDUMP_CLASS_CORE]	= "core",
	[KMEMDUMP_CLASS_DRIVER]	= "driver",
	[KMEMDUMP_CLASS_ADMIN]	= "admin",
};

const char *kmemdump_class_name(unsigned int class)
{
	return class < ARRAY_SIZE(class_names) ? class_names[class] : "unknown";
}

/* Bits of the classes in [@text, @end), which are joined by '+'. */
static u32 parse_class_list(const char *text, const char *end, const char *backend)
{
	u32 mask = 0;

	while (text < end) {
		size_t len = min_t(size_t, strcspn(text, "+,"), end - text);
		int i;

		for (i = 0; i < ARRAY_SIZE(class_names); i++)
			if (strlen(class_names[i]) == len && !memcmp(class_names[i], text, len))
				break;
		if (i < ARRAY_SIZE(class_names))
			mask |= BIT(i);
		else
			pr_warn("kmemdump.classes: %s: there is no class \"%.*s\"\n",
				backend, (int)len, text);
		text += len + 1;
	}
	return mask;
}

/*
 * Which classes @text, the value of the boot parameter "classes", lets @backend carry. It may be
 * there to keep secrets out of a backend, so a class that does not exist allows nothing.
 */
u32 kmemdump_parse_classes(const char *text, const char *backend)
{
	size_t name_len = strlen(backend);

	while (*text) {
		const char *end = text + strcspn(text, ",");

		if (!strncmp(text, backend, name_len) &&
		    (text[name_len] == ':' || text + name_len == end)) {
			text = min(text + name_len + 1, end);
			return parse_class_list(text, end, backend);
		}
		text = *end ? end + 1 : end;
	}
	return U32_MAX;
}

const struct kmemdump_room_ops *kmemdump_room_ops __ro_after_init;

/*
 * Have room at panic for @nr_regions with @nr_pieces. Nothing is spent on that while no
 * backend wants it. Process context, may sleep.
 */
int kmemdump_backends_reserve(struct kmemdump_table *table, unsigned int nr_regions,
			      unsigned int nr_pieces)
{
	lockdep_assert_held(&table->lock);
	return table->room ? kmemdump_room_ops->reserve(table, nr_regions, nr_pieces) : 0;
}

/* The administrator decides which classes a backend carries. */
bool kmemdump_may_carry(const struct kmemdump_backend *be, const struct kmemdump_entry *entry)
{
	return be->carrier->classes & BIT(entry->class);
}

/* Whether @be has accepted @entry. */
static bool has_accepted(const struct kmemdump_backend *be, const struct kmemdump_entry *entry)
{
	return test_bit(be->carrier->index, &entry->state);
}

/* Whether @be could not follow the last update of @entry. */
static bool is_stale(const struct kmemdump_backend *be, const struct kmemdump_entry *entry)
{
	return test_bit(be->carrier->index + KMEMDUMP_BIT_STALE, &entry->state);
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

	if (!!ret == is_stale(be, entry))
		return;
	change_bit(be->carrier->index + KMEMDUMP_BIT_STALE, &entry->state);
	atomic_add(ret ? 1 : -1, &be->carrier->nr_stale);
	trace_kmemdump_carried(be, entry, ret);
}

/* Have @be carry @entry, for which it has room, and follow its updates since @version. */
static int give(struct kmemdump_backend *be, struct kmemdump_entry *entry, unsigned int version)
{
	struct kmemdump_carrier *carrier = be->carrier;
	int ret = be->table->add(be, entry);

	if (ret)
		return ret < 0 ? ret : -EINVAL;
	carrier->orders[entry->order].used_slots += entry->max_pieces;
	carrier->orders[entry->order].used_bytes += kmemdump_entry_size(entry);

	kmemdump_entry_lock(entry);
	set_bit(carrier->index, &entry->state);
	if (entry->version != version)
		follow_update(be, entry);
	kmemdump_entry_unlock(entry);
	carrier->nr_carried++;
	return 0;
}

/* Take @entry back from @be, which has followed all its updates until now. */
static void take_back(struct kmemdump_backend *be, struct kmemdump_entry *entry)
{
	struct kmemdump_carrier *carrier = be->carrier;

	kmemdump_entry_lock(entry);
	clear_bit(carrier->index, &entry->state);
	if (test_and_clear_bit(carrier->index + KMEMDUMP_BIT_STALE, &entry->state))
		atomic_dec(&carrier->nr_stale);
	kmemdump_entry_unlock(entry);

	be->table->remove(be, entry);
	carrier->orders[entry->order].used_slots -= entry->max_pieces;
	carrier->orders[entry->order].used_bytes -= kmemdump_entry_size(entry);
	carrier->nr_carried--;
}

/* Keep in @xa that @be does not carry @entry. */
static void note_refusal(struct kmemdump_backend *be, struct kmemdump_entry *entry,
			 struct xarray *xa, void *what)
{
	be->carrier->nr_refused++;
	if (xa_err(xa_store(xa, entry->id, what, GFP_KERNEL)))
		pr_warn("backend %s: out of memory; region %s will not be tried again\n",
			be->name, entry->names);
}

/* @entry has to wait until there is room in @be. */
static void wait_for_room(struct kmemdump_backend *be, struct kmemdump_entry *entry)
{
	note_refusal(be, entry, &be->carrier->orders[entry->order].waiting, entry);
	if (!be->carrier->was_full)
		pr_warn("backend %s has no room for region %s; what it does not carry is listed in debugfs\n",
			be->name, entry->names);
	be->carrier->was_full = true;
}

/* Whether @be has room for @entry besides the regions of an order better than @order. */
static bool has_room(const struct kmemdump_backend *be, const struct kmemdump_entry *entry,
		     unsigned int order)
{
	unsigned int slots = 0, i;
	u64 bytes = 0;

	for (i = 0; i < order; i++) {
		slots += be->carrier->orders[i].used_slots;
		bytes += be->carrier->orders[i].used_bytes;
	}
	return entry->max_pieces <= be->max_slots - slots &&
	       kmemdump_entry_size(entry) <= be->max_bytes - bytes;
}

/*
 * Have @be give up regions that matter less than @entry, the least first, until there is room
 * for it; but none if that would not be enough. Returns how many.
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
		if (!be->carrier->orders[order].used_slots)
			continue;
		list_for_each_entry(victim, &table->entries, list) {
			if (victim->order != order || !has_accepted(be, victim))
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

/* Whether @be could carry @entry if it had room; as it is at *@version. */
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
	/* A backend that has other limits as well returns this error from add(). */
	if (ret == -ENOSPC)
		wait_for_room(be, entry);
	else if (ret)
		note_refusal(be, entry, &be->carrier->errors, xa_mk_value(-ret));
	trace_kmemdump_carried(be, entry, ret ?: is_stale(be, entry) ? -ESTALE : 0);
	return nr_gone > 0;
}

/*
 * Try so many of the regions that wait and do not fit, lest one removal cost as much as all
 * registrations. The next removal tries the next ones.
 */
#define MAX_MISFITS	16

static void refill_order(struct kmemdump_table *table, struct kmemdump_backend *be, int order)
{
	unsigned long *last = &be->carrier->orders[order].last_tried, id = *last, first = 0;
	struct xarray *waiting = &be->carrier->orders[order].waiting;
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
		if (!has_accepted(be, entry)) {
			first = first ?: id;
			misfits++;
		}
	}
}

/* There may be room in @be now for some that wait, the most important first. */
static void refill(struct kmemdump_table *table, struct kmemdump_backend *be)
{
	int order;

	for (order = 0; order < KMEMDUMP_NR_ORDERS; order++)
		refill_order(table, be, order);
}

static void tell_refused(struct kmemdump_backend *be)
{
	if (be->table && be->table->refused)
		be->table->refused(be, be->carrier->nr_refused);
}

static void add_to_backend(struct kmemdump_table *table, struct kmemdump_backend *be,
			   struct kmemdump_entry *entry)
{
	if (!kmemdump_may_carry(be, entry)) {
		be->carrier->nr_filtered++;
	} else if (be->writer) {
		set_bit(be->carrier->index, &entry->state);
		be->carrier->nr_carried++;
		trace_kmemdump_carried(be, entry, 0);
	} else {
		/* The others may have left more room than was needed. */
		if (offer(table, be, entry))
			refill(table, be);
		tell_refused(be);
	}
}

static void remove_from_backend(struct kmemdump_backend *be, struct kmemdump_entry *entry)
{
	if (!kmemdump_may_carry(be, entry)) {
		be->carrier->nr_filtered--;
	} else if (!has_accepted(be, entry)) {
		xa_erase(&be->carrier->orders[entry->order].waiting, entry->id);
		xa_erase(&be->carrier->errors, entry->id);
		be->carrier->nr_refused--;
	} else if (be->writer) {
		clear_bit(be->carrier->index, &entry->state);
		be->carrier->nr_carried--;
	} else {
		take_back(be, entry);
	}
}

void kmemdump_backends_add(struct kmemdump_table *table, struct kmemdump_entry *entry)
{
	struct kmemdump_backend *be;

	lockdep_assert_held(&table->lock);
	list_for_each_entry(be, &table->backends, list)
		add_to_backend(table, be, entry);
}

void kmemdump_backends_remove(struct kmemdump_table *table, struct kmemdump_entry *entry)
{
	struct kmemdump_backend *be;

	lockdep_assert_held(&table->lock);
	list_for_each_entry(be, &table->backends, list) {
		remove_from_backend(be, entry);
		if (be->table)
			refill(table, be);
		tell_refused(be);
	}
}

/*
 * @entry, which is locked, was updated. Any context. A backend that can't follow has lost
 * the region; that costs no other backend anything.
 */
void kmemdump_backends_update(struct kmemdump_table *table, struct kmemdump_entry *entry)
{
	struct kmemdump_backend *be;

	list_for_each_entry_rcu(be, &table->backends, list)
		if (be->table && has_accepted(be, entry))
			follow_update(be, entry);
}

/* Whether and why @be does not carry @entry; see KMEMDUMP_CARRIED. */
int kmemdump_reason(const struct kmemdump_backend *be, const struct kmemdump_entry *entry)
{
	void *error;

	if (!kmemdump_may_carry(be, entry))
		return KMEMDUMP_FILTERED;
	if (has_accepted(be, entry))
		return is_stale(be, entry) ? KMEMDUMP_STALE : KMEMDUMP_CARRIED;
	error = xa_load(&be->carrier->errors, entry->id);
	return error ? -(int)xa_to_value(error) : -ENOSPC;
}

static bool is_valid(const struct kmemdump_backend *be)
{
	if (!be || !be->name || !be->name[0] || !be->max_bytes || !be->writer == !be->table)
		return false;
	if (be->writer)
		return be->writer->write && !be->image;
	return be->table->add && be->table->remove && be->table->update &&
	       (!be->image || be->image->build) && be->max_slots &&
	       (!be->align || is_power_of_2(be->align));
}

static struct kmemdump_carrier *alloc_carrier(const char *name, unsigned int index)
{
	struct kmemdump_carrier *carrier = kzalloc(sizeof(*carrier), GFP_KERNEL);
	int order;

	if (!carrier)
		return NULL;
	carrier->index = index;
	carrier->classes = kmemdump_parse_classes(classes, name);
	xa_init(&carrier->errors);
	for (order = 0; order < KMEMDUMP_NR_ORDERS; order++)
		xa_init(&carrier->orders[order].waiting);
	return carrier;
}

static void free_carrier(struct kmemdump_carrier *carrier)
{
	int order;

	for (order = 0; order < KMEMDUMP_NR_ORDERS; order++)
		xa_destroy(&carrier->orders[order].waiting);
	xa_destroy(&carrier->errors);
	kfree(carrier);
}

/* The most important first, so that nothing has to give way again. */
static void replay(struct kmemdump_table *table, struct kmemdump_backend *be)
{
	struct kmemdump_entry *entry;
	int order;

	for (order = 0; order < KMEMDUMP_NR_ORDERS; order++)
		list_for_each_entry(entry, &table->entries, list)
			if (entry->order == order)
				add_to_backend(table, be, entry);
}

static int attach(struct kmemdump_table *table, struct kmemdump_backend *be)
{
	struct kmemdump_backend *other;
	int ret;

	list_for_each_entry(other, &table->backends, list)
		if (other == be || !strcmp(other->name, be->name))
			return -EEXIST;
	if (hweight_long(table->backend_indexes) == KMEMDUMP_MAX_BACKENDS)
		return -ENOSPC;
	be->carrier = alloc_carrier(be->name, ffz(table->backend_indexes));
	if (!be->carrier)
		return -ENOMEM;
	ret = kmemdump_room_ops->attach(table, be);
	if (ret) {
		free_carrier(be->carrier);
		be->carrier = NULL;
		return ret;
	}
	__set_bit(be->carrier->index, &table->backend_indexes);
	list_add_tail_rcu(&be->list, &table->backends);
	replay(table, be);
	return 0;
}

/* Attach @be to @table and replay what is registered. May sleep. */
int kmemdump_attach(struct kmemdump_table *table, struct kmemdump_backend *be)
{
	int ret;

	if (!is_valid(be))
		return -EINVAL;
	if (!kmemdump_room_ops)
		return -EPROBE_DEFER;

	mutex_lock(&table->lock);
	ret = attach(table, be);
	mutex_unlock(&table->lock);
	return ret;
}

/* Take every region back from @be and forget it. May sleep. */
void kmemdump_detach(struct kmemdump_table *table, struct kmemdump_backend *be)
{
	struct kmemdump_backend *other;
	struct kmemdump_entry *entry;

	mutex_lock(&table->lock);
	list_for_each_entry(other, &table->backends, list)
		if (other == be)
			break;
	if (WARN_ON_ONCE(list_entry_is_head(other, &table->backends, list))) {
		mutex_unlock(&table->lock);
		return;
	}
	list_for_each_entry(entry, &table->entries, list)
		remove_from_backend(be, entry);
	list_del_rcu(&be->list);
	/* Wait for updates and panic code that may still be using @be. */
	synchronize_rcu();
	kmemdump_room_ops->detach(table, be);
	__clear_bit(be->carrier->index, &table->backend_indexes);
	free_carrier(be->carrier);
	be->carrier = NULL;
	mutex_unlock(&table->lock);
}

/**
 * kmemdump_register_backend() - attach a way across the reset
 * @be: backend; must stay until kmemdump_unregister_backend()
 *
 * Every region registered so far is replayed to @be before this returns.
 *
 * Context: process context, may sleep. Must not be called from a backend op.
 * Return: 0, %-EINVAL if ops or limits are missing or contradict each other,
 * %-EEXIST if @be or another backend of its name is attached, %-ENOSPC if
 * %KMEMDUMP_MAX_BACKENDS are attached, %-EPROBE_DEFER before core_initcall(), %-ENOMEM.
 */
int kmemdump_register_backend(struct kmemdump_backend *be)
{
	int ret = kmemdump_attach(&kmemdump_table, be);

	if (!ret)
		pr_info("backend %s attached: %u regions carried, %u not, %u not meant for it\n",
			be->name, be->carrier->nr_carried, be->carrier->nr_refused,
			be->carrier->nr_filtered);
	return ret;
}
EXPORT_SYMBOL_GPL(kmemdump_register_backend);

/**
 * kmemdump_unregister_backend() - detach a backend
 * @be: backend that kmemdump_register_backend() accepted
 *
 * Every region is taken back from @be before this returns; no op of it runs
 * afterwards. On a CPU that panics this does nothing: the dump may be under way, and
 * another callback of the panic must not end it.
 *
 * Context: process context, may sleep. Must not be called from a backend op.
 * Return: whether @be is detached. If not, it has to stay, with all that it works with.
 */
bool kmemdump_unregister_backend(struct kmemdump_backend *be)
{
	if (panic_on_this_cpu())
		return false;
	kmemdump_detach(&kmemdump_table, be);
	pr_info("backend %s detached\n", be->name);
	return true;
}
EXPORT_SYMBOL_GPL(kmemdump_unregister_backend);
