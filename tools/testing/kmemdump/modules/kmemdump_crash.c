// SPDX-License-Identifier: GPL-2.0-only
/*
 * Test module: registers regions of every kind, and crashes the machine in the
 * way that mode= asks for. Loading it with a mode does not return. Without one,
 * writing a mode to the parameter "crash" later does the same.
 *
 * Copyright (C) 2026 the kmemdump authors
 */
#include <linux/cpumask.h>
#include <linux/delay.h>
#include <linux/gfp.h>
#include <linux/interrupt.h>
#include <linux/irq_work.h>
#include <linux/kmemdump.h>
#include <linux/kmemdump_backend.h>
#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/panic.h>
#include <linux/prandom.h>
#include <linux/slab.h>
#include <linux/smp.h>
#include <linux/string.h>
#include <linux/vmalloc.h>

#ifdef CONFIG_PPC_PSERIES
#include <asm/rtas.h>
#endif

static char *mode = "";
module_param(mode, charp, 0);

/* Size of a region that does not compress, or 0 for no such region. */
static unsigned int random_kib;
module_param(random_kib, uint, 0);

#define TEXT(where)	"kmemdump test data in " where

static char module_data[100] = TEXT("module data");

/* Text in the middle of a vmalloc area, over a page boundary. */
static int register_vmalloc(const char *name, void **area)
{
	struct kmemdump_region region = { .name = name, .size = 2 * PAGE_SIZE };
	char *p = vzalloc(4 * PAGE_SIZE);

	if (!p)
		return -ENOMEM;
	strscpy(p + PAGE_SIZE - 10, TEXT("vmalloc memory"), 100);
	region.virt_addr = p + PAGE_SIZE - 10;
	*area = p;
	return kmemdump_register_region(&region);
}

static int register_regions(void)
{
	struct kmemdump_region data = {
		.name = "module_data", .virt_addr = module_data, .size = sizeof(module_data),
	};
	struct kmemdump_region freed = { .name = "freed_pages", .size = 64 * PAGE_SIZE };
	struct kmemdump_region noise = { .name = "random", .size = random_kib * 1024UL };
	struct rnd_state rnd;
	void *area;
	int ret;

	ret = kmemdump_register_region(&data);
	if (ret)
		return ret;
	ret = register_vmalloc("vmalloc_data", &area);
	if (ret)
		return ret;

	/* Do what careless drivers do: free memory that is still registered. */
	ret = register_vmalloc("freed_vmalloc", &area);
	if (ret)
		return ret;
	vfree(area);
	freed.virt_addr = (void *)__get_free_pages(GFP_KERNEL, 6);
	if (!freed.virt_addr)
		return -ENOMEM;
	ret = kmemdump_register_region(&freed);
	if (ret)
		return ret;
	free_pages((unsigned long)freed.virt_addr, 6);

	if (!noise.size)
		return 0;
	noise.virt_addr = vmalloc(noise.size);
	if (!noise.virt_addr)
		return -ENOMEM;
	prandom_seed_state(&rnd, 1);
	prandom_bytes_state(&rnd, (void *)noise.virt_addr, noise.size);
	return kmemdump_register_region(&noise);
}

/* mode=irq */

static void panic_irq(struct irq_work *unused)
{
	panic("kmemdump test: in interrupt context");
}

static void crash_irq(void)
{
	static struct irq_work work;

	init_irq_work(&work, panic_irq);
	irq_work_queue(&work);
	irq_work_sync(&work);
}

/* mode=irqsoff */

static void crash_irqsoff(void)
{
	local_irq_disable();
	panic("kmemdump test: with interrupts off");
}

/* mode=oops */

static void crash_oops(void)
{
	WRITE_ONCE(*(int *)8, 1);
}

/* mode=lock: another CPU hangs in a backend's add(), which runs with the lock held. */

/* How far the other CPU is: not in the op yet, in it, told to hang there, hanging. */
enum { ELSEWHERE, IN_OP, TO_HANG, HANGS };
static atomic_t in_op;

static void hang(void)
{
	local_irq_disable();
	for (;;)
		cpu_relax();
}

/* Stay here, but do not hang before hang_elsewhere() says that nothing waits for this CPU. */
static void hang_in_op(void)
{
	atomic_set(&in_op, IN_OP);
	for (;;) {
		local_irq_disable();
		if (atomic_cmpxchg(&in_op, TO_HANG, HANGS) == TO_HANG)
			hang();
		local_irq_enable();
		cond_resched();
	}
}

static int hang_add(struct kmemdump_backend *be, const struct kmemdump_entry *entry)
{
	if (strcmp(kmemdump_entry_name(entry), "hang"))
		return 0;
	hang_in_op();
	return 0;
}

static void no_remove(struct kmemdump_backend *be, const struct kmemdump_entry *entry)
{
}

static int no_update(struct kmemdump_backend *be, const struct kmemdump_entry *entry)
{
	return 0;
}

static const struct kmemdump_table_ops hang_ops = {
	.add = hang_add, .remove = no_remove, .update = no_update,
};

static struct kmemdump_backend hang_backend = {
	.name = "test-hang", .table = &hang_ops, .max_slots = UINT_MAX, .max_bytes = U64_MAX,
};

static int hang_thread(void *unused)
{
	struct kmemdump_region region = {
		.name = "hang", .virt_addr = module_data, .size = 1,
	};

	return kmemdump_register_region(&region);
}

/* Have another CPU run @fn, which sets in_op and does not return. */
static bool run_elsewhere(int (*fn)(void *))
{
	unsigned int other = cpumask_any_but(cpu_online_mask, raw_smp_processor_id());
	struct task_struct *task;

	if (other >= nr_cpu_ids)
		return false;
	task = kthread_create(fn, NULL, "kmemdump-hang");
	if (IS_ERR(task))
		return false;
	kthread_bind(task, other);
	wake_up_process(task);
	while (!atomic_read(&in_op))
		cond_resched();
	return true;
}

/*
 * Have another CPU run @fn, which hangs in an op of the backend. Preemption stays
 * disabled until the panic: another task on this CPU could send an interrupt to the
 * CPU that hangs, and wait for it forever.
 */
static bool hang_elsewhere(int (*fn)(void *))
{
	unsigned int left;

	if (kmemdump_register_backend(&hang_backend) || !run_elsewhere(fn))
		return false;
	for (;;) {
		preempt_disable();
		atomic_set(&in_op, TO_HANG);
		for (left = 2000; left && atomic_read(&in_op) != HANGS; left--)
			udelay(5);
		if (atomic_cmpxchg(&in_op, TO_HANG, IN_OP) == HANGS)
			return true;
		/* The other CPU may be at work that needs a task of this one. */
		preempt_enable();
		cond_resched();
	}
}

static void crash_lock(void)
{
	if (hang_elsewhere(hang_thread))
		panic("kmemdump test: while another CPU holds the registration lock");
}

/* mode=detach: another CPU is in the middle of detaching a backend. */

static void hang_remove(struct kmemdump_backend *be, const struct kmemdump_entry *entry)
{
	hang_in_op();
}

static int no_add(struct kmemdump_backend *be, const struct kmemdump_entry *entry)
{
	return 0;
}

static const struct kmemdump_table_ops detach_ops = {
	.add = no_add, .remove = hang_remove, .update = no_update,
};

static int detach_thread(void *unused)
{
	kmemdump_unregister_backend(&hang_backend);
	return 0;
}

static void crash_detach(void)
{
	hang_backend.table = &detach_ops;
	if (hang_elsewhere(detach_thread))
		panic("kmemdump test: while another CPU detaches a backend");
}

/* mode=self_detach: a writer detaches itself and others from within the panic. */

static struct kmemdump_backend bad_backend;

static int detaching_write(struct kmemdump_backend *be, const void *buf, size_t len)
{
	kmemdump_unregister_backend(be);
	kmemdump_unregister_backend(&hang_backend);
	return -EIO;
}

static const struct kmemdump_writer_ops detaching_ops = {
	.write = detaching_write,
};

static void crash_self_detach(void)
{
	bad_backend.writer = &detaching_ops;
	if (!kmemdump_register_backend(&bad_backend) && !kmemdump_register_backend(&hang_backend))
		panic("kmemdump test: a backend goes in the panic");
}

/* mode=nested: a writer that crashes when it is asked to write. */

static int bad_write(struct kmemdump_backend *be, const void *buf, size_t len)
{
	panic("kmemdump test: inside of a writer");
}

static const struct kmemdump_writer_ops bad_ops = {
	.write = bad_write,
};

static struct kmemdump_backend bad_backend = {
	.name = "test-bad", .writer = &bad_ops, .max_bytes = UINT_MAX,
};

static void crash_nested(void)
{
	if (!kmemdump_register_backend(&bad_backend))
		panic("kmemdump test: outer");
}

/* mode=nested_oops: the same with a fault. */

static int faulting_write(struct kmemdump_backend *be, const void *buf, size_t len)
{
	crash_oops();
	return 0;
}

static const struct kmemdump_writer_ops faulting_ops = {
	.write = faulting_write,
};

static void crash_nested_oops(void)
{
	bad_backend.writer = &faulting_ops;
	crash_nested();
}

/* mode=firmware: no panic. The other CPUs hang, and this one calls firmware to end the system. */

#ifdef CONFIG_PPC_PSERIES
static void hang_cpu(void *unused)
{
	atomic_inc(&in_op);
	hang();
}

static void crash_firmware(void)
{
	static const char text[] = "kmemdump test: the end";
	/* Firmware takes physical addresses of 32 bits. */
	char *buf = (char *)__get_free_page(GFP_KERNEL | GFP_DMA);

	if (!buf)
		return;
	strscpy(buf, text, sizeof(text));
	pr_emerg("kmemdump test: firmware ends the system\n");
	smp_call_function(hang_cpu, NULL, 0);
	local_irq_disable();
	while (atomic_read(&in_op) < num_online_cpus() - 1)
		cpu_relax();
	rtas_call(rtas_function_token(RTAS_FN_IBM_OS_TERM), 1, 1, NULL, (u32)__pa(buf));
	pr_emerg("kmemdump test: firmware did not end the system\n");
	hang();
}
#else
static void crash_firmware(void)
{
}
#endif

/* mode=hang: this CPU loops with interrupts off, and nothing panics. */
static void crash_hang(void)
{
	char text[] = "kmemdump test: on the stack of what hangs";

	/* Make the compiler put the text on the stack. */
	OPTIMIZER_HIDE_VAR(*text);
	pr_emerg("hanging\n");
	local_irq_disable();
	for (;;)
		barrier_data(text);
}

/* mode=registers: another CPU spins with interrupts on and known values in its registers. */

#ifdef CONFIG_ARM64
#define MAGIC	0x6b6d64756d700000	/* and the number of the register */

static int hold_registers(void *unused)
{
	char text[] = "kmemdump test: on the stack of what holds registers";

	/* A softirq, in which this CPU may be stopped, would use these registers itself. */
	local_bh_disable();
	/* These are callee-saved, so the functions that stop this CPU keep their values. */
	asm volatile("add	x20, %[magic], #20\n"
		     "add	x21, %[magic], #21\n"
		     "add	x22, %[magic], #22\n"
		     "add	x23, %[magic], #23\n"
		     "add	x24, %[magic], #24\n"
		     "add	x25, %[magic], #25\n"
		     "add	x26, %[magic], #26\n"
		     "add	x27, %[magic], #27\n"
		     "mov	w9, #1\n"
		     "str	w9, %[in_op]\n"
		     "1:	b	1b\n"
		     : [in_op] "=Q" (in_op.counter)
		     : [magic] "r" (MAGIC), "r" (text)
		     : "x9", "x20", "x21", "x22", "x23", "x24", "x25", "x26", "x27", "memory");
	return 0;
}
#else
static int hold_registers(void *unused)
{
	atomic_set(&in_op, IN_OP);
	for (;;)
		cpu_relax();
	return 0;
}
#endif

static void crash_registers(void)
{
	if (run_elsewhere(hold_registers))
		panic("kmemdump test: while another CPU holds registers");
}

/* mode=deaf: another CPU has its interrupts off, and so may not stop at the panic. */
static int hold_irqsoff(void *unused)
{
	local_irq_disable();
	/* On powerpc, local_irq_disable() only marks them as off. */
	hard_irq_disable();
	atomic_set(&in_op, IN_OP);
	for (;;)
		cpu_relax();
	return 0;
}

static void crash_deaf(void)
{
	if (run_elsewhere(hold_irqsoff))
		panic("kmemdump test: while another CPU is deaf");
}

/* mode=spin: loop until something else ends the system. */
static noinline void spin(void)
{
	/* Keep this in a register, where the tests look for it. */
	unsigned long mark = 0x6b6d64756d705350;

	for (;;)
		asm volatile("" : "+r" (mark));
}

static void crash_spin(void)
{
	spin();
}

/*
 * mode=overflow: overflow the stack. THREAD_SIZE calls do that for any size of it. On x86, a
 * function that has only saved registers on the stack does not leave the stack pointer below
 * the end of the stack, where "crash" would take it for that of a user task.
 */
static noinline unsigned long overflow(unsigned long left)
{
	unsigned long ret;

	if (!left)
		return 0;
	ret = overflow(left - 1);
	/* Keep the compiler from turning the recursion into a loop. */
	OPTIMIZER_HIDE_VAR(ret);
	return ret + left;
}

static void crash_overflow(void)
{
	pr_emerg("kmemdump test: no overflow, %lu\n", overflow(THREAD_SIZE));
}

static const struct {
	const char *name;
	void (*crash)(void);
} modes[] = {
	{ "irq", crash_irq },
	{ "irqsoff", crash_irqsoff },
	{ "oops", crash_oops },
	{ "lock", crash_lock },
	{ "detach", crash_detach },
	{ "self_detach", crash_self_detach },
	{ "nested", crash_nested },
	{ "nested_oops", crash_nested_oops },
	{ "firmware", crash_firmware },
	{ "hang", crash_hang },
	{ "registers", crash_registers },
	{ "deaf", crash_deaf },
	{ "spin", crash_spin },
	{ "overflow", crash_overflow },
};

static int crash_now(const char *name, const struct kernel_param *unused)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(modes); i++)
		if (sysfs_streq(name, modes[i].name))
			modes[i].crash();
	return -EINVAL;
}

static const struct kernel_param_ops crash_ops = { .set = crash_now };
module_param_cb(crash, &crash_ops, NULL, 0200);

static int __init kmemdump_crash_init(void)
{
	int ret;

	ret = register_regions();
	if (ret)
		return ret;
	return *mode ? crash_now(mode, NULL) : 0;
}

module_init(kmemdump_crash_init);

MODULE_DESCRIPTION("Crashes the machine for kmemdump tests");
MODULE_LICENSE("GPL");
