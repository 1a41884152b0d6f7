// SPDX-License-Identifier: GPL-2.0-only
/*
 * kmemdump through firmware: KUnit tests. Stubs stand in for the firmware.
 *
 * Copyright (C) 2026 the kmemdump authors
 */
#include <kunit/static_stub.h>
#include <kunit/test.h>
#include <linux/elf.h>
#include <linux/elfcore.h>
#include <linux/mm.h>
#include <linux/sizes.h>
#include <linux/string.h>
#include <linux/swab.h>
#include <linux/xxhash.h>

#include <asm/kmemdump_fadump.h>

#include "fadump.h"

/* Copies */

static void check_copy(struct kunit *test, const struct fadump_copies *copies, unsigned int i,
		       u64 start, u64 size)
{
	KUNIT_EXPECT_EQ(test, copies->copy[i].start, start);
	KUNIT_EXPECT_EQ(test, copies->copy[i].size, size);
}

static void test_copies_join(struct kunit *test)
{
	struct fadump_copies copies = {};
	const u64 room = SZ_16M;

	KUNIT_EXPECT_EQ(test, fadump_copies_add(&copies, SZ_4M + 5, SZ_4M + 6, room), 0);
	KUNIT_EXPECT_EQ(test, fadump_copies_add(&copies, SZ_1M, SZ_1M + PAGE_SIZE, room), 0);
	KUNIT_ASSERT_EQ(test, copies.nr, 2);
	check_copy(test, &copies, 0, SZ_1M, PAGE_SIZE);
	check_copy(test, &copies, 1, SZ_4M, PAGE_SIZE);

	/* A neighbor of the first copy, and a range that the second one has already. */
	KUNIT_EXPECT_EQ(test, fadump_copies_add(&copies, SZ_1M + PAGE_SIZE,
						SZ_1M + 2 * PAGE_SIZE, room), 0);
	KUNIT_EXPECT_EQ(test, fadump_copies_add(&copies, SZ_4M, SZ_4M + 1, room), 0);
	KUNIT_ASSERT_EQ(test, copies.nr, 2);
	check_copy(test, &copies, 0, SZ_1M, 2 * PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, copies.total, 3 * PAGE_SIZE);

	/* A range around both. */
	KUNIT_EXPECT_EQ(test, fadump_copies_add(&copies, 0, SZ_8M, room), 0);
	KUNIT_ASSERT_EQ(test, copies.nr, 1);
	check_copy(test, &copies, 0, 0, SZ_8M);
}

static void test_copies_are_few(struct kunit *test)
{
	struct fadump_copies copies = {};
	unsigned int i;

	for (i = 0; i < FADUMP_MAX_COPIES; i++)
		KUNIT_EXPECT_EQ(test, fadump_copies_add(&copies, i * SZ_1M,
							i * SZ_1M + PAGE_SIZE, SZ_16M), 0);
	KUNIT_EXPECT_EQ(test, copies.nr, FADUMP_MAX_COPIES);
	/* The new range is joined with the last one, as the gap to that is the smallest. */
	KUNIT_EXPECT_EQ(test, fadump_copies_add(&copies, 7 * SZ_1M + 2 * PAGE_SIZE,
						7 * SZ_1M + 3 * PAGE_SIZE, SZ_16M), 0);
	KUNIT_ASSERT_EQ(test, copies.nr, FADUMP_MAX_COPIES);
	check_copy(test, &copies, 7, 7 * SZ_1M, 3 * PAGE_SIZE);
	check_copy(test, &copies, 6, 6 * SZ_1M, PAGE_SIZE);
}

static void test_copies_room(struct kunit *test)
{
	struct fadump_copies copies = {}, before;

	KUNIT_EXPECT_EQ(test, fadump_copies_add(&copies, 0, SZ_1M, SZ_2M), 0);
	before = copies;
	KUNIT_EXPECT_EQ(test, fadump_copies_add(&copies, SZ_8M, SZ_8M + SZ_1M + 1, SZ_2M), -ENOSPC);
	KUNIT_EXPECT_MEMEQ(test, &copies, &before, sizeof(copies));

	/* A large copy takes several sections, of which there are only a few. */
	memset(&copies, 0, sizeof(copies));
	KUNIT_EXPECT_EQ(test, fadump_copies_add(&copies, 0, 8ULL * FADUMP_MAX_COPY, SZ_1G), 0);
	KUNIT_EXPECT_EQ(test, fadump_copies_add(&copies, SZ_1G, SZ_1G + 1, SZ_2G), -ENOSPC);
}

static void test_copies_find(struct kunit *test)
{
	struct fadump_copies copies = {};
	u64 len;

	fadump_copies_add(&copies, SZ_1M, SZ_2M, SZ_16M);
	fadump_copies_add(&copies, SZ_4M, SZ_8M, SZ_16M);
	fadump_copies_place(&copies, SZ_1G);
	KUNIT_EXPECT_EQ(test, fadump_copies_find(&copies, 0, &len), 0);
	KUNIT_EXPECT_EQ(test, len, SZ_1M);
	KUNIT_EXPECT_EQ(test, fadump_copies_find(&copies, SZ_4M + 5, &len), SZ_1G + SZ_1M + 5);
	KUNIT_EXPECT_EQ(test, len, SZ_4M - 5);
	KUNIT_EXPECT_EQ(test, fadump_copies_find(&copies, SZ_8M, &len), 0);
	KUNIT_EXPECT_EQ(test, len, U64_MAX);
	KUNIT_EXPECT_TRUE(test, fadump_copies_cover(&copies, SZ_4M, SZ_8M));
	KUNIT_EXPECT_FALSE(test, fadump_copies_cover(&copies, SZ_4M, SZ_8M + 1));
	KUNIT_EXPECT_FALSE(test, fadump_copies_cover(&copies, SZ_2M - 1, SZ_4M + 1));
}

/* The call */

static int answers[4];
static unsigned int nr_calls, waited;

static int double_call(unsigned int command, struct rtas_fadump_mem_struct *arg, u32 len,
		       bool at_panic)
{
	return answers[min(nr_calls++, ARRAY_SIZE(answers) - 1)];
}

static void double_wait(unsigned int ms, bool at_panic)
{
	waited += ms;
}

static int configure(struct kunit *test, int first, int second)
{
	kunit_activate_static_stub(test, fadump_rtas_call, double_call);
	kunit_activate_static_stub(test, fadump_rtas_wait, double_wait);
	answers[0] = first;
	answers[1] = second;
	answers[2] = second;
	answers[3] = second;
	nr_calls = 0;
	waited = 0;
	return fadump_rtas_configure(FADUMP_REGISTER, NULL, 0, false);
}

static void test_status(struct kunit *test)
{
	static const struct {
		int status, want;
	} answered[] = {
		{ 0, 0 }, { -1, -EIO }, { -3, -EINVAL }, { -9, -EEXIST }, { -10, -EBUSY },
		{ -8, -EIO },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(answered); i++) {
		KUNIT_EXPECT_EQ_MSG(test, configure(test, answered[i].status, 0),
				    answered[i].want, "status %d", answered[i].status);
		/* The kernel must not try again after any of these. */
		KUNIT_EXPECT_EQ_MSG(test, nr_calls, 1, "status %d", answered[i].status);
		KUNIT_EXPECT_EQ_MSG(test, waited, 0, "status %d", answered[i].status);
	}
}

static void test_busy(struct kunit *test)
{
	/* -2: busy; 9900 to 9905: 1 ms to 100 s. */
	KUNIT_EXPECT_EQ(test, configure(test, -2, 0), 0);
	KUNIT_EXPECT_EQ(test, nr_calls, 2);
	KUNIT_EXPECT_EQ(test, configure(test, 9902, -3), -EINVAL);
	KUNIT_EXPECT_EQ(test, waited, 100);
	KUNIT_EXPECT_EQ(test, configure(test, 9904, 9904), -ETIMEDOUT);
	KUNIT_EXPECT_EQ(test, waited, 60000);
	KUNIT_EXPECT_EQ(test, configure(test, -2, -2), -ETIMEDOUT);
	/* The time is a hint: the kernel does not wait for 100 s in one go. */
	KUNIT_EXPECT_EQ(test, configure(test, 9905, 0), 0);
	KUNIT_EXPECT_EQ(test, waited, 1000);
}

/* A made-up reservation in ordinary memory. */
#define TEST_SLOT	SZ_64K
#define TEST_SIZE	(8 * SZ_64K)

static struct fadump_head *make_head(struct kunit *test)
{
	struct fadump_head *head = kunit_kzalloc(test, TEST_SIZE + PAGE_SIZE, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, head);
	head = PTR_ALIGN(head, PAGE_SIZE);
	fadump_head_init(head, __pa(head), TEST_SIZE, SZ_64M, ALIGN(TEST_SLOT, PAGE_SIZE),
			 PAGE_SIZE);
	return head;
}

static void seal_head(struct fadump_head *head)
{
	head->checksum = xxh64(head, offsetof(struct fadump_head, checksum), 0);
}

static struct fadump_slot *make_slot(struct kunit *test, struct fadump_head *head, unsigned int i,
				     u64 seq)
{
	struct fadump_slot *slot = fadump_slot(head, i);

	*slot = (struct fadump_slot) { .seq = seq, .nr_loads = 2, .notes_size = 28 };
	memcpy(slot->magic, FADUMP_MAGIC, sizeof(slot->magic));
	fadump_loads(slot)[0] = (struct fadump_load) {
		.vaddr = PAGE_OFFSET + SZ_128M, .paddr = SZ_128M, .size = SZ_1M,
	};
	fadump_loads(slot)[1] = (struct fadump_load) {
		.vaddr = PAGE_OFFSET + SZ_1M, .paddr = SZ_1M, .size = PAGE_SIZE,
		.copy = head->base + head->copies,
	};
	/* A note with a name of four bytes and no content, and the empty note at the end. */
	memset(fadump_notes(slot), 0, 28);
	((struct elf64_note *)fadump_notes(slot))->n_namesz = 4;
	fadump_slot_seal(slot);
	return slot;
}

static void test_structure(struct kunit *test)
{
	struct fadump_head *head = make_head(test);
	struct fadump_copies copies = {}, found;
	struct rtas_fadump_mem_struct *arg;
	struct fadump_head area;
	unsigned int i;
	u32 len;

	arg = kunit_kzalloc(test, sizeof(*arg), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, arg);
	fadump_copies_add(&copies, 0, SZ_1M, SZ_64M);
	fadump_copies_add(&copies, SZ_2M, SZ_2M + SZ_16M, SZ_64M);
	fadump_copies_place(&copies, SZ_1G);
	area = (struct fadump_head) { .base = SZ_1G, .size = SZ_64M };
	len = fadump_rtas_fill(arg, head, &copies);

	/* Sections: the CPUs, our mark, the small copy, and two for the large one. */
	KUNIT_EXPECT_EQ(test, be16_to_cpu(arg->header.dump_num_sections), 5);
	KUNIT_EXPECT_EQ(test, len, 40 + 5 * 40);
	KUNIT_EXPECT_EQ(test, be32_to_cpu(arg->header.offset_first_dump_section), 40);
	KUNIT_EXPECT_EQ(test, fadump_rtas_find_head(arg, len), head->base);
	/* No other types: mainline takes the content of type 0x100 for a command line. */
	for (i = 0; i < 5; i++)
		KUNIT_EXPECT_EQ(test, be16_to_cpu(arg->rgn[i].source_data_type),
				i == 0 ? 1 : i == 1 ? 0x4b4d : 0x11);

	/* Nothing was copied yet. */
	KUNIT_EXPECT_EQ(test, fadump_rtas_read_copies(arg, &area, &found), 3);
	KUNIT_EXPECT_FALSE(test, fadump_rtas_has_cpus(arg));
	arg->rgn[0].bytes_dumped = arg->rgn[0].source_len;
	arg->rgn[2].bytes_dumped = arg->rgn[2].source_len;
	arg->rgn[3].bytes_dumped = arg->rgn[3].source_len;
	arg->rgn[3].error_flags = cpu_to_be16(0x4000);
	arg->rgn[4].bytes_dumped = cpu_to_be64(PAGE_SIZE + 1);
	KUNIT_EXPECT_TRUE(test, fadump_rtas_has_cpus(arg));
	KUNIT_EXPECT_EQ(test, fadump_rtas_read_copies(arg, &area, &found), 2);
	KUNIT_ASSERT_EQ(test, found.nr, 2);
	check_copy(test, &found, 0, 0, SZ_1M);
	check_copy(test, &found, 1, SZ_2M + FADUMP_MAX_COPY,
		   min_t(u64, PAGE_SIZE, SZ_16M - FADUMP_MAX_COPY));

	/* Firmware has copied a section in part: only whole pages of it count. */
	arg->rgn[2].bytes_dumped = cpu_to_be64(SZ_1M - 1);
	KUNIT_EXPECT_EQ(test, fadump_rtas_read_copies(arg, &area, &found), 3);
	KUNIT_ASSERT_EQ(test, found.nr, 2);
	check_copy(test, &found, 0, 0, SZ_1M - PAGE_SIZE);
	arg->rgn[2].bytes_dumped = arg->rgn[2].source_len;

	/* A section whose destination is outside of the reservation is not ours. */
	area.base = SZ_1G + SZ_1M;
	KUNIT_EXPECT_EQ(test, fadump_rtas_read_copies(arg, &area, &found), 3);
	KUNIT_EXPECT_EQ(test, found.nr, 1);
	area.base = SZ_1G;
	area.size = SZ_1M;
	KUNIT_EXPECT_EQ(test, fadump_rtas_read_copies(arg, &area, &found), 2);
	KUNIT_EXPECT_EQ(test, found.nr, 1);
}

static void test_structure_of_others(struct kunit *test)
{
	struct fadump_head *head = make_head(test);
	struct fadump_copies copies = {};
	struct rtas_fadump_mem_struct *arg;
	u32 len;

	arg = kunit_kzalloc(test, sizeof(*arg), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, arg);
	len = fadump_rtas_fill(arg, head, &copies);
	KUNIT_EXPECT_EQ(test, fadump_rtas_find_head(arg, len - 1), 0);
	KUNIT_EXPECT_EQ(test, fadump_rtas_find_head(arg, 39), 0);
	KUNIT_EXPECT_EQ(test, fadump_rtas_find_head(arg, 0), 0);
	arg->rgn[1].source_data_type = cpu_to_be16(0x100);
	KUNIT_EXPECT_EQ(test, fadump_rtas_find_head(arg, len), 0);
	arg->header.dump_num_sections = cpu_to_be16(11);
	KUNIT_EXPECT_EQ(test, fadump_rtas_find_head(arg, sizeof(*arg) + 40), 0);
	arg->header.dump_num_sections = cpu_to_be16(0xffff);
	KUNIT_EXPECT_EQ(test, fadump_rtas_find_head(arg, sizeof(*arg)), 0);
}

/* The table */

static void test_head(struct kunit *test)
{
	struct fadump_head *head = make_head(test), good;
	unsigned int bit;

	KUNIT_EXPECT_NULL(test, fadump_head_check(head, head->base));
	KUNIT_EXPECT_NOT_NULL(test, fadump_head_check(head, head->base + PAGE_SIZE));
	good = *head;
	for (bit = 0; bit < 8 * offsetof(struct fadump_head, state); bit++) {
		*head = good;
		((u8 *)head)[bit / 8] ^= 1 << bit % 8;
		KUNIT_EXPECT_NOT_NULL_MSG(test, fadump_head_check(head, good.base), "bit %u", bit);
	}
	*head = good;
	head->state = FADUMP_CHANGING;
	KUNIT_EXPECT_NULL(test, fadump_head_check(head, head->base));
}

/* A forged one can have a good checksum, so its values have to be checked, too. */
static void test_bad_heads(struct kunit *test)
{
	struct fadump_head *head = make_head(test);
	const u64 base = head->base, copies = head->copies;
	const char *text = "contradicts itself";
	const struct {
		size_t at;
		u64 value;
	} bad[] = {
#define MEMBER(name)	offsetof(struct fadump_head, name)
		{ MEMBER(base), base + PAGE_SIZE },
		{ MEMBER(size), FADUMP_MAX_SIZE + PAGE_SIZE },
		{ MEMBER(size), TEST_SIZE + 1 },
		{ MEMBER(size), head->slot_size - PAGE_SIZE },
		{ MEMBER(size), copies - PAGE_SIZE },
		{ MEMBER(size), -base },
		{ MEMBER(low_top), SZ_64M + 1 },
		{ MEMBER(slot_size), 0 },
		{ MEMBER(slot_size), head->slot_size + 1 },
		{ MEMBER(slot_size), TEST_SIZE + PAGE_SIZE },
		{ MEMBER(slot_size), -PAGE_SIZE },
		{ MEMBER(slots), 0 },
		{ MEMBER(slots), 2 * PAGE_SIZE },
		{ MEMBER(cpus), head->cpus + PAGE_SIZE },
		{ MEMBER(copies), head->cpus },
		{ MEMBER(copies), copies + 1 },
		{ MEMBER(copies), TEST_SIZE + PAGE_SIZE },
#undef MEMBER
	};
	struct fadump_head good;
	unsigned int i;

	KUNIT_EXPECT_STREQ(test, fadump_head_check(head, base + PAGE_SIZE), text);
	good = *head;
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		const char *why;

		*head = good;
		*(u64 *)((void *)head + bad[i].at) = bad[i].value;
		seal_head(head);
		why = fadump_head_check(head, base);
		KUNIT_EXPECT_TRUE_MSG(test, why && !strcmp(why, text), "head %u: %s", i, why);
	}

	*head = good;
	head->page_shift = PAGE_SHIFT + 1;
	seal_head(head);
	KUNIT_EXPECT_STREQ(test, fadump_head_check(head, base),
			   "of a kernel with another page size");
	*head = good;
	head->version = FADUMP_VERSION + 1;
	seal_head(head);
	text = "of another version, or of a kernel of the other byte order";
	KUNIT_EXPECT_STREQ(test, fadump_head_check(head, base), text);
	head->version = swab32(FADUMP_VERSION);
	KUNIT_EXPECT_STREQ(test, fadump_head_check(head, base), text);
	*head = good;
	head->low_top += PAGE_SIZE;
	KUNIT_EXPECT_STREQ(test, fadump_head_check(head, base), "damaged");
	head->magic[0]++;
	KUNIT_EXPECT_STREQ(test, fadump_head_check(head, base), "there is none");
}

/* What a CPU takes in the register save area of QEMU's pseries machine. */
#define CPU_SIZE	1264

static void test_sizes(struct kunit *test)
{
	struct fadump_sizes sizes = fadump_sizes(SZ_2G, 2 * CPU_SIZE, 5 * SZ_1M), last;
	u64 ram;

	KUNIT_EXPECT_LE(test, sizes.usual, SZ_16M);
	KUNIT_EXPECT_LE(test, sizes.least, 4 * SZ_1M);
	for (ram = SZ_512M; ram <= 64ULL << 40; ram *= 2) {
		last = sizes;
		sizes = fadump_sizes(ram, 2 * CPU_SIZE, 5 * SZ_1M);
		KUNIT_EXPECT_TRUE(test, IS_ALIGNED(sizes.usual | sizes.least, SZ_1M));
		KUNIT_EXPECT_TRUE(test, PAGE_ALIGNED(sizes.slot | sizes.cpus));
		KUNIT_EXPECT_LE(test, PAGE_SIZE + 2 * sizes.slot + sizes.cpus + SZ_1M,
				sizes.least);
		KUNIT_EXPECT_LE(test, sizes.least + 5 * SZ_1M, sizes.usual);
		if (ram > SZ_2G)
			KUNIT_EXPECT_LE(test, last.usual, sizes.usual);
	}
	/* A large machine, and a kernel with as much data as those of distributions. */
	sizes = fadump_sizes(1ULL << 40, 1536 * CPU_SIZE, SZ_16M + SZ_4M);
	KUNIT_EXPECT_LE(test, sizes.usual, SZ_64M);
	KUNIT_EXPECT_EQ(test, sizes.slot, 9 * SZ_1M);
	/* The usual size has room for all of the image. */
	sizes = fadump_sizes(SZ_2G, 0, 0);
	KUNIT_EXPECT_EQ(test, fadump_sizes(SZ_2G, 0, SZ_64M).usual, sizes.usual + SZ_64M);
}

static void test_slots(struct kunit *test)
{
	struct fadump_head *head = make_head(test);
	struct fadump_slot *first, *second;

	KUNIT_EXPECT_NULL(test, fadump_slot_newest(head));
	first = make_slot(test, head, 0, 7);
	KUNIT_EXPECT_PTR_EQ(test, fadump_slot_newest(head), first);
	second = make_slot(test, head, 1, 8);
	KUNIT_EXPECT_PTR_EQ(test, fadump_slot_newest(head), second);

	/* As if the machine had stopped while it wrote this one. */
	second->notes_size++;
	KUNIT_EXPECT_PTR_EQ(test, fadump_slot_newest(head), first);
	memset(first, 0, sizeof(*first));
	KUNIT_EXPECT_NULL(test, fadump_slot_newest(head));
}

static void test_damaged_slots(struct kunit *test)
{
	struct fadump_head *head = make_head(test);
	struct fadump_slot *slot = make_slot(test, head, 0, 1);
	size_t size = fadump_notes(slot) - (void *)slot + slot->notes_size;
	unsigned int bit;

	for (bit = 0; bit < 8 * size; bit++) {
		((u8 *)slot)[bit / 8] ^= 1 << bit % 8;
		KUNIT_EXPECT_FALSE_MSG(test, fadump_slot_valid(head, slot), "bit %u", bit);
		((u8 *)slot)[bit / 8] ^= 1 << bit % 8;
	}
	KUNIT_EXPECT_TRUE(test, fadump_slot_valid(head, slot));

	/* A forged one can have a good checksum, so its values have to be checked, too. */
	slot->nr_loads = U32_MAX;
	KUNIT_EXPECT_FALSE(test, fadump_slot_valid(head, slot));
	slot->nr_loads = 2;
	slot->notes_size = U64_MAX;
	KUNIT_EXPECT_FALSE(test, fadump_slot_valid(head, slot));
	slot->notes_size = head->slot_size;
	KUNIT_EXPECT_FALSE(test, fadump_slot_valid(head, slot));
}

/* Readers of notes stop only at an empty note, so a slot without one is bad. */
static void test_bad_notes(struct kunit *test)
{
	struct fadump_head *head = make_head(test);
	static const struct {
		u32 namesz, descsz;
		u64 size;
	} bad[] = {
		{ 4, 0, 0 }, { 4, 0, 11 }, { 4, 0, 16 }, { 4, 0, 27 }, { 4, 12, 28 },
		{ 4, U32_MAX, 28 }, { U32_MAX, U32_MAX, 28 }, { U32_MAX, 0, 28 }, { 17, 0, 28 },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		struct fadump_slot *slot = make_slot(test, head, 0, 1);
		struct elf64_note *note = fadump_notes(slot);

		KUNIT_EXPECT_TRUE(test, fadump_slot_valid(head, slot));
		note->n_namesz = bad[i].namesz;
		note->n_descsz = bad[i].descsz;
		slot->notes_size = bad[i].size;
		fadump_slot_seal(slot);
		KUNIT_EXPECT_FALSE_MSG(test, fadump_slot_valid(head, slot), "notes %u", i);
	}
}

static void test_bad_loads(struct kunit *test)
{
	struct fadump_head *head = make_head(test);
	struct fadump_load *load;
	struct fadump_slot *slot;
	unsigned int i;
	const struct fadump_load bad[] = {
		{ .paddr = SZ_128M + 1, .size = PAGE_SIZE },
		{ .paddr = SZ_128M, .size = PAGE_SIZE + 1 },
		{ .paddr = -PAGE_SIZE, .size = 2 * PAGE_SIZE },
		{ .paddr = 0, .size = -PAGE_SIZE },
		{ .paddr = SZ_64M - PAGE_SIZE, .size = 2 * PAGE_SIZE },
		/* Memory of the reservation itself can't be in a dump. */
		{ .paddr = head->base + PAGE_SIZE, .size = PAGE_SIZE },
		{ .paddr = SZ_1M, .size = PAGE_SIZE, .copy = head->base },
		{ .paddr = SZ_1M, .size = PAGE_SIZE, .copy = head->base + head->size },
		{ .paddr = SZ_1M, .size = TEST_SIZE, .copy = head->base + head->copies },
	};

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		slot = make_slot(test, head, 0, 1);
		load = &fadump_loads(slot)[1];
		*load = bad[i];
		fadump_slot_seal(slot);
		KUNIT_EXPECT_FALSE_MSG(test, fadump_slot_valid(head, slot), "load %u", i);
	}
}

/* What the backend does after each answer of firmware */

/* More calls than any one change makes. */
#define MAX_CALLS	10

static struct {
	char			what;		/* 'r'egister, 'u'nregister, 'i'nvalidate */
	int			answer;
	const void		*copies;
	enum fadump_state	state;		/* what the head says meanwhile */
} calls[MAX_CALLS];
static unsigned int nr_answers, nr_backend_calls;

static int answer(char what, const void *copies)
{
	unsigned int i = nr_backend_calls++;

	if (i >= MAX_CALLS)
		return -EIO;
	calls[i].what = what;
	calls[i].copies = copies;
	calls[i].state = fadump.head->state;
	return i < nr_answers ? calls[i].answer : 0;
}

static int double_register(const struct fadump_head *head, const struct fadump_copies *copies,
			   bool at_panic)
{
	return answer('r', copies);
}

static int double_command(unsigned int command)
{
	return answer(command == FADUMP_UNREGISTER ? 'u' : 'i', NULL);
}

/* Make firmware give these answers in turn, and 0 after them. */
#define SCRIPT(...)							\
do {									\
	const int script[] = { __VA_ARGS__ };				\
	unsigned int i;							\
									\
	memset(calls, 0, sizeof(calls));				\
	for (i = 0; i < ARRAY_SIZE(script); i++)			\
		calls[i].answer = script[i];				\
	nr_answers = ARRAY_SIZE(script);				\
	nr_backend_calls = 0;						\
} while (0)

/* Check which calls there were, and their order. */
static void check_calls(struct kunit *test, int line, const char *want)
{
	char got[MAX_CALLS + 1] = "";
	unsigned int i;

	for (i = 0; i < min(nr_backend_calls, MAX_CALLS); i++)
		got[i] = calls[i].what;
	KUNIT_EXPECT_TRUE_MSG(test, !strcmp(got, want), "line %d: calls %s, not %s",
			      line, got, want);
}

static void check_state(struct kunit *test, int line, bool registered)
{
	KUNIT_EXPECT_TRUE_MSG(test, fadump.registered == registered, "line %d", line);
	KUNIT_EXPECT_TRUE_MSG(test, fadump.head->state ==
			      (registered ? FADUMP_REGISTERED : FADUMP_IDLE), "line %d: %u", line,
			      fadump.head->state);
}

#define CHECK(calls, registered)					\
do {									\
	check_calls(test, __LINE__, calls);				\
	check_state(test, __LINE__, registered);			\
} while (0)

static void try_unregistered(struct kunit *test)
{
	SCRIPT(0);
	KUNIT_EXPECT_EQ(test, fadump_register(), 0);
	CHECK("r", true);
	KUNIT_EXPECT_EQ(test, calls[0].state, FADUMP_CHANGING);
	SCRIPT(0);
	KUNIT_EXPECT_EQ(test, fadump_unregister(), 0);
	CHECK("u", false);
	/* There is nothing to take back. */
	SCRIPT(0);
	KUNIT_EXPECT_EQ(test, fadump_unregister(), 0);
	CHECK("", false);

	SCRIPT(-EIO);
	KUNIT_EXPECT_EQ(test, fadump_register(), -EIO);
	CHECK("r", false);

	/* A registration of the last kernel is still there. */
	SCRIPT(-EEXIST, -EIO);
	KUNIT_EXPECT_EQ(test, fadump_register(), -EEXIST);
	CHECK("ru", false);
	SCRIPT(-EEXIST, 0, 0);
	KUNIT_EXPECT_EQ(test, fadump_register(), 0);
	CHECK("rur", true);
	KUNIT_EXPECT_PTR_EQ(test, calls[2].copies, calls[0].copies);
	SCRIPT(0);
	KUNIT_EXPECT_EQ(test, fadump_unregister(), 0);

	/* A dump that waits has to stay. Any other one is invalidated. */
	fadump.waiting = true;
	SCRIPT(-EBUSY);
	KUNIT_EXPECT_EQ(test, fadump_register(), -EBUSY);
	CHECK("r", false);
	fadump.waiting = false;
	SCRIPT(-EBUSY, -EIO);
	KUNIT_EXPECT_EQ(test, fadump_register(), -EBUSY);
	CHECK("ri", false);
	SCRIPT(-EBUSY, 0, 0);
	KUNIT_EXPECT_EQ(test, fadump_register(), 0);
	CHECK("rir", true);
}

static void try_registered(struct kunit *test)
{
	const void *old = calls[2].copies, *new;

	/* The new copies must not overwrite the old ones, which panic code may be reading. */
	SCRIPT(0, 0);
	KUNIT_EXPECT_EQ(test, fadump_register(), 0);
	CHECK("ur", true);
	KUNIT_EXPECT_EQ(test, calls[0].state, FADUMP_CHANGING);
	KUNIT_EXPECT_EQ(test, calls[1].state, FADUMP_CHANGING);
	new = calls[1].copies;
	KUNIT_EXPECT_PTR_NE(test, new, old);

	/* Unregistering fails: the copies stay, so the next ones take the other place. */
	SCRIPT(-EIO);
	KUNIT_EXPECT_EQ(test, fadump_register(), -EIO);
	CHECK("u", true);
	SCRIPT(0, 0);
	KUNIT_EXPECT_EQ(test, fadump_register(), 0);
	CHECK("ur", true);
	KUNIT_EXPECT_PTR_EQ(test, calls[1].copies, old);

	/* Firmware refuses the new copies: the old ones are registered again, and stay. */
	SCRIPT(0, -EINVAL, 0);
	KUNIT_EXPECT_EQ(test, fadump_register(), -EINVAL);
	CHECK("urr", true);
	KUNIT_EXPECT_PTR_EQ(test, calls[1].copies, new);
	KUNIT_EXPECT_PTR_EQ(test, calls[2].copies, old);
	SCRIPT(0, 0);
	KUNIT_EXPECT_EQ(test, fadump_register(), 0);
	KUNIT_EXPECT_PTR_EQ(test, calls[1].copies, new);

	/* The administrator unregisters, but firmware refuses. */
	SCRIPT(-EIO);
	KUNIT_EXPECT_EQ(test, fadump_unregister(), -EIO);
	CHECK("u", true);

	/* Firmware refuses both the new copies and the old ones. */
	SCRIPT(0, -EINVAL, -EIO);
	KUNIT_EXPECT_EQ(test, fadump_register(), -EINVAL);
	CHECK("urr", false);
	SCRIPT(0);
	KUNIT_EXPECT_EQ(test, fadump_unregister(), 0);
	CHECK("", false);
}

static void test_reactions(struct kunit *test)
{
	struct fadump_head *head = make_head(test);

	if (kmemdump_fadump_in_charge())
		kunit_skip(test, "firmware is in use");
	kunit_activate_static_stub(test, fadump_rtas_register, double_register);
	kunit_activate_static_stub(test, fadump_rtas_command, double_command);
	/* No KUNIT_ASSERT here: it would end the test with the lock held. */
	mutex_lock(&fadump.lock);
	fadump.head = head;
	try_unregistered(test);
	try_registered(test);
	fadump.head = NULL;
	mutex_unlock(&fadump.lock);
}

/* Registers */

struct area {
	u8	magic[8];
	__be32	version;
	__be32	offset;
	__be32	nr_cpus;
	struct {
		char	name[8];
		__be64	value;
	} __packed entry[8];
} __packed;

static void set_entry(struct area *area, unsigned int i, const char *name, u64 value)
{
	memset(area->entry[i].name, 0, sizeof(area->entry[i].name));
	memcpy(area->entry[i].name, name, strlen(name));
	area->entry[i].value = cpu_to_be64(value);
}

static void test_registers(struct kunit *test)
{
	struct area *area = kunit_kzalloc(test, sizeof(*area), GFP_KERNEL);
	size_t room = SZ_4K, size, one;
	struct elf_prstatus *prstatus;
	void *notes = kunit_kzalloc(test, room, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, area);
	KUNIT_ASSERT_NOT_NULL(test, notes);
	memcpy(area->magic, "REGSAVE", 8);
	area->offset = cpu_to_be32(offsetof(struct area, nr_cpus));
	set_entry(area, 0, "CPUSTRT", 0);
	set_entry(area, 1, "GPR01", 0x1111);
	set_entry(area, 2, "NIA", 0x2222);
	set_entry(area, 3, "CPUEND", 0);
	set_entry(area, 4, "CPUSTRT", 1);
	/* There is no GPR32; in struct pt_regs, NIP follows the last GPR. */
	set_entry(area, 5, "GPR32", 1);
	set_entry(area, 6, "VRSAVE", 1);
	set_entry(area, 7, "CPUEND", 1);

	size = fadump_cpu_notes(area, sizeof(*area), notes, room);
	one = size / 2;
	KUNIT_EXPECT_GT(test, one, sizeof(*prstatus));
	prstatus = notes + sizeof(struct elf_note) + 8;
	KUNIT_EXPECT_EQ(test, prstatus->pr_reg[1], 0x1111);
	KUNIT_EXPECT_EQ(test, prstatus->pr_reg[PT_NIP], 0x2222);
	KUNIT_EXPECT_EQ(test, prstatus->common.pr_pid, PID_MAX_LIMIT);
	prstatus = notes + one + sizeof(struct elf_note) + 8;
	KUNIT_EXPECT_EQ(test, prstatus->pr_reg[PT_NIP], 0);
	KUNIT_EXPECT_EQ(test, prstatus->common.pr_pid, PID_MAX_LIMIT + 1);

	/* Firmware's data ends before the first entry of its list of registers. */
	size = offsetof(struct area, entry) - 1;
	KUNIT_EXPECT_EQ(test, fadump_cpu_notes(area, size, notes, room), 0);
	/* If the data is cut off, only the CPUs that are whole count. */
	KUNIT_EXPECT_EQ(test, fadump_cpu_notes(area, sizeof(*area) - 1, notes, room), one);
	KUNIT_EXPECT_EQ(test, fadump_cpu_notes(area, sizeof(*area), notes, one), one);
	set_entry(area, 3, "CPUSTRT", 0);
	KUNIT_EXPECT_EQ(test, fadump_cpu_notes(area, sizeof(*area), notes, room), one);
	set_entry(area, 0, "GPR00", 0);
	KUNIT_EXPECT_EQ(test, fadump_cpu_notes(area, sizeof(*area), notes, room), 0);

	area->offset = cpu_to_be32(U32_MAX);
	KUNIT_EXPECT_EQ(test, fadump_cpu_notes(area, sizeof(*area), notes, room), 0);
	KUNIT_EXPECT_EQ(test, fadump_cpu_notes(area, 8, notes, room), 0);
}

static struct kunit_case cases[] = {
	KUNIT_CASE(test_copies_join),
	KUNIT_CASE(test_copies_are_few),
	KUNIT_CASE(test_copies_room),
	KUNIT_CASE(test_copies_find),
	KUNIT_CASE(test_status),
	KUNIT_CASE(test_busy),
	KUNIT_CASE(test_structure),
	KUNIT_CASE(test_structure_of_others),
	KUNIT_CASE(test_head),
	KUNIT_CASE(test_bad_heads),
	KUNIT_CASE(test_sizes),
	KUNIT_CASE(test_slots),
	KUNIT_CASE(test_damaged_slots),
	KUNIT_CASE(test_bad_notes),
	KUNIT_CASE(test_bad_loads),
	KUNIT_CASE(test_reactions),
	KUNIT_CASE(test_registers),
	{}
};

static struct kunit_suite suite = {
	.name		= "kmemdump-fadump",
	.test_cases	= cases,
};

kunit_test_suite(suite);
