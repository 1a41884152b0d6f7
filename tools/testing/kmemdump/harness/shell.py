# SPDX-License-Identifier: GPL-2.0
"""make shell: a guest to try things in by hand."""

import contextlib
import os
import select
import sys
import termios
import threading
import tty

from . import current
from .firmware import cold_start
from .host import BASE, say
from .lab import lab

QUIT = b"\x1d"      # Ctrl-]


@contextlib.contextmanager
def _raw_terminal():
    """Let each key reach the guest at once, if the input is a terminal at all."""
    if not sys.stdin.isatty():
        yield
        return
    was = termios.tcgetattr(sys.stdin)
    tty.setraw(sys.stdin)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, was)


def _show(guest, shown):
    """Print what the guest prints, until QEMU ends."""
    while guest.proc.poll() is None or shown < len(guest.text):
        text = guest.wait_more(shown)
        sys.stdout.write(text.replace("\n", "\r\n") if sys.stdin.isatty() else text)
        sys.stdout.flush()
        shown += len(text)


def _type(guest):
    """Send what is typed, until Ctrl-] or the end of the input."""
    while guest.proc.poll() is None:
        if not select.select([sys.stdin], [], [], 0.5)[0]:
            continue
        data = os.read(sys.stdin.fileno(), 4096)
        if not data or QUIT in data:
            return
        guest.proc.stdin.write(data.replace(b"\r", b"\n"))
        guest.proc.stdin.flush()


def run(board, append="", base=BASE):
    """Boot @board with the test modules, and hand its console over."""
    current.begin(f"shell-{board}")
    machine = lab(board, base=base)
    smem = getattr(machine.board, "smem", None)
    with machine.guest(append=append, timeout=600,
                       firmware=cold_start(machine.board) if smem else None) as guest:
        say(f"The test modules are in /root. Ctrl-] ends the guest. console: {guest.log}\n"
            f"QEMU's monitor (QMP): {guest.work / 'qmp'}, its RAM: {guest.work / 'ram'}\n")
        printer = threading.Thread(target=_show, args=(guest, guest.text.rindex("guest:")),
                                   daemon=True)
        printer.start()
        with _raw_terminal():
            _type(guest)
        if not sys.stdin.isatty():
            # The commands came from a file or a pipe: let the last one end.
            guest.run("")
    printer.join()
    say("")
