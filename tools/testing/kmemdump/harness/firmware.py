# SPDX-License-Identifier: GPL-2.0
"""The boot firmware of a Qualcomm board, as far as minidumps go, and what host tools do
with what it saves. From descriptions of the formats alone: nothing here is shared with
the kernel's side."""

import struct

from .lab import expect

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


def smem(item=MINIDUMP_ITEM, data=None, version=12):
    """An image of SMEM with one item; a dict offset -> bytes, the rest is zeros."""
    data = toc() if data is None else data
    padded = data + bytes(-len(data) % 8)
    header = bytearray(0xD0)
    struct.pack_into("<I", header, 0x40 + 7 * 4, version << 16)
    struct.pack_into("<IIII", header, 0xC0, 1, 0, 0, 0)
    entry = struct.pack("<HHIHHI", 0xA5A5, item, len(padded), len(padded) - len(data), 0, 0)
    free = 32 + len(entry) + len(padded)
    partition = struct.pack("<4sHHIII12x", b"$PRT", 0xFFFE, 0xFFFE, PARTITION_SIZE, free,
                            PARTITION_SIZE)
    table = struct.pack("<4sII20x", b"$TOC", 1, 1)
    table += struct.pack("<IIIHHI28x", PARTITION, PARTITION_SIZE, 0, 0xFFFE, 0xFFFE, 0)
    table += struct.pack("<4sIIIH2x", b"SIII", SMEM_SIZE, 0, 0, 1024)
    return {0: bytes(header), PARTITION: partition + entry + padded, SMEM_SIZE - 4096: table}


def cold_start(board, **kwargs):
    """What fills SMEM in RAM before a kernel starts."""
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
        """The files as Sahara has the host write them; one of the same name replaces another."""
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob("md_*"):
            old.unlink()
        for name, _, data in self.regions:
            (folder / f"md_{name}{suffix}").write_bytes(data)
        return folder


def walk(ram, smem_address, look_at_valid=True, smem_size=SMEM_SIZE):
    """Save what the table of the APSS lists. Bad if there is nothing to go by; what is wrong
    with single regions is in the messages."""
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
    """What qdl makes of the regions: (ELF, what it says). It goes by addresses, not offsets."""
    said = []
    heads = [r for r in regions if r[0].startswith("KELF")]
    if not heads:
        return None, ["no KELF"]
    head = heads[0][2]
    if head[:5] != b"\x7fELF\x02" or struct.unpack_from("<H", head, 16)[0] != 4 or \
            struct.unpack_from("<H", head, 54)[0] != 56:
        return None, ["KELF is no 64-bit ELF core"]
    phoff, = struct.unpack_from("<Q", head, 32)
    phnum, = struct.unpack_from("<H", head, 56)
    loads = []
    for i in range(phnum):
        kind, _, _, _, paddr, filesz, _, _ = struct.unpack_from("<IIQQQQQQ", head, phoff + 56 * i)
        if kind == 1:
            loads.append((paddr, filesz))
    others = [r for r in regions if r[0].startswith("K") and not r[0].startswith("KELF")]
    out = bytearray(head)
    addresses = {paddr for paddr, _ in loads}
    for name, address, data in others:
        if address not in addresses:
            said.append(f"{name} taken for vmcoreinfo")
            out += data
            break
    by_address = {}
    for _, address, data in others:
        by_address.setdefault(address, data)
    for paddr, filesz in loads:
        if paddr not in by_address:
            said.append(f"no region at {paddr:#x}")
            continue
        data = by_address[paddr][:filesz]
        out += data + bytes(filesz - len(data))
    return bytes(out), said


def check_table(dump):
    """What has to hold of any table: names, addresses, and that both ways of putting it
    together give the same ELF core."""
    names = dump.names
    expect(names and names[0] == "KELF_HDR", "the header first", str(names[:3]))
    expect(all(0 < len(name) <= 12 and name[0] == "K" for name in names), "names", str(names))
    expect(len({name.upper() for name in names}) == len(names), "no name twice", str(names))
    expect(sum(name.upper().startswith("KELF") for name in names) == 1, "one header", str(names))
    sizes = {}
    for name, address, data in dump.regions:
        # What was freed and is still registered may have become a stack, or hold two tasks.
        expect(sizes.setdefault(address, len(data)) >= len(data), "no more at a known address", name)
    elf, said = assemble_like_qdl(dump.regions)
    expect(elf == dump.concatenated(), "qdl to put together the same", "\n".join(said))
    return said


class Held:
    """A guest on a board whose firmware makes minidumps. It is held at each reset."""

    def __init__(self, lab, append="", files=None, firmware=None, **kwargs):
        self.lab = lab
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
        """Check @dump and put it together; the path of the ELF core."""
        check_table(dump)
        folder = dump.write(self.lab.dumps / name)
        core = self.lab.dumps / f"{name}.core"
        core.write_bytes(dump.concatenated())
        self._assemble(folder, core)
        return core

    def _assemble(self, folder, core):
        """The reader has to make the same of the files, and of all RAM if the guest is held."""
        out = self.lab.dumps / "assembled"
        ram = f"{self.guest.work / 'ram'}@{RAM:#x}"
        for args in ([out, folder],
                     ["--smem", hex(self.lab.kernel.board.smem), "--ram", ram, out]):
            out.unlink(missing_ok=True)
            text = self.lab.reader("assemble", *args)
            expect(out.read_bytes() == core.read_bytes(), "'kmemdump assemble' to make the same",
                   text)
