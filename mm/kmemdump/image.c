// SPDX-License-Identifier: GPL-2.0-only
/*
 * kmemdump: what is in the core image.
 *
 * The regions of a table, and what hooks find at the crash, become a list of loads: whole
 * pages, none twice, what matters most first.
 *
 * Most of this runs at panic: no allocation, no lock, every read may fault.
 *
 * Copyright (C) 2026 the kmemdump authors
 */
#include <linux/cpumask.h>
#include <linux/export.h>
#include <linux/math64.h>
#include <linux/mm.h>
#include <linux/nmi.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/sort.h>
#include <linux/string.h>
#include <linux/timekeeping.h>
#include <linux/uaccess.h>
#include <linux/vmcore_info.h>
#include <linux/xxhash.h>

#include <asm/sections.h>

#include "kmemdump.h"

struct kmemdump_image_hooks kmemdump_image_hooks __ro_after_init;

/**
 * kmemdump_image_alloc() - allocate room for a core image
 * @max_regions:	regions that it can have
 * @max_pieces:		pieces of all of them
 * @max_loads:		loads that it can have
 *
 * Context: process context, may sleep.
 * Return: the image, for kmemdump_image_free(); NULL without memory.
 */
struct kmemdump_image *kmemdump_image_alloc(unsigned int max_regions, unsigned int max_pieces,
					    unsigned int max_loads)
{
	size_t head_size = size_add(array_size(size_add(max_loads, 1), sizeof(struct elf64_phdr)),
				    sizeof(struct elf64_hdr) + sizeof(struct elf64_shdr));
	size_t cpus_size = ALIGN(num_possible_cpus() * sizeof(struct kmemdump_image_cpu), 8);
	size_t regions_size = array_size(max_regions, sizeof(struct kmemdump_image_region));
	size_t notes_size = kmemdump_max_notes(max_regions, max_pieces);
	struct kmemdump_image *image;

	image = kvzalloc(size_add(size_add(sizeof(*image), size_add(regions_size, cpus_size)),
				  size_add(head_size, notes_size)), GFP_KERNEL);
	if (!image)
		return NULL;
	image->max_regions = max_regions;
	image->max_pieces = max_pieces;
	image->max_loads = max_loads;
	image->max_notes = notes_size;
	/* Only the size of the notes is no multiple of 8, and they are last. */
	image->regions = (void *)(image + 1);
	image->cpus = (void *)image->regions + regions_size;
	image->head = (void *)image->cpus + cpus_size;
	image->loads = (struct elf64_phdr *)(image->head + 1) + 1;
	image->notes = (void *)image->head + head_size;
	return image;
}
EXPORT_SYMBOL_GPL(kmemdump_image_alloc);

/**
 * kmemdump_image_free() - free a core image
 * @image: from kmemdump_image_alloc(), or %NULL
 *
 * Context: any but NMI.
 */
void kmemdump_image_free(struct kmemdump_image *image)
{
	kvfree(image);
}
EXPORT_SYMBOL_GPL(kmemdump_image_free);

/* Loads */

static int cmp_address(const void *a, const void *b)
{
	const struct elf64_phdr *x = a, *y = b;

	return x->p_vaddr < y->p_vaddr ? -1 : x->p_vaddr > y->p_vaddr;
}

static int cmp_order(const void *a, const void *b)
{
	const struct elf64_phdr *x = a, *y = b;

	if (x->p_align != y->p_align)
		return x->p_align < y->p_align ? -1 : 1;
	return cmp_address(a, b);
}

static u64 end_of(const struct elf64_phdr *load)
{
	return load->p_vaddr + load->p_memsz;
}

/* Whether @load goes on where @last ends, or begins in it. */
static bool continues(const struct elf64_phdr *last, const struct elf64_phdr *load)
{
	return load->p_paddr - last->p_paddr == load->p_vaddr - last->p_vaddr &&
	       load->p_vaddr >= last->p_vaddr && load->p_vaddr <= end_of(last);
}

/*
 * Two loads that share pages become one, of the better order; so do neighbours of the same
 * order. Leaves the loads sorted by address.
 */
static void merge_loads(struct kmemdump_image *image)
{
	struct elf64_phdr *loads = image->loads;
	unsigned int i, out = 0;

	sort(loads, image->nr_loads, sizeof(*loads), cmp_address, NULL);
	for (i = 1; i < image->nr_loads; i++) {
		struct elf64_phdr *last = &loads[out];

		if (continues(last, &loads[i]) &&
		    (loads[i].p_vaddr < end_of(last) || loads[i].p_align == last->p_align)) {
			last->p_memsz = max(end_of(last), end_of(&loads[i])) - last->p_vaddr;
			last->p_align = min(last->p_align, loads[i].p_align);
		} else {
			loads[++out] = loads[i];
		}
	}
	if (image->nr_loads)
		image->nr_loads = out + 1;
}

/* Add a load; one that there is no room for is counted. */
void kmemdump_image_push(struct kmemdump_image *image, u64 vaddr, u64 paddr, u64 size,
			 enum kmemdump_order order)
{
	struct elf64_phdr load = {
		.p_vaddr = vaddr, .p_paddr = paddr, .p_memsz = size, .p_align = order,
	};

	if (image->nr_loads) {
		struct elf64_phdr *last = &image->loads[image->nr_loads - 1];

		if (last->p_align == order && continues(last, &load)) {
			last->p_memsz = max(end_of(last), end_of(&load)) - last->p_vaddr;
			return;
		}
	}
	if (image->nr_loads == image->max_loads && !image->full) {
		merge_loads(image);
		/* Not again for each load if that did not help much. */
		image->full = image->nr_loads > image->max_loads - image->max_loads / 8;
	}
	if (image->nr_loads == image->max_loads)
		image->nr_left_out++;
	else
		image->loads[image->nr_loads++] = load;
}

/* Regions */

/* The order of @entry, which may be damaged. */
static enum kmemdump_order order_of(const struct kmemdump_entry *entry)
{
	return min_t(unsigned int, entry->order, KMEMDUMP_ORDER_LOW);
}

/* Whether the ends of an array of pieces can be read, though the pointer may be damaged. */
static bool is_readable(const struct kmemdump_piece *pieces, unsigned int nr)
{
	struct kmemdump_piece piece;

	return nr && kmemdump_peek(&piece, pieces, sizeof(piece)) &&
	       kmemdump_peek(&piece, &pieces[nr - 1], sizeof(piece));
}

/*
 * The checksum of a region goes into the notes, which stand before the memory: so a dump that
 * was cut short still says all that it should have had.
 */
static void examine_region(const struct kmemdump_image *image,
			   struct kmemdump_image_region *region)
{
	const struct kmemdump_entry *entry = region->entry;
	const struct kmemdump_piece *pieces;
	struct xxh64_state hash;
	unsigned int i;
	char buf[512];

	region->state = KMEMDUMP_STATE_OK;
	region->checksum = 0;
	/* Nothing is read for a crash that is still to come. */
	if (image->ahead)
		return;
	if (!kmemdump_entry_present(entry, region->version)) {
		region->state = KMEMDUMP_STATE_GONE;
		return;
	}
	/* The checksum of memory that changes before it is saved would not match. */
	if (image->live || entry->flags & KMEMDUMP_ENTRY_AREA ||
	    (image->later && entry->class == KMEMDUMP_CLASS_LOG))
		return;

	pieces = kmemdump_region_pieces(region);
	xxh64_reset(&hash, 0);
	for (i = 0; i < region->nr_pieces; i++) {
		const struct kmemdump_piece *piece = &pieces[i];
		size_t done, n;

		for (done = 0; done < piece->size; done += n) {
			n = min(piece->size - done, sizeof(buf));
			if (!kmemdump_read(buf, piece->virt_addr + done, piece->phys_addr + done,
					   n))
				region->state = KMEMDUMP_STATE_BAD;
			xxh64_update(&hash, buf, n);
			if (!(done % SZ_1M))
				touch_nmi_watchdog();
		}
	}
	region->checksum = xxh64_digest(&hash);
}

/* Regions of which parts may be in the image with orders of their own. */
#define FILLED_LAST	(KMEMDUMP_ENTRY_AREA | KMEMDUMP_ENTRY_RING)

/* Add a region, with what its memory is like. */
void kmemdump_image_add_region(struct kmemdump_image *image, const struct kmemdump_entry *entry)
{
	/* Pairs with the release [A] in kmemdump_entry_update(). */
	u32 version = smp_load_acquire(&entry->version);
	struct kmemdump_image_region *region;
	const struct kmemdump_piece *pieces;
	unsigned int i, nr;

	/* There is room for all; a damaged table must not change that. */
	pieces = kmemdump_entry_copy(entry, version, &nr);
	if (image->nr_regions == image->max_regions ||
	    nr > image->max_pieces - image->nr_pieces || !is_readable(pieces, nr)) {
		image->nr_left_out++;
		return;
	}

	region = &image->regions[image->nr_regions++];
	region->entry = entry;
	region->version = version;
	region->nr_pieces = nr;
	region->first_piece = image->nr_pieces;
	image->nr_pieces += nr;
	if (entry->flags & KMEMDUMP_ENTRY_RING)
		image->has_log = true;
	examine_region(image, region);
	if (region->state == KMEMDUMP_STATE_GONE)
		return;

	for (i = 0; i < nr; i++) {
		unsigned long addr = pieces[i].virt_addr, skip = offset_in_page(addr);

		if (image->debuggers && !kmemdump_is_linear(addr) && !__is_kernel(addr))
			kmemdump_image_hooks.add_tables(image, addr, pieces[i].size,
							order_of(entry));
		/* fill_regions() adds these later, when the loads inside of them are known. */
		if (!(entry->flags & FILLED_LAST))
			kmemdump_image_push(image, addr - skip, pieces[i].phys_addr - skip,
					    PAGE_ALIGN(skip + pieces[i].size), order_of(entry));
	}
}

/* Index of the first of the @nr loads, which are sorted by address, that ends after @addr. */
static unsigned int find_load(const struct kmemdump_image *image, unsigned int nr, u64 addr)
{
	unsigned int low = 0, high = nr;

	while (low < high) {
		unsigned int mid = low + (high - low) / 2;

		if (end_of(&image->loads[mid]) > addr)
			high = mid;
		else
			low = mid + 1;
	}
	return low;
}

/*
 * Add what the first @nr loads, which are sorted and merged, do not have of @piece. What they
 * have of it matters at least as much as @piece.
 */
static void fill_piece(struct kmemdump_image *image, unsigned int nr,
		       const struct kmemdump_piece *piece, enum kmemdump_order order)
{
	u64 addr = piece->virt_addr & PAGE_MASK;
	u64 end = PAGE_ALIGN(piece->virt_addr + piece->size);
	u64 offset = (u64)piece->phys_addr - piece->virt_addr;
	unsigned int i;

	for (i = find_load(image, nr, addr); addr < end; i++) {
		struct elf64_phdr *load = &image->loads[i];
		u64 stop = i < nr ? min(end, load->p_vaddr) : end;

		if (i < nr && load->p_vaddr < end)
			load->p_align = min_t(u64, load->p_align, order);
		if (addr < stop && image->nr_loads == image->max_loads)
			image->nr_left_out++;
		else if (addr < stop)
			image->loads[image->nr_loads++] = (struct elf64_phdr) {
				.p_vaddr = addr, .p_paddr = addr + offset,
				.p_memsz = stop - addr, .p_align = order,
			};
		addr = i < nr ? max(addr, end_of(load)) : end;
	}
}

/* Add what the regions with any of @flags have besides what of them is there already. */
static void fill_regions(struct kmemdump_image *image, u8 flags)
{
	unsigned int nr_sorted, i, j;

	merge_loads(image);
	nr_sorted = image->nr_loads;
	for (i = 0; i < image->nr_regions; i++) {
		struct kmemdump_image_region *region = &image->regions[i];
		const struct kmemdump_piece *pieces = kmemdump_region_pieces(region);

		if (!(region->entry->flags & flags) || region->state == KMEMDUMP_STATE_GONE)
			continue;
		for (j = 0; j < region->nr_pieces; j++)
			fill_piece(image, nr_sorted, &pieces[j], order_of(region->entry));
	}
	/* Two filled regions may share a page. */
	if (image->nr_loads > nr_sorted)
		merge_loads(image);
}

/* Building */

/*
 * This CPU, with @regs, and all others that were at work. In an image that is made ahead of
 * the crash all of them run: to look at them takes a lock of the scheduler, and this may be
 * an NMI.
 */
static void save_cpus(struct kmemdump_image *image, struct pt_regs *regs)
{
	unsigned int this_cpu = raw_smp_processor_id(), cpu;

	image->nr_cpus = 0;
	if (!regs && !image->ahead)
		return;
	for_each_present_cpu(cpu) {
		struct kmemdump_image_cpu *out = &image->cpus[image->nr_cpus];

		if (image->nr_cpus == num_possible_cpus())
			return;
		if (cpu != this_cpu && !cpu_active(cpu))
			continue;
		image->nr_cpus++;
		if (image->ahead)
			*out = (struct kmemdump_image_cpu) {
				.cpu = cpu, .state = KMEMDUMP_CPU_RUNNING,
			};
		else
			kmemdump_save_cpu(out, cpu, cpu == this_cpu ? regs : NULL, image->live);
	}
}

static void save_vmcoreinfo(struct kmemdump_image *image)
{
	size_t size = min_t(size_t, vmcoreinfo_size, PAGE_SIZE);

	image->vmcoreinfo_size = 0;
	if (!vmcoreinfo_data ||
	    copy_from_kernel_nofault(image->vmcoreinfo, vmcoreinfo_data, size))
		return;
	/* CRASHTIME makes debuggers look for crash_notes, which only CRASH_DUMP has. */
	if (IS_ENABLED(CONFIG_CRASH_DUMP) && !image->live)
		size += scnprintf(image->vmcoreinfo + size, sizeof(image->vmcoreinfo) - size,
				  "CRASHTIME=%lld\n", image->time);
	image->vmcoreinfo_size = size;
}

/* Begin an image; @regs are the registers of this CPU, or NULL. */
void kmemdump_image_start(struct kmemdump_image *image, struct pt_regs *regs)
{
	image->nr_regions = 0;
	image->nr_pieces = 0;
	image->nr_loads = 0;
	image->nr_left_out = 0;
	image->has_log = false;
	image->full = false;
	image->last_table = 0;
	image->time = div_u64(ktime_get_real_fast_ns(), NSEC_PER_SEC);
	save_vmcoreinfo(image);
	save_cpus(image, regs);
}

/* All regions are in @image: add what belongs to them, and put it into its order. */
void kmemdump_image_finish(struct kmemdump_image *image)
{
	fill_regions(image, FILLED_LAST);
	if (image->debuggers) {
		kmemdump_image_hooks.add_tasks(image);
		merge_loads(image);
	}
	sort(image->loads, image->nr_loads, sizeof(*image->loads), cmp_order, NULL);
	kmemdump_lay_out(image);
}

/*
 * Take a picture of @table into @image: which regions there are, what state they are in, and
 * where all of it stands in the ELF core. With @be, only what it is to have. @regs are the
 * registers of this CPU, or NULL. The entries of @table must not go away while @image is
 * used: the caller is in panic, or holds the lock of @table. In a running system they may be
 * updated, and what is read of one then may be of its old place or its new one.
 */
void kmemdump_image_build(struct kmemdump_image *image, struct kmemdump_table *table,
			  const struct kmemdump_backend *be, struct pt_regs *regs)
{
	bool carried = be && be->image && !be->image->all;
	struct kmemdump_entry *entry;
	unsigned long id;

	image->ahead = false;
	image->later = be && be->table;
	image->debuggers = table == &kmemdump_table && kmemdump_image_hooks.add_needed &&
			   (!be || be->carrier->classes & BIT(KMEMDUMP_CLASS_CORE));
	kmemdump_image_start(image, regs);

	xa_for_each(&table->ids, id, entry)
		if (!be || (carried ? kmemdump_reason(be, entry) == KMEMDUMP_CARRIED :
				      kmemdump_may_carry(be, entry)))
			kmemdump_image_add_region(image, entry);
	/* The log goes first, as add_needed() may find more than there is room for. */
	if (image->has_log && kmemdump_image_hooks.add_log) {
		kmemdump_image_hooks.add_log(image);
		fill_regions(image, KMEMDUMP_ENTRY_RING);
	}
	if (image->debuggers)
		kmemdump_image_hooks.add_needed(image);
	kmemdump_image_finish(image);
}
