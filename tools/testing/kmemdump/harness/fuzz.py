# SPDX-License-Identifier: GPL-2.0
"""Fuzz the code that parses what outlives a crash: the reader with libFuzzer, and the harness' own
walker with a loop of random changes. The first inputs are made here, or come from the stored
record, so that no kernel is needed."""

import os
import random
import re
import struct
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from . import current, firmware, host
from .full_dump import FullDump
from .host import CACHE, HERE, Failed, say, step
from .lab import STORED_RECORD, lab
from .minidump import Core, Minidump, flat

PACKAGES = ["clang", "libclang-rt-14-dev"]
# Inputs that the reader once did not handle well.
FOUND = HERE / "fuzz/found"


def _elf():
    # Large inputs allow few tries, so leave out the end of the core, which is memory.
    return [Minidump(Core.small()).elf, lab().elf(STORED_RECORD).read_bytes()[:65536],
            FullDump().elf, FullDump(">", 4, 4).elf, FullDump(tag=0xf4).elf]


def _record():
    data = STORED_RECORD.read_bytes()
    return [data, data[:4096]]


def _list(md):
    return b"".join(struct.pack("<B", len(name)) + name.encode() + struct.pack("<I", len(data))
                    + data for name, data in md.slots.items())


def _ram(md, **kwargs):
    base = 0x40000000
    out = struct.pack("<II", md.smem_at - base, md.address["Kslot1"] + 33 - base)
    for piece in re.finditer(rb"(?:(?!\0{16}).)+", flat(md.ram(**kwargs), base), re.S):
        out += struct.pack("<II", piece.start(), len(piece[0])) + piece[0]
    return out


def _minidumps():
    core = Core.small(page=256)
    return [Minidump(core), Minidump(core, older=True), Minidump(core, packed=0)]


# The name of each fuzzer, and what it starts from.
TARGETS = {
    "elf": _elf,
    "record": _record,
    "minidump": lambda: [_list(md) for md in _minidumps()],
    "smem": lambda: [_ram(md, cached=bool(i % 2)) for i, md in enumerate(_minidumps())],
    "rawdump": lambda: [md.rawdump() for md in _minidumps()],
}
# A fuzzer with a fault in it, which shows that faults are found.
FAULT = {"fault": lambda: [b"no fault"]}


def build():
    """Build the fuzzers, once in a run. Returns the folder that they are in."""
    host.install(host.READER_PACKAGES + PACKAGES)
    out = CACHE / "fuzz"

    def make():
        out.mkdir(parents=True, exist_ok=True)
        proc = subprocess.run(["make", "-s", "-C", str(HERE / "fuzz"), f"OUTPUT={out}/"],
                              capture_output=True, text=True)
        if proc.returncode or "warning" in proc.stderr:
            raise Failed("building the fuzzers:\n" + proc.stdout + proc.stderr)

    host.once("fuzzers", make)
    return out


@dataclass
class Fuzzed:
    """@runs: inputs that were tried. @at_first: places in the code that the first inputs reached.
    @reached: places that were reached in the end."""
    runs: int
    at_first: int
    reached: int

    def __str__(self):
        return f"{self.runs} inputs, {self.reached} places reached, {self.at_first} at first"


def fuzz(name, *limits, corpus=None, seed=1):
    """Run one fuzzer up to its @limits, which are options of libFuzzer. Returns a Fuzzed. What the
    fuzzer learns goes into the folder @corpus, from which it starts the next time."""
    program = build() / name
    crashes = CACHE / "fuzz-crashes" / name
    crashes.mkdir(parents=True, exist_ok=True)
    log = current.folder() / f"fuzz-{name}"
    shared = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=shared) as work:
        corpus = corpus or Path(work) / "corpus"
        corpus.mkdir(parents=True, exist_ok=True)
        for i, data in enumerate((TARGETS | FAULT)[name]()):
            (corpus / f"seed-{i}").write_bytes(data)
        folders = [corpus] + ([FOUND / name] if (FOUND / name).exists() else [])
        # libFuzzer looks at the peak of its process's memory, and fork() hands the peak of the
        # parent down. This process looks at the RAM of guests, so let a shell fork the fuzzer.
        step(f"fuzzing {name}, {' '.join(limits)}",
             ["sh", "-c", '"$@"; exit $?', "sh", str(program), f"-seed={seed}", *limits, "-timeout=60",
              "-rss_limit_mb=2048", "-detect_leaks=0", "-print_final_stats=1",
              "-use_value_profile=1", f"-artifact_prefix={crashes}/", *map(str, folders)],
             str(log),
             env=dict(os.environ, TMPDIR=work, ASAN_OPTIONS="quarantine_size_mb=64"))
    text = log.with_suffix(".log").read_text(errors="replace")
    return Fuzzed(int(re.search(r"number_of_executed_units: (\d+)", text)[1]),
                  int(re.search(r"\bINITED cov: (\d+)", text)[1]),
                  max(map(int, re.findall(r"\bcov: (\d+)", text))))


def for_long(name, seconds, seed):
    """Run one fuzzer for @seconds, from where it ended the last time."""
    with host.lock(f"fuzz-{name}"):
        return fuzz(name, f"-max_total_time={seconds}", corpus=CACHE / "fuzz-corpus" / name,
                    seed=seed)


def walk_for_long(seconds, seed):
    """Have the harness' firmware read changed tables for @seconds: (how many, how many of them it
    refused)."""
    runs = refused = 0
    end = time.monotonic() + seconds
    while not runs or time.monotonic() < end:
        refused += walk_tables(1000, seed + runs)
        runs += 1000
    return runs, refused


def new_seed():
    seed = random.randrange(1, 1 << 31)
    say(f"seed {seed}")
    return seed


def run(seconds):
    """Run all fuzzers in turn, each time with another seed."""
    seed = new_seed()
    share = seconds // (len(TARGETS) + 1)
    for name in TARGETS:
        say(f"    {for_long(name, share, seed)}")
    runs, refused = walk_for_long(share, seed)
    say(f"==> the harness' own firmware\n    {runs} inputs, {refused} refused")


def walk_tables(rounds, seed=1):
    """Have the harness' firmware read tables with random changes, which no coverage guides. Returns
    how many of them it refused."""
    md = Minidump(Core.small())
    # Start where the tables are, so that most changes hit something.
    start = min(md.table_at, md.smem_at) - 0x40000000
    ram = flat(md.ram(), 0x40000000)
    names = [name for name, *_ in firmware.walk(ram, md.smem_at, smem_size=0x6000).regions]
    if len(names) != len(md.slots):
        raise Failed(f"the firmware finds {names} in a good table")

    def walk_changed(data):
        return firmware.walk(ram[:start] + data, md.smem_at, smem_size=0x6000)

    return walk(walk_changed, firmware.Bad, ram[start:], rounds, seed)


def walk(function, error, good, rounds, seed=1):
    """Call @function, a parser of the harness in Python, with random changes of @good, @rounds
    times. It may raise nothing but @error. Returns how often it did."""
    rng = random.Random(seed)
    refused = 0
    for number in range(rounds):
        data = bytearray(good)
        for _ in range(rng.randrange(1, 9)):
            at = rng.randrange(len(data))
            kind = rng.randrange(4)
            if kind == 0:
                data[at] ^= 1 << rng.randrange(8)
            elif kind == 1:
                data[at] = rng.choice((0, 1, 0x7f, 0x80, 0xff))
            elif kind == 2:
                at &= ~7
                data[at:at + 8] = rng.choice((0, 2**32 - 1, 2**63, 2**64 - 1,
                                              rng.randrange(2**64))).to_bytes(8, "little")
            elif len(data) > 1:
                del data[rng.randrange(1, len(data)):]
        try:
            function(data)
        except error:
            refused += 1
        except Exception as err:
            raise Failed(f"{function.__name__}, round {number} of seed {seed}: {err!r}") from err
    return refused
