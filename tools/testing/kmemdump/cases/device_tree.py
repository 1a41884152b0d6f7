# SPDX-License-Identifier: GPL-2.0
"""arm64, with the area described in the device tree; and bindings."""

import re
import subprocess

import pytest

from harness import host, story
from harness.host import REPO
from harness.lab import RECORD, expect

BOARD = "arm64-ramoops"


def test_story_on_arm64(lab):
    """The next boot finds the record in the area that the device tree describes."""
    with lab.guest() as guest:
        backends = guest.run("cat /sys/kernel/debug/kmemdump/backends")
        expect(f"ramoops\twriter\t{0x321000 - 12} bytes" in backends,
               "an area of the size in the device tree", backends)
        guest.run("insmod kmemdump_test.ko")
        guest.crash()
        dump = lab.fetch_record(guest, "arm64")
        expect(RECORD not in guest.run("ls /sys/fs/pstore"), "rm to erase it")
    text = lab.reader("show", dump, "my_critical_data")
    expect(text == story.TEXT + "\n", "the text of the sample", text)
    log = lab.reader("log", dump)
    expect("Kernel panic - not syncing: sysrq triggered crash" in log, "the panic in the log", log)
    expect("complete record" in lab.reader("check", dump), "a whole record")
    machine = subprocess.run(["readelf", "-h", str(lab.elf(dump))], capture_output=True,
                             text=True).stdout
    expect(re.search("Machine: +AArch64", machine), "an ELF core of arm64", machine)


# Memory that is not in the linear map, and reserved memory that is.
RESERVED = {"no-map": 0x52000100, "reserved": 0x53000f80}


@pytest.mark.parametrize("name", RESERVED)
def test_reserved_memory_on_arm64(lab, name):
    """What the host has put into memory that the device tree reserves is in the record."""
    phys, text = RESERVED[name], f"{name} memory, written by the host"
    with lab.guest() as guest:
        with guest.ram() as ram:
            start = phys - guest.board.ram
            ram[start:start + len(text)] = text.encode()
        guest.run(f"insmod kmemdump_provider.ko phys={phys} phys_size=8192")
        dump, _ = lab.crash(guest, name)
    expect("complete record" in lab.reader("check", dump), "a whole record")
    shown = lab.reader("show", "-r", dump, "physical")
    expect(shown.startswith(text), f"what the host has written to {name} memory", shown[:200])
    for cpu in range(lab.board.cpus):
        shown = lab.reader("show", dump, f"kmemdump_provider:annotated_percpu@{cpu}")
        expect(shown == f"static of CPU {cpu}\n", "a per-CPU variable of a module", shown)


def _run(*cmd, **kwargs):
    proc = subprocess.run([*map(str, cmd)], capture_output=True, text=True, **kwargs)
    return proc.returncode, proc.stdout + proc.stderr


def _doc_validate(bindings, path):
    """What dt-doc-validate says about a binding."""
    status, out = _run("dt-doc-validate", "-u", bindings, path)
    return out or (f"exit code {status}" if status else "")


def _schema(lab, binding):
    """Make the schema that examples of @binding have to follow."""
    bindings, schema = binding.parents[1], lab.dumps / "schema.json"
    while bindings.name != "bindings":
        bindings = bindings.parent
    status, out = _run("dt-mk-schema", "-j", "-o", schema, binding, *bindings.glob("*.yaml"),
                       *(bindings / "pinctrl").glob("pinctrl*.yaml"))
    expect(not status and schema.stat().st_size, "a schema", out)
    return schema


def test_bindings(lab):
    """Each binding is a good schema, and its example follows it. Bad bindings and examples are
    found."""
    host.install(["dt-schema", "device-tree-compiler"])
    bindings = lab.tree.linux / "Documentation/devicetree/bindings"
    ours = sorted((REPO / "Documentation/devicetree").glob("**/*.yaml"))
    expect(ours, "bindings")
    for path in ours:
        binding = lab.tree.linux / path.relative_to(REPO)
        bad = lab.dumps / "bad.yaml"
        bad.write_text(re.sub(r"^additionalProperties: .*\n", "", path.read_text(), flags=re.M))
        expect(bad.read_text() != path.read_text(), f"a bad copy of {path.name}")
        out = _doc_validate(bindings, bad)
        expect("additionalProperties" in out, "the bad copy to be found", out)
        out = _doc_validate(bindings, binding)
        expect(not out, f"no complaint on {path.name}", out)
        schema, example = _schema(lab, binding), lab.dumps / "example.dtb"
        status, source = _run("dt-extract-example", binding)
        expect(not status and "{" in source, f"an example in {path.name}", source)
        wrong = re.sub(r"^(\s+)(\S+ = <)", r"\1wrong-\2", source, flags=re.M)
        expect(wrong != source, "a wrong example", source)
        for text, right in ((source, True), (wrong, False)):
            status, out = _run("dtc", "-q", "-O", "dtb", "-o", example, input=text)
            expect(not status, "dtc to compile it", out)
            status, out = _run("dt-validate", "-s", schema, example)
            expect((not out and not status) if right else "wrong-" in out,
                   f"the example of {path.name} to be {'right' if right else 'wrong'}", out)
