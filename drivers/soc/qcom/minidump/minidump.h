/* SPDX-License-Identifier: GPL-2.0 */
/* Qualcomm minidump: the table in SMEM, as boot firmware reads it. */
#ifndef _QCOM_MINIDUMP_H
#define _QCOM_MINIDUMP_H

#include <linux/irq_work.h>
#include <linux/kmemdump_backend.h>
#include <linux/math.h>
#include <linux/mm.h>
#include <linux/spinlock.h>
#include <linux/thread_info.h>
#include <linux/types.h>

struct task_struct;

/* The item of SMEM. */
#define MINIDUMP_ITEM		602

/* The subsystem that runs Linux. */
#define MINIDUMP_APSS		0

/* Firmware has room for this many regions, of all subsystems; Linux has its share. */
#define MINIDUMP_TOTAL		300
#define MINIDUMP_SHARE		201

#define MINIDUMP_REVISION	1

#define MINIDUMP_STATUS_READY	1

/* Four letters, the first one in the top byte. */
#define MINIDUMP_ENABLED	0x454e424c	/* ENBL */
#define MINIDUMP_VALID		0x56414c49	/* VALI */
#define MINIDUMP_INVALID	0x494e5641	/* INVA */
#define MINIDUMP_ENCR_DONE	0x444f4e45	/* DONE */
#define MINIDUMP_ENCR_NO	0x4e52		/* NR */
#define MINIDUMP_ENCR_YES	0x594553	/* YES */

/**
 * struct minidump_region - a range of memory to be saved
 * @name:		at most %MINIDUMP_NAME characters; firmware adds four
 * @seq_num:		distinguishes regions of the same name; 0 in regions of Linux
 * @valid:		%MINIDUMP_VALID or not to be looked at
 * @address:		physical
 * @size:		bytes
 */
struct minidump_region {
	char	name[16];
	__le32	seq_num;
	__le32	valid;
	__le64	address;
	__le64	size;
};

#define MINIDUMP_NAME		12

/**
 * struct minidump_subsystem - what one processor wants saved
 * @status:		%MINIDUMP_STATUS_READY once the rest is filled in
 * @enabled:		%MINIDUMP_ENABLED
 * @encryption_status:	%MINIDUMP_ENCR_DONE: not waiting for that
 * @encryption_required: %MINIDUMP_ENCR_NO or %MINIDUMP_ENCR_YES
 * @region_count:	entries of the array
 * @reserved:		0
 * @regions:		physical address of an array of struct minidump_region
 */
struct minidump_subsystem {
	__le32	status;
	__le32	enabled;
	__le32	encryption_status;
	__le32	encryption_required;
	__le32	region_count;
	__le32	reserved;
	__le64	regions;
};

/**
 * struct minidump_toc - the item of SMEM
 * @status:		not 0 once firmware has set it up
 * @revision:		of this format
 * @enabled:		not 0 if firmware would make minidumps
 * @reserved:		0
 * @subsystems:		as many as there is room for in the item
 */
struct minidump_toc {
	__le32				status;
	__le32				revision;
	__le32				enabled;
	__le32				reserved;
	struct minidump_subsystem	subsystems[];
};

/**
 * struct minidump_slot - a range of memory that firmware is to save
 * @name:	unique in its table, also if case does not matter; "K" and then letters,
 *		digits and "_". The first one, and only that, starts with "KELF"
 * @phys_addr:	physical address, page-aligned; unique in its table, but for tasks that
 *		share a page, or are in memory that was freed and not unregistered
 * @size:	bytes, whole pages
 *
 * The ranges of a table, one after the other, are the core image: the first one has the ELF
 * header, program headers, notes and section headers, and each other one is a PT_LOAD.
 */
struct minidump_slot {
	char		name[MINIDUMP_NAME + 1];
	phys_addr_t	phys_addr;
	u64		size;
};

/* Arrays of regions: firmware sees one, another is spare, and the last one is for panic. */
#define MINIDUMP_COPIES		3

/**
 * struct minidump_table - our part of the table
 * @apss:	our subsystem
 * @max:	entries of each copy of the regions
 * @copies:	arrays of regions; firmware sees one of them
 * @stored:	a test wants to look at what firmware would see after each store
 */
struct minidump_table {
	struct minidump_subsystem	*apss;
	unsigned int			max;
	struct minidump_region		*copies[MINIDUMP_COPIES];
	void				(*stored)(struct minidump_table *table);
};

/* table.c */
const char *minidump_check(const struct minidump_toc *toc, size_t size);
unsigned int minidump_count_others(const struct minidump_toc *toc, size_t size,
				   unsigned int total);
int minidump_table_init(struct minidump_table *table, struct minidump_toc *toc, unsigned int max);
void minidump_table_free(struct minidump_table *table);
void minidump_table_fill(struct minidump_table *table, unsigned int copy,
			 const struct minidump_slot *slots, unsigned int nr);
void minidump_table_move(struct minidump_table *table, unsigned int copy, unsigned int slot,
			 phys_addr_t phys_addr);
void minidump_table_publish(struct minidump_table *table, unsigned int copy, unsigned int nr);
void minidump_table_clear(struct minidump_table *table);

/* A task in pieces that are contiguous each: its struct, and its stack. */
#define MINIDUMP_STACK_PIECES	(IS_ENABLED(CONFIG_VMAP_STACK) ? \
				 (unsigned int)DIV_ROUND_UP(THREAD_SIZE, PAGE_SIZE) : 1)
#define MINIDUMP_TASK_PIECES	(1 + MINIDUMP_STACK_PIECES)

struct minidump_slots;

/**
 * struct minidump_slots_ops - the table that slots are listed in
 * @fill:	put @nr slots, at least one, into a copy that firmware does not see now
 * @move:	change the address of a slot in such a copy
 * @publish:	have firmware see the @nr slots of such a copy, or nothing if @nr is 0
 *
 * Context: any, with interrupts off.
 */
struct minidump_slots_ops {
	void	(*fill)(struct minidump_slots *s, unsigned int copy,
			const struct minidump_slot *slots, unsigned int nr);
	void	(*move)(struct minidump_slots *s, unsigned int copy, unsigned int slot,
			phys_addr_t phys_addr);
	void	(*publish)(struct minidump_slots *s, unsigned int copy, unsigned int nr);
};

/* layout.c: which memory gets a slot */

/* How a load gets into the dump, in the order that the loads have in its headers. */
enum minidump_kind {
	MINIDUMP_KIND_SLOT,	/* has one of its own */
	MINIDUMP_KIND_RUNNING,	/* has one that follows the task on a CPU */
	MINIDUMP_KIND_STAGING,	/* the slot that the packed ones are in */
	MINIDUMP_KIND_PACKED,
	MINIDUMP_KIND_VIEW,	/* other addresses of memory that is in another load */
	MINIDUMP_KIND_DROPPED,
};

struct minidump_load {
	u64		vaddr;
	u64		paddr;
	u64		offset;		/* in the dump */
	u64		size;
	u16		order;		/* enum kmemdump_order; number of a running piece */
	u16		kind;		/* enum minidump_kind */
	u32		name_pages;	/* of what @name is the name of */
	const char	*name;		/* of a region in it, or NULL */
};

/* To find a name among those of the slots. */
#define MINIDUMP_NAME_BUCKETS	256

/* Loads that choosing slots may add. */
#define MINIDUMP_SPARE_LOADS	8

/* A core image that is cut into slots; the first slot is the head: all before the loads. */
struct minidump_layout {
	struct minidump_load		*loads;
	unsigned int			max_loads;
	unsigned int			nr_loads;
	struct minidump_slot		*slots;
	unsigned int			max_slots;
	unsigned int			nr_slots;
	unsigned int			nr_left_out;	/* loads */
	const struct minidump_load	*running;
	unsigned int			nr_running;
	void				*staging;	/* at panic: head and packed loads */
	size_t				staging_size;
	u32				*name_next;	/* slot -> slot */
	u32				name_heads[MINIDUMP_NAME_BUCKETS];

	u64				notes_offset;
	u64				left_out_offset;
	u64				sections_offset;
	u64				head_size;
	u64				size;
};

int minidump_layout_alloc(struct minidump_layout *layout, unsigned int max_slots,
			  unsigned int max_loads);
void minidump_layout_free(struct minidump_layout *layout);
bool minidump_lay_out(struct minidump_layout *layout, const struct kmemdump_image *image);

/* head.c: the first slot */
void minidump_lay_out_head(struct minidump_layout *layout, const struct kmemdump_image *image);
void minidump_put_head(struct minidump_layout *layout, const struct kmemdump_image *image,
		       void *head, unsigned int nr_refused);
size_t minidump_max_head(const struct minidump_layout *layout,
			 const struct kmemdump_image *image);

/* slots.c: the backend */

/* The task that a CPU runs. */
struct minidump_task {
	struct kmemdump_piece	pieces[MINIDUMP_TASK_PIECES];
	bool			known;
	unsigned int		first;		/* slot of the first piece, or 0 */
};

/* Firmware may be at work with one head, the other one is spare. */
#define MINIDUMP_HEADS		2

struct minidump_slots {
	struct kmemdump_backend		be;
	const struct minidump_slots_ops	*ops;
	void				*data;		/* of @ops */
	raw_spinlock_t			lock;		/* of all below, but for @panic */
	struct irq_work			retry;
	const struct kmemdump_entry	**carried;
	unsigned int			nr_carried;
	unsigned int			nr_refused;
	struct kmemdump_image		*image;
	struct minidump_layout		layout;
	void				*heads[MINIDUMP_HEADS];
	size_t				head_size;
	unsigned int			spare;		/* head and copy of the table */
	bool				published;
	u64				left_out_offset; /* of what is published */
	bool				gone;		/* nothing is published any more */

	/* To follow tasks, or NULL. */
	struct minidump_task		*tasks;		/* of each CPU */
	struct minidump_load		*task_loads;
	bool				alike;		/* the spare table has the same slots */
	int				changed;	/* CPU whose task differs there, or -1 */

	struct minidump_layout		panic;
};

struct minidump_slots *minidump_slots_alloc(const char *name,
					    const struct minidump_slots_ops *ops,
					    unsigned int max_slots, size_t staging_size,
					    bool follow_tasks);
void minidump_slots_stop(struct minidump_slots *s);
void minidump_slots_free(struct minidump_slots *s);
void minidump_slots_settle(struct minidump_slots *s);
void minidump_slots_switch(struct minidump_slots *s, unsigned int cpu,
			   const struct kmemdump_piece *pieces);

/* running.c: the task that each CPU runs */
void minidump_cut_task(const struct task_struct *task, struct kmemdump_piece *pieces);
int minidump_follow_tasks(struct minidump_slots *s);
void minidump_unfollow_tasks(struct minidump_slots *s);

#endif /* _QCOM_MINIDUMP_H */
