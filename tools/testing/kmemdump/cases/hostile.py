# SPDX-License-Identifier: GPL-2.0
"""Small files that claim much. After a crash, root reads such files early in the boot, so the
reader may take no more than 256 MiB of memory besides the file, and no more time than it takes to
read the whole file a few times."""

import resource
import shutil
import struct
import subprocess

import pytest

from harness import host, kernel
from harness.full_dump import ENTRY, HEAD, RAM_START, SIZE, FullDump
from harness.lab import STORED_RECORD, expect
from harness.record import (FRAME_MAX, elf_core, frame, note, packed, part, record,
                            region_list)

MEMORY = 256 << 20
# Each of these files took minutes when nothing was bounded, and takes a second or two now. This is
# many times what the slowest machine needs.
SECONDS = 60
VERBS = (["list"], ["check"], ["log"], ["show", "x"])


def _limit(size):
    resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY,) * 2)
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))


def _run(lab, file, *args):
    """Run the reader within the limits: (exit code, what it says)."""
    proc = subprocess.run([lab.reader_path, *map(str, args)], capture_output=True, errors="replace",
                          preexec_fn=lambda: _limit(file.stat().st_size))
    text = proc.stderr + proc.stdout
    expect(proc.returncode in (0, 1, 2), f"an answer of {args}, within the limits",
           f"{proc.returncode}: {text[-2000:]}")
    expect("out of memory" not in text and "allocate" not in text, f"memory for {args}",
           text[-2000:])
    return proc.returncode, text


HIGH = 0xffff888000000000


def _circle():
    """A list that does not lead back to its head."""
    made = FullDump()
    made.put(made.entries["far"] + ENTRY["list"], made.long(made.address(made.entries["plain"])
                                                            + ENTRY["list"]))
    return made.elf


def _circle_of_loads():
    """50,000 loads of a byte each, and an endless list of an entry that has all of these bytes."""
    made = FullDump()
    size = 50_000
    pieces = made.new(made.piece(HIGH, RAM_START + SIZE, size))
    entry = made.new(made.make_entry(7, 2, 0, 1, 1, made.address(pieces - made.piece_size)))
    made.link([entry])
    made.put(entry + ENTRY["list"], made.long(made.address(entry + ENTRY["list"])))
    loads = [(0, RAM_START, SIZE, 0)] + [(0, RAM_START + SIZE + i, 1, i) for i in range(size)]
    return elf_core(loads, note("VMCOREINFO", 0, made.info), bytes(made.ram).ljust(size, b"\0"))


def _shared_loads():
    """20,000 loads of a byte each, and 20,000 regions that each have all of them."""
    many = 20_000
    loads = [(HIGH + i, i, 1, i) for i in range(many)]
    rows = [("x" if not i else f"region-{i}", i, 1, many) for i in range(many)]
    return elf_core(loads, region_list(rows, [(HIGH, many)] * many), bytes(many))


def _zeros():
    """8192 frames of zeros: 680 KB that are a core of 1 GiB."""
    size = 8192 * FRAME_MAX
    head = elf_core([(HIGH, 0, size - FRAME_MAX, 0)],
                region_list([("x", 0, 1, size - FRAME_MAX)], [(HIGH, size - FRAME_MAX)]))
    body = packed(bytes(FRAME_MAX))
    parts = part(0, FRAME_MAX, packed(head.ljust(FRAME_MAX, b"\0")))
    return record(size, parts + b"".join(part(at, FRAME_MAX, body)
                                          for at in range(FRAME_MAX, size, FRAME_MAX)))


def _same_place(good=True):
    """50,000 frames of the same 128 KiB after a good one with the headers. They are damaged unless
    @good."""
    head = elf_core([(HIGH, 0, 4096, 0)], region_list([("x", 0, 1, 4096)], [(HIGH, 4096)]))
    body = packed(bytes(FRAME_MAX))
    if not good:
        # Its checksum is at the end.
        body = body[:-1] + bytes([body[-1] ^ 1])
    parts = part(0, FRAME_MAX, packed(head.ljust(FRAME_MAX, b"\0")))
    return record(2 * FRAME_MAX, parts + part(FRAME_MAX, FRAME_MAX, body) * 50_000)


def _large_note():
    """A list of regions of 1 GiB, all zeros."""
    size = 1 << 30
    head = elf_core([], b"")
    head = head[:64] + struct.pack("<IIQQQQQQ", 4, 0, 120, 0, 0, size - 120, size - 120, 4)
    head += struct.pack("<III", 9, size - 200, 0x4b4d4431) + b"KMEMDUMP\0\0\0\0"
    head += struct.pack("<10I", 1, 40, 176, 1 << 24, 32, 0, 16, 0, 0, 0)
    body = packed(bytes(FRAME_MAX))
    parts = part(0, FRAME_MAX, packed(head.ljust(FRAME_MAX, b"\0")))
    return record(size, parts + b"".join(part(at, FRAME_MAX, body)
                                          for at in range(FRAME_MAX, size, FRAME_MAX)))


def _as_record(image, size):
    """A record of @image, with zeros after it up to @size."""
    zeros = packed(bytes(FRAME_MAX))
    parts = []
    for at in range(0, size, FRAME_MAX):
        data = image[at:at + FRAME_MAX].ljust(FRAME_MAX, b"\0") if at < len(image) else b""
        parts.append(part(at, FRAME_MAX, packed(data) if any(data) else zeros))
    return record(size, b"".join(parts))


# The frames are this far apart, and this many, so that no cache of a sensible size holds them all.
APART, FRAMES = 64, 8


def _in_turns(start, nr, size):
    """@nr loads of @size bytes each: [(virtual address, offset in an image)]. Their addresses
    follow each other from @start on, but their bytes are by turns in FRAMES frames that are far
    apart."""
    return [(start + i * size, (1 + i % FRAMES * APART) * FRAME_MAX + i // FRAMES * size % FRAME_MAX)
            for i in range(nr)]


def _log_in_turns():
    """A log in which each record is in a frame far from that of the record before."""
    keys = {"SYMBOL(prb)": "ffff888000000000", "SIZE(atomic_long_t)": 8,
            "SIZE(printk_ringbuffer)": 88, "OFFSET(printk_ringbuffer.desc_ring)": 16,
            "OFFSET(printk_ringbuffer.text_data_ring)": 64, "OFFSET(prb_desc_ring.count_bits)": 0,
            "OFFSET(prb_desc_ring.descs)": 8, "OFFSET(prb_desc_ring.infos)": 16,
            "OFFSET(prb_desc_ring.head_id)": 24, "OFFSET(prb_desc_ring.tail_id)": 32,
            "SIZE(prb_desc)": 64, "OFFSET(prb_desc.state_var)": 0,
            "OFFSET(prb_desc.text_blk_lpos)": 8, "OFFSET(prb_data_blk_lpos.begin)": 0,
            "OFFSET(prb_data_blk_lpos.next)": 8, "SIZE(printk_info)": 64,
            "OFFSET(printk_info.ts_nsec)": 8, "OFFSET(printk_info.text_len)": 16,
            "OFFSET(prb_data_ring.size_bits)": 0, "OFFSET(prb_data_ring.data)": 8}
    bits, descs, infos = 14, HIGH + (1 << 32), HIGH + (2 << 32)
    loads = [(HIGH, 0)] + _in_turns(descs, 1 << bits, 64) + _in_turns(infos, 1 << bits, 64)
    notes = note("VMCOREINFO", 0, "".join(f"{key}={value}\n" for key, value in keys.items()).encode())
    notes += region_list([("x", 0, 1, 64)], [(HIGH, 64)])
    at = 64 + 56 * (len(loads) + 1) + len(notes)
    # The pointer to the ring buffer, and the structures that lead to its rings.
    head = struct.pack("<Q16xIIQQQQ8xIIQ8x", HIGH + 8, bits, 0, descs, infos, (1 << bits) - 1, 0, 16,
                       0, HIGH)
    size = (1 + FRAMES * APART) * FRAME_MAX
    # The frames with the records come after the headers.
    after = -(-(at + len(head)) // FRAME_MAX) * FRAME_MAX
    core = elf_core([(HIGH, 0, len(head), 0)]
                    + [(vaddr, 0, 64, after - at + offset) for vaddr, offset in loads[1:]],
                    notes, head)
    return _as_record(core, after + size)


def _list_in_turns():
    """An endless list in which each entry is in a frame far from that of the entry before."""
    made = FullDump()
    notes = note("VMCOREINFO", 0, made.info)
    start = 64 + 56 * 3 + len(notes)
    size = 8192 * FRAME_MAX
    second = RAM_START + (1 << 32)
    image = bytearray(size // 8)
    places = [(1 + i * APART) * FRAME_MAX + 4096 for i in range(FRAMES)]
    nodes = [second + at - FRAME_MAX + ENTRY["list"] + made.linear for at in places]
    for i, at in enumerate(places):
        pieces = nodes[i] - ENTRY["list"] + 128
        entry = bytearray(made.make_entry(i, 2, 0, 1, 1, pieces - made.piece_size))
        entry[ENTRY["list"]:ENTRY["list"] + 16] = struct.pack(
            "<QQ", nodes[(i + 1) % FRAMES], made.address(HEAD))
        image[at:at + len(entry)] = entry
        image[at + 128:at + 128 + made.piece_size] = made.piece(HIGH, RAM_START, 1)
    made.put(HEAD, made.long(nodes[0]))
    core = elf_core([(0, RAM_START, SIZE, 0), (0, second, size - FRAME_MAX, FRAME_MAX - start)],
                    notes, bytes(made.ram))
    image[:len(core)] = core
    return _as_record(bytes(image), size)


def _large_list():
    """As many regions and pieces as a list may have. All regions share the pieces."""
    made = FullDump()
    many, step = 0x20000, 80
    pieces = made.new(made.piece(HIGH, RAM_START, 8) + made.piece(HIGH + 8, RAM_START + 8, 8))
    entry = made.make_entry(7, 2, 0, 2, 2, made.address(pieces - 2 * made.piece_size)).ljust(
        step, b"\0")
    at = ENTRY["list"]
    before, after = entry[:at], entry[at + 16:]
    first = made.address(SIZE) + at
    nodes = [made.image + HEAD, *range(first, first + many * step, step), made.image + HEAD]
    made.put(HEAD, made.long(first))
    memory = b"".join(before + struct.pack("<QQ", nodes[i + 2], nodes[i]) + after
                      for i in range(many))
    # Notes as large as they may be.
    notes = note("VMCOREINFO", 0, made.info) + note("x", 1, bytes(23 << 20))
    core = elf_core([(0, RAM_START, SIZE + len(memory), 0)], notes, bytes(made.ram) + memory)
    return _as_record(core, -(-len(core) // FRAME_MAX) * FRAME_MAX)


def _other_order():
    """A core in the other byte order, with as many headers as there may be, and notes in all of
    them."""
    size, nr = 24 << 20, 440_000
    head = bytearray(size)
    head[:16] = b"\x7fELF\2\2\1".ljust(16, b"\0")
    struct.pack_into(">HHIQQQIHHHHHH", head, 16, 4, 62, 1, 0, 128, 64, 0, 64, 56, 0xffff, 64, 1, 0)
    struct.pack_into(">I", head, 64 + 44, nr)
    struct.pack_into(">IIQQQQQQ", head, 128, 4, 0, 0, 0, 0, size, size, 4)
    for i in range(1, nr):
        struct.pack_into(">IIQQQQQQ", head, 128 + 56 * i, 1, 0, 0, i, i, 1, 1, 1)
    return _as_record(bytes(head), size)


# Name -> (what makes the file, the exit code of check, what check says).
KINDS = {
    "circle": (_circle, 2, "parts of it are in it twice"),
    "circle of loads": (_circle_of_loads, 2, "in too many places"),
    "shared loads": (_shared_loads, 1, "these regions share more memory than they can"),
    "zeros": (_zeros, 1, "region x: corrupt"),
    "same place": (_same_place, 1, "two frames claim the same bytes"),
    "same bad place": (lambda: _same_place(good=False), 1, "damaged places: 5"),
    "large note": (_large_note, 2, "the notes are cut short"),
    "log in turns": (_log_in_turns, 1, "region x: corrupt"),
    "list in turns": (_list_in_turns, 2, "needed again and again that it can't be sound"),
    "large list": (_large_list, 0, "regions: 131072 of 131072 whole"),
    "other order": (_other_order, 2, "has no list of regions"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_bounded(lab, kind):
    """Every verb ends within the limits, and check says what is wrong. collect saves the file, as
    it is if it can't make a whole core from it, and releases it, because nothing may be lost."""
    host.install(["zstd"])
    make, code, reason = KINDS[kind]
    file = lab.dumps / "hostile"
    file.write_bytes(make())
    for verb, *args in VERBS:
        status, text = _run(lab, file, verb, file, *args)
        if verb == "check":
            expect(status == code and reason in text, f"{code}: {reason}",
                   f"{status}: {text[-2000:]}")
    root = lab.dumps / "root"
    shutil.rmtree(root, ignore_errors=True)
    waiting = root / "sys/fs/pstore/kmemdump-x-0"
    waiting.parent.mkdir(parents=True)
    waiting.write_bytes(file.read_bytes())
    _, text = _run(lab, file, "collect", "--root", root)
    expect("saved in" in text and not waiting.exists(), "it saved and released", text)
    saved = {path.name: path for path in root.glob("var/crash/*/*")}
    used = sum(path.stat().st_blocks * 512 for path in saved.values())
    expect(saved and used < 3 * file.stat().st_size + (32 << 20), "little room taken on disk",
           f"{used} bytes")
    raw, core = saved.get(waiting.name), saved.get("vmcore")
    if raw:
        expect(raw.read_bytes() == file.read_bytes(), "it as it was")
    else:
        status, text = _run(lab, core, "check", core)
        expect(status == code, "a core that is no better", text[-2000:])
    shutil.rmtree(root)


def _seconds(*args):
    """The CPU time that a command uses."""
    def used():
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    start = used()
    subprocess.run(list(map(str, args)), capture_output=True, check=False)
    return used() - start


def test_same_place(lab):
    """The reader does not unpack all frames of one place, good or not: they would make 6 GB."""
    host.install(["zstd"])
    good, bad = lab.dumps / "good", lab.dumps / "bad"
    good.write_bytes(_same_place())
    bad.write_bytes(_same_place(good=False))
    all_of_it = _seconds("zstd", "-tq", good)
    for file in good, bad:
        ours = _seconds(lab.reader_path, "check", file)
        expect(ours < all_of_it / 4, f"a fourth of the time to unpack them all, {file.name}",
               f"{ours} of {all_of_it} s")


def test_large_region(lab):
    """A region of 1 GiB is shown while it is read, and is never in memory as a whole."""
    host.install(["zstd"])
    file = lab.dumps / "hostile"
    file.write_bytes(_zeros())
    proc = subprocess.Popen([lab.reader_path, "show", "-r", file, "x"], stdout=subprocess.PIPE,
                            preexec_fn=lambda: _limit(file.stat().st_size))
    size, zeros = 0, bytes(1 << 20)
    while data := proc.stdout.read(len(zeros)):
        expect(data == zeros[:len(data)], "zeros")
        size += len(data)
    # The checksum that it claims is wrong.
    expect(proc.wait() == 1 and size == 8191 * FRAME_MAX, "all of it", f"{size} bytes")


def test_log_in_turns(lab):
    """Reading a log that has each record in another frame ends when it has cost too much."""
    host.install(["zstd"])
    file = lab.dumps / "hostile"
    file.write_bytes(_log_in_turns())
    status, text = _run(lab, file, "log", file)
    expect(status == 1 and "needed again and again that it can't be sound" in text, "an end", text[-2000:])


def test_large_parts(lab):
    """A record in several large files is put together without a second copy of them."""
    host.install(["zstd"])
    size = 300 << 20
    whole = STORED_RECORD.read_bytes()
    parts = [lab.dumps / "part-0", lab.dumps / "part-1"]
    for part, data in zip(parts, (whole[:20000], whole[20000:])):
        with part.open("wb") as out:
            out.write(data)
    # Bytes after the end of the record are not part of it.
    with parts[1].open("r+b") as out:
        out.truncate(2 * size)
    proc = subprocess.run([lab.reader_path, "assemble", lab.dumps / "core", *parts],
                          capture_output=True, text=True,
                          preexec_fn=lambda: _limit(2 * size))
    expect(proc.returncode == 0, "a core", proc.stderr)
    expect((lab.dumps / "core").read_bytes() == lab.elf(STORED_RECORD).read_bytes(), "all of it")


def _reader32(lab, *args):
    """The same as lab.reader(), of a host of 32 bits."""
    host.install(["qemu-user-static"])
    proc = subprocess.run(["qemu-i386-static", kernel.reader_of_32_bits(), *map(str, args)],
                          capture_output=True, text=True, errors="replace", timeout=300)
    return proc.returncode, proc.stderr + proc.stdout


def test_host_of_32_bits(lab):
    """On a host of 32 bits, whose pointers can't reach 2^32 bytes, a good record reads as it does
    elsewhere. What is too large there is refused or cut, and no other memory is overwritten."""
    host.install(["zstd"])
    for args in (["list"], ["check"], ["log"], ["show", "my_critical_data"]):
        verb, *rest = args
        expect(_reader32(lab, verb, STORED_RECORD, *rest) ==
               (0, lab.reader(verb, STORED_RECORD, *rest)), f"the same answer to {args}")

    # A region of 4 GiB, of which two pages are there.
    file = lab.dumps / "region"
    file.write_bytes(elf_core([(HIGH, 0, 8192, 0)], region_list([("x", 0, 1, 1 << 32)],
                                                                [(HIGH, 1 << 32)]),
                              b"Y" * 8192))
    expect("region x: cut, 8192 of 4294967296 bytes" in _reader32(lab, "check", file)[1], "a cut")
    code, text = _reader32(lab, "show", file, "x")
    expect(code == 1 and "region x is cut" in text and "Y" * 8192 + "\n" in text,
           "what is there of it", text[-1000:])

    # An image of 4 GiB of which the first and the last frame are there.
    size = 1 << 32
    notes = region_list([("x", 0, 1, 4096)], [(HIGH, 4096)])
    head = elf_core([(HIGH, 0, 4096, 0)], notes)
    head = elf_core([(HIGH, 0, 4096, size - 4096 - len(head))], notes)
    file.write_bytes(record(size, part(0, FRAME_MAX, packed(head.ljust(FRAME_MAX, b"\0")))
                            + part(size - FRAME_MAX, FRAME_MAX, packed(b"Z" * FRAME_MAX))))
    code, text = _reader32(lab, "show", "-r", file, "x")
    expect(text.endswith("Z" * 4096) and code == 1, "the last page", text[-300:])

    # A file that is too large for the address space.
    with file.open("wb") as out:
        out.write(b"\x7fELF")
        out.truncate(1 << 32)
    code, text = _reader32(lab, "list", file)
    expect(code == 2 and "4294967296 bytes: " in text, "a refusal", text)

    # A file that fits, but in which the distance between two pointers could be negative.
    file.write_bytes(frame(1, 0, 1 << 20, 1) + frame(2, 0, FRAME_MAX, (1 << 63) + 0xd0000000)
                     + struct.pack("<II", 0x184d2a50, 0xa0000000))
    with file.open("r+b") as out:
        out.truncate((2 << 30) + (64 << 20))
    code, text = _reader32(lab, "check", file)
    expect(code == 2 and "File too large" in text, "a refusal", text)
