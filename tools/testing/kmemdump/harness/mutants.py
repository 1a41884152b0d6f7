# SPDX-License-Identifier: GPL-2.0
"""make mutants: put small faults into the code, one at a time, and see whether the tests that
should notice do. mutants.toml lists them."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path

from . import host
from .host import HERE, REPO, Failed, say

LIST = HERE / "mutants.toml"
# Seconds for the tests of one mutant, including what has to be built for them. Without a fault they
# need less than half of that.
LIMIT = 600
# The first run has all tests, and may have to build whole kernels.
FIRST_LIMIT = 7200
# How long an interrupted run of tests may take to end its guests and to remove their files.
GRACE = 60
NOTICED = re.compile(r"^FAIL (.+?)(?: \(\d+\.\d s\))?$", re.M)
# What host.step() and others say when a build fails. It is the first line of a test's message.
UNBUILT = re.compile(r"^FAIL .*\n    (?:building|configuring|settling) ", re.M)


def load(names=()):
    """The mutants that are asked for, in the order of the list."""
    mutants = tomllib.loads(LIST.read_text())["mutant"]
    known = [mutant["name"] for mutant in mutants]
    if len(set(known)) != len(known):
        raise Failed(f"{LIST.name} has a name twice")
    unknown = set(names) - set(known)
    if unknown:
        raise Failed(f"there is no mutant {', '.join(sorted(unknown))}; "
                     f"there are {', '.join(known)}")
    for mutant in mutants:
        path = REPO / mutant["file"]
        count = path.read_text().count(mutant["old"]) if path.exists() else 0
        if count != 1:
            raise Failed(f"{mutant['name']}: its text is {count} times in {mutant['file']}")
    return [mutant for mutant in mutants if not names or mutant["name"] in names]


def _copy(folder):
    """Copy this repository with all uncommitted changes."""
    names = subprocess.run(["git", "-c", "safe.directory=*", "-C", str(REPO), "ls-files", "-co",
                            "--exclude-standard", "-z"], capture_output=True, check=True)
    for name in names.stdout.decode().split("\0"):
        if name and (REPO / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(REPO / name, folder / name)
    # The harness asks git for the files that it lays on the kernel tree.
    subprocess.run(["git", "init", "-q", str(folder)], check=True)


def _end(proc):
    """End the run of tests @proc and all that it has started. Returns what it had printed."""
    os.killpg(proc.pid, signal.SIGINT)
    try:
        return proc.communicate(timeout=GRACE)[0]
    except subprocess.TimeoutExpired:
        os.killpg(proc.pid, signal.SIGKILL)
        return proc.communicate()[0]


def _check(folder, mutant, limit=LIMIT):
    """Run the tests of @mutant in the copy: (exit code, output, seconds). The code is None if they
    did not end in time."""
    select = ["-k", mutant["k"]] if "k" in mutant else []
    env = {name: value for name, value in os.environ.items() if name != "KMEMDUMP_RUN"}
    start = time.monotonic()
    script = str(folder / HERE.relative_to(REPO) / "run.py")
    with subprocess.Popen([sys.executable, script, "check", *select, *mutant["cases"].split()],
                          env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, errors="replace",
                          start_new_session=True) as proc:
        try:
            out, status = proc.communicate(timeout=limit)[0], proc.returncode
        except subprocess.TimeoutExpired:
            out, status = _end(proc), None
        except BaseException:
            # End the run here. Ctrl-C does not reach it, because it has a session of its own.
            _end(proc)
            raise
    return status, out, time.monotonic() - start


@contextlib.contextmanager
def _fault(folder, mutant):
    """Put the fault of @mutant into the copy for the time being."""
    target = folder / mutant["file"]
    good = target.read_text()
    target.write_text(good.replace(mutant["old"], mutant["new"]))
    try:
        yield
    finally:
        target.write_text(good)


def _expect_time(folder, mutant):
    """If the tests of @mutant did not end in time, the fault was noticed only if they do end
    without it. Fails if they do not. Returns the seconds that they take then."""
    status, out, seconds = _check(folder, mutant, LIMIT / 2)
    if status != 0:
        raise Failed(f"{mutant['name']}: without the fault, its tests do not pass in "
                     f"{LIMIT / 2:.0f} s either:\n{out[-3000:]}")
    return seconds


def _try(folder, mutant):
    """Run the tests of one mutant: (whether they notice it, what to say of that)."""
    with _fault(folder, mutant):
        status, out, seconds = _check(folder, mutant)
    failed = NOTICED.findall(out)
    if UNBUILT.search(out):
        raise Failed(f"{mutant['name']} can't be built:\n{out[-3000:]}")
    if status is None:
        usual = _expect_time(folder, mutant)
        return True, f"noticed by the limit of {LIMIT} s; without it, the tests take {usual:.0f} s"
    if failed:
        more = f" and {len(failed) - 1} more" if len(failed) > 1 else ""
        return True, f"noticed by {failed[0]}{more} ({seconds:.0f} s)"
    if status:
        raise Failed(f"{mutant['name']}: the tests did not run:\n{out[-3000:]}")
    return False, f"SURVIVES: {mutant.get('survives', 'and nobody says why')} ({seconds:.0f} s)"


def _green(folder, mutants):
    """All tests of all @mutants have to pass without a fault. Otherwise, nothing below means
    anything."""
    cases = sorted({name for mutant in mutants for name in mutant["cases"].split()})
    select = sorted({mutant.get("k") or " or ".join(mutant["cases"].split()) for mutant in mutants})
    status, out, seconds = _check(folder, {"cases": " ".join(cases),
                                           "k": " or ".join(f"({text})" for text in select)},
                                  FIRST_LIMIT)
    if status != 0:
        raise Failed(f"the tests do not pass with no fault put in:\n{out[-3000:]}")
    say(f"no fault: {out.strip().splitlines()[-1]} ({seconds:.0f} s)\n")


def _stop(number, _frame):
    """End by an exception, so that all is put back as it was."""
    raise Failed(f"stopped by signal {number}")


def run(names=()):
    """Returns the exit code: 0 if each mutant is noticed, or the list says why not."""
    mutants = load(names)
    alive, unknown, stale = [], [], []
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _stop)
    with tempfile.TemporaryDirectory(prefix="kmemdump-mutants-") as work:
        folder = Path(work)
        _copy(folder)
        _green(folder, mutants)
        try:
            for mutant in mutants:
                noticed, text = _try(folder, mutant)
                say(f"{mutant['name']:28} {text}")
                if not noticed:
                    alive.append(mutant["name"])
                    if "survives" not in mutant:
                        unknown.append(mutant["name"])
                elif "survives" in mutant:
                    stale.append(mutant["name"])
        finally:
            # Make the kernel tree one of this repository again.
            from .lab import tree
            with host.sources_in_cache():
                tree().make()
    for name in stale:
        say(f"{name} is noticed, though {LIST.name} says why it is not")
    say(f"\n{len(mutants)} mutants, {len(mutants) - len(alive)} noticed, {len(alive)} survive, "
        f"{len(unknown)} of these with no reason")
    return int(bool(unknown or stale))
