// SPDX-License-Identifier: GPL-2.0-only
/*
 * kmemdump: registration, ids and names.
 *
 * Copyright (C) 2026 the kmemdump authors
 */
#define pr_fmt(fmt) "kmemdump: " fmt

#include <linux/ctype.h>
#include <linux/export.h>
#include <linux/rculist.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "kmemdump.h"

struct kmemdump_table kmemdump_table = {
	.lock		= __MUTEX_INITIALIZER(kmemdump_table.lock),
	.regions	= XARRAY_INIT(kmemdump_table.regions, XA_FLAGS_ALLOC),
	.names		= RB_ROOT,
	.backends	= LIST_HEAD_INIT(kmemdump_table.backends),
};

static int check_region(const struct kmemdump_region *region)
{
	uintptr_t start;
	size_t len, i;

	if (!region || !region->name || !region->size)
		return -EINVAL;
	if (region->id < 0 || region->id >= KMEMDUMP_ID_AUTO)
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

	start = (uintptr_t)region->virt_addr;
	if (start + (region->size - 1) < start ||
	    region->phys_addr + (region->size - 1) < region->phys_addr)
		return -EOVERFLOW;

	return 0;
}

static struct kmemdump_entry *find_name(struct kmemdump_table *table, const char *name,
					struct rb_node **parent, struct rb_node ***link)
{
	struct rb_node **p = &table->names.rb_node;

	*parent = NULL;
	while (*p) {
		struct kmemdump_entry *entry = rb_entry(*p, struct kmemdump_entry, node);
		int cmp = strcmp(name, entry->name);

		if (!cmp)
			return entry;
		*parent = *p;
		p = cmp < 0 ? &(*p)->rb_left : &(*p)->rb_right;
	}
	*link = p;
	return NULL;
}

static int insert_entry(struct kmemdump_table *table, struct kmemdump_entry *entry, int id)
{
	struct rb_node *parent, **link;
	int ret;

	lockdep_assert_held(&table->lock);

	if (find_name(table, entry->name, &parent, &link))
		return -EEXIST;

	/* Room at panic comes first: a region in the list must fit the image. */
	ret = kmemdump_backends_reserve(table, table->nr_regions + 1,
					table->nr_segments + entry->nr_segments);
	if (ret)
		return ret;

	entry->id = id;
	if (id) {
		ret = xa_insert(&table->regions, id, entry, GFP_KERNEL);
		if (ret == -EBUSY)
			ret = -EEXIST;
	} else {
		u32 new_id;

		/*
		 * The id has to be in the entry before a lockless reader finds
		 * it there, so reserve first and store then.
		 */
		ret = xa_alloc(&table->regions, &new_id, NULL,
			       XA_LIMIT(KMEMDUMP_ID_AUTO, INT_MAX), GFP_KERNEL);
		if (!ret) {
			entry->id = new_id;
			xa_store(&table->regions, new_id, entry, GFP_KERNEL);
		}
	}
	if (ret)
		return ret;

	rb_link_node(&entry->node, parent, link);
	rb_insert_color(&entry->node, &table->names);
	table->nr_regions++;
	table->nr_segments += entry->nr_segments;
	kmemdump_backends_add(table, entry);
	return 0;
}

/*
 * Add @region to @table. Process context, may sleep. The errors are those of
 * __kmemdump_register_region().
 */
int kmemdump_add(struct kmemdump_table *table, struct kmemdump_region *region,
		 struct module *owner, enum kmemdump_class class)
{
	struct kmemdump_entry *entry;
	int ret;

	ret = check_region(region);
	if (ret)
		return ret;

	entry = kmemdump_translate(region, owner);
	if (IS_ERR(entry))
		return PTR_ERR(entry);
	entry->class = class;

	mutex_lock(&table->lock);
	ret = insert_entry(table, entry, region->id);
	mutex_unlock(&table->lock);
	if (ret) {
		kvfree(entry);
		return ret;
	}

	region->id = entry->id;
	return 0;
}

/*
 * Take the region with the id and name of @region out of @table. An id that the
 * core gave goes back: @region can be registered again. Process context, may
 * sleep.
 */
int kmemdump_remove(struct kmemdump_table *table, struct kmemdump_region *region)
{
	struct kmemdump_entry *entry;

	if (!region || !region->name || region->id <= 0)
		return -EINVAL;

	mutex_lock(&table->lock);
	entry = xa_load(&table->regions, region->id);
	if (!entry || strcmp(entry->name, region->name)) {
		mutex_unlock(&table->lock);
		return -ENOENT;
	}
	kmemdump_backends_remove(table, entry);
	xa_erase(&table->regions, entry->id);
	rb_erase(&entry->node, &table->names);
	table->nr_regions--;
	table->nr_segments -= entry->nr_segments;
	mutex_unlock(&table->lock);

	if (region->id >= KMEMDUMP_ID_AUTO)
		region->id = 0;
	kvfree_rcu(entry, rcu);
	return 0;
}

/**
 * __kmemdump_register_region() - have memory carried across a crash
 * @region: what to carry; its @id is filled in if it was 0
 * @owner: module that registers, %NULL for the kernel itself
 *
 * Use kmemdump_register_region(), which passes the calling module. The memory
 * must stay valid until kmemdump_unregister_region(). What it holds is read
 * only at the crash.
 *
 * Context: process context, may sleep.
 * Return: 0, or
 *
 * * %-EINVAL: no region, no name or an unprintable one, size 0, an id below 0 or
 *   from %KMEMDUMP_ID_AUTO on, or @virt_addr and @phys_addr that disagree
 * * %-ENAMETOOLONG: the name has %KMEMDUMP_NAME_LEN or more characters
 * * %-EOVERFLOW: the range wraps around the end of the address space
 * * %-EFAULT: (part of) the range is no kernel memory that is mapped and in
 *   use: a user-space or freed address, device registers
 * * %-EEXIST: the id or the name is taken
 * * %-ENOMEM: out of memory
 */
int __kmemdump_register_region(struct kmemdump_region *region, struct module *owner)
{
	int ret = kmemdump_add(&kmemdump_table, region, owner, KMEMDUMP_CLASS_DRIVER);

	if (ret)
		pr_warn_ratelimited("refused a region from %pS: %pe\n",
				    __builtin_return_address(0), ERR_PTR(ret));
	return ret;
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
