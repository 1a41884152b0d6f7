# SPDX-License-Identifier: GPL-2.0
"""Crashes with damaged lists, trees, stack pointers and page tables: only what the walks can't find
any more is missing."""

import json
import re

import pytest

from harness import host
from harness.lab import expect

VARIABLES = ("slab_caches", "init_mm")


def _check(lab, damage):
    with lab.guest(append="kmemdump.coreset=extended") as guest:
        guest.run("insmod kmemdump_test.ko")
        where = " ".join(f"{name}=0x$(sed -n 's/ [A-Za-z] {name}$//p' /proc/kallsyms)"
                         for name in VARIABLES)
        record, console = lab.crash(guest, "damage",
                                    f"insmod kmemdump_damage.ko with={damage} {where}")
    expect(f"kmemdump test: damaged with {damage}" in console and
           console.count("Kernel panic - not syncing") == 1, "one panic, that of the test", console)
    info = json.loads(lab.reader("check", "--json", record, status=1))
    expect(info["record"] == "complete", "a complete record", str(info["record"]))
    bad = {r["name"]: r["state"] for r in info["regions"]
           if r["state"] != "ok" or r["checksum"] == "bad"}
    expect(bad == {"lost_table": "gone", "lost_page": "gone"},
           "just the regions behind damaged page tables marked", str(bad))
    log = lab.reader("log", record)
    expect("Linux version" in log and f"kmemdump test: damaged with {damage}" in log,
           "the whole log", log[-2000:])
    shown = lab.reader("show", record, "my_critical_data")
    expect("CRITICAL_STATE" in shown, "the text of the sample", shown)
    return record


# The second half of the first 64 PIDs is damaged, and so is the list of all slab caches. Without
# that list, crash does not start unless the pages of the caches are carried for another reason.
TASKS = """
tasks = [find_task(prog, pid) for pid in range(1, 32)]
print("tasks:", [task.comm.string_().decode() for task in tasks if task])
print("current:", [cpu_curr(prog, cpu).comm.string_().decode()
                   for cpu in for_each_online_cpu(prog)])
"""


def _check_tasks(lab, record):
    """drgn finds the tasks before the damage, and the one that crashed."""
    out = host.drgn(lab.kernel.vmlinux, lab.elf(record), TASKS)
    expect(re.search(r"^tasks: .*'init'.*'ksoftirqd/0'", out, re.M) and
           re.search(r"^current: .*'insmod'", out, re.M), "tasks", out)


DAMAGES = ("garbage", "user", "cycle")


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged(lab, damage):
    _check_tasks(lab, _check(lab, damage))


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_on_arm64(arm64, damage):
    _check(arm64, damage)
