// SPDX-License-Identifier: GPL-2.0-only
/*
 * kmemdump: what debuggers need of a module.
 *
 * The struct module and the symbol table of a module are regions, which come and go with it.
 * The rest is found at the crash, as most of the memory around it is of no use: the symbols
 * that the module exports, without which "crash" does not start, and the sysfs attributes of
 * its sections and notes, from which debuggers load its symbols.
 *
 * Copyright (C) 2026 the kmemdump authors
 */
#define pr_fmt(fmt) "kmemdump: " fmt

#include <linux/export-internal.h>
#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/notifier.h>
#include <linux/sizes.h>

#include "../slab.h"

#include "kmemdump.h"

#ifdef CONFIG_MODULES
/* More than any module has. A damaged number must not take the room of everything else. */
#define MAX_EXPORTS	16384
#define MAX_EXPORT_NAMES SZ_1M
#define MAX_ATTRIBUTES	SZ_64K
#define MAX_NAMES	2048
#define MAX_INIT	SZ_1M

/* "crash" reads all names at once, and so many bytes past the start of the last one. */
#define NAMES_OVERREAD	1500

/* Bytes to keep of a note section; the one with the build id has 36. */
#define NOTE_SIZE	256

#define peek_field(var, ptr)	kmemdump_peek(&(var), &(ptr), sizeof(var))

static unsigned long modules_low = ULONG_MAX, modules_high;

/* Whether @addr lies where modules are, or have been. Any context. */
bool kmemdump_is_module_addr(unsigned long addr)
{
	return addr >= READ_ONCE(modules_low) && addr < READ_ONCE(modules_high);
}

/* Name the region after the module, or after its address if that name is too long. */
static int add_part(struct module *mod, const char *suffix, const void *addr, size_t size,
		    u8 flags)
{
	char name[KMEMDUMP_NAME_LEN];
	struct kmemdump_region region = {
		.name = name, .virt_addr = addr, .size = size,
	};

	if (snprintf(name, sizeof(name), "module:%s%s", mod->name, suffix) >= sizeof(name))
		snprintf(name, sizeof(name), "module:%lx%s", (unsigned long)mod, suffix);
	return kmemdump_add(&kmemdump_table, &region, mod, KMEMDUMP_CLASS_CORE,
			    KMEMDUMP_ENTRY_AREA | KMEMDUMP_ENTRY_SILENT | flags);
}

/* Register what the core set has of a module that is being loaded; it goes with the module. */
static void add_module(struct module *mod)
{
	static const char * const suffixes[MOD_MEM_NUM_TYPES] = {
		[MOD_DATA]		= ":data",
		[MOD_RODATA]		= ":rodata",
		[MOD_RO_AFTER_INIT]	= ":ro_after_init",
	};
	int i, ret;

	for_each_mod_mem_type(i) {
		unsigned long base = (unsigned long)mod->mem[i].base;

		if (!mod->mem[i].size || i >= MOD_INIT_TEXT)
			continue;
		WRITE_ONCE(modules_low, min(modules_low, base));
		WRITE_ONCE(modules_high, max(modules_high, base + mod->mem[i].size));
	}
	if (kmemdump_set < KMEMDUMP_SET_STANDARD)
		return;

	ret = add_part(mod, "", mod, sizeof(*mod), KMEMDUMP_ENTRY_MODULE);
#ifdef CONFIG_KALLSYMS
	/* For the names in a backtrace. The strings and the types follow the table. */
	if (!ret && mod->core_kallsyms.num_symtab)
		ret = add_part(mod, ":symbols", mod->core_kallsyms.symtab,
			       (void *)mod->core_kallsyms.typetab +
			       mod->core_kallsyms.num_symtab -
			       (void *)mod->core_kallsyms.symtab, 0);
#endif
	for (i = 0; i < ARRAY_SIZE(suffixes) && kmemdump_set >= KMEMDUMP_SET_EXTENDED; i++)
		if (!ret && suffixes[i] && mod->mem[i].size)
			ret = add_part(mod, suffixes[i], mod->mem[i].base, mod->mem[i].size, 0);
	if (ret)
		pr_warn("module %s: left out of the core set: %pe\n", mod->name, ERR_PTR(ret));
}

/* An exported symbol, as <linux/export-internal.h> has it made. */
#ifdef CONFIG_HAVE_ARCH_PREL32_RELOCATIONS
struct export {
	s32		value, name, namespace;	/* each is the distance from itself */
};

static unsigned long export_name(const struct export *export, const struct export *at)
{
	return (unsigned long)&at->name + export->name;
}
#else
struct export {
	unsigned long	value, name, namespace;
};

static unsigned long export_name(const struct export *export, const struct export *at)
{
	return export->name;
}
#endif

static void add_exports(struct kmemdump_image *image, const void *table, unsigned int nr)
{
	unsigned long name, low = ULONG_MAX, high = 0;
	const struct export *at = table, *end;
	struct export export;

	if (!nr || nr > MAX_EXPORTS)
		return;
	kmemdump_image_add(image, (unsigned long)at, nr * sizeof(*at), KMEMDUMP_ORDER_IMAGE);
	for (end = at + nr; at < end; at++) {
		if (!peek_field(export, *at))
			continue;
		name = export_name(&export, at);
		if (!kmemdump_is_module_addr(name))
			continue;
		low = min(low, name);
		high = max(high, name);
	}
	if (low <= high && high - low < MAX_EXPORT_NAMES)
		kmemdump_image_add(image, low, high - low + NAMES_OVERREAD,
				   KMEMDUMP_ORDER_IMAGE);
}

static size_t allocated_size(const void *object)
{
	struct kmem_cache *cache;
	unsigned int size;
	struct slab *slab;

	if (!kmemdump_is_linear((unsigned long)object) || !virt_addr_valid(object))
		return 0;
	slab = virt_to_slab(object);
	if (!slab)
		return min(page_size(virt_to_head_page(object)), MAX_ATTRIBUTES);
	return peek_field(cache, slab->slab_cache) && cache && peek_field(size, cache->size) ?
	       min(size, MAX_ATTRIBUTES) : 0;
}

/*
 * Add the sysfs attributes of a module, and what they point to: names, and with @notes also
 * memory of the module.
 */
static void add_attributes(struct kmemdump_image *image, const void *attrs, bool notes)
{
	const unsigned long *at = attrs, *end = attrs + allocated_size(attrs);
	unsigned int left = MAX_NAMES;
	unsigned long word;

	if (at < end)
		kmemdump_image_add(image, (unsigned long)at, (void *)end - attrs,
				   KMEMDUMP_ORDER_REST);
	for (; at < end && left; at++) {
		if (!peek_field(word, *at))
			continue;
		/* A name is so short that all of it is in this page. */
		if (kmemdump_is_linear(word) && virt_addr_valid((void *)word))
			kmemdump_image_add(image, word, 1, KMEMDUMP_ORDER_REST);
		else if (notes && kmemdump_is_module_addr(word))
			kmemdump_image_add(image, word, NOTE_SIZE, KMEMDUMP_ORDER_REST);
		else
			continue;
		left--;
	}
}

/*
 * While a module is in its init function, debuggers look for its symbols in the memory that is
 * freed afterwards.
 */
static void add_init(struct kmemdump_image *image, const struct module *mod)
{
	unsigned int size;
	void *base;
	int i;

	for (i = MOD_INIT_TEXT; i < MOD_MEM_NUM_TYPES; i++)
		if (peek_field(base, mod->mem[i].base) && base &&
		    peek_field(size, mod->mem[i].size))
			kmemdump_image_add(image, (unsigned long)base, min(size, MAX_INIT),
					   KMEMDUMP_ORDER_REST);
}

static void add_found(struct kmemdump_image *image, const struct module *mod)
{
	const void *table;
	unsigned int nr;

	add_init(image, mod);
	if (peek_field(table, mod->syms) && peek_field(nr, mod->num_syms))
		add_exports(image, table, nr);
	/* Before symbols had flags, those for the GPL only were in a table of their own. */
#ifndef SYMBOL_FLAGS
	if (peek_field(table, mod->gpl_syms) && peek_field(nr, mod->num_gpl_syms))
		add_exports(image, table, nr);
#endif
#ifdef CONFIG_KALLSYMS
	if (peek_field(table, mod->sect_attrs) && table)
		add_attributes(image, table, false);
	if (peek_field(table, mod->notes_attrs) && table)
		add_attributes(image, table, true);
#endif
}

/* Add what debuggers need of all modules of which there are regions in @image. */
void kmemdump_find_modules(struct kmemdump_image *image)
{
	unsigned int i;

	for (i = 0; i < image->nr_regions; i++)
		if (image->regions[i].entry->flags & KMEMDUMP_ENTRY_MODULE)
			add_found(image, image->regions[i].entry->owner);
}

static int module_changes(struct notifier_block *nb, unsigned long action, void *data)
{
	if (action == MODULE_STATE_COMING)
		add_module(data);
	return NOTIFY_DONE;
}

static struct notifier_block module_nb = {
	.notifier_call	= module_changes,
};

static int __init kmemdump_module_init(void)
{
	return register_module_notifier(&module_nb);
}
core_initcall(kmemdump_module_init);
#else
bool kmemdump_is_module_addr(unsigned long addr)
{
	return false;
}

void kmemdump_find_modules(struct kmemdump_image *image)
{
}
#endif
