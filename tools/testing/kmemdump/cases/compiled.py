# SPDX-License-Identifier: GPL-2.0
"""Builds that are inspected, not run: without kmemdump, with the least of it, for 32 bits and for
big endian."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from harness import host
from harness.host import REPO, say
from harness.kernel import Board, Kernel, ours
from harness.lab import expect

# Compiles a file as if CONFIG_KMEMDUMP were set, in a kernel without it.
WITH_KMEMDUMP = "-DCONFIG_KMEMDUMP=1"


def _prepared(tree, board, variant=None, *args):
    """Configure the kernel of @board so that make can compile single files with @args. It is not
    built. Whoever makes something in its folder has to hold its lock."""
    host.install(host.PACKAGES + board.packages)
    kernel = Kernel(tree, board, variant)

    def prepare():
        kernel.configure()
        host.step(f"preparing a kernel for {kernel.name}", kernel.make_args("prepare", *args),
                  f"prepare-{kernel.name}", env=kernel.env())

    with host.lock(f"kernel-{kernel.name}"):
        host.once(f"prepared-{kernel.name}", prepare)
    return kernel


def _command(kernel, name):
    """The command that made @name, a file in the build folder, as a list of its words."""
    path = kernel.build_dir / name
    text = path.with_name(f".{path.name}.cmd").read_text()
    [command] = re.findall(r"^savedcmd_\S+ := (.*)$", text, re.M)
    # Leave out objtool, which runs after the compiler.
    return shlex.split(command.split(" ; ")[0].replace(r"\#", "#"))


def _compile_again(kernel, name, source, out, *options, first=()):
    """Compile @source to @out with the command that made @name. Returns the compiler's warnings."""
    command = _command(kernel, name)
    at = command.index("-nostdinc")
    command[at:at] = first
    command = [f"-Wp,-MMD,{out}.d" if arg.startswith("-Wp,-MMD,") else arg for arg in command]
    command[command.index("-o") + 1] = str(out)
    command[-1] = str(source)
    out.parent.mkdir(parents=True, exist_ok=True)
    proc = subprocess.run([*command[:-1], *options, command[-1]], cwd=kernel.build_dir,
                          capture_output=True, text=True, env=kernel.env())
    expect(proc.returncode == 0, f"{source} to compile", proc.stderr[-3000:])
    return proc.stderr


def _unused(path):
    """What an object uses of kmemdump: (functions and variables, sections of annotations)."""
    symbols = subprocess.run(["nm", "-u", str(path)], capture_output=True, text=True,
                             check=True).stdout
    sections = subprocess.run(["readelf", "-SW", str(path)], capture_output=True, text=True,
                              check=True).stdout
    expect("alloc" in symbols and ".text" in sections, "an object that does something", symbols)
    return re.findall(r"kmemdump_\w+", symbols), re.findall(r"\.(?:init_array|ctors)\S*", sections)


def test_compiled_out(tree, lab):
    """Without CONFIG_KMEMDUMP, a provider builds, and no call of kmemdump is left in it."""
    kernel = _prepared(tree, Board("x86_64-ramoops"), "off")
    folder = lab.dumps / "modules"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    sources = [REPO / "samples/kmemdump/kmemdump_test.c",
               REPO / "samples/kmemdump/qcom_minidump_sample.c",
               host.HERE / "modules/kmemdump_provider.c"]
    for path in sources:
        shutil.copy(path, folder)
    (folder / "Makefile").write_text("".join(f"obj-m += {path.stem}.o\n" for path in sources))
    objects = [f"{path.stem}.o" for path in sources]

    def compile_all(*args):
        with host.lock(f"kernel-{kernel.name}"):
            proc, _ = kernel.compile(f"M={folder}", *args, *objects)
        expect(proc.returncode == 0 and "warning:" not in proc.stderr, "the modules to build",
               proc.stderr[-3000:])
        return [_unused(folder / name) for name in objects]

    # First compile objects that have calls and annotations, to see that these are found.
    for name, found in zip(objects, compile_all(f"KCFLAGS={WITH_KMEMDUMP}")):
        expect(found[0], f"calls of kmemdump in {name}, compiled with it")
    expect(any(sections for _, sections in compile_all(f"KCFLAGS={WITH_KMEMDUMP}")),
           "annotations, compiled with it")
    for name, found in zip(objects, compile_all()):
        expect(found == ([], []), f"no call of kmemdump and no annotation in {name}", str(found))


# Each kernel that is compared -> the folder of its architecture.
COMPARED = {"x86_64-ramoops": "arch/x86/", "ppc64le-ramoops": "arch/powerpc/"}
# Objects that the patches change even without kmemdump, and why. No other one may change.
DIFFER = {
    # pstore always knows the new record type, its area and its file.
    "fs/pstore/platform.o": "the name of the record type",
    "fs/pstore/ram.o": "the area for the record, and its parameter",
    "fs/pstore/ram_core.o": "zones of which the old contents are read later",
    # A fix of FADump itself: it must not free memory that was not kept.
    "arch/powerpc/kernel/fadump.o": "what a fix of FADump checks",
    # A fix of SMEM: an item must not leave its partition.
    "drivers/soc/qcom/smem.o": "what a fix of SMEM checks",
}
# How many bytes these objects may grow, in total.
MAY_GROW = 2048
# Files that are not compiled.
NOT_COMPILED = re.compile(r"Documentation/|MAINTAINERS$|(.*/)?(Kconfig|Kconfig\.debug|Makefile|"
                          r"Kbuild)$")


def _touched(tree, name):
    """The patched files to compare in the kernel @name: those of its architecture. Files for all
    architectures are compared once, on x86_64, which compiles all of them."""
    own = COMPARED[name]
    return [path for path in sorted(set(tree.touched())) if not NOT_COMPILED.match(path)
            and (path.startswith(own) or own == "arch/x86/" and not path.startswith("arch/"))]


def _sources(tree, name):
    """The C files to compare in the kernel @name."""
    return [path for path in _touched(tree, name) if path.endswith(".c")]


def test_what_is_compared(tree):
    """Each file that the patches touch is compared in one of the two kernels, or is of a kind that
    is not compiled. Makefiles add only objects that options of ours enable."""
    seen = {path for name in COMPARED for path in _touched(tree, name)}
    left = [path for path in tree.touched()
            if path not in seen and not NOT_COMPILED.match(path)]
    expect(not left, "no file that nobody compares", str(left))
    left = [path for path in seen if not path.endswith((".c", ".h"))]
    expect(not left and len(seen) >= 8, "only sources and headers to be compared", str(left))
    stray = [line for patch in tree.series()
             for line in re.findall(r"^\+[ \t]*((?:obj|[\w-]+)-[\w$()-]+\s*\+?:?=.*)$",
                                    patch.read_text(), re.M)
             if not re.match(r"[\w-]+-\$\(CONFIG_\w*(KMEMDUMP|MINIDUMP)\w*\)", line)]
    expect(not stray, "no object that is built in any case", str(stray))


def _build(kernel, sources):
    """Build the objects of @sources, so that their commands are known. Returns their names."""
    names = [f"{path[:-2]}.o" for path in sources]
    with host.lock(f"kernel-{kernel.name}"):
        proc, _ = kernel.compile(*names)
    expect(proc.returncode == 0, "what the patches touch to build", proc.stderr[-3000:])
    return names


def _check_headers(kernel, names):
    """Each header that the patches touch is used by something that is compared."""
    used = "".join((kernel.build_dir / name).with_name(f".{Path(name).name}.cmd").read_text()
                   for name in names)
    for path in _touched(kernel.tree, kernel.board.name):
        if path.endswith(".h"):
            expect(f"/{path} \\" in used, f"{path} to be used by an object that is compared")


def _without(kernel, name, out):
    """Compile @name from the source as it was before the patches, with the same command. The
    original headers come before the patched ones, and __FILE__ expands to the same path."""
    pristine = kernel.tree.pristine
    source = Path(_command(kernel, name)[-1]).relative_to(kernel.tree.linux)
    where = pristine / source if (pristine / source).exists() else kernel.tree.linux / source
    includes = [f"-I{pristine}/{folder}" for folder in
                (f"{COMPARED[kernel.board.name]}include", "include", source.parent)]
    _compile_again(kernel, name, where, out, f"-fmacro-prefix-map={pristine}/=", first=includes)
    deps = Path(f"{out}.d").read_text()
    patched = [path for path in kernel.tree.touched()
               if re.search(rf"{re.escape(str(kernel.tree.linux))}/{re.escape(path)}\s", deps)]
    expect(not patched, f"no patched file in {name} as it was before", str(patched))


def _contents(path):
    """The code of an object. It has no line numbers, as the patches change those."""
    dump = ["objdump", "-drj.text", "-j.init.text", "-j.exit.text", "--no-show-raw-insn"]
    if "PowerPC" in subprocess.run(["readelf", "-h", str(path)], capture_output=True,
                                   text=True, check=True).stdout:
        dump[0] = "powerpc64le-linux-gnu-objdump"
    out = subprocess.run([*dump, str(path)], capture_output=True, text=True, check=True).stdout
    expect(out.count("\n") > 20, f"code in {path.name}", out)
    return out.split("\n", 3)[3]


def _bloat(tree, before, after):
    """What bloat-o-meter prints, and by how many bytes the object grew."""
    out = subprocess.run(["python3", str(tree.linux / "scripts/bloat-o-meter"), str(before),
                          str(after)], capture_output=True, text=True, check=True).stdout
    [(old, new)] = re.findall(r"^Total: Before=(\d+), After=(\d+),", out, re.M)
    return out.strip(), int(new) - int(old)


@pytest.mark.parametrize("name", COMPARED)
def test_costs_nothing(tree, lab, name):
    """Without CONFIG_KMEMDUMP, the patched files compile to the same code as before the patches.
    DIFFER names the exceptions. What they cost is printed, and is in the log folder."""
    kernel = _prepared(tree, Board(name), "off")
    names = _build(kernel, _sources(tree, name))
    _check_headers(kernel, names)
    grown, noticed, sizes = 0, [], host.run_folder() / f"sizes-without-kmemdump-{name}"
    for path in names:
        old, new, on = (lab.dumps / folder / path for folder in ("before", "after", "on"))
        source = _command(kernel, path)[-1]
        said = _compile_again(kernel, path, source, new)
        expect("warning:" not in said, f"{source} to compile without warning", said)
        _without(kernel, path, old)
        same = _contents(old) == _contents(new)
        expect(same != (path in DIFFER),
               f"{'a' if path in DIFFER else 'no'} difference in {path}")
        text, change = _bloat(tree, old, new)
        expect(not change or path in DIFFER, f"{path} to have its size", text)
        grown += change
        with sizes.open("a") as log:
            log.write(f"{path}:\n{text}\n\n")
        say(f"    {path}: {text.splitlines()[-1]}")
        # With the option, most objects differ, which shows that the comparison works.
        _compile_again(kernel, path, source, on, WITH_KMEMDUMP)
        if _contents(on) != _contents(new):
            noticed.append(path)
    expect(grown <= MAY_GROW, f"at most {MAY_GROW} bytes more", str(grown))
    path = f"{COMPARED[name]}kernel/smp.o"
    expect(path in noticed, f"a difference of {path}, compiled with kmemdump", str(noticed))


BAD_C = """\
// SPDX-License-Identifier: GPL-2.0-only
#include <linux/printk.h>

void bad(int a);
void bad(int a)
{
%s
}
"""


FOLDERS = ("mm/kmemdump", "fs/pstore")


def _compile_folders(kernel):
    """Compile FOLDERS. The compiler must not warn of anything of ours."""
    with host.lock(f"kernel-{kernel.name}"):
        # Remove the objects, as make shows warnings only if it compiles them.
        for folder in FOLDERS:
            for path in kernel.build_dir.glob(f"{folder}/*.o"):
                path.unlink()
        proc, found = kernel.compile("W=1", *(f"{folder}/" for folder in FOLDERS))
    expect(proc.returncode == 0 and not found, "mm/kmemdump and fs/pstore to build without warning",
           found or proc.stderr[-3000:])
    expect("CC      mm/kmemdump/core.o" in proc.stdout and "CC      fs/pstore/ram.o" in proc.stdout,
           "them to be compiled", proc.stdout[-3000:])


def _compile(lab, config, arch, bad_line, cross=""):
    """Compile FOLDERS for another machine without a warning, and @bad_line with one. Returns what
    readelf says of an object."""
    board = Board("x86_64-ramoops")
    board.config, board.arch, board.cross = config, arch, cross
    kernel = _prepared(lab.tree, board, None, "W=1")
    _compile_folders(kernel)
    bad = lab.dumps / "mm/kmemdump/bad.c"
    bad.parent.mkdir(parents=True, exist_ok=True)
    bad.write_text(BAD_C % bad_line)
    said = _compile_again(kernel, "mm/kmemdump/core.o", bad, lab.dumps / "bad.o")
    expect("/bad.c:" in ours(said), f"a warning of {bad_line!r}", said)
    return subprocess.run(["readelf", "-h", str(kernel.build_dir / "mm/kmemdump/core.o")],
                          capture_output=True, text=True, check=True).stdout


def _symbols(option, *paths, names=r"zstd_\w+"):
    """The @names that nm prints with @option."""
    out = subprocess.run(["nm", option, "-j", *map(str, paths)], capture_output=True, text=True,
                         check=True).stdout
    return set(re.findall(rf"^{names}$", out, re.M))


def test_needs_no_decompressor(lab):
    """Without its tests, mm/kmemdump uses only those symbols of zstd that the compressor has, as a
    kernel may lack the decompressor."""
    objects = [path for path in (lab.kernel.build_dir / "mm/kmemdump").glob("*.o")
               if not re.search(r"_test\.o$|^test_|^benchmark|^built-in|\.mod\.o$", path.name)]
    used = _symbols("--undefined-only", *objects)
    expect("zstd_compress_cctx" in used, "the compressor to be used", str(used))
    there = _symbols("--defined-only", lab.kernel.build_dir / "lib/zstd/zstd_compress_module.o")
    expect("zstd_is_error" not in there, "what was used once not to be there", str(there))
    expect(used <= there, "nothing but the compressor", str(used - there))


def test_32_bits(lab):
    """gcc warns of a format that is right on 64 bits only, and of nothing of ours. This kernel has
    no kexec either."""
    kind = _compile(lab, "i386", "i386", '\tpr_info("%lu", sizeof(a));')
    expect("ELF32" in kind, "32-bit objects", kind)


def test_big_endian(lab):
    """Code for big-endian machines only compiles without a warning."""
    host.install(["gcc-powerpc64le-linux-gnu"])
    kind = _compile(lab, "ppc64be", "powerpc",
                    "#ifdef __BIG_ENDIAN\n\tint unused = a;\n#endif", "powerpc64le-linux-gnu-")
    expect("2's complement, big endian" in kind, "big-endian objects", kind)


def _undefined(objects):
    """The symbols of kmemdump that @objects use and none of them defines."""
    names = r"\w*kmemdump\w*"
    return (_symbols("--undefined-only", *objects, names=names) -
            _symbols("--defined-only", *objects, names=names))


# Calls a function as a source does if a header has its prototype, but no stub.
USED_C = """\
// SPDX-License-Identifier: GPL-2.0-only
void %s(void);
void bad(void);
void bad(void)
{
	%s();
}
"""


def test_small(tree, lab):
    """Without its optional parts, kmemdump compiles and uses no symbol that is missing."""
    kernel = _prepared(tree, Board("x86_64-ramoops"), "small", "W=1")
    config = (kernel.build_dir / ".config").read_text()
    have = set(re.findall(r"^CONFIG_(\w*KMEMDUMP\w*|QCOM_MINIDUMP|DEBUG_FS|KALLSYMS)=", config, re.M))
    expect(have == {"KMEMDUMP", "KMEMDUMP_ARCH", "PSTORE_KMEMDUMP"}, "no optional part", str(have))
    _compile_folders(kernel)
    objects = [path for folder in FOLDERS for path in (kernel.build_dir / folder).glob("*.o")]
    names = {path.stem for path in objects}
    expect({"backend", "panic", "ram_kmemdump"} <= names and not {"carry", "assisted"} & names,
           "the objects of the base", str(names))
    left = _undefined(objects)
    expect(not left, "each symbol of kmemdump to be defined", str(left))

    # A missing symbol would be found, if either an object or a stub is missing.
    found = _undefined([path for path in objects if path.stem != "translate"])
    expect("kmemdump_find_pieces" in found, "what is missing without translate.c", str(found))
    bad = lab.dumps / "mm/kmemdump/used.c"
    bad.parent.mkdir(parents=True, exist_ok=True)
    bad.write_text(USED_C % (("kmemdump_carry_add",) * 2))
    _compile_again(kernel, "mm/kmemdump/core.o", bad, lab.dumps / "used.o")
    found = _undefined([*objects, lab.dumps / "used.o"])
    expect(found == {"kmemdump_carry_add"}, "a stub that is missing", str(found))
