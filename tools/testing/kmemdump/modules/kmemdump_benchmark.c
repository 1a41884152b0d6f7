// SPDX-License-Identifier: GPL-2.0-only
/*
 * Test module: what kmemdump costs while the system runs.
 *
 * It prints times in nanoseconds, and in ticks of get_cycles(). Where get_cycles() counts
 * instructions, as on x86 in QEMU with -icount shift=0, the second figure is exact. "make bench"
 * makes tables from the figures.
 */
#include <linux/completion.h>
#include <linux/delay.h>
#include <linux/kernel.h>
#include <linux/kmemdump.h>
#include <linux/kmemdump_backend.h>
#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/timekeeping.h>
#include <linux/timex.h>
#include <linux/vmalloc.h>

static char *what = "registration";
module_param(what, charp, 0);

static unsigned int nr = 1000;
module_param(nr, uint, 0);

/* With few regions, repeat the operations until there are this many to measure. */
#define MIN_OPS		10000

enum { REGISTER, BY_NAME, UPDATE, UNREGISTER, WALK, NR_COLUMNS };

struct figures {
	u64 ns[NR_COLUMNS];
	u64 ticks[NR_COLUMNS];
	u64 start_ns;
	u64 start_ticks;
};

static char data[64];

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

static void print(const char *design, unsigned int number, unsigned int rounds,
		  const struct figures *f, long bytes)
{
	u64 ops = (u64)number * rounds;
	char line[256];
	int i, len = 0;

	for (i = 0; i < NR_COLUMNS; i++)
		len += scnprintf(line + len, sizeof(line) - len, " %llu/%llu",
				 div64_u64(f->ns[i], ops), div64_u64(f->ticks[i], ops));
	pr_info("figures %s %u%s %ld\n", design, number, line, bytes);
}

static void make_name(char *name, unsigned int i)
{
	snprintf(name, KMEMDUMP_NAME_LEN, "driver-region-%06u", i);
}

/* Map the numbers of all regions to an order that is bad for caches. */
static unsigned int shuffle(unsigned int i, unsigned int number)
{
	return (u64)i * 7919 % number;
}

/* A backend that remembers what it carries, and a writer that keeps nothing. */

static const struct kmemdump_entry **entries;
static unsigned int nr_entries;

static int table_add(struct kmemdump_backend *be, const struct kmemdump_entry *entry)
{
	if (!strncmp(kmemdump_entry_name(entry), "driver-region-", 14))
		entries[nr_entries++] = entry;
	return 0;
}

static void table_remove(struct kmemdump_backend *be, const struct kmemdump_entry *entry)
{
}

static int table_update(struct kmemdump_backend *be, const struct kmemdump_entry *entry)
{
	return 0;
}

static int no_write(struct kmemdump_backend *be, const void *buf, size_t len)
{
	return 0;
}

static const struct kmemdump_table_ops table_ops = {
	.add = table_add, .remove = table_remove, .update = table_update,
};

static const struct kmemdump_writer_ops writer_ops = {
	.write = no_write,
};

static struct kmemdump_backend table_backend = {
	.name = "bench-table", .table = &table_ops, .max_slots = UINT_MAX, .max_bytes = U64_MAX,
};

static struct kmemdump_backend writer_backend = {
	.name = "bench-writer", .writer = &writer_ops, .max_bytes = U64_MAX,
};

/* Free memory, after RCU and work items have freed old regions and tables. */
static long free_bytes(void)
{
	struct sysinfo info;

	rcu_barrier();
	msleep(200);
	si_meminfo(&info);
	return info.freeram * PAGE_SIZE;
}

typedef int call_t(struct kmemdump_region *region);

static int each_region(int *ids, call_t *call)
{
	unsigned int i;
	int ret;

	for (i = 0; i < nr; i++) {
		unsigned int n = call == kmemdump_unregister_region ? shuffle(i, nr) : i;
		char name[KMEMDUMP_NAME_LEN];
		struct kmemdump_region region = {
			.name = name, .virt_addr = data, .size = sizeof(data), .id = ids[n],
		};

		make_name(name, n);
		ret = call(&region);
		if (ret)
			return ret;
		ids[n] = region.id;
	}
	return 0;
}

static int register_one(struct kmemdump_region *region)
{
	return kmemdump_register_region(region);
}

static int update_one(struct kmemdump_region *region)
{
	return kmemdump_update_region(region);
}

static int find_one(struct kmemdump_region *region)
{
	return kmemdump_region_id(region->name) == region->id ? 0 : -ENOENT;
}

static int one_round(struct figures *f, int *ids, struct kmemdump_image *image, long *bytes)
{
	long before = free_bytes();
	int ret;

	nr_entries = 0;
	begin(f);
	ret = each_region(ids, register_one);
	end(f, REGISTER);
	*bytes = (before - free_bytes()) / (long)nr;
	if (ret)
		return ret;

	begin(f);
	ret = each_region(ids, find_one);
	end(f, BY_NAME);
	begin(f);
	ret = ret ?: each_region(ids, update_one);
	end(f, UPDATE);
	begin(f);
	kmemdump_image_build_from(image, entries, nr_entries);
	end(f, WALK);
	if (kmemdump_image_nr_regions(image) != nr)
		ret = -ENODATA;
	begin(f);
	ret = ret ?: each_region(ids, kmemdump_unregister_region);
	end(f, UNREGISTER);
	return ret;
}

static int registration(void)
{
	struct kmemdump_image *image = kmemdump_image_alloc(nr, nr, nr);
	int *ids = vcalloc(nr, sizeof(*ids));
	unsigned int rounds = DIV_ROUND_UP(MIN_OPS, nr), i;
	struct figures f = { };
	long bytes = 0;
	int ret;

	entries = vcalloc(nr, sizeof(*entries));
	ret = image && ids && entries ? 0 : -ENOMEM;
	ret = ret ?: kmemdump_register_backend(&table_backend);
	ret = ret ?: kmemdump_register_backend(&writer_backend);
	for (i = 0; i < rounds && !ret; i++)
		ret = one_round(&f, ids, image, &bytes);
	if (!ret) {
		kmemdump_unregister_backend(&writer_backend);
		kmemdump_unregister_backend(&table_backend);
		print("kmemdump", nr, rounds, &f, bytes);
	}
	kmemdump_image_free(image);
	vfree(ids);
	vfree(entries);
	return ret;
}

/*
 * For comparison, a model of the design that earlier series had: an array of 201 slots, a mutex
 * around it, and linear search by name.
 */
#define MODEL_SLOTS	201

struct model_region {
	char name[KMEMDUMP_NAME_LEN];
	phys_addr_t phys_addr;
	const void *virt_addr;
	size_t size;
	bool used;
};

static DEFINE_MUTEX(model_lock);
static struct model_region model[MODEL_SLOTS];

static struct model_region *model_find(const char *name)
{
	int i;

	for (i = 0; i < MODEL_SLOTS; i++)
		if (model[i].used && !strcmp(model[i].name, name))
			return &model[i];
	return NULL;
}

static int model_register(const char *name)
{
	int i;

	guard(mutex)(&model_lock);
	if (model_find(name))
		return -EEXIST;
	for (i = 0; i < MODEL_SLOTS && model[i].used; i++)
		;
	if (i == MODEL_SLOTS)
		return -ENOSPC;
	strscpy(model[i].name, name);
	model[i].virt_addr = data;
	model[i].size = sizeof(data);
	model[i].used = true;
	return 0;
}

static int model_change(const char *name, bool remove)
{
	struct model_region *slot;

	guard(mutex)(&model_lock);
	slot = model_find(name);
	if (!slot)
		return -ENOENT;
	if (remove)
		slot->used = false;
	else
		slot->virt_addr = data;
	return 0;
}

static int earlier_design(void)
{
	unsigned int rounds = DIV_ROUND_UP(MIN_OPS, MODEL_SLOTS), i, n;
	static const int columns[] = { REGISTER, BY_NAME, UPDATE, UNREGISTER };
	char name[KMEMDUMP_NAME_LEN];
	struct figures f = { };
	int c, ret = 0;

	for (i = 0; i < rounds * ARRAY_SIZE(columns); i++) {
		c = columns[i % ARRAY_SIZE(columns)];
		begin(&f);
		for (n = 0; n < MODEL_SLOTS && !ret; n++) {
			make_name(name, c == REGISTER ? n : shuffle(n, MODEL_SLOTS));
			ret = c == REGISTER ? model_register(name) :
					      model_change(name, c == UNREGISTER);
		}
		end(&f, c);
	}
	print("model", MODEL_SLOTS, rounds, &f, sizeof(struct model_region));
	return ret;
}

/* What an update costs with @nr regions, no two of which are adjacent. */
static int update(void)
{
	int *ids = vcalloc(nr, sizeof(*ids)), ret = 0;
	u8 *pages = kvmalloc(2 * nr * PAGE_SIZE, GFP_KERNEL);
	char name[KMEMDUMP_NAME_LEN];
	struct kmemdump_region region = { .name = name, .size = sizeof(data) };
	struct figures f = { };
	unsigned int i;

	if (!pages || !ids)
		return -ENOMEM;
	for (i = 0; i < nr && !ret; i++) {
		make_name(name, i);
		region.id = 0;
		region.virt_addr = pages + 2 * i * PAGE_SIZE;
		ret = kmemdump_register_region(&region);
		ids[i] = region.id;
	}
	for (i = 0; i < 100 && !ret; i++) {
		region.virt_addr += i & 1 ? -64 : 64;
		begin(&f);
		ret = kmemdump_update_region(&region);
		end(&f, UPDATE);
	}
	pr_info("moves %u %llu\n", nr, f.ns[UPDATE] / 100);
	for (i = 0; i < nr; i++) {
		make_name(name, i);
		region.id = ids[i];
		kmemdump_unregister_region(&region);
	}
	kvfree(pages);
	vfree(ids);
	return ret;
}

/* What it costs to switch to another task and back, on one CPU. */

static DECLARE_COMPLETION(ping);
static DECLARE_COMPLETION(pong);

static int answer(void *unused)
{
	unsigned int i;

	for (i = 0; i < nr; i++) {
		wait_for_completion(&ping);
		complete(&pong);
	}
	return 0;
}

static int context_switch(void)
{
	struct task_struct *task = kthread_create(answer, NULL, "kmemdump-answer");
	struct figures f = { };
	unsigned int i;

	if (IS_ERR(task))
		return PTR_ERR(task);
	kthread_bind(task, raw_smp_processor_id());
	wake_up_process(task);
	begin(&f);
	for (i = 0; i < nr; i++) {
		complete(&ping);
		wait_for_completion(&pong);
	}
	end(&f, UPDATE);
	pr_info("switch %llu\n", div64_u64(f.ns[UPDATE], 2 * nr));
	return 0;
}

static int __init kmemdump_benchmark_init(void)
{
	if (!strcmp(what, "registration"))
		return registration();
	if (!strcmp(what, "earlier"))
		return earlier_design();
	if (!strcmp(what, "update"))
		return update();
	return context_switch();
}

static void __exit kmemdump_benchmark_exit(void)
{
}

module_init(kmemdump_benchmark_init);
module_exit(kmemdump_benchmark_exit);

MODULE_DESCRIPTION("Measures what kmemdump costs");
MODULE_LICENSE("GPL");
