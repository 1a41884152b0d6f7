# SPDX-License-Identifier: GPL-2.0
"""make mutants: put small faults into the code, one at a time, and see whether the tests that
should notice do. mutants.toml lists them."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path

from .host import HERE, REPO, Failed, say

LIST = HERE / "mutants.toml"
LIMIT = 1200     # seconds for the tests of one
COMPILER = re.compile(r"building (?:the kernel|tools/kmemdump|the fuzzers).*?: ?(?:exit code|$)|"
                      r"\berror: ", re.M)


def load(names=()):
    """The mutants that are asked for, in the order of the list."""
    mutants = tomllib.loads(LIST.read_text())["mutant"]
    known = [mutant["name"] for mutant in mutants]
    if len(set(known)) != len(known):
        raise Failed(f"{LIST.name} has a name twice")
    unknown = set(names) - set(known)
    if unknown:
        raise Failed(f"there is no mutant {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    for mutant in mutants:
        count = (REPO / mutant["file"]).read_text().count(mutant["old"])
        if count != 1:
            raise Failed(f"{mutant['name']}: its text is {count} times in {mutant['file']}")
    return [mutant for mutant in mutants if not names or mutant["name"] in names]


def _copy(folder):
    """A copy of this repository as it is, whatever git has of it."""
    names = subprocess.run(["git", "-c", "safe.directory=*", "-C", str(REPO), "ls-files", "-co",
                            "--exclude-standard", "-z"], capture_output=True, check=True)
    for name in names.stdout.decode().split("\0"):
        if name and (REPO / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(REPO / name, folder / name)
    # The harness asks git for the files that it lays on the kernel tree.
    subprocess.run(["git", "init", "-q", str(folder)], check=True)


def _check(folder, mutant):
    """Run its tests in the copy: (exit code, output, seconds). None is a time limit."""
    select = ["-k", mutant["k"]] if "k" in mutant else []
    env = {name: value for name, value in os.environ.items() if name != "KMEMDUMP_RUN"}
    start = time.monotonic()
    try:
        proc = subprocess.run([sys.executable, str(folder / HERE.relative_to(REPO) / "run.py"), "check",
                               *select, *mutant["cases"].split()],
                              env=env, capture_output=True, text=True, errors="replace",
                              timeout=LIMIT)
        status, out = proc.returncode, proc.stdout
    except subprocess.TimeoutExpired as err:
        status, out = None, (err.stdout or b"").decode(errors="replace")
    return status, out, time.monotonic() - start


def _noticed_by(out):
    return re.findall(r"^FAIL (\S+)", out, re.M)


def _try(folder, mutant):
    """Put one fault in, and take it out again: what came of it."""
    target = folder / mutant["file"]
    good = target.read_text()
    target.write_text(good.replace(mutant["old"], mutant["new"]))
    try:
        status, out, seconds = _check(folder, mutant)
    finally:
        target.write_text(good)
    failed = _noticed_by(out)
    if failed and COMPILER.search(out) and "exit code 2" in out:
        raise Failed(f"{mutant['name']} does not compile:\n{out[-3000:]}")
    if status is None:
        result = f"noticed: no end after {LIMIT} s"
    elif failed:
        more = f" and {len(failed) - 1} more" if len(failed) > 1 else ""
        result = f"noticed by {failed[0]}{more}"
    elif status:
        raise Failed(f"{mutant['name']}: the tests did not run:\n{out[-3000:]}")
    else:
        result = f"SURVIVES: {mutant.get('survives', 'and nobody says why')}"
    say(f"{mutant['name']:28} {result} ({seconds:.0f} s)")
    return result


def _green(folder, mutants):
    """All of their tests pass where nothing is wrong: without that, nothing below means
    anything."""
    cases = sorted({name for mutant in mutants for name in mutant["cases"].split()})
    select = sorted({mutant.get("k") or " or ".join(mutant["cases"].split()) for mutant in mutants})
    status, out, seconds = _check(folder, {"cases": " ".join(cases),
                                           "k": " or ".join(f"({text})" for text in select)})
    if status:
        raise Failed(f"the tests fail with no fault put in:\n{out[-3000:]}")
    say(f"no fault: {out.strip().splitlines()[-1]} ({seconds:.0f} s)\n")


def run(names=()):
    """The exit code: 0 if each is noticed, or the list says why not."""
    mutants = load(names)
    results = {}
    with tempfile.TemporaryDirectory(prefix="kmemdump-mutants-") as work:
        folder = Path(work)
        _copy(folder)
        _green(folder, mutants)
        try:
            for mutant in mutants:
                results[mutant["name"]] = _try(folder, mutant)
        finally:
            # The kernel tree and what was built are to be of this repository again.
            from .lab import tree
            tree().make()
    unknown = [m["name"] for m in mutants
               if results[m["name"]].startswith("SURVIVES") and not m.get("survives")]
    alive = sum(result.startswith("SURVIVES") for result in results.values())
    say(f"\n{len(results)} mutants, {len(results) - alive} noticed, {alive} survive, "
        f"{len(unknown)} of these with no reason")
    return int(bool(unknown))
