# SPDX-License-Identifier: GPL-2.0
"""Kernels that look for errors: no report of any kind in the suites, a storm of
registrations, and panics in the middle of one."""

import re

import pytest

from harness import host, suites
from harness.host import Failed
from harness.lab import expect, lab

# KASAN, UBSAN, lockdep and kmemleak; KCSAN. Each takes long to build and to run, so one lane runs
# all tests of it.
VARIANTS = [pytest.param(name, marks=pytest.mark.xdist_group(name)) for name in ("debug", "kcsan")]
# The first lines of what KASAN, UBSAN, KCSAN, lockdep, RCU and others print.
REPORT = re.compile(r"BUG:|WARNING:|UBSAN:|Oops|possible (?:circular|recursive)|"
                    r"suspicious RCU|INFO: (?:task|rcu)|detected stall|"
                    r"sleeping function|new suspected memory leaks|inconsistent lock state|"
                    r"lock held when returning|scheduling while atomic")
PANICS = 20


def _no_report(text, what):
    found = REPORT.search(text)
    if found:
        raise Failed(f"a report of the kernel {what}:\n"
                     + text[max(0, found.start() - 200):found.start() + 4000])


def _guest(there, append=""):
    return there.guest(append=append, cpus=4, memory_mib=1536, timeout=600)


def _console(variant):
    """What a guest that ran the suites printed."""
    path = host.run_folder() / f"suites-{variant}"

    def make():
        with _guest(lab(variant=variant), suites.BOOT) as guest:
            path.write_text(guest.text)

    host.once(path.name, make)
    return path.read_text()


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("suite", sorted(set(suites.sources()) - {"kmemdump-fadump"}))
def test_suite(variant, suite):
    _no_report(_console(variant), f"{variant}, in the suites")
    results = {name: result for name, result in
               suites.check(lab(variant=variant).kernel, _console(variant)).items()
               if name.startswith(f"{suite}.")}
    failed = {name: result.said for name, result in results.items() if result.outcome == "failed"}
    expect(results and not failed, "all tests to pass", str(failed))


def _no_leaks(guest):
    # kmemleak reports a new leak only in the second scan.
    for _ in range(2):
        guest.run("echo scan > /sys/kernel/debug/kmemleak && sleep 6", timeout=600)
    found = guest.run("cat /sys/kernel/debug/kmemleak", timeout=600)
    expect("unreferenced object" not in found, "no memory leak", found[:4000])


@pytest.mark.parametrize("variant", VARIANTS)
def test_storm_and_unloading(variant):
    with _guest(lab(variant=variant)) as guest:
        guest.run("insmod kmemdump_storm.ko crash=0 delay_us=20000000 least_attaches=10",
                  timeout=600)
        guest.run("rmmod kmemdump_storm && insmod kmemdump_provider.ko leave=1 && "
                  "rmmod kmemdump_provider && cd /sys/kernel/debug/kmemdump && "
                  "cat regions not_carried backends && cd /root", timeout=600)
        if variant == "debug":
            _no_leaks(guest)
        log = guest.run("dmesg", timeout=600)
        expect("storm over" in log, "the storm to end", log[-3000:])
        _no_report(guest.text + log, variant)


@pytest.mark.parametrize("variant", VARIANTS)
def test_panics_in_a_storm(variant):
    there = lab(variant=variant)
    with _guest(there) as guest:
        for i in range(PANICS):
            dump, console = there.crash(guest, "storm", "insmod kmemdump_storm.ko "
                                        f"delay_us={i * 7919 % 20011}", timeout=600)
            _no_report(console, f"{variant}, panic {i}")
            expect("complete record" in there.reader("check", dump), "a whole dump")
            with guest.ram() as ram:
                there.empty_zone(guest, ram)
            guest.release(hold=False, timeout=600)
