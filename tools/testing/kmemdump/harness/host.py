# SPDX-License-Identifier: GPL-2.0
"""The host: where things are cached, running long commands, installing packages."""

import contextlib
import ctypes
import fcntl
import gzip
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPO = Path(__file__).resolve().parents[4]
HERE = REPO / "tools/testing/kmemdump"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kmemdump"
LOGS = CACHE / "logs"
JOBS = os.cpu_count() or 1

# The Linux that all tests run on. Some tests also run on each other Linux that patches/ has.
BASE = "6.12"
BASES = sorted(path.name for path in (REPO / "patches").iterdir() if path.is_dir())

# Packages to make kernels and guests; then those that "make demo" and "make check" add to them.
PACKAGES = """
    bc bison build-essential busybox-static ccache flex libelf-dev libxxhash-dev
    libzstd-dev linux-source-6.12 lz4 patch perl xz-utils zstd
""".split()
DEMO_PACKAGES = ["qemu-system-x86"]
READER_PACKAGES = ["build-essential", "libelf-dev", "libxxhash-dev", "libzstd-dev"]
CHECK_PACKAGES = ["python3-pyelftools", "python3-pytest", "python3-pytest-xdist"]


class Failed(Exception):
    """Something a person has to look at; str() says what and where."""


def say(text):
    """Print @text. A lane of the tests bypasses the capture of pytest, as a person waits for it."""
    print(text, flush=True,
          file=sys.__stderr__ if "PYTEST_XDIST_WORKER" in os.environ else sys.stdout)


_depth = {}


@contextlib.contextmanager
def lock(name):
    """Hold the lock @name against all other processes that share the cache. A process may take a
    lock that it already holds, but only in one thread."""
    folder = CACHE / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        if not _depth.get(name):
            file = stack.enter_context((folder / name).open("w"))
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                start = time.monotonic()
                fcntl.flock(file, fcntl.LOCK_EX)
                if time.monotonic() - start > 5:
                    say(f"    waited {time.monotonic() - start:.0f} s for {name}")
        _depth[name] = _depth.get(name, 0) + 1
        try:
            yield
        finally:
            _depth[name] -= 1


def digest(paths):
    """A hash of the names and contents of these files of the repository; folders do not count."""
    sha256 = hashlib.sha256()
    for path in sorted(paths):
        if path.is_file():
            sha256.update(b"%s %d\n" % (os.fsencode(path.relative_to(REPO)), path.stat().st_size))
            sha256.update(path.read_bytes())
    return sha256.hexdigest()


def sources():
    """A hash of all files of this repository as they are now, committed or not."""
    names = subprocess.run(["git", "-c", "safe.directory=*", "-C", str(REPO), "ls-files", "-coz",
                            "--exclude-standard"], capture_output=True, check=True).stdout
    return digest(REPO / os.fsdecode(name) for name in names.split(b"\0") if name)


# The result of the last run of all tests.
LAST_CHECK = CACHE / "last-check.json"


def note_counts(counts):
    """Save the result of a run of all tests, with the hash of the sources that were tested."""
    LAST_CHECK.write_text(json.dumps({"sources": sources(), "counts": counts}))


def last_counts():
    """The result of the last run of all tests; None if the sources have changed since then."""
    last = json.loads(LAST_CHECK.read_text()) if LAST_CHECK.exists() else {}
    return last["counts"] if last.get("sources") == sources() else None


@contextlib.contextmanager
def sources_in_cache(wanted=None):
    """Reserve the kernel tree and all builds for the sources of this repository, or for @wanted.
    Runs of the same sources share the cache. A run of other sources has to wait, as it would
    change what is built in the middle of their runs."""
    wanted = wanted or sources()
    (CACHE / "locks").mkdir(parents=True, exist_ok=True)
    told = False
    with (CACHE / "locks/sources").open("a+") as file:
        while True:
            fcntl.flock(file, fcntl.LOCK_SH)
            file.seek(0)
            if file.read() == wanted:
                break
            fcntl.flock(file, fcntl.LOCK_UN)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if not told:
                    say(f"waiting for a run with other sources to end; XDG_CACHE_HOME= names "
                        f"another cache than {CACHE}")
                told = True
                time.sleep(1)
                continue
            file.truncate(0)
            file.write(wanted)
            file.flush()
        yield


RUNS_KEPT, RUN_HOURS = 5, 4


def run_folder():
    """The folder of this run, for the consoles of its guests, the files that they leave, and the
    results. All processes of a run share it. LOGS/last is a link to the newest one."""
    if "KMEMDUMP_RUN" not in os.environ:
        with lock("runs"):
            LOGS.mkdir(parents=True, exist_ok=True)
            for old in sorted(LOGS.glob("run-*"))[:1 - RUNS_KEPT]:
                # Another run may still be going on.
                if time.time() - old.stat().st_mtime > RUN_HOURS * 3600:
                    shutil.rmtree(old, ignore_errors=True)
            folder = LOGS / f"run-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"
            (folder / "consoles").mkdir(parents=True)
            (LOGS / "last").unlink(missing_ok=True)
            (LOGS / "last").symlink_to(folder.name)
        os.environ["KMEMDUMP_RUN"] = str(folder)
    return Path(os.environ["KMEMDUMP_RUN"])


def once(name, function):
    """Have @function called once in this run, by whichever process comes first. If it fails, it
    fails for all tests that need it."""
    done, failed = (run_folder() / f"{word}-{name}" for word in ("done", "failed"))
    with lock(name):
        if failed.exists():
            raise Failed(failed.read_text())
        if not done.exists():
            try:
                function()
            except Failed as err:
                failed.write_text(str(err))
                raise
            done.touch()


def xxh64(data):
    library = ctypes.CDLL("libxxhash.so.0")
    library.XXH64.restype = ctypes.c_uint64
    library.XXH64.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint64]
    return library.XXH64(data, len(data), 0)


def _tail(path, lines=15):
    return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])


def step(title, cmd, log_name, expect=None, pattern=None, **kwargs):
    """Run a long command with its output in a log file, and show how far it is:
    the number of log lines that match @pattern, of @expect if that is known."""
    LOGS.mkdir(parents=True, exist_ok=True)
    log = LOGS / f"{log_name}.log"
    say(f"==> {title} (log: {log})")
    start = shown = time.monotonic()
    regex = re.compile(pattern) if pattern else None
    count = 0
    with log.open("w") as out:
        proc = subprocess.Popen(cmd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                stdin=subprocess.DEVNULL, text=True, errors="replace", **kwargs)
        for line in proc.stdout:
            out.write(line)
            out.flush()
            if regex and regex.search(line):
                count += 1
            now = time.monotonic()
            if now - shown >= 15:
                shown = now
                far = f"{count} of about {expect} steps, " if expect else \
                    f"{count} steps, " if regex else ""
                say(f"    {title}: {far}{now - start:.0f} s")
        status = proc.wait()
    if status:
        raise Failed(f"{title}: exit code {status}\n{_tail(log)}\nlog: {log}")
    say(f"    done in {time.monotonic() - start:.0f} s")
    return count


def _missing(packages):
    out = subprocess.run(["dpkg-query", "-W", "-f", "${Package} ${db:Status-Abbrev}\n", *packages],
                         capture_output=True, text=True).stdout
    have = {line.split()[0] for line in out.splitlines() if line.split()[1:2] == ["ii"]}
    return [p for p in packages if p not in have]


def _retried(function, tries=4, pause=20):
    """Call @function up to @tries times: a mirror of packages may be in the middle of an update."""
    for left in reversed(range(tries)):
        try:
            return function()
        except Failed as err:
            if not left:
                raise
            say(f"    {str(err).splitlines()[0]}; trying again in {pause} s")
            time.sleep(pause)


def install(packages):
    """Have Debian packages installed."""
    if not _missing(packages):
        return
    with lock("apt"):
        missing = _missing(packages)
        if not missing:
            return
        if os.geteuid():
            raise Failed("these packages are missing, and installing them takes root:\n  "
                         + " ".join(missing))
        env = dict(os.environ, DEBIAN_FRONTEND="noninteractive")

        def run():
            step("updating package lists", ["apt-get", "update"], "apt-update", env=env)
            step("installing " + " ".join(missing),
                 # Wait for the lock: somebody else may be installing.
                 ["apt-get", "-o", "DPkg::Lock::Timeout=600", "install", "-y",
                  "--no-install-recommends", *missing], "apt-install", env=env)

        _retried(run)


# QEMU comes from here, too. That of Debian 12 lets one CPU of a guest use the old memory map while
# another one changes it, and crashed once in some thousand boots. QEMU 8.2 fixed that.
TESTING_PACKAGES = ("crash gdb-multiarch makedumpfile python3-drgn "
                    "qemu-system-arm qemu-system-ppc qemu-system-x86")


def _unpacked(name, title, *options, suite="forky"):
    """A folder with Debian packages, made again when the options have changed."""
    root = CACHE / name
    stamp = CACHE / f"{name}.stamp"

    def make():
        shutil.rmtree(root, ignore_errors=True)
        step(title, ["mmdebstrap", "--aptopt=Acquire::Check-Valid-Until \"false\"", *options,
                     suite, str(root)], name)

    with lock(name):
        if not root.exists() or not stamp.exists() or stamp.read_text() != str(options):
            install(["mmdebstrap"])
            _retried(make)
            # Make the links that a maintainer script would make.
            for link in ("bin", "lib", "lib64", "sbin"):
                if not (root / link).exists() and (root / "usr" / link).exists():
                    (root / link).symlink_to(f"usr/{link}")
            stamp.write_text(str(options))
    return root


def testing_root():
    """A root of Debian testing, for tools that are too old in stable, or not there at all."""
    return _unpacked("testing-root", "making a Debian testing root for QEMU, crash and others",
                     "--variant=minbase",
                     "--include=" + TESTING_PACKAGES.replace(" ", ","))


def linux_source(base):
    """The tarball of Debian's linux-source-@base, and the version of that package. Debian 12 has
    only that of BASE; newer ones are in the backports of Debian 13."""
    package = f"linux-source-{base}"
    if base == BASE:
        install([package])
        root = Path("/")
        version = subprocess.run(["dpkg-query", "-W", "-f", "${Version}", package],
                                 capture_output=True, text=True).stdout
    else:
        root = _unpacked(package, f"getting {package}", "--variant=extract",
                         '--setup-hook=sed -i "/ trixie /{p;s// trixie-backports /}" '
                         '"$1/etc/apt/sources.list"', f"--include={package}", suite="trixie")
        with gzip.open(root / f"usr/share/doc/{package}/changelog.Debian.gz", "rt") as log:
            version = re.search(r"\((.*?)\)", log.readline())[1]
    return root / f"usr/src/{package}.tar.xz", version


def from_testing(cmd):
    """@cmd. If its program starts with "testing:", take it from the testing root."""
    program, *args = cmd
    if not program.startswith("testing:"):
        return cmd
    root = testing_root()
    return [str(root / "usr/lib64/ld-linux-x86-64.so.2"), "--library-path",
            f"{root}/usr/lib/x86_64-linux-gnu", str(root / "usr/bin" / program.split(":")[1]),
            "-L", str(root / "usr/share/qemu"), "-L", str(root / "usr/share/seabios"), *args]


def with_libraries(program):
    """The files that a guest needs to run a dynamic program of this host: guest path -> host path.
    The guest runs it with /lib/ld.so --library-path /lib."""
    out = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    files = {f"/lib/{Path(path).name}": path for path in re.findall(r"=> (/\S+)", out)}
    [loader] = re.findall(r"^\s*(/\S+) \(", out, re.M)
    return files | {"/lib/ld.so": loader, f"/root/{Path(program).name}": program}


def busybox(architecture):
    """A static busybox of a Debian architecture."""
    if architecture == "amd64":
        return next(p for p in ("/bin/busybox", "/usr/bin/busybox") if os.path.exists(p))
    root = _unpacked(f"busybox-{architecture}", f"getting busybox for {architecture}",
                     "--variant=extract", f"--architectures={architecture}",
                     "--include=busybox-static")
    return str(next(root / p for p in ("usr/bin/busybox", "bin/busybox") if (root / p).exists()))


def static_libraries(architecture, cross):
    """The flags to build the reader as a static program, as guests have no libraries for it:
    (compiler flags, linker flags)."""
    if architecture == "amd64":
        return "", "-static"
    options, suite = [], "forky"
    if architecture == "i386":
        # Debian 12's linker for i386 breaks programs with a newer C library. These programs read
        # only what the tests make, so they need no security updates.
        options, suite = ['--setup-hook=sed -i /security/d "$1/etc/apt/sources.list"'], "bookworm"
    root = _unpacked(f"libraries-{architecture}", f"getting libraries for {architecture}",
                     "--variant=extract", f"--architectures={architecture}", *options,
                     "--include=libc6-dev,libelf-dev,libxxhash-dev,libzstd-dev", suite=suite)
    triple = "i386-linux-gnu" if architecture == "i386" else cross.rstrip("-")
    include, lib = root / "usr/include", root / "usr/lib" / triple
    # Use the C library from here, too: the cross compiler's may be too old for the others.
    return f"-isystem {include} -isystem {include / triple}", f"-static -B{lib} -L{lib}"


@contextlib.contextmanager
def _in_root(*files):
    """Put files into a temporary folder in the testing root. Yields their paths there."""
    root = testing_root()
    with tempfile.TemporaryDirectory(dir=root / "tmp") as work:
        for file in files:
            try:
                os.link(file, Path(work) / file.name)
            except OSError:     # on another file system
                shutil.copy(file, work)
        yield [f"/tmp/{Path(work).name}/{file.name}" for file in files]


def _chroot(*cmd, text=None):
    proc = subprocess.run(["chroot", str(testing_root()), *map(str, cmd)], input=text,
                          capture_output=True, text=True, errors="replace", timeout=600)
    return proc.stdout + proc.stderr


def _foreign(debian, program, *args, text=None):
    """What a Debian program for another machine prints, run by qemu-user."""
    install(["qemu-user-static"])
    root = _unpacked(f"crash-{debian}", f"getting crash for {debian}", "--variant=extract",
                     f"--architectures={debian}", "--include=crash,makedumpfile")
    # Newer arm64 CPUs sign pointers, on which QEMU would spend most of its time.
    qemu = {"arm64": ("qemu-aarch64-static", "-cpu", "cortex-a72"),
            "ppc64el": ("qemu-ppc64le-static",)}[debian]
    proc = subprocess.run([*qemu, "-L", str(root), str(root / "usr/bin" / program),
                           *map(str, args)], input=text, capture_output=True, text=True,
                          errors="replace", timeout=1200)
    return proc.stdout + proc.stderr


def crash(vmlinux, dump, commands, *options, debian="amd64", files=()):
    """What stock crash answers to @commands on @dump. It reads only dumps of the machine
    that it was built for. A command has {n} where the path of the n-th of @files is to be."""
    text = "\n".join(commands) + "\nquit\n"
    if debian == "amd64":
        with _in_root(vmlinux, dump, *files) as (symbols, core, *paths):
            return _chroot("crash", "-s", *options, symbols, core, text=text.format(*paths))
    return _foreign(debian, "crash", "-s", *options, vmlinux, dump, text=text.format(*files))


def gdb(vmlinux, dump, offset, commands, files=()):
    """What gdb answers on @dump of a kernel that runs @offset from where it was linked. A command
    has {n} where the path of the n-th of @files is to be."""
    with _in_root(vmlinux, dump, *files) as (symbols, core, *paths):
        args = [f"core-file {core}", f"symbol-file -o {offset:#x} {symbols}",
                *(command.format(*paths) for command in commands)]
        return _chroot("gdb-multiarch", "-nx", "-batch", *(f"-ex={arg}" for arg in args))


def gdb_of_debian_12(vmlinux, dump, offset, commands):
    """What the gdb of Debian 12 answers."""
    install(["gdb-multiarch"])
    args = [f"core-file {dump}", f"symbol-file -o {offset:#x} {vmlinux}", *commands]
    proc = subprocess.run(["gdb-multiarch", "-nx", "-batch", *(f"-ex={arg}" for arg in args)],
                          capture_output=True, text=True, errors="replace", timeout=600)
    return proc.stdout + proc.stderr


def makedumpfile(vmcore, *options, debian="amd64"):
    """The file that makedumpfile makes of a vmcore."""
    options = ("--message-level", "4", *options)
    out = vmcore.with_name("makedumpfile.out")
    out.unlink(missing_ok=True)
    if debian == "amd64":
        # Without this file, makedumpfile makes buffers of no bytes and loops forever.
        meminfo = testing_root() / "proc/meminfo"
        if not meminfo.exists():
            meminfo.write_text(Path("/proc/meminfo").read_text())
        with _in_root(vmcore) as [path]:
            made = f"{Path(path).parent}/made"
            text = _chroot("makedumpfile", *options, path, made)
            if (testing_root() / made[1:]).exists():
                shutil.move(testing_root() / made[1:], out)
    else:
        text = _foreign(debian, "makedumpfile", *options, vmcore, out)
    if not out.exists():
        raise Failed(f"makedumpfile {' '.join(options)}:\n{text[-3000:]}")
    return out


def drgn(vmlinux, dump, script, files=()):
    """What a Python @script prints. It gets the dump as prog, with the debugging information of the
    kernel and of the modules in @files."""
    with _in_root(vmlinux, dump, *files) as (symbols, core, *paths):
        return _chroot("python3", "-", text=f"""
import drgn
from drgn.helpers.linux import *
prog = drgn.Program()
prog.set_core_dump({core!r})
prog.load_debug_info({[symbols, *paths]!r})
{script}""")


def main_guard(function):
    """Run @function and exit. A failure is printed in full, without a Python traceback."""
    try:
        sys.exit(function())
    except Failed as err:
        say(f"\nFAILED: {err}")
        sys.exit(1)
    except KeyboardInterrupt:
        say("\ninterrupted")
        sys.exit(130)
