# SPDX-License-Identifier: GPL-2.0
"""Builds that are looked at, not run: without kmemdump, and for 32 bits."""

import re
import shutil
import subprocess

from harness import host
from harness.host import REPO, say
from harness.kernel import Board, Kernel
from harness.lab import expect


def _off(tree):
    return Kernel(tree, Board("x86_64-ramoops"), "off")


def test_compiled_out(lab):
    """Without CONFIG_KMEMDUMP a provider builds, and no call of it is left."""
    kernel = _off(lab.tree)
    kernel.configure()
    host.step("preparing a kernel without kmemdump", kernel.make_args("modules_prepare"),
              "prepare-off", env=kernel.env())
    proc, found = kernel.compile("fs/pstore/")
    expect(proc.returncode == 0 and not found, "fs/pstore to build as modules", proc.stderr[-3000:])
    folder = kernel.build_dir / "out-of-tree/off"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    names = [REPO / "samples/kmemdump/kmemdump_test.c",
             host.HERE / "modules/kmemdump_provider.c",
             host.HERE / "modules/kmemdump_vendor.c"]
    for path in names:
        shutil.copy(path, folder)
    (folder / "Makefile").write_text("".join(f"obj-m += {path.stem}.o\n" for path in names))
    for path in names:
        name = f"{path.stem}.o"
        proc, found = kernel.compile(f"M={folder}", "KBUILD_MODPOST_WARN=1", name)
        expect(proc.returncode == 0 and "warning:" not in proc.stderr, f"{name} to build",
               proc.stderr[-3000:])
        symbols = subprocess.run(["nm", "-u", str(folder / name)], capture_output=True,
                                 text=True).stdout
        sections = subprocess.run(["readelf", "-SW", str(folder / name)], capture_output=True,
                                  text=True).stdout
        expect("alloc" in symbols and "kmemdump_" not in symbols, "no call of kmemdump", symbols)
        expect(".text" in sections and ".kmemdump" not in sections, "no annotations", sections)


def _bloat(tree, before, after):
    return subprocess.run(["python3", str(tree.linux / "scripts/bloat-o-meter"), str(before),
                           str(after)], capture_output=True, text=True).stdout


def test_costs_nothing(lab):
    """vmlinux without CONFIG_KMEMDUMP is that of the pristine source. pstore, which is
    modules here, knows of the new record type even then; what that costs is printed."""
    kernels = [_off(lab.tree.without()), _off(lab.tree)]
    for kernel, what in zip(kernels, ("of the pristine source", "with kmemdump left out")):
        kernel.configure()
        host.step(f"building the kernel {what}", kernel.make_args("vmlinux"),
                  "build-" + what.replace(" ", "-"), None, r"^  [A-Z]+ ", env=kernel.env())
        proc, _ = kernel.compile("fs/pstore/")
        expect(proc.returncode == 0, "fs/pstore to build", proc.stderr[-3000:])
    out = _bloat(lab.tree, *(kernel.vmlinux for kernel in kernels))
    say("    bloat-o-meter, from the pristine kernel to ours with CONFIG_KMEMDUMP=n:\n    "
        + out.strip().replace("\n", "\n    "))
    for name in ("pstore.o", "ramoops.o"):
        total = _bloat(lab.tree, *(kernel.build_dir / "fs/pstore" / name for kernel in kernels))
        expect("Total:" in total, f"the sizes of {name}", total)
        say(f"    {name}: {total.strip().splitlines()[-1]}")
    expect(re.search(r"^Total: Before=\d+, After=\d+, chg \+0\.00%", out, re.M)
           and "add/remove: 0/0 grow/shrink: 0/0" in out, "no difference", out)


def _compile(lab, config, arch, cross=""):
    """Compile what is ours for another machine; what readelf says of it."""
    board = Board("x86_64-ramoops")
    board.config, board.arch, board.cross = config, arch, cross
    kernel = Kernel(lab.tree, board)
    kernel.configure()
    host.step(f"preparing a kernel for {config}", kernel.make_args("prepare"),
              f"prepare-{config}", env=kernel.env())
    for path in kernel.build_dir.glob("mm/kmemdump/*.o"):
        path.unlink()
    proc, found = kernel.compile("W=1", "mm/kmemdump/", "fs/pstore/")
    expect(proc.returncode == 0 and not found, "mm/kmemdump and fs/pstore to build without warning",
           found or proc.stderr[-3000:])
    return subprocess.run(["readelf", "-h", str(kernel.build_dir / "mm/kmemdump/core.o")],
                          capture_output=True, text=True).stdout


def test_32_bits(lab):
    kind = _compile(lab, "i386", "i386")
    expect("ELF32" in kind, "32-bit objects", kind)


def test_big_endian(lab):
    host.install(["gcc-powerpc64le-linux-gnu"])
    kind = _compile(lab, "ppc64be", "powerpc", "powerpc64le-linux-gnu-")
    expect("2's complement, big endian" in kind, "big-endian objects", kind)
