# SPDX-License-Identifier: GPL-2.0
"""Build the kernel after each patch of the series: no patch may need a later one, and the KUnit
suites that exist by then have to pass."""

import re
import shutil
import subprocess

from . import host, kernel, story, suites
from .guest import Guest
from .host import Failed, say
from .kernel import Board, Kernel, ours
from .lab import ZONE, Lab, expect, lab

# The kernels that are built after each patch: the board, and the variant of its configuration. Of
# those without kmemdump (=n), only the files of Linux that patches touch are compiled.
BUILDS = {"x86_64": ("x86_64-ramoops", None), "arm64": ("arm64-ramoops", None),
          "ppc64le": ("ppc64le-ramoops", None), "x86_64=m": ("x86_64-ramoops", "series_m"),
          "x86_64=n": ("x86_64-ramoops", "off"), "ppc64le=n": ("ppc64le-ramoops", "off")}
# For each of these, which of those files it compiles.
OF = {"x86_64=n": re.compile(r"(arch/x86|fs|drivers)/.*\.c$"),
      "ppc64le=n": re.compile(r"(arch/powerpc|fs)/.*\.c$")}
# The files that can change what is built. A patch without any of them is not built.
BUILT = re.compile(r"\.[chS]$|Kconfig|(^|/)(Makefile|Kbuild)$")
NOT_BUILT = re.compile(r"(Documentation|tools)/")


class StepKernel(Kernel):
    """A kernel of a tree that lacks the later patches. It has its own build folder."""

    def __init__(self, step, title):
        board, variant = BUILDS[title]
        super().__init__(step, Board(board), variant)
        self.title = title
        self.build_dir = step.dir / f"series-{title.replace('=', '-')}"
        self.vmlinux = self.build_dir / "vmlinux"
        self.image = self.build_dir / self.board.image
        self.log = f"series-{title}-{step.base}"

    def prepare(self):
        """Start from a copy of the kernel with all patches, as most objects are the same."""
        host.install(host.PACKAGES + self.board.packages)
        if not self.build_dir.exists():
            shutil.copytree(lab(self.board.name, base=self.tree.base).kernel.build_dir,
                            self.build_dir, symlinks=True,
                            ignore=shutil.ignore_patterns("kmemdump-*", "out-of-tree"))

    def configure(self):
        """Configure the kernel with the options that exist after these patches."""
        tiny, config = self.build_dir / "tiny.config", self.build_dir / ".config"
        if not tiny.exists():
            host.step("configuring", self.make_args("tinyconfig"), self.log, env=self.env())
            shutil.copy(config, tiny)
        config.write_text("".join(path.read_text() for path in [tiny, *self.fragments]))
        host.step(f"{self.title}: settling the configuration", self.make_args("olddefconfig"),
                  self.log, env=self.env())

    def compile_all(self):
        """Build the kernel and its modules, or only some objects of one without kmemdump."""
        targets = [self.board.image.split("/")[-1], "modules"]
        if self.title in OF:
            targets = sorted({re.sub(r"c$", "o", name) for name in self.tree.touched()
                              if OF[self.title].match(name)})
        if not targets:
            return
        self.configure()
        with host.lock("compiler"):
            host.step(f"{self.title}: building", self.make_args(*targets), self.log, env=self.env())
        said = ours((host.LOGS / f"{self.log}.log").read_text())
        expect(not said, f"no warning in {self.title}", said)


def _changes_code(series, nr):
    return any(BUILT.search(name) and not NOT_BUILT.match(name) for name in series.changed(nr))


def _crash(it, folder):
    """The first part is of use by itself: after a crash, zstd and the reader find what the sample
    registered, and the log."""
    sample = it.build_dir / "samples/kmemdump/kmemdump_test.ko"
    with Guest(it, {"/root/kmemdump_test.ko": sample}) as guest:
        guest.run("insmod kmemdump_test.ko")
        guest.crash_and_hold()
        with guest.ram() as ram:
            zone = Lab.find_zone(guest, ram)
            _, _, size = ZONE.unpack_from(ram, zone)
            (folder / "record").write_bytes(ram[zone + ZONE.size:zone + ZONE.size + size])
    core = subprocess.run(["zstd", "-dc", str(folder / "record")], check=True,
                          capture_output=True).stdout
    expect(core.startswith(b"\x7fELF"), "an ELF core")
    for text in (story.TEXT, "sysrq triggered crash"):
        expect(text.encode() in core, f"{text!r} in the core")
    for verb, text in (("check", "complete record"), ("list", " my_critical_data\n"),
                       ("log", "sysrq triggered crash")):
        out = subprocess.run([str(kernel.reader()), verb, str(folder / "record")], check=True,
                             capture_output=True, text=True).stdout
        expect(text in out, f"{text!r} in what kmemdump {verb} prints", out)
    return "; a crash leaves the sample's text and the log"


def _part(series, nr):
    return series.entries[nr - 1].get("part")


def _build_step(series, nr):
    step = series.step(nr)
    step.make()
    # The fixes come before kmemdump. Without its options, whole kernels would be built anew, and
    # again when the options come back.
    for title in OF if _part(series, nr) == "fixes" else BUILDS:
        StepKernel(step, title).compile_all()
    it = StepKernel(step, "x86_64")
    tests = [step.linux / name for name in sorted(step.names) if name.endswith("_test.c")]
    if not tests:
        return "no suites yet"
    results = suites.check(it, suites.boot(it), tests)
    bad = {name: result.said for name, result in results.items() if result.outcome == "failed"}
    expect(not bad, "all tests to pass", str(bad))
    skipped = sum(result.outcome == "skipped" for result in results.values())
    text = f"{len(results)} tests of KUnit ran, {skipped} of them skipped"
    # The sample is the last of the first part, apart from the documentation.
    if any(name.startswith("samples/") for name in series.changed(nr)) and _part(series, nr) == "first":
        text += _crash(it, series.repo.parent)
    return text


def run(series, numbers=()):
    """Build after each patch, or after those of @numbers. All errors are reported at the end."""
    last = series.step(len(series.entries))
    for title in BUILDS:
        StepKernel(last, title).prepare()
    wrong = []
    try:
        for nr, entry in enumerate(series.entries, 1):
            if numbers and nr not in numbers or not _changes_code(series, nr):
                continue
            try:
                say(f"ok   {nr} {entry['subject']}: {_build_step(series, nr)}")
            except Failed as err:
                wrong.append(f"{nr} {entry['subject']}: {err}")
                say(f"FAIL {wrong[-1]}")
    finally:
        # Leave the kernel tree with all patches, as other tests need it.
        last.restore()
    if wrong:
        raise Failed(f"{len(wrong)} patches are not good by themselves:\n" + "\n".join(wrong))
