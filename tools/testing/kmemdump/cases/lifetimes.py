# SPDX-License-Identifier: GPL-2.0
"""Regions that come and go with modules and memory, seen with an administrator's tools."""

import re

from harness.lab import expect

TRACING = "/sys/kernel/tracing"
ANNOTATED = {f"kmemdump_provider:annotated{rest}": size
             for rest, size in (("", "64"), ("_part", "11"), ("_percpu", "64"))}


def _annotated(lab, guest):
    rows = lab.listing(guest)
    return {name: rows[name][2] for name in ANNOTATED if name in rows}


def test_module_and_its_annotations(lab):
    with lab.guest() as guest:
        before = guest.run("cat /sys/kernel/debug/kmemdump/regions")
        guest.run("insmod kmemdump_provider.ko")
        expect(_annotated(lab, guest) == ANNOTATED, "the annotated variables",
               str(lab.listing(guest)))
        owners = {row[4] for name, row in lab.listing(guest).items() if name in ANNOTATED}
        expect(owners == {"kmemdump_provider"}, "the module as their owner", str(owners))
        guest.run("rmmod kmemdump_provider")
        after = guest.run("cat /sys/kernel/debug/kmemdump/regions")
        expect(before == after, "the list as it was before", after)
        log = guest.run("dmesg")
        expect("left" not in log.split("kmemdump_provider")[-1], "no warning", log)


def test_same_variable_in_two_modules(lab):
    """Two modules may annotate variables of the same name. Each has its own region, which goes with
    its module."""
    with lab.guest() as guest:
        guest.run("insmod kmemdump_provider.ko; insmod kmemdump_crowd.ko threads=0 regions=0")
        expect("left out" not in guest.run("dmesg"), "none of them left out")
        dump, _ = lab.crash(guest, "same-variable")
    for module, text in (("provider", "annotated in a module"),
                         ("crowd", "annotated in another module")):
        shown = lab.reader("show", dump, f"kmemdump_{module}:annotated")
        expect(shown == text + "\n", f"the variable of {module}", shown)


def test_module_that_leaves_regions(lab):
    """A module that leaves regions gets one warning, which names the module and a region. The dump
    has none of them."""
    with lab.guest() as guest:
        before = guest.run("cat /sys/kernel/debug/kmemdump/regions")
        guest.run("insmod kmemdump_provider.ko leave=1")
        guest.run("rmmod kmemdump_provider")
        after = guest.run("cat /sys/kernel/debug/kmemdump/regions")
        expect(before == after, "the list as it was before", after)
        log = guest.run("dmesg")
        warnings = re.findall(r"kmemdump: module kmemdump_provider goes and has left 4 regions "
                              r"registered, removed: dynamic_percpu, \.\.\.", log)
        expect(len(warnings) == 1, "one warning", log)
        dump, _ = lab.crash(guest, "left")
    expect("complete record" in lab.reader("check", dump), "a whole dump")
    expect("kmemdump_provider" not in lab.reader("list", dump), "nothing of the module in it")


def test_module_that_fails_to_load(lab):
    with lab.guest() as guest:
        before = guest.run("cat /sys/kernel/debug/kmemdump/regions")
        out = guest.run("insmod kmemdump_provider.ko fail=1", check=False)
        expect("Input/output error" in out, "insmod to fail", out)
        after = guest.run("cat /sys/kernel/debug/kmemdump/regions")
        expect(before == after, "the list as it was before", after)
        expect("goes and has left 4 regions" in guest.run("dmesg"), "a warning")


def test_memory_goes_offline(lab):
    """Regions in memory that goes offline go as well, with a warning, because their owner did not
    care."""
    # Without KASLR, which may put the kernel itself into that memory.
    with lab.guest(memory_mib=1024, append="movablecore=512M nokaslr") as guest:
        # The lowest block may be in two zones.
        guest.run("insmod kmemdump_provider.ko movable=0x30000000")
        expect("movable" in lab.listing(guest), "the region")
        address = int(re.search(r"movable memory at (0x[0-9a-f]+)", guest.run("dmesg"))[1], 16)
        block = int(guest.run("cat /sys/devices/system/memory/block_size_bytes"), 16)
        state = f"/sys/devices/system/memory/memory{address // block}/state"
        guest.run(f"echo offline > {state}")
        expect("movable" not in lab.listing(guest), "the region to be gone")
        expect("memory goes offline and takes 1 regions along: movable" in guest.run("dmesg"),
               "a warning")
        guest.run(f"echo online > {state}")
        guest.run("rmmod kmemdump_provider")


def test_tracepoints(lab):
    with lab.guest() as guest:
        guest.run(f"mount -t tracefs none {TRACING}")
        guest.run(f"echo 1 > {TRACING}/events/kmemdump/enable")
        guest.run("insmod kmemdump_test.ko")
        guest.run("rmmod kmemdump_test")
        trace = guest.run(f"cat {TRACING}/trace")
        # A storm fills the ring buffer many times: only its last events stay.
        guest.run(f"echo 0 > {TRACING}/events/kmemdump/enable")
        guest.run(f"echo > {TRACING}/trace")
        guest.run(f"echo 1 > {TRACING}/events/kmemdump/kmemdump_update/enable")
        guest.run("insmod kmemdump_storm.ko crash=0 delay_us=100000")
        guest.run(f"echo 0 > {TRACING}/events/kmemdump/enable")
        moves = guest.run(f"tail -n 20 {TRACING}/trace")
    for want in (r'kmemdump_register: id=10 size=1024 owner=kmemdump_test name="my_critical_data"',
                 r'kmemdump_carried: backend=ramoops id=10 error=0 name="my_critical_data"',
                 r'kmemdump_unregister: id=10 size=1024 owner=kmemdump_test name="my_cri'):
        expect(re.search(want, trace), want, trace[:3000])
    want = r'kmemdump_update: id=\d+ size=\d+ owner=kmemdump_storm name="st\w+-[\d-]+"'
    expect(re.search(want, moves), want, moves)


def test_storm_without_crash(lab):
    with lab.guest(cpus=4) as guest:
        guest.run("insmod kmemdump_storm.ko crash=0 delay_us=0 least_rounds=2000 least_attaches=11",
                  timeout=600)
        log = guest.run("dmesg")
        over = re.search(r"storm over: (\d+) rounds, (\d+) moves, (\d+) attaches, result 0\n", log)
        expect(over and int(over[2]) > 0, "no error in many rounds, moves and attaches",
               log[-2000:])
        names = lab.listing(guest)
        expect(not [n for n in names if n.startswith("storm-")], "nothing left", str(names))
