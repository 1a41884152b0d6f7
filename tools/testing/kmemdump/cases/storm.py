# SPDX-License-Identifier: GPL-2.0
"""Panics while every other CPU registers, moves and unregisters regions in a loop.

Panic code that walks the regions takes no lock. So whatever the other CPUs were in the middle of,
the dump has to be complete, with every region that was there all the time, and with the right
checksum of each region. The module panics only when a region of one of the other CPUs is
registered, which that CPU then moves back and forth until it is stopped."""

import re

import pytest

from harness.lab import expect

CPUS = 4
STABLE = {f"stable-{i}" for i in range(50)}
# The module does not panic before this many rounds.
LEAST_ROUNDS = 100


def _check(lab, dump, console):
    storm = re.search(r"in the storm, after (\d+) rounds, (\d+) moves, result 0\b", console)
    expect(storm and int(storm[1]) >= LEAST_ROUNDS, "a storm without errors", console)
    expect("dump saved, " in console, "the kernel to have saved all", console)
    out = lab.reader("check", dump)
    expect("complete record" in out and "checksums verified" in out, "a whole dump", out)
    names = [line.split()[-1] for line in lab.reader("list", dump).splitlines()[1:]]
    expect(STABLE <= set(names), "every region that was there all the time", "\n".join(names))
    expect(len(names) == len(set(names)), "no region twice", "\n".join(names))
    expect(any(name.startswith("storm-") for name in names),
           "the region that was registered at that moment", "\n".join(names))


def panics(lab, runs):
    """Crash one guest once for each of @runs, each time after another delay."""
    with lab.guest(cpus=CPUS, timeout=300) as guest:
        for run in runs:
            # From the very start to some thousand rounds, at uneven intervals.
            command = f"insmod kmemdump_storm.ko least_rounds={LEAST_ROUNDS} " \
                      f"delay_us={run * 7919 % 20011}"
            _check(lab, *lab.crash(guest, f"storm-{run}", command, timeout=300))
            if run != runs[-1]:
                with guest.ram() as ram:
                    lab.empty_zone(guest, ram)
                guest.release(hold=False, timeout=300)


@pytest.mark.parametrize("half", (0, 1))
def test_panics_in_the_storm(lab, half):
    """20 panics here; "make check-long" does 200."""
    panics(lab, range(half, 20, 2))
