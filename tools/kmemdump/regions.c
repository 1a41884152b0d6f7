// SPDX-License-Identifier: GPL-2.0-only
/* The regions that the KMEMDUMP note lists, and how much of each is there. */
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "reader.h"

/* The tables of the note, checked to lie within it. */
struct tables {
	const unsigned char *regions;
	size_t region_size;
	size_t nr_regions;
	const unsigned char *segments;
	size_t segment_size;
	size_t nr_segments;
	const unsigned char *cpus;
	size_t cpu_size;
	size_t nr_cpus;
	uint32_t left_out;
};

/* Whether a table of @nr entries of @size bytes fits what is left; *@end is behind it. */
static bool take_table(uint64_t *left, const unsigned char *start, size_t size, size_t nr,
		       const unsigned char **end)
{
	uint64_t bytes = (uint64_t)size * nr;

	if (bytes > *left)
		return false;
	*left -= bytes;
	*end = start + bytes;
	return true;
}

static bool find_tables(const struct core *core, struct tables *t)
{
	const struct note *note = &core->regions;
	const unsigned char *end;
	struct kmemdump_note head;
	uint64_t header_size, left;

	if (note->size < sizeof(head))
		return false;
	memcpy(&head, note->desc, sizeof(head));
	if (core_u32(core, &head.version) != KMEMDUMP_VERSION)
		return false;
	header_size = core_u32(core, &head.header_size);
	t->region_size = core_u32(core, &head.region_size);
	t->nr_regions = core_u32(core, &head.nr_regions);
	t->segment_size = core_u32(core, &head.segment_size);
	t->nr_segments = core_u32(core, &head.nr_segments);
	t->cpu_size = core_u32(core, &head.cpu_size);
	t->nr_cpus = core_u32(core, &head.nr_cpus);
	t->left_out = core_u32(core, &head.nr_left_out);
	if (header_size < sizeof(head) || header_size > note->size ||
	    t->region_size < sizeof(struct kmemdump_note_region) ||
	    t->segment_size < sizeof(struct kmemdump_note_segment) ||
	    t->cpu_size < sizeof(struct kmemdump_note_cpu))
		return false;
	left = note->size - header_size;
	t->regions = note->desc + header_size;
	return take_table(&left, t->regions, t->region_size, t->nr_regions, &t->segments) &&
	       take_table(&left, t->segments, t->segment_size, t->nr_segments, &t->cpus) &&
	       take_table(&left, t->cpus, t->cpu_size, t->nr_cpus, &end);
}

static struct kmemdump_note_segment get_segment(const struct core *core, const struct tables *t,
						size_t index)
{
	const unsigned char *p = t->segments + index * t->segment_size;

	return (struct kmemdump_note_segment) {
		.vaddr = core_u64(core, p + offsetof(struct kmemdump_note_segment, vaddr)),
		.paddr = core_u64(core, p + offsetof(struct kmemdump_note_segment, paddr)),
		.size = core_u64(core, p + offsetof(struct kmemdump_note_segment, size)),
		.cpu = core_u32(core, p + offsetof(struct kmemdump_note_segment, cpu)),
	};
}

static bool parse_region(const struct core *core, const struct tables *t, size_t index,
			 struct region *region)
{
	struct kmemdump_note_region raw;
	struct kmemdump_note_segment seg;
	uint64_t sum = 0;

	memcpy(&raw, t->regions + index * t->region_size, sizeof(raw));
	*region = (struct region) {
		.id		= core_u32(core, &raw.id),
		.class		= core_u32(core, &raw.class),
		.size		= core_u64(core, &raw.size),
		.first_segment	= core_u32(core, &raw.first_segment),
		.nr_segments	= core_u32(core, &raw.nr_segments),
		.percpu_size	= core_u32(core, &raw.percpu_size),
		.checksum	= core_u64(core, &raw.checksum),
		.is_volatile	= core_u32(core, &raw.flags) & KMEMDUMP_REGION_VOLATILE,
	};
	copy_name(region->name, raw.name, sizeof(region->name));
	copy_name(region->owner, raw.owner, sizeof(region->owner));
	switch (core_u32(core, &raw.state)) {
	case KMEMDUMP_STATE_OK:
		region->state = REGION_OK;
		break;
	case KMEMDUMP_STATE_GONE:
		region->state = REGION_GONE;
		break;
	default:
		region->state = REGION_BAD;
	}

	if (!region->nr_segments || region->first_segment > t->nr_segments ||
	    region->nr_segments > t->nr_segments - region->first_segment)
		return false;
	for (uint32_t i = 0; i < region->nr_segments; i++) {
		seg = get_segment(core, t, region->first_segment + i);
		if (!seg.size || seg.size > UINT64_MAX - sum)
			return false;
		sum += seg.size;
	}
	seg = get_segment(core, t, region->first_segment);
	region->vaddr = seg.vaddr;
	region->paddr = seg.paddr;
	return sum == region->size && (!region->percpu_size || !(sum % region->percpu_size));
}

/*
 * Go over what the dump has of @region, in pieces: into @buf if that is not
 * NULL, into @hash if that is not. Returns the number of bytes up to the first
 * that is missing, and counts all that are there in *@have.
 */
static uint64_t walk_region(const struct core *core, const struct region *region,
			    unsigned char *buf, XXH64_state_t *hash, uint64_t *have)
{
	unsigned char piece[4096];
	uint64_t whole = 0;
	bool gap = false;
	struct tables t;

	*have = 0;
	if (!find_tables(core, &t))
		return 0;
	for (uint32_t i = 0; i < region->nr_segments; i++) {
		struct kmemdump_note_segment seg = get_segment(core, &t, region->first_segment + i);
		uint64_t pos = 0;

		while (pos < seg.size) {
			uint64_t left = seg.size - pos, got;

			got = core_read(core, seg.vaddr + pos, piece,
					left < sizeof(piece) ? left : sizeof(piece));
			if (!got) {
				/* Pieces are lost as pages or more; no need to look closer. */
				gap = true;
				got = sizeof(piece) - (seg.vaddr + pos) % sizeof(piece);
				pos += got < left ? got : left;
				continue;
			}
			if (!gap) {
				if (buf)
					memcpy(buf + whole, piece, got);
				whole += got;
			}
			if (hash)
				XXH64_update(hash, piece, got);
			*have += got;
			pos += got;
		}
	}
	return whole;
}

static void examine_region(const struct core *core, struct region *region)
{
	XXH64_state_t *hash;

	if (region->state == REGION_GONE)
		return;
	hash = XXH64_createState();
	if (!hash)
		die("out of memory");
	XXH64_reset(hash, 0);
	walk_region(core, region, NULL, hash, &region->have);
	if (!region->have)
		region->state = REGION_MISSING;
	else if (region->have < region->size)
		region->state = REGION_CUT;
	else if (region->state == REGION_OK && !region->is_volatile)
		region->verdict = XXH64_digest(hash) == region->checksum ? CHECKSUM_GOOD :
									   CHECKSUM_WRONG;
	if (region->verdict == CHECKSUM_WRONG)
		region->state = REGION_CORRUPT;
	XXH64_freeState(hash);
}

/* Load the list of regions; its length. */
size_t regions_load(const struct core *core, struct region **regions)
{
	uint64_t bytes = 0, segments = 0;
	struct tables t;

	if (!core->regions.desc)
		die("%s: has no list of regions", core->image->path);
	if (!find_tables(core, &t) || !t.nr_regions)
		die("%s: its list of regions is damaged or of another version", core->image->path);

	*regions = xmalloc(t.nr_regions * sizeof(**regions));
	for (size_t i = 0; i < t.nr_regions; i++) {
		struct region *region = &(*regions)[i];

		segments += core_u32(core, t.regions + i * t.region_size +
				     offsetof(struct kmemdump_note_region, nr_segments));
		/* Each segment has one region. */
		if (segments > t.nr_segments || !parse_region(core, &t, i, region))
			die("%s: entry %zu of its list of regions is damaged",
			    core->image->path, i);
		/* Regions may share memory, but a forged list must not keep us busy. */
		bytes += region->size;
		if (region->size > REGION_MAX || bytes > REGIONS_MAX)
			die("%s: the sizes in its list of regions can't be",
			    core->image->path);
		examine_region(core, region);
	}
	return t.nr_regions;
}

/* Load the list of CPUs; its length. */
size_t cpus_load(const struct core *core, struct cpu **cpus, uint32_t *left_out)
{
	struct tables t;

	*left_out = 0;
	*cpus = NULL;
	if (!find_tables(core, &t))
		return 0;
	*left_out = t.left_out;
	*cpus = xmalloc(t.nr_cpus * sizeof(**cpus));
	for (size_t i = 0; i < t.nr_cpus; i++) {
		const unsigned char *p = t.cpus + i * t.cpu_size;

		(*cpus)[i] = (struct cpu) {
			.cpu = core_u32(core, p + offsetof(struct kmemdump_note_cpu, cpu)),
			.state = core_u32(core, p + offsetof(struct kmemdump_note_cpu, state)),
			.pid = core_u32(core, p + offsetof(struct kmemdump_note_cpu, pid)),
		};
	}
	return t.nr_cpus;
}

/* Copy a region to @buf, which has room for it; how many bytes are there from the first on. */
uint64_t region_read(const struct core *core, const struct region *region, void *buf)
{
	uint64_t have;

	return walk_region(core, region, buf, NULL, &have);
}

/* Where what @cpu has of a per-CPU region starts in it. */
bool region_find_cpu(const struct core *core, const struct region *region, uint32_t cpu,
		     uint64_t *offset)
{
	uint64_t sum = 0;
	struct tables t;

	if (!region->percpu_size || !find_tables(core, &t))
		return false;
	for (uint32_t i = 0; i < region->nr_segments; i++) {
		struct kmemdump_note_segment seg = get_segment(core, &t, region->first_segment + i);

		if (seg.cpu == cpu) {
			*offset = sum;
			return region->percpu_size <= region->size - sum;
		}
		sum += seg.size;
	}
	return false;
}

const char *region_state_name(enum region_state state)
{
	static const char * const names[] = {
		[REGION_OK]		= "ok",
		[REGION_BAD]		= "bad",
		[REGION_GONE]		= "gone",
		[REGION_CUT]		= "cut",
		[REGION_MISSING]	= "missing",
		[REGION_CORRUPT]	= "corrupt",
	};

	return names[state];
}

const char *region_checksum_name(enum region_checksum verdict)
{
	static const char * const names[] = {
		[CHECKSUM_NONE]		= "none",
		[CHECKSUM_GOOD]		= "good",
		[CHECKSUM_WRONG]	= "wrong",
	};

	return names[verdict];
}

const char *cpu_state_name(uint32_t state)
{
	static const char * const names[] = {
		[KMEMDUMP_CPU_CRASHED]	= "crashed",
		[KMEMDUMP_CPU_STOPPED]	= "stopped",
		[KMEMDUMP_CPU_LOST]	= "lost",
		[KMEMDUMP_CPU_RUNNING]	= "running",
	};

	return state < sizeof(names) / sizeof(*names) ? names[state] : "unknown";
}

const char *region_class_name(uint32_t class)
{
	static const char * const names[] = {
		[KMEMDUMP_CLASS_LOG]	= "log",
		[KMEMDUMP_CLASS_CORE]	= "core",
		[KMEMDUMP_CLASS_DRIVER]	= "driver",
		[KMEMDUMP_CLASS_ADMIN]	= "admin",
	};

	return class < sizeof(names) / sizeof(*names) ? names[class] : "unknown";
}
