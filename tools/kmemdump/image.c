// SPDX-License-Identifier: GPL-2.0-only
/*
 * The bytes of a core image. They come from an ELF file, from the zstd frames of a record, or
 * from pieces of memory that firmware saved one by one.
 *
 * An image may be much larger than the file that it comes from, so it is not loaded as a whole.
 * It is a sorted list of extents, and a zstd frame is unpacked when something in it is read.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include "reader.h"

/*
 * The cache keeps as many frames unpacked as 32 MiB hold. A frame may be in any way of its set,
 * so that two frames of one set that are read in turn do not replace each other.
 */
#define CACHE_SETS	64
#define CACHE_WAYS	4

/*
 * A limit for the work on an image: a multiple of its size. A forged list of regions could make
 * the reader read the same bytes forever. Each access counts as some bytes, and unpacking a frame
 * counts as all bytes of the frame.
 */
#define WORK_FACTOR	8
#define WORK_BASE	(512ULL << 20)
#define WORK_OF_ACCESS	64

/* The unpacked frames, and when each was read last. */
struct image_cache {
	uint64_t now;
	struct cached {
		const struct extent *extent;
		unsigned char *data;
		uint64_t used;
	} set[CACHE_SETS][CACHE_WAYS];
};

/* Map the file @fd, or anonymous memory if @fd is negative. Nothing is written to the file. */
static unsigned char *map(uint64_t size, int fd)
{
	int flags = MAP_PRIVATE | MAP_NORESERVE | (fd < 0 ? MAP_ANONYMOUS : 0);

	/* The distance between two pointers into a larger mapping would be negative. */
	if (size > PTRDIFF_MAX) {
		errno = EFBIG;
		return MAP_FAILED;
	}
	return mmap(NULL, size, PROT_READ | (fd < 0 ? PROT_WRITE : 0), flags, fd, 0);
}

/* Get @size bytes of memory for what is in @path. image_keep() can take it over. */
unsigned char *map_memory(const char *path, uint64_t size)
{
	unsigned char *data = map(size, -1);

	if (data == MAP_FAILED)
		die("%s: %llu bytes: %s", path, (unsigned long long)size, strerror(errno));
	return data;
}

/* Read all @size bytes of an open file. */
static void read_all(const char *path, int fd, unsigned char *data, uint64_t size)
{
	uint64_t done = 0;
	ssize_t n = 1;

	for (; done < size && n > 0; done += n) {
		n = read(fd, data + done, size - done);
		if (n < 0)
			die("%s: %s", path, strerror(errno));
	}
	if (done < size)
		die("%s: ends after %llu of %llu bytes", path, (unsigned long long)done,
		    (unsigned long long)size);
}

/* Open a file and get its size. */
static int open_file(const char *path, uint64_t *size)
{
	struct stat st;
	int fd;

	/* O_NONBLOCK, because opening a pipe would wait for a writer. */
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0 || fstat(fd, &st))
		die("%s: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode))
		die("%s: not a regular file", path);
	if (!st.st_size)
		die("%s: is empty", path);
	*size = st.st_size;
	return fd;
}

/* Map a file at *@data. Returns its size. */
size_t map_file(const char *path, unsigned char **data)
{
	uint64_t size;
	int fd = open_file(path, &size);

	*data = map(size, fd);
	/* Files of pstore can't be mapped, only read. */
	if (*data == MAP_FAILED) {
		/* A dump of all memory may be larger than the memory of this machine. */
		if (size > IMAGE_MAX)
			die("%s: too large to be read in place; copy it to a disk", path);
		*data = map_memory(path, size);
		read_all(path, fd, *data, size);
	}
	close(fd);
	return size;
}

/* Read the @size bytes of a file to @data. */
void read_file(const char *path, unsigned char *data, uint64_t size)
{
	uint64_t now;
	int fd = open_file(path, &now);

	read_all(path, fd, data, size);
	close(fd);
}

/* Keep @data, which is from map_file() or map_memory(), until @image is closed. */
void image_keep(struct image *image, unsigned char *data, size_t size)
{
	image->files = xrealloc(image->files, image->nr_files + 1, sizeof(*image->files));
	image->files[image->nr_files++] = (struct mapped) { .data = data, .size = size };
}

/*
 * Add @size bytes of the image, which begin at @start in it. @data is these bytes, or, if
 * @packed is not 0, a zstd frame of @packed bytes that unpacks to them. The caller adds
 * extents in the order of @start.
 */
void image_add(struct image *image, uint64_t start, uint64_t size, const unsigned char *data,
	       size_t packed)
{
	uint64_t total = image_total(image);

	if (!size)
		return;
	if (image->nr_extents == image->max_extents) {
		image->max_extents = image->max_extents ? 2 * image->max_extents : 64;
		image->extents = xrealloc(image->extents, image->max_extents,
					  sizeof(*image->extents));
	}
	image->extents[image->nr_extents++] = (struct extent) {
		.start = start, .end = start + size, .data = data, .packed = packed,
		.before = total,
	};
}

void image_open(struct image *image, const char *path)
{
	unsigned char *data;
	size_t size;

	*image = (struct image) { .path = path };
	size = map_file(path, &data);
	image_keep(image, data, size);
	if (size >= SELFMAG && !memcmp(data, ELFMAG, SELFMAG)) {
		image->state = RECORD_ELF;
		image->size = size;
		image_add(image, 0, size, data, 0);
		return;
	}
	record_open(image, data, size);
}

void image_close(struct image *image)
{
	for (size_t i = 0; image->cache && i < CACHE_SETS * CACHE_WAYS; i++)
		free(image->cache->set[i / CACHE_WAYS][i % CACHE_WAYS].data);
	free(image->cache);
	for (size_t i = 0; i < image->nr_files; i++)
		munmap(image->files[i].data, image->files[i].size);
	free(image->files);
	free(image->made);
	free(image->extents);
}

/* The index of the first extent that ends after @offset. */
static size_t find_extent(const struct image *image, uint64_t offset)
{
	size_t low = 0, high = image->nr_extents;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (image->extents[mid].end <= offset)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/* How many of the @size bytes from @offset on are in the dump, up to the first that is not. */
uint64_t image_have(const struct image *image, uint64_t offset, uint64_t size)
{
	uint64_t end = offset;

	for (size_t i = find_extent(image, offset); i < image->nr_extents; i++) {
		if (image->extents[i].start > end || end - offset >= size)
			break;
		end = image->extents[i].end;
	}
	return end - offset < size ? end - offset : size;
}

/* How many bytes before @offset are in the dump. */
static uint64_t count_before(const struct image *image, uint64_t offset)
{
	size_t i = find_extent(image, offset);
	const struct extent *extent;

	if (i == image->nr_extents)
		return image_total(image);
	extent = &image->extents[i];
	return extent->before + (offset > extent->start ? offset - extent->start : 0);
}

/* How many of the @size bytes from @offset on are in the dump, with gaps or without. */
uint64_t image_count(const struct image *image, uint64_t offset, uint64_t size)
{
	uint64_t end = size < UINT64_MAX - offset ? offset + size : UINT64_MAX;

	return count_before(image, end) - count_before(image, offset);
}

/* How many bytes of the image are in the dump. */
uint64_t image_total(const struct image *image)
{
	const struct extent *last;

	if (!image->nr_extents)
		return 0;
	last = &image->extents[image->nr_extents - 1];
	return last->before + (last->end - last->start);
}

/* Whether reading the image has taken more work than any honest dump needs. */
bool image_overworked(const struct image *image)
{
	return image->work > WORK_BASE + WORK_FACTOR * image_total(image);
}

/* Unpack the frame of @extent. Damaged frames have no extent, see take_frames(). */
static const unsigned char *unpack(struct image *image, const struct extent *extent)
{
	size_t size = extent->end - extent->start;
	struct cached *set, *cached;

	if (!image->cache) {
		image->cache = xmalloc(sizeof(*image->cache));
		*image->cache = (struct image_cache) { 0 };
	}
	set = image->cache->set[(extent - image->extents) % CACHE_SETS];
	cached = set;
	for (unsigned int i = 0; i < CACHE_WAYS && cached->extent != extent; i++)
		if (set[i].extent == extent || set[i].used < cached->used)
			cached = &set[i];
	cached->used = ++image->cache->now;
	if (cached->extent == extent)
		return cached->data;
	if (!cached->data)
		cached->data = xmalloc(KMEMDUMP_FRAME_MAX);
	cached->extent = extent;
	image->work += size;
	if (ZSTD_decompress(cached->data, size, extent->data, extent->packed) != size)
		die("%s: it changes while it is read", image->path);
	return cached->data;
}

/*
 * Read a part of the image, up to the first byte that is not in the dump. Returns the number of
 * bytes before that; only those are put into @buf. There are none if image_overworked().
 */
uint64_t image_read(struct image *image, uint64_t offset, void *buf, uint64_t size)
{
	uint64_t done = 0;

	if (image_overworked(image)) {
		if (!image->told)
			warn("%s: so much of it is needed again and again that it can't be sound",
			     image->path);
		image->told = true;
		return 0;
	}
	image->work += WORK_OF_ACCESS;
	for (size_t i = find_extent(image, offset); i < image->nr_extents && done < size; i++) {
		const struct extent *extent = &image->extents[i];
		const unsigned char *data = extent->data;
		uint64_t skip, n;

		if (extent->start > offset + done)
			break;
		if (extent->packed)
			data = unpack(image, extent);
		skip = offset + done - extent->start;
		n = extent->end - extent->start - skip;
		n = n < size - done ? n : size - done;
		memcpy((char *)buf + done, data + skip, n);
		done += n;
		image->work += n;
	}
	return done;
}
