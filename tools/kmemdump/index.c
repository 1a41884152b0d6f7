// SPDX-License-Identifier: GPL-2.0-only
/*
 * The regions of a dump of all memory, such as of kdump or FADump. It has no
 * KMEMDUMP note, but VMCOREINFO tells where in memory the kernel's own list is.
 * From that the note is made that all else works with, and a list of loads by
 * virtual address: a full dump has few of those, or none.
 */
#include <stdlib.h>
#include <string.h>

#include "reader.h"

/* Bounds for what a dump claims; what is visited has to fit into the dump besides. */
#define MAX_REGIONS	0x20000
#define MAX_SEGMENTS	0x40000
#define MAX_LOADS	0x40000
#define MAX_FAR_PAGES	0x40000
#define MAX_SEGMENT	64
#define MAX_CPUS	0x10000

/* An array that grows. */
struct array {
	void *data;
	size_t nr;
	size_t max;
};

struct far_page {
	uint64_t page;
	uint64_t pfn;
};

struct index {
	struct core *core;
	struct kmemdump_index at;	/* in our byte order */
	struct load *ram;		/* by physical address, which is in @vaddr here */
	size_t nr_ram;
	struct array far_pages;
	struct array cpus;
	struct array regions;
	struct array segments;
	struct array loads;
	/*
	 * Bytes of the dump that nothing was found in yet. The list is a tree, so nothing is in
	 * two places of it; a forged one that shares its branches would be without end.
	 */
	uint64_t left;
	const char *why;		/* it is no good */
};

/* Note the first thing that is wrong; false. */
static bool damaged(struct index *index, const char *why)
{
	if (!index->why)
		index->why = why;
	return false;
}

/* Whether there is room in the dump for @size bytes more of the list. */
static bool visit(struct index *index, uint64_t size)
{
	if (size > index->left)
		return damaged(index, "it is larger than the dump, so parts of it are in it twice");
	index->left -= size;
	return true;
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

static void array_free(struct array *array)
{
	free(array->data);
	*array = (struct array) { 0 };
}

/* Memory by address */

static bool try_phys(const struct index *index, uint64_t phys, void *buf, uint64_t size)
{
	while (size) {
		const struct load *load = load_find(index->ram, index->nr_ram, phys);
		uint64_t skip, n;

		if (!load)
			return false;
		skip = phys - load->vaddr;
		n = load->size - skip < size ? load->size - skip : size;
		n = image_read(index->core->image, load->offset + skip, buf, n);
		if (!n)
			return false;
		buf = (char *)buf + n;
		phys += n;
		size -= n;
	}
	return true;
}

static bool read_phys(struct index *index, uint64_t phys, void *buf, uint64_t size)
{
	return try_phys(index, phys, buf, size) ||
	       damaged(index, "it leads to memory that is not in the dump");
}

static int cmp_far_page(const void *a, const void *b)
{
	const struct far_page *x = a, *y = b;

	return x->page < y->page ? -1 : x->page > y->page;
}

static uint64_t to_phys(const struct index *index, uint64_t addr)
{
	struct far_page key = { .page = addr >> index->at.page_shift };
	const struct far_page *far = NULL;

	if (index->far_pages.nr)
		far = bsearch(&key, index->far_pages.data, index->far_pages.nr, sizeof(key),
			      cmp_far_page);
	if (!far)
		return addr - index->at.linear_offset;
	return (far->pfn << index->at.page_shift) + (addr & ((1ULL << index->at.page_shift) - 1));
}

static bool read_memory(struct index *index, uint64_t addr, void *buf, uint64_t size)
{
	uint64_t page = 1ULL << index->at.page_shift;

	while (size) {
		uint64_t left = page - (addr & (page - 1)), n = left < size ? left : size;

		if (!read_phys(index, to_phys(index, addr), buf, n))
			return false;
		buf = (char *)buf + n;
		addr += n;
		size -= n;
	}
	return true;
}

/* An integer of @size bytes, as it is in the dump. */
static uint64_t decode(const struct index *index, const void *p, size_t size)
{
	return size == 8 ? core_u64(index->core, p) : core_u32(index->core, p);
}

/* The same at an address; 0 if it is not there, which index->why tells. */
static uint64_t read_int(struct index *index, uint64_t addr, size_t size)
{
	unsigned char raw[8];

	return read_memory(index, addr, raw, size) ? decode(index, raw, size) : 0;
}

static uint64_t read_u8(struct index *index, uint64_t addr)
{
	uint8_t value;

	return read_memory(index, addr, &value, sizeof(value)) ? value : 0;
}

/* Pointers keep their low bits, which say what they are. */
static uint64_t decode_pointer(const struct index *index, const void *p)
{
	uint64_t value = decode(index, p, index->at.long_size);

	return value && !(value & 1) ? value | index->at.pointer_bits : value;
}

/* xarrays */

typedef bool visit_t(struct index *index, uint64_t key, uint64_t entry);

static bool is_node(uint64_t entry)
{
	return (entry & 3) == 2 && entry > 4096;
}

/* Visit all that is at and below @entry, which resolves @bits of the key. */
static bool walk_entry(struct index *index, uint64_t key, uint64_t entry, unsigned int bits,
		       visit_t *use)
{
	unsigned int node_bits = index->at.node_bits, shift;
	unsigned int long_size = index->at.long_size;
	uint64_t node = entry - 2;

	if (!entry)
		return true;
	/* Other internal entries than nodes are not for us. */
	if (!is_node(entry))
		return (entry & 3) == 2 || use(index, key, entry);
	shift = read_u8(index, node + index->at.node_shift);
	if (index->why)
		return false;
	/* Only the root may be at any level; so the depth is bounded. */
	if (bits == 64 ? shift % node_bits || shift >= 64 : shift + node_bits != bits)
		return damaged(index, "a tree is damaged");
	if (!visit(index, (uint64_t)long_size << node_bits))
		return false;
	for (uint64_t i = 0; i < 1ULL << node_bits; i++) {
		unsigned char raw[8];

		if (!read_memory(index, node + index->at.node_slots + i * long_size, raw,
				 long_size) ||
		    !walk_entry(index, key | i << shift, decode_pointer(index, raw), shift, use))
			return false;
	}
	return true;
}

/* Visit all entries of the xarray whose root is at @phys. */
static bool walk_xarray(struct index *index, uint64_t phys, visit_t *use)
{
	unsigned char raw[8];

	return read_phys(index, phys, raw, index->at.long_size) &&
	       walk_entry(index, 0, decode_pointer(index, raw), 64, use);
}

/* The list */

static bool visit_far_page(struct index *index, uint64_t key, uint64_t entry)
{
	struct far_page *far;

	if (index->far_pages.nr == MAX_FAR_PAGES)
		return damaged(index, "it is in too many pages");
	far = array_add(&index->far_pages, sizeof(*far));
	*far = (struct far_page) { .page = key, .pfn = entry >> 1 };
	return true;
}

static bool load_cpus(struct index *index)
{
	unsigned int bits = 8 * index->at.long_size;
	unsigned char raw[8];
	uint64_t word = 0;

	for (uint32_t cpu = 0; cpu < index->at.cpu_bits; cpu++) {
		if (cpu % bits == 0) {
			if (!read_phys(index, index->at.possible_cpus + cpu / 8, raw,
				       index->at.long_size))
				return false;
			word = decode(index, raw, index->at.long_size);
		}
		if (word >> cpu % bits & 1)
			*(uint32_t *)array_add(&index->cpus, sizeof(uint32_t)) = cpu;
	}
	return true;
}

/* Text of less than @size bytes; what is not in the dump of it does not matter. */
static void read_text(const struct index *index, uint64_t addr, char *text, size_t size)
{
	size_t i;

	for (i = 0; i < size - 1; i++)
		if (!try_phys(index, to_phys(index, addr + i), &text[i], 1) || !text[i])
			break;
	text[i] = '\0';
}

/* Add what the dump has of a segment to the loads. */
static bool add_loads(struct index *index, uint64_t virt, uint64_t phys, uint64_t size)
{
	uint64_t done = 0;

	while (done < size) {
		const struct load *ram = load_find(index->ram, index->nr_ram, phys + done);
		uint64_t skip, n;

		if (!ram) {
			ram = load_behind(index->ram, index->nr_ram, phys + done);
			if (!ram || ram->vaddr - phys >= size)
				break;
			done = ram->vaddr - phys;
		}
		if (index->loads.nr == MAX_LOADS)
			return damaged(index, "its regions are in too many pieces");
		skip = phys + done - ram->vaddr;
		n = ram->size - skip < size - done ? ram->size - skip : size - done;
		*(struct load *)array_add(&index->loads, sizeof(struct load)) = (struct load) {
			.vaddr = virt + done, .paddr = phys + done, .size = n,
			.offset = ram->offset + skip,
		};
		done += n;
	}
	return true;
}

/* Take a segment of an entry, of which @done bytes are in those before it. */
static bool take_segment(struct index *index, const unsigned char *raw, uint64_t done,
			 uint64_t unit)
{
	const struct kmemdump_index *at = &index->at;
	uint64_t virt = decode(index, raw + at->segment_virt, at->long_size);
	uint64_t phys = decode(index, raw + at->segment_phys, at->phys_size);
	uint64_t bytes = decode(index, raw + at->segment_bytes, at->long_size);
	uint32_t cpu = unit ? ((uint32_t *)index->cpus.data)[done / unit] : KMEMDUMP_NO_CPU;
	struct kmemdump_note_segment *seg = array_add(&index->segments, sizeof(*seg));

	*seg = (struct kmemdump_note_segment) {
		.vaddr = core_u64(index->core, &virt),
		.paddr = core_u64(index->core, &phys),
		.size = core_u64(index->core, &bytes),
		.cpu = core_u32(index->core, &cpu),
	};
	return add_loads(index, virt, phys, bytes);
}

/* Take the segments of an entry; *@size is that of all of them. */
static bool take_segments(struct index *index, uint64_t segments, uint64_t nr, bool percpu,
			  uint64_t *size)
{
	const struct kmemdump_index *at = &index->at;
	unsigned char *raw = xmalloc(nr * at->segment_size);
	bool good = read_memory(index, segments, raw, nr * at->segment_size);
	uint64_t done = 0;

	*size = 0;
	for (uint64_t i = 0; i < nr && good; i++) {
		uint64_t bytes = decode(index, raw + i * at->segment_size + at->segment_bytes,
					at->long_size);

		if (!bytes || bytes > UINT64_MAX - *size)
			good = damaged(index, "a segment is damaged");
		*size += bytes;
	}
	if (good && percpu && *size % index->cpus.nr)
		good = damaged(index, "an entry is damaged");
	for (uint64_t i = 0; i < nr && good; i++) {
		const unsigned char *at_raw = raw + i * at->segment_size;

		good = take_segment(index, at_raw, done, percpu ? *size / index->cpus.nr : 0);
		done += decode(index, at_raw + at->segment_bytes, at->long_size);
	}
	free(raw);
	return good;
}

static bool visit_region(struct index *index, uint64_t key, uint64_t entry)
{
	const struct kmemdump_index *at = &index->at;
	struct kmemdump_note_region region = { };
	uint64_t max, nr, segments, owner, size;
	bool percpu, second;
	uint32_t value;

	if (entry & 3)
		return damaged(index, "it has an entry that is none");
	if (index->regions.nr == MAX_REGIONS)
		return damaged(index, "it is too long");
	second = read_int(index, entry + at->entry_version, 4) & 1;
	nr = read_int(index, entry + at->entry_nr + 4 * second, 4);
	max = read_int(index, entry + at->entry_max, 4);
	if (index->why)
		return false;
	if (!nr || nr > max || max > MAX_SEGMENTS || index->segments.nr + nr > MAX_SEGMENTS)
		return damaged(index, "an entry is damaged");
	segments = entry + at->entry_segments + second * max * at->segment_size;
	percpu = read_u8(index, entry + at->entry_flags) & at->flag_percpu;
	if (percpu && !index->cpus.nr)
		return damaged(index, "it has per-CPU regions but no CPUs");

	value = index->segments.nr;
	region.first_segment = core_u32(index->core, &value);
	value = nr;
	region.nr_segments = core_u32(index->core, &value);
	/* Each has the two copies of its segments, and a name. */
	if (!visit(index, 2 * max * at->segment_size + 1) ||
	    !take_segments(index, segments, nr, percpu, &size))
		return false;
	region.size = core_u64(index->core, &size);
	value = percpu ? size / index->cpus.nr : 0;
	region.percpu_size = core_u32(index->core, &value);
	value = read_int(index, entry + at->entry_id, 4);
	region.id = core_u32(index->core, &value);
	value = read_u8(index, entry + at->entry_class);
	region.class = core_u32(index->core, &value);
	/* Nobody looked at them at the crash. */
	value = KMEMDUMP_STATE_OK;
	region.state = core_u32(index->core, &value);
	value = KMEMDUMP_REGION_VOLATILE;
	region.flags = core_u32(index->core, &value);

	read_text(index, entry + at->entry_segments + 2 * max * at->segment_size, region.name,
		  sizeof(region.name));
	owner = read_int(index, entry + at->entry_owner, at->long_size);
	if (index->why)
		return false;
	if (owner)
		read_text(index, owner + at->module_name, region.owner, sizeof(region.owner));
	else
		memcpy(region.owner, "kernel", sizeof("kernel"));
	*(struct kmemdump_note_region *)array_add(&index->regions, sizeof(region)) = region;
	(void)key;
	return true;
}

/* The note as the kernel would have written it. */
static void make_note(struct index *index)
{
	size_t regions = index->regions.nr * sizeof(struct kmemdump_note_region);
	size_t segments = index->segments.nr * sizeof(struct kmemdump_note_segment);
	struct core *core = index->core;
	struct kmemdump_note head = {
		.version	= KMEMDUMP_VERSION,
		.header_size	= sizeof(head),
		.region_size	= sizeof(struct kmemdump_note_region),
		.nr_regions	= index->regions.nr,
		.segment_size	= sizeof(struct kmemdump_note_segment),
		.nr_segments	= index->segments.nr,
		.cpu_size	= sizeof(struct kmemdump_note_cpu),
	};
	uint32_t *word = (uint32_t *)&head;
	unsigned char *note;

	for (size_t i = 0; i < sizeof(head) / sizeof(*word); i++)
		word[i] = core_u32(core, &word[i]);
	note = xmalloc(sizeof(head) + regions + segments);
	memcpy(note, &head, sizeof(head));
	if (regions)
		memcpy(note + sizeof(head), index->regions.data, regions);
	if (segments)
		memcpy(note + sizeof(head) + regions, index->segments.data, segments);
	array_free(&index->regions);
	array_free(&index->segments);
	core->index = note;
	core->regions.desc = note;
	core->regions.size = sizeof(head) + regions + segments;
}

static void load_ram(struct index *index)
{
	const struct core *core = index->core;

	index->ram = xmalloc(core->nr_loads * sizeof(*index->ram));
	for (size_t i = 0; i < core->nr_loads; i++) {
		index->ram[i] = core->loads[i];
		index->ram[i].vaddr = core->loads[i].paddr;
	}
	index->nr_ram = loads_flatten(index->ram, core->nr_loads);
}

static bool in_segment(const struct kmemdump_index *at, unsigned int offset, unsigned int size)
{
	return offset + size <= at->segment_size;
}

/* The index itself, checked as far as it can be by itself. */
static bool load_index(struct index *index, uint64_t phys)
{
	const struct core *core = index->core;
	struct kmemdump_index raw, *at = &index->at;
	uint16_t *to = &at->long_size, *from = &raw.long_size;

	if (!read_phys(index, phys, &raw, sizeof(raw)))
		return false;
	if (memcmp(raw.magic, KMEMDUMP_MAGIC, sizeof(raw.magic)) ||
	    core_u32(core, &raw.version) != KMEMDUMP_VERSION ||
	    core_u32(core, &raw.size) < sizeof(raw))
		return damaged(index, "it is of another version, or damaged");
	at->linear_offset = core_u64(core, &raw.linear_offset);
	at->pointer_bits = core_u64(core, &raw.pointer_bits);
	at->regions = core_u64(core, &raw.regions);
	at->far_pages = core_u64(core, &raw.far_pages);
	at->possible_cpus = core_u64(core, &raw.possible_cpus);
	at->cpu_bits = core_u32(core, &raw.cpu_bits);
	at->flag_percpu = core_u32(core, &raw.flag_percpu);
	for (; to < (uint16_t *)(at + 1); to++, from++)
		*to = core_u16(core, from);

	if ((at->long_size == 4 || at->long_size == 8) &&
	    (at->phys_size == 4 || at->phys_size == 8) &&
	    at->page_shift >= 12 && at->page_shift <= 20 &&
	    at->node_bits && at->node_bits <= 10 && at->cpu_bits <= MAX_CPUS &&
	    at->segment_size <= MAX_SEGMENT && in_segment(at, at->segment_virt, at->long_size) &&
	    in_segment(at, at->segment_phys, at->phys_size) &&
	    in_segment(at, at->segment_bytes, at->long_size))
		return true;
	return damaged(index, "it is of another version, or damaged");
}

static bool load_list(struct index *index)
{
	uint64_t phys;

	if (!core_vmcoreinfo(index->core, KMEMDUMP_INDEX_KEY, 16, &phys))
		return false;
	load_ram(index);
	if (!load_index(index, phys) || !load_cpus(index) ||
	    !walk_xarray(index, index->at.far_pages, visit_far_page))
		return false;
	if (index->far_pages.nr)
		qsort(index->far_pages.data, index->far_pages.nr, sizeof(struct far_page),
		      cmp_far_page);
	return walk_xarray(index, index->at.regions, visit_region);
}

/*
 * Give @core the list of regions of the kernel, if the dump tells where it is. Returns why there
 * is none, or NULL.
 */
const char *index_load(struct core *core)
{
	struct index index = { .core = core, .left = image_total(core->image) };
	bool good = load_list(&index);
	static char why[200];

	if (good) {
		make_note(&index);
		free(core->loads);
		core_set_loads(core, index.loads.data, index.loads.nr);
	} else {
		free(index.loads.data);
	}
	free(index.ram);
	free(index.far_pages.data);
	free(index.cpus.data);
	free(index.regions.data);
	free(index.segments.data);
	if (good)
		return NULL;
	if (!index.why)
		return "has no list of regions";
	snprintf(why, sizeof(why), "the kernel's list of regions: %s", index.why);
	return why;
}
