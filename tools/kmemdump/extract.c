// SPDX-License-Identifier: GPL-2.0-only
/* Write a core image to a file that debuggers can open. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "reader.h"

#define BLOCK	4096

/*
 * The @size bytes at @data will be written to @pos in the file. Count how many there are before the
 * first block that is not all zeros, or, if not @of_zeros, before the first block that is.
 */
static size_t run_of(bool of_zeros, const unsigned char *data, size_t size, uint64_t pos)
{
	static const unsigned char zeros[BLOCK];
	size_t done = 0;

	while (done < size) {
		size_t n = BLOCK - (pos + done) % BLOCK;

		n = n < size - done ? n : size - done;
		if (!memcmp(data + done, zeros, n) != of_zeros)
			break;
		done += n;
	}
	return done;
}

/* Write @size bytes to @pos; blocks of zeros stay holes. */
static bool write_blocks(int fd, const unsigned char *data, size_t size, uint64_t pos)
{
	while (size) {
		ssize_t n = run_of(true, data, size, pos);

		if (!n) {
			n = pwrite(fd, data, run_of(false, data, size, pos), pos);
			if (!n)
				errno = ENOSPC;
			if (n <= 0)
				return false;
		}
		data += n;
		pos += n;
		size -= n;
	}
	return true;
}

/* Write @image to the new file @path. Returns 0 or an errno. */
static int write_file(struct image *image, const char *path)
{
	static unsigned char buf[KMEMDUMP_FRAME_MAX];
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0400), err = 0;
	uint64_t pos = 0;

	if (fd < 0)
		return errno;
	for (size_t i = 0; i < image->nr_extents && !err; i++) {
		const struct extent *extent = &image->extents[i];

		for (pos = extent->start; pos < extent->end && !err;) {
			uint64_t left = extent->end - pos;
			size_t n = left < sizeof(buf) ? left : sizeof(buf);

			if (image_read(image, pos, buf, n) != n)
				err = EIO;
			else if (!write_blocks(fd, buf, n, pos))
				err = errno;
			pos += n;
			progress("writing", pos, image->size);
		}
	}
	/* If the last blocks are a hole, nothing was written to make the file that long. */
	if (!err && ftruncate(fd, pos))
		err = errno;
	/* Sync this descriptor: a write error may not be reported to another one. */
	if (!err && fsync(fd))
		err = errno;
	if (close(fd) && !err)
		err = errno;
	if (err)
		unlink(path);
	return err;
}

/*
 * Write @image to the new file @path if it is an ELF core. *@good is whether the image is whole.
 * What is missing in the middle becomes a hole, which reads as zeros. What is missing at the end
 * makes the file shorter. Only the owner may read the file, because dumps hold secrets. Returns
 * 0, or an errno without leaving a file.
 */
int image_extract(struct image *image, const char *path, bool *good)
{
	struct core core;

	core_open(&core, image);
	*good = !image->nr_damaged && !core.cut &&
		(image->state == RECORD_COMPLETE || image->state == RECORD_ELF);
	core_close(&core);
	return write_file(image, path);
}
