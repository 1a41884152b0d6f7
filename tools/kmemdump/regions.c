// SPDX-License-Identifier: GPL-2.0-only
/* The regions that the KMEMDUMP note lists, and how much of each is in the dump. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "reader.h"

/* The tables of the KMEMDUMP note. find_tables() has checked that they lie inside of it. */
struct tables {
	const unsigned char *regions;
	size_t region_size;
	size_t nr_regions;
	const unsigned char *pieces;
	size_t piece_size;
	size_t nr_pieces;
	const unsigned char *cpus;
	size_t cpu_size;
	size_t nr_cpus;
	uint32_t left_out;
	uint64_t time;
};

/*
 * Take a table of @nr entries of @size bytes at @start. Returns whether the *@left bytes of the
 * note have room for it; *@end is where it ends.
 */
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
	const size_t needed = offsetof(struct kmemdump_note, time);
	const struct note *note = &core->regions;
	struct kmemdump_note head = { };
	const unsigned char *end;
	uint64_t header_size, left;

	if (note->size < needed)
		return false;
	memcpy(&head, note->desc, needed);
	if (core_u32(core, &head.version) != KMEMDUMP_VERSION)
		return false;
	header_size = core_u32(core, &head.header_size);
	t->region_size = core_u32(core, &head.region_size);
	t->nr_regions = core_u32(core, &head.nr_regions);
	t->piece_size = core_u32(core, &head.piece_size);
	t->nr_pieces = core_u32(core, &head.nr_pieces);
	t->cpu_size = core_u32(core, &head.cpu_size);
	t->nr_cpus = core_u32(core, &head.nr_cpus);
	t->left_out = core_u32(core, &head.nr_left_out);
	/* The note of an older kernel has no time. */
	t->time = 0;
	if (header_size >= sizeof(head) && header_size <= note->size)
		t->time = core_u64(core, note->desc + needed);
	if (header_size < needed || header_size > note->size ||
	    t->region_size < sizeof(struct kmemdump_note_region) ||
	    t->piece_size < sizeof(struct kmemdump_note_piece) ||
	    t->cpu_size < sizeof(struct kmemdump_note_cpu))
		return false;
	left = note->size - header_size;
	t->regions = note->desc + header_size;
	return take_table(&left, t->regions, t->region_size, t->nr_regions, &t->pieces) &&
	       take_table(&left, t->pieces, t->piece_size, t->nr_pieces, &t->cpus) &&
	       take_table(&left, t->cpus, t->cpu_size, t->nr_cpus, &end);
}

static struct kmemdump_note_piece get_piece(const struct core *core, const struct tables *t,
					    size_t index)
{
	const unsigned char *p = t->pieces + index * t->piece_size;

	return (struct kmemdump_note_piece) {
		.vaddr = core_u64(core, p + offsetof(struct kmemdump_note_piece, vaddr)),
		.paddr = core_u64(core, p + offsetof(struct kmemdump_note_piece, paddr)),
		.size = core_u64(core, p + offsetof(struct kmemdump_note_piece, size)),
		.cpu = core_u32(core, p + offsetof(struct kmemdump_note_piece, cpu)),
	};
}

static bool parse_region(const struct core *core, const struct tables *t, size_t index,
			 struct region *region)
{
	struct kmemdump_note_region raw;
	struct kmemdump_note_piece piece;
	uint64_t sum = 0;

	memcpy(&raw, t->regions + index * t->region_size, sizeof(raw));
	*region = (struct region) {
		.id		= core_u32(core, &raw.id),
		.class		= core_u32(core, &raw.class),
		.size		= core_u64(core, &raw.size),
		.first_piece	= core_u32(core, &raw.first_piece),
		.nr_pieces	= core_u32(core, &raw.nr_pieces),
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

	if (!region->nr_pieces || region->first_piece > t->nr_pieces ||
	    region->nr_pieces > t->nr_pieces - region->first_piece)
		return false;
	for (uint32_t i = 0; i < region->nr_pieces; i++) {
		piece = get_piece(core, t, region->first_piece + i);
		if (!piece.size || piece.size > UINT64_MAX - sum)
			return false;
		sum += piece.size;
	}
	piece = get_piece(core, t, region->first_piece);
	region->vaddr = piece.vaddr;
	region->paddr = piece.paddr;
	return sum == region->size && (!region->percpu_size || !(sum % region->percpu_size));
}

/*
 * Compare the memory of @region with its checksum, which the kernel took at the crash. All of the
 * memory has to be in the dump.
 */
static enum region_checksum verify(const struct core *core, const struct tables *t,
				   const struct region *region)
{
	XXH64_state_t *hash = XXH64_createState();
	unsigned char buf[16384];
	enum region_checksum verdict;

	if (!hash)
		die("out of memory");
	XXH64_reset(hash, 0);
	for (uint32_t i = 0; i < region->nr_pieces; i++) {
		struct kmemdump_note_piece piece = get_piece(core, t, region->first_piece + i);
		uint64_t n;

		for (uint64_t pos = 0; pos < piece.size; pos += n) {
			uint64_t left = piece.size - pos;

			n = image_overworked(core->image) ? 0 :
			    core_read(core, piece.vaddr + pos, buf,
				      left < sizeof(buf) ? left : sizeof(buf));
			if (!n) {
				XXH64_freeState(hash);
				return CHECKSUM_SKIPPED;
			}
			XXH64_update(hash, buf, n);
		}
	}
	verdict = XXH64_digest(hash) == region->checksum ? CHECKSUM_GOOD : CHECKSUM_WRONG;
	XXH64_freeState(hash);
	return verdict;
}

static void examine_region(const struct core *core, const struct tables *t,
			   struct region *region)
{
	if (region->state == REGION_GONE)
		return;
	for (uint32_t i = 0; i < region->nr_pieces; i++) {
		struct kmemdump_note_piece piece = get_piece(core, t, region->first_piece + i);

		region->have += core_count(core, piece.vaddr, piece.size);
	}
	if (!region->have)
		region->state = REGION_MISSING;
	else if (region->have < region->size)
		region->state = REGION_CUT;
	else if (region->state == REGION_OK && !region->is_volatile)
		region->verdict = verify(core, t, region);
	if (region->verdict == CHECKSUM_WRONG)
		region->state = REGION_CORRUPT;
}

/* Format why there is no list of regions. The caller prints it after the name of the dump. */
static __printf(1, 2) const char *because(const char *fmt, ...)
{
	static char why[200];
	va_list args;

	va_start(args, fmt);
	vsnprintf(why, sizeof(why), fmt, args);
	va_end(args);
	return why;
}

/* Load the list of regions, which the caller frees. Returns why there is none, or NULL. */
const char *regions_load(struct core *core, struct region **regions, size_t *nr)
{
	const char *why = core_find_regions(core);
	uint64_t pieces = 0;
	struct tables t;

	*regions = NULL;
	*nr = 0;
	if (why)
		return why;
	if (!find_tables(core, &t) || !t.nr_regions)
		return "its list of regions is damaged or of another version";

	*regions = xmalloc(t.nr_regions * sizeof(**regions));
	for (size_t i = 0; i < t.nr_regions; i++) {
		struct region *region = &(*regions)[i];

		pieces += core_u32(core, t.regions + i * t.region_size +
				   offsetof(struct kmemdump_note_region, nr_pieces));
		/* A piece belongs to one region, so together they have no more than there are. */
		if (pieces > t.nr_pieces || !parse_region(core, &t, i, region))
			return because("entry %zu of its list of regions is damaged", i);
	}
	for (size_t i = 0; i < t.nr_regions; i++) {
		progress("verifying", i + 1, t.nr_regions);
		examine_region(core, &t, &(*regions)[i]);
	}
	*nr = t.nr_regions;
	return NULL;
}

/* When the machine crashed, in seconds since 1970, or 0 if the dump does not say so. */
uint64_t crash_time(const struct core *core)
{
	struct tables t;
	uint64_t time;

	if (find_tables(core, &t) && t.time)
		return t.time;
	return core_vmcoreinfo(core, "CRASHTIME", 10, &time) ? time : 0;
}

/* Load the list of CPUs, which the caller frees. Returns the number of them. */
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

/*
 * Call @use for the bytes of @region from @start to @end, some at a time. End at the first byte
 * that is not in the dump. Returns the number of bytes before that.
 */
uint64_t region_read(const struct core *core, const struct region *region, uint64_t start,
		     uint64_t end, region_use_t *use, void *with)
{
	unsigned char buf[16384];
	uint64_t sum = 0, done = 0;
	struct tables t;

	if (!find_tables(core, &t))
		return 0;
	for (uint32_t i = 0; i < region->nr_pieces && start + done < end; i++) {
		struct kmemdump_note_piece piece = get_piece(core, &t, region->first_piece + i);

		while (start + done < end && start + done < sum + piece.size) {
			uint64_t pos = start + done - sum, left = piece.size - pos, n;

			left = left < end - start - done ? left : end - start - done;
			n = core_read(core, piece.vaddr + pos, buf,
				      left < sizeof(buf) ? left : sizeof(buf));
			if (!n)
				return done;
			if (image_overworked(core->image))
				die("%s: what it says of region %s can't be", core->image->path,
				    region->name);
			use(buf, n, with);
			done += n;
		}
		sum += piece.size;
	}
	return done;
}

/* Find where the part of @cpu starts in a per-CPU region; false if there is no such part. */
bool region_find_cpu(const struct core *core, const struct region *region, uint32_t cpu,
		     uint64_t *offset)
{
	uint64_t sum = 0;
	struct tables t;

	if (!region->percpu_size || !find_tables(core, &t))
		return false;
	for (uint32_t i = 0; i < region->nr_pieces; i++) {
		struct kmemdump_note_piece piece = get_piece(core, &t, region->first_piece + i);

		if (piece.cpu == cpu) {
			*offset = sum;
			return region->percpu_size <= region->size - sum;
		}
		sum += piece.size;
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
		[CHECKSUM_SKIPPED]	= "skipped",
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
