# SPDX-License-Identifier: GPL-2.0
"""Building the kernel of a board, and modules for it."""

import hashlib
import json
import os
import shutil
import subprocess

from . import host
from .host import CACHE, HERE, JOBS, REPO, Failed



class Board:
    """A machine that the tests run on; a small data file says all about it."""

    def __init__(self, name):
        self.name = name
        data = json.loads((HERE / "boards" / f"{name}.json").read_text())
        self.__dict__.update(data)


class Kernel:
    def __init__(self, tree, board):
        self.tree = tree
        self.board = board
        self.build_dir = tree.dir / board.config
        self.vmlinux = self.build_dir / "vmlinux"
        self.image = self.build_dir / board.image
        self.fragments = [HERE / "configs" / f"{name}.config" for name in ("common", board.config)]

    def env(self):
        return dict(os.environ, CCACHE_DIR=str(CACHE / "ccache"), KBUILD_BUILD_TIMESTAMP="",
                    KBUILD_BUILD_USER="kmemdump", KBUILD_BUILD_HOST="kmemdump")

    def make_args(self, *args):
        return ["make", "-C", str(self.tree.linux), f"O={self.build_dir}", f"-j{JOBS}",
                f"ARCH={self.board.arch}", f"CROSS_COMPILE={self.board.cross}",
                f"CC=ccache {self.board.cross}gcc", *args]

    def configure(self, undone=()):
        """Lay the fragments on tinyconfig, and check that every line of them took,
        but for those that a later fragment has @undone."""
        fragment = "".join(path.read_text() for path in self.fragments)
        digest = hashlib.sha256(fragment.encode())
        for path in sorted([*REPO.glob("**/Kconfig"), *self.tree.patches.iterdir()]):
            digest.update(path.read_bytes())
        stamp = self.build_dir / "kmemdump-config"
        if stamp.exists() and stamp.read_text() == digest.hexdigest():
            return
        self.build_dir.mkdir(parents=True, exist_ok=True)
        config = self.build_dir / ".config"
        log = f"config-{self.board.config}"
        host.step("configuring the kernel", self.make_args("tinyconfig"), log, env=self.env())
        with config.open("a") as out:
            out.write(fragment)
        host.step("settling the configuration", self.make_args("olddefconfig"), log, env=self.env())
        have = set(config.read_text().splitlines())
        lost = [line for line in fragment.splitlines()
                if line.startswith("CONFIG_") and line not in have and line not in undone]
        if lost:
            raise Failed(f"the kernel did not take these lines of {config}: " + ", ".join(lost))
        stamp.write_text(digest.hexdigest())

    def build(self):
        self.configure()
        # How many steps it was last time; about 1500 for a cold build.
        memory = self.build_dir / "kmemdump-steps"
        cold = not self.vmlinux.exists()
        expect = None
        if cold:
            expect = int(memory.read_text()) if memory.exists() else 1500
        steps = host.step(f"building the kernel of {self.board.name}",
                          self.make_args(self.board.image.split("/")[-1], "modules"),
                          f"build-{self.board.config}", expect, r"^  [A-Z]+ ", env=self.env())
        if cold:
            memory.write_text(str(steps))
        return self

    def module(self, path):
        """A module that was built in the tree."""
        return self.build_dir / path

    def out_of_tree(self, name, sources):
        """Build @sources as modules outside of any tree; the folder they are in then."""
        folder = self.build_dir / "out-of-tree" / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for source in sources:
            shutil.copy(source, folder)
        (folder / "Makefile").write_text("".join(f"obj-m += {source.stem}.o\n"
                                                 for source in sources))
        host.step(f"building {name} out of tree",
                  self.make_args(f"M={folder}", "modules"), f"module-{name}", env=self.env())
        return folder

    def reader(self, sanitize=False):
        """Build the kmemdump program; its path."""
        out = CACHE / ("reader-asan" if sanitize else "reader")
        out.mkdir(parents=True, exist_ok=True)
        subprocess_args = ["make", "-s", "-C", str(REPO / "tools/kmemdump"), f"OUTPUT={out}/"]
        if sanitize:
            subprocess_args.append("SANITIZE=1")
        proc = subprocess.run(subprocess_args, capture_output=True, text=True)
        if proc.returncode:
            raise Failed("building tools/kmemdump:\n" + proc.stdout + proc.stderr)
        return out / "kmemdump"
