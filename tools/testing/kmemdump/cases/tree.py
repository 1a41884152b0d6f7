# SPDX-License-Identifier: GPL-2.0
"""make tree: what it does with patches that fit, that moved, and that are stale."""

import re
import shutil

from harness.lab import Failed, expect
from harness.tree import Tree


def _copy(lab, name):
    """A Tree of its own folder, which shares only what is not changed here."""
    tree = Tree(lab.tree.base)
    tree.dir = lab.dumps / name
    tree.pristine = tree.dir / "pristine"
    shutil.rmtree(tree.dir, ignore_errors=True)
    shutil.copytree(lab.tree.pristine, tree.pristine)
    return tree


def test_stale_patch(lab):
    tree = _copy(lab, "stale")
    target = tree.pristine / "fs/pstore/ram.c"
    target.write_text(target.read_text().replace("ramoops_pmsg_size", "renamed_size"))
    try:
        tree.apply_patches()
    except Failed as err:
        expect("0005-pstore-ram" in str(err) and "does not apply" in str(err)
               and "fs/pstore/ram.c" in str(err), "an error that names patch and file", str(err))
    else:
        raise Failed("a stale patch was applied")


def test_file_gone(lab):
    tree = _copy(lab, "gone")
    tree.linux = tree.dir / "linux"
    (tree.pristine / "fs/pstore/ram.c").unlink()
    try:
        tree.apply_patches()
    except Failed as err:
        expect("fs/pstore/ram.c" in str(err), "an error that names the file", str(err))
    else:
        raise Failed("a patch of a missing file was applied")


def test_point_release(lab):
    """Lines that moved, as in a new point release, are found."""
    tree = _copy(lab, "moved")
    for name in ("fs/pstore/ram.c", "fs/pstore/platform.c", "MAINTAINERS"):
        target = tree.pristine / name
        target.write_text("\n" * 7 + target.read_text())
    files = tree.apply_patches()
    expect("kmemdump" in files["fs/pstore/ram.c"].read_text(), "the patches applied")


def test_nothing_changed(lab):
    """Making the tree again touches nothing, so that nothing is built again."""
    names = [*lab.tree.touched(), "mm/kmemdump/core.c", "include/linux/kmemdump.h"]
    before = [(lab.tree.linux / name).stat().st_mtime_ns for name in names]
    lab.tree.make()
    after = [(lab.tree.linux / name).stat().st_mtime_ns for name in names]
    expect(before == after, "unchanged files")


def test_edits_in_the_tree_are_undone(lab):
    """The tree is what the repository says, whatever was tried in it."""
    target = lab.tree.linux / "fs/pstore/inode.c"
    good = target.read_text()
    target.write_text(good + "\n/* tried */\n")
    lab.tree.make()
    expect(target.read_text() == good, "the file as the patches make it")


def test_footprint(lab):
    """Of other subsystems, only what collects annotations and registers is touched."""
    stat = lab.tree.diffstat()
    expect("fs/pstore/ram.c" in stat and "files changed" in stat, "a diffstat", stat)
    known = re.compile(r"Documentation/|MAINTAINERS$|(fs|include/linux)/pstore|lib/Kconfig\.debug$|"
                       r"mm/Makefile$|samples/|include/asm-generic/vmlinux\.lds\.h$|"
                       r"include/linux/module\.h$|kernel/module/main\.c$|"
                       r"arch/(x86|powerpc)/kernel/smp\.c$|arch/powerpc/(Kbuild|Kconfig|"
                       r"kernel/(prom|fadump)\.c|include/asm/fadump\.h)$|"
                       r"drivers/soc/qcom/(Kconfig|Makefile|smem\.c)$")
    others = [name for name in lab.tree.touched() if not known.match(name)]
    expect(not others, "no other file touched", str(others))
