// SPDX-License-Identifier: GPL-2.0-only
/*
 * kmemdump: KUnit tests of the list by which a reader finds the regions in a full dump.
 *
 * They do what such a reader does: start from VMCOREINFO and use only physical addresses and
 * offsets, not the types of kmemdump.
 *
 * Copyright (C) 2026 the kmemdump authors
 */
#include <linux/io.h>
#include <linux/kstrtox.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/vmalloc.h>
#include <linux/vmcore_info.h>

#include "test_backend.h"

/* Get the value of the line @key of VMCOREINFO. */
static u64 value_of(struct kunit *test, const char *key, unsigned int base)
{
	char number[20] = "", start[64];
	const char *line;
	u64 value = 0;

	snprintf(start, sizeof(start), "\n%s=", key);
	line = strnstr(vmcoreinfo_data, start, vmcoreinfo_size);
	KUNIT_ASSERT_NOT_NULL_MSG(test, line, "no line %s", key);
	line += strlen(start);
	strscpy(number, line, min_t(size_t, sizeof(number), strcspn(line, "\n") + 1));
	KUNIT_ASSERT_EQ(test, kstrtou64(number, base, &value), 0);
	return value;
}

/* Find the entry of the region @name; NULL if the list comes back to its head without it. */
static void *find(struct kunit *test, const char *name)
{
	u64 names = value_of(test, KMEMDUMP_ENTRY_KEY(names), 10);
	u64 list = value_of(test, KMEMDUMP_ENTRY_KEY(list), 10);
	struct list_head *head, *pos;
	void *found = NULL;

	head = phys_to_virt(value_of(test, KMEMDUMP_ENTRIES_KEY, 16));
	mutex_lock(&kmemdump_table.lock);
	/*
	 * @head is in the linear map, but the list leads back to the same head in the kernel image.
	 * As the addresses differ, compare what the heads hold.
	 */
	for (pos = head->next; pos->prev->next == pos && pos->next != head->next; pos = pos->next)
		if (!strcmp((void *)pos - list + names, name))
			found = (void *)pos - list;
	mutex_unlock(&kmemdump_table.lock);
	return found;
}

static void check(struct kunit *test, const struct kmemdump_region *region, bool far)
{
	u64 linear = value_of(test, KMEMDUMP_LINEAR_KEY, 16);
	u64 piece_size = value_of(test, KMEMDUMP_PIECE_SIZE_KEY, 10);
	unsigned long *pfns;
	void *entry, *pieces, *first;
	u32 version, nr, max;
	size_t offset;

	entry = find(test, region->name);
	KUNIT_ASSERT_NOT_NULL(test, entry);
	KUNIT_EXPECT_EQ(test, (unsigned long)entry - linear, __pa(entry));
	KUNIT_EXPECT_EQ(test, *(int *)(entry + value_of(test, KMEMDUMP_ENTRY_KEY(id), 10)),
			region->id);
	KUNIT_EXPECT_EQ(test, *(u8 *)(entry + value_of(test, KMEMDUMP_ENTRY_KEY(class), 10)),
			KMEMDUMP_CLASS_DRIVER);
	KUNIT_EXPECT_EQ(test, *(u8 *)(entry + value_of(test, KMEMDUMP_ENTRY_KEY(flags), 10)), 0);
	version = *(u32 *)(entry + value_of(test, KMEMDUMP_ENTRY_KEY(version), 10));
	nr = ((u32 *)(entry + value_of(test, KMEMDUMP_ENTRY_KEY(nr_pieces), 10)))[version & 1];
	max = *(u32 *)(entry + value_of(test, KMEMDUMP_ENTRY_KEY(max_pieces), 10));
	pieces = *(void **)(entry + value_of(test, KMEMDUMP_ENTRY_KEY(pieces), 10));
	pfns = *(unsigned long **)(entry + value_of(test, KMEMDUMP_ENTRY_KEY(pfns), 10));
	KUNIT_ASSERT_GT(test, nr, 0);
	KUNIT_ASSERT_LE(test, nr, max);
	KUNIT_ASSERT_EQ(test, !!pfns, far);

	offset = (version & 1) * max * piece_size + offset_in_page(pieces);
	if (far)
		first = phys_to_virt(PFN_PHYS(pfns[offset >> PAGE_SHIFT])) +
			offset_in_page(offset);
	else
		first = pieces + (version & 1) * max * piece_size;
	KUNIT_EXPECT_PTR_EQ(test, *(void **)(first +
			    value_of(test, KMEMDUMP_PIECE_KEY(virt_addr), 10)),
			    (void *)region->virt_addr);
	KUNIT_EXPECT_GT(test, *(size_t *)(first + value_of(test, KMEMDUMP_PIECE_KEY(size), 10)),
			0);
	if (!far)
		KUNIT_EXPECT_EQ(test, *(phys_addr_t *)(first +
				value_of(test, KMEMDUMP_PIECE_KEY(phys_addr), 10)),
				__pa(region->virt_addr));
}

static void leads_to_entry(struct kunit *test)
{
	struct kmemdump_region region = { .name = "kmemdump-list-test", .size = 100 };

	region.virt_addr = kunit_kmalloc(test, 200, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, region.virt_addr);
	KUNIT_ASSERT_EQ(test, kmemdump_register_region(&region), 0);
	check(test, &region, false);
	region.virt_addr += 100;
	KUNIT_EXPECT_EQ(test, kmemdump_update_region(&region), 0);
	check(test, &region, false);
	KUNIT_EXPECT_EQ(test, kmemdump_unregister_region(&region), 0);
	KUNIT_EXPECT_NULL(test, find(test, region.name));
}

/* A region with so many pieces that their array is not in the linear map. */
static void far_pieces(struct kunit *test)
{
	unsigned int nr = KMALLOC_MAX_SIZE / (2 * sizeof(struct kmemdump_piece)) + 1, i;
	struct kmemdump_region region = {
		.name = "kmemdump-list-test", .size = nr * PAGE_SIZE,
	};
	struct page **pages, *page;
	void *p;

	/* vmap() takes no more pages than the machine has. */
	if (nr > totalram_pages())
		kunit_skip(test, "this machine has not so many pages");
	pages = kvmalloc_array(nr, sizeof(*pages), GFP_KERNEL);
	page = alloc_page(GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, pages);
	KUNIT_ASSERT_NOT_NULL(test, page);
	for (i = 0; i < nr; i++)
		pages[i] = page;
	p = vmap(pages, nr, VM_MAP, PAGE_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, p);
	region.virt_addr = p;
	KUNIT_EXPECT_EQ(test, kmemdump_register_region(&region), 0);
	check(test, &region, true);
	KUNIT_EXPECT_EQ(test, kmemdump_unregister_region(&region), 0);
	vunmap(p);
	__free_page(page);
	kvfree(pages);
}

static struct kunit_case list_cases[] = {
	KUNIT_CASE(leads_to_entry),
	KUNIT_CASE_SLOW(far_pieces),
	{}
};

static struct kunit_suite list_suite = {
	.name		= "kmemdump-list",
	.test_cases	= list_cases,
};

kunit_test_suite(list_suite);
