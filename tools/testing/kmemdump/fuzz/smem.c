// SPDX-License-Identifier: GPL-2.0-only
/* RAM from 1 GiB on, behind two 32-bit offsets: of SMEM, and of where its second file starts. */
#include <endian.h>
#include <string.h>

#include "fuzz.h"

#define BASE	0x40000000ULL

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char smem[32], first[320], second[320];
	const char *core = fuzz_core();
	uint32_t head[2];
	size_t cut;
	int status;

	if (size < sizeof(head) + 2)
		return 0;
	memcpy(head, data, sizeof(head));
	data += sizeof(head);
	size -= sizeof(head);
	snprintf(smem, sizeof(smem), "0x%llx", BASE + le32toh(head[0]));
	cut = le32toh(head[1]) < size ? le32toh(head[1]) : size;
	if (!cut)
		cut = size;
	snprintf(first, sizeof(first), "%s@0x%llx", fuzz_file("ram1", data, cut), BASE);
	if (cut < size) {
		snprintf(second, sizeof(second), "%s@0x%llx",
			 fuzz_file("ram2", data + cut, size - cut), BASE + cut);
		status = fuzz_run("assemble", "--smem", smem, "--ram", second, "--ram", first,
				  core, NULL);
	} else {
		status = fuzz_run("assemble", "--smem", smem, "--ram", first, core, NULL);
	}
	if (status < 2)
		fuzz_dump(core);
	return 0;
}
