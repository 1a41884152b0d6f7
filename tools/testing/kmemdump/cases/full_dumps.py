# SPDX-License-Identifier: GPL-2.0
"""Dumps of all memory, by kdump and by a hypervisor: the reader finds the regions in them."""

import itertools
import json
import mmap
import random
import re
import struct
import subprocess

import pytest

from harness import host, story
from harness.full_dump import ENTRY, HEAD, RAM_START, FullDump
from harness.guest import initramfs
from harness.lab import expect

PANIC = "Kernel panic - not syncing: sysrq triggered crash"
KEXEC = "/lib/ld.so --library-path /lib /root/kexec"


def _fill(guest):
    """Register regions of every kind."""
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
    """A kdump kernel that is loaded takes precedence over backends, and its vmcore has the list."""
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
    """(QEMU's own dump of a running guest, which has no virtual addresses; the regions at that
    time)."""
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
    """The reader follows lists with longs of 4 and 8 bytes, with physical addresses of 4 and 8
    bytes, and with tags of KASAN on arm64."""
    for args in itertools.chain(itertools.product("<>", (4, 8), (4, 8)),
                                itertools.product("<>", (8,), (8,), (0xf4,))):
        made = FullDump(*args)
        dump = lab.dumps / "made-full-dump"
        dump.write_bytes(made.elf)
        info = json.loads(lab.reader("check", "--json", dump))
        regions = {r["name"]: r for r in info["regions"]}
        expect(list(regions) == list(made.regions), "all regions, in their order", str(regions))
        for name, (number, kind, percpu, parts, owner) in made.regions.items():
            data = b"".join(parts)
            want = {"id": number, "size": len(data), "state": "ok", "pieces": len(parts),
                    "class": ("log", "core", "driver", "admin")[kind], "owner": owner,
                    "percpu_size": len(data) // 2 if percpu else 0}
            shown = {key: regions[name][key] for key in want}
            expect(shown == want, f"region {name}, {args}: {want}", str(shown))
            shown = lab.reader("show", "-r", dump, name)
            expect(shown.encode() == data, f"what is in {name}, {args}", shown)
        shown = lab.reader("show", dump, "percpu@2")
        expect(shown == "of CPU 2\n", "the part of the second possible CPU", shown)


def _offset(data, phys):
    """The offset in the dump of the byte at a physical address."""
    phoff, phnum = struct.unpack_from("<Q", data, 32)[0], struct.unpack_from("<H", data, 56)[0]
    for i in range(phnum):
        kind, _, offset, _, start, size = struct.unpack_from("<IIQQQQ", data, phoff + 56 * i)
        if kind == 1 and start <= phys < start + size:
            return offset + phys - start
    raise ValueError(hex(phys))


def _list_damaged(reader, dump):
    """Run the reader on a damaged dump: (exit code, what it says). It has to give a clear
    answer."""
    proc = subprocess.run([reader, "list", dump], capture_output=True, text=True, errors="replace",
                          timeout=120)
    expect(proc.returncode in (0, 1, 2) and "Sanitizer" not in proc.stderr and
           "runtime error" not in proc.stderr, "an answer or a clear error", proc.stderr[-3000:])
    expect(proc.returncode < 2 or proc.stderr.startswith("kmemdump: "), "a reason", proc.stderr)
    return proc.returncode, proc.stderr


@pytest.mark.xdist_group("guest-memory")
def test_damaged_list(lab):
    """Whatever is in the place of the kernel's list, the reader does not crash."""
    reader = lab.sanitized_reader
    dump, _ = _hypervisor_dump(lab)
    rng = random.Random(4)
    outcomes = set()
    with dump.open("r+b") as file, mmap.mmap(file.fileno(), 0) as data:
        # RAM may have another copy of these lines: take the first one.
        lines = {match[1].decode(): match for match in reversed(list(
            re.finditer(rb"^([\w().]*(?:kmemdump|KMEMDUMP|list_head)[\w().]*)=(\w+)$",
                        data[:1 << 20], re.M)))}
        expect(len(lines) >= 19, "the lines of VMCOREINFO", str(lines))
        linear, head = (int(lines[f"KMEMDUMP_{name}"][2], 16) for name in ("LINEAR", "ENTRIES"))
        member = {name: int(lines[f"OFFSET(kmemdump_entry.{name})"][2]) for name in ENTRY}

        def follow(at):
            """The offset in the dump of the memory that the pointer at @at points to."""
            return _offset(data, struct.unpack_from("<Q", data, at)[0] - linear)

        # The places to damage are the list head and the first two entries.
        head = _offset(data, head)
        nodes = [follow(head), follow(follow(head))]
        entries = [node - member["list"] for node in nodes]
        places = [*(range(*lines[key].span(2)) for key in lines), range(head, head + 16)]
        for entry in entries:
            places += [range(entry + at, entry + at + 8) for at in member.values()]
            if not any(data[entry + member["pfns"]:entry + member["pfns"] + 8]):
                pieces = follow(entry + member["pieces"])
                places += [range(pieces, pieces + 24)]
        for _ in range(60):
            at = rng.choice(rng.choice(places))
            was = data[at]
            data[at] = rng.choice((0, 0xff, was ^ 1 << rng.randrange(8)))
            outcomes.add(_list_damaged(reader, dump)[0])
            data[at] = was

        # A list that leads back into itself.
        data[nodes[1]:nodes[1] + 8] = data[head:head + 8]
        status, text = _list_damaged(reader, dump)
        expect(status == 2 and ("it is too long" in text or "are in it twice" in text),
               "the cycle to be found out", text)
    expect(2 in outcomes, "damage that is found out", str(outcomes))


def _forged(**kwargs):
    """(A FullDump, where in its RAM some things are)."""
    made = FullDump(**kwargs)
    places = {f"{name}.{member}": at + offset for name, at in made.entries.items()
              for member, offset in ENTRY.items()}
    for name in made.entries:
        # The copy that counts is the second one.
        [room] = struct.unpack_from("<I", made.ram, places[f"{name}.max_pieces"])
        [pieces] = struct.unpack_from("<Q", made.ram, places[f"{name}.pieces"])
        places[f"{name} piece"] = pieces - made.address(0) + room * made.piece_size
    [pfns] = struct.unpack_from("<Q", made.ram, places["far.pfns"])
    return made, places | {"head": HEAD, "pfn": pfns - made.address(0)}


TWICE, OUTSIDE = "parts of it are in it twice", "memory that is not in the dump"
COUNT, SHAPE = "an entry has", "what VMCOREINFO says of its layout can't be"
NONE = "has no list of regions"
# What is forged -> (where in RAM, the layout of the values, the values, what the reader says).
# "@name" as a value is the address of an entry's list_head.
FORGED = {
    "back to the first": ("far.list", "Q", ["@plain"], TWICE),
    "back to itself": ("far.list", "Q", ["@far"], TWICE),
    "out of the dump": ("plain.list", "Q", [0xffff888040000000], OUTSIDE),
    "to address 0": ("plain.list", "Q", [0], OUTSIDE),
    "the head to address 0": ("head", "QQ", [0, 0], OUTSIDE),
    "the head to all ones": ("head", "QQ", [2**64 - 1, 2**64 - 1], OUTSIDE),
    "the head to itself": ("head", "QQ", [0xffff888000100000 + HEAD] * 2, "it is empty"),
    "the first before itself": ("plain.list", "QQ", ["@percpu", "@plain"], "it is empty"),
    "no pieces": ("plain.nr_pieces", "II", [1, 0], COUNT),
    "more pieces than room": ("plain.nr_pieces", "II", [1, 4], COUNT),
    "room without end": ("plain.max_pieces", "I", [2**32 - 1], COUNT),
    "room for more than the dump": ("plain.max_pieces", "I", [0x40000], TWICE),
    "pieces at address 0": ("plain.pieces", "Q", [0], OUTSIDE),
    "far pieces without frames": ("far.pfns", "Q", [0], OUTSIDE),
    "frames out of the dump": ("far.pfns", "Q", [0xffff888040000000], OUTSIDE),
    "a frame out of the dump": ("pfn", "Q", [2**52], OUTSIDE),
    "the second frame out of the dump": ("pfn", "QQ", [0x103, 2**64 - 1], OUTSIDE),
    "a piece of no bytes": ("plain piece", "QQQ", [0, 0x100000, 0], "a piece is damaged"),
    "a piece beyond all memory": ("plain piece", "QQQ", [0, 0x100000, 2**64 - 1],
                                  "a piece is damaged"),
    "a piece that wraps": ("plain piece", "QQQ", [0, 2**64 - 8, 16], "a piece is damaged"),
    "parts of different sizes": ("percpu piece", "QQQ", [0, 0x100000, 7],
                                 "parts of different sizes"),
}
# The same for lines of VMCOREINFO: (line, value, what the reader says).
LINES = {
    "no CPUs": ("NUMBER(kmemdump_cpus)", 0, "per-CPU regions but no CPUs"),
    "too many CPUs": ("NUMBER(kmemdump_cpus)", 2**30, "that can't be"),
    "CPUs out of the dump": ("KMEMDUMP_CPUS", "fffffff8", OUTSIDE),
    "the head out of the dump": ("KMEMDUMP_ENTRIES", "f" * 16, OUTSIDE),
    "another linear map": ("KMEMDUMP_LINEAR", "0", OUTSIDE),
    "a list_head of one pointer": ("OFFSET(list_head.prev)", 0, SHAPE),
    "a list_head of pointers of 2 bytes": ("OFFSET(list_head.prev)", 2, SHAPE),
    "no pages": ("PAGESIZE", 0, SHAPE),
    "large pages": ("PAGESIZE", 2**32, "that can't be"),
    "a member far away": ("OFFSET(kmemdump_entry.names)", 2**32, "that can't be"),
    "pieces without room": ("SIZE(kmemdump_piece)", 23, SHAPE),
    "large pieces": ("SIZE(kmemdump_piece)", 4096, SHAPE),
    "a physical address of 12 bytes": ("OFFSET(kmemdump_piece.phys_addr)", 4, SHAPE),
    "a virtual address outside": ("OFFSET(kmemdump_piece.virt_addr)", 17, SHAPE),
}


def test_forged_list(lab):
    """A list that can't be right is refused for the right reason."""
    dump, reader = lab.dumps / "forged", lab.sanitized_reader
    answers = []
    for what, (place, layout, values, reason) in FORGED.items():
        made, places = _forged()
        made.put(places[place], made.pack(layout, *(
            made.address(places[f"{value[1:]}.list"]) if isinstance(value, str) else value
            for value in values)))
        dump.write_bytes(made.elf)
        answers.append((what, reason, *_list_damaged(reader, dump)))
    for what, (key, value, reason) in LINES.items():
        made = FullDump()
        made.lines[key] = value
        dump.write_bytes(made.elf)
        answers.append((what, reason, *_list_damaged(reader, dump)))
    for what, reason, status, text in answers:
        expect(status == 2 and reason in text, f"{what}: {reason}", f"{status}: {text}")


def test_lines_missing(lab):
    """If a line of VMCOREINFO that the list needs is missing, or is not a number, the reader says
    so."""
    dump, reader = lab.dumps / "forged", lab.sanitized_reader
    lines = set(FullDump().lines) - {"OSRELEASE"}
    for key in lines:
        for value in (None, "", "none", "-1", "f" * 40):
            made = FullDump()
            made.lines[key] = value
            if value is None:
                del made.lines[key]
            dump.write_bytes(made.elf)
            status, text = _list_damaged(reader, dump)
            if value == "-1":
                continue
            reason = NONE if key == "KMEMDUMP_ENTRIES" else f"VMCOREINFO has no {key}"
            expect(status == 2 and reason in text, f"{key}={value}: {reason}", f"{status}: {text}")
    expect(len(lines) >= 19, "lines", str(lines))


def test_end_of_memory(lab):
    """A region is found even if the dump ends inside its names, or inside its memory."""
    dump = lab.dumps / "forged"
    made = FullDump()
    parts = [made.new(b"first"), made.new(b"second")]
    pieces = made.new(b"".join(made.piece(made.address(at), RAM_START + at, 16) for at in parts))
    # The second copy counts, so the first has to have room, too.
    entry = made.new(made.make_entry(1, 2, 0, 2, 2, made.address(pieces - 2 * made.piece_size),
                                     names=b"a name\0kernel\0"))
    made.link([entry])
    for cut, name, owner in ((7, "a name", ""), (3, "a n", ""), (0, "", "")):
        del made.ram[entry + ENTRY["names"] + cut:]
        dump.write_bytes(made.elf)
        [region] = json.loads(lab.reader("list", "--json", dump))["regions"]
        expect((region["name"], region["owner"], region["state"]) == (name, owner, "ok"),
               f"the name {name!r}", str(region))
    # The first piece extends beyond the end of memory.
    made.put(pieces, made.piece(made.address(parts[0]), RAM_START + len(made.ram) - 5, 16))
    dump.write_bytes(made.elf)
    [region] = json.loads(lab.reader("list", "--json", dump, status=1))["regions"]
    expect((region["state"], region["have"], region["size"]) == ("cut", 21, 32), "a cut",
           str(region))
