# SPDX-License-Identifier: GPL-2.0
"""Runs the KUnit suites in a guest and counts each of their tests."""

import re

from . import ktap
from .guest import Guest
from .host import Failed
from .lab import expect

SUITES = {f"kmemdump-{name}" for name in ("core", "translate", "lifetime", "backend", "symbols",
                                          "elfcore", "slots", "serialize", "index")}
# Those of backends, by the option that builds them.
SUITES_OF = {"CONFIG_KMEMDUMP_FADUMP": "kmemdump-fadump",
             "CONFIG_QCOM_MINIDUMP_KUNIT_TEST": "kmemdump-minidump"}
# Benchmarks are suites, too, but nothing to run among tests.
BOOT = "kunit.enable=1 kunit.filter=speed>very_slow loglevel=7"


def run_suites(kernel, results, prefix="", append="", **kwargs):
    with Guest(kernel, append=f"{BOOT} {append}", **kwargs) as guest:
        text = guest.text
    count(kernel, text, results, prefix)


def count(kernel, text, results, prefix=""):
    """Count each test of the suites in the console text of a guest."""
    # The NVRAM of a new pseries machine is empty, which its kernel warns of.
    expect(not re.search(r"\bBUG:|\bWARNING:(?! nvram)|Oops", text), "no report of the kernel", text[-3000:])
    try:
        suites = [t for t in ktap.parse(text) if t.name.startswith("kmemdump")]
    except ktap.Bad as err:
        raise Failed(f"{err}\n{text[-3000:]}") from err
    names = {suite.name for suite in suites}
    config = (kernel.build_dir / ".config").read_text()
    wanted = SUITES | {suite for option, suite in SUITES_OF.items() if f"{option}=y\n" in config}
    expect(names == wanted, f"the suites {sorted(wanted)}", str(sorted(names)))
    for suite in suites:
        for name, test in suite.leaves(prefix):
            if test.reason is not None:
                results.add(name, skip=test.reason)
            else:
                results.add(name, error=None if test.ok else "\n".join(test.notes) or "not ok")
