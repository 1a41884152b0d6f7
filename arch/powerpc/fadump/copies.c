// SPDX-License-Identifier: GPL-2.0-only
/*
 * kmemdump through firmware: which pages firmware has to copy.
 *
 * It copies only a few ranges, so ranges that are close to each other become one,
 * with what is between them.
 *
 * Copyright (C) 2026 the kmemdump authors
 */
#include <linux/align.h>
#include <linux/errno.h>
#include <linux/math.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/string.h>

#include "fadump.h"

static u64 copy_end(const struct fadump_copy *copy)
{
	return copy->start + copy->size;
}

/* Sections that @copies take in the call. */
static unsigned int nr_sections(const struct fadump_copies *copies)
{
	unsigned int i, sum = 0;

	for (i = 0; i < copies->nr; i++)
		sum += DIV_ROUND_UP_ULL(copies->copy[i].size, FADUMP_MAX_COPY);
	return sum;
}

/* Make the @i-th and the next one a single one. */
static void join(struct fadump_copies *copies, unsigned int i)
{
	struct fadump_copy *copy = &copies->copy[i];

	copy->size = max(copy_end(copy), copy_end(copy + 1)) - copy->start;
	copies->nr--;
	memmove(copy + 1, copy + 2, (copies->nr - i - 1) * sizeof(*copy));
}

/* Join the two that are closest to each other. */
static void join_closest(struct fadump_copies *copies)
{
	unsigned int i, best = 0;
	u64 gap, smallest = U64_MAX;

	for (i = 0; i + 1 < copies->nr; i++) {
		gap = copies->copy[i + 1].start - copy_end(&copies->copy[i]);
		if (gap < smallest) {
			smallest = gap;
			best = i;
		}
	}
	join(copies, best);
}

/*
 * Have the pages of [@start, @end) copied, too, if all copies together then take no
 * more than @room bytes. Returns 0, or -ENOSPC and leaves @copies as they were.
 */
int fadump_copies_add(struct fadump_copies *copies, u64 start, u64 end, u64 room)
{
	struct fadump_copies new = *copies;
	struct fadump_copy *copy = new.copy;
	unsigned int i;

	start = ALIGN_DOWN(start, PAGE_SIZE);
	end = ALIGN(end, PAGE_SIZE);
	for (i = 0; i < new.nr && copy[i].start <= start; i++)
		;
	memmove(copy + i + 1, copy + i, (new.nr - i) * sizeof(*copy));
	copy[i] = (struct fadump_copy) { .start = start, .size = end - start };
	new.nr++;

	for (i = 0; i + 1 < new.nr;)
		if (copy_end(&copy[i]) >= copy[i + 1].start)
			join(&new, i);
		else
			i++;
	while (nr_sections(&new) > FADUMP_MAX_COPIES && new.nr > 1)
		join_closest(&new);

	for (new.total = 0, i = 0; i < new.nr; i++)
		new.total += copy[i].size;
	if (nr_sections(&new) > FADUMP_MAX_COPIES || new.total > room)
		return -ENOSPC;
	*copies = new;
	return 0;
}

/* Put the copies one after the other, from the physical address @dest on. */
void fadump_copies_place(struct fadump_copies *copies, u64 dest)
{
	unsigned int i;

	for (i = 0; i < copies->nr; i++) {
		copies->copy[i].dest = dest;
		dest += copies->copy[i].size;
	}
}

bool fadump_copies_cover(const struct fadump_copies *copies, u64 start, u64 end)
{
	unsigned int i;

	for (i = 0; i < copies->nr; i++)
		if (start >= copies->copy[i].start && end <= copy_end(&copies->copy[i]))
			return true;
	return false;
}

/*
 * Where the byte at @addr goes, 0 for nowhere. Sets *@len to the bytes from @addr
 * on of which the same is true, U64_MAX if to the end.
 */
u64 fadump_copies_find(const struct fadump_copies *copies, u64 addr, u64 *len)
{
	unsigned int i;

	*len = U64_MAX;
	for (i = 0; i < copies->nr; i++) {
		const struct fadump_copy *copy = &copies->copy[i];

		if (addr >= copy->start && addr < copy_end(copy)) {
			*len = copy_end(copy) - addr;
			return copy->dest + (addr - copy->start);
		}
		if (addr < copy->start)
			*len = min(*len, copy->start - addr);
	}
	return 0;
}
