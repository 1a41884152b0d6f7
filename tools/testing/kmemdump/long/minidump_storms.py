# SPDX-License-Identifier: GPL-2.0
"""More of what cases/minidump.py does in a storm of registrations: 40 panics, 500 snapshots."""

import importlib.util

import pytest

from harness.host import HERE

BOARD = "arm64-minidump"


def _minidump():
    spec = importlib.util.spec_from_file_location("minidump", HERE / "cases/minidump.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# Runs 0 to 3 are in cases/minidump.py.
@pytest.mark.parametrize("run", range(4, 44))
def test_panics_in_the_storm(lab, run):
    _minidump().panic_in_the_storm(lab, run)


def test_tables_in_a_storm(lab):
    _minidump().snapshots(lab, 500)
