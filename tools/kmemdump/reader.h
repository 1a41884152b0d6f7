/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The reader of kmemdump records: what its files share.
 *
 * Everything in a dump is hostile until it was checked: sizes and offsets are
 * bounded before they are used, and text is escaped before it is printed.
 */
#ifndef KMEMDUMP_READER_H
#define KMEMDUMP_READER_H

#include <libelf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <linux/kmemdump.h>

#define __noreturn	__attribute__((__noreturn__))
#define __printf(a, b)	__attribute__((__format__(printf, a, b)))

/* Exit codes: the answer is whole; it is not; there is none. */
enum { EXIT_GOOD = 0, EXIT_DAMAGED = 1, EXIT_FAILED = 2 };

/* util.c */
void __noreturn __printf(1, 2) die(const char *fmt, ...);
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

/* No core image is larger; keeps a forged one from taking the host down. */
#define IMAGE_MAX	(4ULL << 30)

/* Headers and notes of one of that size, with the most regions that there can be. */
#define HEAD_MAX	(24 << 20)

/* A stretch of the image that is there. */
struct extent {
	uint64_t start;
	uint64_t end;
	uint64_t before;		/* bytes in the extents before this one */
	const unsigned char *data;
	size_t packed;			/* bytes of the zstd frame at @data, 0 if it is none */
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
	} *files;			/* what the extents are in */
	size_t nr_files;
	unsigned char *made;		/* memory with extents in it that are in no file, or NULL */
	struct image_cache *cache;
	uint64_t work;			/* what reading it has cost so far */
	bool told;			/* that this is too much */
	enum record_state state;
	uint64_t time;			/* of the crash, 0 if unknown */
	unsigned int nr_damaged;	/* frames and stretches that were no good */
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

/* No boot firmware takes more regions; keeps a forged count from keeping us busy. */
#define PIECES_MAX	4096

/* A region as boot firmware would have copied it to a file of its own. */
struct piece {
	char name[KMEMDUMP_NAME_LEN];
	const unsigned char *data;
	uint64_t size;
	uint64_t have;		/* bytes of it that are there, from the first on */
	uint64_t paddr;		/* if the minidump has addresses */
	bool used;
};

struct minidump {
	const char *path;
	const char *prefix, *suffix;	/* what its kind puts around a name */
	bool has_addresses;
	const struct ram *ram;	/* that the pieces are in, or NULL */
	struct piece *pieces;
	size_t nr;
	unsigned int nr_damaged;
};

bool minidump_is_folder(const char *path);
void minidump_open_folder(struct image *image, const char *path);
void __printf(2, 3) minidump_complain(struct minidump *md, const char *fmt, ...);
struct piece *minidump_add(struct minidump *md, const char *name);
void minidump_join(struct minidump *md, struct image *image);

/* rawdump.c: the same from a partition that boot firmware wrote it to */
bool rawdump_is(const char *path);
void rawdump_open(struct image *image, const char *path);

/* smem.c: the same from RAM, by the table in Qualcomm's shared memory */
const unsigned char *ram_at(const struct ram *ram, uint64_t paddr, uint64_t *size);
void smem_open(struct image *image, char **ram, size_t nr_ram, uint64_t smem,
	       unsigned int subsystem);

/* core.c: the ELF core in it */

struct load {
	uint64_t vaddr;
	uint64_t paddr;
	uint64_t size;
	uint64_t offset;
	uint64_t before;	/* bytes that are there of the loads before this one */
};

struct note {
	const unsigned char *desc;
	size_t size;
};

struct core {
	struct image *image;
	unsigned char *head;	/* the start of it, up to the end of the notes */
	size_t head_size;
	Elf *elf;
	bool swap;		/* its byte order is not ours */
	struct load *loads;	/* sorted by vaddr */
	size_t nr_loads;
	struct note vmcoreinfo;
	struct note regions;
	void *index;		/* where that comes from if it is not in the file */
	bool cut;		/* its headers claim more than there is */
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
const struct load *load_behind(const struct load *loads, size_t nr, uint64_t vaddr);
size_t loads_flatten(struct load *loads, size_t nr);
bool core_vmcoreinfo(const struct core *core, const char *key, int base, uint64_t *value);

/* index.c: a dump of all memory has the list of the kernel itself */
const char *index_load(struct core *core);

/* regions.c */

enum region_state {
	REGION_OK,
	REGION_BAD,		/* the kernel could not read it */
	REGION_GONE,		/* was freed or unmapped before the crash */
	REGION_CUT,		/* the dump ends inside of it, or lost a part */
	REGION_MISSING,		/* the dump has nothing of it */
	REGION_CORRUPT,		/* the checksum does not match */
};

enum region_checksum {
	CHECKSUM_NONE,		/* none was taken, or not all of it is there */
	CHECKSUM_GOOD,
	CHECKSUM_WRONG,
	CHECKSUM_SKIPPED,	/* it would take too long: regions share more than they can */
};

struct region {
	char name[KMEMDUMP_NAME_LEN];
	char owner[KMEMDUMP_NAME_LEN];
	uint32_t id;
	uint32_t class;
	uint64_t size;
	uint64_t vaddr;
	uint64_t paddr;
	uint32_t first_segment;
	uint32_t nr_segments;
	uint64_t percpu_size;	/* what each CPU has of it; 0: not per-CPU */
	uint64_t checksum;
	uint64_t have;		/* bytes of it that are in the dump */
	enum region_state state;
	bool is_volatile;	/* has no checksum */
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
