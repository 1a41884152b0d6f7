# SPDX-License-Identifier: GPL-2.0
"""Ten minutes of fuzzing on one core, each time from another point on. What a fuzzer has learned
is kept for the next time. "make fuzz" does it for any number of seconds."""

import pytest

from harness import fuzz
from harness.lab import expect

SECONDS = 600 // (len(fuzz.TARGETS) + 1)


@pytest.mark.parametrize("name", fuzz.TARGETS)
def test_fuzz(name):
    """No input is answered wrongly; what the fuzzer starts from gets far into the code."""
    result = fuzz.for_long(name, SECONDS, fuzz.new_seed())
    print(result)
    expect(result.at_first > 250, "inputs that get somewhere", str(result))


def test_firmware():
    """The harness' firmware takes some changed tables, refuses others, and raises nothing else."""
    runs, refused = fuzz.walk_for_long(SECONDS, fuzz.new_seed())
    print(f"{runs} tables, {refused} refused")
    expect(0 < refused < runs, "some to be refused", f"{refused} of {runs}")
