// SPDX-License-Identifier: GPL-2.0-only
/*
 * kmemdump: regions that go because their driver, module or memory goes.
 *
 * Copyright (C) 2026 the kmemdump authors
 */
#define pr_fmt(fmt) "kmemdump: " fmt

#include <linux/device.h>
#include <linux/export.h>
#include <linux/init.h>
#include <linux/memory.h>
#include <linux/module.h>
#include <linux/notifier.h>
#include <linux/pfn.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "kmemdump.h"

/* A driver */

struct devres_region {
	struct kmemdump_region	region;
	char			name[KMEMDUMP_NAME_LEN];
};

static void release_devres(struct device *dev, void *res)
{
	struct devres_region *dr = res;

	/* The driver may have unregistered it by hand. */
	kmemdump_unregister_region(&dr->region);
}

/*
 * Two devices of a driver register regions of the same name, so the name of the device comes
 * first; only the end of it, if there is not room for all.
 */
static int full_name(char *full, const struct device *dev, const char *name)
{
	size_t len = strlen(dev_name(dev)), name_len = strnlen(name, KMEMDUMP_NAME_LEN), room;

	if (name_len > KMEMDUMP_NAME_LEN - 3)
		return -ENAMETOOLONG;
	room = KMEMDUMP_NAME_LEN - 2 - name_len;
	snprintf(full, KMEMDUMP_NAME_LEN, "%s:%s", dev_name(dev) + max(len, room) - room, name);
	return 0;
}

/**
 * __devm_kmemdump_register_region() - register a region until a driver unbinds
 * @dev: device whose driver registers
 * @region: what to carry; its @id is filled in if it was 0
 * @owner: module that registers, %NULL for the kernel itself
 *
 * Use devm_kmemdump_register_region(), which passes the calling module. The name in
 * dumps, and for kmemdump_region_id(), is "device:name"; kmemdump_update_region() and
 * kmemdump_unregister_region() take @region as it is. The region
 * is unregistered when the driver unbinds, also after a probe that failed; devm_
 * memory that was allocated before outlives it.
 *
 * Context: process context, may sleep.
 * Return: 0, or an error of __kmemdump_register_region().
 */
int __devm_kmemdump_register_region(struct device *dev, struct kmemdump_region *region,
				    struct module *owner)
{
	struct devres_region *dr;
	int ret;

	if (!region || !region->name || !*region->name)
		return -EINVAL;

	dr = devres_alloc(release_devres, sizeof(*dr), GFP_KERNEL);
	if (!dr)
		return -ENOMEM;
	dr->region = *region;
	dr->region.name = dr->name;
	ret = full_name(dr->name, dev, region->name);
	ret = ret ?: kmemdump_register(&dr->region, owner, __builtin_return_address(0));
	if (ret) {
		devres_free(dr);
		return ret;
	}
	region->id = dr->region.id;
	devres_add(dev, dr);
	return 0;
}
EXPORT_SYMBOL_GPL(__devm_kmemdump_register_region);

/* A module */

/*
 * Remove all regions that @mod owns. Warn once of those that it should have removed itself, and
 * return their number. May sleep.
 */
unsigned int kmemdump_remove_module(struct kmemdump_table *table, struct module *mod)
{
	char first[KMEMDUMP_NAME_LEN];
	struct kmemdump_entry *entry, *next;
	unsigned int left = 0;

	mutex_lock(&table->lock);
	list_for_each_entry_safe(entry, next, &table->entries, list) {
		if (entry->owner != mod)
			continue;
		if (!(entry->flags & KMEMDUMP_ENTRY_SILENT) && !left++)
			strscpy(first, entry->names);
		kmemdump_remove_entry(table, entry);
	}
	mutex_unlock(&table->lock);

	if (left)
		pr_warn("module %s goes and has left %u regions registered, removed: %s%s\n",
			module_name(mod), left, first, left > 1 ? ", ..." : "");
	return left;
}

#ifdef CONFIG_MODULES
static int module_changes(struct notifier_block *nb, unsigned long action, void *data)
{
	if (action == MODULE_STATE_GOING)
		kmemdump_remove_module(&kmemdump_table, data);
	return NOTIFY_DONE;
}

static struct notifier_block module_nb = {
	.notifier_call	= module_changes,
};

static int __init follow_modules(void)
{
	return register_module_notifier(&module_nb);
}
#else
static int __init follow_modules(void)
{
	return 0;
}
#endif

/* Memory */

static bool overlaps(struct kmemdump_entry *entry, unsigned long start_pfn,
		     unsigned long nr_pages)
{
	const struct kmemdump_piece *pieces;
	bool found = false;
	unsigned int nr, i;

	/* An update must not change the pieces meanwhile. */
	kmemdump_entry_lock(entry);
	pieces = kmemdump_entry_pieces(entry, &nr);
	for (i = 0; i < nr && !found; i++)
		found = PHYS_PFN(pieces[i].phys_addr) < start_pfn + nr_pages &&
			PHYS_PFN(pieces[i].phys_addr + pieces[i].size - 1) >= start_pfn;
	kmemdump_entry_unlock(entry);
	return found;
}

/*
 * Remove all regions that have a page of these, and warn of them once. Returns how
 * many they were. May sleep.
 */
unsigned int kmemdump_remove_range(struct kmemdump_table *table, unsigned long start_pfn,
				   unsigned long nr_pages)
{
	char first[KMEMDUMP_NAME_LEN];
	struct kmemdump_entry *entry, *next;
	unsigned int gone = 0;

	mutex_lock(&table->lock);
	list_for_each_entry_safe(entry, next, &table->entries, list) {
		if (!overlaps(entry, start_pfn, nr_pages))
			continue;
		if (!gone++)
			strscpy(first, entry->names);
		kmemdump_remove_entry(table, entry);
	}
	mutex_unlock(&table->lock);

	if (gone)
		pr_warn("memory goes offline and takes %u regions along: %s%s\n",
			gone, first, gone > 1 ? ", ..." : "");
	return gone;
}

/*
 * Memory goes offline only when nothing uses it any more, so the provider of a region in it has
 * freed it. Until MEM_OFFLINE the kernel may still decide to keep the memory.
 */
static int __meminit memory_changes(struct notifier_block *nb, unsigned long action, void *data)
{
	struct memory_notify *range = data;

	if (action == MEM_OFFLINE)
		kmemdump_remove_range(&kmemdump_table, range->start_pfn, range->nr_pages);
	return NOTIFY_OK;
}

static int __init kmemdump_lifetime_init(void)
{
	int ret;

	ret = hotplug_memory_notifier(memory_changes, DEFAULT_CALLBACK_PRI);
	return ret ?: follow_modules();
}
core_initcall(kmemdump_lifetime_init);
