// SPDX-License-Identifier: GPL-2.0-only
/* Messages, memory, and text that is safe to print. */
#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "reader.h"

/* Print a message, escaped: it may have the name of a file that somebody else has chosen. */
static void message(const char *fmt, va_list args)
{
	char text[PATH_MAX + 256];

	vsnprintf(text, sizeof(text), fmt, args);
	fflush(stdout);
	fputs("kmemdump: ", stderr);
	put_escaped(stderr, text, strlen(text));
	fputc('\n', stderr);
}

void die(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	message(fmt, args);
	va_end(args);
	exit(EXIT_FAILED);
}

void warn(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	message(fmt, args);
	va_end(args);
}

/* On a 32-bit host, a size in a dump may be larger than the address space. */
static size_t memory_size(uint64_t nr, size_t size)
{
	if (nr > SIZE_MAX / size)
		die("out of memory for %llu times %zu bytes", (unsigned long long)nr, size);
	return nr ? nr * size : 1;
}

static void *check(void *p, size_t size)
{
	if (!p)
		die("out of memory for %zu bytes", size);
	return p;
}

void *xmalloc(uint64_t size)
{
	size_t bytes = memory_size(size, 1);

	return check(malloc(bytes), bytes);
}

/* Make @p an array of @nr elements of @size bytes. */
void *xrealloc(void *p, uint64_t nr, size_t size)
{
	size_t bytes = memory_size(nr, size);

	return check(realloc(p, bytes), bytes);
}

uint16_t le16_at(const void *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof(v));
	return le16toh(v);
}

uint32_t le32_at(const void *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return le32toh(v);
}

uint64_t le64_at(const void *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return le64toh(v);
}

/* Parse a whole number, decimal or with 0x hexadecimal; false if there is anything after it. */
bool parse_number(const char *text, uint64_t *number)
{
	char *rest;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	*number = strtoull(text, &rest, text[1] == 'x' ? 16 : 10);
	return !errno && rest != text && !*rest;
}

/*
 * Copy a name of at most @size - 1 bytes. The kernel allows printable ASCII only. Other bytes
 * come from damage or forgery, and become question marks.
 */
void copy_name(char *to, const char *from, size_t size)
{
	size_t i;

	for (i = 0; i < size - 1 && from[i]; i++)
		to[i] = from[i] < ' ' || from[i] > '~' ? '?' : from[i];
	to[i] = '\0';
}

/* Print text from a dump so that it can't control the terminal. */
void put_escaped(FILE *out, const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char c = text[i];

		if ((c < ' ' && c != '\t') || c >= 0x7f || c == '\\')
			fprintf(out, "\\x%02x", c);
		else
			fputc(c, out);
	}
}

/* Print text as a JSON string. */
void put_json(const char *text)
{
	putchar('"');
	for (; *text; text++) {
		unsigned char c = *text;

		if (c < ' ' || c >= 0x7f)
			printf("\\u%04x", c);
		else
			printf("%s%c", c == '"' || c == '\\' ? "\\" : "", c);
	}
	putchar('"');
}

/* During long work, show how far it is: once a second, and only on a terminal. */
void progress(const char *what, uint64_t done, uint64_t total)
{
	static time_t shown;
	static bool begun;	/* a line of progress that has no end yet */
	time_t now = time(NULL);

	if (!shown)
		shown = now;
	/* Work that took less than a second needs no message. */
	if (!isatty(STDERR_FILENO) || (now == shown && !(begun && done == total)))
		return;
	shown = now;
	begun = done != total;
	fprintf(stderr, "\r%s: %" PRIu64 "%%%s", what, total ? done * 100 / total : 100,
		done == total ? "\n" : "");
}
