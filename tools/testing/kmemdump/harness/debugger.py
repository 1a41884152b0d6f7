# SPDX-License-Identifier: GPL-2.0
"""A debugger for guests."""

import re
import socket

from elftools.elf.elffile import ELFFile

from .lab import expect


class Debugger:
    """Stops a guest where a test wants it, as gdb would, by means of QEMU's gdb stub. The kernel
    has to be at the address that it was linked for."""

    def __init__(self, guest):
        self._vmlinux = guest.kernel.vmlinux
        self._where = None
        path = guest.work / "gdb"
        guest.qmp("human-monitor-command",
                  **{"command-line": f"gdbserver unix:{path},server=on,wait=off"})
        self._sock = socket.socket(socket.AF_UNIX)
        self._sock.settimeout(300)
        # Connecting stops the machine. The stub may say so before it answers anything.
        self._sock.connect(str(path))
        self._text = b""
        self.send("qC")
        while not self.answer().startswith("QC"):
            pass

    def close(self):
        self._sock.close()

    def send(self, command):
        data = command.encode()
        self._sock.sendall(b"$%s#%02x" % (data, sum(data) & 0xff))

    def answer(self):
        """Returns the next answer, or the report that the machine has stopped."""
        while not (match := re.match(rb"\+*\$([^#]*)#..", self._text)):
            more = self._sock.recv(4096)
            expect(more, "QEMU to answer the debugger", repr(self._text))
            self._text += more
        self._text = self._text[match.end():]
        self._sock.sendall(b"+")
        return match[1].decode()

    def expect(self, start, command):
        self.send(command)
        said = self.answer()
        expect(said.startswith(start), f"{start} as the answer to {command}", said)

    def stop_at(self, function):
        """Make the machine stop where this function of the kernel begins, and nowhere else."""
        if self._where:
            self.expect("OK", f"z1,{self._where:x},1")
            self._where = None
        if function:
            with self._vmlinux.open("rb") as file:
                symbols = ELFFile(file).get_section_by_name(".symtab")
                [symbol] = symbols.get_symbol_by_name(function)
            # On ppc64, callers with the same TOC skip the instructions that set it up.
            self._where = symbol["st_value"] + (1 << symbol["st_other"]["local"] & ~3)
            self.expect("OK", f"Z1,{self._where:x},1")

    def run_until(self):
        """Let the machine run until it stops. Returns the CPU that has hit the breakpoint."""
        self.send("c")
        said = self.answer()
        stopped = re.match(r"T05thread:(\w+);", said)
        expect(stopped, "the machine to stop there", said)
        return stopped[1]

    def run_until_last(self, times):
        """Let the machine run until it has hit its breakpoint this many @times."""
        self.run_until()
        for _ in range(times - 1):
            # Step one instruction, or the machine would stop at the same place again.
            self.expect("T05", "s")
            self.run_until()

    def step(self, cpu):
        """Let only this CPU run, for one instruction."""
        self.expect("T05", f"vCont;s:{cpu}")

    def run_others(self, cpus, cpu):
        """Let the machine run without this CPU."""
        others = [f"{other:02x}" for other in range(1, cpus + 1)]
        others.remove(cpu)
        self.send("vCont;" + ";".join(f"c:{other}" for other in others))
