// SPDX-License-Identifier: GPL-2.0-only
/*
 * kmemdump through firmware: the table of the memory that the next kernel has to keep.
 *
 * There are two slots for it. A new table is written into the slot with the older one, so
 * that one of them is good at any moment. The next kernel checks all that it reads, as a
 * crash may have overwritten it.
 *
 * Copyright (C) 2026 the kmemdump authors
 */
#include <linux/align.h>
#include <linux/cpumask.h>
#include <linux/elf.h>
#include <linux/kmemdump_backend.h>
#include <linux/mm.h>
#include <linux/sched/task_stack.h>
#include <linux/string.h>
#include <linux/xxhash.h>

#include "fadump.h"

/*
 * Returns the sizes for a system with @ram bytes of memory, where firmware saves @cpus bytes of
 * registers and copies @image bytes of the kernel's variables and constants.
 */
struct fadump_sizes fadump_sizes(u64 ram, u64 cpus, u64 image)
{
	struct fadump_sizes sizes;

	/* Firmware may not count the threads of a CPU. */
	sizes.cpus = ALIGN(2 * cpus + SZ_64K, PAGE_SIZE);
	/* A system with more memory has more tasks and more pieces of all kinds. */
	sizes.slot = ALIGN(SZ_1M + min_t(u64, ram / SZ_128K, SZ_128M), PAGE_SIZE);
	sizes.least = PAGE_SIZE + 2 * sizes.slot + sizes.cpus;
	sizes.usual = ALIGN(sizes.least + image + SZ_8M + ram / SZ_128K, SZ_1M);
	sizes.usual = min_t(u64, sizes.usual, FADUMP_MAX_SIZE);
	sizes.least = ALIGN(sizes.least + SZ_1M, SZ_1M);
	return sizes;
}

static u64 head_checksum(const struct fadump_head *head)
{
	return xxh64(head, offsetof(struct fadump_head, checksum), 0);
}

void fadump_head_init(struct fadump_head *head, u64 base, u64 size, u64 low_top, u64 slot_size,
		      u64 cpus_size)
{
	*head = (struct fadump_head) {
		.version	= FADUMP_VERSION,
		.page_shift	= PAGE_SHIFT,
		.base		= base,
		.size		= size,
		.low_top	= low_top,
		.slot_size	= slot_size,
		.slots		= PAGE_SIZE,
		.cpus		= PAGE_SIZE + 2 * slot_size,
		.copies		= PAGE_SIZE + 2 * slot_size + cpus_size,
	};
	memcpy(head->magic, FADUMP_MAGIC, sizeof(head->magic));
	head->checksum = head_checksum(head);
	/* The tables of an older dump must not count. */
	memset(fadump_slot(head, 0), 0, sizeof(struct fadump_slot));
	memset(fadump_slot(head, 1), 0, sizeof(struct fadump_slot));
}

/* Returns what is wrong with the head that was found at @base, or NULL. */
const char *fadump_head_check(const struct fadump_head *head, u64 base)
{
	if (memcmp(head->magic, FADUMP_MAGIC, sizeof(head->magic)))
		return "there is none";
	if (head->version != FADUMP_VERSION)
		return "of another version, or of a kernel of the other byte order";
	if (head->checksum != head_checksum(head))
		return "damaged";
	if (head->page_shift != PAGE_SHIFT)
		return "of a kernel with another page size";
	if (head->base != base || head->size > FADUMP_MAX_SIZE || base + head->size < base ||
	    !PAGE_ALIGNED(base | head->size | head->low_top | head->slot_size | head->cpus |
			  head->copies) ||
	    head->slots != PAGE_SIZE || head->slot_size < PAGE_SIZE ||
	    head->slot_size > head->size || head->cpus != PAGE_SIZE + 2 * head->slot_size ||
	    head->copies <= head->cpus || head->copies > head->size)
		return "contradicts itself";
	return NULL;
}

struct fadump_slot *fadump_slot(const struct fadump_head *head, unsigned int i)
{
	return (void *)head + head->slots + i * head->slot_size;
}

static u64 slot_checksum(const struct fadump_slot *slot)
{
	struct fadump_slot copy = *slot;
	struct xxh64_state hash;

	copy.checksum = 0;
	xxh64_reset(&hash, 0);
	xxh64_update(&hash, &copy, sizeof(copy));
	xxh64_update(&hash, slot + 1,
		     (size_t)slot->nr_loads * sizeof(struct fadump_load) + slot->notes_size);
	return xxh64_digest(&hash);
}

void fadump_slot_seal(struct fadump_slot *slot)
{
	slot->checksum = slot_checksum(slot);
}

/* Returns whether memory of @load stays where it is and has to be reserved. */
bool fadump_load_stays(const struct fadump_head *head, const struct fadump_load *load)
{
	return load->size && !load->copy && load->paddr >= head->low_top;
}

static bool load_valid(const struct fadump_head *head, const struct fadump_load *load)
{
	u64 end = load->paddr + load->size, reservation_end = head->base + head->size;

	if (!PAGE_ALIGNED(load->vaddr | load->paddr | load->size | load->copy) ||
	    end < load->paddr)
		return false;
	/* One load can't be in memory that stays and in memory that firmware copies. */
	if (!load->copy)
		return (load->paddr >= reservation_end || end <= head->base) &&
		       (load->paddr >= head->low_top || end <= head->low_top);
	return load->copy >= head->base + head->copies &&
	       load->copy < reservation_end && load->size <= reservation_end - load->copy;
}

/* Returns whether an empty note follows the last one: readers of notes go on until then. */
static bool notes_end(const struct fadump_slot *slot)
{
	const struct elf64_note *note;
	u64 pos, size;

	for (pos = 0; slot->notes_size - pos >= sizeof(*note); pos += size) {
		note = fadump_notes(slot) + pos;
		if (!note->n_namesz)
			return true;
		size = sizeof(*note) + ALIGN((u64)note->n_namesz, 4) +
		       ALIGN((u64)note->n_descsz, 4);
		if (size > slot->notes_size - pos)
			return false;
	}
	return false;
}

bool fadump_slot_valid(const struct fadump_head *head, const struct fadump_slot *slot)
{
	u64 room = head->slot_size - sizeof(*slot);
	unsigned int i;

	if (memcmp(slot->magic, FADUMP_MAGIC, sizeof(slot->magic)) || !slot->seq ||
	    slot->nr_loads > room / sizeof(struct fadump_load) ||
	    slot->notes_size > room - slot->nr_loads * sizeof(struct fadump_load) ||
	    slot->checksum != slot_checksum(slot) || !notes_end(slot))
		return false;
	for (i = 0; i < slot->nr_loads; i++)
		if (!load_valid(head, &fadump_loads(slot)[i]))
			return false;
	return true;
}

/* Returns the newest table that is valid, or NULL. */
struct fadump_slot *fadump_slot_newest(const struct fadump_head *head)
{
	struct fadump_slot *best = NULL;
	unsigned int i;

	for (i = 0; i < 2; i++) {
		struct fadump_slot *slot = fadump_slot(head, i);

		if (fadump_slot_valid(head, slot) && (!best || slot->seq > best->seq))
			best = slot;
	}
	return best;
}

struct writer {
	const struct fadump_head	*head;
	const struct kmemdump_image	*image;
	const struct fadump_copies	*copies;
	struct fadump_slot		*slot;
	u32				max_loads;
	u64				spare;		/* address of the next copy */
};

/* Returns whether @new goes on where @last ends, so that one load can have both. */
static bool continues(const struct writer *w, const struct fadump_load *last,
		      const struct fadump_load *new)
{
	return new->vaddr - last->vaddr == last->size && new->paddr - last->paddr == last->size &&
	       new->paddr != w->head->low_top &&
	       (new->copy ? new->copy - last->copy == last->size : !last->copy);
}

static void push(struct writer *w, struct fadump_load new)
{
	struct fadump_load *loads = fadump_loads(w->slot);
	u32 nr = w->slot->nr_loads;

	if (nr && continues(w, &loads[nr - 1], &new)) {
		loads[nr - 1].size += new.size;
	} else if (nr < w->max_loads) {
		loads[nr] = new;
		w->slot->nr_loads++;
	} else {
		w->slot->nr_lost += new.size >> PAGE_SHIFT;
	}
}

static bool same_page(u64 paddr, const void *addr)
{
	return virt_addr_valid(addr) && ALIGN_DOWN(__pa(addr), PAGE_SIZE) == paddr;
}

/*
 * Returns whether panic code has to copy the page at @paddr. It copies pages that the reboot
 * overwrites and firmware does not copy. It also copies pages that change before the reset:
 * the stack, which the panic goes on using, and the mask of online CPUs, which has lost the
 * stopped ones and which @image has as it was before.
 */
static bool needs_copy(const struct writer *w, u64 paddr)
{
	unsigned long stack = ALIGN_DOWN(current_stack_pointer, THREAD_SIZE);
	unsigned long offset;

	for (offset = 0; offset < THREAD_SIZE; offset += PAGE_SIZE)
		if (same_page(paddr, (void *)stack + offset))
			return true;
	if (same_page(paddr, &__cpu_online_mask))
		return true;
	return paddr < w->head->low_top &&
	       !fadump_copies_cover(w->copies, paddr, paddr + PAGE_SIZE);
}

static void push_copy(struct writer *w, u64 vaddr, u64 paddr)
{
	if (w->spare >= w->head->base + w->head->size) {
		w->slot->nr_lost++;
		return;
	}
	kmemdump_image_copy(w->image, vaddr, paddr, __va(w->spare), PAGE_SIZE);
	push(w, (struct fadump_load) { vaddr, paddr, PAGE_SIZE, w->spare });
	w->spare += PAGE_SIZE;
}

static void push_load(struct writer *w, const struct kmemdump_load *load)
{
	/* While the system runs, only firmware copies. */
	bool live = kmemdump_image_live(w->image);
	u64 done, size;

	for (done = 0; done < load->size; done += size) {
		u64 vaddr = load->vaddr + done, paddr = load->paddr + done;

		size = live ? load->size - done : PAGE_SIZE;
		/* Memory below @low_top is a load of its own: see load_valid(). */
		if (paddr < w->head->low_top)
			size = min(size, w->head->low_top - paddr);
		if (!live && needs_copy(w, paddr))
			push_copy(w, vaddr, paddr);
		else
			push(w, (struct fadump_load) { vaddr, paddr, size, 0 });
	}
}

/*
 * Write the table of @image, of which firmware copies @copies. At panic this also copies the
 * other pages that would be lost. Returns 0, or -ENOSPC if the notes do not fit: the old table
 * is still the newest one then.
 */
int fadump_table_write(const struct fadump_head *head, const struct kmemdump_image *image,
		       const struct fadump_copies *copies)
{
	struct fadump_slot *old = fadump_slot_newest(head);
	struct writer w = {
		.head = head, .image = image, .copies = copies,
		.slot = fadump_slot(head, old == fadump_slot(head, 0)),
		.spare = head->base + head->copies + copies->total,
	};
	unsigned int i, nr = kmemdump_image_nr_loads(image);
	u64 room = head->slot_size - sizeof(*w.slot);
	const void *notes;
	size_t notes_size;

	notes = kmemdump_image_notes(image, &notes_size, NULL);
	/* An empty note ends them. */
	if (notes_size + sizeof(struct elf64_note) > room)
		return -ENOSPC;

	*w.slot = (struct fadump_slot) {
		.seq = old ? old->seq + 1 : 1,
		.flags = kmemdump_image_live(image) ? 0 : FADUMP_SLOT_FINAL,
		.notes_size = notes_size + sizeof(struct elf64_note),
	};
	w.max_loads = (room - w.slot->notes_size) / sizeof(struct fadump_load);
	for (i = 0; i < nr; i++) {
		struct kmemdump_load load = kmemdump_image_load(image, i);

		push_load(&w, &load);
	}
	memcpy(fadump_notes(w.slot), notes, notes_size);
	memset(fadump_notes(w.slot) + notes_size, 0, sizeof(struct elf64_note));
	/* Without the magic a slot that is half written is not valid. */
	memcpy(w.slot->magic, FADUMP_MAGIC, sizeof(w.slot->magic));
	fadump_slot_seal(w.slot);
	return 0;
}
