// SPDX-License-Identifier: GPL-2.0-only
/*
 * Save the dumps that a crash left, and release them. Each boot does this once.
 *
 * A dump is released only when it is on disk under its final name. A child process makes the core
 * of a record, because a forged or damaged record may end the program. If the core is not whole,
 * the record is kept as well.
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

/* The name that kdump uses; and one that it does not use, because collect removes such files. */
#define CORE_NAME	"vmcore"
#define PARTIAL_NAME	".kmemdump-partial"

/* The exit code of the process that makes a core, if it could not write the file. */
#define EXIT_UNWRITTEN	(EXIT_FAILED + 1)

#define fail(...)	(warn(__VA_ARGS__), false)

struct collector {
	const char *root;
	const char *dir;	/* the folder for the folders of the dumps */
	int lock;		/* descriptor of the locked file, or -1 */
	bool vmcore_saved;	/* another collect has saved it while this one waited */
	unsigned int nr;	/* dumps found */
	int status;
};

/* A signal that asks the program to end was pending. It was consumed. */
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

/* Sync a folder, so that the names in it are on disk. */
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

/* Sync the folder that @path is in, so that the name of @path is on disk. */
static bool sync_parent(const char *path)
{
	const char *slash = strrchr(path, '/');
	char *parent = !slash ? text(".") : text("%.*s", slash > path ? (int)(slash - path) : 1,
						 path);
	bool good = sync_path(parent);

	free(parent);
	return good;
}

/* Make the folder @path and all missing folders above it. */
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

/* Make a new folder that is named after the time. Returns its path, or NULL. */
static char *make_folder(const struct collector *c)
{
	time_t now = time(NULL);
	struct tm tm;
	char stamp[32];

	if (!make_path(c->dir))
		return NULL;
	if (!localtime_r(&now, &tm) || !strftime(stamp, sizeof(stamp), "%Y%m%d%H%M%S", &tm))
		snprintf(stamp, sizeof(stamp), "unknown");
	/* Two dumps may have the same time, above all if the clock is not set. */
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

/* Write @size bytes, in several writes if need be. */
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

/* Block signals: the program looks for them only where it can end without leaving half a dump. */
static void hold_signals(void)
{
	sigset_t set;

	/* The parent may have left SIGCHLD ignored, and then waitpid() fails. */
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

/* Wait for the process @pid to end, and get its *@status. Kill it if a signal to end comes. */
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

/* Copy the regular file @in to @out. Returns what went wrong, or NULL. */
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
	/* Sync this descriptor: a write error may not be reported to another one. */
	if (fsync(out))
		return text("%s: %s", to, strerror(errno));
	return NULL;
}

/* Copy the file @from to the new file @to. If that fails, there is no file @to. */
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

/* Give the file @partial, which is whole and on disk, its final name in @folder. */
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

/* Make a core from a record in a child process. Returns the exit code of the child. */
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

		/* End with the parent: the next collect removes the file that this writes. */
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

/* Save a record in @folder. Returns EXIT_FAILED if it is not saved, or else another exit code. */
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

	/* Other programs may find more in the record, and it takes less room than the core. */
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

/* Saving @source has failed: remove its folder, and what save() may have left there. */
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

/* Save the file @source by calling @how. Returns whether it may be released. */
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
		/* A machine without pstore is no error. */
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
 * Release the dump of FADump, and register FADump again, which is impossible while there is a
 * dump. The vmcore of a kdump kernel needs none of this.
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
 * Whether FADump may have a dump that the kernel could not make /proc/vmcore of: release_mem is
 * there and FADump is not registered. After a release it is registered.
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
 * Wait until no other collect works on @c->root. Two would save every dump twice, and each would
 * release dumps that the other one is still reading. The lock ends with the process. Where there
 * can be no lock, as without /run, go on: a dump that is saved twice is better than none.
 *
 * A vmcore that needs no release, as in a kdump kernel, stays where it is. So the collect that
 * has saved it notes this in the lock file, for those that wait. The file is for root only,
 * because any user who could open it could make collect wait.
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
	/* What the file says may be from an earlier boot. */
	if (!waited && ftruncate(c->lock, 0))
		warn("the lock of collect can't be changed: %s", strerror(errno));
	return true;
}

/* Whether make_folder() makes such names: 14 digits, then "-" and a number or nothing. */
static bool is_ours(const char *name)
{
	return strspn(name, "0123456789") == 14 && (!name[14] || name[14] == '-');
}

/*
 * Remove the files that an earlier collect left unfinished when it was killed or the machine
 * stopped; and their folders, unless there are other files in them.
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
 * Save all dumps that are there, each in a new folder in @dir, and release them. @root is put
 * before all paths. Returns an exit code.
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
