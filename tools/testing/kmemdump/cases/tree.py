# SPDX-License-Identifier: GPL-2.0
"""make tree: what it does with patches that apply, that apply at other lines, and that are stale.
The tests have their own cache, with a kernel tree of only the files that patches touch."""

import json
import os
import re
import shutil
import subprocess
import threading

import pytest

from harness import host
from harness import lab as labs
from harness.host import REPO
from harness.lab import STORED_RECORD, Failed, expect
from harness.tree import Tree


@pytest.fixture(params=host.BASES)
def tree(request):
    return labs.tree(request.param)


def _small(tree, lab, name):
    """Make a Tree in its own cache, with only the files to patch."""
    copy = Tree(tree.base)
    copy.dir = lab.dumps / name / "kmemdump" / tree.base
    copy.linux, copy.pristine = copy.dir / "linux", copy.dir / "pristine"
    shutil.rmtree(copy.dir, ignore_errors=True)
    for path in tree.touched():
        for folder in (copy.linux, copy.pristine):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(tree.pristine / path, folder / path)
    shutil.copy(tree.dir / "unpacked", copy.dir)
    # Link the source package, or make tree would get it again to compare versions.
    for path in host.CACHE.glob(f"linux-source-{tree.base}*"):
        (copy.dir.parent / path.name).unlink(missing_ok=True)
        (copy.dir.parent / path.name).symlink_to(path)
    return copy


def _make_tree(copy):
    """Run "make tree" in the cache of @copy. Returns what it prints, and its exit code."""
    env = dict(os.environ, XDG_CACHE_HOME=str(copy.dir.parents[1]))
    # Make this a new run: our run notes the tree as made already.
    env.pop("KMEMDUMP_RUN", None)
    proc = subprocess.run(["make", "-C", str(REPO), "tree", f"BASE={copy.base}"], env=env, text=True,
                          capture_output=True, timeout=600)
    return proc.stdout + proc.stderr, proc.returncode


def _listing(folder):
    """Each file in @folder -> its content."""
    return {str(path.relative_to(folder)): path.read_bytes()
            for path in folder.glob("**/*") if path.is_file()}


def test_make_tree(tree, lab):
    """make tree prints where the tree is and which files of Linux it changes. The tree has the
    patches and our files."""
    copy = _small(tree, lab, "good")
    out, status = _make_tree(copy)
    expect(status == 0 and f"Linux {tree.base} with kmemdump: {copy.linux}\n" in out
           and re.search(r"fs/pstore/ram\.c +\| ", out) and "files changed" in out,
           "the place of the tree and a diffstat", out)
    expect("kmemdump" in (copy.linux / "fs/pstore/ram.c").read_text(), "the patches applied")
    laid = copy.linux / "mm/kmemdump/core.c"
    expect(laid.read_bytes() == (REPO / "mm/kmemdump/core.c").read_bytes(), "the files laid on it")


def test_stale_patch(tree, lab):
    """make tree fails, names the patch and the file, and leaves the tree as it was."""
    copy = _small(tree, lab, "stale")
    target = copy.pristine / "fs/pstore/ram.c"
    text = target.read_text()
    target.write_text(text.replace("ramoops_pmsg_size", "renamed_size"))
    expect(target.read_text() != text, "a file that is not as the patch knows it")
    before = _listing(copy.linux)
    out, status = _make_tree(copy)
    # make exits with 2 if run.py exits with 1.
    expect(status == 2 and "Error 1" in out, "make tree to fail", out)
    expect(re.search(r"^FAILED: patches/\S+/0007-pstore-ram\S+ does not apply", out, re.M)
           and "fs/pstore/ram.c" in out, "an error that names patch and file", out)
    expect(_listing(copy.linux) == before, "the tree as it was")


def _fails(function, *words):
    """@function has to fail, with all @words in the error."""
    try:
        function()
    except Failed as err:
        expect(all(word in str(err) for word in words), f"an error with {words}", str(err))
    else:
        raise Failed(f"no error with {words}")


def test_file_gone(tree, lab):
    """If Linux lacks a file that a patch touches, the error names it."""
    copy = _small(tree, lab, "gone")
    (copy.pristine / "fs/pstore/ram.c").unlink()
    (copy.linux / "fs/pstore/ram.c").unlink()
    _fails(copy.apply_patches, "fs/pstore/ram.c", "does not have")


def test_point_release(tree, lab):
    """Patches also apply at lines that moved, as in a new point release."""
    copy = _small(tree, lab, "moved")
    for name in ("fs/pstore/ram.c", "fs/pstore/platform.c", "MAINTAINERS"):
        target = copy.pristine / name
        target.write_text("\n" * 7 + target.read_text())
    files = copy.apply_patches()
    for name in ("fs/pstore/ram.c", "fs/pstore/platform.c", "MAINTAINERS"):
        text = files[name].read_text()
        expect(text.startswith("\n" * 7) and "kmemdump" in text, f"{name} patched", text[:200])


def _times(folder):
    return {path: path.stat().st_mtime_ns for path in folder.glob("**/*") if path.is_file()}


def test_nothing_changed(tree, lab):
    """Making the tree again touches nothing, so that nothing is built again."""
    copy = _small(tree, lab, "again").make()
    before = _times(copy.linux)
    expect(len(before) > len(tree.touched()), "patched files and laid ones", str(len(before)))
    copy.make()
    expect(_times(copy.linux) == before, "unchanged files")


def test_edits_in_the_tree_are_undone(tree, lab):
    """make tree undoes what somebody has edited in the tree."""
    copy = _small(tree, lab, "edited").make()
    before = _listing(copy.linux)
    for name in ("fs/pstore/platform.c", "mm/kmemdump/core.c"):
        target = copy.linux / name
        target.write_text(target.read_text() + "\n/* tried */\n")
    expect(_listing(copy.linux) != before, "edits")
    copy.make()
    expect(_listing(copy.linux) == before, "the files as the patches and the repository have them")


def test_what_is_gone_goes(tree, lab):
    """A file that is no longer laid on the tree is removed. One that is no longer patched becomes
    the original again."""
    copy = _small(tree, lab, "shorter").make()
    before = _listing(copy.linux)
    for kind, name in (("laid", "mm/kmemdump/gone.c"), ("patched", "fs/pstore/zone.c")):
        (copy.linux / name).write_text("of an earlier version\n")
        names = json.loads((copy.dir / f"{kind}.json").read_text())
        (copy.dir / f"{kind}.json").write_text(json.dumps([*names, name]))
    original = b"the original\n"
    (copy.pristine / "fs/pstore/zone.c").write_bytes(original)
    copy.make()
    expect(_listing(copy.linux) == before | {"fs/pstore/zone.c": original},
           "one file gone and one as it was")


def test_file_of_linux(tree, lab):
    """A file of this repository does not replace a file of Linux."""
    copy = _small(tree, lab, "taken")
    target = copy.linux / "mm/kmemdump/core.c"
    target.parent.mkdir(parents=True)
    target.write_text("of Linux\n")
    _fails(copy.make, "mm/kmemdump/core.c", "already a file of Linux")
    expect(target.read_text() == "of Linux\n", "the file of Linux as it was")


def test_footprint(tree):
    """The patches touch only known files: outside pstore, mostly those that keep registers or the
    memory of a dump."""
    stat = tree.diffstat()
    expect("fs/pstore/ram.c" in stat and "files changed" in stat, "a diffstat", stat)
    known = re.compile(r"Documentation/|MAINTAINERS$|(fs|include/linux)/pstore|lib/Kconfig\.debug$|"
                       r"mm/Makefile$|samples/Makefile$|arch/(x86|powerpc)/kernel/smp\.c$|"
                       r"arch/powerpc/(Kbuild|kernel/(prom|fadump)\.c|include/asm/fadump\.h)$|"
                       r"drivers/soc/qcom/(Makefile|smem\.c)$")
    others = [name for name in tree.touched() if not known.match(name)]
    expect(tree.touched() and not others, "no other file touched", str(others))


def test_runs_side_by_side(lab, monkeypatch):
    """Runs of the same sources share the cache; a run of other sources waits until they end."""
    monkeypatch.setattr(host, "CACHE", lab.dumps)

    def start(sources):
        def run():
            with host.sources_in_cache(sources):
                entered.set()

        entered = threading.Event()
        threading.Thread(target=run, daemon=True).start()
        return entered

    with host.sources_in_cache("a"):
        expect(start("a").wait(60), "the same sources to share it")
        other = start("b")
        # If 3 s are too short to see a run that does not wait, the test only misses it.
        expect(not other.wait(3), "others to wait")
    expect(other.wait(60), "others to have it then")


def test_reader_in_the_tree(tree, lab):
    """tools/kmemdump builds in a kernel tree as other tools do, also into folders that do not exist
    yet. There, include/uapi also has headers that programs can't include before they are
    installed."""
    root = lab.dumps / "in-tree"
    shutil.rmtree(root, ignore_errors=True)
    for path in ("tools/kmemdump", "include/uapi"):
        shutil.copytree(tree.linux / path, root / path)
    tools, env = root / "tools/kmemdump", dict(os.environ, PWD=str(root))
    for args, made in (([], tools), ([f"O={root}/a/b"], root / "a/b"), (["O=c/d"], root / "c/d"),
                       ([f"OUTPUT={root}/e/f/"], root / "e/f"), ([f"OUTPUT={root}/g"], root / "g"),
                       ([f"O={root}/h", "subdir=tools/kmemdump"], root / "h/tools/kmemdump")):
        proc = subprocess.run(["make", "-C", str(tools), "CFLAGS=-O0", *args], cwd=root, env=env,
                              text=True, capture_output=True, timeout=300)
        expect(proc.returncode == 0 and "warning" not in proc.stderr, f"make {args}", proc.stderr)
        expect(lab.reader("check", STORED_RECORD, reader=made / "kmemdump"), "a program")
    proc = subprocess.run(["make", "-C", str(tools), "install", f"DESTDIR={root}/i"], cwd=root,
                          env=env, text=True, capture_output=True, timeout=300)
    expect(proc.returncode == 0 and (root / "i/usr/bin/kmemdump").exists(), "make install",
           proc.stderr)
