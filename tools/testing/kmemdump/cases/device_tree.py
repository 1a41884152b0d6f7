# SPDX-License-Identifier: GPL-2.0
"""arm64, with the area described in the device tree; and bindings."""

import re
import subprocess

from harness.host import REPO

from harness import story
from harness.lab import RECORD, expect

def test_story_on_arm64(lab):
    arm64 = lab.other("arm64-ramoops")
    with arm64.guest(area=None) as guest:
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


RAM = 0x40000000


def test_reserved_memory_on_arm64(lab):
    """Memory that is not in the linear map, and reserved memory that is."""
    arm64 = lab.other("arm64-ramoops")
    for name, phys in (("no-map", 0x52000100), ("reserved", 0x53000f80)):
        text = f"{name} memory, written by the host"
        with arm64.guest(area=None) as guest:
            with guest.ram() as ram:
                ram[phys - RAM:phys - RAM + len(text)] = text.encode()
            guest.run(f"insmod kmemdump_provider.ko phys={phys} phys_size=8192")
            guest.crash()
            dump = lab.fetch_record(guest, f"arm64-{name}")
        expect("complete record" in lab.reader("check", dump), "a whole record")
        shown = lab.reader("show", "-r", dump, "physical")
        expect(shown.startswith(text), f"what the host has written to {name} memory", shown[:200])
        for cpu in range(arm64.kernel.board.cpus):
            shown = lab.reader("show", dump, f"annotated_percpu@{cpu}")
            expect(shown == f"static of CPU {cpu}\n", "a per-CPU variable of a module", shown)


def _run(*cmd, **kwargs):
    proc = subprocess.run([*map(str, cmd)], capture_output=True, text=True, **kwargs)
    return proc.returncode, proc.stdout + proc.stderr


def test_bindings(lab):
    """Each binding is a good schema, and its example keeps to it."""
    bindings = lab.tree.linux / "Documentation/devicetree/bindings"
    ours = sorted((REPO / "Documentation/devicetree").glob("**/*.yaml"))
    expect(ours, "bindings")
    for path in ours:
        binding = lab.tree.linux / path.relative_to(REPO)
        status, out = _run("dt-doc-validate", "-u", bindings, binding)
        expect(not status and not out, f"no complaint on {path.name}", out)
        schema, example = lab.dumps / "schema.json", lab.dumps / "example"
        status, out = _run("dt-mk-schema", "-j", "-o", schema, binding, *bindings.glob("*.yaml"),
                           *(bindings / "pinctrl").glob("pinctrl*.yaml"))
        expect(not status, "a schema", out)
        source = _run("dt-extract-example", binding)[1]
        # The wrong one shows that the check would find something.
        wrong = re.sub(r"^(\s+)(\S+ = <)", r"\1wrong-\2", source, flags=re.M)
        for text, right in ((source, True), (wrong, False)):
            status, out = _run("dtc", "-q", "-O", "dtb", "-o", example, input=text)
            expect(not status, "dtc to compile it", out)
            out = _run("dt-validate", "-s", schema, example)[1]
            expect(not out == right, f"example of {path.name} to be "
                   f"{'right' if right else 'wrong'}", out)


def test_kunit_on_arm64_each(lab, results):
    from harness.suites import run_suites
    run_suites(lab.other("arm64-ramoops").kernel, results, "arm64 ")
