/* SPDX-License-Identifier: GPL-2.0 */
/*
 * kmemdump through firmware: what the files of the backend share.
 *
 * The reservation, a few MiB, looks like this:
 *
 *	head | slot | slot | CPU state | copies
 *
 * The head tells where the rest is. The two slots hold the table, in turns: what
 * is to be kept, and the ELF notes. CPU state is what firmware saves of the CPUs.
 * Into the copies go the pages that the reboot would overwrite, below @low_top: by
 * firmware those that were registered, by panic code others. All other pages stay
 * where they are, and the next kernel keeps off them.
 */
#ifndef _KMEMDUMP_FADUMP_H
#define _KMEMDUMP_FADUMP_H

#include <linux/cpumask.h>
#include <linux/init.h>
#include <linux/mutex.h>
#include <linux/ptrace.h>
#include <linux/seq_file.h>
#include <linux/sizes.h>
#include <linux/types.h>

#include <asm/fadump-internal.h>

#include "../platforms/pseries/rtas-fadump.h"

struct kmemdump_image;

/* Pages that firmware copies at the crash. */

/* Of the sections that firmware takes, one is the CPU state and one is our mark. */
#define FADUMP_MAX_COPIES	(MAX_SECTIONS - 2)
/* QEMU up to 11.1 gets sizes wrong from here on. */
#define FADUMP_MAX_COPY		(SZ_16M - SZ_64K)

struct fadump_copy {
	u64	start;
	u64	size;
	u64	dest;
};

struct fadump_copies {
	unsigned int		nr;
	u64			total;
	struct fadump_copy	copy[FADUMP_MAX_COPIES + 1];	/* one for who adds */
};

/* copies.c */
int fadump_copies_add(struct fadump_copies *copies, u64 start, u64 end, u64 room);
void fadump_copies_place(struct fadump_copies *copies, u64 dest);
bool fadump_copies_cover(const struct fadump_copies *copies, u64 start, u64 end);
u64 fadump_copies_find(const struct fadump_copies *copies, u64 addr, u64 *len);

/* The table. Only kernels read it, of one byte order and page size. */

#define FADUMP_MAGIC		"KMEMDFAD"	/* eight bytes, no NUL stored */
#define FADUMP_VERSION		2

enum fadump_state {
	FADUMP_IDLE,		/* nothing is registered */
	FADUMP_CHANGING,	/* between taking back and giving a registration */
	FADUMP_REGISTERED,
};

/**
 * struct fadump_head - the start of the reservation
 * @magic:	%FADUMP_MAGIC
 * @version:	%FADUMP_VERSION
 * @page_shift:	of the kernel that wrote the table
 * @base:	physical address of the reservation, and so of this
 * @size:	bytes of the reservation
 * @low_top:	where what the reboot overwrites ends
 * @slot_size:	bytes of one slot; the first is at @slots
 * @slots:	offset of the slots in the reservation
 * @cpus:	offset of the CPU state
 * @copies:	offset of the copies, which go to the end
 * @checksum:	XXH64, seed 0, of all the bytes before this member
 * @state:	enum fadump_state; changes while the system runs
 * @reserved:	0
 */
struct fadump_head {
	u8	magic[8];
	u32	version;
	u32	page_shift;
	u64	base;
	u64	size;
	u64	low_top;
	u64	slot_size;
	u64	slots;
	u64	cpus;
	u64	copies;
	u64	checksum;
	u32	state;
	u32	reserved;
};

/* No reservation is larger. */
#define FADUMP_MAX_SIZE		SZ_1G

/* struct fadump_slot.flags */
#define FADUMP_SLOT_FINAL	0x1	/* written at the crash, with the notes of the CPUs */

/**
 * struct fadump_slot - one copy of the table: this, the loads, the notes
 * @magic:	%FADUMP_MAGIC
 * @seq:	the higher, the newer; never 0
 * @flags:	%FADUMP_SLOT_FINAL
 * @nr_loads:	number of struct fadump_load that follow
 * @notes_size:	bytes of ELF notes that follow the loads
 * @nr_lost:	pages that should be kept and could not
 * @checksum:	XXH64, seed 0, of the whole table with this member 0
 */
struct fadump_slot {
	u8	magic[8];
	u64	seq;
	u32	flags;
	u32	nr_loads;
	u64	notes_size;
	u64	nr_lost;
	u64	checksum;
};

/**
 * struct fadump_load - memory that is kept, whole pages
 * @vaddr:	virtual address
 * @paddr:	physical address
 * @size:	bytes; 0 if it was lost later
 * @copy:	where panic code put a copy of it, or 0: it stays where it is, but
 *		for what is below @low_top, where firmware copies it
 */
struct fadump_load {
	u64	vaddr;
	u64	paddr;
	u64	size;
	u64	copy;
};

static inline struct fadump_load *fadump_loads(const struct fadump_slot *slot)
{
	return (struct fadump_load *)(slot + 1);
}

static inline void *fadump_notes(const struct fadump_slot *slot)
{
	return fadump_loads(slot) + slot->nr_loads;
}

/* Bytes of a reservation and of its parts. */
struct fadump_sizes {
	u64	slot;
	u64	cpus;
	u64	least;		/* with hardly any copies */
	u64	usual;
};

/* table.c */
struct fadump_sizes fadump_sizes(u64 ram, u64 cpus, u64 image);
void fadump_head_init(struct fadump_head *head, u64 base, u64 size, u64 low_top, u64 slot_size,
		      u64 cpus_size);
const char *fadump_head_check(const struct fadump_head *head, u64 base);
struct fadump_slot *fadump_slot(const struct fadump_head *head, unsigned int i);
bool fadump_slot_valid(const struct fadump_head *head, const struct fadump_slot *slot);
struct fadump_slot *fadump_slot_newest(const struct fadump_head *head);
void fadump_slot_seal(struct fadump_slot *slot);
bool fadump_load_stays(const struct fadump_head *head, const struct fadump_load *load);
int fadump_table_write(const struct fadump_head *head, const struct kmemdump_image *image,
		       const struct fadump_copies *copies);

/* rtas.c */
int fadump_rtas_call(unsigned int command, struct rtas_fadump_mem_struct *arg, u32 len,
		     bool at_panic);
void fadump_rtas_wait(unsigned int ms, bool at_panic);
int fadump_rtas_configure(unsigned int command, struct rtas_fadump_mem_struct *arg, u32 len,
			  bool at_panic);
int fadump_rtas_register(const struct fadump_head *head, const struct fadump_copies *copies,
			 bool at_panic);
int fadump_rtas_unregister(void);
int fadump_rtas_invalidate(void);
u32 fadump_structure_fill(struct rtas_fadump_mem_struct *arg, const struct fadump_head *head,
			  const struct fadump_copies *copies);
u64 fadump_structure_mark(const struct rtas_fadump_mem_struct *arg, u32 len);
unsigned int fadump_structure_read(const struct rtas_fadump_mem_struct *arg,
				   const struct fadump_head *head, struct fadump_copies *copies);
bool fadump_structure_has_cpus(const struct rtas_fadump_mem_struct *arg);

/* registers.c */
size_t fadump_cpu_notes(const void *area, size_t size, void *notes, size_t room);

/* reserve.c */
struct fadump {
	bool			enabled;	/* by the boot parameter */
	bool			supported;	/* by firmware, which has no dump of others */
	bool			registered;
	bool			waiting;	/* a dump of ours from before the boot */
	bool			void_dump;	/* one that has nothing: it waits for nobody */
	struct fadump_head	*head;		/* the reservation, NULL if there is none */
	struct fadump_slot	*slot;		/* the table of the dump that waits */
	struct fadump_copies	copied;		/* by firmware, of the dump that waits */
	bool			cpus_saved;
	u64			preserved;	/* bytes kept for it outside of the reservation */
	u64			low_top;	/* where what this boot has overwritten ends */
	struct mutex		lock;		/* changes of the registration */
};

extern struct fadump fadump;

/* backend.c */
int fadump_attach(void);
int fadump_register(void);
int fadump_unregister(void);

/* vmcore.c */
int fadump_vmcore_init(void);
int fadump_release(void);

/* sysfs.c */
int fadump_sysfs_init(void);

#endif /* _KMEMDUMP_FADUMP_H */
