// SPDX-License-Identifier: GPL-2.0-only
/*
 * kmemdump: the core's own record of a region.
 *
 * Copyright (C) 2026 the kmemdump authors
 */
#include <linux/export.h>
#include <linux/io.h>
#include <linux/ioport.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/vmalloc.h>

#include <asm/sections.h>

#include "kmemdump.h"

#define CREATE_TRACE_POINTS
#include <trace/events/kmemdump.h>

struct kmemdump_table kmemdump_table = {
	.lock		= __MUTEX_INITIALIZER(kmemdump_table.lock),
	.entries	= LIST_HEAD_INIT(kmemdump_table.entries),
	.ids		= XARRAY_INIT(kmemdump_table.ids, XA_FLAGS_ALLOC),
	.backends	= LIST_HEAD_INIT(kmemdump_table.backends),
};

/*
 * A region in the vmalloc range, from a page to this size, such as a stack, can be updated to
 * any place there.
 */
#define MOVABLE_SIZE	(16 * PAGE_SIZE)

static void free_entry(struct kmemdump_entry *entry)
{
	kvfree(entry->pieces);
	kfree(entry->pfns);
	kfree(entry);
}

/* A reader of a full dump can't find what is not in the linear map without page tables. */
static int note_pfns(struct kmemdump_entry *entry)
{
	const void *start = PTR_ALIGN_DOWN((const void *)entry->pieces, PAGE_SIZE);
	size_t i, nr = PFN_UP((const void *)(entry->pieces + 2 * entry->max_pieces) - start);

	if (!is_vmalloc_addr(entry->pieces))
		return 0;
	entry->pfns = kmalloc_array(nr, sizeof(*entry->pfns), GFP_KERNEL);
	if (!entry->pfns)
		return -ENOMEM;
	for (i = 0; i < nr; i++)
		entry->pfns[i] = vmalloc_to_pfn(start + i * PAGE_SIZE);
	return 0;
}

static struct kmemdump_entry *alloc_entry(const char *name, struct module *owner,
					  unsigned int max_pieces)
{
	const char *owner_name = owner ? module_name(owner) : "kernel";
	size_t name_size = strlen(name) + 1, owner_size = strlen(owner_name) + 1;
	struct kmemdump_entry *entry;

	entry = kzalloc(struct_size(entry, names, name_size + owner_size), GFP_KERNEL);
	if (!entry)
		return NULL;
	memcpy(entry->names, name, name_size);
	memcpy(entry->names + name_size, owner_name, owner_size);
	INIT_LIST_HEAD(&entry->list);
	entry->owner = owner;
	entry->max_pieces = max_pieces;
	entry->pieces = kvcalloc(max_pieces, 2 * sizeof(*entry->pieces), GFP_KERNEL);
	if (!entry->pieces || note_pfns(entry)) {
		free_entry(entry);
		return NULL;
	}
	return entry;
}

/* Whether @pieces are at the physical address of @region, if that has one. */
bool kmemdump_same_place(const struct kmemdump_piece *pieces, const struct kmemdump_region *region)
{
	return !region->phys_addr || pieces->phys_addr == region->phys_addr;
}

static struct kmemdump_entry *make_mapped(const struct kmemdump_region *region,
					  struct module *owner)
{
	struct kmemdump_place place = { };
	struct kmemdump_entry *entry;
	int nr, ret;

	ret = kmemdump_get_place(region, &place);
	if (ret)
		return ERR_PTR(ret);
	nr = kmemdump_find_pieces(&place, NULL, 0, false);
	if (nr < 0)
		return ERR_PTR(nr);

	/* Keep room for any place that it may be updated to. */
	if (!place.percpu && !__is_kernel(place.addr) && is_vmalloc_addr((void *)place.addr) &&
	    place.size >= PAGE_SIZE && place.size <= MOVABLE_SIZE)
		nr = DIV_ROUND_UP(place.size - 1, PAGE_SIZE) + 1;
	entry = alloc_entry(region->name, owner, nr);
	if (!entry)
		return ERR_PTR(-ENOMEM);

	ret = kmemdump_find_pieces(&place, entry->pieces, nr, false);
	/* A mapping that changed in between was not the provider's to register. */
	if (ret == -ENOSPC)
		ret = -EFAULT;
	if (ret > 0 && !kmemdump_same_place(entry->pieces, region))
		ret = -EINVAL;
	if (ret < 0) {
		free_entry(entry);
		return ERR_PTR(ret);
	}

	entry->nr_pieces[0] = ret;
	if (place.percpu)
		entry->flags |= KMEMDUMP_ENTRY_PERCPU;
	entry->held = kmemdump_piece_held(entry->pieces) ? BIT(0) : 0;
	return entry;
}

/*
 * Memory that is not in the linear map: the core maps it, write-combined as drivers of SRAM
 * and ramoops do, which never puts stale lines into a cache.
 */
static struct kmemdump_entry *make_unmapped(const struct kmemdump_region *region,
					    struct module *owner)
{
	struct kmemdump_entry *entry = alloc_entry(region->name, owner, 1);
	void *p;

	if (!entry)
		return ERR_PTR(-ENOMEM);
	p = memremap(region->phys_addr, region->size, MEMREMAP_WC);
	/* If the memory has a cached mapping already, this one has to be the same. */
	if (!p)
		p = memremap(region->phys_addr, region->size, MEMREMAP_WB);
	if (!p) {
		free_entry(entry);
		return ERR_PTR(-ENOMEM);
	}
	entry->flags = KMEMDUMP_ENTRY_MAPPED;
	entry->nr_pieces[0] = 1;
	entry->pieces[0] = (struct kmemdump_piece) {
		.virt_addr = (unsigned long)p,
		.phys_addr = region->phys_addr,
		.size = region->size,
	};
	return entry;
}

/* Whether the kernel knows of memory at physical addresses that are not RAM. */
static bool is_known_memory(phys_addr_t phys, size_t size)
{
	return region_intersects(phys, size, IORESOURCE_MEM, IORES_DESC_NONE) == REGION_INTERSECTS;
}

/*
 * Make the entry of @region, which @owner registers. The caller has checked the name, and that
 * the range does not wrap. Process context, may sleep.
 */
struct kmemdump_entry *kmemdump_entry_make(const struct kmemdump_region *region,
					   struct module *owner)
{
	if (region->virt_addr || region->percpu_addr)
		return make_mapped(region, owner);

	switch (region_intersects(region->phys_addr, region->size, IORESOURCE_SYSTEM_RAM,
				  IORES_DESC_NONE)) {
	case REGION_INTERSECTS:
		return make_mapped(region, owner);
	case REGION_DISJOINT:
		if (region->phys_addr && is_known_memory(region->phys_addr, region->size))
			return make_unmapped(region, owner);
		fallthrough;
	default:
		return ERR_PTR(-EFAULT);
	}
}

static void free_entry_rcu(struct rcu_head *rcu)
{
	free_entry(container_of(rcu, struct kmemdump_entry, rcu));
}

/* Free @entry after an RCU grace period. May sleep. */
void kmemdump_entry_free(struct kmemdump_entry *entry)
{
	/* Only panic code reads through this mapping, and no panic code gets here. */
	if (entry->flags & KMEMDUMP_ENTRY_MAPPED)
		memunmap((void *)entry->pieces[0].virt_addr);
	call_rcu(&entry->rcu, free_entry_rcu);
}

/*
 * Whether the memory of @entry still is where @version of it says, as far as page tables and
 * struct pages show. Any context: takes no lock, and reads nothing else.
 */
bool kmemdump_entry_present(const struct kmemdump_entry *entry, unsigned int version)
{
	const struct kmemdump_piece *pieces;
	unsigned int i, nr;

	/* Only the core can unmap what it has mapped. */
	if (entry->flags & KMEMDUMP_ENTRY_MAPPED)
		return true;
	pieces = kmemdump_entry_copy(entry, version, &nr);
	for (i = 0; i < nr; i++)
		if (!kmemdump_piece_present(&pieces[i]))
			return false;
	return !(entry->held & BIT(version & 1)) || kmemdump_piece_held(pieces);
}

/*
 * An entry is locked while it is updated, and while a backend learns that it comes or goes.
 * The holder can't be preempted and does not sleep; an update does not wait for the lock.
 */
bool kmemdump_entry_trylock(struct kmemdump_entry *entry)
{
	preempt_disable();
	if (!test_and_set_bit_lock(KMEMDUMP_BIT_LOCK, &entry->state))
		return true;
	preempt_enable();
	return false;
}

void kmemdump_entry_lock(struct kmemdump_entry *entry)
{
	while (!kmemdump_entry_trylock(entry))
		cpu_relax();
}

void kmemdump_entry_unlock(struct kmemdump_entry *entry)
{
	clear_bit_unlock(KMEMDUMP_BIT_LOCK, &entry->state);
	preempt_enable();
}

/**
 * kmemdump_entry_id() - the id of a region
 * @entry: region
 *
 * Return: a positive number, the same as long as it is registered.
 */
int kmemdump_entry_id(const struct kmemdump_entry *entry)
{
	return entry->id;
}
EXPORT_SYMBOL_GPL(kmemdump_entry_id);

/**
 * kmemdump_entry_name() - the unique name of a region
 * @entry: region
 *
 * Return: the name; valid as long as @entry is.
 */
const char *kmemdump_entry_name(const struct kmemdump_entry *entry)
{
	return entry->names;
}
EXPORT_SYMBOL_GPL(kmemdump_entry_name);

/**
 * kmemdump_entry_owner() - who registered a region
 * @entry: region
 *
 * Return: the name of a module, or "kernel"; valid as long as @entry is.
 */
const char *kmemdump_entry_owner(const struct kmemdump_entry *entry)
{
	return entry->names + strlen(entry->names) + 1;
}

/**
 * kmemdump_entry_pieces() - where a region is
 * @entry: region
 * @nr: set to the number of pieces
 *
 * A region may be updated at any time; what is returned stays as it is until it is updated
 * once more after that. A backend gets table->update() after each update, and at panic
 * there are none.
 *
 * Context: any.
 * Return: the pieces, in order of CPU and then of virtual address.
 */
const struct kmemdump_piece *kmemdump_entry_pieces(const struct kmemdump_entry *entry,
						   unsigned int *nr)
{
	/* Pairs with the release [A] in kmemdump_entry_update(). */
	return kmemdump_entry_copy(entry, smp_load_acquire(&entry->version), nr);
}
EXPORT_SYMBOL_GPL(kmemdump_entry_pieces);

/**
 * kmemdump_entry_size() - how large a region is
 * @entry: region
 *
 * Context: any.
 * Return: bytes, those of all CPUs if it is per-CPU. Updates do not change it.
 */
size_t kmemdump_entry_size(const struct kmemdump_entry *entry)
{
	const struct kmemdump_piece *pieces;
	unsigned int nr, i, version;
	size_t size;

	/* The pieces must not be in part those of one place, and in part of another one. */
	do {
		/* Pairs with the release [A] in kmemdump_entry_update(). */
		version = smp_load_acquire(&entry->version);
		pieces = kmemdump_entry_copy(entry, version, &nr);
		size = 0;
		for (i = 0; i < nr; i++)
			/* What is read while it changes is thrown away. */
			size += data_race(pieces[i].size);
		/* [A] as well: look at the version again only after all sizes. */
		smp_rmb();
	} while (READ_ONCE(entry->version) != version);
	return size;
}
EXPORT_SYMBOL_GPL(kmemdump_entry_size);
