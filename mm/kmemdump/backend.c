// SPDX-License-Identifier: GPL-2.0-only
/*
 * kmemdump: fan-out to the backends, and what they can't carry.
 *
 * Copyright (C) 2026 the kmemdump authors
 */
#define pr_fmt(fmt) "kmemdump: " fmt

#include <linux/export.h>
#include <linux/log2.h>
#include <linux/memory_hotplug.h>
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
 * What @text, the value of the boot parameter "classes", lets @backend carry.
 * It may be there to keep something out of a backend, so what it says wrong
 * allows nothing.
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

/* Not kvfree_rcu(), which may keep many of these large ones for seconds. */
static void free_image(struct rcu_head *rcu)
{
	kvfree(container_of(rcu, struct kmemdump_image, rcu));
}

/*
 * Make room for @nr_regions and @nr_segments in what is worked with at panic.
 * Nothing is spent on that while no backend wants it.
 */
int kmemdump_backends_reserve(struct kmemdump_table *table, unsigned int nr_regions,
			      unsigned int nr_segments)
{
	struct kmemdump_image *old = table->image, *image;
	unsigned int nr_loads = nr_segments + KMEMDUMP_LOG_LOADS;

	lockdep_assert_held(&table->lock);

	if (!table->nr_imagers)
		return 0;
	if (table->set >= KMEMDUMP_SET_STANDARD)
		nr_loads += KMEMDUMP_MAX_FOUND;
	if (old && nr_regions <= old->max_regions && nr_loads <= old->max_loads)
		return 0;

	/* Growing by a share keeps the cost of a registration constant on average. */
	image = kmemdump_image_alloc(max(nr_regions + nr_regions / 8, 64U),
				     max(nr_loads + nr_segments / 8, 64U));
	if (!image)
		return -ENOMEM;

	/* Pairs with the acquire in kmemdump_write_all(). */
	smp_store_release(&table->image, image);
	/* Panic notifiers run in an RCU read-side section. */
	if (old)
		call_rcu(&old->rcu, free_image);
	return 0;
}

static unsigned int slots_used(const struct kmemdump_backend *be)
{
	unsigned int sum = 0;
	int rank;

	for (rank = 0; rank < KMEMDUMP_NR_RANKS; rank++)
		sum += be->used_slots[rank];
	return sum;
}

static u64 bytes_used(const struct kmemdump_backend *be)
{
	u64 sum = 0;
	int rank;

	for (rank = 0; rank < KMEMDUMP_NR_RANKS; rank++)
		sum += be->used_bytes[rank];
	return sum;
}

static bool segments_aligned(const struct kmemdump_entry *entry, unsigned int align)
{
	const struct kmemdump_segment *segs;
	unsigned int nr, i;

	segs = kmemdump_entry_segments(entry, &nr);
	for (i = 0; i < nr; i++)
		if (!IS_ALIGNED(segs[i].phys_addr | segs[i].size, align))
			return false;
	return true;
}

/* Tell @be that @entry, which is locked, has moved. Any context. */
static void tell_move(struct kmemdump_backend *be, struct kmemdump_entry *entry)
{
	int ret = 0;

	if (be->align && !segments_aligned(entry, be->align))
		ret = -EINVAL;
	if (!ret && kmemdump_has_slots(be))
		kmemdump_slots_update(be);
	else if (!ret)
		ret = be->ops->update(be, entry);
	if (!!ret == kmemdump_stale(entry, be))
		return;
	change_bit(be->index + KMEMDUMP_BIT_STALE, &entry->state);
	atomic_add(ret ? 1 : -1, &be->nr_stale);
	trace_kmemdump_carried(be, entry, ret);
}

/* Tell @be of @entry. It may have moved since it had @version, and may do so now. */
static int tell(struct kmemdump_backend *be, struct kmemdump_entry *entry, unsigned int version)
{
	int ret = kmemdump_has_slots(be) ? kmemdump_slots_add(be, entry) :
					   be->ops->add(be, entry);

	if (ret)
		return ret < 0 ? ret : -EINVAL;
	be->used_slots[entry->rank] += entry->max_segments;
	be->used_bytes[entry->rank] += kmemdump_entry_size(entry);

	kmemdump_lock_entry(entry);
	set_bit(be->index, &entry->state);
	if (entry->version != version)
		tell_move(be, entry);
	kmemdump_unlock_entry(entry);
	return 0;
}

/* Take @entry back from @be, which was told of all its moves until now. */
static void untell(struct kmemdump_backend *be, struct kmemdump_entry *entry)
{
	kmemdump_lock_entry(entry);
	clear_bit(be->index, &entry->state);
	if (test_and_clear_bit(be->index + KMEMDUMP_BIT_STALE, &entry->state))
		atomic_dec(&be->nr_stale);
	kmemdump_unlock_entry(entry);

	if (kmemdump_has_slots(be))
		kmemdump_slots_remove(be, entry);
	else
		be->ops->remove(be, entry);
	be->used_slots[entry->rank] -= entry->max_segments;
	be->used_bytes[entry->rank] -= kmemdump_entry_size(entry);
}

/* Keep in @xa that @be does not carry @entry. */
static void note_refusal(struct kmemdump_backend *be, struct kmemdump_entry *entry,
			 struct xarray *xa, void *what)
{
	be->nr_refused++;
	if (xa_err(xa_store(xa, entry->id, what, GFP_KERNEL)))
		pr_warn("backend %s: out of memory; region %s will not be tried again\n",
			be->name, kmemdump_entry_name(entry));
}

/* @entry has to wait until there is room in @be. */
static void wait_for_room(struct kmemdump_backend *be, struct kmemdump_entry *entry)
{
	note_refusal(be, entry, &be->waiting[entry->rank], entry);
	if (!be->was_full)
		pr_warn("backend %s has no room for region %s; what it does not carry is listed in debugfs\n",
			be->name, kmemdump_entry_name(entry));
	be->was_full = true;
}

/* Whether @be could carry @entry if it had given up all of rank @rank and worse. */
static bool has_room(const struct kmemdump_backend *be, const struct kmemdump_entry *entry,
		     int rank)
{
	unsigned int slots = slots_used(be);
	u64 bytes = bytes_used(be);

	for (; rank < KMEMDUMP_NR_RANKS; rank++) {
		slots -= be->used_slots[rank];
		bytes -= be->used_bytes[rank];
	}
	return entry->max_segments <= be->max_slots - slots &&
	       kmemdump_entry_size(entry) <= be->max_bytes - bytes;
}

/*
 * Have @be give up regions that matter less than @entry, worst first, until there
 * is room for it; but none if that would not be enough. Returns how many.
 */
static int make_room(struct kmemdump_table *table, struct kmemdump_backend *be,
		     const struct kmemdump_entry *entry)
{
	int rank, nr = 0;

	if (!has_room(be, entry, entry->rank + 1))
		return -ENOSPC;

	for (rank = KMEMDUMP_NR_RANKS - 1; rank > entry->rank; rank--) {
		struct kmemdump_entry *victim;
		unsigned long id;

		if (has_room(be, entry, KMEMDUMP_NR_RANKS))
			break;
		if (!be->used_slots[rank])
			continue;
		xa_for_each(&table->regions, id, victim) {
			if (victim->rank != rank || !kmemdump_told(victim, be))
				continue;
			untell(be, victim);
			be->nr_carried--;
			wait_for_room(be, victim);
			trace_kmemdump_carried(be, victim, -ENOSPC);
			nr++;
			if (has_room(be, entry, KMEMDUMP_NR_RANKS))
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

	kmemdump_lock_entry(entry);
	*version = entry->version;
	aligned = !be->align || segments_aligned(entry, be->align);
	kmemdump_unlock_entry(entry);

	if (be->max_name && strlen(kmemdump_entry_name(entry)) > be->max_name)
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
		ret = nr_gone < 0 ? nr_gone : tell(be, entry, version);
	}
	/* Out of room is what a backend says only when its own limits did not tell. */
	if (ret == -ENOSPC)
		wait_for_room(be, entry);
	else if (ret)
		note_refusal(be, entry, &be->errors, xa_mk_value(-ret));
	else
		be->nr_carried++;
	trace_kmemdump_carried(be, entry, ret ?: kmemdump_stale(entry, be) ? -ESTALE : 0);
	return nr_gone > 0;
}

/*
 * Of those that wait for room and do not fit, so many are tried at a time, lest one
 * removal cost as much as all registrations. The next ones have their turn next.
 */
#define MAX_MISFITS	16

static void refill_rank(struct kmemdump_table *table, struct kmemdump_backend *be, int rank)
{
	unsigned long id = be->last_tried[rank], first = 0;
	unsigned int misfits = 0;
	struct kmemdump_entry *entry;

	while (misfits < MAX_MISFITS) {
		entry = xa_find_after(&be->waiting[rank], &id, ULONG_MAX, XA_PRESENT);
		if (!entry) {
			id = 0;
			entry = xa_find(&be->waiting[rank], &id, ULONG_MAX, XA_PRESENT);
		}
		/* Nobody waits, or all have been tried. */
		if (!entry || id == first)
			return;

		be->last_tried[rank] = id;
		if (has_room(be, entry, rank + 1)) {
			xa_erase(&be->waiting[rank], id);
			be->nr_refused--;
			offer(table, be, entry);
		}
		if (!kmemdump_told(entry, be)) {
			first = first ?: id;
			misfits++;
		}
	}
}

/* There may be room in @be now for some that wait, best first. */
static void refill(struct kmemdump_table *table, struct kmemdump_backend *be)
{
	int rank;

	for (rank = 0; rank < KMEMDUMP_NR_RANKS; rank++)
		refill_rank(table, be, rank);
}

static void add_to_backend(struct kmemdump_table *table, struct kmemdump_backend *be,
			   struct kmemdump_entry *entry)
{
	if (!kmemdump_may_carry(be, entry)) {
		be->nr_filtered++;
	} else if (kmemdump_is_writer(be)) {
		set_bit(be->index, &entry->state);
		be->nr_carried++;
		trace_kmemdump_carried(be, entry, 0);
	} else {
		/* They may have left more room than was needed. */
		if (offer(table, be, entry))
			refill(table, be);
		if (kmemdump_has_slots(be))
			kmemdump_slots_count(be);
	}
}

static void remove_from_backend(struct kmemdump_backend *be, struct kmemdump_entry *entry)
{
	if (!kmemdump_may_carry(be, entry)) {
		be->nr_filtered--;
	} else if (!kmemdump_told(entry, be)) {
		xa_erase(&be->waiting[entry->rank], entry->id);
		xa_erase(&be->errors, entry->id);
		be->nr_refused--;
	} else {
		if (kmemdump_is_writer(be))
			clear_bit(be->index, &entry->state);
		else
			untell(be, entry);
		be->nr_carried--;
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
		if (!kmemdump_is_writer(be))
			refill(table, be);
		if (kmemdump_has_slots(be))
			kmemdump_slots_count(be);
	}
}

/*
 * @entry, which is locked, has moved. Any context. A backend that can't follow
 * has lost the region; that costs no other backend anything.
 */
void kmemdump_backends_moved(struct kmemdump_table *table, struct kmemdump_entry *entry)
{
	struct kmemdump_backend *be;

	list_for_each_entry_rcu(be, &table->backends, list)
		if (!kmemdump_is_writer(be) && kmemdump_told(entry, be))
			tell_move(be, entry);
}

/* This CPU goes over to @next, in the middle of the scheduler. */
void kmemdump_backends_switch(struct kmemdump_table *table, const struct task_struct *next)
{
	struct kmemdump_segment pieces[KMEMDUMP_TASK_PIECES];
	struct kmemdump_backend *be;

	kmemdump_cut_task(next, pieces);
	list_for_each_entry_rcu(be, &table->backends, list)
		if (kmemdump_has_slots(be))
			kmemdump_slots_switch(be, raw_smp_processor_id(), pieces);
}

/* Whether and why @be does not carry @entry; see KMEMDUMP_CARRIED. */
int kmemdump_reason(struct kmemdump_backend *be, const struct kmemdump_entry *entry)
{
	void *error;

	if (!kmemdump_may_carry(be, entry))
		return KMEMDUMP_FILTERED;
	if (kmemdump_told(entry, be))
		return kmemdump_stale(entry, be) ? KMEMDUMP_STALE : KMEMDUMP_CARRIED;
	error = xa_load(&be->errors, entry->id);
	return error ? -(int)xa_to_value(error) : -ENOSPC;
}

static bool backend_valid(const struct kmemdump_backend *be)
{
	if (!be || !be->name || !be->name[0] || !be->ops || !be->max_bytes)
		return false;
	if (kmemdump_is_writer(be))
		return !be->ops->add && !be->ops->remove && !be->ops->update && !be->ops->image &&
		       !be->ops->publish;
	if (!be->max_slots || (be->align && !is_power_of_2(be->align)))
		return false;
	if (kmemdump_has_slots(be))
		return be->ops->fill && be->ops->move && !be->ops->add && !be->ops->remove &&
		       !be->ops->update && !be->ops->image;
	return be->ops->add && be->ops->remove && be->ops->update;
}

/*
 * What is worked with at panic is there from before the first backend that needs it
 * until after the last. Nobody uses what this takes away before an RCU grace period.
 */
static void put_panic_memory(struct kmemdump_table *table, const struct kmemdump_backend *be,
			     struct kmemdump_stream **stream, struct kmemdump_image **image)
{
	if (kmemdump_is_writer(be) && !--table->nr_writers) {
		*stream = table->stream;
		WRITE_ONCE(table->stream, NULL);
	}
	if (kmemdump_wants_image(be) && !--table->nr_imagers) {
		*image = table->image;
		WRITE_ONCE(table->image, NULL);
	}
}

static int get_panic_memory(struct kmemdump_table *table, struct kmemdump_backend *be)
{
	struct kmemdump_stream *stream = NULL;
	struct kmemdump_image *image = NULL;
	int ret = 0;

	if (kmemdump_is_writer(be) && !table->nr_writers++) {
		table->stream = kmemdump_stream_alloc();
		ret = table->stream ? 0 : -ENOMEM;
	}
	if (kmemdump_wants_image(be) && !table->nr_imagers++ && !ret)
		ret = kmemdump_backends_reserve(table, table->nr_regions, table->nr_segments);
	if (kmemdump_has_slots(be) && !ret)
		ret = kmemdump_slots_alloc(be, table->follow_tasks &&
					   IS_ENABLED(CONFIG_TRACEPOINTS));
	if (ret) {
		put_panic_memory(table, be, &stream, &image);
		kmemdump_stream_free(stream);
		kvfree(image);
	}
	return ret;
}

static void init_backend(struct kmemdump_backend *be, unsigned int index)
{
	int rank;

	be->index = index;
	be->classes = kmemdump_parse_classes(classes, be->name);
	be->nr_carried = 0;
	be->nr_refused = 0;
	be->nr_filtered = 0;
	be->was_full = false;
	atomic_set(&be->nr_stale, 0);
	xa_init(&be->errors);
	for (rank = 0; rank < KMEMDUMP_NR_RANKS; rank++) {
		be->used_slots[rank] = 0;
		be->used_bytes[rank] = 0;
		be->last_tried[rank] = 0;
		xa_init(&be->waiting[rank]);
	}
}

/* Best first, so that nothing has to give way again. */
static void replay(struct kmemdump_table *table, struct kmemdump_backend *be)
{
	struct kmemdump_entry *entry;
	unsigned long id;
	int rank;

	for (rank = 0; rank < KMEMDUMP_NR_RANKS; rank++)
		xa_for_each(&table->regions, id, entry)
			if (entry->rank == rank)
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
	ret = get_panic_memory(table, be);
	if (ret)
		return ret;

	init_backend(be, ffz(table->backend_indexes));
	__set_bit(be->index, &table->backend_indexes);
	list_add_tail_rcu(&be->list, &table->backends);
	replay(table, be);
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
	struct kmemdump_backend *other;
	struct kmemdump_entry *entry;
	unsigned long id;
	int rank;

	mutex_lock(&table->lock);
	list_for_each_entry(other, &table->backends, list)
		if (other == be)
			break;
	if (WARN_ON_ONCE(list_entry_is_head(other, &table->backends, list))) {
		mutex_unlock(&table->lock);
		return;
	}
	if (kmemdump_has_slots(be))
		kmemdump_slots_stop(be);
	xa_for_each(&table->regions, id, entry)
		remove_from_backend(be, entry);
	list_del_rcu(&be->list);
	put_panic_memory(table, be, &stream, &image);
	/* Who walks the backends in a panic, or as a region moves, is done then. */
	synchronize_rcu();
	if (kmemdump_has_slots(be))
		kmemdump_slots_free(be);
	kmemdump_stream_free(stream);
	kvfree(image);
	for (rank = 0; rank < KMEMDUMP_NR_RANKS; rank++)
		xa_destroy(&be->waiting[rank]);
	xa_destroy(&be->errors);
	__clear_bit(be->index, &table->backend_indexes);
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
 * %KMEMDUMP_MAX_BACKENDS are attached, %-ENOMEM.
 */
int kmemdump_register_backend(struct kmemdump_backend *be)
{
	int ret = kmemdump_attach(&kmemdump_table, be);

	if (!ret)
		pr_info("backend %s attached: %u regions carried, %u not, %u not meant for it\n",
			be->name, be->nr_carried, be->nr_refused, be->nr_filtered);
	return ret;
}
EXPORT_SYMBOL_GPL(kmemdump_register_backend);

/**
 * kmemdump_unregister_backend() - detach a backend
 * @be: backend that kmemdump_register_backend() accepted
 *
 * Every region is taken back from @be before this returns; no op of it runs
 * afterwards. On the CPU that panics nothing is detached any more: the dump may be
 * under way, and what other callbacks of the panic do must not cost it.
 *
 * Context: process context, may sleep. Must not be called from a backend op.
 */
void kmemdump_unregister_backend(struct kmemdump_backend *be)
{
	if (panic_on_this_cpu())
		return;
	kmemdump_detach(&kmemdump_table, be);
	pr_info("backend %s detached\n", be->name);
}
EXPORT_SYMBOL_GPL(kmemdump_unregister_backend);

/**
 * kmemdump_refresh_backend() - have a backend told the core image as it is now
 * @be: attached backend with ops->image()
 *
 * Calls ops->image() of @be, which describes what @be carries and, as far as they
 * exist already, the pages that debuggers need besides.
 *
 * Context: process context, may sleep. Must not be called from a backend op.
 */
void kmemdump_refresh_backend(struct kmemdump_backend *be)
{
	struct kmemdump_image *image;

	/* The pages that are looked at must not go offline; who takes them waits for us. */
	get_online_mems();
	mutex_lock(&kmemdump_table.lock);
	image = kmemdump_table.image;
	/* A panic in between makes it anew. */
	image->live = true;
	kmemdump_image_build(image, &kmemdump_table, be, NULL);
	be->ops->image(be, image);
	image->live = false;
	mutex_unlock(&kmemdump_table.lock);
	put_online_mems();
}
