# SPDX-License-Identifier: GPL-2.0
"""Qualcomm minidump on arm64; the harness plays the boot firmware, at the reset."""

import fnmatch
import json
import os
import random
import re
import struct
import time

from harness import firmware, host, story
from harness.elfcore import ElfCore, Symbols, Unreadable
from harness.firmware import Held
from harness.host import say
from harness.lab import expect

BOARD = "arm64-minidump"
PANIC = "Kernel panic - not syncing: sysrq triggered crash"
SNAPSHOTS = int(os.environ.get("SNAPSHOTS", "150"))


def _check(there, core, status=0):
    return json.loads(there.reader("check", "--json", core, status=status))


def _check_story(there, core):
    """What has to be in any dump of a guest with the sample module."""
    text = there.reader("show", core, "my_critical_data")
    expect(text == story.TEXT + "\n", "the text of the sample", text)
    info = _check(there, core)
    expect(info["good"] and info["left_out"] == 0, "all there", str(info)[:2000])
    return info


def test_story(lab):
    """The sample's text, the log and the registers come out of what the firmware saves."""
    there = lab.other(BOARD)
    with Held(there) as held:
        held.guest.run("insmod kmemdump_test.ko")
        console, dump = held.crash()
        core = held.save(dump, "minidump-story")
    expect(not dump.messages, "the firmware to find nothing wrong", str(dump.messages))
    info = _check_story(there, core)
    expect(PANIC in there.reader("log", core), "the panic in the log")
    expect([cpu["state"] for cpu in sorted(info["cpus"], key=lambda cpu: cpu["state"])] ==
           ["crashed", "stopped"], "registers of both CPUs", str(info["cpus"]))
    line = re.search(r"minidump: (\d+) regions, (\d+) bytes in (\d+) slots left to it, "
                     r"0 pieces left out", console)
    expect(line and int(line[2]) == core.stat().st_size and int(line[3]) == len(dump.regions),
           "a line in the log with the right numbers", console)
    expect({"Kmy_critical", "Kstaging", "Kkernel_data"} <= set(dump.names),
           "names that say what it is", str(dump.names))
    # Firmware that does not look at the mark sees the same.
    expect(firmware.assemble_like_qdl(dump.regions)[0] == core.read_bytes(), "one ELF core")


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
            # Where a function that does not return was called, another one may follow.
            names.append(symbols.name(back - 1))
    except Unreadable:
        names.append("(not in the core)")
    return names


def test_registers(lab):
    """What was in the registers of each CPU, one of which holds values that are known."""
    there = lab.other(BOARD)
    with Held(there) as held:
        held.guest.run("insmod kmemdump_crash.ko; cp /proc/kallsyms /tmp/")
        path = held.guest.fetch_file("/tmp/kallsyms", there.dumps / "kallsyms")
        _, dump = held.crash("echo registers > /sys/module/kmemdump_crash/parameters/crash")
        saved = held.save(dump, "minidump-registers")
    symbols = Symbols(path.read_text())
    core = ElfCore(saved.read_bytes())
    # The module also has regions that it freed.
    told = _check(there, saved, status=None)["cpus"]
    expect([cpu["pid"] for cpu in told] == [pid for pid, _ in core.arm64_cpus],
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
    # It calls nobody, so it has no frame of its own.
    expect([symbols.name(regs[PC]), symbols.name(regs[LR])] == ["hold_registers", "kthread"],
           "the loop, and who called it", f"{regs[PC]:#x} {regs[LR]:#x}")


def test_reset_without_a_panic(lab):
    """A watchdog resets the machine: nothing of the kernel ran, and there is a dump."""
    there = lab.other(BOARD)
    with Held(there) as held:
        held.guest.run("insmod kmemdump_test.ko; echo word of the log > /dev/kmsg")
        held.guest.qmp("system_reset")
        held.guest.wait_held()
        dump = held.collect()
        core = held.save(dump, "minidump-watchdog")
    info = _check_story(there, core)
    expect("word of the log" in there.reader("log", core), "the log up to the reset")
    expect({cpu["state"] for cpu in info["cpus"]} == {"running"}, "no CPU to have stopped",
           str(info["cpus"]))
    expect({r["checksum"] for r in info["regions"]} == {"none"}, "no checksum of what changes")
    expect("Kkernel_data" in dump.names and len(dump.names) < 30, "areas in a slot each",
           str(dump.names))
    release = re.search(r"OSRELEASE=(\S+)", core.read_bytes().decode("latin-1"))[1]
    offset = int(ElfCore(core.read_bytes()).vmcoreinfo["KERNELOFFSET"], 16)
    out = host.gdb(there.kernel.vmlinux, core, offset, ["print init_uts_ns.name.release"])
    expect(f'= "{release}"' in out, "gdb to find the release", out)
    out = host.drgn(there.kernel.vmlinux, core,
                    'print("found", prog["init_uts_ns"].name.release.string_().decode())')
    expect(f"found {release}" in out, "drgn to find the release", out)
    out = host.crash(there.kernel.vmlinux, core, ["log"], "--minimal", debian="arm64")
    expect("word of the log" in out, "crash to find the log", out[-2000:])


def test_kaslr(lab):
    """The kernels of all these tests are at another place at each boot."""
    there = lab.other(BOARD)
    offsets = []
    for _ in range(3):
        with Held(there) as held:
            stext = held.guest.run("grep -w _stext /proc/kallsyms").split()[0]
            info = ElfCore(held.check().concatenated()).vmcoreinfo
        expect(info["SYMBOL(_stext)"] == stext, "a symbol where it is", f"{stext} {info}")
        offsets.append(int(info["KERNELOFFSET"], 16))
    expect(all(offsets) and len(set(offsets)) == 3, "three places", str(offsets))


def _hang(lab, cpu, tasks=True):
    there = lab.other(BOARD)
    with Held(there, tasks=tasks) as held:
        held.guest.send(f"taskset {1 << cpu:x} insmod kmemdump_crash.ko mode=hang")
        held.guest.wait("hanging")
        time.sleep(2)
        held.guest.qmp("system_reset")
        held.guest.wait_held()
        dump = held.collect()
        core = held.save(dump, "minidump-hang")
    return there, core, dump


def _check_hang(lab, hung):
    there, core, dump = _hang(lab, hung)
    _check(there, core)
    expect("hanging" in there.reader("log", core), "the log")
    pieces = {cpu: [r for r in dump.regions if re.match(f"K(task|stack){cpu}(_|$)", r[0])]
              for cpu in range(2)}
    for cpu, regions in pieces.items():
        expect([r[0][:5] for r in regions] == ["Ktask"] + ["Kstac"] * 4, "a task in its pieces",
               str(regions)[:1000])
    names = [b"insmod", f"swapper/{1 - hung}".encode()]
    for cpu, name in zip((hung, 1 - hung), names):
        expect(name in pieces[cpu][0][2], f"{name} on CPU {cpu}")
    stack = b"".join(data for _, _, data in pieces[hung][1:])
    expect(b"on the stack of what hangs" in stack, "its stack")
    # Who follows the kernel's own pointers finds the same.
    out = host.drgn(there.kernel.vmlinux, core, f"""
task = per_cpu(prog["runqueues"], {hung}).curr
print(task.comm.string_().decode(), prog.read(task.stack, {len(stack)}).hex())
""")
    expect(out.split()[:2] == ["insmod", stack.hex()], "drgn to find the task and its stack", out[:2000])


def test_what_hangs(lab):
    """A CPU hangs with interrupts off; its task and stack are in the table by then."""
    _check_hang(lab, 0)
    # Then CPU 0 is idle, and the task that it runs is in the kernel's data.
    _check_hang(lab, 1)
    _, _, dump = _hang(lab, 0, tasks=False)
    expect(not any(name.startswith("Kstack") for name in dump.names),
           "nothing of that if not asked for")


def test_two_boots(lab):
    """The second kernel finds a table of its own, and so does the firmware after it."""
    there = lab.other(BOARD)
    with Held(there) as held:
        held.guest.run("insmod kmemdump_test.ko; echo first boot > /dev/kmsg")
        _, dump = held.crash()
        first = held.save(dump, "minidump-first")
        held.restart()
        log = held.guest.run("dmesg")
        expect("earlier kernel's table" not in log, "a table as the firmware makes it", log)
        held.guest.run("insmod kmemdump_test.ko; echo second boot > /dev/kmsg")
        _, dump = held.crash()
        second = held.save(dump, "minidump-second")
    logs = []
    for core in (first, second):
        _check_story(there, core)
        logs.append(there.reader("log", core))
    expect("first boot" in logs[0] and "second boot" not in logs[0], "the log of the first boot")
    expect("second boot" in logs[1] and "first boot" not in logs[1], "the log of the second")


def test_dirty_table(lab):
    """SMEM as the kernel before has left it: a live table, to memory in other use by now."""
    there = lab.other(BOARD)
    with Held(there) as held:
        held.guest.run("insmod kmemdump_test.ko")
        _, before = held.crash()
        held.guest.release()
        log = held.guest.run("dmesg")
        expect("an earlier kernel's table is dropped" in log, "a word on it", log)
        held.guest.run("insmod kmemdump_test.ko; echo after the dirty table > /dev/kmsg")
        _, dump = held.crash()
        core = held.save(dump, "minidump-dirty")
    _check_story(there, core)
    expect("after the dirty table" in there.reader("log", core), "the log of this boot")
    expect(before.concatenated() != dump.concatenated(), "another dump")


def test_table_until_it_is_taken(lab):
    """What the kernel before has left stays as it is until the driver is there."""
    there = lab.other(BOARD, "minidump_m")
    ko = there.kernel.module("drivers/soc/qcom/minidump/qcom_minidump.ko")
    with Held(there, files={"/root/qcom_minidump.ko": ko}) as held:
        untouched = held.item()
        held.guest.run("insmod kmemdump_test.ko; insmod qcom_minidump.ko")
        _, before = held.crash()
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
    expect(before.concatenated() != dump.concatenated(), "another dump")


def _crowd(lab, regions, size, gap=0):
    there = lab.other(BOARD)
    with Held(there) as held:
        held.guest.run(f"insmod kmemdump_crowd.ko threads=0 regions={regions} size={size} "
                       f"gap={gap}",
                       timeout=300)
        listed = held.guest.run("cat /sys/kernel/debug/kmemdump/not_carried").splitlines()[1:]
        # As a watchdog would find it at this moment; then the panic.
        running = held.check()
        _, dump = held.crash(timeout=300)
        core = held.save(dump, f"minidump-{regions}")
        ahead = there.dumps / f"minidump-{regions}-running.core"
        ahead.write_bytes(running.concatenated())
    return there, [line.split("\t")[2] for line in listed], ahead, core, dump


def _crowd_states(info):
    return {r["name"]: (r["state"], r["checksum"]) for r in info["regions"]
            if r["name"].startswith("crowd-")}


def _check_crowd_bytes(info, path):
    """What those hold that are there, whatever the checksums say."""
    core = ElfCore(path.read_bytes())
    for region in info["regions"]:
        if region["name"].startswith("crowd-") and region["state"] == "ok":
            text = f"text of region {region['name'].split('-')[1]}".encode()
            expect(core.read(int(region["virtual"], 16), region["size"]) ==
                   text.ljust(region["size"], b"\0"), f"what {region['name']} holds")


def _check_crowd(lab, regions):
    """Regions of a page each, none beside another, so that the slots run out."""
    there, not_carried, ahead, core, dump = _crowd(lab, regions, 4096, 4096)
    expect(len(dump.regions) <= 201, "no more ranges than agreed on", str(len(dump.regions)))
    info = _check(there, ahead, status=None)
    expect(info["left_out"] == len(not_carried), "the note to count what is listed in debugfs",
           f"{info['left_out']} and {len(not_carried)}")
    states = _crowd_states(info)
    crowd = {f"crowd-{i}" for i in range(regions)}
    expect(set(states) == crowd - set(not_carried) and
           all(state == ("ok", "none") for state in states.values()),
           "all that is carried", str(states)[:2000])
    _check_crowd_bytes(info, ahead)
    info = _check(there, core, status=None)
    _check_crowd_bytes(info, core)
    states = _crowd_states(info)
    expect(len(states) == regions, "all regions listed", str(len(states)))
    wrong = [name for name, state in states.items() if state not in (("ok", "good"),
                                                                     ("missing", "none"))]
    expect(not wrong, "each region to be there with its checksum, or not at all", str(wrong))
    return info, states, not_carried


def test_10_regions(lab):
    info, _, not_carried = _check_crowd(lab, 10)
    expect(info["good"] and not not_carried, "all of them")


def test_200_regions(lab):
    info, _, not_carried = _check_crowd(lab, 200)
    expect(info["good"] and not_carried, "all of them, with the help of the staging buffer")


def test_201_regions(lab):
    expect(_check_crowd(lab, 201)[0]["good"], "all of them")


def test_202_regions(lab):
    expect(_check_crowd(lab, 202)[0]["good"], "all of them")


def test_5000_regions(lab):
    """More than there is room for: what matters less is missing, and counted."""
    info, states, _ = _check_crowd(lab, 5000)
    missing = {name for name, state in states.items() if state[0] == "missing"}
    expect(missing and info["left_out"], "some to be missing", str(info["left_out"]))
    # Of the numbers, those that leave 2 have high priority, and those that leave 0 low.
    classes = {name: int(name.split("-")[1]) % 3 for name in states}
    expect(not any(classes[name] == 2 for name in missing) or
           all(name in missing for name in states if classes[name] != 2),
           "those of low priority to be missing first", str(sorted(missing))[:1000])


def test_5000_small_regions(lab):
    """Many of them share pages, so there is room for all at the panic."""
    there, not_carried, ahead, core, _ = _crowd(lab, 5000, 64)
    expect(len(not_carried) > 4000, "most of them to wait for the panic", str(len(not_carried)))
    _check_crowd_bytes(_check(there, ahead, status=None), ahead)
    info = _check(there, core)
    _check_crowd_bytes(info, core)
    states = _crowd_states(info)
    expect(info["good"] and len(states) == 5000 and set(states.values()) == {("ok", "good")},
           "all of them, checksums right")


def _check_tasks(dump, cpus):
    """Of each CPU a task and its stack; that they are of the same task, the task itself tells."""
    head = dump.regions[0][2]
    [(_, start, data)] = [r for r in dump.regions if r[0] == "Kkernel_data"]
    seen = []
    for cpu in range(cpus):
        pieces = [i for i, r in enumerate(dump.regions) if re.match(f"K(task|stack){cpu}(_|$)", r[0])]
        expect(len(pieces) == 5, "a task in its pieces", str(dump.names))
        # The program header of a slot stands behind those of the notes and the slots before.
        stack, = struct.unpack_from("<Q", head, 64 + 56 * pieces[1] + 16)
        task = dump.regions[pieces[0]]
        # The first page of the kernel's own one is where its data starts.
        if start <= task[1] < start + len(data):
            stack -= 4096
        expect(struct.pack("<Q", stack) in task[2], f"the stack of the task on CPU {cpu}",
               f"{task[0]} {stack:#x}")
        seen.append((task[1], stack))
    return tuple(seen)


def test_tables_in_a_storm(lab):
    """Stop the machine at any instruction while regions come, move and go, and tasks switch: what
    firmware would find then is a whole table, and what the regions hold that stay is in it."""
    there = lab.other(BOARD)
    rng = random.Random(5)
    heads, tasks = set(), set()
    with Held(there, cpus=4, tasks=True) as held:
        held.guest.send("insmod kmemdump_storm.ko crash=0 delay_us=4000000000")
        time.sleep(3)
        for i in range(SNAPSHOTS):
            time.sleep(rng.random() / 20)
            held.guest.qmp("stop")
            dump = held.collect()
            careless = held.collect(look_at_valid=False)
            held.guest.qmp("cont")
            expect(not dump.messages, "no bad region", str(dump.messages))
            firmware.check_table(dump, tasks=True)
            heads.add(dump.regions[0][1])
            tasks.add(_check_tasks(dump, 4))
            expect({r[:2] for r in careless.regions} == {r[:2] for r in dump.regions},
                   "the same regions, if the mark is not looked at")
            core = there.dumps / "storm.core"
            core.write_bytes(dump.concatenated())
            info = _check(there, core, status=None)
            names = {r["name"] for r in info["regions"]}
            stable = {f"stable-{n}" for n in range(50)}
            expect(stable <= names, "the regions that stay", str(stable - names))
            for n in (i % 50, 49 - i % 50):
                shown = there.reader("show", "-r", core, f"stable-{n}")
                # Python reads any end of a line as \n.
                expect(shown == chr(n).replace("\r", "\n") * 64, f"what stable-{n} holds", repr(shown))
    expect(len(heads) == 2, "both copies of the table to be in use", str(heads))
    expect(len(tasks) > 2, "tasks to switch", str(tasks))


def _storm_crash(lab, run):
    """The rounds of the storm until the crash, and what was registered in it just then."""
    there = lab.other(BOARD)
    with Held(there, cpus=4) as held:
        console, dump = held.crash(f"insmod kmemdump_storm.ko delay_us={run * 7919 % 20011}", 300)
        core = held.save(dump, f"minidump-storm-{run}")
    rounds = re.search(r"in the storm, after (\d+) rounds, \d+ moves, result 0\b", console)
    expect(rounds, "a storm without errors", console)
    info = _check(there, core)
    regions = {r["name"]: r for r in info["regions"] if r["name"].startswith(("stable-", "storm-"))}
    expect(info["good"] and {f"stable-{n}" for n in range(50)} <= set(regions), "a whole dump",
           str(info)[:2000])
    elf = ElfCore(core.read_bytes())
    for name, region in regions.items():
        expect((region["state"], region["checksum"]) == ("ok", "good"), "a checksum that is right",
               str(region))
        number = int(name.split("-")[-1])
        expect(elf.read(int(region["virtual"], 16), region["size"]) ==
               bytes([number % 256]) * region["size"], f"what {name} holds")
    return int(rounds[1]), [name for name in regions if name.startswith("storm-")]


def test_panics_in_the_storm(lab):
    rounds, caught = 0, []
    for run in range(int(os.environ.get("MINIDUMP_STORMS", "8"))):
        more, names = _storm_crash(lab, run)
        rounds += more
        caught += names
    say(f"    {rounds} rounds; registered at the crash: {', '.join(caught)}")
    expect(rounds and caught, "crashes in the storm", f"{rounds} rounds, {caught}")


RAMOOPS = ("ramoops.mem_address=0x50000000 ramoops.mem_size=0x400000 "
           "ramoops.record_size=0x20000 ramoops.kmemdump_size=0x321000")


def _check_ramoops(there, guest, name):
    """Crash, and find in the next boot what ramoops has saved."""
    guest.run("insmod kmemdump_test.ko")
    guest.crash()
    record = there.fetch_record(guest, name)
    _check_story(there, record)
    expect(PANIC in there.reader("log", record), "the panic in the log")


def _bad(lab, message, guest_args=None, crash=None, **smem):
    """Boot with what is bad; the driver says why, and another backend works, which a @crash of
    that name shows."""
    there = lab.other(BOARD)
    fill = firmware.cold_start(there.kernel.board, **smem)
    with there.guest(None, RAMOOPS, firmware=fill, **(guest_args or {})) as guest:
        log = guest.run("dmesg")
        lines = [line for line in log.splitlines() if "minidump" in line]
        expect(any(message in line for line in lines), f"the log to say {message!r}",
               "\n".join(lines) or log[-2000:])
        expect("WARNING" not in log, "no warning", log)
        backends = guest.run("cat /sys/kernel/debug/kmemdump/backends")
        expect("minidump" not in backends and "\nramoops" in backends, "only ramoops", backends)
        with guest.ram() as ram:
            try:
                firmware.walk(ram, there.kernel.board.smem)
            except firmware.Bad:
                pass
            else:
                expect(False, "nothing for the firmware to save")
        if crash:
            _check_ramoops(there, guest, f"minidump-{crash}")


def test_no_item(lab):
    _bad(lab, "the firmware has left no table for minidumps", crash="no-item", item=601)


def test_small_items(lab):
    _bad(lab, "it is too small", crash="small-item", data=firmware.toc()[:8])
    _bad(lab, "it has no room for a subsystem", data=firmware.toc(subsystems=0))
    _bad(lab, "it has no room for a subsystem", data=firmware.toc()[:47])


def test_item_not_set_up(lab):
    _bad(lab, "the firmware has not set it up", data=firmware.toc(status=0))


def test_unknown_revision(lab):
    _bad(lab, "its revision is not known", data=firmware.toc(revision=2))


def test_not_enabled(lab):
    _bad(lab, "the firmware has not enabled minidumps", data=firmware.toc(enabled=0))


def test_encryption(lab):
    _bad(lab, "the firmware would encrypt the dump", crash="encryption",
         data=firmware.toc(encryption=firmware.YES))


def test_no_slots(lab):
    _bad(lab, "no room for regions", crash="no-slots", data=firmware.toc(modem=299))


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
    """SMEM in a flash, which reads like memory and does not take what is stored."""
    flash = lab.dumps / "flash"
    with flash.open("wb") as out:
        out.truncate(64 << 20)
        for offset, data in firmware.smem().items():
            out.seek(offset)
            out.write(data)
    drive = f"if=pflash,unit=1,format=raw,readonly=on,file={flash}"
    _bad(lab, "the firmware's table can't be written",
         {"dts": FLASH, "devices": ("-drive", drive)}, crash="not-writable")


NODE = '/ { minidump { compatible = "qcom,minidump"; }; };'


def test_node_without_smem(lab):
    """A node, and SMEM that no firmware has set up: the driver waits, and says for what."""
    there = lab.other(BOARD)
    with there.guest(None, RAMOOPS, dts=NODE) as guest:
        log = guest.run("dmesg")
        waiting = guest.run("cat /sys/kernel/debug/devices_deferred")
        expect(re.search(r"^minidump\tqcom-minidump: SMEM is not there", waiting, re.M),
               "a word on what waits", waiting)
        expect("SMEM is not initialized" in log and "WARNING" not in log, "a word on why", log)
        backends = guest.run("cat /sys/kernel/debug/kmemdump/backends")
        expect("minidump" not in backends and "\nramoops" in backends, "only ramoops", backends)
        _check_ramoops(there, guest, "minidump-no-smem")


def test_old_smem(lab):
    """Where SMEM can't have the item, nobody asks for it, and nothing is said."""
    there = lab.other(BOARD)
    fill = firmware.cold_start(there.kernel.board, version=11)
    with there.guest(None, firmware=fill) as guest:
        log = guest.run("dmesg")
        expect("minidump" not in log and "WARNING" not in log, "not a word", log)


def test_fewer_slots(lab):
    """Other subsystems have most of what the firmware can take."""
    there = lab.other(BOARD)
    with Held(there, firmware=firmware.cold_start(there.kernel.board, data=firmware.toc(modem=260)),
              append="kmemdump.coreset=minimal") as held:
        log = held.guest.run("dmesg")
        expect("201 regions asked for, but the firmware can take 300 and other subsystems have 260"
               in log, "a word on it", log)
        backends = held.guest.run("cat /sys/kernel/debug/kmemdump/backends")
        expect("minidump\thands-off\t39 slots" in backends, "what is left", backends)
        held.guest.run("insmod kmemdump_crowd.ko threads=0 regions=60 size=4096")
        _, dump = held.crash()
        core = held.save(dump, "minidump-fewer")
    expect(len(dump.regions) <= 40, "40 ranges at most", str(len(dump.regions)))
    info = _check(there, core)
    expect(set(_crowd_states(info).values()) == {("ok", "good")}, "all regions nevertheless")


def test_exactly_full(lab):
    """All that the firmware can take is in use, by others and by us."""
    there = lab.other(BOARD)
    with Held(there, firmware=firmware.cold_start(there.kernel.board,
                                                  data=firmware.toc(modem=99))) as held:
        log = held.guest.run("dmesg")
        expect("the firmware can take" not in log, "no complaint", log)
        held.guest.run("insmod kmemdump_crowd.ko threads=0 regions=300 size=4096 gap=4096")
        held.check()
        _, dump = held.crash()
        core = held.save(dump, "minidump-full")
    expect(len(dump.regions) == 201, "all slots in use", str(len(dump.regions)))
    info = _check(there, core)
    _check_crowd_bytes(info, core)
    states = _crowd_states(info)
    expect(len(states) == 300 and set(states.values()) == {("ok", "good")}, "all regions")


def test_one_subsystem(lab):
    """The smallest item that has room for us."""
    there = lab.other(BOARD)
    item = firmware.toc(subsystems=1)
    expect(len(item) == 48, "a small item")
    with Held(there, firmware=firmware.cold_start(there.kernel.board, data=item)) as held:
        held.guest.run("insmod kmemdump_test.ko")
        _, dump = held.crash()
        core = held.save(dump, "minidump-small")
    _check_story(there, core)


def _staging(there, name, **kwargs):
    """Crash with more regions than slots; bytes of the memory that the rest is put together in,
    and how many regions did not fit."""
    with Held(there, **kwargs) as held:
        held.guest.run("insmod kmemdump_crowd.ko threads=0 regions=400 size=4096 gap=4096")
        console, dump = held.crash()
        core = held.save(dump, f"minidump-staging-{name}")
    info = _check(there, core, status=None)
    _check_crowd_bytes(info, core)
    left_out = int(re.search(r"slots left to it, (\d+) pieces left out", console)[1])
    missing = sum(r["state"] == "missing" for r in info["regions"])
    expect(info["left_out"] == left_out and (missing == 0) == (left_out == 0),
           "the log, the note and the regions to agree",
           f"{left_out}, {info['left_out']}, {missing} missing")
    [head] = [r for r in dump.regions if r[0] == "KELF_HDR"]
    [size] = [len(data) for region, _, data in dump.regions if region == "Kstaging"]
    # The header is at the start of the same memory.
    return len(head[2]) + size, missing


def test_size_of_staging(lab):
    """By the parameter, by the device tree, and by both."""
    there = lab.other(BOARD)
    node = '/ { minidump { compatible = "qcom,minidump"; qcom,staging-size = <0x80000>; }; };'
    parameter = "qcom_minidump.staging_size=0x60000"
    sizes = {}
    for name, limit, kwargs in (("default", 0x400000, {}),
                                ("parameter", 0x60000, {"append": parameter}),
                                ("node", 0x80000, {"dts": node}),
                                ("both", 0x60000, {"append": parameter, "dts": node})):
        size, missing = _staging(there, name, **kwargs)
        expect(size <= limit, f"no more than {limit:#x}", f"{size:#x}")
        # Room is kept for the headers of what then turns out not to fit.
        expect((limit - size < limit // 8) == bool(missing), "no more missing than has to be",
               f"{size:#x} of {limit:#x}, {missing} missing")
        sizes[name] = size, missing
    expect(not sizes["default"][1] and sizes["node"][1] and sizes["parameter"][1] >
           sizes["node"][1], "less of what does not fit with more room", str(sizes))


def test_firmware_slots(lab):
    """What the firmware can take, by the parameter or the device tree: less and more than by
    default."""
    there = lab.other(BOARD)
    node = '/ { minidump { compatible = "qcom,minidump"; qcom,firmware-slots = <%u>; }; };'
    for modem, parameter, of_node, slots in ((60, 120, None, 60), (60, 261, None, 201),
                                             (60, 260, None, 200), (60, None, 100, 40),
                                             (60, 120, 100, 60), (240, None, 400, 160)):
        total = parameter or of_node
        append = f"qcom_minidump.firmware_slots={parameter}" if parameter else ""
        fill = firmware.cold_start(there.kernel.board, data=firmware.toc(modem=modem))
        dts = node % of_node if of_node else ""
        with Held(there, firmware=fill, append=append, dts=dts) as held:
            log = held.guest.run("dmesg")
            said = f"201 regions asked for, but the firmware can take {total} and other " \
                   f"subsystems have {modem}"
            expect((said in log) == (slots < 201), "a word if that is too few", log)
            backends = held.guest.run("cat /sys/kernel/debug/kmemdump/backends")
            expect(f"minidump\thands-off\t{slots - 1} slots" in backends, "what is left", backends)
            held.guest.run("insmod kmemdump_crowd.ko threads=0 regions=300 size=4096 gap=4096")
            held.check()
            _, dump = held.crash()
            held.save(dump, f"minidump-{total}")
        expect(len(dump.regions) == slots, f"{slots} slots in use", str(len(dump.regions)))


def test_device_tree(lab):
    """A node has the limits of a board; parameters have the last word."""
    there = lab.other(BOARD)
    node = ('/ { minidump { compatible = "qcom,minidump"; qcom,num-slots = <60>; '
            'qcom,staging-size = <0x100000>; }; };')
    with Held(there, dts=node) as held:
        log = held.guest.run("dmesg")
        bound = held.guest.run("ls /sys/bus/platform/drivers/qcom-minidump")
        expect("minidump" in bound.split() and "qcom-minidump" not in bound.split(),
               "the node to be bound, not the child of SMEM", bound + log)
        expect(not any("minidump" in line for line in _errors(held.guest)), "no error",
               str(_errors(held.guest)))
        backends = held.guest.run("cat /sys/kernel/debug/kmemdump/backends")
        expect("minidump\thands-off\t59 slots" in backends, "the limit of the node", backends)
        held.guest.run("insmod kmemdump_test.ko")
        _, dump = held.crash()
        core = held.save(dump, "minidump-node")
    expect(len(dump.regions) == 60, "60 ranges", str(len(dump.regions)))
    text = there.reader("show", core, "my_critical_data")
    expect(text == story.TEXT + "\n", "the text of the sample", text)
    with Held(there, dts=node, append="qcom_minidump.slots=50") as held:
        backends = held.guest.run("cat /sys/kernel/debug/kmemdump/backends")
        expect("minidump\thands-off\t49 slots" in backends, "the parameter", backends)


def _expect_no_table(held):
    try:
        held.collect()
    except firmware.Bad as why:
        expect("no live table: status 0x0, enabled 0x0, at 0x0" in str(why), "a cleared table",
               str(why))
    else:
        expect(False, "no table any more")


def test_unbind(lab):
    there = lab.other(BOARD)
    driver = "/sys/bus/platform/drivers/qcom-minidump"
    with Held(there) as held:
        held.guest.run("insmod kmemdump_test.ko")
        held.check()
        held.guest.run(f"echo qcom-minidump > {driver}/unbind")
        _expect_no_table(held)
        backends = held.guest.run("cat /sys/kernel/debug/kmemdump/backends")
        expect("minidump" not in backends, "no backend", backends)
        held.guest.run(f"echo qcom-minidump > {driver}/bind")
        _, dump = held.crash()
        core = held.save(dump, "minidump-unbind")
    _check_story(there, core)


def test_module(lab):
    """The driver as a module, which takes all its pointers out of SMEM when it goes."""
    there = lab.other(BOARD, "minidump_m")
    ko = there.kernel.module("drivers/soc/qcom/minidump/qcom_minidump.ko")
    with Held(there, files={"/root/qcom_minidump.ko": ko}) as held:
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
    """What the log has of errors and worse."""
    return [line for line in guest.run("dmesg -r").splitlines()
            if (match := re.match(r"<(\d+)>", line)) and int(match[1]) % 8 <= 3]


def test_module_and_node(lab):
    """The node and the child of SMEM are two devices; one has the table, without an error."""
    there = lab.other(BOARD, "minidump_m")
    ko = there.kernel.module("drivers/soc/qcom/minidump/qcom_minidump.ko")
    devices = "/sys/bus/platform/devices"
    with Held(there, files={"/root/qcom_minidump.ko": ko}, dts=NODE) as held:
        there_are = held.guest.run(f"ls {devices}").split()
        expect({"minidump", "qcom-minidump"} <= set(there_are), "two devices", str(there_are))
        aliases = {name: held.guest.run(f"cat {devices}/{name}/modalias").strip()
                   for name in ("minidump", "qcom-minidump")}
        for _ in range(2):
            held.guest.run("insmod qcom_minidump.ko")
            bound = held.guest.run("ls /sys/bus/platform/drivers/qcom-minidump").split()
            expect("minidump" in bound and "qcom-minidump" not in bound, "the node to be bound",
                   str(bound))
            held.check()
            held.guest.run("rmmod qcom_minidump")
            _expect_no_table(held)
        held.guest.run("insmod qcom_minidump.ko; insmod kmemdump_test.ko")
        expect(not any("minidump" in line for line in _errors(held.guest)), "no error",
               str(_errors(held.guest)))
        _, dump = held.crash()
        core = held.save(dump, "minidump-module-node")
    _check_story(there, core)
    # Who loads modules goes by the aliases of the devices.
    patterns = [text[6:].decode() for text in ko.read_bytes().split(b"\0")
                if text.startswith(b"alias=")]
    for name, alias in aliases.items():
        expect(any(fnmatch.fnmatchcase(alias, pattern) for pattern in patterns),
               f"the module to have the alias of {name}", f"{alias} {patterns}")


def test_short_names(lab):
    """Each has a file of its own, which all programs find."""
    there = lab.other(BOARD)
    with Held(there) as held:
        held.guest.run("insmod kmemdump_provider.ko names=a,A,ab,abc")
        running = held.check()
        _, dump = held.crash()
        held.save(dump, "minidump-names")
    for names in (running.names, dump.names):
        expect(len([name for name in names if re.match("Ka(b|bc)?(_|$)", name, re.I)]) == 4,
               "four names", str(names))


def test_vendor_driver(lab):
    """A driver that has only its include changed."""
    there = lab.other(BOARD)
    with Held(there) as held:
        held.guest.run("insmod kmemdump_vendor.ko; rmmod kmemdump_vendor; insmod kmemdump_vendor.ko")
        _, dump = held.crash()
        core = held.save(dump, "minidump-vendor")
    expect("KVENDOR_DATA" in dump.names, "a range of that name", str(dump.names))
    text = there.reader("show", core, "VENDOR_DATA")
    expect("vendor data of a minidump region" in text, "its text", text)
    text = there.reader("show", core, "VENDOR_MOVES")
    expect(text.startswith("after the move"), "where the other one has moved to", text)


def test_damaged_tables(lab):
    """Whatever is in SMEM, the firmware of the harness saves it or says why not."""
    there = lab.other(BOARD)
    with Held(there) as held:
        held.crash()
        rng = random.Random(1)
        with held.guest.ram() as ram:
            start = there.kernel.board.smem - firmware.RAM
            whole = bytes(ram[start:start + firmware.SMEM_SIZE])
            base = int.from_bytes(ram[start + 0x4030 + 40:start + 0x4030 + 48], "little")
            array = base - firmware.RAM
            regions = bytes(ram[array:array + 201 * 40])
            outcomes = {"saved": 0, "refused": 0}
            for _ in range(3000):
                for _ in range(rng.randrange(1, 6)):
                    where = rng.choice((start + 0x4000, start + 0x4030, array,
                                        start + firmware.SMEM_SIZE - 4096))
                    ram[where + rng.randrange(100)] = rng.choice((0, 1, 0x7F, 0xFF,
                                                                  rng.randrange(256)))
                try:
                    firmware.walk(ram, there.kernel.board.smem)
                    outcomes["saved"] += 1
                except firmware.Bad:
                    outcomes["refused"] += 1
                ram[start:start + firmware.SMEM_SIZE] = whole
                ram[array:array + 201 * 40] = regions
    expect(min(outcomes.values()) > 100, "both outcomes", str(outcomes))
    say(f"    {outcomes}")
