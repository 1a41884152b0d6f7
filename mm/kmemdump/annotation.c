// SPDX-License-Identifier: GPL-2.0-only
/*
 * kmemdump: variables that are annotated with KMEMDUMP_VAR().
 *
 * Copyright (C) 2026 the kmemdump authors
 */
#define pr_fmt(fmt) "kmemdump: " fmt

#include <linux/export.h>
#include <linux/module.h>

#include "kmemdump.h"

/**
 * kmemdump_add_var() - register an annotated variable
 * @name:	of the region
 * @addr:	address of the variable, which may be a static per-CPU one
 * @size:	bytes
 * @owner:	module that has it, %NULL for the kernel itself
 *
 * For KMEMDUMP_VAR(). A constructor can't return an error, so this warns. If the variable is in a
 * module, the region goes with that.
 *
 * Context: process context, may sleep.
 */
void kmemdump_add_var(const char *name, const void *addr, size_t size, struct module *owner)
{
	struct kmemdump_region region = { .name = name, .size = size };
	int ret;

	kmemdump_set_addr(&region, (unsigned long)addr, owner);
	ret = kmemdump_add(&kmemdump_table, &region, owner, KMEMDUMP_CLASS_DRIVER,
			   KMEMDUMP_ENTRY_SILENT);
	if (ret)
		pr_warn("annotated variable %s left out: %pe\n", name, ERR_PTR(ret));
}
EXPORT_SYMBOL_GPL(kmemdump_add_var);
