# SPDX-License-Identifier: GPL-2.0
"""Ten minutes of fuzzing on one core, each time with another seed. What a fuzzer has learned is
kept for the next time. "make fuzz" does this for any number of seconds."""

import pytest

from harness import fuzz
from harness.lab import expect

SECONDS = 600 // (len(fuzz.TARGETS) + 1)


@pytest.mark.parametrize("name", fuzz.TARGETS)
def test_fuzz(name):
    """The reader handles each input well, and the inputs that the fuzzer starts from get far into
    the code."""
    result = fuzz.for_long(name, SECONDS, fuzz.new_seed())
    print(result)
    expect(result.at_first > 250, "inputs that get somewhere", str(result))


def test_firmware():
    """The harness' firmware accepts some changed tables, refuses others, and raises no other
    exception."""
    runs, refused = fuzz.walk_for_long(SECONDS, fuzz.new_seed())
    print(f"{runs} tables, {refused} refused")
    expect(0 < refused < runs, "some to be refused", f"{refused} of {runs}")
