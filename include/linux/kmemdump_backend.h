/* SPDX-License-Identifier: GPL-2.0 */
/*
 * kmemdump: the API of backends, which get regions across the reset.
 *
 * A *hands-off* backend has ops->add(), ops->remove() and ops->update(): it keeps
 * a table for firmware true while the system runs, and nothing of it has to run
 * at the crash. With ops->image() it also learns the layout of the core image, and
 * gets the last word if panic code runs. If all that it has is a table of memory
 * ranges, it has ops->fill(), ops->move() and ops->publish() instead of all these:
 * then the core lays out the ELF core as such ranges. A *writer* has ops->write():
 * at panic the core hands it the finished record piece by piece.
 */
#ifndef _LINUX_KMEMDUMP_BACKEND_H
#define _LINUX_KMEMDUMP_BACKEND_H

#include <linux/atomic.h>
#include <linux/list.h>
#include <linux/rcupdate.h>
#include <linux/rhashtable-types.h>
#include <linux/time64.h>
#include <linux/types.h>
#include <linux/xarray.h>
#include <uapi/linux/kmemdump.h>

struct kmemdump_backend;
struct elf64_hdr;
struct kmemdump_image;
struct module;

/* Backends that can be attached at once. */
#define KMEMDUMP_MAX_BACKENDS	12

/* What goes first under pressure, best first; from class and priority of a region. */
enum kmemdump_rank {
	KMEMDUMP_RANK_LOG,
	KMEMDUMP_RANK_HIGH,
	KMEMDUMP_RANK_NORMAL,
	KMEMDUMP_RANK_CORE,
	KMEMDUMP_RANK_LOW,
	KMEMDUMP_NR_RANKS
};

/**
 * struct kmemdump_segment - a physically contiguous piece of a region
 * @virt_addr:	kernel virtual address
 * @phys_addr:	physical address
 * @size:	bytes
 */
struct kmemdump_segment {
	unsigned long	virt_addr;
	phys_addr_t	phys_addr;
	size_t		size;
};

/**
 * struct kmemdump_entry - a registered region as the core and backends see it
 * @id:			unique id
 * @class:		enum kmemdump_class
 * @rank:		enum kmemdump_rank
 * @max_segments:	never has it more segments than this
 *
 * Valid for a backend from ops->add() until its ops->remove() returns. Name and
 * segments are read with kmemdump_entry_name() and kmemdump_entry_segments().
 */
struct kmemdump_entry {
	int			id;
	u8			class;
	u8			rank;

	/* private: */
	u8			flags;
	u8			held;		/* bit per copy: someone held its pages */
	struct module		*owner;
	union {
		struct rhash_head	node;	/* while it is registered */
		struct rcu_head		rcu;	/* afterwards */
	};
	unsigned long		state;		/* who carries it; a lock bit */

	/*
	 * The segments are there twice, so that a region can move while someone
	 * reads: @version & 1 is the copy that counts, the other one is spare.
	 */
	unsigned int		version;
	unsigned int		nr_segments[2];

	/* public: */
	unsigned int		max_segments;
	/* private: */
	struct kmemdump_segment	segments[];	/* two copies, then the name */
};

/**
 * kmemdump_entry_name() - the unique name of a region
 * @entry: region
 *
 * Return: the name.
 */
static inline const char *kmemdump_entry_name(const struct kmemdump_entry *entry)
{
	return (const char *)&entry->segments[2 * entry->max_segments];
}

/**
 * kmemdump_entry_segments() - where a region is
 * @entry: region
 * @nr: set to the number of segments
 *
 * A region may move at any time, and the result is good until the second attempt
 * to move it. Who needs to know gets an ops->update() after each move; at panic
 * nothing moves.
 *
 * Context: any.
 * Return: the segments, in order of CPU and then of virtual address.
 */
static inline const struct kmemdump_segment *
kmemdump_entry_segments(const struct kmemdump_entry *entry, unsigned int *nr)
{
	/* Pairs with the release in kmemdump_move(). */
	unsigned int copy = smp_load_acquire(&entry->version) & 1;

	*nr = READ_ONCE(entry->nr_segments[copy]);
	return entry->segments + copy * entry->max_segments;
}

/* Bytes of the name of a slot, with its NUL. */
#define KMEMDUMP_SLOT_NAME	13

/* Tables that a backend with slots needs memory for; the last one is for panic. */
#define KMEMDUMP_SLOT_COPIES	3

/**
 * struct kmemdump_slot - a range of memory that firmware is to save
 * @name:	unique in its table, also if case does not matter; "K" and then
 *		letters, digits and "_". The first one, and only that, starts with
 *		"KELF"
 * @phys_addr:	physical address, page-aligned; unique in its table, but for tasks
 *		that share a page, or are in memory that someone has freed and not
 *		unregistered
 * @size:	bytes, whole pages
 *
 * The ranges of a table, one after the other, are the core image: the first one
 * holds ELF header, program headers, notes and section headers, and each other
 * one is a PT_LOAD.
 */
struct kmemdump_slot {
	char		name[KMEMDUMP_SLOT_NAME];
	phys_addr_t	phys_addr;
	u64		size;
};

/**
 * struct kmemdump_backend_ops - what a backend can do
 * @add:	carry @entry from now on. Process context, may sleep. An error
 *		marks the region as not carried by this backend
 * @remove:	stop carrying @entry. Process context, may sleep
 * @update:	@entry has moved: it has other segments than before, of the same
 *		size in all. Any context, also NMI; not two at once for a region.
 *		An error marks the region as not carried
 * @image:	hands-off, optional: @image is what the core image is to hold. At
 *		panic, and in process context when kmemdump_refresh_backend() is
 *		called; kmemdump_image_live() tells which. @image is good until it
 *		returns
 * @fill:	put these @nr slots into the table number @copy, which is below
 *		%KMEMDUMP_SLOT_COPIES and not the one that firmware finds now. They
 *		are 1 + max_slots at most, as it was before the core lowered it. Any
 *		context, also NMI; never two at once, but in a panic one may never
 *		have come to its end
 * @move:	the slot number @slot of the table @copy, that firmware does not find
 *		now either, is at @phys_addr. As @fill, and in the scheduler
 * @publish:	have firmware save the @nr slots of the table @copy instead of those
 *		before; at any instant it has to find either these or those. None if
 *		@nr is 0: then nothing may point to memory of ours. As @move
 * @open:	panic: start a record. -EBUSY where an unread one is in the way
 * @write:	panic: append @len bytes, all or nothing. Never called for more
 *		than max_bytes of the backend in all
 * @close:	panic: the record was written, or given up after an error
 *
 * Ops must not register or unregister regions or backends.
 *
 * The panic ops run with interrupts off and the other CPUs stopped, maybe in
 * NMI context: they must not sleep, allocate, or wait for a lock.
 */
struct kmemdump_backend_ops {
	int	(*add)(struct kmemdump_backend *be, const struct kmemdump_entry *entry);
	void	(*remove)(struct kmemdump_backend *be, const struct kmemdump_entry *entry);
	int	(*update)(struct kmemdump_backend *be, const struct kmemdump_entry *entry);
	void	(*image)(struct kmemdump_backend *be, const struct kmemdump_image *image);
	void	(*fill)(struct kmemdump_backend *be, unsigned int copy,
			const struct kmemdump_slot *slots, unsigned int nr);
	void	(*move)(struct kmemdump_backend *be, unsigned int copy, unsigned int slot,
			phys_addr_t phys_addr);
	void	(*publish)(struct kmemdump_backend *be, unsigned int copy, unsigned int nr);
	int	(*open)(struct kmemdump_backend *be);
	int	(*write)(struct kmemdump_backend *be, const void *buf, size_t len);
	void	(*close)(struct kmemdump_backend *be);
};

/**
 * struct kmemdump_backend - one way across the reset
 * @name:	shown to people and used in boot parameters; unique
 * @ops:	either @add, @remove and @update with optional @image, or @fill, @move
 *		and @publish, or @write with optional @open and @close
 * @max_slots:	hands-off: segments it can carry; with @publish that is slots besides
 *		the first one, and the core lowers it by those for what runs
 * @max_bytes:	writer: bytes of record it can take. hands-off: bytes of regions
 *		it can carry
 * @align:	hands-off: segments have to start and end at multiples of this,
 *		a power of two; 0: anywhere
 * @max_name:	hands-off: characters of the longest name it can keep; 0: any
 * @staging_size: with @publish: bytes to set aside for what is put together at
 *		panic. The core lowers it if there is not so much
 */
struct kmemdump_backend {
	const char				*name;
	const struct kmemdump_backend_ops	*ops;
	unsigned int				max_slots;
	u64					max_bytes;
	unsigned int				align;
	unsigned int				max_name;
	size_t					staging_size;

	/* private: */
	struct kmemdump_slots			*slots;
	struct list_head			list;
	unsigned int				index;
	u32					classes;	/* bits: what it may carry */
	bool					was_full;
	unsigned int				nr_carried;
	unsigned int				nr_refused;
	unsigned int				nr_filtered;
	atomic_t				nr_stale;
	u64					used_bytes[KMEMDUMP_NR_RANKS];
	unsigned int				used_slots[KMEMDUMP_NR_RANKS];
	struct xarray				waiting[KMEMDUMP_NR_RANKS];
	unsigned long				last_tried[KMEMDUMP_NR_RANKS];
	struct xarray				errors;
};

#ifdef CONFIG_KMEMDUMP

int kmemdump_register_backend(struct kmemdump_backend *be);
void kmemdump_unregister_backend(struct kmemdump_backend *be);
void kmemdump_refresh_backend(struct kmemdump_backend *be);
size_t kmemdump_image_data_size(void);
int kmemdump_record_probe(const void *buf, size_t size, struct timespec64 *time);
bool kmemdump_has_frame(const void *buf, size_t size);

/* For ops->image() */
bool kmemdump_image_live(const struct kmemdump_image *image);
u64 kmemdump_image_notes(const struct kmemdump_image *image, u64 *size);
unsigned int kmemdump_image_nr_loads(const struct kmemdump_image *image);
u64 kmemdump_image_load(const struct kmemdump_image *image, unsigned int i,
			struct kmemdump_segment *load);
void kmemdump_image_read(const struct kmemdump_image *image, u64 offset, void *buf, size_t len);

/* For those who make the file of a dump from the image's pieces. */
void kmemdump_fill_elf_header(struct elf64_hdr *ehdr, unsigned int nr_phdrs);

#else

static inline int kmemdump_register_backend(struct kmemdump_backend *be)
{
	return -EOPNOTSUPP;
}

static inline void kmemdump_unregister_backend(struct kmemdump_backend *be)
{
}

#endif /* CONFIG_KMEMDUMP */

#endif /* _LINUX_KMEMDUMP_BACKEND_H */
