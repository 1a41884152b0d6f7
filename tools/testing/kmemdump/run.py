#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""The entry to the test harness; the Makefile of the repository calls it."""

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.dont_write_bytecode = True
# The options of the make that runs this are not meant for those that this runs.
for variable in ("MAKEFLAGS", "MFLAGS", "MAKEOVERRIDES", "MAKELEVEL"):
    os.environ.pop(variable, None)

from harness import host  # noqa: E402
from harness.host import BASE, BASES, CACHE, CHECK_PACKAGES, PACKAGES, REPO, say  # noqa: E402


def tree(args):
    from harness import lab
    lab.tree(args.base).show()


def demo(_args):
    host.install(PACKAGES + host.DEMO_PACKAGES)
    from harness import story
    from harness.lab import lab
    story.demo(lab(variant="demo"))


def shell(args):
    host.install(PACKAGES)
    from harness import shell as prompt
    prompt.run(args.board, args.append, args.base)


def _tests(folder):
    def run(args):
        host.install(CHECK_PACKAGES)
        from harness import check as tests
        return tests.run(args.cases, args.select, folder)
    return run


check, check_long = _tests("cases"), _tests("long")


def coverage(_args):
    host.install(PACKAGES)
    from harness import coverage as gcov
    gcov.run()


def mutants(args):
    host.install(PACKAGES + CHECK_PACKAGES)
    from harness import mutants as changes
    return changes.run(args.names)


def bench(args):
    host.install(PACKAGES + CHECK_PACKAGES)
    from harness import bench as benchmarks
    from harness.lab import lab
    benchmarks.run(lab(), args.parts)


def fuzz(args):
    host.install(PACKAGES + CHECK_PACKAGES)
    from harness import fuzz as fuzzers
    fuzzers.run(args.seconds)


def series(args):
    host.install(PACKAGES)
    from harness import series as patches
    patches.run(args.base, args.out and Path(args.out), args.sender, args.check, args.numbers)


def clean(_args):
    subprocess.run(["make", "-s", "-C", str(REPO / "tools/kmemdump"), "clean"], check=False)
    if CACHE.exists():
        say(f"removing {CACHE}")
        shutil.rmtree(CACHE)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(required=True)

    def add(name, function, text):
        command = commands.add_parser(name, help=text)
        command.set_defaults(function=function)
        return command

    def run(args):
        # These do not reserve the cache for our sources: "mutants" runs tests with other sources,
        # and "clean" removes the cache. "series" leaves the kernel tree alone; but with --check,
        # it makes the tree of each patch in turn, so it reserves the cache for itself.
        checks = getattr(args, "check", False)
        if args.function in (mutants, clean) or args.function is series and not checks:
            return args.function(args)
        with host.sources_in_cache(f"{host.sources()} series" if checks else None):
            return args.function(args)

    command = add("tree", tree, "lay this repository on a kernel tree")
    command.add_argument("--base", choices=BASES, default=BASE, help="of this Linux")
    add("demo", demo, "crash a kernel and read what it left")
    for name, function, text in (("check", check, "run the tests"),
                                 ("check-long", check_long, "run those that take hours")):
        command = add(name, function, text)
        command.add_argument("-k", dest="select", default="", help="an expression for pytest's -k")
        command.add_argument("cases", nargs="*", help="files of tests, without .py")
    command = add("shell", shell, "boot a board and give a prompt")
    command.add_argument("--base", choices=BASES, default=BASE, help="with a kernel of this Linux")
    command.add_argument("board")
    command.add_argument("append", nargs="?", default="", help="for the kernel's command line")
    add("coverage", coverage, "show which lines the KUnit suites run")
    command = add("series", series, "make patches that git am takes")
    command.add_argument("--base", choices=BASES, default=BASE, help="for this Linux")
    command.add_argument("--out", help="the folder that gets them, if not one in the cache")
    command.add_argument("--from", dest="sender", help="who sends them: Name <mail>")
    command.add_argument("--check", action="store_true", help="build and test after each patch")
    command.add_argument("numbers", nargs="*", type=int, help="of patches to check, not all")
    command = add("mutants", mutants, "break the code in small ways, and see whether tests notice")
    command.add_argument("names", nargs="*", help="only these")
    command = add("bench", bench, "run the benchmarks")
    command.add_argument("parts", nargs="*", help="parts of the benchmark")
    command = add("fuzz", fuzz, "run the fuzzers")
    command.add_argument("seconds", nargs="?", type=int, default=3600, help="for all of them")
    add("clean", clean, "remove everything that was built or cached")
    args = parser.parse_args()
    host.main_guard(lambda: run(args))


if __name__ == "__main__":
    main()
