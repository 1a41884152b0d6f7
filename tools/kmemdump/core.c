// SPDX-License-Identifier: GPL-2.0-only
/* The ELF core: its program headers, its notes, and memory by virtual address. */
#include <byteswap.h>
#include <gelf.h>
#include <stdlib.h>
#include <string.h>

#include "reader.h"

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define OUR_DATA	ELFDATA2LSB
#else
#define OUR_DATA	ELFDATA2MSB
#endif

uint16_t core_u16(const struct core *core, const void *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof(v));
	return core->swap ? bswap_16(v) : v;
}

uint32_t core_u32(const struct core *core, const void *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return core->swap ? bswap_32(v) : v;
}

uint64_t core_u64(const struct core *core, const void *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return core->swap ? bswap_64(v) : v;
}

static bool note_is(const char *name, size_t len, const char *want)
{
	return len == strlen(want) + 1 && !memcmp(name, want, len);
}

static void read_notes(struct core *core, const GElf_Phdr *phdr)
{
	uint64_t left = phdr->p_offset < core->head_size ? core->head_size - phdr->p_offset : 0;
	uint64_t size = phdr->p_filesz < left ? phdr->p_filesz : left;
	size_t pos = 0, name_pos, desc_pos;
	Elf_Data *data;
	GElf_Nhdr nhdr;

	if (size < phdr->p_filesz) {
		warn("the notes are cut short");
		core->cut = true;
	}
	if (!size)
		return;
	data = elf_getdata_rawchunk(core->elf, phdr->p_offset, size, ELF_T_NHDR);
	if (!data)
		die("%s: can't read its notes: %s", core->image->path, elf_errmsg(-1));

	while (pos < data->d_size) {
		const char *buf = data->d_buf;
		struct note *note = NULL;

		pos = gelf_getnote(data, pos, &nhdr, &name_pos, &desc_pos);
		/* Zeros are no note. A hole in a file reads as zeros, and may be very large. */
		if (!pos || (!nhdr.n_namesz && !nhdr.n_descsz))
			break;
		if (note_is(buf + name_pos, nhdr.n_namesz, "VMCOREINFO"))
			note = &core->vmcoreinfo;
		else if (note_is(buf + name_pos, nhdr.n_namesz, KMEMDUMP_NOTE_NAME) &&
			 nhdr.n_type == KMEMDUMP_NT_REGIONS)
			note = &core->regions;
		/* If there are two notes of a kind, the first one counts. */
		if (note && !note->desc) {
			note->desc = (const unsigned char *)buf + desc_pos;
			note->size = nhdr.n_descsz;
		}
	}
}

static int cmp_load(const void *a, const void *b)
{
	const struct load *x = a, *y = b;

	return x->vaddr < y->vaddr ? -1 : x->vaddr > y->vaddr;
}

/*
 * A core needs no sections, except that the first one holds the number of program headers
 * if there are more than 65,534. Drop all the others, because libelf would allocate tables
 * for as many as a forged header claims.
 */
static void drop_sections(unsigned char *head)
{
	Elf64_Ehdr *ehdr = (Elf64_Ehdr *)head;
	Elf32_Ehdr *ehdr32 = (Elf32_Ehdr *)head;

	if (ehdr->e_ident[EI_CLASS] == ELFCLASS64) {
		bool counts = ehdr->e_phnum == PN_XNUM;

		ehdr->e_shstrndx = 0;
		ehdr->e_shnum = counts ? ehdr->e_ident[EI_DATA] == OUR_DATA ? 1 : bswap_16(1) : 0;
		if (!counts)
			ehdr->e_shoff = 0;
	} else if (ehdr->e_ident[EI_CLASS] == ELFCLASS32) {
		ehdr32->e_shstrndx = 0;
		ehdr32->e_shnum = 0;
		ehdr32->e_shoff = 0;
	}
}

/* The larger of @end and the end of the @size bytes at @offset. */
static uint64_t extend(uint64_t end, uint64_t offset, uint64_t size)
{
	uint64_t reach = size < UINT64_MAX - offset ? offset + size : UINT64_MAX;

	return reach > end ? reach : end;
}

/*
 * Where the headers and notes end; libelf needs all of them. The part of them that is already
 * in @core->head may say only where the next part is.
 */
static uint64_t head_end(struct core *core)
{
	uint64_t end = sizeof(Elf64_Ehdr), nr;
	GElf_Ehdr ehdr;
	GElf_Phdr phdr;
	GElf_Shdr shdr;

	if (!gelf_getehdr(core->elf, &ehdr))
		return end;
	/* elf_getphdrnum() would count only the headers that are in @core->head already. */
	nr = ehdr.e_phnum;
	if (nr == PN_XNUM && ehdr.e_shoff) {
		end = extend(end, ehdr.e_shoff, sizeof(Elf64_Shdr));
		if (end > core->head_size ||
		    !gelf_getshdr(elf_getscn(core->elf, 0), &shdr))
			return end;
		nr = shdr.sh_info;
	}
	end = extend(end, ehdr.e_phoff, nr * gelf_fsize(core->elf, ELF_T_PHDR, 1, EV_CURRENT));
	for (uint64_t i = 0; end <= core->head_size && i < nr; i++)
		if (gelf_getphdr(core->elf, i, &phdr) && phdr.p_type == PT_NOTE)
			return extend(end, phdr.p_offset, phdr.p_filesz);
	return end;
}

/* Read the start of the image up to the end of the notes; the memory comes after it. */
static void read_head(struct core *core)
{
	const char *path = core->image->path;
	uint64_t want = sizeof(Elf64_Ehdr);
	uint64_t have = image_have(core->image, 0, HEAD_MAX);
	const char *ident;

	if (have < sizeof(Elf64_Ehdr))
		die("%s: the start of the image is missing, which says what the rest is", path);
	if (elf_version(EV_CURRENT) == EV_NONE)
		die("libelf is too old");
	do {
		elf_end(core->elf);
		core->head_size = want < have ? want : have;
		core->head = xrealloc(core->head, core->head_size, 1);
		image_read(core->image, 0, core->head, core->head_size);
		drop_sections(core->head);
		core->elf = elf_memory((char *)core->head, core->head_size);
		ident = core->elf ? elf_getident(core->elf, NULL) : NULL;
		if (!ident || elf_kind(core->elf) != ELF_K_ELF)
			die("%s: not an ELF file: %s", path, elf_errmsg(-1));
		want = head_end(core);
	} while (want > core->head_size && core->head_size < have);
	if (want > HEAD_MAX)
		warn("%s: its headers and notes take more than the %u MiB that are read of them",
		     path, HEAD_MAX >> 20);
	core->swap = ident[EI_DATA] != OUR_DATA;
}

void core_open(struct core *core, struct image *image)
{
	const char *path = image->path;
	bool noted = false;
	size_t nr;

	*core = (struct core) { .image = image };
	read_head(core);
	if (elf_getphdrnum(core->elf, &nr))
		die("%s: can't read its program headers: %s", path, elf_errmsg(-1));
	if (nr > core->head_size / sizeof(Elf32_Phdr))
		die("%s: has not the %zu program headers it claims", path, nr);
	core->loads = xmalloc(nr * sizeof(*core->loads));
	for (size_t i = 0; i < nr; i++) {
		GElf_Phdr phdr;

		if (!gelf_getphdr(core->elf, i, &phdr))
			die("%s: can't read program header %zu: %s", path, i, elf_errmsg(-1));
		if (phdr.p_filesz > image->size || phdr.p_offset > image->size - phdr.p_filesz)
			core->cut = true;
		/* A core has one PT_NOTE. Reading a thousand forged ones would take long. */
		if (phdr.p_type == PT_NOTE && !noted) {
			noted = true;
			read_notes(core, &phdr);
		}
		if (phdr.p_type == PT_LOAD && phdr.p_filesz)
			core->loads[core->nr_loads++] = (struct load) {
				.vaddr = phdr.p_vaddr, .paddr = phdr.p_paddr,
				.size = phdr.p_filesz, .offset = phdr.p_offset,
			};
	}
	/* The loads of a kmemdump core may overlap: a task may lie inside a larger area. */
	if (core->regions.desc)
		core_set_loads(core, core->loads, core->nr_loads);
}

/* Have @core find memory by these @nr loads, which belong to it from now on. */
void core_set_loads(struct core *core, struct load *loads, size_t nr)
{
	uint64_t total = 0;

	core->loads = loads;
	core->nr_loads = loads_flatten(loads, nr);
	for (size_t i = 0; i < core->nr_loads; i++) {
		loads[i].before = total;
		total += image_count(core->image, loads[i].offset, loads[i].size);
	}
}

/*
 * Make a copy of @core that finds memory by its program headers alone. The caller frees the
 * loads of the copy.
 */
void core_copy_by_headers(struct core *copy, const struct core *core)
{
	struct load *loads = xmalloc(core->nr_loads * sizeof(*loads));

	if (core->nr_loads)
		memcpy(loads, core->loads, core->nr_loads * sizeof(*loads));
	*copy = *core;
	core_set_loads(copy, loads, core->nr_loads);
}

/*
 * Make @core->regions ready. A dump of all memory has no note for it, so then it is made
 * from the kernel's own list. Returns why there is none, or NULL.
 */
const char *core_find_regions(struct core *core)
{
	const char *why;

	if (core->regions.desc)
		return NULL;
	why = full_load(core);
	/* Without a list, memory can be found by the program headers alone. */
	if (why)
		core_set_loads(core, core->loads, core->nr_loads);
	return why;
}

void core_close(struct core *core)
{
	elf_end(core->elf);
	free(core->head);
	free(core->made_note);
	free(core->loads);
}

/* How many of the @nr sorted loads start at @vaddr or before it. */
static size_t loads_before(const struct load *loads, size_t nr, uint64_t vaddr)
{
	size_t low = 0, high = nr;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (loads[mid].vaddr <= vaddr)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/* Find the load that holds @vaddr among the @nr sorted ones, or NULL. */
const struct load *load_find(const struct load *loads, size_t nr, uint64_t vaddr)
{
	size_t before = loads_before(loads, nr, vaddr);

	if (!before || vaddr - loads[before - 1].vaddr >= loads[before - 1].size)
		return NULL;
	return &loads[before - 1];
}

/* The first of the @nr sorted loads that starts after @vaddr, or NULL. */
const struct load *load_after(const struct load *loads, size_t nr, uint64_t vaddr)
{
	size_t before = loads_before(loads, nr, vaddr);

	return before < nr ? &loads[before] : NULL;
}

/*
 * Sort @nr loads. Where two overlap, the later one loses the bytes that the earlier one has.
 * Returns the number of loads that are left.
 */
size_t loads_flatten(struct load *loads, size_t nr)
{
	uint64_t end = 0;
	size_t out = 0;

	if (!nr)
		return 0;
	qsort(loads, nr, sizeof(*loads), cmp_load);
	for (size_t i = 0; i < nr; i++) {
		struct load load = loads[i];
		uint64_t skip = out && load.vaddr < end ? end - load.vaddr : 0;

		/* Drop a load that wraps around the end of the address space. */
		if (skip >= load.size || load.vaddr + load.size < load.vaddr)
			continue;
		load.vaddr += skip;
		load.paddr += skip;
		load.offset += skip;
		load.size -= skip;
		end = load.vaddr + load.size;
		loads[out++] = load;
	}
	return out;
}

/* The number of bytes before @vaddr that are in the dump. */
static uint64_t count_before(const struct core *core, uint64_t vaddr)
{
	size_t nr = loads_before(core->loads, core->nr_loads, vaddr);
	const struct load *load;
	uint64_t size;

	if (!nr)
		return 0;
	load = &core->loads[nr - 1];
	size = vaddr - load->vaddr < load->size ? vaddr - load->vaddr : load->size;
	return load->before + image_count(core->image, load->offset, size);
}

/* How many of the @size bytes from @vaddr on are in the dump, with gaps or without. */
uint64_t core_count(const struct core *core, uint64_t vaddr, uint64_t size)
{
	/* No memory wraps around the end of the address space. */
	if (size > UINT64_MAX - vaddr)
		size = UINT64_MAX - vaddr;
	return count_before(core, vaddr + size) - count_before(core, vaddr);
}

/*
 * Read memory of the crashed machine, up to the first byte that is not in the dump. Returns
 * the number of bytes before that; only those are put into @buf.
 */
uint64_t core_read(const struct core *core, uint64_t vaddr, void *buf, uint64_t size)
{
	uint64_t done = 0;

	while (done < size) {
		const struct load *load = load_find(core->loads, core->nr_loads, vaddr + done);
		uint64_t skip, n;

		if (!load)
			break;
		skip = vaddr + done - load->vaddr;
		n = load->size - skip < size - done ? load->size - skip : size - done;
		if (load->offset + skip < load->offset)
			break;
		n = image_read(core->image, load->offset + skip, (char *)buf + done, n);
		if (!n)
			break;
		done += n;
	}
	return done;
}

/* Get the number after "@key=" in VMCOREINFO; false if there is no such line. */
bool core_vmcoreinfo(const struct core *core, const char *key, int base, uint64_t *value)
{
	const char *line = (const char *)core->vmcoreinfo.desc, *end;
	size_t key_len = strlen(key);

	if (!line)
		return false;
	end = line + core->vmcoreinfo.size;
	while (line < end) {
		const char *eol = memchr(line, '\n', end - line);
		char number[32], *rest;

		if (!eol)
			break;
		if ((size_t)(eol - line) > key_len && !memcmp(line, key, key_len) &&
		    line[key_len] == '=') {
			size_t len = eol - line - key_len - 1;

			if (!len || len >= sizeof(number))
				return false;
			memcpy(number, line + key_len + 1, len);
			number[len] = '\0';
			*value = strtoull(number, &rest, base);
			return !*rest;
		}
		line = eol + 1;
	}
	return false;
}
