# SPDX-License-Identifier: GPL-2.0
"""The host: where things are cached, running long commands, installing packages."""

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

REPO = Path(__file__).resolve().parents[4]
HERE = REPO / "tools/testing/kmemdump"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kmemdump"
LOGS = CACHE / "logs"
JOBS = os.cpu_count() or 1

# Everything that "make demo" needs, and what "make check" needs on top.
PACKAGES = """
    bc bison build-essential busybox-static ccache flex libelf-dev libxxhash-dev
    libzstd-dev linux-source-6.12 patch perl qemu-system-x86 xz-utils zstd
""".split()
CHECK_PACKAGES = ["mandoc", "mmdebstrap", "sparse"]


class Failed(Exception):
    """Something a person has to look at; str() says what and where."""


def say(text):
    print(text, flush=True)


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


def install(packages):
    """Have Debian packages installed."""
    missing = _missing(packages)
    if not missing:
        return
    if os.geteuid():
        raise Failed("these packages are missing, and installing them takes root:\n  "
                     + " ".join(missing))
    env = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
    step("updating package lists", ["apt-get", "update"], "apt-update", env=env)
    step("installing " + " ".join(missing),
         ["apt-get", "install", "-y", "--no-install-recommends", *missing], "apt-install", env=env)


def testing_root():
    """A root of Debian testing, for tools that stable has too old: crash 9."""
    root = CACHE / "testing-root"
    if not (root / "usr/bin/crash").exists():
        shutil.rmtree(root, ignore_errors=True)
        new = CACHE / "testing-root.new"
        shutil.rmtree(new, ignore_errors=True)
        step("making a Debian testing root for crash",
             ["mmdebstrap", "--variant=minbase", "--aptopt=Acquire::Check-Valid-Until \"false\"",
              "--include=crash", "forky", str(new)], "testing-root")
        new.rename(root)
    return root


def busybox(architecture):
    """A static busybox of a Debian architecture."""
    if architecture == "amd64":
        return next(p for p in ("/bin/busybox", "/usr/bin/busybox") if os.path.exists(p))
    root = CACHE / f"busybox-{architecture}"
    found = [root / p for p in ("usr/bin/busybox", "bin/busybox") if (root / p).exists()]
    if not found:
        shutil.rmtree(root, ignore_errors=True)
        step(f"getting busybox for {architecture}",
             ["mmdebstrap", "--variant=extract", f"--architectures={architecture}",
              "--include=busybox-static", "bookworm", str(root)], f"busybox-{architecture}")
        found = [root / p for p in ("usr/bin/busybox", "bin/busybox") if (root / p).exists()]
    return str(found[0])


def crash(vmlinux, dump, commands, *options):
    """What stock crash answers to @commands on @dump; it is run in the testing root."""
    root = testing_root()
    work = root / "tmp"
    shutil.copy(dump, work / "dump")
    target = work / f"vmlinux-{vmlinux.stat().st_mtime_ns}"
    if not target.exists():
        for old in work.glob("vmlinux-*"):
            old.unlink()
        shutil.copy(vmlinux, target)
    proc = subprocess.run(["chroot", str(root), "crash", "-s", *options,
                           f"/tmp/{target.name}", "/tmp/dump"],
                          input="\n".join(commands) + "\nquit\n", capture_output=True, text=True,
                          errors="replace", timeout=300)
    return proc.stdout + proc.stderr


def main_guard(function):
    """Run @function; a failure is told in full, without a Python traceback."""
    try:
        sys.exit(function())
    except Failed as err:
        say(f"\nFAILED: {err}")
        sys.exit(1)
    except KeyboardInterrupt:
        say("\ninterrupted")
        sys.exit(130)
