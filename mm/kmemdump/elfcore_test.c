// SPDX-License-Identifier: GPL-2.0-only
/*
 * kmemdump: KUnit tests of the core image.
 *
 * Copyright (C) 2026 the kmemdump authors
 */
#include <linux/cpumask.h>
#include <linux/elfcore.h>
#include <linux/mm.h>
#include <linux/percpu.h>
#include <linux/set_memory.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/vmalloc.h>
#include <linux/xxhash.h>

#include "test_backend.h"

/* Architectures that can't change the linear map do not define can_set_direct_map(). */
#ifndef can_set_direct_map
#define can_set_direct_map()	false
#endif

/* Find a note in the image that @buf holds; NULL if there is none. */
static void *find_note(const void *buf, const char *name, u32 type, u32 *size)
{
	const struct elf64_hdr *ehdr = buf;
	const struct elf64_phdr *phdr = buf + ehdr->e_phoff;
	const void *p = buf + phdr->p_offset, *end = p + phdr->p_filesz;

	while (p < end) {
		const struct elf64_note *note = p;
		const char *note_name = p + sizeof(*note);
		const void *desc = note_name + ALIGN(note->n_namesz, 4);

		if (note->n_type == type && !strcmp(note_name, name)) {
			*size = note->n_descsz;
			return (void *)desc;
		}
		p = desc + ALIGN(note->n_descsz, 4);
	}
	return NULL;
}

/* The note of the regions in @image. */
static void *read_note(struct kunit *test, const struct kmemdump_image *image, u32 *size)
{
	return find_note(kmemdump_test_read(test, image), KMEMDUMP_NOTE_NAME,
			 KMEMDUMP_NT_REGIONS, size);
}

static void headers(struct kunit *test)
{
	struct kmemdump_table *table = kmemdump_test_table(test);
	u8 *a = kmemdump_test_page(test, 1), *b = kmemdump_test_page(test, 2);
	const struct elf64_hdr *ehdr;
	const struct elf64_phdr *phdr;
	struct kmemdump_image *image;
	void *buf, *p;
	u32 size;
	int i;

	kmemdump_test_add(test, table, "a", a, PAGE_SIZE, 0);
	kmemdump_test_add(test, table, "b", b + 10, 100, 0);
	image = kmemdump_test_build(test, table);
	buf = kmemdump_test_read(test, image);

	ehdr = buf;
	KUNIT_EXPECT_MEMEQ(test, ehdr->e_ident, ELFMAG, SELFMAG);
	KUNIT_EXPECT_EQ(test, ehdr->e_ident[EI_CLASS], ELFCLASS64);
	KUNIT_EXPECT_EQ(test, ehdr->e_ident[EI_DATA],
			*(u8 *)&(u16){ 1 } ? ELFDATA2LSB : ELFDATA2MSB);
	KUNIT_EXPECT_EQ(test, ehdr->e_type, ET_CORE);
	KUNIT_EXPECT_EQ(test, ehdr->e_phoff, 64);
	KUNIT_EXPECT_EQ(test, ehdr->e_phnum, image->nr_loads + 1);
	KUNIT_EXPECT_EQ(test, ehdr->e_shnum, 0);

	phdr = buf + ehdr->e_phoff;
	KUNIT_EXPECT_EQ(test, phdr[0].p_type, PT_NOTE);
	KUNIT_EXPECT_EQ(test, phdr[0].p_offset,
			ehdr->e_phoff + ehdr->e_phnum * sizeof(*phdr));
	for (i = 1; i < ehdr->e_phnum; i++) {
		KUNIT_EXPECT_EQ(test, phdr[i].p_type, PT_LOAD);
		KUNIT_EXPECT_TRUE(test, PAGE_ALIGNED(phdr[i].p_offset));
		KUNIT_EXPECT_TRUE(test, PAGE_ALIGNED(phdr[i].p_vaddr));
		KUNIT_EXPECT_TRUE(test, PAGE_ALIGNED(phdr[i].p_paddr));
		KUNIT_EXPECT_TRUE(test, PAGE_ALIGNED(phdr[i].p_filesz));
		KUNIT_EXPECT_EQ(test, phdr[i].p_memsz, phdr[i].p_filesz);
		p = (void *)(unsigned long)phdr[i].p_vaddr;
		KUNIT_EXPECT_EQ(test, phdr[i].p_paddr, __pa(p));
		KUNIT_EXPECT_MEMEQ(test, buf + phdr[i].p_offset, p, phdr[i].p_filesz);
	}

	KUNIT_EXPECT_NOT_NULL(test, find_note(buf, "CORE", NT_PRSTATUS, &size));
	KUNIT_EXPECT_EQ(test, size, sizeof(struct elf_prstatus));
	p = find_note(buf, "VMCOREINFO", 0, &size);
	KUNIT_ASSERT_NOT_NULL(test, p);
	if (IS_ENABLED(CONFIG_CRASH_DUMP))
		KUNIT_EXPECT_NOT_NULL(test, strnstr(p, "\nCRASHTIME=", size));
	KUNIT_EXPECT_NOT_NULL(test, find_note(buf, KMEMDUMP_NOTE_NAME, KMEMDUMP_NT_REGIONS, &size));
}

static void region_note(struct kunit *test)
{
	struct kmemdump_table *table = kmemdump_test_table(test);
	const struct kmemdump_note_piece *pieces;
	const struct kmemdump_note_region *region;
	const struct kmemdump_note *note;
	u8 *a = kmemdump_test_page(test, 0x5a);
	u32 size;
	int id;

	id = kmemdump_test_add(test, table, "my region", a + 100, 1000, 0);
	note = read_note(test, kmemdump_test_build(test, table), &size);
	KUNIT_ASSERT_NOT_NULL(test, note);
	KUNIT_EXPECT_EQ(test, size, sizeof(*note) + sizeof(*region) + sizeof(*pieces) +
				    note->nr_cpus * sizeof(struct kmemdump_note_cpu));
	KUNIT_EXPECT_EQ(test, note->nr_cpus, num_online_cpus());
	KUNIT_EXPECT_EQ(test, note->version, KMEMDUMP_VERSION);
	KUNIT_EXPECT_EQ(test, note->nr_regions, 1);
	KUNIT_EXPECT_EQ(test, note->nr_pieces, 1);

	region = (void *)note + note->header_size;
	KUNIT_EXPECT_STREQ(test, region->name, "my region");
	KUNIT_EXPECT_STREQ(test, region->owner, "kernel");
	KUNIT_EXPECT_EQ(test, region->id, id);
	KUNIT_EXPECT_EQ(test, region->class, KMEMDUMP_CLASS_DRIVER);
	KUNIT_EXPECT_EQ(test, region->state, KMEMDUMP_STATE_OK);
	KUNIT_EXPECT_EQ(test, region->size, 1000);
	KUNIT_EXPECT_EQ(test, region->checksum, xxh64(a + 100, 1000, 0));

	pieces = (void *)(region + 1);
	KUNIT_EXPECT_EQ(test, pieces->vaddr, (unsigned long)a + 100);
	KUNIT_EXPECT_EQ(test, pieces->paddr, __pa(a + 100));
	KUNIT_EXPECT_EQ(test, pieces->size, 1000);
}

static DEFINE_PER_CPU(u64, percpu_data);

/* Each piece of a per-CPU region says which CPU it belongs to. */
static void percpu_note(struct kunit *test)
{
	struct kmemdump_table *table = kmemdump_test_table(test);
	struct kmemdump_region percpu = {
		.name = "percpu", .percpu_addr = &percpu_data, .size = sizeof(u64),
	};
	const struct kmemdump_note_region *region;
	const struct kmemdump_note_piece *piece;
	struct xxh64_state hash;
	struct kmemdump_image *image;
	unsigned int cpu;
	void *note;
	u32 size;
	u64 from;

	KUNIT_EXPECT_EQ(test, kmemdump_add(table, &percpu, NULL, KMEMDUMP_CLASS_DRIVER, 0), 0);
	image = kmemdump_test_build(test, table);
	note = read_note(test, image, &size);
	KUNIT_ASSERT_NOT_NULL(test, note);
	region = note + sizeof(struct kmemdump_note);
	piece = (void *)(region + 1);
	KUNIT_EXPECT_EQ(test, region->percpu_size, sizeof(u64));
	KUNIT_EXPECT_EQ(test, region->size, num_possible_cpus() * sizeof(u64));

	xxh64_reset(&hash, 0);
	for_each_possible_cpu(cpu) {
		u64 *data = per_cpu_ptr(&percpu_data, cpu);

		KUNIT_EXPECT_EQ(test, piece->cpu, cpu);
		KUNIT_EXPECT_EQ(test, piece->vaddr, (unsigned long)data);
		xxh64_update(&hash, data, sizeof(*data));
		piece++;
	}
	KUNIT_EXPECT_EQ(test, region->checksum, xxh64_digest(&hash));

	/* A read that starts in the middle of the pieces gets the CPU right, too. */
	from = (void *)(piece - 1) - note;
	from += image->head_size + image->notes_size - size;
	kmemdump_image_read(image, from, note, sizeof(*piece));
	KUNIT_EXPECT_EQ(test, ((struct kmemdump_note_piece *)note)->cpu,
			cpumask_last(cpu_possible_mask));
}

static bool holds(const void *buf, size_t size, const char *text)
{
	size_t len = strlen(text), i;

	for (i = 0; i + len <= size; i++)
		if (!memcmp(buf + i, text, len))
			return true;
	return false;
}

/* A region that a backend's filter excludes is not in its image, not even its name. */
static void filtered_image(struct kunit *test)
{
	static const char text[] = "text of whom it is not meant for";
	struct kmemdump_table *table = kmemdump_test_table(test);
	struct kmemdump_carrier carrier = { .classes = BIT(KMEMDUMP_CLASS_LOG) };
	const struct kmemdump_backend be = { .name = "kunit", .carrier = &carrier };
	struct kmemdump_region log = {
		.name = "log", .virt_addr = kmemdump_test_page(test, 1), .size = 8,
	};
	u8 *secret = kmemdump_test_page(test, 2);
	struct kmemdump_image *image;
	void *buf;

	strscpy(secret, text, PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, kmemdump_add(table, &log, NULL, KMEMDUMP_CLASS_LOG, 0), 0);
	kmemdump_test_add(test, table, "a secret name", secret, sizeof(text), 0);
	image = kmemdump_test_build(test, table);
	KUNIT_EXPECT_EQ(test, image->nr_regions, 2);
	buf = kmemdump_test_read(test, image);
	KUNIT_EXPECT_TRUE(test, holds(buf, image->size, "a secret name"));
	KUNIT_EXPECT_TRUE(test, holds(buf, image->size, text));
	kmemdump_image_build(image, table, &be, NULL);
	KUNIT_ASSERT_EQ(test, image->nr_regions, 1);
	KUNIT_EXPECT_EQ(test, image->nr_loads, 1);
	KUNIT_EXPECT_STREQ(test, kmemdump_entry_name(image->regions[0].entry), "log");
	buf = kmemdump_test_read(test, image);
	KUNIT_EXPECT_FALSE(test, holds(buf, image->size, "a secret name"));
	KUNIT_EXPECT_FALSE(test, holds(buf, image->size, text));
}

static void shared_pages(struct kunit *test)
{
	struct kmemdump_table *table = kmemdump_test_table(test);
	u8 *a = kmemdump_test_page(test, 1);
	struct kmemdump_image *image;

	/* Three regions share a page, one of them inside another: this makes one load. */
	kmemdump_test_add(test, table, "outer", a, 2000, 0);
	kmemdump_test_add(test, table, "inner", a + 10, 5, 0);
	kmemdump_test_add(test, table, "beside", a + 3000, PAGE_SIZE - 3000, 0);
	image = kmemdump_test_build(test, table);
	KUNIT_EXPECT_EQ(test, image->nr_regions, 3);
	KUNIT_EXPECT_EQ(test, image->nr_loads, 1);
	KUNIT_EXPECT_EQ(test, image->loads[0].p_vaddr, (unsigned long)a);
	KUNIT_EXPECT_EQ(test, image->loads[0].p_memsz, 1 * PAGE_SIZE);
}

/* The loads that matter most come first in the file. */
static void in_order(struct kunit *test)
{
	struct kmemdump_table *table = kmemdump_test_table(test);
	u8 *p = kunit_kmalloc(test, 8 * PAGE_SIZE, GFP_KERNEL);
	struct kmemdump_region log = { .name = "log", .size = 100 };
	struct kmemdump_image *image;

	KUNIT_ASSERT_NOT_NULL(test, p);
	kmemdump_test_add(test, table, "driver", p, PAGE_SIZE, 0);
	log.virt_addr = p + 4 * PAGE_SIZE;
	KUNIT_EXPECT_EQ(test, kmemdump_add(table, &log, NULL, KMEMDUMP_CLASS_LOG, 0), 0);
	image = kmemdump_test_build(test, table);
	KUNIT_ASSERT_EQ(test, image->nr_loads, 2);
	KUNIT_EXPECT_EQ(test, kmemdump_test_order(image, 0), KMEMDUMP_ORDER_LOG);
	KUNIT_EXPECT_EQ(test, image->loads[0].p_vaddr, (unsigned long)p + 4 * PAGE_SIZE);
	KUNIT_EXPECT_GT(test, image->loads[1].p_offset, image->loads[0].p_offset);
}

static void add_area(struct kunit *test, struct kmemdump_table *table, u8 *p, size_t size)
{
	struct kmemdump_region area = { .name = "area", .virt_addr = p, .size = size };

	KUNIT_ASSERT_EQ(test, kmemdump_add(table, &area, NULL, KMEMDUMP_CLASS_CORE,
					   KMEMDUMP_ENTRY_AREA), 0);
}

/* A region inside an area keeps its own order. */
static void area_around_regions(struct kunit *test)
{
	struct kmemdump_table *table = kmemdump_test_table(test);
	u8 *p = kunit_kmalloc(test, 8 * PAGE_SIZE, GFP_KERNEL);
	const struct kmemdump_note_region *region;
	const struct kmemdump_note *note;
	struct kmemdump_image *image;
	struct elf64_phdr *loads;
	u32 size;

	KUNIT_ASSERT_NOT_NULL(test, p);
	kmemdump_test_add(test, table, "inside", p + 2 * PAGE_SIZE, 100, 0);
	add_area(test, table, p, 8 * PAGE_SIZE);
	/* The region splits the area, so two pieces need room for three loads. */
	image = kmemdump_test_image(test, 2, 2, 3);
	kmemdump_image_build(image, table, NULL, NULL);

	loads = image->loads;
	KUNIT_ASSERT_EQ(test, image->nr_loads, 3);
	KUNIT_EXPECT_EQ(test, kmemdump_test_order(image, 0), KMEMDUMP_ORDER_NORMAL);
	KUNIT_EXPECT_EQ(test, loads[0].p_vaddr, (unsigned long)p + 2 * PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, loads[0].p_memsz, 1 * PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, loads[1].p_vaddr, (unsigned long)p);
	KUNIT_EXPECT_EQ(test, loads[1].p_memsz, 2 * PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, loads[2].p_vaddr, (unsigned long)p + 3 * PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, loads[2].p_paddr, __pa(p) + 3 * PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, loads[2].p_memsz, 5 * PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, image->nr_left_out, 0);

	note = read_note(test, image, &size);
	KUNIT_ASSERT_NOT_NULL(test, note);
	region = (void *)note + note->header_size;
	KUNIT_EXPECT_EQ(test, region[0].flags, 0);
	KUNIT_EXPECT_EQ(test, region[1].flags, KMEMDUMP_REGION_VOLATILE);
}

/* Loads without room are counted, and the note says how many there are. */
static void no_room_for_loads(struct kunit *test)
{
	struct kmemdump_table *table = kmemdump_test_table(test);
	u8 *p = kunit_kmalloc(test, 8 * PAGE_SIZE, GFP_KERNEL);
	const struct kmemdump_note *note;
	struct kmemdump_image *image;
	u32 size;

	KUNIT_ASSERT_NOT_NULL(test, p);
	kmemdump_test_add(test, table, "inside", p + 2 * PAGE_SIZE, 100, 0);
	add_area(test, table, p, 8 * PAGE_SIZE);
	image = kmemdump_test_image(test, 2, 2, 2);
	kmemdump_image_build(image, table, NULL, NULL);
	KUNIT_EXPECT_EQ(test, image->nr_loads, 2);
	KUNIT_EXPECT_EQ(test, image->nr_left_out, 1);
	note = read_note(test, image, &size);
	KUNIT_ASSERT_NOT_NULL(test, note);
	KUNIT_EXPECT_EQ(test, note->nr_left_out, 1);
}

/* Reading any part of the image gives the same bytes as reading all of it. */
static void any_window(struct kunit *test)
{
	struct kmemdump_table *table = kmemdump_test_table(test);
	struct kmemdump_image *image;
	char name[16];
	u8 *buf, *part;
	u64 from;
	int i;

	for (i = 0; i < 40; i++) {
		snprintf(name, sizeof(name), "r%d", i);
		kmemdump_test_add(test, table, name, kmemdump_test_page(test, i), 50 + i, 0);
	}
	image = kmemdump_test_build(test, table);
	buf = kmemdump_test_read(test, image);
	part = kunit_kmalloc(test, PAGE_SIZE, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, part);

	for (from = 0; from < image->size; from += 61) {
		size_t len = min_t(u64, 1 + from % PAGE_SIZE, image->size - from);

		memset(part, 0xee, len);
		kmemdump_image_read(image, from, part, len);
		if (memcmp(part, buf + from, len)) {
			KUNIT_FAIL(test, "window at %llu of %zu bytes differs", from, len);
			break;
		}
	}

	/* A read past the end of the image gives zeros. */
	memset(part, 0xee, 64);
	kmemdump_image_read(image, image->size - 32, part, 64);
	KUNIT_EXPECT_MEMEQ(test, part, buf + image->size - 32, 32);
	KUNIT_EXPECT_NULL(test, memchr_inv(part + 32, 0, 32));
}

/* A CPU that the panic stopped is online in the image, whatever its number. */
static void online_mask(struct kunit *test)
{
	struct kmemdump_table *table = kmemdump_test_table(test);
	struct kmemdump_image *image;
	cpumask_t mask, *seen = NULL;
	unsigned int cpu, i;
	void *buf;

	kmemdump_test_add(test, table, "mask", &__cpu_online_mask, sizeof(mask), 0);
	image = kmemdump_test_build(test, table);
	buf = kunit_kmalloc(test, image->size, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, buf);
	image->nr_cpus = 1;
	for (cpu = 0; cpu < BITS_PER_BYTE * sizeof(mask); cpu++) {
		image->cpus[0].cpu = cpu;
		kmemdump_image_read(image, 0, buf, image->size);
		for (i = 0; i < image->nr_loads; i++) {
			u64 skip = (unsigned long)&__cpu_online_mask - image->loads[i].p_vaddr;

			if (skip < image->loads[i].p_memsz)
				seen = buf + image->loads[i].p_offset + skip;
		}
		KUNIT_ASSERT_NOT_NULL(test, seen);
		mask = __cpu_online_mask;
		__set_bit(cpu, cpumask_bits(&mask));
		KUNIT_EXPECT_MEMEQ(test, seen, &mask, sizeof(mask));
	}
}

static void empty_table(struct kunit *test)
{
	struct kmemdump_table *table = kmemdump_test_table(test);
	struct kmemdump_image *image = kmemdump_test_image(test, 1, 1, 1);
	const struct elf64_hdr *ehdr;

	kmemdump_image_build(image, table, NULL, NULL);
	ehdr = kmemdump_test_read(test, image);
	KUNIT_EXPECT_EQ(test, ehdr->e_phnum, 1);
	KUNIT_EXPECT_EQ(test, image->size, PAGE_ALIGN(image->head_size + image->notes_size));
}

static u32 region_state(struct kunit *test, const struct kmemdump_image *image, const char *name)
{
	unsigned int i;

	for (i = 0; i < image->nr_regions; i++)
		if (!strcmp(kmemdump_entry_name(image->regions[i].entry), name))
			return image->regions[i].state;
	KUNIT_FAIL(test, "no region %s", name);
	return ~0;
}

static void unmapped_region(struct kunit *test)
{
	struct kmemdump_table *table = kmemdump_test_table(test);
	u8 *good = kmemdump_test_page(test, 7), *buf;
	struct kmemdump_image *image;
	void *p = vmalloc(2 * PAGE_SIZE);

	KUNIT_ASSERT_NOT_NULL(test, p);
	kmemdump_test_add(test, table, "gone", p, 2 * PAGE_SIZE, 0);
	kmemdump_test_add(test, table, "good", good, PAGE_SIZE, 0);
	vfree(p);

	image = kmemdump_test_build(test, table);
	KUNIT_EXPECT_EQ(test, region_state(test, image, "gone"), KMEMDUMP_STATE_GONE);
	KUNIT_EXPECT_EQ(test, region_state(test, image, "good"), KMEMDUMP_STATE_OK);
	KUNIT_ASSERT_EQ(test, image->nr_loads, 1);
	buf = kmemdump_test_read(test, image);
	KUNIT_EXPECT_MEMEQ(test, buf + image->loads[0].p_offset, good, PAGE_SIZE);
}

static void unreadable_region(struct kunit *test)
{
	struct kmemdump_table *table = kmemdump_test_table(test);
	u8 *good = kmemdump_test_page(test, 7), *zeros = kmemdump_test_page(test, 0), *buf;
	struct kmemdump_image *image;
	struct page *pages, *page;

	if (!can_set_direct_map())
		kunit_skip(test, "this architecture can't take a page out of the linear map");

	/* No region has the pages next to "bad": with "good" there, both would be one load. */
	pages = alloc_pages(GFP_KERNEL, 2);
	KUNIT_ASSERT_NOT_NULL(test, pages);
	page = pages + 1;
	kmemdump_test_add(test, table, "bad", page_address(page), PAGE_SIZE, 0);
	kmemdump_test_add(test, table, "good", good, PAGE_SIZE, 0);
	set_direct_map_invalid_noflush(page);
	flush_tlb_kernel_range((unsigned long)page_address(page),
			       (unsigned long)page_address(page) + PAGE_SIZE);

	image = kmemdump_test_build(test, table);
	buf = kmemdump_test_read(test, image);
	set_direct_map_default_noflush(page);
	KUNIT_EXPECT_EQ(test, region_state(test, image, "bad"), KMEMDUMP_STATE_BAD);
	KUNIT_EXPECT_EQ(test, region_state(test, image, "good"), KMEMDUMP_STATE_OK);
	__free_pages(pages, 2);
	KUNIT_ASSERT_EQ(test, image->nr_loads, 2);
	KUNIT_EXPECT_MEMEQ(test, buf + image->loads[image->loads[0].p_vaddr == (unsigned long)good ?
						    1 : 0].p_offset, zeros, PAGE_SIZE);
}

/* More program headers than e_phnum can count. */
static void many_loads(struct kunit *test)
{
	struct kmemdump_table *table = kmemdump_test_table(test);
	unsigned int i, nr = PN_XNUM + 100;
	const struct elf64_shdr *shdr;
	struct kmemdump_image *image;
	const struct elf64_hdr *ehdr;
	struct page *page, **pages;
	void *p, *buf;
	u64 head;

	/* vmap() takes no more pages than the machine has. If pages are large, it has too few. */
	if (nr > totalram_pages())
		kunit_skip(test, "this machine has no %u pages", nr);

	pages = kvmalloc_array(nr, sizeof(*pages), GFP_KERNEL);
	page = alloc_page(GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, pages);
	KUNIT_ASSERT_NOT_NULL(test, page);
	for (i = 0; i < nr; i++)
		pages[i] = page;
	p = vmap(pages, nr, VM_MAP, PAGE_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, p);
	kmemdump_test_add(test, table, "many", p, nr * PAGE_SIZE, 0);
	image = kmemdump_test_build(test, table);
	KUNIT_EXPECT_EQ(test, image->nr_loads, nr);

	head = image->head_size;
	buf = kvmalloc(head, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, buf);
	kmemdump_image_read(image, 0, buf, head);
	ehdr = buf;
	KUNIT_EXPECT_EQ(test, ehdr->e_phnum, PN_XNUM);
	KUNIT_EXPECT_EQ(test, ehdr->e_shnum, 1);
	KUNIT_EXPECT_EQ(test, ehdr->e_shoff, head - sizeof(*shdr));
	shdr = buf + ehdr->e_shoff;
	KUNIT_EXPECT_EQ(test, shdr->sh_info, nr + 1);

	kvfree(buf);
	vunmap(p);
	__free_page(page);
	kvfree(pages);
}

static struct kunit_case elfcore_cases[] = {
	KUNIT_CASE(headers),
	KUNIT_CASE(region_note),
	KUNIT_CASE(percpu_note),
	KUNIT_CASE(filtered_image),
	KUNIT_CASE(shared_pages),
	KUNIT_CASE(in_order),
	KUNIT_CASE(area_around_regions),
	KUNIT_CASE(no_room_for_loads),
	KUNIT_CASE(any_window),
	KUNIT_CASE(online_mask),
	KUNIT_CASE(empty_table),
	KUNIT_CASE(unmapped_region),
	KUNIT_CASE(unreadable_region),
	KUNIT_CASE_SLOW(many_loads),
	{}
};

static struct kunit_suite elfcore_suite = {
	.name		= "kmemdump-elfcore",
	.test_cases	= elfcore_cases,
};

kunit_test_suite(elfcore_suite);

MODULE_LICENSE("GPL");
