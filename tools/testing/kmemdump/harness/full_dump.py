# SPDX-License-Identifier: GPL-2.0
"""A made-up dump of all memory: small, in either byte order and with longs of either size, to test
how the reader follows the kernel's list of regions. It is written from the uapi header."""

import struct

RAM_START = 0x100000         # physical address of its RAM
SIZE = 0x4000
PAGE = 0x1000
HEAD = 0x10             # where in RAM the head of the list is
MASK = 0x20             # where the mask of possible CPUs is
CPUS = (0, 2)
PERCPU = 1
# Offsets of the members of an entry.
ENTRY = {"id": 0, "class": 4, "flags": 5, "version": 8, "nr_pieces": 12, "max_pieces": 20,
         "list": 24, "pieces": 40, "pfns": 48, "names": 56}
ARM64 = 183


class FullDump:
    """@elf has the bytes. They are made from @ram and the @lines of VMCOREINFO, both of which may
    be changed before. @regions: name -> (id, class, is per-CPU, parts of its bytes, owner). With a
    @tag, the dump is of arm64, and the tag is the upper byte of all pointers."""

    def __init__(self, order="<", long_size=8, phys_size=8, tag=None):
        self.order, self.long_size, self.phys_size, self.tag = order, long_size, phys_size, tag
        wide = long_size == 8
        self.linear = 0xffff888000000000 if wide else 0xc0000000
        # The kernel image and vmalloc memory are elsewhere.
        self.image = 0xffffffff81000000 if wide else 0xd0000000
        self.far = 0xffffc90000123000 if wide else 0xf0123000
        self.piece_size = 2 * long_size + phys_size
        self.ram = bytearray(SIZE)
        self.used = 0x40
        self.regions = {"plain": (5, 2, False, [b"in the l", b"inear map"], "a_module"),
                        "percpu": (20, 3, True, [b"of CPU 0", b"of CPU 2"], "kernel"),
                        "far": (65536, 0, False, [b"x" * 40, b"y" * 60], "kernel")}
        self.entries = {name: self._entry(name, *region) for name, region in self.regions.items()}
        self.link(self.entries.values())
        self.put(MASK, self.long(sum(1 << cpu for cpu in CPUS)))
        self.lines = {
            "OSRELEASE": "0", "PAGESIZE": PAGE,
            "OFFSET(list_head.next)": 0, "OFFSET(list_head.prev)": long_size,
            "KMEMDUMP_ENTRIES": f"{RAM_START + HEAD:x}", "KMEMDUMP_LINEAR": f"{self.linear:x}",
            "KMEMDUMP_CPUS": f"{RAM_START + MASK:x}", "NUMBER(kmemdump_cpus)": max(CPUS) + 1,
            **{f"OFFSET(kmemdump_entry.{name})": at for name, at in ENTRY.items()},
            "SIZE(kmemdump_piece)": self.piece_size, "OFFSET(kmemdump_piece.virt_addr)": 0,
            "OFFSET(kmemdump_piece.phys_addr)": long_size,
            "OFFSET(kmemdump_piece.size)": long_size + phys_size}

    def pack(self, fmt, *values):
        return struct.pack(self.order + fmt, *values)

    def long(self, value):
        return self.pack("Q" if self.long_size == 8 else "I", value)

    def pointer(self, address):
        if self.tag is not None:
            address = address & (1 << 56) - 1 | self.tag << 56
        return self.long(address)

    def piece(self, virtual, physical, size):
        return self.long(virtual) + self.pack("Q" if self.phys_size == 8 else "I", physical) + \
            self.long(size)

    def put(self, at, data):
        """Put @data at @at in RAM."""
        self.ram[at:at + len(data)] = data

    def new(self, data):
        """Put @data at the next free place. Returns where that is in RAM."""
        at = self.used
        self.put(at, data)
        self.used = -(-(at + len(data)) // 16) * 16
        assert self.used < 2 * PAGE
        return at

    # The physical pages of vmalloc memory.
    far_pages = (RAM_START + 3 * PAGE, RAM_START + 2 * PAGE)

    def _far(self, data, skip):
        """Put @data into vmalloc memory, @skip bytes after the start of a page. Returns its address
        there, and the address of the array of its page frames."""
        pages = (bytes(skip) + data).ljust(2 * PAGE, b"\0")
        for i, page in enumerate(self.far_pages):
            self.put(page - RAM_START, pages[i * PAGE:(i + 1) * PAGE])
        frames = self.new(b"".join(self.long(page // PAGE) for page in self.far_pages))
        return self.far + skip, self.address(frames)

    def make_entry(self, number, kind, flags, nr, room, pieces, pfns=0, names=b"x\0kernel\0"):
        """The bytes of an entry whose second copy of @nr pieces counts; not yet in the list."""
        entry = bytearray(ENTRY["names"])
        for name, data in (("id", self.pack("IBB", number, kind, flags)),
                           ("version", self.pack("IIII", 3, 77, nr, room)),
                           ("pieces", self.pointer(pieces)),
                           ("pfns", self.pointer(pfns) if pfns else self.long(0))):
            entry[ENTRY[name]:ENTRY[name] + len(data)] = data
        return bytes(entry) + names

    def _entry(self, name, number, kind, percpu, parts, owner):
        room = len(parts) + 1
        pieces = bytes(room * self.piece_size)
        for part in parts:
            at = self.new(part)
            pieces += self.piece(self.address(at), RAM_START + at, len(part))
        pieces += bytes(self.piece_size)
        if name == "far":
            # Make a page end in the middle of a piece.
            address, pfns = self._far(pieces, PAGE - room * self.piece_size - self.piece_size // 2)
        else:
            address, pfns = self.address(self.new(pieces)), 0
        return self.new(self.make_entry(number, kind, PERCPU if percpu else 0, len(parts), room,
                                        address, pfns, f"{name}\0{owner}\0".encode()))

    def address(self, at):
        """The address in the linear map of what is at @at in RAM."""
        return RAM_START + at + self.linear

    def link(self, entries):
        """Make a list of the entries that are at @entries in RAM."""
        places = [HEAD] + [at + ENTRY["list"] for at in entries]
        # The head is in the kernel image.
        nodes = [self.image + HEAD] + [self.address(at) for at in places[1:]]
        for i, at in enumerate(places):
            self.put(at, self.pointer(nodes[(i + 1) % len(nodes)]) + self.pointer(nodes[i - 1]))

    @property
    def info(self):
        """The text of VMCOREINFO."""
        return "".join(f"{key}={value}\n" for key, value in self.lines.items()).encode()

    @property
    def elf(self):
        info = self.info + bytes(-len(self.info) % 4)
        notes = self.pack("III", 11, len(info), 0) + b"VMCOREINFO\0\0" + info
        wide = self.long_size == 8
        header, phdr = (64, 56) if wide else (52, 32)
        notes_at = header + 2 * phdr
        ram_at = -(-(notes_at + len(notes)) // 16) * 16
        ident = b"\x7fELF" + bytes((2 if wide else 1, 1 if self.order == "<" else 2, 1))
        machine = ARM64 if self.tag is not None else 62 if wide else 3
        out = ident.ljust(16, b"\0")
        out += self.pack("HHIQQQIHHHHHH" if wide else "HHIIIIIHHHHHH", 4, machine, 1, 0, header, 0,
                         0, header, phdr, 2, 0, 0, 0)
        for kind, at, phys, size in ((4, notes_at, 0, len(notes)),
                                     (1, ram_at, RAM_START, len(self.ram))):
            # There are no virtual addresses, as in the dump of a hypervisor.
            out += self.pack("IIQQQQQQ", kind, 0, at, 0, phys, size, size, 0) if wide else \
                self.pack("IIIIIIII", kind, at, 0, phys, size, size, 0, 0)
        return (out + notes).ljust(ram_at, b"\0") + bytes(self.ram)
