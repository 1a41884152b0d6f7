# SPDX-License-Identifier: GPL-2.0
"""Which tests may skip on which board, and why. Any other skip is a failure."""

PPC64LE = ("ppc64le-radix", "ppc64le-hash")

# KUnit test -> the boards where it may skip, and the reason that it has to give.
KUNIT = {
    "kmemdump-elfcore.unreadable_region":
        (PPC64LE, "this architecture can't take a page out of the linear map"),
    "kmemdump-list.far_pieces":
        (PPC64LE, "this machine has not so many pages"),
    "kmemdump-entry.reserved_memory":
        (PPC64LE, "no reserved memory on this machine"),
    "kmemdump-entry.mixed_memory":
        (PPC64LE, "nothing follows right after RAM on this machine"),
}
# The title of the test, as a run prints it, without the file that it is in -> the reason.
SKIPS = {f"kunit[{board}-{name}]": why
         for name, (boards, why) in KUNIT.items() for board in boards}


def may_skip(title, why):
    return SKIPS.get(title.split("-", 1)[1]) == why
