// SPDX-License-Identifier: GPL-2.0-only
/*
 * kmemdump: regions that an administrator names by symbol.
 *
 * An administrator registers memory for which no driver does: "symbol" or "symbol+size" in the
 * boot parameter kmemdump.symbols, or written to the file "symbols" in debugfs. User space can
 * read that memory after a crash, so lockdown forbids it.
 *
 * Copyright (C) 2026 the kmemdump authors
 */
#define pr_fmt(fmt) "kmemdump: " fmt

#include <linux/init.h>
#include <linux/kallsyms.h>
#include <linux/kstrtox.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/security.h>
#include <linux/slab.h>
#include <linux/string.h>

#include <asm/sections.h>

#include "kmemdump.h"

#undef MODULE_PARAM_PREFIX
#define MODULE_PARAM_PREFIX "kmemdump."

static char *symbols = "";
module_param(symbols, charp, 0400);

/* What is known of a symbol. */
struct symbol {
	unsigned long	addr;
	unsigned long	size;
	struct module	*owner;		/* with a reference */
};

static int count_symbol(void *data, unsigned long addr)
{
	unsigned int *nr = data;

	(*nr)++;
	return 0;
}

/* Find where a per-CPU symbol ends: at the next one. */
static int find_next(void *data, const char *name, unsigned long addr)
{
	struct symbol *symbol = data;

	if (addr > symbol->addr && addr - symbol->addr < symbol->size)
		symbol->size = addr - symbol->addr;
	return 0;
}

static int get_size(struct symbol *symbol)
{
	unsigned long offset;

	/* Some architectures have per-CPU symbols outside of the range that kallsyms searches. */
	if (kmemdump_is_percpu(symbol->addr, NULL)) {
		symbol->size = (unsigned long)__per_cpu_end - symbol->addr;
		return kallsyms_on_each_symbol(find_next, symbol);
	}
	return kallsyms_lookup_size_offset(symbol->addr, &symbol->size, &offset) ? 0 : -ENODATA;
}

/*
 * Take a reference of the module that @addr is in. A module that is being loaded has none: it
 * may still fail to load, and that does not wait for references.
 */
static int get_module(unsigned long addr, struct module **mod)
{
	int ret = 0;

	*mod = NULL;
#ifdef CONFIG_MODULES
	preempt_disable();
	rcu_read_lock();
	*mod = __module_address(addr);
	if (*mod && ((*mod)->state != MODULE_STATE_LIVE || !try_module_get(*mod)))
		ret = -ENOENT;
	rcu_read_unlock();
	preempt_enable();
#endif
	return ret;
}

/* Find @name, a symbol of the kernel or "module:symbol". */
static int find_symbol(struct symbol *symbol, const char *name)
{
	unsigned int nr = 0;
	int ret;

	kallsyms_on_each_match_symbol(count_symbol, name, &nr);
	if (nr > 1)
		return -ENOTUNIQ;
	/* Several modules may have a symbol of that name, so @name has to name the module. */
	if (!nr && !strchr(name, ':'))
		return -ENOENT;
	symbol->addr = kallsyms_lookup_name(name);
	if (!symbol->addr && !nr)
		return -ENOENT;
	ret = get_module(symbol->addr, &symbol->owner);
	/* A per-CPU variable is not in the memory of its module, so it would not go with that. */
	if (!ret && !nr && !symbol->owner)
		ret = -ENOENT;
	return ret;
}

static int add_symbol(struct kmemdump_table *table, const char *name, const char *size)
{
	struct kmemdump_region region = { .name = name };
	struct symbol symbol;
	int ret;

	ret = find_symbol(&symbol, name);
	if (ret)
		return ret;

	ret = size ? kstrtoul(size, 0, &symbol.size) : get_size(&symbol);
	if (!ret) {
		region.size = symbol.size;
		kmemdump_set_addr(&region, symbol.addr, symbol.owner);
		/* From now on, the region goes when the module does. */
		ret = kmemdump_add(table, &region, symbol.owner, KMEMDUMP_CLASS_ADMIN,
				   KMEMDUMP_ENTRY_SILENT);
	}
	module_put(symbol.owner);
	return ret;
}

/*
 * Add the region that @text names, "symbol" or "symbol+size". May sleep.
 *
 * Returns 0; -EPERM under lockdown; -ENOENT if there is no such symbol, -ENOTUNIQ
 * if there are several; -ENODATA if its size is not known, -EINVAL or -ERANGE if
 * the size given is no number; or an error of __kmemdump_register_region().
 */
int kmemdump_add_symbol(struct kmemdump_table *table, const char *text)
{
	char *name, *size;
	int ret;

	ret = security_locked_down(LOCKDOWN_KCORE);
	if (ret)
		return ret;

	name = kstrdup(text, GFP_KERNEL);
	if (!name)
		return -ENOMEM;
	size = strchr(name, '+');
	if (size)
		*size++ = '\0';
	ret = add_symbol(table, name, size);
	kfree(name);
	return ret;
}

/* Remove the region that was added by this name. May sleep. -ENOENT if there is none. */
int kmemdump_remove_symbol(struct kmemdump_table *table, const char *name)
{
	struct kmemdump_entry *entry;
	int ret = -ENOENT;

	mutex_lock(&table->lock);
	entry = kmemdump_find(table, name);
	if (entry && entry->class == KMEMDUMP_CLASS_ADMIN) {
		kmemdump_remove_entry(table, entry);
		ret = 0;
	}
	mutex_unlock(&table->lock);
	return ret;
}

static int __init kmemdump_symbols_init(void)
{
	char *copy, *rest, *text;
	int ret;

	copy = kstrdup(symbols, GFP_KERNEL);
	rest = copy;
	while ((text = strsep(&rest, ","))) {
		if (!*text)
			continue;
		ret = kmemdump_add_symbol(&kmemdump_table, text);
		if (ret)
			pr_warn("kmemdump.symbols: %s left out: %pe\n", text, ERR_PTR(ret));
	}
	kfree(copy);
	return 0;
}

/* The kernel's own and its annotated regions come first. */
rootfs_initcall(kmemdump_symbols_init);
