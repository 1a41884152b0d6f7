# SPDX-License-Identifier: GPL-2.0
"""What the cases work with: a built kernel, modules, guests that crash, the reader."""

import copy
import json
import shutil
import subprocess
from functools import cached_property

from . import host
from .guest import Guest
from .host import CACHE, HERE, Failed
from .kernel import Board, Kernel
from .tree import Tree

PARAM = "ramoops.kmemdump_size="
RECORD = "kmemdump-ramoops-0"
# "KDMP" as ramoops stores it: XORed with the "DBGC" of all its zones.
ZONE_SIGNATURE = (0x504D444B ^ 0x43474244).to_bytes(4, "little")


class Skipped(Exception):
    """A test that can't be done here; str() says why."""


def expect(condition, what, shown=""):
    if not condition:
        raise Failed(f"expected: {what}" + (f"\n{shown}" if shown else ""))


class Lab:
    def __init__(self):
        self.tree = Tree().make()
        self.dumps = CACHE / "dumps"
        shutil.rmtree(self.dumps, ignore_errors=True)
        self.dumps.mkdir(parents=True)
        self._others = {}
        self._use("x86_64-ramoops")

    def _use(self, board, variant=None):
        board = Board(board)
        host.install(board.packages)
        self.kernel = Kernel(self.tree, board, variant).build()

    def other(self, board, variant=None):
        """The same lab with the machine @board, and maybe a variant of its kernel."""
        if (board, variant) not in self._others:
            lab = copy.copy(self)
            for name in ("sample", "test_modules", "story_dump"):
                lab.__dict__.pop(name, None)
            lab._use(board, variant)
            self._others[board, variant] = lab
        return self._others[board, variant]

    @cached_property
    def sample(self):
        return self.kernel.module("samples/kmemdump/kmemdump_test.ko")

    @cached_property
    def test_modules(self):
        """The folder of the built test modules."""
        return self.kernel.out_of_tree("test", sorted((HERE / "modules").glob("*.c")))

    @cached_property
    def reader_path(self):
        return self.kernel.reader()

    def guest(self, area="0x400000", append="", files=None, **kwargs):
        """A guest with the test modules in /root and a kmemdump area of @area bytes.
        With None it is what the device tree says."""
        files = {**(files or {}), "/root/kmemdump_test.ko": self.sample}
        files |= {f"/root/{path.name}": path for path in self.test_modules.glob("*.ko")}
        if area:
            append = f"{PARAM}{area} {append}"
        return Guest(self.kernel, files, append, **kwargs)

    def fetch_record(self, guest, name):
        """Copy the record out of the guest and erase it there, as people do."""
        guest.run(f"mkdir -p /tmp/out; cp /sys/fs/pstore/{RECORD} /tmp/out/")
        guest.run(f"rm /sys/fs/pstore/{RECORD}")
        folder = guest.fetch("/tmp/out", self.dumps / name)
        guest.run("rm -r /tmp/out")
        return folder / RECORD

    def listing(self, guest):
        """The regions in debugfs: name -> the columns before it."""
        rows = guest.run("cat /sys/kernel/debug/kmemdump/regions").splitlines()[1:]
        return {row.rsplit("\t", 1)[1]: row.split("\t")[:-1] for row in rows}

    def expect_listing(self, dump, listing):
        """The reader finds in a dump of all memory what listing() was before the crash."""
        info = json.loads(self.reader("list", "--json", dump))
        regions = {r["name"]: r for r in info["regions"]}
        for name, row in listing.items():
            expect(name in regions, f"region {name}", str(sorted(regions)))
            found = regions[name]
            want = dict(zip(("id", "class", "size", "segments", "owner"), row))
            shown = {key: str(found[key]) for key in want}
            expect(shown == want and found["state"] == "ok", f"{name} as debugfs had it: {want}",
                   str(found))
        expect(len(regions) == len(listing), "no other regions", str(sorted(regions)))

    def crash_in(self, name, mode, area="0x400000", append="", options="", **kwargs):
        """Boot, crash in the way of @mode of the crash module; dump and console text."""
        with self.guest(area, append, **kwargs) as guest:
            console = guest.crash(f"insmod kmemdump_crash.ko mode={mode} {options}")
            return self.fetch_record(guest, name), console

    def crash_with_full_log(self, name):
        """A record of a crash whose log is full, of text that hardly compresses."""
        with self.guest(append="printk.devkmsg=on") as guest:
            guest.run("head -c 150000 /dev/urandom | base64 -w 70 | "
                      "dd of=/dev/kmsg bs=71 iflag=fullblock", timeout=300)
            guest.crash()
            return self.fetch_record(guest, name)

    @staticmethod
    def find_zone(guest, ram):
        """Where ramoops' kmemdump zone starts in RAM: signature, start and size, then data."""
        area = guest.board.area
        zone = ram.find(ZONE_SIGNATURE, area["address"], area["address"] + area["size"])
        expect(zone > 0, "a kmemdump zone in RAM")
        return zone

    @cached_property
    def story_dump(self):
        """A record as the sample's story gives it."""
        with self.guest() as guest:
            guest.run("insmod kmemdump_test.ko")
            guest.crash()
            return self.fetch_record(guest, "story")

    def reader(self, *args, status=0, reader=None):
        """What the kmemdump program prints; it has to end with @status, if that is not None."""
        proc = subprocess.run([str(reader or self.reader_path), *map(str, args)],
                              capture_output=True, text=True, errors="replace", timeout=120)
        expect(status is None or proc.returncode == status,
               f"'kmemdump {' '.join(map(str, args))}' to end with {status}, not {proc.returncode}",
               (proc.stdout + proc.stderr)[-3000:])
        return proc.stdout + proc.stderr

    def elf(self, dump):
        """The ELF core of a whole record, unpacked by the stock zstd program."""
        out = dump.with_suffix(".elf")
        proc = subprocess.run(["zstd", "-dqf", "-o", str(out), str(dump)], capture_output=True,
                              text=True)
        expect(proc.returncode == 0, "zstd -d to unpack the record", proc.stderr)
        return out
