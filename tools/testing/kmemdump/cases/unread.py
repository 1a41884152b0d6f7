# SPDX-License-Identifier: GPL-2.0
"""Records of earlier crashes stay until they are read and erased."""

from harness.lab import RECORD, expect


def test_survives_reboots_and_crashes(lab):
    with lab.guest() as guest:
        guest.run("insmod kmemdump_test.ko")
        guest.crash()
        guest.run("echo user::1000:1000::/:/bin/sh > /etc/passwd")
        said = guest.run(f"su user -c 'id -u; head -c 1 /sys/fs/pstore/{RECORD}'", check=False)
        expect("1000" in said and "Permission denied" in said, "a record for root only", said)
        first = guest.run(f"md5sum /sys/fs/pstore/{RECORD}")
        guest.reboot()
        again = guest.run(f"md5sum /sys/fs/pstore/{RECORD}")
        expect(first == again, "the record to survive a reboot", first + again)

        console = guest.crash()
        expect("kmemdump: ramoops: this crash is NOT saved: a dump of an earlier one is in the way"
               in console, "the kernel to say that it saves nothing", console)
        expect("dump saved" not in console, "no second record", console)
        again = guest.run(f"md5sum /sys/fs/pstore/{RECORD}")
        expect(first == again, "the record to survive another crash", first + again)
        said = guest.run("cat /sys/fs/pstore/dmesg-ramoops-*")
        expect("this crash is NOT saved" in said, "the same in pstore's log of the crash", said)

        guest.run(f"rm /sys/fs/pstore/{RECORD}")
        guest.reboot()
        listing = guest.run("ls /sys/fs/pstore")
        expect(RECORD not in listing, "the erased record to be gone after a reboot", listing)

        guest.run("insmod kmemdump_crash.ko")
        dump, console = lab.crash(guest, "second")
        expect("dump saved," in console, "room for a new one", console)
    out = lab.reader("list", dump, status=1)
    expect("module_data" in out and "my_critical_data" not in out, "the new crash's regions", out)


def test_erased_in_the_same_boot(lab):
    """Reading and erasing makes room at once, without a reboot."""
    with lab.guest() as guest:
        guest.crash()
        guest.run(f"cat /sys/fs/pstore/{RECORD} > /dev/null && rm /sys/fs/pstore/{RECORD}")
        dump, console = lab.crash(guest, "erased")
        expect("dump saved," in console, "the second crash to be saved", console)
        expect("complete record" in lab.reader("check", dump), "a whole record")
