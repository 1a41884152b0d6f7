// SPDX-License-Identifier: GPL-2.0-only
/*
 * kmemdump: the kernel log.
 *
 * This finds the printk ring buffer as debuggers do, by the symbol and the offsets that the
 * kernel publishes in VMCOREINFO. So no variable of printk has to become global, and the regions
 * are by construction what the command "log" of a debugger reads.
 *
 * Copyright (C) 2026 the kmemdump authors
 */
#define pr_fmt(fmt) "kmemdump: " fmt

#include <linux/cache.h>
#include <linux/init.h>
#include <linux/kstrtox.h>
#include <linux/string.h>
#include <linux/vmcore_info.h>

#include <asm/sections.h>

#include "kmemdump.h"

/* The value of "@key=" in VMCOREINFO, where every line is at most 80 bytes. */
int __init kmemdump_vmcoreinfo_value(const char *key, unsigned int base, unsigned long *value)
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
	COUNT_BITS, DESCS, INFOS, HEAD_ID, TAIL_ID, DESC_SIZE, INFO_SIZE,
	TEXT_LPOS, LPOS_BEGIN, SIZE_BITS, DATA, HEAD_LPOS, TAIL_LPOS,
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
	[HEAD_ID]	= "OFFSET(prb_desc_ring.head_id)",
	[TAIL_ID]	= "OFFSET(prb_desc_ring.tail_id)",
	[DESC_SIZE]	= "SIZE(prb_desc)",
	[INFO_SIZE]	= "SIZE(printk_info)",
	[TEXT_LPOS]	= "OFFSET(prb_desc.text_blk_lpos)",
	[LPOS_BEGIN]	= "OFFSET(prb_data_blk_lpos.begin)",
	[SIZE_BITS]	= "OFFSET(prb_data_ring.size_bits)",
	[DATA]		= "OFFSET(prb_data_ring.data)",
	[HEAD_LPOS]	= "OFFSET(prb_data_ring.head_lpos)",
	[TAIL_LPOS]	= "OFFSET(prb_data_ring.tail_lpos)",
};

struct kmemdump_log kmemdump_log __ro_after_init;

static int __init add_log(void)
{
	struct kmemdump_log *log = &kmemdump_log;
	unsigned long key[NR_KEYS];
	void *descs, *text;
	int i, ret;

	for (i = 0; i < NR_KEYS; i++) {
		ret = kmemdump_vmcoreinfo_value(prb_keys[i], i == PRB ? 16 : 10, &key[i]);
		if (ret)
			return ret;
	}

	/* setup_log_buf() has run by now, so these are the final buffers. */
	log->prb = (void **)key[PRB];
	log->ring = *log->prb;
	log->ring_size = key[PRB_SIZE];
	descs = log->ring + key[DESC_RING];
	log->count_bits = *(unsigned int *)(descs + key[COUNT_BITS]);
	log->descs = *(void **)(descs + key[DESCS]);
	log->infos = *(void **)(descs + key[INFOS]);
	log->head_id = descs + key[HEAD_ID];
	log->tail_id = descs + key[TAIL_ID];
	log->desc_size = key[DESC_SIZE];
	log->info_size = key[INFO_SIZE];
	log->begin = key[TEXT_LPOS] + key[LPOS_BEGIN];
	text = log->ring + key[TEXT_RING];
	log->text_bits = *(unsigned int *)(text + key[SIZE_BITS]);
	log->text = *(char **)(text + key[DATA]);
	log->head_lpos = text + key[HEAD_LPOS];
	log->tail_lpos = text + key[TAIL_LPOS];

	ret = kmemdump_add_core_region("log_prb", log->prb, sizeof(*log->prb),
				       KMEMDUMP_CLASS_LOG, 0);
	ret = ret ?: kmemdump_add_core_region("log_ring", log->ring, log->ring_size,
					      KMEMDUMP_CLASS_LOG, 0);
	ret = ret ?: kmemdump_add_core_region("log_descs", log->descs,
					      log->desc_size << log->count_bits,
					      KMEMDUMP_CLASS_LOG, KMEMDUMP_ENTRY_RING);
	ret = ret ?: kmemdump_add_core_region("log_infos", log->infos,
					      log->info_size << log->count_bits,
					      KMEMDUMP_CLASS_LOG, KMEMDUMP_ENTRY_RING);
	return ret ?: kmemdump_add_core_region("log_text", log->text, 1UL << log->text_bits,
					       KMEMDUMP_CLASS_LOG, KMEMDUMP_ENTRY_RING);
}

static int __init kmemdump_log_init(void)
{
	if (!vmcoreinfo_data)
		return -ENOENT;
	if (add_log())
		pr_warn("the kernel log will be missing from dumps\n");
	kmemdump_add_core_region("vmcoreinfo", vmcoreinfo_data, PAGE_SIZE, KMEMDUMP_CLASS_LOG, 0);
	/* Debuggers start from what is set once at boot, such as the memory layout. */
	kmemdump_add_core_region("kernel:ro_after_init", __start_ro_after_init,
				 __end_ro_after_init - __start_ro_after_init,
				 KMEMDUMP_CLASS_LOG, 0);
	return 0;
}

/* After VMCOREINFO was made and says where the list of entries is. */
fs_initcall(kmemdump_log_init);
