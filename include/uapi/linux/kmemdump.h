/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * kmemdump: what a reader outside the kernel parses.
 *
 * A dump is an ELF core. It crosses the reset as a *record*: a stream that is
 * made of standard zstd frames only, so that "zstd -d" turns a whole record
 * into the ELF core. Between the data frames sit zstd skippable frames, which
 * decompressors pass over and which tell a kmemdump reader where each data frame
 * belongs and whether the record was finished:
 *
 *	HEADER  (DATA zstd-frame)*  COMMIT
 *
 * No HEADER: the area is empty. HEADER without a valid COMMIT of the same
 * record id: the machine stopped while writing. A record is only ever
 * appended to, so the same stream fits RAM, disks and raw flash.
 */
#ifndef _UAPI_LINUX_KMEMDUMP_H
#define _UAPI_LINUX_KMEMDUMP_H

#include <linux/types.h>

#define KMEMDUMP_VERSION	1

/* One of the sixteen magics that zstd reserves for skippable frames. */
#define KMEMDUMP_SKIPPABLE	0x184D2A5D
#define KMEMDUMP_MAGIC		"KMEMDUMP"	/* eight bytes, no NUL stored */

/* A data frame never holds more of the core image than this. */
#define KMEMDUMP_FRAME_MAX	(128 * 1024)

enum kmemdump_frame_type {
	KMEMDUMP_FRAME_HEADER	= 1,
	KMEMDUMP_FRAME_DATA	= 2,
	KMEMDUMP_FRAME_COMMIT	= 3,
};

/* struct kmemdump_frame.flags of a COMMIT */
#define KMEMDUMP_COMMIT_PARTIAL	0x1	/* the record ends before the image does */

/**
 * struct kmemdump_frame - the skippable frames of a record, little-endian
 * @skip_magic:	%KMEMDUMP_SKIPPABLE
 * @skip_size:	bytes of this struct that follow this member (56)
 * @magic:	%KMEMDUMP_MAGIC
 * @version:	%KMEMDUMP_VERSION
 * @type:	enum kmemdump_frame_type
 * @flags:	depends on @type, else 0
 * @record_id:	the same number in every frame of one record, never 0
 * @offset:	DATA: place in the core image of the zstd frame that follows.
 *		COMMIT: bytes of the core image that the record carries
 * @length:	DATA: bytes of the core image in the zstd frame that follows.
 *		HEADER, COMMIT: size of the whole core image in bytes
 * @time:	HEADER, COMMIT: seconds since 1970, 0 where unknown.
 *		DATA: size of the zstd frame that follows, in bytes
 * @checksum:	XXH64, seed 0, of all the bytes before this member
 */
struct kmemdump_frame {
	__le32	skip_magic;
	__le32	skip_size;
	__u8	magic[8];
	__le16	version;
	__le16	type;
	__le32	flags;
	__le64	record_id;
	__le64	offset;
	__le64	length;
	__le64	time;
	__le64	checksum;
};

/* The ELF note that lists the regions; in the byte order of its ELF file. */
#define KMEMDUMP_NOTE_NAME	"KMEMDUMP"
/* Not a small number: debuggers take note types like NT_PRSTATUS by number alone. */
#define KMEMDUMP_NT_REGIONS	0x4b4d4431

#define KMEMDUMP_NAME_LEN	64	/* with its NUL */
#define KMEMDUMP_NO_CPU		0xffffffff

enum kmemdump_class {
	KMEMDUMP_CLASS_LOG	= 0,	/* the kernel log and what reads it */
	KMEMDUMP_CLASS_CORE	= 1,	/* other memory the kernel registered */
	KMEMDUMP_CLASS_DRIVER	= 2,	/* what drivers and modules registered */
	KMEMDUMP_CLASS_ADMIN	= 3,	/* symbols that the administrator named */
};

enum kmemdump_state {
	KMEMDUMP_STATE_OK	= 0,
	KMEMDUMP_STATE_BAD	= 1,	/* reading it faulted: zeros stand there */
	KMEMDUMP_STATE_GONE	= 2,	/* freed or unmapped, left out */
};

/* struct kmemdump_note_region.flags */
#define KMEMDUMP_REGION_VOLATILE	0x1	/* it changes while it is written: no checksum */

enum kmemdump_cpu_state {
	KMEMDUMP_CPU_CRASHED	= 0,	/* it wrote the dump */
	KMEMDUMP_CPU_STOPPED	= 1,	/* its registers are those from when it was stopped */
	KMEMDUMP_CPU_LOST	= 2,	/* it stopped, but its registers are not known */
	KMEMDUMP_CPU_RUNNING	= 3,	/* it did not stop; its registers are not known */
};

/**
 * struct kmemdump_note - start of the descriptor of a %KMEMDUMP_NT_REGIONS note
 * @version:		%KMEMDUMP_VERSION
 * @header_size:	bytes of this struct; the region table follows it
 * @region_size:	bytes of one entry of the region table
 * @nr_regions:		number of entries in the region table
 * @piece_size:		bytes of one entry of the piece table
 * @nr_pieces:		number of entries in the piece table, which follows the region table
 * @cpu_size:		bytes of one entry of the CPU table
 * @nr_cpus:		number of entries in the CPU table, which follows the
 *			piece table; one for each NT_PRSTATUS note, in their order
 * @nr_left_out:	pieces of memory that should be in the dump and are not,
 *			because the tables of the kernel had no room for them
 * @reserved:		0
 * @time:		of the crash, in seconds since 1970; 0 where unknown
 */
struct kmemdump_note {
	__u32	version;
	__u32	header_size;
	__u32	region_size;
	__u32	nr_regions;
	__u32	piece_size;
	__u32	nr_pieces;
	__u32	cpu_size;
	__u32	nr_cpus;
	__u32	nr_left_out;
	__u32	reserved;
	__u64	time;
};

/**
 * struct kmemdump_note_region - one region
 * @name:		unique, NUL-terminated
 * @owner:		module that registered it, or "kernel"
 * @id:			unique
 * @class:		enum kmemdump_class
 * @state:		enum kmemdump_state
 * @first_piece:	index into the piece table
 * @nr_pieces:		number of pieces, at least 1
 * @percpu_size:	bytes that each CPU has of it; 0 if it is not per-CPU
 * @flags:		%KMEMDUMP_REGION_VOLATILE
 * @reserved:		0
 * @size:		bytes, the sum over its pieces
 * @checksum:		XXH64, seed 0, of its bytes at the time of the crash;
 *			only of a region in %KMEMDUMP_STATE_OK without
 *			%KMEMDUMP_REGION_VOLATILE. It is taken before
 *			the bytes are written: memory that a CPU or device still
 *			changes in between does not match
 */
struct kmemdump_note_region {
	char	name[KMEMDUMP_NAME_LEN];
	char	owner[KMEMDUMP_NAME_LEN];
	__u32	id;
	__u32	class;
	__u32	state;
	__u32	first_piece;
	__u32	nr_pieces;
	__u32	percpu_size;
	__u32	flags;
	__u32	reserved;
	__u64	size;
	__u64	checksum;
};

/**
 * struct kmemdump_note_piece - a physically contiguous part of a region
 * @vaddr:	kernel virtual address
 * @paddr:	physical address
 * @size:	bytes
 * @cpu:	number of the CPU it belongs to, %KMEMDUMP_NO_CPU if the region is
 *		not per-CPU
 * @reserved:	0
 */
struct kmemdump_note_piece {
	__u64	vaddr;
	__u64	paddr;
	__u64	size;
	__u32	cpu;
	__u32	reserved;
};

/**
 * struct kmemdump_note_cpu - one CPU
 * @cpu:	its number
 * @state:	enum kmemdump_cpu_state
 * @pid:	of the task that ran on it, 0 if it was idle
 * @reserved:	0
 */
struct kmemdump_note_cpu {
	__u32	cpu;
	__u32	state;
	__u32	pid;
	__u32	reserved;
};

/*
 * A dump of all memory, as kdump or FADump makes it, has no %KMEMDUMP_NT_REGIONS note. Its
 * regions are in the list of entries that the kernel works with. These lines of VMCOREINFO
 * say where that is, and how it is laid out:
 *
 *	KMEMDUMP_ENTRIES	physical address, hexadecimal: the list_head of all entries
 *	KMEMDUMP_LINEAR		hexadecimal: virtual less physical address in the linear map
 *	KMEMDUMP_CPUS		physical address, hexadecimal: the mask of possible CPUs
 *	NUMBER(kmemdump_cpus)	bits of that mask, which is an array of longs
 *	OFFSET(kmemdump_entry.M)	for each M in the list below
 *	OFFSET(kmemdump_piece.M)	for M of virt_addr (long), phys_addr, size (long) next to it
 *	SIZE(kmemdump_piece)
 *	PAGESIZE, OFFSET(list_head.next), OFFSET(list_head.prev)	lines of any kernel
 *
 * All entries are in the linear map. Each has, in the byte order of the dump:
 *
 *	list		list_head; only the head of the list may be outside of the linear map
 *	id, class	int, u8: as in struct kmemdump_note_region
 *	flags		u8; bit 0: the possible CPUs have equal parts of the region, in order
 *	version		int; bit 0 says which of the two copies of the pieces counts
 *	nr_pieces	two ints: how many pieces each copy has
 *	max_pieces	int: how many there is room for in each copy
 *	pieces		pointer to both copies, one after the other
 *	pfns		pointer to longs, the frames of the pages that the pieces are in; or NULL
 *			if those are in the linear map
 *	names		two texts that end in NUL: the name of the region, that of its owner
 *
 * On arm64 the upper byte of a pointer may be a tag of KASAN, and stands for 0xff.
 */
#define KMEMDUMP_ENTRIES_KEY		"KMEMDUMP_ENTRIES"
#define KMEMDUMP_LINEAR_KEY		"KMEMDUMP_LINEAR"
#define KMEMDUMP_CPUS_KEY		"KMEMDUMP_CPUS"
#define KMEMDUMP_NR_CPUS_KEY		"NUMBER(kmemdump_cpus)"
#define KMEMDUMP_ENTRY_KEY(member)	"OFFSET(kmemdump_entry." #member ")"
#define KMEMDUMP_PIECE_KEY(member)	"OFFSET(kmemdump_piece." #member ")"
#define KMEMDUMP_PIECE_SIZE_KEY		"SIZE(kmemdump_piece)"

#endif /* _UAPI_LINUX_KMEMDUMP_H */
