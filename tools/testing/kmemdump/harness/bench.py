# SPDX-License-Identifier: GPL-2.0
"""Benchmarks: figures to read, not tests with a clock. "make bench" prints them."""

import re

from .guest import Guest
from .host import Failed, say

COLUMNS = ("register", "by id", "by name", "update", "unregister", "panic walk")
FIGURES = re.compile(r"figures (\w+) (\d+)((?: \d+/\d+)+) (-?\d+)")


def _measure(kernel, icount=False):
    """The lines of the benchmark suite: (design, regions) -> ([(ns, ticks)], bytes)."""
    with Guest(kernel, cpus=1, icount=icount, timeout=1500, append="tsc=reliable kunit.enable=1 "
               "kunit.filter_glob=kmemdump-benchmark loglevel=7") as guest:
        text = guest.text
    if "ok 1 kmemdump-benchmark" not in text or "not ok" in text:
        raise Failed(f"the benchmark failed:\n{text[-3000:]}")
    return {(m[1], int(m[2])): ([tuple(map(int, pair.split("/"))) for pair in m[3].split()],
                                int(m[4])) for m in FIGURES.finditer(text)}


def _table(title, rows, pick):
    say(f"\n{title}\n{'':26}" + "".join(f"{name:>12}" for name in COLUMNS))
    for (design, number), (pairs, _) in rows.items():
        label = f"{number} regions" if design == "kmemdump" else f"{number}, earlier design"
        say(f"{label:26}" + "".join(f"{pick(pair) or '-':>12}" for pair in pairs))


def _ratios(rows, pick, low, high):
    say(f"{f'{high} to {low} regions':26}" + "".join(
        f"{pick(b) / max(pick(a), 1):>11.2f}x" for a, b in
        zip(rows["kmemdump", low][0], rows["kmemdump", high][0])))
    say(f"{'earlier design to ours':26}" + "".join(
        f"{pick(b) / max(pick(a), 1):>11.2f}x" if pick(b) else f"{'-':>12}" for a, b in
        zip(rows["kmemdump", 201][0], rows["model", 201][0])))


def registration(lab):
    """What an operation costs with 100 to 100,000 regions, in one run each."""
    times = _measure(lab.kernel)
    counts = _measure(lab.kernel, icount=True)
    _table("Nanoseconds per operation (QEMU, on this machine)", times, lambda p: p[0])
    _ratios(times, lambda p: p[0], 100, 100000)
    _table("Instructions per operation (QEMU -icount)", counts, lambda p: p[1])
    _ratios(counts, lambda p: p[1], 100, 100000)
    say("\nMemory of the core per region, with room for the panic-time image:")
    for (design, number), (_, size) in counts.items():
        if design == "kmemdump" and number >= 1000:
            say(f"{number:>8} regions: {size} bytes")
    say(f"     201, earlier design: {counts['model', 201][1]} bytes")


PARTS = {"registration": registration}


def run(lab, parts):
    unknown = set(parts) - set(PARTS)
    if unknown:
        raise Failed(f"there is no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    for name in parts or PARTS:
        say(f"=== {name}: {PARTS[name].__doc__}")
        PARTS[name](lab)
