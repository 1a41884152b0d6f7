// SPDX-License-Identifier: GPL-2.0-only
/* From the bytes of a core image to a file that debuggers open. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "reader.h"

/* Write @image to the new file @path. Returns 0 or an errno. */
static int write_file(const struct image *image, const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0400), err = 0;

	if (fd < 0)
		return errno;
	for (size_t i = 0; i < image->nr_have && !err; i++) {
		uint64_t pos = image->have[i].start;

		while (pos < image->have[i].end && !err) {
			uint64_t left = image->have[i].end - pos;
			ssize_t n = pwrite(fd, image->data + pos, left < (1 << 20) ? left : 1 << 20,
					   pos);

			if (n <= 0)
				err = n ? errno : ENOSPC;
			else
				pos += n;
			progress("writing", pos, image->size);
		}
	}
	/* Here, as another descriptor may not be told of an error. */
	if (!err && fsync(fd))
		err = errno;
	if (close(fd) && !err)
		err = errno;
	if (err)
		unlink(path);
	return err;
}

/*
 * Write what there is of @image to the new file @path, if it is an ELF core as far as
 * one can see; *@good is whether it is whole. What is missing in the middle becomes a
 * hole, which reads as zeros; what is missing at the end makes the file shorter. Dumps
 * hold secrets: it is for the owner only. Returns 0, or an errno and leaves no file.
 */
int image_extract(const struct image *image, const char *path, bool *good)
{
	unsigned char head[sizeof(Elf64_Ehdr)];
	size_t size = image_have(image, 0, sizeof(head));
	struct core core;

	/* To look at it takes the section headers out of the ELF header. */
	memcpy(head, image->data, size);
	core_open(&core, image);
	memcpy(image->data, head, size);
	*good = !image->nr_damaged && !core.cut &&
		(image->state == RECORD_COMPLETE || image->state == RECORD_ELF);
	core_close(&core);
	return write_file(image, path);
}
