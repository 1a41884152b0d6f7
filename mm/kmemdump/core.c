// SPDX-License-Identifier: GPL-2.0-only
/*
 * kmemdump: registration, ids and names.
 *
 * Copyright (C) 2026 the kmemdump authors
 */
#define pr_fmt(fmt) "kmemdump: " fmt

#include <linux/ctype.h>
#include <linux/export.h>
#include <linux/jhash.h>
#include <linux/slab.h>
#include <linux/string.h>

#include <asm/sections.h>

#include "kmemdump.h"

#include <trace/events/kmemdump.h>

static u32 hash_name(const void *name, u32 len, u32 seed)
{
	return jhash(name, strlen(name), seed);
}

static u32 hash_entry(const void *entry, u32 len, u32 seed)
{
	return hash_name(((const struct kmemdump_entry *)entry)->names, len, seed);
}

static int compare_name(struct rhashtable_compare_arg *arg, const void *entry)
{
	return strcmp(arg->key, ((const struct kmemdump_entry *)entry)->names);
}

static const struct rhashtable_params name_params = {
	.head_offset		= offsetof(struct kmemdump_entry, node),
	.hashfn			= hash_name,
	.obj_hashfn		= hash_entry,
	.obj_cmpfn		= compare_name,
	.automatic_shrinking	= true,
};

/* Whether the size and the addresses of @region make sense: 0 or a negative errno. */
int kmemdump_check_place(const struct kmemdump_region *region)
{
	uintptr_t virt = (uintptr_t)region->virt_addr;

	if (!region->size)
		return -EINVAL;
	if (region->percpu_addr && (region->virt_addr || region->phys_addr))
		return -EINVAL;
	if (virt + (region->size - 1) < virt ||
	    region->phys_addr + (region->size - 1) < region->phys_addr)
		return -EOVERFLOW;
	return 0;
}

static int check_region(const struct kmemdump_region *region)
{
	size_t len, i;

	if (!region || !region->name)
		return -EINVAL;
	if (region->id < 0 || region->id >= KMEMDUMP_ID_AUTO)
		return -EINVAL;
	if (region->priority < KMEMDUMP_PRIORITY_LOW || region->priority > KMEMDUMP_PRIORITY_HIGH)
		return -EINVAL;

	len = strnlen(region->name, KMEMDUMP_NAME_LEN);
	if (!len)
		return -EINVAL;
	if (len == KMEMDUMP_NAME_LEN)
		return -ENAMETOOLONG;

	/* Names end up in terminals and in file names. */
	for (i = 0; i < len; i++)
		if (!isascii(region->name[i]) || !isprint(region->name[i]))
			return -EINVAL;

	return kmemdump_check_place(region);
}

/* How much the region of @entry matters, by its class and the provider's @priority. */
static enum kmemdump_order order_of(const struct kmemdump_entry *entry,
				    enum kmemdump_priority priority)
{
	switch (entry->class) {
	case KMEMDUMP_CLASS_LOG:
		return KMEMDUMP_ORDER_LOG;
	case KMEMDUMP_CLASS_ADMIN:
		return KMEMDUMP_ORDER_HIGH;
	case KMEMDUMP_CLASS_DRIVER:
		return priority == KMEMDUMP_PRIORITY_HIGH ? KMEMDUMP_ORDER_HIGH :
		       priority == KMEMDUMP_PRIORITY_LOW ? KMEMDUMP_ORDER_LOW :
							   KMEMDUMP_ORDER_NORMAL;
	}
	if (entry->flags & KMEMDUMP_ENTRY_CPU)
		return KMEMDUMP_ORDER_PERCPU;
	return __is_kernel(entry->pieces[0].virt_addr) ? KMEMDUMP_ORDER_IMAGE :
							 KMEMDUMP_ORDER_REST;
}

/* The region of this name, or NULL. With the lock of @table held. */
struct kmemdump_entry *kmemdump_find(struct kmemdump_table *table, const char *name)
{
	lockdep_assert_held(&table->lock);

	if (!table->names_ready)
		return NULL;
	return rhashtable_lookup_fast(&table->names, name, name_params);
}

static int insert_name(struct kmemdump_table *table, struct kmemdump_entry *entry)
{
	int ret;

	/* Some providers register before any initcall could set this up. */
	if (!table->names_ready) {
		ret = rhashtable_init(&table->names, &name_params);
		if (ret)
			return ret;
		table->names_ready = true;
	}
	return rhashtable_lookup_insert_key(&table->names, entry->names, &entry->node,
					    name_params);
}

static int insert_id(struct kmemdump_table *table, struct kmemdump_entry *entry, int id)
{
	u32 new_id;
	int ret;

	entry->id = id;
	if (id) {
		ret = xa_insert(&table->ids, id, entry, GFP_KERNEL);
		return ret == -EBUSY ? -EEXIST : ret;
	}

	/*
	 * The entry has to have its id before code that takes no lock can find it, so
	 * reserve the id first, and store the entry then. Ids are given out in a cycle: the
	 * last owner of an id might still use it for a moment.
	 */
	ret = xa_alloc_cyclic(&table->ids, &new_id, NULL,
			      XA_LIMIT(KMEMDUMP_ID_AUTO, INT_MAX), &table->next_id, GFP_KERNEL);
	if (ret < 0)
		return ret;
	entry->id = new_id;
	xa_store(&table->ids, new_id, entry, GFP_KERNEL);
	return 0;
}

static int insert_entry(struct kmemdump_table *table, struct kmemdump_entry *entry, int id)
{
	int ret;

	lockdep_assert_held(&table->lock);

	ret = insert_name(table, entry);
	if (ret)
		return ret;

	/* The image has to have room for every region that is in the list. */
	ret = kmemdump_backends_reserve(table, table->nr_regions + 1,
					table->nr_pieces + entry->max_pieces);
	if (!ret)
		ret = insert_id(table, entry, id);
	if (ret) {
		rhashtable_remove_fast(&table->names, &entry->node, name_params);
		return ret;
	}

	list_add_tail(&entry->list, &table->entries);
	table->nr_regions++;
	table->nr_pieces += entry->max_pieces;
	trace_kmemdump_register(entry);
	kmemdump_backends_add(table, entry);
	return 0;
}

/*
 * Add @region to @table. @flags are those of struct kmemdump_entry. Process
 * context, may sleep. The errors are those of __kmemdump_register_region().
 */
int kmemdump_add(struct kmemdump_table *table, struct kmemdump_region *region,
		 struct module *owner, enum kmemdump_class class, u8 flags)
{
	struct kmemdump_entry *entry;
	int ret;

	ret = check_region(region);
	if (ret)
		return ret;

	entry = kmemdump_entry_make(region, owner);
	if (IS_ERR(entry))
		return PTR_ERR(entry);
	entry->class = class;
	entry->flags |= flags;
	entry->order = order_of(entry, region->priority);

	mutex_lock(&table->lock);
	ret = insert_entry(table, entry, region->id);
	if (!ret)
		region->id = entry->id;
	mutex_unlock(&table->lock);
	if (ret)
		kmemdump_entry_free(entry);
	return ret;
}

/* Take @entry out of @table, whose lock is held, and free it after an RCU grace period. */
void kmemdump_remove_entry(struct kmemdump_table *table, struct kmemdump_entry *entry)
{
	lockdep_assert_held(&table->lock);

	trace_kmemdump_unregister(entry);
	kmemdump_backends_remove(table, entry);
	list_del(&entry->list);
	xa_erase(&table->ids, entry->id);
	rhashtable_remove_fast(&table->names, &entry->node, name_params);
	table->nr_regions--;
	table->nr_pieces -= entry->max_pieces;
	kmemdump_entry_free(entry);
}

/* Whether @entry was registered as @name: devm puts the name of the device before it. */
bool kmemdump_is_named(const struct kmemdump_entry *entry, const char *name)
{
	const char *full = entry->names;
	size_t full_len = strlen(full), len = strlen(name);

	if (len < full_len && full[full_len - len - 1] == ':')
		full += full_len - len;
	return !strcmp(full, name);
}

/*
 * Take the region with the id and name of @region out of @table. If the core chose the id, set
 * it to 0, so that @region can be registered again. Process context, may sleep.
 */
int kmemdump_remove(struct kmemdump_table *table, struct kmemdump_region *region)
{
	struct kmemdump_entry *entry;

	if (!region || !region->name || region->id <= 0)
		return -EINVAL;

	mutex_lock(&table->lock);
	entry = xa_load(&table->ids, region->id);
	if (!entry || !kmemdump_is_named(entry, region->name)) {
		mutex_unlock(&table->lock);
		return -ENOENT;
	}
	kmemdump_remove_entry(table, entry);
	mutex_unlock(&table->lock);

	if (region->id >= KMEMDUMP_ID_AUTO)
		region->id = 0;
	return 0;
}

/* Register for the kernel itself. Process context, may sleep. */
int kmemdump_add_core_region(const char *name, const void *addr, size_t size,
			     enum kmemdump_class class, u8 flags)
{
	struct kmemdump_region region = {
		.name = name, .virt_addr = addr, .size = size,
	};
	int ret = kmemdump_add(&kmemdump_table, &region, NULL, class, flags);

	if (ret)
		pr_warn("region %s of the kernel left out: %pe\n", name, ERR_PTR(ret));
	return ret;
}

/* Register for a driver. A warning names @caller if that is refused. */
int kmemdump_register(struct kmemdump_region *region, struct module *owner, void *caller)
{
	int ret = kmemdump_add(&kmemdump_table, region, owner, KMEMDUMP_CLASS_DRIVER, 0);

	if (ret)
		pr_warn_ratelimited("refused a region from %pS: %pe\n", caller, ERR_PTR(ret));
	return ret;
}

/**
 * __kmemdump_register_region() - have memory carried across a crash
 * @region: what to carry; its @id is filled in if it was 0
 * @owner: module that registers, %NULL for the kernel itself
 *
 * Use kmemdump_register_region(), which passes the calling module. The memory
 * must stay valid until kmemdump_unregister_region(). A byte of each page is read
 * here, to see that it is there; what the region holds is used only at the crash.
 *
 * What a module has left registered is removed when the module goes, with a
 * warning.
 *
 * Context: process context, may sleep.
 * Return: 0, or
 *
 * * %-EINVAL: no region, no name or an unprintable one, size 0, an unknown
 *   priority, an id below 0 or from %KMEMDUMP_ID_AUTO on, addresses of two
 *   kinds, or @virt_addr and @phys_addr that disagree
 * * %-ENAMETOOLONG: the name has %KMEMDUMP_NAME_LEN or more characters
 * * %-EOVERFLOW: the range wraps around the end of the address space
 * * %-EFAULT: (part of) the range is no kernel memory that is mapped and in
 *   use: a user-space or freed address, a mapping of device memory, physical
 *   addresses where the kernel knows of nothing, or partly of RAM
 * * %-EEXIST: the id or the name is taken
 * * %-ENOMEM: out of memory, or out of address space to map @phys_addr
 */
int __kmemdump_register_region(struct kmemdump_region *region, struct module *owner)
{
	return kmemdump_register(region, owner, __builtin_return_address(0));
}
EXPORT_SYMBOL_GPL(__kmemdump_register_region);

/**
 * kmemdump_unregister_region() - stop carrying a region
 * @region: the struct that was registered, or another with its id and name
 *
 * When this returns, the memory may be freed. An id that the core gave is set
 * back to 0.
 *
 * Context: process context, may sleep.
 * Return: 0; %-EINVAL if @region has no name or id; %-ENOENT if no region of
 * this id and name is registered.
 */
int kmemdump_unregister_region(struct kmemdump_region *region)
{
	return kmemdump_remove(&kmemdump_table, region);
}
EXPORT_SYMBOL_GPL(kmemdump_unregister_region);

/**
 * kmemdump_region_id() - the id of a region
 * @name: name of the region
 *
 * For callers that do not keep the struct that they registered. The region must not
 * be unregistered by someone else as long as the id is used.
 *
 * Context: process context, may sleep.
 * Return: the id, which is positive; %-EINVAL without a name; %-ENOENT if no region
 * of this name is registered.
 */
int kmemdump_region_id(const char *name)
{
	const struct kmemdump_entry *entry;
	int id;

	if (!name)
		return -EINVAL;
	mutex_lock(&kmemdump_table.lock);
	entry = kmemdump_find(&kmemdump_table, name);
	id = entry ? entry->id : -ENOENT;
	mutex_unlock(&kmemdump_table.lock);
	return id;
}
EXPORT_SYMBOL_GPL(kmemdump_region_id);
