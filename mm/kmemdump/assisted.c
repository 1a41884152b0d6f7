// SPDX-License-Identifier: GPL-2.0-only
/*
 * kmemdump: the core image for firmware-assisted backends.
 *
 * These backends do not store a record. They make their own tables from the core image, at panic
 * and while the system runs.
 *
 * Copyright (C) 2026 the kmemdump authors
 */
#include <linux/export.h>
#include <linux/memory_hotplug.h>
#include <linux/rculist.h>

#include "kmemdump.h"

/* Building the image */

/*
 * Have the backends with image ops build their tables. @all selects those whose ops have @all set,
 * or the others. Panic context.
 */
void kmemdump_build_images(struct kmemdump_table *table, struct kmemdump_image *image,
			   struct pt_regs *regs, bool all)
{
	struct kmemdump_backend *be;

	list_for_each_entry_rcu(be, &table->backends, list, true) {
		if (!be->image || be->image->all != all)
			continue;
		kmemdump_image_build(image, table, be, regs);
		be->image->build(be, image);
	}
}

/**
 * kmemdump_refresh_backend() - have a backend get the core image as it is now
 * @be: attached backend with image ops
 *
 * Calls image->build() of @be with an image of what @be carries, and of those pages that debuggers
 * need and that exist already.
 *
 * Context: process context, may sleep. Must not be called from a backend op.
 */
void kmemdump_refresh_backend(struct kmemdump_backend *be)
{
	struct kmemdump_image *image;

	/* Building the image reads pages. Have memory hotplug wait, so that none goes offline. */
	get_online_mems();
	mutex_lock(&kmemdump_table.lock);
	image = kmemdump_table.room->image;
	/* A panic in between clears this and builds the image again. */
	image->live = true;
	kmemdump_image_build(image, &kmemdump_table, be, NULL);
	be->image->build(be, image);
	image->live = false;
	mutex_unlock(&kmemdump_table.lock);
	put_online_mems();
}
EXPORT_SYMBOL_GPL(kmemdump_refresh_backend);

/**
 * kmemdump_image_build_from() - build an image of certain regions only
 * @image:	core image
 * @entries:	regions
 * @nr:		number of @entries
 *
 * The image is for a crash that is still to come. If a region is updated meanwhile, the image is
 * of no use: see kmemdump_image_moved().
 *
 * Context: any, also NMI; @image must not be in use elsewhere.
 */
void kmemdump_image_build_from(struct kmemdump_image *image,
			       const struct kmemdump_entry * const *entries, unsigned int nr)
{
	unsigned int i;

	image->live = true;
	image->ahead = true;
	image->debuggers = false;
	kmemdump_image_start(image, NULL);
	for (i = 0; i < nr; i++)
		kmemdump_image_add_region(image, entries[i]);
	kmemdump_image_finish(image);
}
EXPORT_SYMBOL_GPL(kmemdump_image_build_from);

/**
 * kmemdump_image_moved() - whether a region was updated since an image was built
 * @image: core image
 *
 * Context: any.
 * Return: true if the image may have a region in part at its old place.
 */
bool kmemdump_image_moved(const struct kmemdump_image *image)
{
	unsigned int i;

	/* [A] in kmemdump_entry_update(): check the versions only after all else was read. */
	smp_rmb();
	for (i = 0; i < image->nr_regions; i++)
		if (READ_ONCE(image->regions[i].entry->version) != image->regions[i].version)
			return true;
	return false;
}
EXPORT_SYMBOL_GPL(kmemdump_image_moved);

/* Reading the image */

/**
 * kmemdump_image_live() - whether this is the image of a running system
 * @image: core image
 *
 * Context: any.
 * Return: false if the system has crashed and the image is for its dump.
 */
bool kmemdump_image_live(const struct kmemdump_image *image)
{
	return image->live;
}
EXPORT_SYMBOL_GPL(kmemdump_image_live);

/**
 * kmemdump_image_nr_regions() - how many regions a core image has
 * @image: core image
 *
 * Context: any.
 * Return: the number of regions.
 */
unsigned int kmemdump_image_nr_regions(const struct kmemdump_image *image)
{
	return image->nr_regions;
}
EXPORT_SYMBOL_GPL(kmemdump_image_nr_regions);

/**
 * kmemdump_image_pieces() - where a region of a core image is
 * @image:	core image
 * @i:		which one, less than kmemdump_image_nr_regions()
 * @name:	set to its name
 * @nr:		set to the number of its pieces
 *
 * Context: any.
 * Return: the pieces as they were when the image was built.
 */
const struct kmemdump_piece *kmemdump_image_pieces(const struct kmemdump_image *image,
						   unsigned int i, const char **name,
						   unsigned int *nr)
{
	const struct kmemdump_image_region *region = &image->regions[i];

	*name = region->entry->names;
	*nr = region->nr_pieces;
	return kmemdump_region_pieces(region);
}
EXPORT_SYMBOL_GPL(kmemdump_image_pieces);

/**
 * kmemdump_image_nr_loads() - how many loads a core image has
 * @image: core image
 *
 * Context: any.
 * Return: the number of loads.
 */
unsigned int kmemdump_image_nr_loads(const struct kmemdump_image *image)
{
	return image->nr_loads;
}
EXPORT_SYMBOL_GPL(kmemdump_image_nr_loads);

/**
 * kmemdump_image_load() - a load of a core image
 * @image:	core image
 * @i:		which one, less than kmemdump_image_nr_loads(); what matters most is first
 *
 * Context: any.
 * Return: the load.
 */
struct kmemdump_load kmemdump_image_load(const struct kmemdump_image *image, unsigned int i)
{
	const struct elf64_phdr *load = &image->loads[i];
	unsigned int order = 0;

	while (i >= image->order_end[order])
		order++;
	return (struct kmemdump_load) {
		.vaddr = load->p_vaddr, .paddr = load->p_paddr, .size = load->p_memsz,
		.order = order,
	};
}
EXPORT_SYMBOL_GPL(kmemdump_image_load);

/**
 * kmemdump_image_notes() - the ELF notes of a core image
 * @image:	core image
 * @size:	set to the bytes of all notes
 * @left_out:	set to the offset of nr_left_out of struct kmemdump_note; may be %NULL
 *
 * Context: any.
 * Return: the notes, valid until the image is built again.
 */
const void *kmemdump_image_notes(const struct kmemdump_image *image, size_t *size,
				 size_t *left_out)
{
	*size = image->notes_size;
	if (left_out)
		*left_out = image->left_out_offset;
	return image->notes;
}
EXPORT_SYMBOL_GPL(kmemdump_image_notes);

/**
 * kmemdump_image_max_notes() - how large the notes of a core image can get
 * @image: core image
 *
 * Context: any.
 * Return: bytes.
 */
size_t kmemdump_image_max_notes(const struct kmemdump_image *image)
{
	return image->max_notes;
}
EXPORT_SYMBOL_GPL(kmemdump_image_max_notes);
