# SPDX-License-Identifier: GPL-2.0
"""What maintainers run before they read: checkpatch, W=1, sparse, kernel-doc, mandoc."""

import re
import subprocess

from harness.host import REPO
from harness.lab import expect

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
    # The macros that make tracepoints are not laid out like functions.
    trace = [f for f in files if f.startswith("include/trace/")]
    user = [f for f in files if f.startswith(("tools/kmemdump/", "tools/testing/kmemdump/fuzz/"))]
    kernel = [f for f in files if f not in user and f not in trace]
    out = subprocess.run([*script, "--no-tree", "--ignore", "FILE_PATH_CHANGES,CAMELCASE", "-f",
                          *kernel], cwd=REPO, capture_output=True, text=True).stdout
    out += subprocess.run([*script, "--no-tree", "--ignore", "FILE_PATH_CHANGES,OPEN_ENDED_LINE,"
                           "PARENTHESIS_ALIGNMENT", "-f", *trace],
                          cwd=REPO, capture_output=True, text=True).stdout
    # There is no <linux/compiler.h> for a program, so it defines __printf itself.
    out += subprocess.run([*script, "--no-tree", "--ignore", "FILE_PATH_CHANGES,CAMELCASE,"
                           "PREFER_DEFINED_ATTRIBUTE_MACRO", "-f", *user],
                          cwd=REPO, capture_output=True, text=True).stdout
    # Whole new files come without MAINTAINERS changes here; patch 6 has those.
    out += subprocess.run([*script, "--ignore", "FILE_PATH_CHANGES",
                           *map(str, lab.tree.series())], cwd=lab.tree.linux,
                          capture_output=True, text=True).stdout
    expect(not _complaints(out), "no complaint of checkpatch --strict", _complaints(out))


def _compile_all(kernel, *folders):
    # Rebuild just ours, with everything switched on.
    for folder in folders:
        for path in kernel.build_dir.glob(f"{folder}*.o"):
            path.unlink()
    proc, found = kernel.compile("W=1", "C=1", "CHECK=sparse", *folders)
    output = proc.stdout + proc.stderr
    expect(proc.returncode == 0, "the build to work", output[-3000:])
    expect("CHECK   " in output and "mm/kmemdump/core.c" in output, "sparse to run on our files",
           output[-2000:])
    expect(not found, "no warning of gcc W=1 and sparse on our files", found)


def test_w1_and_sparse(lab):
    _compile_all(lab.kernel, "mm/kmemdump/", "fs/pstore/", "drivers/soc/qcom/minidump/",
                 "samples/kmemdump/")


def test_w1_and_sparse_on_ppc64le(lab):
    """Not fs/pstore: sparse warns of the pristine platform.c there."""
    _compile_all(lab.other("ppc64le-ramoops").kernel, "mm/kmemdump/", "samples/kmemdump/",
                 "arch/powerpc/fadump/")


def test_kernel_doc(lab):
    files = [f for f in _files((".c", ".h"))
             if f.startswith(("arch/", "drivers/", "include/", "mm/", "fs/")) and "_test" not in f]
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
        for path in re.findall(r"(?<![/\w])((?:Documentation|drivers|include|mm|fs|samples|tools|patches)/"
                               r"[\w.,/-]*\w)", text):
            expect((REPO / path).exists() or (lab.tree.linux / path).exists(),
                   f"{path}, which {name} names, to exist")


def test_man_page():
    page = REPO / "tools/kmemdump/kmemdump.1"
    out = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", str(page)],
                         capture_output=True, text=True)
    expect(out.returncode == 0 and not out.stdout, "no complaint of mandoc", out.stdout)
    usage = (REPO / "tools/kmemdump/main.c").read_text()
    verbs = set(re.findall(r"kmemdump (\w+) [^\"]*(?:DUMP|DIR|CORE)", usage))
    expect(len(verbs) >= 4, "verbs in the usage text", usage)
    for verb in verbs:
        expect(f".It Cm {verb}\n" in page.read_text(), f"the verb {verb} in the man page")


def test_install(lab):
    target = lab.dumps / "install"
    proc = subprocess.run(["make", "-s", "-C", str(REPO / "tools/kmemdump"), "install",
                           f"OUTPUT={lab.reader_path.parent}/", f"DESTDIR={target}"],
                          capture_output=True, text=True)
    expect(proc.returncode == 0, "make install to work", proc.stdout + proc.stderr)
    for path in ("usr/bin/kmemdump", "usr/share/man/man1/kmemdump.1",
                 "usr/lib/systemd/system/kmemdump-collect.service"):
        expect((target / path).exists(), f"{path} to be installed")
