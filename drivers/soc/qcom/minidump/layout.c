// SPDX-License-Identifier: GPL-2.0-only
/*
 * Qualcomm minidump: a core image that is cut into slots.
 *
 * Each range that firmware saves takes a slot, and there are few of them. The first slot is
 * a buffer of ours with all that stands before the loads, and each other one is a load where
 * it is in memory. What firmware saves needs only to be put together in the order of the
 * table.
 *
 * While the system runs, each load has a slot. At panic there are more loads than slots: the
 * largest keep slots of their own, and all others are copied to one *staging* buffer, what
 * matters most first. Their program headers lead to where they are in it; the assembler finds
 * no range that starts at their physical address, and passes over them.
 *
 * Copyright (C) 2026 the kmemdump authors
 */
#include <linux/cpumask.h>
#include <linux/ctype.h>
#include <linux/elf.h>
#include <linux/io.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/sort.h>
#include <linux/string.h>

#include "minidump.h"

#define MIN_NAME	3

int minidump_layout_alloc(struct minidump_layout *l, unsigned int max_slots,
			  unsigned int max_loads)
{
	/* More program headers than that have another way to be counted. */
	l->max_loads = min(max_loads, PN_XNUM - 2 - MINIDUMP_SPARE_LOADS);
	l->max_slots = max_slots;
	l->loads = kvcalloc(l->max_loads + MINIDUMP_SPARE_LOADS, sizeof(*l->loads), GFP_KERNEL);
	l->slots = kvcalloc(max_slots, sizeof(*l->slots), GFP_KERNEL);
	l->name_next = kvcalloc(max_slots, sizeof(*l->name_next), GFP_KERNEL);
	return l->loads && l->slots && l->name_next ? 0 : -ENOMEM;
}

void minidump_layout_free(struct minidump_layout *l)
{
	kvfree(l->loads);
	kvfree(l->slots);
	kvfree(l->name_next);
}

/* Loads */

static u64 end_of(const struct minidump_load *load)
{
	return load->vaddr + load->size;
}

static int cmp_address(const void *a, const void *b)
{
	const struct minidump_load *x = a, *y = b;

	return x->vaddr < y->vaddr ? -1 : x->vaddr > y->vaddr;
}

static int cmp_paddr(const void *a, const void *b)
{
	const struct minidump_load *x = a, *y = b;

	if (x->paddr != y->paddr)
		return x->paddr < y->paddr ? -1 : 1;
	return x->size > y->size ? -1 : x->size < y->size;
}

static int cmp_place(const void *a, const void *b)
{
	const struct minidump_load *x = a, *y = b;

	if (x->kind != y->kind)
		return x->kind < y->kind ? -1 : 1;
	/* If they are of the same size, what matters more has a slot more surely. */
	if (x->order != y->order)
		return x->order < y->order ? -1 : 1;
	return cmp_address(a, b);
}

static int cmp_size(const void *a, const void *b)
{
	const struct minidump_load *x = a, *y = b;

	if (x->kind == y->kind && x->size != y->size)
		return x->size > y->size ? -1 : 1;
	return cmp_place(a, b);
}

/* Often they are in that order already, and to see that is cheap. */
static void sort_loads(struct minidump_layout *l, cmp_func_t cmp)
{
	unsigned int i;

	for (i = 1; i < l->nr_loads; i++)
		if (cmp(&l->loads[i - 1], &l->loads[i]) > 0)
			break;
	if (i < l->nr_loads)
		sort(l->loads, l->nr_loads, sizeof(*l->loads), cmp, NULL);
}

/* Take over the loads of @image; neighbours become one, whatever they are, to save slots. */
static void take_loads(struct minidump_layout *l, const struct kmemdump_image *image)
{
	unsigned int nr = kmemdump_image_nr_loads(image), room = l->max_loads - l->nr_running;
	unsigned int nr_large = 0, i, out = 0;

	/* Without room for all, leave out small loads at the end, which matter least. */
	for (i = room; i < nr && nr_large < room; i++)
		nr_large += kmemdump_image_load(image, i).size > PAGE_SIZE;
	l->nr_loads = 0;
	for (i = 0; i < nr && l->nr_loads < room; i++) {
		struct kmemdump_load load = kmemdump_image_load(image, i);

		if (i >= room - nr_large && load.size <= PAGE_SIZE && nr > room)
			continue;
		l->loads[l->nr_loads++] = (struct minidump_load) {
			.vaddr = load.vaddr, .paddr = load.paddr, .size = load.size,
			.order = load.order,
		};
	}
	l->nr_left_out = nr - l->nr_loads;
	sort_loads(l, cmp_address);
	for (i = 1; i < l->nr_loads; i++) {
		struct minidump_load *last = &l->loads[out], *load = &l->loads[i];

		if (load->vaddr == end_of(last) && load->paddr == last->paddr + last->size) {
			last->size += load->size;
			last->order = min(last->order, load->order);
		} else {
			l->loads[++out] = *load;
		}
	}
	if (l->nr_loads)
		l->nr_loads = out + 1;
}

/* The load that has @addr, while they are sorted by address, or NULL. */
static struct minidump_load *find_load(struct minidump_layout *l, u64 addr)
{
	unsigned int low = 0, high = l->nr_loads;

	while (low < high) {
		unsigned int mid = low + (high - low) / 2;

		if (end_of(&l->loads[mid]) > addr)
			high = mid;
		else
			low = mid + 1;
	}
	return low < l->nr_loads && addr >= l->loads[low].vaddr ? &l->loads[low] : NULL;
}

/* Each load has the name of the largest region in it, while they are sorted by address. */
static void find_names(struct minidump_layout *l, const struct kmemdump_image *image)
{
	const struct kmemdump_piece *pieces;
	unsigned int i, j, nr;
	const char *name;

	for (i = 0; i < kmemdump_image_nr_regions(image); i++) {
		pieces = kmemdump_image_pieces(image, i, &name, &nr);
		for (j = 0; j < nr; j++) {
			struct minidump_load *load = find_load(l, pieces[j].virt_addr);
			u32 nr_pages = PFN_UP(pieces[j].size);

			if (load && nr_pages > load->name_pages) {
				load->name = name;
				load->name_pages = nr_pages;
			}
		}
	}
}

/* Choosing */

/* Have the part [@start, @end) of @load be of @kind; what is before and after it stays. */
static void split_load(struct minidump_layout *l, struct minidump_load *load, u64 start, u64 end,
		       enum minidump_kind kind)
{
	struct minidump_load before = *load, after = *load;

	before.size = start - load->vaddr;
	after.size = end_of(load) - end;
	after.vaddr = end;
	after.paddr += end - load->vaddr;
	load->paddr += start - load->vaddr;
	load->vaddr = start;
	load->size = end - start;
	load->kind = kind;
	if (before.size)
		l->loads[l->nr_loads++] = before;
	if (after.size)
		l->loads[l->nr_loads++] = after;
}

/*
 * Have all loads of [@addr, @addr + @size) be of @kind. They do not overlap, so it adds two
 * loads at most.
 */
static void split_range(struct minidump_layout *l, unsigned long addr, size_t size,
			enum minidump_kind kind)
{
	u64 start = addr & PAGE_MASK, end = PAGE_ALIGN(addr + size);
	unsigned int i, nr = l->nr_loads;

	for (i = 0; i < nr; i++) {
		struct minidump_load *load = &l->loads[i];
		u64 first = max(start, load->vaddr), last = min(end, end_of(load));

		if (first < last)
			split_load(l, load, first, last, kind);
	}
}

/* The staging buffer has no place in the dump but its own. */
static void leave_out_staging(struct minidump_layout *l)
{
	unsigned int i, out = 0;

	split_range(l, (unsigned long)l->staging, l->staging_size, MINIDUMP_KIND_DROPPED);
	for (i = 0; i < l->nr_loads; i++)
		if (l->loads[i].kind != MINIDUMP_KIND_DROPPED)
			l->loads[out++] = l->loads[i];
	l->nr_loads = out;
}

/*
 * Firmware saves memory as it is at the reset. Two things change before that, so copy them now:
 * the stack that this code runs on, and the mask of online CPUs, from which the stopped CPUs are
 * gone (the copy has them again).
 */
static void copy_what_changes(struct minidump_layout *l)
{
	unsigned long frame = (unsigned long)__builtin_frame_address(0);

	split_range(l, ALIGN_DOWN(frame, THREAD_SIZE), THREAD_SIZE, MINIDUMP_KIND_PACKED);
	split_range(l, (unsigned long)&__cpu_online_mask, sizeof(__cpu_online_mask),
		    MINIDUMP_KIND_PACKED);
}

/*
 * No two slots may have the same address, and nothing has to be saved twice: a load of memory
 * that is all in another one becomes a view of that. Its offset is the physical address of
 * the other one for now.
 */
static void find_views(struct minidump_layout *l)
{
	const struct minidump_load *cover = NULL;
	unsigned int i;

	sort_loads(l, cmp_paddr);
	for (i = 0; i < l->nr_loads; i++) {
		struct minidump_load *load = &l->loads[i];

		if (load->kind)
			continue;
		if (cover && load->paddr + load->size <= cover->paddr + cover->size) {
			load->kind = MINIDUMP_KIND_VIEW;
			load->offset = cover->paddr;
		} else {
			/* It starts not before the last one, and ends after it. */
			cover = load;
		}
	}
}

/* Of the loads that would have slots, all but the @nr largest become of @kind. */
static void mark_from(struct minidump_layout *l, unsigned int nr, enum minidump_kind kind)
{
	unsigned int i, nr_slots = 0;

	for (i = 0; i < l->nr_loads; i++)
		nr_slots += l->loads[i].kind == MINIDUMP_KIND_SLOT;
	if (nr_slots <= nr)
		return;
	sort_loads(l, cmp_size);
	for (i = nr; i < l->nr_loads && l->loads[i].kind == MINIDUMP_KIND_SLOT; i++)
		l->loads[i].kind = kind;
}

/* Say which loads have slots; those come first then. */
static void choose_kinds(struct minidump_layout *l)
{
	unsigned int max = l->max_slots - 1;

	if (!l->staging) {
		find_views(l);
		mark_from(l, max - l->nr_running, MINIDUMP_KIND_DROPPED);
		memcpy(l->loads + l->nr_loads, l->running, l->nr_running * sizeof(*l->running));
		l->nr_loads += l->nr_running;
	} else {
		leave_out_staging(l);
		copy_what_changes(l);
		find_views(l);
		mark_from(l, max - 1, MINIDUMP_KIND_PACKED);
		l->loads[l->nr_loads++] = (struct minidump_load) { .kind = MINIDUMP_KIND_STAGING };
	}
	sort_loads(l, cmp_place);
}

/* Names */

static const char * const order_names[KMEMDUMP_NR_ORDERS] = {
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

static const char *load_name(const struct minidump_load *load, char *buf, size_t size)
{
	switch (load->kind) {
	case MINIDUMP_KIND_STAGING:
		return "staging";
	case MINIDUMP_KIND_RUNNING:
		snprintf(buf, size, load->order % MINIDUMP_TASK_PIECES ? "stack%u" : "task%u",
			 load->order / MINIDUMP_TASK_PIECES);
		return buf;
	}
	return load->name ?: order_names[load->order] ?: "";
}

/* The slots whose names have the same hash are chained, by index; 0 ends a chain. */
static u32 *name_bucket(struct minidump_layout *l, const char *name)
{
	unsigned int hash = 0;

	while (*name)
		hash = hash * 31 + tolower(*name++);
	return &l->name_heads[hash % MINIDUMP_NAME_BUCKETS];
}

static bool name_taken(const struct minidump_layout *l, unsigned int slot, const char *name)
{
	for (; slot; slot = l->name_next[slot])
		if (!strcasecmp(l->slots[slot].name, name))
			return true;
	return false;
}

/*
 * Make a name of @text for the slot @nr, other than those of the slots before it.
 * It becomes the name of a file, on any file system.
 */
static void name_slot(struct minidump_layout *l, unsigned int nr, const char *text)
{
	char *name = l->slots[nr].name;
	unsigned int number, len;
	char suffix[8];
	u32 *bucket;

	name[0] = 'K';
	strscpy(name + 1, text, MINIDUMP_NAME);
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

	for (number = nr; bucket = name_bucket(l, name), name_taken(l, *bucket, name);
	     number += 1000) {
		int digits = snprintf(suffix, sizeof(suffix), "_%u", number);

		len = min_t(unsigned int, len, MINIDUMP_NAME - digits);
		strscpy(name + len, suffix, MINIDUMP_NAME + 1 - len);
	}
	l->name_next[nr] = *bucket;
	*bucket = nr;
}

static void name_slots(struct minidump_layout *l)
{
	char buf[MINIDUMP_NAME + 1];
	unsigned int i;

	/* No other name can be that one. */
	strscpy(l->slots[0].name, "KELF_HDR");
	l->nr_slots = 1;
	memset(l->name_heads, 0, sizeof(l->name_heads));
	for (i = 0; i < l->nr_loads && l->loads[i].kind <= MINIDUMP_KIND_STAGING; i++)
		name_slot(l, l->nr_slots++, load_name(&l->loads[i], buf, sizeof(buf)));
}

/* Placing */

/* Find places in the staging buffer, for as many loads as there is room for. */
static void pack(struct minidump_layout *l)
{
	struct minidump_load *staging = &l->loads[l->nr_slots - 2];
	size_t room = l->staging_size - l->head_size, used = 0;
	unsigned int i;

	for (i = l->nr_slots - 1; i < l->nr_loads; i++) {
		struct minidump_load *load = &l->loads[i];

		if (load->kind != MINIDUMP_KIND_PACKED)
			continue;
		if (load->size > room - used) {
			load->kind = MINIDUMP_KIND_DROPPED;
			continue;
		}
		load->offset = used;
		used += load->size;
	}
	staging->size = used;
	if (!used) {
		/* It is the last load with a slot, so that slot can go. */
		staging->kind = MINIDUMP_KIND_DROPPED;
		l->nr_left_out--;
		l->nr_slots--;
	}
}

/* The load that @view shows a part of, or NULL if it was dropped. */
static const struct minidump_load *find_cover(const struct minidump_layout *l,
					      const struct minidump_load *view)
{
	unsigned int i;

	for (i = 0; i < l->nr_loads; i++) {
		const struct minidump_load *load = &l->loads[i];

		if (load->kind != MINIDUMP_KIND_SLOT && load->kind != MINIDUMP_KIND_PACKED)
			continue;
		if (load->paddr == view->offset &&
		    view->paddr + view->size <= load->paddr + load->size)
			return load;
	}
	return NULL;
}

static void remove_dropped(struct minidump_layout *l)
{
	unsigned int i, nr = 0;

	for (i = 0; i < l->nr_loads; i++) {
		struct minidump_load *load = &l->loads[i];

		if (load->kind == MINIDUMP_KIND_VIEW && !find_cover(l, load))
			load->kind = MINIDUMP_KIND_DROPPED;
		l->nr_left_out += load->kind == MINIDUMP_KIND_DROPPED;
	}
	for (i = 0; i < l->nr_loads; i++)
		if (l->loads[i].kind != MINIDUMP_KIND_DROPPED)
			l->loads[nr++] = l->loads[i];
	l->nr_loads = nr;
}

static void place_loads(struct minidump_layout *l, const struct kmemdump_image *image)
{
	u64 pos = l->head_size, staging = 0;
	unsigned int i;

	for (i = 0; i < l->nr_loads; i++) {
		struct minidump_load *load = &l->loads[i];

		switch (load->kind) {
		case MINIDUMP_KIND_STAGING:
			load->vaddr = (unsigned long)l->staging + l->head_size;
			load->paddr = virt_to_phys(l->staging) + l->head_size;
			staging = pos;
			fallthrough;
		case MINIDUMP_KIND_SLOT:
		case MINIDUMP_KIND_RUNNING:
			l->slots[i + 1].phys_addr = load->paddr;
			l->slots[i + 1].size = load->size;
			load->offset = pos;
			pos += load->size;
			break;
		case MINIDUMP_KIND_PACKED:
			kmemdump_image_copy(image, load->vaddr, load->paddr,
					    l->staging + l->head_size + load->offset, load->size);
			load->offset += staging;
			break;
		}
	}
	l->size = pos;
}

static bool is_slot_address(const struct minidump_layout *l, u64 paddr)
{
	unsigned int i;

	for (i = 0; i < l->nr_slots; i++)
		if (l->slots[i].phys_addr == paddr)
			return true;
	return false;
}

/* A load without a slot must not have the physical address of one, for the assembler. */
static void place_views(struct minidump_layout *l)
{
	unsigned int i;

	for (i = l->nr_slots - 1; i < l->nr_loads; i++) {
		struct minidump_load *load = &l->loads[i];

		if (load->kind == MINIDUMP_KIND_VIEW) {
			const struct minidump_load *cover = find_cover(l, load);

			load->offset = cover->offset + load->paddr - cover->paddr;
		}
	}
	for (i = l->nr_slots - 1; i < l->nr_loads; i++)
		if (is_slot_address(l, l->loads[i].paddr))
			l->loads[i].paddr = U64_MAX;
}

/*
 * Cut @image into slots. Returns false if not even the head fits the staging buffer. Any
 * context.
 */
bool minidump_lay_out(struct minidump_layout *l, const struct kmemdump_image *image)
{
	take_loads(l, image);
	find_names(l, image);
	choose_kinds(l);
	name_slots(l);
	/* That is at most what it takes: some may be dropped. */
	minidump_lay_out_head(l, image);
	if (l->staging) {
		if (l->head_size > l->staging_size)
			return false;
		pack(l);
	}
	remove_dropped(l);
	minidump_lay_out_head(l, image);
	place_loads(l, image);
	place_views(l);
	return true;
}
