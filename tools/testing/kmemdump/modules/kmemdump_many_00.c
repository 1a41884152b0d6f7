// SPDX-License-Identifier: GPL-2.0-only
/*
 * Test module: has one of everything that modules have, for debuggers to find. The tests make
 * many modules from it, by replacing 00 with another number everywhere.
 *
 * Copyright (C) 2026 the kmemdump authors
 */
#include <linux/compiler.h>
#include <linux/jump_label.h>
#include <linux/module.h>
#include <linux/panic.h>
#include <linux/percpu.h>
#include <linux/sizes.h>
#include <linux/tracepoint.h>

/* Kernels that have this macro append a suffix to the name in DECLARE_TRACE(). */
#ifndef DECLARE_TRACE_EVENT
#define DECLARE_TRACE_EVENT DECLARE_TRACE
#endif
DECLARE_TRACE_EVENT(many_00_event, TP_PROTO(int value), TP_ARGS(value));
DEFINE_TRACE(many_00_event, TP_PROTO(int value), TP_ARGS(value));

static DEFINE_STATIC_KEY_FALSE(many_00_key);

/* More than 64 KiB, and not all zeros. */
static char many_00_data[SZ_64K + SZ_16K] = "data of many_00";
static DEFINE_PER_CPU(int, many_00_percpu) = 100;

static int many_00_parameter = 1;
module_param_named(parameter, many_00_parameter, int, 0644);

int many_00_plain = 1;
EXPORT_SYMBOL(many_00_plain);

int many_00_gpl = 2;
EXPORT_SYMBOL_GPL(many_00_gpl);

int many_00_gpl_too = 3;
EXPORT_SYMBOL_GPL(many_00_gpl_too);

/* Let these begin a page, even one of 64 KiB. Else they share a page with the notes. */
asm(".pushsection \"___ksymtab_gpl+\", \"a\"; .balign 65536; .popsection");

static int many_00_use(void)
{
	int value = many_00_parameter + many_00_plain + many_00_gpl;

	trace_many_00_event(value);
	if (static_branch_unlikely(&many_00_key))
		value++;
	return value + this_cpu_read(many_00_percpu) + many_00_data[value & (SZ_64K - 1)];
}

static noinline int many_00_inner(int value)
{
	panic("kmemdump test: one of many modules, %d", value);
	return value;
}

static noinline int many_00_outer(int value)
{
	int ret = many_00_inner(value + 1);

	/* Prevent a tail call, which would leave no frame of this function. */
	OPTIMIZER_HIDE_VAR(ret);
	return ret;
}

static int many_00_set(const char *text, const struct kernel_param *kp)
{
	return many_00_outer(many_00_use());
}

static const struct kernel_param_ops many_00_ops = { .set = many_00_set };
module_param_cb(crash, &many_00_ops, NULL, 0200);

static int __init many_00_init(void)
{
	return many_00_use() ? 0 : -EINVAL;
}

static void __exit many_00_exit(void)
{
}

module_init(many_00_init);
module_exit(many_00_exit);

MODULE_DESCRIPTION("Test of kmemdump: a module for debuggers to find");
MODULE_LICENSE("GPL");
