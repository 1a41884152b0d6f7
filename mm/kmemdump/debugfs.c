// SPDX-License-Identifier: GPL-2.0-only
/*
 * kmemdump: which regions there are and which backend carries them, for the administrator.
 *
 * Copyright (C) 2026 the kmemdump authors
 */
#include <linux/debugfs.h>
#include <linux/init.h>
#include <linux/rculist.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#include "kmemdump.h"

/* The position is the id, so a listing goes on correctly when regions come and go. */
static void *regions_start(struct seq_file *m, loff_t *pos)
{
	unsigned long id = *pos;
	void *entry;

	/* No owner can go away while a listing holds the lock. */
	mutex_lock(&kmemdump_table.lock);
	if (!id)
		return SEQ_START_TOKEN;
	entry = xa_find(&kmemdump_table.ids, &id, ULONG_MAX, XA_PRESENT);
	*pos = id;
	return entry;
}

static void *regions_next(struct seq_file *m, void *v, loff_t *pos)
{
	unsigned long id = *pos;
	void *entry;

	entry = xa_find_after(&kmemdump_table.ids, &id, ULONG_MAX, XA_PRESENT);
	*pos = entry ? id : id + 1;
	return entry;
}

static void regions_stop(struct seq_file *m, void *v)
{
	mutex_unlock(&kmemdump_table.lock);
}

static int regions_show(struct seq_file *m, void *v)
{
	struct kmemdump_entry *entry = v;
	struct kmemdump_backend *be;
	bool carried = false;
	unsigned int nr;

	if (v == SEQ_START_TOKEN) {
		seq_puts(m, "id\tclass\tsize\tpieces\towner\tcarried-by\tname\n");
		return 0;
	}

	kmemdump_entry_pieces(entry, &nr);
	seq_printf(m, "%d\t%s\t%zu\t%u\t%s\t", entry->id, kmemdump_class_name(entry->class),
		   kmemdump_entry_size(entry), nr, kmemdump_entry_owner(entry));
	list_for_each_entry(be, &kmemdump_table.backends, list) {
		if (kmemdump_reason(be, entry) != KMEMDUMP_CARRIED)
			continue;
		seq_printf(m, "%s%s", carried ? "," : "", be->name);
		carried = true;
	}
	seq_printf(m, "%s\t%s\n", carried ? "" : "nobody", kmemdump_entry_name(entry));
	return 0;
}

static const struct seq_operations regions_sops = {
	.start	= regions_start,
	.next	= regions_next,
	.stop	= regions_stop,
	.show	= regions_show,
};
DEFINE_SEQ_ATTRIBUTE(regions);

static void show_reason(struct seq_file *m, int reason)
{
	switch (reason) {
	case KMEMDUMP_FILTERED:
		seq_puts(m, "its class is not meant for this backend");
		break;
	case KMEMDUMP_STALE:
		seq_puts(m, "the backend could not follow its last update");
		break;
	case -ENOSPC:
		seq_puts(m, "no room");
		break;
	case -ENAMETOOLONG:
		seq_puts(m, "its name is too long");
		break;
	default:
		seq_printf(m, "error %pe", ERR_PTR(reason));
	}
}

static int not_carried_show(struct seq_file *m, void *v)
{
	struct kmemdump_entry *entry = v;
	struct kmemdump_backend *be;

	if (v == SEQ_START_TOKEN) {
		seq_puts(m, "backend\tid\tname\treason\n");
		return 0;
	}

	list_for_each_entry(be, &kmemdump_table.backends, list) {
		int reason = kmemdump_reason(be, entry);

		if (reason == KMEMDUMP_CARRIED)
			continue;
		seq_printf(m, "%s\t%d\t%s\t", be->name, entry->id, kmemdump_entry_name(entry));
		show_reason(m, reason);
		seq_putc(m, '\n');
	}
	return 0;
}

static const struct seq_operations not_carried_sops = {
	.start	= regions_start,
	.next	= regions_next,
	.stop	= regions_stop,
	.show	= not_carried_show,
};
DEFINE_SEQ_ATTRIBUTE(not_carried);

static int backends_show(struct seq_file *m, void *v)
{
	struct kmemdump_backend *be;

	seq_puts(m, "name\tkind\tlimit\tcarried\trefused\tfiltered\n");
	mutex_lock(&kmemdump_table.lock);
	list_for_each_entry(be, &kmemdump_table.backends, list) {
		unsigned int stale = atomic_read(&be->carrier->nr_stale);

		if (be->writer)
			seq_printf(m, "%s\twriter\t%llu bytes", be->name, be->max_bytes);
		else
			seq_printf(m, "%s\tfirmware\t%u slots", be->name, be->max_slots);
		seq_printf(m, "\t%u\t%u\t%u\n", be->carrier->nr_carried - stale,
			   be->carrier->nr_refused + stale, be->carrier->nr_filtered);
	}
	mutex_unlock(&kmemdump_table.lock);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(backends);

#ifdef CONFIG_KALLSYMS
static int symbols_show(struct seq_file *m, void *v)
{
	struct kmemdump_entry *entry;
	unsigned long id;

	mutex_lock(&kmemdump_table.lock);
	xa_for_each(&kmemdump_table.ids, id, entry)
		if (entry->class == KMEMDUMP_CLASS_ADMIN)
			seq_printf(m, "%s\n", kmemdump_entry_name(entry));
	mutex_unlock(&kmemdump_table.lock);
	return 0;
}

static int symbols_open(struct inode *inode, struct file *file)
{
	return single_open(file, symbols_show, NULL);
}

/* "symbol" or "symbol+size" adds a region, "-symbol" removes one. */
static ssize_t symbols_write(struct file *file, const char __user *buf, size_t len, loff_t *pos)
{
	char *text, *word;
	int ret;

	if (len > 2 * KMEMDUMP_NAME_LEN)
		return -ENAMETOOLONG;
	text = memdup_user_nul(buf, len);
	if (IS_ERR(text))
		return PTR_ERR(text);

	word = strim(text);
	if (*word == '-')
		ret = kmemdump_remove_symbol(&kmemdump_table, word + 1);
	else
		ret = kmemdump_add_symbol(&kmemdump_table, word);
	kfree(text);
	return ret ?: len;
}

static const struct file_operations symbols_fops = {
	.owner		= THIS_MODULE,
	.open		= symbols_open,
	.read		= seq_read,
	.write		= symbols_write,
	.llseek		= seq_lseek,
	.release	= single_release,
};
#endif

static int __init kmemdump_debugfs_init(void)
{
	struct dentry *dir = debugfs_create_dir("kmemdump", NULL);

	debugfs_create_file("regions", 0400, dir, NULL, &regions_fops);
	debugfs_create_file("not_carried", 0400, dir, NULL, &not_carried_fops);
	debugfs_create_file("backends", 0400, dir, NULL, &backends_fops);
#ifdef CONFIG_KALLSYMS
	debugfs_create_file("symbols", 0600, dir, NULL, &symbols_fops);
#endif
	return 0;
}
late_initcall(kmemdump_debugfs_init);
