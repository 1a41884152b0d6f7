/* SPDX-License-Identifier: GPL-2.0 */
/*
 * kmemdump through firmware: declarations that the files of the backend share.
 *
 * The reservation, a few MiB, has these parts:
 *
 *	head | slot | slot | CPU state | copies
 *
 * The head has the offsets of the other parts. The slots have the table: the list of the
 * memory to keep, and the ELF notes. Firmware saves the registers of the CPUs in the CPU
 * state. The reboot overwrites the memory below @low_top, so its pages are copied to the
 * last part: by firmware if they are registered with it, else by panic code. The other
 * pages stay where they are, and the next kernel does not use them until the release.
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

/* Two of the sections that firmware takes are for the CPU state and for our head. */
#define FADUMP_MAX_COPIES	(MAX_SECTIONS - 2)
/* QEMU up to 11.1 computes wrong sizes from 16 MiB on. */
#define FADUMP_MAX_COPY		(SZ_16M - SZ_64K)

struct fadump_copy {
	u64	start;
	u64	size;
	u64	dest;
};

/* Ranges that firmware copies, sorted by address. None overlaps or touches another one. */
struct fadump_copies {
	unsigned int		nr;
	u64			total;	/* bytes of all */
	/* fadump_copies_add() needs one more before it joins ranges. */
	struct fadump_copy	copy[FADUMP_MAX_COPIES + 1];
};

int fadump_copies_add(struct fadump_copies *copies, u64 start, u64 end, u64 room);
void fadump_copies_place(struct fadump_copies *copies, u64 dest);
bool fadump_copies_cover(const struct fadump_copies *copies, u64 start, u64 end);
u64 fadump_copies_find(const struct fadump_copies *copies, u64 addr, u64 *len);

/* The format of the table is private: kernels of one byte order and page size read it. */
#define FADUMP_MAGIC		"KMEMDFAD"	/* eight bytes, no NUL stored */
#define FADUMP_VERSION		2
#define FADUMP_MAX_SIZE		SZ_1G		/* of a reservation */

enum fadump_state {
	FADUMP_IDLE,		/* nothing is registered */
	FADUMP_CHANGING,	/* the old registration has ended, or the new one is missing */
	FADUMP_REGISTERED,
};

/* The start of the reservation. Offsets are from here. */
struct fadump_head {
	u8	magic[8];
	u32	version;
	u32	page_shift;	/* of the kernel that wrote the table */
	u64	base;		/* physical address of the reservation */
	u64	size;		/* bytes of the reservation */
	u64	low_top;	/* the reboot overwrites memory below this address */
	u64	slot_size;	/* bytes of one slot */
	u64	slots;		/* offset of the first slot */
	u64	cpus;		/* offset of the CPU state */
	u64	copies;		/* offset of the copies, which take the rest */
	u64	checksum;	/* XXH64, seed 0, of the bytes before this member */
	u32	state;		/* enum fadump_state; changes while the system runs */
	u32	reserved;
};

#define FADUMP_SLOT_FINAL	0x1	/* panic code wrote it, with the notes of the CPUs */

/* The start of a slot. The loads follow it, then the ELF notes. */
struct fadump_slot {
	u8	magic[8];
	u64	seq;		/* a higher one is newer; never 0 */
	u32	flags;		/* FADUMP_SLOT_FINAL */
	u32	nr_loads;
	u64	notes_size;	/* bytes of ELF notes */
	u64	nr_lost;	/* pages that should be kept and are not */
	u64	checksum;	/* XXH64, seed 0, of the whole table with this member 0 */
};

/*
 * Whole pages that are kept. If @copy is 0, those from @low_top on stay where they are, and
 * firmware copies those below.
 */
struct fadump_load {
	u64	vaddr;
	u64	paddr;
	u64	size;		/* bytes; 0 if they were lost after a crash */
	u64	copy;		/* physical address of a copy that panic code made */
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
	u64	least;		/* a reservation with hardly any room for copies */
	u64	usual;
};

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

int fadump_rtas_call(unsigned int command, struct rtas_fadump_mem_struct *arg, u32 len,
		     bool at_panic);
void fadump_rtas_wait(unsigned int ms, bool at_panic);
int fadump_rtas_configure(unsigned int command, struct rtas_fadump_mem_struct *arg, u32 len,
			  bool at_panic);
int fadump_rtas_register(const struct fadump_head *head, const struct fadump_copies *copies,
			 bool at_panic);
int fadump_rtas_command(unsigned int command);
u32 fadump_rtas_fill(struct rtas_fadump_mem_struct *arg, const struct fadump_head *head,
		     const struct fadump_copies *copies);
u64 fadump_rtas_find_head(const struct rtas_fadump_mem_struct *arg, u32 len);
unsigned int fadump_rtas_read_copies(const struct rtas_fadump_mem_struct *arg,
				     const struct fadump_head *head, struct fadump_copies *copies);
bool fadump_rtas_has_cpus(const struct rtas_fadump_mem_struct *arg);

struct fadump {
	bool			enabled;	/* the boot parameter asks for dumps */
	bool			supported;	/* firmware has the service, no dump of others */
	bool			registered;
	bool			waiting;	/* there is a dump of ours from before the boot */
	bool			void_dump;	/* firmware has a dump with nothing in it */
	struct fadump_head	*head;		/* the reservation, or NULL */
	struct fadump_slot	*slot;		/* the table of the waiting dump, or NULL */
	struct fadump_copies	copied;		/* firmware copied these for the waiting dump */
	bool			cpus_saved;	/* firmware saved the CPU state for it */
	u64			low_top;	/* this boot overwrote memory below this address */
	struct mutex		lock;		/* protects the registration and the release */
};

extern struct fadump fadump;

int fadump_attach(void);
int fadump_register(void);
int fadump_unregister(void);
int fadump_vmcore_init(void);
int fadump_release(void);
size_t fadump_cpu_notes(const void *area, size_t size, void *notes, size_t room);
int fadump_sysfs_init(void);

#endif /* _KMEMDUMP_FADUMP_H */
