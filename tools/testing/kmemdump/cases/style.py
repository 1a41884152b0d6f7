# SPDX-License-Identifier: GPL-2.0
"""What maintainers run before they read: checkpatch, W=1, sparse, kernel-doc, mandoc."""

import re
import shutil
import subprocess

from harness import host
from harness.host import REPO
from harness.kernel import Board, Kernel
from harness.lab import expect

# What is ours in the output of a compiler that also sees other files. Not ram_core.c:
# sparse has eight warnings about the pristine one.
OURS = re.compile(r"(mm/kmemdump/|kmemdump\w*\.[ch]|fs/pstore/(ram|platform|inode)\.c)"
                  r":\d+:.*(warning|error)", re.I)


def _files(suffixes):
    out = subprocess.run(["git", "-c", "safe.directory=*", "-C", str(REPO), "ls-files", "-co", "--exclude-standard"],
                         capture_output=True, text=True, check=True).stdout.split()
    return [name for name in out if name.endswith(suffixes) and (REPO / name).exists()]


def _complaints(output):
    return "\n".join(line for line in output.splitlines()
                     if re.search(r": (ERROR|WARNING|CHECK):", line))


def test_checkpatch(lab):
    """CamelCase is that of zstd, libelf and xxhash, whose names are not ours to choose."""
    files = _files((".c", ".h"))
    expect(len(files) > 20, "files to check")
    script = ["perl", str(lab.tree.linux / "scripts/checkpatch.pl"), "--strict", "--terse",
              "--quiet"]
    kernel = [f for f in files if not f.startswith("tools/kmemdump/")]
    out = subprocess.run([*script, "--no-tree", "--ignore", "FILE_PATH_CHANGES,CAMELCASE", "-f",
                          *kernel], cwd=REPO, capture_output=True, text=True).stdout
    user = [f for f in files if f.startswith("tools/kmemdump/")]
    # There is no <linux/compiler.h> for a program, so it defines __printf itself.
    out += subprocess.run([*script, "--no-tree", "--ignore", "FILE_PATH_CHANGES,CAMELCASE,"
                           "PREFER_DEFINED_ATTRIBUTE_MACRO", "-f", *user],
                          cwd=REPO, capture_output=True, text=True).stdout
    # Whole new files come without MAINTAINERS changes here; patch 6 has those.
    out += subprocess.run([*script, "--ignore", "FILE_PATH_CHANGES",
                           *map(str, lab.tree.series())], cwd=lab.tree.linux,
                          capture_output=True, text=True).stdout
    expect(not _complaints(out), "no complaint of checkpatch --strict", _complaints(out))


def _warnings(args, env):
    proc = subprocess.run(args, capture_output=True, text=True, env=env)
    return proc, "\n".join(line for line in (proc.stdout + proc.stderr).splitlines()
                           if OURS.search(line))


def test_w1_and_sparse(lab):
    kernel = lab.kernel
    # Rebuild just ours, with everything switched on.
    for path in [*kernel.build_dir.glob("mm/kmemdump/*.o"),
                 *kernel.build_dir.glob("fs/pstore/*.o"),
                 *kernel.build_dir.glob("samples/kmemdump/*.o")]:
        path.unlink()
    proc, found = _warnings(kernel.make_args("W=1", "C=1", "CHECK=sparse", "mm/kmemdump/",
                                             "fs/pstore/", "samples/kmemdump/"), kernel.env())
    output = proc.stdout + proc.stderr
    expect(proc.returncode == 0, "the build to work", output[-3000:])
    expect("CHECK   " in output and "mm/kmemdump/core.c" in output, "sparse to run on our files",
           output[-2000:])
    expect(not found, "no warning of gcc W=1 and sparse on our files", found)


def test_kernel_doc(lab):
    files = [f for f in _files((".c", ".h"))
             if f.startswith(("include/", "mm/", "fs/")) and "_test" not in f]
    proc = subprocess.run([str(lab.tree.linux / "scripts/kernel-doc"), "-none", "-Wall", *files],
                          cwd=REPO, capture_output=True, text=True)
    expect(not proc.stderr.strip() and proc.returncode == 0, "no complaint of kernel-doc",
           proc.stderr)
    # Every exported function is documented.
    for name in files:
        text = (REPO / name).read_text()
        for symbol in re.findall(r"EXPORT_SYMBOL_GPL\((\w+)\)", text):
            expect(f"* {symbol}() - " in text, f"kernel-doc of {symbol}()")


def test_documentation_refers_to_what_exists(lab):
    """Each path named in the documentation is there."""
    for name in _files((".rst", ".1", "README.md")):
        text = (REPO / name).read_text()
        for path in re.findall(r"(?<![/\w])((?:Documentation|include|mm|fs|samples|tools|patches)/"
                               r"[\w./-]*\w)", text):
            expect((REPO / path).exists() or (lab.tree.linux / path).exists(),
                   f"{path}, which {name} names, to exist")


def test_man_page(_lab):
    page = REPO / "tools/kmemdump/kmemdump.1"
    out = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", str(page)],
                         capture_output=True, text=True)
    expect(out.returncode == 0 and not out.stdout, "no complaint of mandoc", out.stdout)
    usage = (REPO / "tools/kmemdump/main.c").read_text()
    verbs = set(re.findall(r"kmemdump (\w+) .*DUMP", usage))
    expect(len(verbs) >= 4, "verbs in the usage text", usage)
    for verb in verbs:
        expect(f".It Cm {verb}\n" in page.read_text(), f"the verb {verb} in the man page")


def test_install(lab):
    target = lab.dumps / "install"
    proc = subprocess.run(["make", "-s", "-C", str(REPO / "tools/kmemdump"), "install",
                           f"OUTPUT={lab.reader_path.parent}/", f"DESTDIR={target}"],
                          capture_output=True, text=True)
    expect(proc.returncode == 0, "make install to work", proc.stdout + proc.stderr)
    for path in ("usr/bin/kmemdump", "usr/share/man/man1/kmemdump.1"):
        expect((target / path).exists(), f"{path} to be installed")


def test_compiled_out(lab):
    """Without CONFIG_KMEMDUMP a provider builds, and no call of it is left."""
    board = Board("x86_64-ramoops")
    board.config = "x86_64-off"
    kernel = Kernel(lab.tree, board)
    kernel.fragments[1:] = [host.HERE / "configs/x86_64.config", host.HERE / "configs/off.config"]
    kernel.configure(["CONFIG_KMEMDUMP=y", "CONFIG_KMEMDUMP_KUNIT_TEST=y",
                      "CONFIG_PSTORE_KMEMDUMP=y", "CONFIG_SAMPLE_KMEMDUMP=m", "CONFIG_PSTORE=y",
                      "CONFIG_PSTORE_RAM=y", "CONFIG_PSTORE_CONSOLE=y"])
    host.step("preparing a kernel without kmemdump", kernel.make_args("modules_prepare"),
              "prepare-off", env=kernel.env())
    proc, found = _warnings(kernel.make_args("fs/pstore/"), kernel.env())
    expect(proc.returncode == 0 and not found, "fs/pstore to build as modules", proc.stderr[-3000:])
    folder = kernel.build_dir / "out-of-tree/off"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    shutil.copy(REPO / "samples/kmemdump/kmemdump_test.c", folder)
    (folder / "Makefile").write_text("obj-m += kmemdump_test.o\n")
    proc, found = _warnings(kernel.make_args(f"M={folder}", "KBUILD_MODPOST_WARN=1",
                                             "kmemdump_test.o"), kernel.env())
    expect(proc.returncode == 0 and not found, "the sample to build", proc.stderr[-3000:])
    symbols = subprocess.run(["nm", "-u", str(folder / "kmemdump_test.o")], capture_output=True,
                             text=True).stdout
    expect("kmalloc" in symbols and "kmemdump" not in symbols, "no call of kmemdump", symbols)
