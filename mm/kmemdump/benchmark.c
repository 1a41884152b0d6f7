// SPDX-License-Identifier: GPL-2.0-only
/*
 * kmemdump: what registration and the walk at panic cost.
 *
 * Prints a line for each number of regions, with time in nanoseconds and in
 * ticks of get_cycles(): where that counts instructions, as in QEMU with
 * -icount shift=0, the second figure is exact. "make bench" makes a table of it.
 *
 * For comparison, the same with a model of the design that the earlier series
 * had: an array of 201 slots, a mutex around it, and linear search by name.
 *
 * Copyright (C) 2026 the kmemdump authors
 */
#include <linux/delay.h>
#include <linux/gfp.h>
#include <linux/kernel.h>
#include <linux/mm.h>
#include <linux/string.h>
#include <linux/timekeeping.h>
#include <linux/timex.h>
#include <linux/uaccess.h>
#include <linux/vmalloc.h>

#include <asm/sections.h>

#include "test_backend.h"

#define MODEL_SLOTS	201

/* Few regions are gone through often enough to have something to measure. */
#define MIN_OPS		10000

static char data[64];

enum { REGISTER, BY_ID, BY_NAME, UPDATE, UNREGISTER, WALK, NR_COLUMNS };

struct figures {
	u64 ns[NR_COLUMNS];
	u64 ticks[NR_COLUMNS];
	u64 start_ns;
	u64 start_ticks;
};

static void begin(struct figures *f)
{
	f->start_ns = ktime_get_ns();
	f->start_ticks = get_cycles();
}

static void end(struct figures *f, int column)
{
	f->ticks[column] += get_cycles() - f->start_ticks;
	f->ns[column] += ktime_get_ns() - f->start_ns;
}

static void print(struct kunit *test, const char *what, unsigned int nr, unsigned int rounds,
		  const struct figures *f, long bytes)
{
	u64 ops = (u64)nr * rounds;
	char line[256];
	int i, len = 0;

	for (i = 0; i < NR_COLUMNS; i++)
		len += scnprintf(line + len, sizeof(line) - len, " %llu/%llu",
				 div64_u64(f->ns[i], ops), div64_u64(f->ticks[i], ops));
	kunit_info(test, "figures %s %u%s %ld", what, nr, line, bytes);
}

static void make_name(char *name, unsigned int i)
{
	snprintf(name, KMEMDUMP_NAME_LEN, "driver-region-%06u", i);
}

/* Every region once, in an order that caches do not like. */
static unsigned int shuffle(unsigned int i, unsigned int nr)
{
	return (u64)i * 7919 % nr;
}

static void fill(struct kunit *test, struct kmemdump_table *table, int *ids, unsigned int nr)
{
	unsigned int i;

	for (i = 0; i < nr; i++) {
		char name[KMEMDUMP_NAME_LEN];
		struct kmemdump_region region = {
			.name = name, .virt_addr = data, .size = sizeof(data),
		};
		int ret;

		make_name(name, i);
		ret = kmemdump_add(table, &region, NULL, KMEMDUMP_CLASS_DRIVER, 0);
		KUNIT_ASSERT_EQ(test, ret, 0);
		ids[i] = region.id;
	}
}

static void look_up(struct kunit *test, struct kmemdump_table *table, const int *ids,
		    unsigned int nr, bool by_name)
{
	char name[KMEMDUMP_NAME_LEN];
	unsigned int i;

	for (i = 0; i < nr; i++) {
		unsigned int n = shuffle(i, nr);
		struct kmemdump_entry *entry;

		if (by_name) {
			make_name(name, n);
			mutex_lock(&table->lock);
			entry = kmemdump_find(table, name);
			mutex_unlock(&table->lock);
		} else {
			entry = xa_load(&table->regions, ids[n]);
		}
		KUNIT_ASSERT_NOT_NULL(test, entry);
	}
}

static void move_or_remove(struct kunit *test, struct kmemdump_table *table, const int *ids,
			   unsigned int nr, bool remove)
{
	unsigned int i;

	for (i = 0; i < nr; i++) {
		char name[KMEMDUMP_NAME_LEN];
		struct kmemdump_region region = {
			.name = name, .virt_addr = data, .size = sizeof(data),
		};
		unsigned int n = shuffle(i, nr);
		int ret;

		make_name(name, n);
		region.id = ids[n];
		ret = remove ? kmemdump_remove(table, &region) : kmemdump_move(table, &region);
		KUNIT_ASSERT_EQ(test, ret, 0);
	}
}

/* What freed regions and resized tables leave to others has to be over. */
static void settle(void)
{
	rcu_barrier();
	kvfree_rcu_barrier();
	msleep(200);
	/* Pages that CPUs keep for themselves do not count as free. */
	drain_all_pages(NULL);
}

static void measure(struct kunit *test, unsigned int nr)
{
	struct kmemdump_test_backend *hands_off = kmemdump_test_hands_off(test, UINT_MAX);
	struct kmemdump_test_backend *writer = kmemdump_test_writer(test, PAGE_SIZE);
	struct kmemdump_table *table = kmemdump_test_table(test);
	unsigned int rounds = DIV_ROUND_UP(MIN_OPS, nr), i;
	long free_pages, bytes = 0;
	struct figures f = { };
	int *ids;

	ids = vmalloc(array_size(nr, sizeof(*ids)));
	KUNIT_ASSERT_NOT_NULL(test, ids);
	KUNIT_ASSERT_EQ(test, kmemdump_test_attach(test, table, hands_off), 0);
	KUNIT_ASSERT_EQ(test, kmemdump_test_attach(test, table, writer), 0);

	for (i = 0; i < rounds; i++) {
		settle();
		free_pages = global_zone_page_state(NR_FREE_PAGES);
		begin(&f);
		fill(test, table, ids, nr);
		end(&f, REGISTER);
		settle();
		bytes = (free_pages - (long)global_zone_page_state(NR_FREE_PAGES)) *
			(long)PAGE_SIZE / nr;

		begin(&f);
		look_up(test, table, ids, nr, false);
		end(&f, BY_ID);
		begin(&f);
		look_up(test, table, ids, nr, true);
		end(&f, BY_NAME);
		begin(&f);
		move_or_remove(test, table, ids, nr, false);
		end(&f, UPDATE);
		begin(&f);
		kmemdump_image_build(table->image, table, NULL, NULL);
		end(&f, WALK);
		KUNIT_ASSERT_EQ(test, table->image->nr_regions, nr);
		begin(&f);
		move_or_remove(test, table, ids, nr, true);
		end(&f, UNREGISTER);
	}
	print(test, "kmemdump", nr, rounds, &f, bytes);
	vfree(ids);
}

static void registration(struct kunit *test)
{
	static const unsigned int numbers[] = { 100, MODEL_SLOTS, 1000, 10000, 100000 };
	int i;

	for (i = 0; i < ARRAY_SIZE(numbers); i++)
		measure(test, numbers[i]);
}

/* The earlier design: what each operation did, and under which lock. */

struct model_region {
	char name[KMEMDUMP_NAME_LEN];
	phys_addr_t phys_addr;
	const void *virt_addr;
	size_t size;
	bool used;
};

static struct model {
	struct mutex lock;	/* all of it */
	struct model_region slots[MODEL_SLOTS];
} model = {
	.lock = __MUTEX_INITIALIZER(model.lock),
};

static struct model_region *model_find(const char *name)
{
	int i;

	for (i = 0; i < MODEL_SLOTS; i++)
		if (model.slots[i].used && !strcmp(model.slots[i].name, name))
			return &model.slots[i];
	return NULL;
}

static int model_register(const char *name, const void *addr, size_t size)
{
	int i, ret = -ENOSPC;

	mutex_lock(&model.lock);
	if (model_find(name)) {
		ret = -EEXIST;
		goto out;
	}
	for (i = 0; i < MODEL_SLOTS; i++) {
		struct model_region *slot = &model.slots[i];

		if (slot->used)
			continue;
		strscpy(slot->name, name);
		slot->virt_addr = addr;
		slot->phys_addr = __pa_symbol(addr);
		slot->size = size;
		slot->used = true;
		ret = i;
		break;
	}
out:
	mutex_unlock(&model.lock);
	return ret;
}

static bool model_change(const char *name, const void *addr, bool remove)
{
	struct model_region *slot;

	mutex_lock(&model.lock);
	slot = model_find(name);
	if (slot && remove) {
		slot->used = false;
	} else if (slot) {
		slot->virt_addr = addr;
		slot->phys_addr = __pa_symbol(addr);
	}
	mutex_unlock(&model.lock);
	return slot;
}

static bool model_by_name(const char *name)
{
	struct model_region *slot;

	mutex_lock(&model.lock);
	slot = model_find(name);
	mutex_unlock(&model.lock);
	return slot;
}

static void model_round(struct kunit *test, struct figures *f)
{
	char name[KMEMDUMP_NAME_LEN];
	int i;

	begin(f);
	for (i = 0; i < MODEL_SLOTS; i++) {
		make_name(name, i);
		KUNIT_ASSERT_EQ(test, model_register(name, data, sizeof(data)), i);
	}
	end(f, REGISTER);
	begin(f);
	for (i = 0; i < MODEL_SLOTS; i++) {
		make_name(name, shuffle(i, MODEL_SLOTS));
		KUNIT_ASSERT_TRUE(test, model_by_name(name));
	}
	end(f, BY_NAME);
	begin(f);
	for (i = 0; i < MODEL_SLOTS; i++) {
		make_name(name, shuffle(i, MODEL_SLOTS));
		KUNIT_ASSERT_TRUE(test, model_change(name, data, false));
	}
	end(f, UPDATE);
	begin(f);
	for (i = 0; i < MODEL_SLOTS; i++) {
		make_name(name, shuffle(i, MODEL_SLOTS));
		KUNIT_ASSERT_TRUE(test, model_change(name, data, true));
	}
	end(f, UNREGISTER);
}

static void earlier_design(struct kunit *test)
{
	unsigned int rounds = DIV_ROUND_UP(MIN_OPS, MODEL_SLOTS), i;
	struct figures f = { };

	for (i = 0; i < rounds; i++)
		model_round(test, &f);
	KUNIT_EXPECT_EQ(test, model_register("a", data, 1), 0);
	KUNIT_EXPECT_TRUE(test, model_change("a", data, true));
	print(test, "model", MODEL_SLOTS, rounds, &f, sizeof(struct model_region));
}

/* The writer, beside what it can't do without: to read all bytes and compress them. */
#define IMAGE_SIZE	(2UL << 20)

static void print_throughput(struct kunit *test, const char *what, const struct figures *f)
{
	kunit_info(test, "throughput %s %lu %llu %llu", what, IMAGE_SIZE, f->ns[0], f->ticks[0]);
}

static void writer(struct kunit *test)
{
	struct kmemdump_table *table = kmemdump_test_table(test);
	struct kmemdump_test_backend *tb = kmemdump_test_writer(test, 2 * IMAGE_SIZE);
	struct kmemdump_stream *stream;
	struct figures f[3] = { };
	u8 *source, *copy;
	size_t pos;

	/* The kernel's own text and data: neither random nor zeros. */
	source = kunit_kmalloc(test, IMAGE_SIZE, GFP_KERNEL);
	copy = kunit_kmalloc(test, IMAGE_SIZE, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, source);
	KUNIT_ASSERT_NOT_NULL(test, copy);
	KUNIT_ASSERT_EQ(test, copy_from_kernel_nofault(source, _stext, IMAGE_SIZE), 0);
	kmemdump_test_add(test, table, "image", source, IMAGE_SIZE, 0);
	KUNIT_ASSERT_EQ(test, kmemdump_test_attach(test, table, tb), 0);
	stream = table->stream;

	begin(&f[0]);
	memcpy(copy, source, IMAGE_SIZE);
	end(&f[0], 0);

	begin(&f[1]);
	for (pos = 0; pos < IMAGE_SIZE; pos += KMEMDUMP_FRAME_MAX) {
		size_t size = zstd_compress_cctx(stream->cctx, stream->out, stream->out_size,
						 source + pos, KMEMDUMP_FRAME_MAX,
						 &stream->params);

		KUNIT_ASSERT_FALSE(test, zstd_is_error(size));
	}
	end(&f[1], 0);

	begin(&f[2]);
	kmemdump_image_build(table->image, table, &tb->be, NULL);
	KUNIT_ASSERT_EQ(test, kmemdump_serialize(&tb->be, stream, table->image), 0);
	end(&f[2], 0);

	print_throughput(test, "memcpy", &f[0]);
	print_throughput(test, "zstd", &f[1]);
	print_throughput(test, "kmemdump", &f[2]);
}

/* What it takes to have firmware see another table, which is done with each change. */

static void no_fill(struct kmemdump_backend *be, unsigned int copy,
		    const struct kmemdump_slot *slots, unsigned int nr)
{
}

static void no_move(struct kmemdump_backend *be, unsigned int copy, unsigned int slot,
		    phys_addr_t phys_addr)
{
}

static void no_publish(struct kmemdump_backend *be, unsigned int copy, unsigned int nr)
{
}

static const struct kmemdump_backend_ops slot_ops = {
	.fill = no_fill,
	.move = no_move,
	.publish = no_publish,
};

static void measure_slots(struct kunit *test, unsigned int nr)
{
	struct kmemdump_table *table = kmemdump_test_table(test);
	struct kmemdump_backend be = {
		.name = "slots", .ops = &slot_ops, .max_slots = nr, .max_bytes = U64_MAX,
	};
	char name[KMEMDUMP_NAME_LEN];
	struct kmemdump_region region = { .name = name, .size = sizeof(data) };
	struct figures f = { };
	unsigned int i;
	u8 *pages;

	/* None beside another, so that each takes a slot. */
	pages = kunit_kmalloc(test, 2 * nr * PAGE_SIZE, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, pages);
	for (i = 0; i < nr; i++) {
		make_name(name, i);
		region.id = 0;
		region.virt_addr = pages + 2 * i * PAGE_SIZE;
		KUNIT_ASSERT_EQ(test, kmemdump_add(table, &region, NULL, KMEMDUMP_CLASS_DRIVER,
						   0), 0);
	}
	KUNIT_ASSERT_EQ(test, kmemdump_attach(table, &be), 0);
	for (i = 0; i < 100; i++) {
		region.virt_addr += i & 1 ? -64 : 64;
		begin(&f);
		KUNIT_EXPECT_EQ(test, kmemdump_move(table, &region), 0);
		end(&f, UPDATE);
	}
	kmemdump_detach(table, &be);
	kunit_info(test, "slots %u %llu %llu", nr, f.ns[UPDATE] / 100, f.ticks[UPDATE] / 100);
}

static void slots(struct kunit *test)
{
	measure_slots(test, 10);
	measure_slots(test, 50);
	measure_slots(test, 200);
}

/* What is in the way of a context switch, with the backends that this machine has. */
static void context_switch(struct kunit *test)
{
	const struct task_struct *tasks[] = { &init_task, current };
	struct figures f = { };
	unsigned long flags;
	unsigned int i;

	if (!kmemdump_table.follow_tasks)
		kunit_skip(test, "kmemdump.running is off");
	local_irq_save(flags);
	begin(&f);
	for (i = 0; i < 1000; i++)
		kmemdump_backends_switch(&kmemdump_table, tasks[i & 1]);
	end(&f, UPDATE);
	local_irq_restore(flags);
	kunit_info(test, "switch %llu", f.ns[UPDATE] / 1000);
}

static struct kunit_case benchmark_cases[] = {
	KUNIT_CASE_ATTR(context_switch, { .speed = KUNIT_SPEED_VERY_SLOW }),
	KUNIT_CASE_ATTR(slots, { .speed = KUNIT_SPEED_VERY_SLOW }),
	KUNIT_CASE_ATTR(writer, { .speed = KUNIT_SPEED_VERY_SLOW }),
	KUNIT_CASE_ATTR(registration, { .speed = KUNIT_SPEED_VERY_SLOW }),
	KUNIT_CASE_ATTR(earlier_design, { .speed = KUNIT_SPEED_VERY_SLOW }),
	{}
};

static struct kunit_suite benchmark_suite = {
	.name		= "kmemdump-benchmark",
	.test_cases	= benchmark_cases,
};

kunit_test_suite(benchmark_suite);

MODULE_LICENSE("GPL");
