# SPDX-License-Identifier: GPL-2.0
"""A dump of all memory of a machine that never was: small, in either byte order and with
longs of either size, to test how the reader follows the kernel's list of regions. Written
from the uapi header."""

import struct

BASE = 0x100000         # physical address of its RAM
SIZE = 0x10000
PAGE_SHIFT = 12
NODE_BITS, NODE_SHIFT, NODE_SLOTS = 4, 0, 16
ENTRY = {"id": 0, "class": 4, "flags": 5, "owner": 8, "version": 16, "nr": 20, "max": 28,
         "segments": 32}
PERCPU = 2
MODULE_NAME = 24
CPUS = (0, 2)


class FullDump:
    """The bytes are @elf. @regions: name -> (id, class, is per-CPU, bytes, is a module's)."""

    def __init__(self, order="<", long_size=8):
        self.order, self.long_size = order, long_size
        self.linear = 0xffff888000000000 if long_size == 8 else 0xc0000000
        self.far = 0xffffc90000123000 if long_size == 8 else 0xf0123000
        self.ram = bytearray(SIZE)
        self.used = 0x1000      # the index and the roots are below
        self.regions = {"plain": (5, 2, False, b"in the linear map", True),
                        "percpu": (20, 3, True, b"of CPU 0of CPU 2", False),
                        "far": (65536, 0, False, b"x" * 100, False)}
        module = self._far_page(b"\0" * MODULE_NAME + b"a_module\0")
        entries = {}
        for name, (number, kind, percpu, data, owned) in self.regions.items():
            entry = self._entry(name, number, kind, percpu, data, module if owned else 0)
            entries[number] = self._far_page(entry, 1) if name == "far" else self._linear(entry)
        self._root(0x800, entries)
        self._root(0x808, {(self.far >> PAGE_SHIFT) + i: page >> PAGE_SHIFT << 1 | 1
                           for i, page in enumerate(self.far_pages)})
        self._put(0x810, self._long(sum(1 << cpu for cpu in CPUS)))
        self._put(0, self._index())
        self.elf = self._elf()

    far_pages = (BASE + 0xe000, BASE + 0xd000)

    def _pack(self, fmt, *values):
        return struct.pack(self.order + fmt, *values)

    def _long(self, value):
        return self._pack("Q" if self.long_size == 8 else "I", value)

    def _put(self, at, data):
        self.ram[at:at + len(data)] = data

    def _new(self, data):
        """Put @data somewhere; its physical address."""
        at = self.used
        self._put(at, data)
        self.used = -(-(at + len(data)) // 16) * 16
        assert self.used < 0xd000
        return BASE + at

    def _linear(self, data):
        return self._new(data) + self.linear

    def _far_page(self, data, number=0):
        """Put @data into a page that is not in the linear map; its virtual address."""
        self._put(self.far_pages[number] - BASE, data)
        return self.far + (number << PAGE_SHIFT)

    def _entry(self, name, number, kind, percpu, data, owner):
        """An entry that has moved once: the second copy of its segments counts."""
        parts = [data[:8], data[8:]] if percpu or len(data) < 50 else [data]
        room = len(parts) + 1
        entry = bytearray(ENTRY["segments"])
        struct.pack_into(self.order + "IBB", entry, 0, number, kind, PERCPU if percpu else 0)
        entry[ENTRY["owner"]:ENTRY["owner"] + self.long_size] = self._long(owner)
        struct.pack_into(self.order + "IIII", entry, ENTRY["version"], 3, 77, len(parts), room)
        entry += bytes(room * self._segment_size)
        for part in parts:
            phys = self._new(part)
            entry += self._long(phys + self.linear) + self._pack("Q", phys) + \
                self._long(len(part))
        entry += bytes((room - len(parts)) * self._segment_size)
        return bytes(entry) + name.encode() + b"\0"

    @property
    def _segment_size(self):
        return 2 * self.long_size + 8

    def _tree(self, entries, shift):
        """A node with all of @entries, whose keys it resolves from bit @shift on."""
        slots = {}
        for key, value in entries.items():
            slots.setdefault(key >> shift & 15, {})[key & (1 << shift) - 1] = value
        node = bytearray(NODE_SLOTS + 16 * self.long_size)
        node[NODE_SHIFT] = shift
        for slot, below in slots.items():
            value = self._tree(below, shift - NODE_BITS) if shift else below[0]
            at = NODE_SLOTS + slot * self.long_size
            node[at:at + self.long_size] = self._long(value)
        return self._linear(node) + 2

    def _root(self, at, entries):
        shift = 0
        while max(entries) >> shift + NODE_BITS:
            shift += NODE_BITS
        self._put(at, self._long(self._tree(entries, shift)))

    def _index(self):
        return b"KMEMDUMP" + self._pack(
            "IIQQQQQII20H", 1, 104, self.linear, 0, BASE + 0x800, BASE + 0x808, BASE + 0x810, 3,
            PERCPU, self.long_size, 8, PAGE_SHIFT, NODE_BITS, NODE_SHIFT, NODE_SLOTS, ENTRY["id"],
            ENTRY["class"], ENTRY["flags"], ENTRY["owner"], ENTRY["version"], ENTRY["nr"],
            ENTRY["max"], ENTRY["segments"], self._segment_size, 0, self.long_size,
            self.long_size + 8, MODULE_NAME, 0)

    def _elf(self):
        info = b"OSRELEASE=0\nKMEMDUMP_INDEX=%x\n" % BASE
        info += bytes(-len(info) % 4)
        notes = self._pack("III", 11, len(info), 0) + b"VMCOREINFO\0\0" + info
        wide = self.long_size == 8
        header, phdr = (64, 56) if wide else (52, 32)
        notes_at = header + 2 * phdr
        ram_at = -(-(notes_at + len(notes)) // 16) * 16
        ident = b"\x7fELF" + bytes((2 if wide else 1, 1 if self.order == "<" else 2, 1))
        out = ident.ljust(16, b"\0")
        out += self._pack("HHIQQQIHHHHHH" if wide else "HHIIIIIHHHHHH", 4, 62 if wide else 3, 1, 0,
                          header, 0, 0, header, phdr, 2, 0, 0, 0)
        for kind, at, phys, size in ((4, notes_at, 0, len(notes)), (1, ram_at, BASE, SIZE)):
            # No virtual addresses, as a hypervisor leaves it.
            out += self._pack("IIQQQQQQ", kind, 0, at, 0, phys, size, size, 0) if wide else \
                self._pack("IIIIIIII", kind, at, 0, phys, size, size, 0, 0)
        return (out + notes).ljust(ram_at, b"\0") + bytes(self.ram)
