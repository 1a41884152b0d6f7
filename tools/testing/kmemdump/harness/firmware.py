# SPDX-License-Identifier: GPL-2.0
"""The boot firmware of a Qualcomm board, as far as minidumps go, and what host tools do with what
it saves. It is written from descriptions of the formats alone, and shares nothing with the kernel's
side."""

import io
import struct

from elftools.elf.elffile import ELFFile

from .lab import expect
from .minidump import EHDR, PHDR, PT_LOAD

RAM = 0x40000000        # where the RAM of QEMU's arm64 machine starts

PARTITION, PARTITION_SIZE = 0x4000, 0x20000
SMEM_SIZE = 0x200000
MINIDUMP_ITEM = 602
MAX_REGIONS = 300

TOC = struct.Struct("<IIII")
SUBSYSTEM = struct.Struct("<IIIIIIQ")
REGION = struct.Struct("<16sIIQQ")
MODEM = 3

ENBL = 0x454E424C
VALI = 0x56414C49
INVA = 0x494E5641
DONE = 0x444F4E45
YES = 0x00594553


def toc(subsystems=10, status=1, revision=1, enabled=1, encryption=0, modem=0):
    """What the firmware has in item 602 before Linux comes."""
    data = TOC.pack(status, revision, enabled, 0)
    for i in range(subsystems):
        if i == MODEM and modem:
            data += SUBSYSTEM.pack(1, ENBL, DONE, 0, modem, 0, 0)
        else:
            data += SUBSYSTEM.pack(0, 0, 0, encryption if i == 0 else 0, 0, 0, 0)
    return data


def smem(item=MINIDUMP_ITEM, data=None, version=12, length=None):
    """An image of SMEM with one item: a dict offset -> bytes; all else is zeros. @length is what
    the item claims to be its size, if that is wrong."""
    data = toc() if data is None else data
    padded = data + bytes(-len(data) % 8)
    header = bytearray(0xD0)
    struct.pack_into("<I", header, 0x40 + 7 * 4, version << 16)
    struct.pack_into("<IIII", header, 0xC0, 1, 0, 0, 0)
    entry = struct.pack("<HHIHHI", 0xA5A5, item, length or len(padded), len(padded) - len(data),
                        0, 0)
    free = 32 + len(entry) + len(padded)
    partition = struct.pack("<4sHHIII12x", b"$PRT", 0xFFFE, 0xFFFE, PARTITION_SIZE, free,
                            PARTITION_SIZE)
    table = struct.pack("<4sII20x", b"$TOC", 1, 1)
    table += struct.pack("<IIIHHI28x", PARTITION, PARTITION_SIZE, 0, 0xFFFE, 0xFFFE, 0)
    table += struct.pack("<4sIIIH2x", b"SIII", SMEM_SIZE, 0, 0, 1024)
    return {0: bytes(header), PARTITION: partition + entry + padded, SMEM_SIZE - 4096: table}


def cold_start(board, **kwargs):
    """Returns a function that fills SMEM in RAM before a kernel starts."""
    def fill(ram):
        start = board.smem - RAM
        ram[start:start + SMEM_SIZE] = bytes(SMEM_SIZE)
        for offset, data in smem(**kwargs).items():
            ram[start + offset:start + offset + len(data)] = data
    return fill


class Bad(Exception):
    """The firmware finds nothing that it could save; str() says why."""


class Memory:
    """RAM as the firmware sees it: no access goes outside."""

    def __init__(self, ram):
        self.ram = ram

    def read(self, address, size, what):
        if address < RAM or size < 0 or address + size > RAM + len(self.ram):
            raise Bad(f"{what}: {size:#x} bytes at {address:#x} are not in RAM")
        return bytes(self.ram[address - RAM:address - RAM + size])

    def unpack(self, layout, address, what):
        return layout.unpack(self.read(address, layout.size, what))


def find_item(memory, smem_address, smem_size, number):
    """Address and size of an item in the global partition of SMEM."""
    table = smem_address + smem_size - 4096
    magic, version, entries = memory.unpack(struct.Struct("<4sII"), table, "table of SMEM")
    if magic != b"$TOC" or version != 1 or entries > 64:
        raise Bad("SMEM has no table of partitions")
    for i in range(entries):
        offset, size, _, host0, host1 = memory.unpack(struct.Struct("<IIIHH"),
                                                      table + 32 + 48 * i, "entry of SMEM")
        if host0 == host1 == 0xFFFE and offset and size:
            break
    else:
        raise Bad("SMEM has no global partition")
    start = smem_address + offset
    magic, _, _, size, free = memory.unpack(struct.Struct("<4sHHII"), start, "partition")
    if magic != b"$PRT" or offset + size > smem_size or free > size:
        raise Bad("SMEM has a damaged partition")
    at, end = start + 32, start + free
    while at + 16 <= end:
        canary, item, length, pad_data, pad_head = memory.unpack(struct.Struct("<HHIHH"), at,
                                                                 "item of SMEM")
        if canary != 0xA5A5 or at + 16 + pad_head + length > end or pad_data > length:
            raise Bad("SMEM has a damaged item")
        if item == number:
            return at + 16 + pad_head, length - pad_data
        at += 16 + pad_head + length
    raise Bad(f"SMEM has no item {number}")


class Minidump:
    """What the firmware has saved: (name, address, bytes) in the order of the table."""

    def __init__(self, regions, messages):
        self.regions = regions
        self.messages = messages

    @property
    def names(self):
        return [name for name, _, _ in self.regions]

    def concatenated(self):
        return b"".join(data for _, _, data in self.regions)

    def write(self, folder, suffix=".BIN"):
        """Write the files as Sahara makes the host write them: a file replaces another one of its
        name."""
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob("md_*"):
            old.unlink()
        for name, _, data in self.regions:
            (folder / f"md_{name}{suffix}").write_bytes(data)
        return folder


def walk(ram, smem_address, look_at_valid=True, smem_size=SMEM_SIZE):
    """Save what the table of the APSS lists. Raises Bad if there is no table to follow. What is
    wrong with single regions is in the messages."""
    memory = Memory(ram)
    address, size = find_item(memory, smem_address, smem_size, MINIDUMP_ITEM)
    if size < TOC.size + SUBSYSTEM.size:
        raise Bad("the item is too small")
    if not memory.unpack(TOC, address, "minidump table")[0]:
        raise Bad("the table is not set up")
    status, enabled, encryption, _, count, _, base = memory.unpack(SUBSYSTEM, address + TOC.size,
                                                                   "subsystem")
    if status != 1 or enabled != ENBL or not base:
        raise Bad(f"no live table: status {status:#x}, enabled {enabled:#x}, at {base:#x}")
    if encryption != DONE:
        raise Bad("still to be encrypted")
    if count > MAX_REGIONS:
        raise Bad(f"{count} regions are too many")
    array = memory.read(base, count * REGION.size, "regions")
    regions, messages = [], []
    for i in range(count):
        raw, _, valid, start, length = REGION.unpack_from(array, i * REGION.size)
        if look_at_valid and valid != VALI:
            messages.append(f"region {i} is not valid")
            continue
        name = raw.split(b"\0")[0].decode("ascii", "replace")
        try:
            if not length:
                raise Bad("it is empty")
            regions.append((name, start, memory.read(start, length, "it")))
        except Bad as err:
            messages.append(f"region {i}, {name}: {err}")
    return Minidump(regions, messages)


def assemble_like_qdl(regions):
    """What qdl makes of the regions: (ELF, what it says). It looks at addresses, not at offsets,
    and takes each file as long as it is."""
    said = []
    kelf = next((i for i, r in enumerate(regions) if r[0].startswith("KELF")), None)
    if kelf is None:
        return None, ["no KELF"]
    head = regions[kelf][2]
    ehdr = EHDR.unpack_from(head.ljust(EHDR.size, b"\0"))
    phoff, phnum = ehdr[5], ehdr[10]
    if not head.startswith(b"\x7fELF") or ehdr[1] != 4 or ehdr[9] != PHDR.size or \
            phoff + phnum * PHDR.size > len(head):
        return None, ["KELF is no 64-bit ELF core"]
    phdrs = [PHDR.unpack_from(head, phoff + PHDR.size * i) for i in range(phnum)]
    loads = [(p[4], p[5]) for p in phdrs if p[0] == PT_LOAD]
    out = bytearray(head)
    known = {paddr for paddr, _ in loads}
    for i, (name, address, data) in enumerate(regions):
        if i != kelf and name.startswith("K") and address not in known:
            said.append(f"{name} taken for vmcoreinfo")
            out += data
            break
    for paddr, filesz in loads:
        data = next((data for _, address, data in regions if address == paddr), None)
        if data is None:
            said.append(f"no region at {paddr:#x}")
        else:
            out += data + bytes(max(0, filesz - len(data)))
    return bytes(out), said


def lrdp_names(head):
    """The names that linux-ramdump-parser finds in KELF, byte by byte after the first STR_TBL. It
    ends at two zeros, with one byte before them that may be anything. It raises an error if it has
    to look for them past the end."""
    at = head.find(b"STR_TBL")
    if at < 0:
        return []
    names, name = [], ""
    at += len("STR_TB")
    while at < len(head):
        byte = head[at]
        at += 1
        if 0x30 <= byte < 0x80:
            name += chr(byte)
            continue
        if len(name) >= 3 and name not in ("linux_banner", "minidump_table"):
            names.append(name)
        name = ""
        if not byte and not head[at + 1] and not head[at + 2]:
            break
    return names


def assemble_like_lrdp(regions):
    """What linux-ramdump-parser makes of the files: (ELF, or None, and what it says)."""
    files = {name: data for name, _, data in regions}
    head = files.get("KELF_HEADER") or files.get("KELF_HDR")
    if not head:
        return None, "ELF header binary is missing"
    try:
        names = lrdp_names(head)
    except IndexError:
        return None, "an error behind the end of KELF"
    missing = [name for name in names if name not in files]
    if missing:
        return None, f"not able to open md_{missing[0]}.BIN"
    return head + b"".join(files[name] for name in names), f"{len(names)} files"


def _check_sections(dump, whole):
    """A program that follows sections has to find each region by its name: with its bytes, and in
    the one program header for its address."""
    elf = ELFFile(io.BytesIO(whole))
    loads = [s.header for s in elf.iter_segments() if s["p_type"] == "PT_LOAD"]
    sections = list(elf.iter_sections())
    found = [s.name for s in sections]
    expect(found == ["", "STR_TBL", *dump.names[1:]], "a section for each region", str(found))
    by_address = {}
    for load in loads:
        by_address.setdefault(load.p_paddr, []).append(load)
    for (name, address, data), section in zip(dump.regions[1:], sections[2:]):
        at, offset, size = (section[key] for key in ("sh_addr", "sh_offset", "sh_size"))
        expect(section.data() == data, f"the bytes of {name} in its section",
               f"{offset:#x} {size:#x}")
        expect([load for load in by_address.get(address, ())
                if load.p_vaddr <= at and at + size <= load.p_vaddr + load.p_memsz and
                load.p_offset <= offset and offset + size <= load.p_offset + load.p_filesz],
               f"{name} in a program header", f"{at:#x} {offset:#x} {size:#x}")
    strings = elf.get_section(elf["e_shstrndx"])
    end = strings["sh_offset"] + strings["sh_size"]
    # End where the names end. There may be zeros after them in the page, but only by chance.
    try:
        found = lrdp_names(whole[:end])
    except IndexError:
        found = "an error behind the end"
    expect(found == dump.names[1:], "names that linux-ramdump-parser finds", str(found))


def check_table(dump, tasks=False):
    """Check what has to be true of any table: names, addresses, and that all ways to put it
    together give the same ELF core. If @tasks are followed, two of them may be in the same
    pages."""
    names = dump.names
    expect(names and names[0] == "KELF_HDR", "the header first", str(names[:3]))
    expect(all(0 < len(name) <= 12 and name[0] == "K" for name in names), "names", str(names))
    expect(len({name.upper() for name in names}) == len(names), "no name twice", str(names))
    expect(sum(name.upper().startswith("KELF") for name in names) == 1, "one header", str(names))
    sizes = {}
    for name, address, data in dump.regions:
        expect(sizes.setdefault(address, len(data)) == len(data) if tasks else
               address not in sizes, "no address twice", f"{name} {address:#x} {len(data):#x}")
        sizes[address] = len(data)
    whole = dump.concatenated()
    elf, said = assemble_like_qdl(dump.regions)
    expect(elf == whole, "qdl to put together the same", "\n".join(said))
    elf, message = assemble_like_lrdp(dump.regions)
    expect(elf == whole, "linux-ramdump-parser to put together the same", message)
    _check_sections(dump, whole)
    return said


RAW_HEADER = struct.Struct("<8sIIQ8sIQQI")
RAW_SECTION = struct.Struct("<IIIQQQQ20s")


def rawdump(dump):
    """The partition to which firmware saves if there is no USB host: a header, a header for each
    section, and the sections. What was in the partition before follows."""
    at = RAW_HEADER.size + RAW_SECTION.size * len(dump.regions)
    total = at + sum(len(data) for _, _, data in dump.regions)
    out = [RAW_HEADER.pack(b"Raw_Dmp!", 0x1000, 1, 0, bytes(8), 0, total, total,
                           len(dump.regions))]
    for name, address, data in dump.regions:
        out.append(RAW_SECTION.pack(1, 0x1000, 1, at, len(data), address, 0,
                                    f"md_{name}.BIN".encode()))
        at += len(data)
    return b"".join(out) + dump.concatenated() + b"\xff" * 100000


class Held:
    """A guest on a board whose firmware makes minidumps. It is held at each reset. With @tasks, the
    kernel follows which tasks run."""

    def __init__(self, lab, append="", files=None, firmware=None, tasks=False, **kwargs):
        self.lab = lab
        self.tasks = tasks
        if tasks:
            append += " qcom_minidump.running=1"
        board = lab.kernel.board
        self.guest = lab.guest(None, append, files, hold=True,
                               firmware=firmware or cold_start(board), **kwargs)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.guest.close()

    def collect(self, look_at_valid=True):
        """What the firmware would save now."""
        with self.guest.ram() as ram:
            return walk(ram, self.lab.kernel.board.smem, look_at_valid)

    def item(self):
        """What SMEM has for the firmware, byte for byte."""
        with self.guest.ram() as ram:
            memory = Memory(ram)
            return memory.read(*find_item(memory, self.lab.kernel.board.smem, SMEM_SIZE,
                                          MINIDUMP_ITEM), "item")

    def check(self):
        """Returns the table as it is now, which has to be a good one."""
        dump = self.collect()
        expect(not dump.messages, "no bad region", str(dump.messages))
        check_table(dump, self.tasks)
        return dump

    def restart(self, **kwargs):
        """The firmware sets SMEM up anew and boots."""
        with self.guest.ram() as ram:
            cold_start(self.lab.kernel.board, **kwargs)(ram)
        self.guest.release()

    def crash(self, command="echo c > /proc/sysrq-trigger", timeout=120):
        """Have the guest crash; (console text, what the firmware saves at the reset)."""
        start = len(self.guest.text)
        self.guest.send(command)
        self.guest.wait(r"Kernel panic - not syncing", timeout, start)
        self.guest.wait_held(timeout)
        return self.guest.text[start:], self.collect()

    def save(self, dump, name):
        """Check @dump, and put it together. Returns the path of the ELF core."""
        check_table(dump, self.tasks)
        folder = dump.write(self.lab.dumps / name)
        core = self.lab.dumps / f"{name}.core"
        core.write_bytes(dump.concatenated())
        partition = self.lab.dumps / f"{name}.rawdump"
        partition.write_bytes(rawdump(dump))
        self._assemble(core, folder, partition)
        partition.unlink()
        return core

    def _assemble(self, core, *parts):
        """The reader has to make the same core from each of @parts, and from all RAM of the guest,
        which is held."""
        out = self.lab.dumps / "assembled"
        ram = f"{self.guest.work / 'ram'}@{RAM:#x}"
        for args in (*([out, part] for part in parts),
                     ["--smem", hex(self.lab.kernel.board.smem), "--ram", ram, out]):
            out.unlink(missing_ok=True)
            text = self.lab.reader("assemble", *args)
            expect(out.read_bytes() == core.read_bytes(), "'kmemdump assemble' to make the same",
                   text)
