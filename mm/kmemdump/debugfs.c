// SPDX-License-Identifier: GPL-2.0-only
/*
 * kmemdump: what is registered and who carries it, for the administrator.
 *
 * Copyright (C) 2026 the kmemdump authors
 */
#include <linux/debugfs.h>
#include <linux/init.h>
#include <linux/rculist.h>
#include <linux/seq_file.h>

#include "kmemdump.h"

static const char * const class_names[] = {
	[KMEMDUMP_CLASS_LOG]	= "log",
	[KMEMDUMP_CLASS_CORE]	= "core",
	[KMEMDUMP_CLASS_DRIVER]	= "driver",
};

/* The position is the id, so a listing goes on correctly when regions come and go. */
static void *regions_start(struct seq_file *m, loff_t *pos)
	__acquires(RCU)
{
	unsigned long id = *pos;
	void *entry;

	rcu_read_lock();
	if (!id)
		return SEQ_START_TOKEN;
	entry = xa_find(&kmemdump_table.regions, &id, ULONG_MAX, XA_PRESENT);
	*pos = id;
	return entry;
}

static void *regions_next(struct seq_file *m, void *v, loff_t *pos)
{
	unsigned long id = *pos;
	void *entry;

	entry = xa_find_after(&kmemdump_table.regions, &id, ULONG_MAX, XA_PRESENT);
	*pos = entry ? id : id + 1;
	return entry;
}

static void regions_stop(struct seq_file *m, void *v)
	__releases(RCU)
{
	rcu_read_unlock();
}

static int regions_show(struct seq_file *m, void *v)
{
	struct kmemdump_entry *entry = v;
	unsigned long carriers;
	struct kmemdump_backend *be;

	if (v == SEQ_START_TOKEN) {
		seq_puts(m, "id\tclass\tsize\tsegments\towner\tcarried-by\tname\n");
		return 0;
	}

	seq_printf(m, "%d\t%s\t%zu\t%u\t%s\t", entry->id, class_names[entry->class],
		   entry->size, entry->nr_segments, entry->owner);
	carriers = READ_ONCE(entry->carriers);
	if (!carriers)
		seq_puts(m, "nobody");
	list_for_each_entry_rcu(be, &kmemdump_table.backends, list) {
		if (!(carriers & BIT(be->index)))
			continue;
		carriers &= ~BIT(be->index);
		seq_printf(m, "%s%s", be->name, carriers ? "," : "");
	}
	seq_printf(m, "\t%s\n", entry->name);
	return 0;
}

static const struct seq_operations regions_sops = {
	.start	= regions_start,
	.next	= regions_next,
	.stop	= regions_stop,
	.show	= regions_show,
};
DEFINE_SEQ_ATTRIBUTE(regions);

static int backends_show(struct seq_file *m, void *v)
{
	struct kmemdump_backend *be;

	seq_puts(m, "name\tkind\tlimit\tcarried\trefused\n");
	mutex_lock(&kmemdump_table.lock);
	list_for_each_entry(be, &kmemdump_table.backends, list) {
		if (kmemdump_is_writer(be))
			seq_printf(m, "%s\twriter\t%llu bytes", be->name, be->max_bytes);
		else
			seq_printf(m, "%s\thands-off\t%u slots", be->name, be->max_slots);
		seq_printf(m, "\t%u\t%u\n", kmemdump_table.nr_regions - be->nr_refused,
			   be->nr_refused);
	}
	mutex_unlock(&kmemdump_table.lock);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(backends);

static int __init kmemdump_debugfs_init(void)
{
	struct dentry *dir = debugfs_create_dir("kmemdump", NULL);

	debugfs_create_file("regions", 0400, dir, NULL, &regions_fops);
	debugfs_create_file("backends", 0400, dir, NULL, &backends_fops);
	return 0;
}
late_initcall(kmemdump_debugfs_init);
