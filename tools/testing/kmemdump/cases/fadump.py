# SPDX-License-Identifier: GPL-2.0
"""Dumps through the firmware of IBM Power, as QEMU's pseries machine has it.

The board runs all CPUs in one thread of QEMU. With several threads, QEMU 11.1 may lock up when one
CPU resets another one while a third one flushes TLBs, as in a storm.

A dump is read after another boot, so each crash costs a boot. Tests that need no machine and no
command line of their own therefore share a guest: see Shared."""

import contextlib
import hashlib
import json
import os
import re
import struct
import subprocess
import time

import pytest
from elftools.elf.elffile import ELFFile

from harness import current, host, story
from harness.debugger import Debugger
from harness.elfcore import ElfCore, Symbols
from harness.guest import BOOTED
from harness.lab import expect
from harness.tamper import overwrite

BOARD = "ppc64le-fadump"
PANIC = "Kernel panic - not syncing: sysrq triggered crash"
FILES = "/sys/kernel/fadump"
PAGE = 1 << 16
MIB = 1 << 20
# The numbers of registers in a note: the stack pointer, and the address of the next instruction.
SP, NIP = 1, 32
STACK = 1 << 15
# The bits of a kernel address that make up the physical address.
PHYSICAL = (1 << 60) - 1
# Tests that share a guest run in the same lane, in the order of this file.
SAME_GUEST = pytest.mark.xdist_group("fadump-guest")
# A reservation with room for a copy of all that the reboot overwrites. The default of 14 MiB may or
# may not be enough, which depends on the pages that the tasks happened to get.
ROOM_FOR_ALL = "kmemdump.fadump=on,32M"


def _guest(lab, append="", **kwargs):
    return lab.guest(append=append, timeout=300, **kwargs)


class Shared:
    """A guest that tests use one after the other."""

    # This prints "1" if a dump is registered, none waits, and no module is loaded.
    PROBE = "cat /sys/kernel/fadump_registered /proc/modules; ls /proc/vmcore 2>/dev/null"

    def __init__(self):
        self._guest = None

    @contextlib.contextmanager
    def guest(self, lab):
        """A guest with a registered dump, no dump that waits, and no modules. It is the guest of
        the test before if that test has passed and has left the guest in this state."""
        with contextlib.ExitStack() as stack:
            if self._guest:
                # Its console belongs to this test, too.
                os.link(self._guest.log, current.console())
            guest = self._guest or _guest(lab, ROOM_FOR_ALL,
                                          files={"/bin/kmemdump": lab.guest_reader})
            self._guest = None
            stack.callback(guest.close)
            yield guest
            if guest.run(self.PROBE, check=False) == "1\n":
                stack.pop_all()
                self._guest = guest

    def close(self):
        if self._guest:
            self._guest.close()


@pytest.fixture(scope="module")
def shared():
    it = Shared()
    yield it
    it.close()


def _wait(condition, what, seconds=120):
    """Wait until @condition() is true."""
    deadline = time.monotonic() + seconds
    while not condition():
        expect(time.monotonic() < deadline, what)
        time.sleep(0.1)


def _booted(guest, start):
    """Wait until the guest has booted. Returns the console's text from @start on, which is before
    the boot."""
    booted = guest.wait(BOOTED, 300, start)
    guest.wait_prompt(booted.end(), 300)
    return guest.text[start:]


def _register(guest):
    """Tell firmware now what is registered. The kernel would do so within a second anyway."""
    guest.run("echo 1 > /sys/kernel/fadump_registered")


def _waits(console):
    """Expect a dump that waits. Returns what the new boot says from there on."""
    expect("a dump waits" in console, "a dump", console[-12000:])
    boot = console[console.index("a dump waits"):]
    expect("in /proc/vmcore" in boot, "the dump in /proc/vmcore", boot[:3000])
    return boot


def _save(lab, guest, name):
    """Save the dump as people do, and fetch it."""
    guest.run("mkdir -p /tmp/crash && cp /proc/vmcore /tmp/crash/vmcore")
    folder = guest.fetch("/tmp/crash", lab.dumps / name)
    guest.run("rm -r /tmp/crash")
    return folder / "vmcore"


def _release(guest):
    guest.run("echo 1 > /sys/kernel/fadump_release_mem")
    expect(guest.run("ls /proc/vmcore 2>/dev/null", check=False) == "", "no /proc/vmcore")


def save_and_release(lab, guest, name):
    """Save the dump, and leave the guest in the state that Shared needs."""
    dump = _save(lab, guest, name)
    _release(guest)
    _register(guest)
    return dump


def _set_append(guest, append):
    """Set the command line of the next boot."""
    guest.qmp("qom-set", path="/machine", property="append", value=append)


def _restart(guest, command, append=None):
    """Have @command restart the guest, maybe with another command line. Returns the console's text
    of that."""
    if append is not None:
        _set_append(guest, append)
    start = len(guest.text)
    guest.send(command)
    return _booted(guest, start)


def _reservation(guest):
    """(Address, size) of the reservation, from the log of the last boot that had to find a place
    for it."""
    found = re.findall(r"reserved (\d+) MiB at (0x[0-9a-f]+)", guest.text)
    expect(found, "the reservation in the log", guest.text[:3000])
    return int(found[-1][1], 16), int(found[-1][0]) * MIB


def _free_kib(guest):
    return int(re.search(r"Mem:\s+(\d+)", guest.run("free"))[1])


def _expect_refused(guest, file, text, error):
    out = guest.run(f"echo '{text}' > {FILES}/{file}", check=False)
    expect(error in out, f"{error!r} for {text!r} in {file}", out)


DRGN = """
import json
def names(trace):
    return [frame.name for frame in trace]
print(json.dumps({
    "crashed": names(prog.crashed_thread().stack_trace()),
    "cpus": [names(prog.stack_trace(cpu_curr(prog, cpu))) for cpu in for_each_online_cpu(prog)],
    "tasks": [task.comm.string_().decode() for task in for_each_task(prog)],
    "log": get_dmesg(prog).decode()}))
"""


def _check_drgn(kernel, dump, cpus):
    """drgn finds who crashed and how, what each of @cpus CPUs ran, the tasks and the log."""
    text = host.drgn(kernel.vmlinux, dump, DRGN)
    lines = [line for line in text.splitlines() if line.startswith("{")]
    expect(lines, "an answer of drgn", text[-3000:])
    out = json.loads(lines[-1])
    expect("sysrq_handle_crash" in out["crashed"], "the stack of the crash", text[-3000:])
    expect(len(out["cpus"]) == cpus and all(len(names) > 3 for names in out["cpus"]),
           "the stack of each CPU", text[-3000:])
    expect("init" in out["tasks"] and "kthreadd" in out["tasks"], "the tasks", str(out["tasks"]))
    expect(PANIC in out["log"], "the log", out["log"][-3000:])


@SAME_GUEST
def test_story(lab, shared):
    """A dump is registered, a crash makes it, "kmemdump collect" saves and releases it, and our
    reader and stock crash open it. In between, the files in sysfs show the right state, and refuse
    what they have to."""
    with shared.guest(lab) as guest:
        total = _free_kib(guest)
        expect(guest.run("cat /sys/kernel/fadump_enabled") == "1\n", "it is enabled")
        guest.run("insmod kmemdump_test.ko; echo 1 > /sys/kernel/fadump_registered")
        expect(guest.run("cat /sys/kernel/fadump_registered") == "1\n", "it is registered")
        boot = _waits(guest.crash(timeout=300))
        expect("are not there" not in boot, "all of it", boot)
        expect(guest.run("cat /sys/kernel/fadump_registered") == "0\n", "not registered")
        kept = int(re.search(r"kept for it: (\d+) KiB, and", boot)[1])
        expect(_free_kib(guest) == total - kept, "all other memory",
               f"{kept} KiB of {total} are kept: {guest.run('free')}")
        for text in ("0", "1"):
            _expect_refused(guest, "registered", text, "Operation not permitted")
        for text in ("0", "2", "x"):
            _expect_refused(guest, "release_mem", text, "Invalid argument")
        expect("22 of 22 whole" in guest.run("kmemdump check /proc/vmcore"), "it read in place")
        out = guest.run("kmemdump collect")
        expect(re.search(r"^/proc/vmcore: saved in /var/crash/\d{14}$", out, re.M), "it saved", out)
        expect(guest.run("ls /proc/vmcore 2>/dev/null", check=False) == "", "no /proc/vmcore")
        expect(guest.run("cat /sys/kernel/fadump_registered") == "1\n", "registered anew")
        _expect_refused(guest, "release_mem", "1", "Operation not permitted")
        expect(guest.run("kmemdump collect") == "nothing to collect\n", "no more of it")
        shown = guest.run("kmemdump show /var/crash/*/vmcore my_critical_data")
        expect(shown == story.TEXT + "\n", "the text, in the guest", shown)
        [dump] = guest.fetch("/var/crash", lab.dumps / "fadump-story").glob("*/vmcore")
        guest.run("rm -r /var/crash")
        expect(_free_kib(guest) == total, "all memory again", guest.run("free"))

    expect(lab.reader("show", dump, "my_critical_data") == story.TEXT + "\n", "the text")
    expect(PANIC in lab.reader("log", dump), "the log")
    check = lab.reader("check", dump)
    expect("22 of 22 whole" in check, "all regions", check)
    # crash runs for minutes in qemu-user, so this is its only run here. The other tests use drgn.
    out = host.crash(lab.kernel.vmlinux, dump, ("sys", "bt -a", "ps"), debian="ppc64el")
    expect(f'PANIC: "{PANIC}"' in out and "sysrq_handle_crash" in out and
           re.search(r"init$", out, re.M) and "read error" not in out,
           "stock crash to open it", out[-3000:])


def _low_top(guest):
    """The end of the memory that a reboot overwrites, from the log of the last boot that made a
    reservation."""
    return int(re.findall(r"overwrites what is below (\d+) MiB", guest.text)[-1]) * MIB


def _places(guest):
    """Have the module register its regions: (name -> hash, the lowest page, the highest page)."""
    start, end = (int(line.split()[0], 16) & PHYSICAL for line in sorted(
        guest.run("grep -wE '__init_(begin|end)' /proc/kallsyms").splitlines()))
    # The lowest free page may once have been init memory, which nobody may register. Each try keeps
    # the page that was refused, so there are no more tries than such pages.
    for _ in range((end - start) // PAGE + 1):
        out = guest.run("insmod kmemdump_places.ko; echo status $?; dmesg | grep kmemdump_places")
        low, high = (int(address, 16) for address in
                     re.findall(r"lowest page (\S+), highest (\S+)", out)[-1])
        if "status 0\n" in out:
            break
        expect(start <= low < end, "no place to be refused but init memory", out)
    expect(low < 64 * MIB and low < _low_top(guest),
           "a page below 64 MiB, and where the reboot overwrites it", out)
    return dict(re.findall(r"place (\w+) ([0-9a-f]{16})", out)), low, high


def _hash(data):
    total = 0xcbf29ce484222325
    for byte in data:
        total = (total ^ byte) * 0x100000001b3 & (1 << 64) - 1
    return f"{total:016x}"


def _check_places(lab, dump, places, number=6):
    expect(len(places) == number, f"{number} places", str(places))
    for name, want in places.items():
        raw = subprocess.run([lab.reader_path, "show", "-r", dump, name], capture_output=True)
        expect(raw.returncode == 0 and _hash(raw.stdout) == want, f"the bytes of {name}",
               raw.stderr.decode())


def _crash_with_places(lab, name, append="", **kwargs):
    """Crash with regions in all places: (the dump with all of them, the console's text of the boot
    that offered it)."""
    with _guest(lab, f"{ROOM_FOR_ALL} {append}", **kwargs) as guest:
        places, _, _ = _places(guest)
        _register(guest)
        console = guest.crash(timeout=300)
        expect("are not there" not in _waits(console), "all of it", console[-5000:])
        dump = _save(lab, guest, name)
    _check_places(lab, dump, places)
    return dump, console


def _dump_of_places(lab, shared):
    """The dump that test_places and test_makedumpfile look at, and facts about its crash."""
    folder = host.run_folder() / "files" / "fadump-dump-of-places"

    def make():
        folder.mkdir(parents=True, exist_ok=True)
        with shared.guest(lab) as guest:
            guest.run("insmod kmemdump_test.ko")
            _register(guest)
            guest.run("rmmod kmemdump_test")
            places, _, high = _places(guest)
            _register(guest)
            boot = _waits(guest.crash(timeout=300))
            dump = save_and_release(lab, guest, "fadump-places")
        dump.rename(folder / "vmcore")
        (folder / "facts").write_text(json.dumps({"places": places, "high": high, "boot": boot}))

    host.once("fadump-dump-of-places", make)
    return folder / "vmcore", json.loads((folder / "facts").read_text())


@SAME_GUEST
def test_places(lab, shared):
    """Memory of all kinds is in the dump byte for byte, even if it was registered after firmware
    was first told of a dump. drgn opens the dump. A region that firmware was told of, but that was
    then unregistered, is not in the dump."""
    dump, facts = _dump_of_places(lab, shared)
    expect("are not there" not in facts["boot"], "all of it", facts["boot"])
    _check_places(lab, dump, facts["places"])
    expect(facts["high"] > (2048 - 48 - 64) * MIB,
           "a page at the top of RAM, but for the place of SLOF", hex(facts["high"]))
    expect("my_critical_data" not in lab.reader("list", dump), "not the one that went")
    _check_drgn(lab.kernel, dump, 2)


@SAME_GUEST
def test_makedumpfile(lab, shared):
    """makedumpfile prints the log of the dump, makes an ELF file with all places, and a file with
    compressed pages that is less than half as large and that drgn opens. With -d 0 it leaves out
    nothing, because there is nothing that it could leave out."""
    dump, facts = _dump_of_places(lab, shared)
    out = host.makedumpfile(dump, "--dump-dmesg", debian="ppc64el")
    expect(PANIC in out.read_text(), "the log", out.read_text()[-1000:])
    elf = host.makedumpfile(dump, "-d", "0", "-E", debian="ppc64el")
    _check_places(lab, elf, facts["places"])
    small = host.makedumpfile(dump, "-d", "0", "-l", debian="ppc64el")
    expect(small.stat().st_size * 2 < dump.stat().st_size, "a smaller file")
    _check_drgn(lab.kernel, small, 2)


def _rtas(guest):
    """(Address, size) of the firmware code that the kernel calls."""
    return [int(guest.run(f"hexdump -v -e '1/1 \"%02x\"' /proc/device-tree/rtas/{name}; echo"), 16)
            for name in ("linux,rtas-base", "rtas-size")]


def _static(kernel, name):
    """The physical address of a variable of the kernel."""
    lines = subprocess.run(["nm", kernel.vmlinux], capture_output=True, text=True,
                           check=True).stdout.splitlines()
    [address] = [line.split()[0] for line in lines if line.split()[1:] in
                 ([kind, name] for kind in "bBdD")]
    return int(address, 16) & PHYSICAL


# Offsets in the head of the reservation and in a slot of it, and the states that the head has.
STATE, IDLE, CHANGING, REGISTERED = 80, 0, 1, 2
SIZE, SLOT_SIZE, SLOTS = 24, 40, 48
SLOT, SEQ, FLAGS, NR_LOADS, NOTES_SIZE, CHECKSUM, LOAD_SIZE = 48, 8, 16, 20, 24, 40, 32
FINAL = 1


def _slots(ram, base):
    """The addresses of the slots. The one that counts comes first."""
    size, first = struct.unpack_from("<QQ", ram, base + SLOT_SIZE)
    places = [base + first, base + first + size]
    return sorted(places, key=lambda at: -struct.unpack_from("<Q", ram, at + SEQ)[0])


def _table(ram, at):
    """The bytes of the table in the slot at @at, or none if its checksum is wrong."""
    [nr_loads] = struct.unpack_from("<I", ram, at + NR_LOADS)
    [notes_size] = struct.unpack_from("<Q", ram, at + NOTES_SIZE)
    table = bytearray(ram[at:at + SLOT + nr_loads * LOAD_SIZE + notes_size])
    [checksum] = struct.unpack_from("<Q", table, CHECKSUM)
    struct.pack_into("<Q", table, CHECKSUM, 0)
    return bytes(table) if host.xxh64(bytes(table)) == checksum else b""


# In struct fadump_copies: the offset of the first entry, and the size of each.
COPY, COPY_SIZE = 16, 24


def _copies(ram, at, address):
    """The copies that have the byte at @address: [(where in RAM the copy is described, its start,
    its size)]."""
    [nr] = struct.unpack_from("<I", ram, at)
    found = [(at, *struct.unpack_from("<QQ", ram, at))
             for at in range(at + COPY, at + COPY + nr * COPY_SIZE, COPY_SIZE)]
    return [copy for copy in found if copy[1] <= address < copy[1] + copy[2]]


def _registered_copies(kernel, ram):
    """Where in RAM the kernel has the copies that are registered with firmware."""
    return struct.unpack_from("<Q", ram, _static(kernel, "registered_copies"))[0] & PHYSICAL


def _settle(lab, guest, name, low=None):
    """Wait until the kernel, by itself, has updated the table and the registration, so that they
    have the region @name and, if given, the page @low."""
    base, _ = _reservation(guest)
    pending = _static(lab.kernel, "refresh_work")

    def settled():
        with guest.ram() as ram:
            copies = _registered_copies(lab.kernel, ram)
            return (ram[base + STATE] == REGISTERED and
                    # WORK_STRUCT_PENDING
                    not ram[pending] & 1 and
                    name.encode() in _table(ram, _slots(ram, base)[0]) and
                    (low is None or _copies(ram, copies, low)))

    _wait(settled, f"{name} in the table, and nothing left to do")
    # If the work is running once more right now, it takes milliseconds.
    guest.run("sleep 1")


@SAME_GUEST
def test_no_panic_code(lab, shared):
    """A dump without a panic: the other CPUs hang with interrupts off, and firmware ends the
    system. The kernel had told firmware by itself what was registered, the registers are those that
    firmware saved, and drgn finds the log."""
    with shared.guest(lab) as guest:
        places, low, _ = _places(guest)
        guest.run("insmod kmemdump_test.ko; insmod kmemdump_crash.ko")
        functions = Symbols(guest.run("grep kmemdump_crash /proc/kallsyms"))
        rtas, rtas_size = _rtas(guest)
        _settle(lab, guest, "my_critical_data", low)
        start = len(guest.text)
        guest.send("echo firmware > /sys/module/kmemdump_crash/parameters/crash")
        boot = _booted(guest, start)
        expect("Kernel panic" not in boot, "no panic", boot[:3000])
        expect("no panic code has run" in _waits(boot), "the new kernel to see that", boot[:3000])
        dump = save_and_release(lab, guest, "fadump-no-panic-code")
    _check_places(lab, dump, places)
    expect(lab.reader("show", dump, "my_critical_data") == story.TEXT + "\n", "the text")

    # One CPU is in firmware, which runs in real mode and with the kernel's stack. The other one
    # hangs where the module told it to.
    cpus = ElfCore(dump.read_bytes()).ppc64_cpus
    shown = str([(hex(regs[NIP]), hex(regs[SP])) for _, regs in cpus])
    expect(len(cpus) == 2, "what firmware saved of both CPUs", shown)
    in_rtas = [regs for _, regs in cpus if rtas <= regs[NIP] < rtas + rtas_size]
    hang = [regs for _, regs in cpus if functions.name(regs[NIP]) in ("hang", "hang_cpu")]
    expect(len(in_rtas) == 1 and len(hang) == 1, "one in RTAS, one in hang()", shown)
    expect(all(regs[SP] >> 60 == 0xc and regs[SP] % 16 == 0 for _, regs in cpus) and
           cpus[0][1][SP] // STACK != cpus[1][1][SP] // STACK, "two stacks", shown)

    expect("firmware ends the system" in lab.reader("log", dump), "the log")
    out = host.drgn(lab.kernel.vmlinux, dump, "print(get_dmesg(prog).decode())")
    expect("firmware ends the system" in out, "drgn to show the log", out[-3000:])


@SAME_GUEST
def test_crash_while_nothing_is_registered(lab, shared):
    """A crash between the two calls of a change: panic code makes the second call, and all is
    there."""
    with shared.guest(lab) as guest:
        base, _ = _reservation(guest)
        places, _, _ = _places(guest)
        _register(guest)
        guest.run("echo 0 > /sys/kernel/fadump_registered")
        changing = _static(lab.kernel, "changing")
        with guest.ram() as ram:
            expect(ram[base + STATE] == IDLE and ram[changing] == 0, "no change to go on")
            overwrite(ram, base + STATE, bytes([CHANGING]))
            overwrite(ram, changing, b"\1")
        boot = _waits(guest.crash(timeout=300))
        expect("are not there" not in boot and "no panic code has run" not in boot, "all of it",
               boot[:3000])
        dump = save_and_release(lab, guest, "fadump-between")
    _check_places(lab, dump, places)
    expect("checksums verified" in lab.reader("check", dump), "whole regions")


@SAME_GUEST
def test_failed_copy(lab, shared):
    """If firmware can't copy a range, the regions in it are reported as missing, and all others are
    good."""
    kernel = lab.kernel
    nowhere = 1 << 40
    with shared.guest(lab) as guest:
        places, low, _ = _places(guest)
        _settle(lab, guest, "percpu", low)
        # Let firmware, and only firmware, be told of memory that does not exist.
        with guest.ram() as ram:
            [(at, start, size)] = _copies(ram, _static(kernel, "wanted"), low)
            overwrite(ram, at, struct.pack("<Q", nowhere))
        _register(guest)
        with guest.ram() as ram:
            copies = _registered_copies(kernel, ram)
            [(at, _, same)] = _copies(ram, copies, nowhere)
            expect(same == size and not _copies(ram, copies, low), "the same copy, and no other",
                   f"{same:#x} {size:#x}")
            overwrite(ram, at, struct.pack("<Q", start))
        console = guest.crash(timeout=300)
        boot = _waits(console)
        expect("firmware failed to copy 1 parts" in console and
               re.search(r"[1-9]\d* KiB of it are not there", boot), "a clear word", boot[:3000])
        dump = save_and_release(lab, guest, "fadump-failed-copy")
    expect("region low: missing" in lab.reader("check", dump, status=1), "its name")
    regions = json.loads(lab.reader("check", "--json", dump, status=1))["regions"]
    lost = {r["name"] for r in regions if r["state"] != "ok"}
    # Firmware copies only a few ranges, so other regions may be in the same one.
    near = {r["name"] for r in regions if r["pieces"] > 1 or
            (int(r["physical"], 16) < start + size and int(r["physical"], 16) + r["size"] > start)}
    expect("low" in lost and lost <= near, "only what is in that copy", f"{lost} {near}")
    kept = {name: want for name, want in places.items() if name not in lost}
    _check_places(lab, dump, kept, len(kept))


# More instructions than any change of the registration takes. A change that waited for the first
# CPU, which is held meanwhile, would never end.
STEPS_MAX = 1_000_000


def stop_in_a_change(lab, guest, instructions=None):
    """Have the second CPU do nothing but change the registration, and stop it in the middle: after
    so many @instructions from where it begins to unregister, or, by default, where the change has
    ended. Returns the debugger, which holds the machine, the CPU, and how many instructions the CPU
    has run."""
    # Keep everything else on the first CPU, so that nothing there waits for the second one.
    guest.run("insmod kmemdump_test.ko && taskset -p 1 $(pidof khvcd) && taskset -p 1 $$")
    # Some interrupts can't be moved.
    guest.run("for irq in /proc/irq/*/smp_affinity; do echo 1 2>/dev/null > $irq; done; true")
    _register(guest)
    guest.run("taskset 2 sh -c 'while :; do echo 1 > /sys/kernel/fadump_registered; done' &")
    changing = _static(lab.kernel, "changing")
    debugger = Debugger(guest)
    debugger.stop_at("fadump_rtas_command")
    cpu = debugger.run_until()
    debugger.stop_at(None)
    with guest.ram() as ram:
        done = 0
        while ram[changing] and done != instructions:
            expect(done < STEPS_MAX, "the change to end")
            debugger.step(cpu)
            done += 1
        expect(bool(ram[changing]) == (instructions is not None), "a place in the change",
               f"{done} instructions of {instructions}")
    return debugger, cpu, done


def crash_in_a_change(lab, guest, instructions):
    """Crash while the other CPU is stopped in a change: see stop_in_a_change()."""
    debugger, cpu, _ = stop_in_a_change(lab, guest, instructions)
    start = len(guest.text)
    guest.send("echo c > /proc/sysrq-trigger")
    debugger.run_others(2, cpu)
    _waits(_booted(guest, start))
    debugger.close()


@SAME_GUEST
def test_unsaved_dump_survives(lab, shared):
    """A dump that was not saved yet survives a crash and a restart of the kernel that has it, byte
    for byte. It is of a crash while the registration changed. "make check-long" crashes at more
    places of a change."""
    with shared.guest(lab) as guest:
        crash_in_a_change(lab, guest, 1000)
        first = _save(lab, guest, "fadump-first")
        _waits(guest.crash(timeout=300))
        _waits(_restart(guest, "reboot -f"))
        again = save_and_release(lab, guest, "fadump-again")
    expect(lab.reader("show", first, "my_critical_data") == story.TEXT + "\n", "the text")
    first, again = (hashlib.sha256(dump.read_bytes()).digest() for dump in (first, again))
    expect(first == again, "the same dump, byte for byte")


def _states(lab, dump, status):
    """Region -> what check says about it. The exit code of check has to be @status."""
    regions = json.loads(lab.reader("check", "--json", dump, status=status))["regions"]
    return {region["name"]: region["state"] for region in regions}


def _reboot_with(guest, change):
    """Change what the dump left in RAM, and boot again. Returns what the new boot says."""
    with guest.ram() as ram:
        change(ram)
    return _restart(guest, "reboot -f")


def _flip(at):
    def change(ram):
        overwrite(ram, at, bytes([ram[at] ^ 4]))
    return change


def _truncate(at):
    """Make it look as if the second half of the table in the slot at @at was never written."""
    def change(ram):
        table = _table(ram, at)
        expect(table, "a table that is good so far")
        half = len(table) // 2
        overwrite(ram, at + half, bytes(len(table) - half))
    return change


@SAME_GUEST
def test_damaged_table(lab, shared):
    """Bits flip in what the next kernel reads, or a part of it is lost. The kernel takes the older
    table, or says what is damaged. After the release, the dump of the next crash is good."""
    with shared.guest(lab) as guest:
        base, size = _reservation(guest)
        guest.run("insmod kmemdump_test.ko")
        _settle(lab, guest, "my_critical_data")
        _waits(guest.crash(timeout=300))
        with guest.ram() as ram:
            newest, older = _slots(ram, base)
            flags = [struct.unpack_from("<I", ram, at + FLAGS)[0] for at in (newest, older)]
            tables = [_table(ram, at) for at in (newest, older)]
            expect(struct.unpack_from("<Q", ram, base + SIZE) == (size,), "the size in the head")
        expect(flags == [FINAL, 0], "the table of the panic, and the one before", str(flags))
        expect(len(tables[0]) > 200 and b"my_critical_data" in tables[1], "two good tables")

        # The table from before the crash is still there.
        boot = _waits(_reboot_with(guest, _flip(newest + 200)))
        expect("no panic code has run" in boot, "the older table", boot[:1000])
        damaged = _save(lab, guest, "fadump-damaged")

        boot = _reboot_with(guest, _truncate(older))
        expect("both copies of its table are damaged" in boot, "a clear word", boot[:3000])
        boot = _reboot_with(guest, _flip(base + SIZE + 6))
        expect("its head is damaged" in boot, "a clear word", boot[:3000])
        guest.run("insmod kmemdump_test.ko")
        _release(guest)

        # The next dump does not suffer from this.
        _restart(guest, "reboot -f")
        guest.run("insmod kmemdump_test.ko")
        _register(guest)
        _waits(guest.crash(timeout=300))
        after = save_and_release(lab, guest, "fadump-after-damage")
    for dump in (damaged, after):
        expect(lab.reader("show", dump, "my_critical_data") == story.TEXT + "\n", "the text")


# Where QEMU puts the kernel, all of it one segment that begins at 0.
KERNEL = 4 * MIB


def _load(ram, vmlinux):
    """Replace the kernel that QEMU has put into RAM, which must not be smaller."""
    with vmlinux.open("rb") as file:
        load = next(s for s in ELFFile(file).iter_segments() if s["p_type"] == "PT_LOAD")
        data = load.data() + bytes(load["p_memsz"] - load["p_filesz"])
    expect(load["p_paddr"] == 0, "a segment from 0 on")
    overwrite(ram, KERNEL, data)


def _crash_into(guest, vmlinux, timeout=300):
    """Crash, and let another kernel boot then. Returns the console's text of that."""
    start = len(guest.text)
    guest.crash_and_hold(timeout=timeout)
    guest.qmp("set-action", reboot="reset")
    guest.qmp("system_reset")
    _wait(lambda: guest.qmp("query-status")["status"] != "shutdown", "the reset")
    with guest.ram() as ram:
        _load(ram, vmlinux)
    guest.qmp("cont")
    return _booted(guest, start)


def _build_id(vmlinux):
    with vmlinux.open("rb") as file:
        [found] = [note["n_desc"] for section in ELFFile(file).iter_sections()
                   if section["sh_type"] == "SHT_NOTE" for note in section.iter_notes()
                   if note["n_type"] == "NT_GNU_BUILD_ID"]
    return found


@SAME_GUEST
def test_another_kernel(lab, shared):
    """The kernel that boots after the crash is another build, with other addresses. It offers the
    whole dump of the first kernel, and the first kernel offers one of the other. Each dump says
    which kernel it is of, and drgn opens it with that kernel."""
    other = lab.other(BOARD, "other").kernel
    with shared.guest(lab) as guest:
        places, _, _ = _places(guest)
        _register(guest)
        first = guest.run("uname -r").strip()
        boot = _waits(_crash_into(guest, other.vmlinux))
        second = guest.run("uname -r").strip()
        expect(first != second and second.endswith("-other"), "another kernel", second)
        expect("are not there" not in boot, "all of it", boot)
        dump = save_and_release(lab, guest, "fadump-another")

        # Now the other kernel crashes, and QEMU boots the first one again.
        boot = _waits(guest.crash(timeout=300))
        expect("are not there" not in boot, "all of it", boot)
        expect(guest.run("uname -r").strip() == first, "the first kernel")
        back = save_and_release(lab, guest, "fadump-back")
    _check_places(lab, dump, places)
    for kernel, vmcore in ((lab.kernel, dump), (other, back)):
        release = (kernel.build_dir / "include/config/kernel.release").read_text().strip()
        info = ElfCore(vmcore.read_bytes()).vmcoreinfo
        expect((info["OSRELEASE"], info["BUILD-ID"]) == (release, _build_id(kernel.vmlinux)),
               f"VMCOREINFO of {release}", str(info))
        expect("checksums verified" in lab.reader("check", vmcore), "all regions")
        _check_drgn(kernel, vmcore, 2)


def _next_boot(guest, append):
    """Let the machine that is held boot with another command line. Returns where the text of that
    boot starts."""
    start = len(guest.text)
    _set_append(guest, append)
    guest.qmp("set-action", reboot="reset")
    guest.qmp("system_reset")
    guest.qmp("set-action", reboot="shutdown")
    guest.qmp("cont")
    return start


def _crash_in_boot(guest, append):
    """The console's text of a boot that panics before init."""
    start = _next_boot(guest, append)
    guest.wait("panic - not syncing: VFS: Unable to mount root fs", 300, start)
    guest.wait_held(300)
    return guest.text[start:]


@SAME_GUEST
def test_crash_in_boot(lab, shared):
    """A kernel that crashes before it registers leaves no dump, and loses no earlier one."""
    ours = lab.kernel.board.append
    early = f"{ours} initcall_blacklist=populate_rootfs,fadump_late_init"

    with shared.guest(lab) as guest:
        guest.qmp("set-action", reboot="shutdown", shutdown="pause")
        guest.send("reboot -f")
        guest.wait_held(300)
        _crash_in_boot(guest, early)
        text = _booted(guest, _next_boot(guest, ours))
        expect("a dump waits" not in text, "no dump", text[:3000])
        expect(guest.run("cat /sys/kernel/fadump_registered") == "1\n", "registered as ever")

        guest.run("insmod kmemdump_test.ko")
        places, _, _ = _places(guest)
        _register(guest)
        guest.send("echo c > /proc/sysrq-trigger")
        guest.wait_held(300)
        for _ in range(2):
            _waits(_crash_in_boot(guest, early))
        text = _waits(_booted(guest, _next_boot(guest, ours)))
        expect("are not there" not in text, "all of it", text)
        dump = save_and_release(lab, guest, "fadump-crash-in-boot")

        # The registration of the previous kernel is still there when this one crashes, but its
        # table is gone. So there is no dump, and nothing in the way of the next one.
        guest.send("echo b > /proc/sysrq-trigger")
        guest.wait_held(300)
        _crash_in_boot(guest, f"{early},fadump_early_init")
        text = _booted(guest, _next_boot(guest, ours))
        guest.qmp("set-action", reboot="reset")
        expect("a dump waits" not in text, "no dump", text[:3000])
        expect(guest.run("cat /sys/kernel/fadump_registered") == "1\n", "registered as ever")
    _check_places(lab, dump, places)
    expect(lab.reader("show", dump, "my_critical_data") == story.TEXT + "\n", "the text")


@SAME_GUEST
def test_rate(lab, shared):
    """However fast regions move, firmware is told only once a second. Each time takes two calls:
    the old registration is taken back right before the new one is made."""
    tracing = "/sys/kernel/debug/tracing"
    marker = f"{tracing}/trace_marker"
    with shared.guest(lab) as guest:
        # While nothing is registered there are no calls, so what is traced is whole.
        guest.run("dmesg -n 1; echo 0 > /sys/kernel/fadump_registered")
        guest.run(f"cd {tracing}/events/powerpc/rtas_input && echo > {tracing}/trace && "
                  "echo 'name ~ \"*configure-kernel-dump*\"' > filter && echo 1 > enable; cd")
        guest.run(f"echo start > {marker}; echo 1 > /sys/kernel/fadump_registered")
        seen = []

        def enough():
            guest.run("insmod kmemdump_storm.ko crash=0 delay_us=5000000 roam_mib=32 && "
                      "rmmod kmemdump_storm", timeout=300)
            seen[:] = re.findall(r"rtas_input: \S*configure-kernel-dump arguments: \{0x(\w+)",
                                 guest.run(f"cat {tracing}/trace"))
            return len(seen) >= 8

        _wait(enough, "firmware to be told again and again", 600)
        guest.run(f"echo 0 > /sys/kernel/fadump_registered; echo end > {marker}; "
                  f"echo 0 > {tracing}/events/powerpc/rtas_input/enable")
        trace = guest.run(f"cat {tracing}/trace")
        storms = guest.run("dmesg | grep 'storm over'").splitlines()
        guest.run("dmesg -n 7")
        _register(guest)
    expect(storms and all("result 0" in line for line in storms), "storms without errors",
           "\n".join(storms))
    start, end = map(float, re.findall(r"(\d+\.\d+): tracing_mark_write: ", trace))
    commands = [int(command, 16) for command in re.findall(
        r"rtas_input: \S*configure-kernel-dump arguments: \{0x(\w+)", trace)]
    changes = len(commands) // 2
    expect(commands == [1, 2] * changes, "each registration followed by its end", trace)
    # The timer of a second may fire a tick of 4 ms early. One of the changes at the ends is made by
    # the test itself.
    expect(changes <= (end - start) / 0.99 + 2, "one change a second",
           f"{changes} in {end - start} s:\n{trace}")


def panic_in_the_storm(lab, guest, delay):
    """Three CPUs register, move and unregister regions while the fourth one panics, after @delay
    microseconds and at least 100 rounds. Returns the dump, and the highest page that it has."""
    places, _, high = _places(guest)
    console = guest.crash(f"insmod kmemdump_storm.ko delay_us={delay}", timeout=300)
    expect(re.search(r"in the storm, after \d{3,} rounds, \d+ moves, result 0\b", console),
           "a storm without errors", console[:5000])
    _waits(console)
    dump = save_and_release(lab, guest, f"fadump-storm-{delay}")
    check = lab.reader("check", dump)
    expect("checksums verified" in check, "a whole dump", check)
    names = [line.split()[-1] for line in lab.reader("list", dump).splitlines()[1:]]
    expect({f"stable-{i}" for i in range(50)} <= set(names), "what was there all the time",
           "\n".join(names))
    _check_places(lab, dump, places)
    cpus = ElfCore(dump.read_bytes()).ppc64_cpus
    expect(len(cpus) == 4, "registers of four CPUs", str(cpus))
    return dump, high


def test_storm_on_four_cpus_and_4_gib(lab):
    """After two panics in a storm of registrations, the dumps have all regions that were there all
    the time, memory of all kinds up to the top of RAM, and the registers of all CPUs. "make
    check-long" has more of these."""
    with _guest(lab, ROOM_FOR_ALL, cpus=4, memory_mib=4096) as guest:
        for delay in (0, 9000):
            _, high = panic_in_the_storm(lab, guest, delay)
            expect(high > (4096 - 64) * MIB, "a page at the top of RAM", hex(high))


def _check_slof(lab, name, memory_mib, cpus):
    """Crash with QEMU's usual firmware, which works at the end of RAM, or of its first 2 GiB."""
    dump, console = _crash_with_places(lab.other("ppc64le-slof"), name, memory_mib=memory_mib,
                                       cpus=cpus)
    expect("SLOF" in console, "SLOF", console[:5000])
    check = lab.reader("check", dump)
    expect("checksums verified" in check, "whole regions", check)
    _check_drgn(lab.kernel, dump, cpus)
    end = min(memory_mib, 2048) * MIB
    loads = [(paddr, len(data)) for _, paddr, data in ElfCore(dump.read_bytes()).loads]
    expect(loads and not any(start < end and start + size > end - 40 * MIB
                             for start, size in loads),
           "nothing from where SLOF works", str(loads))


def test_slof(lab):
    """SLOF works below 2 GiB of the 3 GiB: all places are saved byte for byte, and none is where
    SLOF works."""
    _check_slof(lab, "fadump-slof", 3072, 2)


def test_slof_one_cpu_and_1_gib(lab):
    """SLOF works at the end of RAM: all places are saved byte for byte, and none is where SLOF
    works."""
    _check_slof(lab, "fadump-slof-small", 1024, 1)


def test_hash_mmu(lab):
    """All places are saved byte for byte where the kernel uses no radix tree. It runs with
    rodata=off, because QEMU takes 90 s to make the kernel's text read-only there."""
    _crash_with_places(lab, "fadump-hash", append="disable_radix rodata=off")


def test_end_while_the_registration_changes(lab):
    """If the system ends during a change, and no panic code finishes it, there is no dump, and the
    next kernel says so. The reservation has the size that was asked for."""
    with _guest(lab, append="kmemdump.fadump=on,24M") as guest:
        base, size = _reservation(guest)
        expect(size == 24 * MIB, "the size that was asked for", str(size))
        expect(guest.run(f"cat {FILES}/mem_reserved") == f"{size}\n", "it in sysfs")
        guest.run("echo 0 > /sys/kernel/fadump_registered")
        with guest.ram() as ram:
            expect(ram[base + STATE] == IDLE, "nothing registered")
            overwrite(ram, base + STATE, bytes([CHANGING]))
        start = len(guest.text)
        guest.qmp("system_reset")
        boot = _booted(guest, start)
    expect("the last kernel died while its registration changed" in boot and
           "a dump waits" not in boot, "a clear word", boot[:3000])


def test_no_room(lab):
    """With 512 MiB there is no reservation, the log says why, and nothing can be registered."""
    with _guest(lab, memory_mib=512) as guest:
        expect("there is no room for a reservation" in guest.text, "a reason", guest.text[:3000])
        out = guest.run(f"cat {FILES}/registered {FILES}/mem_reserved")
        expect(out == "0\n0\n", "nothing registered, nothing reserved", out)
        _expect_refused(guest, "registered", "1", "No such device")


def _expect_no_dump(guest, boot):
    """Expect no dump, neither ours nor one of mainline."""
    expect("a dump" not in boot and "dump is active" not in boot, "no dump", boot)
    expect(guest.run("ls /proc/vmcore 2>/dev/null", check=False) == "", "no /proc/vmcore")


def _check_files(guest):
    """The files behave like mainline's."""
    size = _reservation(guest)[1]
    expect(size <= 16 * MIB, "16 MiB at most", str(size))
    expect(guest.run(f"cd {FILES}; cat enabled registered mem_reserved; cd") == f"1\n1\n{size}\n",
           "enabled, registered, and the size")
    expect(f"CmaTotal:          {48 << 10} kB" in guest.run("cat /proc/meminfo"),
           "the place of SLOF for movable pages")
    guest.run("echo 0 > /sys/kernel/fadump_registered")
    expect(guest.run("cat /sys/kernel/fadump_registered") == "0\n", "unregistered")
    for text in ("2", "-1", "x", ""):
        _expect_refused(guest, "registered", text, "Invalid argument")
    expect("release_mem" not in guest.run(f"ls {FILES}"), "nothing to release")
    _register(guest)
    expect(guest.run("cat /sys/kernel/fadump_registered") == "1\n", "registered again")


def _crash_with_little_room(lab, guest, append):
    """Crash where the reservation has no room for copies of low memory, and boot with @append:
    (regions that have to be in the dump, regions that must not be there, the places of the
    module)."""
    places, _, _ = _places(guest)
    _register(guest)
    rows = [row.split("\t") for row in
            guest.run("cat /sys/kernel/debug/kmemdump/not_carried").splitlines()[1:]]
    expect(rows and all(row[0] == "fadump" and row[3] == "no room" for row in rows),
           "regions that it has no room for", str(rows))
    refused = {row[2] for row in rows}
    carried = set(lab.listing(guest)) - refused
    _set_append(guest, append)
    _waits(guest.crash(timeout=300))
    return carried, refused, places


def test_command_lines(lab):
    """Several boots, each with another command line. One asks for dumps: its files are checked. One
    has nonsense: dumps are off, and it leaves no dump when it crashes, though the kernel before
    left its registration. One has too small a reservation. One has the smallest that is accepted:
    it saves all that needs no room, and nothing if it crashes unregistered. One does not ask for
    dumps, but keeps the one that waits until it is released."""
    ours = lab.kernel.board.append
    off = ours.replace("kmemdump.fadump=on", "")
    expect(off != ours, "a board that asks for dumps", ours)
    with _guest(lab) as guest:
        _check_files(guest)

        boot = _restart(guest, "echo b > /proc/sysrq-trigger", f"{off} kmemdump.fadump=nonsense")
        expect("kmemdump.fadump=nonsense: neither on nor off" in boot, "a warning", boot[:3000])
        expect(guest.run("cat /sys/kernel/fadump_enabled") == "0\n", "it is off")

        _set_append(guest, f"{off} kmemdump.fadump=on,1M")
        boot = guest.crash(timeout=300)
        _expect_no_dump(guest, boot[boot.index(PANIC):])
        expect("1 MiB are too few" in boot, "a reason", boot)
        least = re.search(r"it takes (\d+) MiB at least", boot)[1]

        _restart(guest, "reboot -f", f"{off} kmemdump.fadump=on,{least}M")
        expect(guest.run("cat /sys/kernel/fadump_registered") == "1\n", "it is registered")
        guest.run("echo 0 > /sys/kernel/fadump_registered")
        boot = guest.crash(timeout=300)
        expect("this crash is NOT saved" in boot, "a clear word", boot)
        _expect_no_dump(guest, boot[boot.index("this crash is NOT saved"):])

        carried, refused, places = _crash_with_little_room(lab, guest, off)
        expect(guest.run("cat /sys/kernel/fadump_enabled") == "0\n", "it is off")
        dump = _save(lab, guest, "fadump-least")
        _release(guest)
        expect(guest.run(f"cat {FILES}/mem_reserved") == "0\n", "nothing is reserved")
    states = _states(lab, dump, 0)
    expect(carried <= set(states) and not refused & set(states), "all but those in the dump",
           str(states))
    expect(set(states.values()) == {"ok"}, "what is in it good", str(states))
    left = {name: value for name, value in places.items() if name in carried}
    expect(left, "places that it has room for", str(refused))
    _check_places(lab, dump, left, len(left))


def _check_mainlines_dump(lab, guest, listing):
    """The dump of mainline that waits has all regions, and is released; then mainline
    registers the next one."""
    # Keep messages from getting between the prompt and the answer.
    guest.run("dmesg -n 1")
    dump = guest.fetch_file("/proc/vmcore", lab.dumps / "fadump-mainline")
    guest.run("echo 1 > /sys/kernel/fadump_release_mem")
    guest.run("echo 1 > /sys/kernel/fadump_registered")
    guest.run("dmesg -n 7")
    lab.expect_listing(dump, listing)
    expect(lab.reader("show", dump, "my_critical_data") == story.TEXT + "\n", "the text")
    dump.unlink()


def test_mainline(lab):
    """With fadump=on, mainline has the service of firmware, and its dump of all memory has the
    regions. If such a dump waits and ours is asked for, ours stays out until the next boot, and no
    memory is freed twice."""
    with _guest(lab, append="fadump=on", memory_mib=1024, disk_mib=1200) as guest:
        expect("rtas fadump: Registration is successful!" in guest.text, "mainline registered",
               guest.text[:3000])
        expect(guest.run("cat /sys/kernel/fadump_registered") == "1\n", "the file says so")
        guest.run("insmod kmemdump_test.ko")
        listing = lab.listing(guest)
        boot = guest.crash(timeout=300)
        expect("fadump: Firmware-assisted dump is active" in boot and
               "a dump waits" not in boot, "a dump of mainline", boot[-3000:])
        _check_mainlines_dump(lab, guest, listing)

        boot = _restart(guest, "echo c > /proc/sysrq-trigger", lab.kernel.board.append)
        expect("fadump: Firmware-assisted dump is active" in boot and
               "a dump of somebody else waits" in boot, "a clear word", boot[:5000])
        expect(guest.run("cat /sys/kernel/fadump_enabled") == "0\n", "ours is off")
        before = _free_kib(guest)
        start = len(guest.text)
        guest.run("echo 1 > /sys/kernel/fadump_release_mem")
        # If memory was freed that was never reserved, handing it out shows that.
        guest.run("dd if=/dev/zero of=/tmp/all bs=1M count=400 && rm /tmp/all")
        said = guest.text[start:] + guest.run("dmesg")
        expect(not re.search(r"Bad page|BUG|WARNING: CPU|Oops", said), "no complaint", said[-3000:])
        expect(_free_kib(guest) == before, "as much memory as before", str(before))
        boot = _restart(guest, "reboot -f")
        expect(guest.run("cat /sys/kernel/fadump_registered") == "1\n", "ours registered", boot)


def test_owners(lab):
    """The user of firmware's service changes from boot to boot: mainline's registration replaces
    one of ours that was left, and the other way round. While our dump waits, mainline has to wait,
    too. With the default reservation, all regions are in the dump."""
    ours = lab.kernel.board.append
    both = f"{ours} fadump=on"
    with _guest(lab) as guest:
        # A restart without a shutdown leaves our registration. Mainline has its own in the end.
        boot = _restart(guest, "echo b > /proc/sysrq-trigger", both)
        expect("rtas fadump: Registration is successful!" in boot and "Already" not in boot,
               "mainline registered anew", boot[:3000])

        # The other way round.
        boot = _restart(guest, "echo b > /proc/sysrq-trigger", ours)
        expect(guest.run("cat /sys/kernel/fadump_registered") == "1\n", "ours registered", boot)

        # Our dump waits when mainline is asked for.
        guest.run("insmod kmemdump_test.ko")
        _register(guest)
        _set_append(guest, both)
        boot = _waits(guest.crash(timeout=300))
        expect("fadump=on has no effect in this boot" in boot and "Updated cmdline" not in boot,
               "mainline to stay out", boot[:3000])
        expect(guest.run("cat /proc/cmdline").split() == both.split(), "the command line as given")
        dump = _save(lab, guest, "fadump-owners")
        _release(guest)
        boot = _restart(guest, "reboot -f")
        expect("rtas fadump: Registration is successful!" in boot, "mainline's turn", boot[:3000])
    expect(lab.reader("show", dump, "my_critical_data") == story.TEXT + "\n", "the text")
    check = lab.reader("check", dump)
    expect("checksums verified" in check, "whole regions", check)
