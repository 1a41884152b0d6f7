# SPDX-License-Identifier: GPL-2.0
"""Qualcomm minidumps that are made here, in each form that firmware leaves them in, to test the
reader. They are written from the formats, not from the code of the kernel or the reader."""

import struct

from .elfcore import ElfCore
from .host import xxh64

PAGE = 4096
VALID, INVALID = 0x56414C49, 0x494E5641
ENABLED, DONE, NOT_REQUIRED = 0x454E424C, 0x444F4E45, 0x00004E52
PT_LOAD, PT_NOTE, SHT_PROGBITS, SHT_STRTAB = 1, 4, 1, 3
EHDR, PHDR, SHDR = struct.Struct("<16sHHIQQQIHHHHHH"), struct.Struct("<IIQQQQQQ"), \
    struct.Struct("<IIQQQQIIQQ")
IDENT = b"\x7fELF\2\1\1".ljust(16, b"\0")


def _up(value, to):
    return -(-value // to) * to


class Core:
    """What goes into an ELF core: its notes, and memory as (vaddr, paddr, bytes)."""

    def __init__(self, machine, notes, loads):
        self.machine, self.notes, self.loads = machine, notes, loads

    @classmethod
    def from_elf(cls, data):
        core = ElfCore(data)
        return cls(core.machine, core.raw_notes, [load for load in core.loads if load[2]])

    @classmethod
    def small(cls, regions=6, size=64, page=PAGE):
        """One that fuzzers can handle: a log, and @regions of @size bytes and more, each in
        a @page."""
        loads = [(0xffff800000000000 + i * page, 0x40000000 + i * page,
                  (b"region %d " % i * size)[:size + 4 * i]) for i in range(regions)]
        names = [b"test-%d" % i for i in range(regions)]
        at = 0xffff800000000000 + regions * page
        info, log = small_log(at, [b"one", b"", b"two\nlines"])
        loads.insert(regions // 2, (at, 0x40000000 + regions * page, log))
        names.insert(regions // 2, b"log")
        rows = b"".join(struct.pack("<64s64sIIIIIIIIQQ", names[i], b"kernel", 10 + i, 2, 0, i, 1,
                                    0, 0, 0, len(data), xxh64(data))
                        for i, (_, _, data) in enumerate(loads))
        rows += b"".join(struct.pack("<QQQII", vaddr, paddr, len(data), 0xffffffff, 0)
                         for vaddr, paddr, data in loads)
        rows += struct.pack("<IIII", 0, 0, 77, 0)
        head = struct.pack("<IIIIIIIIII", 1, 40, 176, len(loads), 32, len(loads), 16, 1, 0, 0)
        notes = note(b"CORE", 1, bytes(392))
        notes += note(b"VMCOREINFO", 0, b"OSRELEASE=6.12.0-test\nPAGESIZE=4096\n" + info)
        return cls(183, notes + note(b"KMEMDUMP", 0x4b4d4431, head + rows), loads)


def small_log(vaddr, texts):
    """A printk ring of four records at @vaddr: (its lines of VMCOREINFO, its bytes)."""
    info = f"SYMBOL(prb)={vaddr:x}\n" + """SIZE(atomic_long_t)=8
SIZE(printk_ringbuffer)=56
OFFSET(printk_ringbuffer.desc_ring)=0
OFFSET(printk_ringbuffer.text_data_ring)=40
OFFSET(prb_desc_ring.count_bits)=0
OFFSET(prb_desc_ring.descs)=8
OFFSET(prb_desc_ring.infos)=16
OFFSET(prb_desc_ring.head_id)=24
OFFSET(prb_desc_ring.tail_id)=32
SIZE(prb_desc)=24
OFFSET(prb_desc.state_var)=0
OFFSET(prb_desc.text_blk_lpos)=8
OFFSET(prb_data_blk_lpos.begin)=0
OFFSET(prb_data_blk_lpos.next)=8
SIZE(printk_info)=16
OFFSET(printk_info.ts_nsec)=0
OFFSET(printk_info.text_len)=8
OFFSET(prb_data_ring.size_bits)=0
OFFSET(prb_data_ring.data)=8
"""
    descs, infos, text = b"", b"", b""
    for number, line in enumerate(texts):
        block = struct.pack("<Q", number) + line + bytes(-len(line) % 8)
        lpos = (len(text), len(text) + len(block)) if line else (3, 3)
        descs += struct.pack("<QQQ", 2 << 62 | number, *lpos)
        infos += struct.pack("<QHHI", number * 1000000000, len(line), 0, 0)
        text += block if line else b""
    at = vaddr + 64
    head = struct.pack("<QIIQQQQIIQ", vaddr + 8, 2, 0, at, at + 96, len(texts) - 1, 0, 8, 0,
                       at + 96 + 64)
    return info.encode(), head.ljust(64, b"\0") + descs.ljust(96, b"\0") \
        + infos.ljust(64, b"\0") + text.ljust(256, b"\0")


def note(name, kind, desc):
    name += b"\0"
    return struct.pack("<III", len(name), len(desc), kind) + name.ljust(_up(len(name), 4), b"\0") \
        + desc.ljust(_up(len(desc), 4), b"\0")


def flat(ram, base):
    """RAM from @base on as it is, with zeros where @ram has nothing."""
    out = bytearray(max(address + len(data) for address, data in ram.items()) - base)
    for address, data in ram.items():
        out[address - base:address - base + len(data)] = data
    return bytes(out)


class Minidump:
    """@core in slots as the kernel would register them: KELF, a slot for each load, and one for the
    last @packed loads together. If an @older driver made it, KELF has no names, the last of the
    notes is a region of its own, and nothing is packed."""

    def __init__(self, core, packed=3, older=False):
        packed = 0 if older else packed
        single = core.loads[:-packed] if packed else core.loads
        self.slots = {f"Kslot{i}": data + bytes(-len(data) % 4)
                      for i, (_, _, data) in enumerate(single)}
        self.address = {f"Kslot{i}": paddr for i, (_, paddr, _) in enumerate(single)}
        top = _up(max(paddr + len(data) for _, paddr, data in core.loads), PAGE)
        placed = [(vaddr, paddr, f"Kslot{i}", 0, len(data) + -len(data) % 4)
                  for i, (vaddr, paddr, data) in enumerate(single)]
        if packed:
            blob = b""
            for vaddr, paddr, data in core.loads[-packed:]:
                placed.append((vaddr, paddr, "Kstaging", len(blob), len(data)))
                blob += data + bytes(-len(data) % 16)
            self.slots["Kstaging"], self.address["Kstaging"] = blob, top
            top = _up(top + len(blob), PAGE)

        names = b"\0STR_TBL\0" + b"\0".join(name.encode() for name in self.slots) + b"\0"
        notes_at = EHDR.size + (1 + len(placed)) * PHDR.size
        shdr_at = _up(notes_at + len(core.notes), 8)
        names_at = shdr_at + (2 + len(self.slots)) * SHDR.size
        size = _up(names_at + len(names), PAGE)
        tail = core.notes[-64:] if older else b""
        if older:
            size = notes_at + len(core.notes) - len(tail)
        offset, at = {}, size + len(tail)
        for name, data in self.slots.items():
            offset[name] = at
            at += len(data)

        self.phdrs = [(PT_NOTE, 0, notes_at, 0, 0, len(core.notes), len(core.notes), 0)]
        self.phdrs += [(PT_LOAD, 6, offset[slot] + start, vaddr, paddr, length, length, 0)
                       for vaddr, paddr, slot, start, length in placed]
        kelf = bytearray(size)
        sections = (0, 0, 0, 0) if older else (shdr_at, 64, 2 + len(self.slots), 1)
        EHDR.pack_into(kelf, 0, IDENT, 4, core.machine, 1, 0, EHDR.size, sections[0], 0, EHDR.size,
                       PHDR.size, len(self.phdrs), *sections[1:])
        for i, phdr in enumerate(self.phdrs):
            PHDR.pack_into(kelf, EHDR.size + i * PHDR.size, *phdr)
        notes = core.notes[:len(core.notes) - len(tail)]
        kelf[notes_at:notes_at + len(notes)] = notes
        if not older:
            SHDR.pack_into(kelf, shdr_at + SHDR.size, 1, SHT_STRTAB, 0, 0, names_at, len(names),
                           0, 0, 1, 0)
            for i, (name, data) in enumerate(self.slots.items()):
                SHDR.pack_into(kelf, shdr_at + (2 + i) * SHDR.size,
                               names.index(b"\0" + name.encode() + b"\0") + 1,
                               SHT_PROGBITS, 0, 0, offset[name], len(data), 0, 0, 4, 0)
            kelf[names_at:names_at + len(names)] = names
        self.shdr_at, self.offset = shdr_at, offset
        first = {"KELF": bytes(kelf)}
        self.address["KELF"] = top
        top = _up(top + size, PAGE)
        if older:
            first["Kvmcorein"], self.address["Kvmcorein"] = tail, top
            top += PAGE
        self.slots = first | self.slots
        self.table_at = top
        self.smem_at = _up(self.table_at + 40 * len(self.slots), PAGE)

    @property
    def elf(self):
        """The core that the reader should make from it."""
        return b"".join(self.slots.values())

    def change(self, name, at, data):
        """Change a few bytes of a slot."""
        was = self.slots[name]
        self.slots[name] = was[:at] + data + was[at + len(data):]

    def section(self, name):
        """Where the section header of a slot is in KELF."""
        return self.shdr_at + (2 + list(self.offset).index(name)) * SHDR.size

    def folder(self, path, form="md_{}.BIN"):
        path.mkdir(parents=True)
        for name, data in self.slots.items():
            (path / form.format(name)).write_bytes(data)
        return path

    def rawdump(self, valid=1, form="md_{}.BIN"):
        """As a partition: headers, then the sections."""
        at = 56 + 64 * len(self.slots)
        total = at + sum(map(len, self.slots.values()))
        out = struct.pack("<8sIIQ8sIQQI", b"Raw_Dmp!", 1, valid, 0, b"", 0, total, total,
                          len(self.slots))
        for name, data in self.slots.items():
            out += struct.pack("<IIIQQQQ20s", 1, 1, 0, at, len(data), self.address[name], 0,
                               form.format(name).encode())
            at += len(data)
        return out + b"".join(self.slots.values())

    def table(self):
        """The array of regions."""
        return b"".join(struct.pack("<16sIIQQ", name.encode(), 0, VALID, self.address[name],
                                    len(data)) for name, data in self.slots.items())

    def smem(self, subsystem=0, size=0x6000, cached=False):
        """SMEM as boot firmware made it and the kernel filled it in. Firmware chooses whether the
        item of the minidump is a @cached one."""
        item = struct.pack("<IIII", 1, 1, 1, 0)
        item += bytes(32 * subsystem)
        item += struct.pack("<IIIIIIQ", 1, ENABLED, DONE, NOT_REQUIRED, len(self.slots), 0,
                            self.table_at)
        item += bytes(336 - len(item))
        other = struct.pack("<HHIHHI", 0xa5a5, 137, 24, 3, 8, 0) + bytes(32)
        head = struct.pack("<HHIHHI", 0xa5a5, 602, len(item), 0, 0, 0)
        length = 0x1000
        front, back = other + head + item, b""
        if cached:
            front, back = other, item + head.ljust(64, b"\0") + \
                bytes(40) + struct.pack("<HHIHHI", 0xa5a5, 469, 40, 5, 0, 0).ljust(64, b"\0")
        part = struct.pack("<4sHHIIIIII", b"$PRT", 0xfffe, 0xfffe, length, 32 + len(front),
                           length - len(back), 0, 0, 0) + front
        part += bytes(length - len(part) - len(back)) + back
        out = bytearray(size)
        struct.pack_into("<I", out, 0x5c, 12 << 16)
        struct.pack_into("<III", out, 0xc0, 1, 0, 0)
        out[0x4000:0x4000 + len(part)] = part
        struct.pack_into("<4sII", out, size - PAGE, b"$TOC", 1, 2)
        struct.pack_into("<IIIHH", out, size - PAGE + 32, 0x3000, 0x1000, 0, 0, 1)
        struct.pack_into("<IIIHH", out, size - PAGE + 80, 0x4000, length, 0, 0xfffe, 0xfffe)
        struct.pack_into("<I", out, size - PAGE + 96, 64)
        return bytes(out)

    def ram(self, **kwargs):
        """All of RAM that matters: address -> bytes."""
        return {self.address[name]: data for name, data in self.slots.items()} | \
            {self.table_at: self.table(), self.smem_at: self.smem(**kwargs)}
