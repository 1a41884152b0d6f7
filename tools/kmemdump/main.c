// SPDX-License-Identifier: GPL-2.0-only
/*
 * kmemdump: read the memory that crossed a crash.
 *
 * Copyright (C) 2026 the kmemdump authors
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "reader.h"

static const char usage_text[] =
	"usage: kmemdump list DUMP                  the regions in it\n"
	"       kmemdump show [-x|-r] DUMP REGION   what one holds: text, or hex if it is none\n"
	"                                           (-x: hex, -r: raw bytes);\n"
	"                                           REGION@N: CPU N's part of a per-CPU one\n"
	"       kmemdump log DUMP                   the kernel log\n"
	"       kmemdump check DUMP                 is it whole and undamaged?\n"
	"\n"
	"DUMP is a record as pstore shows it, or an ELF core made from one.\n"
	"Exit code: 0 all good, 1 something of it is cut, missing or damaged, 2 no answer.\n";

struct dump {
	struct image image;
	struct core core;
	struct region *regions;
	size_t nr_regions;
};

static void open_dump(struct dump *dump, const char *path, bool regions)
{
	image_open(&dump->image, path);
	core_open(&dump->core, &dump->image);
	dump->regions = NULL;
	dump->nr_regions = regions ? regions_load(&dump->core, &dump->regions) : 0;
}

static void close_dump(struct dump *dump)
{
	free(dump->regions);
	core_close(&dump->core);
	image_close(&dump->image);
}

static int list(const char *path)
{
	int status = EXIT_GOOD;
	struct dump dump;

	open_dump(&dump, path, true);
	printf("%-10s %-7s %-8s %-18s %-18s %12s %4s %-16s %s\n", "ID", "CLASS", "STATE",
	       "VIRTUAL", "PHYSICAL", "SIZE", "SEGS", "OWNER", "NAME");
	for (size_t i = 0; i < dump.nr_regions; i++) {
		const struct region *r = &dump.regions[i];

		printf("%-10u %-7s %-8s 0x%016llx 0x%016llx %12llu %4u %-16s %s%s\n", r->id,
		       region_class_name(r->class), region_state_name(r->state),
		       (unsigned long long)r->vaddr, (unsigned long long)r->paddr,
		       (unsigned long long)r->size, r->nr_segments, r->owner, r->name,
		       r->percpu_size ? "@CPU" : "");
		if (r->state != REGION_OK)
			status = EXIT_DAMAGED;
	}
	close_dump(&dump);
	return status;
}

static bool is_text(const unsigned char *data, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if ((data[i] < ' ' || data[i] > '~') && data[i] != '\n' && data[i] != '\t')
			return false;
	return true;
}

static void print_hex(const unsigned char *data, size_t len)
{
	for (size_t i = 0; i < len; i += 16) {
		size_t n = len - i < 16 ? len - i : 16;

		printf("%08zx ", i);
		for (size_t j = 0; j < 16; j++)
			j < n ? printf(" %02x", data[i + j]) : printf("   ");
		printf("  |");
		for (size_t j = 0; j < n; j++)
			putchar(data[i + j] >= ' ' && data[i + j] <= '~' ? data[i + j] : '.');
		printf("|\n");
	}
}

static const struct region *find_region(const struct dump *dump, const char *name, size_t len)
{
	for (size_t i = 0; i < dump->nr_regions; i++) {
		const struct region *r = &dump->regions[i];

		if (strlen(r->name) == len && !memcmp(r->name, name, len))
			return r;
	}
	return NULL;
}

/*
 * Find the region @name, or that part of a per-CPU one which "name@cpu" asks
 * for. It has bytes from *@start to *@end then.
 */
static const struct region *find_part(const struct dump *dump, const char *name,
				      uint64_t *start, uint64_t *end)
{
	const struct region *region = find_region(dump, name, strlen(name));
	const char *at = strrchr(name, '@');
	unsigned long cpu;
	char *rest;

	*start = 0;
	if (region) {
		*end = region->size;
		return region;
	}
	if (!at || at[1] < '0' || at[1] > '9')
		return NULL;
	region = find_region(dump, name, at - name);
	errno = 0;
	cpu = strtoul(at + 1, &rest, 10);
	if (!region || *rest || errno || cpu >= KMEMDUMP_NO_CPU ||
	    !region_find_cpu(&dump->core, region, cpu, start))
		return NULL;
	*end = *start + region->percpu_size;
	return region;
}

static void print_data(const unsigned char *data, size_t len, char format)
{
	size_t text = len;

	while (text && !data[text - 1])
		text--;
	if (format == 'r') {
		fwrite(data, 1, len, stdout);
	} else if (format == 'x' || !is_text(data, text)) {
		print_hex(data, len);
	} else {
		fwrite(data, 1, text, stdout);
		putchar('\n');
	}
}

static int show(const char *path, const char *name, char format)
{
	const struct region *region;
	int status = EXIT_GOOD;
	uint64_t start, end, len;
	unsigned char *data;
	struct dump dump;

	open_dump(&dump, path, true);
	region = find_part(&dump, name, &start, &end);
	if (!region)
		die("%s: has no region %s", path, name);
	if (!region->have)
		die("%s: has nothing of region %s: it is %s", path, name,
		    region_state_name(region->state));
	if (region->state != REGION_OK) {
		warn("region %s is %s", name, region_state_name(region->state));
		status = EXIT_DAMAGED;
	}

	data = xmalloc(region->size);
	len = region_read(&dump.core, region, data);
	if (len > end)
		len = end;
	if (start && start >= len)
		die("%s: has nothing of %s", path, name);
	print_data(data + start, len - start, format);
	free(data);
	close_dump(&dump);
	return status;
}

static int show_log(const char *path)
{
	struct dump dump;
	int status;

	open_dump(&dump, path, true);
	status = print_log(&dump.core);
	for (size_t i = 0; i < dump.nr_regions; i++) {
		const struct region *r = &dump.regions[i];

		if (r->class == KMEMDUMP_CLASS_LOG && r->state != REGION_OK) {
			warn("region %s is %s", r->name, region_state_name(r->state));
			status = EXIT_DAMAGED;
		}
	}
	close_dump(&dump);
	return status;
}

static void print_summary(const struct image *image)
{
	static const char * const states[] = {
		[RECORD_ELF]		= "ELF core",
		[RECORD_COMPLETE]	= "complete record",
		[RECORD_PARTIAL]	= "partial record: there was no room for all of it",
		[RECORD_TORN]		= "torn record: its end is missing",
	};
	printf("%s\n", states[image->state]);
	printf("image: %llu of %llu bytes\n", (unsigned long long)image_total(image),
	       (unsigned long long)image->size);
	if (image->nr_damaged)
		printf("damaged places: %u\n", image->nr_damaged);
	if (image->time && image->time < (1ULL << 40)) {
		time_t when = image->time;
		struct tm tm;
		char text[64];

		if (gmtime_r(&when, &tm) && strftime(text, sizeof(text), "%F %T UTC", &tm))
			printf("crashed: %s\n", text);
	}
}

static int check(const char *path)
{
	size_t nr_good = 0;
	struct dump dump;
	bool good;

	image_open(&dump.image, path);
	print_summary(&dump.image);
	core_open(&dump.core, &dump.image);
	dump.nr_regions = regions_load(&dump.core, &dump.regions);
	for (size_t i = 0; i < dump.nr_regions; i++) {
		const struct region *r = &dump.regions[i];

		if (r->state == REGION_OK) {
			nr_good++;
			continue;
		}
		printf("region %s: %s, %llu of %llu bytes\n", r->name, region_state_name(r->state),
		       (unsigned long long)r->have, (unsigned long long)r->size);
	}
	printf("regions: %zu of %zu whole, checksums verified\n", nr_good, dump.nr_regions);
	if (dump.core.cut)
		printf("its headers claim more than there is\n");
	good = nr_good == dump.nr_regions && !dump.image.nr_damaged && !dump.core.cut &&
	       (dump.image.state == RECORD_COMPLETE || dump.image.state == RECORD_ELF);
	close_dump(&dump);
	return good ? EXIT_GOOD : EXIT_DAMAGED;
}

static void __noreturn usage(void)
{
	fputs(usage_text, stderr);
	exit(EXIT_FAILED);
}

int main(int argc, char **argv)
{
	char format = 't';
	int status;

	if (argc == 2 && (!strcmp(argv[1], "-h") || !strcmp(argv[1], "--help"))) {
		fputs(usage_text, stdout);
		return EXIT_GOOD;
	}
	if (argc < 3)
		usage();

	if (!strcmp(argv[1], "show")) {
		int arg = 2;

		if (!strcmp(argv[arg], "-x") || !strcmp(argv[arg], "-r"))
			format = argv[arg++][1];
		if (argc - arg != 2)
			usage();
		status = show(argv[arg], argv[arg + 1], format);
	} else if (argc != 3) {
		usage();
	} else if (!strcmp(argv[1], "list")) {
		status = list(argv[2]);
	} else if (!strcmp(argv[1], "log")) {
		status = show_log(argv[2]);
	} else if (!strcmp(argv[1], "check")) {
		status = check(argv[2]);
	} else {
		usage();
	}

	if (fflush(stdout) || ferror(stdout))
		die("writing the answer: %s", strerror(errno));
	return status;
}
