// SPDX-License-Identifier: GPL-2.0-only
/*
 * kmemdump: KUnit tests of where the memory of a region is.
 *
 * Copyright (C) 2026 the kmemdump authors
 */
#include <linux/ioport.h>
#include <linux/mm.h>
#include <linux/percpu.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/vmalloc.h>

#include "test_backend.h"

static int initialised = 42;
static int zeroed;
static const int constant = 43;

static struct kmemdump_entry *translate(struct kunit *test, const void *addr, phys_addr_t phys,
					size_t size)
{
	struct kmemdump_region region = {
		.name = "test", .virt_addr = addr, .phys_addr = phys, .size = size,
	};

	return kmemdump_entry_make(&region, NULL);
}

static bool present(const struct kmemdump_entry *entry)
{
	return kmemdump_entry_present(entry, entry->version);
}

/* The physical address of @addr, from the kernel's own functions for each kind of memory. */
static phys_addr_t phys_of(unsigned long addr)
{
	void *p = (void *)addr;

	if (is_vmalloc_addr(p))
		return PFN_PHYS(vmalloc_to_pfn(p)) + offset_in_page(p);
	return virt_addr_valid(p) ? __pa(p) : __pa_symbol(p);
}

/* The pieces must cover the range in order, each with its right physical address. */
static void check_pieces(struct kunit *test, const struct kmemdump_entry *entry,
			 const void *addr, size_t size)
{
	unsigned long next = (unsigned long)addr;
	unsigned int i;

	for (i = 0; i < entry->nr_pieces[0]; i++) {
		const struct kmemdump_piece *seg = &entry->pieces[i];

		KUNIT_ASSERT_EQ(test, seg->virt_addr, next);
		KUNIT_ASSERT_GT(test, seg->size, 0);
		KUNIT_EXPECT_EQ(test, seg->phys_addr, phys_of(next));
		next += seg->size;
		KUNIT_ASSERT_LE(test, next, (unsigned long)addr + size);
		KUNIT_EXPECT_EQ(test, seg->phys_addr + seg->size - 1, phys_of(next - 1));
	}
	KUNIT_EXPECT_EQ(test, next, (unsigned long)addr + size);
	KUNIT_EXPECT_EQ(test, kmemdump_entry_size(entry), size);
	KUNIT_EXPECT_STREQ(test, kmemdump_entry_name(entry), "test");
	KUNIT_EXPECT_TRUE(test, present(entry));
}

static void linear(struct kunit *test)
{
	size_t sizes[] = { 1, 7, 1024, PAGE_SIZE, 3 * PAGE_SIZE + 5 };
	struct kmemdump_entry *entry;
	void *p;
	int i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		p = kmalloc(sizes[i], GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, p);
		entry = translate(test, p, 0, sizes[i]);
		KUNIT_ASSERT_NOT_ERR_OR_NULL(test, entry);
		KUNIT_EXPECT_EQ(test, entry->nr_pieces[0], 1);
		KUNIT_EXPECT_EQ(test, entry->pieces[0].phys_addr, __pa(p));
		check_pieces(test, entry, p, sizes[i]);
		kmemdump_entry_free(entry);
		kfree(p);
	}
}

static void vmalloc_pieces(struct kunit *test)
{
	struct page *pages[4];
	struct kmemdump_entry *entry;
	void *p;

	/* Map four pages in an order in which no page follows its physical neighbor. */
	pages[0] = alloc_pages(GFP_KERNEL, 2);
	KUNIT_ASSERT_NOT_NULL(test, pages[0]);
	split_page(pages[0], 2);
	pages[3] = pages[0] + 2;
	pages[2] = pages[0];
	pages[1] = pages[0] + 3;
	pages[0] = pages[2] + 1;
	p = vmap(pages, 4, VM_MAP, PAGE_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, p);

	entry = translate(test, p + 100, 0, 4 * PAGE_SIZE - 200);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, entry);
	KUNIT_EXPECT_EQ(test, entry->nr_pieces[0], 4);
	KUNIT_EXPECT_EQ(test, entry->pieces[0].phys_addr,
			PFN_PHYS(page_to_pfn(pages[0])) + 100);
	KUNIT_EXPECT_EQ(test, entry->pieces[1].phys_addr, PFN_PHYS(page_to_pfn(pages[1])));
	check_pieces(test, entry, p + 100, 4 * PAGE_SIZE - 200);

	vunmap(p);
	KUNIT_EXPECT_FALSE(test, present(entry));
	kmemdump_entry_free(entry);
	__free_page(pages[2]);
	__free_page(pages[0]);
	__free_page(pages[3]);
	__free_page(pages[1]);
}

static void large_vmalloc(struct kunit *test)
{
	size_t size = 64 * SZ_1M - 5;
	struct kmemdump_entry *entry;
	void *p = vmalloc(size);

	KUNIT_ASSERT_NOT_NULL(test, p);
	entry = translate(test, p, 0, size);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, entry);
	check_pieces(test, entry, p, size);
	kmemdump_entry_free(entry);

	/* One more byte would be in the guard page. */
	entry = translate(test, p, 0, PAGE_ALIGN(size) + 1);
	KUNIT_EXPECT_EQ(test, PTR_ERR_OR_ZERO(entry), -EFAULT);
	vfree(p);
}

static DEFINE_PER_CPU(u64, static_percpu);

/* A per-CPU region has the pieces of all possible CPUs, in the order of the CPUs. */
static void check_percpu(struct kunit *test, const void __percpu *p, size_t size)
{
	struct kmemdump_region region = { .name = "test", .percpu_addr = p, .size = size };
	const struct kmemdump_piece *seg;
	struct kmemdump_entry *entry;
	unsigned int cpu, nr;
	size_t done;

	entry = kmemdump_entry_make(&region, NULL);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, entry);
	KUNIT_EXPECT_TRUE(test, entry->flags & KMEMDUMP_ENTRY_PERCPU);
	KUNIT_EXPECT_EQ(test, kmemdump_entry_size(entry), size * num_possible_cpus());
	KUNIT_EXPECT_TRUE(test, present(entry));

	seg = kmemdump_entry_pieces(entry, &nr);
	KUNIT_EXPECT_GE(test, nr, num_possible_cpus());
	for_each_possible_cpu(cpu) {
		for (done = 0; done < size; done += seg++->size) {
			const void *addr = per_cpu_ptr(p, cpu) + done;

			KUNIT_ASSERT_EQ(test, seg->virt_addr, (unsigned long)addr);
			KUNIT_EXPECT_EQ(test, seg->phys_addr, per_cpu_ptr_to_phys((void *)addr));
		}
		KUNIT_EXPECT_EQ(test, done, size);
	}
	kmemdump_entry_free(entry);
}

static void percpu(struct kunit *test)
{
	struct kmemdump_region large = {
		.name = "test", .percpu_addr = &static_percpu, .size = SZ_2M,
	};
	void __percpu *dynamic;
	size_t sizes[] = { 1, 8, 100, 3 * 1024 };
	int i;

	/* A region this large would run into other variables, and into other CPUs' memory. */
	KUNIT_EXPECT_EQ(test, PTR_ERR_OR_ZERO(kmemdump_entry_make(&large, NULL)), -EFAULT);

	check_percpu(test, &static_percpu, sizeof(static_percpu));
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		dynamic = __alloc_percpu(sizes[i], 8);
		KUNIT_ASSERT_TRUE(test, !!dynamic);
		check_percpu(test, dynamic, sizes[i]);
		free_percpu(dynamic);
	}
}

static void kernel_image(struct kunit *test)
{
	const void *vars[] = { &initialised, &zeroed, &constant };
	struct kmemdump_entry *entry;
	int i;

	for (i = 0; i < ARRAY_SIZE(vars); i++) {
		entry = translate(test, vars[i], 0, sizeof(int));
		KUNIT_ASSERT_NOT_ERR_OR_NULL(test, entry);
		KUNIT_EXPECT_EQ(test, entry->nr_pieces[0], 1);
		KUNIT_EXPECT_EQ(test, entry->pieces[0].phys_addr, __pa_symbol(vars[i]));
		check_pieces(test, entry, vars[i], sizeof(int));
		kmemdump_entry_free(entry);
	}
}

/* __init memory can be registered while the kernel boots, and counts as gone after that. */
static char init_data[8] __initdata;

static void __ref init_memory(struct kunit *test)
{
	const enum system_states state = system_state;
	struct kmemdump_entry *entry = NULL, *later;
	bool still = false;

	if (state < SYSTEM_FREEING_INITMEM) {
		entry = translate(test, init_data, 0, 8);
		KUNIT_ASSERT_NOT_ERR_OR_NULL(test, entry);
		check_pieces(test, entry, init_data, 8);
	}

	/* Suites that run during boot end before the next state, so set it here. */
	if (entry)
		system_state = SYSTEM_FREEING_INITMEM;
	later = translate(test, init_data, 0, 8);
	if (entry)
		still = present(entry);
	system_state = state;
	KUNIT_EXPECT_EQ(test, PTR_ERR_OR_ZERO(later), -EFAULT);
	KUNIT_EXPECT_FALSE(test, still);
	kmemdump_entry_free(entry);
}

static void physical(struct kunit *test)
{
	void *p = kmalloc(64, GFP_KERNEL), *q = kmalloc(64, GFP_KERNEL);
	struct kmemdump_entry *entry;

	KUNIT_ASSERT_NOT_NULL(test, p);
	KUNIT_ASSERT_NOT_NULL(test, q);
	entry = translate(test, NULL, __pa(p), 64);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, entry);
	check_pieces(test, entry, p, 64);
	kmemdump_entry_free(entry);

	/* If a region gives both addresses, they have to agree. */
	entry = translate(test, p, __pa(p), 64);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, entry);
	kmemdump_entry_free(entry);
	KUNIT_EXPECT_EQ(test, PTR_ERR_OR_ZERO(translate(test, p, __pa(q), 64)), -EINVAL);
	kfree(q);
	kfree(p);

	/* Nothing is at the first address, and 0 counts as no address. */
	KUNIT_EXPECT_EQ(test, PTR_ERR_OR_ZERO(translate(test, NULL, (phys_addr_t)(1ULL << 45),
							64)), -EFAULT);
	KUNIT_EXPECT_EQ(test, PTR_ERR_OR_ZERO(translate(test, NULL, 0, 64)), -EFAULT);
}

/* Find physical memory that is not RAM: the first range that is listed as reserved. */
static struct resource *find_reserved(struct resource *parent)
{
	struct resource *res;

	for (res = parent->child; res; res = res->sibling)
		if (res->flags & IORESOURCE_MEM && res->start &&
		    resource_size(res) >= PAGE_SIZE &&
		    region_intersects(res->start, PAGE_SIZE, IORESOURCE_SYSTEM_RAM,
				      IORES_DESC_NONE) == REGION_DISJOINT &&
		    !strcasecmp(res->name, "reserved"))
			return res;
	return NULL;
}

static void reserved_memory(struct kunit *test)
{
	struct resource *res = find_reserved(&iomem_resource);
	struct kmemdump_region region = { .name = "test", .size = 100 };
	struct kmemdump_entry *entry;

	if (!res)
		kunit_skip(test, "no reserved memory on this machine");

	region.phys_addr = res->start + 8;
	entry = kmemdump_entry_make(&region, NULL);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, entry);
	KUNIT_EXPECT_TRUE(test, entry->flags & KMEMDUMP_ENTRY_MAPPED);
	KUNIT_EXPECT_EQ(test, entry->pieces[0].phys_addr, res->start + 8);
	KUNIT_EXPECT_TRUE(test, present(entry));
	KUNIT_EXPECT_EQ(test, offset_in_page(entry->pieces[0].virt_addr),
			offset_in_page(res->start + 8));
	kmemdump_entry_free(entry);
}

/* A region can't be partly RAM and partly something else. */
static void mixed_memory(struct kunit *test)
{
	struct resource *res, *ram = NULL;

	for (res = iomem_resource.child; res; res = res->sibling)
		if ((res->flags & IORESOURCE_SYSTEM_RAM) == IORESOURCE_SYSTEM_RAM &&
		    res->sibling && res->sibling->start == res->end + 1)
			ram = res;
	if (!ram)
		kunit_skip(test, "nothing follows right after RAM on this machine");
	KUNIT_EXPECT_EQ(test, PTR_ERR_OR_ZERO(translate(test, NULL, ram->end - 9, 20)), -EFAULT);
}

/*
 * Freed pages count as gone. Those of order 0 to 3 go to per-CPU lists, larger ones straight to
 * the buddy allocator.
 */
static void freed_page(struct kunit *test)
{
	struct kmemdump_entry *entry;
	unsigned int order;
	unsigned long p;

	for (order = 0; order < 6; order++) {
		p = __get_free_pages(GFP_KERNEL, order);
		KUNIT_ASSERT_NE(test, p, 0);
		entry = translate(test, (void *)p, 0, PAGE_SIZE << order);
		KUNIT_ASSERT_NOT_ERR_OR_NULL(test, entry);
		KUNIT_EXPECT_TRUE(test, present(entry));
		/* Keep this CPU from handing the pages to someone else. */
		preempt_disable();
		free_pages(p, order);
		KUNIT_EXPECT_FALSE_MSG(test, present(entry), "order %u", order);
		preempt_enable();
		kmemdump_entry_free(entry);
	}
}

/* Device memory (VM_IOREMAP) is mapped like vmalloc memory, but is not RAM. */
static void device_memory(struct kunit *test)
{
	struct page *page = alloc_page(GFP_KERNEL);
	void *p;

	KUNIT_ASSERT_NOT_NULL(test, page);
	p = vmap(&page, 1, VM_MAP | VM_IOREMAP, PAGE_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, p);
	KUNIT_EXPECT_EQ(test, PTR_ERR_OR_ZERO(translate(test, p, 0, 4)), -EFAULT);
	vunmap(p);
	__free_page(page);
}

static void freed_vmalloc(struct kunit *test)
{
	struct kmemdump_entry *entry;
	void *p = vmalloc(3 * PAGE_SIZE);

	KUNIT_ASSERT_NOT_NULL(test, p);
	entry = translate(test, p, 0, 3 * PAGE_SIZE);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, entry);
	vfree(p);
	KUNIT_EXPECT_FALSE(test, present(entry));
	KUNIT_EXPECT_EQ(test, PTR_ERR_OR_ZERO(translate(test, p, 0, 1)), -EFAULT);
	kmemdump_entry_free(entry);
}

static struct kunit_case entry_cases[] = {
	KUNIT_CASE(linear),
	KUNIT_CASE(vmalloc_pieces),
	KUNIT_CASE(large_vmalloc),
	KUNIT_CASE(percpu),
	KUNIT_CASE(kernel_image),
	KUNIT_CASE(init_memory),
	KUNIT_CASE(physical),
	KUNIT_CASE(reserved_memory),
	KUNIT_CASE(mixed_memory),
	KUNIT_CASE(freed_page),
	KUNIT_CASE(device_memory),
	KUNIT_CASE(freed_vmalloc),
	{}
};

static struct kunit_suite entry_suite = {
	.name		= "kmemdump-entry",
	.test_cases	= entry_cases,
};

kunit_test_suite(entry_suite);

MODULE_LICENSE("GPL");
