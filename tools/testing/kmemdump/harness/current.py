# SPDX-License-Identifier: GPL-2.0
"""Which test runs, where it keeps its files, and where the consoles of its guests are."""

import itertools
import re

from . import host

_name = "setup"
_numbers = itertools.count(1)
_consoles = []


def begin(name):
    """The test @name runs in this process from now on."""
    global _name, _numbers
    _name = re.sub(r"[^\w.-]+", "-", name)
    _numbers = itertools.count(1)
    _consoles.clear()


def folder():
    path = host.run_folder() / "files" / _name
    path.mkdir(parents=True, exist_ok=True)
    return path


def console():
    """A new file for what a guest prints."""
    path = host.run_folder() / "consoles" / f"{_name}-{next(_numbers)}.log"
    _consoles.append(path)
    return path


def consoles():
    return list(_consoles)


def count_boots(number):
    """Count @number more boots of a guest."""
    with (host.run_folder() / "boots").open("a") as out:
        out.write(f"{number}\n")


def boots():
    """How many boots there were in this run."""
    path = host.run_folder() / "boots"
    return sum(map(int, path.read_text().split())) if path.exists() else 0
