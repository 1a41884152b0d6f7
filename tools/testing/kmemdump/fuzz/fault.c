// SPDX-License-Identifier: GPL-2.0-only
/*
 * This has a fault on purpose, and runs no part of the reader. If no fault is found here, the other
 * fuzzers would not find one either.
 */
#include <string.h>

#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *copy;

	if (!size || data[0] != 'K')
		return 0;
	copy = malloc(size);
	if (!copy)
		return 0;
	memcpy(copy, data, size);
	/* This reads one byte too many. */
	fuzz_file("fault", copy, size + 1);
	free(copy);
	return 0;
}
