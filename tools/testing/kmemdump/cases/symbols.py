# SPDX-License-Identifier: GPL-2.0
"""Regions that an administrator names by symbol, with no code."""

from harness.lab import expect

CONTROL = "/sys/kernel/debug/kmemdump/symbols"


def _write(guest, text):
    return guest.run(f"echo '{text}' > {CONTROL}", check=False)


def test_boot_parameter(lab):
    with lab.guest(append="kmemdump.symbols=linux_banner,no_such_symbol,init_uts_ns+390,"
                          "runqueues+8") as guest:
        rows = lab.listing(guest)
        expect(rows["init_uts_ns"][1:3] == ["admin", "390"], "a symbol with a size", str(rows))
        expect(rows["runqueues"][2] == str(8 * guest.board.cpus), "a per-CPU symbol", str(rows))
        log = guest.run("dmesg")
        expect("kmemdump.symbols: no_such_symbol left out: -ENOENT" in log, "a warning", log)
        dump, _ = lab.crash(guest, "symbols")
    banner = lab.reader("show", dump, "linux_banner")
    expect(banner.startswith(f"Linux version {lab.base}."), "the banner", banner)


def test_control_file(lab):
    with lab.guest() as guest:
        expect(guest.run(f"stat -c %a {CONTROL}").strip() == "600", "a file for root only")
        expect(not _write(guest, "linux_banner") and not _write(guest, "jiffies+8"), "no error")
        expect(guest.run(f"cat {CONTROL}").split() == ["linux_banner", "jiffies"], "the two of them")
        expect("File exists" in _write(guest, "jiffies"), "a symbol not to be taken twice")
        expect("No such file" in _write(guest, "nonsense_symbol"), "an unknown one refused")
        expect("Invalid argument" in _write(guest, "jiffies+many"), "a bad size refused")
        expect("No such file" in _write(guest, "-log_text"), "others' regions to stay")
        expect("File name too long" in _write(guest, "x" * 200), "too long a text refused")
        expect(not _write(guest, "-jiffies"), "removal")
        expect(guest.run(f"cat {CONTROL}").split() == ["linux_banner"], "one of them")


def test_symbol_of_a_module(lab):
    """The region of a symbol in a module goes with the module, without a complaint about the
    module."""
    with lab.guest() as guest:
        guest.run("insmod kmemdump_provider.ko")
        expect("File exists" in _write(guest, "kmemdump_provider:annotated+64"),
               "what is annotated not to be taken twice")
        expect(not _write(guest, "kmemdump_provider:dynamic+8"), "no error")
        expect("kmemdump_provider:dynamic" in lab.listing(guest), "the region")
        guest.run("rmmod kmemdump_provider")
        expect("kmemdump_provider:dynamic" not in lab.listing(guest), "the region gone")
        expect("has left" not in guest.run("dmesg"), "no warning")


def test_lockdown(lab):
    """Users who may not read kernel memory may not have it dumped either."""
    with lab.guest(append="lockdown=confidentiality kmemdump.symbols=linux_banner") as guest:
        rows = lab.listing(guest)
        expect("linux_banner" not in rows, "the boot parameter refused", str(rows))
        expect("linux_banner left out: -EPERM" in guest.run("dmesg"), "a warning")
        # debugfs itself refuses the control file, as it does any file that can be written.
        expect("ermitted" in _write(guest, "jiffies+8"), "the control file refused")


def test_classes(lab):
    """A backend that is to have only the log gets nothing else, and the list says why."""
    with lab.guest(append="kmemdump.classes=ramoops:log+nonsense") as guest:
        expect('there is no class "nonsense"' in guest.run("dmesg"), "a warning")
        guest.run("insmod kmemdump_test.ko")
        why = guest.run("cat /sys/kernel/debug/kmemdump/not_carried")
        expect("ramoops\t10\tmy_critical_data\tits class is not meant for this backend\n" in why,
               "the region and the reason", why)
        dump, _ = lab.crash(guest, "classes")
    out = lab.reader("list", dump)
    expect("log_text" in out and "my_critical_data" not in out and " core " not in out,
           "the log and nothing else", out)
