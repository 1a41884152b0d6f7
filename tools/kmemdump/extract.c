// SPDX-License-Identifier: GPL-2.0-only
/* From the bytes of a core image to a file that debuggers open. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "reader.h"

/*
 * Write what there is of @image to the new file @path. What is missing in the
 * middle becomes a hole, which reads as zeros; what is missing at the end makes
 * the file shorter. Dumps hold secrets: it is for the owner only.
 */
void image_write(const struct image *image, const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0400);

	if (fd < 0)
		die("%s: %s", path, strerror(errno));
	for (size_t i = 0; i < image->nr_have; i++) {
		uint64_t pos = image->have[i].start;

		while (pos < image->have[i].end) {
			uint64_t left = image->have[i].end - pos;
			ssize_t n = pwrite(fd, image->data + pos, left < (1 << 20) ? left : 1 << 20,
					   pos);

			if (n <= 0) {
				int err = n ? errno : ENOSPC;

				unlink(path);
				die("%s: %s", path, strerror(err));
			}
			pos += n;
			progress("writing", pos, image->size);
		}
	}
	if (close(fd)) {
		int err = errno;

		unlink(path);
		die("%s: %s", path, strerror(err));
	}
}
