# SPDX-License-Identifier: GPL-2.0
"""pytest's view of the tests: fixtures, order, which tests may skip, and what is reported."""

import json
import subprocess

import pytest

from harness import current, host
from harness import lab as labs
from harness.host import Failed
from harness.skips import may_skip


@pytest.fixture
def lab(request):
    """The machine that the file of the test names as BOARD, with a kernel of the BASE it names."""
    return labs.lab(getattr(request.module, "BOARD", "x86_64-ramoops"),
                    base=getattr(request.module, "BASE", host.BASE))


@pytest.fixture
def arm64():
    return labs.lab("arm64-ramoops")


@pytest.fixture
def ppc64le():
    return labs.lab("ppc64le-ramoops")


@pytest.fixture
def tree():
    """The kernel tree with everything of this repository."""
    return labs.tree()


def _title(item):
    return f"{item.path.stem}-{item.name.removeprefix('test_').split('@')[0]}"


# Assumed for a test that no run has timed yet.
SECONDS = 20


def pytest_collection_modifyitems(items):
    """Start the tests that took longest in earlier runs first. Otherwise a lane might be left with
    one of them when the others have finished."""
    took = json.loads((host.run_folder() / "seconds.json").read_text())
    # One lane runs all tests of a group, so they stay together.
    seconds = {}
    for item in items:
        mark = item.get_closest_marker("xdist_group")
        item.group = mark.args[0] if mark else item.nodeid
        seconds[item.group] = seconds.get(item.group, 0) + took.get(_title(item), SECONDS)
    items.sort(key=lambda item: (-seconds[item.group], item.group))


@pytest.fixture(autouse=True)
def _current(request):
    current.begin(_title(request.node))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    report.title = _title(item)
    if report.skipped:
        why = report.longrepr[2].removeprefix("Skipped: ")
        if may_skip(report.title, why):
            report.why = why
        else:
            report.outcome = "failed"
            report.longrepr = f"skipped, which harness/skips.py does not know of: {why}"
    elif report.failed:
        text = str(report.longrepr)
        if call.excinfo.errisinstance((Failed, subprocess.TimeoutExpired)):
            text = f"{call.excinfo.value}\n{item.path.name}:{_line(item, call)}"
        report.longrepr = text + "".join(f"\nconsole: {path}" for path in current.consoles()
                                         if path.exists())


def _line(item, call):
    """The lines in the file of the test where it failed."""
    return ", ".join(str(entry.lineno + 1) for entry in call.excinfo.traceback
                     if str(entry.path) == str(item.path))
