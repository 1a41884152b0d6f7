// SPDX-License-Identifier: GPL-2.0-only
/*
 * kmemdump: what the kernel registers about itself.
 *
 * The printk ring buffer is found the way debuggers find it, through the
 * symbol and the offsets that the kernel publishes in VMCOREINFO. So nothing
 * of printk has to be made global for us, and what we carry is by construction
 * what "log" in a debugger goes through.
 *
 * Copyright (C) 2026 the kmemdump authors
 */
#define pr_fmt(fmt) "kmemdump: " fmt

#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/kstrtox.h>
#include <linux/string.h>
#include <linux/vmcore_info.h>

#include <asm/sections.h>

#include "kmemdump.h"

static int __init add_core_region(const char *name, const void *addr, size_t size,
				  enum kmemdump_class class)
{
	struct kmemdump_region region = {
		.name = name, .virt_addr = addr, .size = size,
	};
	int ret = kmemdump_add(&kmemdump_table, &region, NULL, class, 0);

	if (ret)
		pr_warn("region %s of the core set left out: %pe\n", name, ERR_PTR(ret));
	return ret;
}

/* The value of "@key=" in VMCOREINFO, where every line is at most 80 bytes. */
static int __init vmcoreinfo_value(const char *key, unsigned int base, unsigned long *value)
{
	const char *line = vmcoreinfo_data, *end = line + vmcoreinfo_size;
	size_t key_len = strlen(key);

	while (line < end) {
		const char *eol = memchr(line, '\n', end - line);
		char number[24];

		if (!eol)
			break;
		if (eol - line > key_len && !memcmp(line, key, key_len) && line[key_len] == '=') {
			size_t len = eol - line - key_len - 1;

			if (len >= sizeof(number))
				return -EINVAL;
			memcpy(number, line + key_len + 1, len);
			number[len] = '\0';
			return kstrtoul(number, base, value);
		}
		line = eol + 1;
	}
	return -ENOENT;
}

/* The fields of the ring buffer that lead to its parts. */
enum {
	PRB, PRB_SIZE, DESC_RING, TEXT_RING,
	COUNT_BITS, DESCS, INFOS, DESC_SIZE, INFO_SIZE,
	SIZE_BITS, DATA,
	NR_KEYS
};

static const char * const prb_keys[NR_KEYS] __initconst = {
	[PRB]		= "SYMBOL(prb)",
	[PRB_SIZE]	= "SIZE(printk_ringbuffer)",
	[DESC_RING]	= "OFFSET(printk_ringbuffer.desc_ring)",
	[TEXT_RING]	= "OFFSET(printk_ringbuffer.text_data_ring)",
	[COUNT_BITS]	= "OFFSET(prb_desc_ring.count_bits)",
	[DESCS]		= "OFFSET(prb_desc_ring.descs)",
	[INFOS]		= "OFFSET(prb_desc_ring.infos)",
	[DESC_SIZE]	= "SIZE(prb_desc)",
	[INFO_SIZE]	= "SIZE(printk_info)",
	[SIZE_BITS]	= "OFFSET(prb_data_ring.size_bits)",
	[DATA]		= "OFFSET(prb_data_ring.data)",
};

static int __init add_log(void)
{
	unsigned long key[NR_KEYS];
	void **prb, *ring, *descs, *text;
	unsigned int bits;
	int i, ret;

	for (i = 0; i < NR_KEYS; i++) {
		ret = vmcoreinfo_value(prb_keys[i], i == PRB ? 16 : 10, &key[i]);
		if (ret)
			return ret;
	}

	/* setup_log_buf() was long ago: these are the final buffers. */
	prb = (void **)key[PRB];
	ring = *prb;
	descs = ring + key[DESC_RING];
	text = ring + key[TEXT_RING];

	ret = add_core_region("log_prb", prb, sizeof(*prb), KMEMDUMP_CLASS_LOG);
	ret = ret ?: add_core_region("log_ring", ring, key[PRB_SIZE], KMEMDUMP_CLASS_LOG);

	bits = *(unsigned int *)(descs + key[COUNT_BITS]);
	ret = ret ?: add_core_region("log_descs", *(void **)(descs + key[DESCS]),
				     key[DESC_SIZE] << bits, KMEMDUMP_CLASS_LOG);
	ret = ret ?: add_core_region("log_infos", *(void **)(descs + key[INFOS]),
				     key[INFO_SIZE] << bits, KMEMDUMP_CLASS_LOG);

	bits = *(unsigned int *)(text + key[SIZE_BITS]);
	return ret ?: add_core_region("log_text", *(void **)(text + key[DATA]),
				      1UL << bits, KMEMDUMP_CLASS_LOG);
}

static int __init kmemdump_coreset_init(void)
{
	if (!vmcoreinfo_data)
		return -ENOENT;

	if (add_log())
		pr_warn("the kernel log will be missing from dumps\n");
	add_core_region("vmcoreinfo", vmcoreinfo_data, PAGE_SIZE, KMEMDUMP_CLASS_LOG);

	/* Debuggers start from what is set once at boot, such as the memory layout. */
	add_core_region("ro_after_init", __start_ro_after_init,
			__end_ro_after_init - __start_ro_after_init, KMEMDUMP_CLASS_CORE);
	return 0;
}

/* VMCOREINFO is made in a subsys_initcall(). */
fs_initcall(kmemdump_coreset_init);
