// SPDX-License-Identifier: GPL-2.0-only
/*
 * kmemdump through firmware: the files of FADump in /sys/kernel/fadump.
 *
 * Administrators and kdump-tools know these files: see
 * Documentation/ABI/testing/sysfs-kernel-fadump. Here they have the same meaning.
 *
 * Copyright (C) 2026 the kmemdump authors
 */
#include <linux/cleanup.h>
#include <linux/kobject.h>
#include <linux/kstrtox.h>
#include <linux/sysfs.h>

#include "fadump.h"

static struct kobject *kobj;

static ssize_t enabled_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%d\n", fadump.enabled);
}

static ssize_t mem_reserved_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf)
{
	guard(mutex)(&fadump.lock);
	return sysfs_emit(buf, "%llu\n", fadump.head ? fadump.head->size : 0);
}

/* The udev rules of kdump-tools do not register anew after hotplug of memory if this is 1. */
static ssize_t hotplug_ready_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "1\n");
}

static ssize_t registered_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%d\n", fadump.registered);
}

static ssize_t registered_store(struct kobject *kobj, struct kobj_attribute *attr,
				const char *buf, size_t count)
{
	int input, ret;

	if (!fadump.enabled || fadump.waiting)
		return -EPERM;
	if (kstrtoint(buf, 0, &input) || input < 0 || input > 1)
		return -EINVAL;
	/* release_mem_store() may have failed to attach it. */
	ret = input && fadump.head ? fadump_attach() : 0;
	if (ret)
		return ret;

	guard(mutex)(&fadump.lock);
	return (input ? fadump_register() : fadump_unregister()) ?: count;
}

static ssize_t release_mem_store(struct kobject *kobj, struct kobj_attribute *attr,
				 const char *buf, size_t count)
{
	int input, ret;

	if (!fadump.waiting)
		return -EPERM;
	if (kstrtoint(buf, 0, &input) || input != 1)
		return -EINVAL;

	mutex_lock(&fadump.lock);
	ret = fadump.waiting ? fadump_release() : -EPERM;
	mutex_unlock(&fadump.lock);
	if (!ret && fadump.head)
		ret = fadump_attach();
	return ret ?: count;
}

static struct kobj_attribute enabled_attr = __ATTR_RO(enabled);
static struct kobj_attribute mem_reserved_attr = __ATTR_RO(mem_reserved);
static struct kobj_attribute hotplug_ready_attr = __ATTR_RO(hotplug_ready);
static struct kobj_attribute registered_attr = __ATTR_RW(registered);
static struct kobj_attribute release_mem_attr = __ATTR_WO(release_mem);

static struct attribute *attrs[] = {
	&enabled_attr.attr,
	&mem_reserved_attr.attr,
	&hotplug_ready_attr.attr,
	&registered_attr.attr,
	&release_mem_attr.attr,
	NULL
};

static umode_t visible(struct kobject *kobj, struct attribute *attr, int n)
{
	return attr == &release_mem_attr.attr && !fadump.waiting ? 0 : attr->mode;
}

static const struct attribute_group group = {
	.attrs		= attrs,
	.is_visible	= visible,
};

/* The old names in /sys/kernel are links. */
static int make_link(const char *file, const char *name)
{
	return compat_only_sysfs_link_entry_to_kobj(kernel_kobj, kobj, file, name);
}

int __init fadump_sysfs_init(void)
{
	int ret;

	kobj = kobject_create_and_add("fadump", kernel_kobj);
	if (!kobj)
		return -ENOMEM;
	ret = sysfs_create_group(kobj, &group);
	if (ret)
		return ret;
	ret = make_link("enabled", "fadump_enabled");
	ret = make_link("registered", "fadump_registered") ?: ret;
	if (fadump.waiting)
		ret = make_link("release_mem", "fadump_release_mem") ?: ret;
	return ret;
}
