#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""The entry to the test harness; the Makefile of the repository calls it."""

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.dont_write_bytecode = True

from harness import host  # noqa: E402
from harness.host import CACHE, CHECK_PACKAGES, PACKAGES, REPO, say  # noqa: E402


def tree(_args):
    host.install(["linux-source-6.12", "patch", "xz-utils"])
    from harness.tree import Tree
    Tree().make().show()


def demo(_args):
    host.install(PACKAGES)
    from harness import story
    from harness.lab import Lab
    story.demo(Lab())


def check(args):
    host.install(PACKAGES + CHECK_PACKAGES)
    host.testing_root()
    from harness import runner
    from harness.lab import Lab
    return runner.run(Lab(), args.cases)


def check_debug(args):
    host.install(PACKAGES + CHECK_PACKAGES)
    from harness import runner
    from harness.lab import Lab
    return runner.run(Lab(), args.cases, "debug")


def coverage(_args):
    host.install(PACKAGES)
    from harness import coverage as gcov
    gcov.run()


def bench(args):
    host.install(PACKAGES)
    from harness import bench as benchmarks
    from harness.lab import Lab
    benchmarks.run(Lab(), args.parts)


def fuzz(args):
    host.install(PACKAGES)
    from harness import fuzz as fuzzers
    from harness.lab import Lab
    fuzzers.run(Lab(), args.seconds)


def clean(_args):
    subprocess.run(["make", "-s", "-C", str(REPO / "tools/kmemdump"), "clean"], check=False)
    if CACHE.exists():
        say(f"removing {CACHE}")
        shutil.rmtree(CACHE)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(required=True)
    for function, text in ((tree, "lay this repository on a kernel tree"),
                           (demo, "crash a kernel and read what it left"),
                           (check, "run the tests"),
                           (check_debug, "run tests on kernels that look for errors"),
                           (coverage, "show which lines the KUnit suites run"),
                           (bench, "run the benchmarks"),
                           (fuzz, "run the fuzzers"),
                           (clean, "remove everything that was built or cached")):
        command = commands.add_parser(function.__name__.replace("_", "-"), help=text)
        command.set_defaults(function=function)
        if function in (check, check_debug):
            command.add_argument("cases", nargs="*", help="files of tests, without .py")
        if function is fuzz:
            command.add_argument("seconds", nargs="?", type=int, default=3600,
                                 help="for all of them together")
        if function is bench:
            command.add_argument("parts", nargs="*", help="parts of the benchmark")
    args = parser.parse_args()
    host.main_guard(lambda: args.function(args))


if __name__ == "__main__":
    main()
