/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * This is included before each source file of the reader, so that one process can run the program
 * again and again. fuzz_run() frees what the program leaves to the end of its process.
 */
#ifndef KMEMDUMP_FUZZ_H
#define KMEMDUMP_FUZZ_H

#include <fcntl.h>
#include <libelf.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

_Noreturn void fuzz_exit(int status);
void *fuzz_malloc(size_t size);
void *fuzz_realloc(void *old, size_t size);
void fuzz_free(void *p);
void *fuzz_mmap(void *at, size_t size, int prot, int flags, int fd, off_t offset);
int fuzz_munmap(void *p, size_t size);
Elf *fuzz_elf_memory(char *image, size_t size);
int fuzz_elf_end(Elf *elf);
extern FILE *fuzz_stderr;

int kmemdump_main(int argc, char **argv);

#ifdef FUZZ_READER
#define main		kmemdump_main
#define exit(...)	fuzz_exit(__VA_ARGS__)
#define malloc(...)	fuzz_malloc(__VA_ARGS__)
#define realloc(...)	fuzz_realloc(__VA_ARGS__)
#define free(...)	fuzz_free(__VA_ARGS__)
#define mmap(...)	fuzz_mmap(__VA_ARGS__)
#define munmap(...)	fuzz_munmap(__VA_ARGS__)
#define elf_memory(...)	fuzz_elf_memory(__VA_ARGS__)
#define elf_end(...)	fuzz_elf_end(__VA_ARGS__)
#undef stderr
#define stderr		fuzz_stderr
#endif

/* What libFuzzer calls. */
int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Run the program with these arguments, the last of which is NULL. Returns its exit status. */
int fuzz_run(const char *verb, ...) __attribute__((__sentinel__));

extern char fuzz_folder[];

/* Make a file in fuzz_folder. Returns its path, which is valid until the next call. */
const char *fuzz_file(const char *name, const void *data, size_t size);

/* Run all verbs of the program that print something about a dump. */
void fuzz_dump(const char *path);

/* Remove the core that the program made last. Returns the path for the next one. */
const char *fuzz_core(void);

#endif
