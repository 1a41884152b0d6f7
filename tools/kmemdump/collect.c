// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the boot after a crash does once: save the dumps that wait, and release them.
 *
 * A dump is released only when it is on disk under its last name. What makes a core of a
 * record may give up on one that is forged or damaged, so that runs in a process of its own;
 * what it made nothing whole of is kept as it was, too.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "reader.h"

/* The name that people know from kdump; and one that kdump does not have, as we remove it. */
#define CORE_NAME	"vmcore"
#define PARTIAL_NAME	".kmemdump-partial"

/* As a process ends that made a core but could not write it. */
#define EXIT_UNWRITTEN	(EXIT_FAILED + 1)

#define fail(...)	(warn(__VA_ARGS__), false)

struct collector {
	const char *root;
	const char *dir;	/* the folders of dumps are in there */
	int lock;		/* descriptor of the file that says who is at work, or -1 */
	bool vmcore_saved;	/* by another one, for which this one has waited */
	unsigned int nr;	/* dumps that were there */
	int status;
};

/* Who wants us to end: seen, and no longer pending. */
static bool stopped;

static __printf(1, 2) char *text(const char *fmt, ...)
{
	va_list args;
	char *string;
	int len;

	va_start(args, fmt);
	len = vasprintf(&string, fmt, args);
	va_end(args);
	if (len < 0)
		die("out of memory for a path");
	return string;
}

/* Have the names that a folder has on disk. */
static bool sync_path(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	bool good = fd >= 0 && !fsync(fd);

	if (!good)
		warn("%s: %s", path, strerror(errno));
	if (fd >= 0)
		close(fd);
	return good;
}

/* Have the name of @path on disk. */
static bool sync_parent(const char *path)
{
	const char *slash = strrchr(path, '/');
	char *parent = !slash ? text(".") : text("%.*s", slash > path ? (int)(slash - path) : 1,
						 path);
	bool good = sync_path(parent);

	free(parent);
	return good;
}

/* Make the folder @path, and what is above it, if they are not there. */
static bool make_path(const char *path)
{
	char *part = text("%s", path), *slash = part;
	bool good = true;

	while (good && slash) {
		slash = strchr(slash + 1, '/');
		if (slash)
			*slash = '\0';
		if (!mkdir(part, 0755))
			good = sync_parent(part);
		else if (errno != EEXIST)
			good = fail("%s: %s", part, strerror(errno));
		if (slash)
			*slash = '/';
	}
	free(part);
	return good;
}

/* A new folder, named by the time; NULL if there can't be one. */
static char *make_folder(const struct collector *c)
{
	time_t now = time(NULL);
	struct tm tm;
	char stamp[32];

	if (!make_path(c->dir))
		return NULL;
	if (!localtime_r(&now, &tm) || !strftime(stamp, sizeof(stamp), "%Y%m%d%H%M%S", &tm))
		snprintf(stamp, sizeof(stamp), "unknown");
	/* There may be more than one in a second, or the clock is not set. */
	for (unsigned int i = 1; i < 10000; i++) {
		char *path = i == 1 ? text("%s/%s", c->dir, stamp) :
				      text("%s/%s-%u", c->dir, stamp, i);

		if (!mkdir(path, 0700))
			return path;
		if (errno != EEXIST) {
			warn("%s: %s", path, strerror(errno));
			free(path);
			return NULL;
		}
		free(path);
	}
	warn("%s: has too many dumps of one time", c->dir);
	return NULL;
}

/* Write @size bytes; short writes are no errors. */
static bool write_all(int fd, const char *data, size_t size)
{
	while (size) {
		ssize_t n = write(fd, data, size);

		if (n <= 0) {
			if (!n)
				errno = ENOSPC;
			return false;
		}
		data += n;
		size -= n;
	}
	return true;
}

static void make_set(sigset_t *set, bool with_child)
{
	sigemptyset(set);
	sigaddset(set, SIGHUP);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGTERM);
	if (with_child)
		sigaddset(set, SIGCHLD);
}

/* Nothing may be left half done, so who wants us to end has us stop where that is easy. */
static void hold_signals(void)
{
	sigset_t set;

	/* Not ignored, as whoever started us may have left it. */
	signal(SIGCHLD, SIG_DFL);
	make_set(&set, true);
	sigprocmask(SIG_BLOCK, &set, NULL);
}

static bool is_stopped(void)
{
	const struct timespec now = { 0 };
	sigset_t set;

	make_set(&set, false);
	if (sigtimedwait(&set, NULL, &now) > 0)
		stopped = true;
	return stopped;
}

/* Wait for the process @pid, and end it if we are to end; its status. */
static bool wait_for(pid_t pid, int *status)
{
	sigset_t set;
	pid_t got;

	make_set(&set, true);
	while (!(got = waitpid(pid, status, WNOHANG))) {
		int sig = sigwaitinfo(&set, NULL);

		if (sig > 0 && sig != SIGCHLD) {
			stopped = true;
			kill(pid, SIGKILL);
		}
	}
	return got == pid;
}

/* Copy from @in, which tells its size, to @out. Returns what went wrong, or NULL. */
static char *copy_all(int in, const char *from, int out, const char *to)
{
	static char buf[1 << 20];
	uint64_t done = 0, size;
	struct stat st;
	ssize_t n;

	if (fstat(in, &st))
		return text("%s: %s", from, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return text("%s: not a regular file", from);
	size = st.st_size;
	while ((n = read(in, buf, sizeof(buf))) > 0) {
		if (is_stopped())
			return text("%s: interrupted", from);
		if (!write_all(out, buf, n))
			return text("%s: %s", to, strerror(errno));
		done += n;
		progress("saving", done, size);
	}
	if (n < 0)
		return text("%s: %s at byte %llu", from, strerror(errno),
			    (unsigned long long)done);
	if (done != size)
		return text("%s: ends after %llu of %llu bytes", from, (unsigned long long)done,
			    (unsigned long long)size);
	/* Not only when it is closed: another descriptor may not be told of an error. */
	if (fsync(out))
		return text("%s: %s", to, strerror(errno));
	return NULL;
}

/* Copy the file @from to the new file @to; leaves none if that fails. */
static bool copy_file(const char *from, const char *to)
{
	int in = open(from, O_RDONLY | O_CLOEXEC | O_NONBLOCK), out;
	char *why;

	if (in < 0)
		return fail("%s: %s", from, strerror(errno));
	out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0400);
	if (out < 0) {
		warn("%s: %s", to, strerror(errno));
		close(in);
		return false;
	}
	why = copy_all(in, from, out, to);
	close(in);
	if (close(out) && !why)
		why = text("%s: %s", to, strerror(errno));
	if (!why)
		return true;
	unlink(to);
	warn("%s", why);
	free(why);
	return false;
}

/* Give the file @partial, which is whole and on disk by now, its last name in @folder. */
static bool settle(const char *folder, const char *partial, const char *name)
{
	char *path = text("%s/%s", folder, name);
	bool good = true;

	if (rename(partial, path)) {
		good = fail("%s: %s", path, strerror(errno));
		unlink(partial);
	}
	free(path);
	return good;
}

/* Make a core of a record, in a process of its own; how that ended. */
static int make_core(const char *record, const char *path)
{
	const pid_t parent = getpid();
	int status;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (!pid) {
		struct image image;
		bool good;
		int err;

		/* The next run removes what it writes, so it must not outlive us. */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(EXIT_FAILED);
		image_open(&image, record);
		err = image_extract(&image, path, &good);
		if (err)
			warn("%s: %s", path, strerror(err));
		_exit(err ? EXIT_UNWRITTEN : good ? EXIT_GOOD : EXIT_DAMAGED);
	}
	if (pid < 0 || !wait_for(pid, &status)) {
		warn("%s: no process to read it: %s", record, strerror(errno));
		return EXIT_FAILED;
	}
	if (WIFEXITED(status))
		return WEXITSTATUS(status);
	warn("%s: reading it ended by signal %d", record, WTERMSIG(status));
	return EXIT_FAILED;
}

/* Save a record in @folder. Returns an exit code; all but %EXIT_FAILED is saved. */
static int save_record(const char *record, const char *folder, const char *partial)
{
	int status = make_core(record, partial);

	if (is_stopped()) {
		warn("%s: interrupted", record);
		return EXIT_FAILED;
	}
	if (status < EXIT_FAILED && !settle(folder, partial, CORE_NAME))
		return EXIT_FAILED;
	if (status == EXIT_GOOD)
		return EXIT_GOOD;

	/* There may be more in it than we can make out, and it takes less room than the core. */
	unlink(partial);
	if (!copy_file(record, partial) ||
	    !settle(folder, partial, strrchr(record, '/') + 1))
		return EXIT_FAILED;
	warn(status == EXIT_DAMAGED ? "%s: not whole, so %s also has it as it was" :
	     "%s: no core can be made of it here, so %s has it as it was", record, folder);
	return EXIT_DAMAGED;
}

static int save_vmcore(const char *vmcore, const char *folder, const char *partial)
{
	return copy_file(vmcore, partial) && settle(folder, partial, CORE_NAME) ?
	       EXIT_GOOD : EXIT_FAILED;
}

static void remove_in(const char *folder, const char *name)
{
	char *path = text("%s/%s", folder, name);

	unlink(path);
	free(path);
}

/* Remove a folder with all that we may have put there, when it is of no use. */
static void drop_folder(const char *folder, const char *source)
{
	remove_in(folder, PARTIAL_NAME);
	remove_in(folder, CORE_NAME);
	remove_in(folder, strrchr(source, '/') + 1);
	rmdir(folder);
}

static void tell_saved(const char *source, const char *folder)
{
	put_escaped(stdout, source, strlen(source));
	printf(": saved in ");
	put_escaped(stdout, folder, strlen(folder));
	putchar('\n');
}

/* Save what is in the file @source; whether it may be released. */
static bool save(struct collector *c, const char *source,
		 int (*how)(const char *source, const char *folder, const char *partial))
{
	int status = EXIT_FAILED;
	char *folder, *partial;

	c->nr++;
	if (is_stopped())
		warn("%s: interrupted", source);
	folder = stopped ? NULL : make_folder(c);
	if (folder) {
		partial = text("%s/" PARTIAL_NAME, folder);
		status = how(source, folder, partial);
		if (status != EXIT_FAILED && (!sync_path(folder) || !sync_path(c->dir)))
			status = EXIT_FAILED;
		if (status != EXIT_FAILED)
			tell_saved(source, folder);
		else
			drop_folder(folder, source);
		free(partial);
		free(folder);
	}
	if (status == EXIT_FAILED)
		warn("%s: NOT saved, it stays where it is", source);
	if (status > c->status)
		c->status = status;
	return status != EXIT_FAILED;
}

static int is_record(const struct dirent *entry)
{
	return !strncmp(entry->d_name, "kmemdump-", strlen("kmemdump-"));
}

static void collect_records(struct collector *c)
{
	char *folder = text("%s/sys/fs/pstore", c->root);
	struct dirent **entries;
	int nr = scandir(folder, &entries, is_record, versionsort);

	if (nr < 0) {
		/* There need not be a pstore. */
		if (errno != ENOENT) {
			warn("%s: %s", folder, strerror(errno));
			c->status = EXIT_FAILED;
		}
		free(folder);
		return;
	}
	for (int i = 0; i < nr; i++) {
		char *record = text("%s/%s", folder, entries[i]->d_name);

		if (save(c, record, save_record) && unlink(record)) {
			warn("%s: can't be removed: %s", record, strerror(errno));
			c->status = EXIT_FAILED;
		}
		free(record);
		free(entries[i]);
	}
	free(entries);
	free(folder);
}

static bool is_on(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char value = 0;
	bool on = fd >= 0 && read(fd, &value, 1) == 1 && value == '1';

	if (fd >= 0)
		close(fd);
	return on;
}

static bool switch_on(const char *path)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool good = fd >= 0 && write(fd, "1\n", 2) == 2;

	if (!good)
		warn("%s: %s", path, strerror(errno));
	if (fd >= 0)
		close(fd);
	return good;
}

/*
 * Have FADump's dump released. Nothing could be registered while it waited, so that
 * is done now. The dump of a kdump kernel needs none of this.
 */
static bool release_vmcore(const struct collector *c)
{
	char *release_mem = text("%s/sys/kernel/fadump/release_mem", c->root);
	char *enabled = text("%s/sys/kernel/fadump/enabled", c->root);
	char *registered = text("%s/sys/kernel/fadump/registered", c->root);
	bool good = true;

	if (!access(release_mem, F_OK))
		good = switch_on(release_mem) && (!is_on(enabled) || switch_on(registered));
	free(registered);
	free(enabled);
	free(release_mem);
	if (!good)
		warn("no crash will be saved before the dump is released and FADump registered");
	return good;
}

/*
 * Whether there may be a dump of FADump that the kernel could not make a file of. The file
 * stays after a release, but then it is registered again.
 */
static bool has_bad_vmcore(const struct collector *c)
{
	char *release_mem = text("%s/sys/kernel/fadump/release_mem", c->root);
	char *enabled = text("%s/sys/kernel/fadump/enabled", c->root);
	char *registered = text("%s/sys/kernel/fadump/registered", c->root);
	bool has = !access(release_mem, F_OK) && is_on(enabled) && !is_on(registered);

	free(registered);
	free(enabled);
	free(release_mem);
	return has;
}

static void collect_vmcore(struct collector *c)
{
	char *vmcore = text("%s/proc/vmcore", c->root);

	if (!access(vmcore, F_OK)) {
		if (!c->vmcore_saved && save(c, vmcore, save_vmcore)) {
			if (c->lock >= 0 && pwrite(c->lock, "v", 1, 0) != 1)
				warn("%s: saved, but others that wait do not know", vmcore);
			if (!release_vmcore(c))
				c->status = EXIT_FAILED;
		}
	} else if (errno != ENOENT) {
		warn("%s: %s", vmcore, strerror(errno));
		c->status = EXIT_FAILED;
	} else if (has_bad_vmcore(c)) {
		warn("%s: not there, though FADump is not registered; see the log", vmcore);
		warn("no crash is saved before 1 is written to release_mem or registered");
		c->status = EXIT_FAILED;
	}
	free(vmcore);
}

/*
 * Have only one of us at work for @c->root: two would save all of it twice, and each would
 * release what the other is still reading. The lock ends with the process. Where there can
 * be none, as without /run, a dump that is saved twice is better than one that is not.
 *
 * A vmcore stays where it is if there is nothing to release, as in a kernel of kdump; so
 * whoever saves it says so in the file, for those that wait. Only root can open that, or
 * any user could keep us waiting.
 */
static bool take_lock(struct collector *c)
{
	char *path = text("%s/run/kmemdump.lock", c->root), saved;
	bool waited = false;

	c->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	free(path);
	if (c->lock < 0)
		return true;
	while (flock(c->lock, LOCK_EX | LOCK_NB)) {
		if (errno != EWOULDBLOCK)
			return true;
		if (!waited)
			warn("waiting for another collect to end");
		waited = true;
		if (is_stopped())
			return fail("interrupted");
		usleep(50000);
	}
	c->vmcore_saved = waited && pread(c->lock, &saved, 1, 0) == 1;
	/* That may be of an earlier boot. */
	if (!waited && ftruncate(c->lock, 0))
		warn("the lock of collect can't be changed: %s", strerror(errno));
	return true;
}

/* Whether make_folder() gives such names: 14 digits, and then a number or nothing. */
static bool is_ours(const char *name)
{
	return strspn(name, "0123456789") == 14 && (!name[14] || name[14] == '-');
}

/*
 * Remove what was left when the machine stopped, or we did, in the middle of a dump: the
 * folder, too, unless there is something else in it.
 */
static void drop_leftovers(const struct collector *c)
{
	DIR *dir = opendir(c->dir);
	struct dirent *entry;

	while (dir && (entry = readdir(dir))) {
		char *folder;

		if (!is_ours(entry->d_name))
			continue;
		folder = text("%s/%s", c->dir, entry->d_name);
		remove_in(folder, PARTIAL_NAME);
		if (!rmdir(folder))
			warn("%s: removed, it was not finished", folder);
		free(folder);
	}
	if (dir)
		closedir(dir);
}

/*
 * Save all dumps that wait in folders of their own in @dir, and release them. All paths
 * begin with @root. Returns an exit code.
 */
int collect_all(const char *root, const char *dir)
{
	char *target = text("%s%s%s", root, *root && *dir != '/' ? "/" : "", dir);
	struct collector c = { .root = root, .dir = target };

	hold_signals();
	if (*root && access(root, F_OK)) {
		warn("%s: %s", root, strerror(errno));
		return EXIT_FAILED;
	}
	if (!take_lock(&c))
		return EXIT_FAILED;
	drop_leftovers(&c);
	collect_records(&c);
	collect_vmcore(&c);
	if (!c.nr && c.status == EXIT_GOOD)
		printf("nothing to collect\n");
	free(target);
	return c.status;
}
