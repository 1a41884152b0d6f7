# SPDX-License-Identifier: GPL-2.0
"""Records and cores, both as the kernel writes them at a panic and as only an attacker would. They
are written from the uapi header."""

import struct
import subprocess

from .host import xxh64

HEADER, DATA, COMMIT = 1, 2, 3
FRAME_MAX = 128 << 10
NO_CPU = 0xffffffff


def frame(kind, offset, length, time, record_id=1):
    """A skippable frame with a checksum that is right."""
    head = struct.pack("<II8sHHIQQQQ", 0x184D2A5D, 56, b"KMEMDUMP", 1, kind, 0, record_id, offset,
                       length, time)
    return head + struct.pack("<Q", xxh64(head))


def packed(data):
    """A zstd frame of @data."""
    return subprocess.run(["zstd", "-cq", "--no-progress"], input=data, capture_output=True,
                          check=True).stdout


def part(offset, length, body):
    """The data frame of a part of the image: @body is what packed() makes of it."""
    return frame(DATA, offset, length, len(body)) + body


def record(size, parts, carried=None, time=1_800_000_000):
    """A whole record of an image of @size bytes. @parts has its data frames."""
    return (frame(HEADER, 0, size, time) + parts
            + frame(COMMIT, size if carried is None else carried, size, time))


def elf_core(loads, notes=b"", data=b""):
    """A core of PT_LOADs (vaddr, paddr, size, offset after the headers)."""
    start = 64 + 56 * (len(loads) + 1)
    at = start + len(notes)
    out = [b"\x7fELF\2\1\1".ljust(16, b"\0"),
           struct.pack("<HHIQQQIHHHHHH", 4, 62, 1, 0, 64, 0, 0, 64, 56, len(loads) + 1, 0, 0, 0),
           struct.pack("<IIQQQQQQ", 4, 0, start, 0, 0, len(notes), len(notes), 4)]
    out += [struct.pack("<IIQQQQQQ", 1, 7, at + offset, vaddr, paddr, size, size, 1)
            for vaddr, paddr, size, offset in loads]
    return b"".join(out) + notes + data


def note(name, kind, desc):
    name = name.encode() + b"\0"
    pad = lambda data: data + bytes(-len(data) % 4)
    return struct.pack("<III", len(name), len(desc), kind) + pad(name) + pad(desc)


def region_list(rows, pieces):
    """The note that lists regions: @rows are (name, first piece, number of them, size, size for
    each CPU), @pieces are (vaddr, size, CPU). The last value of each may be left out."""
    desc = struct.pack("<10I", 1, 40, 176, len(rows), 32, len(pieces), 16, 0, 0, 0)
    desc += b"".join(struct.pack("<64s64s8IQQ", name.encode(), b"kernel", i, 2, 0, first, nr,
                                 *(percpu or [0]), 0, 0, size, 1)
                     for i, (name, first, nr, size, *percpu) in enumerate(rows))
    desc += b"".join(struct.pack("<QQQII", vaddr, vaddr, size, cpu, 0)
                     for vaddr, size, cpu in (piece if len(piece) > 2 else (*piece, NO_CPU)
                                              for piece in pieces))
    return note("KMEMDUMP", 0x4b4d4431, desc)
