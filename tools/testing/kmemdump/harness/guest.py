# SPDX-License-Identifier: GPL-2.0
"""A guest in QEMU: its initramfs, its console, its RAM."""

import json
import mmap
import os
import re
import select
import shutil
import socket
import subprocess
import tarfile
import tempfile
import threading
import time
from pathlib import Path

from . import current, host
from .host import HERE, Failed

PROMPT = re.compile(r"(?:^|\n)guest:(\d+)# $")
BOOTED = re.compile(r"(?:^|\n)guest: booted\n")
NOISE = re.compile(r"\r|\x1b\[[0-9;]*[A-Za-z]")
HALF_ESCAPE = re.compile(r"(?:\x1b(?:\[[0-9;]*)?)?\Z")
DISK_MIB = 64
# How long QEMU may take to answer. It takes long while it writes a dump of its guest's memory.
QMP_SECONDS = 600


def initramfs(kernel, work, files):
    """An initramfs of busybox, the init script and @files (guest path -> host path)."""
    busybox = host.busybox(kernel.board.debian)
    lines = [f"dir /{d} 755 0 0" for d in
             ("bin", "dev", "proc", "sys", "tmp", "root", "etc", "lib")]
    lines += [f"file /bin/busybox {busybox} 755 0 0",
              f"file /init {HERE / 'guest/init'} 755 0 0",
              "nod /dev/console 600 0 0 c 5 1"]
    applets = subprocess.run([host.busybox("amd64"), "--list"], capture_output=True,
                             text=True).stdout.split()
    lines += [f"slink /bin/{a} busybox 777 0 0" for a in applets if a != "busybox"]
    lines += [f"file {guest} {path} {os.stat(path).st_mode & 0o755:o} 0 0"
              for guest, path in files.items()]
    spec = work / "initramfs.list"
    spec.write_text("\n".join(lines) + "\n")
    image = work / "initramfs.cpio"
    with image.open("wb") as out:
        subprocess.run([str(kernel.build_dir / "usr/gen_init_cpio"), str(spec)],
                       stdout=out, check=True)
    return image


def _dtb(board, cpus, memory_mib, work, more):
    """QEMU's own device tree of the machine, with that of the board and @more added."""
    qemu = [*host.from_testing(board.qemu), "-m", str(memory_mib), "-smp", f"sockets={cpus}", "-object",
            f"memory-backend-ram,id=ram,size={memory_mib}M", "-display", "none"]
    qemu[qemu.index("-machine") + 1] += f",dumpdtb={work / 'machine.dtb'}"
    subprocess.run(qemu, check=True, capture_output=True)
    source = subprocess.run(["dtc", "-q", "-I", "dtb", "-O", "dts", str(work / "machine.dtb")],
                            check=True, capture_output=True, text=True).stdout
    (work / "board.dts").write_text(source + (HERE / "boards" / board.dts).read_text() + more)
    subprocess.run(["dtc", "-q", "-O", "dtb", "-o", str(work / "board.dtb"),
                    str(work / "board.dts")], check=True)
    return work / "board.dtb"


class Guest:
    """A running guest. Its RAM is a file that the host may look into and change. @firmware is
    called with the RAM before the machine starts. With @hold, the machine stops where it would
    reset. @dts is added to the device tree of the board. @program replaces the QEMU that the board
    names."""

    def __init__(self, kernel, files=None, append="", cpus=None, memory_mib=None,
                 devices=(), icount=False, disk_mib=DISK_MIB, timeout=120, firmware=None,
                 hold=False, dts="", program=None):
        self.kernel = kernel
        self.board = board = kernel.board
        memory_mib = memory_mib or board.memory_mib
        base = "/dev/shm" if os.access("/dev/shm", os.W_OK) and \
            shutil.disk_usage("/dev/shm").free > (memory_mib + 256) << 20 else None
        self.work = Path(tempfile.mkdtemp(prefix="kmemdump-", dir=base))
        self.text = ""
        self.log = current.console()
        self._more = threading.Condition()
        self._closed = False
        self.disk = self.work / "disk"
        with self.disk.open("wb") as out:
            out.truncate(disk_mib << 20)
        initrd = initramfs(kernel, self.work, files or {})
        qemu = [program, *board.qemu[1:]] if program else host.from_testing(board.qemu)
        self.cmd = [*qemu, "-m", str(memory_mib), "-smp", f"sockets={cpus or board.cpus}",
                    "-object", f"memory-backend-file,id=ram,size={memory_mib}M,"
                               f"mem-path={self.work / 'ram'},share=on",
                    "-kernel", str(kernel.image), "-initrd", str(initrd),
                    "-append", f"{board.append} {append}",
                    "-drive", f"file={self.disk},format=raw,if=virtio",
                    "-serial", "stdio", "-display", "none", "-monitor", "none",
                    "-qmp", f"unix:{self.work / 'qmp'},server=on,wait=off", "-nodefaults", *devices]
        if board.dts:
            self.cmd += ["-dtb", str(_dtb(board, cpus or board.cpus, memory_mib, self.work, dts))]
        if hold:
            self.cmd += ["-action", "reboot=shutdown,shutdown=pause"]
        if firmware:
            with (self.work / "ram").open("wb") as out:
                out.truncate(memory_mib << 20)
            with self.ram() as ram:
                firmware(ram)
        if icount:
            # The guest's clock counts instructions then, one per nanosecond.
            self.cmd = [arg.replace("thread=multi", "thread=single") for arg in self.cmd]
            self.cmd += ["-icount", "shift=0,sleep=off"]
        self.proc = subprocess.Popen(self.cmd, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                     stderr=subprocess.STDOUT)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        try:
            self.wait_prompt(timeout=timeout)
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def close(self):
        self.proc.kill()
        self.proc.wait()
        self._reader.join()
        current.count_boots(len(BOOTED.findall(self.text)))
        shutil.rmtree(self.work, ignore_errors=True)

    def _read(self):
        with self.log.open("w") as log:
            self._read_to(log)

    def _read_to(self, log):
        rest = ""
        while True:
            select.select([self.proc.stdout], [], [])
            with self._more:
                data = os.read(self.proc.stdout.fileno(), 65536)
                if not data:
                    self._closed = True
                else:
                    # The text may only grow, so half an escape sequence has to wait.
                    more = rest + data.decode(errors="replace")
                    cut = HALF_ESCAPE.search(more).start()
                    rest = more[cut:]
                    clean = NOISE.sub("", more[:cut])
                    self.text += clean
                    log.write(clean)
                    log.flush()
                self._more.notify_all()
            if not data:
                return

    def wait(self, regex, timeout=120, start=0):
        """Wait until the console's text from @start on has a match of @regex."""
        regex = re.compile(regex) if isinstance(regex, str) else regex
        deadline = time.monotonic() + timeout
        with self._more:
            while True:
                match = regex.search(self.text, start)
                if match:
                    return match
                left = deadline - time.monotonic()
                if left <= 0 or self._closed:
                    raise Failed(f"guest {self.board.name}: no {regex.pattern!r} on the console"
                                 f"{' before QEMU ended' if self._closed else ''}; it ends with:\n"
                                 f"{self.text[-2000:]}\nconsole: {self.log}")
                self._more.wait(min(left, 1))

    def wait_more(self, start, timeout=1):
        """The console's text from @start on. If there is none, wait for more, but no longer than
        @timeout."""
        with self._more:
            if len(self.text) <= start:
                self._more.wait(timeout)
            return self.text[start:]

    def wait_prompt(self, start=0, timeout=120):
        return int(self.wait(PROMPT, timeout, start).group(1))

    def send(self, command):
        self.proc.stdin.write(command.encode() + b"\n")
        self.proc.stdin.flush()

    def run(self, command, check=True, timeout=120):
        """Type a command at the prompt. Returns what it printed."""
        start = len(self.text)
        self.send(command)
        self.wait(r"\n", timeout, start)
        status = self.wait_prompt(start + len(command), timeout)
        out = self.text[start:]
        out = out[out.index("\n") + 1:]
        out = out[:PROMPT.search(out).start() + 1] if "\n" in out else ""
        if check and status:
            raise Failed(f"guest: {command!r} ended with {status}:\n{out}")
        return out

    def crash(self, command="echo c > /proc/sysrq-trigger", timeout=120):
        """Have the guest crash and boot again by itself. Returns the console's text of that."""
        start = len(self.text)
        self.send(command)
        self.wait(r"Kernel panic - not syncing", timeout, start)
        self._wait_boot(start, timeout)
        return self.text[start:]

    def crash_and_hold(self, command="echo c > /proc/sysrq-trigger", timeout=120):
        """Have the guest crash, and stop it at the reset, with its RAM as the crash left it.
        Returns the console's text of that. @command is what to type, or a function that crashes the
        guest."""
        self.qmp("set-action", reboot="shutdown", shutdown="pause")
        start = len(self.text)
        if callable(command):
            command()
        else:
            self.send(command)
        self.wait(r"Kernel panic - not syncing", timeout, start)
        self.wait_held(timeout)
        return self.text[start:]

    def reboot(self, timeout=120):
        start = len(self.text)
        self.send("reboot -f")
        self._wait_boot(start, timeout)

    def wait_held(self, timeout=120):
        """Wait until the machine is held where it would reset."""
        deadline = time.monotonic() + timeout
        while self.qmp("query-status")["status"] != "shutdown":
            if time.monotonic() > deadline or self._closed:
                raise Failed(f"guest {self.board.name}: no reset; the console ends with:\n"
                             f"{self.text[-2000:]}")
            time.sleep(0.1)
        # All that the machine has printed is in the pipe or in self.text.
        while not self._closed and select.select([self.proc.stdout], [], [], 0)[0]:
            time.sleep(0.01)
        with self._more:
            # self._read_to() holds this lock from reading the pipe until the data is in self.text.
            pass

    def release(self, timeout=120, hold=True):
        """Let a machine that is held reset, and wait until it has booted. With @hold, it is held at
        the next reset, too."""
        start = len(self.text) - 1
        self.qmp("set-action", reboot="reset")
        self.qmp("system_reset")
        if hold:
            self.qmp("set-action", reboot="shutdown")
        self.qmp("cont")
        self._wait_boot(start, timeout)

    def _wait_boot(self, start, timeout):
        booted = self.wait(BOOTED, timeout, start)
        self.wait_prompt(booted.end(), timeout)

    def fetch(self, folder, target):
        """Copy a folder of the guest to the host."""
        self.run(f"tar -cf /dev/vda -C {folder} . && sync")
        shutil.rmtree(target, ignore_errors=True)
        Path(target).mkdir(parents=True)
        with tarfile.open(self.disk) as tar:
            tar.extractall(target)
        return Path(target)

    def fetch_file(self, path, target):
        """Copy one file of the guest to the host; it may be as large as the disk."""
        size = int(self.run(f"stat -c %s {path}"))
        self.run(f"dd if={path} of=/dev/vda bs=1M && sync", timeout=600)
        with self.disk.open("rb") as disk, Path(target).open("wb") as out:
            while size:
                data = disk.read(min(size, 1 << 20))
                out.write(data)
                size -= len(data)
        return Path(target)

    def _qmp(self, command, arguments):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(QMP_SECONDS)
            sock.connect(str(self.work / "qmp"))
            stream = sock.makefile("rw")
            stream.readline()
            for name, what in (("qmp_capabilities", {}), (command, arguments)):
                stream.write(json.dumps({"execute": name, "arguments": what}) + "\n")
                stream.flush()
                # An empty line is no JSON: QEMU has ended.
                while "return" not in (answer := json.loads(stream.readline())):
                    if "error" in answer:
                        raise Failed(f"QEMU, {name}: {answer['error']}")
            return answer["return"]

    def qmp(self, command, **arguments):
        """What QEMU returns to a command of its machine protocol."""
        try:
            return self._qmp(command, arguments)
        except (OSError, json.JSONDecodeError) as err:
            raise Failed(f"QEMU does not answer {command}: {err!r}\nconsole: {self.log}") from err

    def copy_ram(self, target, offset_mib):
        """Copy the guest's RAM to a file, from @offset_mib there on. Zeros become holes."""
        subprocess.run(["dd", f"if={self.work / 'ram'}", f"of={target}", "bs=1M", "conv=sparse",
                        f"seek={offset_mib}"], check=True, capture_output=True)

    def ram(self):
        """The guest's RAM, as a mutable buffer. Offset 0 is where the board has its RAM."""
        with (self.work / "ram").open("r+b") as file:
            return mmap.mmap(file.fileno(), 0)
