// SPDX-License-Identifier: GPL-2.0-only
/* Fuzz the reader with a partition that holds a minidump. */
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *path = fuzz_file("dump", data, size);
	const char *core = fuzz_core();

	if (fuzz_run("assemble", core, path, NULL) < 2)
		fuzz_dump(core);
	return 0;
}
