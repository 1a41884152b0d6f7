/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * kmemdump: what a reader outside the kernel parses.
 *
 * A dump is an ELF core. It crosses the reset as a *record*: a stream that is
 * made of standard zstd frames only, so that "zstd -d" turns a whole record
 * into the ELF core. Between the data frames sit zstd skippable frames, which
 * decompressors pass over and which tell a kmemdump reader where each piece
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
 * @segment_size:	bytes of one entry of the segment table
 * @nr_segments:	number of entries in the segment table, which follows
 *			the region table
 * @cpu_size:		bytes of one entry of the CPU table
 * @nr_cpus:		number of entries in the CPU table, which follows the
 *			segment table; one for each NT_PRSTATUS note, in their order
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
	__u32	segment_size;
	__u32	nr_segments;
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
 * @first_segment:	index into the segment table
 * @nr_segments:	number of segments, at least 1
 * @percpu_size:	bytes that each CPU has of it; 0 if it is not per-CPU
 * @flags:		%KMEMDUMP_REGION_VOLATILE
 * @reserved:		0
 * @size:		bytes, the sum over its segments
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
	__u32	first_segment;
	__u32	nr_segments;
	__u32	percpu_size;
	__u32	flags;
	__u32	reserved;
	__u64	size;
	__u64	checksum;
};

/**
 * struct kmemdump_note_segment - one physically contiguous piece of a region
 * @vaddr:	kernel virtual address
 * @paddr:	physical address
 * @size:	bytes
 * @cpu:	number of the CPU it belongs to, %KMEMDUMP_NO_CPU if the region is
 *		not per-CPU
 * @reserved:	0
 */
struct kmemdump_note_segment {
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

/* The line of VMCOREINFO with the physical address of the index, in hexadecimal. */
#define KMEMDUMP_INDEX_KEY	"KMEMDUMP_INDEX"

/**
 * struct kmemdump_index - how to find the regions in a dump of all memory
 * @magic:		%KMEMDUMP_MAGIC
 * @version:		%KMEMDUMP_VERSION
 * @size:		bytes of this struct
 * @linear_offset:	what to subtract from a virtual address of the linear map to
 *			get the physical one
 * @pointer_bits:	bits to set in each pointer before it is used
 * @regions:		physical address of the root of an xarray of entries
 * @far_pages:		physical address of the root of an xarray of values: the
 *			page frame for a page that is not in the linear map; its index
 *			is the virtual address shifted by @page_shift
 * @possible_cpus:	physical address of the mask of the CPUs that a per-CPU
 *			region has parts for, an array of longs
 * @cpu_bits:		bits of that mask
 * @flag_percpu:	bit in the flags of an entry that marks a per-CPU region
 * @long_size:		bytes of a pointer or long
 * @phys_size:		bytes of a physical address
 * @page_shift:		bits of an offset in a page
 * @node_bits:		bits of an index that a node of an xarray resolves
 * @node_shift:		offset in a node: bits that its children resolve (u8)
 * @node_slots:		offset in a node: array of pointers
 * @entry_id:		offset in an entry: id (int)
 * @entry_class:	offset in an entry: enum kmemdump_class (u8)
 * @entry_flags:	offset in an entry: flags (u8)
 * @entry_owner:	offset in an entry: pointer to its module, or 0
 * @entry_version:	offset in an entry: an int of which bit 0 tells which copy of
 *			the segments counts
 * @entry_nr:		offset in an entry: number of segments in each copy (two ints)
 * @entry_max:		offset in an entry: room for segments in a copy (int)
 * @entry_segments:	offset in an entry: two copies of the segments, each of as
 *			many as there is room for; then the name
 * @segment_size:	bytes of a segment
 * @segment_virt:	offset in a segment: virtual address (long)
 * @segment_phys:	offset in a segment: physical address
 * @segment_bytes:	offset in a segment: size (long)
 * @module_name:	offset in a module: name
 * @reserved:		0
 *
 * The slots of an xarray, and its root, are pointers to entries; or pointers to a
 * node if the lower two bits are 2 and the value is above 4096; or values, shifted
 * left by one, if bit 0 is set. All of it is in the byte order of the dump.
 */
struct kmemdump_index {
	__u8	magic[8];
	__u32	version;
	__u32	size;
	__u64	linear_offset;
	__u64	pointer_bits;
	__u64	regions;
	__u64	far_pages;
	__u64	possible_cpus;
	__u32	cpu_bits;
	__u32	flag_percpu;
	__u16	long_size;
	__u16	phys_size;
	__u16	page_shift;
	__u16	node_bits;
	__u16	node_shift;
	__u16	node_slots;
	__u16	entry_id;
	__u16	entry_class;
	__u16	entry_flags;
	__u16	entry_owner;
	__u16	entry_version;
	__u16	entry_nr;
	__u16	entry_max;
	__u16	entry_segments;
	__u16	segment_size;
	__u16	segment_virt;
	__u16	segment_phys;
	__u16	segment_bytes;
	__u16	module_name;
	__u16	reserved;
};

#endif /* _UAPI_LINUX_KMEMDUMP_H */
