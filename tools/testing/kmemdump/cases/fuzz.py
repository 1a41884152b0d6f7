# SPDX-License-Identifier: GPL-2.0
"""Some thousand inputs for each fuzzer; "make fuzz" and "make check-long" go on for longer."""

import pytest

from harness import current, fuzz
from harness.host import Failed
from harness.lab import expect

# How many inputs each gets: their number, not time, so that a slow machine tries as many. All
# together take about 40 seconds of a slow core.
INPUTS = {"elf": 4000, "record": 2500, "minidump": 6000, "smem": 6000, "rawdump": 4000}
# Whoever needs longer for these hangs in many of them; then the rest is left out.
SECONDS = 300


def test_all_of_them():
    """Each fuzzer that there is is run here."""
    expect(INPUTS and set(INPUTS) == set(fuzz.TARGETS), "the same fuzzers", str(INPUTS))


@pytest.mark.parametrize("name", INPUTS)
def test_fuzz(name):
    """No input is answered wrongly. What the fuzzer starts from gets far into the code, what it
    makes of that gets farther. The former is the same each time; for the latter, 1000 inputs of
    each fuzzer reached from 37 to 149 places more, so fewer than 10 are no bad luck."""
    result = fuzz.fuzz(name, f"-runs={INPUTS[name]}", f"-max_total_time={SECONDS}")
    print(result)
    expect(result.runs >= INPUTS[name] // 10, f"more inputs in {SECONDS} s", str(result))
    expect(result.at_first > 250 and result.reached >= result.at_first + 10,
           "inputs that get somewhere", str(result))


def test_a_fault_is_found():
    """A byte read behind a buffer, for inputs that start with one letter, ends the fuzzer with a
    report of ASan. Each change of an input sets its first byte to that by a chance of 1 in 10,000
    at least; 1,000,000 of them miss it by a chance of e^-100."""
    try:
        result = fuzz.fuzz("fault", "-runs=1000000")
    except Failed:
        text = (current.folder() / "fuzz-fault.log").read_text(errors="replace")
        expect("heap-buffer-overflow" in text, "a report of ASan", text[-3000:])
        return
    raise Failed(f"the fault was not found: {result}")


def test_firmware():
    """The harness' firmware reads tables of a kernel that crashed: it takes some with changes,
    and refuses others, but raises nothing else."""
    rounds = 20000
    refused = fuzz.walk_tables(rounds)
    expect(0 < refused < rounds, "some to be refused", str(refused))
