/* SPDX-License-Identifier: GPL-2.0 */
/* kmemdump: what the files of the core share. */
#ifndef _MM_KMEMDUMP_H
#define _MM_KMEMDUMP_H

#include <linux/elfcore.h>
#include <linux/kmemdump.h>
#include <linux/kmemdump_backend.h>
#include <linux/mutex.h>
#include <linux/xarray.h>
#include <linux/zstd.h>

struct kmemdump_image;
struct kmemdump_stream;

/*
 * All that is registered. There is one live table; KUnit tests make their own.
 *
 * Who reads at panic takes no lock: @regions and @backends are RCU-safe, and
 * @image and @stream are replaced as a whole, always by one that is large
 * enough before a region goes in.
 */
struct kmemdump_table {
	struct mutex		lock;		/* serialises all changes */
	struct xarray		regions;	/* id -> struct kmemdump_entry */
	struct rb_root		names;
	struct list_head	backends;
	unsigned long		backend_indexes;
	unsigned int		nr_regions;
	unsigned int		nr_segments;
	unsigned int		nr_writers;
	struct kmemdump_image	*image;
	struct kmemdump_stream	*stream;
};

extern struct kmemdump_table kmemdump_table;

/* For tables that are made at run time. */
static inline void kmemdump_table_init(struct kmemdump_table *table)
{
	mutex_init(&table->lock);
	xa_init_flags(&table->regions, XA_FLAGS_ALLOC);
	INIT_LIST_HEAD(&table->backends);
}

/* core.c */
int kmemdump_add(struct kmemdump_table *table, struct kmemdump_region *region,
		 struct module *owner, enum kmemdump_class class);
int kmemdump_remove(struct kmemdump_table *table, struct kmemdump_region *region);

/* translate.c */
struct kmemdump_entry *kmemdump_translate(const struct kmemdump_region *region,
					  struct module *owner);
bool kmemdump_entry_present(const struct kmemdump_entry *entry);

/* backend.c; all with the table's lock held, but the first two */
int kmemdump_attach(struct kmemdump_table *table, struct kmemdump_backend *be);
void kmemdump_detach(struct kmemdump_table *table, struct kmemdump_backend *be);
int kmemdump_backends_reserve(struct kmemdump_table *table, unsigned int nr_regions,
			      unsigned int nr_segments);
void kmemdump_backends_add(struct kmemdump_table *table, struct kmemdump_entry *entry);
void kmemdump_backends_remove(struct kmemdump_table *table, struct kmemdump_entry *entry);

static inline bool kmemdump_is_writer(const struct kmemdump_backend *be)
{
	return be->ops->write;
}

/* elfcore.c: the core image, a file that exists only as something to read from */

/* A region as it is at the crash. */
struct kmemdump_image_region {
	const struct kmemdump_entry	*entry;
	u64				checksum;
	u32				state;
	u32				first_segment;
};

/* One PT_LOAD: whole pages, no two overlap in @vaddr. */
struct kmemdump_load {
	u64	vaddr;
	u64	paddr;
	u64	size;
	u64	offset;		/* in the core image */
	u32	class;
};

struct kmemdump_image {
	unsigned int			max_regions;
	unsigned int			max_loads;
	unsigned int			nr_regions;
	unsigned int			nr_segments;
	unsigned int			nr_loads;
	struct kmemdump_image_region	*regions;
	struct kmemdump_load		*loads;

	u64				notes_offset;
	u64				notes_size;
	u64				data_offset;
	u64				size;

	time64_t			time;
	bool				has_regs;
	struct elf_prstatus		prstatus;
	size_t				vmcoreinfo_size;
	char				vmcoreinfo[PAGE_SIZE + 32];
};

struct kmemdump_image *kmemdump_image_alloc(unsigned int max_regions, unsigned int max_loads);
void kmemdump_image_free(struct kmemdump_image *image);
void kmemdump_image_build(struct kmemdump_image *image, struct kmemdump_table *table,
			  struct pt_regs *regs);
void kmemdump_image_read(const struct kmemdump_image *image, u64 offset, void *buf, size_t len);

/* serialize.c */

/* The memory that the panic-time writer needs, allocated when a writer attaches. */
struct kmemdump_stream {
	u64			record_id;
	zstd_parameters		params;
	zstd_cctx		*cctx;
	void			*workspace;
	void			*in;
	void			*out;
	size_t			out_size;
};

struct kmemdump_stream *kmemdump_stream_alloc(void);
void kmemdump_stream_free(struct kmemdump_stream *stream);
int kmemdump_serialize(struct kmemdump_backend *be, struct kmemdump_stream *stream,
		       const struct kmemdump_image *image);
void kmemdump_write_all(struct kmemdump_table *table, struct pt_regs *regs);

#endif /* _MM_KMEMDUMP_H */
