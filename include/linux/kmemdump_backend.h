/* SPDX-License-Identifier: GPL-2.0 */
/*
 * kmemdump: the API of backends, which get regions across the reset.
 *
 * A *hands-off* backend has ops->add() and ops->remove(): it keeps a table for
 * firmware true while the system runs, and nothing of it has to run at the
 * crash. A *writer* has ops->write(): at panic the core hands it the finished
 * record piece by piece.
 */
#ifndef _LINUX_KMEMDUMP_BACKEND_H
#define _LINUX_KMEMDUMP_BACKEND_H

#include <linux/list.h>
#include <linux/rbtree.h>
#include <linux/rcupdate.h>
#include <linux/time64.h>
#include <linux/types.h>
#include <uapi/linux/kmemdump.h>

struct kmemdump_backend;

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
 * @name:	unique name
 * @owner:	module that registered it, or "kernel"
 * @id:		unique id
 * @class:	enum kmemdump_class
 * @size:	bytes, the sum over @segments
 * @nr_segments: number of @segments
 * @segments:	the pieces, in order of virtual address
 *
 * Valid for a backend from ops->add() until its ops->remove() returns.
 */
struct kmemdump_entry {
	const char		*name;
	const char		*owner;
	int			id;
	u32			class;
	size_t			size;

	/* private: */
	struct rb_node		node;
	struct rcu_head		rcu;
	unsigned long		carriers;
	bool			held;		/* someone held its pages */

	/* public: */
	unsigned int		nr_segments;
	struct kmemdump_segment	segments[] __counted_by(nr_segments);
};

/**
 * struct kmemdump_backend_ops - what a backend can do
 * @add:	carry @entry from now on. Process context, may sleep. An error
 *		marks the region as not carried by this backend
 * @remove:	stop carrying @entry. Process context, may sleep
 * @open:	panic: start a record. -EBUSY where an unread one is in the way
 * @write:	panic: append @len bytes, all or nothing. Never called for more
 *		than max_bytes of the backend in all
 * @close:	panic: the record was written, or given up after an error
 *
 * The panic ops run with interrupts off and the other CPUs stopped, maybe in
 * NMI context: they must not sleep, allocate, or wait for a lock.
 */
struct kmemdump_backend_ops {
	int	(*add)(struct kmemdump_backend *be, const struct kmemdump_entry *entry);
	void	(*remove)(struct kmemdump_backend *be, const struct kmemdump_entry *entry);
	int	(*open)(struct kmemdump_backend *be);
	int	(*write)(struct kmemdump_backend *be, const void *buf, size_t len);
	void	(*close)(struct kmemdump_backend *be);
};

/**
 * struct kmemdump_backend - one way across the reset
 * @name:	shown to people; unique
 * @ops:	either @add and @remove, or @write with optional @open and @close
 * @max_slots:	hands-off: segments it can carry
 * @max_bytes:	writer: bytes of record it can take
 */
struct kmemdump_backend {
	const char				*name;
	const struct kmemdump_backend_ops	*ops;
	unsigned int				max_slots;
	u64					max_bytes;

	/* private: */
	struct list_head			list;
	unsigned int				index;
	unsigned int				used_slots;
	unsigned int				nr_refused;
};

#ifdef CONFIG_KMEMDUMP

int kmemdump_register_backend(struct kmemdump_backend *be);
void kmemdump_unregister_backend(struct kmemdump_backend *be);
int kmemdump_record_probe(const void *buf, size_t size, struct timespec64 *time);

#else

static inline int kmemdump_register_backend(struct kmemdump_backend *be)
{
	return -EOPNOTSUPP;
}

static inline void kmemdump_unregister_backend(struct kmemdump_backend *be)
{
}

static inline int kmemdump_record_probe(const void *buf, size_t size, struct timespec64 *time)
{
	return -EOPNOTSUPP;
}

#endif /* CONFIG_KMEMDUMP */

#endif /* _LINUX_KMEMDUMP_BACKEND_H */
