# SPDX-License-Identifier: GPL-2.0
"""A minute of fuzzing; "make fuzz" does it for longer."""

from harness import fuzz
from harness.lab import expect

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


def test_firmware():
    """The harness' firmware reads tables of a kernel that crashed: nothing may surprise it."""
    refused = fuzz.walk_tables(20000)
    expect(0 < refused < 20000, "some to be refused", str(refused))
