// SPDX-License-Identifier: GPL-2.0-only
/* No part of the reader: a fault that has to be found, or none would be in the others. */
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
	/* One byte too many. */
	fuzz_file("fault", copy, size + 1);
	free(copy);
	return 0;
}
