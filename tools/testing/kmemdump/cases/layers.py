# SPDX-License-Identifier: GPL-2.0
"""The layers of mm/kmemdump: calls go down the layers only, and never in a circle. The symbols in
the objects show which object uses another one."""

import graphlib
import re
import subprocess

from harness.host import REPO
from harness.lab import Failed, expect

# From the bottom up. An object may use objects of its own layer and of the layers below it.
LAYERS = (
    ("translate",),
    ("entry", "carry", "backend", "core", "update", "lifetime"),
    ("registers", "elfcore", "image", "found", "assisted"),
    ("serialize", "panic"),
    ("log", "log_newest", "list", "coreset", "module", "crashset", "annotation", "symbols", "debugfs"),
)
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
# Objects that a kernel can leave out. No other object calls them, unless kmemdump.h has a stub.
OPTIONAL = {"carry", "update", "lifetime", "found", "assisted", *LAYERS[-1]} - {"log"}
STUBS = {("backend", "carry"), ("panic", "assisted")}
# The suites of the objects that are left, and their helpers.
BASE_TESTS = ("translate_test", "entry_test", "core_test", "backend_test", "elfcore_test",
              "serialize_test", "test_backend", "test_image")
# A reader should get through a file in one go.
MAX_LINES = 600
ARCHITECTURES = re.compile(r"CONFIG_(ALPHA|ARC|ARM|ARM64|LOONGARCH|MIPS|PPC|PPC64|RISCV|S390|SPARC|"
                           r"X86)(_\w+)?\b")


def _symbols(path, option):
    out = subprocess.run(["nm", "-j", option, str(path)], capture_output=True, text=True,
                         check=True).stdout
    return set(out.split())


def _uses(objects):
    """Each object, by its name -> the objects that it uses, and by which symbol."""
    owners = {symbol: path.stem for path in objects
              for symbol in _symbols(path, "--extern-only") & _symbols(path, "--defined-only")}
    return {path.stem: {owners[symbol]: symbol
                        for symbol in sorted(_symbols(path, "--undefined-only")) if symbol in owners}
            for path in objects}


def _check(uses):
    """Fail if objects use each other in a circle, or use one in a layer above them."""
    unknown = set(uses) ^ set(LEVEL)
    expect(not unknown, "the objects of the table, and no others", str(sorted(unknown)))
    try:
        list(graphlib.TopologicalSorter(uses).static_order())
    except graphlib.CycleError as err:
        raise Failed(f"objects that use each other in a circle: {' <- '.join(err.args[1])}") from err
    upwards = [f"{user}.c uses {symbol} of {used}.c" for user, others in uses.items()
               for used, symbol in others.items() if LEVEL[used] > LEVEL[user]]
    expect(not upwards, "calls down the layers only", "\n".join(upwards))


def test_calls_go_down(lab):
    """A kernel with all options keeps to the layers."""
    objects = [path for path in (lab.kernel.build_dir / "mm/kmemdump").glob("*.o")
               if not re.search(r"_test\.o$|^test_|^built-in|\.mod\.o$", path.name)
               and (REPO / "mm/kmemdump" / f"{path.stem}.c").exists()]
    uses = _uses(objects)
    # Look for calls that are sure to be there, to notice an empty graph.
    expect("translate" in uses["entry"] and "image" in uses["panic"], "known calls", str(uses))
    _check(uses)


def _optional(uses):
    """Which objects of the base use one that is optional, and by which symbol."""
    return {(user, used): symbol for user, others in uses.items() if user not in OPTIONAL
            for used, symbol in others.items() if used in OPTIONAL and (user, used) not in STUBS}


def test_base_stands_alone(lab):
    """The base and its tests link without the optional objects."""
    folder = lab.kernel.build_dir / "mm/kmemdump"
    uses = _uses([folder / f"{name}.o" for name in (*LEVEL, *BASE_TESTS)])
    expect("core" in uses["core_test"] and "panic" in uses["serialize_test"] and
           "backend" in uses["test_backend"], "known calls", str(uses))
    found = _optional(uses)
    expect(not found, "nothing optional to be used by the base", str(found))
    uses["core_test"]["update"] = "kmemdump_update"
    expect(set(_optional(uses)) == {("core_test", "update")}, "a call to be found", str(uses))


def test_a_circle_is_found():
    """A circle is found, and so are a call upwards, an object in no layer, and a missing one."""
    good = {name: {} for name in LEVEL}
    _check(good | {"core": {"entry": "a", "translate": "b"}, "panic": {"core": "c"}})
    for bad, words in (({"core": {"backend": "a"}, "backend": {"entry": "b"}, "entry": {"core": "c"}},
                        "circle"),
                       ({"core": {"image": "a"}}, "core.c uses a of image.c"),
                       ({"new": {}}, "'new'")):
        try:
            _check(good | bad)
        except Failed as err:
            expect(words in str(err), words, str(err))
        else:
            raise Failed(f"{bad} was not found")
    try:
        _check({name: {} for name in LEVEL if name != "core"})
    except Failed as err:
        expect("'core'" in str(err), "the one that is gone", str(err))
    else:
        raise Failed("an object that is gone was not found")


def _sources():
    return sorted((REPO / "mm/kmemdump").glob("*.[ch]"))


def test_no_architecture():
    """Code for a single architecture is in its <asm/kmemdump.h>, not in mm/kmemdump."""
    found = [f"{path.name}:{number}: {line}" for path in _sources()
             for number, line in enumerate(path.read_text().splitlines(), 1)
             if ARCHITECTURES.search(line)]
    expect(not found, "no option of an architecture in mm/kmemdump", "\n".join(found))
    expect(ARCHITECTURES.search("#ifdef CONFIG_X86_64") and ARCHITECTURES.search("CONFIG_PPC)"),
           "one to be found")
    expect(not ARCHITECTURES.search("CONFIG_KMEMDUMP_ARCH"), "none of ours to be found")


def test_small_files():
    """No file is too long. Suites may be longer than other files."""
    long = {path.name: lines for path in _sources() if not path.stem.endswith("_test")
            and (lines := path.read_text().count("\n")) > MAX_LINES}
    expect(not long and len(_sources()) > 20, f"at most {MAX_LINES} lines in a file", str(long))
