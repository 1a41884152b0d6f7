// SPDX-License-Identifier: GPL-2.0-only
/*
 * Qualcomm minidump: the backend of kmemdump.
 *
 * While the system runs, the table has the regions that the backend carries. It is made anew
 * with each change, in the one of two heads and copies that firmware would not look at, and
 * then firmware is switched over to that. So nothing has to run at the crash. If tasks are
 * followed, the table also has the task on each CPU, and both copies are laid out alike: at a
 * context switch only the addresses of the task change, in the spare one.
 *
 * If panic code runs, it makes the table of all that the core image has then, from memory of
 * its own: another CPU may have been stopped in the middle of a change.
 *
 * Copyright (C) 2026 the kmemdump authors
 */
#define pr_fmt(fmt) "kmemdump: " fmt

#include <linux/cpumask.h>
#include <linux/elf.h>
#include <linux/gfp.h>
#include <linux/io.h>
#include <linux/mm.h>
#include <linux/printk.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "minidump.h"

#define PANIC_COPY	(MINIDUMP_COPIES - 1)

/* Less than this is of no use as a staging buffer. */
#define MIN_STAGING	SZ_64K

/* Loads that panic code can lay out; what matters less is left out. */
#define MAX_PANIC_LOADS	10240

static struct minidump_slots *to_slots(struct kmemdump_backend *be)
{
	return container_of(be, struct minidump_slots, be);
}

/* While the system runs */

/* Have the layout take in the tasks, as far as they are known. */
static void list_tasks(struct minidump_slots *s)
{
	struct minidump_load *load = s->task_loads;
	unsigned int cpu, i;

	for (cpu = 0; cpu < nr_cpu_ids; cpu++) {
		const struct minidump_task *task = &s->tasks[cpu];

		for (i = 0; task->known && i < MINIDUMP_TASK_PIECES; i++)
			*load++ = (struct minidump_load) {
				.vaddr	= task->pieces[i].virt_addr,
				.paddr	= task->pieces[i].phys_addr,
				.size	= task->pieces[i].size,
				.order	= cpu * MINIDUMP_TASK_PIECES + i,
				.kind	= MINIDUMP_KIND_RUNNING,
			};
	}
	s->layout.nr_running = load - s->task_loads;
}

/* Note where the tasks are in what was published, and have the spare table be the same. */
static void make_alike(struct minidump_slots *s)
{
	struct minidump_layout *l = &s->layout;
	void *head = s->heads[s->spare];
	unsigned int i;

	for (i = 0; i < l->nr_loads; i++) {
		const struct minidump_load *load = &l->loads[i];

		if (load->kind == MINIDUMP_KIND_RUNNING && !(load->order % MINIDUMP_TASK_PIECES))
			s->tasks[load->order / MINIDUMP_TASK_PIECES].first = i + 1;
	}
	memcpy(head, s->heads[!s->spare], l->head_size);
	l->slots[0].phys_addr = virt_to_phys(head);
	s->ops->fill(s, s->spare, l->slots, l->nr_slots);
	s->alike = true;
	s->changed = -1;
}

/*
 * Make the table of what is carried and have firmware see it. Returns false if a region was
 * updated meanwhile: then the table may have part of an old place, and is made again.
 */
static bool rebuild(struct minidump_slots *s)
{
	struct minidump_layout *l = &s->layout;

	lockdep_assert_held(&s->lock);

	if (s->gone)
		return true;
	s->alike = false;
	if (s->tasks)
		list_tasks(s);
	kmemdump_image_build_from(s->image, s->carried, s->nr_carried);
	minidump_lay_out(l, s->image);
	/* Keep the published table rather than publish a head that is cut off. */
	if (WARN_ON_ONCE(l->head_size > s->head_size))
		return true;
	minidump_put_head(l, s->image, s->heads[s->spare], s->nr_refused);
	if (kmemdump_image_moved(s->image))
		return false;
	s->ops->fill(s, s->spare, l->slots, l->nr_slots);
	s->ops->publish(s, s->spare, l->nr_slots);
	s->published = true;
	s->left_out_offset = l->left_out_offset;
	s->spare = !s->spare;
	if (s->tasks)
		make_alike(s);
	return true;
}

/*
 * Of the CPUs that update regions, each can get in the way once: then it waits for the
 * lock.
 */
static void rebuild_surely(struct minidump_slots *s)
{
	while (!rebuild(s))
		cpu_relax();
}

static int slots_add(struct kmemdump_backend *be, const struct kmemdump_entry *entry)
{
	struct minidump_slots *s = to_slots(be);
	unsigned long flags;

	if (s->nr_carried == be->max_slots)
		return -ENOSPC;
	raw_spin_lock_irqsave(&s->lock, flags);
	s->carried[s->nr_carried++] = entry;
	/*
	 * The core does not pass on updates of @entry yet, so they do not wait for the lock: try
	 * again later rather than in a loop.
	 */
	if (!rebuild(s))
		irq_work_queue(&s->retry);
	raw_spin_unlock_irqrestore(&s->lock, flags);
	return 0;
}

static void slots_remove(struct kmemdump_backend *be, const struct kmemdump_entry *entry)
{
	struct minidump_slots *s = to_slots(be);
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

/* The dump says how many regions are not in it. One store: firmware may be looking. */
static void slots_refused(struct kmemdump_backend *be, unsigned int nr)
{
	struct minidump_slots *s = to_slots(be);
	unsigned long flags;
	unsigned int i;

	raw_spin_lock_irqsave(&s->lock, flags);
	for (i = 0; i < MINIDUMP_HEADS; i++) {
		u32 *left_out = s->heads[i] + s->left_out_offset;

		if (!s->gone && s->published && (i != s->spare || s->alike))
			WRITE_ONCE(*left_out, *left_out - s->nr_refused + nr);
	}
	s->nr_refused = nr;
	raw_spin_unlock_irqrestore(&s->lock, flags);
}

/*
 * A region was updated. Any context. An NMI can't wait for the lock. If it is taken, the NMI
 * raises an interrupt, and firmware finds the region at its old place for as long as the rebuild
 * of the lock's holder takes. In a panic nothing waits either: the holder may be stopped.
 */
static void follow_updates(struct minidump_slots *s)
{
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

static int slots_update(struct kmemdump_backend *be, const struct kmemdump_entry *entry)
{
	follow_updates(to_slots(be));
	return 0;
}

static void retry(struct irq_work *work)
{
	follow_updates(container_of(work, struct minidump_slots, retry));
}

/* Have the spare table list the task on @cpu. */
static void place_task(struct minidump_slots *s, unsigned int cpu)
{
	const struct minidump_task *task = &s->tasks[cpu];
	struct elf64_phdr *phdrs = s->heads[s->spare] + sizeof(struct elf64_hdr);
	struct elf64_shdr *shdrs = s->heads[s->spare] + s->layout.sections_offset;
	unsigned int i;

	for (i = 0; i < MINIDUMP_TASK_PIECES; i++) {
		unsigned int slot = task->first + i;

		/* Before the slots, there is a header for the notes, and one for the names. */
		phdrs[slot].p_vaddr = task->pieces[i].virt_addr;
		phdrs[slot].p_paddr = task->pieces[i].phys_addr;
		shdrs[slot + 1].sh_addr = task->pieces[i].virt_addr;
		s->ops->move(s, s->spare, slot, task->pieces[i].phys_addr);
	}
}

/*
 * @cpu, which is this one unless a test runs, goes over to the task of these pieces. Called
 * from sched_switch with the lock of the run queue held, so it must not wake anything.
 */
void minidump_slots_switch(struct minidump_slots *s, unsigned int cpu,
			   const struct kmemdump_piece *pieces)
{
	struct minidump_task *task;
	bool placed;

	if (!s->tasks)
		return;
	task = &s->tasks[cpu];
	raw_spin_lock(&s->lock);
	memcpy(task->pieces, pieces, sizeof(task->pieces));
	task->known = true;
	placed = s->gone || (s->alike && task->first);
	if (placed && !s->gone) {
		if (s->changed >= 0 && s->changed != cpu)
			place_task(s, s->changed);
		place_task(s, cpu);
		s->ops->publish(s, s->spare, s->layout.nr_slots);
		s->spare = !s->spare;
		s->changed = cpu;
	}
	raw_spin_unlock(&s->lock);
	if (!placed)
		irq_work_queue(&s->retry);
}

/* At panic */

static void slots_build(struct kmemdump_backend *be, const struct kmemdump_image *image)
{
	struct minidump_slots *s = to_slots(be);
	struct minidump_layout *l = &s->panic;

	if (!l->staging)
		return;
	if (!minidump_lay_out(l, image)) {
		pr_err("%s: the staging buffer is too small; the regions left to it stay as they were\n",
		       be->name);
		return;
	}
	/* What others do to regions in the panic must not undo this. */
	s->gone = true;
	minidump_put_head(l, image, l->staging, 0);
	s->ops->fill(s, PANIC_COPY, l->slots, l->nr_slots);
	s->ops->publish(s, PANIC_COPY, l->nr_slots);
	pr_notice("%s: %u regions, %llu bytes in %u slots left to it, %u pieces left out\n",
		  be->name, kmemdump_image_nr_regions(image), l->size, l->nr_slots,
		  *(u32 *)(l->staging + l->left_out_offset));
}

/* Setting up */

static const struct kmemdump_table_ops table_ops = {
	.add		= slots_add,
	.remove		= slots_remove,
	.update		= slots_update,
	.refused	= slots_refused,
};

static const struct kmemdump_image_ops image_ops = {
	.all		= true,
	.build		= slots_build,
};

/* Wait until all changes have reached the table. May sleep. */
void minidump_slots_settle(struct minidump_slots *s)
{
	irq_work_sync(&s->retry);
}

/* Have firmware see nothing of @s any more. */
void minidump_slots_stop(struct minidump_slots *s)
{
	unsigned long flags;

	raw_spin_lock_irqsave(&s->lock, flags);
	s->ops->publish(s, s->spare, 0);
	s->gone = true;
	raw_spin_unlock_irqrestore(&s->lock, flags);
}

static void free_pages_of(void *p, size_t size)
{
	if (p)
		free_pages_exact(p, size);
}

/* After minidump_slots_stop(), when @s is no longer attached; or @s is NULL. */
void minidump_slots_free(struct minidump_slots *s)
{
	int i;

	if (!s)
		return;
	minidump_slots_settle(s);
	for (i = 0; i < MINIDUMP_HEADS; i++)
		free_pages_of(s->heads[i], s->head_size);
	free_pages_of(s->panic.staging, s->panic.staging_size);
	minidump_layout_free(&s->layout);
	minidump_layout_free(&s->panic);
	kmemdump_image_free(s->image);
	kvfree(s->tasks);
	kvfree(s->task_loads);
	kvfree(s->carried);
	kfree(s);
}

/* Memory that is contiguous; less than asked for is better than nothing. */
static void alloc_staging(struct minidump_slots *s, size_t wanted)
{
	size_t size;
	void *p = NULL;

	for (size = PAGE_ALIGN(wanted); size >= MIN_STAGING;
	     size = ALIGN_DOWN(size / 2, PAGE_SIZE)) {
		p = alloc_pages_exact(size, GFP_KERNEL | __GFP_NOWARN | __GFP_ZERO);
		if (p)
			break;
	}
	s->panic.staging = p;
	s->panic.staging_size = p ? size : 0;
	if (s->panic.staging_size < wanted)
		pr_warn("backend %s: %zu bytes asked for to stage memory in, %zu there\n",
			s->be.name, wanted, s->panic.staging_size);
}

/*
 * Set slots aside for the tasks that the CPUs run, and their stacks. Returns the number of
 * these slots, 0 if @max_slots are too few for that, or -ENOMEM.
 */
static int alloc_tasks(struct minidump_slots *s, unsigned int max_slots)
{
	unsigned int nr = num_possible_cpus() * MINIDUMP_TASK_PIECES;

	if (nr > max_slots / 2) {
		pr_warn("backend %s: %u slots are too few to follow the tasks that run, which takes %u\n",
			s->be.name, max_slots, nr);
		return 0;
	}
	s->tasks = kvcalloc(nr_cpu_ids, sizeof(*s->tasks), GFP_KERNEL);
	s->task_loads = kvcalloc(nr, sizeof(*s->task_loads), GFP_KERNEL);
	s->layout.running = s->task_loads;
	return s->tasks && s->task_loads ? nr : -ENOMEM;
}

static int alloc_layouts(struct minidump_slots *s, unsigned int max_slots)
{
	unsigned int nr_running = max_slots - s->be.max_slots;
	/* A region inside of an area makes three loads of the area, before they are joined. */
	unsigned int max_loads = 3 * max_slots;
	int ret, i;

	s->carried = kvcalloc(max_slots, sizeof(*s->carried), GFP_KERNEL);
	s->image = kmemdump_image_alloc(max_slots, max_slots, max_loads);
	if (!s->carried || !s->image)
		return -ENOMEM;
	ret = minidump_layout_alloc(&s->layout, 1 + max_slots, max_loads + nr_running);
	if (!ret && s->panic.staging)
		ret = minidump_layout_alloc(&s->panic, 1 + max_slots, MAX_PANIC_LOADS);
	if (ret)
		return ret;
	s->head_size = minidump_max_head(&s->layout, s->image);
	for (i = 0; i < MINIDUMP_HEADS; i++) {
		s->heads[i] = alloc_pages_exact(s->head_size, GFP_KERNEL | __GFP_ZERO);
		if (!s->heads[i])
			return -ENOMEM;
	}
	return 0;
}

/*
 * Make a backend that lists what it carries in @max_slots slots besides the head, through
 * @ops. With @follow_tasks it also lists the tasks that the CPUs run, and their stacks. At
 * panic it copies small regions into one buffer of @staging_size bytes. Process context, may
 * sleep. Returns NULL if there is not enough memory.
 */
struct minidump_slots *minidump_slots_alloc(const char *name,
					    const struct minidump_slots_ops *ops,
					    unsigned int max_slots, size_t staging_size,
					    bool follow_tasks)
{
	struct minidump_slots *s = kzalloc(sizeof(*s), GFP_KERNEL);
	int nr_running = 0;

	if (!s)
		return NULL;
	raw_spin_lock_init(&s->lock);
	init_irq_work(&s->retry, retry);
	s->ops = ops;
	s->be.name = name;
	s->be.table = &table_ops;
	s->be.image = &image_ops;
	s->be.max_bytes = U64_MAX;
	if (follow_tasks)
		nr_running = alloc_tasks(s, max_slots);
	s->be.max_slots = max_slots - max(nr_running, 0);
	alloc_staging(s, staging_size);
	if (nr_running < 0 || alloc_layouts(s, max_slots)) {
		minidump_slots_free(s);
		return NULL;
	}
	return s;
}
