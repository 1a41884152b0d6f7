// SPDX-License-Identifier: GPL-2.0-only
/* Fuzz the reader with an ELF core: headers, notes, the list of regions, the log. */
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *path = fuzz_file("dump", data, size);

	fuzz_dump(path);
	fuzz_run("extract", path, fuzz_core(), NULL);
	return 0;
}
