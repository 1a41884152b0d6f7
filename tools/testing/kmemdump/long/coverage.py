# SPDX-License-Identifier: GPL-2.0
"""How many lines of mm/kmemdump the KUnit suites run."""

from harness import coverage


def test_lines():
    """It prints a table, and raises an error below its goal."""
    coverage.run()
