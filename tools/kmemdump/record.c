// SPDX-License-Identifier: GPL-2.0-only
/*
 * From a file to the bytes of a core image.
 *
 * The frames of a record say where each piece belongs, so a damaged piece
 * costs only itself: look for the next good frame and go on from there.
 */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>
#include <zstd.h>

#include "reader.h"

/* One good frame of a record. */
struct frame {
	unsigned int type;
	uint32_t flags;
	uint64_t record_id;
	uint64_t offset;
	uint64_t length;
	uint64_t time;
	const unsigned char *next;	/* what follows it in the file */
};

struct frames {
	struct frame *frame;
	size_t nr;
	size_t max;
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
	/* Of another version may also be what an older kernel left behind a torn end. */
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

/* Count a place that is no good, and tell the first few. */
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
		frames->frame = realloc(frames->frame, frames->max * sizeof(*frame));
		if (!frames->frame)
			die("out of memory for %zu frames", frames->max);
	}
	frames->frame[frames->nr++] = *frame;
}

/*
 * Collect the frames of the record that starts in @data. Behind its COMMIT, or
 * behind the torn end of it, may stand what an older record left.
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
			const unsigned char *from = p;

			/* Find the next good frame of this record. */
			do {
				p = p + 1 < end ? memchr(p + 1, KMEMDUMP_SKIPPABLE & 0xff,
							 end - p - 1) : NULL;
			} while (p && !(parse_frame(p, end - p, &frame) &&
					(!id || frame.record_id == id)));
			if (!p) {
				damage(&frames->nr_damaged, "nothing usable from byte %td on",
				       from - data);
				return;
			}
			damage(&frames->nr_damaged, "bytes %td to %td are damaged",
			       from - data, p - data - 1);
			continue;
		}

		add_frame(frames, &frame);
		p = frame.next;
		if (frame.type == KMEMDUMP_FRAME_COMMIT)
			return;
		if (frame.type == KMEMDUMP_FRAME_DATA) {
			/* @time is the size of the zstd frame; a tail may be cut off. */
			if (frame.time > (uint64_t)(end - p)) {
				damage(&frames->nr_damaged, "the file ends inside a frame");
				frames->nr--;
				return;
			}
			p += frame.time;
		}
	}
}

static int cmp_range(const void *a, const void *b)
{
	const struct range *x = a, *y = b;

	return x->start < y->start ? -1 : x->start > y->start;
}

/* Sort and join the ranges that are there. */
static void settle_ranges(struct image *image)
{
	size_t out = 0;

	if (!image->nr_have)
		return;
	qsort(image->have, image->nr_have, sizeof(*image->have), cmp_range);
	for (size_t i = 1; i < image->nr_have; i++) {
		if (image->have[i].start < image->have[out].end)
			damage(&image->nr_damaged, "two frames claim the same bytes");
		if (image->have[i].start <= image->have[out].end) {
			if (image->have[i].end > image->have[out].end)
				image->have[out].end = image->have[i].end;
		} else {
			image->have[++out] = image->have[i];
		}
	}
	image->nr_have = out + 1;
}

static void unpack(struct image *image, const struct frames *frames)
{
	unsigned char *piece = xmalloc(KMEMDUMP_FRAME_MAX);

	image->have = xmalloc(frames->nr * sizeof(*image->have));
	for (size_t i = 0; i < frames->nr; i++) {
		const struct frame *frame = &frames->frame[i];
		size_t got;

		progress("unpacking", i + 1, frames->nr);
		if (frame->type != KMEMDUMP_FRAME_DATA)
			continue;
		if (frame->length > KMEMDUMP_FRAME_MAX || frame->offset > image->size ||
		    frame->length > image->size - frame->offset) {
			damage(&image->nr_damaged, "a frame claims bytes outside of the image");
			continue;
		}
		/* Not in place: a bad frame must not spoil what a good one put there. */
		got = ZSTD_decompress(piece, frame->length, frame->next, frame->time);
		if (ZSTD_isError(got) || got != frame->length) {
			damage(&image->nr_damaged,
			       "the frame of image bytes %llu to %llu is damaged",
			       (unsigned long long)frame->offset,
			       (unsigned long long)(frame->offset + frame->length - 1));
			continue;
		}
		memcpy(image->data + frame->offset, piece, frame->length);
		image->have[image->nr_have++] = (struct range) {
			frame->offset, frame->offset + frame->length
		};
	}
	free(piece);
	settle_ranges(image);
}

/* Whether the record holds what its COMMIT says, and that fits its HEADER. */
static bool commit_holds(const struct image *image, const struct frame *commit)
{
	return commit->length == image->size && commit->offset == image_total(image) &&
	       image_have(image, 0, image->size) == commit->offset &&
	       (commit->flags & KMEMDUMP_COMMIT_PARTIAL || commit->offset == image->size);
}

/* A file, or memory if there is none, that may be written to and is not. */
static void *map(size_t size, int fd)
{
	int flags = MAP_PRIVATE | MAP_NORESERVE | (fd < 0 ? MAP_ANONYMOUS : 0);

	return mmap(NULL, size, PROT_READ | PROT_WRITE, flags, fd, 0);
}

static void open_record(struct image *image, const unsigned char *data, size_t size)
{
	const struct frame *header = NULL, *commit = NULL;
	struct frames frames = { 0 };
	uint64_t top = 0;

	scan(&frames, data, size);
	for (size_t i = 0; i < frames.nr; i++) {
		const struct frame *frame = &frames.frame[i];

		if (frame->type == KMEMDUMP_FRAME_HEADER && !header)
			header = frame;
		else if (frame->type == KMEMDUMP_FRAME_COMMIT)
			commit = frame;
		else if (frame->type == KMEMDUMP_FRAME_DATA &&
			 frame->length <= KMEMDUMP_FRAME_MAX && frame->offset < IMAGE_MAX &&
			 frame->offset + frame->length > top)
			top = frame->offset + frame->length;
	}

	if (!header)
		damage(&frames.nr_damaged, "the header is damaged");
	image->size = header ? header->length : commit ? commit->length : top;
	image->time = header ? header->time : commit ? commit->time : 0;
	if (!image->size || image->size > IMAGE_MAX)
		die("%s: an image of %llu bytes is no image", image->path,
		    (unsigned long long)image->size);
	if (!commit)
		image->state = RECORD_TORN;
	else if (commit->flags & KMEMDUMP_COMMIT_PARTIAL)
		image->state = RECORD_PARTIAL;
	else
		image->state = RECORD_COMPLETE;
	image->nr_damaged = frames.nr_damaged;

	image->data = map(image->size, -1);
	if (image->data == MAP_FAILED)
		die("out of memory for an image of %llu bytes", (unsigned long long)image->size);
	unpack(image, &frames);
	if (commit && !image->nr_damaged && !commit_holds(image, commit))
		damage(&image->nr_damaged, "the record does not hold what its end mark says");
	free(frames.frame);
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

/* Read a file of @size bytes into new memory. */
static unsigned char *read_file(const char *path, int fd, size_t size)
{
	unsigned char *data;
	size_t done = 0;
	ssize_t n = 1;

	/* A dump of all memory may be larger than that of this machine. */
	if (size > IMAGE_MAX)
		die("%s: too large to be read in place; copy it to a disk", path);
	data = map(size, -1);
	if (data == MAP_FAILED)
		die("%s: out of memory for %zu bytes", path, size);
	for (; done < size && n > 0; done += n) {
		n = read(fd, data + done, size - done);
		if (n < 0)
			die("%s: %s", path, strerror(errno));
	}
	if (done < size)
		die("%s: ends after %zu of %zu bytes", path, done, size);
	return data;
}

/* Map a file, which a writer may go on with in memory; its size. */
size_t map_file(const char *path, unsigned char **data)
{
	struct stat st;
	int fd;

	/* Whoever made a folder of files must not have us wait on a pipe. */
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0 || fstat(fd, &st))
		die("%s: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode))
		die("%s: not a regular file", path);
	if (!st.st_size)
		die("%s: is empty", path);
	*data = map(st.st_size, fd);
	/* Files of pstore can't be mapped, and /proc/vmcore not for writing. */
	if (*data == MAP_FAILED)
		*data = read_file(path, fd, st.st_size);
	close(fd);
	return st.st_size;
}

void image_open(struct image *image, const char *path)
{
	unsigned char *data;
	size_t size;

	*image = (struct image) { .path = path };
	size = map_file(path, &data);
	if (size >= SELFMAG && !memcmp(data, ELFMAG, SELFMAG)) {
		image->state = RECORD_ELF;
		image->data = data;
		image->size = size;
		image->have = xmalloc(sizeof(*image->have));
		image->have[0] = (struct range) { 0, size };
		image->nr_have = 1;
		return;
	}
	if (!has_frame(data, size))
		die("%s: neither a kmemdump record nor an ELF core", path);
	open_record(image, data, size);
	munmap(data, size);
}

/* A part of a record, and where the frames in it belong. */
struct part {
	const char *path;
	unsigned char *data;
	size_t size;
	size_t index;		/* among those given */
	unsigned int rank;	/* 0: has the header, 1: neither, 2: has the commit */
	uint64_t offset;	/* of its first data frame */
};

/* A part that lies within one frame can't be placed: it follows @last. */
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
 * Open a record that is in @nr files, in any order. What they hold tells where
 * they belong, so they may have been cut anywhere, also inside of a frame. Only
 * one without the start of a frame has to follow the one that it continues.
 */
void image_assemble(struct image *image, char **paths, size_t nr)
{
	struct part *parts = xmalloc(nr * sizeof(*parts));
	unsigned char *all;
	size_t size = 0;

	for (size_t i = 0; i < nr; i++) {
		parts[i].path = paths[i];
		parts[i].size = map_file(paths[i], &parts[i].data);
		if (size > SIZE_MAX - parts[i].size)
			die("%s: too much", paths[i]);
		size += parts[i].size;
		parts[i].index = i;
		rank_part(&parts[i], i ? &parts[i - 1] : NULL);
	}
	qsort(parts, nr, sizeof(*parts), cmp_part);

	all = xmalloc(size);
	size = 0;
	for (size_t i = 0; i < nr; i++) {
		memcpy(all + size, parts[i].data, parts[i].size);
		size += parts[i].size;
		munmap(parts[i].data, parts[i].size);
	}
	*image = (struct image) { .path = parts[0].path };
	open_record(image, all, size);
	free(all);
	free(parts);
}

void image_close(struct image *image)
{
	munmap(image->data, image->size);
	free(image->have);
}

/* How many of the @size bytes from @offset on are there, counted from the first. */
uint64_t image_have(const struct image *image, uint64_t offset, uint64_t size)
{
	size_t low = 0, high = image->nr_have;
	uint64_t left;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (image->have[mid].start <= offset)
			low = mid + 1;
		else
			high = mid;
	}
	if (!low || offset >= image->have[low - 1].end)
		return 0;
	left = image->have[low - 1].end - offset;
	return size < left ? size : left;
}

/* How many bytes of the image are there in all. */
uint64_t image_total(const struct image *image)
{
	uint64_t total = 0;

	for (size_t i = 0; i < image->nr_have; i++)
		total += image->have[i].end - image->have[i].start;
	return total;
}
