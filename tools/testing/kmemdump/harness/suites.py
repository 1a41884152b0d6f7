# SPDX-License-Identifier: GPL-2.0
"""The KUnit suites: which tests the source has, and what a guest reports of them."""

import contextlib
import importlib
import io
import re
import sys
from dataclasses import dataclass

from .guest import Guest
from .host import REPO, Failed
from .lab import expect, tree

# The filter leaves out benchmarks, which are suites, too.
BOOT = "kunit.enable=1 kunit.filter=speed>very_slow loglevel=7"
# Suites that only some kernels have: the option that builds them.
OPTIONS = {"kmemdump-fadump": "CONFIG_KMEMDUMP_FADUMP",
           "kmemdump-minidump": "CONFIG_QCOM_MINIDUMP_KUNIT_TEST",
           "kmemdump-slots": "CONFIG_QCOM_MINIDUMP_KUNIT_TEST"}
CASE = re.compile(r"^\s*KUNIT_CASE(?:_SLOW|_PARAM|_ATTR)?\((\w+)", re.M)
SUITE = re.compile(r"^static struct kunit_suite \w+ = \{.*?\.name\s*=\s*\"([\w-]+)\".*?^\};", re.M | re.S)


@dataclass
class Result:
    """@outcome: passed, failed or skipped. @said: why, or what the test printed."""
    outcome: str
    said: str


def sources(paths=None):
    """The name of each suite -> the names of its tests, in the source."""
    found = {}
    for path in paths or sorted(REPO.glob("**/*_test.c")):
        text = path.read_text()
        suites = SUITE.findall(text)
        if suites:
            [name] = suites
            found[name] = CASE.findall(text)
    return found


def wanted(kernel, paths=None):
    """The names of all tests that this kernel has, of those in @paths or in this repository."""
    config = (kernel.build_dir / ".config").read_text()
    return {f"{suite}.{name}" for suite, names in sources(paths).items() for name in names
            if suite not in OPTIONS or f"{OPTIONS[suite]}=y\n" in config}


def _parser():
    """The parser of KTAP that the kernel tree has."""
    folder = str(tree().linux / "tools/testing/kunit")
    if folder not in sys.path:
        sys.path.insert(0, folder)
    return importlib.import_module("kunit_parser")


def _said(text, test):
    skip = re.search(rf"^.*\bok \d+ (?:- )?{re.escape(test.name)} # SKIP ?(.*)$", text, re.M)
    return skip[1].strip() if skip else "\n".join(
        line for one in (test, *test.subtests) for line in one.log)


def read(text):
    """The tests of our suites in the console text of a guest: suite.name -> Result. Raises Failed
    if the run did not end, or if the text is not KTAP."""
    parser = _parser()
    words = io.StringIO()
    parser.stdout._output = words
    with contextlib.redirect_stdout(words):
        main = parser.parse_run_tests(text.splitlines())
    counts = main.counts
    if counts.errors or counts.crashed or not main.subtests:
        raise Failed(f"the suites did not end as they should:\n{words.getvalue()[-2000:]}\n"
                     f"{text[-3000:]}")
    status = parser.TestStatus
    names = {status.SUCCESS: "passed", status.FAILURE: "failed", status.SKIPPED: "skipped"}
    return {f"{suite.name}.{test.name}": Result(names[test.status], _said(text, test))
            for suite in main.subtests if suite.name.startswith("kmemdump") for test in suite.subtests}


def boot(kernel, append="", **kwargs):
    """Boot a guest that runs the suites. Returns what it prints."""
    with Guest(kernel, append=f"{BOOT} {append}", **kwargs) as guest:
        return guest.text


def check(kernel, text, paths=None):
    """The results in @text. It must have all tests of this kernel, and no report of an error."""
    # The NVRAM of a new pseries machine is empty, which its kernel warns of.
    expect(not re.search(r"\bBUG:|\bWARNING:(?! nvram)|Oops", text), "no report of the kernel",
           text[-3000:])
    results = read(text)
    want = wanted(kernel, paths)
    expect(set(results) == want, "the tests of the source, and no others",
           f"missing: {sorted(want - set(results))}\nmore: {sorted(set(results) - want)}")
    return results
