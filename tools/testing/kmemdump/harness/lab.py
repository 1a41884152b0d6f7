# SPDX-License-Identifier: GPL-2.0
"""What the cases work with: a built kernel, modules, guests that crash, the reader. Each is made
when a case first asks for it."""

import json
import shutil
import struct
import subprocess
from functools import cache, cached_property

from . import current, host, kernel
from .guest import Guest
from .host import BASE, HERE, Failed
from .kernel import Board, Kernel
from .tamper import overwrite
from .tree import Tree

RECORD = "kmemdump-ramoops-0"
# "KDMP" as ramoops stores it: XORed with the "DBGC" of all its zones.
ZONE_SIGNATURE = (0x504D444B ^ 0x43474244).to_bytes(4, "little")
# The header in front of a zone's data: the signature, where the next byte goes, and how many bytes
# there are.
ZONE = struct.Struct("<4sII")
SYSRQ = "echo c > /proc/sysrq-trigger"
# The record of a real crash, for tests of the reader that need no kernel. See its README.
STORED_RECORD = HERE / "data/story.rec"


def expect(condition, what, shown=""):
    if not condition:
        raise Failed(f"expected: {what}" + (f"\n{shown}" if shown else ""))


@cache
def tree(base=BASE):
    """The kernel tree of a base, brought up to date once in this run."""
    host.install(["patch", "xz-utils"])
    it = Tree(base)
    host.once(f"tree-{base}", it.make)
    return it


@cache
def lab(board="x86_64-ramoops", variant=None, base=BASE):
    return Lab(board, variant, base)


class Lab:
    """The machine @board with a kernel of the Linux @base, which may be a variant."""

    def __init__(self, board, variant, base):
        self.board = Board(board)
        self.variant = variant
        self.base = base

    @property
    def tree(self):
        return tree(self.base)

    @property
    def dumps(self):
        """The folder of the running test."""
        return current.folder()

    @cached_property
    def kernel(self):
        host.install(host.PACKAGES + self.board.packages)
        return Kernel(self.tree, self.board, self.variant).build()

    def other(self, board, variant=None):
        return lab(board, variant, self.base)

    @property
    def sample(self):
        return self.kernel.module("samples/kmemdump/kmemdump_test.ko")

    @cached_property
    def test_modules(self):
        """The folder of the built test modules."""
        return self.kernel.out_of_tree("test", sorted((HERE / "modules").glob("*.c")))

    @property
    def reader_path(self):
        host.install(host.READER_PACKAGES)
        return kernel.reader()

    @property
    def sanitized_reader(self):
        host.install(host.READER_PACKAGES)
        return kernel.reader(sanitize=True)

    @property
    def guest_reader(self):
        """The kmemdump program for guests of this machine."""
        host.install(host.READER_PACKAGES + self.board.packages)
        return kernel.guest_reader(self.board)

    def guest(self, area=None, append="", files=None, **kwargs):
        """A guest with the test modules in /root. @area is the size of ramoops' kmemdump area, if
        that is not the board's."""
        files = dict(files or {})
        for folder in (self.test_modules, self.kernel.module("samples/kmemdump")):
            files |= {f"/root/{path.name}": path for path in folder.glob("*.ko")}
        if area:
            append = f"ramoops.kmemdump_size={area} {append}"
        return Guest(self.kernel, files, append, **kwargs)

    def fetch_record(self, guest, name):
        """Copy the record out of the guest and erase it there, as people do."""
        guest.run(f"mkdir -p /tmp/out; cp /sys/fs/pstore/{RECORD} /tmp/out/")
        guest.run(f"rm /sys/fs/pstore/{RECORD}")
        folder = guest.fetch("/tmp/out", self.dumps / name)
        guest.run("rm -r /tmp/out")
        return folder / RECORD

    def crash(self, guest, name, command=SYSRQ, timeout=120):
        """Crash, and hold the machine at the reset: (record as RAM has it, console's text). The
        case story shows that the next boot finds exactly these bytes."""
        console = guest.crash_and_hold(command, timeout)
        with guest.ram() as ram:
            zone = self.find_zone(guest, ram)
            _, _, size = ZONE.unpack_from(ram, zone)
            data = ram[zone + ZONE.size:zone + ZONE.size + size]
        expect(size, "a record in RAM", console[-3000:])
        path = self.dumps / f"{name}.record"
        path.write_bytes(data)
        return path, console

    def listing(self, guest):
        """The regions in debugfs: name -> the columns before it."""
        rows = guest.run("cat /sys/kernel/debug/kmemdump/regions").splitlines()[1:]
        return {row.rsplit("\t", 1)[1]: row.split("\t")[:-1] for row in rows}

    def expect_listing(self, dump, listing):
        """The reader has to find in a dump of all memory what listing() returned before the
        crash."""
        info = json.loads(self.reader("list", "--json", dump))
        regions = {r["name"]: r for r in info["regions"]}
        for name, row in listing.items():
            expect(name in regions, f"region {name}", str(sorted(regions)))
            found = regions[name]
            want = dict(zip(("id", "class", "size", "pieces", "owner"), row))
            shown = {key: str(found[key]) for key in want}
            expect(shown == want and found["state"] == "ok", f"{name} as debugfs had it: {want}",
                   str(found))
        expect(len(regions) == len(listing), "no other regions", str(sorted(regions)))

    def crash_in(self, name, mode, area=None, append="", options="", **kwargs):
        """Boot, and crash with @mode of the crash module: (record, console's text)."""
        with self.guest(area, append, **kwargs) as guest:
            return self.crash(guest, name, f"insmod kmemdump_crash.ko mode={mode} {options}")

    def crash_with_full_log(self, name):
        """A record of a crash whose log is full of text that hardly compresses."""
        with self.guest(append="printk.devkmsg=on") as guest:
            guest.run("head -c 150000 /dev/urandom | base64 -w 70 | "
                      "dd of=/dev/kmsg bs=71 iflag=fullblock", timeout=300)
            return self.crash(guest, name)[0]

    @staticmethod
    def find_zone(guest, ram):
        """Where ramoops' kmemdump zone starts in the file of RAM."""
        area = guest.board.area
        start = area["address"] - guest.board.ram
        end = start + area["size"]
        zone = start - 1
        while (zone := ram.find(ZONE_SIGNATURE, zone + 1, end)) >= 0:
            _, first, size = ZONE.unpack_from(ram, zone)
            # Compressed text in another zone may have these four bytes by chance, but hardly
            # sizes that fit.
            if first <= size < end - zone:
                return zone
        raise Failed("there is no kmemdump zone in RAM")

    def empty_zone(self, guest, ram):
        """Erase the record in RAM, as the next boot would after somebody has read it: the header
        of the zone, and the first frame."""
        zone = self.find_zone(guest, ram)
        ZONE.pack_into(ram, zone, ZONE_SIGNATURE, 0, 0)
        overwrite(ram, zone + ZONE.size, bytes(64))

    @cached_property
    def story_dump(self):
        """A record of the sample's story. All tests of a run share it."""
        path = host.run_folder() / self.tree.named(f"story-{self.board.name}.record")

        def make():
            with self.guest() as guest:
                guest.run("insmod kmemdump_test.ko")
                shutil.copy(self.crash(guest, "story")[0], path)

        host.once(path.name, make)
        return path

    def reader(self, *args, status=0, reader=None):
        """Run the kmemdump program. Returns what it prints. It has to end with @status, unless that
        is None."""
        proc = subprocess.run([str(reader or self.reader_path), *map(str, args)],
                              capture_output=True, text=True, errors="replace", timeout=120)
        expect(status is None or proc.returncode == status,
               f"'kmemdump {' '.join(map(str, args))}' to end with {status}, not {proc.returncode}",
               (proc.stdout + proc.stderr)[-3000:])
        return proc.stdout + proc.stderr

    def elf(self, dump):
        """The ELF core of a whole record, unpacked by the stock zstd program."""
        host.install(["zstd"])
        out = self.dumps / f"{dump.stem}.elf"
        proc = subprocess.run(["zstd", "-dqf", "-o", str(out), str(dump)], capture_output=True,
                              text=True)
        expect(proc.returncode == 0, "zstd -d to unpack the record", proc.stderr)
        return out
