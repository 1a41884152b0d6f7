# SPDX-License-Identifier: GPL-2.0
"""Dumps of all memory, by kdump and by a hypervisor: the reader finds the regions in them."""

import json
import mmap
import random
import re
import struct
import subprocess

import pytest

from harness import host, story
from harness.full_dump import FullDump
from harness.guest import initramfs
from harness.lab import expect

PANIC = "Kernel panic - not syncing: sysrq triggered crash"
KEXEC = "/lib/ld.so --library-path /lib /root/kexec"


def _fill(guest):
    """Regions of every kind."""
    guest.run("insmod kmemdump_test.ko")
    guest.run("insmod kmemdump_provider.ko large=1", timeout=300)


def _check(lab, dump, listing):
    """The reader finds in @dump what debugfs listed before the crash."""
    lab.expect_listing(dump, listing)
    for name, text in (("my_critical_data", story.TEXT), ("odd", "odd place"),
                       ("kmemdump_provider:annotated", "annotated in a module"),
                       ("dynamic_percpu@1", "dynamic of CPU 1"),
                       ("kmemdump_provider:annotated_percpu@0", "static of CPU 0")):
        shown = lab.reader("show", dump, name)
        expect(shown == text + "\n", f"{text!r} in {name}", shown)
    # Words that count up every 1024 bytes.
    raw = lab.dumps / "large.raw"
    with raw.open("wb") as out:
        subprocess.run([lab.reader_path, "show", "-r", dump, "large"], stdout=out, check=True)
    words = struct.unpack("<16777216I", raw.read_bytes())
    expect(all(words[i] == i // 256 for i in range(0, len(words), 4096)), "all of the large one")


def test_kdump(lab):
    """A kdump kernel that is loaded goes first, and its vmcore has the list."""
    host.install(["kexec-tools"])
    initrd = initramfs(lab.kernel, lab.dumps, {})
    files = {"/root/kernel": lab.kernel.image, "/root/initrd": initrd}
    with lab.guest(append="crashkernel=128M", memory_mib=768, disk_mib=1024,
                   files=files | host.with_libraries("/usr/sbin/kexec")) as guest:
        guest.run(f"{KEXEC} -s -p /root/kernel --initrd=/root/initrd "
                  f"--append='{guest.board.append} nr_cpus=1'")
        _fill(guest)
        listing = lab.listing(guest)
        console = guest.crash()
        expect("kmemdump: ramoops" not in console, "no record, as kdump takes it", console[-3000:])
        dump = guest.fetch_file("/proc/vmcore", lab.dumps / "vmcore")
    _check(lab, dump, listing)
    expect(PANIC in lab.reader("log", dump), "the log")
    out = lab.reader("check", dump)
    expect(re.search(r"ELF core\n", out) and "but of" in out, "no checksums", out)


_guest_memory = []


def _hypervisor_dump(lab):
    """QEMU's own dump of a running guest, which has no virtual addresses; and the list then."""
    if not _guest_memory:
        with lab.guest(append="qemu_fw_cfg.ioport=12@0x510:0:1:4",
                       devices=["-device", "vmcoreinfo"]) as guest:
            _fill(guest)
            listing = lab.listing(guest)
            dump = host.run_folder() / "guest-memory"
            guest.qmp("dump-guest-memory", paging=False, protocol=f"file:{dump}")
        _guest_memory.extend((dump, listing))
    return _guest_memory


@pytest.mark.xdist_group("guest-memory")
def test_dump_guest_memory(lab):
    _check(lab, *_hypervisor_dump(lab))


def test_byte_orders_and_word_sizes(lab):
    for order in "<>":
        for long_size in (4, 8):
            made = FullDump(order, long_size)
            dump = lab.dumps / "made-full-dump"
            dump.write_bytes(made.elf)
            info = json.loads(lab.reader("check", "--json", dump))
            regions = {r["name"]: r for r in info["regions"]}
            expect(set(regions) == set(made.regions), "all regions", str(regions))
            for name, (number, kind, percpu, data, owned) in made.regions.items():
                want = {"id": number, "size": len(data), "state": "ok",
                        "class": ("log", "core", "driver", "admin")[kind],
                        "owner": "a_module" if owned else "kernel",
                        "percpu_size": len(data) // 2 if percpu else 0}
                shown = {key: regions[name][key] for key in want}
                expect(shown == want, f"region {name}, {order}{long_size}: {want}", str(shown))
                shown = lab.reader("show", "-r", dump, name)
                expect(shown.encode() == data, f"what is in {name}, {order}{long_size}", shown)
            shown = lab.reader("show", dump, "percpu@2")
            expect(shown == "of CPU 2\n", "the part of the second possible CPU", shown)


# Offsets in struct kmemdump_index.
INDEX = b"KMEMDUMP" + struct.pack("<II", 1, 104)
LINEAR_OFFSET, REGIONS, NODE_SLOTS = 16, 32, 74


def _offset(data, phys):
    """Where the dump has the byte at a physical address."""
    phoff, phnum = struct.unpack_from("<Q", data, 32)[0], struct.unpack_from("<H", data, 56)[0]
    for i in range(phnum):
        kind, _, offset, _, start, size = struct.unpack_from("<IIQQQQ", data, phoff + 56 * i)
        if kind == 1 and start <= phys < start + size:
            return offset + phys - start
    raise ValueError(hex(phys))


def _list_damaged(reader, dump):
    """What the reader says; a clear answer is all that is allowed."""
    proc = subprocess.run([reader, "list", dump], capture_output=True, text=True, errors="replace",
                          timeout=120)
    expect(proc.returncode in (0, 1, 2) and "Sanitizer" not in proc.stderr and
           "runtime error" not in proc.stderr, "an answer or a clear error", proc.stderr[-3000:])
    expect(proc.returncode < 2 or proc.stderr.startswith("kmemdump: "), "a reason", proc.stderr)
    return proc.returncode, proc.stderr


@pytest.mark.xdist_group("guest-memory")
def test_damaged_list(lab):
    """Whatever stands where the kernel's list should be, the reader does not fall over."""
    reader = lab.sanitized_reader
    dump, _ = _hypervisor_dump(lab)
    rng = random.Random(4)
    outcomes = set()
    with dump.open("r+b") as file, mmap.mmap(file.fileno(), 0) as data:
        index = data.find(INDEX)
        expect(index > 0, "the index in the dump")
        linear, root = (struct.unpack_from("<Q", data, index + at)[0]
                        for at in (LINEAR_OFFSET, REGIONS))
        slots = struct.unpack_from("<H", data, index + NODE_SLOTS)[0]
        pointer = struct.unpack_from("<Q", data, _offset(data, root))[0]
        node = _offset(data, pointer - 2 - linear)
        used = [at for at in range(node + slots, node + slots + 512, 8) if any(data[at:at + 8])]

        places = [range(index, index + 104), range(index + 56, index + 104),
                  range(node, node + 16), *(range(at, at + 8) for at in used)]
        for _ in range(60):
            at = rng.choice(rng.choice(places))
            was = data[at]
            data[at] = rng.choice((0, 0xff, was ^ 1 << rng.randrange(8)))
            outcomes.add(_list_damaged(reader, dump)[0])
            data[at] = was

        # A tree that leads back to itself.
        was = data[used[0]:used[0] + 8]
        data[used[0]:used[0] + 8] = struct.pack("<Q", pointer)
        status, text = _list_damaged(reader, dump)
        expect(status == 2 and "a tree is damaged" in text, "the cycle to be found out", text)
        data[used[0]:used[0] + 8] = was
    expect(2 in outcomes, "damage that is found out", str(outcomes))
