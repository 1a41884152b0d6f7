// SPDX-License-Identifier: GPL-2.0-only
/*
 * Fuzz the reader with a folder of files. The input is a list of files: the length of the name,
 * the name, the length of the content in 32 bits, the content.
 */
#include <endian.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuzz.h"

#define MAX_FILES	16

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char made[MAX_FILES][300], folder[300];
	const char *core = fuzz_core();
	unsigned int nr = 0;

	snprintf(folder, sizeof(folder), "%s/folder", fuzz_folder);
	mkdir(folder, 0700);
	while (nr < MAX_FILES && size > 1 && data[0] && data[0] < 64 && data[0] < size) {
		size_t len = data[0];
		char name[100];
		uint32_t n;

		snprintf(name, sizeof(name), "folder/md_%.*s.BIN", (int)len, data + 1);
		data += 1 + len;
		size -= 1 + len;
		if (size < sizeof(n) || strchr(name + 7, '/'))
			break;
		memcpy(&n, data, sizeof(n));
		n = le32toh(n);
		data += sizeof(n);
		size -= sizeof(n);
		if (n > size)
			n = size;
		snprintf(made[nr++], sizeof(made[0]), "%s", fuzz_file(name, data, n));
		data += n;
		size -= n;
	}
	if (fuzz_run("assemble", core, folder, NULL) < 2)
		fuzz_dump(core);
	while (nr)
		unlink(made[--nr]);
	return 0;
}
