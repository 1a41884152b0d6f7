# SPDX-License-Identifier: GPL-2.0
"""Regions at every kind of address, from a real crash to their bytes on the host."""

import re
import struct

import pytest

from harness.lab import expect

# An annotated variable of the module. The names of its other ones start like this, too.
ANNOTATED = "kmemdump_provider:annotated"


def _dump(lab, guest, name, options):
    guest.run(f"insmod kmemdump_provider.ko {options}", timeout=300)
    dump, _ = lab.crash(guest, name, timeout=300)
    out = lab.reader("check", dump)
    expect("complete record" in out and "checksums verified" in out, "all of it intact", out)
    return dump


def _show(lab, dump, region):
    return lab.reader("show", dump, region).rstrip("\n")


def test_modules_and_percpu(lab):
    """Annotated variables of a module; per-CPU variables, of which the part of each CPU can be
    shown; odd sizes and places."""
    with lab.guest(cpus=4) as guest:
        dump = _dump(lab, guest, "percpu", "")
    expect(_show(lab, dump, ANNOTATED) == "annotated in a module", "the annotated variable")
    expect(_show(lab, dump, f"{ANNOTATED}_part") == "only a part", "as much as was annotated")
    for cpu in range(4):
        expect(_show(lab, dump, f"dynamic_percpu@{cpu}") == f"dynamic of CPU {cpu}",
               f"what CPU {cpu} has of a dynamic one")
        expect(_show(lab, dump, f"{ANNOTATED}_percpu@{cpu}") == f"static of CPU {cpu}",
               f"what CPU {cpu} has of a static one")
    for name in ("dynamic_percpu@4", "dynamic_percpu@", "dynamic_percpu@-1", "dynamic_percpu@x",
                 "dynamic_percpu@1x", f"{ANNOTATED}@0", "nobody@0", "@0"):
        expect("has no region" in lab.reader("show", dump, name, status=2), f"no {name}")
    out = lab.reader("list", dump)
    expect(re.search(r" 128 +4 kmemdump_provider dynamic_percpu@CPU$", out, re.M),
           "a per-CPU region in the list", out)
    raw = lab.reader("show", "-r", dump, "dynamic_percpu")
    expect(raw.count("dynamic of CPU") == 4, "all CPUs without @", raw)
    expect(_show(lab, dump, "odd") == "odd place", "text over a page boundary")
    expect(_show(lab, dump, "one_byte") == "o", "one byte")
    expect(_show(lab, dump, "boundary") == "pl", "the bytes on each side of it")


def test_64_mib_of_vmalloc(lab):
    with lab.guest() as guest:
        dump = _dump(lab, guest, "64-mib", "large=1")
    row = re.search(r" (\d+) +(\d+) kmemdump_provider large$", lab.reader("list", dump), re.M)
    expect(int(row[1]) == 64 << 20, "all of the region", str(row))
    # Words that count up every 1024 bytes; the reader has compared the checksum already.
    elf = lab.elf(dump)
    expect(struct.pack("<I", 65535) * 256 in elf.read_bytes(), "the last words of it")


def test_more_than_4_gib_apart(lab):
    with lab.guest(memory_mib=10240) as guest:
        dump = _dump(lab, guest, "apart", "apart=1")
    out = lab.reader("list", dump)
    low, high = (int(re.search(rf"0x\w+ (0x\w+) .*\b{name}$", out, re.M)[1], 16)
                 for name in ("low", "high"))
    expect(high - low > 4 << 30, "places far from each other", out)
    expect(_show(lab, dump, "low") == "far below" and _show(lab, dump, "high") == "far above",
           "what is there")


TEXT = b"written by the host"


def test_reserved_memory(lab):
    """Memory that the kernel does not manage: the core maps it. The host writes the text there."""
    phys = 0x18000000
    with lab.guest(append=f"memmap=1M$0x{phys:x}") as guest:
        with guest.ram() as ram:
            ram[phys + 5:phys + 5 + len(TEXT)] = TEXT
        dump = _dump(lab, guest, "reserved", f"phys={phys + 5} phys_size={len(TEXT)}")
    expect(_show(lab, dump, "physical") == TEXT.decode(), "what the host has written")
    expect(f"0x{phys + 5:016x}" in lab.reader("list", dump), "its physical address")


@pytest.mark.parametrize("mmu, append", [("Radix", ""), ("Hash", "disable_radix")],
                         ids=["radix", "hash"])
def test_all_kinds_on_ppc64le(ppc64le, mmu, append):
    """Pages of 64 KiB, and both MMUs."""
    with ppc64le.guest(append=append) as guest:
        expect(f"MMU\t\t: {mmu}\n" in guest.run("cat /proc/cpuinfo"), "the right MMU")
        dump = _dump(ppc64le, guest, "ppc64le", "")
    for cpu in range(ppc64le.board.cpus):
        for kind in ("dynamic", "static"):
            name = f"{kind.replace('static', ANNOTATED)}_percpu@{cpu}"
            expect(_show(ppc64le, dump, name) == f"{kind} of CPU {cpu}", f"what is in {name}")
    expect(_show(ppc64le, dump, "odd") == "odd place", "text over a page boundary")
    expect(_show(ppc64le, dump, "boundary") == "pl", "the bytes on each side of it")
    expect("Kernel panic - not syncing" in ppc64le.reader("log", dump), "the log")


def test_memory_of_a_device(lab):
    """SRAM behind a PCI BAR: memory, but not RAM. The host has it as a file."""
    sram = lab.dumps / "sram-seen-by-the-host"
    sram.write_bytes(b"text in SRAM".ljust(1 << 20, b"\0"))
    with lab.guest(devices=["-object", f"memory-backend-file,id=sram,size=1M,mem-path={sram},"
                            "share=on", "-device", "ivshmem-plain,memdev=sram"]) as guest:
        found = guest.run("grep -l 0x1110 /sys/bus/pci/devices/*/device").split()
        expect(len(found) == 1, "the device", str(found))
        folder = found[0].rsplit("/", 1)[0]
        guest.run(f"echo 1 > {folder}/enable")
        bar = guest.run(f"sed -n 3p {folder}/resource").split()
        start, end = int(bar[0], 16), int(bar[1], 16)
        expect(end - start + 1 == 1 << 20, "the BAR of the device", str(bar))
        dump = _dump(lab, guest, "sram", f"phys={start} phys_size=4096")
    row = re.search(r"ok +good +0x\w+ (0x\w+) +4096 .*physical$", lab.reader("list", dump), re.M)
    expect(row and int(row[1], 16) == start, "the region, read without an error")
    expect(_show(lab, dump, "physical") == "text in SRAM", "what is in the device")


def test_physical_addresses_that_are_refused(lab):
    """A region where there is no memory, or across the end of RAM, is refused, and the log says
    why."""
    with lab.guest() as guest:
        ram_end = guest.board.memory_mib << 20
        for phys, size in ((1 << 45, 4096), (ram_end - 0x80000, 0x100000), (0, 16),
                           ((1 << 64) - 8, 16), (4096, 0xffffffffffffffff)):
            out = guest.run(f"insmod kmemdump_provider.ko phys={phys} phys_size={size}",
                            check=False)
            expect("can't insert" in out, f"{phys:#x} to be refused", out)
        log = guest.run("dmesg")
        expect("refused a region from add_region" in log and "-EFAULT" in log
               and "-EOVERFLOW" in log, "reasons in the log", log[-2000:])
