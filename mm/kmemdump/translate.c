// SPDX-License-Identifier: GPL-2.0-only
/*
 * kmemdump: from any kernel address to physically contiguous pieces.
 *
 * Copyright (C) 2026 the kmemdump authors
 */
#include <linux/cpumask.h>
#include <linux/kasan.h>
#include <linux/kernel.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/percpu.h>
#include <linux/pgtable.h>
#include <linux/string.h>
#include <linux/uaccess.h>
#include <linux/vmalloc.h>

#include <asm/sections.h>

#include "kmemdump.h"

static bool linear_page(unsigned long addr, phys_addr_t *phys)
{
	if (!virt_addr_valid((void *)addr))
		return false;
	*phys = __pa(addr);
	return !is_free_buddy_page(virt_to_page((void *)addr));
}

/* The kernel gives the __init part of its image to the page allocator after boot. */
static bool image_page(unsigned long addr, phys_addr_t *phys)
{
	if (system_state >= SYSTEM_FREEING_INITMEM &&
	    addr >= (unsigned long)__init_begin && addr < (unsigned long)__init_end)
		return false;
	*phys = __pa_symbol((void *)addr);
	return true;
}

/*
 * Whether the page table entry @entry can be read; if so, add it to @tables. A damaged entry
 * above it may lead anywhere, but page tables are in RAM.
 */
static bool enter_table(struct kmemdump_tables *tables, const void *entry)
{
	unsigned long addr = (unsigned long)entry, word;
	phys_addr_t phys;

	if (!(__is_kernel(addr) ? image_page(addr, &phys) :
	      kmemdump_is_linear(addr) && linear_page(addr, &phys)))
		return false;
	if (!kmemdump_readable(addr, phys) ||
	    copy_from_kernel_nofault(&word, entry, sizeof(word)))
		return false;
	tables->entries[tables->nr++] = entry;
	return true;
}

/*
 * Look @addr up in the page tables. Returns true and sets *@phys if they lead to memory that
 * has a struct page. @tables gets the entries on the way. This is not vmalloc_to_page(), which
 * trusts the tables, and warns, which may be a panic. Any context.
 */
bool kmemdump_walk_tables(unsigned long addr, phys_addr_t *phys, struct kmemdump_tables *tables)
{
	pgd_t *pgd = pgd_offset_k(addr);
	unsigned long pfn;
	p4d_t *p4d;
	pud_t *pud;
	pmd_t *pmd;
	pte_t *pte;

	tables->nr = 0;
	if (!enter_table(tables, pgd) || pgd_none(*pgd) || pgd_leaf(*pgd) || pgd_bad(*pgd))
		return false;
	p4d = p4d_offset(pgd, addr);
	if (!enter_table(tables, p4d) || p4d_none(*p4d) || p4d_leaf(*p4d) || p4d_bad(*p4d))
		return false;

	pud = pud_offset(p4d, addr);
	if (!enter_table(tables, pud) || pud_none(*pud))
		return false;
	if (pud_leaf(*pud)) {
		pfn = pud_pfn(*pud) + PHYS_PFN(addr & ~PUD_MASK);
		goto found;
	}
	if (pud_bad(*pud))
		return false;

	pmd = pmd_offset(pud, addr);
	if (!enter_table(tables, pmd) || pmd_none(*pmd))
		return false;
	if (pmd_leaf(*pmd)) {
		pfn = pmd_pfn(*pmd) + PHYS_PFN(addr & ~PMD_MASK);
		goto found;
	}
	if (pmd_bad(*pmd))
		return false;

	pte = pte_offset_kernel(pmd, addr);
	if (!enter_table(tables, pte) || !pte_present(ptep_get(pte)))
		return false;
	pfn = pte_pfn(ptep_get(pte));
found:
	*phys = PFN_PHYS(pfn) + offset_in_page(addr);
	return pfn_valid(pfn);
}

/* Device registers can be mapped as well, but they have no struct page. */
static bool mapped_page(unsigned long addr, phys_addr_t *phys)
{
	struct kmemdump_tables tables;

	return kmemdump_walk_tables(addr, phys, &tables);
}

/*
 * Whether @addr is in the linear map. Most architectures map the kernel image elsewhere, too,
 * and __pa() and virt_addr_valid() do not accept its addresses there.
 */
bool kmemdump_is_linear(unsigned long addr)
{
	return !__is_kernel(addr) && !is_vmalloc_or_module_addr((void *)addr);
}

/* On some architectures the kernel image is in the vmalloc range. */
static bool is_vmalloc(unsigned long addr)
{
	return !__is_kernel(addr) && is_vmalloc_addr((void *)addr);
}

/*
 * Physical address of @addr, if that is mapped kernel memory in use. Any context, also NMI:
 * takes no lock.
 */
bool kmemdump_translate_addr(unsigned long addr, phys_addr_t *phys)
{
	if (kmemdump_is_linear(addr))
		return linear_page(addr, phys);
	if (__is_kernel(addr))
		return image_page(addr, phys);
	return mapped_page(addr, phys);
}

/*
 * Whether @addr is in a mapping of device memory. The page tables alone do not say so: holes in
 * RAM have struct pages, too.
 */
static bool is_device_memory(unsigned long addr)
{
	struct vm_struct *area;

	if (!is_vmalloc(addr))
		return false;
	area = find_vm_area((void *)addr);
	return area && area->flags & VM_IOREMAP;
}

/* The same where find_vm_area() can't be called, as it takes locks; it refuses more. */
static bool maybe_device_memory(unsigned long addr, phys_addr_t phys)
{
	return is_vmalloc(addr) && PageReserved(pfn_to_page(PHYS_PFN(phys)));
}

/*
 * Whether memory may be read with a nofault copy, which catches a fault but not the machine
 * check of a poisoned page. Any context.
 */
bool kmemdump_readable(unsigned long addr, phys_addr_t phys)
{
	unsigned long pfn = PHYS_PFN(phys);
	struct page *page;

	/* Only memory that the core itself has mapped has no struct page. */
	if (!pfn_valid(pfn))
		return is_vmalloc_addr((void *)addr);
	page = pfn_to_page(pfn);
	return !PageOffline(page) && !is_page_hwpoison(page);
}

/*
 * Copy kernel memory from an address that may be wrong. This checks the address first: not all
 * architectures catch a fault at a user address, or where page tables lead to no memory. Any
 * context.
 */
bool kmemdump_peek(void *to, const void *from, size_t size)
{
	unsigned long addr = (unsigned long)from, end = addr + size;
	phys_addr_t phys;

	if (addr < TASK_SIZE_MAX || end < addr)
		return false;
	if (!__is_kernel(addr) && !kmemdump_is_linear(addr))
		for (; addr < end; addr = PAGE_ALIGN(addr + 1))
			if (!mapped_page(addr, &phys) || !kmemdump_readable(addr, phys))
				return false;
	return !copy_from_kernel_nofault(to, from, size);
}

/*
 * Copy @len bytes of memory at @addr, which is at @phys. Pages that can't be read are zeros in
 * @buf. Returns whether all of them could be read. Any context.
 */
bool kmemdump_read(void *buf, unsigned long addr, phys_addr_t phys, size_t len)
{
	bool ok = true;

	while (len) {
		size_t n = min_t(size_t, len, PAGE_SIZE - offset_in_page(addr));

		if (!kmemdump_readable(addr, phys) ||
		    copy_from_kernel_nofault(buf, (void *)addr, n)) {
			memset(buf, 0, n);
			ok = false;
		}
		buf += n;
		addr += n;
		phys += n;
		len -= n;
	}
	return ok;
}

/* Looking for the pieces of a range. */
struct walk {
	struct kmemdump_piece	*pieces;	/* NULL: only count them */
	unsigned int		nr;
	unsigned int		max;
	bool			atomic;
	bool			percpu;
};

static int add_page(struct walk *w, unsigned long addr, phys_addr_t phys, size_t len,
		    bool first)
{
	struct kmemdump_piece *last = &w->pieces[w->nr - 1];

	if (!first && last->phys_addr + last->size == phys) {
		last->size += len;
		return 0;
	}
	if (w->nr == w->max)
		return -ENOSPC;
	w->pieces[w->nr++] = (struct kmemdump_piece) {
		.virt_addr = addr, .phys_addr = phys, .size = len,
	};
	return 0;
}

/* Append the pieces of [@addr, @addr + @size), which has to be RAM. */
static int walk_range(struct walk *w, unsigned long addr, size_t size)
{
	phys_addr_t next = 0;
	bool first = true;
	int ret;

	if (!w->atomic && is_device_memory(addr))
		return -EFAULT;

	while (size) {
		size_t len = min_t(size_t, size, PAGE_SIZE - offset_in_page(addr));
		phys_addr_t phys;
		char probe;

		if (!kmemdump_translate_addr(addr, &phys))
			return -EFAULT;
		if (w->atomic) {
			if (!w->percpu && maybe_device_memory(addr, phys))
				return -EFAULT;
		} else {
			/* Not all that has a linear address is mapped there. */
			if (!kmemdump_readable(addr, phys) ||
			    copy_from_kernel_nofault(&probe, (void *)addr, sizeof(probe)))
				return -EFAULT;
			cond_resched();
		}

		if (w->pieces) {
			ret = add_page(w, addr, phys, len, first);
			if (ret)
				return ret;
		} else if (first || phys != next) {
			w->nr++;
		}
		first = false;
		next = phys + len;
		addr += len;
		size -= len;
	}
	return 0;
}

static int walk_place(struct walk *w, const struct kmemdump_place *place)
{
	unsigned int cpu;
	int ret;

	if (!place->percpu)
		return walk_range(w, place->addr, place->size);

	/* No per-CPU variable is larger than this. */
	if (place->size > max_t(size_t, PCPU_MIN_UNIT_SIZE, __per_cpu_end - __per_cpu_start))
		return -EFAULT;
	w->percpu = true;
	for_each_possible_cpu(cpu) {
		unsigned long addr = (unsigned long)per_cpu_ptr(place->percpu, cpu);

		if (addr + (place->size - 1) < addr)
			return -EOVERFLOW;
		ret = walk_range(w, addr, place->size);
		if (ret)
			return ret;
	}
	return 0;
}

/*
 * Find the pieces that the memory at @place is in, in the order of CPUs and addresses. There
 * is room for @max of them in @pieces; with @pieces NULL they are only counted. Any context if
 * @atomic, else it may sleep, and looks more closely. Returns their number or a negative errno.
 */
int kmemdump_find_pieces(const struct kmemdump_place *place, struct kmemdump_piece *pieces,
			 unsigned int max, bool atomic)
{
	struct walk w = { .pieces = pieces, .max = max, .atomic = atomic };
	int ret = walk_place(&w, place);

	/* A larger number could not be returned, and no memory has so many pages. */
	return ret ?: min_t(unsigned int, w.nr, INT_MAX);
}

/* Where the provider of @region says that its memory is. Any context. */
int kmemdump_get_place(const struct kmemdump_region *region, struct kmemdump_place *place)
{
	place->size = region->size;
	place->percpu = region->percpu_addr;
	if (region->percpu_addr)
		return 0;

	if (region->virt_addr) {
		/* The memory is registered, not the object, so KASAN's tag of that goes. */
		place->addr = (unsigned long)kasan_reset_tag(region->virt_addr);
		return 0;
	}

	/* RAM in the linear map. */
	if (!region->phys_addr || !pfn_valid(PHYS_PFN(region->phys_addr)))
		return -EFAULT;
	place->addr = (unsigned long)__va(region->phys_addr);
	if (place->addr + (region->size - 1) < place->addr)
		return -EOVERFLOW;
	return kmemdump_is_linear(place->addr) ? 0 : -EFAULT;
}

/* Whether the memory of @piece is still where it was. Any context; touches page tables only. */
bool kmemdump_piece_present(const struct kmemdump_piece *piece)
{
	size_t done = 0;

	while (done < piece->size) {
		unsigned long addr = piece->virt_addr + done;
		phys_addr_t phys;

		if (!kmemdump_translate_addr(addr, &phys) || phys != piece->phys_addr + done)
			return false;
		done += min_t(size_t, piece->size - done, PAGE_SIZE - offset_in_page(addr));
	}
	return true;
}

/*
 * Whether the first page of @piece is in use. Only a change from true to false says something:
 * the tail pages of an allocation may have no count, and a slab page does not say which of its
 * objects are free. Any context.
 */
bool kmemdump_piece_held(const struct kmemdump_piece *piece)
{
	struct page *page;

	if (!kmemdump_is_linear(piece->virt_addr))
		return false;
	page = virt_to_page((void *)piece->virt_addr);
	return page_count(page) || page_has_type(compound_head(page));
}

/* Whether @addr is the address of a static per-CPU variable of @mod, or of the kernel. */
bool kmemdump_is_percpu(unsigned long addr, const struct module *mod)
{
	unsigned long start = (unsigned long)__per_cpu_start;
	unsigned long end = (unsigned long)__per_cpu_end;

#if defined(CONFIG_MODULES) && defined(CONFIG_SMP)
	if (mod) {
		start = (unsigned long)mod->percpu;
		end = start + mod->percpu_size;
	}
#endif
	return IS_ENABLED(CONFIG_SMP) && addr >= start && addr < end;
}

/* Set the address of @region to that of a variable of @mod or of the kernel, maybe per-CPU. */
void kmemdump_set_addr(struct kmemdump_region *region, unsigned long addr,
		       const struct module *mod)
{
	if (kmemdump_is_percpu(addr, mod))
		region->percpu_addr = (const void __percpu __force *)addr;
	else
		region->virt_addr = (const void *)addr;
}
