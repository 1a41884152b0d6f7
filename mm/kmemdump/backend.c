// SPDX-License-Identifier: GPL-2.0-only
/*
 * kmemdump: fan-out to the backends, and what they can't carry.
 *
 * Copyright (C) 2026 the kmemdump authors
 */
#define pr_fmt(fmt) "kmemdump: " fmt

#include <linux/bitops.h>
#include <linux/export.h>
#include <linux/rculist.h>
#include <linux/string.h>

#include "kmemdump.h"

/*
 * Make room for @nr_regions and @nr_segments in what the panic-time writer
 * works with. Nothing is spent on that while there is no writer.
 */
int kmemdump_backends_reserve(struct kmemdump_table *table, unsigned int nr_regions,
			      unsigned int nr_segments)
{
	struct kmemdump_image *old = table->image, *image;

	lockdep_assert_held(&table->lock);

	if (!table->nr_writers)
		return 0;
	if (old && nr_regions <= old->max_regions && nr_segments <= old->max_loads)
		return 0;

	/* Doubling keeps the cost of a registration constant on average. */
	image = kmemdump_image_alloc(max(2 * nr_regions, 64U), max(2 * nr_segments, 64U));
	if (!image)
		return -ENOMEM;

	/* Pairs with the acquire in kmemdump_write_all(). */
	smp_store_release(&table->image, image);
	/* Panic notifiers run in an RCU read-side section. */
	if (old)
		synchronize_rcu();
	kmemdump_image_free(old);
	return 0;
}

static void add_to_backend(struct kmemdump_backend *be, struct kmemdump_entry *entry)
{
	if (!kmemdump_is_writer(be)) {
		if (entry->nr_segments > be->max_slots - be->used_slots ||
		    be->ops->add(be, entry)) {
			be->nr_refused++;
			return;
		}
		be->used_slots += entry->nr_segments;
	}
	WRITE_ONCE(entry->carriers, entry->carriers | BIT(be->index));
}

static void remove_from_backend(struct kmemdump_backend *be, struct kmemdump_entry *entry)
{
	if (!(entry->carriers & BIT(be->index))) {
		be->nr_refused--;
		return;
	}
	if (!kmemdump_is_writer(be)) {
		be->ops->remove(be, entry);
		be->used_slots -= entry->nr_segments;
	}
	WRITE_ONCE(entry->carriers, entry->carriers & ~BIT(be->index));
}

void kmemdump_backends_add(struct kmemdump_table *table, struct kmemdump_entry *entry)
{
	struct kmemdump_backend *be;

	lockdep_assert_held(&table->lock);
	list_for_each_entry(be, &table->backends, list)
		add_to_backend(be, entry);
}

void kmemdump_backends_remove(struct kmemdump_table *table, struct kmemdump_entry *entry)
{
	struct kmemdump_backend *be;

	lockdep_assert_held(&table->lock);
	list_for_each_entry(be, &table->backends, list)
		remove_from_backend(be, entry);
}

static bool backend_valid(const struct kmemdump_backend *be)
{
	if (!be || !be->name || !be->name[0] || !be->ops)
		return false;
	if (kmemdump_is_writer(be))
		return be->max_bytes && !be->ops->add && !be->ops->remove;
	return be->max_slots && be->ops->add && be->ops->remove;
}

/* The writer's memory: there from before the first writer until after the last. */
static int get_stream(struct kmemdump_table *table)
{
	int ret;

	if (table->nr_writers++)
		return 0;

	table->stream = kmemdump_stream_alloc();
	ret = table->stream ? kmemdump_backends_reserve(table, table->nr_regions,
							table->nr_segments) : -ENOMEM;
	if (ret) {
		kmemdump_stream_free(table->stream);
		table->stream = NULL;
		table->nr_writers--;
	}
	return ret;
}

static int attach(struct kmemdump_table *table, struct kmemdump_backend *be)
{
	struct kmemdump_backend *other;
	struct kmemdump_entry *entry;
	unsigned long id;
	int ret;

	list_for_each_entry(other, &table->backends, list)
		if (other == be || !strcmp(other->name, be->name))
			return -EEXIST;
	if (table->backend_indexes == ULONG_MAX)
		return -ENOSPC;
	if (kmemdump_is_writer(be)) {
		ret = get_stream(table);
		if (ret)
			return ret;
	}

	be->index = ffz(table->backend_indexes);
	be->used_slots = 0;
	be->nr_refused = 0;
	table->backend_indexes |= BIT(be->index);
	list_add_tail_rcu(&be->list, &table->backends);
	xa_for_each(&table->regions, id, entry)
		add_to_backend(be, entry);
	return 0;
}

/* Attach @be to @table and replay what is registered. May sleep. */
int kmemdump_attach(struct kmemdump_table *table, struct kmemdump_backend *be)
{
	int ret;

	if (!backend_valid(be))
		return -EINVAL;

	mutex_lock(&table->lock);
	ret = attach(table, be);
	mutex_unlock(&table->lock);
	return ret;
}

/* Take every region back from @be and forget it. May sleep. */
void kmemdump_detach(struct kmemdump_table *table, struct kmemdump_backend *be)
{
	struct kmemdump_stream *stream = NULL;
	struct kmemdump_image *image = NULL;
	struct kmemdump_entry *entry;
	unsigned long id;

	mutex_lock(&table->lock);
	list_del_rcu(&be->list);
	if (kmemdump_is_writer(be) && !--table->nr_writers) {
		stream = table->stream;
		image = table->image;
		WRITE_ONCE(table->stream, NULL);
		WRITE_ONCE(table->image, NULL);
	}
	synchronize_rcu();
	kmemdump_stream_free(stream);
	kmemdump_image_free(image);
	xa_for_each(&table->regions, id, entry)
		remove_from_backend(be, entry);
	table->backend_indexes &= ~BIT(be->index);
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
 * %-EEXIST if @be or another backend of its name is attached, %-ENOSPC if there
 * are too many backends, %-ENOMEM.
 */
int kmemdump_register_backend(struct kmemdump_backend *be)
{
	int ret = kmemdump_attach(&kmemdump_table, be);

	if (!ret)
		pr_info("backend %s attached\n", be->name);
	return ret;
}
EXPORT_SYMBOL_GPL(kmemdump_register_backend);

/**
 * kmemdump_unregister_backend() - detach a backend
 * @be: backend that kmemdump_register_backend() accepted
 *
 * Every region is taken back from @be before this returns; no op of it runs
 * afterwards.
 *
 * Context: process context, may sleep. Must not be called from a backend op.
 */
void kmemdump_unregister_backend(struct kmemdump_backend *be)
{
	kmemdump_detach(&kmemdump_table, be);
	pr_info("backend %s detached\n", be->name);
}
EXPORT_SYMBOL_GPL(kmemdump_unregister_backend);
