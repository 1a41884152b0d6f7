/* SPDX-License-Identifier: GPL-2.0 */
/* kmemdump: backends in plain memory, and other helpers that the KUnit suites share. */
#ifndef _MM_KMEMDUMP_TEST_BACKEND_H
#define _MM_KMEMDUMP_TEST_BACKEND_H

#include <kunit/test.h>

#include "kmemdump.h"

struct kmemdump_test_backend {
	struct kmemdump_backend	be;
	struct kmemdump_table	*table;		/* to which it is attached */

	/* firmware-assisted */
	unsigned int		nr_added;
	unsigned int		nr_removed;
	unsigned int		nr_updates;
	int			add_error;
	int			update_error;
	void			(*in_add)(struct kmemdump_test_backend *tb,
					  const struct kmemdump_entry *entry);

	/* writer */
	u8			*buf;
	size_t			used;
	unsigned int		nr_writes;
	unsigned int		nr_closed;
	unsigned int		fail_at_write;	/* 0: never */
	int			error;
};

static inline struct kmemdump_test_backend *kmemdump_to_test(struct kmemdump_backend *be)
{
	return container_of(be, struct kmemdump_test_backend, be);
}

/* test_backend.c: backends */
struct kmemdump_table *kmemdump_test_table(struct kunit *test);
struct kmemdump_test_backend *kmemdump_test_writer(struct kunit *test, size_t max_bytes);

int kmemdump_test_attach(struct kunit *test, struct kmemdump_table *table,
			 struct kmemdump_test_backend *tb);
void kmemdump_test_detach(struct kmemdump_test_backend *tb);

/* Register @size bytes at @addr in @table and expect @want. Returns the id. */
int kmemdump_test_add(struct kunit *test, struct kmemdump_table *table, const char *name,
		      const void *addr, size_t size, int want);
int kmemdump_test_add_ranked(struct kunit *test, struct kmemdump_table *table, const char *name,
			     const void *addr, size_t size, enum kmemdump_priority priority);

bool kmemdump_test_carries(struct kmemdump_test_backend *tb, int id);
int kmemdump_test_reason(struct kmemdump_test_backend *tb, int id);

/* test_backend.c: the live table */
struct kmemdump_test_live {
	bool found;
	unsigned long addr;
	size_t size;
	unsigned int nr_pieces;
	u8 flags;
};

struct kmemdump_test_live kmemdump_test_find(const char *name);

/* test_image.c: core images */
u8 *kmemdump_test_page(struct kunit *test, u8 fill);
struct kmemdump_image *kmemdump_test_image(struct kunit *test, unsigned int max_regions,
					   unsigned int max_pieces, unsigned int max_loads);
struct kmemdump_image *kmemdump_test_build(struct kunit *test, struct kmemdump_table *table);
void *kmemdump_test_read(struct kunit *test, const struct kmemdump_image *image);
enum kmemdump_order kmemdump_test_order(const struct kmemdump_image *image, unsigned int i);

/* test_assisted.c: firmware-assisted backends */
struct kmemdump_test_backend *kmemdump_test_assisted(struct kunit *test, unsigned int max_slots);

#endif /* _MM_KMEMDUMP_TEST_BACKEND_H */
