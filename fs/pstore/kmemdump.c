// SPDX-License-Identifier: GPL-2.0-only
/*
 * Persistent Storage - kmemdump frontend.
 *
 * A pstore backend that can take kmemdump records becomes a kmemdump writer.
 * A record arrives in parts: part 1 starts it, each further one is appended.
 *
 * Copyright (C) 2026 the kmemdump authors
 */
#include <linux/fs.h>
#include <linux/kmemdump_backend.h>
#include <linux/pstore.h>

#include "internal.h"

/* Counts up from 1 in a record. Used in panic only, by one CPU. */
static unsigned int next_part;

static int pstore_kmemdump_open(struct kmemdump_backend *be)
{
	next_part = 1;
	return 0;
}

static int pstore_kmemdump_write(struct kmemdump_backend *be, const void *buf, size_t len)
{
	struct pstore_record record;

	pstore_record_init(&record, psinfo);
	record.type = PSTORE_TYPE_KMEMDUMP;
	record.reason = KMSG_DUMP_PANIC;
	record.part = next_part++;
	record.buf = (char *)buf;
	record.size = len;
	return psinfo->write(&record);
}

static const struct kmemdump_writer_ops pstore_kmemdump_ops = {
	.open	= pstore_kmemdump_open,
	.write	= pstore_kmemdump_write,
};

static struct kmemdump_backend pstore_kmemdump = {
	.writer	= &pstore_kmemdump_ops,
};

void pstore_register_kmemdump(void)
{
	int ret;

	pstore_kmemdump.name = psinfo->name;
	pstore_kmemdump.max_bytes = psinfo->kmemdump_size;
	ret = kmemdump_register_backend(&pstore_kmemdump);
	if (ret) {
		pr_err("pstore: no kmemdump records: %pe\n", ERR_PTR(ret));
		psinfo->flags &= ~PSTORE_FLAGS_KMEMDUMP;
	}
}

void pstore_unregister_kmemdump(void)
{
	kmemdump_unregister_backend(&pstore_kmemdump);
}
