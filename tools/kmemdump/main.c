// SPDX-License-Identifier: GPL-2.0-only
/*
 * kmemdump: read the memory that crossed a crash.
 *
 * Copyright (C) 2026 the kmemdump authors
 */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "reader.h"

static const char usage_text[] =
	"usage: kmemdump list [--json] DUMP         the regions in it\n"
	"       kmemdump show [-x|-r] DUMP REGION   what one holds: text, or hex if it is none\n"
	"                                           (-x: hex, -r: raw bytes);\n"
	"                                           REGION@N: CPU N's part of a per-CPU one\n"
	"       kmemdump log DUMP                   the kernel log\n"
	"       kmemdump check [--json] DUMP        is it whole and undamaged?\n"
	"       kmemdump extract DUMP CORE          make the ELF core that debuggers open\n"
	"       kmemdump assemble CORE PART...      the same from a record in several files,\n"
	"                                           from a folder with the files md_*.BIN of a\n"
	"                                           Qualcomm minidump, from its partition rawdump,\n"
	"       kmemdump assemble --smem ADDRESS [--subsystem N] --ram FILE@ADDRESS... CORE\n"
	"                                           or from RAM, by the minidump's table in SMEM\n"
	"       kmemdump collect [--dir DIR] [--root ROOT]\n"
	"                                           save the dumps that wait in /sys/fs/pstore and\n"
	"                                           /proc/vmcore to DIR/<time>/vmcore (/var/crash),\n"
	"                                           then release them; all paths begin with ROOT\n"
	"\n"
	"DUMP is a record as pstore shows it, an ELF core made from one, or an ELF dump of all\n"
	"memory, such as a vmcore of kdump.\n"
	"Exit code: 0 all good, 1 something of it is cut, missing or damaged, 2 no answer.\n";

struct dump {
	struct image image;
	struct core core;
	struct region *regions;
	size_t nr_regions;
	struct cpu *cpus;
	size_t nr_cpus;
	uint32_t left_out;
};

/* Load all that an opened core says. Returns why there are no regions, or NULL. */
static const char *examine(struct dump *dump)
{
	const char *why;

	if (!dump->image.time)
		dump->image.time = crash_time(&dump->core);
	why = regions_load(&dump->core, &dump->regions, &dump->nr_regions);
	dump->nr_cpus = cpus_load(&dump->core, &dump->cpus, &dump->left_out);
	return why;
}

static void open_dump(struct dump *dump, const char *path)
{
	const char *why;

	image_open(&dump->image, path);
	core_open(&dump->core, &dump->image);
	why = examine(dump);
	if (why)
		die("%s: %s", path, why);
}

static void close_dump(struct dump *dump)
{
	free(dump->cpus);
	free(dump->regions);
	core_close(&dump->core);
	image_close(&dump->image);
}

static const char * const record_states[] = {
	[RECORD_ELF]		= "elf",
	[RECORD_COMPLETE]	= "complete",
	[RECORD_PARTIAL]	= "partial",
	[RECORD_TORN]		= "torn",
};

static bool all_good(const struct dump *dump)
{
	for (size_t i = 0; i < dump->nr_regions; i++)
		if (dump->regions[i].state != REGION_OK ||
		    dump->regions[i].verdict == CHECKSUM_SKIPPED)
			return false;
	return !dump->image.nr_damaged && !dump->core.cut &&
	       !dump->left_out &&
	       (dump->image.state == RECORD_COMPLETE || dump->image.state == RECORD_ELF);
}

/* Print all that is known, for programs. Numbers that may be above 2^53 are strings. */
static void print_json(const struct dump *dump)
{
	printf("{\n  \"record\": \"%s\",\n  \"good\": %s,\n", record_states[dump->image.state],
	       all_good(dump) ? "true" : "false");
	printf("  \"image_size\": %llu,\n  \"image_have\": %llu,\n  \"damaged_places\": %u,\n",
	       (unsigned long long)dump->image.size,
	       (unsigned long long)image_total(&dump->image), dump->image.nr_damaged);
	printf("  \"left_out\": %u,\n", dump->left_out);
	if (dump->image.time)
		printf("  \"crashed\": \"%llu\",\n", (unsigned long long)dump->image.time);

	printf("  \"cpus\": [");
	for (size_t i = 0; i < dump->nr_cpus; i++)
		printf("%s\n    { \"cpu\": %u, \"state\": \"%s\", \"pid\": %u }", i ? "," : "",
		       dump->cpus[i].cpu, cpu_state_name(dump->cpus[i].state), dump->cpus[i].pid);
	printf("\n  ],\n  \"regions\": [");
	for (size_t i = 0; i < dump->nr_regions; i++) {
		const struct region *r = &dump->regions[i];

		printf("%s\n    { \"name\": ", i ? "," : "");
		put_json(r->name);
		printf(", \"id\": %u, \"owner\": ", r->id);
		put_json(r->owner);
		printf(", \"class\": \"%s\", \"state\": \"%s\", \"checksum\": \"%s\",\n",
		       region_class_name(r->class), region_state_name(r->state),
		       region_checksum_name(r->verdict));
		printf("      \"virtual\": \"0x%016llx\", \"physical\": \"0x%016llx\", ",
		       (unsigned long long)r->vaddr, (unsigned long long)r->paddr);
		printf("\"size\": %llu, \"have\": %llu, \"pieces\": %u, \"percpu_size\": %llu }",
		       (unsigned long long)r->size, (unsigned long long)r->have, r->nr_pieces,
		       (unsigned long long)r->percpu_size);
	}
	printf("\n  ]\n}\n");
}

static int list(const char *path, bool json)
{
	struct dump dump;
	int status;

	open_dump(&dump, path);
	status = all_good(&dump) ? EXIT_GOOD : EXIT_DAMAGED;
	if (json) {
		print_json(&dump);
		close_dump(&dump);
		return status;
	}
	printf("%-10s %-7s %-8s %-8s %-18s %-18s %12s %6s %-16s %s\n", "ID", "CLASS", "STATE",
	       "CHECKSUM", "VIRTUAL", "PHYSICAL", "SIZE", "PIECES", "OWNER", "NAME");
	for (size_t i = 0; i < dump.nr_regions; i++) {
		const struct region *r = &dump.regions[i];

		printf("%-10u %-7s %-8s %-8s 0x%016llx 0x%016llx %12llu %6u %-16s %s%s\n", r->id,
		       region_class_name(r->class), region_state_name(r->state),
		       region_checksum_name(r->verdict),
		       (unsigned long long)r->vaddr, (unsigned long long)r->paddr,
		       (unsigned long long)r->size, r->nr_pieces, r->owner, r->name,
		       r->percpu_size ? "@CPU" : "");
	}
	close_dump(&dump);
	return status;
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
 * Find the region @name. If there is none, and @name ends in "@" and a number, find the part of
 * that CPU in a per-CPU region. Its bytes in the region are those from *@start to *@end.
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

/* What show has seen of a region so far. */
struct printer {
	char format;
	bool is_text;		/* all bytes are text, up to the zeros at the end */
	uint64_t pos;
	uint64_t text_end;	/* where the zeros at the end begin */
	unsigned char line[16];	/* bytes for the next line of a hex dump */
};

static void look_at(const unsigned char *data, size_t size, void *with)
{
	struct printer *printer = with;

	for (size_t i = 0; i < size; i++) {
		printer->pos++;
		if (!data[i])
			continue;
		/* A zero in the middle is no text. */
		if (printer->text_end != printer->pos - 1 ||
		    ((data[i] < ' ' || data[i] > '~') && data[i] != '\n' && data[i] != '\t'))
			printer->is_text = false;
		printer->text_end = printer->pos;
	}
}

static void print_line(uint64_t at, const unsigned char *data, size_t n)
{
	printf("%08llx ", (unsigned long long)at);
	for (size_t i = 0; i < 16; i++)
		i < n ? printf(" %02x", data[i]) : printf("   ");
	printf("  |");
	for (size_t i = 0; i < n; i++)
		putchar(data[i] >= ' ' && data[i] <= '~' ? data[i] : '.');
	printf("|\n");
}

static void print_bytes(const unsigned char *data, size_t size, void *with)
{
	struct printer *printer = with;
	uint64_t left = printer->text_end > printer->pos ? printer->text_end - printer->pos : 0;

	if (printer->format != 'x') {
		fwrite(data, 1, printer->format == 'r' || size < left ? size : left, stdout);
		printer->pos += size;
		return;
	}
	for (size_t i = 0; i < size; i++) {
		printer->line[printer->pos++ % 16] = data[i];
		if (printer->pos % 16 == 0)
			print_line(printer->pos - 16, printer->line, 16);
	}
}

static void print_region(const struct dump *dump, const struct region *region, uint64_t start,
			 uint64_t end, char format)
{
	struct printer printer = { .format = format, .is_text = true };

	if (format == 't') {
		region_read(&dump->core, region, start, end, look_at, &printer);
		if (!printer.is_text)
			printer.format = 'x';
		printer.pos = 0;
	}
	region_read(&dump->core, region, start, end, print_bytes, &printer);
	if (printer.format == 'x' && printer.pos % 16)
		print_line(printer.pos / 16 * 16, printer.line, printer.pos % 16);
	if (printer.format == 't')
		putchar('\n');
}

static void drop(const unsigned char *data, size_t size, void *with)
{
	(void)data;
	(void)size;
	(void)with;
}

static int show(const char *path, const char *name, char format)
{
	const struct region *region;
	int status = EXIT_GOOD;
	uint64_t start, end, have;
	struct dump dump;

	open_dump(&dump, path);
	region = find_part(&dump, name, &start, &end);
	if (!region)
		die("%s: has no region %s", path, name);
	have = region_read(&dump.core, region, start, end, drop, NULL);
	if (!have)
		die("%s: has nothing of region %s: it is %s", path, name,
		    region_state_name(region->state));
	/* In a region that is cut, the part of one CPU may be whole. */
	if (region->state != REGION_OK && !(region->state == REGION_CUT && have == end - start)) {
		warn("region %s is %s", name, region_state_name(region->state));
		status = EXIT_DAMAGED;
	}
	print_region(&dump, region, start, end, format);
	close_dump(&dump);
	return status;
}

static int show_log(const char *path)
{
	struct core by_headers;
	const char *why, *no_log;
	struct dump dump;
	int status;

	image_open(&dump.image, path);
	core_open(&dump.core, &dump.image);
	/*
	 * Look for the log by the program headers first. The list of regions may be damaged, or
	 * may be without the log.
	 */
	core_copy_by_headers(&by_headers, &dump.core);
	no_log = print_log(&by_headers, &status);
	free(by_headers.loads);
	why = examine(&dump);
	/* The program headers of a dump of all memory may have no virtual addresses. */
	if (no_log && !why)
		no_log = print_log(&dump.core, &status);
	if (no_log)
		die("%s: %s", path, no_log);
	/* print_log() has noticed missing parts of the log, but not changed ones. */
	if (why) {
		warn("%s: %s", path, why);
		status = EXIT_DAMAGED;
	}
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

static void print_time(const struct image *image)
{
	time_t when = image->time;
	char text[64];
	struct tm tm;

	if (image->time && image->time < (1ULL << 40) && gmtime_r(&when, &tm) &&
	    strftime(text, sizeof(text), "%F %T UTC", &tm))
		printf("crashed: %s\n", text);
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
	print_time(image);
}

static void print_findings(const struct dump *dump)
{
	size_t nr_good = 0, nr_volatile = 0, nr_skipped = 0;

	for (size_t i = 0; i < dump->nr_cpus; i++)
		if (dump->cpus[i].state > KMEMDUMP_CPU_STOPPED)
			printf("CPU %u: %s, its registers are not known\n", dump->cpus[i].cpu,
			       dump->cpus[i].state == KMEMDUMP_CPU_LOST ? "stopped" :
									  "did not stop");
	if (dump->left_out)
		printf("left out: %u pieces, the kernel had no room for a note of them\n",
		       dump->left_out);
	for (size_t i = 0; i < dump->nr_regions; i++) {
		const struct region *r = &dump->regions[i];

		if (r->state == REGION_OK) {
			nr_good++;
			nr_volatile += r->is_volatile;
			nr_skipped += r->verdict == CHECKSUM_SKIPPED;
			continue;
		}
		printf("region %s: %s, %llu of %llu bytes\n", r->name, region_state_name(r->state),
		       (unsigned long long)r->have, (unsigned long long)r->size);
	}
	printf("regions: %zu of %zu whole, checksums verified", nr_good, dump->nr_regions);
	if (nr_volatile)
		printf(" but of %zu that have none", nr_volatile);
	putchar('\n');
	if (nr_skipped)
		printf("checksums skipped: %zu, these regions share more memory than they can\n",
		       nr_skipped);
	if (dump->core.cut)
		printf("its headers claim more than there is\n");
}

static int check(const char *path, bool json)
{
	struct dump dump;
	const char *why;
	bool told;
	int status;

	image_open(&dump.image, path);
	told = dump.image.time;
	if (!json)
		print_summary(&dump.image);
	core_open(&dump.core, &dump.image);
	why = examine(&dump);
	if (!json && !told)
		print_time(&dump.image);
	if (why)
		die("%s: %s", path, why);
	if (json)
		print_json(&dump);
	else
		print_findings(&dump);
	status = all_good(&dump) ? EXIT_GOOD : EXIT_DAMAGED;
	close_dump(&dump);
	return status;
}

/* Write the core of an opened image to the new file @path. */
static int write_core(struct image *image, const char *path)
{
	bool good;
	int err = image_extract(image, path, &good);

	if (err)
		die("%s: %s", path, strerror(err));
	print_summary(image);
	image_close(image);
	return good ? EXIT_GOOD : EXIT_DAMAGED;
}

static int extract(const char *path, const char *core)
{
	struct image image;

	image_open(&image, path);
	return write_core(&image, core);
}

static _Noreturn void usage(void)
{
	fputs(usage_text, stderr);
	exit(EXIT_FAILED);
}

static int assemble_from_ram(const char *core, char **ram, size_t nr_ram, const char *smem,
			     const char *subsystem)
{
	uint64_t address, number = 0;
	struct image image;

	if (!parse_number(smem, &address))
		die("%s: not an address", smem);
	if (subsystem && (!parse_number(subsystem, &number) || number > UINT16_MAX))
		die("%s: not the number of a subsystem", subsystem);
	smem_open(&image, ram, nr_ram, address, number);
	return write_core(&image, core);
}

static int assemble(int argc, char **argv)
{
	static const struct option options[] = {
		{ "ram", required_argument, NULL, 'r' },
		{ "smem", required_argument, NULL, 's' },
		{ "subsystem", required_argument, NULL, 'n' },
		{ 0 },
	};
	char **ram = xmalloc(argc * sizeof(*ram)), *smem = NULL, *subsystem = NULL;
	struct image image;
	size_t nr_ram = 0;
	int c, nr, status;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'r')
			ram[nr_ram++] = optarg;
		else if (c == 's')
			smem = optarg;
		else if (c == 'n')
			subsystem = optarg;
		else
			usage();
	}
	argv += optind;
	nr = argc - optind;
	if (nr_ram && smem && nr == 1) {
		status = assemble_from_ram(argv[0], ram, nr_ram, smem, subsystem);
		free(ram);
		return status;
	}
	if (nr_ram || smem || subsystem || nr < 2)
		usage();
	free(ram);
	if (nr == 2 && minidump_is_folder(argv[1]))
		minidump_open_folder(&image, argv[1]);
	else if (nr == 2 && rawdump_is(argv[1]))
		rawdump_open(&image, argv[1]);
	else
		record_assemble(&image, argv + 1, nr - 1);
	return write_core(&image, argv[0]);
}

static int collect(int argc, char **argv)
{
	static const struct option options[] = {
		{ "dir", required_argument, NULL, 'd' },
		{ "root", required_argument, NULL, 'r' },
		{ 0 },
	};
	const char *dir = "/var/crash", *root = "";
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'd')
			dir = optarg;
		else if (c == 'r')
			root = optarg;
		else
			usage();
	}
	if (optind != argc)
		usage();
	return collect_all(root, dir);
}

static int finish(int status)
{
	if (fflush(stdout) || ferror(stdout))
		die("writing the answer: %s", strerror(errno));
	return status;
}

int main(int argc, char **argv)
{
	char format = 't';
	bool json = false;
	int status, nr, arg = 2;

	if (argc == 2 && (!strcmp(argv[1], "-h") || !strcmp(argv[1], "--help"))) {
		fputs(usage_text, stdout);
		return EXIT_GOOD;
	}
	if (argc > 1 && !strcmp(argv[1], "collect"))
		return finish(collect(argc - 1, argv + 1));
	if (argc < 3)
		usage();
	if (!strcmp(argv[1], "assemble"))
		return finish(assemble(argc - 1, argv + 1));

	if (!strcmp(argv[arg], "--json")) {
		json = true;
		arg++;
	} else if (!strcmp(argv[arg], "-x") || !strcmp(argv[arg], "-r")) {
		format = argv[arg++][1];
	}
	nr = argc - arg;
	if ((json && strcmp(argv[1], "list") && strcmp(argv[1], "check")) ||
	    (format != 't' && strcmp(argv[1], "show")))
		usage();

	if (!strcmp(argv[1], "show") && nr == 2)
		status = show(argv[arg], argv[arg + 1], format);
	else if (!strcmp(argv[1], "list") && nr == 1)
		status = list(argv[arg], json);
	else if (!strcmp(argv[1], "log") && nr == 1)
		status = show_log(argv[arg]);
	else if (!strcmp(argv[1], "check") && nr == 1)
		status = check(argv[arg], json);
	else if (!strcmp(argv[1], "extract") && nr == 2)
		status = extract(argv[arg], argv[arg + 1]);
	else
		usage();
	return finish(status);
}
