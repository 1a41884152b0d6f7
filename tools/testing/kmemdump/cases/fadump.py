# SPDX-License-Identifier: GPL-2.0
"""Dumps through the firmware of IBM Power, as QEMU's pseries machine has it.

The board runs all CPUs in one thread of QEMU: in several, QEMU 11.1 may lock up when one of
them resets another one while a third flushes TLBs, as in a storm."""

import hashlib
import json
import re
import struct
import subprocess
import time

from harness import host, story
from harness.elfcore import ElfCore, Symbols
from harness.lab import expect

BOARD = "ppc64le-fadump"
PANIC = "Kernel panic - not syncing: sysrq triggered crash"
FILES = "/sys/kernel/fadump"
PAGE = 1 << 16
MIB = 1 << 20
# Of the registers in a note: the stack pointer, and the address of the next instruction.
SP, NIP = 1, 32
STACK = 1 << 15


def _guest(lab, append="", board=BOARD, **kwargs):
    there = lab.other(board)
    return there, there.guest(area=None, append=append, timeout=300, **kwargs)


def _settle(guest):
    """Changes reach firmware within a second."""
    guest.run("sleep 3")


def _waits(console):
    """What the new boot says of the dump."""
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


def _set_append(guest, append):
    """The command line of the next boot."""
    guest.qmp("qom-set", path="/machine", property="append", value=append)


def _reservation(guest):
    match = re.search(r"reserved (\d+) MiB at (0x[0-9a-f]+)", guest.text)
    expect(match, "the reservation in the log", guest.text[:3000])
    return int(match[2], 16), int(match[1]) * MIB


def _free_kib(guest):
    return int(re.search(r"Mem:\s+(\d+)", guest.run("free"))[1])


def _expect_refused(guest, file, text, error):
    out = guest.run(f"echo '{text}' > {FILES}/{file}", check=False)
    expect(error in out, f"{error!r} for {text!r} in {file}", out)


def test_story(lab):
    """Registered, crashed, saved, found, opened, released; and once more."""
    there = lab.other(BOARD)
    _, guest = _guest(lab, files={"/bin/kmemdump": there.guest_reader})
    with guest:
        total = _free_kib(guest)
        for turn in (1, 2):
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
            [dump] = guest.fetch("/var/crash", lab.dumps / f"fadump-story-{turn}").glob("*/vmcore")
            guest.run("rm -r /var/crash")

            expect(lab.reader("show", dump, "my_critical_data") == story.TEXT + "\n", "the text")
            expect(PANIC in lab.reader("log", dump), "the log")
            check = lab.reader("check", dump)
            expect("22 of 22 whole" in check, "all regions", check)
            out = host.crash(there.kernel.vmlinux, dump, ("sys", "bt -a", "ps"), debian="ppc64el")
            expect(f'PANIC: "{PANIC}"' in out and "sysrq_handle_crash" in out and
                   re.search(r"init$", out, re.M) and "read error" not in out,
                   "stock crash to open it", out[-3000:])
            expect(_free_kib(guest) == total, "all memory again", guest.run("free"))


def test_makedumpfile(lab):
    """It compresses the dump, and prints its log; there is nothing that it could leave out."""
    there, guest = _guest(lab)
    with guest:
        guest.run("insmod kmemdump_test.ko")
        _settle(guest)
        _waits(guest.crash(timeout=300))
        dump = _save(lab, guest, "fadump-makedumpfile")
    out = host.makedumpfile(dump, "--dump-dmesg", debian="ppc64el")
    expect(PANIC in out.read_text(), "the log", out.read_text()[-1000:])
    elf = host.makedumpfile(dump, "-d", "0", "-E", debian="ppc64el")
    expect(lab.reader("show", elf, "my_critical_data") == story.TEXT + "\n", "the text in ELF")
    for option in ("-l", "-c"):
        small = host.makedumpfile(dump, "-d", "0", option, debian="ppc64el")
        expect(small.stat().st_size * 2 < dump.stat().st_size, f"a smaller file by {option}")
        out = host.crash(there.kernel.vmlinux, small, ("bt", "ps"), debian="ppc64el")
        expect("sysrq_handle_crash" in out and re.search(r"init$", out, re.M) and
               "read error" not in out, "stock crash to open it", out[-3000:])


def _low_top(guest):
    return int(re.search(r"overwrites what is below (\d+) MiB", guest.text)[1]) * MIB


def _places(guest):
    """What the module registered where: name -> hash; and the lowest and the highest page."""
    out = guest.run("insmod kmemdump_places.ko; dmesg | grep kmemdump_places")
    low, high = (int(a, 16) for a in re.search(r"lowest page (\S+), highest (\S+)", out).groups())
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


def _crash_with_places(lab, name, **kwargs):
    _, guest = _guest(lab, **kwargs)
    with guest:
        places, _, high = _places(guest)
        _settle(guest)
        boot = _waits(guest.crash(timeout=300))
        dump = _save(lab, guest, name)
    _check_places(lab, dump, places)
    return dump, boot, high


def test_places(lab):
    """All kinds of memory, byte for byte."""
    _, _, high = _crash_with_places(lab, "fadump-places")
    expect(high > (2048 - 48 - 64) * MIB, "a page at the top of RAM, but for the place of SLOF",
           hex(high))


def test_one_cpu_and_1_gib(lab):
    _crash_with_places(lab, "fadump-small", cpus=1, memory_mib=1024)


def test_four_cpus_and_4_gib(lab):
    dump, _, high = _crash_with_places(lab, "fadump-large", cpus=4, memory_mib=4096)
    expect(high > (4096 - 64) * MIB, "a page at the top of RAM", hex(high))
    readelf = subprocess.run(["readelf", "-n", dump], capture_output=True, text=True).stdout
    expect(readelf.count("NT_PRSTATUS") == 4, "registers of four CPUs", readelf)


def _loads(dump):
    """The memory in a dump: (physical address, size) of each piece."""
    data = dump.read_bytes()
    headers = [struct.unpack_from("<IIQQQQ", data, 64 + 56 * i)
               for i in range(struct.unpack_from("<H", data, 56)[0])]
    return [(paddr, size) for kind, _, _, _, paddr, size in headers if kind == 1]


def _check_slof(lab, name, memory_mib, **kwargs):
    """With QEMU's usual firmware, which works at the end of RAM, or of its first 2 GiB."""
    dump, boot, _ = _crash_with_places(lab, name, board="ppc64le-slof", memory_mib=memory_mib,
                                       **kwargs)
    expect("SLOF" in boot and "are not there" not in boot, "SLOF, and all of it", boot[:5000])
    check = lab.reader("check", dump)
    expect("checksums verified" in check, "whole regions", check)
    out = host.crash(lab.other(BOARD).kernel.vmlinux, dump, ("bt -a", "ps"), debian="ppc64el")
    expect("sysrq_handle_crash" in out and "read error" not in out, "crash to open it", out[-3000:])
    end = min(memory_mib, 2048) * MIB
    loads = _loads(dump)
    expect(not any(start < end and start + size > end - 40 * MIB for start, size in loads),
           "nothing from where SLOF works", str(loads))


def test_slof(lab):
    _check_slof(lab, "fadump-slof", memory_mib=2048)


def test_slof_and_1_gib(lab):
    _check_slof(lab, "fadump-slof-small", memory_mib=1024, cpus=1)


def test_hash_mmu(lab):
    """QEMU takes 90 s to make the kernel's text read-only there, so it is not."""
    _crash_with_places(lab, "fadump-hash", append="disable_radix rodata=off")


def _rtas(guest):
    """Where the code of firmware is that the kernel calls."""
    return [int(guest.run(f"hexdump -v -e '1/1 \"%02x\"' /proc/device-tree/rtas/{name}; echo"), 16)
            for name in ("linux,rtas-base", "rtas-size")]


def test_hands_off(lab):
    """No panic: other CPUs hang with interrupts off, and firmware ends the system."""
    there, guest = _guest(lab)
    with guest:
        places, _, _ = _places(guest)
        guest.run("insmod kmemdump_test.ko; insmod kmemdump_crash.ko")
        functions = Symbols(guest.run("grep kmemdump_crash /proc/kallsyms"))
        rtas, rtas_size = _rtas(guest)
        _settle(guest)
        start = len(guest.text)
        guest.send("echo firmware > /sys/module/kmemdump_crash/parameters/crash")
        guest._wait_boot(start, 300)
        boot = guest.text[start:]
        expect("Kernel panic" not in boot, "no panic", boot[:3000])
        expect("no panic code has run" in _waits(boot), "the new kernel to see that", boot[:3000])
        dump = _save(lab, guest, "fadump-hands-off")
    _check_places(lab, dump, places)
    expect(lab.reader("show", dump, "my_critical_data") == story.TEXT + "\n", "the text")

    # One CPU is in firmware, which runs in real mode and with the kernel's stack. The other
    # one hangs where it was told to.
    cpus = ElfCore(dump.read_bytes()).ppc64_cpus
    shown = str([(hex(regs[NIP]), hex(regs[SP])) for _, regs in cpus])
    expect(len(cpus) == 2, "what firmware saved of both CPUs", shown)
    in_rtas = [regs for _, regs in cpus if rtas <= regs[NIP] < rtas + rtas_size]
    hang = [regs for _, regs in cpus if functions.name(regs[NIP]) in ("hang", "hang_cpu")]
    expect(len(in_rtas) == 1 and len(hang) == 1, "one in RTAS, one in hang()", shown)
    expect(all(regs[SP] >> 60 == 0xc and regs[SP] % 16 == 0 for _, regs in cpus) and
           cpus[0][1][SP] // STACK != cpus[1][1][SP] // STACK, "two stacks", shown)

    expect("firmware ends the system" in lab.reader("log", dump), "the log")
    out = host.crash(there.kernel.vmlinux, dump, ("log",), "--minimal", debian="ppc64el")
    expect("firmware ends the system" in out, "stock crash to show the log", out[-3000:])


def test_storm(lab):
    """Three CPUs register, move and unregister regions while the fourth panics."""
    _, guest = _guest(lab, cpus=4)
    with guest:
        for turn in range(3):
            guest.run("sleep 2")
            console = guest.crash(f"insmod kmemdump_storm.ko delay_us={9000 * turn}", timeout=300)
            expect(re.search(r"in the storm, after \d+ rounds, \d+ moves, result 0\b", console),
                   "a storm without errors", console[:5000])
            _waits(console)
            dump = _save(lab, guest, f"fadump-storm-{turn}")
            check = lab.reader("check", dump)
            expect("checksums verified" in check, "a whole dump", check)
            names = [line.split()[-1] for line in lab.reader("list", dump).splitlines()[1:]]
            expect({f"stable-{i}" for i in range(50)} <= set(names), "what was there all the time",
                   "\n".join(names))
            _release(guest)
            guest.run("echo 1 > /sys/kernel/fadump_registered")


def test_rate(lab):
    """However fast regions move, firmware is told once a second, each time in two calls."""
    _, guest = _guest(lab)
    tracing = "/sys/kernel/debug/tracing"
    with guest:
        guest.run(f"cd {tracing}/events/powerpc/rtas_input && "
                  "echo 'name ~ \"*configure-kernel-dump*\"' > filter && echo 1 > enable; cd")
        guest.run(f"dmesg -n 1; echo start > {tracing}/trace_marker; "
                  "insmod kmemdump_storm.ko crash=0 delay_us=8000000 roam_mib=32; "
                  f"echo end > {tracing}/trace_marker", timeout=300)
        trace = guest.run(f"cat {tracing}/trace")
        expect("result 0" in guest.run("dmesg | grep 'storm over'"), "a storm without errors")
    start, end = map(float, re.findall(r"(\d+\.\d+): tracing_mark_write: ", trace))
    commands = [int(command, 16) for command in re.findall(
        r"rtas_input: \S*configure-kernel-dump arguments: \{0x(\w+)", trace)]
    expect(len(commands) >= 6, "that firmware is told", trace)
    expect(commands == [2, 1] * (len(commands) // 2),
           "a registration right after each that is taken back", trace)
    expect(len(commands) <= 2 * (end - start + 1), "two calls a second", trace)


def test_changes(lab):
    """What is registered later is there, what was unregistered is not."""
    _, guest = _guest(lab)
    with guest:
        guest.run("insmod kmemdump_test.ko; sleep 3; rmmod kmemdump_test")
        places, _, _ = _places(guest)
        _settle(guest)
        _waits(guest.crash(timeout=300))
        dump = _save(lab, guest, "fadump-changes")
    _check_places(lab, dump, places)
    expect("my_critical_data" not in lab.reader("list", dump), "not the one that went")


def test_crash_while_the_registration_changes(lab):
    """One CPU does nothing but change it."""
    _, guest = _guest(lab)
    with guest:
        for _ in range(3):
            guest.run("insmod kmemdump_test.ko; echo 1 > /sys/kernel/fadump_registered")
            guest.run("(while :; do echo 1 > /sys/kernel/fadump_registered; done) & sleep 2")
            _waits(guest.crash(timeout=120))
            dump = _save(lab, guest, "fadump-window")
            expect(lab.reader("show", dump, "my_critical_data") == story.TEXT + "\n", "the text")
            _release(guest)


# Offset in the head of the reservation, and what stands there between the two calls.
STATE, CHANGING = 80, 1


def _static(kernel, name):
    """The physical address of a variable of the kernel."""
    lines = subprocess.run(["nm", kernel.vmlinux], capture_output=True, text=True,
                           check=True).stdout.splitlines()
    [address] = [line.split()[0] for line in lines if line.split()[1:] in
                 ([kind, name] for kind in "bBdD")]
    return int(address, 16) & (1 << 60) - 1


def test_crash_while_nothing_is_registered(lab):
    """Between the two calls of a change: panic code makes the second one."""
    there, guest = _guest(lab)
    with guest:
        base, _ = _reservation(guest)
        places, _, _ = _places(guest)
        _settle(guest)
        guest.run("echo 0 > /sys/kernel/fadump_registered")
        with guest.ram() as ram:
            ram[base + STATE] = CHANGING
            ram[_static(there.kernel, "changing")] = True
        boot = _waits(guest.crash(timeout=300))
        expect("are not there" not in boot and "no panic code has run" not in boot, "all of it",
               boot[:3000])
        dump = _save(lab, guest, "fadump-between")
    _check_places(lab, dump, places)
    expect("checksums verified" in lab.reader("check", dump), "whole regions")


def test_end_while_the_registration_changes(lab):
    """With no panic code to finish it there is no dump, and the next kernel says so."""
    _, guest = _guest(lab)
    with guest:
        base, _ = _reservation(guest)
        guest.run("echo 0 > /sys/kernel/fadump_registered")
        with guest.ram() as ram:
            ram[base + STATE] = CHANGING
        start = len(guest.text)
        guest.qmp("system_reset")
        guest._wait_boot(start, 300)
        boot = guest.text[start:]
        expect("the last kernel died while its registration changed" in boot and
               "a dump waits" not in boot, "a clear word", boot[:3000])


def test_unsaved_dump_survives(lab):
    """A crash and a restart of the kernel that has the dump cost nothing of it."""
    _, guest = _guest(lab)
    with guest:
        guest.run("insmod kmemdump_test.ko")
        _settle(guest)
        _waits(guest.crash(timeout=300))
        first = hashlib.sha256(_save(lab, guest, "fadump-first").read_bytes()).digest()
        _waits(guest.crash(timeout=300))
        start = len(guest.text)
        guest.reboot(timeout=300)
        _waits(guest.text[start:])
        again = hashlib.sha256(_save(lab, guest, "fadump-again").read_bytes()).digest()
        expect(first == again, "the same dump, byte for byte")
        _release(guest)


# In struct fadump_copies: where the copies start, and how they follow.
COPY, COPY_SIZE = 16, 24


def _copy(ram, copies, page):
    """The copy that has @page: where in RAM it is told of, its start, its size."""
    [nr] = struct.unpack_from("<I", ram, copies)
    found = [(at, *struct.unpack_from("<QQ", ram, at))
             for at in range(copies + COPY, copies + COPY + nr * COPY_SIZE, COPY_SIZE)]
    having = [copy for copy in found if copy[1] <= page < copy[1] + copy[2]]
    expect(len(having) == 1, f"one copy of {page:#x}", str(found))
    return having[0]


def test_failed_copy(lab):
    """Firmware can't copy a part: what is in there is missing by name, all else is good."""
    there, guest = _guest(lab)
    kernel = there.kernel
    nowhere = 1 << 40
    with guest:
        places, low, _ = _places(guest)
        _settle(guest)
        # Have firmware told of memory that does not exist, and only firmware.
        with guest.ram() as ram:
            at, start, size = _copy(ram, _static(kernel, "wanted"), low)
            struct.pack_into("<Q", ram, at, nowhere)
        guest.run("echo 1 > /sys/kernel/fadump_registered")
        with guest.ram() as ram:
            [told] = struct.unpack_from("<Q", ram, _static(kernel, "told"))
            at, _, same = _copy(ram, told & (1 << 60) - 1, nowhere)
            expect(same == size, "the same copy", f"{same:#x} {size:#x}")
            struct.pack_into("<Q", ram, at, start)
        boot = _waits(guest.crash(timeout=300))
        expect("firmware failed to copy 1 parts" in guest.text and
               re.search(r"[1-9]\d* KiB of it are not there", boot), "a clear word", boot[:3000])
        dump = _save(lab, guest, "fadump-failed-copy")
    expect("region low: missing" in lab.reader("check", dump, status=1), "its name")
    regions = json.loads(lab.reader("check", "--json", dump, status=1))["regions"]
    lost = {r["name"] for r in regions if r["state"] != "ok"}
    # Firmware copies a few ranges, so others may be in the same one.
    near = {r["name"] for r in regions if r["segments"] > 1 or
            (int(r["physical"], 16) < start + size and int(r["physical"], 16) + r["size"] > start)}
    expect("low" in lost and lost <= near, "only what is in that copy", f"{lost} {near}")
    kept = {name: want for name, want in places.items() if name not in lost}
    _check_places(lab, dump, kept, len(kept))


def _states(lab, dump, status):
    """Region -> what the check, which ends with @status, says of it."""
    regions = json.loads(lab.reader("check", "--json", dump, status=status))["regions"]
    return {region["name"]: region["state"] for region in regions}


# Offsets in the head and in a slot of the reservation.
SLOT_SIZE, SLOTS = 40, 48
SLOT, SEQ, NR_LOADS, NOTES_SIZE, LOAD_SIZE = 48, 8, 20, 24, 32


def _slots(ram, base):
    """Where the slots are, the one that counts first."""
    size, first = struct.unpack_from("<QQ", ram, base + SLOT_SIZE)
    places = [base + first, base + first + size]
    return sorted(places, key=lambda at: -struct.unpack_from("<Q", ram, at + SEQ)[0])


def _reboot_with(guest, change):
    """Change what the dump left in RAM, and boot again; what the new boot says."""
    with guest.ram() as ram:
        change(ram)
    start = len(guest.text)
    guest.reboot(timeout=300)
    return guest.text[start:]


def _flip(at):
    def change(ram):
        ram[at] ^= 4
    return change


def _truncate(at):
    """The second half of the table in that slot was never written."""
    def change(ram):
        [nr_loads] = struct.unpack_from("<I", ram, at + NR_LOADS)
        [notes_size] = struct.unpack_from("<Q", ram, at + NOTES_SIZE)
        size = SLOT + nr_loads * LOAD_SIZE + notes_size
        ram[at + size // 2:at + size] = bytes(size - size // 2)
    return change


def test_damaged_table(lab):
    """Bits flip in what the next kernel reads, and a part of it is lost."""
    _, guest = _guest(lab)
    with guest:
        base, _ = _reservation(guest)
        guest.run("insmod kmemdump_test.ko")
        _settle(guest)
        guest.crash(timeout=300)
        with guest.ram() as ram:
            newest, older = _slots(ram, base)

        # There is the one from before the crash.
        boot = _waits(_reboot_with(guest, _flip(newest + 200)))
        expect("no panic code has run" in boot, "the older table", boot[:1000])
        dump = _save(lab, guest, "fadump-damaged")
        expect(lab.reader("show", dump, "my_critical_data") == story.TEXT + "\n", "the text")

        boot = _reboot_with(guest, _truncate(older))
        expect("both copies of its table are damaged" in boot, "a clear word", boot[:3000])
        boot = _reboot_with(guest, _flip(base + 30))
        expect("its head is damaged" in boot, "a clear word", boot[:3000])
        guest.run("insmod kmemdump_test.ko")
        _release(guest)

        # What comes next is none the worse.
        guest.reboot(timeout=300)
        guest.run("insmod kmemdump_test.ko")
        _settle(guest)
        _waits(guest.crash(timeout=300))
        dump = _save(lab, guest, "fadump-after-damage")
    expect(lab.reader("show", dump, "my_critical_data") == story.TEXT + "\n", "the text")


def test_no_room(lab):
    _, guest = _guest(lab, memory_mib=512)
    with guest:
        expect("there is no room for a reservation" in guest.text, "a reason", guest.text[:3000])
        out = guest.run(f"cat {FILES}/registered {FILES}/mem_reserved")
        expect(out == "0\n0\n", "nothing registered, nothing reserved", out)
        _expect_refused(guest, "registered", "1", "No such device")


def test_size(lab):
    there, guest = _guest(lab, append="kmemdump.fadump=on,24M")
    with guest:
        expect(_reservation(guest)[1] == 24 * MIB, "the size that was asked for")
        expect(guest.run(f"cat {FILES}/mem_reserved") == f"{24 * MIB}\n", "it in sysfs")
    _, guest = _guest(lab, append="kmemdump.fadump=on,1M")
    with guest:
        expect("1 MiB are too few" in guest.text, "a reason", guest.text[:3000])
        least = re.search(r"it takes (\d+) MiB at least", guest.text)[1]

    # What is low has no room then, and what is not low needs none.
    _, guest = _guest(lab, append=f"kmemdump.fadump=on,{least}M")
    with guest:
        places, _, _ = _places(guest)
        _settle(guest)
        rows = [row.split("\t") for row in
                guest.run("cat /sys/kernel/debug/kmemdump/not_carried").splitlines()[1:]]
        expect(rows and all(row[0] == "fadump" and row[3] == "no room" for row in rows),
               "regions that it has no room for", str(rows))
        refused = {row[2] for row in rows}
        carried = set(there.listing(guest)) - refused
        _waits(guest.crash(timeout=300))
        dump = _save(lab, guest, "fadump-least")
    states = _states(lab, dump, 0)
    expect(carried <= set(states) and not refused & set(states), "all but those in the dump",
           str(states))
    expect(set(states.values()) == {"ok"}, "what is in it good", str(states))
    left = {name: value for name, value in places.items() if name in carried}
    _check_places(lab, dump, left, len(left))


def test_parameter(lab):
    _, guest = _guest(lab, append="kmemdump.fadump=nonsense")
    with guest:
        expect("kmemdump.fadump=nonsense: neither on nor off" in guest.text, "a warning",
               guest.text[:3000])
        expect(guest.run("cat /sys/kernel/fadump_enabled") == "0\n", "it is off")


def test_files(lab):
    """The files behave as mainline's."""
    _, guest = _guest(lab)
    with guest:
        size = _reservation(guest)[1]
        expect(size <= 16 * MIB, "16 MiB at most", str(size))
        expect(guest.run(f"cd {FILES}; cat enabled registered mem_reserved") == f"1\n1\n{size}\n",
               "enabled, registered, and the size")
        expect(f"CmaTotal:          {48 << 10} kB" in guest.run("cat /proc/meminfo"),
               "the place of SLOF for movable pages")
        guest.run("echo 0 > /sys/kernel/fadump_registered")
        expect(guest.run("cat /sys/kernel/fadump_registered") == "0\n", "unregistered")
        for text in ("2", "-1", "x", ""):
            _expect_refused(guest, "registered", text, "Invalid argument")
        expect("release_mem" not in guest.run(f"ls {FILES}"), "nothing to release")

        # Nobody has it: the firmware does not know of a dump.
        console = guest.crash(timeout=300)
        expect("this crash is NOT saved" in console and "a dump waits" not in console,
               "that there is none", console[-3000:])


def test_before_registration(lab):
    _, guest = _guest(lab, append="initcall_blacklist=fadump_late_init")
    with guest:
        console = guest.crash(timeout=300)
        expect("a dump waits" not in console, "no dump", console[-3000:])


def test_mainline(lab):
    """With fadump=on mainline has the service, and its dump of all memory has the regions."""
    there, guest = _guest(lab, append="fadump=on", memory_mib=1024, disk_mib=1200)
    with guest:
        expect("rtas fadump: Registration is successful!" in guest.text, "mainline registered",
               guest.text[:3000])
        expect(guest.run("cat /sys/kernel/fadump_registered") == "1\n", "the file says so")
        guest.run("insmod kmemdump_test.ko")
        listing = there.listing(guest)
        console = guest.crash(timeout=300)
        expect("fadump: Firmware-assisted dump is active" in console and
               "a dump waits" not in console, "a dump of mainline", console[-3000:])
        # Messages would get between the prompt and the answer.
        guest.run("dmesg -n 1")
        dump = guest.fetch_file("/proc/vmcore", lab.dumps / "fadump-mainline")
        guest.run("echo 1 > /sys/kernel/fadump_release_mem")
        guest.run("echo 1 > /sys/kernel/fadump_registered")
    lab.expect_listing(dump, listing)
    expect(lab.reader("show", dump, "my_critical_data") == story.TEXT + "\n", "the text")
    dump.unlink()


def test_owners(lab):
    """Who has the service changes from boot to boot."""
    there, guest = _guest(lab)
    both = f"{there.kernel.board.append} fadump=on"
    with guest:
        ours = there.kernel.board.append

        # A restart out of order leaves our registration; mainline has its own in the end.
        boot = _restart(guest, "echo b > /proc/sysrq-trigger", both)
        expect("rtas fadump: Registration is successful!" in boot and "Already" not in boot,
               "mainline registered anew", boot[:3000])

        # The other way round.
        boot = _restart(guest, "echo b > /proc/sysrq-trigger", ours)
        expect(guest.run("cat /sys/kernel/fadump_registered") == "1\n", "ours registered", boot)

        # Our dump waits where mainline is asked for.
        guest.run("insmod kmemdump_test.ko")
        _settle(guest)
        _set_append(guest, both)
        console = guest.crash(timeout=300)
        boot = _waits(console)
        expect("fadump=on has no effect in this boot" in boot and "Updated cmdline" not in boot,
               "mainline to stay out", boot[:3000])
        expect(guest.run("cat /proc/cmdline").split() == both.split(), "the command line as given")
        dump = _save(lab, guest, "fadump-owners")
        _release(guest)
        start = len(guest.text)
        guest.reboot(timeout=300)
        expect("rtas fadump: Registration is successful!" in guest.text[start:], "mainline's turn",
               guest.text[start:][:3000])
    expect(lab.reader("show", dump, "my_critical_data") == story.TEXT + "\n", "the text")


def _restart(guest, command, append):
    """Restart with another command line; the console's text of all that."""
    _set_append(guest, append)
    start = len(guest.text)
    guest.send(command)
    guest._wait_boot(start, 300)
    return guest.text[start:]


def test_dump_of_mainline_waits(lab):
    """Where a dump of mainline waits, ours stays out, and no memory is freed twice."""
    there, guest = _guest(lab, append="fadump=on", memory_mib=1024)
    ours = there.kernel.board.append
    with guest:
        boot = _restart(guest, "echo c > /proc/sysrq-trigger", ours)
        expect("fadump: Firmware-assisted dump is active" in boot and
               "a dump of somebody else waits" in boot, "a clear word", boot[:5000])
        expect(guest.run("cat /sys/kernel/fadump_enabled") == "0\n", "ours is off")
        before = guest.run("free")
        start = len(guest.text)
        guest.run("echo 1 > /sys/kernel/fadump_release_mem")
        # Whoever frees what was never reserved is found out when it is handed out.
        guest.run("dd if=/dev/zero of=/tmp/all bs=1M count=400 && rm /tmp/all")
        after = guest.run("free")
        said = guest.text[start:] + guest.run("dmesg")
        expect(not re.search(r"Bad page|BUG|WARNING: CPU|Oops", said), "no complaint", said[-3000:])
        expect(re.search(r"Mem:\s+\d+", before)[0] == re.search(r"Mem:\s+\d+", after)[0],
               "as much memory as before", before + after)
        boot = _restart(guest, "reboot -f", ours)
        expect(guest.run("cat /sys/kernel/fadump_registered") == "1\n", "ours registered", boot)


def test_left_registration(lab):
    """A kernel that asks for no dumps has none, though the last one left a registration."""
    there, guest = _guest(lab)
    with guest:
        _restart(guest, "echo b > /proc/sysrq-trigger",
                 there.kernel.board.append.replace("kmemdump.fadump=on", ""))
        expect(guest.run("cat /sys/kernel/fadump_enabled") == "0\n", "it is off")
        console = guest.crash(timeout=300)
        expect("a dump" not in console and "dump is active" not in console, "no dump", console)
        expect(guest.run("ls /proc/vmcore 2>/dev/null", check=False) == "", "no /proc/vmcore")


def _next_boot(guest, append):
    """Let the machine that is held boot with another command line; where its text starts."""
    start = len(guest.text)
    _set_append(guest, append)
    guest.qmp("set-action", reboot="reset")
    guest.qmp("system_reset")
    guest.qmp("set-action", reboot="shutdown")
    guest.qmp("cont")
    return start


def _crash_in_boot(guest, append):
    """The console's text of a boot that gets to no init."""
    start = _next_boot(guest, append)
    guest.wait("panic - not syncing: VFS: Unable to mount root fs", 300, start)
    guest.wait_held(300)
    return guest.text[start:]


def test_crash_in_boot(lab):
    """A kernel that crashes before it registers keeps nothing, and costs no earlier dump."""
    there, guest = _guest(lab, hold=True)
    ours = there.kernel.board.append
    early = f"{ours} initcall_blacklist=populate_rootfs,fadump_late_init"

    def boot():
        start = _next_boot(guest, ours)
        guest._wait_boot(start, 300)
        return guest.text[start:]

    with guest:
        guest.send("reboot -f")
        guest.wait_held(300)
        _crash_in_boot(guest, early)
        text = boot()
        expect("a dump waits" not in text, "no dump", text[:3000])
        expect(guest.run("cat /sys/kernel/fadump_registered") == "1\n", "registered as ever")

        guest.run("insmod kmemdump_test.ko")
        places, _, _ = _places(guest)
        _settle(guest)
        guest.send("echo c > /proc/sysrq-trigger")
        guest.wait_held(300)
        for _ in range(2):
            _waits(_crash_in_boot(guest, early))
        text = _waits(boot())
        expect("are not there" not in text, "all of it", text)
        dump = _save(lab, guest, "fadump-crash-in-boot")
        _release(guest)

        # The registration of the kernel before is still there when this one crashes, but
        # its table is gone: there is no dump, and nothing in the way of the next one.
        guest.run("echo 1 > /sys/kernel/fadump_registered")
        guest.send("echo b > /proc/sysrq-trigger")
        guest.wait_held(300)
        _crash_in_boot(guest, f"{early},fadump_early_init")
        text = boot()
        expect("a dump waits" not in text, "no dump", text[:3000])
        expect(guest.run("cat /sys/kernel/fadump_registered") == "1\n", "registered as ever")
    _check_places(lab, dump, places)
    expect(lab.reader("show", dump, "my_critical_data") == story.TEXT + "\n", "the text")


# Where QEMU puts the kernel, all of it one segment that begins at 0.
KERNEL = 4 * MIB


def _load(ram, vmlinux):
    """Put a kernel where QEMU has put one that is not smaller."""
    data = vmlinux.read_bytes()
    offset, _, paddr, filesz, memsz, _ = struct.unpack_from("<QQQQQQ", data, 64 + 8)
    expect(paddr == 0 and struct.unpack_from("<I", data, 64)[0] == 1, "a segment from 0 on")
    ram[KERNEL:KERNEL + memsz] = data[offset:offset + filesz] + bytes(memsz - filesz)


def _crash_into(guest, vmlinux, timeout=300):
    """Crash, and have another kernel boot then; the console's text of all that."""
    start = len(guest.text)
    guest.qmp("set-action", reboot="shutdown", shutdown="pause")
    guest.send("echo c > /proc/sysrq-trigger")
    guest.wait_held(timeout)
    guest.qmp("set-action", reboot="reset")
    guest.qmp("system_reset")
    while guest.qmp("query-status")["status"] == "shutdown":
        time.sleep(0.1)
    with guest.ram() as ram:
        _load(ram, vmlinux)
    guest.qmp("cont")
    guest._wait_boot(start, timeout)
    return guest.text[start:]


def test_another_kernel(lab):
    """The kernel that boots is another build, where all is elsewhere: it offers the dump of
    the first one whole; and the other way round."""
    there, other = lab.other(BOARD), lab.other(BOARD, "other").kernel
    files = {"/bin/kmemdump": there.guest_reader}
    _, guest = _guest(lab, files=files)
    with guest:
        places, _, _ = _places(guest)
        _settle(guest)
        first = guest.run("uname -r").strip()
        boot = _waits(_crash_into(guest, other.vmlinux))
        second = guest.run("uname -r").strip()
        expect(first != second and second.endswith("-other"), "another kernel", second)
        expect("are not there" not in boot, "all of it", boot)
        dump = _save(lab, guest, "fadump-another")
        guest.run("kmemdump collect")

        # What crashes now is the other one, and QEMU boots the first again.
        _settle(guest)
        boot = _waits(guest.crash(timeout=300))
        expect("are not there" not in boot, "all of it", boot)
        expect(guest.run("uname -r").strip() == first, "the first kernel")
        back = _save(lab, guest, "fadump-back")
    _check_places(lab, dump, places)
    for kernel, vmcore in ((there.kernel, dump), (other, back)):
        release = (kernel.build_dir / "include/config/kernel.release").read_text().strip()
        build_id = re.search(r"Build ID: (\w+)", subprocess.run(
            ["readelf", "-n", kernel.vmlinux], capture_output=True, text=True).stdout)[1]
        data = vmcore.read_bytes()
        expect(f"OSRELEASE={release}\nBUILD-ID={build_id}\n".encode() in data,
               f"VMCOREINFO of {release}")
        expect("checksums verified" in lab.reader("check", vmcore), "all regions")
        out = host.crash(kernel.vmlinux, vmcore, ("sys", "bt"), debian="ppc64el")
        expect(f'PANIC: "{PANIC}"' in out and "sysrq_handle_crash" in out and
               "read error" not in out, "stock crash to open it", out[-3000:])


def test_not_switched_on(lab):
    """A boot that does not ask for dumps still keeps the one that waits."""
    there, guest = _guest(lab)
    with guest:
        guest.run("insmod kmemdump_test.ko")
        _settle(guest)
        _set_append(guest, there.kernel.board.append.replace("kmemdump.fadump=on", ""))
        _waits(guest.crash(timeout=300))
        expect(guest.run("cat /sys/kernel/fadump_enabled") == "0\n", "it is off")
        dump = _save(lab, guest, "fadump-off")
        _release(guest)
        expect(guest.run(f"cat {FILES}/mem_reserved") == "0\n", "nothing is reserved")
    expect(lab.reader("show", dump, "my_critical_data") == story.TEXT + "\n", "the text")
