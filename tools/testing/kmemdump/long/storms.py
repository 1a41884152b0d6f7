# SPDX-License-Identifier: GPL-2.0
"""200 panics in the storm of registrations that cases/storm.py has 20 of."""

import pytest

from cases.storm import panics

PARTS = 10


@pytest.mark.parametrize("part", range(PARTS))
def test_panics_in_the_storm(lab, part):
    panics(lab, range(part, 200, PARTS))
