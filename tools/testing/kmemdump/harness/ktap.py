# SPDX-License-Identifier: GPL-2.0
"""Reads KTAP, as KUnit prints it on the console of a guest."""

import re

LINE = re.compile(r"^(?:\[ *\d+\.\d+\] ?)?(?P<indent> *)(?P<rest>.*)$")
RESULT = re.compile(r"^(?P<not>not )?ok (?P<number>\d+)(?: -)? ?(?P<name>[^#]*?)"
                    r"(?: *# *(?P<directive>SKIP\b)? *(?P<reason>.*))?$")
PLAN = re.compile(r"^1\.\.(\d+)")


class Bad(Exception):
    """This is no well-formed KTAP, or a part of it is missing."""


class Test:
    """One result: a test, a parameter of one, or a suite that holds such."""

    def __init__(self, name, ok, reason, children, notes):
        self.name = name
        self.ok = ok
        self.reason = reason    # why it was skipped, or None
        self.children = children
        self.notes = notes      # diagnostic lines before the result

    def leaves(self, prefix=""):
        """(full name, Test) of each result that holds no others."""
        name = f"{prefix}{self.name}"
        if not self.children:
            yield name, self
        for child in self.children:
            yield from child.leaves(name + ".")
        if self.children and not self.ok and all(c.ok for c in self.children):
            yield name, Test(self.name, False, None, [], self.notes)


def parse(text):
    """The top-level tests in @text. Raises Bad for a run that did not end: a plan
    with too few results, results out of order, or no KTAP at all."""
    levels = {}     # indent -> (expected or None, [tests], [notes])
    seen = False
    for line in text.splitlines():
        match = LINE.match(line)
        indent, rest = len(match["indent"]), match["rest"]
        if rest.startswith("KTAP version"):
            seen = True
            levels[indent] = [None, [], []]
            continue
        if indent not in levels:
            continue
        level = levels[indent]
        if plan := PLAN.match(rest):
            level[0] = int(plan[1])
        elif result := RESULT.match(rest):
            inner = levels.pop(indent + 4, None)
            children = []
            if inner:
                if inner[0] is not None and inner[0] != len(inner[1]):
                    raise Bad(f"{result['name']}: {len(inner[1])} of {inner[0]} results")
                children = inner[1]
            if int(result["number"]) != len(level[1]) + 1:
                raise Bad(f"{result['name']}: result {result['number']} out of order")
            reason = (result["reason"] or "no reason given") if result["directive"] else None
            level[1].append(Test(result["name"], not result["not"], reason, children, level[2]))
            level[2] = []
        elif rest:
            level[2].append(rest)
    if not seen:
        raise Bad("no KTAP in the output")
    top = levels.get(0)
    if not top or top[0] is None or top[0] != len(top[1]) or len(levels) != 1:
        done = len(top[1]) if top else 0
        raise Bad(f"the run ended early: {done} of {top[0] if top else '?'} suites")
    return top[1]
