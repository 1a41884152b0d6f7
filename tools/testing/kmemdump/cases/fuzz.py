# SPDX-License-Identifier: GPL-2.0
"""Some thousand inputs for each fuzzer; "make fuzz" and "make check-long" go on for longer."""

import pytest

from harness import current, fuzz
from harness.host import Failed
from harness.lab import expect

# How many inputs each fuzzer gets: a number, not a time, so that a slow machine tries as many. All
# together take about 40 seconds on a slow core.
INPUTS = {"elf": 4000, "record": 2500, "minidump": 6000, "smem": 6000, "rawdump": 4000}
# A fuzzer that needs longer hangs in many of its inputs. Then it tries no more of them.
SECONDS = 300


def test_all_of_them():
    """This file runs every fuzzer."""
    expect(INPUTS and set(INPUTS) == set(fuzz.TARGETS), "the same fuzzers", str(INPUTS))


@pytest.mark.parametrize("name", INPUTS)
def test_fuzz(name):
    """The reader handles each input well. The inputs that the fuzzer starts from get far into the
    code, and those that it makes from them get farther. How far the first ones get is the same each
    time. With 1000 inputs, each fuzzer reached from 37 to 149 more places, so fewer than 10 can't
    be bad luck."""
    result = fuzz.fuzz(name, f"-runs={INPUTS[name]}", f"-max_total_time={SECONDS}")
    print(result)
    expect(result.runs >= INPUTS[name] // 10, f"more inputs in {SECONDS} s", str(result))
    expect(result.at_first > 250 and result.reached >= result.at_first + 10,
           "inputs that get somewhere", str(result))


def test_a_fault_is_found():
    """Reading a byte past the end of a buffer, which inputs that start with one letter cause, ends
    the fuzzer with a report of ASan. Each change of an input makes its first byte that letter with
    a chance of at least 1 in 10,000. So 1,000,000 of them miss it with a chance of e^-100."""
    try:
        result = fuzz.fuzz("fault", "-runs=1000000")
    except Failed:
        text = (current.folder() / "fuzz-fault.log").read_text(errors="replace")
        expect("heap-buffer-overflow" in text, "a report of ASan", text[-3000:])
        return
    raise Failed(f"the fault was not found: {result}")


def test_firmware():
    """The harness' firmware reads the tables of a kernel that crashed, with changes. It accepts
    some, refuses others, and raises no other exception."""
    rounds = 20000
    refused = fuzz.walk_tables(rounds)
    expect(0 < refused < rounds, "some to be refused", str(refused))
