# SPDX-License-Identifier: GPL-2.0
"""Records that were not finished, or that RAM did not keep, are never shown as whole."""

import re
import struct

import pytest

from harness.debugger import Debugger
from harness.elfcore import ElfCore
from harness.host import xxh64
from harness.lab import RECORD, STORED_RECORD, ZONE, expect
from harness.tamper import overwrite

FRAME = struct.Struct("<II8sHHIQQQQQ")


def _used(ram, zone):
    return ZONE.unpack_from(ram, zone)[2]


# A record is written in this order: its header, then two writes for each frame of up to 128 KiB of
# the image. The log and all else that comes before the region of 14000 KiB take less than ten
# frames, and that region takes more than a hundred. So the first WRITES - 1 writes save some of
# that region, but not all.
WRITES = 50


def test_reset_while_writing(lab):
    """A really torn record: the machine is stopped in the middle of the write, and reset there."""
    with lab.guest(area="0x1000000", append="nokaslr") as guest, guest.ram() as ram:
        zone = lab.find_zone(guest, ram)
        start = len(guest.text)
        # The debugger stops the machine, which reads the command when it goes on.
        debugger = Debugger(guest)
        debugger.stop_at("pstore_kmemdump_write")
        guest.send("insmod kmemdump_crash.ko mode=irqsoff random_kib=14000")
        debugger.run_until_last(WRITES)
        used = _used(ram, zone)
        expect(used > 1 << 20, "a record that has begun", str(used))
        debugger.stop_at(None)
        guest.qmp("system_reset")
        # QEMU resets the machine before it takes another command, so the reset is done after this.
        guest.qmp("query-status")
        debugger.send("D")
        booted = guest.wait(r"\nguest: booted\n", start=start)
        guest.wait_prompt(booted.end())
        expect("dump saved" not in guest.text[start:], "the reset to come before the end",
               guest.text[start:])
        dump = lab.fetch_record(guest, "torn")
    expect(dump.stat().st_size == used, "what had been written", str(dump.stat().st_size))
    out = lab.reader("check", dump, status=1)
    expect("torn record" in out, "check to call it torn", out)
    expect("region random: cut" in out, "check to name what is cut", out)
    expect("kmemdump test: with interrupts off" in lab.reader("log", dump),
           "the log, which was written first, whole")


def _tamper(lab, name, change):
    """Crash, let @change change the zone in RAM at the reset, and boot: (record or None, the log of
    that boot). If no record is left, the next crash has to be saved."""
    with lab.guest() as guest:
        guest.run("insmod kmemdump_test.ko")
        lab.crash(guest, f"{name}-as-it-was")
        with guest.ram() as ram:
            change(ram, lab.find_zone(guest, ram))
        guest.release(hold=False)
        log = guest.run("dmesg")
        if RECORD in guest.run("ls /sys/fs/pstore"):
            return lab.fetch_record(guest, name), log
        dump, console = lab.crash(guest, f"{name}-next")
    expect("dump saved," in console, "the next crash to be saved", console)
    out = lab.reader("check", dump)
    expect("complete record" in out, "a whole record of the next crash", out)
    return None, log


def test_commit_missing(lab):
    """A record whose last frame is not there is torn, and all of its regions are whole."""
    def change(ram, zone):
        used = _used(ram, zone) - FRAME.size
        overwrite(ram, zone + 4, struct.pack("<II", used, used))

    dump, log = _tamper(lab, "uncommitted", change)
    expect(dump, "the record to be shown", log)
    out = lab.reader("check", dump, status=1)
    expect("torn record" in out and "complete" not in out, "a torn record", out)
    expect(re.search(r"regions: (\d+) of \1 whole", out), "its regions all the same", out)


def test_commit_of_an_older_record(lab):
    """The tail of an older record, which has another id, does not complete a newer one."""
    def change(ram, zone):
        end = zone + ZONE.size + _used(ram, zone)
        commit = list(FRAME.unpack_from(ram, end - FRAME.size))
        expect(commit[4] == 3, "the last frame to be the end mark", str(commit))
        commit[6] ^= 0xff
        data = FRAME.pack(*commit)[:-8]
        overwrite(ram, end - FRAME.size, data + struct.pack("<Q", xxh64(data)))

    dump, log = _tamper(lab, "stale", change)
    expect(dump, "the record to be shown", log)
    out = lab.reader("check", dump, status=1)
    expect("torn record" in out and "complete" not in out, "a torn record", out)


def test_header_damaged(lab):
    """A flipped bit in the header of the record loses nothing: the kernel says that the record is
    damaged, and shows it. The reader says so, too, and has all regions."""
    def change(ram, zone):
        at = zone + ZONE.size + 20
        overwrite(ram, at, bytes([ram[at] ^ 1]))

    dump, log = _tamper(lab, "header", change)
    expect(dump, "the record to be shown", log)
    expect("kmemdump record: damaged header" in log, "the kernel to say so", log)
    out = lab.reader("check", dump, status=1)
    expect("the header is damaged" in out and re.search(r"(\d+) of \1 whole", out),
           "the rest intact", out)


# Damage of the header of the zone: (offset, the bytes there, or None for a flipped bit). "sizes"
# are those from before the crash, as if the reset had lost the line of the cache with the new ones.
ZONE_DAMAGE = {"signature": (2, None), "sizes": (4, bytes(8)), "start": (4, struct.pack("<I", 4096)),
               "impossible": (8, b"\xff\xff\xff\x7f")}


@pytest.mark.parametrize("what", ZONE_DAMAGE)
def test_zone_header_damaged(lab, what):
    """The frames of a record say all that is needed. Whatever the header of its zone says, the
    record is shown, and is whole."""
    def change(ram, zone):
        at, new = ZONE_DAMAGE[what]
        overwrite(ram, zone + at, new or bytes([ram[zone + at] ^ 0x10]))

    dump, log = _tamper(lab, f"zone-{what}", change)
    expect(dump and "a record is in it" in log or what == "start", "the record to be shown", log)
    out = lab.reader("check", dump)
    expect("complete record" in out and re.search(r"(\d+) of \1 whole", out), "all of it", out)


def test_erased_for_good(lab):
    """A record that was erased is not found again, though its bytes are still in RAM."""
    with lab.guest() as guest:
        guest.run("insmod kmemdump_test.ko")
        guest.crash()
        guest.run(f"rm /sys/fs/pstore/{RECORD}")
        guest.reboot()
        log = guest.run("dmesg")
        expect(RECORD not in guest.run("ls /sys/fs/pstore") and "kmemdump area" not in log,
               "no record", log)


def test_garbage_in_a_good_zone(lab):
    """A zone that claims to have a record, but has no part of one, does not keep the next crash
    from being saved."""
    def change(ram, zone):
        used = _used(ram, zone)
        overwrite(ram, zone + ZONE.size, bytes((i * 7 + i // 256) & 0xff for i in range(used)))

    dump, log = _tamper(lab, "no-record", change)
    expect(not dump and "dropped what is in it, it is no record" in log, "no record", log)


def test_garbage(lab):
    """A zone without a signature, and with all of its record overwritten, as in RAM that has lost
    all: no record is found, no damage is reported, and the next crash is saved."""
    def change(ram, zone):
        overwrite(ram, zone, bytes((i * 7 + i // 256) & 0xff for i in range(65536)))

    dump, log = _tamper(lab, "garbage", change)
    expect(not dump, "no record", log)


def _shape(lab, record):
    """What readers depend on in a record, and what kernels may change, without the data of one
    crash."""
    data = record.read_bytes()
    at, frames = 0, []
    while at < len(data):
        frame = FRAME.unpack_from(data, at)
        frames.append(frame[:5])
        at += FRAME.size + (frame[9] if frame[4] == 2 else 0)
    core = ElfCore(lab.elf(record).read_bytes())
    [regions] = [desc for name, _, desc in core.notes if name == "KMEMDUMP"]
    head = struct.unpack_from("<10I", regions)
    rows = [regions[head[1] + i * head[2]:][:head[2]] for i in range(head[3])]
    return {
        "kinds of frames": (frames[0], set(frames[1:-1]), frames[-1]),
        "notes": [(name, kind, len(desc)) for name, kind, desc in core.notes
                  if name not in ("VMCOREINFO", "KMEMDUMP")],
        "names in VMCOREINFO": sorted(core.vmcoreinfo),
        "list of regions: version and sizes": [head[i] for i in (0, 1, 2, 4, 6)],
        "regions": sorted((row[:64].rstrip(b"\0"), struct.unpack_from("<7I", row, 128)[1],
                           struct.unpack_from("<7I", row, 128)[6]) for row in rows),
    }


def test_stored_record(lab):
    """The record that the reader's tests read is like that of a crash today."""
    stored, fresh = _shape(lab, STORED_RECORD), _shape(lab, lab.story_dump)
    for what, is_now in fresh.items():
        expect(stored[what] == is_now, f"the stored record to be like one of today: {what}",
               f"stored: {stored[what]}\ntoday:  {is_now}\n"
               f"If that is meant to be: data/README says how to renew {STORED_RECORD.name}.")
