# SPDX-License-Identifier: GPL-2.0
"""200 panics in the storm of registrations that cases/storm.py has 20 of."""

import importlib.util

import pytest

from harness.host import HERE

PARTS = 10


def _storm():
    spec = importlib.util.spec_from_file_location("storm", HERE / "cases/storm.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("part", range(PARTS))
def test_panics_in_the_storm(lab, part):
    _storm().panics(lab, range(20 + part, 200, PARTS))
