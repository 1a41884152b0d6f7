# SPDX-License-Identifier: GPL-2.0
"""Which lines of mm/kmemdump the KUnit suites run, counted by gcov in the guest."""

import re
import shutil
import subprocess

from . import suites
from .guest import Guest
from .host import CACHE, Failed, say
from .lab import lab

GOAL = 90


def _fetch(kernel, folder):
    """Run the suites, read each debugfs file once, and bring the counters to the host."""
    with Guest(kernel, append=f"{suites.BOOT} kmemdump.coreset=extended") as guest:
        results = suites.check(kernel, guest.text)
        failed = [name for name, result in results.items() if result.outcome == "failed"]
        if failed:
            raise Failed(f"tests fail: {', '.join(failed)}")
        guest.run("cat /sys/kernel/debug/kmemdump/* > /dev/null")
        source = f"/sys/kernel/debug/gcov{kernel.build_dir}/mm/kmemdump"
        guest.run(f"mkdir /tmp/gcov && for f in {source}/*.gcda; do "
                  "cat $f > /tmp/gcov/${f##*/}; done")
        guest.fetch("/tmp/gcov", folder)
    return sum(result.outcome == "passed" for result in results.values())


def _lines(kernel, folder, name):
    """(lines run, lines in all, what was not run) of one file."""
    for suffix in (".gcda", ".gcno"):
        source = folder if suffix == ".gcda" else kernel.build_dir / "mm/kmemdump"
        if suffix == ".gcno":
            shutil.copy(source / (name + suffix), folder)
    subprocess.run(["gcov", "-o", str(folder), str(folder / f"{name}.gcda")], cwd=folder,
                   check=True, capture_output=True)
    counted = [line.split(":", 2) for line in (folder / f"{name}.c.gcov").read_text().splitlines()]
    counted = [(count.strip(), int(number)) for count, number, _ in counted
               if count.strip() != "-" and int(number)]
    missed = [number for count, number in counted if count.startswith(("#", "="))]
    return len(counted) - len(missed), len(counted), missed


def _ranges(numbers):
    text, start = [], None
    for i, number in enumerate(numbers):
        start = number if start is None else start
        if i + 1 == len(numbers) or numbers[i + 1] != number + 1:
            text.append(str(start) if start == number else f"{start}-{number}")
            start = None
    return " ".join(text)


def run():
    kernel = lab(variant="gcov").kernel
    folder = CACHE / "gcov"
    passed = _fetch(kernel, folder)
    names = sorted(path.stem for path in folder.glob("*.gcda")
                   if not re.search(r"_test$|^test_|^benchmark$", path.stem))
    if len(names) < 10:
        raise Failed(f"counters of so few files: {names}")
    say(f"\nA boot with {passed} KUnit tests, and one reading of each debugfs file\n")
    say(f"{'file':16} {'lines':>6} {'run':>6} {'share':>7}  not run")
    total = [0, 0]
    for name in names:
        run_lines, lines, missed = _lines(kernel, folder, name)
        total = [total[0] + run_lines, total[1] + lines]
        say(f"{name + '.c':16} {lines:6} {run_lines:6} {run_lines / lines:7.1%}  {_ranges(missed)}")
    share = 100 * total[0] / total[1]
    say(f"{'all':16} {total[1]:6} {total[0]:6} {share:6.1f}%")
    if share < GOAL:
        raise Failed(f"fewer than {GOAL} % of the lines are run")
