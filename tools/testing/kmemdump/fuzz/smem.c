// SPDX-License-Identifier: GPL-2.0-only
/*
 * Fuzz the reader with RAM from 1 GiB on. The input starts with two numbers of 32 bits: the offset
 * of SMEM in RAM, and the offset at which RAM is split into two files. Then come pieces of RAM: the
 * offset and the length, in 32 bits each, and the content.
 */
#include <endian.h>
#include <string.h>

#include "fuzz.h"

#define BASE		0x40000000ULL
#define PAGE		4096
#define MAX_SIZE	(256 * 1024)

static uint32_t take(const uint8_t **data, size_t *size)
{
	uint32_t number;

	memcpy(&number, *data, sizeof(number));
	*data += sizeof(number);
	*size -= sizeof(number);
	return le32toh(number);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char smem[32], first[320], second[320];
	size_t end = PAGE, cut;
	const char *core;
	uint8_t *ram;
	int status;

	if (size < 8)
		return 0;
	core = fuzz_core();
	ram = calloc(1, MAX_SIZE);
	snprintf(smem, sizeof(smem), "0x%llx", BASE + take(&data, &size));
	cut = take(&data, &size);
	while (size > 8) {
		size_t at = take(&data, &size) % MAX_SIZE, len = take(&data, &size);

		len = len < size ? len : size;
		len = len < MAX_SIZE - at ? len : MAX_SIZE - at;
		memcpy(ram + at, data, len);
		data += len;
		size -= len;
		if (at + len > end)
			end = (at + len + PAGE - 1) / PAGE * PAGE;
	}
	if (!cut || cut > end)
		cut = end;
	snprintf(first, sizeof(first), "%s@0x%llx", fuzz_file("ram1", ram, cut), BASE);
	if (cut < end) {
		snprintf(second, sizeof(second), "%s@0x%llx",
			 fuzz_file("ram2", ram + cut, end - cut), BASE + cut);
		status = fuzz_run("assemble", "--smem", smem, "--ram", second, "--ram", first,
				  core, NULL);
	} else {
		status = fuzz_run("assemble", "--smem", smem, "--ram", first, core, NULL);
	}
	free(ram);
	if (status < 2)
		fuzz_dump(core);
	return 0;
}
