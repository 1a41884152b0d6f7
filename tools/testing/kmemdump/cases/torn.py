# SPDX-License-Identifier: GPL-2.0
"""Records that were not finished, or that RAM did not keep, are never shown as whole."""

import re
import time

from harness.lab import RECORD, expect


def _used(ram, zone):
    return int.from_bytes(ram[zone + 8:zone + 12], "little")


def test_reset_while_writing(lab):
    """A real one: the machine is reset in the middle of the write."""
    with lab.guest(area="0x1000000") as guest, guest.ram() as ram:
        zone = lab.find_zone(guest, ram)
        start = len(guest.text)
        guest.send("insmod kmemdump_crash.ko mode=irqsoff random_kib=14000")
        deadline = time.monotonic() + 120
        while _used(ram, zone) < 1 << 20:
            expect(time.monotonic() < deadline, "the write to begin", guest.text[-2000:])
            time.sleep(0.001)
        guest.qmp("system_reset")
        guest.wait(r"guest: booted", start=start)
        guest.wait_prompt(guest.text.index("guest: booted", start))
        expect("dump saved" not in guest.text[start:], "the reset to come before the end",
               guest.text[start:])
        dump = lab.fetch_record(guest, "torn")
    out = lab.reader("check", dump, status=1)
    expect("torn record" in out, "check to call it torn", out)
    expect("region random: cut" in out, "check to name what is cut", out)
    expect("kmemdump test: with interrupts off" in lab.reader("log", dump),
           "the log, which was written first, whole")


def _tamper(lab, name, change):
    """Crash, let @change change the zone in RAM, boot again; (record or None, boot log).
    Where no record is left, the next crash has to be saved."""
    with lab.guest() as guest:
        guest.run("insmod kmemdump_test.ko")
        guest.crash()
        guest.run("umount /sys/fs/pstore")
        with guest.ram() as ram:
            change(ram, lab.find_zone(guest, ram))
        guest.reboot()
        log = guest.run("dmesg")
        if RECORD not in guest.run("ls /sys/fs/pstore"):
            console = guest.crash()
            expect("dump saved," in console, "the next crash to be saved", console)
            out = lab.reader("check", lab.fetch_record(guest, f"{name}-next"))
            expect("complete record" in out, "a whole record of the next crash", out)
            return None, log
        return lab.fetch_record(guest, name), log


def test_commit_missing(lab):
    def change(ram, zone):
        used = _used(ram, zone) - 64
        ram[zone + 4:zone + 8] = ram[zone + 8:zone + 12] = used.to_bytes(4, "little")

    dump, _ = _tamper(lab, "uncommitted", change)
    out = lab.reader("check", dump, status=1)
    expect("torn record" in out and "complete" not in out, "a torn record", out)
    expect(re.search(r"regions: (\d+) of \1 whole", out), "its regions all the same", out)


def test_commit_of_an_older_record(lab):
    """The tail that an older record left behind does not finish a newer one."""
    def change(ram, zone):
        end = zone + 12 + _used(ram, zone)
        commit = bytearray(ram[end - 64:end])
        commit[24] ^= 0xff      # the record id; its checksum is no longer right, either
        ram[end - 64:end] = bytes(commit)

    dump, _ = _tamper(lab, "stale", change)
    out = lab.reader("check", dump, status=1)
    expect("torn record" in out and "complete" not in out, "a torn record", out)


def test_header_damaged(lab):
    """Nothing is lost for a flipped bit: the record is shown, the reader says what is wrong."""
    def change(ram, zone):
        ram[zone + 12 + 20] ^= 1

    dump, log = _tamper(lab, "header", change)
    expect(dump, "the record to be shown", log)
    expect("kmemdump record: damaged header" in log, "the kernel to say so", log)
    out = lab.reader("check", dump, status=1)
    expect("the header is damaged" in out and re.search(r"(\d+) of \1 whole", out),
           "the rest intact", out)


def test_impossible_size(lab):
    """A zone that claims more than it can hold is emptied, and works again."""
    def change(ram, zone):
        ram[zone + 8:zone + 12] = b"\xff\xff\xff\x7f"

    dump, log = _tamper(lab, "size", change)
    expect(not dump, "no record", log)
    expect("found existing invalid buffer" in log, "ramoops to say so", log)


def test_garbage(lab):
    """RAM that kept nothing: no record, and the next crash is saved."""
    def change(ram, zone):
        ram[zone:zone + 65536] = bytes((i * 7 + i // 256) & 0xff for i in range(65536))

    dump, log = _tamper(lab, "garbage", change)
    expect(not dump, "no record", log)
