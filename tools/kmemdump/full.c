// SPDX-License-Identifier: GPL-2.0-only
/*
 * Find the regions of a dump of all memory, as kdump or FADump makes it. It has no KMEMDUMP note,
 * but VMCOREINFO says where the kernel's own list of entries is, and how it is laid out; see
 * <linux/kmemdump.h>. This file makes a note from that list for the rest of the reader.
 * It also makes loads by virtual address, because the headers of such a dump may have none.
 */
#include <gelf.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "reader.h"

/* Bounds for what a dump claims. All that is found also has to fit into the dump. */
#define MAX_REGIONS	0x20000
#define MAX_PIECES	0x40000
#define MAX_LOADS	0x40000
#define MAX_CPUS	0x10000
#define MIN_PAGE	0x1000
#define MAX_PAGE	0x100000
#define MAX_OFFSET	4096
#define MAX_PIECE_SIZE	64

/* Bit of the flags of an entry. */
#define FLAG_PERCPU	0x1

/* The lines of VMCOREINFO that are needed. Those before CPU_BITS are hexadecimal. */
enum key {
	ENTRIES, LINEAR, CPUS, CPU_BITS, PAGE, NEXT, PREV,
	LIST, ID, CLASS, FLAGS, VERSION, NR_PIECES, MAX, PIECES, PFNS, NAMES,
	PIECE_SIZE, PIECE_VIRT, PIECE_PHYS, PIECE_BYTES,
	NR_KEYS
};

static const char * const keys[NR_KEYS] = {
	[ENTRIES]	= KMEMDUMP_ENTRIES_KEY,
	[LINEAR]	= KMEMDUMP_LINEAR_KEY,
	[CPUS]		= KMEMDUMP_CPUS_KEY,
	[CPU_BITS]	= KMEMDUMP_NR_CPUS_KEY,
	[PAGE]		= "PAGESIZE",
	[NEXT]		= "OFFSET(list_head.next)",
	[PREV]		= "OFFSET(list_head.prev)",
	[LIST]		= KMEMDUMP_ENTRY_KEY(list),
	[ID]		= KMEMDUMP_ENTRY_KEY(id),
	[CLASS]		= KMEMDUMP_ENTRY_KEY(class),
	[FLAGS]		= KMEMDUMP_ENTRY_KEY(flags),
	[VERSION]	= KMEMDUMP_ENTRY_KEY(version),
	[NR_PIECES]	= KMEMDUMP_ENTRY_KEY(nr_pieces),
	[MAX]		= KMEMDUMP_ENTRY_KEY(max_pieces),
	[PIECES]	= KMEMDUMP_ENTRY_KEY(pieces),
	[PFNS]		= KMEMDUMP_ENTRY_KEY(pfns),
	[NAMES]		= KMEMDUMP_ENTRY_KEY(names),
	[PIECE_SIZE]	= KMEMDUMP_PIECE_SIZE_KEY,
	[PIECE_VIRT]	= KMEMDUMP_PIECE_KEY(virt_addr),
	[PIECE_PHYS]	= KMEMDUMP_PIECE_KEY(phys_addr),
	[PIECE_BYTES]	= KMEMDUMP_PIECE_KEY(size),
};

/* An array that grows. */
struct array {
	void *data;
	size_t nr;
	size_t max;
};

struct full {
	struct core *core;
	struct core ram;		/* the same, but its addresses are physical ones */
	uint64_t key[NR_KEYS];
	unsigned int long_size;		/* bytes of a long or a pointer */
	unsigned int phys_size;		/* bytes of a physical address */
	uint64_t pointer_bits;		/* set in each pointer that is not NULL */
	uint32_t *cpus;			/* the possible CPUs */
	size_t nr_cpus;
	struct array regions;		/* struct kmemdump_note_region */
	struct array pieces;		/* struct kmemdump_note_piece */
	struct array loads;		/* struct load */
	/*
	 * Bytes of the dump in which nothing was found yet. No two entries share memory, so
	 * a good list does not need more than the dump has. A list that leads back into
	 * itself does, so the reader gives it up when this is used up.
	 */
	uint64_t left;
	char why[100];			/* what is wrong with the list, or "" */
};

/* Note the first thing that is wrong. Returns false. */
static __printf(2, 3) bool damaged(struct full *full, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	if (!full->why[0])
		vsnprintf(full->why, sizeof(full->why), fmt, args);
	va_end(args);
	return false;
}

/* Room for one more element at the end of @array. */
static void *array_add(struct array *array, size_t size)
{
	if (array->nr == array->max) {
		array->max = array->max ? 2 * array->max : 64;
		array->data = xrealloc(array->data, array->max, size);
	}
	return (char *)array->data + size * array->nr++;
}

/* Get a number from the dump, which has it in its own byte order. */
static uint64_t decode(const struct full *full, const void *p, size_t size)
{
	return size == 8 ? core_u64(full->core, p) : size == 4 ? core_u32(full->core, p) :
	       *(const uint8_t *)p;
}

/* Convert a number for the note, which has the byte order of the dump, too. */
static uint32_t to_note32(const struct full *full, uint32_t value)
{
	return core_u32(full->core, &value);
}

static uint64_t to_note64(const struct full *full, uint64_t value)
{
	return core_u64(full->core, &value);
}

static bool read_phys(struct full *full, uint64_t phys, void *buf, uint64_t size)
{
	return core_read(&full->ram, phys, buf, size) == size ||
	       damaged(full, "it leads to memory that is not in the dump");
}

/* The integer of @size bytes at @phys. If the dump has none, it is 0 and @full->why says so. */
static uint64_t read_int(struct full *full, uint64_t phys, size_t size)
{
	unsigned char raw[8];

	return read_phys(full, phys, raw, size) ? decode(full, raw, size) : 0;
}

static uint64_t read_pointer(struct full *full, uint64_t phys)
{
	uint64_t value = read_int(full, phys, full->long_size);

	return value ? value | full->pointer_bits : 0;
}

/* The physical address of @addr in the linear map. */
static uint64_t to_phys(const struct full *full, uint64_t addr)
{
	return addr - full->key[LINEAR];
}

/* The physical address of the member at the offset @key of what is at @addr. */
static uint64_t member(const struct full *full, uint64_t addr, enum key key)
{
	return to_phys(full, addr + full->key[key]);
}

/*
 * Read from the array at @pieces of an entry, @skip bytes after its start. If there is an array
 * @pfns, that has the page frames which @pieces is in.
 */
static bool read_pieces(struct full *full, uint64_t pieces, uint64_t pfns, uint64_t skip, void *buf,
			uint64_t size)
{
	uint64_t page = full->key[PAGE], pos = pieces % page + skip;

	if (!pfns)
		return read_phys(full, to_phys(full, pieces + skip), buf, size);
	while (size) {
		uint64_t left = page - pos % page, n = left < size ? left : size;
		uint64_t at = to_phys(full, pfns + pos / page * full->long_size);
		uint64_t pfn = read_int(full, at, full->long_size);

		if (full->why[0] || !read_phys(full, pfn * page + pos % page, buf, n))
			return false;
		buf = (char *)buf + n;
		pos += n;
		size -= n;
	}
	return true;
}

/* Add the parts of a piece that the dump has to the loads. */
static bool add_loads(struct full *full, uint64_t virt, uint64_t phys, uint64_t size)
{
	const struct core *ram = &full->ram;
	uint64_t done = 0, skip, n;

	if (size > UINT64_MAX - phys)
		return damaged(full, "a piece is damaged");
	for (; done < size; done += n) {
		const struct load *load = load_find(ram->loads, ram->nr_loads, phys + done);

		if (!load) {
			load = load_after(ram->loads, ram->nr_loads, phys + done);
			if (!load || load->vaddr - phys >= size)
				break;
			done = load->vaddr - phys;
		}
		if (full->loads.nr == MAX_LOADS)
			return damaged(full, "its regions are in too many places");
		skip = phys + done - load->vaddr;
		n = load->size - skip < size - done ? load->size - skip : size - done;
		*(struct load *)array_add(&full->loads, sizeof(*load)) = (struct load) {
			.vaddr = virt + done, .paddr = phys + done, .size = n,
			.offset = load->offset + skip,
		};
	}
	return true;
}

/*
 * Take the @nr pieces at @raw of a region. Each of @nr_cpus CPUs has an equal part of them; it
 * is 0 if the region is not per-CPU. Returns the size of the region, or 0 if it is damaged.
 */
static uint64_t take_pieces(struct full *full, const unsigned char *raw, uint64_t nr,
			    size_t nr_cpus)
{
	uint64_t total = 0, done = 0, size;

	for (uint64_t i = 0; i < nr; i++) {
		size = decode(full, raw + i * full->key[PIECE_SIZE] + full->key[PIECE_BYTES],
			      full->long_size);
		if (!size || size > UINT64_MAX - total)
			return damaged(full, "a piece is damaged");
		total += size;
	}
	if (nr_cpus && total % nr_cpus)
		return damaged(full, "a per-CPU region has parts of different sizes");
	for (; done < total; done += size, raw += full->key[PIECE_SIZE]) {
		struct kmemdump_note_piece *piece = array_add(&full->pieces, sizeof(*piece));
		uint64_t virt = decode(full, raw + full->key[PIECE_VIRT], full->long_size);
		uint64_t phys = decode(full, raw + full->key[PIECE_PHYS], full->phys_size);
		uint32_t cpu = nr_cpus ? full->cpus[done / (total / nr_cpus)] : KMEMDUMP_NO_CPU;

		size = decode(full, raw + full->key[PIECE_BYTES], full->long_size);
		*piece = (struct kmemdump_note_piece) {
			.vaddr = to_note64(full, virt),
			.paddr = to_note64(full, phys),
			.size = to_note64(full, size),
			.cpu = to_note32(full, cpu),
		};
		if (!add_loads(full, virt, phys, size))
			return 0;
	}
	return total;
}

/* Take the region whose entry is at @entry. */
static bool take_entry(struct full *full, uint64_t entry)
{
	bool percpu = read_int(full, member(full, entry, FLAGS), 1) & FLAG_PERCPU;
	unsigned int copy = read_int(full, member(full, entry, VERSION), 4) & 1;
	uint64_t nr = read_int(full, member(full, entry, NR_PIECES) + 4 * copy, 4);
	uint64_t max = read_int(full, member(full, entry, MAX), 4);
	uint64_t pieces = read_pointer(full, member(full, entry, PIECES));
	uint64_t pfns = read_pointer(full, member(full, entry, PFNS));
	uint64_t room = max * full->key[PIECE_SIZE], bytes = nr * full->key[PIECE_SIZE], size = 0;
	char names[2 * KMEMDUMP_NAME_LEN] = "";
	struct kmemdump_note_region *region;
	size_t first = full->pieces.nr;
	unsigned char *raw;

	if (full->why[0])
		return false;
	if (!nr || nr > max || max > MAX_PIECES)
		return damaged(full, "an entry has %u pieces, and room for %u", (uint32_t)nr,
			       (uint32_t)max);
	if (percpu && !full->nr_cpus)
		return damaged(full, "it has per-CPU regions but no CPUs");
	if (full->regions.nr == MAX_REGIONS || first + nr > MAX_PIECES)
		return damaged(full, "it is too long");
	if (full->key[NAMES] + 2 * room > full->left)
		return damaged(full, "it is larger than the dump, so parts of it are in it twice");
	full->left -= full->key[NAMES] + 2 * room;
	raw = xmalloc(bytes);
	if (read_pieces(full, pieces, pfns, copy * room, raw, bytes))
		size = take_pieces(full, raw, nr, percpu ? full->nr_cpus : 0);
	free(raw);
	if (!size)
		return false;

	region = array_add(&full->regions, sizeof(*region));
	*region = (struct kmemdump_note_region) {
		.id = to_note32(full, read_int(full, member(full, entry, ID), 4)),
		.class = to_note32(full, read_int(full, member(full, entry, CLASS), 1)),
		.state = to_note32(full, KMEMDUMP_STATE_OK),
		.first_piece = to_note32(full, first),
		.nr_pieces = to_note32(full, nr),
		.percpu_size = to_note32(full, percpu ? size / full->nr_cpus : 0),
		/* There is no checksum, as the kernel did nothing at the crash. */
		.flags = to_note32(full, KMEMDUMP_REGION_VOLATILE),
		.size = to_note64(full, size),
	};
	/* The names may go on after the end of the dump: a region is of use without them. */
	core_read(&full->ram, member(full, entry, NAMES), names, sizeof(names) - 1);
	copy_name(region->name, names, sizeof(region->name));
	copy_name(region->owner, names + strlen(region->name) + 1, sizeof(region->owner));
	return !full->why[0];
}

/*
 * Take all entries by following @next, which is right even if the kernel was changing the list at
 * the crash. @prev may be wrong then, except in the first entry, where it always leads to the
 * head. That is how the virtual address of the head is found, as the head may be outside of the
 * linear map.
 */
static bool take_entries(struct full *full)
{
	uint64_t node = read_pointer(full, full->key[ENTRIES] + full->key[NEXT]);
	uint64_t head = read_pointer(full, member(full, node, PREV));

	while (!full->why[0] && node != head && take_entry(full, node - full->key[LIST]))
		node = read_pointer(full, member(full, node, NEXT));
	return !full->why[0] && (full->regions.nr || damaged(full, "it is empty"));
}

static bool load_cpus(struct full *full)
{
	unsigned int bits = 8 * full->long_size;
	unsigned char mask[MAX_CPUS / 8];

	if (!read_phys(full, full->key[CPUS], mask,
		       (full->key[CPU_BITS] + bits - 1) / bits * full->long_size))
		return false;
	full->cpus = xmalloc(full->key[CPU_BITS] * sizeof(*full->cpus));
	for (uint32_t cpu = 0; cpu < full->key[CPU_BITS]; cpu++)
		if (decode(full, mask + cpu / bits * full->long_size, full->long_size) >>
		    cpu % bits & 1)
			full->cpus[full->nr_cpus++] = cpu;
	return true;
}

/* Set up @full->ram, which finds the memory of the dump by physical address. */
static void load_ram(struct full *full)
{
	const struct core *core = full->core;
	struct load *loads = xmalloc(core->nr_loads * sizeof(*loads));

	for (size_t i = 0; i < core->nr_loads; i++) {
		loads[i] = core->loads[i];
		loads[i].vaddr = loads[i].paddr;
	}
	full->ram = *core;
	core_set_loads(&full->ram, loads, core->nr_loads);
}

/* Whether a member of @size bytes at the offset @key is inside of a piece. */
static bool in_piece(const struct full *full, enum key key, unsigned int size)
{
	return full->key[key] + size <= full->key[PIECE_SIZE];
}

/* Load what VMCOREINFO says about the list, and check that it makes sense. */
static bool load_keys(struct full *full)
{
	uint64_t *key = full->key;
	GElf_Ehdr ehdr;

	for (enum key i = 0; i < NR_KEYS; i++) {
		uint64_t max = i < CPU_BITS ? UINT64_MAX : i == CPU_BITS ? MAX_CPUS :
			       i == PAGE ? MAX_PAGE : MAX_OFFSET;
		bool found = core_vmcoreinfo(full->core, keys[i], i < CPU_BITS ? 16 : 10, &key[i]);

		/* Other kernels have no such list. */
		if (!found && i == ENTRIES)
			return false;
		if (!found || key[i] > max)
			return damaged(full, found ? "VMCOREINFO has a %s that can't be" :
						     "VMCOREINFO has no %s", keys[i]);
	}
	full->long_size = key[PREV] - key[NEXT];
	full->phys_size = key[PIECE_BYTES] - key[PIECE_PHYS];
	if (gelf_getehdr(full->core->elf, &ehdr) && ehdr.e_machine == EM_AARCH64)
		full->pointer_bits = 0xffULL << 56;
	return ((full->long_size == 4 || full->long_size == 8) &&
		(full->phys_size == 4 || full->phys_size == 8) && key[PAGE] >= MIN_PAGE &&
		key[PIECE_SIZE] <= MAX_PIECE_SIZE &&
		in_piece(full, PIECE_VIRT, full->long_size) &&
		in_piece(full, PIECE_BYTES, full->long_size)) ||
	       damaged(full, "what VMCOREINFO says of its layout can't be");
}

/* Make the note as the kernel would have written it. */
static void make_note(struct full *full)
{
	size_t regions = full->regions.nr * sizeof(struct kmemdump_note_region);
	size_t pieces = full->pieces.nr * sizeof(struct kmemdump_note_piece);
	struct core *core = full->core;
	struct kmemdump_note head = {
		.version	= to_note32(full, KMEMDUMP_VERSION),
		.header_size	= to_note32(full, sizeof(head)),
		.region_size	= to_note32(full, sizeof(struct kmemdump_note_region)),
		.nr_regions	= to_note32(full, full->regions.nr),
		.piece_size	= to_note32(full, sizeof(struct kmemdump_note_piece)),
		.nr_pieces	= to_note32(full, full->pieces.nr),
		.cpu_size	= to_note32(full, sizeof(struct kmemdump_note_cpu)),
	};
	unsigned char *note = xmalloc(sizeof(head) + regions + pieces);

	memcpy(note, &head, sizeof(head));
	memcpy(note + sizeof(head), full->regions.data, regions);
	memcpy(note + sizeof(head) + regions, full->pieces.data, pieces);
	core->made_note = note;
	core->regions.desc = note;
	core->regions.size = sizeof(head) + regions + pieces;
}

/*
 * Give @core the kernel's list of regions, if the dump tells where it is. Returns why there is
 * none, or NULL.
 */
const char *full_load(struct core *core)
{
	struct full full = { .core = core, .left = image_total(core->image) };
	static char why[200];
	bool good = false;

	if (load_keys(&full)) {
		load_ram(&full);
		good = load_cpus(&full) && take_entries(&full);
	}
	if (good) {
		make_note(&full);
		free(core->loads);
		core_set_loads(core, full.loads.data, full.loads.nr);
	} else {
		free(full.loads.data);
	}
	free(full.ram.loads);
	free(full.cpus);
	free(full.regions.data);
	free(full.pieces.data);
	if (good)
		return NULL;
	if (!full.why[0])
		return "has no list of regions";
	snprintf(why, sizeof(why), "the kernel's list of regions: %s", full.why);
	return why;
}
