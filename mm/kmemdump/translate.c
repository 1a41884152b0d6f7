// SPDX-License-Identifier: GPL-2.0-only
/*
 * kmemdump: from any kernel address to physically contiguous segments.
 *
 * Copyright (C) 2026 the kmemdump authors
 */
#include <linux/cpumask.h>
#include <linux/io.h>
#include <linux/ioport.h>
#include <linux/kasan.h>
#include <linux/kernel.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/percpu.h>
#include <linux/pgtable.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uaccess.h>
#include <linux/vmalloc.h>

#include <asm/sections.h>

#include "kmemdump.h"

/*
 * Regions in the vmalloc range from a page to this size can move to any place
 * there: such as stacks.
 */
#define MOVABLE_SIZE	(16 * PAGE_SIZE)

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
 * Whether the page table entry @entry can be read, which is noted in @tables. If
 * the one above it is damaged, @entry may be anywhere; tables are in RAM.
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
 * Where the page tables have @addr: true and *@phys if there is memory with a
 * struct page. In @tables is what was read on the way. vmalloc_to_page() trusts
 * the tables, and it warns, which may be a panic. Any context.
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

/* Device registers can be mapped there, too, but they have no struct page. */
static bool mapped_page(unsigned long addr, phys_addr_t *phys)
{
	struct kmemdump_tables tables;

	return kmemdump_walk_tables(addr, phys, &tables);
}

/*
 * The kernel image comes first: on most architectures it has a mapping of its
 * own, which __pa() and virt_addr_valid() do not accept.
 */
bool kmemdump_is_linear(unsigned long addr)
{
	return !__is_kernel(addr) && !is_vmalloc_or_module_addr((void *)addr);
}

/* The image may lie in the vmalloc range, too. */
static bool is_vmalloc(unsigned long addr)
{
	return !__is_kernel(addr) && is_vmalloc_addr((void *)addr);
}

/* Physical address of @addr, if that is mapped kernel memory in use. Any context. */
bool kmemdump_translate_addr(unsigned long addr, phys_addr_t *phys)
{
	if (kmemdump_is_linear(addr))
		return linear_page(addr, phys);
	if (__is_kernel(addr))
		return image_page(addr, phys);
	return mapped_page(addr, phys);
}

/*
 * Device memory may stand in for RAM here: the page tables alone do not tell,
 * as there are holes in RAM that have struct pages, too.
 */
static bool is_device_memory(unsigned long addr)
{
	struct vm_struct *area;

	if (!is_vmalloc(addr))
		return false;
	area = find_vm_area((void *)addr);
	return area && area->flags & VM_IOREMAP;
}

/* The same where find_vm_area() can't be used, as it takes locks; stricter. */
static bool maybe_device_memory(unsigned long addr, phys_addr_t phys)
{
	return is_vmalloc(addr) && PageReserved(pfn_to_page(PHYS_PFN(phys)));
}

/*
 * Whether memory may be read where reading it can fault. A nofault copy does not
 * help against a machine check. Any context.
 */
bool kmemdump_readable(unsigned long addr, phys_addr_t phys)
{
	unsigned long pfn = PHYS_PFN(phys);
	struct page *page;

	/* Memory without a struct page is what the core itself has mapped. */
	if (!pfn_valid(pfn))
		return is_vmalloc_addr((void *)addr);
	page = pfn_to_page(pfn);
	return !PageOffline(page) && !is_page_hwpoison(page);
}

/*
 * Copy kernel memory that may not be there, from an address that may be any. Not
 * all architectures catch it if a bad pointer is one to user memory, or if the
 * page tables lead to where there is no memory. Any context.
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

/* What a walk over the memory of a region finds. */
struct walk {
	struct kmemdump_segment	*segs;		/* NULL: only count */
	unsigned int		nr;
	unsigned int		max;
	bool			atomic;
	bool			percpu;
};

static int add_page(struct walk *w, unsigned long addr, phys_addr_t phys, size_t len,
		    bool first)
{
	struct kmemdump_segment *last = w->segs ? &w->segs[w->nr - 1] : NULL;

	if (!first && last->phys_addr + last->size == phys) {
		last->size += len;
		return 0;
	}
	if (w->nr == w->max)
		return -ENOSPC;
	w->segs[w->nr++] = (struct kmemdump_segment) {
		.virt_addr = addr, .phys_addr = phys, .size = len,
	};
	return 0;
}

/* Append the segments of [@addr, @addr + @size); of no other kind of memory than RAM. */
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

		if (w->segs) {
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

/* Where the memory of a region is, as the provider gave it. */
struct place {
	unsigned long		addr;
	const void __percpu	*percpu;
	size_t			size;
};

static int walk_place(struct walk *w, const struct place *place)
{
	unsigned int cpu;
	int ret;

	if (!place->percpu)
		return walk_range(w, place->addr, place->size);

	/* No per-CPU variable is larger. */
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

static int get_place(const struct kmemdump_region *region, struct place *place)
{
	place->size = region->size;
	place->percpu = region->percpu_addr;
	if (region->percpu_addr)
		return 0;

	if (region->virt_addr) {
		/* Without a tag: it is the memory that is registered, not the object. */
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

/* Bytes of an entry, with segments and name. */
static size_t entry_bytes(unsigned int max_segments, const char *name)
{
	return struct_size_t(struct kmemdump_entry, segments, 2 * (size_t)max_segments) +
	       strlen(name) + 1;
}

static struct kmemdump_entry *alloc_entry(const char *name, unsigned int max_segments)
{
	size_t size = entry_bytes(max_segments, name);
	struct kmemdump_entry *entry = kvzalloc(size, GFP_KERNEL);

	if (!entry)
		return NULL;
	if (kmemdump_index_add(entry, size)) {
		kvfree(entry);
		return NULL;
	}
	entry->max_segments = max_segments;
	memcpy((char *)kmemdump_entry_name(entry), name, strlen(name) + 1);
	return entry;
}

static void forget_entry(const struct kmemdump_entry *entry)
{
	kmemdump_index_remove(entry, entry_bytes(entry->max_segments,
						 kmemdump_entry_name(entry)));
}

static bool same_place(const struct kmemdump_segment *segs, const struct kmemdump_region *region)
{
	return !region->phys_addr || segs->phys_addr == region->phys_addr;
}

/* Whether somebody holds the memory at @segs, as far as its first page tells. */
static bool segments_held(const struct kmemdump_segment *segs)
{
	return kmemdump_is_linear(segs->virt_addr) &&
	       page_held(virt_to_page((void *)segs->virt_addr));
}

static struct kmemdump_entry *translate_mapped(const struct kmemdump_region *region)
{
	struct walk count = { }, fill = { };
	struct kmemdump_entry *entry;
	struct place place = { };
	int ret;

	ret = get_place(region, &place);
	if (ret)
		return ERR_PTR(ret);
	ret = walk_place(&count, &place);
	if (ret)
		return ERR_PTR(ret);

	/* Keep room for any place that it may move to. */
	if (!place.percpu && is_vmalloc(place.addr) && place.size >= PAGE_SIZE &&
	    place.size <= MOVABLE_SIZE)
		count.nr = DIV_ROUND_UP(place.size - 1, PAGE_SIZE) + 1;
	entry = alloc_entry(region->name, count.nr);
	if (!entry)
		return ERR_PTR(-ENOMEM);

	fill.segs = entry->segments;
	fill.max = count.nr;
	ret = walk_place(&fill, &place);
	/* A mapping that changed in between was not the provider's to register. */
	if (ret == -ENOSPC)
		ret = -EFAULT;
	if (!ret && !same_place(entry->segments, region))
		ret = -EINVAL;
	if (ret) {
		forget_entry(entry);
		kvfree(entry);
		return ERR_PTR(ret);
	}

	entry->nr_segments[0] = fill.nr;
	if (place.percpu)
		entry->flags |= KMEMDUMP_ENTRY_PERCPU;
	entry->held = segments_held(entry->segments) ? BIT(0) : 0;
	return entry;
}

/*
 * Memory that is not in the linear map: we map it, and write-combined, which
 * is what drivers of SRAM and ramoops take, and which never puts stale lines
 * into a cache.
 */
static struct kmemdump_entry *translate_unmapped(const struct kmemdump_region *region)
{
	struct kmemdump_entry *entry = alloc_entry(region->name, 1);
	void *p;

	if (!entry)
		return ERR_PTR(-ENOMEM);
	p = memremap(region->phys_addr, region->size, MEMREMAP_WC);
	/* Where someone has mapped it in another way already, that has to do. */
	if (!p)
		p = memremap(region->phys_addr, region->size, MEMREMAP_WB);
	if (!p) {
		forget_entry(entry);
		kvfree(entry);
		return ERR_PTR(-ENOMEM);
	}
	entry->flags = KMEMDUMP_ENTRY_MAPPED;
	entry->nr_segments[0] = 1;
	entry->segments[0] = (struct kmemdump_segment) {
		.virt_addr = (unsigned long)p,
		.phys_addr = region->phys_addr,
		.size = region->size,
	};
	return entry;
}

/* What the kernel knows to be at physical addresses that are no RAM. */
static bool is_known_memory(phys_addr_t phys, size_t size)
{
	return region_intersects(phys, size, IORESOURCE_MEM, IORES_DESC_NONE) == REGION_INTERSECTS;
}

/*
 * Make the core's own copy of @region, with its segments. The caller has checked
 * the name and that the range does not wrap. Process context, may sleep.
 */
struct kmemdump_entry *kmemdump_translate(const struct kmemdump_region *region)
{
	if (region->virt_addr || region->percpu_addr)
		return translate_mapped(region);

	switch (region_intersects(region->phys_addr, region->size, IORESOURCE_SYSTEM_RAM,
				  IORES_DESC_NONE)) {
	case REGION_INTERSECTS:
		return translate_mapped(region);
	case REGION_DISJOINT:
		if (region->phys_addr && is_known_memory(region->phys_addr, region->size))
			return translate_unmapped(region);
		fallthrough;
	default:
		return ERR_PTR(-EFAULT);
	}
}

/*
 * Fill the spare copy of the segments of @entry, which is locked, with those of
 * @region. Any context.
 */
int kmemdump_retranslate(struct kmemdump_entry *entry, const struct kmemdump_region *region)
{
	unsigned int spare = !(entry->version & 1);
	struct place place = { };
	struct walk w = {
		.segs = entry->segments + spare * entry->max_segments,
		.max = entry->max_segments,
		.atomic = true,
	};
	bool percpu = entry->flags & KMEMDUMP_ENTRY_PERCPU;
	size_t size = region->size;
	int ret;

	if (entry->flags & KMEMDUMP_ENTRY_MAPPED)
		return -EOPNOTSUPP;
	if (percpu && check_mul_overflow(size, (size_t)num_possible_cpus(), &size))
		return -EINVAL;
	if (percpu != !!region->percpu_addr || size != kmemdump_entry_size(entry))
		return -EINVAL;
	ret = get_place(region, &place);
	if (ret)
		return ret;
	ret = walk_place(&w, &place);
	if (ret)
		return ret;
	if (!same_place(w.segs, region))
		return -EINVAL;

	WRITE_ONCE(entry->nr_segments[spare], w.nr);
	entry->held &= ~BIT(spare);
	if (segments_held(w.segs))
		entry->held |= BIT(spare);
	return 0;
}

/* Free @entry when nobody can be looking at it any more. May sleep. */
void kmemdump_entry_free(struct kmemdump_entry *entry)
{
	/* The memory itself is read only at panic, and then nobody gets here. */
	if (entry->flags & KMEMDUMP_ENTRY_MAPPED)
		memunmap((void *)entry->segments[0].virt_addr);
	forget_entry(entry);
	kvfree_rcu(entry, rcu);
}

static bool segment_present(const struct kmemdump_segment *seg)
{
	size_t done = 0;

	while (done < seg->size) {
		unsigned long addr = seg->virt_addr + done;
		phys_addr_t phys;

		if (!kmemdump_translate_addr(addr, &phys) || phys != seg->phys_addr + done)
			return false;
		done += min_t(size_t, seg->size - done, PAGE_SIZE - offset_in_page(addr));
	}
	return true;
}

/*
 * Whether the memory of @entry still is at @segs, as far as that can be told. Any
 * context; at panic it takes no lock and touches only page tables and struct
 * pages.
 */
bool kmemdump_entry_present(const struct kmemdump_entry *entry,
			    const struct kmemdump_segment *segs, unsigned int nr)
{
	unsigned int copy = segs != entry->segments;
	unsigned int i;

	/* Nobody else can take away what we mapped ourselves. */
	if (entry->flags & KMEMDUMP_ENTRY_MAPPED)
		return true;
	for (i = 0; i < nr; i++)
		if (!segment_present(&segs[i]))
			return false;
	return !(entry->held & BIT(copy)) ||
	       page_held(virt_to_page((void *)segs[0].virt_addr));
}

/* Bytes of @entry, of all CPUs if it is per-CPU. Any context. */
size_t kmemdump_entry_size(const struct kmemdump_entry *entry)
{
	const struct kmemdump_segment *segs;
	unsigned int nr, i, version;
	size_t size;

	/* Moves do not change the sum, but it must not be one of two places. */
	do {
		/* Pairs with the release in kmemdump_move(). */
		version = smp_load_acquire(&entry->version);
		segs = kmemdump_entry_segments(entry, &nr);
		size = 0;
		for (i = 0; i < nr; i++)
			/* What is read while it changes is thrown away. */
			size += data_race(segs[i].size);
		/* Look at the version again only after that. */
		smp_rmb();
	} while (READ_ONCE(entry->version) != version);
	return size;
}

/* The module that registered @entry, or "kernel". */
const char *kmemdump_entry_owner(const struct kmemdump_entry *entry)
{
	return entry->owner ? module_name(entry->owner) : "kernel";
}

/* Whether @addr is that of a static per-CPU variable of @mod, or of the kernel. */
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

/* The address of a variable of @mod, or of the kernel; it may be per-CPU. */
void kmemdump_set_addr(struct kmemdump_region *region, unsigned long addr,
		       const struct module *mod)
{
	if (kmemdump_is_percpu(addr, mod))
		region->percpu_addr = (const void __percpu __force *)addr;
	else
		region->virt_addr = (const void *)addr;
}
