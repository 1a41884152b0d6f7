// SPDX-License-Identifier: GPL-2.0-only
/*
 * Test module: registers random bytes in memory of every kind, and prints the FNV-1a
 * hash of each region.
 *
 * Copyright (C) 2026 the kmemdump authors
 */
#include <linux/gfp.h>
#include <linux/io.h>
#include <linux/kmemdump.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/percpu.h>
#include <linux/prandom.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

static char in_bss[5000];
static DEFINE_PER_CPU(char[3000], in_percpu);
static struct rnd_state rnd;

static u64 hash(u64 sum, const u8 *p, size_t size)
{
	while (size--)
		sum = (sum ^ *p++) * 0x100000001b3ULL;
	return sum;
}

#define HASH_START	0xcbf29ce484222325ULL

static int add(const char *name, void *addr, size_t size)
{
	struct kmemdump_region region = { .name = name, .virt_addr = addr, .size = size };

	if (!addr)
		return -ENOMEM;
	prandom_bytes_state(&rnd, addr, size);
	pr_info("place %s %016llx\n", name, hash(HASH_START, addr, size));
	return kmemdump_register_region(&region);
}

static int add_percpu(void)
{
	struct kmemdump_region region = {
		.name = "percpu", .percpu_addr = &in_percpu, .size = sizeof(in_percpu),
	};
	u64 sum = HASH_START;
	unsigned int cpu;

	for_each_possible_cpu(cpu) {
		prandom_bytes_state(&rnd, per_cpu(in_percpu, cpu), sizeof(in_percpu));
		sum = hash(sum, per_cpu(in_percpu, cpu), sizeof(in_percpu));
	}
	pr_info("place percpu %016llx\n", sum);
	return kmemdump_register_region(&region);
}

/* Allocate the free pages with the lowest and the highest address. */
static void find_pages(struct page **low, struct page **high)
{
	struct page *page, *next;
	LIST_HEAD(pages);

	*low = NULL;
	*high = NULL;
	while ((page = alloc_page(GFP_KERNEL | __GFP_NORETRY | __GFP_NOWARN))) {
		list_add(&page->lru, &pages);
		if (!*low || page_to_pfn(page) < page_to_pfn(*low))
			*low = page;
		if (!*high || page_to_pfn(page) > page_to_pfn(*high))
			*high = page;
	}
	list_for_each_entry_safe(page, next, &pages, lru) {
		list_del(&page->lru);
		if (page != *low && page != *high)
			__free_page(page);
	}
}

static int __init kmemdump_places_init(void)
{
	struct page *low, *high;
	int ret;

	prandom_seed_state(&rnd, 6);
	find_pages(&low, &high);
	if (!low || !high)
		return -ENOMEM;
	pr_info("lowest page %#llx, highest %#llx\n", (u64)page_to_phys(low),
		(u64)page_to_phys(high));
	ret = add("bss", in_bss, sizeof(in_bss));
	ret = ret ?: add("kmalloc", kmalloc(7777, GFP_KERNEL), 7777);
	ret = ret ?: add("vmalloc", vmalloc(SZ_512K), SZ_512K - 11);
	ret = ret ?: add("low", page_address(low), PAGE_SIZE);
	ret = ret ?: add("high", page_address(high), PAGE_SIZE);
	return ret ?: add_percpu();
}
module_init(kmemdump_places_init);

MODULE_DESCRIPTION("Regions in all places for kmemdump tests");
MODULE_LICENSE("GPL");
