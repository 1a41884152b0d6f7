# SPDX-License-Identifier: GPL-2.0
"""The KUnit suites, in QEMU; and what the harness makes of their output."""

from harness import ktap
from harness.lab import Failed, expect
from harness.suites import run_suites


def test_suites_each(lab, results):
    run_suites(lab.kernel, results)


def test_suites_on_ppc64le_each(lab, results):
    kernel = lab.other("ppc64le-ramoops").kernel
    # Pages of 64 KiB: the most that a test maps takes 4 GiB of RAM.
    run_suites(kernel, results, "ppc64le, radix: ", memory_mib=5120)
    run_suites(kernel, results, "ppc64le, hash: ", "disable_radix", memory_mib=5120)


GOOD = """\
KTAP version 1
1..2
    KTAP version 1
    # Subtest: one
    1..2
    ok 1 a
    not ok 2 b # why
not ok 1 one
    KTAP version 1
    # Subtest: two
    1..1
    ok 1 c # SKIP no such hardware
ok 2 two
"""


def test_ktap_reading(_lab):
    leaves = dict(leaf for t in ktap.parse(GOOD) for leaf in t.leaves())
    expect(leaves["one.a"].ok and not leaves["one.b"].ok, "a passed, b failed")
    expect(leaves["two.c"].reason == "no such hardware", "c skipped, with its reason")
    for what, text in (("nothing", ""), ("no end", GOOD[:GOOD.index("ok 2 two")]),
                       ("cut inside", GOOD[:GOOD.index("    not ok 2 b")]),
                       ("a result missing", GOOD.replace("    ok 1 a\n", "")),
                       ("a plan too large", GOOD.replace("1..2\n    KTAP", "1..3\n    KTAP", 1))):
        try:
            ktap.parse(text)
        except ktap.Bad:
            continue
        raise Failed(f"KTAP with {what} was taken for good")
