// SPDX-License-Identifier: GPL-2.0-only
/*
 * Qualcomm minidump: KUnit tests of the core image that is cut into slots.
 *
 * Copyright (C) 2026 the kmemdump authors
 */
#include <linux/elf.h>
#include <linux/io.h>
#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/sched/task_stack.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/vmalloc.h>
#include <linux/xxhash.h>

#include "../../../../mm/kmemdump/test_backend.h"
#include "minidump.h"

#define MAX_SLOTS	160

/* A backend that keeps the tables that are published, and what firmware would save. */
struct slot_backend {
	struct minidump_slots	*s;
	struct kmemdump_table	*table;
	struct minidump_slot	copies[MINIDUMP_COPIES][1 + MAX_SLOTS];
	struct minidump_slot	*slots;		/* published last */
	unsigned int		nr;
	unsigned int		last_copy;
	unsigned int		nr_published;
	unsigned int		nr_wrong;	/* changes to a published table */
	u64			hash;		/* of the published headers */
	void			*dump;		/* made by save() */
};

/* Hash the headers that firmware would find now. */
static u64 hash_headers(const struct slot_backend *sb)
{
	const struct elf64_hdr *ehdr = phys_to_virt(sb->slots[0].phys_addr);

	return xxh64(ehdr, sizeof(*ehdr) + ehdr->e_phnum * sizeof(struct elf64_phdr), 0);
}

static struct minidump_slot *spare_copy(struct minidump_slots *s, unsigned int copy)
{
	struct slot_backend *sb = s->data;

	if (sb->slots)
		sb->nr_wrong += sb->slots == sb->copies[copy] || hash_headers(sb) != sb->hash;
	return sb->copies[copy];
}

static void fill(struct minidump_slots *s, unsigned int copy, const struct minidump_slot *slots,
		 unsigned int nr)
{
	memcpy(spare_copy(s, copy), slots, nr * sizeof(*slots));
}

static void move(struct minidump_slots *s, unsigned int copy, unsigned int slot,
		 phys_addr_t phys_addr)
{
	spare_copy(s, copy)[slot].phys_addr = phys_addr;
}

static void publish(struct minidump_slots *s, unsigned int copy, unsigned int nr)
{
	struct slot_backend *sb = s->data;

	if (sb->slots)
		sb->nr_wrong += hash_headers(sb) != sb->hash;
	sb->slots = nr ? sb->copies[copy] : NULL;
	sb->nr = nr;
	sb->hash = nr ? hash_headers(sb) : 0;
	sb->last_copy = copy;
	sb->nr_published++;
}

static const struct minidump_slots_ops slot_ops = {
	.fill = fill,
	.move = move,
	.publish = publish,
};

static void detach(struct slot_backend *sb)
{
	kmemdump_detach(sb->table, &sb->s->be);
	minidump_slots_stop(sb->s);
	sb->table = NULL;
}

static void free_backend(void *data)
{
	struct slot_backend *sb = data;

	if (sb->table)
		detach(sb);
	minidump_slots_free(sb->s);
	vfree(sb->dump);
}

static struct slot_backend *attach_following(struct kunit *test, struct kmemdump_table *table,
					     unsigned int max_slots, size_t staging_size,
					     bool follow_tasks)
{
	struct slot_backend *sb = kunit_kzalloc(test, sizeof(*sb), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, sb);
	sb->s = minidump_slots_alloc("test-slots", &slot_ops, max_slots, staging_size,
				     follow_tasks);
	KUNIT_ASSERT_NOT_NULL(test, sb->s);
	KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, free_backend, sb), 0);
	sb->s->data = sb;
	KUNIT_ASSERT_EQ(test, kmemdump_attach(table, &sb->s->be), 0);
	sb->table = table;
	return sb;
}

static struct slot_backend *attach(struct kunit *test, struct kmemdump_table *table,
				   unsigned int max_slots, size_t staging_size)
{
	return attach_following(test, table, max_slots, staging_size, false);
}

/* Get a page of which a test knows all users. The pages around it stay unused. */
static u8 *own_page(struct kunit *test, u8 fill)
{
	u8 *p = kunit_kmalloc(test, 4 * PAGE_SIZE, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, p);
	KUNIT_ASSERT_TRUE(test, PAGE_ALIGNED(p));
	memset(p, 0, 4 * PAGE_SIZE);
	memset(p + PAGE_SIZE, fill, PAGE_SIZE);
	return p + PAGE_SIZE;
}

/* Join the ranges in order, as firmware and "cat" do. The result has to be an ELF core. */
static const struct elf64_hdr *save(struct kunit *test, struct slot_backend *sb)
{
	const struct elf64_phdr *phdr;
	const struct elf64_hdr *ehdr;
	u64 size = 0, pos = 0;
	unsigned int i, j;

	KUNIT_EXPECT_EQ(test, sb->nr_wrong, 0);
	for (i = 0; i < sb->nr; i++)
		size += sb->slots[i].size;
	vfree(sb->dump);
	sb->dump = vmalloc(size);
	KUNIT_ASSERT_NOT_NULL(test, sb->dump);
	for (i = 0; i < sb->nr; i++) {
		KUNIT_EXPECT_TRUE(test, PAGE_ALIGNED(sb->slots[i].phys_addr | sb->slots[i].size));
		KUNIT_EXPECT_EQ(test, sb->slots[i].name[0], 'K');
		KUNIT_EXPECT_GE(test, strlen(sb->slots[i].name), 3);
		for (j = 0; j < i; j++) {
			KUNIT_EXPECT_NE(test, strcasecmp(sb->slots[i].name, sb->slots[j].name), 0);
			KUNIT_EXPECT_NE(test, sb->slots[i].phys_addr, sb->slots[j].phys_addr);
		}
		KUNIT_EXPECT_EQ(test, !strncasecmp(sb->slots[i].name, "KELF", 4), i == 0);
		memcpy(sb->dump + pos, phys_to_virt(sb->slots[i].phys_addr), sb->slots[i].size);
		pos += sb->slots[i].size;
	}

	ehdr = sb->dump;
	KUNIT_ASSERT_EQ(test, memcmp(ehdr->e_ident, ELFMAG, SELFMAG), 0);
	KUNIT_EXPECT_EQ(test, ehdr->e_phoff, 64);
	KUNIT_ASSERT_GE(test, ehdr->e_phnum, sb->nr);
	phdr = sb->dump + ehdr->e_phoff;
	KUNIT_EXPECT_EQ(test, phdr[0].p_type, PT_NOTE);
	pos = sb->slots[0].size;
	for (i = 1; i < ehdr->e_phnum; i++) {
		KUNIT_EXPECT_LE(test, phdr[i].p_offset + phdr[i].p_filesz, size);
		if (i < sb->nr) {
			KUNIT_EXPECT_EQ(test, phdr[i].p_paddr, sb->slots[i].phys_addr);
			KUNIT_EXPECT_EQ(test, phdr[i].p_filesz, sb->slots[i].size);
			KUNIT_EXPECT_EQ(test, phdr[i].p_offset, pos);
			pos += phdr[i].p_filesz;
			continue;
		}
		/* Programs that assemble by address must not take this one for a slot. */
		for (j = 0; j < sb->nr; j++)
			KUNIT_EXPECT_NE(test, phdr[i].p_paddr, sb->slots[j].phys_addr);
	}
	return ehdr;
}

/* Where the dump has @addr, or NULL. */
static const void *find(struct slot_backend *sb, const void *addr, size_t size)
{
	const struct elf64_hdr *ehdr = sb->dump;
	const struct elf64_phdr *phdr = sb->dump + ehdr->e_phoff;
	u64 vaddr = (unsigned long)addr;
	int i;

	for (i = 1; i < ehdr->e_phnum; i++)
		if (vaddr >= phdr[i].p_vaddr &&
		    vaddr + size <= phdr[i].p_vaddr + phdr[i].p_filesz)
			return sb->dump + phdr[i].p_offset + (vaddr - phdr[i].p_vaddr);
	return NULL;
}

static bool has(struct slot_backend *sb, const void *addr, size_t size)
{
	const void *p = find(sb, addr, size);

	return p && !memcmp(p, addr, size);
}

/* The KMEMDUMP note of the dump. */
static const struct kmemdump_note *region_note(struct slot_backend *sb)
{
	const struct elf64_hdr *ehdr = sb->dump;
	const struct elf64_phdr *phdr = sb->dump + ehdr->e_phoff;
	const void *p = sb->dump + phdr->p_offset, *end = p + phdr->p_filesz;

	while (p < end) {
		const struct elf64_note *note = p;
		const void *desc = p + sizeof(*note) + ALIGN(note->n_namesz, 4);

		if (note->n_type == KMEMDUMP_NT_REGIONS)
			return desc;
		p = desc + ALIGN(note->n_descsz, 4);
	}
	return NULL;
}

static void at_panic(struct slot_backend *sb)
{
	static struct pt_regs regs;

	kmemdump_write_all(sb->table, &regs);
}

static void layout(struct kunit *test)
{
	struct kmemdump_table *table = kmemdump_test_table(test);
	u8 *a = own_page(test, 1), *b = own_page(test, 2);
	const struct kmemdump_note *note;
	const struct elf64_shdr *shdr;
	const struct elf64_hdr *ehdr;
	struct slot_backend *sb;
	const char *names;
	int i;

	kmemdump_test_add(test, table, "first", a, PAGE_SIZE, 0);
	sb = attach(test, table, MAX_SLOTS, 0);
	kmemdump_test_add(test, table, "second", b + 10, 100, 0);
	kmemdump_test_add(test, table, "same page", b + 500, 100, 0);
	ehdr = save(test, sb);
	KUNIT_EXPECT_EQ(test, sb->nr, 3);
	KUNIT_EXPECT_STREQ(test, sb->slots[0].name, "KELF_HDR");
	KUNIT_EXPECT_TRUE(test, has(sb, a, PAGE_SIZE) && has(sb, b, PAGE_SIZE));
	KUNIT_EXPECT_EQ(test, ehdr->e_phnum, 3);

	/* Sections: the null section, the names, then those of the table. */
	KUNIT_ASSERT_EQ(test, ehdr->e_shnum, 4);
	KUNIT_EXPECT_EQ(test, ehdr->e_shstrndx, 1);
	shdr = sb->dump + ehdr->e_shoff;
	names = sb->dump + shdr[1].sh_offset;
	KUNIT_EXPECT_EQ(test, shdr[0].sh_type, SHT_NULL);
	KUNIT_EXPECT_EQ(test, shdr[1].sh_type, SHT_STRTAB);
	KUNIT_EXPECT_STREQ(test, names + shdr[1].sh_name, "STR_TBL");
	for (i = 1; i < sb->nr; i++)
		KUNIT_EXPECT_STREQ(test, names + shdr[1 + i].sh_name, sb->slots[i].name);
	KUNIT_EXPECT_LE(test, shdr[1].sh_offset + shdr[1].sh_size, sb->slots[0].size);

	note = region_note(sb);
	KUNIT_ASSERT_NOT_NULL(test, note);
	KUNIT_EXPECT_EQ(test, note->nr_regions, 3);
	KUNIT_EXPECT_EQ(test, note->nr_left_out, 0);
	/* They may change until the crash, so they have no checksum. */
	for (i = 0; i < 3; i++) {
		const struct kmemdump_note_region *region = (void *)(note + 1);

		KUNIT_EXPECT_EQ(test, region[i].flags, KMEMDUMP_REGION_VOLATILE);
	}
}

static void names(struct kunit *test)
{
	static const char * const texts[] = {
		"ELF", "elf_hdr", "a/b:c d", "a long name that", "a long name this",
		"A LONG NAME", "a_long_name", "a_long_na_7", "x", "X",
	};
	struct kmemdump_table *table = kmemdump_test_table(test);
	struct slot_backend *sb = attach(test, table, MAX_SLOTS, 0);
	int i;

	for (i = 0; i < ARRAY_SIZE(texts); i++)
		kmemdump_test_add(test, table, texts[i], own_page(test, i), 10, 0);
	/* save() checks all that has to be true of names. */
	save(test, sb);
	KUNIT_ASSERT_EQ(test, sb->nr, 1 + ARRAY_SIZE(texts));
	for (i = 1; i < sb->nr; i++)
		if (!strcmp(sb->slots[i].name, "Ka_b_c_d"))
			return;
	KUNIT_FAIL(test, "no readable name");
}

/* As many names as there can be, all of the greatest length, fit. */
static void full(struct kunit *test)
{
	struct kmemdump_table *table = kmemdump_test_table(test);
	struct slot_backend *sb = attach(test, table, MAX_SLOTS, 0);
	int i;

	for (i = 0; i < MAX_SLOTS; i++) {
		char name[KMEMDUMP_NAME_LEN];

		snprintf(name, sizeof(name), "%d with a name of all the length that there is", i);
		kmemdump_test_add(test, table, name, own_page(test, i), 10, 0);
	}
	save(test, sb);
	KUNIT_EXPECT_EQ(test, sb->nr, 1 + MAX_SLOTS);
	KUNIT_EXPECT_EQ(test, region_note(sb)->nr_regions, MAX_SLOTS);
	KUNIT_EXPECT_EQ(test, region_note(sb)->nr_left_out, 0);
}

static void removal(struct kunit *test)
{
	struct kmemdump_table *table = kmemdump_test_table(test);
	u8 *a = own_page(test, 1), *b = own_page(test, 2);
	struct slot_backend *sb = attach(test, table, MAX_SLOTS, 0);
	struct kmemdump_region region = { .name = "b", .virt_addr = b, .size = 10 };
	unsigned int first, second;

	kmemdump_test_add(test, table, "a", a, 10, 0);
	first = sb->last_copy;
	KUNIT_ASSERT_EQ(test, kmemdump_add(table, &region, NULL, KMEMDUMP_CLASS_DRIVER, 0), 0);
	second = sb->last_copy;
	save(test, sb);
	KUNIT_EXPECT_TRUE(test, has(sb, a, 10) && has(sb, b, 10));
	KUNIT_ASSERT_EQ(test, kmemdump_remove(table, &region), 0);
	save(test, sb);
	KUNIT_EXPECT_TRUE(test, has(sb, a, 10));
	KUNIT_EXPECT_NULL(test, find(sb, b, 10));

	/* The two tables take turns, and after the backend is gone there is none. */
	KUNIT_EXPECT_NE(test, second, first);
	KUNIT_EXPECT_EQ(test, sb->last_copy, first);
	KUNIT_EXPECT_LT(test, max(first, second), MINIDUMP_COPIES - 1);
	detach(sb);
	KUNIT_EXPECT_EQ(test, sb->nr, 0);
}

static void moving(struct kunit *test)
{
	struct kmemdump_table *table = kmemdump_test_table(test);
	u8 *a = own_page(test, 1), *b = own_page(test, 2);
	struct slot_backend *sb = attach(test, table, MAX_SLOTS, 0);
	struct kmemdump_region region = { .name = "moves", .virt_addr = a, .size = 10 };
	unsigned int copy, i;

	KUNIT_ASSERT_EQ(test, kmemdump_add(table, &region, NULL, KMEMDUMP_CLASS_DRIVER, 0), 0);
	for (i = 0; i < 4; i++) {
		region.virt_addr = i & 1 ? a : b;
		copy = sb->last_copy;
		KUNIT_ASSERT_EQ(test, kmemdump_update(table, &region), 0);
		KUNIT_EXPECT_NE(test, sb->last_copy, copy);
		save(test, sb);
		KUNIT_EXPECT_TRUE(test, has(sb, region.virt_addr, 10));
		KUNIT_EXPECT_NULL(test, find(sb, i & 1 ? b : a, 10));
	}
}

static void no_room(struct kunit *test)
{
	struct kmemdump_table *table = kmemdump_test_table(test);
	struct slot_backend *sb = attach(test, table, 3, 0);
	u8 *pages[6];
	int ids[6], i;

	for (i = 0; i < 6; i++) {
		char name[8];

		pages[i] = own_page(test, i);
		snprintf(name, sizeof(name), "r%d", i);
		ids[i] = kmemdump_test_add_ranked(test, table, name, pages[i], 10,
						  i < 4 ? KMEMDUMP_PRIORITY_LOW :
							  KMEMDUMP_PRIORITY_HIGH);
	}
	save(test, sb);
	KUNIT_EXPECT_EQ(test, sb->nr, 4);
	/* Firmware saves those that matter most, and the note says that there are more. */
	KUNIT_EXPECT_TRUE(test, has(sb, pages[4], 10) && has(sb, pages[5], 10));
	KUNIT_EXPECT_EQ(test, region_note(sb)->nr_regions, 3);
	KUNIT_EXPECT_EQ(test, region_note(sb)->nr_left_out, 3);
	for (i = 0; i < 6; i++) {
		int reason = kmemdump_reason(&sb->s->be, xa_load(&table->ids, ids[i]));

		KUNIT_EXPECT_EQ(test, !!find(sb, pages[i], 10), reason == KMEMDUMP_CARRIED);
	}
	/* The note also counts a region that was never in the table. */
	kmemdump_test_add_ranked(test, table, "late", own_page(test, 9), 10,
				 KMEMDUMP_PRIORITY_LOW);
	save(test, sb);
	KUNIT_EXPECT_EQ(test, region_note(sb)->nr_left_out, 4);
}

/* A region inside an area needs no slot of its own. */
static void areas(struct kunit *test)
{
	struct kmemdump_table *table = kmemdump_test_table(test);
	struct slot_backend *sb = attach(test, table, 4, 0);
	u8 *area = kunit_kzalloc(test, 8 * PAGE_SIZE, GFP_KERNEL);
	struct kmemdump_region region = { .name = "area", .size = 8 * PAGE_SIZE };

	KUNIT_ASSERT_NOT_NULL(test, area);
	region.virt_addr = area;
	kmemdump_test_add(test, table, "inside", area + 3 * PAGE_SIZE + 7, 100, 0);
	KUNIT_ASSERT_EQ(test, kmemdump_add(table, &region, NULL, KMEMDUMP_CLASS_CORE,
					   KMEMDUMP_ENTRY_AREA), 0);
	save(test, sb);
	KUNIT_EXPECT_EQ(test, sb->nr, 2);
	KUNIT_EXPECT_STREQ(test, sb->slots[1].name, "Karea");
	KUNIT_EXPECT_TRUE(test, has(sb, area, 8 * PAGE_SIZE));
	KUNIT_EXPECT_EQ(test, region_note(sb)->nr_regions, 2);
}

/* The same memory at two addresses is saved once, and found at both. */
static void aliases(struct kunit *test)
{
	struct kmemdump_table *table = kmemdump_test_table(test);
	struct slot_backend *sb = attach(test, table, 4, 16 * PAGE_SIZE);
	u8 *a = own_page(test, 1), *alias;
	struct page *pages[2] = { virt_to_page(a), virt_to_page(a + PAGE_SIZE) };
	struct kmemdump_region region = { .name = "mapped", .size = PAGE_SIZE + 10 };

	alias = vmap(pages, 2, VM_MAP, PAGE_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, alias);
	region.virt_addr = alias;
	kmemdump_test_add(test, table, "linear", a, 10, 0);
	KUNIT_ASSERT_EQ(test, kmemdump_add(table, &region, NULL, KMEMDUMP_CLASS_DRIVER, 0), 0);
	save(test, sb);
	KUNIT_EXPECT_EQ(test, sb->nr, 2);
	KUNIT_EXPECT_TRUE(test, has(sb, a, 10) && has(sb, alias, PAGE_SIZE + 10));
	at_panic(sb);
	save(test, sb);
	KUNIT_EXPECT_TRUE(test, has(sb, a, 10) && has(sb, alias, PAGE_SIZE + 10));
	/* The mapping is freed before the table, so remove its region here. */
	KUNIT_EXPECT_EQ(test, kmemdump_remove(table, &region), 0);
	vunmap(alias);
}

/* Two mappings of the same pages share a slot, even if both have the same size. */
static void aliases_of_one_size(struct kunit *test)
{
	struct kmemdump_table *table = kmemdump_test_table(test);
	struct slot_backend *sb = attach(test, table, 4, 16 * PAGE_SIZE);
	u8 *a = own_page(test, 1), *aliases[2];
	struct page *page = virt_to_page(a);
	struct kmemdump_region regions[2] = {};
	int i;

	for (i = 0; i < 2; i++) {
		aliases[i] = vmap(&page, 1, VM_MAP, PAGE_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, aliases[i]);
		regions[i].name = i ? "second" : "first";
		regions[i].virt_addr = aliases[i];
		regions[i].size = PAGE_SIZE;
		KUNIT_ASSERT_EQ(test, kmemdump_add(table, &regions[i], NULL,
						   KMEMDUMP_CLASS_DRIVER, 0), 0);
	}
	save(test, sb);
	KUNIT_EXPECT_EQ(test, sb->nr, 2);
	KUNIT_EXPECT_TRUE(test, has(sb, aliases[0], PAGE_SIZE) && has(sb, aliases[1], PAGE_SIZE));
	/* The mappings are freed before the table, so remove their regions here. */
	for (i = 0; i < 2; i++) {
		KUNIT_EXPECT_EQ(test, kmemdump_remove(table, &regions[i]), 0);
		vunmap(aliases[i]);
	}
}

static void panic_packs(struct kunit *test)
{
	struct kmemdump_table *table = kmemdump_test_table(test);
	struct slot_backend *sb = attach(test, table, 4, 128 * PAGE_SIZE);
	u8 *pages[20], *large = kunit_kzalloc(test, 8 * PAGE_SIZE, GFP_KERNEL);
	const struct kmemdump_note_region *regions;
	const struct kmemdump_note *note;
	int i;

	KUNIT_ASSERT_NOT_NULL(test, large);
	for (i = 0; i < 20; i++) {
		char name[8];

		pages[i] = own_page(test, i);
		snprintf(name, sizeof(name), "r%d", i);
		kmemdump_test_add(test, table, name, pages[i], 100, 0);
	}
	kmemdump_test_add(test, table, "large", large, 8 * PAGE_SIZE, 0);
	at_panic(sb);
	KUNIT_EXPECT_EQ(test, sb->last_copy, MINIDUMP_COPIES - 1);
	save(test, sb);
	KUNIT_EXPECT_EQ(test, sb->nr, 1 + 4);
	KUNIT_EXPECT_STREQ(test, sb->slots[4].name, "Kstaging");
	/* The largest has a slot of its own. */
	for (i = 1; i < 4; i++)
		if (!strcmp(sb->slots[i].name, "Klarge"))
			break;
	KUNIT_EXPECT_LT(test, i, 4);

	note = region_note(sb);
	KUNIT_ASSERT_EQ(test, note->nr_regions, 21);
	KUNIT_EXPECT_EQ(test, note->nr_left_out, 0);
	regions = (void *)(note + 1);
	for (i = 0; i < 20; i++) {
		KUNIT_ASSERT_TRUE(test, has(sb, pages[i], 100));
		KUNIT_EXPECT_EQ(test, regions[i].flags, 0);
		KUNIT_EXPECT_EQ(test, regions[i].checksum, xxh64(pages[i], 100, 0));
	}
	KUNIT_EXPECT_TRUE(test, has(sb, large, 8 * PAGE_SIZE));
	/* Changes after the panic are not published. */
	kmemdump_test_add(test, table, "late", own_page(test, 99), 100, 0);
	KUNIT_EXPECT_EQ(test, sb->last_copy, MINIDUMP_COPIES - 1);
	KUNIT_EXPECT_EQ(test, region_note(sb)->nr_regions, 21);

	/* The staging buffer has copies, and not both of these have a slot of their own. */
	memset(pages[0], 0xee, 100);
	memset(pages[19], 0xee, 100);
	save(test, sb);
	KUNIT_EXPECT_FALSE(test, has(sb, pages[0], 100) && has(sb, pages[19], 100));
}

static void panic_with_little_room(struct kunit *test)
{
	struct kmemdump_table *table = kmemdump_test_table(test);
	struct slot_backend *sb = attach(test, table, 2, 16 * PAGE_SIZE);
	unsigned int nr_have = 0;
	u64 bytes = 0;
	u8 *pages[30];
	int i;

	for (i = 0; i < 30; i++) {
		char name[8];

		pages[i] = own_page(test, i);
		snprintf(name, sizeof(name), "r%d", i);
		kmemdump_test_add_ranked(test, table, name, pages[i], 100,
					 i == 29 ? KMEMDUMP_PRIORITY_HIGH :
						   KMEMDUMP_PRIORITY_NORMAL);
	}
	at_panic(sb);
	save(test, sb);
	for (i = 0; i < 30; i++)
		nr_have += has(sb, pages[i], 100);
	KUNIT_EXPECT_GT(test, nr_have, 3);
	/* The header, the page that has a slot of its own, and the staging buffer. */
	KUNIT_ASSERT_EQ(test, sb->nr, 3);
	for (i = 0; i < 3; i++)
		bytes += sb->slots[i].size;
	KUNIT_EXPECT_LE(test, bytes, (1 + 16) * PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, region_note(sb)->nr_regions, 30);
	KUNIT_EXPECT_EQ(test, region_note(sb)->nr_left_out, 30 - nr_have);
	KUNIT_EXPECT_TRUE(test, has(sb, pages[29], 100));
}

/* If not even the notes fit, the table stays as it was. */
static void panic_without_room(struct kunit *test)
{
	struct kmemdump_table *table = kmemdump_test_table(test);
	struct slot_backend *sb = attach(test, table, 3, SZ_64K);
	u8 *a = own_page(test, 1), *many = kunit_kzalloc(test, PAGE_SIZE, GFP_KERNEL);
	unsigned int copy, i;

	KUNIT_ASSERT_NOT_NULL(test, many);
	kmemdump_test_add_ranked(test, table, "a", a, 100, KMEMDUMP_PRIORITY_HIGH);
	for (i = 0; i < 400; i++) {
		char name[8];

		snprintf(name, sizeof(name), "r%u", i);
		kmemdump_test_add(test, table, name, many + i, 1, 0);
	}
	copy = sb->last_copy;
	at_panic(sb);
	KUNIT_EXPECT_EQ(test, sb->last_copy, copy);
	save(test, sb);
	KUNIT_EXPECT_TRUE(test, has(sb, a, 100));
}

static void panic_with_nothing_staged(struct kunit *test)
{
	struct kmemdump_table *table = kmemdump_test_table(test);
	struct slot_backend *sb = attach(test, table, 8, SZ_64K);
	u8 *a = own_page(test, 1);

	kmemdump_test_add(test, table, "a", a, 100, 0);
	at_panic(sb);
	save(test, sb);
	KUNIT_EXPECT_EQ(test, sb->nr, 2);
	KUNIT_EXPECT_TRUE(test, has(sb, a, 100));
	KUNIT_EXPECT_EQ(test, region_note(sb)->nr_left_out, 0);
}

/* Make up a task, each piece of which is a page of its own. */
static void make_pieces(struct kunit *test, struct kmemdump_piece *pieces, u8 fill_with)
{
	unsigned int i;

	for (i = 0; i < MINIDUMP_TASK_PIECES; i++) {
		u8 *page = own_page(test, fill_with + i);

		pieces[i] = (struct kmemdump_piece) {
			.virt_addr = (unsigned long)page,
			.phys_addr = virt_to_phys(page),
			.size = PAGE_SIZE,
		};
	}
}

/* How many of the pieces the dump has. */
static unsigned int nr_found(struct slot_backend *sb, const struct kmemdump_piece *pieces)
{
	unsigned int i, nr = 0;

	for (i = 0; i < MINIDUMP_TASK_PIECES; i++)
		nr += has(sb, (void *)pieces[i].virt_addr, pieces[i].size);
	return nr;
}

static void go_over_to(struct slot_backend *sb, unsigned int cpu,
		       const struct kmemdump_piece *pieces)
{
	unsigned long flags;

	local_irq_save(flags);
	minidump_slots_switch(sb->s, cpu, pieces);
	local_irq_restore(flags);
	/* The first switch of a CPU makes an interrupt rebuild the table. Wait for that. */
	minidump_slots_settle(sb->s);
}

/* In each table, firmware finds the tasks that run, and not those that ran before. */
static void running(struct kunit *test)
{
	struct kmemdump_table *table = kmemdump_test_table(test);
	struct kmemdump_piece tasks[4][MINIDUMP_TASK_PIECES];
	u8 *a = own_page(test, 0xaa), *b = own_page(test, 0xbb);
	unsigned int last_cpu = cpumask_last(cpu_possible_mask);
	struct kmemdump_region region = { .name = "moves", .virt_addr = a, .size = 10 };
	const struct elf64_shdr *shdr;
	const struct elf64_hdr *ehdr;
	struct slot_backend *sb;
	unsigned int i, j, nr;
	char name[16];

	if (num_possible_cpus() * MINIDUMP_TASK_PIECES > MAX_SLOTS / 2)
		kunit_skip(test, "too many CPUs for the slots of this test");
	sb = attach_following(test, table, MAX_SLOTS, 0, true);
	KUNIT_EXPECT_EQ(test, sb->s->be.max_slots,
			MAX_SLOTS - num_possible_cpus() * MINIDUMP_TASK_PIECES);
	KUNIT_ASSERT_EQ(test, kmemdump_add(table, &region, NULL, KMEMDUMP_CLASS_DRIVER, 0), 0);
	for (i = 0; i < ARRAY_SIZE(tasks); i++)
		make_pieces(test, tasks[i], 16 * i + 1);

	go_over_to(sb, last_cpu, tasks[0]);
	save(test, sb);
	KUNIT_EXPECT_EQ(test, nr_found(sb, tasks[0]), MINIDUMP_TASK_PIECES);
	for (i = 1; i < 50; i++) {
		unsigned int now = i % ARRAY_SIZE(tasks), copy = sb->last_copy;

		nr = sb->nr_published;
		go_over_to(sb, last_cpu, tasks[now]);
		KUNIT_EXPECT_EQ(test, sb->nr_published, nr + 1);
		KUNIT_EXPECT_NE(test, sb->last_copy, copy);
		ehdr = save(test, sb);
		for (j = 0; j < ARRAY_SIZE(tasks); j++)
			KUNIT_EXPECT_EQ(test, nr_found(sb, tasks[j]),
					j == now ? MINIDUMP_TASK_PIECES : 0);
		KUNIT_EXPECT_TRUE(test, has(sb, region.virt_addr, 10));
		shdr = sb->dump + ehdr->e_shoff;
		KUNIT_EXPECT_EQ(test, shdr[1 + sb->nr - MINIDUMP_TASK_PIECES].sh_addr,
				tasks[now][0].virt_addr);
		/* Move a region now and then: neither its move nor the task may get lost. */
		if (i % 5 == 4) {
			region.virt_addr = region.virt_addr == a ? b : a;
			KUNIT_ASSERT_EQ(test, kmemdump_update(table, &region), 0);
			save(test, sb);
			KUNIT_EXPECT_EQ(test, nr_found(sb, tasks[now]), MINIDUMP_TASK_PIECES);
			KUNIT_EXPECT_TRUE(test, has(sb, region.virt_addr, 10));
		}
	}
	snprintf(name, sizeof(name), "Ktask%u", last_cpu);
	KUNIT_EXPECT_STREQ(test, sb->slots[sb->nr - MINIDUMP_TASK_PIECES].name, name);
}

/* Two CPUs take turns: when one switches, the task of the other one stays in the table. */
static void running_on_two(struct kunit *test)
{
	struct kmemdump_table *table = kmemdump_test_table(test);
	struct kmemdump_piece tasks[4][MINIDUMP_TASK_PIECES];
	struct slot_backend *sb;
	unsigned int i;

	if (num_possible_cpus() != 2 || 2 * MINIDUMP_TASK_PIECES > MAX_SLOTS / 2)
		kunit_skip(test, "not two CPUs, or too many slots");
	sb = attach_following(test, table, MAX_SLOTS, 128 * PAGE_SIZE, true);
	for (i = 0; i < ARRAY_SIZE(tasks); i++)
		make_pieces(test, tasks[i], 16 * i + 1);
	for (i = 0; i < 40; i++) {
		/* CPU 0 switches twice, then CPU 1 once. Each has two tasks. */
		unsigned int cpu = i % 3 == 2;

		go_over_to(sb, cpu, tasks[2 * cpu + i % 2]);
		save(test, sb);
		KUNIT_EXPECT_EQ(test, nr_found(sb, tasks[2 * cpu + i % 2]), MINIDUMP_TASK_PIECES);
		KUNIT_EXPECT_EQ(test, nr_found(sb, tasks[2 * cpu + !(i % 2)]), 0);
		if (i > 2)
			KUNIT_EXPECT_EQ(test, nr_found(sb, tasks[2 * !cpu]) +
					      nr_found(sb, tasks[2 * !cpu + 1]),
					MINIDUMP_TASK_PIECES);
	}
	/* After the panic, nothing is published any more. */
	at_panic(sb);
	i = sb->nr_published;
	go_over_to(sb, 0, tasks[0]);
	KUNIT_EXPECT_EQ(test, sb->nr_published, i);
	detach(sb);
}

/* The pieces of a task cover its task_struct and its stack. */
static void task_pieces(struct kunit *test)
{
	struct kmemdump_piece pieces[MINIDUMP_TASK_PIECES], others[MINIDUMP_TASK_PIECES];
	unsigned long stack = (unsigned long)task_stack_page(current);
	const struct task_struct *task = current;
	size_t nr_stack = 0;
	phys_addr_t phys;
	unsigned int i;

	minidump_cut_task(task, pieces);
	minidump_cut_task(&init_task, others);
	KUNIT_EXPECT_LE(test, pieces[0].virt_addr, (unsigned long)task);
	KUNIT_EXPECT_GE(test, pieces[0].virt_addr + pieces[0].size, (unsigned long)(task + 1));
	KUNIT_EXPECT_LE(test, others[0].virt_addr, (unsigned long)&init_task);
	KUNIT_EXPECT_GE(test, others[0].virt_addr + others[0].size,
			(unsigned long)(&init_task + 1));
	for (i = 0; i < MINIDUMP_TASK_PIECES; i++) {
		KUNIT_EXPECT_EQ(test, pieces[i].size, others[i].size);
		KUNIT_ASSERT_TRUE(test, kmemdump_translate_addr(pieces[i].virt_addr, &phys));
		KUNIT_EXPECT_EQ(test, pieces[i].phys_addr, phys);
		if (i)
			nr_stack += pieces[i].size;
	}
	KUNIT_EXPECT_EQ(test, pieces[1].virt_addr, stack & PAGE_MASK);
	KUNIT_EXPECT_EQ(test, nr_stack, PAGE_ALIGN(THREAD_SIZE));
}

static void few_slots_to_follow(struct kunit *test)
{
	struct kmemdump_table *table = kmemdump_test_table(test);
	struct kmemdump_piece task[MINIDUMP_TASK_PIECES];
	u8 *a = own_page(test, 1);
	struct slot_backend *sb;

	sb = attach_following(test, table, 3, 0, true);
	KUNIT_EXPECT_EQ(test, sb->s->be.max_slots, 3);
	kmemdump_test_add(test, table, "a", a, 10, 0);
	make_pieces(test, task, 1);
	go_over_to(sb, 0, task);
	save(test, sb);
	KUNIT_EXPECT_EQ(test, sb->nr, 2);
	KUNIT_EXPECT_EQ(test, nr_found(sb, task), 0);
}

/* Regions that come, go and are updated while all CPUs switch tasks. */
struct storm {
	struct kmemdump_table	*table;
	struct kmemdump_region	region;
	const u8		*places[2];
};

static int update_on_and_on(void *data)
{
	struct storm *storm = data;
	unsigned int i;

	for (i = 0; !kthread_should_stop(); i++) {
		storm->region.virt_addr = storm->places[i & 1];
		kmemdump_update(storm->table, &storm->region);
		cond_resched();
	}
	return 0;
}

static void in_a_storm(struct kunit *test)
{
	struct storm storm = {
		.table = kmemdump_test_table(test),
		.region = { .name = "moves", .size = 10 },
		.places = { own_page(test, 1), own_page(test, 2) },
	};
	struct kmemdump_region comes = {
		.name = "comes", .virt_addr = own_page(test, 3), .size = 10,
	};
	u8 *stays = own_page(test, 4);
	struct task_struct *updater;
	struct slot_backend *sb;
	unsigned int i, nr;

	if (num_possible_cpus() * MINIDUMP_TASK_PIECES > MAX_SLOTS / 2)
		kunit_skip(test, "too many CPUs for the slots of this test");
	sb = attach_following(test, storm.table, MAX_SLOTS, 0, true);
	kmemdump_test_add(test, storm.table, "stays", stays, 10, 0);
	storm.region.virt_addr = storm.places[0];
	KUNIT_ASSERT_EQ(test, kmemdump_add(storm.table, &storm.region, NULL,
					   KMEMDUMP_CLASS_DRIVER, 0), 0);
	updater = kthread_run(update_on_and_on, &storm, "kmemdump-storm");
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, updater);
	KUNIT_EXPECT_EQ(test, minidump_follow_tasks(sb->s), 0);
	nr = sb->nr_published;
	for (i = 0; i < 200; i++) {
		KUNIT_EXPECT_EQ(test, kmemdump_add(storm.table, &comes, NULL,
						   KMEMDUMP_CLASS_DRIVER, 0), 0);
		/* Sleep, so that tasks switch meanwhile. */
		schedule_timeout_uninterruptible(1);
		KUNIT_EXPECT_EQ(test, kmemdump_remove(storm.table, &comes), 0);
	}
	minidump_unfollow_tasks(sb->s);
	kthread_stop(updater);
	minidump_slots_settle(sb->s);
	/* Each of these changes publishes a table, and so does each switch. */
	KUNIT_EXPECT_GT(test, sb->nr_published - nr, 600);
	storm.region.virt_addr = storm.places[0];
	KUNIT_EXPECT_EQ(test, kmemdump_update(storm.table, &storm.region), 0);
	KUNIT_EXPECT_EQ(test, sb->nr_wrong, 0);
	KUNIT_ASSERT_GE(test, sb->nr, 3);
	for (i = 1; i < sb->nr; i++)
		if (!strcmp(sb->slots[i].name, "Kmoves"))
			break;
	KUNIT_ASSERT_LT(test, i, sb->nr);
	KUNIT_EXPECT_EQ(test, sb->slots[i].phys_addr, __pa(storm.places[0]));
}

static struct kunit_case slots_cases[] = {
	KUNIT_CASE(layout),
	KUNIT_CASE(names),
	KUNIT_CASE(full),
	KUNIT_CASE(removal),
	KUNIT_CASE(moving),
	KUNIT_CASE(no_room),
	KUNIT_CASE(areas),
	KUNIT_CASE(aliases),
	KUNIT_CASE(aliases_of_one_size),
	KUNIT_CASE(panic_packs),
	KUNIT_CASE(panic_with_little_room),
	KUNIT_CASE(panic_without_room),
	KUNIT_CASE(panic_with_nothing_staged),
	KUNIT_CASE(running),
	KUNIT_CASE(running_on_two),
	KUNIT_CASE(task_pieces),
	KUNIT_CASE(few_slots_to_follow),
	KUNIT_CASE_SLOW(in_a_storm),
	{ }
};

static struct kunit_suite slots_suite = {
	.name = "kmemdump-slots",
	.test_cases = slots_cases,
};

kunit_test_suite(slots_suite);
