# SPDX-License-Identifier: GPL-2.0
"""Kernels that look for errors: no report of any kind in the suites, a storm of
registrations, and panics in the middle of one."""

import re

from harness import suites
from harness.guest import Guest
from harness.host import HERE, Failed, say
from harness.kernel import Board, Kernel
from harness.lab import expect

# The first lines of what KASAN, UBSAN, KCSAN, lockdep, RCU and others print.
REPORT = re.compile(r"BUG:|WARNING:|UBSAN:|Oops|possible (?:circular|recursive)|"
                    r"suspicious RCU|INFO: (?:task|rcu)|detected stall|"
                    r"sleeping function|new suspected memory leaks|inconsistent lock state|"
                    r"lock held when returning|scheduling while atomic")
PANICS = 20
MEMORY_MIB = 1536


def _no_report(text, what):
    found = REPORT.search(text)
    if found:
        raise Failed(f"a report of the kernel {what}:\n"
                     + text[max(0, found.start() - 200):found.start() + 4000])


def _kernel(lab, variant):
    kernel = Kernel(lab.tree, Board("x86_64-ramoops"), variant).build()
    modules = kernel.out_of_tree("test", sorted((HERE / "modules").glob("*.c")))
    return kernel, {f"/root/{path.name}": path for path in modules.glob("*.ko")}


def _run(lab, results, variant, leaks):
    kernel, files = _kernel(lab, variant)
    # The storm has a backend with slots, which follow the tasks then.
    append = f"{suites.BOOT} ramoops.kmemdump_size=0x400000 kmemdump.running=1"
    with Guest(kernel, files, append, cpus=4, memory_mib=MEMORY_MIB, timeout=600) as guest:
        suites.count(kernel, guest.text, results, f"{variant} ")
        # With KASAN a task is in 9 pieces, and half of the slots at most are for those that run.
        guest.run("insmod kmemdump_storm.ko crash=0 delay_us=20000000 slots=72", timeout=600)
        guest.run("rmmod kmemdump_storm && insmod kmemdump_provider.ko leave=1 && "
                  "rmmod kmemdump_provider && cd /sys/kernel/debug/kmemdump && "
                  "cat regions not_carried backends && cat vmcore > /dev/null && cd /root",
                  timeout=600)
        if leaks:
            # What is new is told only by the second scan.
            for _ in range(2):
                guest.run("echo scan > /sys/kernel/debug/kmemleak && sleep 6", timeout=600)
            found = guest.run("cat /sys/kernel/debug/kmemleak", timeout=600)
            expect("unreferenced object" not in found, "no memory leak", found[:4000])
        log = guest.run("dmesg", timeout=600)
        expect("storm over" in log, "the storm to end", log[-3000:])
        # 72 slots would do for all regions; those of four tasks are set aside.
        carried = [int(n) for n in re.findall(r"storm-slots attached: (\d+) regions", log)]
        expect(carried and max(carried) <= 52, "tasks to be followed", str(carried))
        _no_report(guest.text + log, f"{variant}")
        results.add(f"{variant} storm and unloading")

        for i in range(PANICS):
            console = guest.crash("insmod kmemdump_storm.ko slots=72 "
                                  f"delay_us={i * 7919 % 20011}", timeout=600)
            _no_report(console, f"{variant}, panic {i}")
            dump = lab.fetch_record(guest, f"{variant}-storm")
            expect("complete record" in lab.reader("check", dump), "a whole dump")
        results.add(f"{variant} {PANICS} panics in a storm")


def test_kasan_ubsan_lockdep_kmemleak_each(lab, results):
    _run(lab, results, "debug", True)


def test_kcsan_each(lab, results):
    _run(lab, results, "kcsan", False)
