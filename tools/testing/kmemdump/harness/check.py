# SPDX-License-Identifier: GPL-2.0
"""make check: run the tests with pytest, and print the results."""

import json
import os
import shutil
import sys
import time

import pytest

from . import current, host
from .host import CACHE, HERE, JOBS, Failed, say

sys.path.insert(0, str(HERE))


class Report:
    """Prints a line for each test, and counts results, in the process that hands out the tests."""

    def __init__(self):
        self.passed, self.failed, self.skipped = [], [], []
        self.seconds = {}

    @staticmethod
    def pytest_report_teststatus(report):
        """Have pytest count but print nothing, as the methods below print all there is to say."""
        counts = report.when == "call" or not report.passed
        return report.outcome if counts else "", "", ""

    def pytest_runtest_logreport(self, report):
        # If a lane has died, xdist makes the report, which has no title.
        title = getattr(report, "title", report.nodeid)
        self.seconds[title] = self.seconds.get(title, 0) + report.duration
        if report.failed:
            self.failed.append(title)
            indented = "\n    ".join(str(report.longrepr).splitlines())
            say(f"FAIL {title} ({self.seconds[title]:.1f} s)\n    {indented}")
        elif report.skipped:
            self.skipped.append((title, report.why))
            say(f"skip {title}: {report.why}")
        elif report.when == "call":
            self.passed.append(title)
            say(f"ok   {title} ({report.duration:.1f} s)")

    def pytest_collectreport(self, report):
        if report.failed:
            self.failed.append(report.nodeid)
            say(f"FAIL {report.nodeid}\n{report.longrepr}")


def _paths(folder, cases):
    known = {path.stem: str(path) for path in sorted((HERE / folder).glob("*.py"))}
    unknown = [name for name in cases if name not in known]
    if unknown:
        raise Failed(f"there is no case {', '.join(unknown)}; there are {', '.join(known)}")
    return [known[name] for name in cases or known]


def _ratio(start):
    """How long the run took, compared with a cold build of the kernel on this machine."""
    file = CACHE / "cold-seconds-x86_64"
    took = time.monotonic() - start
    text = f"{took:.0f} s, {current.boots()} boots"
    if file.exists():
        cold = int(file.read_text())
        return f"{text}, {took / cold:.2f} x the {cold} s that the x86_64 kernel takes, built cold"
    return f"{text}; no x86_64 kernel was built cold here"


def run(cases=(), select="", folder="cases"):
    """Run the tests in the files @cases of @folder, or in all files; of these, only the tests that
    pytest's -k @select selects. Returns the exit code."""
    paths = _paths(folder, cases)
    start = time.monotonic()
    out = host.run_folder()
    durations = CACHE / "durations.json"
    known = json.loads(durations.read_text()) if durations.exists() else {}
    # The lanes sort the tests by these times, and all lanes must have the same order.
    (out / "seconds.json").write_text(json.dumps(known))
    report = Report()
    args = ["-q", "--no-header", "--no-summary", "--capture=tee-sys",
            "-o", "console_output_style=classic", f"--rootdir={HERE}",
            "-c", str(HERE / "pytest.ini"), f"--junitxml={out / 'junit.xml'}",
            "-n", os.environ.get("LANES") or str(max(2, JOBS)), "--dist", "loadgroup"]
    status = pytest.main([*args, *(["-k", select] if select else []), *paths], plugins=[report])

    order = sorted(report.seconds.items(), key=lambda item: -item[1])
    (out / "durations").write_text("".join(f"{s:8.1f} {title}\n" for title, s in order))
    new = out / "durations.json"
    new.write_text(json.dumps(known | report.seconds))
    # Replace the file in one step, as another run may be reading it.
    new.replace(durations)
    say("\nwhat took longest:\n" + "".join(f"{s:8.1f} s {title}\n" for title, s in order[:10]))
    for title, why in report.skipped:
        say(f"skipped: {title}: {why}")
    for title in report.failed:
        say(f"failed: {title}")
    if not report.failed:
        shutil.rmtree(out / "files", ignore_errors=True)
    counts = f"{len(report.passed)} passed, {len(report.failed)} failed, {len(report.skipped)} skipped"
    if folder == "cases" and not (cases or select):
        host.note_counts(counts)
    say(f"consoles, durations and junit.xml: {out}\n{_ratio(start)}")
    if status == pytest.ExitCode.NO_TESTS_COLLECTED or not (report.passed or report.failed):
        say(f"nothing ran: no test has {select or cases!r}")
    say(f"\n{counts}")
    return int(status) or int(bool(report.failed) or not report.passed)
