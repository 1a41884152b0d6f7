// SPDX-License-Identifier: GPL-2.0-only
/*
 * kmemdump: the core image.
 *
 * The ELF core is never in memory as a whole. kmemdump_image_build() works out
 * its layout from the table, kmemdump_image_read() makes any part of it on
 * demand:
 *
 *	ELF header | program headers | section header (if over 65,534 of those)
 *	PT_NOTE: NT_PRSTATUS of each CPU that is online, VMCOREINFO, KMEMDUMP
 *	section headers and their names (of an image of slots, see slots.c)
 *	PT_LOADs, whole pages, by order and then by address
 *
 * Both run at panic: no allocation, no lock, every read may fault.
 *
 * Copyright (C) 2026 the kmemdump authors
 */
#include <linux/cpumask.h>
#include <linux/elf.h>
#include <linux/io.h>
#include <linux/kernel.h>
#include <linux/math64.h>
#include <linux/mm.h>
#include <linux/nmi.h>
#include <linux/pgtable.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/sort.h>
#include <linux/string.h>
#include <linux/timekeeping.h>
#include <linux/uaccess.h>
#include <linux/vmcore_info.h>
#include <linux/xxhash.h>

#include <asm/irq_regs.h>
#include <asm/sections.h>

#include "kmemdump.h"

/* Not ELF_CORE_EFLAGS: on powerpc that depends on the current task. */
#ifdef CONFIG_PPC64
#define CORE_EFLAGS	(IS_ENABLED(CONFIG_PPC64_ELF_ABI_V2) ? 2 : 1)
#else
#define CORE_EFLAGS	0
#endif

/* Rights that debuggers expect of kernel memory; kdump writes the same. */
#define LOAD_FLAGS	(PF_R | PF_W | PF_X)

/* Room for an image; kvfree() frees it. */
struct kmemdump_image *kmemdump_image_alloc(unsigned int max_regions, unsigned int max_loads)
{
	size_t loads_size = array_size(size_add(max_loads, KMEMDUMP_SPARE_LOADS),
				       sizeof(struct kmemdump_load));
	size_t cpus_size = array_size(num_possible_cpus(), sizeof(struct kmemdump_image_cpu));
	size_t regions_size = array_size(max_regions, sizeof(struct kmemdump_image_region));
	struct kmemdump_image *image;

	image = kvmalloc(size_add(size_add(sizeof(*image), cpus_size),
				  size_add(loads_size, regions_size)), GFP_KERNEL);
	if (!image)
		return NULL;
	memset(image, 0, sizeof(*image));
	image->max_regions = max_regions;
	image->max_loads = max_loads;
	image->max_cpus = num_possible_cpus();
	image->loads = (void *)(image + 1);
	image->cpus = (void *)image->loads + loads_size;
	image->regions = (void *)image->cpus + cpus_size;
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

/* Whether @entry changes between a look at it now and its way into the dump. */
static bool is_volatile(const struct kmemdump_image *image, const struct kmemdump_entry *entry)
{
	/* What we and others say before firmware makes the dump is still to be logged. */
	return image->live || entry->flags & KMEMDUMP_ENTRY_AREA ||
	       (image->later && entry->class == KMEMDUMP_CLASS_LOG);
}

/*
 * The checksum of what the regions hold goes into the notes, which stand before
 * the data: so a dump cut short still knows all that it should have held.
 */
static void examine_region(const struct kmemdump_image *image,
			   struct kmemdump_image_region *region,
			   const struct kmemdump_segment *segs, unsigned int nr)
{
	struct xxh64_state hash;
	char buf[512];
	unsigned int i;

	region->state = KMEMDUMP_STATE_OK;
	region->checksum = 0;
	/* Nothing of it is read here, and who takes memory away tells. */
	if (image->live && image->slots)
		return;
	if (!kmemdump_entry_present(region->entry, segs, nr)) {
		region->state = KMEMDUMP_STATE_GONE;
		return;
	}
	if (is_volatile(image, region->entry))
		return;

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

static int cmp_address(const void *a, const void *b)
{
	const struct kmemdump_load *x = a, *y = b;

	return x->vaddr < y->vaddr ? -1 : x->vaddr > y->vaddr;
}

static int cmp_order(const void *a, const void *b)
{
	const struct kmemdump_load *x = a, *y = b;

	if (x->order != y->order)
		return x->order < y->order ? -1 : 1;
	return cmp_address(a, b);
}

/* Whether @load goes on where @last ends, or begins in it. */
static bool continues(const struct kmemdump_load *last, const struct kmemdump_load *load)
{
	return load->paddr - last->paddr == load->vaddr - last->vaddr &&
	       load->vaddr >= last->vaddr && load->vaddr <= last->vaddr + kmemdump_load_size(last);
}

/*
 * Two loads that share pages become one, of the better order; so do neighbours
 * of the same order, or any if each takes a slot.
 */
static void merge_loads(struct kmemdump_image *image)
{
	struct kmemdump_load *loads = image->loads;
	unsigned int i, out = 0;

	sort(loads, image->nr_loads, sizeof(*loads), cmp_address, NULL);
	for (i = 1; i < image->nr_loads; i++) {
		struct kmemdump_load *last = &loads[out];
		u64 end = last->vaddr + kmemdump_load_size(last);

		if (continues(last, &loads[i]) &&
		    (loads[i].vaddr < end || loads[i].order == last->order || image->slots)) {
			end = max(end, loads[i].vaddr + kmemdump_load_size(&loads[i]));
			last->nr_pages = (end - last->vaddr) >> PAGE_SHIFT;
			last->order = min(last->order, loads[i].order);
		} else {
			loads[++out] = loads[i];
		}
	}
	if (image->nr_loads)
		image->nr_loads = out + 1;
}

/* Add a load; what is lost because there is no room for it is counted. */
static void push_load(struct kmemdump_image *image, u64 vaddr, u64 paddr, u64 nr_pages,
		      enum kmemdump_order order)
{
	struct kmemdump_load load = {
		.vaddr = vaddr, .paddr = paddr, .nr_pages = nr_pages, .order = order,
	};

	if (image->nr_loads) {
		struct kmemdump_load *last = &image->loads[image->nr_loads - 1];

		if (last->order == order && continues(last, &load)) {
			u64 end = max(last->vaddr + kmemdump_load_size(last),
				      vaddr + kmemdump_load_size(&load));

			last->nr_pages = (end - last->vaddr) >> PAGE_SHIFT;
			return;
		}
	}
	if (image->nr_loads == image->max_loads && !image->full) {
		merge_loads(image);
		/* Not again for each of them if that did not help much. */
		image->full = image->nr_loads > image->max_loads - image->max_loads / 8;
	}
	if (image->nr_loads == image->max_loads)
		image->nr_left_out++;
	else
		image->loads[image->nr_loads++] = load;
}

/* The page tables */

/*
 * Where the page tables have @addr: true and *@phys if it is there. With @add the
 * tables on the way go into the image, for those who read it have no other way.
 */
static bool walk_tables(struct kmemdump_image *image, unsigned long addr,
			enum kmemdump_order order, bool add, phys_addr_t *phys)
{
	struct kmemdump_tables tables;
	bool found = kmemdump_walk_tables(addr, phys, &tables);
	unsigned int i;

	for (i = 0; add && i < tables.nr; i++) {
		unsigned long table = (unsigned long)tables.entries[i] & PAGE_MASK;
		phys_addr_t table_phys;

		if (kmemdump_translate_addr(table, &table_phys))
			push_load(image, table, table_phys, 1, order);
	}
	return found;
}

/* The page tables of [@addr, @addr + @size), which is not in the linear map. */
void kmemdump_image_add_tables(struct kmemdump_image *image, unsigned long addr, size_t size,
			       enum kmemdump_order order)
{
	unsigned long end = addr + size;
	phys_addr_t phys;

	if (image->set < KMEMDUMP_SET_STANDARD)
		return;
	for (; addr < end; addr = ALIGN(addr + 1, PMD_SIZE))
		walk_tables(image, addr, order, true, &phys);
}

/* The buffer that packed loads go to: it has no place in the dump but its own. */
static bool in_staging(const struct kmemdump_image *image, phys_addr_t phys)
{
	phys_addr_t start = image->staging ? virt_to_phys(image->staging) : 0;

	return image->staging && phys >= start && phys - start < image->staging_size;
}

/*
 * Put the pages of [@addr, @addr + @size) into the image as far as they are
 * there. Any address goes, as it may come from damaged memory.
 */
void kmemdump_image_add(struct kmemdump_image *image, unsigned long addr, size_t size,
			enum kmemdump_order order)
{
	unsigned long end = PAGE_ALIGN(addr + size);
	bool linear, kernel;
	phys_addr_t phys;

	addr &= PAGE_MASK;
	if (addr < TASK_SIZE_MAX || end <= addr)
		return;
	for (; addr < end; addr += PAGE_SIZE) {
		kernel = __is_kernel(addr);
		linear = kmemdump_is_linear(addr) && virt_addr_valid((void *)addr);
		if (linear) {
			/* Free memory, too: debuggers look past the ends of stacks. */
			phys = __pa(addr);
		} else if (kernel) {
			if (!kmemdump_translate_addr(addr, &phys))
				continue;
		} else {
			/* Once for the pages that share a table. */
			bool first = (addr & PMD_MASK) != image->last_table;

			image->last_table = addr & PMD_MASK;
			if (!walk_tables(image, addr, order, first, &phys))
				continue;
		}
		if (in_staging(image, phys))
			continue;
		/* It would only break the image into pieces. */
		if (kernel && order > KMEMDUMP_ORDER_IMAGE)
			push_load(image, addr, phys, 1, KMEMDUMP_ORDER_IMAGE);
		else
			push_load(image, addr, phys, 1, order);
	}
}

/* The segments of a region at the time the image was built. */
static const struct kmemdump_segment *region_segments(const struct kmemdump_image_region *region,
						      unsigned int *nr)
{
	unsigned int copy = region->version & 1;

	*nr = region->entry->nr_segments[copy];
	return region->entry->segments + copy * region->entry->max_segments;
}

static enum kmemdump_order entry_order(const struct kmemdump_entry *entry)
{
	switch (entry->rank) {
	case KMEMDUMP_RANK_LOG:
		return KMEMDUMP_ORDER_LOG;
	case KMEMDUMP_RANK_HIGH:
		return KMEMDUMP_ORDER_HIGH;
	case KMEMDUMP_RANK_NORMAL:
		return KMEMDUMP_ORDER_NORMAL;
	case KMEMDUMP_RANK_LOW:
		return KMEMDUMP_ORDER_LOW;
	}
	if (entry->flags & KMEMDUMP_ENTRY_CPU)
		return KMEMDUMP_ORDER_PERCPU;
	return __is_kernel(entry->segments[0].virt_addr) ? KMEMDUMP_ORDER_IMAGE :
							   KMEMDUMP_ORDER_REST;
}

/* Entries of which parts may have orders of their own. */
#define FILLED_LAST	(KMEMDUMP_ENTRY_AREA | KMEMDUMP_ENTRY_RING)

static void add_region(struct kmemdump_image *image, const struct kmemdump_entry *entry)
{
	/* Pairs with the release in kmemdump_move(). */
	u32 version = smp_load_acquire(&entry->version);
	const struct kmemdump_segment *segs = entry->segments +
					      (version & 1) * entry->max_segments;
	unsigned int i, nr = READ_ONCE(entry->nr_segments[version & 1]);
	enum kmemdump_order order = entry_order(entry);
	struct kmemdump_image_region *region;

	/* There is room by construction; a corrupt table must not change that. */
	if (image->nr_regions == image->max_regions || nr > image->max_loads - image->nr_segments) {
		image->nr_left_out++;
		return;
	}

	region = &image->regions[image->nr_regions++];
	region->entry = entry;
	region->version = version;
	region->first_segment = image->nr_segments;
	image->nr_segments += nr;
	if (entry->flags & KMEMDUMP_ENTRY_RING)
		image->has_log = true;
	examine_region(image, region, segs, nr);
	if (region->state == KMEMDUMP_STATE_GONE)
		return;

	for (i = 0; i < nr; i++) {
		const struct kmemdump_segment *seg = &segs[i];
		unsigned long skip = offset_in_page(seg->virt_addr);

		if (!kmemdump_is_linear(seg->virt_addr) && !__is_kernel(seg->virt_addr))
			kmemdump_image_add_tables(image, seg->virt_addr, seg->size, order);
		/*
		 * These come last, when it is known what of them is there already; but
		 * one slot for an area and all in it is better than many.
		 */
		if (!(entry->flags & FILLED_LAST) || image->slots)
			push_load(image, seg->virt_addr - skip, seg->phys_addr - skip,
				  PFN_UP(skip + seg->size), order);
	}
}

/* Index of the first of the @nr loads, which are sorted, that ends behind @addr. */
unsigned int kmemdump_image_first_behind(const struct kmemdump_image *image, unsigned int nr,
					 u64 addr)
{
	unsigned int low = 0, high = nr;

	while (low < high) {
		unsigned int mid = low + (high - low) / 2;

		if (image->loads[mid].vaddr + kmemdump_load_size(&image->loads[mid]) > addr)
			high = mid;
		else
			low = mid + 1;
	}
	return low;
}

/* Add what the first @nr loads, which are sorted and merged, do not have of @seg. */
static void fill_segment(struct kmemdump_image *image, unsigned int nr,
			 const struct kmemdump_segment *seg, enum kmemdump_order order)
{
	u64 addr = seg->virt_addr & PAGE_MASK;
	u64 end = PAGE_ALIGN(seg->virt_addr + seg->size);
	u64 offset = seg->phys_addr - seg->virt_addr;
	unsigned int i;

	for (i = kmemdump_image_first_behind(image, nr, addr); addr < end; i++) {
		const struct kmemdump_load *load = &image->loads[i];
		u64 stop = i < nr ? min(end, load->vaddr) : end;

		if (addr < stop) {
			if (image->nr_loads == image->max_loads)
				image->nr_left_out++;
			else
				image->loads[image->nr_loads++] = (struct kmemdump_load) {
					.vaddr = addr, .paddr = addr + offset,
					.nr_pages = (stop - addr) >> PAGE_SHIFT,
					.order = order,
				};
		}
		addr = i < nr ? max(addr, load->vaddr + kmemdump_load_size(load)) : end;
	}
}

/* What the regions with any of @flags have around all that is in them and has an order. */
static void fill_regions(struct kmemdump_image *image, u8 flags)
{
	unsigned int nr_sorted, i, j, nr;

	merge_loads(image);
	if (image->slots)
		return;
	nr_sorted = image->nr_loads;
	for (i = 0; i < image->nr_regions; i++) {
		struct kmemdump_image_region *region = &image->regions[i];
		const struct kmemdump_segment *segs = region_segments(region, &nr);

		if (!(region->entry->flags & flags) ||
		    region->state == KMEMDUMP_STATE_GONE)
			continue;
		for (j = 0; j < nr; j++)
			fill_segment(image, nr_sorted, &segs[j], entry_order(region->entry));
	}
	/* Two of them may meet in a page. */
	if (image->nr_loads > nr_sorted)
		merge_loads(image);
}

static void save_vmcoreinfo(struct kmemdump_image *image)
{
	size_t size = min_t(size_t, vmcoreinfo_size, PAGE_SIZE);

	image->vmcoreinfo_size = 0;
	if (!vmcoreinfo_data ||
	    copy_from_kernel_nofault(image->vmcoreinfo, vmcoreinfo_data, size))
		return;
	/* Debuggers take it for a promise that there is a crash_notes variable. */
	if (IS_ENABLED(CONFIG_CRASH_DUMP) && !image->live)
		size += scnprintf(image->vmcoreinfo + size, sizeof(image->vmcoreinfo) - size,
				  "CRASHTIME=%lld\n", image->time);
	image->vmcoreinfo_size = size;
}

#ifdef CONFIG_CRASH_DUMP
/* CPUs that have left no registers: what is in their notes we have put there. */
static cpumask_t without_regs;

/*
 * The registers that @cpu has left in the kernel's note of it: true if there are
 * some. The note is empty until the crash. Any context.
 */
bool kmemdump_noted_regs(unsigned int cpu, struct pt_regs *regs)
{
	struct {
		struct elf_note		head;
		char			name[ALIGN(sizeof(CRASH_CORE_NOTE_NAME), 4)];
		struct elf_prstatus	prstatus;
	} __packed note;

	if (!crash_notes || cpumask_test_cpu(cpu, &without_regs) ||
	    copy_from_kernel_nofault(&note, per_cpu_ptr(crash_notes, cpu), sizeof(note)) ||
	    note.head.n_type != NT_PRSTATUS || note.head.n_descsz != sizeof(note.prstatus) ||
	    memcmp(note.name, CRASH_CORE_NOTE_NAME, sizeof(CRASH_CORE_NOTE_NAME)))
		return false;
	/* Either is the start of the other. */
	memset(regs, 0, sizeof(*regs));
	memcpy(regs, &note.prstatus.pr_reg, min(sizeof(*regs), sizeof(note.prstatus.pr_reg)));
	return true;
}
#else
bool kmemdump_noted_regs(unsigned int cpu, struct pt_regs *regs)
{
	return false;
}
#endif

/*
 * A CPU that stopped took its last interrupt for that, and the interrupt's
 * registers are what it was doing. With crash_kexec_post_notifiers it may have
 * left them in the kernel's own note instead, and stays online then.
 */
static void save_other_cpu(struct kmemdump_image_cpu *out, unsigned int cpu, bool live)
{
	struct pt_regs *regs = per_cpu(__irq_regs, cpu);

	out->state = KMEMDUMP_CPU_RUNNING;
	if (live)
		return;
	if (kmemdump_noted_regs(cpu, &out->regs)) {
		out->state = KMEMDUMP_CPU_STOPPED;
		return;
	}
	if (cpu_online(cpu))
		return;
	out->state = KMEMDUMP_CPU_STOPPED;
	if (!regs || copy_from_kernel_nofault(&out->regs, regs, sizeof(out->regs)))
		out->state = KMEMDUMP_CPU_LOST;
}

/*
 * This CPU, with @regs, and all others that were at work. For whoever reads an
 * image that stands there beforehand, all of them run.
 */
static void save_cpus(struct kmemdump_image *image, const struct pt_regs *regs)
{
	unsigned int this_cpu = raw_smp_processor_id(), cpu;
	bool ahead = image->live && image->slots;

	image->nr_cpus = 0;
	if (!regs && !ahead)
		return;
	for_each_present_cpu(cpu) {
		struct kmemdump_image_cpu *out = &image->cpus[image->nr_cpus];
		pid_t pid = 0;

		if (image->nr_cpus == image->max_cpus)
			return;
		if (cpu != this_cpu && !cpu_active(cpu))
			continue;
		image->nr_cpus++;
		memset(out, 0, sizeof(*out));
		out->cpu = cpu;
		/* That takes a lock of the scheduler, and we may be in an NMI then. */
		if (!ahead)
			get_kernel_nofault(pid, &kmemdump_task_on(cpu)->pid);
		out->pid = pid;
		if (cpu == this_cpu && !ahead)
			out->regs = *regs;
		else
			save_other_cpu(out, cpu, image->live);
	}
}

static void fill_prstatus(struct elf_prstatus *prstatus, const struct kmemdump_image_cpu *cpu)
{
	memset(prstatus, 0, sizeof(*prstatus));
	prstatus->common.pr_pid = cpu->pid;
	elf_core_copy_regs(&prstatus->pr_reg, (struct pt_regs *)&cpu->regs);
}

/*
 * Some debuggers look for the registers of a CPU in the kernel's own notes, which
 * kdump fills. It does not run if we do, so fill those that are empty, also of CPUs
 * that did not stop: crash takes a CPU with an empty note for one that has none in
 * the ELF core either, and counts on from there. What a CPU has noted of itself stays.
 */
#ifdef CONFIG_CRASH_DUMP
static void fill_crash_notes(struct kmemdump_image *image)
{
	struct elf_prstatus prstatus;
	struct pt_regs regs;
	unsigned int i;

	if (!crash_notes || image->live)
		return;
	for (i = 0; i < image->nr_cpus; i++) {
		const struct kmemdump_image_cpu *cpu = &image->cpus[i];
		note_buf_t *notes = per_cpu_ptr(crash_notes, cpu->cpu);

		if (!kmemdump_noted_regs(cpu->cpu, &regs)) {
			if (cpu->state > KMEMDUMP_CPU_STOPPED)
				cpumask_set_cpu(cpu->cpu, &without_regs);
			fill_prstatus(&prstatus, cpu);
			final_note(append_elf_note((Elf_Word *)notes, CRASH_CORE_NOTE_NAME,
						   NT_PRSTATUS, &prstatus, sizeof(prstatus)));
		}
		kmemdump_image_add(image, (unsigned long)notes, sizeof(*notes),
				   KMEMDUMP_ORDER_CRASHED);
	}
}
#else
static void fill_crash_notes(struct kmemdump_image *image)
{
}
#endif

static u64 note_size(const char *name, u64 desc_size)
{
	return sizeof(struct elf64_note) + ALIGN(strlen(name) + 1, 4) + ALIGN(desc_size, 4);
}

static u64 region_note_desc_size(const struct kmemdump_image *image)
{
	return sizeof(struct kmemdump_note) +
	       (u64)image->nr_regions * sizeof(struct kmemdump_note_region) +
	       (u64)image->nr_segments * sizeof(struct kmemdump_note_segment) +
	       (u64)image->nr_cpus * sizeof(struct kmemdump_note_cpu);
}

static bool has_section_header(const struct kmemdump_image *image)
{
	return image->nr_loads + 1 >= PN_XNUM;
}

/* The names of the sections: the first of them is none, the second that of itself. */
#define STRING_TABLE	"STR_TBL"

/* One for none, one for the names, one for each slot behind the first. */
static unsigned int nr_sections(const struct kmemdump_image *image)
{
	if (image->slots)
		return image->nr_slots + 1;
	return has_section_header(image);
}

static u64 sections_size(const struct kmemdump_image *image)
{
	/* An empty name in front, and some at the end, where byte-wise readers stop. */
	u64 size = nr_sections(image) * sizeof(struct elf64_shdr) + sizeof(STRING_TABLE) + 1 + 4;
	unsigned int i;

	for (i = 1; i < image->nr_slots; i++)
		size += strlen(image->slots[i].name) + 1;
	return size;
}

/* Where all that stands before the loads goes; how many loads and slots is known. */
void kmemdump_image_lay_out_head(struct kmemdump_image *image)
{
	u64 pos;

	pos = sizeof(struct elf64_hdr) + (image->nr_loads + 1ULL) * sizeof(struct elf64_phdr);
	if (has_section_header(image) && !image->slots)
		pos += sizeof(struct elf64_shdr);
	image->notes_offset = pos;
	pos += image->nr_cpus * note_size("CORE", sizeof(struct elf_prstatus));
	if (image->vmcoreinfo_size)
		pos += note_size(VMCOREINFO_NOTE_NAME, image->vmcoreinfo_size);
	pos += note_size(KMEMDUMP_NOTE_NAME, region_note_desc_size(image));
	image->notes_size = pos - image->notes_offset;

	if (image->slots) {
		image->sections_offset = ALIGN(pos, 8);
		pos = image->sections_offset + sections_size(image);
	}
	image->data_offset = ALIGN(pos, PAGE_SIZE);
}

/* Where nr_left_out of the KMEMDUMP note stands, which is the last of the notes. */
u64 kmemdump_image_left_out_offset(const struct kmemdump_image *image)
{
	return image->notes_offset + image->notes_size -
	       ALIGN(region_note_desc_size(image), 4) +
	       offsetof(struct kmemdump_note, nr_left_out);
}

static void lay_out(struct kmemdump_image *image)
{
	unsigned int i;
	u64 pos;

	kmemdump_image_lay_out_head(image);
	pos = image->data_offset;
	for (i = 0; i < image->nr_loads; i++) {
		image->loads[i].offset = pos;
		pos += kmemdump_load_size(&image->loads[i]);
	}
	image->size = pos;
}

static void start(struct kmemdump_image *image, enum kmemdump_set set)
{
	image->nr_regions = 0;
	image->nr_segments = 0;
	image->nr_loads = 0;
	image->nr_left_out = 0;
	image->has_log = false;
	image->full = false;
	image->last_table = 0;
	image->set = set;
	image->time = div_u64(ktime_get_real_fast_ns(), NSEC_PER_SEC);
	save_vmcoreinfo(image);
}

static void finish(struct kmemdump_image *image)
{
	fill_regions(image, FILLED_LAST);
	if (image->set >= KMEMDUMP_SET_STANDARD) {
		kmemdump_find_tasks(image);
		merge_loads(image);
	}
	if (image->slots) {
		kmemdump_choose_slots(image);
		return;
	}
	sort(image->loads, image->nr_loads, sizeof(*image->loads), cmp_order, NULL);
	lay_out(image);
}

/*
 * Lay out an image of just these entries, for a crash that is still to come. Any
 * context. An entry may move meanwhile, and then what comes out is of no use:
 * compare its version.
 */
void kmemdump_image_build_from(struct kmemdump_image *image,
			       const struct kmemdump_entry * const *entries, unsigned int nr)
{
	unsigned int i;

	start(image, KMEMDUMP_SET_NONE);
	save_cpus(image, NULL);
	for (i = 0; i < nr; i++)
		add_region(image, entries[i]);
	finish(image);
}

/*
 * Take a picture of @table into @image: which regions there are, what state
 * they are in, and where all of it will stand in the ELF core. With @be, only
 * what it may carry. @regs are the registers of this CPU, or NULL. The entries of
 * @table must not go away while @image is read: the caller is in panic, or holds the
 * lock of @table. In a running system they may move, and what is read then may say
 * of one where it was before or after.
 */
void kmemdump_image_build(struct kmemdump_image *image, struct kmemdump_table *table,
			  const struct kmemdump_backend *be, struct pt_regs *regs)
{
	struct kmemdump_entry *entry;
	unsigned long id;

	start(image, be && !(be->classes & BIT(KMEMDUMP_CLASS_CORE)) ? KMEMDUMP_SET_NONE :
								       table->set);
	image->later = be && !kmemdump_is_writer(be);
	save_cpus(image, regs);

	xa_for_each(&table->regions, id, entry)
		if (!be || (be->ops->image ? kmemdump_carried(entry, be) :
					     kmemdump_may_carry(be, entry)))
			add_region(image, entry);
	/* Before what is found, which may be more than there is room for. */
	if (image->has_log && !image->slots) {
		kmemdump_add_newest_log(image);
		fill_regions(image, KMEMDUMP_ENTRY_RING);
	}
	if (image->set >= KMEMDUMP_SET_STANDARD) {
		fill_crash_notes(image);
		kmemdump_find_crash_set(image);
	}
	finish(image);
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

/**
 * kmemdump_fill_elf_header() - make the ELF header of a core of this kernel
 * @ehdr:	header to fill; the program headers follow right behind it
 * @nr_phdrs:	how many of those there are, or %PN_XNUM if they are more
 *
 * Context: any.
 */
void kmemdump_fill_elf_header(struct elf64_hdr *ehdr, unsigned int nr_phdrs)
{
	*ehdr = (struct elf64_hdr) {
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
		.e_phnum	= nr_phdrs,
	};
}

static void emit_headers(struct window *w, const struct kmemdump_image *image)
{
	struct elf64_hdr ehdr;
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

	kmemdump_fill_elf_header(&ehdr, has_section_header(image) ? PN_XNUM : image->nr_loads + 1);
	if (nr_sections(image)) {
		ehdr.e_shoff = image->slots ? image->sections_offset :
					      image->notes_offset - sizeof(shdr);
		ehdr.e_shentsize = sizeof(shdr);
		ehdr.e_shnum = nr_sections(image);
		ehdr.e_shstrndx = image->slots ? 1 : SHN_UNDEF;
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
			.p_filesz	= kmemdump_load_size(load),
			.p_memsz	= kmemdump_load_size(load),
		};

		emit(w, &phdr, sizeof(phdr));
	}
	if (has_section_header(image) && !image->slots && !past_window(w))
		emit(w, &shdr, sizeof(shdr));
}

static void emit_sections(struct window *w, const struct kmemdump_image *image)
{
	struct elf64_shdr none = { }, names = {
		.sh_name	= 1,
		.sh_type	= SHT_STRTAB,
		.sh_offset	= image->sections_offset + nr_sections(image) * sizeof(names),
		.sh_addralign	= 1,
	};
	unsigned int i, name = 1 + sizeof(STRING_TABLE);

	if (has_section_header(image))
		none.sh_info = image->nr_loads + 1;
	names.sh_size = image->sections_offset + sections_size(image) - names.sh_offset;
	emit(w, &none, sizeof(none));
	emit(w, &names, sizeof(names));
	for (i = 1; i < image->nr_slots; i++) {
		const struct kmemdump_load *load = &image->loads[i - 1];
		struct elf64_shdr shdr = {
			.sh_name	= name,
			.sh_type	= SHT_PROGBITS,
			.sh_flags	= SHF_WRITE | SHF_ALLOC,
			.sh_addr	= load->vaddr,
			.sh_offset	= load->offset,
			.sh_size	= kmemdump_load_size(load),
			.sh_addralign	= PAGE_SIZE,
		};

		emit(w, &shdr, sizeof(shdr));
		name += strlen(image->slots[i].name) + 1;
	}
	emit(w, "", 1);
	emit(w, STRING_TABLE, sizeof(STRING_TABLE));
	for (i = 1; i < image->nr_slots; i++)
		emit(w, image->slots[i].name, strlen(image->slots[i].name) + 1);
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

static void fill_region(struct kmemdump_note_region *out, const struct kmemdump_image *image,
			const struct kmemdump_image_region *region)
{
	const struct kmemdump_entry *entry = region->entry;
	unsigned int nr;

	region_segments(region, &nr);
	*out = (struct kmemdump_note_region) {
		.id		= entry->id,
		.class		= entry->class,
		.state		= region->state,
		.flags		= is_volatile(image, entry) ? KMEMDUMP_REGION_VOLATILE : 0,
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
		.cpu_size	= sizeof(struct kmemdump_note_cpu),
		.nr_cpus	= image->nr_cpus,
		.nr_left_out	= image->nr_left_out,
		.time		= image->live ? 0 : image->time,
	};
	unsigned int i;

	emit_note_start(w, KMEMDUMP_NOTE_NAME, KMEMDUMP_NT_REGIONS, region_note_desc_size(image));
	emit(w, &head, sizeof(head));

	for (i = skip_elements(w, image->nr_regions, sizeof(struct kmemdump_note_region));
	     i < image->nr_regions && !past_window(w); i++) {
		struct kmemdump_note_region region;

		fill_region(&region, image, &image->regions[i]);
		emit(w, &region, sizeof(region));
	}

	for (i = 0; i < image->nr_regions && !past_window(w); i++)
		emit_segments(w, &image->regions[i]);

	for (i = 0; i < image->nr_cpus && !past_window(w); i++) {
		struct kmemdump_note_cpu cpu = {
			.cpu	= image->cpus[i].cpu,
			.state	= image->cpus[i].state,
			.pid	= image->cpus[i].pid,
		};

		emit(w, &cpu, sizeof(cpu));
	}
}

static void emit_notes(struct window *w, const struct kmemdump_image *image)
{
	struct elf_prstatus prstatus;
	unsigned int i;

	for (i = 0; i < image->nr_cpus && !past_window(w); i++) {
		fill_prstatus(&prstatus, &image->cpus[i]);
		/*
		 * All idle tasks have 0, but gdb before 16 takes notes of one PID for
		 * one thread. No task has these.
		 */
		if (!prstatus.common.pr_pid)
			prstatus.common.pr_pid = PID_MAX_LIMIT + image->cpus[i].cpu;
		emit_note_start(w, "CORE", NT_PRSTATUS, sizeof(prstatus));
		emit(w, &prstatus, sizeof(prstatus));
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

/*
 * The other CPUs are marked offline when they are stopped for a panic. Debuggers
 * take the notes for those of the online CPUs, so show these as they were before;
 * the KMEMDUMP note tells which were stopped.
 */
static size_t mask_byte(unsigned int cpu)
{
	size_t byte = cpu / BITS_PER_BYTE;

	if (IS_ENABLED(CONFIG_CPU_BIG_ENDIAN))
		byte ^= sizeof(long) - 1;
	return byte;
}

static void restore_online_mask(const struct kmemdump_image *image, unsigned long addr,
				u8 *buf, size_t len)
{
	unsigned long mask = (unsigned long)&__cpu_online_mask;
	unsigned int i;

	if (addr >= mask + sizeof(__cpu_online_mask) || addr + len <= mask)
		return;
	for (i = 0; i < image->nr_cpus; i++) {
		unsigned long byte = mask + mask_byte(image->cpus[i].cpu);

		if (byte >= addr && byte < addr + len)
			buf[byte - addr] |= BIT(image->cpus[i].cpu % BITS_PER_BYTE);
	}
}

/* The memory of @load, as it is to be in the dump. */
void kmemdump_image_copy_load(const struct kmemdump_image *image,
			      const struct kmemdump_load *load, void *buf)
{
	read_memory(buf, load->vaddr, load->paddr, kmemdump_load_size(load));
	restore_online_mask(image, load->vaddr, buf, kmemdump_load_size(load));
}

static void read_loads(const struct kmemdump_image *image, u64 offset, void *buf, size_t len)
{
	unsigned int i;

	if (!image->nr_loads)
		return;
	for (i = find_load(image, offset); i < image->nr_loads && len; i++) {
		const struct kmemdump_load *load = &image->loads[i];
		size_t n = min_t(u64, len, load->offset + kmemdump_load_size(load) - offset);
		u64 skip = offset - load->offset;

		read_memory(buf, load->vaddr + skip, load->paddr + skip, n);
		restore_online_mask(image, load->vaddr + skip, buf, n);
		offset += n;
		buf += n;
		len -= n;
	}
}

/**
 * kmemdump_image_live() - whether this is the image of a running system
 * @image: core image
 *
 * Context: ops->image() of a backend.
 * Return: false if the system has crashed and this is what it leaves.
 */
bool kmemdump_image_live(const struct kmemdump_image *image)
{
	return image->live;
}

/**
 * kmemdump_image_notes() - where the ELF notes of a core image are
 * @image:	core image
 * @size:	set to the bytes of all notes
 *
 * The notes of the CPUs are there only if the image is not a live one.
 *
 * Context: ops->image() of a backend.
 * Return: offset for kmemdump_image_read().
 */
u64 kmemdump_image_notes(const struct kmemdump_image *image, u64 *size)
{
	*size = image->notes_size;
	return image->notes_offset;
}

/**
 * kmemdump_image_nr_loads() - how many pieces of memory a core image has
 * @image: core image
 *
 * Context: ops->image() of a backend.
 * Return: the number of pieces.
 */
unsigned int kmemdump_image_nr_loads(const struct kmemdump_image *image)
{
	return image->nr_loads;
}

/**
 * kmemdump_image_load() - where a piece of memory of a core image is
 * @image:	core image
 * @i:		which one, less than kmemdump_image_nr_loads(); what matters most is
 *		first
 * @load:	set to the addresses and size of it, whole pages
 *
 * Context: ops->image() of a backend.
 * Return: offset of its first byte for kmemdump_image_read().
 */
u64 kmemdump_image_load(const struct kmemdump_image *image, unsigned int i,
			struct kmemdump_segment *load)
{
	load->virt_addr = image->loads[i].vaddr;
	load->phys_addr = image->loads[i].paddr;
	load->size = kmemdump_load_size(&image->loads[i]);
	return image->loads[i].offset;
}

/**
 * kmemdump_image_read() - read a part of a core image
 * @image:	core image
 * @offset:	from where on
 * @buf:	where to
 * @len:	bytes to read
 *
 * Memory that can't be read, and all behind the end of the image, is zeros.
 *
 * Context: any, also NMI: takes no lock. In ops->image() of a backend.
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
		w.pos = image->sections_offset;
		if (image->slots && !past_window(&w))
			emit_sections(&w, image);
		offset += head;
		buf += head;
		len -= head;
	}
	if (len && offset < image->size)
		read_loads(image, offset, buf, len);
}
