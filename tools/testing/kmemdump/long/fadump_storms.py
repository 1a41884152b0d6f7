# SPDX-License-Identifier: GPL-2.0
"""More of what cases/fadump.py does once or twice: 40 panics in a storm of registrations, and 20
crashes at different places of a change of the registration with firmware."""

import pytest

from cases.fadump import (BOARD, crash_in_a_change, panic_in_the_storm, save_and_release,
                          stop_in_a_change)
from harness import story
from harness.lab import expect

PARTS = 4
PLACES = 20


@pytest.mark.parametrize("part", range(PARTS))
def test_panics_in_the_storm(lab, part):
    with lab.guest(append="kmemdump.fadump=on,32M", cpus=4, timeout=300) as guest:
        for run in range(part, 40, PARTS):
            # Panic at uneven times in the first 20 ms after the least rounds.
            dump, _ = panic_in_the_storm(lab, guest, run * 7919 % 20011)
            dump.unlink()


def test_crash_in_a_change(lab):
    """Wherever another CPU is in a change of the registration, the dump has the text of the
    sample."""
    with lab.guest(timeout=300) as guest:
        debugger, _, length = stop_in_a_change(lab, guest)
        debugger.close()
    with lab.guest(timeout=300) as guest:
        for place in range(PLACES):
            crash_in_a_change(lab, guest, place * length // PLACES)
            dump = save_and_release(lab, guest, f"fadump-change-{place}")
            shown = lab.reader("show", dump, "my_critical_data")
            expect(shown == story.TEXT + "\n", "the text", shown)
