// SPDX-License-Identifier: GPL-2.0-only
/*
 * kmemdump through firmware: the ranges of memory that firmware copies at a crash.
 *
 * Firmware takes only a few ranges. When there are too many, the two that are closest
 * to each other become one, with the memory between them.
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

/* Returns how many sections of the call @copies need: a large range needs several. */
static unsigned int nr_sections(const struct fadump_copies *copies)
{
	unsigned int i, sum = 0;

	for (i = 0; i < copies->nr; i++)
		sum += DIV_ROUND_UP_ULL(copies->copy[i].size, FADUMP_MAX_COPY);
	return sum;
}

/* Find the range that is closest to the next one; *@gap is negative where they overlap. */
static unsigned int closest_range(const struct fadump_copies *copies, s64 *gap)
{
	unsigned int i, best = 0;

	*gap = S64_MAX;
	for (i = 0; i + 1 < copies->nr; i++) {
		s64 size = copies->copy[i + 1].start - copy_end(&copies->copy[i]);

		if (size < *gap) {
			*gap = size;
			best = i;
		}
	}
	return best;
}

/* Join ranges that overlap or touch each other, and others until firmware takes them. */
static void join_ranges(struct fadump_copies *copies)
{
	while (copies->nr > 1) {
		s64 gap;
		struct fadump_copy *copy = &copies->copy[closest_range(copies, &gap)];

		if (gap > 0 && nr_sections(copies) <= FADUMP_MAX_COPIES)
			return;
		copy->size = max(copy_end(copy), copy_end(copy + 1)) - copy->start;
		copies->nr--;
		memmove(copy + 1, copy + 2,
			(copies->copy + copies->nr - (copy + 1)) * sizeof(*copy));
	}
}

/*
 * Add the pages of [@start, @end) to @copies, which may then have @room bytes in total.
 * Returns 0, or -ENOSPC with @copies unchanged.
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
	join_ranges(&new);

	for (new.total = 0, i = 0; i < new.nr; i++)
		new.total += copy[i].size;
	if (nr_sections(&new) > FADUMP_MAX_COPIES || new.total > room)
		return -ENOSPC;
	*copies = new;
	return 0;
}

/* Have the copies follow each other from the physical address @dest on. */
void fadump_copies_place(struct fadump_copies *copies, u64 dest)
{
	unsigned int i;

	for (i = 0; i < copies->nr; i++) {
		copies->copy[i].dest = dest;
		dest += copies->copy[i].size;
	}
}

/*
 * Returns where the byte at @addr is copied to, or 0 if it is not copied. *@len is how many
 * bytes from @addr on have the same answer, U64_MAX if all of them have.
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

bool fadump_copies_cover(const struct fadump_copies *copies, u64 start, u64 end)
{
	u64 len;

	return fadump_copies_find(copies, start, &len) && len >= end - start;
}
