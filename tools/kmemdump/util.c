// SPDX-License-Identifier: GPL-2.0-only
/* Messages, memory, and text that is safe to print. */
#include <stdarg.h>
#include <stdlib.h>

#include "reader.h"

static void message(const char *fmt, va_list args)
{
	fflush(stdout);
	fputs("kmemdump: ", stderr);
	vfprintf(stderr, fmt, args);
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

void *xmalloc(size_t size)
{
	void *p = malloc(size ? size : 1);

	if (!p)
		die("out of memory for %zu bytes", size);
	return p;
}

/* Print text of a dump so that it can't drive the terminal. */
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
