# SPDX-License-Identifier: GPL-2.0
"""A minute of fuzzing; "make fuzz" does it for longer."""

from harness import firmware, fuzz
from harness.lab import expect
from harness.minidump import Core, Minidump, flat

SECONDS = 60 // len(fuzz.TARGETS)


def _fuzz(lab, name):
    runs, reached = fuzz.fuzz(lab, name, SECONDS)
    expect(runs > 100 and reached > 300, "inputs that get somewhere",
           f"{runs} inputs, {reached} places reached")


def test_elf(lab):
    _fuzz(lab, "elf")


def test_record(lab):
    _fuzz(lab, "record")


def test_minidump(lab):
    _fuzz(lab, "minidump")


def test_smem(lab):
    _fuzz(lab, "smem")


def test_rawdump(lab):
    _fuzz(lab, "rawdump")


def test_firmware(_lab):
    """The harness' firmware reads tables of a kernel that crashed: nothing may surprise it."""
    md = Minidump(Core.small())
    # Where all that it goes by is, so that most changes hit something.
    start = min(md.table_at, md.smem_at) - 0x40000000
    ram = flat(md.ram(), 0x40000000)
    names = [name for name, *_ in firmware.walk(ram, md.smem_at, smem_size=0x6000).regions]
    expect(len(names) == len(md.slots), "all of a good one", str(names))

    def walk(data):
        return firmware.walk(ram[:start] + data, md.smem_at, smem_size=0x6000)

    refused = fuzz.walk(walk, firmware.Bad, ram[start:], 20000)
    expect(0 < refused < 20000, "some to be refused", str(refused))
