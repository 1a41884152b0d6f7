// SPDX-License-Identifier: GPL-2.0-only
/*
 * kmemdump through firmware: the RTAS call "ibm,configure-kernel-dump" of PAPR.
 *
 * Copyright (C) 2026 the kmemdump authors
 */
#include <kunit/static_stub.h>
#include <linux/delay.h>
#include <linux/kernel.h>
#include <linux/mm.h>
#include <linux/nmi.h>
#include <linux/string.h>

#include <asm/rtas.h>

#include "fadump.h"

/* Firmware returns a section of this type unchanged; its destination is our head. */
#define SECTION_HEAD	0x4b4d

/* Firmware may ask for a wait of 100 s, which PAPR calls a hint. */
#define MAX_STEP_MS	1000U

static u32 structure_size(unsigned int nr_sections)
{
	return sizeof(struct rtas_fadump_section_header) +
	       nr_sections * sizeof(struct rtas_fadump_section);
}

static void add_section(struct rtas_fadump_mem_struct *arg, u16 type, u64 source, u64 size,
			u64 dest)
{
	u16 nr = be16_to_cpu(arg->header.dump_num_sections);

	arg->rgn[nr] = (struct rtas_fadump_section) {
		.request_flag		= cpu_to_be32(RTAS_FADUMP_REQUEST_FLAG),
		.source_data_type	= cpu_to_be16(type),
		.source_address		= cpu_to_be64(source),
		.source_len		= cpu_to_be64(size),
		.destination_address	= cpu_to_be64(dest),
	};
	arg->header.dump_num_sections = cpu_to_be16(nr + 1);
}

/* Fill the structure that registers @copies. Returns its size, which has to be exact. */
u32 fadump_rtas_fill(struct rtas_fadump_mem_struct *arg, const struct fadump_head *head,
		     const struct fadump_copies *copies)
{
	const struct fadump_copy *copy;
	u64 done, size;

	*arg = (struct rtas_fadump_mem_struct) {
		.header.dump_format_version		= cpu_to_be32(1),
		.header.offset_first_dump_section	= cpu_to_be32(structure_size(0)),
	};
	add_section(arg, RTAS_FADUMP_CPU_STATE_DATA, 0, head->copies - head->cpus,
		    head->base + head->cpus);
	add_section(arg, SECTION_HEAD, head->base, PAGE_SIZE, head->base);
	for (copy = copies->copy; copy < copies->copy + copies->nr; copy++)
		for (done = 0; done < copy->size; done += size) {
			size = min_t(u64, copy->size - done, FADUMP_MAX_COPY);
			add_section(arg, RTAS_FADUMP_REAL_MODE_REGION, copy->start + done, size,
				    copy->dest + done);
		}
	return structure_size(be16_to_cpu(arg->header.dump_num_sections));
}

/*
 * @arg is what the device tree has of the dump that waits, @len bytes. Returns the address
 * of our head, or 0 if the dump is not one of kmemdump.
 */
u64 fadump_rtas_find_head(const struct rtas_fadump_mem_struct *arg, u32 len)
{
	unsigned int i, nr;

	if (len < structure_size(0))
		return 0;
	nr = be16_to_cpu(arg->header.dump_num_sections);
	if (nr > MAX_SECTIONS || len < structure_size(nr))
		return 0;
	for (i = 0; i < nr; i++)
		if (be16_to_cpu(arg->rgn[i].source_data_type) == SECTION_HEAD)
			return be64_to_cpu(arg->rgn[i].destination_address);
	return 0;
}

static bool in_copies(const struct fadump_head *head, u64 dest, u64 size)
{
	u64 offset = dest - head->base;

	return offset >= head->copies && offset <= head->size && size <= head->size - offset;
}

/*
 * Set @copies to the ranges that firmware copied to the reservation of @head. Returns the
 * number of sections that it failed to copy in full; only whole pages of these are in @copies.
 */
unsigned int fadump_rtas_read_copies(const struct rtas_fadump_mem_struct *arg,
				     const struct fadump_head *head, struct fadump_copies *copies)
{
	unsigned int i, nr_bad = 0;

	memset(copies, 0, sizeof(*copies));
	for (i = 0; i < be16_to_cpu(arg->header.dump_num_sections); i++) {
		const struct rtas_fadump_section *section = &arg->rgn[i];
		u64 size = be64_to_cpu(section->source_len);
		u64 dumped = be64_to_cpu(section->bytes_dumped);
		u64 dest = be64_to_cpu(section->destination_address);
		bool bad = section->error_flags || !in_copies(head, dest, size);

		if (be16_to_cpu(section->source_data_type) != RTAS_FADUMP_REAL_MODE_REGION)
			continue;
		if (bad || dumped != size)
			nr_bad++;
		if (bad || copies->nr == FADUMP_MAX_COPIES)
			continue;
		copies->copy[copies->nr++] = (struct fadump_copy) {
			.start	= be64_to_cpu(section->source_address),
			.size	= ALIGN_DOWN(min(size, dumped), PAGE_SIZE),
			.dest	= dest,
		};
	}
	return nr_bad;
}

bool fadump_rtas_has_cpus(const struct rtas_fadump_mem_struct *arg)
{
	unsigned int i;

	for (i = 0; i < be16_to_cpu(arg->header.dump_num_sections); i++)
		if (be16_to_cpu(arg->rgn[i].source_data_type) == RTAS_FADUMP_CPU_STATE_DATA)
			return !arg->rgn[i].error_flags && arg->rgn[i].bytes_dumped;
	return false;
}

/* Call firmware once. Returns its status. */
int fadump_rtas_call(unsigned int command, struct rtas_fadump_mem_struct *arg, u32 len,
		     bool at_panic)
{
	static struct rtas_args args;
	int token = rtas_function_token(RTAS_FN_IBM_CONFIGURE_KERNEL_DUMP);

	KUNIT_STATIC_STUB_REDIRECT(fadump_rtas_call, command, arg, len, at_panic);
	if (!at_panic)
		return rtas_call(token, 3, 1, NULL, command, (u32)__pa(arg), len);
	/* rtas_call() takes a lock, and a CPU that is stopped may hold it. */
	rtas_call_unlocked(&args, token, 3, 1, command, (u32)__pa(arg), len);
	return (s32)be32_to_cpu(args.rets[0]);
}

void fadump_rtas_wait(unsigned int ms, bool at_panic)
{
	KUNIT_STATIC_STUB_REDIRECT(fadump_rtas_wait, ms, at_panic);
	if (!at_panic) {
		msleep(ms);
		return;
	}
	touch_nmi_watchdog();
	mdelay(ms);
}

/*
 * Repeat the call while firmware answers that it takes longer, for a minute at most.
 * Returns 0 or the errno that is closest to the status.
 */
int fadump_rtas_configure(unsigned int command, struct rtas_fadump_mem_struct *arg, u32 len,
			  bool at_panic)
{
	unsigned int waited = 0, ms;
	int status;

	for (;;) {
		status = fadump_rtas_call(command, arg, len, at_panic);
		ms = min(rtas_busy_delay_time(status), MAX_STEP_MS);
		if (!ms)
			break;
		if (waited >= RTAS_FADUMP_MAX_WAIT_MS)
			return -ETIMEDOUT;
		waited += ms;
		fadump_rtas_wait(ms, at_panic);
	}
	switch (status) {
	case 0:
		return 0;
	case -3:
		return -EINVAL;
	case -9:
		return -EEXIST;
	case -10:
		return -EBUSY;
	default:
		return -EIO;
	}
}

/*
 * Have firmware keep the CPU state and @copies at a crash. At panic this replaces what is
 * registered, and takes no lock.
 */
int fadump_rtas_register(const struct fadump_head *head, const struct fadump_copies *copies,
			 bool at_panic)
{
	/* They are static, as firmware can reach the image. A stopped CPU may be using args[0]. */
	static struct rtas_fadump_mem_struct args[2];
	struct rtas_fadump_mem_struct *arg = &args[at_panic];
	u32 len;

	KUNIT_STATIC_STUB_REDIRECT(fadump_rtas_register, head, copies, at_panic);
	len = fadump_rtas_fill(arg, head, copies);
	if (at_panic)
		fadump_rtas_configure(FADUMP_UNREGISTER, arg, sizeof(*arg), true);
	return fadump_rtas_configure(FADUMP_REGISTER, arg, len, at_panic);
}

/* Send FADUMP_UNREGISTER, or FADUMP_INVALIDATE to discard the dump of the last kernel. */
int fadump_rtas_command(unsigned int command)
{
	static struct rtas_fadump_mem_struct none;

	KUNIT_STATIC_STUB_REDIRECT(fadump_rtas_command, command);
	return fadump_rtas_configure(command, &none, sizeof(none), false);
}
