// SPDX-License-Identifier: GPL-2.0-only
/*
 * kmemdump: from any kernel address to physically contiguous segments.
 *
 * Copyright (C) 2026 the kmemdump authors
 */
#include <linux/kasan.h>
#include <linux/kernel.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/vmalloc.h>

#include <asm/sections.h>

#include "kmemdump.h"

/*
 * Whether someone holds @page. Only what was so at registration and no longer is
 * tells something: the tail pages of an allocation may have no count, and in a
 * slab page it can't be told which objects are free.
 */
static bool page_held(struct page *page)
{
	return page_count(page) || page_has_type(compound_head(page));
}

static bool linear_page(unsigned long addr, phys_addr_t *phys)
{
	if (!virt_addr_valid((void *)addr))
		return false;
	*phys = __pa(addr);
	return !is_free_buddy_page(virt_to_page((void *)addr));
}

static bool mapped_page(unsigned long addr, phys_addr_t *phys)
{
	struct page *page = vmalloc_to_page((void *)addr);

	if (!page)
		return false;
	*phys = PFN_PHYS(page_to_pfn(page)) + offset_in_page(addr);
	return true;
}

/* The initial memory of the image goes back to the page allocator after boot. */
static bool image_page(unsigned long addr, phys_addr_t *phys)
{
	if (system_state >= SYSTEM_FREEING_INITMEM &&
	    addr >= (unsigned long)__init_begin && addr < (unsigned long)__init_end)
		return false;
	*phys = __pa_symbol((void *)addr);
	return true;
}

/*
 * The kernel image comes first: on most architectures it has a mapping of its
 * own, which __pa() and virt_addr_valid() do not accept.
 */
static bool is_linear(unsigned long addr)
{
	return !__is_kernel(addr) && !is_vmalloc_or_module_addr((void *)addr);
}

/* Physical address of @addr, if that is mapped kernel memory in use. */
static bool translate_page(unsigned long addr, phys_addr_t *phys)
{
	if (is_linear(addr))
		return linear_page(addr, phys);
	if (__is_kernel(addr))
		return image_page(addr, phys);
	return mapped_page(addr, phys);
}

/*
 * Split [@addr, @addr + @size) into at most @max segments; with @segs NULL it
 * only counts. Returns the number of segments, 0 if a page of the range is not
 * there or if they are more than @max.
 */
static unsigned int split(unsigned long addr, size_t size,
			  struct kmemdump_segment *segs, unsigned int max)
{
	phys_addr_t next = 0;
	unsigned int nr = 0;

	while (size) {
		size_t len = min_t(size_t, size, PAGE_SIZE - offset_in_page(addr));
		phys_addr_t phys;

		if (!translate_page(addr, &phys))
			return 0;
		if (!nr || phys != next) {
			if (nr == max)
				return 0;
			if (segs) {
				segs[nr].virt_addr = addr;
				segs[nr].phys_addr = phys;
			}
			nr++;
		}
		if (segs)
			segs[nr - 1].size += len;
		next = phys + len;
		addr += len;
		size -= len;
		cond_resched();
	}
	return nr;
}

/* Device registers: reading them at panic could do anything. */
static bool is_device_memory(unsigned long addr)
{
	struct vm_struct *area;

	if (!is_vmalloc_addr((void *)addr))
		return false;
	area = find_vm_area((void *)addr);
	return area && area->flags & VM_IOREMAP;
}

/*
 * Make the core's own copy of @region, with its segments and the name of its
 * @owner. The caller has checked name and size. Process context, may sleep.
 */
struct kmemdump_entry *kmemdump_translate(const struct kmemdump_region *region,
					  struct module *owner)
{
	/* Without a tag: it is the memory that is registered, not the object. */
	unsigned long addr = (unsigned long)kasan_reset_tag(region->virt_addr);
	const char *owner_name = owner ? module_name(owner) : "kernel";
	size_t owner_size = strlen(owner_name) + 1;
	size_t name_size = strlen(region->name) + 1;
	unsigned int nr, max = UINT_MAX;
	struct kmemdump_entry *entry;
	char *strings;

	if (!region->virt_addr) {
		if (!region->phys_addr || !pfn_valid(PHYS_PFN(region->phys_addr)))
			return ERR_PTR(-EFAULT);
		/* Only RAM in the linear map, which never takes more than one segment. */
		addr = (unsigned long)__va(region->phys_addr);
		max = 1;
		if (addr + (region->size - 1) < addr)
			return ERR_PTR(-EOVERFLOW);
		if (!is_linear(addr))
			return ERR_PTR(-EFAULT);
	}

	if (is_device_memory(addr))
		return ERR_PTR(-EFAULT);
	nr = split(addr, region->size, NULL, max);
	if (!nr)
		return ERR_PTR(-EFAULT);

	entry = kvzalloc(struct_size(entry, segments, nr) + name_size + owner_size, GFP_KERNEL);
	if (!entry)
		return ERR_PTR(-ENOMEM);

	entry->nr_segments = nr;
	entry->size = region->size;
	/* The strings share the allocation: they stand behind the segments. */
	strings = (void *)entry + struct_size(entry, segments, nr);
	entry->name = memcpy(strings, region->name, name_size);
	entry->owner = memcpy(strings + name_size, owner_name, owner_size);

	/* A mapping that changed in between was not the provider's to register. */
	if (split(addr, region->size, entry->segments, nr) != nr) {
		kvfree(entry);
		return ERR_PTR(-EFAULT);
	}
	if (region->phys_addr && entry->segments[0].phys_addr != region->phys_addr) {
		kvfree(entry);
		return ERR_PTR(-EINVAL);
	}
	entry->held = is_linear(addr) && page_held(virt_to_page((void *)addr));
	return entry;
}

static bool segment_present(const struct kmemdump_segment *seg)
{
	size_t done = 0;

	while (done < seg->size) {
		unsigned long addr = seg->virt_addr + done;
		phys_addr_t phys;

		if (!translate_page(addr, &phys) || phys != seg->phys_addr + done)
			return false;
		done += min_t(size_t, seg->size - done, PAGE_SIZE - offset_in_page(addr));
	}
	return true;
}

/*
 * Whether the memory of @entry still is where it was when it was registered,
 * as far as that can be told. Any context; at panic it takes no lock and
 * touches only page tables and struct pages.
 */
bool kmemdump_entry_present(const struct kmemdump_entry *entry)
{
	unsigned int i;

	for (i = 0; i < entry->nr_segments; i++)
		if (!segment_present(&entry->segments[i]))
			return false;
	return !entry->held || page_held(virt_to_page((void *)entry->segments[0].virt_addr));
}
