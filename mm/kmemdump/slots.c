// SPDX-License-Identifier: GPL-2.0-only
/*
 * kmemdump: the core image for firmware that saves what a table lists.
 *
 * Each range that firmware saves takes a slot, and there are few of them. So the
 * core image is cut into slots: the first one is a buffer of ours with all that
 * stands before the loads, and each other one is a load where it is in memory.
 * What firmware saves needs only to be put together in the order of the table.
 *
 * While the system runs, the image has the regions that the backend carries. It is
 * made anew with each change, in the one of two buffers that firmware would not
 * look at, and then handed to the backend to switch over. Nothing has to run at
 * the crash. With kmemdump.running, the image also has the task on each CPU, and
 * both buffers are laid out alike: at a context switch only the addresses of the
 * task change, in the spare one.
 *
 * If we get to run at panic, the image has all that the writer's has. The largest
 * loads keep slots of their own, and all others are copied to one *staging*
 * buffer, most important first. Their program headers point to where they are in
 * it; who puts the dump together finds no range that starts at their physical
 * address, and passes over them.
 *
 * Copyright (C) 2026 the kmemdump authors
 */
#define pr_fmt(fmt) "kmemdump: " fmt

#include <linux/cpumask.h>
#include <linux/ctype.h>
#include <linux/elf.h>
#include <linux/gfp.h>
#include <linux/io.h>
#include <linux/irq_work.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/sort.h>
#include <linux/spinlock.h>
#include <linux/string.h>

#include "kmemdump.h"

/* Firmware may be at work with one of them, the other one is spare. */
#define NR_HEADS	2
#define PANIC_COPY	(KMEMDUMP_SLOT_COPIES - 1)

#define MIN_NAME	3

/* Less than this is of no use as a staging buffer. */
#define MIN_STAGING	SZ_64K

/* The task that a CPU runs. */
struct running_task {
	struct kmemdump_segment	pieces[KMEMDUMP_TASK_PIECES];
	bool			known;
	unsigned int		first;		/* slot of the first piece, or 0 */
};

struct kmemdump_slots {
	struct kmemdump_backend		*be;
	raw_spinlock_t			lock;		/* of all below, but for the panic ones */
	struct irq_work			retry;
	unsigned int			nr_carried;
	const struct kmemdump_entry	**carried;
	struct kmemdump_image		*image;
	unsigned int			spare;
	void				*heads[NR_HEADS];
	size_t				head_size;
	bool				gone;		/* nothing is published any more */

	/* Of what is published, as @image is worked with. */
	unsigned int			nr_slots;
	unsigned int			nr_left_out;	/* without those refused */
	u64				left_out_offset;
	u64				sections_offset;

	/* To follow tasks, or NULL. */
	struct running_task		*running;	/* of each CPU */
	struct kmemdump_load		*running_loads;
	bool				alike;		/* the spare table has the same slots */
	int				changed;	/* CPU whose task differs there, or -1 */

	struct kmemdump_slot		*panic_slots;
	u32				*panic_names;
	void				*staging;
	size_t				staging_size;
};

/* Names */

static const char * const order_names[] = {
	[KMEMDUMP_ORDER_LOG]		= "log",
	[KMEMDUMP_ORDER_CRASHED]	= "crashed",
	[KMEMDUMP_ORDER_CURRENT]	= "current",
	[KMEMDUMP_ORDER_HIGH]		= "high",
	[KMEMDUMP_ORDER_NORMAL]		= "normal",
	[KMEMDUMP_ORDER_LOW]		= "low",
	[KMEMDUMP_ORDER_IMAGE]		= "image",
	[KMEMDUMP_ORDER_PERCPU]		= "cpu",
	[KMEMDUMP_ORDER_TASKS]		= "task",
	[KMEMDUMP_ORDER_REST]		= "rest",
};

/* The slots whose names have the same hash are chained, by index; 0 ends a chain. */
static u32 *name_bucket(struct kmemdump_image *image, const char *name)
{
	unsigned int hash = 0;

	while (*name)
		hash = hash * 31 + tolower(*name++);
	return &image->name_heads[hash % KMEMDUMP_NAME_BUCKETS];
}

static bool name_taken(const struct kmemdump_image *image, unsigned int slot, const char *name)
{
	for (; slot; slot = image->name_next[slot])
		if (!strcasecmp(image->slots[slot].name, name))
			return true;
	return false;
}

/*
 * Make a name of @text for the slot @nr, other than those of the slots before it.
 * It becomes the name of a file, on any file system.
 */
static void name_slot(struct kmemdump_image *image, unsigned int nr, const char *text)
{
	char *name = image->slots[nr].name;
	unsigned int number, len;
	char suffix[8];
	u32 *bucket;

	name[0] = 'K';
	strscpy(name + 1, text, KMEMDUMP_SLOT_NAME - 1);
	for (len = 1; name[len]; len++)
		if (!isalnum(name[len]))
			name[len] = '_';
	/* That is for the first one. */
	if (!strncasecmp(name, "KELF", 4))
		name[1] = '_';
	/* There are tools that pass over shorter ones. */
	while (len < MIN_NAME)
		name[len++] = '_';
	name[len] = '\0';

	for (number = nr; bucket = name_bucket(image, name), name_taken(image, *bucket, name);
	     number += 1000) {
		int digits = snprintf(suffix, sizeof(suffix), "_%u", number);

		len = min_t(unsigned int, len, KMEMDUMP_SLOT_NAME - 1 - digits);
		strscpy(name + len, suffix, KMEMDUMP_SLOT_NAME - len);
	}
	image->name_next[nr] = *bucket;
	*bucket = nr;
}

/* Whether @load is to have its name from @entry rather than from what it has now. */
static bool names_better(const struct kmemdump_image *image, const struct kmemdump_load *load,
			 const struct kmemdump_entry *entry)
{
	if (!load->region)
		return true;
	/* An area gives its name to all that is in it. */
	return entry->flags & KMEMDUMP_ENTRY_AREA &&
	       !(image->regions[load->region - 1].entry->flags & KMEMDUMP_ENTRY_AREA);
}

/* Which region each load has, while they are in the order of addresses. */
static void find_regions(struct kmemdump_image *image)
{
	unsigned int i, j, at;

	for (i = 0; i < image->nr_regions; i++) {
		const struct kmemdump_image_region *region = &image->regions[i];
		const struct kmemdump_entry *entry = region->entry;
		unsigned int copy = region->version & 1;
		const struct kmemdump_segment *segs = entry->segments + copy * entry->max_segments;

		for (j = 0; j < entry->nr_segments[copy]; j++) {
			at = kmemdump_image_first_behind(image, image->nr_loads,
							 segs[j].virt_addr);
			if (at < image->nr_loads && names_better(image, &image->loads[at], entry))
				image->loads[at].region = i + 1;
		}
	}
}

static const char *load_name(const struct kmemdump_image *image, const struct kmemdump_load *load)
{
	if (load->kind == KMEMDUMP_LOAD_STAGING)
		return "staging";
	if (load->region)
		return kmemdump_entry_name(image->regions[load->region - 1].entry);
	return load->order < ARRAY_SIZE(order_names) ? order_names[load->order] : "";
}

/* Choosing */

static int cmp_paddr(const void *a, const void *b)
{
	const struct kmemdump_load *x = a, *y = b;

	if (x->paddr != y->paddr)
		return x->paddr < y->paddr ? -1 : 1;
	return x->nr_pages > y->nr_pages ? -1 : x->nr_pages < y->nr_pages;
}

static int cmp_size(const void *a, const void *b)
{
	const struct kmemdump_load *x = a, *y = b;

	if (x->kind != y->kind)
		return x->kind < y->kind ? -1 : 1;
	if (x->nr_pages != y->nr_pages)
		return x->nr_pages > y->nr_pages ? -1 : 1;
	/* Of the same size, what matters more has a slot more surely. */
	if (x->order != y->order)
		return x->order < y->order ? -1 : 1;
	return x->vaddr < y->vaddr ? -1 : x->vaddr > y->vaddr;
}

static int cmp_place(const void *a, const void *b)
{
	const struct kmemdump_load *x = a, *y = b;

	if (x->kind != y->kind)
		return x->kind < y->kind ? -1 : 1;
	if (x->order != y->order)
		return x->order < y->order ? -1 : 1;
	return x->vaddr < y->vaddr ? -1 : x->vaddr > y->vaddr;
}

/* Often they are in that order already, and to see that is cheap. */
static void sort_loads(struct kmemdump_image *image, cmp_func_t cmp)
{
	unsigned int i;

	for (i = 1; i < image->nr_loads; i++)
		if (cmp(&image->loads[i - 1], &image->loads[i]) > 0)
			break;
	if (i < image->nr_loads)
		sort(image->loads, image->nr_loads, sizeof(*image->loads), cmp, NULL);
}

/* Have the part [@start, @end) of @load copied; what is before and behind it stays. */
static void split_load(struct kmemdump_image *image, struct kmemdump_load *load, u64 start, u64 end)
{
	struct kmemdump_load before = *load, behind = *load;

	before.nr_pages = (start - load->vaddr) >> PAGE_SHIFT;
	behind.nr_pages -= (end - load->vaddr) >> PAGE_SHIFT;
	behind.vaddr = end;
	behind.paddr += end - load->vaddr;
	load->paddr += start - load->vaddr;
	load->vaddr = start;
	load->nr_pages = (end - start) >> PAGE_SHIFT;
	load->kind = KMEMDUMP_LOAD_PACKED;
	if (before.nr_pages)
		image->loads[image->nr_loads++] = before;
	if (behind.nr_pages)
		image->loads[image->nr_loads++] = behind;
}

/* Have all loads of [@addr, @addr + @size) copied. It adds two loads at most. */
static void split_range(struct kmemdump_image *image, unsigned long addr, size_t size)
{
	u64 start = addr & PAGE_MASK, end = PAGE_ALIGN(addr + size);
	unsigned int i, nr = image->nr_loads;

	for (i = 0; i < nr; i++) {
		struct kmemdump_load *load = &image->loads[i];
		u64 first = max(start, load->vaddr);
		u64 last = min(end, load->vaddr + kmemdump_load_size(load));

		if (first < last)
			split_load(image, load, first, last);
	}
}

/*
 * Firmware finds memory as it is at the reset. Copy what will not be as it is now: the
 * stack that we are on, for we return, and the mask of the CPUs that are online,
 * which has lost those that were stopped.
 */
static void split_changing(struct kmemdump_image *image)
{
	unsigned long frame = (unsigned long)__builtin_frame_address(0);

	split_range(image, ALIGN_DOWN(frame, THREAD_SIZE), THREAD_SIZE);
	split_range(image, (unsigned long)&__cpu_online_mask, sizeof(__cpu_online_mask));
}

/*
 * No two slots may have the same address, and nothing has to be saved twice: a load
 * of memory that is all in another one becomes a view of that. Its offset is the
 * physical address of the other one for now.
 */
static void find_views(struct kmemdump_image *image)
{
	const struct kmemdump_load *cover = NULL;
	unsigned int i;

	sort_loads(image, cmp_paddr);
	for (i = 0; i < image->nr_loads; i++) {
		struct kmemdump_load *load = &image->loads[i];
		u64 end = load->paddr + kmemdump_load_size(load);

		if (load->kind)
			continue;
		if (cover && end <= cover->paddr + kmemdump_load_size(cover)) {
			load->kind = KMEMDUMP_LOAD_VIEW;
			load->offset = cover->paddr;
		} else {
			/* It starts not before the last one, and ends behind it. */
			cover = load;
		}
	}
}

/* Of the loads that would have slots, all but the @nr largest become @kind. */
static void mark_from(struct kmemdump_image *image, unsigned int nr, enum kmemdump_load_kind kind)
{
	unsigned int i, nr_slots = 0;

	for (i = 0; i < image->nr_loads; i++)
		nr_slots += image->loads[i].kind == KMEMDUMP_LOAD_SLOT;
	if (nr_slots <= nr)
		return;
	sort_loads(image, cmp_size);
	for (i = nr; i < image->nr_loads && image->loads[i].kind == KMEMDUMP_LOAD_SLOT; i++)
		image->loads[i].kind = kind;
}

/* Say which loads have slots; those stand first then. */
static void choose_kinds(struct kmemdump_image *image)
{
	unsigned int max = image->max_slots - 1;

	if (!image->staging) {
		find_views(image);
		mark_from(image, max - image->nr_running, KMEMDUMP_LOAD_DROPPED);
		memcpy(image->loads + image->nr_loads, image->running,
		       image->nr_running * sizeof(*image->running));
		image->nr_loads += image->nr_running;
	} else {
		split_changing(image);
		find_views(image);
		mark_from(image, max - 1, KMEMDUMP_LOAD_PACKED);
		image->loads[image->nr_loads++] = (struct kmemdump_load) {
			.kind = KMEMDUMP_LOAD_STAGING,
		};
	}
	sort_loads(image, cmp_place);
}

static bool has_slot(const struct kmemdump_load *load)
{
	return load->kind <= KMEMDUMP_LOAD_STAGING;
}

static const char *running_name(const struct kmemdump_load *load, char *name, size_t size)
{
	snprintf(name, size, load->order % KMEMDUMP_TASK_PIECES ? "stack%u" : "task%u",
		 load->order / KMEMDUMP_TASK_PIECES);
	return name;
}

static void name_slots(struct kmemdump_image *image)
{
	char buf[KMEMDUMP_SLOT_NAME];
	unsigned int i;

	/* No other name can be that one. */
	strscpy(image->slots[0].name, "KELF_HDR");
	image->nr_slots = 1;
	memset(image->name_heads, 0, sizeof(image->name_heads));
	for (i = 0; i < image->nr_loads && has_slot(&image->loads[i]); i++) {
		const struct kmemdump_load *load = &image->loads[i];

		name_slot(image, image->nr_slots++, load->kind == KMEMDUMP_LOAD_RUNNING ?
			  running_name(load, buf, sizeof(buf)) : load_name(image, load));
	}
}

/* Find places in the staging buffer, for as many as there is room for. */
static void pack(struct kmemdump_image *image, size_t room)
{
	struct kmemdump_load *staging = &image->loads[image->nr_slots - 2];
	size_t used = 0;
	unsigned int i;

	for (i = image->nr_slots - 1; i < image->nr_loads; i++) {
		struct kmemdump_load *load = &image->loads[i];

		if (load->kind != KMEMDUMP_LOAD_PACKED)
			continue;
		if (kmemdump_load_size(load) > room - used) {
			load->kind = KMEMDUMP_LOAD_DROPPED;
			continue;
		}
		load->offset = used;
		used += kmemdump_load_size(load);
	}
	staging->nr_pages = used >> PAGE_SHIFT;
	if (!used) {
		/* It is the last one with a slot, and nobody misses it. */
		staging->kind = KMEMDUMP_LOAD_DROPPED;
		image->nr_left_out--;
		image->nr_slots--;
	}
}

/* The load that @view shows a part of, or NULL if it was dropped. */
static const struct kmemdump_load *find_cover(const struct kmemdump_image *image,
					      const struct kmemdump_load *view)
{
	u64 end = view->paddr + kmemdump_load_size(view);
	unsigned int i;

	for (i = 0; i < image->nr_loads; i++) {
		const struct kmemdump_load *load = &image->loads[i];

		if (load->kind != KMEMDUMP_LOAD_SLOT && load->kind != KMEMDUMP_LOAD_PACKED)
			continue;
		if (load->paddr == view->offset && end <= load->paddr + kmemdump_load_size(load))
			return load;
	}
	return NULL;
}

static void remove_dropped(struct kmemdump_image *image)
{
	unsigned int i, nr = 0;

	for (i = 0; i < image->nr_loads; i++) {
		struct kmemdump_load *load = &image->loads[i];

		if (load->kind == KMEMDUMP_LOAD_VIEW && !find_cover(image, load))
			load->kind = KMEMDUMP_LOAD_DROPPED;
		image->nr_left_out += load->kind == KMEMDUMP_LOAD_DROPPED;
	}
	for (i = 0; i < image->nr_loads; i++)
		if (image->loads[i].kind != KMEMDUMP_LOAD_DROPPED)
			image->loads[nr++] = image->loads[i];
	image->nr_loads = nr;
}

static void place_loads(struct kmemdump_image *image)
{
	u64 pos = image->data_offset, staging = 0;
	unsigned int i;

	for (i = 0; i < image->nr_loads; i++) {
		struct kmemdump_load *load = &image->loads[i];

		switch (load->kind) {
		case KMEMDUMP_LOAD_STAGING:
			load->vaddr = (unsigned long)image->staging + image->data_offset;
			load->paddr = virt_to_phys(image->staging) + image->data_offset;
			staging = pos;
			fallthrough;
		case KMEMDUMP_LOAD_SLOT:
		case KMEMDUMP_LOAD_RUNNING:
			image->slots[i + 1].phys_addr = load->paddr;
			image->slots[i + 1].size = kmemdump_load_size(load);
			load->offset = pos;
			pos += kmemdump_load_size(load);
			break;
		case KMEMDUMP_LOAD_PACKED:
			kmemdump_image_copy_load(image, load, image->staging + image->data_offset +
						 load->offset);
			load->offset += staging;
			break;
		}
	}
	image->size = pos;
}

static bool is_slot_address(const struct kmemdump_image *image, u64 paddr)
{
	unsigned int i;

	for (i = 0; i < image->nr_slots; i++)
		if (image->slots[i].phys_addr == paddr)
			return true;
	return false;
}

/* A load without a slot must not have the physical address of one, for the assembler. */
static void place_views(struct kmemdump_image *image)
{
	unsigned int i;

	for (i = image->nr_slots - 1; i < image->nr_loads; i++) {
		struct kmemdump_load *load = &image->loads[i];

		if (load->kind == KMEMDUMP_LOAD_VIEW) {
			const struct kmemdump_load *cover = find_cover(image, load);

			load->offset = cover->offset + load->paddr - cover->paddr;
		}
	}
	for (i = image->nr_slots - 1; i < image->nr_loads; i++)
		if (is_slot_address(image, image->loads[i].paddr))
			image->loads[i].paddr = U64_MAX;
}

/*
 * Cut @image, whose loads are merged and in the order of addresses, into slots. If
 * not even its head fits the staging buffer, nr_slots is 0.
 */
void kmemdump_choose_slots(struct kmemdump_image *image)
{
	find_regions(image);
	choose_kinds(image);
	name_slots(image);
	/* That is at most what it takes: some may be dropped. */
	kmemdump_image_lay_out_head(image);
	if (image->staging) {
		if (image->data_offset > image->staging_size) {
			image->nr_slots = 0;
			return;
		}
		pack(image, image->staging_size - image->data_offset);
	}
	remove_dropped(image);
	kmemdump_image_lay_out_head(image);
	place_loads(image);
	place_views(image);
}

/* While the system runs */

static void put_head(struct kmemdump_image *image, void *head)
{
	image->slots[0].phys_addr = virt_to_phys(head);
	image->slots[0].size = image->data_offset;
	kmemdump_image_read(image, 0, head, image->data_offset);
}

/* Whether a region has moved since the image was built: it may be a mixture then. */
static bool has_moved(const struct kmemdump_image *image)
{
	unsigned int i;

	/* Look again only after all has been read. */
	smp_rmb();
	for (i = 0; i < image->nr_regions; i++)
		if (READ_ONCE(image->regions[i].entry->version) != image->regions[i].version)
			return true;
	return false;
}

/* Have the image take in the tasks, as far as they are known. */
static void list_running(struct kmemdump_slots *s)
{
	struct kmemdump_load *load = s->running_loads;
	unsigned int cpu, i;

	for (cpu = 0; cpu < nr_cpu_ids; cpu++) {
		const struct running_task *r = &s->running[cpu];

		for (i = 0; r->known && i < KMEMDUMP_TASK_PIECES; i++)
			*load++ = (struct kmemdump_load) {
				.vaddr		= r->pieces[i].virt_addr,
				.paddr		= r->pieces[i].phys_addr,
				.nr_pages	= r->pieces[i].size >> PAGE_SHIFT,
				.order		= cpu * KMEMDUMP_TASK_PIECES + i,
				.kind		= KMEMDUMP_LOAD_RUNNING,
			};
	}
	s->image->nr_running = load - s->running_loads;
}

/* Note where the tasks are in what was published, and have the spare table be the same. */
static void make_alike(struct kmemdump_slots *s)
{
	struct kmemdump_image *image = s->image;
	void *head = s->heads[s->spare];
	unsigned int i;

	for (i = 0; i < image->nr_loads; i++) {
		const struct kmemdump_load *load = &image->loads[i];

		if (load->kind == KMEMDUMP_LOAD_RUNNING && !(load->order % KMEMDUMP_TASK_PIECES))
			s->running[load->order / KMEMDUMP_TASK_PIECES].first = i + 1;
	}
	memcpy(head, s->heads[!s->spare], image->data_offset);
	image->slots[0].phys_addr = virt_to_phys(head);
	s->be->ops->fill(s->be, s->spare, image->slots, image->nr_slots);
	s->alike = true;
	s->changed = -1;
}

/*
 * Make the image of what is carried and have the backend switch to it. Not if a
 * region moved meanwhile: then who moved it comes here afterwards.
 */
static bool rebuild(struct kmemdump_slots *s)
{
	struct kmemdump_image *image = s->image;
	unsigned int nr_refused;

	lockdep_assert_held(&s->lock);

	if (s->gone)
		return true;
	s->alike = false;
	if (s->running)
		list_running(s);
	kmemdump_image_build_from(image, s->carried, s->nr_carried);
	nr_refused = READ_ONCE(s->be->nr_refused);
	image->nr_left_out += nr_refused;
	/* Better what is there now than what is not all of it. */
	if (WARN_ON_ONCE(image->data_offset > s->head_size))
		return true;
	put_head(image, s->heads[s->spare]);
	if (has_moved(image))
		return false;
	s->be->ops->fill(s->be, s->spare, image->slots, image->nr_slots);
	s->be->ops->publish(s->be, s->spare, image->nr_slots);
	s->spare = !s->spare;
	s->nr_slots = image->nr_slots;
	s->nr_left_out = image->nr_left_out - nr_refused;
	s->left_out_offset = kmemdump_image_left_out_offset(image);
	s->sections_offset = image->sections_offset;
	if (s->running)
		make_alike(s);
	return true;
}

/*
 * Of those who move regions, each CPU can get in the way once: then it waits for the
 * lock.
 */
static void rebuild_surely(struct kmemdump_slots *s)
{
	while (!rebuild(s))
		cpu_relax();
}

int kmemdump_slots_add(struct kmemdump_backend *be, struct kmemdump_entry *entry)
{
	struct kmemdump_slots *s = be->slots;
	unsigned long flags;

	if (s->nr_carried == be->max_slots)
		return -ENOSPC;
	/* We are not told of its moves yet. */
	kmemdump_lock_entry(entry);
	raw_spin_lock_irqsave(&s->lock, flags);
	s->carried[s->nr_carried++] = entry;
	rebuild_surely(s);
	raw_spin_unlock_irqrestore(&s->lock, flags);
	kmemdump_unlock_entry(entry);
	return 0;
}

void kmemdump_slots_remove(struct kmemdump_backend *be, const struct kmemdump_entry *entry)
{
	struct kmemdump_slots *s = be->slots;
	unsigned long flags;
	unsigned int i;

	raw_spin_lock_irqsave(&s->lock, flags);
	for (i = 0; i < s->nr_carried; i++)
		if (s->carried[i] == entry)
			break;
	if (i < s->nr_carried) {
		s->nr_carried--;
		memmove(s->carried + i, s->carried + i + 1,
			(s->nr_carried - i) * sizeof(*s->carried));
		rebuild_surely(s);
	}
	raw_spin_unlock_irqrestore(&s->lock, flags);
}

/* The number of regions that are not carried may be another one; process context. */
void kmemdump_slots_count(struct kmemdump_backend *be)
{
	struct kmemdump_slots *s = be->slots;
	unsigned int nr_left_out;
	unsigned long flags;

	raw_spin_lock_irqsave(&s->lock, flags);
	nr_left_out = s->nr_left_out + be->nr_refused;
	if (!s->gone && s->nr_slots) {
		/* One store: firmware may be looking. */
		WRITE_ONCE(*(u32 *)(s->heads[!s->spare] + s->left_out_offset), nr_left_out);
		if (s->alike)
			*(u32 *)(s->heads[s->spare] + s->left_out_offset) = nr_left_out;
	}
	raw_spin_unlock_irqrestore(&s->lock, flags);
}

/*
 * A region has moved. Any context. Who comes in an NMI while someone rebuilds can't wait
 * for that: then firmware would find it at its old place until the interrupt that is
 * raised here, for as long as a rebuild takes. In a panic who rebuilds may be stopped.
 */
void kmemdump_slots_update(struct kmemdump_backend *be)
{
	struct kmemdump_slots *s = be->slots;
	unsigned long flags;
	bool done = false;

	if (!in_nmi() && !oops_in_progress) {
		raw_spin_lock_irqsave(&s->lock, flags);
		done = rebuild(s);
		raw_spin_unlock_irqrestore(&s->lock, flags);
	} else if (raw_spin_trylock_irqsave(&s->lock, flags)) {
		done = rebuild(s);
		raw_spin_unlock_irqrestore(&s->lock, flags);
	}
	if (!done)
		irq_work_queue(&s->retry);
}

static void retry(struct irq_work *work)
{
	kmemdump_slots_update(container_of(work, struct kmemdump_slots, retry)->be);
}

/* Have the spare table list the task on @cpu. */
static void place_running(struct kmemdump_slots *s, unsigned int cpu)
{
	const struct running_task *r = &s->running[cpu];
	struct elf64_phdr *phdrs = s->heads[s->spare] + sizeof(struct elf64_hdr);
	struct elf64_shdr *shdrs = s->heads[s->spare] + s->sections_offset;
	unsigned int i;

	for (i = 0; i < KMEMDUMP_TASK_PIECES; i++) {
		unsigned int slot = r->first + i;

		/* Before the slots, there is a header for the notes, and one for the names. */
		phdrs[slot].p_vaddr = r->pieces[i].virt_addr;
		phdrs[slot].p_paddr = r->pieces[i].phys_addr;
		shdrs[slot + 1].sh_addr = r->pieces[i].virt_addr;
		s->be->ops->move(s->be, s->spare, slot, r->pieces[i].phys_addr);
	}
}

/*
 * @cpu, which is this one unless a test runs, goes over to the task of these pieces.
 * In the scheduler, so nothing may be woken up.
 */
void kmemdump_slots_switch(struct kmemdump_backend *be, unsigned int cpu,
			   const struct kmemdump_segment *pieces)
{
	struct kmemdump_slots *s = be->slots;
	struct running_task *r;
	bool placed;

	if (!s->running)
		return;
	r = &s->running[cpu];
	raw_spin_lock(&s->lock);
	memcpy(r->pieces, pieces, sizeof(r->pieces));
	r->known = true;
	placed = s->gone || (s->alike && r->first);
	if (placed && !s->gone) {
		if (s->changed >= 0 && s->changed != cpu)
			place_running(s, s->changed);
		place_running(s, cpu);
		be->ops->publish(be, s->spare, s->nr_slots);
		s->spare = !s->spare;
		s->changed = cpu;
	}
	raw_spin_unlock(&s->lock);
	if (!placed)
		irq_work_queue(&s->retry);
}

/* At panic */

/*
 * Publish what @table and the crash have, from the memory that is kept for that: a
 * rebuild may be under way on a CPU that was stopped.
 */
void kmemdump_slots_panic(struct kmemdump_backend *be, struct kmemdump_table *table,
			  struct kmemdump_image *image, struct pt_regs *regs)
{
	struct kmemdump_slots *s = be->slots;
	unsigned int stale = atomic_read(&be->nr_stale);

	if (!image || !s->staging) {
		pr_notice("%s: %u regions left to it, %u not carried\n", be->name,
			  be->nr_carried - stale, be->nr_refused + stale);
		return;
	}
	/* Someone may have been stopped while it was working with it. */
	image->live = false;
	image->slots = s->panic_slots;
	image->name_next = s->panic_names;
	image->max_slots = s->image->max_slots;
	image->staging = s->staging;
	image->staging_size = s->staging_size;
	kmemdump_image_build(image, table, be, regs);
	if (image->nr_slots) {
		/* What others do to regions in the panic must not undo this. */
		s->gone = true;
		put_head(image, s->staging);
		be->ops->fill(be, PANIC_COPY, image->slots, image->nr_slots);
		be->ops->publish(be, PANIC_COPY, image->nr_slots);
		pr_notice("%s: %u regions, %llu bytes in %u slots left to it, %u pieces left out\n",
			  be->name, image->nr_regions, image->size, image->nr_slots,
			  image->nr_left_out);
	} else {
		pr_err("%s: the staging buffer is too small; %u regions left to it as they were\n",
		       be->name, be->nr_carried - stale);
	}
	image->slots = NULL;
	image->staging = NULL;
}

/* Setting up */

static void free_pages_of(void *p, size_t size)
{
	if (p)
		free_pages_exact(p, size);
}

static void free_slots(struct kmemdump_slots *s)
{
	int i;

	if (!s)
		return;
	for (i = 0; i < NR_HEADS; i++)
		free_pages_of(s->heads[i], s->head_size);
	free_pages_of(s->staging, s->staging_size);
	if (s->image) {
		kvfree(s->image->slots);
		kvfree(s->image->name_next);
	}
	kvfree(s->panic_slots);
	kvfree(s->panic_names);
	kvfree(s->running);
	kvfree(s->running_loads);
	kvfree(s->image);
	kvfree(s->carried);
	kfree(s);
}

/* Bytes of the largest head that an image of @max_slots regions can have. */
static size_t max_head_size(struct kmemdump_image *image)
{
	unsigned int i;

	image->nr_slots = image->max_slots;
	for (i = 0; i < image->nr_slots; i++)
		memset(image->slots[i].name, 'K', KMEMDUMP_SLOT_NAME - 1);
	image->nr_regions = image->max_regions;
	image->nr_segments = image->max_regions;
	image->nr_loads = image->max_slots - 1;
	image->nr_cpus = image->max_cpus;
	image->vmcoreinfo_size = sizeof(image->vmcoreinfo);
	kmemdump_image_lay_out_head(image);
	return image->data_offset;
}

/* Memory that is contiguous; less than asked for is better than nothing. */
static void alloc_staging(struct kmemdump_slots *s)
{
	size_t size;

	for (size = PAGE_ALIGN(s->be->staging_size); size >= MIN_STAGING;
	     size = ALIGN_DOWN(size / 2, PAGE_SIZE)) {
		s->staging = alloc_pages_exact(size, GFP_KERNEL | __GFP_NOWARN | __GFP_ZERO);
		if (s->staging)
			break;
	}
	s->staging_size = s->staging ? size : 0;
	if (s->staging_size < s->be->staging_size)
		pr_warn("backend %s: %zu bytes asked for to stage memory in, %zu there\n",
			s->be->name, s->be->staging_size, s->staging_size);
	s->be->staging_size = s->staging_size;
}

/* Set slots aside for what runs; how many. */
static int alloc_running(struct kmemdump_slots *s)
{
	unsigned int nr = num_possible_cpus() * KMEMDUMP_TASK_PIECES;

	if (nr > s->be->max_slots / 2) {
		pr_warn("backend %s: %u slots are too few to follow what runs, which takes %u\n",
			s->be->name, s->be->max_slots, nr);
		return 0;
	}
	s->running = kvcalloc(nr_cpu_ids, sizeof(*s->running), GFP_KERNEL);
	s->running_loads = kvcalloc(nr, sizeof(*s->running_loads), GFP_KERNEL);
	if (!s->running || !s->running_loads)
		return -ENOMEM;
	return nr;
}

/*
 * All that @be, which has ops->publish(), needs in order to be told of regions, and
 * with @follow_tasks also of what runs.
 */
int kmemdump_slots_alloc(struct kmemdump_backend *be, bool follow_tasks)
{
	struct kmemdump_slots *s = kzalloc(sizeof(*s), GFP_KERNEL);
	unsigned int max = be->max_slots;
	int nr_running = 0, i;

	if (!s)
		return -ENOMEM;
	s->be = be;
	if (follow_tasks)
		nr_running = alloc_running(s);
	if (nr_running < 0)
		goto fail;
	raw_spin_lock_init(&s->lock);
	init_irq_work(&s->retry, retry);
	s->carried = kvcalloc(max, sizeof(*s->carried), GFP_KERNEL);
	s->panic_slots = kvcalloc(1 + max, sizeof(*s->panic_slots), GFP_KERNEL);
	s->panic_names = kvcalloc(1 + max, sizeof(*s->panic_names), GFP_KERNEL);
	s->image = kmemdump_image_alloc(max, max);
	if (!s->carried || !s->panic_slots || !s->panic_names || !s->image)
		goto fail;
	s->image->slots = kvcalloc(1 + max, sizeof(*s->image->slots), GFP_KERNEL);
	s->image->name_next = kvcalloc(1 + max, sizeof(*s->image->name_next), GFP_KERNEL);
	if (!s->image->slots || !s->image->name_next)
		goto fail;
	s->image->max_slots = 1 + max;
	s->image->max_loads = max - nr_running;
	s->image->running = s->running_loads;
	s->image->live = true;
	s->head_size = max_head_size(s->image);
	for (i = 0; i < NR_HEADS; i++) {
		s->heads[i] = alloc_pages_exact(s->head_size, GFP_KERNEL | __GFP_ZERO);
		if (!s->heads[i])
			goto fail;
	}
	alloc_staging(s);
	be->max_slots -= nr_running;
	be->slots = s;
	return 0;

fail:
	free_slots(s);
	return -ENOMEM;
}

/* Have @be forget all slots; no region is told to it any more. */
void kmemdump_slots_stop(struct kmemdump_backend *be)
{
	struct kmemdump_slots *s = be->slots;
	unsigned long flags;

	raw_spin_lock_irqsave(&s->lock, flags);
	be->ops->publish(be, s->spare, 0);
	s->gone = true;
	raw_spin_unlock_irqrestore(&s->lock, flags);
}

/* Wait until all changes have reached @be. May sleep. */
void kmemdump_slots_settle(struct kmemdump_backend *be)
{
	irq_work_sync(&be->slots->retry);
}

/* After kmemdump_slots_stop(), when nobody moves regions of @be any more. */
void kmemdump_slots_free(struct kmemdump_backend *be)
{
	kmemdump_slots_settle(be);
	be->max_slots = be->slots->image->max_slots - 1;
	free_slots(be->slots);
	be->slots = NULL;
}
