// SPDX-License-Identifier: GPL-2.0-only
/*
 * Print the kernel log from the printk ring buffer. Symbols, sizes and offsets come from
 * VMCOREINFO, so no vmlinux is needed.
 */
#include <stdlib.h>
#include <string.h>

#include "reader.h"

/* Bounds for what a dump claims: 16 Mi records, 256 MiB of text. */
#define MAX_COUNT_BITS	24
#define MAX_TEXT_BITS	28

/* The lines of VMCOREINFO that are needed. */
enum {
	PRB, LONG_SIZE,
	RING_SIZE, DESC_RING, TEXT_RING,
	COUNT_BITS, DESCS, INFOS, HEAD_ID, TAIL_ID,
	DESC_SIZE, STATE_VAR, TEXT_LPOS, LPOS_BEGIN, LPOS_NEXT,
	INFO_SIZE, TS_NSEC, TEXT_LEN,
	SIZE_BITS, DATA,
	NR_KEYS
};

static const char * const keys[NR_KEYS] = {
	[PRB]		= "SYMBOL(prb)",
	[LONG_SIZE]	= "SIZE(atomic_long_t)",
	[RING_SIZE]	= "SIZE(printk_ringbuffer)",
	[DESC_RING]	= "OFFSET(printk_ringbuffer.desc_ring)",
	[TEXT_RING]	= "OFFSET(printk_ringbuffer.text_data_ring)",
	[COUNT_BITS]	= "OFFSET(prb_desc_ring.count_bits)",
	[DESCS]		= "OFFSET(prb_desc_ring.descs)",
	[INFOS]		= "OFFSET(prb_desc_ring.infos)",
	[HEAD_ID]	= "OFFSET(prb_desc_ring.head_id)",
	[TAIL_ID]	= "OFFSET(prb_desc_ring.tail_id)",
	[DESC_SIZE]	= "SIZE(prb_desc)",
	[STATE_VAR]	= "OFFSET(prb_desc.state_var)",
	[TEXT_LPOS]	= "OFFSET(prb_desc.text_blk_lpos)",
	[LPOS_BEGIN]	= "OFFSET(prb_data_blk_lpos.begin)",
	[LPOS_NEXT]	= "OFFSET(prb_data_blk_lpos.next)",
	[INFO_SIZE]	= "SIZE(printk_info)",
	[TS_NSEC]	= "OFFSET(printk_info.ts_nsec)",
	[TEXT_LEN]	= "OFFSET(printk_info.text_len)",
	[SIZE_BITS]	= "OFFSET(prb_data_ring.size_bits)",
	[DATA]		= "OFFSET(prb_data_ring.data)",
};

struct log {
	const struct core *core;
	uint64_t key[NR_KEYS];
	unsigned int count_bits;
	unsigned int text_bits;
	uint64_t head_id;
	uint64_t tail_id;
	uint64_t text_left;	/* bytes of text that the ring may still have, to bound the work */
	uint64_t descs;		/* virtual addresses in the crashed machine */
	uint64_t infos;
	uint64_t text;
};

/* The position of the text of a record that is an empty line. */
#define LPOS_EMPTY_LINE	3

/* The top bits of state_var: the states of a record that has been written. */
enum { DESC_COMMITTED = 1, DESC_FINALIZED = 2 };

static uint64_t get_long(const struct log *log, const unsigned char *p)
{
	return log->key[LONG_SIZE] == 4 ? core_u32(log->core, p) : core_u64(log->core, p);
}

static bool get(const struct log *log, uint64_t vaddr, void *buf, size_t size)
{
	return core_read(log->core, vaddr, buf, size) == size;
}

static bool get_long_at(const struct log *log, uint64_t vaddr, uint64_t *value)
{
	unsigned char raw[8];

	if (!get(log, vaddr, raw, log->key[LONG_SIZE]))
		return false;
	*value = get_long(log, raw);
	return true;
}

static bool get_u32_at(const struct log *log, uint64_t vaddr, unsigned int *value)
{
	unsigned char raw[4];

	if (!get(log, vaddr, raw, sizeof(raw)))
		return false;
	*value = core_u32(log->core, raw);
	return true;
}

/* Find the log. Returns why there is none, which is printed after the name of the dump, or NULL. */
static const char *open_log(struct log *log, const struct core *core)
{
	uint64_t ring, descs, text, lpos;
	static char why[100];

	*log = (struct log) { .core = core };
	if (!core->vmcoreinfo.desc)
		return "has no VMCOREINFO";
	for (int i = 0; i < NR_KEYS; i++) {
		bool found = core_vmcoreinfo(core, keys[i], i == PRB ? 16 : 10, &log->key[i]);

		if (!found || (i != PRB && log->key[i] > 4096)) {
			snprintf(why, sizeof(why), found ?
				 "its VMCOREINFO has a %s that can't be" :
				 "its VMCOREINFO has no %s", keys[i]);
			return why;
		}
	}
	if (log->key[LONG_SIZE] != 4 && log->key[LONG_SIZE] != 8)
		return "its long has neither 4 nor 8 bytes";
	lpos = log->key[TEXT_LPOS] + log->key[LONG_SIZE];
	if (log->key[TS_NSEC] + 8 > log->key[INFO_SIZE] ||
	    log->key[TEXT_LEN] + 2 > log->key[INFO_SIZE] ||
	    log->key[STATE_VAR] + log->key[LONG_SIZE] > log->key[DESC_SIZE] ||
	    lpos + log->key[LPOS_BEGIN] > log->key[DESC_SIZE] ||
	    lpos + log->key[LPOS_NEXT] > log->key[DESC_SIZE])
		return "the layout of its log can't be";

	if (!get_long_at(log, log->key[PRB], &ring))
		return "the pointer to the log is not in the dump";
	descs = ring + log->key[DESC_RING];
	text = ring + log->key[TEXT_RING];
	if (!get_u32_at(log, descs + log->key[COUNT_BITS], &log->count_bits) ||
	    !get_long_at(log, descs + log->key[DESCS], &log->descs) ||
	    !get_long_at(log, descs + log->key[INFOS], &log->infos) ||
	    !get_long_at(log, descs + log->key[HEAD_ID], &log->head_id) ||
	    !get_long_at(log, descs + log->key[TAIL_ID], &log->tail_id) ||
	    !get_u32_at(log, text + log->key[SIZE_BITS], &log->text_bits) ||
	    !get_long_at(log, text + log->key[DATA], &log->text))
		return "the head of the log is not in the dump";
	if (log->count_bits > MAX_COUNT_BITS || log->text_bits > MAX_TEXT_BITS)
		return "the head of the log is damaged";
	log->text_left = 1ULL << log->text_bits;
	return NULL;
}

static void print_record(uint64_t ts_nsec, const char *text, size_t len)
{
	/* Put the time of the record before each of its lines, as dmesg does. */
	do {
		const char *eol = memchr(text, '\n', len);
		size_t line = eol ? (size_t)(eol - text) : len;

		printf("[%5llu.%06llu] ", (unsigned long long)(ts_nsec / 1000000000),
		       (unsigned long long)(ts_nsec / 1000 % 1000000));
		put_escaped(stdout, text, line);
		putchar('\n');
		len -= eol ? line + 1 : line;
		text += eol ? line + 1 : line;
	} while (len);
}

/*
 * Get @max bytes of text from the block [@begin, @next) of the text ring into @buf. These are
 * logical positions, which do not wrap at the end of the ring. A block that would cross the end
 * is at the start of the ring instead. Returns @max, or -1 if the block is damaged or
 * not in the dump.
 */
static long get_text(struct log *log, uint64_t id, uint64_t begin, uint64_t next,
		     char *buf, size_t max)
{
	uint64_t ring_size = 1ULL << log->text_bits, mask = ring_size - 1;
	unsigned int long_size = log->key[LONG_SIZE];
	uint64_t from, to, block_id;

	from = begin & mask;
	to = next & mask;
	if (begin >> log->text_bits != next >> log->text_bits) {
		if (to)
			from = 0;
		else
			to = ring_size;
	}
	if (to < from || to - from < long_size)
		return -1;

	/* A block starts with the id of the record that it belongs to. */
	if (!get_long_at(log, log->text + from, &block_id) || block_id != id)
		return -1;
	from += long_size;
	if (max > to - from || max > log->text_left)
		return -1;
	log->text_left -= max;
	return get(log, log->text + from, buf, max) ? (long)max : -1;
}

/*
 * Print the record @id. Returns false if it is damaged, or not all of it is in the dump. It is no
 * error if the kernel was still writing the newest record or dropping the oldest one.
 */
static bool print_id(struct log *log, uint64_t id, bool newest)
{
	uint64_t index = id & ((1ULL << log->count_bits) - 1);
	unsigned int id_bits = log->key[LONG_SIZE] * 8 - 2;
	unsigned char desc[4096], info[4096];
	uint64_t state_var, begin, next;
	char text[65536];
	long len;

	if (!get(log, log->descs + index * log->key[DESC_SIZE], desc, log->key[DESC_SIZE]) ||
	    !get(log, log->infos + index * log->key[INFO_SIZE], info, log->key[INFO_SIZE]))
		return false;

	state_var = get_long(log, desc + log->key[STATE_VAR]);
	if ((state_var & ((1ULL << id_bits) - 1)) != id)
		return newest;
	if (state_var >> id_bits != DESC_COMMITTED && state_var >> id_bits != DESC_FINALIZED)
		return true;

	begin = get_long(log, desc + log->key[TEXT_LPOS] + log->key[LPOS_BEGIN]);
	next = get_long(log, desc + log->key[TEXT_LPOS] + log->key[LPOS_NEXT]);
	len = core_u16(log->core, info + log->key[TEXT_LEN]);
	/* An odd position means that the record has no text, or has lost it. */
	if (begin & 1)
		len = begin == LPOS_EMPTY_LINE && next == LPOS_EMPTY_LINE ? 0 : -1;
	else
		len = get_text(log, id, begin, next, text, len);
	if (len < 0)
		return false;
	print_record(core_u64(log->core, info + log->key[TS_NSEC]), text, len);
	return true;
}

/*
 * Print the kernel log. Returns NULL and an exit code in *@status, or why none of the log can be
 * printed.
 */
const char *print_log(const struct core *core, int *status)
{
	const char *why;
	bool complete = false;
	unsigned int lost = 0, nr = 0;
	uint64_t mask, id, left;
	struct log log;

	why = open_log(&log, core);
	if (why)
		return why;
	mask = (1ULL << (log.key[LONG_SIZE] * 8 - 2)) - 1;
	id = log.tail_id & mask;
	for (left = 1ULL << log.count_bits; left && !complete; left--) {
		complete = id == (log.head_id & mask);
		nr++;
		if (!print_id(&log, id, complete))
			lost++;
		/* Nothing more can be read, so all other records would count as lost. */
		if (image_overworked(core->image))
			break;
		id = (id + 1) & mask;
	}
	if (lost == nr)
		return "the head of the log is damaged, or no record of it is in the dump";
	if (!complete && !image_overworked(core->image))
		warn("the head of the log is damaged");
	if (lost)
		warn("%u records of the log are damaged or not in the dump", lost);
	*status = lost || !complete ? EXIT_DAMAGED : EXIT_GOOD;
	return NULL;
}
