// SPDX-License-Identifier: GPL-2.0-only
/* What the fuzzers share: see fuzz.h. */
#define _GNU_SOURCE
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuzz.h"

#define MAX_ARGS	16

/* Reads past the end of a file are noticed in mappings up to this size: see fuzz_mmap(). */
#define EXACT_MAX	(16 << 20)

/* What the program has allocated, and not freed yet. */
struct held {
	enum kind { HELD_MEMORY, HELD_MAPPING, HELD_ELF } kind;
	void *p;
	size_t size;
};

FILE *fuzz_stderr;
static struct held *held;
static size_t nr_held, max_held;
static jmp_buf at_exit;
static int exit_status;
static int first_fd;
char fuzz_folder[200];

static void hold(enum kind kind, void *p, size_t size)
{
	if (nr_held == max_held) {
		max_held = max_held ? 2 * max_held : 64;
		held = realloc(held, max_held * sizeof(*held));
		if (!held)
			abort();
	}
	held[nr_held++] = (struct held) { .kind = kind, .p = p, .size = size };
}

/* Forget the newest resource at @p. If there is none, the program frees what it does not have. */
static void let_go(enum kind kind, void *p)
{
	for (size_t i = nr_held; i-- > 0;) {
		if (held[i].kind != kind || held[i].p != p)
			continue;
		memmove(&held[i], &held[i + 1], (--nr_held - i) * sizeof(*held));
		return;
	}
	abort();
}

static void give_back(const struct held *h)
{
	if (h->kind == HELD_MEMORY)
		free(h->p);
	else if (h->kind == HELD_MAPPING)
		munmap(h->p, h->size);
	else
		elf_end(h->p);
}

void *fuzz_malloc(size_t size)
{
	void *p = malloc(size);

	if (p)
		hold(HELD_MEMORY, p, size);
	return p;
}

void *fuzz_realloc(void *old, size_t size)
{
	void *p = realloc(old, size);

	if (!p)
		return NULL;
	if (old)
		let_go(HELD_MEMORY, old);
	hold(HELD_MEMORY, p, size);
	return p;
}

void fuzz_free(void *p)
{
	if (!p)
		return;
	let_go(HELD_MEMORY, p);
	free(p);
}

/*
 * Give small mappings from the heap, which ASan watches to the byte. A real mapping ends at the end
 * of a page, and others may follow it, so ASan would miss reads past the end of the file.
 */
void *fuzz_mmap(void *at, size_t size, int prot, int flags, int fd, off_t offset)
{
	void *p;

	if (!size || size > EXACT_MAX) {
		p = mmap(at, size, prot, flags, fd, offset);
		if (p != MAP_FAILED)
			hold(HELD_MAPPING, p, size);
		return p;
	}
	p = calloc(1, size);
	if (!p || (fd >= 0 && pread(fd, p, size, offset) != (ssize_t)size))
		abort();
	hold(HELD_MEMORY, p, size);
	return p;
}

int fuzz_munmap(void *p, size_t size)
{
	if (size && size <= EXACT_MAX) {
		fuzz_free(p);
		return 0;
	}
	let_go(HELD_MAPPING, p);
	return munmap(p, size);
}

Elf *fuzz_elf_memory(char *image, size_t size)
{
	Elf *elf = elf_memory(image, size);

	if (elf)
		hold(HELD_ELF, elf, 0);
	return elf;
}

int fuzz_elf_end(Elf *elf)
{
	if (!elf)
		return 0;
	let_go(HELD_ELF, elf);
	return elf_end(elf);
}

void fuzz_exit(int status)
{
	exit_status = status;
	longjmp(at_exit, 1);
}

int fuzz_run(const char *verb, ...)
{
	char *argv[MAX_ARGS + 1] = { "kmemdump", (char *)verb };
	va_list args;
	int argc = 2;

	va_start(args, verb);
	while ((argv[argc] = va_arg(args, char *)))
		if (++argc == MAX_ARGS)
			abort();
	va_end(args);
	/* Make getopt() start again from the first argument. */
	optind = 0;
	if (!setjmp(at_exit))
		exit_status = kmemdump_main(argc, argv);
	if (exit_status < 0 || exit_status > 2)
		abort();
	/* Free the newest first, because it may use older ones. */
	while (nr_held)
		give_back(&held[--nr_held]);
	close_range(first_fd, ~0U, 0);
	return exit_status;
}

const char *fuzz_file(const char *name, const void *data, size_t size)
{
	static char path[300];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", fuzz_folder, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	if (fd < 0 || write(fd, data, size) != (ssize_t)size || close(fd))
		abort();
	return path;
}

const char *fuzz_core(void)
{
	static char path[300];

	snprintf(path, sizeof(path), "%s/core", fuzz_folder);
	if (unlink(path) && errno != ENOENT)
		abort();
	return path;
}

void fuzz_dump(const char *path)
{
	fuzz_run("check", path, NULL);
	fuzz_run("list", "--json", path, NULL);
	fuzz_run("list", path, NULL);
	fuzz_run("show", "-x", path, "test-0", NULL);
	fuzz_run("show", path, "test-1@0", NULL);
	fuzz_run("log", path, NULL);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	const char *tmp = getenv("TMPDIR");

	(void)argc;
	(void)argv;
	snprintf(fuzz_folder, sizeof(fuzz_folder), "%s/kmemdump-XXXXXX", tmp ? tmp : "/tmp");
	fuzz_stderr = fopen("/dev/null", "w");
	if (!mkdtemp(fuzz_folder) || !fuzz_stderr || !freopen("/dev/null", "w", stdout))
		abort();
	first_fd = dup(0);
	if (first_fd < 0 || close(first_fd))
		abort();
	return 0;
}
