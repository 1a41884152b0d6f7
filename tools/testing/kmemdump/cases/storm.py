# SPDX-License-Identifier: GPL-2.0
"""Panics while every other CPU registers, moves and unregisters regions in a loop.

Walkers at panic take no lock, so whatever the other CPUs were in the middle of, the
dump has to be complete, with every region that was there all the time, and with the
checksum of each region right."""

import os
import re
from concurrent.futures import ThreadPoolExecutor

from harness.host import JOBS, say
from harness.lab import expect

RUNS = int(os.environ.get("STORM_RUNS", "200"))
CPUS = 4
STABLE = {f"stable-{i}" for i in range(50)}


def _check(lab, dump, console):
    storm = re.search(r"in the storm, after (\d+) rounds, (\d+) moves, result 0\b", console)
    expect(storm, "a storm without errors", console)
    rounds = int(storm[1])
    expect("dump saved, " in console, "the kernel to have saved all", console)
    out = lab.reader("check", dump)
    expect("complete record" in out and "checksums verified" in out, "a whole dump", out)
    names = [line.split()[-1] for line in lab.reader("list", dump).splitlines()[1:]]
    expect(STABLE <= set(names), "every region that was there all the time", "\n".join(names))
    expect(len(names) == len(set(names)), "no region twice", "\n".join(names))
    return rounds, sum(name.startswith("storm-") for name in names)


def _panics(lab, runs):
    """Crash one guest as often as @runs says; how many rounds and caught regions it were."""
    results = []
    with lab.guest(cpus=CPUS, timeout=300) as guest:
        for run in runs:
            # From right at the start to some thousand rounds, at uneven places.
            delay = run * 7919 % 20011
            console = guest.crash(f"insmod kmemdump_storm.ko delay_us={delay}", timeout=300)
            results.append(_check(lab, lab.fetch_record(guest, f"storm-{run}"), console))
            if len(results) % 20 == 0:
                say(f"    {len(results)} panics, {sum(r[1] for r in results)} regions caught "
                    "on the way")
    return results


def test_panics_in_the_storm(lab):
    lab.test_modules, lab.reader_path  # pylint: disable=pointless-statement
    with ThreadPoolExecutor(JOBS) as pool:
        halves = [pool.submit(_panics, lab, range(i, RUNS, JOBS)) for i in range(JOBS)]
        results = [result for half in halves for result in half.result()]
    rounds, caught = (sum(column) for column in zip(*results))
    say(f"    {len(results)} panics, {rounds} rounds before them, {caught} regions caught")
    expect(len(results) == RUNS, f"{RUNS} panics", str(len(results)))
    # Without these, it was no storm.
    expect(rounds > 20 * RUNS, "many rounds before the panics", str(rounds))
    expect(caught > RUNS // 4, "regions that were there only at that moment", str(caught))
