// SPDX-License-Identifier: GPL-2.0-only
/*
 * kmemdump: the bytes of the core image.
 *
 * The ELF core is never in memory as a whole. Its headers and notes are made once,
 * in buffers; the memory of the loads is read when it is written:
 *
 *	ELF header | program headers | section header (if over 65,534 of those)
 *	PT_NOTE: NT_PRSTATUS of each CPU that was at work, VMCOREINFO, KMEMDUMP
 *	PT_LOADs, whole pages, by order and then by address
 *
 * All of this runs at panic: no allocation, no lock, every read may fault.
 *
 * Copyright (C) 2026 the kmemdump authors
 */
#include <linux/cpumask.h>
#include <linux/elfcore.h>
#include <linux/export.h>
#include <linux/kexec.h>
#include <linux/mm.h>
#include <linux/string.h>
#include <linux/threads.h>
#include <linux/vmcore_info.h>

#include "arch.h"
#include "kmemdump.h"

/* Rights that debuggers expect of kernel memory; kdump writes the same. */
#define LOAD_FLAGS	(PF_R | PF_W | PF_X)

/* Bytes of a note of the name @name. */
static size_t note_size(const char *name, size_t desc_size)
{
	return sizeof(struct elf_note) + ALIGN(strlen(name) + 1, 4) + ALIGN(desc_size, 4);
}

static size_t region_note_size(unsigned int nr_regions, unsigned int nr_pieces,
			       unsigned int nr_cpus)
{
	return size_add(size_add(sizeof(struct kmemdump_note),
				 array_size(nr_regions, sizeof(struct kmemdump_note_region))),
			size_add(array_size(nr_pieces, sizeof(struct kmemdump_note_piece)),
				 array_size(nr_cpus, sizeof(struct kmemdump_note_cpu))));
}

/* The most that all notes can take; SIZE_MAX if that does not fit a size_t. */
size_t kmemdump_max_notes(unsigned int nr_regions, unsigned int nr_pieces)
{
	unsigned int nr_cpus = num_possible_cpus();
	size_t size = region_note_size(nr_regions, nr_pieces, nr_cpus);

	if (size > SIZE_MAX / 2)
		return SIZE_MAX;
	return nr_cpus * note_size("CORE", sizeof(struct elf_prstatus)) +
	       note_size(VMCOREINFO_NOTE_NAME, sizeof_field(struct kmemdump_image, vmcoreinfo)) +
	       note_size(KMEMDUMP_NOTE_NAME, size);
}

/**
 * kmemdump_fill_elf_header() - make the ELF header of a core of this kernel
 * @ehdr:	header to fill; the program headers follow right after it
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
		.e_flags	= KMEMDUMP_ELF_FLAGS,
		.e_ehsize	= sizeof(struct elf64_hdr),
		.e_phentsize	= sizeof(struct elf64_phdr),
		.e_phnum	= nr_phdrs,
	};
}
EXPORT_SYMBOL_GPL(kmemdump_fill_elf_header);

static void *put(void *to, const void *data, size_t size)
{
	memcpy(to, data, size);
	return to + size;
}

static void *put_cpus(void *to, const struct kmemdump_image *image)
{
	struct elf_prstatus prstatus;
	unsigned int i;

	for (i = 0; i < image->nr_cpus; i++) {
		kmemdump_fill_prstatus(&prstatus, &image->cpus[i]);
		/*
		 * All idle tasks have 0, but gdb before 16 takes notes of one PID for
		 * one thread. No task has these.
		 */
		if (!prstatus.common.pr_pid)
			prstatus.common.pr_pid = PID_MAX_LIMIT + image->cpus[i].cpu;
		to = append_elf_note(to, "CORE", NT_PRSTATUS, &prstatus, sizeof(prstatus));
	}
	return to;
}

/* What each CPU has of a per-CPU region, 0 for any other. */
static size_t percpu_size(const struct kmemdump_entry *entry)
{
	if (!(entry->flags & KMEMDUMP_ENTRY_PERCPU))
		return 0;
	return kmemdump_entry_size(entry) / num_possible_cpus();
}

static void *put_region(void *to, const struct kmemdump_image *image,
			const struct kmemdump_image_region *region)
{
	const struct kmemdump_entry *entry = region->entry;
	struct kmemdump_note_region out;
	bool is_volatile;

	/* The log goes on changing until firmware saves it. */
	is_volatile = image->live || entry->flags & KMEMDUMP_ENTRY_AREA ||
		      (image->later && entry->class == KMEMDUMP_CLASS_LOG);
	out = (struct kmemdump_note_region) {
		.id		= entry->id,
		.class		= entry->class,
		.state		= region->state,
		.flags		= is_volatile ? KMEMDUMP_REGION_VOLATILE : 0,
		.first_piece	= region->first_piece,
		.nr_pieces	= region->nr_pieces,
		.percpu_size	= percpu_size(entry),
		.size		= kmemdump_entry_size(entry),
		.checksum	= region->checksum,
	};
	strscpy(out.name, kmemdump_entry_name(entry), sizeof(out.name));
	strscpy(out.owner, kmemdump_entry_owner(entry), sizeof(out.owner));
	return put(to, &out, sizeof(out));
}

static void *put_pieces(void *to, const struct kmemdump_image_region *region)
{
	size_t unit = percpu_size(region->entry), offset = 0;
	const struct kmemdump_piece *pieces = kmemdump_region_pieces(region);
	unsigned int i;

	for (i = 0; i < region->nr_pieces; i++) {
		struct kmemdump_note_piece piece = {
			.vaddr	= pieces[i].virt_addr,
			.paddr	= pieces[i].phys_addr,
			.size	= pieces[i].size,
			/* A CPU may have several pieces: the bytes before say which CPU it is. */
			.cpu	= unit ? cpumask_nth(offset / unit, cpu_possible_mask) :
					 KMEMDUMP_NO_CPU,
		};

		to = put(to, &piece, sizeof(piece));
		offset += pieces[i].size;
	}
	return to;
}

static void *put_region_note(void *to, struct kmemdump_image *image)
{
	struct kmemdump_note head = {
		.version	= KMEMDUMP_VERSION,
		.header_size	= sizeof(head),
		.region_size	= sizeof(struct kmemdump_note_region),
		.nr_regions	= image->nr_regions,
		.piece_size	= sizeof(struct kmemdump_note_piece),
		.nr_pieces	= image->nr_pieces,
		.cpu_size	= sizeof(struct kmemdump_note_cpu),
		.nr_cpus	= image->nr_cpus,
		.nr_left_out	= image->nr_left_out,
		.time		= image->live ? 0 : image->time,
	};
	struct elf_note *note = to;
	unsigned int i;

	to = append_elf_note(to, KMEMDUMP_NOTE_NAME, KMEMDUMP_NT_REGIONS, &head, sizeof(head));
	note->n_descsz = region_note_size(image->nr_regions, image->nr_pieces, image->nr_cpus);
	image->left_out_offset = to - sizeof(head) - image->notes +
				 offsetof(struct kmemdump_note, nr_left_out);
	for (i = 0; i < image->nr_regions; i++)
		to = put_region(to, image, &image->regions[i]);
	for (i = 0; i < image->nr_regions; i++)
		to = put_pieces(to, &image->regions[i]);
	for (i = 0; i < image->nr_cpus; i++) {
		struct kmemdump_note_cpu cpu = {
			.cpu	= image->cpus[i].cpu,
			.state	= image->cpus[i].state,
			.pid	= image->cpus[i].pid,
		};

		to = put(to, &cpu, sizeof(cpu));
	}
	return to;
}

static void make_notes(struct kmemdump_image *image)
{
	void *to = put_cpus(image->notes, image);

	if (image->vmcoreinfo_size)
		to = append_elf_note(to, VMCOREINFO_NOTE_NAME, 0, image->vmcoreinfo,
				     image->vmcoreinfo_size);
	image->notes_size = put_region_note(to, image) - image->notes;
}

/* The loads are in their final order: make the program headers of them, and all before. */
static void make_headers(struct kmemdump_image *image)
{
	struct elf64_phdr *note = (struct elf64_phdr *)(image->head + 1);
	unsigned int nr_phdrs = image->nr_loads + 1, i, order;
	struct elf64_shdr shdr = {
		/* The ELF way to say how many program headers there really are. */
		.sh_info	= nr_phdrs,
	};

	image->head_size = sizeof(struct elf64_hdr) + nr_phdrs * sizeof(struct elf64_phdr);
	kmemdump_fill_elf_header(image->head, min(nr_phdrs, PN_XNUM));
	if (nr_phdrs >= PN_XNUM) {
		image->head->e_shoff = image->head_size;
		image->head->e_shentsize = sizeof(shdr);
		image->head->e_shnum = 1;
		memcpy((void *)image->head + image->head_size, &shdr, sizeof(shdr));
		image->head_size += sizeof(shdr);
	}
	*note = (struct elf64_phdr) {
		.p_type		= PT_NOTE,
		.p_offset	= image->head_size,
		.p_filesz	= image->notes_size,
		.p_memsz	= image->notes_size,
		.p_align	= 4,
	};
	image->data_offset = PAGE_ALIGN(image->head_size + image->notes_size);
	image->size = image->data_offset;
	for (i = 0, order = 0; order < KMEMDUMP_NR_ORDERS; order++) {
		for (; i < image->nr_loads && image->loads[i].p_align <= order; i++) {
			struct elf64_phdr *phdr = &image->loads[i];

			phdr->p_type = PT_LOAD;
			phdr->p_flags = LOAD_FLAGS;
			phdr->p_offset = image->size;
			phdr->p_filesz = phdr->p_memsz;
			phdr->p_align = 0;
			image->size += phdr->p_memsz;
		}
		image->order_end[order] = i;
	}
}

/* Make all that stands before the loads, which are there and in their final order. */
void kmemdump_lay_out(struct kmemdump_image *image)
{
	make_notes(image);
	make_headers(image);
}

/*
 * The other CPUs are marked offline when they are stopped for a panic. Debuggers take the
 * notes for those of the online CPUs, so show these as they were before; the KMEMDUMP note
 * tells which were stopped.
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

/**
 * kmemdump_image_copy() - copy memory as it is to be in a core image
 * @image:	core image
 * @vaddr:	virtual address in a load of it
 * @paddr:	physical address of the same byte
 * @buf:	where to
 * @len:	bytes
 *
 * What can't be read is zeros.
 *
 * Context: any, also NMI: takes no lock.
 */
void kmemdump_image_copy(const struct kmemdump_image *image, u64 vaddr, u64 paddr, void *buf,
			 size_t len)
{
	kmemdump_read(buf, vaddr, paddr, len);
	restore_online_mask(image, vaddr, buf, len);
}
EXPORT_SYMBOL_GPL(kmemdump_image_copy);

/* Index of the load that has @offset, which is not before the first one. */
static unsigned int find_load(const struct kmemdump_image *image, u64 offset)
{
	unsigned int low = 0, high = image->nr_loads;

	while (high - low > 1) {
		unsigned int mid = low + (high - low) / 2;

		if (image->loads[mid].p_offset <= offset)
			low = mid;
		else
			high = mid;
	}
	return low;
}

/* Copy what [@offset, @offset + @len) of the file has of @size bytes that stand at @start. */
static void copy_part(void *buf, u64 offset, size_t len, u64 start, const void *part, u64 size)
{
	u64 from = max(offset, start), to = min(offset + len, start + size);

	if (from < to)
		memcpy(buf + (from - offset), part + (from - start), to - from);
}

/*
 * Read @len bytes of @image from @offset on. Memory that can't be read, and what is after
 * the end, is zeros. Any context, also NMI: takes no lock.
 */
void kmemdump_image_read(const struct kmemdump_image *image, u64 offset, void *buf, size_t len)
{
	u64 end = min(offset + len, image->size), at = max(offset, image->data_offset);
	unsigned int i;

	memset(buf, 0, len);
	copy_part(buf, offset, len, 0, image->head, image->head_size);
	copy_part(buf, offset, len, image->head_size, image->notes, image->notes_size);
	for (i = find_load(image, at); i < image->nr_loads && at < end; i++) {
		const struct elf64_phdr *load = &image->loads[i];
		size_t n = min(end, load->p_offset + load->p_memsz) - at;
		u64 skip = at - load->p_offset;

		kmemdump_image_copy(image, load->p_vaddr + skip, load->p_paddr + skip,
				    buf + (at - offset), n);
		at += n;
	}
}
