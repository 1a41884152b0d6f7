# SPDX-License-Identifier: GPL-2.0
"""A kernel tree with kmemdump: Debian's source, this repository laid on it, the patches applied."""

import filecmp
import json
import re
import shutil
import subprocess

from . import host
from .host import BASE, CACHE, REPO, Failed, say

# The folders of this repository that go into a kernel tree at the same paths.
LAID = ("Documentation/", "arch/", "drivers/", "fs/", "include/", "mm/", "samples/", "tools/")
# This one does not: its tests make kernel trees, and are no part of one.
APART = "tools/testing/"


class Tree:
    def __init__(self, base=BASE):
        self.base = base
        self.dir = CACHE / base
        self.linux = self.dir / "linux"
        self.pristine = self.dir / "pristine"      # the originals of patched files
        self.patches = REPO / "patches" / base

    def named(self, name):
        """@name, with the base in it unless that is BASE."""
        return name if self.base == BASE else f"{self.base}-{name}"

    def make(self):
        """Bring the tree up to date; files that stay the same are not touched."""
        with host.lock(f"tree-{self.base}"):
            self._unpack()
            patched = self.apply_patches()
            self._sync("patched", patched)
            self._sync("laid", self._overlay_files())
        return self

    def _unpack(self):
        stamp = self.dir / "unpacked"
        tarball, version = host.linux_source(self.base)
        if stamp.exists() and stamp.read_text() == version and self.linux.is_dir():
            return
        for old in (self.linux, self.pristine, self.dir / "laid.json", self.dir / "patched.json"):
            shutil.rmtree(old, ignore_errors=True) if old.is_dir() else old.unlink(missing_ok=True)
        self.linux.mkdir(parents=True)
        host.step(f"unpacking linux-source-{self.base} {version}",
                  ["tar", "-xf", str(tarball), "--strip-components=1", "-C", str(self.linux)],
                  f"unpack-{self.base}")
        stamp.write_text(version)

    def _version(self):
        return (self.dir / "unpacked").read_text()

    def _overlay_files(self):
        out = subprocess.run(["git", "-c", "safe.directory=*", "-C", str(REPO), "ls-files", "-co",
                              "--exclude-standard", "-z"],
                             capture_output=True, check=True).stdout.decode()
        files = {name: REPO / name for name in out.split("\0")
                 if name.startswith(LAID) and not name.startswith(APART)
                 and (REPO / name).is_file()}
        # The menu has another path there. A line of lib/Kconfig.debug sources it.
        return files | {"mm/kmemdump/Kconfig.menu": REPO / "Kconfig"}

    def _sync(self, kind, files):
        """Copy @files into the tree. Files of @kind from before that are not in @files are
        removed, or become the originals again."""
        manifest = self.dir / f"{kind}.json"
        before = set(json.loads(manifest.read_text())) if manifest.exists() else set()
        for name in before - set(files):
            original = self.pristine / name
            if original.exists():
                shutil.copy(original, self.linux / name)
            else:
                (self.linux / name).unlink(missing_ok=True)
        manifest.write_text(json.dumps(sorted(before | set(files))))
        for name, source in files.items():
            target = self.linux / name
            if kind == "laid" and target.exists() and name not in before:
                raise Failed(f"{name} of this repository is already a file of Linux {self.base}")
            if target.exists() and filecmp.cmp(source, target, shallow=False):
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target)
        manifest.write_text(json.dumps(sorted(files)))

    def series(self):
        return sorted(self.patches.glob("*.patch"))

    def touched(self):
        names = []
        for patch in self.series():
            names += re.findall(r"^--- a/(\S+)", patch.read_text(), re.M)
        return names

    def _keep_pristine(self, names):
        missing = [n for n in names if not (self.pristine / n).exists()]
        for name in missing:
            source = self.linux / name
            if not source.exists():
                raise Failed(f"patches/{self.base} touch {name}, which Linux {self.base} "
                             f"({self._version()}) does not have")
            (self.pristine / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, self.pristine / name)

    def apply_patches(self):
        """Apply the patches to copies, so that a stale one leaves the tree as it was."""
        names = self.touched()
        self._keep_pristine(names)
        staging = self.dir / "staging"
        shutil.rmtree(staging, ignore_errors=True)
        for name in names:
            (staging / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(self.pristine / name, staging / name)
        for patch in self.series():
            proc = subprocess.run(["patch", "-p1", "--batch", "--fuzz=0", "--no-backup-if-mismatch",
                                   "-r", "-", "-i", str(patch)],
                                  cwd=staging, capture_output=True, text=True)
            if proc.returncode:
                raise Failed(f"{patch.relative_to(REPO)} does not apply to linux-source-"
                             f"{self.base} {self._version()}:\n{proc.stdout}{proc.stderr}"
                             "The tree was left as it was.")
        return {name: staging / name for name in names}

    def diffstat(self):
        """What the patches change in existing files, against the pristine ones."""
        out = subprocess.run(["git", "diff", "--no-index", "--stat=100", "pristine", "staging"],
                             cwd=self.dir, capture_output=True, text=True).stdout
        return re.sub(r"\{?pristine => staging\}?/", "", out)

    def show(self):
        say(f"\nLinux {self.base} with kmemdump: {self.linux}")
        say("Existing files touched, against the pristine source:\n" + self.diffstat())
