// SPDX-License-Identifier: GPL-2.0-only
/*
 * Make a core image from the pieces of memory that Qualcomm's boot firmware saved one by one.
 *
 * One of them, KELF, is the start of the ELF core. Its section headers say by name where in the
 * core each of the others belongs. The KELF of some drivers has no section headers; then the
 * physical addresses in its program headers say this.
 */
#include <dirent.h>
#include <elf.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "reader.h"

/* A range of the core image that one of the pieces fills. */
struct slot {
	char name[KMEMDUMP_NAME_LEN];
	bool nameless;		/* @name is made of the physical address */
	uint64_t offset;
	uint64_t size;
	struct piece *piece;	/* NULL if it is missing */
};

struct slots {
	struct slot *slot;
	size_t nr;
};

/* Print what is missing or damaged. As the number of pieces is bounded, so are the messages. */
void minidump_complain(struct minidump *md, const char *fmt, ...)
{
	char text[300];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	warn("%s: %s", md->path, text);
	md->nr_damaged++;
}

struct piece *minidump_add(struct minidump *md, const char *name)
{
	struct piece *piece;

	if (md->nr == PIECES_MAX)
		die("%s: has more than %d regions", md->path, PIECES_MAX);
	if (!md->pieces)
		md->pieces = xmalloc(PIECES_MAX * sizeof(*md->pieces));
	piece = &md->pieces[md->nr++];
	*piece = (struct piece) { 0 };
	copy_name(piece->name, name, sizeof(piece->name));
	return piece;
}

static bool is_kelf(const struct piece *piece)
{
	return !strncasecmp(piece->name, "KELF", 4);
}

/*
 * Find the piece KELF. Firmware may have changed the case of a name or put a number after it,
 * so any name that starts with KELF will do, but a better match goes first.
 */
static struct piece *find_kelf(struct minidump *md)
{
	struct piece *found = NULL;
	unsigned int best = 0;
	bool twice = false;

	for (size_t i = 0; i < md->nr; i++) {
		struct piece *piece = &md->pieces[i];
		unsigned int rank;

		if (!is_kelf(piece))
			continue;
		rank = !strcmp(piece->name, "KELF") ? 3 : piece->name[4] ? 1 : 2;
		twice = rank == best || (twice && rank < best);
		if (rank > best) {
			best = rank;
			found = piece;
		}
	}
	if (!found)
		die("%s: has no %sKELF%s, which says what the rest is", md->path, md->prefix,
		    md->suffix);
	if (twice)
		die("%s: has more than one KELF, %s%s%s among them", md->path, md->prefix,
		    found->name, md->suffix);
	found->used = true;
	return found;
}

/* Headers are copied before use, because forged offsets need not be aligned. */
static Elf64_Ehdr get_ehdr(const unsigned char *data)
{
	Elf64_Ehdr ehdr;

	memcpy(&ehdr, data, sizeof(ehdr));
	return ehdr;
}

static Elf64_Phdr get_phdr(const unsigned char *data, unsigned int i)
{
	Elf64_Ehdr ehdr = get_ehdr(data);
	Elf64_Phdr phdr;

	memcpy(&phdr, data + le64toh(ehdr.e_phoff) + i * sizeof(phdr), sizeof(phdr));
	return phdr;
}

/* The bytes at @offset of @piece, which has to have them; *@size is how many are contiguous. */
static const unsigned char *piece_at(const struct minidump *md, const struct piece *piece,
				     uint64_t offset, uint64_t *size)
{
	if (md->ram)
		return ram_at(md->ram, piece->paddr + offset, size);
	*size = piece->have - offset;
	return piece->data + offset;
}

/* Make a copy of KELF: shorten_loads() changes it, and it may be in several files of RAM. */
static unsigned char *copy_kelf(const struct minidump *md, struct piece *kelf)
{
	unsigned char *copy;
	uint64_t done, n;

	if (kelf->size > HEAD_MAX)
		die("%s: KELF has %llu bytes, which can't be", md->path,
		    (unsigned long long)kelf->size);
	copy = xmalloc(kelf->have);
	for (done = 0; done < kelf->have; done += n) {
		const unsigned char *data = piece_at(md, kelf, done, &n);

		n = n < kelf->have - done ? n : kelf->have - done;
		memcpy(copy + done, data, n);
	}
	kelf->data = copy;
	return copy;
}

/* Check that KELF is the start of an ELF core and has all the program headers that it claims. */
static void check_kelf(const struct minidump *md, const struct piece *kelf)
{
	uint64_t phoff, phnum;
	Elf64_Ehdr ehdr;

	if (kelf->have < sizeof(ehdr))
		die("%s: has only %llu bytes of KELF, which is no ELF header", md->path,
		    (unsigned long long)kelf->have);
	ehdr = get_ehdr(kelf->data);
	if (memcmp(ehdr.e_ident, ELFMAG, SELFMAG) || ehdr.e_ident[EI_CLASS] != ELFCLASS64 ||
	    ehdr.e_ident[EI_DATA] != ELFDATA2LSB || le16toh(ehdr.e_type) != ET_CORE ||
	    le16toh(ehdr.e_phentsize) != sizeof(Elf64_Phdr))
		die("%s: KELF is not the start of a little-endian 64-bit ELF core", md->path);
	phoff = le64toh(ehdr.e_phoff);
	phnum = le16toh(ehdr.e_phnum);
	if (!phnum || phnum == PN_XNUM || phoff > kelf->have ||
	    phnum * sizeof(Elf64_Phdr) > kelf->have - phoff)
		die("%s: KELF has not the %llu program headers it claims at byte %llu", md->path,
		    (unsigned long long)phnum, (unsigned long long)phoff);
}

static struct slot *add_slot(const struct minidump *md, struct slots *slots, const char *name,
			     uint64_t offset, uint64_t size)
{
	struct slot *slot;

	if (slots->nr == PIECES_MAX)
		die("%s: KELF claims more than %d regions", md->path, PIECES_MAX);
	for (size_t i = 0; i < slots->nr; i++)
		if (!strcmp(slots->slot[i].name, name))
			die("%s: KELF claims region %s twice", md->path, name);
	slot = &slots->slot[slots->nr++];
	*slot = (struct slot) { .offset = offset, .size = size };
	copy_name(slot->name, name, sizeof(slot->name));
	return slot;
}

/* Make a slot from each section header of KELF, except for what is inside KELF. */
static void slots_by_section(struct minidump *md, const struct piece *kelf,
			     struct slots *slots)
{
	Elf64_Ehdr ehdr = get_ehdr(kelf->data);
	uint64_t shoff = le64toh(ehdr.e_shoff), names, names_size;
	unsigned int shnum = le16toh(ehdr.e_shnum), shstrndx = le16toh(ehdr.e_shstrndx);
	const unsigned char *table;
	Elf64_Shdr shdr;

	if (!shnum)
		return;
	if (le16toh(ehdr.e_shentsize) != sizeof(shdr) || shoff > kelf->have ||
	    shnum * sizeof(shdr) > kelf->have - shoff || shstrndx >= shnum)
		die("%s: KELF has not the %u section headers it claims at byte %llu", md->path,
		    shnum, (unsigned long long)shoff);
	table = kelf->data + shoff;
	memcpy(&shdr, table + shstrndx * sizeof(shdr), sizeof(shdr));
	names = le64toh(shdr.sh_offset);
	names_size = le64toh(shdr.sh_size);
	if (names > kelf->have || names_size > kelf->have - names)
		die("%s: the names of its sections are not in KELF", md->path);

	for (unsigned int i = 0; i < shnum; i++) {
		uint64_t offset, size;
		const char *name;
		uint32_t name_at;

		memcpy(&shdr, table + i * sizeof(shdr), sizeof(shdr));
		offset = le64toh(shdr.sh_offset);
		size = le64toh(shdr.sh_size);
		if (le32toh(shdr.sh_type) == SHT_NULL || le32toh(shdr.sh_type) == SHT_NOBITS ||
		    !size)
			continue;
		/* A section at offset 0 may be KELF itself. */
		if (!offset && size != kelf->size)
			minidump_complain(md, "KELF has %llu bytes, not the %llu it claims",
					  (unsigned long long)kelf->size, (unsigned long long)size);
		if (!offset || (offset < kelf->size && size <= kelf->size - offset))
			continue;
		name_at = le32toh(shdr.sh_name);
		name = (const char *)kelf->data + names;
		if (name_at >= names_size || !memchr(name + name_at, '\0', names_size - name_at))
			die("%s: section %u of KELF has no name", md->path, i);
		add_slot(md, slots, name + name_at, offset, size);
	}
}

static struct piece *find_unused(struct minidump *md, const uint64_t *paddr)
{
	for (size_t i = 0; i < md->nr; i++) {
		struct piece *piece = &md->pieces[i];

		if (!piece->used && piece->name[0] == 'K' && (!paddr || piece->paddr == *paddr)) {
			piece->used = true;
			return piece;
		}
	}
	return NULL;
}

/*
 * Make a slot from each program header of KELF. As in other tools, the first region that is in no
 * program header is taken for the rest of the notes, and goes after KELF.
 */
static void slots_by_address(struct minidump *md, const struct piece *kelf, struct slots *slots)
{
	Elf64_Ehdr ehdr = get_ehdr(kelf->data);
	struct piece *notes;

	if (!md->has_addresses)
		die("%s: KELF names no regions: use the rawdump or RAM, which tell their addresses",
		    md->path);
	for (unsigned int i = 0; i < le16toh(ehdr.e_phnum); i++) {
		Elf64_Phdr phdr = get_phdr(kelf->data, i);
		uint64_t paddr = le64toh(phdr.p_paddr);
		char name[KMEMDUMP_NAME_LEN];
		struct slot *slot;

		if (le32toh(phdr.p_type) != PT_LOAD || !phdr.p_filesz)
			continue;
		snprintf(name, sizeof(name), "at 0x%llx", (unsigned long long)paddr);
		slot = add_slot(md, slots, name, le64toh(phdr.p_offset), le64toh(phdr.p_filesz));
		slot->nameless = true;
		slot->piece = find_unused(md, &paddr);
	}
	notes = find_unused(md, NULL);
	if (notes)
		add_slot(md, slots, notes->name, kelf->size, notes->size)->piece = notes;
}

/* Find the piece of each slot by its name, of which firmware may have changed the case. */
static void match_names(struct minidump *md, struct slots *slots)
{
	static int (* const same[])(const char *a, const char *b) = { strcmp, strcasecmp };

	for (int pass = 0; pass < 2; pass++) {
		for (size_t i = 0; i < slots->nr; i++) {
			struct slot *slot = &slots->slot[i];

			for (size_t j = 0; j < md->nr && !slot->piece; j++) {
				struct piece *piece = &md->pieces[j];

				if (piece->used || same[pass](piece->name, slot->name))
					continue;
				slot->piece = piece;
				piece->used = true;
			}
		}
	}
}

static int cmp_slot(const void *a, const void *b)
{
	const struct slot *x = a, *y = b;

	return x->offset < y->offset ? -1 : x->offset > y->offset;
}

/* Sort the slots and check them. Returns the size of the image that they and KELF make. */
static uint64_t lay_out(struct minidump *md, const struct piece *kelf, struct slots *slots)
{
	const char *last = kelf->name;
	uint64_t end = kelf->size;

	qsort(slots->slot, slots->nr, sizeof(*slots->slot), cmp_slot);
	for (size_t i = 0; i < slots->nr; i++) {
		const struct slot *slot = &slots->slot[i];

		if (slot->offset > IMAGE_MAX || slot->size > IMAGE_MAX - slot->offset)
			die("%s: KELF puts %llu bytes of region %s at byte %llu, which can't be",
			    md->path, (unsigned long long)slot->size, slot->name,
			    (unsigned long long)slot->offset);
		if (slot->offset < end)
			die("%s: KELF has the regions %s and %s overlap", md->path, last,
			    slot->name);
		if (slot->offset > end)
			minidump_complain(md, "KELF has no region for bytes %llu to %llu",
					  (unsigned long long)end,
					  (unsigned long long)slot->offset - 1);
		end = slot->offset + slot->size;
		last = slot->name;
	}
	return end;
}

/* Add the first @size bytes of @piece to the image at @offset. They have to be in the dump. */
static void fill(struct minidump *md, struct image *image, const struct piece *piece,
		 uint64_t offset, uint64_t size)
{
	uint64_t done, n;

	for (done = 0; done < size; done += n) {
		const unsigned char *data = piece_at(md, piece, done, &n);

		n = n < size - done ? n : size - done;
		image_add(image, offset + done, n, data, 0);
	}
}

static void fill_slot(struct minidump *md, struct image *image, const struct slot *slot)
{
	const struct piece *piece = slot->piece;
	uint64_t have;

	if (!piece) {
		minidump_complain(md, "%s%s%s is missing, %llu bytes of the core",
				  slot->nameless ? "the region " : md->prefix, slot->name,
				  slot->nameless ? "" : md->suffix,
				  (unsigned long long)slot->size);
		return;
	}
	if (piece->size != slot->size)
		minidump_complain(md, "%s%s%s has %llu bytes, not the %llu of KELF",
				  md->prefix, piece->name, md->suffix,
				  (unsigned long long)piece->size, (unsigned long long)slot->size);
	have = piece->have < slot->size ? piece->have : slot->size;
	fill(md, image, piece, slot->offset, have);
}

/*
 * Shorten the program headers to what is in the dump: debuggers would take the zeros in place of
 * missing bytes for memory. They ignore the type of all headers after the first one, so a header
 * that has nothing left gets size 0 as well as PT_NULL.
 */
static void shorten_loads(struct minidump *md, const struct image *image, unsigned char *kelf)
{
	Elf64_Ehdr ehdr = get_ehdr(kelf);
	unsigned char *table = kelf + le64toh(ehdr.e_phoff);
	unsigned int nr_outside = 0;

	for (unsigned int i = 0; i < le16toh(ehdr.e_phnum); i++) {
		Elf64_Phdr phdr = get_phdr(kelf, i);
		uint64_t offset = le64toh(phdr.p_offset), size = le64toh(phdr.p_filesz);
		uint64_t have = image_have(image, offset, size);

		if (le32toh(phdr.p_type) != PT_LOAD || have == size)
			continue;
		if (offset > image->size || size > image->size - offset)
			nr_outside++;
		phdr.p_filesz = htole64(have);
		phdr.p_memsz = phdr.p_filesz;
		if (!have) {
			phdr.p_type = htole32(PT_NULL);
			phdr.p_offset = 0;
		}
		memcpy(table + i * sizeof(phdr), &phdr, sizeof(phdr));
	}
	if (nr_outside)
		minidump_complain(md, "%u program headers claim bytes that no region holds",
				  nr_outside);
}

/* Report the pieces that have no place in the core, though their names say they belong to it. */
static void tell_unused(struct minidump *md)
{
	for (size_t i = 0; i < md->nr; i++) {
		const struct piece *piece = &md->pieces[i];
		bool twice = false;

		if (piece->used || (piece->name[0] != 'K' && piece->name[0] != 'k'))
			continue;
		for (size_t j = 0; j < md->nr; j++)
			if (md->pieces[j].used && !strcasecmp(md->pieces[j].name, piece->name))
				twice = true;
		minidump_complain(md, twice ? "%s%s%s is there twice, one is left out" :
					      "%s%s%s has no place in the core",
				  md->prefix, piece->name, md->suffix);
	}
}

/*
 * Make the core image from @md, and free its list of pieces. The caller has given the files that
 * hold them to @image.
 */
void minidump_join(struct minidump *md, struct image *image)
{
	struct piece *kelf = find_kelf(md);
	unsigned char *head = copy_kelf(md, kelf);
	struct slots slots;

	check_kelf(md, kelf);
	slots = (struct slots) { .slot = xmalloc(PIECES_MAX * sizeof(*slots.slot)) };
	slots_by_section(md, kelf, &slots);
	if (slots.nr)
		match_names(md, &slots);
	else
		slots_by_address(md, kelf, &slots);

	image->path = md->path;
	image->state = RECORD_ELF;
	image->size = lay_out(md, kelf, &slots);
	if (kelf->have < kelf->size)
		minidump_complain(md, "%sKELF%s has %llu of %llu bytes", md->prefix, md->suffix,
				  (unsigned long long)kelf->have, (unsigned long long)kelf->size);
	image->made = head;
	image_add(image, 0, kelf->have, head, 0);
	for (size_t i = 0; i < slots.nr; i++)
		fill_slot(md, image, &slots.slot[i]);
	shorten_loads(md, image, head);
	tell_unused(md);
	image->nr_damaged = md->nr_damaged;
	free(slots.slot);
	free(md->pieces);
}

bool minidump_is_folder(const char *path)
{
	struct stat st;

	return !stat(path, &st) && S_ISDIR(st.st_mode);
}

/* Get the name of the region from the name of its file, where it is between "md_" and ".BIN". */
static bool region_of_file(const char *name, char *region, size_t size)
{
	size_t len = strlen(name);

	if (len < 8 || len - 7 >= size || strncasecmp(name, "md_", 3) ||
	    strcasecmp(name + len - 4, ".bin"))
		return false;
	memcpy(region, name + 3, len - 7);
	region[len - 7] = '\0';
	return true;
}

static void add_file(struct minidump *md, struct image *image, const char *file,
		     const char *name)
{
	struct piece *piece = minidump_add(md, name);
	char path[PATH_MAX];
	unsigned char *data;
	struct stat st;

	if (snprintf(path, sizeof(path), "%s/%s", md->path, file) >= (int)sizeof(path))
		die("%s: its name is too long", md->path);
	/* fill_slot() says how much is missing if the file is empty. */
	if (!stat(path, &st) && S_ISREG(st.st_mode) && !st.st_size)
		return;
	piece->size = map_file(path, &data);
	image_keep(image, data, piece->size);
	piece->have = piece->size;
	piece->data = data;
}

/* Open a minidump that is a folder of files, as programs fetch them from firmware. */
void minidump_open_folder(struct image *image, const char *path)
{
	struct minidump md = { .path = path, .prefix = "md_", .suffix = ".BIN" };
	DIR *dir = opendir(path);
	struct dirent *entry;

	*image = (struct image) { 0 };
	if (!dir)
		die("%s: %s", path, strerror(errno));
	while ((entry = readdir(dir))) {
		char name[KMEMDUMP_NAME_LEN];

		if (region_of_file(entry->d_name, name, sizeof(name)))
			add_file(&md, image, entry->d_name, name);
	}
	closedir(dir);
	if (!md.nr)
		die("%s: has no files md_*.BIN", path);
	minidump_join(&md, image);
}
