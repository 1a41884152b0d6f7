// SPDX-License-Identifier: GPL-2.0-only
/*
 * kmemdump: variables that are annotated with KMEMDUMP_VAR().
 *
 * The linker collects the annotations in one table in the kernel image, and one in each
 * module. So the variables stay static, and only the code of this file runs for them.
 *
 * Copyright (C) 2026 the kmemdump authors
 */
#define pr_fmt(fmt) "kmemdump: " fmt

#include <linux/init.h>
#include <linux/module.h>
#include <linux/notifier.h>

#include "kmemdump.h"

/*
 * Register the variables that @owner, or the kernel, has annotated. Warn of those that are
 * refused. Returns how many are registered. May sleep.
 */
unsigned int kmemdump_add_vars(struct kmemdump_table *table, const struct kmemdump_var *vars,
			       unsigned int nr, struct module *owner)
{
	unsigned int i, done = 0;

	for (i = 0; i < nr; i++) {
		struct kmemdump_region region = {
			.name = vars[i].name, .size = vars[i].size,
		};
		int ret;

		kmemdump_set_addr(&region, (unsigned long)vars[i].addr, owner);
		ret = kmemdump_add(table, &region, owner, KMEMDUMP_CLASS_DRIVER,
				   KMEMDUMP_ENTRY_SILENT);
		if (ret)
			pr_warn("annotated variable %s of %s left out: %pe\n", vars[i].name,
				owner ? module_name(owner) : "the kernel", ERR_PTR(ret));
		else
			done++;
	}
	return done;
}

#ifdef CONFIG_MODULES
static int module_changes(struct notifier_block *nb, unsigned long action, void *data)
{
	struct module *mod = data;

	if (action == MODULE_STATE_COMING)
		kmemdump_add_vars(&kmemdump_table, mod->kmemdump_vars, mod->num_kmemdump_vars,
				  mod);
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

static int __init kmemdump_annotation_init(void)
{
	kmemdump_add_vars(&kmemdump_table, __start_kmemdump_vars,
			  __stop_kmemdump_vars - __start_kmemdump_vars, NULL);
	return follow_modules();
}

/* After the core set, whose names come first. */
fs_initcall_sync(kmemdump_annotation_init);
