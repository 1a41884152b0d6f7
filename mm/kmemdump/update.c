// SPDX-License-Identifier: GPL-2.0-only
/*
 * kmemdump: telling kmemdump that a region has moved.
 *
 * An update works in any context. Code that it interrupts finds the old place or the new one. So
 * does a panic that interrupts an update and never returns to it.
 *
 * Copyright (C) 2026 the kmemdump authors
 */
#include <linux/cpumask.h>
#include <linux/export.h>
#include <linux/overflow.h>

#include "kmemdump.h"

#include <trace/events/kmemdump.h>

/*
 * Set the place of @entry, which is locked, to that of @region. Any context. After an error,
 * @entry still has its old place.
 */
int kmemdump_entry_update(struct kmemdump_entry *entry, const struct kmemdump_region *region)
{
	unsigned int spare = !(entry->version & 1);
	struct kmemdump_piece *pieces = entry->pieces + spare * entry->max_pieces;
	bool percpu = entry->flags & KMEMDUMP_ENTRY_PERCPU;
	struct kmemdump_place place = { };
	size_t size = region->size;
	int ret;

	if (entry->flags & KMEMDUMP_ENTRY_MAPPED)
		return -EOPNOTSUPP;
	if (percpu && check_mul_overflow(size, (size_t)num_possible_cpus(), &size))
		return -EINVAL;
	if (percpu != !!region->percpu_addr || size != kmemdump_entry_size(entry))
		return -EINVAL;
	ret = kmemdump_get_place(region, &place);
	if (ret)
		return ret;
	ret = kmemdump_find_pieces(&place, pieces, entry->max_pieces, true);
	if (ret < 0)
		return ret;
	if (!kmemdump_same_place(pieces, region))
		return -EINVAL;

	WRITE_ONCE(entry->nr_pieces[spare], ret);
	entry->held &= ~BIT(spare);
	if (kmemdump_piece_held(pieces))
		entry->held |= BIT(spare);
	/* [A] Pairs with the acquire in kmemdump_entry_pieces() and others that name it. */
	smp_store_release(&entry->version, entry->version + 1);
	trace_kmemdump_update(entry);
	return 0;
}

static int update_entry(struct kmemdump_table *table, struct kmemdump_entry *entry,
			const struct kmemdump_region *region)
{
	int ret;

	if (!entry || !kmemdump_is_named(entry, region->name))
		return -ENOENT;
	if (!kmemdump_entry_trylock(entry))
		return -EBUSY;

	ret = kmemdump_entry_update(entry, region);
	if (!ret)
		kmemdump_backends_update(table, entry);
	kmemdump_entry_unlock(entry);
	return ret;
}

/*
 * Set the place of the region in @table that has the id and name of @region to that of @region.
 * Any context. The errors are those of kmemdump_update_region().
 */
int kmemdump_update(struct kmemdump_table *table, const struct kmemdump_region *region)
{
	int ret;

	if (!region || !region->name || region->id <= 0)
		return -EINVAL;
	ret = kmemdump_check_place(region);
	if (ret)
		return ret;

	/* An update looks at each page with preemption off, so limit the size. */
	if (region->size > KMEMDUMP_UPDATE_MAX)
		return -EOPNOTSUPP;

	rcu_read_lock();
	ret = update_entry(table, xa_load(&table->ids, region->id), region);
	rcu_read_unlock();
	return ret;
}

/**
 * kmemdump_update_region() - tell kmemdump that a region has moved
 * @region: id and name of a registered region, its new address, and its size,
 *	which has to be the same as before
 *
 * Use it for memory that moves often, such as a current stack: a dump has either
 * the old place or the new one, never a mixture. After an error, the region still
 * has its old place. It has room for as many physically contiguous pieces as at
 * registration; or, for one to 16 pages of vmalloc memory, for the worst case.
 *
 * Context: any, also NMI. Does not sleep or wait. The memory at both places must
 * be valid until this returns.
 * Return: 0, or
 *
 * * %-EINVAL: no region, name, id or size; another size than at registration
 * * %-ENOENT: no region of this id and name is registered
 * * %-EBUSY: the region is being updated elsewhere, maybe by code that this context
 *   has interrupted, or a backend is just taking it: try again
 * * %-EFAULT, %-EOVERFLOW: as at registration
 * * %-ENOSPC: the new place has more pieces than the region has room for
 * * %-EOPNOTSUPP: the core has mapped one of the places, or would have to; or
 *   the region is larger than %KMEMDUMP_UPDATE_MAX
 */
int kmemdump_update_region(const struct kmemdump_region *region)
{
	return kmemdump_update(&kmemdump_table, region);
}
EXPORT_SYMBOL_GPL(kmemdump_update_region);
