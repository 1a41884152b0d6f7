# SPDX-License-Identifier: GPL-2.0
"""Building the kernel of a board, and modules for it."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import time
from pathlib import Path

from . import host
from .host import CACHE, HERE, JOBS, REPO, Failed


# Lines of our files in the output of a compiler that also sees others. ram_core.c is not one of
# them, because sparse has eight warnings about it as it is in mainline.
OURS = re.compile(r"((mm/kmemdump|arch/powerpc/fadump|drivers/soc/qcom/minidump)/\w+\.[ch]|"
                  r"kmemdump\w*\.[ch]|soc/qcom/minidump\.h|fs/pstore/(ram|platform|inode)\.c)"
                  r":\d+:")
COMPLAINT = re.compile(r":\d+:.*(warning|error)", re.I)
# How gcc says where else a complaint belongs: the first comes before it, the other one after it.
INLINED = re.compile(r"inlined from ")
EXPANDED = re.compile(r": note: in (expansion|definition) of macro")


def ours(output):
    """What compilers complain of in lines of ours. That includes complaints about a line of a
    header that is part of a macro or a function that a line of ours uses."""
    complaints, before = [], []
    for line in output.splitlines():
        if COMPLAINT.search(line):
            complaints.append([*before, line])
            before = []
        elif INLINED.search(line):
            before.append(line)
        elif EXPANDED.search(line) and complaints:
            complaints[-1].append(line)
    return "\n".join("\n".join(lines) for lines in complaints
                     if any(OURS.search(line) for line in lines))


# Variants that share no object file with the kernel of their board.
ALONE = ("demo",)


class Board:
    """A machine that the tests run on; a small data file says all about it."""

    def __init__(self, name):
        self.name = name
        self.dts = None
        self.packages = []
        data = json.loads((HERE / "boards" / f"{name}.json").read_text())
        self.__dict__.update(data)


def _options(text):
    """The options that lines of a configuration set or leave out: name -> line."""
    return {match[1]: match[0] for match in
            re.finditer(r"^(?:# )?(CONFIG_\w+)(?:=.*| is not set)$", text, re.M)}


class Kernel:
    """The kernel of a board; a variant has a fragment of its own on top of the board's."""

    def __init__(self, tree, board, variant=None):
        self.tree = tree
        self.board = board
        folder = "-".join(filter(None, (board.config, variant)))
        self.name = tree.named(folder)
        self.variant = variant
        self.build_dir = tree.dir / folder
        self.vmlinux = self.build_dir / "vmlinux"
        self.image = self.build_dir / board.image
        # If options are different in a base, a fragment for that base comes after the general one.
        self.fragments = [HERE / "configs" / name
                          for fragment in filter(None, ("common", board.config, variant))
                          for name in (f"{fragment}.config", f"{fragment}-{tree.base}.config")
                          if name == f"{fragment}.config" or (HERE / "configs" / name).exists()]

    def env(self):
        return dict(os.environ, CCACHE_DIR=str(CACHE / "ccache"), KBUILD_BUILD_TIMESTAMP="",
                    KBUILD_BUILD_USER="kmemdump", KBUILD_BUILD_HOST="kmemdump")

    def make_args(self, *args):
        return ["make", "-C", str(self.tree.linux), f"O={self.build_dir}", f"-j{JOBS}",
                f"ARCH={self.board.arch}", f"CROSS_COMPILE={self.board.cross}",
                f"CC=ccache {self.board.cross}gcc", *args]

    def configure(self):
        """Lay the fragments on tinyconfig, and check that every line of them took."""
        wanted = _options("".join(path.read_text() for path in self.fragments))
        fragment = "".join(f"{line}\n" for line in wanted.values())
        digest = hashlib.sha256(fragment.encode())
        for path in sorted([*REPO.glob("**/Kconfig"), *self.tree.patches.iterdir()]):
            digest.update(path.read_bytes())
        stamp = self.build_dir / "kmemdump-config"
        if stamp.exists() and stamp.read_text() == digest.hexdigest():
            return
        self.build_dir.mkdir(parents=True, exist_ok=True)
        config = self.build_dir / ".config"
        log = f"config-{self.name}"
        host.step("configuring the kernel", self.make_args("tinyconfig"), log, env=self.env())
        with config.open("a") as out:
            out.write(fragment)
        host.step("settling the configuration", self.make_args("olddefconfig"), log, env=self.env())
        have = _options(config.read_text())
        lost = [line for name, line in wanted.items()
                if have.get(name, f"# {name} is not set") != line]
        if lost:
            raise Failed(f"the kernel did not take these lines of {config}: " + ", ".join(lost))
        stamp.write_text(digest.hexdigest())

    def build(self):
        """Bring the kernel up to date, once in a run."""
        host.once(f"kernel-{self.name}", self._build)
        return self

    def _build(self):
        if self.variant and self.variant not in ALONE and not self.build_dir.exists():
            # Start from the kernel of the board, so that shared objects are not built again.
            shutil.copytree(Kernel(self.tree, self.board).build().build_dir, self.build_dir,
                            symlinks=True, ignore=shutil.ignore_patterns("kmemdump-*",
                                                                         "out-of-tree"))
        self.configure()
        # How many steps the last cold build took. The first time, expect about 1200.
        memory = self.build_dir / "kmemdump-steps"
        cold = not self.vmlinux.exists()
        expect = None
        if cold:
            expect = int(memory.read_text()) if memory.exists() else 1200
        # Build one kernel after the other: each build takes all cores, and is timed.
        with host.lock("compiler"):
            start, hits = time.monotonic(), self._ccache_hits()
            steps = host.step(f"building the kernel {self.name}",
                              self.make_args(self.board.image.split("/")[-1], "modules"),
                              f"build-{self.name}", expect, r"^  [A-Z]+ ", env=self.env())
            took, hits = time.monotonic() - start, self._ccache_hits() - hits
        if cold:
            memory.write_text(str(steps))
            # If ccache had many of the objects, the time says nothing of this machine. A build
            # with an empty cache has a hit in one of eight steps, too: kbuild tries the same
            # options of the compiler in many folders.
            if hits < steps // 4:
                self.cold_seconds_file.write_text(f"{took:.0f}")

    @property
    def cold_seconds_file(self):
        """How long a build took here, cold and without the help of ccache; it may be missing."""
        return CACHE / f"cold-seconds-{self.name}"

    def _ccache_hits(self):
        stats = subprocess.run(["ccache", "--print-stats"], capture_output=True, text=True,
                               env=self.env(), check=True).stdout
        return sum(int(n) for n in re.findall(r"^(?:direct|preprocessed)_cache_hit\s+(\d+)$", stats,
                                              re.M))

    def compile(self, *targets):
        """Build @targets. Returns the process, and what the compiler says about our files."""
        proc = subprocess.run(self.make_args(*targets), capture_output=True, text=True,
                              env=self.env())
        return proc, ours(proc.stdout + proc.stderr)

    def module(self, path):
        """A module that was built in the tree."""
        return self.build_dir / path

    def out_of_tree(self, name, sources):
        """Build @sources as modules outside of any tree. Returns the folder that they are in
        then."""
        folder = self.build_dir / "out-of-tree" / name

        def build():
            folder.mkdir(parents=True, exist_ok=True)
            for old in {path.name for path in folder.glob("*.c")} - {path.name for path in sources}:
                for path in folder.glob(f"{Path(old).stem}.*"):
                    path.unlink()
            makefile = "".join(f"obj-m += {source.stem}.o\n" for source in sources)
            for source in [*sources, None]:
                target = folder / (source.name if source else "Makefile")
                data = source.read_text() if source else makefile
                if not target.exists() or target.read_text() != data:
                    target.write_text(data)
            host.step(f"building {name} out of tree", self.make_args(f"M={folder}", "modules"),
                      f"module-{name}-{self.name}", env=self.env())

        with host.lock(f"kernel-{self.name}"):
            host.once(f"modules-{self.name}-{name}", build)
        return folder


def guest_reader(board):
    """Build the kmemdump program for guests of a @board. Returns its path."""
    return _static_reader(board.debian, board.cross)


def reader_of_32_bits():
    """Build the kmemdump program for a host of 32 bits. Returns its path."""
    host.install(["gcc-i686-linux-gnu", "libc6-dev-i386-cross"])
    return _static_reader("i386", "i686-linux-gnu-")


def _static_reader(debian, cross):
    cflags, ldflags = host.static_libraries(debian, cross)
    return _reader(f"reader-{debian}", f"CC={cross}gcc", f"CFLAGS=-O2 {cflags}",
                   f"LDFLAGS={ldflags}", "LIBS=-lelf -lzstd -lxxhash -lz")


def reader(sanitize=False):
    """Build the kmemdump program, with sanitizers of its memory accesses if asked to @sanitize.
    Returns its path."""
    return _reader("reader-asan", "SANITIZE=1") if sanitize else _reader("reader")


def _reader(name, *args):
    out = CACHE / name
    stamp = out / "sources"

    def build():
        out.mkdir(parents=True, exist_ok=True)
        sources = host.digest([*(REPO / "tools/kmemdump").iterdir(),
                               REPO / "include/uapi/linux/kmemdump.h"])
        # make looks at times only, and another copy of the sources may have been built last.
        same = stamp.exists() and stamp.read_text() == sources
        stamp.unlink(missing_ok=True)
        proc = subprocess.run(["make", "-s", *([] if same else ["-B"]), "-C",
                               str(REPO / "tools/kmemdump"), f"OUTPUT={out}/", *args],
                              capture_output=True, text=True)
        if proc.returncode:
            raise Failed("building tools/kmemdump:\n" + proc.stdout + proc.stderr)
        stamp.write_text(sources)

    host.once(name, build)
    return out / "kmemdump"
