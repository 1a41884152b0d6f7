# SPDX-License-Identifier: GPL-2.0
"""make series: git am applies its patches, and the result is the tree that make tree makes. Also
how files grow from one patch to the next. make check-long builds the kernel after each patch."""

import os
import re
import shutil
import subprocess

import pytest

from harness import grow, host, series
from harness import lab as labs
from harness.host import REPO
from harness.lab import Failed, expect

SENDER = "Some One <some.one@example.org>"


def _make(*args):
    proc = subprocess.run(["make", "-C", str(REPO), "series", *args], capture_output=True, text=True,
                          timeout=600, env={name: value for name, value in os.environ.items()
                                            if name != "KMEMDUMP_RUN"})
    return proc.stdout + proc.stderr, proc.returncode


def _linux(tree, folder):
    """Make a git repository in @folder with the files of Linux that patches touch."""
    shutil.rmtree(folder, ignore_errors=True)
    for name in tree.touched():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(tree.pristine / name, folder / name)
    folder.mkdir(exist_ok=True)
    for args in (("init", "-q"), ("add", "-A"), ("commit", "-q", "-m", "Linux")):
        _git(folder, *args)
    return folder


def _git(folder, *args):
    return subprocess.run(["git", "-c", "user.name=x", "-c", "user.email=x@example.org", "-C",
                           str(folder), *args], capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("base", host.BASES)
def test_series(lab, base):
    """git am applies the patches, and the result is what make tree makes."""
    tree = labs.tree(base)
    out = lab.dumps / f"patches-{base}"
    text, status = _make(f"BASE={base}", f"OUT={out}", f"FROM={SENDER}")
    expect(status == 0 and "first part, of use by itself" in text, "the series, and its sizes", text)
    patches = sorted(out.iterdir())
    expect(patches[0].name == "0000-cover-letter.patch" and len(patches) > 20, "a letter and patches",
           str(patches))
    everything = "".join(path.read_text() for path in patches)
    expect("noreply" not in everything and everything.count(f"Signed-off-by: {SENDER}\n") ==
           len(patches) - 1, "the sender in all patches, and no placeholder")
    expect(f"\n+M:\t{SENDER}\n" in everything, "the sender in MAINTAINERS")
    expect(not re.search(r"\*\*\*|@[A-Z]+@", patches[0].read_text()), "a letter with all filled in")

    linux = _linux(tree, lab.dumps / f"linux-{base}")
    _git(linux, "am", "-q", *map(str, patches[1:]))
    wanted = tree.apply_patches() | tree._overlay_files()
    have = _git(linux, "ls-files").splitlines()
    expect(set(have) == set(wanted), "the files of make tree", str(set(have) ^ set(wanted)))
    placeholder = series.load()["from"].encode()
    for name, path in wanted.items():
        expect((linux / name).read_bytes() == path.read_bytes().replace(placeholder, SENDER.encode()),
               f"{name} as make tree has it")
        expect(os.access(linux / name, os.X_OK) == os.access(path, os.X_OK), f"the mode of {name}")


def test_usage(lab):
    """A malformed sender, or a folder that has other files in it, is an error."""
    for args, words in (([f"OUT={lab.dumps}/a", "FROM=me"], "Name <mail>"),
                        ([f"OUT={REPO}"], "has other files")):
        text, status = _make(*args)
        expect(status == 2 and words in text and "Traceback" not in text, f"an error about {words}", text)


BAD_PATCH = """\
From: Somebody <somebody@example.com>
Subject: [PATCH] mm: make it bad

It is bad.

Signed-off-by: Somebody <somebody@example.com>
---
diff --git a/mm/util.c b/mm/util.c
--- a/mm/util.c
+++ b/mm/util.c
@@ -1,1 +1,2 @@
 /* as before */
+int bad( int a );
"""


@pytest.mark.parametrize("base", host.BASES)
def test_checkpatch(lab, base):
    """A complaint of checkpatch --strict is reported. Each series is checked when it is made."""
    labs.tree(base)
    bad = lab.dumps / "0001-bad.patch"
    bad.write_text(BAD_PATCH)
    found = series.Series(base).checkpatch([bad])
    expect("space prohibited after that open parenthesis" in found, "the bad line to be found", found)


# Mistakes that somebody may make in series.toml: how to make each of them, and the error.
WRONG = {
    "file_in_no_patch": (lambda spec: spec["patch"].pop(), "no patch has .*tools/kmemdump/"),
    "file_in_two": (lambda spec: spec["patch"][-1]["files"].append("mm/kmemdump/entry.c"),
                    "entry.c is in .* again"),
    "no_such_file": (lambda spec: spec["patch"][-1]["files"].append("mm/no.c"), "no file mm/no.c"),
    "hunk_in_no_patch": (lambda spec: spec["patch"].pop(0), "0001-pstore"),
    "hunks_in_another_order": (lambda spec: spec["patch"].insert(0, spec["patch"].pop(1)), "order"),
    "option_in_no_patch": (lambda spec: spec["patch"][3]["options"].pop(), "Kconfig is not what"),
    "no_such_section": (lambda spec: spec["grows"]["sections"].update(
        {"Documentation/mm/kmemdump.rst": {"No": "mm/kmemdump/entry.c"}}), "no section No"),
    "section_of_no_file": (lambda spec: spec["grows"]["sections"].update(
        {"Documentation/mm/kmemdump.rst": {"Layers": "mm/no.c"}}), "waits for .*mm/no.c"),
}


@pytest.mark.parametrize("what", WRONG)
def test_wrong_list(monkeypatch, what):
    """A list of patches with one of these mistakes is refused."""
    spec = series.load()
    change, words = WRONG[what]
    change(spec)
    monkeypatch.setattr(series, "load", lambda: spec)
    try:
        series.Series()
    except Failed as err:
        expect(re.search(words, str(err), re.S), words, str(err))
    else:
        raise Failed(f"{what} was not found")


def _missing(contents):
    """The functions of kmemdump that these sources call or declare and none of them defines."""
    texts = {name: re.sub(r"/\*.*?\*/|\"(\\.|[^\"\\])*\"", "", text, flags=re.S)
             for name, text in contents.items()}
    have = grow.defined(text for name, text in texts.items() if name.endswith(".c"))
    for name, text in texts.items():
        if name.endswith(".h"):
            have |= set(re.findall(r"\b(\w+)\([^;{}]*\)\s*\{", text) +
                        re.findall(r"^#define (\w+)\(", text, re.M))
    return {(name, called) for name, text in texts.items()
            for called in re.findall(r"\b_*(?:devm_)?kmemdump_\w+(?=\()", text)
            if called not in have and not called.startswith("trace_")
            and not re.search(rf"\b{called}\([^;{{}}]*\)\n\{{|\(\*{called}\)", text)}


def test_sources_hold_together():
    """After each patch, the sources define all functions that they declare or call. CHECK=1 also
    builds them."""
    it = series.Series()
    for nr in range(4, len(it.entries) + 1):
        contents = {name: data.decode() for name, data in it.step(nr).contents().items()
                    if name.endswith((".c", ".h")) and not name.startswith("tools/")}
        missing = _missing(contents)
        expect(not missing, f"all functions after patch {nr}", str(sorted(missing)))
    contents["mm/kmemdump/x.c"] = "kmemdump_no_such(1);"
    expect(_missing(contents) == {("mm/kmemdump/x.c", "kmemdump_no_such")}, "a call to be found",
           str(_missing(contents)))


MAKEFILE = "# x\nobj-y += a.o b.o\nobj-$(CONFIG_X) += c.o \\\n\t\t d.o\nobj-m += e.o\n"
KCONFIG = """\
# A comment
config A
\tbool "a"
\tselect B
\tselect OTHER

# Of B.
config B
\tbool

choice
\tprompt "c"

config C
\tbool "c"

endchoice

source "d/Kconfig"
"""
HEADER = """\
/* x */
#ifndef _X
#define _X

#include <linux/types.h>

/* a.c: one */
struct a { int x; };

int here(int x,
\t int y);
/* What is later. */
int later(void);

/**
 * alias() - of later()
 */
#define alias(x)	later(x)

/* b.c: two */
struct b {
\tint x;
};

#ifdef CONFIG_B
int of_b(struct b *b);
#else
static inline int of_b(struct b *b)
{
\treturn 0;
}
#endif

#endif /* _X */
"""


def test_makefile_grows():
    there = {"m/a.c", "m/d.c", "e.c"}
    text = grow.makefile(MAKEFILE, "m/Makefile", there)
    expect(text == "# x\nobj-y += a.o\nobj-$(CONFIG_X) += d.o\n", "what is there", text)
    everything = {f"m/{name}.c" for name in "abcde"}
    expect(grow.makefile(MAKEFILE, "m/Makefile", everything) == MAKEFILE, "all as it is")


def test_kconfig_grows():
    text = grow.kconfig(KCONFIG, set(), {"A"})
    expect(text == '# A comment\nconfig A\n\tbool "a"\n\tselect OTHER\n', "only A", text)
    text = grow.kconfig(KCONFIG, {"d/Kconfig"}, {"C"})
    expect(text.startswith("choice\n") and text.endswith('source "d/Kconfig"\n')
           and "config B" not in text and "Of B" not in text, "the choice and what is sourced", text)
    expect(grow.kconfig(KCONFIG, {"d/Kconfig"}, {"A", "B", "C"}) == KCONFIG, "all as it is")


def test_header_grows():
    later = {"later", "of_b"}
    for there in (None, {"a.c", "b.c"}):
        expect(grow.header(HEADER, set(), there) == HEADER, "all as it is")
    text = grow.header(HEADER, later, {"a.c"}, {"of_b"})
    for word, is_there in (("int here(int x,\n\t int y);", True), ("later", False), ("alias", False),
                           ("struct b {", False), ("CONFIG_B", False), ("return 0;", True),
                           ("#endif /* _X */", True)):
        expect((word in text) == is_there, f"{word!r} {'in' if is_there else 'not in'} it", text)
    expect("of_b" not in grow.header(HEADER, later, {"a.c"}), "no stub that nothing needs", text)
    text = grow.header(HEADER, later)
    expect("of_b" not in text and "struct b {" in text, "a public header without stubs", text)


def test_document_grows():
    text = grow.sections("====\nTop\n====\n\nIntro.\n\nOne\n====\n\n1\n\nTwo\n====\n\n2\n", {"One"})
    expect(text == "====\nTop\n====\n\nIntro.\n\nTwo\n====\n\n2\n", "without the first section", text)
