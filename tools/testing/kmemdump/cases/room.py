# SPDX-License-Identifier: GPL-2.0
"""Areas of every size: too small, large, impossible."""

import re

import pytest

from harness.lab import RECORD, expect


def test_too_small(lab):
    """The log and VMCOREINFO come first. check says what is cut and what is missing."""
    dump, console = lab.crash_in("small", "irqsoff", area="0x18000", options="random_kib=512")
    expect("dump saved in part" in console, "the kernel to say that it is partial", console)
    expect(dump.stat().st_size <= 0x18000, "a record no larger than its area")

    out = lab.reader("check", dump, status=1)
    expect("partial record" in out, "check to call it partial", out)
    expect("region random: cut" in out or "region random: missing" in out,
           "check to say that the large region is cut", out)
    expect("region log_" not in out and "region vmcoreinfo" not in out,
           "the log and VMCOREINFO whole", out)
    log = lab.reader("log", dump)
    expect("Kernel panic - not syncing: kmemdump test" in log, "the whole log", log)
    lab.reader("show", dump, "random", status=1 if "random: cut" in out else 2)


def test_smaller_than_the_log(lab):
    """If even the log does not fit, the part of it that is not cut can be read."""
    dump, _ = lab.crash_in("tiny", "irqsoff", area="0x1000")
    out = lab.reader("check", dump, status=1)
    expect("partial record" in out, "check to call it partial", out)
    expect(re.search(r"region log_\w+: (cut|missing)", out), "check to name a part of the log", out)


def test_full_log(lab):
    """The minimal set stays small, whatever is in the log."""
    dump = lab.crash_with_full_log("full-log")
    expect("complete record" in lab.reader("check", dump), "a whole record")
    lines = re.findall(r"[0-9A-Za-z+/]{70}$", lab.reader("log", dump), re.M)
    expect(1000 < len(lines) < 200000 // 70, "a log that is full of them", str(len(lines)))
    expect(dump.stat().st_size <= 300 << 10, "no more than 300 KiB", str(dump.stat().st_size))


@pytest.mark.parametrize("area, log", [("0x10000", "256K"), ("0x40000", "2M")])
def test_larger_log(lab, area, log):
    """If the log is larger than the area, its end can be read: the panic, and as many older lines
    as there is room for. That is so even if the log has gone round its ring."""
    with lab.guest(area=area, append=f"log_buf_len={log} printk.devkmsg=on") as guest:
        # Lines that go to no console, and do not compress.
        guest.run("head -c 1600000 /dev/urandom | base64 -w 67 | sed 's/^/<7>/' | "
                  "dd of=/dev/kmsg bs=71 iflag=fullblock", timeout=600)
        guest.run("echo '<7>the last line' > /dev/kmsg")
        record, console = lab.crash(guest, "larger-log")
    expect("dump saved in part" in console, "the kernel to say that it is partial", console)
    log = lab.reader("log", record, status=1)
    for text in ("the last line", "sysrq: Trigger a crash",
                 "Kernel panic - not syncing: sysrq triggered crash", "Call Trace"):
        expect(text in log, f"{text!r} in the log", log[-3000:])
    lines = re.findall(r"[0-9A-Za-z+/]{67}$", log, re.M)
    # A line takes 71 bytes, and its description 112, most of which are the same for all lines.
    expect(len(lines) * 100 > int(area, 16) // 2, "older lines, too", str(len(lines)))
    expect(log.index("the last line") > log.rindex(lines[-1]), "in their order", log[-3000:])


def test_16_mib(lab):
    """A record of nearly 16 MiB; booting does not copy it until someone reads it."""
    with lab.guest(area="0x1000000") as guest:
        def copies():
            """How many allocations have room for the record."""
            rows = re.findall(r"^0x\S+ +(\d+) .*\bpages=\d+ vmalloc", guest.run("cat /proc/vmallocinfo"),
                              re.M)
            return sum(int(row) >= size for row in rows)

        console = guest.crash("insmod kmemdump_crash.ko mode=irqsoff random_kib=14000")
        expect("dump saved," in console, "the whole of it saved", console)
        guest.run("umount /sys/fs/pstore")
        guest.reboot()
        size = int(guest.run(f"stat -c %s /sys/fs/pstore/{RECORD}"))
        expect(size > 14000 * 1024, "a record of that size", str(size))
        mounted = copies()
        guest.run("umount /sys/fs/pstore")
        expect((mounted, copies()) == (1, 0), "one copy in memory while pstore is mounted, none "
               "otherwise", f"{mounted} and {copies()}")
        guest.run("mount -t pstore none /sys/fs/pstore")
        dump = lab.fetch_record(guest, "large")
    out = lab.reader("check", dump, status=1)
    expect("complete record" in out and "region random" not in out, "all of it intact", out)


# An impossible size of the area -> what the kernel says.
IMPOSSIBLE = {"0x2000000": "no room for a kmemdump area", "11": "is no multiple of 4096, or too large",
              "100000": "is no multiple of 4096, or too large",
              "0x80000000": "is no multiple of 4096, or too large"}


@pytest.mark.parametrize("area", IMPOSSIBLE)
def test_impossible_size(lab, area):
    """An impossible area is refused with a reason, and the dmesg records are there all the same."""
    with lab.guest(area=area) as guest:
        log = guest.run("dmesg")
        expect(IMPOSSIBLE[area] in log, "a clear message", log)
        guest.crash()
        shown = guest.run("ls /sys/fs/pstore")
        text = guest.run("cat /sys/fs/pstore/dmesg-ramoops-0")
    expect("dmesg-ramoops-0" in shown and "kmemdump" not in shown, "records of dmesg only", shown)
    expect("sysrq triggered crash" in text, "the log of the crash", text[-2000:])


def test_no_memory_to_read_it(lab):
    """A record that is larger than the free memory is shown as far as there is memory for it, and
    can be erased. Otherwise no later crash would be saved, and nobody would see why."""
    larger = "memmap=52M$0x10000000 ramoops.mem_size=0x3400000"
    with lab.guest(area="0x3000000", append=larger) as guest:
        guest.crash("insmod kmemdump_crash.ko mode=irqsoff random_kib=44000")
        guest.run("umount /sys/fs/pstore")
        guest.run("mkdir /fill && mount -t tmpfs -o size=100% none /fill")
        free = int(re.search(r"MemAvailable: +(\d+) kB", guest.run("cat /proc/meminfo"))[1])
        # About 31 MiB are left, because the kernel only estimates what is available. That is not
        # enough for the record of 43 MiB, but for half of it and for the shell.
        guest.run(f"dd if=/dev/zero of=/fill/all bs=1M count={free // 1024 - 31}", timeout=120)
        guest.run("mount -t pstore none /sys/fs/pstore")
        log = guest.run("dmesg")
        expect("no memory to show more than" in log and "Out of memory" not in log,
               "the kernel to say so, and nobody to be killed for it", log[-3000:])
        size = int(guest.run(f"stat -c %s /sys/fs/pstore/{RECORD}"))
        expect(0 < size < 44000 << 10, "a part of it", str(size))
        guest.run("umount /sys/fs/pstore && umount /fill && mount -t pstore none /sys/fs/pstore")
        size = int(guest.run(f"stat -c %s /sys/fs/pstore/{RECORD}"))
        expect(size > 44000 << 10, "all of it, when there is memory again", str(size))
        guest.run(f"rm /sys/fs/pstore/{RECORD}")
        dump, console = lab.crash(guest, "after-it")
    expect("dump saved," in console, "the next crash to be saved", console)
    expect("complete record" in lab.reader("check", dump), "a whole record")


def test_odd_size(lab):
    """The size is not silently rounded to a power of two."""
    with lab.guest(area="102400") as guest:
        backends = guest.run("cat /sys/kernel/debug/kmemdump/backends")
        expect("\t102388 bytes\t" in backends, "the size asked for, less ramoops' header", backends)
        shown = guest.run("cat /sys/module/ramoops/parameters/kmemdump_size")
        expect(shown.strip() == "102400", "the parameter to show it", shown)
        dump, _ = lab.crash(guest, "odd")
    expect("complete record" in lab.reader("check", dump), "a whole record")


def test_ecc(lab):
    """With ramoops' error correction, a few flipped bits in RAM cost nothing."""
    with lab.guest(append="ramoops.ecc=1") as guest:
        guest.run("insmod kmemdump_test.ko")
        guest.crash_and_hold()
        with guest.ram() as ram:
            start = lab.find_zone(guest, ram)
            for place in range(start + 200, start + 4000, 500):
                ram[place] ^= 0x10
        guest.release(hold=False)
        dump = lab.fetch_record(guest, "ecc")
    expect("complete record" in lab.reader("check", dump), "all errors corrected")
