# SPDX-License-Identifier: GPL-2.0
"""An ELF core of a 64-bit little-endian machine, which pyelftools reads: nothing here is
shared with the code that makes such cores, or with the reader."""

import bisect
import io
import struct

from elftools.elf.elffile import ELFFile
from elftools.elf.enums import ENUM_E_MACHINE

# Offsets in struct elf_prstatus: the PID, and the registers.
PR_PID, PR_REG = 32, 112
# An idle task has no PID. The note has this plus the number of the CPU instead.
NO_PID = 1 << 22


class Unreadable(Exception):
    """The core has no such memory."""


class ElfCore:
    """@loads: (virtual address, physical address, bytes) in the order of the headers.
    @notes: (name, type, bytes); the type is a name if pyelftools knows one."""

    def __init__(self, data):
        elf = ELFFile(io.BytesIO(data))
        self.machine = ENUM_E_MACHINE[elf["e_machine"]]
        segments = list(elf.iter_segments())
        self.loads = [(s["p_vaddr"], s["p_paddr"], s.data()) for s in segments
                      if s["p_type"] == "PT_LOAD"]
        self._sorted = sorted((vaddr, data) for vaddr, _, data in self.loads)
        notes = [s for s in segments if s["p_type"] == "PT_NOTE"]
        self.raw_notes = b"".join(s.data() for s in notes)
        self.notes = [(note["n_name"], note["n_type"], note["n_descdata"])
                      for s in notes for note in s.iter_notes()]

    def _from(self, address):
        """Memory from @address on, as far as one load has it."""
        # Loads may overlap; the last one that starts before it mostly has it.
        last = bisect.bisect_right(self._sorted, address, key=lambda load: load[0])
        for vaddr, data in reversed(self._sorted[:last]):
            if address < vaddr + len(data):
                return data[address - vaddr:]
        raise Unreadable(f"{address:#x}")

    def read(self, address, size):
        """Memory by its virtual address; it may be in several pieces."""
        out = b""
        while len(out) < size:
            out += self._from(address + len(out))[:size - len(out)]
        return out

    @property
    def vmcoreinfo(self):
        [text] = [desc for name, _, desc in self.notes if name == "VMCOREINFO"]
        return dict(line.split("=", 1) for line in text.decode().rstrip("\0").splitlines())

    def _cpus(self, words):
        return [(struct.unpack_from("<i", desc, PR_PID)[0],
                 struct.unpack_from(f"<{words}Q", desc, PR_REG))
                for name, kind, desc in self.notes if (name, kind) == ("CORE", "NT_PRSTATUS")]

    @property
    def x86_64_cpus(self):
        """(PID, registers) of each CPU, in the order of struct user_regs_struct."""
        return self._cpus(27)

    @property
    def arm64_cpus(self):
        """(PID, registers) of each CPU: x0 to x30, sp, pc, pstate."""
        return self._cpus(34)

    @property
    def ppc64_cpus(self):
        """(PID, registers) of each CPU: r0 to r31, nip, msr and others."""
        return self._cpus(48)


class Symbols:
    """The functions in the text of /proc/kallsyms."""

    def __init__(self, text):
        rows = [line.split() for line in text.splitlines()]
        self._rows = sorted((int(row[0], 16), row[2]) for row in rows if row[1] in "tTwW")

    def name(self, address):
        """The function that @address is in, or None."""
        i = bisect.bisect_right(self._rows, (address, "\x7f")) - 1
        return self._rows[i][1] if i >= 0 else None
