# SPDX-License-Identifier: GPL-2.0
"""What maintainers run before they read a patch: checkpatch, W=1, sparse, kernel-doc, mandoc. Each
test also gives its checker something bad, which the checker has to find."""

import os
import re
import shutil
import subprocess

import pytest

from harness import host, mutants
from harness.host import HERE, REPO, Failed
from harness.kernel import ours
from harness.lab import expect


def _files(suffixes):
    out = subprocess.run(["git", "-c", "safe.directory=*", "-C", str(REPO), "ls-files", "-co",
                          "--exclude-standard"],
                         capture_output=True, text=True, check=True).stdout.split()
    return [name for name in out if name.endswith(suffixes) and (REPO / name).exists()]


def _c_files(group):
    """The C files of one of the GROUPS of checkpatch's options."""
    found = {"trace": [], "user": [], "mm": [], "kernel": []}
    for name in _files((".c", ".h")):
        if name.startswith("include/trace/"):
            found["trace"].append(name)
        elif name.startswith(("tools/kmemdump/", "tools/testing/kmemdump/fuzz/")):
            found["user"].append(name)
        elif name.startswith("mm/"):
            found["mm"].append(name)
        else:
            found["kernel"].append(name)
    return [REPO / name for name in found[group]]


# The CamelCase names are those of zstd, libelf and xxhash. The files are checked without the change
# of MAINTAINERS that comes with them in a patch.
KERNEL = ["--no-tree", "--ignore", "FILE_PATH_CHANGES,CAMELCASE", "-f"]
# Each group of files -> how many there are at least, and the options of checkpatch. Patches are
# checked when they are made: harness/series.py.
GROUPS = {
    "mm": (20, KERNEL),
    "kernel": (20, KERNEL),
    # The macros that make tracepoints are not laid out like functions.
    "trace": (1, ["--no-tree", "--ignore",
                  "FILE_PATH_CHANGES,OPEN_ENDED_LINE,PARENTHESIS_ALIGNMENT", "-f"]),
    # Programs have no <linux/compiler.h>, so they define __printf themselves.
    "user": (10, ["--no-tree", "--ignore", "FILE_PATH_CHANGES,CAMELCASE,"
                  "PREFER_DEFINED_ATTRIBUTE_MACRO", "-f"]),
}
SUMMARY = re.compile(r"^(\S+) total: (\d+) errors, (\d+) warnings, (\d+) checks, "
                     r"(\d+) lines checked$", re.M)
BAD_C = """\
// SPDX-License-Identifier: GPL-2.0-only
int bad( int a ) {
	return(a);
}
"""

# What checkpatch prints about itself when it runs outside a kernel tree.
OUTSIDE = re.compile(r"^Use of uninitialized value \$root .*\n|"
                     r"^find: .*/include.: No such file.*\n", re.M)


def _checkpatch(lab, tree, group, files):
    """The complaints of checkpatch --strict about @files. Its summaries must name each file."""
    proc = subprocess.run(["perl", str(tree.linux / "scripts/checkpatch.pl"), "--strict",
                           "--emacs", "--summary-file", *GROUPS[group][1], *map(str, files)],
                          # checkpatch leaves a cache in the folder where it runs.
                          cwd=lab.dumps, capture_output=True, text=True)
    output = proc.stdout + OUTSIDE.sub("", proc.stderr)
    totals = {path: list(map(int, counts)) for path, *counts in SUMMARY.findall(proc.stdout)}
    expect(set(totals) == set(map(str, files)) and all(lines for *_, lines in totals.values()),
           "checkpatch to have read each file", output[-3000:])
    clean = not any(sum(found) for *found, _ in totals.values())
    expect(proc.returncode == (0 if clean else 1) and output == proc.stdout,
           "an exit code of checkpatch that says the same as its summaries", output[-3000:])
    return "" if clean else "\n".join(line for line in output.splitlines()
                                      if re.search(r": (ERROR|WARNING|CHECK):", line)) or output


@pytest.mark.parametrize("group", GROUPS)
def test_checkpatch(lab, tree, group):
    """checkpatch --strict complains of a bad file, and of none of ours."""
    files = _c_files(group)
    expect(len(files) >= GROUPS[group][0], "files to check", str(files))
    bad = lab.dumps / "bad.c"
    bad.write_text(BAD_C)
    found = _checkpatch(lab, tree, group, [bad])
    expect("space prohibited after that open parenthesis" in found, "the bad file to be found",
           found)
    found = _checkpatch(lab, tree, group, files)
    expect(not found, "no complaint of checkpatch --strict", found)


# gcc warns of bad_unused only with W=1; sparse warns of bad_global.
WARNINGS = {"gcc": "bad_unused", "sparse": "bad_global"}
BAD_KERNEL_C = """\
// SPDX-License-Identifier: GPL-2.0-only
#include <linux/kernel.h>

int bad_global;

static const int bad_unused = 1;
"""


def _copied(kernel, scratch, folders):
    """Copy the sources in @folders that this kernel builds to @scratch, as an external module, so
    that building them leaves the kernel's own objects alone. Returns the objects to build."""
    objects = []
    for folder in folders:
        target = scratch / folder
        shutil.copytree(kernel.tree.linux / folder, target,
                        ignore=lambda _, names: [n for n in names if not n.endswith((".c", ".h"))])
        sources = [path for path in sorted(target.glob("*.c"))
                   if (kernel.build_dir / folder / f"{path.stem}.o").exists()]
        missing = {path.name for path in (REPO / folder).glob("*.c")} - \
            {path.name for path in sources}
        expect(sources and not missing, f"objects of all that is ours in {folder}", str(missing))
        # Use obj-y: a module made of all these files would have many init functions.
        names = " ".join(f"{path.stem}.o" for path in sources)
        (target / "Makefile").write_text(f"obj-y += {names}\n"
                                         f"ccflags-y += -I$(srctree)/{folder}\n")
        objects += [f"{folder}/{path.stem}.o" for path in sources]
    (scratch / "Makefile").write_text("".join(f"obj-y += {folder}/\n" for folder in folders))
    return objects


def _add(scratch, name, text):
    """Add the source @name to the Makefile of its folder. Returns its object."""
    path = scratch / name
    path.write_text(text)
    with path.with_name("Makefile").open("a") as out:
        out.write(f"obj-y += {path.stem}.o\n")
    return str(path.relative_to(scratch).with_suffix(".o"))


def _newest(folder):
    """When any file that make builds in @folder was last changed."""
    return max(os.lstat(os.path.join(where, name)).st_mtime_ns
               for where, folders, names in os.walk(folder)
               if not (where == str(folder) and folders.remove("out-of-tree"))
               for name in names if not name.startswith("kmemdump-"))


def compile_all(lab, *folders, checkers=tuple(WARNINGS)):
    """gcc W=1 and sparse warn of the bad lines, and of no file of ours in @folders."""
    host.install(["sparse"])
    sparse = ["C=1", "CHECK=sparse"] if "sparse" in checkers else []
    kernel = lab.kernel
    # Use the same path each time, for ccache.
    scratch = kernel.build_dir / "out-of-tree/w1"
    with host.lock(f"kernel-{kernel.name}"):
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
        before = _newest(kernel.build_dir)
        objects = _copied(kernel, scratch, folders)
        objects.append(_add(scratch, f"{folders[0]}/bad.c", BAD_KERNEL_C))
        proc, found = kernel.compile("W=1", *sparse, "KCFLAGS=-g0", f"M={scratch}", *objects)
        expect(_newest(kernel.build_dir) == before, "no file of the kernel's build to change")
    output = proc.stdout + proc.stderr
    expect(proc.returncode == 0, "the build to work", output[-3000:])
    for name in objects:
        expect(not sparse or re.search(rf"^  CHECK +\S*/{re.escape(name[:-2])}\.c$", output, re.M),
               f"sparse to run on {name[:-2]}.c", output[-2000:])
    found = found.splitlines()
    for checker in checkers:
        what = WARNINGS[checker]
        expect([line for line in found if "/bad.c:" in line and what in line],
               f"{checker} to warn of {what}", output[-2000:])
    found = "\n".join(line for line in found if "/bad.c:" not in line)
    expect(not found, "no warning of gcc W=1 and sparse on our files", found)


X86_64 = ("mm/kmemdump", "fs/pstore", "drivers/soc/qcom/minidump", "samples/kmemdump")


def test_w1_and_sparse(lab):
    compile_all(lab, *X86_64)


def test_w1_and_sparse_on_ppc64le(ppc64le):
    """This leaves out fs/pstore, as sparse warns of the pristine platform.c there."""
    compile_all(ppc64le, "mm/kmemdump", "samples/kmemdump", "arch/powerpc/fadump")


HEADER = "include/linux/kern_levels.h:5:25: warning: format x"
OTHERS = ("mm/slub.c:1:2: warning: x", "mm/kmemdump/core.c: In function 'x':", HEADER,
          f"In file included from mm/kmemdump/core.c:5:\n{HEADER}",
          f"{HEADER}\nmm/slub.c:7:9: note: in expansion of macro 'pr_info'",
          "mm/kmemdump/core.c:7:9: note: in expansion of macro 'pr_info'")
LINES = ("mm/kmemdump/core.c:1:2: warning: x", "a/mm/kmemdump/x.h:1: error: x",
         "include/linux/kmemdump_backend.h:1:1: warning: x", "fs/pstore/ram.c:10:1: warning: x",
         f"{HEADER}\nmm/kmemdump/core.c:7:9: note: in expansion of macro 'pr_info'",
         f"    inlined from 'x' at mm/kmemdump/core.c:7:9:\n{HEADER}")


@pytest.mark.parametrize("text", [*LINES, *OTHERS],
                         ids=[*(f"ours-{i}" for i in range(len(LINES))),
                              *(f"others-{i}" for i in range(len(OTHERS)))])
def test_what_is_ours(text):
    """Complaints count if they are about our lines, even if a macro of a header causes them."""
    expect(ours(text) == (text if text in LINES else ""),
           f"{'a' if text in LINES else 'no'} complaint about a line of ours", text)


BAD_DOC = """\
// SPDX-License-Identifier: GPL-2.0-only
/**
 * bad() - say nothing of b
 * @a: something
 */
int bad(int a, int b);
"""


def _kernel_doc(tree, paths):
    proc = subprocess.run([str(tree.linux / "scripts/kernel-doc"), "-none", "-Wall",
                           *map(str, paths)], cwd=REPO, capture_output=True, text=True)
    return proc.stderr.strip() or (f"exit code {proc.returncode}" if proc.returncode else "")


def test_kernel_doc(lab):
    """kernel-doc complains of nothing, and every exported function has a comment for it."""
    tree = lab.tree
    bad = lab.dumps / "bad.c"
    bad.write_text(BAD_DOC)
    found = _kernel_doc(tree, [bad])
    expect("'b' not described in 'bad'" in found, "the bad comment to be found", found)
    files = [f for f in _files((".c", ".h"))
             if f.startswith(("arch/", "drivers/", "include/", "mm/", "fs/")) and "_test" not in f]
    found = _kernel_doc(tree, files)
    expect(not found, "no complaint of kernel-doc", found)
    exported = [(symbol, text) for text in map(lambda name: (REPO / name).read_text(), files)
                for symbol in re.findall(r"EXPORT_SYMBOL(?:_GPL)?\((\w+)\)", text)]
    expect(len(exported) >= 5, "exported functions", str(len(exported)))
    for symbol, text in exported:
        expect(f"* {symbol}() - " in text, f"kernel-doc of {symbol}()")


NAMED = re.compile(r"(?<![/\w])((?:Documentation|arch|drivers|include|mm|fs|samples|tools|patches)/"
                   r"[\w.,/-]*\w)")


def _missing(tree, text):
    """Paths in @text that are neither in the repository nor in the kernel tree."""
    return [path for path in NAMED.findall(text)
            if not (REPO / path).exists() and not (tree.linux / path).exists()]


def test_documentation_refers_to_what_exists(tree):
    """Each path that the documentation names exists."""
    bad = "mm/kmemdump/no_such_file.c"
    found = _missing(tree, f"See {bad}, Documentation/admin-guide/ramoops.rst and mm/kmemdump/.")
    expect(found == [bad], "the one bad path to be found", str(found))
    pages = {name: (REPO / name).read_text() for name in _files((".rst", ".1", "README.md"))}
    named = sum(len(NAMED.findall(text)) for text in pages.values())
    expect(len(pages) >= 5 and named >= 20, "pages that name paths", f"{len(pages)}, {named}")
    for name, text in pages.items():
        found = _missing(tree, text)
        expect(not found, f"what {name} names to exist", str(found))


def _mandoc(page):
    out = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", str(page)],
                         capture_output=True, text=True)
    return out.stdout + out.stderr or (f"exit code {out.returncode}" if out.returncode else "")


def test_man_page(lab):
    """mandoc complains of nothing, and every verb of the usage text is in the page."""
    host.install(["mandoc"])
    page = REPO / "tools/kmemdump/kmemdump.1"
    bad = lab.dumps / "bad.1"
    bad.write_text(page.read_text() + ".El\n.Xx unknown\n")
    found = _mandoc(bad)
    expect("skipping end of block that is not open: El" in found
           and "skipping unknown macro: .Xx" in found, "the bad lines to be found", found)
    found = _mandoc(page)
    expect(not found, "no complaint of mandoc", found)
    usage = (REPO / "tools/kmemdump/main.c").read_text()
    verbs = set(re.findall(r"kmemdump (\w+) [^\"]*(?:DUMP|DIR|CORE)", usage))
    expect(len(verbs) >= 4, "verbs in the usage text", usage)
    for verb in verbs:
        expect(f".It Cm {verb}\n" in page.read_text(), f"the verb {verb} in the man page")


def test_install(lab):
    """make install puts the program, its page and the service where they belong."""
    target = lab.dumps / "install"
    proc = subprocess.run(["make", "-s", "-C", str(REPO / "tools/kmemdump"), "install",
                           f"OUTPUT={lab.reader_path.parent}/", f"DESTDIR={target}"],
                          capture_output=True, text=True)
    expect(proc.returncode == 0, "make install to work", proc.stdout + proc.stderr)
    for path in ("usr/bin/kmemdump", "usr/share/man/man1/kmemdump.1",
                 "usr/lib/systemd/system/kmemdump-collect.service"):
        expect((target / path).exists(), f"{path} to be installed")


def test_mutants(lab, monkeypatch):
    """Each fault of mutants.toml can still be put into the code, and its cases are there."""
    listed = mutants.load()
    expect(len(listed) >= 40, "40 faults at least", str(len(listed)))
    cases = {name for mutant in listed for name in mutant["cases"].split()}
    lost = [name for name in cases if not (HERE / f"cases/{name}.py").exists()]
    expect(cases and not lost, "cases that are there", str(lost))
    stale = lab.dumps / "stale.toml"
    stale.write_text(mutants.LIST.read_text().replace(listed[0]["old"], "no such line;"))
    monkeypatch.setattr(mutants, "LIST", stale)
    with pytest.raises(Failed, match=f"{listed[0]['name']}: its text is 0 times"):
        mutants.load()
