# SPDX-License-Identifier: GPL-2.0
"""Debuggers know all modules in a dump. It is of a crash in one of many modules, which have
everything that modules can have."""

import json
import re
import shutil
import subprocess

import pytest
from elftools.elf.elffile import ELFFile

from harness import host
from harness.crash import COMPLAINT, answers
from harness.elfcore import ElfCore
from harness.lab import expect

BOARDS = ("x86_64-ramoops", "arm64-ramoops", "ppc64le-ramoops")
NR = 60
CRASHED = "kmemdump_many_37"
# What comes before a build id of 20 bytes.
BUILD_ID = b"\4\0\0\0\x14\0\0\0\3\0\0\0GNU\0"


def _make_modules(there, folder):
    """NR modules, made from one: each has names and a build id of its own."""
    data = (there.test_modules / "kmemdump_many_00.ko").read_bytes()
    expect(data.count(BUILD_ID) == 1, "one build id")
    at = data.index(BUILD_ID) + len(BUILD_ID)
    folder.mkdir()
    for i in range(NR):
        copy = bytearray(data.replace(b"many_00", b"many_%02d" % i))
        copy[at] = i
        (folder / f"kmemdump_many_{i:02}.ko").write_bytes(copy)


def _make_dump(there, folder):
    _make_modules(there, folder / "modules")
    stripped = folder / "stripped"
    shutil.copytree(folder / "modules", stripped)
    modules = sorted(stripped.iterdir())
    subprocess.run([f"{there.board.cross}strip", "-g", *modules], check=True)
    with there.guest(append="kmemdump.coreset=standard",
                     files={f"/lib/{path.name}": path for path in modules}) as guest:
        guest.run("for i in /lib/kmemdump_many_*; do insmod $i || break; done", timeout=300)
        expect(guest.run("grep -c kmemdump_many /proc/modules") == f"{NR}\n", "all of them loaded")
        record, console = there.crash(guest, "modules",
                                      f"echo 1 > /sys/module/{CRASHED}/parameters/crash")
    expect("kmemdump test: one of many modules" in console, "the crash to be the one asked for", console)
    shutil.copy(record, folder / "record")


def _dump(lab, board):
    """(The lab of the board, the dump, the folder of the modules). All tests share the crash."""
    there = lab.other(board)
    folder = host.run_folder() / f"modules-{board}"

    def make():
        folder.mkdir()
        _make_dump(there, folder)

    host.once(folder.name, make)
    return there, there.elf(folder / "record"), folder / "modules"


def _symbols(path):
    """The symbols of a module that stay in memory: name -> the section that it is in."""
    with path.open("rb") as file:
        elf = ELFFile(file)
        names = [section.name for section in elf.iter_sections()]
        return {symbol.name: names[symbol["st_shndx"]]
                for symbol in elf.get_section_by_name(".symtab").iter_symbols()
                if isinstance(symbol["st_shndx"], int) and symbol.name.startswith("many_")
                and not names[symbol["st_shndx"]].startswith((".init", ".exit"))}


@pytest.mark.parametrize("board", BOARDS)
def test_crash(lab, board):
    """crash starts without a complaint, lists all modules, finds what they export, and shows the
    backtrace through the module that crashed, also with the debugging information of that
    module."""
    there, core, modules = _dump(lab, board)
    module = modules / f"{CRASHED}.ko"
    sym = [f"sym many_{i:02}_{kind}" for i in (0, 37, NR - 1)
           for kind in ("plain", "gpl", "outer", "data")]
    out = answers(there, core, ["mod", "bt", "ps", "foreach bt", *sym, f"mod -s {CRASHED} {{0}}", "sym many_37_inner",
                                "sym many_37_percpu", "whatis many_37_data"], files=[module])
    for command, text in out.items():
        expect(not COMPLAINT.search(text), f"no complaint about {command!r}", text)
    found = re.findall(r"^ *[0-9a-f]{16} +(kmemdump_many_\d\d) ", out["mod"], re.M)
    expect(sorted(found) == [path.stem for path in sorted(modules.iterdir())], "all modules",
           out["mod"])
    for name in ("many_37_inner", "many_37_outer", "param_attr_store", "ksys_write"):
        expect(re.search(rf"#\d+ \[\w+\] {name} at ", out["bt"]), f"{name} in the backtrace",
               out["bt"])
    tasks = out["ps"].count("\n") - 1
    blocks = out["foreach bt"].split("PID: ")[1:]
    expect(len(blocks) == tasks > 20 and all(block.count(" #") > 1 for block in blocks),
           "a backtrace of each task", out["foreach bt"][-3000:])
    for command in sym:
        name = command.split()[1]
        expect(re.search(rf"^[0-9a-f]+ \(\S\) {name} \[kmemdump_many_{name[5:7]}\]", out[command],
                         re.M), f"{name} in its module", out[command])
    expect("many_37_percpu" in out["sym many_37_percpu"] and
           "not found" not in out["sym many_37_percpu"], "a per-CPU variable",
           out["sym many_37_percpu"])
    expect("char many_37_data[81920]" in out["whatis many_37_data"], "a type of the module",
           out["whatis many_37_data"])
    expect(f"{CRASHED}.c" in out["sym many_37_inner"], "the place in its source",
           out["sym many_37_inner"])


DRGN = """
import json, logging
logging.getLogger("drgn").addHandler(logging.StreamHandler())
logging.getLogger("drgn").setLevel(logging.WARNING)
modules = {module.name: module for module, new in prog.loaded_modules()}
def facts(module):
    return {"build_id": module.build_id and module.build_id.hex(),
            "sections": {name: int(at) for name, at in module.section_addresses.items()}}
print(json.dumps({
    "modules": {name: facts(module) for name, module in modules.items() if "many" in name},
    "frames": [frame.name for frame in prog.crashed_thread().stack_trace()],
    "symbol": prog.symbol("many_37_gpl").address,
    "size": prog["many_37_data"].type_.length,
}))
"""


@pytest.mark.parametrize("board", BOARDS)
def test_drgn(lab, board):
    """drgn knows where each section of each module is, and which build the module is of. The stack
    of the crash goes through the functions of the module."""
    there, core, modules = _dump(lab, board)
    module = modules / f"{CRASHED}.ko"
    text = host.drgn(there.kernel.vmlinux, core, DRGN, files=[module])
    lines = [line for line in text.splitlines() if line.startswith("{")]
    expect(lines and "ignoring" not in text, "an answer of drgn", text[-3000:])
    out = json.loads(lines[0])
    expect(len(out["modules"]) == NR, "all modules", str(sorted(out["modules"])))
    for path in modules.iterdir():
        data = path.read_bytes()
        at = data.index(BUILD_ID) + len(BUILD_ID)
        found = out["modules"][path.stem]
        expect(found["build_id"] == data[at:at + 20].hex(), f"the build id of {path.stem}",
               str(found))
        # drgn takes the place of per-CPU variables from struct module.
        missing = set(_symbols(path).values()) - set(found["sections"])
        expect(not missing, f"the sections of {path.stem}", f"{missing} {found}")
    expect({"many_37_inner", "many_37_outer", "param_attr_store"} <= set(out["frames"]),
           "the functions of the module", str(out["frames"]))
    expect(out["symbol"] and out["size"] == 81920, "what the module has", text[-1000:])


# Tell gdb where the sections of a module are, as lx-symbols of the kernel does.
GDB = """
import gdb
char = gdb.lookup_type("char").pointer()
pointer = gdb.lookup_type("struct module").pointer()
offset = int(gdb.parse_and_eval("(unsigned long)&((struct module *)0)->list"))
head = gdb.parse_and_eval("&modules")
entry = head["next"]
while entry != head:
    found = (entry.cast(char) - offset).cast(pointer)
    attrs = found["sect_attrs"]
    places = {}
    for i in range(int(attrs["nsections"])):
        attr = attrs["attrs"][i]
        places[attr["battr"]["attr"]["name"].string()] = int(attr["address"])
    name = found["name"].string()
    print("MODULE", name, *places)
    if name == CRASHED:
        gdb.execute(f"add-symbol-file {FILE} " + " ".join(
            f"-s {section} {address:#x}" for section, address in places.items()), to_string=True)
    entry = entry["next"]
"""


@pytest.mark.parametrize("board", BOARDS)
def test_gdb(lab, board):
    """A script finds all modules, and the sections of each. With the sections of the module that
    crashed, gdb shows the backtrace through its functions."""
    there, core, modules = _dump(lab, board)
    module, script = modules / f"{CRASHED}.ko", lab.dumps / "modules.py"
    script.write_text(GDB)
    cpus = json.loads(there.reader("check", "--json", core))["cpus"]
    [crashed] = [i for i, cpu in enumerate(cpus) if cpu["state"] == "crashed"]
    offset = int(ElfCore(core.read_bytes()).vmcoreinfo["KERNELOFFSET"], 16)
    out = host.gdb(there.kernel.vmlinux, core, offset,
                   ["python CRASHED, FILE = '%s', '{0}'" % CRASHED, "source {1}",
                    f"thread {crashed + 1}", "bt",
                    "ptype many_37_data", "info line many_37_outer"], files=[module, script])
    found = {line.split()[1]: set(line.split()[2:]) for line in out.splitlines()
             if line.startswith("MODULE kmemdump_many_")}
    expect(set(found) == {path.stem for path in modules.iterdir()}, "all modules", out[-3000:])
    for path in modules.iterdir():
        missing = set(_symbols(path).values()) - found[path.stem] - {".data..percpu"}
        expect(not missing, f"the sections of {path.stem}", str(missing))
    for name in ("many_37_inner", "many_37_outer", "param_attr_store"):
        expect(re.search(rf"^#\d+ .*\b{name} \(", out, re.M), f"{name} in the backtrace", out[-5000:])
    expect("type = char [81920]" in out and f"{CRASHED}.c" in out, "what the module has",
           out[-1000:])
