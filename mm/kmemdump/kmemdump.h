/* SPDX-License-Identifier: GPL-2.0 */
/*
 * kmemdump: what the files of the core share.
 *
 * Words:
 *	region		named memory that a provider registered
 *	entry		the core's own record of a region
 *	piece		a physically contiguous part of a region
 *	table		all entries and all backends
 *	order		what goes first where there is not room for all
 *	area		a region with others inside, such as .data; it changes at the crash, too
 *	core set	regions that the kernel registers about itself
 *	core image	the ELF core, which exists only as its headers, notes and a list of loads
 *	load		memory that the core image has: a PT_LOAD
 *	record		a finished core image as a writer stores it
 */
#ifndef _MM_KMEMDUMP_H
#define _MM_KMEMDUMP_H

#include <linux/atomic.h>
#include <linux/bitops.h>
#include <linux/elf.h>
#include <linux/kmemdump.h>
#include <linux/kmemdump_backend.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/ptrace.h>
#include <linux/rhashtable.h>
#include <linux/xarray.h>
#include <linux/zstd.h>

struct elf_prstatus;
struct kmemdump_carry;
struct kmemdump_room;

/* translate.c: kernel addresses */

/* The page table entries that lead to an address, from the top on. */
struct kmemdump_tables {
	const void	*entries[5];
	unsigned int	nr;
};

/* Where the memory of a region is, as its provider said. */
struct kmemdump_place {
	unsigned long		addr;
	const void __percpu	*percpu;
	size_t			size;
};

bool kmemdump_is_linear(unsigned long addr);
bool kmemdump_translate_addr(unsigned long addr, phys_addr_t *phys);
bool kmemdump_walk_tables(unsigned long addr, phys_addr_t *phys, struct kmemdump_tables *tables);
bool kmemdump_readable(unsigned long addr, phys_addr_t phys);
bool kmemdump_read(void *buf, unsigned long addr, phys_addr_t phys, size_t len);
int kmemdump_get_place(const struct kmemdump_region *region, struct kmemdump_place *place);
int kmemdump_find_pieces(const struct kmemdump_place *place, struct kmemdump_piece *pieces,
			 unsigned int max, bool atomic);
bool kmemdump_piece_present(const struct kmemdump_piece *piece);
bool kmemdump_piece_held(const struct kmemdump_piece *piece);
bool kmemdump_is_percpu(unsigned long addr, const struct module *mod);
void kmemdump_set_addr(struct kmemdump_region *region, unsigned long addr,
		       const struct module *mod);

/* entry.c: regions as the core keeps them */

/* struct kmemdump_entry.flags; readers of full dumps know the first one. */
#define KMEMDUMP_ENTRY_PERCPU	0x01
#define KMEMDUMP_ENTRY_MAPPED	0x02	/* the core has mapped it, and unmaps it */
#define KMEMDUMP_ENTRY_SILENT	0x04	/* goes with its module without a warning */
#define KMEMDUMP_ENTRY_AREA	0x08	/* see above */
#define KMEMDUMP_ENTRY_CPU	0x10	/* the per-CPU area of one CPU */
#define KMEMDUMP_ENTRY_RING	0x20	/* of the log: its newest part goes first */
#define KMEMDUMP_ENTRY_MODULE	0x40	/* the struct module of its owner */

/*
 * Bits of struct kmemdump_entry.state: one for each backend that carries the region, one
 * for each of those that could not follow its last update, and a lock.
 */
#define KMEMDUMP_BIT_STALE	KMEMDUMP_MAX_BACKENDS
#define KMEMDUMP_BIT_LOCK	31

struct kmemdump_entry {
	struct list_head	list;
	int			id;
	u8			class;		/* enum kmemdump_class */
	u8			order;		/* enum kmemdump_order */
	u8			flags;
	u8			held;		/* bit for each copy: its first page was in use */
	struct module		*owner;
	union {
		struct rhash_head	node;	/* while it is registered */
		struct rcu_head		rcu;	/* afterwards */
	};
	unsigned long		state;

	/*
	 * There are two copies of the pieces, so that a region can be updated while other code
	 * reads them: @version & 1 is the copy that counts. An update fills the other one, and
	 * then adds 1 to @version.
	 */
	unsigned int		version;
	unsigned int		nr_pieces[2];
	unsigned int		max_pieces;	/* room in each copy */
	struct kmemdump_piece	*pieces;
	unsigned long		*pfns;		/* of @pieces, for readers of full dumps */
	char			names[];	/* of the region, then of its owner */
};

/* All that is registered. There is one live table; KUnit tests make their own. */
struct kmemdump_table {
	struct mutex		lock;		/* serialises all changes */
	struct list_head	entries;
	struct xarray		ids;		/* id -> entry; RCU-safe */
	struct rhashtable	names;
	bool			names_ready;
	struct list_head	backends;	/* RCU-safe */
	unsigned long		backend_indexes;
	unsigned int		nr_regions;
	unsigned int		nr_pieces;	/* room for pieces in one copy of all entries */
	u32			next_id;
	struct kmemdump_room	*room;		/* see struct kmemdump_room_ops */
};

extern struct kmemdump_table kmemdump_table;

struct kmemdump_entry *kmemdump_entry_make(const struct kmemdump_region *region,
					   struct module *owner);
bool kmemdump_same_place(const struct kmemdump_piece *pieces, const struct kmemdump_region *region);
void kmemdump_entry_free(struct kmemdump_entry *entry);
bool kmemdump_entry_present(const struct kmemdump_entry *entry, unsigned int version);
bool kmemdump_entry_trylock(struct kmemdump_entry *entry);
void kmemdump_entry_lock(struct kmemdump_entry *entry);
void kmemdump_entry_unlock(struct kmemdump_entry *entry);

/* The pieces of @entry as they are in @version of it. */
static inline const struct kmemdump_piece *
kmemdump_entry_copy(const struct kmemdump_entry *entry, unsigned int version, unsigned int *nr)
{
	*nr = READ_ONCE(entry->nr_pieces[version & 1]);
	return entry->pieces + (version & 1) * entry->max_pieces;
}

/* backend.c: which backend carries which region */

/* What the core keeps of a backend. */
struct kmemdump_carrier {
	unsigned int		index;		/* bit in struct kmemdump_entry.state */
	u32			classes;	/* bits of enum kmemdump_class: what it may carry */
	unsigned int		nr_carried;
	unsigned int		nr_refused;
	unsigned int		nr_filtered;
	atomic_t		nr_stale;
	struct kmemdump_carry	*carry;		/* of a firmware-assisted backend, else NULL */
};

/* Memory that is needed at panic, and has to be there before: the layers above know how much. */
struct kmemdump_room_ops {
	int	(*attach)(struct kmemdump_table *table, const struct kmemdump_backend *be);
	void	(*detach)(struct kmemdump_table *table, const struct kmemdump_backend *be);
	int	(*reserve)(struct kmemdump_table *table, unsigned int nr_regions,
			   unsigned int nr_pieces);
};

/* Set once at boot, before any backend attaches. */
extern const struct kmemdump_room_ops *kmemdump_room_ops;

/* Why a region is not carried: a number to be printed with %pe, or one of these. */
#define KMEMDUMP_CARRIED	0
#define KMEMDUMP_FILTERED	1
#define KMEMDUMP_STALE		2

/* Whether @be has accepted @entry. */
static inline bool kmemdump_has_accepted(const struct kmemdump_backend *be,
					 const struct kmemdump_entry *entry)
{
	return test_bit(be->carrier->index, &entry->state);
}

/* Whether @be could not follow the last update of @entry. */
static inline bool kmemdump_is_stale(const struct kmemdump_backend *be,
				     const struct kmemdump_entry *entry)
{
	return test_bit(be->carrier->index + KMEMDUMP_BIT_STALE, &entry->state);
}

int kmemdump_attach(struct kmemdump_table *table, struct kmemdump_backend *be);
void kmemdump_detach(struct kmemdump_table *table, struct kmemdump_backend *be);
int kmemdump_backends_reserve(struct kmemdump_table *table, unsigned int nr_regions,
			      unsigned int nr_pieces);
void kmemdump_backends_add(struct kmemdump_table *table, struct kmemdump_entry *entry);
void kmemdump_backends_remove(struct kmemdump_table *table, struct kmemdump_entry *entry);
bool kmemdump_may_carry(const struct kmemdump_backend *be, const struct kmemdump_entry *entry);
int kmemdump_reason(const struct kmemdump_backend *be, const struct kmemdump_entry *entry);
const char *kmemdump_class_name(unsigned int class);
u32 kmemdump_parse_classes(const char *text, const char *backend);

/* carry.c: what a firmware-assisted backend carries */

/* What the core keeps of such a backend besides. */
struct kmemdump_carry {
	bool		was_full;
	struct xarray	errors;			/* id -> errno of a region that it refused */
	struct {
		u64		used_bytes;
		unsigned int	used_slots;
		struct xarray	waiting;	/* id -> entry for which there is no room */
		unsigned long	last_tried;
	} orders[KMEMDUMP_NR_ORDERS];
};

#ifdef CONFIG_KMEMDUMP_ASSISTED
struct kmemdump_carry *kmemdump_carry_alloc(void);
void kmemdump_carry_free(struct kmemdump_carry *carry);
void kmemdump_carry_add(struct kmemdump_table *table, struct kmemdump_backend *be,
			struct kmemdump_entry *entry);
void kmemdump_carry_remove(struct kmemdump_backend *be, struct kmemdump_entry *entry);
void kmemdump_carry_refill(struct kmemdump_table *table, struct kmemdump_backend *be);
int kmemdump_carry_error(const struct kmemdump_backend *be, const struct kmemdump_entry *entry);
void kmemdump_backends_update(struct kmemdump_table *table, struct kmemdump_entry *entry);
#else
static inline struct kmemdump_carry *kmemdump_carry_alloc(void)
{
	return NULL;
}

static inline void kmemdump_carry_free(struct kmemdump_carry *carry)
{
}

static inline void kmemdump_carry_add(struct kmemdump_table *table, struct kmemdump_backend *be,
				      struct kmemdump_entry *entry)
{
}

static inline void kmemdump_carry_remove(struct kmemdump_backend *be,
					 struct kmemdump_entry *entry)
{
}

static inline void kmemdump_carry_refill(struct kmemdump_table *table,
					 struct kmemdump_backend *be)
{
}

static inline int kmemdump_carry_error(const struct kmemdump_backend *be,
				       const struct kmemdump_entry *entry)
{
	return -ENOSPC;
}

static inline void kmemdump_backends_update(struct kmemdump_table *table,
					    struct kmemdump_entry *entry)
{
}
#endif

/* core.c: registration */
int kmemdump_check_place(const struct kmemdump_region *region);
bool kmemdump_is_named(const struct kmemdump_entry *entry, const char *name);
int kmemdump_register(struct kmemdump_region *region, struct module *owner, void *caller);
int kmemdump_add(struct kmemdump_table *table, struct kmemdump_region *region,
		 struct module *owner, enum kmemdump_class class, u8 flags);
int kmemdump_add_core_region(const char *name, const void *addr, size_t size,
			     enum kmemdump_class class, u8 flags);
int kmemdump_remove(struct kmemdump_table *table, struct kmemdump_region *region);
void kmemdump_remove_entry(struct kmemdump_table *table, struct kmemdump_entry *entry);
struct kmemdump_entry *kmemdump_find(struct kmemdump_table *table, const char *name);

/* update.c: regions that are at another place now */
int kmemdump_entry_update(struct kmemdump_entry *entry, const struct kmemdump_region *region);
int kmemdump_update(struct kmemdump_table *table, const struct kmemdump_region *region);

/* lifetime.c: regions go with their driver, module or memory */
unsigned int kmemdump_remove_module(struct kmemdump_table *table, struct module *mod);
unsigned int kmemdump_remove_range(struct kmemdump_table *table, unsigned long start_pfn,
				   unsigned long nr_pages);

/* registers.c: the CPUs at the crash */
struct kmemdump_image_cpu {
	u32		cpu;
	u32		state;		/* enum kmemdump_cpu_state */
	u32		pid;		/* of the task that it runs */
	struct pt_regs	regs;
};

bool kmemdump_noted_regs(unsigned int cpu, struct pt_regs *regs);
void kmemdump_save_cpu(struct kmemdump_image_cpu *out, unsigned int cpu, struct pt_regs *regs,
		       bool live);
void kmemdump_fill_prstatus(struct elf_prstatus *prstatus, const struct kmemdump_image_cpu *cpu);
void kmemdump_fill_crash_note(const struct kmemdump_image_cpu *cpu);

/* elfcore.c: the core image, and its bytes */

/* A region as it is at the crash. */
struct kmemdump_image_region {
	const struct kmemdump_entry	*entry;
	u64				checksum;
	u32				first_piece;
	u32				nr_pieces;
	u32				version;	/* of @entry that the image has */
	u8				state;		/* enum kmemdump_state */
};

struct kmemdump_image {
	struct rcu_head			rcu;
	unsigned int			max_regions;
	unsigned int			max_pieces;
	unsigned int			max_loads;
	unsigned int			nr_regions;
	unsigned int			nr_pieces;
	unsigned int			nr_loads;
	unsigned int			nr_cpus;
	unsigned int			nr_left_out;	/* loads there was no room for */
	bool				live;		/* of a running system */
	bool				ahead;		/* for a crash that is still to come */
	bool				later;		/* firmware saves the memory later */
	bool				debuggers;	/* has what debuggers need in full mode */
	bool				has_log;
	bool				full;		/* merging loads does not help any more */
	unsigned long			last_table;
	struct kmemdump_image_region	*regions;
	struct kmemdump_image_cpu	*cpus;

	/* The start of the file: ELF header, program headers, and a section header if needed. */
	struct elf64_hdr		*head;
	/*
	 * The program headers of the loads, in @head. Until all are there and sorted, p_align is
	 * the order, and only p_vaddr, p_paddr and p_memsz are right besides.
	 */
	struct elf64_phdr		*loads;
	u32				order_end[KMEMDUMP_NR_ORDERS];	/* loads of it and better */
	void				*notes;
	size_t				max_notes;
	u64				head_size;
	u64				notes_size;
	u64				left_out_offset;
	u64				data_offset;
	u64				size;

	time64_t			time;
	size_t				vmcoreinfo_size;
	char				vmcoreinfo[PAGE_SIZE + 32];
};

/* The pieces of a region as they were when the image was built. */
static inline const struct kmemdump_piece *
kmemdump_region_pieces(const struct kmemdump_image_region *region)
{
	return region->entry->pieces + (region->version & 1) * region->entry->max_pieces;
}

void kmemdump_lay_out(struct kmemdump_image *image);
void kmemdump_image_read(const struct kmemdump_image *image, u64 offset, void *buf, size_t len);
size_t kmemdump_max_notes(unsigned int nr_regions, unsigned int nr_pieces);

/* image.c: what is in the core image */

/* What goes into an image of the live table besides regions. Set at boot; may be NULL. */
struct kmemdump_image_hooks {
	void	(*add_log)(struct kmemdump_image *image);	/* the newest records first */
	void	(*add_needed)(struct kmemdump_image *image);	/* debuggers can't start without */
	void	(*add_tasks)(struct kmemdump_image *image);	/* as many as there is room for */
	/* The page tables of a region. */
	void	(*add_tables)(struct kmemdump_image *image, unsigned long addr, size_t size,
			      enum kmemdump_order order);
};

extern struct kmemdump_image_hooks kmemdump_image_hooks;

/* Loads that the hooks may need: those of the log, and those of the others. */
#define KMEMDUMP_LOG_LOADS	(3 * 4 * KMEMDUMP_LOG_STEPS)
#define KMEMDUMP_MAX_FOUND	8192

void kmemdump_image_start(struct kmemdump_image *image, struct pt_regs *regs);
void kmemdump_image_add_region(struct kmemdump_image *image, const struct kmemdump_entry *entry);
void kmemdump_image_finish(struct kmemdump_image *image);
void kmemdump_image_build(struct kmemdump_image *image, struct kmemdump_table *table,
			  const struct kmemdump_backend *be, struct pt_regs *regs);
void kmemdump_image_push(struct kmemdump_image *image, u64 vaddr, u64 paddr, u64 size,
			 enum kmemdump_order order);

/* found.c: memory that hooks find at the crash; see also kmemdump_image_add() */
void kmemdump_image_add_tables(struct kmemdump_image *image, unsigned long addr, size_t size,
			       enum kmemdump_order order);

/* assisted.c: the core image for firmware-assisted backends */
#ifdef CONFIG_KMEMDUMP_ASSISTED
void kmemdump_build_images(struct kmemdump_table *table, struct kmemdump_image *image,
			   struct pt_regs *regs, bool all);
#else
static inline void kmemdump_build_images(struct kmemdump_table *table,
					 struct kmemdump_image *image, struct pt_regs *regs,
					 bool all)
{
}
#endif

/* serialize.c: the record */

/* The memory that compression needs. */
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

/* panic.c: what happens at panic, and the memory for it */
struct kmemdump_room {
	struct kmemdump_image	*image;
	struct kmemdump_stream	*stream;
	unsigned int		nr_writers;
	unsigned int		nr_imagers;	/* backends that work with @image */
};

void kmemdump_write_all(struct kmemdump_table *table, struct pt_regs *regs);

/* log.c: the kernel log */

/* Where the log is. Its head and its tail change; everything else is set at boot. */
struct kmemdump_log {
	void		**prb;
	void		*ring;
	size_t		ring_size;
	unsigned long	*head_id;
	unsigned long	*tail_id;
	unsigned long	*head_lpos;
	unsigned long	*tail_lpos;
	void		*descs;
	size_t		desc_size;
	size_t		begin;		/* offset in a descriptor: where its text starts */
	void		*infos;
	size_t		info_size;
	unsigned int	count_bits;
	char		*text;
	unsigned int	text_bits;
};

extern struct kmemdump_log kmemdump_log;

int kmemdump_vmcoreinfo_value(const char *key, unsigned int base, unsigned long *value);

/* coreset.c */
enum kmemdump_set {
	KMEMDUMP_SET_MINIMAL,	/* the log */
	KMEMDUMP_SET_STANDARD,	/* what debuggers need in full mode */
	KMEMDUMP_SET_EXTENDED,	/* and what is of use to people in them */
};

extern enum kmemdump_set kmemdump_set;

/* module.c */
bool kmemdump_is_module_addr(unsigned long addr);
void kmemdump_find_modules(struct kmemdump_image *image);

/* symbols.c, only with CONFIG_KALLSYMS */
int kmemdump_add_symbol(struct kmemdump_table *table, const char *text);
int kmemdump_remove_symbol(struct kmemdump_table *table, const char *name);

#endif /* _MM_KMEMDUMP_H */
