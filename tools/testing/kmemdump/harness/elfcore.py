# SPDX-License-Identifier: GPL-2.0
"""An ELF core of a 64-bit little-endian machine, read here from the ELF format alone."""

import bisect
import struct

EHDR = struct.Struct("<16sHHIQQQIHHHHHH")
PHDR = struct.Struct("<IIQQQQQQ")
SHDR = struct.Struct("<IIQQQQIIQQ")
PT_LOAD, PT_NOTE = 1, 4
NT_PRSTATUS = 1
# Of struct elf_prstatus: where the PID and the registers are.
PR_PID, PR_REG = 32, 112


class Unreadable(Exception):
    """The core has no such memory."""


class ElfCore:
    """@loads: (virtual address, physical address, bytes) in the order of the headers."""

    def __init__(self, data):
        ehdr = EHDR.unpack_from(data)
        phdrs = [PHDR.unpack_from(data, ehdr[5] + i * PHDR.size) for i in range(ehdr[10])]
        self.loads = [(p[3], p[4], data[p[2]:p[2] + p[5]]) for p in phdrs if p[0] == PT_LOAD]
        self.notes = []
        for _, _, offset, _, _, size, _, _ in (p for p in phdrs if p[0] == PT_NOTE):
            self._add_notes(data[offset:offset + size])

    def _add_notes(self, data):
        at = 0
        while at + 12 <= len(data):
            namesz, descsz, kind = struct.unpack_from("<III", data, at)
            desc = at + 12 + -(-namesz // 4) * 4
            name = data[at + 12:at + 12 + namesz].rstrip(b"\0").decode()
            self.notes.append((name, kind, data[desc:desc + descsz]))
            at = desc + -(-descsz // 4) * 4

    def read(self, address, size):
        """Memory by its virtual address; it may be in several pieces."""
        out = b""
        while len(out) < size:
            at = address + len(out)
            for vaddr, _, data in self.loads:
                if vaddr <= at < vaddr + len(data):
                    out += data[at - vaddr:at - vaddr + size - len(out)]
                    break
            else:
                raise Unreadable(f"{at:#x}")
        return out

    @property
    def vmcoreinfo(self):
        [text] = [desc for name, _, desc in self.notes if name == "VMCOREINFO"]
        return dict(line.split("=", 1) for line in text.decode().rstrip("\0").splitlines())

    def _cpus(self, words):
        return [(struct.unpack_from("<i", desc, PR_PID)[0],
                 struct.unpack_from(f"<{words}Q", desc, PR_REG))
                for name, kind, desc in self.notes if (name, kind) == ("CORE", NT_PRSTATUS)]

    @property
    def arm64_cpus(self):
        """(PID, registers) of each CPU: x0 to x30, sp, pc, pstate."""
        return self._cpus(34)

    @property
    def ppc64_cpus(self):
        """(PID, registers) of each CPU: r0 to r31, nip, msr and others."""
        return self._cpus(48)


class Symbols:
    """What /proc/kallsyms had."""

    def __init__(self, text):
        rows = [line.split() for line in text.splitlines()]
        self._rows = sorted((int(row[0], 16), row[2]) for row in rows if row[1] in "tTwW")

    def name(self, address):
        """The function that @address is in, or None."""
        i = bisect.bisect_right(self._rows, (address, "\x7f")) - 1
        return self._rows[i][1] if i >= 0 else None
