# SPDX-License-Identifier: GPL-2.0
"""The story that a driver author lives, from insmod to the text on the host."""

import re
import shutil
import subprocess

from harness import host, story
from harness.lab import RECORD, expect

OOT_MAKEFILE = """\
obj-m += kmemdump_test.o

all:
\tmake -C $(BUILD) M=$(CURDIR) modules
.PHONY: all
"""


def _check_dump(lab, dump):
    text = lab.reader("show", dump, "my_critical_data")
    expect(text == story.TEXT + "\n", "the text of the sample", text)

    listing = lab.reader("list", dump)
    row = re.search(r"^10 +driver +ok .* 1024 +1 kmemdump_test +my_critical_data$", listing, re.M)
    expect(row, "the region with id, class, size and owner in 'list'", listing)
    for name in ("log_prb", "log_ring", "log_descs", "log_infos", "log_text", "vmcoreinfo"):
        expect(re.search(rf" ok .* kernel +{name}$", listing, re.M), f"{name} in 'list'", listing)
    expect("complete record" in lab.reader("check", dump), "check to find it complete")


def test_sample_from_the_tree(lab):
    dump = lab.dumps / RECORD
    in_ram, console, left = story.play(lab, dump)
    expect("Kernel panic - not syncing: sysrq triggered crash" in console, "the panic")
    expect("Rebooting in" in console, "a reboot by the guest itself")
    expect(RECORD not in left and "dmesg-ramoops-0" in left,
           "rm to erase the record and nothing else", left)
    _check_dump(lab, dump)
    # Other tests rely on this.
    expect(dump.read_bytes() == in_ram.read_bytes(), "the file that RAM had at the reset")


def test_sample_out_of_tree(lab):
    folder = lab.dumps / "sample"
    folder.mkdir()
    shutil.copy(host.REPO / "samples/kmemdump/kmemdump_test.c", folder)
    (folder / "Makefile").write_text(OOT_MAKEFILE)
    expect(OOT_MAKEFILE.count("\n") == 5, "a Makefile of five lines")
    with host.lock(f"kernel-{lab.kernel.name}"):
        proc = subprocess.run(["make", "-C", str(folder), f"BUILD={lab.kernel.build_dir}"],
                              capture_output=True, text=True)
    expect(proc.returncode == 0 and "warning" not in proc.stderr, "the module to build",
           proc.stdout + proc.stderr)
    with lab.guest(files={"/root/outside.ko": folder / "kmemdump_test.ko"}) as guest:
        guest.run("insmod outside.ko")
        dump, _ = lab.crash(guest, "out-of-tree")
    _check_dump(lab, dump)


def test_unload(lab):
    with lab.guest() as guest:
        guest.run("insmod kmemdump_test.ko")
        listing = guest.run("cat /sys/kernel/debug/kmemdump/regions")
        expect(re.search(r"^10\tdriver\t1024\t1\tkmemdump_test\tramoops\tmy_critical_data$",
                         listing, re.M), "the region in debugfs", listing)
        backends = guest.run("cat /sys/kernel/debug/kmemdump/backends")
        expect(re.search(r"^ramoops\twriter\t4194292 bytes\t\d+\t0\t0$", backends, re.M),
               "the backend in debugfs", backends)
        mode = guest.run("stat -c %a /sys/kernel/debug/kmemdump/*")
        expect(set(mode.split()) == {"400", "600"}, "debugfs files for root only", mode)
        guest.run("rmmod kmemdump_test")
        listing = guest.run("cat /sys/kernel/debug/kmemdump/regions")
        expect("my_critical_data" not in listing, "unload to unregister", listing)
        guest.run("insmod kmemdump_test.ko && rmmod kmemdump_test")
        dump, _ = lab.crash(guest, "unload")
    expect("my_critical_data" not in lab.reader("list", dump), "nothing of the unloaded module")


def test_log(lab):
    with lab.guest() as guest:
        guest.run("insmod kmemdump_test.ko")
        before = guest.run("dmesg")
        dump, console = lab.crash(guest, "log")
    log = lab.reader("log", dump)
    want = before.strip().splitlines()
    got = [line.rstrip() for line in log.splitlines()]
    expect(got[:len(want)] == [line.rstrip() for line in want], "the log as dmesg printed it",
           "\n".join(got[:len(want)]))
    expect("Kernel panic - not syncing: sysrq triggered crash" in log, "the panic in the log", log)
    trace = re.search(r"(\[[^\n]*Call Trace:.*?</TASK>)", console, re.S)
    expect(trace and trace[1].splitlines()[-1] in got, "the log up to the end of the trace", log)


def test_larger_log(lab):
    """With log_buf_len=, the kernel no longer uses the buffers that its symbols name."""
    with lab.guest(append="log_buf_len=1M") as guest:
        expect(lab.listing(guest)["log_text"][2] == str(1 << 20), "the larger buffer")
        dump, _ = lab.crash(guest, "larger-log")
    log = lab.reader("log", dump)
    expect("Linux version" in log and "Kernel panic - not syncing: sysrq triggered crash" in log,
           "the log from the first line to the panic", log)


def test_readelf(lab):
    elf = lab.elf(lab.story_dump)
    out = subprocess.run(["readelf", "-lnW", str(elf)], capture_output=True, text=True)
    expect(not out.stderr, "no complaint of readelf", out.stderr)
    text = re.sub(r"description data:.*", "", out.stdout)
    rows = re.findall(r"^  (NOTE|LOAD) +(\w+) (\w+) (\w+) (\w+) (\w+) ", text, re.M)
    expect("starting at offset 64" in text, "program headers at 64", text)
    expect(rows and rows[0][0] == "NOTE" and all(r[0] == "LOAD" for r in rows[1:]),
           "one PT_NOTE, then PT_LOADs", text)
    offset = None
    for _, off, vaddr, paddr, filesz, memsz in rows[1:]:
        off, vaddr, paddr, filesz, memsz = (int(x, 16) for x in
                                            (off, vaddr, paddr, filesz, memsz))
        expect(not (off | vaddr | paddr | filesz) & 4095 and filesz == memsz,
               "page-aligned PT_LOADs", text)
        expect(offset in (None, off), "PT_LOADs without gaps", text)
        offset = off + filesz
    expect(offset == elf.stat().st_size, "the last PT_LOAD to end with the file", text)
    spans = sorted((int(r[2], 16), int(r[4], 16)) for r in rows[1:])
    expect(all(a + n <= b for (a, n), (b, _) in zip(spans, spans[1:])), "no overlap", text)
    for note in ("CORE ", "VMCOREINFO ", "KMEMDUMP "):
        expect(note in text, f"a {note}note", text)


def test_crash_minimal(lab):
    """Stock crash has to print the same log as our own reader."""
    out = host.crash(lab.kernel.vmlinux, lab.elf(lab.story_dump), ["log"], "--minimal")
    ours = lab.reader("log", lab.story_dump)
    expect("sysrq triggered crash" in out, "crash --minimal to print the log", out[-3000:])
    # crash indents the further lines of a message, we give each its time.
    want = [line.split("] ", 1)[-1].strip() for line in ours.splitlines()]
    got = [line.split("] ", 1)[-1].strip() for line in out.splitlines()]
    missing = [line for line in want if line not in got]
    expect(not missing, "crash and kmemdump to agree on the log", "\n".join(missing))
