// SPDX-License-Identifier: GPL-2.0-only
/*
 * kmemdump: what is registered and who carries it, for the administrator.
 *
 * Copyright (C) 2026 the kmemdump authors
 */
#include <linux/capability.h>
#include <linux/debugfs.h>
#include <linux/init.h>
#include <linux/memory_hotplug.h>
#include <linux/preempt.h>
#include <linux/rculist.h>
#include <linux/security.h>
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

	/* An owner can't go away under a listing that holds the lock. */
	mutex_lock(&kmemdump_table.lock);
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
		seq_puts(m, "id\tclass\tsize\tsegments\towner\tcarried-by\tname\n");
		return 0;
	}

	kmemdump_entry_segments(entry, &nr);
	seq_printf(m, "%d\t%s\t%zu\t%u\t%s\t", entry->id, kmemdump_class_name(entry->class),
		   kmemdump_entry_size(entry), nr, kmemdump_entry_owner(entry));
	list_for_each_entry(be, &kmemdump_table.backends, list) {
		if (!kmemdump_carried(entry, be))
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
		seq_puts(m, "the backend could not follow its last move");
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
		unsigned int stale = atomic_read(&be->nr_stale);

		if (kmemdump_is_writer(be))
			seq_printf(m, "%s\twriter\t%llu bytes", be->name, be->max_bytes);
		else
			seq_printf(m, "%s\thands-off\t%u slots", be->name, be->max_slots);
		seq_printf(m, "\t%u\t%u\t%u\n", be->nr_carried - stale, be->nr_refused + stale,
			   be->nr_filtered);
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
	xa_for_each(&kmemdump_table.regions, id, entry)
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

/* The core image of the running system. */
struct vmcore {
	struct kmemdump_image	*image;
	void			*head;		/* all before the memory */
	void			*page;
};

static void free_vmcore(struct vmcore *v)
{
	kvfree(v->image);
	kvfree(v->head);
	kfree(v->page);
	kfree(v);
}

static int fill_vmcore(struct vmcore *v)
{
	static struct pt_regs regs;

	lockdep_assert_held(&kmemdump_table.lock);
	v->page = kmalloc(PAGE_SIZE, GFP_KERNEL);
	v->image = kmemdump_image_alloc(kmemdump_table.nr_regions,
					kmemdump_table.nr_segments + KMEMDUMP_LOG_LOADS +
					KMEMDUMP_MAX_FOUND);
	if (!v->page || !v->image)
		return -ENOMEM;

	v->image->live = true;
	migrate_disable();
	kmemdump_image_build(v->image, &kmemdump_table, NULL, kmemdump_save_regs(&regs));
	migrate_enable();

	/* Regions may go once the lock is dropped, and the notes with them. */
	v->head = kvmalloc(v->image->data_offset, GFP_KERNEL);
	if (!v->head)
		return -ENOMEM;
	kmemdump_image_read(v->image, 0, v->head, v->image->data_offset);
	return 0;
}

static int vmcore_open(struct inode *inode, struct file *file)
{
	struct vmcore *v;
	int ret;

	/* The same as for /proc/kcore. */
	if (!capable(CAP_SYS_RAWIO))
		return -EPERM;
	ret = security_locked_down(LOCKDOWN_KCORE);
	if (ret)
		return ret;

	v = kzalloc(sizeof(*v), GFP_KERNEL);
	if (!v)
		return -ENOMEM;
	/* The pages that are looked at must not go offline; who takes them waits for us. */
	get_online_mems();
	mutex_lock(&kmemdump_table.lock);
	ret = fill_vmcore(v);
	mutex_unlock(&kmemdump_table.lock);
	put_online_mems();
	if (ret) {
		free_vmcore(v);
		return ret;
	}
	file->private_data = v;
	return 0;
}

static ssize_t vmcore_read(struct file *file, char __user *buf, size_t len, loff_t *pos)
{
	struct vmcore *v = file->private_data;
	u64 head = v->image->data_offset, left;

	if (*pos < head)
		return simple_read_from_buffer(buf, len, pos, v->head, head);
	if (*pos >= v->image->size)
		return 0;
	/* Memory may go meanwhile; then there are zeros. */
	left = v->image->size - *pos;
	len = min3((u64)len, left, (u64)PAGE_SIZE);
	get_online_mems();
	kmemdump_image_read(v->image, *pos, v->page, len);
	put_online_mems();
	if (copy_to_user(buf, v->page, len))
		return -EFAULT;
	*pos += len;
	return len;
}

static loff_t vmcore_llseek(struct file *file, loff_t offset, int whence)
{
	struct vmcore *v = file->private_data;

	return fixed_size_llseek(file, offset, whence, v->image->size);
}

static int vmcore_release(struct inode *inode, struct file *file)
{
	free_vmcore(file->private_data);
	return 0;
}

static const struct file_operations vmcore_fops = {
	.owner		= THIS_MODULE,
	.open		= vmcore_open,
	.read		= vmcore_read,
	.llseek		= vmcore_llseek,
	.release	= vmcore_release,
};

static int __init kmemdump_debugfs_init(void)
{
	struct dentry *dir = debugfs_create_dir("kmemdump", NULL);

	debugfs_create_file("regions", 0400, dir, NULL, &regions_fops);
	debugfs_create_file("not_carried", 0400, dir, NULL, &not_carried_fops);
	debugfs_create_file("backends", 0400, dir, NULL, &backends_fops);
	debugfs_create_file("vmcore", 0400, dir, NULL, &vmcore_fops);
#ifdef CONFIG_KALLSYMS
	debugfs_create_file("symbols", 0600, dir, NULL, &symbols_fops);
#endif
	return 0;
}
late_initcall(kmemdump_debugfs_init);
