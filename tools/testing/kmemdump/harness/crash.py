# SPDX-License-Identifier: GPL-2.0
"""What stock crash answers, command by command."""

import re

from . import host
from .lab import expect

# Commands of crash, and how they start a line when something is wrong.
COMMANDS = ("sys", "ps", "bt", "bt -a", "foreach bt", "task", "runq", "mod", "timer", "irq",
            "p jiffies", "log")
COMPLAINT = re.compile(r"^(crash|%s): .*|^WARNING: .*|.*read error.*|.*seek error.*"
                       % "|".join({c.split()[0] for c in COMMANDS} | {"struct", "rd", "sym"}),
                       re.M)


def answers(there, core, commands, *options, files=(), greeting=()):
    """What crash prints for each command. It has to start with the lines of @greeting, or without a
    word if there are none. {n} in a command stands for the path of the n-th of @files."""
    asked = []
    for i, command in enumerate(commands):
        asked += [f"eval {770000 + i}", command]
    text = host.crash(there.kernel.vmlinux, core, asked, *options, debian=there.board.debian,
                      files=files)
    parts = re.split(r"^hexadecimal: .*\n +decimal: 7700(\d\d).*\n +octal: .*\n +binary: .*\n", text,
                     flags=re.M)
    expect(len(parts) == 2 * len(commands) + 1, "an answer to each command", text[-3000:])
    said = [line for line in parts[0].splitlines() if line]
    expect(said == list(greeting), f"crash to start with the words {greeting}", parts[0][-3000:])
    return dict(zip(commands, parts[2::2]))
