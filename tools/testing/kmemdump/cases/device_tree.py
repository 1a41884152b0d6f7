# SPDX-License-Identifier: GPL-2.0
"""arm64, with the area described in the device tree."""

import re
import subprocess

from harness import host, story
from harness.guest import Guest
from harness.kernel import Board, Kernel
from harness.lab import RECORD, expect

NODE = """
/ {
	reserved-memory {
		#address-cells = <2>;
		#size-cells = <2>;
		ranges;

		ramoops@50000000 {
			compatible = "ramoops";
			reg = <0 0x50000000 0 0x400000>;
			record-size = <0x20000>;
			kmemdump-size = <0x321000>;
		};

		firmware@52000000 {
			reg = <0 0x52000000 0 0x100000>;
			no-map;
		};

		shared@53000000 {
			reg = <0 0x53000000 0 0x100000>;
		};
	};
};
"""


def _dtb(board, folder):
    """QEMU's own device tree of the machine, with the ramoops node put in."""
    folder.mkdir(parents=True, exist_ok=True)
    qemu = [*board.qemu, "-m", str(board.memory_mib), "-smp", str(board.cpus), "-object",
            f"memory-backend-ram,id=ram,size={board.memory_mib}M", "-display", "none"]
    machine = qemu.index("-machine") + 1
    qemu[machine] += f",dumpdtb={folder / 'machine.dtb'}"
    subprocess.run(qemu, check=True, capture_output=True)
    source = subprocess.run(["dtc", "-q", "-I", "dtb", "-O", "dts", str(folder / "machine.dtb")],
                            check=True, capture_output=True, text=True).stdout
    (folder / "board.dts").write_text(source + NODE)
    subprocess.run(["dtc", "-q", "-O", "dtb", "-o", str(folder / "board.dtb"),
                    str(folder / "board.dts")], check=True)
    return folder / "board.dtb"


def test_story_on_arm64(lab):
    host.install(["gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross", "qemu-system-arm",
                  "device-tree-compiler"])
    kernel = Kernel(lab.tree, Board("arm64-ramoops")).build()
    dtb = _dtb(kernel.board, lab.dumps / "arm64-dtb")
    files = {"/root/kmemdump_test.ko": kernel.module("samples/kmemdump/kmemdump_test.ko")}
    with Guest(kernel, files, dtb=dtb) as guest:
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
    kernel = Kernel(lab.tree, Board("arm64-ramoops"))
    modules = kernel.out_of_tree("test", sorted((host.HERE / "modules").glob("*.c")))
    for name, phys in (("no-map", 0x52000100), ("reserved", 0x53000f80)):
        files = {"/root/kmemdump_provider.ko": modules / "kmemdump_provider.ko"}
        text = f"{name} memory, written by the host"
        with Guest(kernel, files, dtb=_dtb(kernel.board, lab.dumps / "arm64-dtb")) as guest:
            with guest.ram() as ram:
                ram[phys - RAM:phys - RAM + len(text)] = text.encode()
            guest.run(f"insmod kmemdump_provider.ko phys={phys} phys_size=8192")
            guest.crash()
            dump = lab.fetch_record(guest, f"arm64-{name}")
        expect("complete record" in lab.reader("check", dump), "a whole record")
        shown = lab.reader("show", "-r", dump, "physical")
        expect(shown.startswith(text), f"what the host has written to {name} memory", shown[:200])
        for cpu in range(kernel.board.cpus):
            shown = lab.reader("show", dump, f"annotated_percpu@{cpu}")
            expect(shown == f"static of CPU {cpu}\n", "a per-CPU variable of a module", shown)


def test_kunit_on_arm64_each(lab, results):
    from harness.suites import run_suites
    kernel = Kernel(lab.tree, Board("arm64-ramoops"))
    run_suites(kernel, results, "arm64 ", dtb=_dtb(kernel.board, lab.dumps / "arm64-dtb"))
