/* SPDX-License-Identifier: GPL-2.0 */
/* kmemdump: what the files of the core share. */
#ifndef _MM_KMEMDUMP_H
#define _MM_KMEMDUMP_H

#include <linux/bitops.h>
#include <linux/elfcore.h>
#include <linux/kexec.h>
#include <linux/kmemdump.h>
#include <linux/kmemdump_backend.h>
#include <linux/mutex.h>
#include <linux/rhashtable.h>
#include <linux/xarray.h>
#include <linux/zstd.h>

#include <asm/kexec.h>

#ifdef CONFIG_UNWINDER_ORC
#include <asm/orc_types.h>
#endif

struct kmemdump_image;
struct kmemdump_slots;
struct kmemdump_stream;

/* How much the kernel keeps of itself. */
enum kmemdump_set {
	KMEMDUMP_SET_NONE,	/* a test's table */
	KMEMDUMP_SET_MINIMAL,	/* the log */
	KMEMDUMP_SET_STANDARD,	/* what debuggers need in full mode */
	KMEMDUMP_SET_EXTENDED,	/* and what is of use to people in them */
};

/*
 * All that is registered. There is one live table; KUnit tests make their own.
 *
 * Who reads at panic takes no lock: @regions and @backends are RCU-safe, and
 * @image and @stream are replaced as a whole, always by one that is large
 * enough before a region goes in.
 */
struct kmemdump_table {
	enum kmemdump_set	set;
	bool			follow_tasks;	/* in slots, at each context switch */
	struct mutex		lock;		/* serialises all changes */
	struct xarray		regions;	/* id -> struct kmemdump_entry */
	struct rhashtable	names;
	bool			names_ready;
	struct list_head	backends;
	unsigned long		backend_indexes;
	unsigned int		nr_regions;
	unsigned int		nr_segments;
	unsigned int		nr_writers;
	unsigned int		nr_imagers;	/* backends that look at the core image */
	u32			next_id;
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

/* struct kmemdump_entry.flags */
#define KMEMDUMP_ENTRY_PERCPU	0x01
#define KMEMDUMP_ENTRY_MAPPED	0x02	/* by us; unmapped with the entry */
#define KMEMDUMP_ENTRY_SILENT	0x04	/* goes with its module without a word */
#define KMEMDUMP_ENTRY_AREA	0x08	/* others may be inside; it changes under the writer */
#define KMEMDUMP_ENTRY_CPU	0x10	/* the area of a CPU */
#define KMEMDUMP_ENTRY_RING	0x20	/* of the log: its newest part goes first */
#define KMEMDUMP_ENTRY_MODULE	0x40	/* the struct module of its owner */

/*
 * struct kmemdump_entry.state: a bit for each backend that was told of the
 * region, one for each that could not follow a move of it, and a lock.
 */
#define KMEMDUMP_BIT_STALE	KMEMDUMP_MAX_BACKENDS
#define KMEMDUMP_BIT_LOCK	31

static inline bool kmemdump_told(const struct kmemdump_entry *entry,
				 const struct kmemdump_backend *be)
{
	return test_bit(be->index, &entry->state);
}

static inline bool kmemdump_stale(const struct kmemdump_entry *entry,
				  const struct kmemdump_backend *be)
{
	return test_bit(be->index + KMEMDUMP_BIT_STALE, &entry->state);
}

static inline bool kmemdump_carried(const struct kmemdump_entry *entry,
				    const struct kmemdump_backend *be)
{
	return kmemdump_told(entry, be) && !kmemdump_stale(entry, be);
}

/* Whether the administrator lets @be have regions of this class. */
static inline bool kmemdump_may_carry(const struct kmemdump_backend *be,
				      const struct kmemdump_entry *entry)
{
	return be->classes & BIT(entry->class);
}

/* core.c */
int kmemdump_register(struct kmemdump_region *region, struct module *owner, void *caller);
int kmemdump_add(struct kmemdump_table *table, struct kmemdump_region *region,
		 struct module *owner, enum kmemdump_class class, u8 flags);
int kmemdump_remove(struct kmemdump_table *table, struct kmemdump_region *region);
void kmemdump_remove_entry(struct kmemdump_table *table, struct kmemdump_entry *entry);
int kmemdump_move(struct kmemdump_table *table, const struct kmemdump_region *region);
struct kmemdump_entry *kmemdump_find(struct kmemdump_table *table, const char *name);
void kmemdump_lock_entry(struct kmemdump_entry *entry);
void kmemdump_unlock_entry(struct kmemdump_entry *entry);

/* translate.c */
struct kmemdump_entry *kmemdump_translate(const struct kmemdump_region *region);
int kmemdump_retranslate(struct kmemdump_entry *entry, const struct kmemdump_region *region);
void kmemdump_entry_free(struct kmemdump_entry *entry);
bool kmemdump_entry_present(const struct kmemdump_entry *entry,
			    const struct kmemdump_segment *segs, unsigned int nr);
bool kmemdump_readable(unsigned long addr, phys_addr_t phys);
bool kmemdump_peek(void *to, const void *from, size_t size);
bool kmemdump_translate_addr(unsigned long addr, phys_addr_t *phys);
bool kmemdump_is_linear(unsigned long addr);

/* The page table entries that lead to an address, from the top on. */
struct kmemdump_tables {
	const void	*entries[5];
	unsigned int	nr;
};

bool kmemdump_walk_tables(unsigned long addr, phys_addr_t *phys, struct kmemdump_tables *tables);
size_t kmemdump_entry_size(const struct kmemdump_entry *entry);
const char *kmemdump_entry_owner(const struct kmemdump_entry *entry);
bool kmemdump_is_percpu(unsigned long addr, const struct module *mod);
void kmemdump_set_addr(struct kmemdump_region *region, unsigned long addr,
		       const struct module *mod);

/* coreset.c */
int kmemdump_add_core_region(const char *name, const void *addr, size_t size,
			     enum kmemdump_class class, u8 flags);

/* log.c */
int kmemdump_vmcoreinfo_value(const char *key, unsigned int base, unsigned long *value);
int kmemdump_add_log(void);
void kmemdump_add_newest_log(struct kmemdump_image *image);

/* module.c */
bool kmemdump_is_module_addr(unsigned long addr);
void kmemdump_add_module(struct module *mod);
void kmemdump_find_modules(struct kmemdump_image *image);

/* crashset.c; the linker makes the tables of the unwinder */
#ifdef CONFIG_UNWINDER_ORC
extern int __start_orc_unwind_ip[];
extern struct orc_entry __start_orc_unwind[];
#endif
void kmemdump_find_crash_set(struct kmemdump_image *image);
void kmemdump_find_tasks(struct kmemdump_image *image);
const struct task_struct *kmemdump_task_on(unsigned int cpu);

/* lifetime.c */
unsigned int kmemdump_remove_module(struct kmemdump_table *table, struct module *mod);
unsigned int kmemdump_remove_range(struct kmemdump_table *table, unsigned long start_pfn,
				   unsigned long nr_pages);

/* annotation.c; the linker makes the table of the kernel image */
extern const struct kmemdump_var __start_kmemdump_vars[], __stop_kmemdump_vars[];
unsigned int kmemdump_add_vars(struct kmemdump_table *table, const struct kmemdump_var *vars,
			       unsigned int nr, struct module *owner);

/* index.c */
int kmemdump_index_add(const void *addr, size_t size);
void kmemdump_index_remove(const void *addr, size_t size);

/* symbols.c, only with CONFIG_KALLSYMS */
int kmemdump_add_symbol(struct kmemdump_table *table, const char *text);
int kmemdump_remove_symbol(struct kmemdump_table *table, const char *name);

/* backend.c; all with the table's lock held, but attach, detach and moved */
int kmemdump_attach(struct kmemdump_table *table, struct kmemdump_backend *be);
void kmemdump_detach(struct kmemdump_table *table, struct kmemdump_backend *be);
int kmemdump_backends_reserve(struct kmemdump_table *table, unsigned int nr_regions,
			      unsigned int nr_segments);
void kmemdump_backends_add(struct kmemdump_table *table, struct kmemdump_entry *entry);
void kmemdump_backends_remove(struct kmemdump_table *table, struct kmemdump_entry *entry);
void kmemdump_backends_moved(struct kmemdump_table *table, struct kmemdump_entry *entry);
void kmemdump_backends_switch(struct kmemdump_table *table, const struct task_struct *next);
const char *kmemdump_class_name(unsigned int class);
u32 kmemdump_parse_classes(const char *text, const char *backend);

/* Why a region is not carried: a number to be printed with %pe, or one of these. */
#define KMEMDUMP_CARRIED	0
#define KMEMDUMP_FILTERED	1
#define KMEMDUMP_STALE		2
int kmemdump_reason(struct kmemdump_backend *be, const struct kmemdump_entry *entry);

static inline bool kmemdump_is_writer(const struct kmemdump_backend *be)
{
	return be->ops->write;
}

static inline bool kmemdump_has_slots(const struct kmemdump_backend *be)
{
	return be->ops->publish;
}

static inline bool kmemdump_wants_image(const struct kmemdump_backend *be)
{
	return be->ops->write || be->ops->image || be->ops->publish;
}

/* elfcore.c: the core image, a file that exists only as something to read from */

/* A region as it is at the crash. */
struct kmemdump_image_region {
	const struct kmemdump_entry	*entry;
	u64				checksum;
	u32				first_segment;
	u32				version;	/* tells the copy of its segments */
	u8				state;
};

/* The log is in so many parts by age, each with twice as many records as the one before. */
#define KMEMDUMP_LOG_STEPS	16

/* What stands first in the image: if the dump is cut, that is still there. */
enum kmemdump_order {
	KMEMDUMP_ORDER_LOG_HEAD,	/* what leads to the records of the log */
	KMEMDUMP_ORDER_LOG_NEWEST,	/* the newest of those, then older ones */
	KMEMDUMP_ORDER_LOG = KMEMDUMP_ORDER_LOG_NEWEST + KMEMDUMP_LOG_STEPS,
	KMEMDUMP_ORDER_CRASHED,		/* the task that panicked */
	KMEMDUMP_ORDER_CURRENT,		/* those on the other CPUs */
	KMEMDUMP_ORDER_HIGH,		/* providers' regions */
	KMEMDUMP_ORDER_NORMAL,
	KMEMDUMP_ORDER_LOW,
	KMEMDUMP_ORDER_IMAGE,		/* data of the kernel image */
	KMEMDUMP_ORDER_PERCPU,
	KMEMDUMP_ORDER_TASKS,
	KMEMDUMP_ORDER_REST,
};

/* How a load gets into an image of slots; for others it stays 0. In their order. */
enum kmemdump_load_kind {
	KMEMDUMP_LOAD_SLOT,		/* has one of its own */
	KMEMDUMP_LOAD_RUNNING,		/* has one that follows the task on a CPU */
	KMEMDUMP_LOAD_STAGING,		/* the slot that the packed ones are in */
	KMEMDUMP_LOAD_PACKED,
	KMEMDUMP_LOAD_VIEW,		/* other addresses of memory that is in another load */
	KMEMDUMP_LOAD_DROPPED,
};

/* One PT_LOAD: whole pages. No two overlap in @vaddr, but for those of tasks that run. */
struct kmemdump_load {
	u64	vaddr;
	u64	paddr;
	u64	offset;		/* in the core image */
	u32	nr_pages;
	u16	order;		/* enum kmemdump_order; number of a running piece */
	u16	kind;		/* enum kmemdump_load_kind */
	u32	region;		/* 1 + index of one in it that may give it a name, or 0 */
};

static inline u64 kmemdump_load_size(const struct kmemdump_load *load)
{
	return (u64)load->nr_pages << PAGE_SHIFT;
}

/* A CPU as it is at the crash. */
struct kmemdump_image_cpu {
	u32		cpu;
	u32		state;		/* enum kmemdump_cpu_state */
	u32		pid;		/* of the task that it runs */
	struct pt_regs	regs;
};

/* Loads that the crash set may need besides those of regions. */
#define KMEMDUMP_MAX_FOUND	8192

/*
 * And the log, by age: of three rings, each part may go on at the start of the ring and
 * leave a piece to fill_regions() before it and after it.
 */
#define KMEMDUMP_LOG_LOADS	(3 * 4 * KMEMDUMP_LOG_STEPS)

/* And that choosing slots may. */
#define KMEMDUMP_SPARE_LOADS	8

/* To find a name among those of the slots. */
#define KMEMDUMP_NAME_BUCKETS	256

struct kmemdump_image {
	struct rcu_head			rcu;
	enum kmemdump_set		set;
	unsigned int			max_regions;
	unsigned int			max_loads;
	unsigned int			max_cpus;
	unsigned int			nr_regions;
	unsigned int			nr_segments;
	unsigned int			nr_loads;
	unsigned int			nr_cpus;
	unsigned int			nr_left_out;	/* pieces there was no room for */
	bool				full;
	bool				live;		/* of a running system */
	bool				has_log;
	bool				later;		/* firmware saves what it describes */
	unsigned long			last_table;
	struct kmemdump_image_region	*regions;
	struct kmemdump_load		*loads;
	struct kmemdump_image_cpu	*cpus;

	/* Of an image of slots; the first one is what stands before the loads. */
	struct kmemdump_slot		*slots;
	unsigned int			max_slots;
	unsigned int			nr_slots;
	u32				*name_next;	/* slot -> slot */
	u32				name_heads[KMEMDUMP_NAME_BUCKETS];
	void				*staging;	/* at panic, or NULL */
	size_t				staging_size;
	const struct kmemdump_load	*running;
	unsigned int			nr_running;

	u64				notes_offset;
	u64				notes_size;
	u64				sections_offset;
	u64				data_offset;
	u64				size;

	time64_t			time;
	size_t				vmcoreinfo_size;
	char				vmcoreinfo[PAGE_SIZE + 32];
};

struct kmemdump_image *kmemdump_image_alloc(unsigned int max_regions, unsigned int max_loads);
void kmemdump_image_build(struct kmemdump_image *image, struct kmemdump_table *table,
			  const struct kmemdump_backend *be, struct pt_regs *regs);
void kmemdump_image_add(struct kmemdump_image *image, unsigned long addr, size_t size,
			enum kmemdump_order order);
void kmemdump_image_add_tables(struct kmemdump_image *image, unsigned long addr, size_t size,
			       enum kmemdump_order order);
void kmemdump_image_build_from(struct kmemdump_image *image,
			       const struct kmemdump_entry * const *entries, unsigned int nr);
bool kmemdump_noted_regs(unsigned int cpu, struct pt_regs *regs);
void kmemdump_image_copy_load(const struct kmemdump_image *image,
			      const struct kmemdump_load *load, void *buf);
void kmemdump_image_lay_out_head(struct kmemdump_image *image);
u64 kmemdump_image_left_out_offset(const struct kmemdump_image *image);
unsigned int kmemdump_image_first_behind(const struct kmemdump_image *image, unsigned int nr,
					 u64 addr);

/* A task in pieces that are contiguous each: its struct, and its stack. */
#define KMEMDUMP_STACK_PIECES	(IS_ENABLED(CONFIG_VMAP_STACK) ? \
				 (unsigned int)DIV_ROUND_UP(THREAD_SIZE, PAGE_SIZE) : 1)
#define KMEMDUMP_TASK_PIECES	(1 + KMEMDUMP_STACK_PIECES)

/* running.c */
void kmemdump_cut_task(const struct task_struct *task, struct kmemdump_segment *pieces);

/* slots.c: the core image for firmware that saves what a table lists */
int kmemdump_slots_alloc(struct kmemdump_backend *be, bool follow_tasks);
void kmemdump_slots_stop(struct kmemdump_backend *be);
void kmemdump_slots_settle(struct kmemdump_backend *be);
void kmemdump_slots_free(struct kmemdump_backend *be);
int kmemdump_slots_add(struct kmemdump_backend *be, struct kmemdump_entry *entry);
void kmemdump_slots_remove(struct kmemdump_backend *be, const struct kmemdump_entry *entry);
void kmemdump_slots_update(struct kmemdump_backend *be);
void kmemdump_slots_switch(struct kmemdump_backend *be, unsigned int cpu,
			   const struct kmemdump_segment *pieces);
void kmemdump_slots_count(struct kmemdump_backend *be);
void kmemdump_slots_panic(struct kmemdump_backend *be, struct kmemdump_table *table,
			  struct kmemdump_image *image, struct pt_regs *regs);
void kmemdump_choose_slots(struct kmemdump_image *image);

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

/*
 * Registers of this CPU, as far as the architecture has a way to save them. They
 * are those of the function that this is inlined into, which must not return
 * before the image is read: debuggers start from its stack frame.
 */
static __always_inline struct pt_regs *kmemdump_save_regs(struct pt_regs *regs)
{
#if defined(CONFIG_X86) || defined(CONFIG_ARM64) || defined(CONFIG_CRASH_DUMP)
	crash_setup_regs(regs, NULL);
	return regs;
#else
	return NULL;
#endif
}

#endif /* _MM_KMEMDUMP_H */
