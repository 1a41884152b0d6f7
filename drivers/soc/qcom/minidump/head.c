// SPDX-License-Identifier: GPL-2.0-only
/*
 * Qualcomm minidump: the first slot, with all that stands before the loads:
 *
 *	ELF header | program headers | notes | section headers and their names
 *
 * The sections say which slot is which, for the assemblers of others.
 *
 * Copyright (C) 2026 the kmemdump authors
 */
#include <linux/elf.h>
#include <linux/io.h>
#include <linux/mm.h>
#include <linux/string.h>

#include "minidump.h"

/* The names of the sections: the first of them is none, the second that of itself. */
#define STRING_TABLE	"STR_TBL"

static size_t sections_size(const struct minidump_layout *l)
{
	/*
	 * One section for none, one for the names, one for each slot but the head. An empty
	 * name comes first, and some at the end, where byte-wise readers stop.
	 */
	size_t size = (l->nr_slots + 1) * sizeof(struct elf64_shdr) + sizeof(STRING_TABLE) + 1 + 4;
	unsigned int i;

	for (i = 1; i < l->nr_slots; i++)
		size += strlen(l->slots[i].name) + 1;
	return size;
}

/* Where the parts of the head are; how many loads and slots there are is known. */
void minidump_lay_out_head(struct minidump_layout *l, const struct kmemdump_image *image)
{
	size_t notes_size, left_out;

	kmemdump_image_notes(image, &notes_size, &left_out);
	l->notes_offset = sizeof(struct elf64_hdr) +
			  (l->nr_loads + 1) * sizeof(struct elf64_phdr);
	l->left_out_offset = l->notes_offset + left_out;
	l->sections_offset = ALIGN(l->notes_offset + notes_size, 8);
	l->head_size = PAGE_ALIGN(l->sections_offset + sections_size(l));
}

/* The bytes of the largest head there can be. */
size_t minidump_max_head(const struct minidump_layout *l, const struct kmemdump_image *image)
{
	return PAGE_ALIGN(sizeof(struct elf64_hdr) + l->max_slots * sizeof(struct elf64_phdr) +
			  ALIGN(kmemdump_image_max_notes(image), 8) +
			  (l->max_slots + 1) * sizeof(struct elf64_shdr) + sizeof(STRING_TABLE) +
			  1 + 4 + l->max_slots * (MINIDUMP_NAME + 1));
}

static char *put_text(char *to, const char *text)
{
	size_t size = strlen(text) + 1;

	memcpy(to, text, size);
	return to + size;
}

static void put_sections(const struct minidump_layout *l, void *head)
{
	struct elf64_shdr *shdr = head + l->sections_offset;
	char *names = (char *)(shdr + l->nr_slots + 1), *name = names;
	unsigned int i;

	*name++ = '\0';
	memset(shdr, 0, 2 * sizeof(*shdr));
	shdr[1].sh_name = name - names;
	shdr[1].sh_type = SHT_STRTAB;
	shdr[1].sh_offset = (void *)names - head;
	shdr[1].sh_size = l->sections_offset + sections_size(l) - shdr[1].sh_offset;
	shdr[1].sh_addralign = 1;
	name = put_text(name, STRING_TABLE);
	for (i = 1; i < l->nr_slots; i++) {
		const struct minidump_load *load = &l->loads[i - 1];

		shdr[i + 1] = (struct elf64_shdr) {
			.sh_name	= name - names,
			.sh_type	= SHT_PROGBITS,
			.sh_flags	= SHF_WRITE | SHF_ALLOC,
			.sh_addr	= load->vaddr,
			.sh_offset	= load->offset,
			.sh_size	= load->size,
			.sh_addralign	= PAGE_SIZE,
		};
		name = put_text(name, l->slots[i].name);
	}
	memset(name, 0, head + l->head_size - (void *)name);
}

/* Write the head, which is the first slot, to @head. @nr_refused regions are not in @image. */
void minidump_put_head(struct minidump_layout *l, const struct kmemdump_image *image,
		       void *head, unsigned int nr_refused)
{
	struct elf64_phdr *phdr = head + sizeof(struct elf64_hdr);
	struct elf64_hdr *ehdr = head;
	const void *notes;
	size_t notes_size;
	unsigned int i;

	notes = kmemdump_image_notes(image, &notes_size, NULL);
	kmemdump_fill_elf_header(ehdr, l->nr_loads + 1);
	ehdr->e_shoff = l->sections_offset;
	ehdr->e_shentsize = sizeof(struct elf64_shdr);
	ehdr->e_shnum = l->nr_slots + 1;
	ehdr->e_shstrndx = 1;
	*phdr++ = (struct elf64_phdr) {
		.p_type		= PT_NOTE,
		.p_offset	= l->notes_offset,
		.p_filesz	= notes_size,
		.p_memsz	= notes_size,
		.p_align	= 4,
	};
	for (i = 0; i < l->nr_loads; i++)
		*phdr++ = (struct elf64_phdr) {
			.p_type		= PT_LOAD,
			.p_flags	= PF_R | PF_W | PF_X,
			.p_offset	= l->loads[i].offset,
			.p_vaddr	= l->loads[i].vaddr,
			.p_paddr	= l->loads[i].paddr,
			.p_filesz	= l->loads[i].size,
			.p_memsz	= l->loads[i].size,
		};
	memcpy(head + l->notes_offset, notes, notes_size);
	*(u32 *)(head + l->left_out_offset) += l->nr_left_out + nr_refused;
	memset(head + l->notes_offset + notes_size, 0,
	       l->sections_offset - l->notes_offset - notes_size);
	put_sections(l, head);
	l->slots[0].phys_addr = virt_to_phys(head);
	l->slots[0].size = l->head_size;
}
