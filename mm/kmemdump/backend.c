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
		kmemdump_carry_add(table, be, entry);
	}
}

static void remove_from_backend(struct kmemdump_backend *be, struct kmemdump_entry *entry)
{
	if (!kmemdump_may_carry(be, entry)) {
		be->carrier->nr_filtered--;
	} else if (be->writer) {
		clear_bit(be->carrier->index, &entry->state);
		be->carrier->nr_carried--;
	} else {
		kmemdump_carry_remove(be, entry);
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
			kmemdump_carry_refill(table, be);
	}
}

/* Whether and why @be does not carry @entry; see KMEMDUMP_CARRIED. */
int kmemdump_reason(const struct kmemdump_backend *be, const struct kmemdump_entry *entry)
{
	if (!kmemdump_may_carry(be, entry))
		return KMEMDUMP_FILTERED;
	if (kmemdump_has_accepted(be, entry))
		return kmemdump_is_stale(be, entry) ? KMEMDUMP_STALE : KMEMDUMP_CARRIED;
	return be->table ? kmemdump_carry_error(be, entry) : -ENOSPC;
}

static bool is_valid(const struct kmemdump_backend *be)
{
	if (!be || !be->name || !be->name[0] || !be->max_bytes || !be->writer == !be->table)
		return false;
	if (be->writer)
		return be->writer->write && !be->image;
	return IS_ENABLED(CONFIG_KMEMDUMP_ASSISTED) &&
	       be->table->add && be->table->remove && be->table->update &&
	       (!be->image || be->image->build) && be->max_slots &&
	       (!be->align || is_power_of_2(be->align));
}

static struct kmemdump_carrier *alloc_carrier(const struct kmemdump_backend *be,
					      unsigned int index)
{
	struct kmemdump_carrier *carrier = kzalloc(sizeof(*carrier), GFP_KERNEL);

	if (!carrier)
		return NULL;
	carrier->index = index;
	carrier->classes = kmemdump_parse_classes(classes, be->name);
	if (be->table) {
		carrier->carry = kmemdump_carry_alloc();
		if (!carrier->carry) {
			kfree(carrier);
			return NULL;
		}
	}
	return carrier;
}

static void free_carrier(struct kmemdump_carrier *carrier)
{
	kmemdump_carry_free(carrier->carry);
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
	be->carrier = alloc_carrier(be, ffz(table->backend_indexes));
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
