// SPDX-License-Identifier: GPL-2.0-only
/*
 * Read a record, which the kernel wrote at panic, from one file or from several.
 *
 * A skippable frame before each data frame says where in the image the data belongs. So after
 * a damaged place, this file looks for the next good frame and goes on from there.
 */
#include <endian.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <xxhash.h>
#include <zstd.h>

#include "reader.h"

/* Bounds for the data frames of a record, and for the bytes of damaged ones that are unpacked. */
#define FRAMES_MAX	(IMAGE_MAX / 4096)
#define WASTE_MAX	(64 << 20)

/* A frame whose header is good. */
struct frame {
	unsigned int type;
	uint32_t flags;
	uint64_t record_id;
	uint64_t offset;
	uint64_t length;
	uint64_t time;
	const unsigned char *next;	/* what comes after it in the file */
};

struct frames {
	struct frame *frame;		/* the data frames */
	size_t nr;
	size_t max;
	bool has_header;
	bool has_commit;
	struct frame header;
	struct frame commit;
	unsigned int nr_damaged;
};

static bool parse_frame(const unsigned char *p, size_t left, struct frame *frame)
{
	struct kmemdump_frame raw;

	if (left < sizeof(raw))
		return false;
	memcpy(&raw, p, sizeof(raw));
	if (le32toh(raw.skip_magic) != KMEMDUMP_SKIPPABLE ||
	    le32toh(raw.skip_size) != sizeof(raw) - 8 ||
	    memcmp(raw.magic, KMEMDUMP_MAGIC, sizeof(raw.magic)) ||
	    le64toh(raw.checksum) != XXH64(p, offsetof(struct kmemdump_frame, checksum), 0))
		return false;
	/* After a torn end, there may still be frames of an older kernel with another version. */
	if (le16toh(raw.version) != KMEMDUMP_VERSION || !raw.record_id)
		return false;

	*frame = (struct frame) {
		.type		= le16toh(raw.type),
		.flags		= le32toh(raw.flags),
		.record_id	= le64toh(raw.record_id),
		.offset		= le64toh(raw.offset),
		.length		= le64toh(raw.length),
		.time		= le64toh(raw.time),
		.next		= p + sizeof(raw),
	};
	return true;
}

/* Count a damaged place. Only the first few get a message each. */
static void __printf(2, 3) damage(unsigned int *count, const char *fmt, ...)
{
	char text[200];
	va_list args;

	if (++*count > 20)
		return;
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	warn("%s%s", text, *count == 20 ? " (and so on)" : "");
}

static void add_frame(struct frames *frames, const struct frame *frame)
{
	if (frames->nr == frames->max) {
		frames->max = frames->max ? 2 * frames->max : 64;
		frames->frame = xrealloc(frames->frame, frames->max, sizeof(*frame));
	}
	frames->frame[frames->nr++] = *frame;
}

/* The next good frame after @p of the record @id, or of any one if @id is 0; NULL without one. */
static const unsigned char *find_frame(const unsigned char *p, const unsigned char *end,
				       uint64_t id)
{
	struct frame frame;

	do {
		p = p + 1 < end ? memchr(p + 1, KMEMDUMP_SKIPPABLE & 0xff, end - p - 1) : NULL;
	} while (p && !(parse_frame(p, end - p, &frame) && (!id || frame.record_id == id)));
	return p;
}

/*
 * Collect the frames of the record that starts in @data. After its COMMIT, or after its torn
 * end, there may be frames of an older record, which have another record id.
 */
static void scan(struct frames *frames, const unsigned char *data, size_t size)
{
	const unsigned char *p = data, *end = data + size;
	uint64_t id = 0;

	while (p < end) {
		struct frame frame;
		bool good = parse_frame(p, end - p, &frame);

		if (good && !id)
			id = frame.record_id;
		if (!good || frame.record_id != id) {
			const unsigned char *next = find_frame(p, end, id);

			if (!next) {
				damage(&frames->nr_damaged, "nothing usable from byte %td on",
				       p - data);
				return;
			}
			damage(&frames->nr_damaged, "bytes %td to %td are damaged", p - data,
			       next - data - 1);
			p = next;
			continue;
		}

		p = frame.next;
		if (frame.type == KMEMDUMP_FRAME_HEADER && !frames->has_header) {
			frames->has_header = true;
			frames->header = frame;
		}
		if (frame.type == KMEMDUMP_FRAME_COMMIT) {
			frames->has_commit = true;
			frames->commit = frame;
			return;
		}
		if (frame.type == KMEMDUMP_FRAME_DATA) {
			/* @time is the size of the zstd frame, whose end may be cut off. */
			if (frame.time > (uint64_t)(end - p)) {
				damage(&frames->nr_damaged, "the file ends inside a frame");
				return;
			}
			if (frames->nr == FRAMES_MAX) {
				damage(&frames->nr_damaged, "it has too many frames");
				return;
			}
			add_frame(frames, &frame);
			p += frame.time;
		}
	}
}

static int cmp_frame(const void *a, const void *b)
{
	const struct frame *x = a, *y = b;

	if (x->offset != y->offset)
		return x->offset < y->offset ? -1 : 1;
	return x->next < y->next ? -1 : x->next > y->next;
}

static bool fits(const struct image *image, const struct frame *frame)
{
	return frame->length && frame->length <= KMEMDUMP_FRAME_MAX &&
	       frame->offset <= image->size && frame->length <= image->size - frame->offset;
}

/*
 * Make the image from the good data frames. To find them, each frame is unpacked, except one
 * that claims the same bytes as an earlier good one. So all good frames together unpack to no
 * more than the size of the image; damaged ones have a limit of their own.
 */
static void take_frames(struct image *image, struct frames *frames)
{
	unsigned char *piece = xmalloc(KMEMDUMP_FRAME_MAX);
	uint64_t end = 0, wasted = 0;

	if (frames->nr)
		qsort(frames->frame, frames->nr, sizeof(*frames->frame), cmp_frame);
	for (size_t i = 0; i < frames->nr; i++) {
		const struct frame *frame = &frames->frame[i];
		size_t got;

		progress("unpacking", i + 1, frames->nr);
		if (!fits(image, frame)) {
			damage(&image->nr_damaged, "a frame claims bytes outside of the image");
			continue;
		}
		if (frame->offset < end) {
			damage(&image->nr_damaged, "two frames claim the same bytes");
			continue;
		}
		if (wasted > image->size + WASTE_MAX) {
			damage(&image->nr_damaged, "too many frames are damaged");
			break;
		}
		got = ZSTD_decompress(piece, frame->length, frame->next, frame->time);
		if (ZSTD_isError(got) || got != frame->length) {
			wasted += frame->length;
			damage(&image->nr_damaged,
			       "the frame of image bytes %llu to %llu is damaged",
			       (unsigned long long)frame->offset,
			       (unsigned long long)(frame->offset + frame->length - 1));
			continue;
		}
		end = frame->offset + frame->length;
		image_add(image, frame->offset, frame->length, frame->next, frame->time);
	}
	free(piece);
}

/* Whether the record has what its COMMIT says, and the COMMIT agrees with the HEADER. */
static bool commit_holds(const struct image *image, const struct frame *commit)
{
	return commit->length == image->size && commit->offset == image_total(image) &&
	       image_have(image, 0, image->size) == commit->offset &&
	       (commit->flags & KMEMDUMP_COMMIT_PARTIAL || commit->offset == image->size);
}

static bool has_frame(const unsigned char *data, size_t size)
{
	struct frame frame;
	const unsigned char *p = data, *end = data + size;

	while (p < end && (p = memchr(p, KMEMDUMP_SKIPPABLE & 0xff, end - p))) {
		if (parse_frame(p, end - p, &frame))
			return true;
		p++;
	}
	return false;
}

/* Open the record in @data, which the caller keeps as long as @image. */
void record_open(struct image *image, const unsigned char *data, size_t size)
{
	struct frames frames = { 0 };
	uint64_t top = 0;

	if (!has_frame(data, size))
		die("%s: neither a kmemdump record nor an ELF core", image->path);
	scan(&frames, data, size);
	for (size_t i = 0; i < frames.nr; i++) {
		const struct frame *frame = &frames.frame[i];

		if (frame->length <= KMEMDUMP_FRAME_MAX && frame->offset < IMAGE_MAX &&
		    frame->offset + frame->length > top)
			top = frame->offset + frame->length;
	}

	if (!frames.has_header)
		damage(&frames.nr_damaged, "the header is damaged");
	image->size = frames.has_header ? frames.header.length :
		      frames.has_commit ? frames.commit.length : top;
	image->time = frames.has_header ? frames.header.time :
		      frames.has_commit ? frames.commit.time : 0;
	if (!image->size || image->size > IMAGE_MAX)
		die("%s: an image of %llu bytes is no image", image->path,
		    (unsigned long long)image->size);
	if (!frames.has_commit)
		image->state = RECORD_TORN;
	else if (frames.commit.flags & KMEMDUMP_COMMIT_PARTIAL)
		image->state = RECORD_PARTIAL;
	else
		image->state = RECORD_COMPLETE;
	image->nr_damaged = frames.nr_damaged;

	take_frames(image, &frames);
	if (frames.has_commit && !image->nr_damaged && !commit_holds(image, &frames.commit))
		damage(&image->nr_damaged, "the record does not hold what its end mark says");
	free(frames.frame);
}

/* A file with a part of a record, and where in the record the part belongs. */
struct part {
	const char *path;
	unsigned char *data;
	size_t size;
	size_t index;		/* in the order in which the user named the files */
	unsigned int rank;	/* 0: has the header, 1: neither, 2: has the commit */
	uint64_t offset;	/* of the first data frame in it */
};

/* Find out where a part belongs. If no frame begins in it, it goes after @last. */
static void rank_part(struct part *part, const struct part *last)
{
	const unsigned char *p = part->data, *end = part->data + part->size;
	struct frame frame;
	bool found = false;

	part->rank = 1;
	part->offset = UINT64_MAX;
	while (p < end && (p = memchr(p, KMEMDUMP_SKIPPABLE & 0xff, end - p))) {
		if (!parse_frame(p, end - p, &frame)) {
			p++;
			continue;
		}
		found = true;
		if (frame.type == KMEMDUMP_FRAME_HEADER)
			part->rank = 0;
		else if (frame.type == KMEMDUMP_FRAME_COMMIT && part->rank)
			part->rank = 2;
		if (frame.type == KMEMDUMP_FRAME_DATA && frame.offset < part->offset)
			part->offset = frame.offset;
		p = frame.next;
	}
	if (found)
		return;
	if (!last)
		die("%s: has no start of a part of a kmemdump record", part->path);
	part->rank = last->rank;
	part->offset = last->offset;
}

static int cmp_part(const void *a, const void *b)
{
	const struct part *x = a, *y = b;

	if (x->rank != y->rank)
		return x->rank < y->rank ? -1 : 1;
	if (x->offset != y->offset)
		return x->offset < y->offset ? -1 : 1;
	return x->index < y->index ? -1 : x->index > y->index;
}

/*
 * Open a record that is in @nr files, in any order. The frames in a file say where it belongs,
 * even if it was cut inside of a frame. But a file in which no frame begins has to come right
 * after the file that it continues.
 */
void record_assemble(struct image *image, char **paths, size_t nr)
{
	struct part *parts = xmalloc(nr * sizeof(*parts));
	unsigned char *all;
	uint64_t size = 0;

	for (size_t i = 0; i < nr; i++) {
		parts[i].path = paths[i];
		parts[i].size = map_file(paths[i], &parts[i].data);
		size += parts[i].size;
		parts[i].index = i;
		rank_part(&parts[i], i ? &parts[i - 1] : NULL);
		/* The file is read again below, and memory may not have room for two copies. */
		munmap(parts[i].data, parts[i].size);
	}
	qsort(parts, nr, sizeof(*parts), cmp_part);

	all = map_memory(parts[0].path, size);
	size = 0;
	for (size_t i = 0; i < nr; i++) {
		read_file(parts[i].path, all + size, parts[i].size);
		size += parts[i].size;
	}
	*image = (struct image) { .path = parts[0].path };
	image_keep(image, all, size);
	record_open(image, all, size);
	free(parts);
}
