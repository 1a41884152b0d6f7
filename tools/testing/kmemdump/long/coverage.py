# SPDX-License-Identifier: GPL-2.0
"""How many lines of mm/kmemdump the KUnit suites run."""

from harness import coverage


def test_lines():
    """Print a table. This fails if the coverage is below its goal."""
    coverage.run()
