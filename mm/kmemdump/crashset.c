// SPDX-License-Identifier: GPL-2.0-only
/*
 * kmemdump: what of the core set exists only at the crash.
 *
 * Tasks and their stacks, what debuggers need to get from one task to the next, the few pages
 * of text that backtraces go through, and the page tables of what is not in the linear map.
 * Panic code looks for all of this, so no other code of the kernel has to register it.
 *
 * All of it may be damaged: every read may fault, every walk is bounded, and a walk that ends
 * early costs only what it would have found.
 *
 * Copyright (C) 2026 the kmemdump authors
 */
#include <linux/cpumask.h>
#include <linux/fdtable.h>
#include <linux/fs.h>
#include <linux/fs_struct.h>
#include <linux/futex.h>
#include <linux/kallsyms.h>
#include <linux/kexec.h>
#include <linux/mm.h>
#include <linux/nmi.h>
#include <linux/pgtable.h>
#include <linux/pid_namespace.h>
#include <linux/ptrace.h>
#include <linux/sched.h>
#include <linux/sched/debug.h>
#include <linux/sched/signal.h>
#include <linux/sched/stat.h>
#include <linux/sched/task.h>
#include <linux/sched/task_stack.h>
#include <linux/sizes.h>
#include <linux/vmalloc.h>
#include <linux/xarray.h>

#include <asm/sections.h>

#include "../percpu-internal.h"
#include "../slab.h"

#include "arch.h"
#include "kmemdump.h"

/* On a running system, tasks may come between the look at nr_threads and the walk. */
#define SPARE_TASKS	64

/* More than any machine has, so that a walk along a cycle in a damaged list ends. */
#define MAX_CACHES	4096
#define MAX_XA_NODES	16384
#define MAX_CHUNKS	1024
#define MAX_CHUNK_PAGES	4096

/* Bytes of a function that debuggers look at. */
#define MAX_FUNCTION	SZ_16K

/* Objects that searches for pointers may add, and how much of each they look at. */
#define MAX_TREE_OBJECTS	448
#define MAX_REACHED		640
#define MAX_OBJECT		256

#define peek_field(var, ptr)	kmemdump_peek(&(var), &(ptr), sizeof(var))

static void add(struct kmemdump_image *image, const void *addr, size_t size,
		enum kmemdump_order order)
{
	kmemdump_image_add(image, (unsigned long)addr, size, order);
}

/* Text */

/*
 * Add the text around @addr, if it is a return address. Debuggers look at the instructions
 * before it, and at all of its function.
 */
static void add_text(struct kmemdump_image *image, unsigned long addr, enum kmemdump_order order)
{
	unsigned long size, offset;

	if (kmemdump_is_module_addr(addr)) {
		kmemdump_image_add(image, addr - 16, 32, order);
	} else if (addr >= (unsigned long)_stext && addr < (unsigned long)_etext) {
		kmemdump_image_add(image, addr - 16, 32, order);
		/*
		 * Of the kernel itself that takes no lock. From the start of the
		 * function, "crash" disassembles as many instructions as there are
		 * bytes up to the address.
		 */
		if (kallsyms_lookup_size_offset(addr, &size, &offset))
			kmemdump_image_add(image, addr - offset,
					   min(max(size, 5 * offset), MAX_FUNCTION), order);
		kmemdump_arch_add_text(image, addr, order);
	}
}

/*
 * Add the text of the scheduler, which debuggers take apart to find where a task that sleeps
 * goes on.
 */
static void add_sched_text(struct kmemdump_image *image)
{
	add(image, __sched_text_start, __sched_text_end - __sched_text_start,
	    KMEMDUMP_ORDER_IMAGE);
}

/* Add the text of all that looks like a return address in [@low, @high) of a stack. */
static void add_return_addresses(struct kmemdump_image *image, unsigned long low,
				 unsigned long high, enum kmemdump_order order)
{
	unsigned long words[32], last = 0;
	size_t i, n;

	for (; low < high; low += n) {
		n = min_t(size_t, high - low, sizeof(words));
		if (!kmemdump_peek(words, (void *)low, n))
			continue;
		for (i = 0; i < n / sizeof(words[0]); i++) {
			if (words[i] == last)
				continue;
			last = words[i];
			add_text(image, last, order);
		}
	}
}

/* Stacks */

/* Add the stack [@low, @low + @size), which is in use from @sp on; from its start if that is 0. */
static void add_stack(struct kmemdump_image *image, unsigned long low, unsigned long size,
		      unsigned long sp, enum kmemdump_order order)
{
	if (sp < low || sp >= low + size)
		sp = low;
	sp = ALIGN_DOWN(sp, sizeof(long));
	kmemdump_image_add(image, low, size + KMEMDUMP_STACK_OVERREAD, order);
	add_return_addresses(image, sp, low + size, order);
}

static void add_task_stack(struct kmemdump_image *image, const struct task_struct *task,
			   bool running, enum kmemdump_order order)
{
	unsigned long low;

	if (peek_field(low, task->stack) && low)
		add_stack(image, low, THREAD_SIZE,
			  running ? 0 : kmemdump_arch_saved_sp(task), order);
}

static void add_cpu(struct kmemdump_image *image, unsigned int cpu)
{
	unsigned long low, size;
	unsigned int i;

	for (i = 0; i < KMEMDUMP_CPU_STACKS; i++) {
		low = kmemdump_arch_cpu_stack(cpu, i, &size);
		if (low && i >= KMEMDUMP_FIRST_ALIAS) {
			kmemdump_image_add_tables(image, low, size, KMEMDUMP_ORDER_PERCPU);
			add_return_addresses(image, low, low + size, KMEMDUMP_ORDER_PERCPU);
		} else if (low) {
			add_stack(image, low, size, 0, KMEMDUMP_ORDER_PERCPU);
		}
	}
	kmemdump_arch_add_cpu(image, cpu);
}

/* Tasks */

static const struct {
	size_t	offset;
	size_t	size;
	bool	extended;
} task_parts[] = {
	{ offsetof(struct task_struct, signal), sizeof(struct signal_struct) },
	{ offsetof(struct task_struct, mm), sizeof(struct mm_struct) },
	{ offsetof(struct task_struct, thread_pid), sizeof(struct pid) },
	{ offsetof(struct task_struct, sighand), sizeof(struct sighand_struct), true },
	{ offsetof(struct task_struct, real_cred), sizeof(struct cred), true },
	{ offsetof(struct task_struct, files), sizeof(struct files_struct), true },
	{ offsetof(struct task_struct, fs), sizeof(struct fs_struct), true },
	{ offsetof(struct task_struct, nsproxy), sizeof(struct nsproxy), true },
};

static void add_task(struct kmemdump_image *image, const struct task_struct *task,
		     enum kmemdump_order order)
{
	void *part;
	int i;

	/* On x86, what a task has of the FPU is part of the structure or comes after it. */
	add(image, task, max_t(size_t, sizeof(*task), arch_task_struct_size), order);
	for (i = 0; i < ARRAY_SIZE(task_parts); i++) {
		if (task_parts[i].extended && kmemdump_set < KMEMDUMP_SET_EXTENDED)
			continue;
		if (kmemdump_peek(&part, (void *)task + task_parts[i].offset, sizeof(part)) && part)
			add(image, part, task_parts[i].size, order);
	}
}

static void add_running_task(struct kmemdump_image *image, const struct task_struct *task,
			     enum kmemdump_order order)
{
	add_task(image, task, order);
	add_task_stack(image, task, true, order);
}

static void add_running_tasks(struct kmemdump_image *image)
{
	unsigned int cpu, i;

	/* The address where a CPU runs is on no stack. */
	for (i = 0; i < image->nr_cpus; i++)
		add_text(image, instruction_pointer(&image->cpus[i].regs),
			 KMEMDUMP_ORDER_CURRENT);
	add_running_task(image, current, KMEMDUMP_ORDER_CRASHED);
	for_each_present_cpu(cpu)
		add_running_task(image, kmemdump_task_on(cpu), KMEMDUMP_ORDER_CURRENT);
	/* The idle tasks are on no list. */
	for_each_present_cpu(cpu)
		add_running_task(image, idle_task(cpu), KMEMDUMP_ORDER_TASKS);
}

static struct list_head *next_of(const struct list_head *entry)
{
	struct list_head *next;

	return peek_field(next, entry->next) ? next : NULL;
}

static void add_threads(struct kmemdump_image *image, struct task_struct *process,
			unsigned int *left, bool stacks)
{
	struct task_struct *task;
	struct list_head *head, *pos;
	struct signal_struct *signal;

	if (!peek_field(signal, process->signal) || !signal)
		return;
	head = &signal->thread_head;
	for (pos = next_of(head); pos && pos != head && *left; pos = next_of(pos)) {
		(*left)--;
		task = list_entry(pos, struct task_struct, thread_node);
		if (stacks)
			add_task_stack(image, task, false, KMEMDUMP_ORDER_TASKS);
		else
			add_task(image, task, KMEMDUMP_ORDER_TASKS);
	}
}

/* Add all tasks, or with @stacks their stacks. */
static void add_all_tasks(struct kmemdump_image *image, bool stacks)
{
	unsigned int left = clamp_t(int, nr_threads, 0, PID_MAX_LIMIT) + SPARE_TASKS;
	unsigned int processes = left;
	struct list_head *pos = &init_task.tasks;

	do {
		touch_nmi_watchdog();
		add_threads(image, list_entry(pos, struct task_struct, tasks), &left, stacks);
		pos = next_of(pos);
		/* The processes of a damaged list may have no threads, so they count, too. */
	} while (pos && pos != &init_task.tasks && left && --processes);
}

/* Add the nodes of an xarray, which is no deeper than an index has bits. */
static void add_xarray(struct kmemdump_image *image, const struct xarray *xa,
		       enum kmemdump_order order)
{
	struct {
		const struct xa_node	*node;
		unsigned int		slot;
	} path[BITS_PER_LONG / XA_CHUNK_SHIFT + 1];
	unsigned int depth = 0, left = MAX_XA_NODES;
	void *entry;

	if (!peek_field(entry, xa->xa_head) || !xa_is_node(entry))
		return;
	path[0].node = xa_to_node(entry);
	path[0].slot = 0;
	add(image, path[0].node, sizeof(struct xa_node), order);
	while (left) {
		if (path[depth].slot == XA_CHUNK_SIZE) {
			if (!depth--)
				return;
			continue;
		}
		if (!peek_field(entry, path[depth].node->slots[path[depth].slot++]))
			continue;
		if (xa_is_node(entry) && depth + 1 < ARRAY_SIZE(path)) {
			left--;
			depth++;
			path[depth].node = xa_to_node(entry);
			path[depth].slot = 0;
			add(image, path[depth].node, sizeof(struct xa_node), order);
		}
	}
}

/* Add the slab caches, of which debuggers make a list when they start. */
static void add_slab_caches(struct kmemdump_image *image)
{
	unsigned int left = MAX_CACHES;
	struct list_head *pos;

	for (pos = next_of(&slab_caches); pos && pos != &slab_caches && left--;
	     pos = next_of(pos))
		add(image, list_entry(pos, struct kmem_cache, list), sizeof(struct kmem_cache),
		    KMEMDUMP_ORDER_REST);
}

/*
 * Debuggers go from the variables of the kernel to objects that they point to: interrupts,
 * timers, devices. There is no list of these variables, so each word in them that looks like a
 * pointer is taken for one, as kmemleak does.
 */
struct reach {
	struct kmemdump_image	*image;
	unsigned int		nr;
	unsigned int		max;
	struct {
		unsigned long	addr;
		unsigned long	size;
	} objects[MAX_REACHED];
};

/* On a running system one search runs at a time. Panic code takes over from one that stopped. */
static struct reach reach;
static unsigned long reach_busy;

/* Find the slab object that @addr is in; else the word at @addr is the object. */
static bool find_object(unsigned long addr, unsigned long *start, unsigned long *size)
{
	struct kmem_cache *cache;
	unsigned int object_size;
	struct slab *slab;

	*start = ALIGN_DOWN(addr, sizeof(long));
	*size = sizeof(long);
	slab = virt_to_slab((void *)addr);
	if (!slab)
		return true;
	if (!peek_field(cache, slab->slab_cache) || !cache ||
	    !peek_field(object_size, cache->size) || !object_size)
		return false;
	*start = (unsigned long)slab_address(slab);
	*start += (addr - *start) / object_size * object_size;
	*size = min(object_size, MAX_OBJECT);
	return true;
}

/* Follow @word, which may be a pointer. */
static void reach_word(struct reach *r, unsigned long word)
{
	unsigned long start, size;
	unsigned int i;

	if (word < PAGE_OFFSET || !kmemdump_is_linear(word) || !virt_addr_valid((void *)word) ||
	    is_kernel_percpu_address(word) || is_free_buddy_page(virt_to_page((void *)word)) ||
	    !find_object(word, &start, &size))
		return;
	for (i = 0; i < r->nr; i++)
		if (r->objects[i].addr == start)
			return;
	if (r->nr == r->max)
		return;
	r->objects[r->nr].addr = start;
	r->objects[r->nr++].size = size;
	kmemdump_image_add(r->image, start, size, KMEMDUMP_ORDER_REST);
}

/* The root of an xarray or a maple tree: a pointer with this tag. */
static bool is_tree(unsigned long word)
{
	return (word & 3) == 2;
}

/* Follow all words of [@low, @high). */
static void reach_range(struct reach *r, unsigned long low, unsigned long high, bool trees_only)
{
	unsigned long words[32], last = 0;
	size_t i, n;

	for (low = ALIGN(low, sizeof(long)); low < high; low += n) {
		n = min_t(size_t, high - low, sizeof(words));
		if (!kmemdump_peek(words, (void *)low, n))
			continue;
		for (i = 0; i < n / sizeof(words[0]); i++)
			if (words[i] != last && (!trees_only || is_tree(words[i])))
				reach_word(r, last = words[i]);
	}
}

/* Follow the words of the objects from the @from-th on, those of what that finds, and so on. */
static void reach_on(struct reach *r, unsigned int from, unsigned int depth)
{
	while (depth-- && from < r->nr) {
		unsigned int end = r->nr;

		for (; from < end; from++)
			reach_range(r, r->objects[from].addr,
				    r->objects[from].addr + r->objects[from].size, false);
	}
}

static void reach_from_variables(struct kmemdump_image *image)
{
	unsigned int cpu, from;

	if (image->live && test_and_set_bit_lock(0, &reach_busy))
		return;
	reach.image = image;
	reach.nr = 0;

	/* Trees that hang on variables are tables of objects, such as the interrupts. */
	reach.max = MAX_TREE_OBJECTS;
	reach_range(&reach, (unsigned long)_sdata, (unsigned long)_edata, true);
	reach_range(&reach, (unsigned long)__bss_start, (unsigned long)__bss_stop, true);
	reach_on(&reach, 0, 4);

	/* Timers. */
	reach.max = MAX_REACHED;
	from = reach.nr;
	for_each_possible_cpu(cpu) {
		const void __percpu *start = (const void __percpu __force *)__per_cpu_start;
		unsigned long area = (unsigned long)per_cpu_ptr(start, cpu);

		reach_range(&reach, area, area + (__per_cpu_end - __per_cpu_start), false);
		if (image->live)
			cond_resched();
	}
	reach_on(&reach, from, 1);
	if (image->live)
		clear_bit_unlock(0, &reach_busy);
}

/* Add the per-CPU variables that were allocated after the first chunk was full. */
static void add_percpu_chunks(struct kmemdump_image *image)
{
	unsigned int left = MAX_CHUNKS, cpu;
	struct list_head *head, *pos;
	void *base;
	int nr_pages;

	for (head = pcpu_chunk_lists; head < pcpu_chunk_lists + pcpu_nr_slots; head++) {
		for (pos = next_of(head); pos && pos != head && left; pos = next_of(pos)) {
			struct pcpu_chunk *chunk = list_entry(pos, struct pcpu_chunk, list);

			left--;
			if (!peek_field(base, chunk->base_addr) ||
			    !peek_field(nr_pages, chunk->nr_pages) || nr_pages < 0 ||
			    nr_pages > MAX_CHUNK_PAGES)
				continue;
			/* Pages that are not populated have no translation. */
			for_each_possible_cpu(cpu)
				add(image, base + pcpu_unit_offsets[cpu],
				    (size_t)nr_pages << PAGE_SHIFT, KMEMDUMP_ORDER_REST);
		}
	}
}

/* Add the kernel's own notes of registers, where some debuggers look for them. */
static void add_crash_notes(struct kmemdump_image *image)
{
#ifdef CONFIG_CRASH_DUMP
	unsigned int i;

	if (!crash_notes || image->live)
		return;
	for (i = 0; i < image->nr_cpus; i++) {
		kmemdump_fill_crash_note(&image->cpus[i]);
		add(image, per_cpu_ptr(crash_notes, image->cpus[i].cpu), sizeof(note_buf_t),
		    KMEMDUMP_ORDER_CRASHED);
	}
#endif
}

/*
 * Put into @image what the core set has besides regions, and what debuggers can't start
 * without. It takes no lock: at panic nothing else runs, and on a running system what is
 * read in the middle of a change can only be wrong, not dangerous.
 */
static void add_needed(struct kmemdump_image *image)
{
	unsigned int cpu;

	add_crash_notes(image);
	add_running_tasks(image);
	add_sched_text(image);
	kmemdump_arch_add_needed(image);
	for_each_possible_cpu(cpu)
		add_cpu(image, cpu);
	add_xarray(image, &init_pid_ns.idr.idr_rt, KMEMDUMP_ORDER_TASKS);
	kmemdump_find_modules(image);
	add_slab_caches(image);
	reach_from_variables(image);
}

/*
 * The tasks that do not run, and what else is only good to have. Any user can make so many
 * tasks that the image has no room for all of them, so everything else is in it by now, and
 * what shows that a task is there goes before any stack.
 */
static void add_tasks(struct kmemdump_image *image)
{
	add_all_tasks(image, false);
	if (kmemdump_set >= KMEMDUMP_SET_EXTENDED)
		add_percpu_chunks(image);
	add_all_tasks(image, true);
}

static int __init kmemdump_crashset_init(void)
{
	int ret;

	if (kmemdump_set < KMEMDUMP_SET_STANDARD)
		return 0;
	kmemdump_image_hooks.add_tables = kmemdump_image_add_tables;
	kmemdump_image_hooks.add_tasks = add_tasks;
	/* Set last: image.c takes this one as the sign that all are there. */
	kmemdump_image_hooks.add_needed = add_needed;

	/* A backend that has attached by now, such as ramoops, has no room for all of that yet. */
	mutex_lock(&kmemdump_table.lock);
	ret = kmemdump_backends_reserve(&kmemdump_table, kmemdump_table.nr_regions,
					kmemdump_table.nr_pieces);
	mutex_unlock(&kmemdump_table.lock);
	return ret;
}

/* After kmemdump_coreset_init(), which sets kmemdump_set. */
fs_initcall_sync(kmemdump_crashset_init);
