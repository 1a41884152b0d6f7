/* SPDX-License-Identifier: GPL-2.0 */
/*
 * kmemdump: the API of backends, which get regions across the reset.
 *
 * The ops tables of a backend say how it works:
 *
 * - A *writer* stores a finished record at panic: struct kmemdump_writer_ops.
 * - A *firmware-assisted* backend keeps a table of its own while the system runs, and
 *   firmware saves what is in it: struct kmemdump_table_ops. Nothing has to run at the
 *   crash. If it also has struct kmemdump_image_ops, it gets the layout of the core image
 *   at panic, and whenever it asks for it.
 */
#ifndef _LINUX_KMEMDUMP_BACKEND_H
#define _LINUX_KMEMDUMP_BACKEND_H

#include <linux/errno.h>
#include <linux/list.h>
#include <linux/time64.h>
#include <linux/types.h>
#include <uapi/linux/kmemdump.h>

struct elf64_hdr;
struct kmemdump_backend;
struct kmemdump_carrier;
struct kmemdump_entry;
struct kmemdump_image;

/* Backends that can be attached at once. */
#define KMEMDUMP_MAX_BACKENDS	12

/* The log is cut into this many parts by age, each with twice the records of the part before. */
#define KMEMDUMP_LOG_STEPS	16

/**
 * enum kmemdump_order - how much memory matters: the lowest value matters most
 * @KMEMDUMP_ORDER_LOG_HEAD:	what leads to the records of the log
 * @KMEMDUMP_ORDER_LOG_NEWEST:	the newest records; the values after it are for older ones
 * @KMEMDUMP_ORDER_LOG:		the rest of the log
 * @KMEMDUMP_ORDER_CRASHED:	the task that panicked
 * @KMEMDUMP_ORDER_CURRENT:	the tasks on the other CPUs
 * @KMEMDUMP_ORDER_HIGH:	regions of drivers, by their priority, and the administrator's
 * @KMEMDUMP_ORDER_NORMAL:	as above
 * @KMEMDUMP_ORDER_IMAGE:	the variables and constants of the kernel image
 * @KMEMDUMP_ORDER_PERCPU:	per-CPU variables and the stacks of CPUs
 * @KMEMDUMP_ORDER_TASKS:	tasks that do not run
 * @KMEMDUMP_ORDER_REST:	what else debuggers look at
 * @KMEMDUMP_ORDER_LOW:		regions of drivers with low priority
 * @KMEMDUMP_NR_ORDERS:		number of values
 */
enum kmemdump_order {
	KMEMDUMP_ORDER_LOG_HEAD,
	KMEMDUMP_ORDER_LOG_NEWEST,
	KMEMDUMP_ORDER_LOG = KMEMDUMP_ORDER_LOG_NEWEST + KMEMDUMP_LOG_STEPS,
	KMEMDUMP_ORDER_CRASHED,
	KMEMDUMP_ORDER_CURRENT,
	KMEMDUMP_ORDER_HIGH,
	KMEMDUMP_ORDER_NORMAL,
	KMEMDUMP_ORDER_IMAGE,
	KMEMDUMP_ORDER_PERCPU,
	KMEMDUMP_ORDER_TASKS,
	KMEMDUMP_ORDER_REST,
	KMEMDUMP_ORDER_LOW,
	KMEMDUMP_NR_ORDERS
};

/**
 * struct kmemdump_piece - a physically contiguous part of a region
 * @virt_addr:	kernel virtual address
 * @phys_addr:	physical address
 * @size:	bytes
 */
struct kmemdump_piece {
	unsigned long	virt_addr;
	phys_addr_t	phys_addr;
	size_t		size;
};

/**
 * struct kmemdump_load - memory that the core image has: a PT_LOAD of it, whole pages
 * @vaddr:	kernel virtual address
 * @paddr:	physical address
 * @size:	bytes
 * @order:	how much it matters
 */
struct kmemdump_load {
	u64			vaddr;
	u64			paddr;
	u64			size;
	enum kmemdump_order	order;
};

/**
 * struct kmemdump_writer_ops - how a record is stored
 * @open:	optional: a record starts; -%EBUSY if an unread one is in the way
 * @write:	append @len bytes to the record
 * @close:	optional: the record ends, also after an error
 *
 * Context: panic. Other CPUs are stopped and may hold any lock, so no op may take one,
 * and none may allocate or sleep.
 */
struct kmemdump_writer_ops {
	int	(*open)(struct kmemdump_backend *be);
	int	(*write)(struct kmemdump_backend *be, const void *buf, size_t len);
	void	(*close)(struct kmemdump_backend *be);
};

/**
 * struct kmemdump_table_ops - how the table of a firmware-assisted backend is kept
 * @add:	carry a region from now on; returns 0 or a negative errno, -%ENOSPC if there
 *		is no room for it. Process context, may sleep
 * @remove:	the region goes: firmware must not find its memory in the table when this
 *		returns. Process context, may sleep
 * @update:	the region is at another place now. Any context, also NMI. After an error
 *		the backend counts as not carrying the region until an update succeeds. It
 *		may run for a region while @add or @remove runs for another one
 * @refused:	optional: @nr regions are not carried now. Process context, may sleep
 *
 * The core serialises @add, @remove and @refused. A region is valid from @add until @remove
 * has returned and an RCU grace period is over.
 */
struct kmemdump_table_ops {
	int	(*add)(struct kmemdump_backend *be, const struct kmemdump_entry *entry);
	void	(*remove)(struct kmemdump_backend *be, const struct kmemdump_entry *entry);
	int	(*update)(struct kmemdump_backend *be, const struct kmemdump_entry *entry);
	void	(*refused)(struct kmemdump_backend *be, unsigned int nr);
};

/**
 * struct kmemdump_image_ops - what the core image is to hold
 * @all:	at panic, the image has all regions that the backend may carry, not only
 *		those that its table has, and is built before writers run, not after that
 * @build:	make the table of @image. At panic: no lock, no allocation, no sleeping; and
 *		in kmemdump_refresh_backend(), in process context. kmemdump_image_live() says
 *		which it is. @image is valid until @build returns
 */
struct kmemdump_image_ops {
	bool	all;
	void	(*build)(struct kmemdump_backend *be, const struct kmemdump_image *image);
};

/**
 * struct kmemdump_backend - a way across the reset
 * @name:	unique name
 * @writer:	of a writer
 * @table:	of a firmware-assisted backend
 * @image:	optional, only with @table
 * @max_bytes:	writer: bytes of record it can take; else bytes of regions it can carry
 * @max_slots:	with @table: pieces of regions it can carry
 * @align:	with @table: pieces have to start and end at multiples of this power of two;
 *		0: anywhere
 * @max_name:	with @table: characters of the longest name it can keep; 0: any
 *
 * A backend has either @writer or @table. Limits must not change while it is attached.
 */
struct kmemdump_backend {
	const char				*name;
	const struct kmemdump_writer_ops	*writer;
	const struct kmemdump_table_ops		*table;
	const struct kmemdump_image_ops		*image;
	u64					max_bytes;
	unsigned int				max_slots;
	unsigned int				align;
	unsigned int				max_name;

	/* private: */
	struct list_head			list;
	struct kmemdump_carrier			*carrier;
};

#ifdef CONFIG_KMEMDUMP

int kmemdump_register_backend(struct kmemdump_backend *be);
bool kmemdump_unregister_backend(struct kmemdump_backend *be);
void kmemdump_refresh_backend(struct kmemdump_backend *be);

/* Regions */
int kmemdump_entry_id(const struct kmemdump_entry *entry);
const char *kmemdump_entry_name(const struct kmemdump_entry *entry);
const char *kmemdump_entry_owner(const struct kmemdump_entry *entry);
size_t kmemdump_entry_size(const struct kmemdump_entry *entry);
const struct kmemdump_piece *kmemdump_entry_pieces(const struct kmemdump_entry *entry,
						   unsigned int *nr);

/* The core image */
struct kmemdump_image *kmemdump_image_alloc(unsigned int max_regions, unsigned int max_pieces,
					    unsigned int max_loads);
void kmemdump_image_free(struct kmemdump_image *image);
void kmemdump_image_build_from(struct kmemdump_image *image,
			       const struct kmemdump_entry * const *entries, unsigned int nr);
bool kmemdump_image_moved(const struct kmemdump_image *image);
bool kmemdump_image_live(const struct kmemdump_image *image);
unsigned int kmemdump_image_nr_regions(const struct kmemdump_image *image);
unsigned int kmemdump_image_nr_loads(const struct kmemdump_image *image);
struct kmemdump_load kmemdump_image_load(const struct kmemdump_image *image, unsigned int i);
const struct kmemdump_piece *kmemdump_image_pieces(const struct kmemdump_image *image,
						   unsigned int i, const char **name,
						   unsigned int *nr);
const void *kmemdump_image_notes(const struct kmemdump_image *image, size_t *size,
				 size_t *left_out);
size_t kmemdump_image_max_notes(const struct kmemdump_image *image);
void kmemdump_image_copy(const struct kmemdump_image *image, u64 vaddr, u64 paddr, void *buf,
			 size_t len);
void kmemdump_fill_elf_header(struct elf64_hdr *ehdr, unsigned int nr_phdrs);

/* For <asm/kmemdump.h>: what only the architecture knows of a crash */
bool kmemdump_peek(void *to, const void *from, size_t size);
void kmemdump_image_add(struct kmemdump_image *image, unsigned long addr, size_t size,
			enum kmemdump_order order);

/* Records */
int kmemdump_record_probe(const void *buf, size_t size, struct timespec64 *time);
bool kmemdump_has_frame(const void *buf, size_t size);

#else

static inline int kmemdump_register_backend(struct kmemdump_backend *be)
{
	return -EOPNOTSUPP;
}

static inline bool kmemdump_unregister_backend(struct kmemdump_backend *be)
{
	return true;
}

#endif /* CONFIG_KMEMDUMP */

#ifdef CONFIG_KMEMDUMP_CORESET
size_t kmemdump_image_data_size(void);
#else
static inline size_t kmemdump_image_data_size(void)
{
	return 0;
}
#endif

#endif /* _LINUX_KMEMDUMP_BACKEND_H */
