// SPDX-License-Identifier: GPL-2.0-only
/*
 * Fuzz the reader with a record. The checksums of the frame headers are corrected first, or the
 * reader would refuse nearly every input there.
 */
#include <endian.h>
#include <stddef.h>
#include <string.h>
#include <xxhash.h>

#include <linux/kmemdump.h>

#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *copy = malloc(size ? size : 1);
	const char *path;

	memcpy(copy, data, size);
	for (size_t i = 0; i + sizeof(struct kmemdump_frame) <= size; i++) {
		size_t summed = offsetof(struct kmemdump_frame, checksum);
		uint64_t sum;

		if (memcmp(copy + i + offsetof(struct kmemdump_frame, magic), KMEMDUMP_MAGIC, 8))
			continue;
		sum = htole64(XXH64(copy + i, summed, 0));
		memcpy(copy + i + summed, &sum, sizeof(sum));
	}
	path = fuzz_file("dump", copy, size);
	free(copy);
	fuzz_run("check", path, NULL);
	fuzz_run("extract", path, fuzz_core(), NULL);
	/* Assemble it from two files, of which the second part is named first. */
	if (size > 1) {
		char half[300];

		snprintf(half, sizeof(half), "%s", fuzz_file("half", data, size / 2));
		path = fuzz_file("dump", data + size / 2, size - size / 2);
		fuzz_run("assemble", fuzz_core(), path, half, NULL);
	}
	return 0;
}
