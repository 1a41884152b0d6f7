// SPDX-License-Identifier: GPL-2.0-only
/*
 * kmemdump: the core image.
 *
 * The ELF core is never in memory as a whole. kmemdump_image_build() works out
 * its layout from the table, kmemdump_image_read() makes any part of it on
 * demand:
 *
 *	ELF header | program headers | section header (if over 65,534 of those)
 *	PT_NOTE: NT_PRSTATUS of the crashing CPU, VMCOREINFO, KMEMDUMP
 *	PT_LOADs, whole pages, by rank and then by address
 *
 * Both run at panic: no allocation, no lock, every read may fault.
 *
 * Copyright (C) 2026 the kmemdump authors
 */
#include <linux/cpumask.h>
#include <linux/elf.h>
#include <linux/kernel.h>
#include <linux/math64.h>
#include <linux/mm.h>
#include <linux/nmi.h>
#include <linux/slab.h>
#include <linux/sort.h>
#include <linux/string.h>
#include <linux/timekeeping.h>
#include <linux/uaccess.h>
#include <linux/vmcore_info.h>
#include <linux/xxhash.h>

#include "kmemdump.h"

/* Not ELF_CORE_EFLAGS: on powerpc that depends on the current task. */
#ifdef CONFIG_PPC64
#define CORE_EFLAGS	_CALL_ELF
#else
#define CORE_EFLAGS	0
#endif

/* Rights that debuggers expect of kernel memory; kdump writes the same. */
#define LOAD_FLAGS	(PF_R | PF_W | PF_X)

/* Room for an image; kvfree() frees it. */
struct kmemdump_image *kmemdump_image_alloc(unsigned int max_regions, unsigned int max_loads)
{
	size_t loads_size = array_size(max_loads, sizeof(struct kmemdump_load));
	size_t regions_size = array_size(max_regions, sizeof(struct kmemdump_image_region));
	struct kmemdump_image *image;

	image = kvmalloc(size_add(sizeof(*image), size_add(loads_size, regions_size)),
			 GFP_KERNEL);
	if (!image)
		return NULL;
	memset(image, 0, sizeof(*image));
	image->max_regions = max_regions;
	image->max_loads = max_loads;
	image->loads = (void *)(image + 1);
	image->regions = (void *)image->loads + loads_size;
	return image;
}

/* Copy memory that may not be there; what isn't reads as zeros. */
static bool read_memory(void *buf, unsigned long addr, phys_addr_t phys, size_t len)
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

/* Building */

/*
 * The checksum of what the regions hold goes into the notes, which stand before
 * the data: so a dump cut short still knows all that it should have held.
 */
static void examine_region(struct kmemdump_image_region *region,
			   const struct kmemdump_segment *segs, unsigned int nr)
{
	struct xxh64_state hash;
	char buf[512];
	unsigned int i;

	region->state = KMEMDUMP_STATE_OK;
	region->checksum = 0;
	if (!kmemdump_entry_present(region->entry, segs, nr)) {
		region->state = KMEMDUMP_STATE_GONE;
		return;
	}

	xxh64_reset(&hash, 0);
	for (i = 0; i < nr; i++) {
		const struct kmemdump_segment *seg = &segs[i];
		size_t done, n;

		for (done = 0; done < seg->size; done += n) {
			n = min(seg->size - done, sizeof(buf));
			if (!read_memory(buf, seg->virt_addr + done, seg->phys_addr + done, n))
				region->state = KMEMDUMP_STATE_BAD;
			xxh64_update(&hash, buf, n);
			if (!(done % SZ_1M))
				touch_nmi_watchdog();
		}
	}
	region->checksum = xxh64_digest(&hash);
}

static u64 load_size(const struct kmemdump_load *load)
{
	return (u64)load->nr_pages << PAGE_SHIFT;
}

static int cmp_address(const void *a, const void *b)
{
	const struct kmemdump_load *x = a, *y = b;

	return x->vaddr < y->vaddr ? -1 : x->vaddr > y->vaddr;
}

static int cmp_rank(const void *a, const void *b)
{
	const struct kmemdump_load *x = a, *y = b;

	if (x->rank != y->rank)
		return x->rank < y->rank ? -1 : 1;
	return cmp_address(a, b);
}

/*
 * Two loads that share pages become one, of the better rank; so do neighbours
 * of the same rank.
 */
static void merge_loads(struct kmemdump_image *image)
{
	struct kmemdump_load *loads = image->loads;
	unsigned int i, out = 0;

	sort(loads, image->nr_loads, sizeof(*loads), cmp_address, NULL);
	for (i = 1; i < image->nr_loads; i++) {
		struct kmemdump_load *last = &loads[out];
		u64 end = last->vaddr + load_size(last);

		if (loads[i].paddr - last->paddr == loads[i].vaddr - last->vaddr &&
		    (loads[i].vaddr < end ||
		     (loads[i].vaddr == end && loads[i].rank == last->rank))) {
			end = max(end, loads[i].vaddr + load_size(&loads[i]));
			last->nr_pages = (end - last->vaddr) >> PAGE_SHIFT;
			last->rank = min(last->rank, loads[i].rank);
		} else {
			loads[++out] = loads[i];
		}
	}
	if (image->nr_loads)
		image->nr_loads = out + 1;
}

/* The segments of a region at the time the image was built. */
static const struct kmemdump_segment *region_segments(const struct kmemdump_image_region *region,
						      unsigned int *nr)
{
	*nr = region->entry->nr_segments[region->copy];
	return region->entry->segments + region->copy * region->entry->max_segments;
}

static void add_region(struct kmemdump_image *image, const struct kmemdump_entry *entry)
{
	struct kmemdump_image_region *region;
	const struct kmemdump_segment *segs;
	unsigned int i, nr;

	segs = kmemdump_entry_segments(entry, &nr);
	/* There is room by construction; a corrupt table must not change that. */
	if (image->nr_regions == image->max_regions || nr > image->max_loads - image->nr_segments)
		return;

	region = &image->regions[image->nr_regions++];
	region->entry = entry;
	region->copy = segs != entry->segments;
	region->first_segment = image->nr_segments;
	image->nr_segments += nr;
	examine_region(region, segs, nr);
	if (region->state == KMEMDUMP_STATE_GONE)
		return;

	for (i = 0; i < nr; i++) {
		const struct kmemdump_segment *seg = &segs[i];
		unsigned long skip = offset_in_page(seg->virt_addr);

		image->loads[image->nr_loads++] = (struct kmemdump_load) {
			.vaddr		= seg->virt_addr - skip,
			.paddr		= seg->phys_addr - skip,
			.nr_pages	= PFN_UP(skip + seg->size),
			.rank		= entry->rank,
		};
	}
}

static void save_vmcoreinfo(struct kmemdump_image *image)
{
	size_t size = min_t(size_t, vmcoreinfo_size, PAGE_SIZE);

	image->vmcoreinfo_size = 0;
	if (!vmcoreinfo_data ||
	    copy_from_kernel_nofault(image->vmcoreinfo, vmcoreinfo_data, size))
		return;
	size += scnprintf(image->vmcoreinfo + size, sizeof(image->vmcoreinfo) - size,
			  "CRASHTIME=%lld\n", image->time);
	image->vmcoreinfo_size = size;
}

static void save_regs(struct kmemdump_image *image, struct pt_regs *regs)
{
	image->has_regs = regs;
	if (!regs)
		return;
	memset(&image->prstatus, 0, sizeof(image->prstatus));
	image->prstatus.common.pr_pid = current->pid;
	elf_core_copy_regs(&image->prstatus.pr_reg, regs);
}

static u64 note_size(const char *name, u64 desc_size)
{
	return sizeof(struct elf64_note) + ALIGN(strlen(name) + 1, 4) + ALIGN(desc_size, 4);
}

static u64 region_note_desc_size(const struct kmemdump_image *image)
{
	return sizeof(struct kmemdump_note) +
	       (u64)image->nr_regions * sizeof(struct kmemdump_note_region) +
	       (u64)image->nr_segments * sizeof(struct kmemdump_note_segment);
}

static bool has_section_header(const struct kmemdump_image *image)
{
	return image->nr_loads + 1 >= PN_XNUM;
}

static void lay_out(struct kmemdump_image *image)
{
	unsigned int i;
	u64 pos;

	pos = sizeof(struct elf64_hdr) + (image->nr_loads + 1ULL) * sizeof(struct elf64_phdr);
	if (has_section_header(image))
		pos += sizeof(struct elf64_shdr);
	image->notes_offset = pos;
	if (image->has_regs)
		pos += note_size("CORE", sizeof(image->prstatus));
	if (image->vmcoreinfo_size)
		pos += note_size(VMCOREINFO_NOTE_NAME, image->vmcoreinfo_size);
	pos += note_size(KMEMDUMP_NOTE_NAME, region_note_desc_size(image));
	image->notes_size = pos - image->notes_offset;

	pos = ALIGN(pos, PAGE_SIZE);
	image->data_offset = pos;
	for (i = 0; i < image->nr_loads; i++) {
		image->loads[i].offset = pos;
		pos += load_size(&image->loads[i]);
	}
	image->size = pos;
}

/*
 * Take a picture of @table into @image: which regions there are, what state
 * they are in, and where all of it will stand in the ELF core. With @be, only
 * what it may carry. @regs are the registers of this CPU, or NULL. The entries of
 * @table must not go away or move while @image is read: the caller is in panic.
 */
void kmemdump_image_build(struct kmemdump_image *image, struct kmemdump_table *table,
			  const struct kmemdump_backend *be, struct pt_regs *regs)
{
	struct kmemdump_entry *entry;
	unsigned long id;

	image->nr_regions = 0;
	image->nr_segments = 0;
	image->nr_loads = 0;
	image->time = div_u64(ktime_get_real_fast_ns(), NSEC_PER_SEC);
	save_vmcoreinfo(image);
	save_regs(image, regs);

	xa_for_each(&table->regions, id, entry)
		if (!be || kmemdump_may_carry(be, entry))
			add_region(image, entry);
	merge_loads(image);
	sort(image->loads, image->nr_loads, sizeof(*image->loads), cmp_rank, NULL);
	lay_out(image);
}

/* Reading */

/* The part [start, start + len) of the image that goes to @buf. */
struct window {
	void	*buf;
	u64	start;
	u64	len;
	u64	pos;	/* where the next emit() stands in the image */
};

/* Put @size bytes at the current place, as far as the window shows it. */
static void emit(struct window *w, const void *data, u64 size)
{
	u64 from = max(w->pos, w->start);
	u64 to = min(w->pos + size, w->start + w->len);

	if (from < to)
		memcpy(w->buf + (from - w->start), data + (from - w->pos), to - from);
	w->pos += size;
}

/* The buffer was zeroed beforehand, so padding is only a step. */
static void emit_padding(struct window *w, u64 align)
{
	w->pos = ALIGN(w->pos, align);
}

/*
 * For arrays whose elements are made on the fly: step over those before the
 * window, and tell which is the first that shows.
 */
static unsigned int skip_elements(struct window *w, unsigned int nr, u64 size)
{
	u64 skip = w->start > w->pos ? div64_u64(w->start - w->pos, size) : 0;

	skip = min_t(u64, skip, nr);
	w->pos += skip * size;
	return skip;
}

static bool past_window(const struct window *w)
{
	return w->pos >= w->start + w->len;
}

static void emit_headers(struct window *w, const struct kmemdump_image *image)
{
	struct elf64_hdr ehdr = {
		.e_ident = {
			[EI_MAG0] = ELFMAG0, [EI_MAG1] = ELFMAG1,
			[EI_MAG2] = ELFMAG2, [EI_MAG3] = ELFMAG3,
			[EI_CLASS] = ELFCLASS64,
			[EI_DATA] = ELF_DATA,
			[EI_VERSION] = EV_CURRENT,
			[EI_OSABI] = ELF_OSABI,
		},
		.e_type		= ET_CORE,
		.e_machine	= ELF_ARCH,
		.e_version	= EV_CURRENT,
		.e_phoff	= sizeof(struct elf64_hdr),
		.e_flags	= CORE_EFLAGS,
		.e_ehsize	= sizeof(struct elf64_hdr),
		.e_phentsize	= sizeof(struct elf64_phdr),
		.e_phnum	= image->nr_loads + 1,
	};
	struct elf64_phdr note = {
		.p_type		= PT_NOTE,
		.p_offset	= image->notes_offset,
		.p_filesz	= image->notes_size,
		.p_memsz	= image->notes_size,
		.p_align	= 4,
	};
	struct elf64_shdr shdr = {
		/* The ELF way to say how many program headers there really are. */
		.sh_info	= image->nr_loads + 1,
	};
	unsigned int i;

	if (has_section_header(image)) {
		ehdr.e_phnum = PN_XNUM;
		ehdr.e_shoff = image->notes_offset - sizeof(shdr);
		ehdr.e_shentsize = sizeof(shdr);
		ehdr.e_shnum = 1;
	}
	emit(w, &ehdr, sizeof(ehdr));
	emit(w, &note, sizeof(note));

	for (i = skip_elements(w, image->nr_loads, sizeof(struct elf64_phdr));
	     i < image->nr_loads && !past_window(w); i++) {
		const struct kmemdump_load *load = &image->loads[i];
		struct elf64_phdr phdr = {
			.p_type		= PT_LOAD,
			.p_flags	= LOAD_FLAGS,
			.p_offset	= load->offset,
			.p_vaddr	= load->vaddr,
			.p_paddr	= load->paddr,
			.p_filesz	= load_size(load),
			.p_memsz	= load_size(load),
		};

		emit(w, &phdr, sizeof(phdr));
	}
	if (has_section_header(image) && !past_window(w))
		emit(w, &shdr, sizeof(shdr));
}

static void emit_note_start(struct window *w, const char *name, u32 type, u64 desc_size)
{
	struct elf64_note note = {
		.n_namesz	= strlen(name) + 1,
		.n_descsz	= desc_size,
		.n_type		= type,
	};

	emit(w, &note, sizeof(note));
	emit(w, name, note.n_namesz);
	emit_padding(w, 4);
}

/* What each CPU has of a per-CPU region, 0 for any other. */
static size_t percpu_size(const struct kmemdump_entry *entry)
{
	if (!(entry->flags & KMEMDUMP_ENTRY_PERCPU))
		return 0;
	return kmemdump_entry_size(entry) / num_possible_cpus();
}

static void fill_region(struct kmemdump_note_region *out,
			const struct kmemdump_image_region *region)
{
	const struct kmemdump_entry *entry = region->entry;
	unsigned int nr;

	region_segments(region, &nr);
	*out = (struct kmemdump_note_region) {
		.id		= entry->id,
		.class		= entry->class,
		.state		= region->state,
		.first_segment	= region->first_segment,
		.nr_segments	= nr,
		.percpu_size	= percpu_size(entry),
		.size		= kmemdump_entry_size(entry),
		.checksum	= region->checksum,
	};
	strscpy(out->name, kmemdump_entry_name(entry), sizeof(out->name));
	strscpy(out->owner, kmemdump_entry_owner(entry), sizeof(out->owner));
}

/* The part of the segment table that tells of @region. */
static void emit_segments(struct window *w, const struct kmemdump_image_region *region)
{
	size_t unit = percpu_size(region->entry), offset = 0;
	const struct kmemdump_segment *segs;
	unsigned int i, first, nr;

	segs = region_segments(region, &nr);
	first = skip_elements(w, nr, sizeof(struct kmemdump_note_segment));
	/* A CPU may have several, so only the sum of those before tells whose one is. */
	for (i = unit ? 0 : first; i < nr && !past_window(w); i++) {
		struct kmemdump_note_segment seg = {
			.vaddr	= segs[i].virt_addr,
			.paddr	= segs[i].phys_addr,
			.size	= segs[i].size,
			.cpu	= unit ? cpumask_nth(offset / unit, cpu_possible_mask) :
					 KMEMDUMP_NO_CPU,
		};

		if (i >= first)
			emit(w, &seg, sizeof(seg));
		offset += segs[i].size;
	}
}

static void emit_region_note(struct window *w, const struct kmemdump_image *image)
{
	struct kmemdump_note head = {
		.version	= KMEMDUMP_VERSION,
		.header_size	= sizeof(head),
		.region_size	= sizeof(struct kmemdump_note_region),
		.nr_regions	= image->nr_regions,
		.segment_size	= sizeof(struct kmemdump_note_segment),
		.nr_segments	= image->nr_segments,
	};
	unsigned int i;

	emit_note_start(w, KMEMDUMP_NOTE_NAME, KMEMDUMP_NT_REGIONS, region_note_desc_size(image));
	emit(w, &head, sizeof(head));

	for (i = skip_elements(w, image->nr_regions, sizeof(struct kmemdump_note_region));
	     i < image->nr_regions && !past_window(w); i++) {
		struct kmemdump_note_region region;

		fill_region(&region, &image->regions[i]);
		emit(w, &region, sizeof(region));
	}

	for (i = 0; i < image->nr_regions && !past_window(w); i++)
		emit_segments(w, &image->regions[i]);
}

static void emit_notes(struct window *w, const struct kmemdump_image *image)
{
	if (image->has_regs) {
		emit_note_start(w, "CORE", NT_PRSTATUS, sizeof(image->prstatus));
		emit(w, &image->prstatus, sizeof(image->prstatus));
		emit_padding(w, 4);
	}
	if (image->vmcoreinfo_size) {
		emit_note_start(w, VMCOREINFO_NOTE_NAME, 0, image->vmcoreinfo_size);
		emit(w, image->vmcoreinfo, image->vmcoreinfo_size);
		emit_padding(w, 4);
	}
	emit_region_note(w, image);
}

/* Index of the load that holds @offset, which is not before the first one. */
static unsigned int find_load(const struct kmemdump_image *image, u64 offset)
{
	unsigned int low = 0, high = image->nr_loads;

	while (high - low > 1) {
		unsigned int mid = low + (high - low) / 2;

		if (image->loads[mid].offset <= offset)
			low = mid;
		else
			high = mid;
	}
	return low;
}

static void read_loads(const struct kmemdump_image *image, u64 offset, void *buf, size_t len)
{
	unsigned int i;

	if (!image->nr_loads)
		return;
	for (i = find_load(image, offset); i < image->nr_loads && len; i++) {
		const struct kmemdump_load *load = &image->loads[i];
		size_t n = min_t(u64, len, load->offset + load_size(load) - offset);
		u64 skip = offset - load->offset;

		read_memory(buf, load->vaddr + skip, load->paddr + skip, n);
		offset += n;
		buf += n;
		len -= n;
	}
}

/*
 * Put the @len bytes of the core image from @offset on into @buf; memory that
 * can't be read, and all behind the end of the image, is zeros.
 */
void kmemdump_image_read(const struct kmemdump_image *image, u64 offset, void *buf, size_t len)
{
	struct window w = { .buf = buf, .start = offset, .len = len };

	memset(buf, 0, len);
	if (offset < image->data_offset) {
		size_t head = min_t(u64, len, image->data_offset - offset);

		emit_headers(&w, image);
		w.pos = image->notes_offset;
		if (!past_window(&w))
			emit_notes(&w, image);
		offset += head;
		buf += head;
		len -= head;
	}
	if (len && offset < image->size)
		read_loads(image, offset, buf, len);
}
