// SPDX-License-Identifier: GPL-2.0-only
/* Test module: starts many threads, deep in their stacks, and registers many regions. */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/kmemdump.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/slab.h>

static unsigned int threads = 1000;
module_param(threads, uint, 0);

static unsigned int nr_regions = 3000;
module_param_named(regions, nr_regions, uint, 0);

static unsigned int size = 64;
module_param(size, uint, 0);
MODULE_PARM_DESC(size, "bytes of each region");

static unsigned int gap;
module_param(gap, uint, 0);
MODULE_PARM_DESC(gap, "bytes after each region that are not part of it");

static unsigned int depth = 40;
module_param(depth, uint, 0);
MODULE_PARM_DESC(depth, "frames that a thread has on its stack");

/* kmemdump_provider has a variable of this name, too. */
static char annotated[64] = "annotated in another module";
KMEMDUMP_VAR(annotated);

static noinline int dive(unsigned int left)
{
	int ret;

	if (!left) {
		while (!kthread_should_stop())
			schedule_timeout_interruptible(MAX_SCHEDULE_TIMEOUT);
		return 0;
	}
	ret = dive(left - 1);
	/* Keep the compiler from turning the recursion into a loop. */
	OPTIMIZER_HIDE_VAR(ret);
	return ret + left;
}

static int crowd_thread(void *unused)
{
	dive(depth);
	return 0;
}

static int add_region(unsigned int i)
{
	char name[32];
	struct kmemdump_region region = {
		.name = name,
		.size = size,
		.priority = i % 3 == 0 ? KMEMDUMP_PRIORITY_LOW :
			    i % 3 == 1 ? KMEMDUMP_PRIORITY_NORMAL : KMEMDUMP_PRIORITY_HIGH,
	};
	char *text = kzalloc(size + gap, GFP_KERNEL);

	if (!text)
		return -ENOMEM;
	snprintf(name, sizeof(name), "crowd-%u", i);
	snprintf(text, size, "text of region %u", i);
	region.virt_addr = text;
	return kmemdump_register_region(&region);
}

/* Start a thread, and wait until it sleeps: its stack and registers are whole then. */
static int start_sleeper(unsigned int i)
{
	struct task_struct *task = kthread_run(crowd_thread, NULL, "crowd/%u", i);

	if (IS_ERR(task))
		return PTR_ERR(task);
	while (READ_ONCE(task->__state) != TASK_INTERRUPTIBLE || READ_ONCE(task->on_cpu))
		cond_resched();
	return 0;
}

/* There is no exit function: the module stays until the crash. */
static int __init kmemdump_crowd_init(void)
{
	unsigned int i;
	int ret = 0;

	for (i = 0; i < nr_regions && !ret; i++)
		ret = add_region(i);
	for (i = 0; i < threads && !ret; i++)
		ret = start_sleeper(i);
	pr_info("all there: %d\n", ret);
	return ret;
}
module_init(kmemdump_crowd_init);

MODULE_DESCRIPTION("Many threads and regions for kmemdump tests");
MODULE_LICENSE("GPL");
