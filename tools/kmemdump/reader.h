/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The reader of kmemdump records: what its files share.
 *
 * Everything in a dump may be forged. Sizes and offsets are checked before they are used, and
 * text is escaped before it is printed.
 *
 * A region consists of pieces, each of which is contiguous in physical memory. In a minidump,
 * struct piece is what boot firmware has saved of one such piece.
 */
#ifndef KMEMDUMP_READER_H
#define KMEMDUMP_READER_H

#include <libelf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <linux/kmemdump.h>

#define __printf(a, b)	__attribute__((__format__(printf, a, b)))

/* Exit codes: the answer is whole, a part of it is missing or damaged, there is none. */
enum { EXIT_GOOD = 0, EXIT_DAMAGED = 1, EXIT_FAILED = 2 };

/* util.c */
_Noreturn void __printf(1, 2) die(const char *fmt, ...);
void __printf(1, 2) warn(const char *fmt, ...);
void *xmalloc(uint64_t size);
void *xrealloc(void *p, uint64_t nr, size_t size);
uint16_t le16_at(const void *p);
uint32_t le32_at(const void *p);
uint64_t le64_at(const void *p);
bool parse_number(const char *text, uint64_t *number);
void copy_name(char *to, const char *from, size_t size);
void put_escaped(FILE *out, const char *text, size_t len);
void put_json(const char *text);
void progress(const char *what, uint64_t done, uint64_t total);

/* image.c: the bytes of a core image */

/* The largest core image. Without a limit, a forged one could use up the host. */
#define IMAGE_MAX	(4ULL << 30)

/* Enough for the headers and notes of an image of IMAGE_MAX bytes with the most regions. */
#define HEAD_MAX	(24 << 20)

/* A range of the image that the dump has. */
struct extent {
	uint64_t start;
	uint64_t end;
	uint64_t before;		/* bytes in the extents before this one */
	const unsigned char *data;
	size_t packed;			/* bytes of the zstd frame at @data, 0 if not packed */
};

enum record_state {
	RECORD_ELF,		/* not a record: a core image as a file */
	RECORD_COMPLETE,
	RECORD_PARTIAL,		/* finished, but there was no room for all */
	RECORD_TORN,		/* the machine stopped while writing it */
};

struct image {
	const char *path;
	uint64_t size;			/* of the whole core image */
	struct extent *extents;		/* sorted; no two share bytes */
	size_t nr_extents;
	size_t max_extents;
	struct mapped {
		unsigned char *data;
		size_t size;
	} *files;			/* the files that the extents are in */
	size_t nr_files;
	unsigned char *made;		/* memory of extents that are in no file, or NULL */
	struct image_cache *cache;
	uint64_t work;			/* see image_overworked() */
	bool told;			/* a message about too much work was printed */
	enum record_state state;
	uint64_t time;			/* of the crash, 0 if unknown */
	unsigned int nr_damaged;	/* frames and ranges that are damaged */
};

void image_open(struct image *image, const char *path);
void image_close(struct image *image);
size_t map_file(const char *path, unsigned char **data);
unsigned char *map_memory(const char *path, uint64_t size);
void read_file(const char *path, unsigned char *data, uint64_t size);
void image_keep(struct image *image, unsigned char *data, size_t size);
void image_add(struct image *image, uint64_t start, uint64_t size, const unsigned char *data,
	       size_t packed);
uint64_t image_read(struct image *image, uint64_t offset, void *buf, uint64_t size);
uint64_t image_have(const struct image *image, uint64_t offset, uint64_t size);
uint64_t image_count(const struct image *image, uint64_t offset, uint64_t size);
uint64_t image_total(const struct image *image);
bool image_overworked(const struct image *image);

/* record.c: from a record, in one file or in several, to the bytes of a core image */
void record_open(struct image *image, const unsigned char *data, size_t size);
void record_assemble(struct image *image, char **paths, size_t nr);

struct ram;

/* minidump.c: from the files of a Qualcomm minidump to the bytes of a core image */

/* Boot firmware takes fewer regions than this. A forged count would take too long. */
#define PIECES_MAX	4096

/* What boot firmware has saved of one piece of memory, in its own file or in a larger one. */
struct piece {
	char name[KMEMDUMP_NAME_LEN];
	const unsigned char *data;
	uint64_t size;
	uint64_t have;		/* bytes that are in the dump, from the first on */
	uint64_t paddr;		/* only if the minidump has addresses */
	bool used;
};

struct minidump {
	const char *path;
	const char *prefix, *suffix;	/* for messages: what is around the name of a piece */
	bool has_addresses;
	const struct ram *ram;	/* the RAM that the pieces are in, or NULL */
	struct piece *pieces;
	size_t nr;
	unsigned int nr_damaged;
};

bool minidump_is_folder(const char *path);
void minidump_open_folder(struct image *image, const char *path);
void __printf(2, 3) minidump_complain(struct minidump *md, const char *fmt, ...);
struct piece *minidump_add(struct minidump *md, const char *name);
void minidump_join(struct minidump *md, struct image *image);

/* rawdump.c: the same from the partition that boot firmware wrote the minidump to */
bool rawdump_is(const char *path);
void rawdump_open(struct image *image, const char *path);

/* smem.c: the same from RAM; a table in Qualcomm's shared memory says where the pieces are */
const unsigned char *ram_at(const struct ram *ram, uint64_t paddr, uint64_t *size);
void smem_open(struct image *image, char **ram, size_t nr_ram, uint64_t smem,
	       unsigned int subsystem);

/* core.c: the ELF core that is in the core image */

struct load {
	uint64_t vaddr;
	uint64_t paddr;
	uint64_t size;
	uint64_t offset;
	uint64_t before;	/* bytes of the loads before this one that are in the dump */
};

struct note {
	const unsigned char *desc;
	size_t size;
};

struct core {
	struct image *image;
	unsigned char *head;	/* the start of the image, up to the end of the notes */
	size_t head_size;
	Elf *elf;
	bool swap;		/* its byte order is not that of this machine */
	struct load *loads;	/* sorted by vaddr */
	size_t nr_loads;
	struct note vmcoreinfo;
	struct note regions;
	void *made_note;	/* memory of @regions if the dump itself has no such note */
	bool cut;		/* its headers claim more than the image has */
};

void core_open(struct core *core, struct image *image);
void core_close(struct core *core);
void core_copy_by_headers(struct core *copy, const struct core *core);
const char *core_find_regions(struct core *core);
void core_set_loads(struct core *core, struct load *loads, size_t nr);
uint64_t core_count(const struct core *core, uint64_t vaddr, uint64_t size);
uint64_t core_read(const struct core *core, uint64_t vaddr, void *buf, uint64_t size);
uint16_t core_u16(const struct core *core, const void *p);
uint32_t core_u32(const struct core *core, const void *p);
uint64_t core_u64(const struct core *core, const void *p);
const struct load *load_find(const struct load *loads, size_t nr, uint64_t vaddr);
const struct load *load_after(const struct load *loads, size_t nr, uint64_t vaddr);
size_t loads_flatten(struct load *loads, size_t nr);
bool core_vmcoreinfo(const struct core *core, const char *key, int base, uint64_t *value);

/* full.c: the kernel's own list of regions, in a dump of all memory */
const char *full_load(struct core *core);

/* regions.c */

enum region_state {
	REGION_OK,
	REGION_BAD,		/* the kernel could not read it */
	REGION_GONE,		/* it was freed or unmapped before the crash */
	REGION_CUT,		/* a part of it is not in the dump */
	REGION_MISSING,		/* nothing of it is in the dump */
	REGION_CORRUPT,		/* its checksum does not match */
};

enum region_checksum {
	CHECKSUM_NONE,		/* it has none, or a part of the region is not in the dump */
	CHECKSUM_GOOD,
	CHECKSUM_WRONG,
	CHECKSUM_SKIPPED,	/* it takes too long, because regions share too much memory */
};

struct region {
	char name[KMEMDUMP_NAME_LEN];
	char owner[KMEMDUMP_NAME_LEN];
	uint32_t id;
	uint32_t class;
	uint64_t size;
	uint64_t vaddr;
	uint64_t paddr;
	uint32_t first_piece;
	uint32_t nr_pieces;
	uint64_t percpu_size;	/* bytes of each CPU's part, 0 if it is not per-CPU */
	uint64_t checksum;
	uint64_t have;		/* bytes that are in the dump */
	enum region_state state;
	bool is_volatile;	/* it has no checksum, because it may change while it is saved */
	enum region_checksum verdict;
};

struct cpu {
	uint32_t cpu;
	uint32_t state;		/* enum kmemdump_cpu_state */
	uint32_t pid;
};

typedef void region_use_t(const unsigned char *data, size_t size, void *with);

const char *regions_load(struct core *core, struct region **regions, size_t *nr);
uint64_t region_read(const struct core *core, const struct region *region, uint64_t start,
		     uint64_t end, region_use_t *use, void *with);
bool region_find_cpu(const struct core *core, const struct region *region, uint32_t cpu,
		     uint64_t *offset);
uint64_t crash_time(const struct core *core);
size_t cpus_load(const struct core *core, struct cpu **cpus, uint32_t *left_out);
const char *region_state_name(enum region_state state);
const char *region_checksum_name(enum region_checksum verdict);
const char *cpu_state_name(uint32_t state);
const char *region_class_name(uint32_t class);

/* extract.c */
int image_extract(struct image *image, const char *path, bool *good);

/* collect.c */
int collect_all(const char *root, const char *dir);

/* printk.c */
const char *print_log(const struct core *core, int *status);

#endif
