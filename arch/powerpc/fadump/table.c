// SPDX-License-Identifier: GPL-2.0-only
/*
 * kmemdump through firmware: the table that tells the next kernel what to keep.
 *
 * It is written into the slot that does not count, which counts as soon as it is
 * whole: so at any moment one of the two is good. What is read back after a reset
 * may be anything.
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
 * How large a reservation has to be, for @ram bytes of memory, if firmware saves @cpus
 * bytes of the CPUs, and copies @image bytes of the kernel's variables and constants.
 */
struct fadump_sizes fadump_sizes(u64 ram, u64 cpus, u64 image)
{
	struct fadump_sizes sizes;

	/* Threads of a CPU may not be in what firmware says. */
	sizes.cpus = ALIGN(2 * cpus + SZ_64K, PAGE_SIZE);
	/* More memory has more tasks, and more pieces of all kinds. */
	sizes.slot = ALIGN(SZ_1M + min_t(u64, ram / SZ_128K, SZ_128M), PAGE_SIZE);
	sizes.least = PAGE_SIZE + 2 * sizes.slot + sizes.cpus;
	sizes.usual = ALIGN(sizes.least + image + SZ_8M + ram / SZ_128K, SZ_1M);
	sizes.usual = min_t(u64, sizes.usual, FADUMP_MAX_SIZE);
	sizes.least = ALIGN(sizes.least + SZ_1M, SZ_1M);
	return sizes;
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
	head->checksum = xxh64(head, offsetof(struct fadump_head, checksum), 0);
	/* Of an older dump. */
	memset(fadump_slot(head, 0), 0, sizeof(struct fadump_slot));
	memset(fadump_slot(head, 1), 0, sizeof(struct fadump_slot));
}

/* What is wrong with the head that was found at @base, or NULL. */
const char *fadump_head_check(const struct fadump_head *head, u64 base)
{
	if (memcmp(head->magic, FADUMP_MAGIC, sizeof(head->magic)))
		return "there is none";
	if (head->version != FADUMP_VERSION)
		return "of another version, or of a kernel of the other byte order";
	if (head->checksum != xxh64(head, offsetof(struct fadump_head, checksum), 0))
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

static u64 checksum(const struct fadump_slot *slot)
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
	slot->checksum = checksum(slot);
}

static bool load_valid(const struct fadump_head *head, const struct fadump_load *load)
{
	if (!PAGE_ALIGNED(load->vaddr | load->paddr | load->size | load->copy) ||
	    load->paddr + load->size < load->paddr)
		return false;
	/* What stays and what firmware copies are kept in different ways. */
	if (!load->copy)
		return (load->paddr >= head->base + head->size ||
			load->paddr + load->size <= head->base) &&
		       (load->paddr >= head->low_top ||
			load->paddr + load->size <= head->low_top);
	return load->copy >= head->base + head->copies &&
	       load->copy < head->base + head->size &&
	       load->size <= head->base + head->size - load->copy;
}

/* Whether there is an empty note behind the last one, which is what readers stop at. */
static bool notes_end(const struct fadump_slot *slot)
{
	const void *notes = fadump_notes(slot);
	const struct elf64_note *note;
	u64 pos, size;

	for (pos = 0; slot->notes_size - pos >= sizeof(*note); pos += size) {
		note = notes + pos;
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
	    slot->checksum != checksum(slot) || !notes_end(slot))
		return false;
	for (i = 0; i < slot->nr_loads; i++)
		if (!load_valid(head, &fadump_loads(slot)[i]))
			return false;
	return true;
}

/* The table that counts, or NULL. */
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

/* Writing a table */
struct writer {
	const struct fadump_head	*head;
	const struct kmemdump_image	*image;
	const struct fadump_copies	*copies;
	struct fadump_slot		*slot;
	u32				max_loads;
	u64				spare;		/* where the next copy goes */
};

static void push(struct writer *w, u64 vaddr, u64 paddr, u64 size, u64 copy)
{
	struct fadump_load *load = &fadump_loads(w->slot)[w->slot->nr_loads];

	if (w->slot->nr_loads) {
		struct fadump_load *last = load - 1;

		if (vaddr - last->vaddr == last->size && paddr - last->paddr == last->size &&
		    paddr != w->head->low_top &&
		    (copy ? copy - last->copy == last->size : !last->copy)) {
			last->size += size;
			return;
		}
	}
	if (w->slot->nr_loads == w->max_loads) {
		w->slot->nr_lost += size >> PAGE_SHIFT;
		return;
	}
	*load = (struct fadump_load) {
		.vaddr = vaddr, .paddr = paddr, .size = size, .copy = copy,
	};
	w->slot->nr_loads++;
}

static bool same_page(u64 paddr, const void *addr)
{
	return virt_addr_valid(addr) && ALIGN_DOWN(__pa(addr), PAGE_SIZE) == paddr;
}

/*
 * Whether panic code has to copy the page at @paddr: what the reboot overwrites and
 * firmware does not copy, and what is no longer in the end as the dump is to have it.
 * That is the stack, on which the panic goes on behind us, and the mask of online
 * CPUs, from which those that were stopped are gone.
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
	push(w, vaddr, paddr, PAGE_SIZE, w->spare);
	w->spare += PAGE_SIZE;
}

static void push_load(struct writer *w, const struct kmemdump_load *load)
{
	u64 done, below = 0;

	/* While the system runs, firmware is all there is to copy. */
	if (kmemdump_image_live(w->image)) {
		if (load->paddr < w->head->low_top)
			below = min_t(u64, load->size, w->head->low_top - load->paddr);
		if (below)
			push(w, load->vaddr, load->paddr, below, 0);
		if (below < load->size)
			push(w, load->vaddr + below, load->paddr + below, load->size - below, 0);
		return;
	}
	for (done = 0; done < load->size; done += PAGE_SIZE) {
		u64 vaddr = load->vaddr + done, paddr = load->paddr + done;

		if (needs_copy(w, paddr))
			push_copy(w, vaddr, paddr);
		else
			push(w, vaddr, paddr, PAGE_SIZE, 0);
	}
}

/*
 * Write what @image is to hold into the slot that does not count. Firmware copies
 * @copies. At panic, other pages that the reboot would overwrite are copied here.
 * Returns 0, or -ENOSPC if the notes do not fit: the old table still counts then.
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
	/* One that is empty ends them. */
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
	memcpy(w.slot->magic, FADUMP_MAGIC, sizeof(w.slot->magic));
	fadump_slot_seal(w.slot);
	return 0;
}
