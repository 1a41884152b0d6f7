# SPDX-License-Identifier: GPL-2.0
"""The story of the sample module: load it, crash, find its text again."""

import base64
import time

from . import current
from .host import Failed, say
from .lab import RECORD

TEXT = "CRITICAL_STATE: User_ID=1234, Last_Cmd=Format, Status=Panic!!"


def _show(prompt, command, output):
    say(f"{prompt} {command}")
    if output.strip():
        say(output.rstrip())


def play(lab, target, **kwargs):
    """Play the story of the sample in a Guest(@kwargs), and write the record to the file @target:
    (the record as RAM had it at the reset, the console's text, what pstore had in the end)."""
    from .guest import Guest
    files = {"/root/kmemdump_test.ko": lab.sample}
    with Guest(lab.kernel, files, "panic=1", **kwargs) as guest:
        for command in ("insmod kmemdump_test.ko", "dmesg | tail -n 2", "sync"):
            _show("guest#", command, guest.run(command))
        command = "echo c > /proc/sysrq-trigger"
        in_ram, console = lab.crash(guest, "in-ram", command)
        guest.release(hold=False)
        lines = console.splitlines()
        end = next(i for i, line in enumerate(lines) if "Rebooting in" in line)
        head = [i for i, line in enumerate(lines) if "Kernel panic" in line][0]
        _show("guest#", command, "\n".join([*lines[head - 1:head + 5], "[...]", *lines[end - 2:end + 1]]))
        say("\n(the machine boots again by itself)\n")
        _show("guest#", "ls -l /sys/fs/pstore", guest.run("ls -l /sys/fs/pstore"))
        for command in (f"cp /sys/fs/pstore/{RECORD} /tmp/", f"rm /sys/fs/pstore/{RECORD}"):
            _show("guest#", command, guest.run(command))
        left = guest.run("ls /sys/fs/pstore")
        # The kernel of the demo has no disks.
        target.write_bytes(base64.b64decode(guest.run(f"base64 /tmp/{RECORD}")))
    return in_ram, console, left


def demo(lab):
    current.begin("demo")
    reader, image = lab.reader_path, lab.kernel.image
    say(f"\nBooting {image} in QEMU\n")
    start = time.monotonic()
    dump = lab.dumps / RECORD
    # With one CPU, the QEMU of this host is good enough: see TESTING_PACKAGES.
    play(lab, dump, cpus=1, program="qemu-system-x86_64")
    say(f"\nThe dump is on the host now: {dump}\n")
    for args in (["list", dump], ["check", dump]):
        _show("host$", f"kmemdump {args[0]} {dump.name}", lab.reader(*args))
    log = lab.reader("log", dump).splitlines()
    _show("host$", f"kmemdump log {dump.name} | tail -n 30", "\n".join(log[-30:]))
    text = lab.reader("show", dump, "my_critical_data")
    _show("host$", f"kmemdump show {dump.name} my_critical_data", text)
    if text.strip() != TEXT:
        raise Failed(f"the dump does not hold what the sample wrote\nlog: {dump}")
    say(f"\nFrom boot to text in {time.monotonic() - start:.0f} s. "
        f"The reader: {reader}")
