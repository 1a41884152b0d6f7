// SPDX-License-Identifier: GPL-2.0-only
/*
 * Make a core image from files of RAM, for a minidump that no firmware has saved. The RAM holds
 * Qualcomm's shared memory (SMEM). An item in it is the table that says where the regions are.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "reader.h"

#define SMEM_PAGE	4096
/* The last page of SMEM is searched for up to this size. Boards have 2 MiB. */
#define SMEM_MAX	(16 << 20)

/* Offsets in SMEM, where all numbers are little-endian. */
enum {
	/* the header: the version that the boot firmware has given it */
	SMEM_VERSION = 0x5c, SMEM_INITIALIZED = 0xc0,
	GLOBAL_PARTITION = 12,
	/* the partition table in the last page */
	PTABLE_VERSION = 4, PTABLE_COUNT = 8, PTABLE_HEADER = 32,
	PTABLE_ENTRY = 48, ENTRY_OFFSET = 0, ENTRY_SIZE = 4, ENTRY_HOST0 = 12, ENTRY_HOST1 = 14,
	ENTRY_CACHELINE = 16,
	GLOBAL_HOST = 0xfffe,
	/* a partition, and the items in it */
	PARTITION_SIZE = 8, PARTITION_UNCACHED = 12, PARTITION_CACHED = 16, PARTITION_HEADER = 32,
	ITEM_ID = 2, ITEM_SIZE = 4, ITEM_PAD_DATA = 8, ITEM_PAD_HEADER = 10, ITEM_HEADER = 16,
	ITEM_CANARY = 0xa5a5,
	/* the minidump's item: a header, then an entry for each subsystem */
	MINIDUMP_ITEM = 602,
	TOC_STATUS = 0, TOC_HEADER = 16, SUBSYSTEM_SIZE = 32,
	SUBSYSTEM_STATUS = 0, SUBSYSTEM_ENABLED = 4, SUBSYSTEM_COUNT = 16, SUBSYSTEM_BASE = 24,
	/* a region */
	REGION_NAME_LEN = 16, REGION_VALID = 20, REGION_ADDRESS = 24, REGION_BYTES = 32,
	REGION_SIZE = 40,
};

#define TAG(a, b, c, d)	((uint32_t)(a) << 24 | (b) << 16 | (c) << 8 | (d))
#define TAG_VALID	TAG('V', 'A', 'L', 'I')
#define TAG_ENABLED	TAG('E', 'N', 'B', 'L')

/* A range of RAM that is in a file. */
struct bank {
	unsigned char *data;
	uint64_t size;
	uint64_t paddr;
};

struct ram {
	struct bank *bank;	/* sorted by address */
	size_t nr;
};

/* A part of SMEM with items in it. */
struct partition {
	const unsigned char *data;
	uint32_t size;
	uint32_t uncached;	/* where the items that are not cached end */
	uint32_t cached;	/* where the items that are cached start */
	uint32_t cacheline;
};

/* The bytes at @paddr, or NULL if no file has them; *@size is how many are contiguous. */
const unsigned char *ram_at(const struct ram *ram, uint64_t paddr, uint64_t *size)
{
	size_t low = 0, high = ram->nr;
	const struct bank *bank;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (ram->bank[mid].paddr <= paddr)
			low = mid + 1;
		else
			high = mid;
	}
	*size = 0;
	if (!low)
		return NULL;
	bank = &ram->bank[low - 1];
	if (paddr - bank->paddr >= bank->size)
		return NULL;
	*size = bank->size - (paddr - bank->paddr);
	return bank->data + (paddr - bank->paddr);
}

/* How many of the @size bytes at @paddr the files have, up to the first that none has. */
static uint64_t ram_have(const struct ram *ram, uint64_t paddr, uint64_t size)
{
	uint64_t done = 0, n;

	while (done < size && ram_at(ram, paddr + done, &n))
		done += n < size - done ? n : size - done;
	return done;
}

/* Copy RAM up to the first byte that no file has. Returns the number of bytes before that. */
static uint64_t ram_read(const struct ram *ram, uint64_t paddr, void *buf, uint64_t size)
{
	uint64_t done = 0;

	while (done < size) {
		uint64_t n;
		const unsigned char *data = ram_at(ram, paddr + done, &n);

		if (!data)
			break;
		n = n < size - done ? n : size - done;
		memcpy((char *)buf + done, data, n);
		done += n;
	}
	return done;
}

static int cmp_bank(const void *a, const void *b)
{
	const struct bank *x = a, *y = b;

	return x->paddr < y->paddr ? -1 : x->paddr > y->paddr;
}

/* Open the files of RAM, each given as FILE@ADDRESS, and give them to @image. */
static void ram_open(struct ram *ram, struct image *image, char **args, size_t nr)
{
	*ram = (struct ram) { .bank = xmalloc(nr * sizeof(*ram->bank)), .nr = nr };
	for (size_t i = 0; i < nr; i++) {
		struct bank *bank = &ram->bank[i];
		char *at = strrchr(args[i], '@');

		if (!at || !parse_number(at + 1, &bank->paddr))
			die("%s: not a file, @ and the address it has in RAM", args[i]);
		*at = '\0';
		bank->size = map_file(args[i], &bank->data);
		image_keep(image, bank->data, bank->size);
		if (bank->size - 1 > UINT64_MAX - bank->paddr)
			die("%s: does not fit at that address", args[i]);
	}
	qsort(ram->bank, nr, sizeof(*ram->bank), cmp_bank);
	for (size_t i = 1; i < nr; i++)
		if (ram->bank[i].paddr - ram->bank[i - 1].paddr < ram->bank[i - 1].size)
			die("two files claim to be RAM at 0x%llx",
			    (unsigned long long)ram->bank[i].paddr);
}

/* Find the size of SMEM by its last page, which has the partition table. */
static size_t smem_size(const struct ram *ram, uint64_t paddr)
{
	unsigned char page[SMEM_PAGE];
	unsigned int version;
	size_t pos;

	if (ram_read(ram, paddr, page, sizeof(page)) < sizeof(page))
		die("SMEM at 0x%llx is not in the files of RAM", (unsigned long long)paddr);
	version = le32_at(page + SMEM_VERSION) >> 16;
	if (le32_at(page + SMEM_INITIALIZED) != 1)
		die("there is no SMEM at 0x%llx, or no firmware has initialized it",
		    (unsigned long long)paddr);
	if (version != GLOBAL_PARTITION)
		die("SMEM is of version %u: only that of version %u can have a minidump", version,
		    GLOBAL_PARTITION);
	for (pos = SMEM_PAGE; pos < SMEM_MAX; pos += SMEM_PAGE) {
		if (ram_read(ram, paddr + pos, page, sizeof(page)) < sizeof(page))
			break;
		if (!memcmp(page, "$TOC", 4) && le32_at(page + PTABLE_VERSION) == 1)
			return pos + SMEM_PAGE;
	}
	die("SMEM has no partition table within %zu bytes", pos);
}

/* Find the global partition. */
static struct partition find_partition(const unsigned char *smem, size_t size)
{
	const unsigned char *ptable = smem + size - SMEM_PAGE;
	uint32_t count = le32_at(ptable + PTABLE_COUNT);

	if (count > (SMEM_PAGE - PTABLE_HEADER) / PTABLE_ENTRY)
		die("SMEM claims %u partitions, which can't be", count);
	for (uint32_t i = 0; i < count; i++) {
		const unsigned char *entry = ptable + PTABLE_HEADER + i * PTABLE_ENTRY;
		uint32_t offset = le32_at(entry + ENTRY_OFFSET);
		struct partition p = {
			.size = le32_at(entry + ENTRY_SIZE),
			.cacheline = le32_at(entry + ENTRY_CACHELINE),
		};

		if (le16_at(entry + ENTRY_HOST0) != GLOBAL_HOST ||
		    le16_at(entry + ENTRY_HOST1) != GLOBAL_HOST || !offset || !p.size)
			continue;
		if (offset > size || p.size > size - offset || p.size < PARTITION_HEADER)
			die("the global partition of SMEM lies outside of it");
		p.data = smem + offset;
		p.uncached = le32_at(p.data + PARTITION_UNCACHED);
		p.cached = le32_at(p.data + PARTITION_CACHED);
		if (memcmp(p.data, "$PRT", 4) || le32_at(p.data + PARTITION_SIZE) != p.size ||
		    p.uncached > p.cached || p.cached > p.size)
			die("the header of the global partition of SMEM is damaged");
		return p;
	}
	die("SMEM has no global partition");
}

/* The size of an item without its padding. The program ends if the item is damaged. */
static size_t item_size(const struct partition *p, size_t head, size_t room)
{
	const unsigned char *item = p->data + head;
	uint32_t size = le32_at(item + ITEM_SIZE), pad = le16_at(item + ITEM_PAD_DATA);

	if (le16_at(item) != ITEM_CANARY || size > room || pad > size)
		die("SMEM is damaged at byte %zu of its global partition", head);
	return size - pad;
}

/*
 * Find the item of the minidump. Items that are not cached begin at the start of the partition;
 * the head of each is before its data. Cached items begin at the end of the partition and go
 * backwards; the head of each is after its data.
 */
static const unsigned char *find_item(const struct partition *p, size_t *size)
{
	size_t step = ITEM_HEADER, pos = PARTITION_HEADER, head;

	while (pos + ITEM_HEADER <= p->uncached) {
		head = pos;
		pos += ITEM_HEADER + le16_at(p->data + head + ITEM_PAD_HEADER);
		*size = item_size(p, head, pos < p->uncached ? p->uncached - pos : 0);
		if (le16_at(p->data + head + ITEM_ID) == MINIDUMP_ITEM)
			return p->data + pos;
		pos += le32_at(p->data + head + ITEM_SIZE);
	}
	if (p->cacheline > ITEM_HEADER && p->cacheline <= SMEM_PAGE)
		step = (ITEM_HEADER + p->cacheline - 1) / p->cacheline * p->cacheline;
	pos = p->size;
	while (pos - p->cached >= step) {
		head = pos - step;
		*size = item_size(p, head, head - p->cached);
		pos = head - le32_at(p->data + head + ITEM_SIZE);
		if (le16_at(p->data + head + ITEM_ID) == MINIDUMP_ITEM)
			return p->data + pos;
	}
	die("SMEM has no item %u: the firmware makes no minidumps", MINIDUMP_ITEM);
}

/* Find the table of regions. Returns how many it claims to have. */
static uint32_t find_table(struct minidump *md, const struct ram *ram, uint64_t paddr,
			   unsigned int subsystem, uint64_t *base)
{
	const unsigned char *item, *entry;
	struct partition partition;
	unsigned char *smem;
	uint32_t count;
	size_t size;

	size = smem_size(ram, paddr);
	smem = xmalloc(size);
	ram_read(ram, paddr, smem, size);
	partition = find_partition(smem, size);
	item = find_item(&partition, &size);
	if (size < TOC_HEADER || subsystem >= (size - TOC_HEADER) / SUBSYSTEM_SIZE)
		die("the table of the minidump has %zu bytes, too few for subsystem %u", size,
		    subsystem);
	if (!le32_at(item + TOC_STATUS))
		minidump_complain(md, "the firmware has not initialized the table");
	entry = item + TOC_HEADER + subsystem * SUBSYSTEM_SIZE;
	count = le32_at(entry + SUBSYSTEM_COUNT);
	*base = le64_at(entry + SUBSYSTEM_BASE);
	if (!count || !*base)
		die("subsystem %u has no regions", subsystem);
	if (count > PIECES_MAX)
		die("subsystem %u claims %u regions, which can't be", subsystem, count);
	if (le32_at(entry + SUBSYSTEM_STATUS) != 1 ||
	    le32_at(entry + SUBSYSTEM_ENABLED) != TAG_ENABLED)
		minidump_complain(md, "subsystem %u is not marked ready, firmware would ignore it",
				  subsystem);
	free(smem);
	return count;
}

static void add_region(struct minidump *md, const unsigned char *entry)
{
	uint64_t paddr = le64_at(entry + REGION_ADDRESS), size = le64_at(entry + REGION_BYTES);
	char name[REGION_NAME_LEN + 1];
	struct piece *piece;

	copy_name(name, (const char *)entry, sizeof(name));
	if (le32_at(entry + REGION_VALID) != TAG_VALID) {
		minidump_complain(md, "region %s is not marked valid, and left out", name);
		return;
	}
	piece = minidump_add(md, name);
	piece->paddr = paddr;
	piece->size = size;
	piece->have = ram_have(md->ram, paddr, size);
	if (piece->have < size)
		minidump_complain(md, "the files of RAM have %llu of %llu bytes of region %s",
				  (unsigned long long)piece->have, (unsigned long long)size, name);
}

/* Make the core image from the regions of @subsystem, which are in files of RAM. */
void smem_open(struct image *image, char **files, size_t nr_files, uint64_t smem,
	       unsigned int subsystem)
{
	struct minidump md = { .path = "SMEM", .prefix = "region ", .suffix = "",
			       .has_addresses = true };
	unsigned char *table;
	uint64_t base, got;
	struct ram ram;
	uint32_t count;

	*image = (struct image) { 0 };
	ram_open(&ram, image, files, nr_files);
	md.ram = &ram;
	count = find_table(&md, &ram, smem, subsystem, &base);
	table = xmalloc(count * REGION_SIZE);
	got = ram_read(&ram, base, table, count * REGION_SIZE) / REGION_SIZE;
	if (!got)
		die("the table of regions at 0x%llx is not in the files of RAM",
		    (unsigned long long)base);
	if (got < count)
		minidump_complain(&md, "the files of RAM have %llu of the %u regions in the table",
				  (unsigned long long)got, count);
	for (uint32_t i = 0; i < got; i++)
		add_region(&md, table + i * REGION_SIZE);
	free(table);
	minidump_join(&md, image);
	free(ram.bank);
}
