# SPDX-License-Identifier: GPL-2.0
"""Qualcomm minidump on arm64. The harness plays the boot firmware at the reset."""

import fnmatch
import json
import random
import re
import struct
import subprocess
import time

import pytest

from harness import firmware, host, story
from harness.elfcore import NO_PID, ElfCore, Symbols, Unreadable
from harness.firmware import Held
from harness.host import say
from harness.lab import Failed, expect

BOARD = "arm64-minidump"
PANIC = "Kernel panic - not syncing: sysrq triggered crash"
# Tests that look at one crash, or at one guest, run in the same lane.
STORY = pytest.mark.xdist_group("minidump-story")
ITEMS = pytest.mark.xdist_group("minidump-items")


def _shared(name):
    """A folder for what several tests look at."""
    path = host.run_folder() / "files" / name
    path.mkdir(parents=True, exist_ok=True)
    return path


def _check(lab, core, status=0):
    return json.loads(lab.reader("check", "--json", core, status=status))


def _check_story(lab, core):
    """Check what has to be in any dump of a guest with the sample module."""
    text = lab.reader("show", core, "my_critical_data")
    expect(text == story.TEXT + "\n", "the text of the sample", text)
    info = _check(lab, core)
    expect(info["good"] and info["left_out"] == 0, "all there", str(info)[:2000])
    return info


def _backends(guest):
    return guest.run("cat /sys/kernel/debug/kmemdump/backends")


def _not_carried(guest):
    """The names of the regions that the backend could not take before the panic."""
    lines = guest.run("cat /sys/kernel/debug/kmemdump/not_carried").splitlines()[1:]
    return [line.split("\t")[2] for line in lines]


def _make_story(lab):
    """Crash with the sample, with names that are much alike, and with the driver of a vendor."""
    with Held(lab) as held:
        held.guest.run("insmod kmemdump_test.ko; insmod kmemdump_provider.ko names=a,A,ab,abc")
        held.guest.run("insmod qcom_minidump_sample.ko && rmmod qcom_minidump_sample && "
                       "insmod qcom_minidump_sample.ko")
        stext = held.guest.run("grep -w _stext /proc/kallsyms").split()[0]
        running = held.check()
        console, dump = held.crash()
        saved = held.save(dump, "minidump-story")
        # Firmware that does not look at the mark sees the same.
        careless = held.collect(look_at_valid=False)
    expect(careless.concatenated() == dump.concatenated(), "the same regions without the mark")
    expect(firmware.assemble_like_qdl(careless.regions)[0] == saved.read_bytes(), "one ELF core")
    core = _shared("minidump-story") / "core"
    core.write_bytes(saved.read_bytes())
    core.with_name("facts").write_text(json.dumps({
        "running": running.names, "names": dump.names, "messages": dump.messages,
        "places": [(address, len(data)) for _, address, data in dump.regions],
        "console": console, "stext": stext}))


def _story(lab):
    """(ELF core, other facts) of a crash. All tests that look at it share it."""
    host.once("minidump-story", lambda: _make_story(lab))
    core = _shared("minidump-story") / "core"
    return core, json.loads(core.with_name("facts").read_text())


@STORY
def test_story(lab):
    """The sample's text, the log and the registers come out of what the firmware saves."""
    core, facts = _story(lab)
    expect(not facts["messages"], "the firmware to find nothing wrong", str(facts["messages"]))
    info = _check_story(lab, core)
    expect(PANIC in lab.reader("log", core), "the panic in the log")
    expect([cpu["state"] for cpu in sorted(info["cpus"], key=lambda cpu: cpu["state"])] ==
           ["crashed", "stopped"], "registers of both CPUs", str(info["cpus"]))
    line = re.search(r"minidump: (\d+) regions, (\d+) bytes in (\d+) slots left to it, "
                     r"0 pieces left out", facts["console"])
    expect(line and int(line[2]) == core.stat().st_size and int(line[3]) == len(facts["names"]),
           "a line in the log with the right numbers", facts["console"])
    expect({"Kmy_critical", "Kstaging", "Kkernel_data"} <= set(facts["names"]),
           "names that say what it is", str(facts["names"]))


def _regions(core, facts):
    """What the firmware saved: [name, address, bytes]."""
    data, regions = core.read_bytes(), []
    for name, (address, size) in zip(facts["names"], facts["places"]):
        regions.append([name, address, data[:size]])
        data = data[size:]
    return regions


def _patched(head, layout, at, value):
    """@head with @value at @at, where another number was."""
    out = bytearray(head)
    expect(struct.unpack_from(layout, out, at)[0] != value, "another value", str(value))
    struct.pack_into(layout, out, at, value)
    return bytes(out)


def _spoil(what, regions):
    """Make a good table a bad one."""
    head = regions[0][2]
    phoff, shoff = struct.unpack_from("<QQ", head, 32)
    third_section, third_load = shoff + 4 * 64, phoff + 3 * 56
    if what == "header":
        regions[0], regions[1] = regions[1], regions[0]
    elif what == "long-name":
        regions[3][0] = "Kthirteen_it_i"
    elif what == "name-twice":
        regions[3][0] = regions[4][0].upper()
    elif what == "address-twice":
        regions[3][1] = regions[4][1]
    elif what == "one-missing":
        del regions[3]
    elif what == "order":
        regions[3], regions[4] = regions[4], regions[3]
    elif what == "section-name":
        regions[0][2] = _patched(head, "<I", third_section, 1)
    elif what == "section-address":
        regions[0][2] = _patched(head, "<Q", third_section + 16, 4096)
    elif what == "section-offset":
        regions[0][2] = _patched(head, "<Q", third_section + 24, 4096)
    elif what == "load-address":
        regions[0][2] = _patched(head, "<Q", third_load + 24, 4096)


# What is spoiled -> what check_table() expects, but does not find then.
SPOILED = {
    "header": "the header first",
    "long-name": "names",
    "name-twice": "no name twice",
    "address-twice": "no address twice",
    "one-missing": "linux-ramdump-parser to put together the same",
    "order": "qdl to put together the same",
    "section-name": "a section for each region",
    "section-address": "in a program header",
    "section-offset": "the bytes of",
    "load-address": "qdl to put together the same",
}


@STORY
@pytest.mark.parametrize("what", SPOILED)
def test_bad_table_is_noticed(lab, what):
    """check_table(), which all tests here use, does not take a bad table for a good one."""
    regions = _regions(*_story(lab))
    firmware.check_table(firmware.Minidump(regions, []))
    _spoil(what, regions)
    try:
        firmware.check_table(firmware.Minidump(regions, []))
    except Failed as why:
        expect(SPOILED[what] in str(why).splitlines()[0], "to be told what is wrong", str(why))
        return
    raise Failed(f"a table with a bad {what} was taken for good")


@STORY
def test_kaslr(lab):
    """The kernel runs at another address than it was linked for, and the dump says how far away."""
    core, facts = _story(lab)
    info = ElfCore(core.read_bytes()).vmcoreinfo
    symbols = (lab.kernel.build_dir / "System.map").read_text()
    linked = int(re.search(r"^([0-9a-f]+) . _stext$", symbols, re.M)[1], 16)
    offset = int(info["KERNELOFFSET"], 16)
    expect(info["SYMBOL(_stext)"] == facts["stext"], "a symbol where it is", str(facts["stext"]))
    # The kernel adds at least a quarter of its address space, whatever the seed is. It adds nothing
    # for a seed of 0, which is one of 2^64.
    expect(offset and offset == int(facts["stext"], 16) - linked, "the offset",
           f"{offset:#x} {linked:#x} {facts['stext']}")


@STORY
def test_short_names(lab):
    """Each of several similar names has a file of its own, which all programs find."""
    _, facts = _story(lab)
    for names in (facts["running"], facts["names"]):
        expect(len([name for name in names if re.match("Ka(b|bc)?(_|$)", name, re.I)]) == 4,
               "four names", str(names))


@STORY
def test_vendor_driver(lab):
    """The region of a vendor's driver is in the dump. The driver is a sample, and uses only
    minidumps."""
    core, facts = _story(lab)
    expect("KVENDOR_DATA" in facts["names"], "a range of that name", str(facts["names"]))
    text = lab.reader("show", core, "VENDOR_DATA")
    expect("vendor data of a minidump region" in text, "its text", text)


FP, LR, SP, PC = 29, 30, 31, 32
MAGIC = 0x6b6d64756d700000
TEXT_ON_STACK = b"kmemdump test: on the stack of what holds registers"
THREAD_SIZE = 16384


def _frames(core, symbols, regs):
    """The functions that the frames lead to, as far as the core has the stack."""
    names, frame = [symbols.name(regs[PC])], regs[FP]
    try:
        while frame:
            frame, back = struct.unpack("<QQ", core.read(frame, 16))
            # The return address of a function that does not return may be the start of another
            # function.
            names.append(symbols.name(back - 1))
    except Unreadable:
        names.append("(not in the core)")
    return names


def test_registers(lab):
    """The dump has the registers of each CPU. One of the CPUs holds known values in them."""
    with Held(lab) as held:
        held.guest.run("insmod kmemdump_crash.ko; cp /proc/kallsyms /tmp/")
        path = held.guest.fetch_file("/tmp/kallsyms", lab.dumps / "kallsyms")
        _, dump = held.crash("echo registers > /sys/module/kmemdump_crash/parameters/crash")
        saved = held.save(dump, "minidump-registers")
    symbols = Symbols(path.read_text())
    core = ElfCore(saved.read_bytes())
    # check may end with any code, because the module also has regions that it freed.
    told = _check(lab, saved, status=None)["cpus"]
    expect([cpu["pid"] or NO_PID + cpu["cpu"] for cpu in told] ==
           [pid for pid, _ in core.arm64_cpus],
           "the tasks that the other note tells", str(told))
    cpus = {cpu["state"]: regs for cpu, (_, regs) in zip(told, core.arm64_cpus)}
    expect(set(cpus) == {"crashed", "stopped"}, "two CPUs", str(told))
    for state, calls in (("stopped", ["hold_registers", "ret_from_fork"]),
                         ("crashed", ["kmemdump_panic", "panic", "crash_registers", "ksys_write"])):
        regs = cpus[state]
        names = _frames(core, symbols, regs)
        expect([name for name in names if name in calls] == calls,
               f"the functions that the CPU that {state} was in", str(names))
        expect(regs[SP] % 16 == 0 and 0 <= regs[FP] - regs[SP] < THREAD_SIZE, "SP at the frame",
               f"{regs[SP]:#x} {regs[FP]:#x}")
        core.read(regs[SP], 256)
    regs = cpus["stopped"]
    expect([regs[i] - MAGIC for i in range(20, 28)] == list(range(20, 28)), "x20 to x27",
           str([hex(value) for value in regs]))
    stack = core.read(regs[SP], -regs[SP] % THREAD_SIZE)
    expect(TEXT_ON_STACK in stack, "what the function has on its stack")
    # The function calls no other one, so it has no frame of its own.
    expect([symbols.name(regs[PC]), symbols.name(regs[LR])] == ["hold_registers", "kthread"],
           "the loop, and who called it", f"{regs[PC]:#x} {regs[LR]:#x}")


def test_reset_without_a_panic(lab):
    """If a watchdog resets the machine, the kernel runs no code, and there is a dump all the
    same."""
    with Held(lab) as held:
        held.guest.run("insmod kmemdump_test.ko; echo word of the log > /dev/kmsg")
        held.guest.qmp("system_reset")
        held.guest.wait_held()
        dump = held.collect()
        core = held.save(dump, "minidump-watchdog")
    info = _check_story(lab, core)
    expect("word of the log" in lab.reader("log", core), "the log up to the reset")
    expect({cpu["state"] for cpu in info["cpus"]} == {"running"}, "no CPU to have stopped",
           str(info["cpus"]))
    expect({r["checksum"] for r in info["regions"]} == {"none"}, "no checksum of what changes")
    expect("Kkernel_data" in dump.names and len(dump.names) < 30, "areas in a slot each",
           str(dump.names))
    expect(not any(name.startswith(("Ktask", "Kstack")) for name in dump.names),
           "no tasks, as they were not asked for", str(dump.names))
    vmcoreinfo = ElfCore(core.read_bytes()).vmcoreinfo
    release = vmcoreinfo["OSRELEASE"]
    out = host.gdb(lab.kernel.vmlinux, core, int(vmcoreinfo["KERNELOFFSET"], 16),
                   ["print init_uts_ns.name.release"])
    expect(f'= "{release}"' in out, "gdb to find the release", out)
    out = host.drgn(lab.kernel.vmlinux, core, """
print("found", prog["init_uts_ns"].name.release.string_().decode())
print(get_dmesg(prog).decode(errors="replace"))
""")
    expect(f"found {release}" in out, "drgn to find the release", out[:2000])
    expect("word of the log" in out, "drgn to find the log", out[-2000:])


def _task_pieces(dump, cpu):
    """The task and the pieces of its stack that the table has for a CPU."""
    return [r for r in dump.regions if re.match(f"K(task|stack){cpu}(_|$)", r[0])]


def _stop_at_hang(held, names):
    """Wait until the table has the tasks @names on the CPUs, and leave the machine stopped there.
    Returns what the firmware would save."""
    deadline = time.monotonic() + 120
    while True:
        held.guest.qmp("stop")
        dump = held.collect()
        pieces = [_task_pieces(dump, cpu) for cpu in range(len(names))]
        if all(found and name in found[0][2] for found, name in zip(pieces, names)):
            return dump
        held.guest.qmp("cont")
        expect(time.monotonic() < deadline, f"{names} in the table", str(dump.names))
        time.sleep(0.1)


@pytest.mark.parametrize("hung", (0, 1))
def test_what_hangs(lab, hung):
    """A CPU hangs with interrupts off. Its task and stack are in the table by then. If CPU 1 hangs,
    CPU 0 is idle, and its task is in the kernel's data."""
    names = [f"swapper/{cpu}".encode() for cpu in range(2)]
    names[hung] = b"insmod"
    with Held(lab, tasks=True) as held:
        held.guest.send(f"taskset {1 << hung:x} insmod kmemdump_crash.ko mode=hang")
        held.guest.wait("hanging")
        dump = _stop_at_hang(held, names)
        core = held.save(dump, "minidump-hang")
    _check(lab, core)
    expect("hanging" in lab.reader("log", core), "the log")
    for cpu in range(2):
        expect([r[0][:5] for r in _task_pieces(dump, cpu)] == ["Ktask"] + ["Kstac"] * 4,
               "a task in its pieces", str(dump.names))
    stack = b"".join(data for _, _, data in _task_pieces(dump, hung)[1:])
    expect(b"on the stack of what hangs" in stack, "its stack")
    # drgn, which follows the kernel's own pointers, finds the same.
    out = host.drgn(lab.kernel.vmlinux, core, f"""
task = per_cpu(prog["runqueues"], {hung}).curr
print(task.comm.string_().decode(), prog.read(task.stack, {len(stack)}).hex())
""")
    expect(out.split()[:2] == ["insmod", stack.hex()], "drgn to find the task and its stack",
           out[:2000])


def _crash_again(lab, held, number):
    """Crash with the sample, and a word in the log that tells which boot it was."""
    held.guest.run(f"insmod kmemdump_test.ko; echo boot number {number} > /dev/kmsg")
    _, dump = held.crash()
    core = held.save(dump, f"minidump-boot-{number}")
    _check_story(lab, core)
    return lab.reader("log", core)


def test_one_kernel_after_the_other(lab):
    """The second kernel finds a table as the firmware makes it. The third one finds what the second
    one left: a valid table that points to memory which is in other use by now. Each dump is of the
    kernel that crashed."""
    dropped = "an earlier kernel's table is dropped"
    logs = []
    with Held(lab) as held:
        logs.append(_crash_again(lab, held, 1))
        held.restart()
        log = held.guest.run("dmesg")
        expect(dropped not in log, "a table as the firmware makes it", log)
        logs.append(_crash_again(lab, held, 2))
        held.guest.release()
        log = held.guest.run("dmesg")
        expect(dropped in log, "a word on what is dropped", log)
        logs.append(_crash_again(lab, held, 3))
    for number, log in enumerate(logs, 1):
        found = re.findall(r"boot number (\d)", log)
        expect(found == [str(number)], f"the log of boot {number}", str(found))


def _module_lab(lab):
    """(The machine whose kernel has the driver as a module, and the files that Held needs.)"""
    there = lab.other(BOARD, "minidump_m")
    ko = there.kernel.module("drivers/soc/qcom/minidump/qcom_minidump.ko")
    return there, {"/root/qcom_minidump.ko": ko}


def test_table_until_it_is_taken(lab):
    """What the previous kernel has left stays as it is until the driver takes the table over."""
    there, files = _module_lab(lab)
    with Held(there, files=files) as held:
        untouched = held.item()
        held.guest.run("insmod kmemdump_test.ko; insmod qcom_minidump.ko")
        held.crash()
        item = held.item()
        expect(item != untouched, "a table of the first kernel")
        held.guest.release()
        held.guest.run("insmod kmemdump_test.ko; echo after the second boot > /dev/kmsg")
        expect(held.item() == item, "the table of the first kernel in the second one",
               f"{item.hex()}\n{held.item().hex()}")
        held.guest.run("insmod qcom_minidump.ko")
        log = held.guest.run("dmesg")
        expect("an earlier kernel's table is dropped" in log, "a word on it", log)
        held.check()
        _, dump = held.crash()
        core = held.save(dump, "minidump-taken")
    _check_story(there, core)
    expect("after the second boot" in there.reader("log", core), "the log of this boot")


def _pieces(there, guest):
    """Name of each region -> how many pieces of memory it has, each of which needs a slot."""
    return {name: int(row[3]) for name, row in there.listing(guest).items()}


def _load_crowd(guest, regions, size=4096, gap=0):
    guest.run(f"insmod kmemdump_crowd.ko threads=0 regions={regions} size={size} gap={gap}",
              timeout=300)


def _crowd(lab, regions, size, gap=0):
    """(The names that were not carried before the crash, the core that a watchdog would have left
    then, the core of the panic)."""
    with Held(lab) as held:
        _load_crowd(held.guest, regions, size, gap)
        not_carried = _not_carried(held.guest)
        ahead = lab.dumps / f"minidump-{regions}-running.core"
        ahead.write_bytes(held.check().concatenated())
        _, dump = held.crash(timeout=300)
        core = held.save(dump, f"minidump-{regions}")
    expect(len(dump.regions) <= 201, "no more ranges than agreed on", str(len(dump.regions)))
    return not_carried, ahead, core


def _crowd_states(info):
    return {r["name"]: (r["state"], r["checksum"]) for r in info["regions"]
            if r["name"].startswith("crowd-")}


def _check_crowd_bytes(info, path):
    """Check the bytes of the regions that are there, whatever the checksums say."""
    core = ElfCore(path.read_bytes())
    for region in info["regions"]:
        if region["name"].startswith("crowd-") and region["state"] == "ok":
            text = f"text of region {region['name'].split('-')[1]}".encode()
            expect(core.read(int(region["virtual"], 16), region["size"]) ==
                   text.ljust(region["size"], b"\0"), f"what {region['name']} holds")


def _check_running_crowd(lab, core, regions, not_carried):
    """Before a panic, all that is carried is there, and the rest is counted."""
    info = _check(lab, core, status=None)
    expect(info["left_out"] == len(not_carried), "the note to count what is listed in debugfs",
           f"{info['left_out']} and {len(not_carried)}")
    states = _crowd_states(info)
    crowd = {f"crowd-{i}" for i in range(regions)}
    expect(set(states) == crowd - set(not_carried) and
           all(state == ("ok", "none") for state in states.values()),
           "all that is carried", str(states)[:2000])
    _check_crowd_bytes(info, core)


def _check_crowd(lab, core, regions):
    """After a panic, each region is there with its checksum, or not at all."""
    info = _check(lab, core, status=None)
    _check_crowd_bytes(info, core)
    states = _crowd_states(info)
    expect(len(states) == regions, "all regions listed", str(len(states)))
    wrong = [name for name, state in states.items() if state not in (("ok", "good"),
                                                                     ("missing", "none"))]
    expect(not wrong, "each region to be there with its checksum, or not at all", str(wrong))
    return info, states


def test_as_many_slots_as_needed(lab):
    """The table gets one slot more than all regions need, as many, and one less. A panic then has
    all regions, with the help of the staging buffer."""
    there, files = _module_lab(lab)
    with Held(there, files=files) as held:
        # No two of these pages are adjacent.
        _load_crowd(held.guest, 100, 4096, 4096)
        held.guest.run("insmod qcom_minidump.ko")
        # Regions of the driver itself need slots, too.
        needed = sum(_pieces(there, held.guest).values())
        ahead = there.dumps / "minidump-running.core"
        for room in (needed + 1, needed, needed - 1):
            # The header has a slot, too.
            held.guest.run(f"rmmod qcom_minidump; insmod qcom_minidump.ko slots={room + 1}")
            not_carried = _not_carried(held.guest)
            # The module was loaded anew, and its memory may be in more pieces now, or in fewer.
            needed = sum(_pieces(there, held.guest).values())
            expect(len(not_carried) == max(0, needed - room), "one left out if one is too many",
                   f"{needed} slots needed, there are {room}: {not_carried}")
            ahead.write_bytes(held.check().concatenated())
            _check_running_crowd(there, ahead, 100, not_carried)
        _, dump = held.crash()
        core = held.save(dump, "minidump-limit")
    expect(len(dump.regions) <= room + 1, "no more ranges than slots", str(len(dump.regions)))
    expect(_check_crowd(there, core, 100)[0]["good"], "all of them")


def _priority(name):
    """The priority of a region of the crowd."""
    return ("low", "normal", "high")[int(name.split("-")[1]) % 3]


def _alone(info, core):
    """The regions of the crowd, of a page each, that are not part of a larger piece of the dump."""
    large = sorted((vaddr, vaddr + len(data)) for vaddr, _, data in ElfCore(core.read_bytes()).loads
                   if len(data) > 4096)
    return {r["name"] for r in info["regions"] if r["name"].startswith("crowd-") and
            not any(start <= int(r["virtual"], 16) < end for start, end in large)}


def test_5000_regions(lab):
    """If there are more regions than there is room for, those that matter less are missing, and
    counted."""
    not_carried, ahead, core = _crowd(lab, 5000, 4096, 4096)
    _check_running_crowd(lab, ahead, 5000, not_carried)
    info, states = _check_crowd(lab, core, 5000)
    missing = {name for name, state in states.items() if state[0] == "missing"}
    expect(missing and info["left_out"], "some to be missing", str(info["left_out"]))
    # There is not even room for all regions of high priority. Some others may be there because they
    # happen to be next to other memory of the dump, in one piece with it.
    expect("high" in {_priority(name) for name in missing}, "little room", str(len(missing)))
    alone = _alone(info, core)
    wrong = [name for name in alone - missing if _priority(name) != "high"]
    expect(not wrong and len(alone) > 4500, "those of low priority to be missing first",
           f"{len(alone)} alone; {sorted(wrong)}"[:1000])


def test_5000_small_regions(lab):
    """Many of these regions share pages, so there is room for all of them at the panic."""
    not_carried, ahead, core = _crowd(lab, 5000, 64)
    expect(len(not_carried) > 4000, "most of them to wait for the panic", str(len(not_carried)))
    _check_crowd_bytes(_check(lab, ahead, status=None), ahead)
    info, states = _check_crowd(lab, core, 5000)
    expect(info["good"] and set(states.values()) == {("ok", "good")},
           "all of them, checksums right")


def _check_tasks(dump, cpus):
    """The table has a task and a stack for each CPU. The task says which stack is its own."""
    head = dump.regions[0][2]
    [(_, start, data)] = [r for r in dump.regions if r[0] == "Kkernel_data"]
    seen = []
    for cpu in range(cpus):
        pieces = [i for i, r in enumerate(dump.regions)
                  if re.match(f"K(task|stack){cpu}(_|$)", r[0])]
        expect(len(pieces) == 5, "a task in its pieces", str(dump.names))
        # The program header of a slot comes after those of the notes and of the slots before it.
        stack, = struct.unpack_from("<Q", head, 64 + 56 * pieces[1] + 16)
        task = dump.regions[pieces[0]]
        # The first page of init_task's stack is where the kernel's data starts.
        if start <= task[1] < start + len(data):
            stack -= 4096
        expect(struct.pack("<Q", stack) in task[2], f"the stack of the task on CPU {cpu}",
               f"{task[0]} {stack:#x}")
        seen.append((task[1], stack))
    return tuple(seen)


STABLE = {f"stable-{n}" for n in range(50)}


def _snapshot(held):
    """Stop the machine for a moment. Returns what the firmware would find then, which has to be a
    whole table."""
    held.guest.qmp("stop")
    dump = held.collect()
    careless = held.collect(look_at_valid=False)
    held.guest.qmp("cont")
    expect(not dump.messages, "no bad region", str(dump.messages))
    firmware.check_table(dump, tasks=True)
    expect({r[:2] for r in careless.regions} == {r[:2] for r in dump.regions},
           "the same regions, if the mark is not looked at")
    return dump


def _check_stable(lab, core, number):
    """Check the content of two of the regions that stay."""
    for n in (number % 50, 49 - number % 50):
        shown = lab.reader("show", "-r", core, f"stable-{n}")
        # Python reads any end of a line as \n.
        expect(shown == chr(n).replace("\r", "\n") * 64, f"what stable-{n} holds", repr(shown))


def snapshots(lab, number):
    """Stop the machine at any instruction while regions come, move and go, and tasks switch. The
    firmware finds a whole table each time, with the content of the regions that stay."""
    heads, tasks, taken = set(), set(), 0
    core = lab.dumps / "storm.core"
    deadline = time.monotonic() + 300 + 2 * number
    with Held(lab, cpus=4, tasks=True) as held:
        held.guest.send("insmod kmemdump_storm.ko crash=0 delay_us=4000000000")
        # The checks do not depend on where the machine stops. But go on until both copies of the
        # table were in use, and tasks have switched.
        while taken < number or len(heads) < 2 or len(tasks) < 3:
            expect(time.monotonic() < deadline, "both copies of the table, and other tasks",
                   f"{taken} whole ones; {heads}, {tasks}")
            dump = _snapshot(held)
            core.write_bytes(dump.concatenated())
            names = {r["name"] for r in _check(lab, core, status=None)["regions"]}
            if not taken and not (STABLE <= names and any(n.startswith("storm-") for n in names)):
                continue        # the storm has not begun yet
            expect(STABLE <= names, "the regions that stay", str(STABLE - names))
            _check_stable(lab, core, taken)
            heads.add(dump.regions[0][1])
            tasks.add(_check_tasks(dump, 4))
            taken += 1
    expect(len(heads) == 2, "two copies of the table", str(heads))


def test_tables_in_a_storm(lab):
    """50 snapshots here; "make check-long" takes 500."""
    snapshots(lab, 50)


def panic_in_the_storm(lab, run):
    """Panic while other CPUs register, move and unregister regions. The module panics only when a
    region of one of them is registered, and that region stays registered until its CPU is
    stopped."""
    with Held(lab, cpus=4) as held:
        console, dump = held.crash(f"insmod kmemdump_storm.ko delay_us={run * 7919 % 20011}", 300)
        core = held.save(dump, f"minidump-storm-{run}")
    rounds = re.search(r"in the storm, after (\d+) rounds, \d+ moves, result 0\b", console)
    expect(rounds and int(rounds[1]) > 0, "a storm without errors", console)
    info = _check(lab, core)
    regions = {r["name"]: r for r in info["regions"] if r["name"].startswith(("stable-", "storm-"))}
    expect(info["good"] and STABLE <= set(regions), "a whole dump", str(info)[:2000])
    expect(any(name.startswith("storm-") for name in regions), "what was registered just then",
           str(list(regions)))
    elf = ElfCore(core.read_bytes())
    for name, region in regions.items():
        expect((region["state"], region["checksum"]) == ("ok", "good"), "a checksum that is right",
               str(region))
        number = int(name.split("-")[-1])
        expect(elf.read(int(region["virtual"], 16), region["size"]) ==
               bytes([number % 256]) * region["size"], f"what {name} holds")


@pytest.mark.parametrize("run", range(4))
def test_panics_in_the_storm(lab, run):
    """4 panics here; "make check-long" does 40 more."""
    panic_in_the_storm(lab, run)


RAMOOPS = ("ramoops.mem_address=0x50000000 ramoops.mem_size=0x400000 "
           "ramoops.record_size=0x20000 ramoops.kmemdump_size=0x321000")


def _check_record(lab, record):
    """Check the record that ramoops has of a crash with the sample."""
    _check_story(lab, record)
    expect(PANIC in lab.reader("log", record), "the panic in the log")


def _check_ramoops(lab, guest, name):
    """ramoops saves the crash when the minidump driver can't."""
    backends = _backends(guest)
    expect("minidump" not in backends and "\nramoops" in backends, "only ramoops", backends)
    guest.run("insmod kmemdump_test.ko")
    record, _ = lab.crash(guest, name)
    _check_record(lab, record)


def _expect_nothing_saved(lab, guest):
    with guest.ram() as ram:
        try:
            firmware.walk(ram, lab.kernel.board.smem)
        except firmware.Bad:
            return
    raise Failed("the firmware would save something")


# Name -> (what the driver says, what is in SMEM).
ITEMS_REFUSED = {
    # The driver says nothing here, because nearly all boards are like this.
    "none": (None, {"item": 601}),
    "too-small": ("it is too small", {"data": firmware.toc()[:8]}),
    "no-subsystem": ("it has no room for a subsystem", {"data": firmware.toc(subsystems=0)}),
    "half-a-subsystem": ("it has no room for a subsystem", {"data": firmware.toc()[:47]}),
    "not-set-up": ("the firmware has not set it up", {"data": firmware.toc(status=0)}),
    "revision": ("its revision is not known", {"data": firmware.toc(revision=2)}),
    "not-enabled": ("the firmware has not enabled minidumps", {"data": firmware.toc(enabled=0)}),
    "encryption": ("the firmware would encrypt the dump",
                   {"data": firmware.toc(encryption=firmware.YES)}),
    "no-slots": ("no room for regions", {"data": firmware.toc(modem=299)}),
    "two-slots": ("no room for regions", {"data": firmware.toc(modem=298)}),
}


def _refill(guest, **smem):
    """Make SMEM look as the firmware of another board leaves it, while no driver looks at it."""
    with guest.ram() as ram:
        firmware.cold_start(guest.board, **smem)(ram)


def _make_items(lab):
    """Load the driver with each of the bad items, then with the smallest good one, and keep what it
    did. Then crash."""
    there, files = _module_lab(lab)
    folder = _shared("minidump-items")
    came = {}
    with Held(there, append=RAMOOPS, files=files) as held:
        guest = held.guest
        for name, (_, smem) in ITEMS_REFUSED.items():
            _refill(guest, **smem)
            guest.run("dmesg -c > /dev/null; insmod qcom_minidump.ko")
            came[name] = guest.run("dmesg"), _backends(guest)
            _expect_nothing_saved(there, guest)
            guest.run("rmmod qcom_minidump")
        _refill(guest, data=firmware.toc(subsystems=1))
        guest.run("insmod qcom_minidump.ko; insmod kmemdump_test.ko")
        record, _ = there.crash(guest, "items")
        core = held.save(held.collect(), "minidump-small")
    (folder / "record").write_bytes(record.read_bytes())
    (folder / "core").write_bytes(core.read_bytes())
    (folder / "came").write_text(json.dumps(came))


def _items(lab):
    """(The folder with the dumps, what the driver did with each item). All tests share the boot."""
    host.once("minidump-items", lambda: _make_items(lab))
    folder = _shared("minidump-items")
    return folder, json.loads((folder / "came").read_text())


def _expect_word(message, log):
    """The driver says @message, or nothing at all if that is None."""
    lines = [line for line in log.splitlines() if "minidump" in line and "command line" not in line]
    expect(any(message in line for line in lines) if message else not lines,
           f"the log to say {message!r}", "\n".join(lines) or log[-2000:])


@ITEMS
@pytest.mark.parametrize("item", ITEMS_REFUSED)
def test_bad_item(lab, item):
    """The driver says why it does nothing, and the firmware would save nothing."""
    message, (log, backends) = ITEMS_REFUSED[item][0], _items(lab)[1][item]
    _expect_word(message, log)
    expect("WARNING" not in log, "no warning", log)
    expect("minidump" not in backends and "\nramoops" in backends, "only ramoops", backends)


@ITEMS
def test_one_subsystem(lab):
    """The driver takes the smallest item that has room for us, after all those that it refused.
    ramoops, which was there all the time, saves the crash, too."""
    expect(len(firmware.toc(subsystems=1)) == 48, "a small item")
    folder, _ = _items(lab)
    _check_story(lab, folder / "core")
    _check_record(lab, folder / "record")


def _refused(lab, message, name, warnings=0, **guest_args):
    """Boot with bad firmware or settings: the driver, which is built in, says why it does nothing,
    and ramoops works. SMEM's own driver prints this many @warnings."""
    with lab.guest(None, RAMOOPS, **guest_args) as guest:
        log = guest.run("dmesg")
        _expect_word(message, log)
        expect(log.count("WARNING") == warnings, f"{warnings} warnings", log)
        _expect_nothing_saved(lab, guest)
        _check_ramoops(lab, guest, name)


def test_no_item(lab):
    _refused(lab, None, "no-item", firmware=firmware.cold_start(lab.board, item=601))


def test_leaves_its_partition(lab):
    """An item is not touched if its size fits into its partition, but not at the item's place
    there."""
    _refused(lab, "the firmware's table can't be found in a damaged SMEM", "partition", warnings=1,
             firmware=firmware.cold_start(lab.board, length=firmware.PARTITION_SIZE - 8))


FLASH = """
/ { reserved-memory {
	/delete-node/ smem@5f000000;
	smem@4000000 {
		compatible = "qcom,smem";
		reg = <0 0x04000000 0 0x200000>;
		no-map;
		hwlocks = <&hwmutex 3>;
	};
}; };
"""


def test_not_writable(lab):
    """SMEM is in flash, which reads like memory, but does not keep what is stored."""
    flash = lab.dumps / "flash"
    with flash.open("wb") as out:
        out.truncate(64 << 20)
        for offset, data in firmware.smem().items():
            out.seek(offset)
            out.write(data)
    drive = f"if=pflash,unit=1,format=raw,readonly=on,file={flash}"
    _refused(lab, "the firmware's table can't be written", "not-writable", dts=FLASH,
             devices=("-drive", drive), firmware=firmware.cold_start(lab.board))


NODE = '/ { minidump { compatible = "qcom,minidump"; }; };'


def _node(**properties):
    """A node with the limits of a board."""
    lines = "".join(f" qcom,{name.replace('_', '-')} = <{value:#x}>;"
                    for name, value in properties.items())
    return f'/ {{ minidump {{ compatible = "qcom,minidump";{lines} }}; }};'


def test_node_without_smem(lab):
    """If there is a node, but no firmware has set up SMEM, the driver waits, and says for what."""
    with lab.guest(None, RAMOOPS, dts=NODE) as guest:
        log = guest.run("dmesg")
        waiting = guest.run("cat /sys/kernel/debug/devices_deferred")
        expect(re.search(r"^minidump\tqcom-minidump: SMEM is not there", waiting, re.M),
               "a word on what waits", waiting)
        expect("SMEM is not initialized" in log and "WARNING" not in log, "a word on why", log)
        _check_ramoops(lab, guest, "no-smem")


def test_old_smem(lab):
    """If SMEM is of a version that can't have the item, nobody asks for it, and nothing is said."""
    fill = firmware.cold_start(lab.board, version=11)
    with lab.guest(None, firmware=fill) as guest:
        log = guest.run("dmesg")
        expect("minidump" not in log and "WARNING" not in log, "not a word", log)


def test_fewer_slots(lab):
    """Other subsystems have most of what the firmware can take."""
    with Held(lab, firmware=firmware.cold_start(lab.board, data=firmware.toc(modem=260)),
              append="kmemdump.coreset=minimal") as held:
        log = held.guest.run("dmesg")
        expect("201 regions asked for, but the firmware can take 300 and other subsystems have 260"
               in log, "a word on it", log)
        backends = _backends(held.guest)
        expect("minidump\tfirmware\t39 slots" in backends, "what is left", backends)
        _load_crowd(held.guest, 60)
        _, dump = held.crash()
        core = held.save(dump, "minidump-fewer")
    expect(len(dump.regions) <= 40, "40 ranges at most", str(len(dump.regions)))
    info = _check(lab, core)
    expect(set(_crowd_states(info).values()) == {("ok", "good")}, "all regions nevertheless")


def _staged(dump):
    """How many bytes of the staging buffer are in use."""
    [head] = [data for name, _, data in dump.regions if name == "KELF_HDR"]
    [size] = [len(data) for name, _, data in dump.regions if name == "Kstaging"]
    # The header is at the start of the same buffer.
    return len(head) + size


def _check_staging(lab, console, dump, core, limit):
    """Check a dump with more regions than slots, of which some do not fit into the @limit bytes of
    the staging buffer either."""
    info = _check(lab, core, status=1)
    _check_crowd_bytes(info, core)
    left_out = int(re.search(r"slots left to it, (\d+) pieces left out", console)[1])
    missing = sum(r["state"] == "missing" for r in info["regions"])
    expect(missing and left_out and info["left_out"] == left_out,
           "the log, the note and the regions to agree",
           f"{left_out}, {info['left_out']}, {missing} missing")
    size = _staged(dump)
    # Some room is kept for the headers of regions that then turn out not to fit.
    expect(limit - limit // 8 < size <= limit, f"most of {limit:#x} to be used, and not more",
           f"{size:#x}, {missing} missing")


def test_exactly_full(lab):
    """All slots of the firmware are in use, by others and by us. The rest fits into the staging
    buffer of the default size."""
    with Held(lab, firmware=firmware.cold_start(lab.board,
                                                data=firmware.toc(modem=99))) as held:
        log = held.guest.run("dmesg")
        expect("the firmware can take" not in log, "no complaint", log)
        _load_crowd(held.guest, 400, 4096, 4096)
        held.check()
        _, dump = held.crash()
        core = held.save(dump, "minidump-full")
    expect(len(dump.regions) == 201, "all slots in use", str(len(dump.regions)))
    # The smaller buffers of the tests below would not have room for this.
    expect(0x80000 < _staged(dump) <= 0x400000, "more than half a megabyte", f"{_staged(dump):#x}")
    info = _check(lab, core)
    expect(info["left_out"] == 0, "nothing left out", str(info["left_out"]))
    _check_crowd_bytes(info, core)
    states = _crowd_states(info)
    expect(len(states) == 400 and set(states.values()) == {("ok", "good")}, "all regions")


# Kind of limit -> (a device tree, {what the driver is loaded with: how many regions it may have}).
# Another subsystem has 60.
FIRMWARE_SLOTS = {
    "parameter": ("", {"firmware_slots=120": 60, "firmware_slots=261": 201,
                       "firmware_slots=260 staging_size=0x60000": 200}),
    "node": (_node(firmware_slots=100, staging_size=0x80000),
             {"": 40, "firmware_slots=120 staging_size=0x60000": 60}),
}


@pytest.mark.parametrize("kind", FIRMWARE_SLOTS)
def test_firmware_slots(lab, kind):
    """The parameter or the device tree says how many regions the firmware can take: less than by
    default, or just as many as make no difference. The last table is that of a crash with a small
    staging buffer."""
    dts, limits = FIRMWARE_SLOTS[kind]
    there, files = _module_lab(lab)
    fill = firmware.cold_start(there.board, data=firmware.toc(modem=60))
    with Held(there, files=files, firmware=fill, dts=dts) as held:
        guest = held.guest
        _load_crowd(guest, 400, 4096, 4096)
        for options, slots in limits.items():
            guest.run("rmmod qcom_minidump 2>/dev/null; dmesg -c > /dev/null; "
                      f"insmod qcom_minidump.ko {options}")
            log = guest.run("dmesg")
            said = re.search(r"201 regions asked for, but the firmware can take (\d+) and other "
                             r"subsystems have 60$", log, re.M)
            expect(bool(said) == (slots < 201) and (not said or int(said[1]) == slots + 60),
                   "a word if that is too few", log)
            backends = _backends(guest)
            expect(f"minidump\tfirmware\t{slots - 1} slots" in backends, "what is left", backends)
            pieces, not_carried = _pieces(there, guest), _not_carried(guest)
            carried = sum(pieces.values()) - sum(pieces[name] for name in not_carried)
            expect(carried == slots - 1, "all of them to be in use", f"{carried} of {slots - 1}")
            expect(len(held.check().regions) <= slots, "no more than there are slots")
        console, dump = held.crash()
        core = held.save(dump, f"minidump-{kind}")
    expect(len(dump.regions) == slots, f"{slots} slots in use", str(len(dump.regions)))
    _check_staging(there, console, dump, core, 0x60000)


def test_device_tree(lab):
    """A node has the limits of a board: how many regions we may have, how many the firmware can
    take, which is more than by default, and the size of the staging buffer."""
    dts = _node(num_slots=60, firmware_slots=400, staging_size=0x80000)
    fill = firmware.cold_start(lab.board, data=firmware.toc(modem=250))
    with Held(lab, dts=dts, firmware=fill) as held:
        log = held.guest.run("dmesg")
        bound = held.guest.run("ls /sys/bus/platform/drivers/qcom-minidump")
        expect("minidump" in bound.split() and "qcom-minidump" not in bound.split(),
               "the node to be bound, not the child of SMEM", bound + log)
        expect(not any("minidump" in line for line in _errors(held.guest)), "no error",
               str(_errors(held.guest)))
        expect("the firmware can take" not in log, "no complaint", log)
        backends = _backends(held.guest)
        expect("minidump\tfirmware\t59 slots" in backends, "the limit of the node", backends)
        _load_crowd(held.guest, 400, 4096, 4096)
        console, dump = held.crash()
        core = held.save(dump, "minidump-node")
    expect(len(dump.regions) == 60, "60 ranges", str(len(dump.regions)))
    _check_staging(lab, console, dump, core, 0x80000)


def _expect_no_table(held):
    try:
        held.collect()
    except firmware.Bad as why:
        expect("no live table: status 0x0, enabled 0x0, at 0x0" in str(why), "a cleared table",
               str(why))
    else:
        expect(False, "no table any more")


def test_unbind(lab):
    """The driver lets go of the device, and takes it again."""
    driver = "/sys/bus/platform/drivers/qcom-minidump"
    with Held(lab) as held:
        held.guest.run("insmod kmemdump_test.ko")
        held.check()
        held.guest.run(f"echo qcom-minidump > {driver}/unbind")
        _expect_no_table(held)
        backends = _backends(held.guest)
        expect("minidump" not in backends, "no backend", backends)
        held.guest.run(f"echo qcom-minidump > {driver}/bind")
        _, dump = held.crash()
        core = held.save(dump, "minidump-unbind")
    _check_story(lab, core)


def test_module(lab):
    """The driver as a module, which takes all its pointers out of SMEM when it goes."""
    there, files = _module_lab(lab)
    with Held(there, files=files) as held:
        held.guest.run("insmod kmemdump_test.ko")
        _expect_no_table(held)
        for _ in range(3):
            held.guest.run("insmod qcom_minidump.ko staging_size=0x200000")
            held.check()
            held.guest.run("rmmod qcom_minidump")
            _expect_no_table(held)
        held.guest.run("insmod qcom_minidump.ko")
        _, dump = held.crash()
        core = held.save(dump, "minidump-module")
    _check_story(there, core)


def _errors(guest):
    """The lines of the log that are errors or worse."""
    return [line for line in guest.run("dmesg -r").splitlines()
            if (match := re.match(r"<(\d+)>", line)) and int(match[1]) % 8 <= 3]


def test_module_and_node(lab):
    """The node and the child of SMEM are two devices. One of them gets the table, and the other one
    makes no error. A parameter overrides the node."""
    there, files = _module_lab(lab)
    devices = "/sys/bus/platform/devices"
    with Held(there, files=files, dts=_node(num_slots=60)) as held:
        there_are = held.guest.run(f"ls {devices}").split()
        expect({"minidump", "qcom-minidump"} <= set(there_are), "two devices", str(there_are))
        aliases = {name: held.guest.run(f"cat {devices}/{name}/modalias").strip()
                   for name in ("minidump", "qcom-minidump")}
        for options, slots in (("", 59), ("slots=50", 49)):
            held.guest.run(f"insmod qcom_minidump.ko {options}")
            bound = held.guest.run("ls /sys/bus/platform/drivers/qcom-minidump").split()
            expect("minidump" in bound and "qcom-minidump" not in bound, "the node to be bound",
                   str(bound))
            backends = _backends(held.guest)
            expect(f"minidump\tfirmware\t{slots} slots" in backends, "the limit", backends)
            held.check()
            held.guest.run("rmmod qcom_minidump")
            _expect_no_table(held)
        held.guest.run("insmod qcom_minidump.ko; insmod kmemdump_test.ko")
        expect(not any("minidump" in line for line in _errors(held.guest)), "no error",
               str(_errors(held.guest)))
        _, dump = held.crash()
        core = held.save(dump, "minidump-module-node")
    _check_story(there, core)
    # Programs that load modules look at the aliases of the devices.
    ko, = files.values()
    patterns = [text[6:].decode() for text in ko.read_bytes().split(b"\0")
                if text.startswith(b"alias=")]
    for name, alias in aliases.items():
        expect(any(fnmatch.fnmatchcase(alias, pattern) for pattern in patterns),
               f"the module to have the alias of {name}", f"{alias} {patterns}")


class _Crashed:
    """The RAM of a machine that crashed, for the reader to put together what its table lists."""

    def __init__(self, lab, held, ram):
        self.lab, self.ram = lab, ram
        self.out = held.guest.work / "assembled"
        self.smem = lab.board.smem
        self.file = f"{held.guest.work / 'ram'}@{firmware.RAM:#x}"
        memory = firmware.Memory(ram)
        self.item, _ = firmware.find_item(memory, self.smem, firmware.SMEM_SIZE,
                                          firmware.MINIDUMP_ITEM)
        fields = memory.unpack(firmware.SUBSYSTEM, self.item + firmware.TOC.size, "subsystem")
        self.regions, self.base = fields[4], fields[6]
        self.kelf = firmware.REGION.unpack(memory.read(self.base, firmware.REGION.size, "it"))[3]

    def places(self):
        """What the reader depends on: (address, size) of the table of SMEM, its partition, the
        item, the array of regions, and the headers of the ELF core."""
        return ((self.smem + firmware.SMEM_SIZE - 4096, 100), (self.smem + firmware.PARTITION, 48),
                (self.item, firmware.TOC.size + firmware.SUBSYSTEM.size),
                (self.base, self.regions * firmware.REGION.size), (self.kelf, 64 + 4 * 56))

    def read(self, changes):
        """Run the reader with some bytes of RAM changed (address -> byte). Returns the exit code,
        which has to be that of a clear answer."""
        was = {address: self.ram[address - firmware.RAM] for address in changes}
        for address, byte in changes.items():
            self.ram[address - firmware.RAM] = byte
        self.out.unlink(missing_ok=True)
        proc = subprocess.run([self.lab.sanitized_reader, "assemble", "--smem", hex(self.smem),
                               "--ram", self.file, self.out], capture_output=True, text=True,
                              errors="replace", timeout=60)
        for address, byte in was.items():
            self.ram[address - firmware.RAM] = byte
        said = proc.stdout + proc.stderr
        expect(proc.returncode in (0, 1, 2) and "Sanitizer" not in said and
               "runtime error" not in said, f"an answer, not exit code {proc.returncode}",
               f"{changes}\n{said[-3000:]}")
        expect(said.strip(), "a word on it", str(changes))
        expect(self.out.exists() == (proc.returncode < 2), "a core exactly if there is an answer",
               f"{changes}\n{said[-3000:]}")
        return proc.returncode


ROUNDS = 120


def test_damaged_tables(lab):
    """Whatever a crash has left of the tables in RAM, the reader puts together what it can, or says
    why it can't."""
    with Held(lab, append="kmemdump.coreset=minimal") as held:
        held.crash()
        with held.guest.ram() as ram:
            crashed = _Crashed(lab, held, ram)
            expect(crashed.read({}) == 0, "a good table without changes")
            # Single changes whose outcome is certain.
            expect(crashed.read({crashed.smem + firmware.PARTITION: 0}) == 2, "SMEM to be refused")
            expect(crashed.read({crashed.item + firmware.TOC.size: 0}) == 1, "the rest to be saved")
            rng = random.Random(1)
            outcomes = []
            for _ in range(ROUNDS):
                changes = {}
                for _ in range(rng.randrange(1, 6)):
                    start, size = rng.choice(crashed.places())
                    changes[start + rng.randrange(size)] = rng.choice(
                        (0, 1, 0x7F, 0xFF, rng.randrange(256)))
                outcomes.append(crashed.read(changes))
    counts = {status: outcomes.count(status) for status in range(3)}
    # More than a quarter of them end in each way. Even were it a tenth, one of the three ways would
    # not be seen in 3 * 0.9^120 of all runs, which is one in 100,000.
    expect(all(counts.values()), "answers of each kind", str(counts))
    say(f"    exit codes of the reader: {counts}")
