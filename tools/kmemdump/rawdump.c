// SPDX-License-Identifier: GPL-2.0-only
/* Make a core image from the minidump in a "rawdump" partition of Qualcomm's boot firmware. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "reader.h"

#define SIGNATURE	"Raw_Dmp!"

/* Offsets in the header and in a section header, where all numbers are little-endian. */
enum {
	HEADER_VALID = 12, HEADER_DUMP_SIZE = 36, HEADER_COUNT = 52, HEADER_SIZE = 56,
	SECTION_VALID = 0, SECTION_OFFSET = 12, SECTION_LENGTH = 20, SECTION_PADDR = 28,
	SECTION_NAME = 44, SECTION_SIZE = 64,
};

enum { VALID = 1, NO_SPACE = 2 };

bool rawdump_is(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	char start[sizeof(SIGNATURE) - 1];
	bool is;

	if (fd < 0)
		return false;
	is = read(fd, start, sizeof(start)) == sizeof(start) &&
	     !memcmp(start, SIGNATURE, sizeof(start));
	close(fd);
	return is;
}

/* The name of a section is that of the file in a folder of a minidump, with ".BIN" or without. */
static void cut_suffix(char *name)
{
	size_t len = strlen(name);

	if (len > 4 && !strcasecmp(name + len - 4, ".bin"))
		name[len - 4] = '\0';
}

/* Make a piece from a section, if the section is a region of the minidump. */
static void add_section(struct minidump *md, const unsigned char *data, size_t size,
			const unsigned char *header, uint64_t headers_end)
{
	uint64_t offset = le64_at(header + SECTION_OFFSET);
	uint64_t length = le64_at(header + SECTION_LENGTH);
	char name[SECTION_SIZE - SECTION_NAME + 1];
	struct piece *piece;

	copy_name(name, (const char *)header + SECTION_NAME, sizeof(name));
	if (strncasecmp(name, "md_", 3))
		return;
	cut_suffix(name);
	if (le32_at(header + SECTION_VALID) != VALID) {
		minidump_complain(md, "section %s is not marked valid, and left out", name);
		return;
	}
	if (offset < headers_end) {
		minidump_complain(md, "section %s starts inside of the headers, and is left out",
				  name);
		return;
	}
	piece = minidump_add(md, name + 3);
	piece->size = length;
	piece->paddr = le64_at(header + SECTION_PADDR);
	if (offset < size) {
		piece->data = data + offset;
		piece->have = length < size - offset ? length : size - offset;
	}
	if (piece->have < length)
		minidump_complain(md, "the file ends before section %s does: %llu of %llu bytes",
				  name, (unsigned long long)piece->have,
				  (unsigned long long)length);
}

static int cmp_data(const void *a, const void *b)
{
	const struct piece *const *x = a, *const *y = b;

	return (*x)->data < (*y)->data ? -1 : (*x)->data > (*y)->data;
}

/* Report sections that share bytes, as one of them must be wrong. */
static void tell_overlaps(struct minidump *md)
{
	const struct piece **sorted = xmalloc(md->nr * sizeof(*sorted)), *last = NULL;

	for (size_t i = 0; i < md->nr; i++)
		sorted[i] = &md->pieces[i];
	qsort(sorted, md->nr, sizeof(*sorted), cmp_data);
	for (size_t i = 0; i < md->nr; i++) {
		if (!sorted[i]->have)
			continue;
		if (last && last->data + last->have > sorted[i]->data)
			minidump_complain(md, "the sections md_%s and md_%s overlap", last->name,
					  sorted[i]->name);
		if (!last || sorted[i]->data + sorted[i]->have > last->data + last->have)
			last = sorted[i];
	}
	free(sorted);
}

void rawdump_open(struct image *image, const char *path)
{
	struct minidump md = { .path = path, .prefix = "md_", .suffix = "", .has_addresses = true };
	unsigned char *data;
	uint64_t end, claim;
	uint32_t count;
	size_t size;

	size = map_file(path, &data);
	*image = (struct image) { 0 };
	image_keep(image, data, size);
	if (size < HEADER_SIZE)
		die("%s: ends inside of its header", path);
	count = le32_at(data + HEADER_COUNT);
	if (!count || count > PIECES_MAX)
		die("%s: claims %u sections, which can't be", path, count);
	end = HEADER_SIZE + (uint64_t)count * SECTION_SIZE;
	if (end > size)
		die("%s: ends inside of its %u section headers", path, count);

	if (le32_at(data + HEADER_VALID) == NO_SPACE)
		minidump_complain(&md, "the partition had no room for all of the dump");
	else if (le32_at(data + HEADER_VALID) != VALID)
		minidump_complain(&md, "is not marked valid");
	claim = le64_at(data + HEADER_DUMP_SIZE);
	if (claim > size)
		minidump_complain(&md, "is cut: the dump has %llu bytes, and the file %llu",
				  (unsigned long long)claim, (unsigned long long)size);
	for (uint32_t i = 0; i < count; i++)
		add_section(&md, data, size, data + HEADER_SIZE + i * SECTION_SIZE, end);
	if (!md.nr)
		die("%s: has no sections of a minidump", path);
	tell_overlaps(&md);
	minidump_join(&md, image);
}
