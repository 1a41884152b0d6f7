# SPDX-License-Identifier: GPL-2.0
"""Which tests may skip, and why. Any other skip is a failure."""

from fnmatch import fnmatch

# The title of the test, as the run prints it -> what the reason has to have in it.
SKIPS = {
}


def may_skip(title, why):
    return any(fnmatch(title, pattern) and reason in why for pattern, reason in SKIPS.items())
