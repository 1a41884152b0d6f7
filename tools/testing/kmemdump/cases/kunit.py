# SPDX-License-Identifier: GPL-2.0
"""The KUnit suites in QEMU. Each of their tests is a test here. Other tests check how their output
is read."""

import pytest

from harness import host, suites
from harness.host import BASE
from harness.lab import Failed, expect, lab

# Machine, command line, and what else the guest needs. With pages of 64 KiB, the most that a
# test maps takes 4 GiB of RAM.
RUNS = {"x86_64": ("x86_64-ramoops", "", {}),
        "arm64": ("arm64-ramoops", "", {}),
        "ppc64le-radix": ("ppc64le-ramoops", "", {"memory_mib": 5120}),
        "ppc64le-hash": ("ppc64le-ramoops", "disable_radix", {"memory_mib": 5120})}
# Suites of one machine.
ONLY = {"kmemdump-fadump": ("ppc64le-radix", "ppc64le-hash"),
        "kmemdump-minidump": ("x86_64", "arm64"),
        "kmemdump-slots": ("x86_64", "arm64")}


def _console(run, base):
    """What the guest of a run printed. All tests of the run share its boot."""
    path = host.run_folder() / f"kunit-{base}-{run}"

    def make():
        board, append, kwargs = RUNS[run]
        path.write_text(suites.boot(lab(board, base=base).kernel, append, **kwargs))

    host.once(path.name, make)
    return path.read_text()


def group(run, base=BASE):
    """The mark that keeps all tests of a run in one lane, so that they share its boot."""
    return pytest.mark.xdist_group(f"kunit-{base}-{run}")


def each(runs, base=BASE):
    """The parameters @run and @name for each test in the source."""
    for run in runs:
        for suite, names in suites.sources().items():
            for name in names:
                if run in ONLY.get(suite, RUNS):
                    yield pytest.param(run, f"{suite}.{name}", id=f"{run}-{suite}.{name}",
                                       marks=group(run, base))


def check_one(run, name, base=BASE):
    result = suites.read(_console(run, base)).get(name)
    expect(result, f"a result of {name}")
    if result.outcome == "skipped":
        pytest.skip(result.said)
    expect(result.outcome == "passed", f"{name} to pass", result.said)


def check_all(run, base=BASE):
    suites.check(lab(RUNS[run][0], base=base).kernel, _console(run, base))


@pytest.mark.parametrize("run, name", each(RUNS))
def test_kunit(run, name):
    check_one(run, name)


@pytest.mark.parametrize("run", [pytest.param(run, marks=group(run)) for run in RUNS])
def test_all_of_them(run):
    """The guest ran exactly the tests that the source has, and reported no error."""
    check_all(run)


GOOD = """\
KTAP version 1
1..2
    KTAP version 1
    # Subtest: kmemdump-one
    1..2
    ok 1 a
    # b: why
    not ok 2 b
not ok 1 kmemdump-one
    KTAP version 1
    # Subtest: kmemdump-two
    1..1
    ok 1 c # SKIP no such hardware
ok 2 kmemdump-two
"""


def test_ktap_reading():
    results = suites.read(GOOD)
    shown = str(results)
    expect(results["kmemdump-one.a"].outcome == "passed" and
           results["kmemdump-one.b"].outcome == "failed" and "why" in results["kmemdump-one.b"].said,
           "a passed, b failed", shown)
    expect(results["kmemdump-two.c"] == suites.Result("skipped", "no such hardware"),
           "c skipped, with its reason", shown)


BAD = {
    "nothing": "",
    "no end": GOOD[:GOOD.index("ok 2 kmemdump-two")],
    "a suite missing": GOOD[:GOOD.index("    KTAP version 1\n    # Subtest: kmemdump-two")],
    "cut inside": GOOD[:GOOD.index("    not ok 2 b")],
    "a result missing": GOOD.replace("    ok 1 a\n", ""),
    "a plan too large": GOOD.replace("1..2\n    KTAP", "1..3\n    KTAP", 1),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_ktap(what):
    expect(BAD[what] != GOOD, "KTAP that is not the good one")
    try:
        suites.read(BAD[what])
    except Failed:
        return
    raise Failed(f"KTAP with {what} was taken for good")
