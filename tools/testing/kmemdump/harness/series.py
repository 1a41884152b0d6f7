# SPDX-License-Identifier: GPL-2.0
"""make series: this repository as patches that "git am" takes, the smallest first."""

import difflib
import fnmatch
import os
import re
import shutil
import subprocess
import tempfile
import tomllib
from functools import cached_property

from . import grow, host
from .host import BASE, CACHE, REPO, Failed, say
from .tree import Tree

LIST = REPO / "patches/series.toml"
COVER = REPO / "patches/cover-letter"
# The files whose lines are counted. Those of tests are counted separately.
CODE = re.compile(r"\.[ch]$")
TEST = re.compile(r"_test\.c$|/test_\w+\.[ch]$")

# Complaints of checkpatch about code that has to be so: the macros of tracepoints are not laid out
# like functions; a program has no <linux/compiler.h>; a header of an architecture includes other
# <asm/> headers; and Linux 6.12 has no kzalloc_obj().
ACCEPTED = (r"(should match open parenthesis|should not end with a '\(')\n#\d+: FILE: include/trace/",
            r"Prefer __printf.*\n#\d+: FILE: tools/kmemdump/",
            r"Consider using #include <linux/.*\n#\d+: FILE: arch/\w+/include/asm/",
            r"Prefer kzalloc_obj over kzalloc")


def load():
    return tomllib.loads(LIST.read_text())


def code_lines(text):
    """Lines of C that are neither empty nor only a comment."""
    text = re.sub(r"/\*.*?\*/", lambda match: "\n" * match[0].count("\n"), text, flags=re.S)
    return sum(1 for line in text.splitlines() if line.strip() and not line.strip().startswith("//"))


class Step(Tree):
    """The kernel tree as it is after the first @nr patches of the series."""

    def __init__(self, base, spec, nr):
        super().__init__(base)
        self.spec = spec
        self.entries = spec["patch"][:nr]

    @cached_property
    def _all(self):
        return super()._overlay_files()

    def _matches(self, patterns):
        return {name for name in self._all
                if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)}

    @cached_property
    def _grows(self):
        grows = self.spec["grows"]
        return set(grows["makefiles"] + grows["kconfig"] + grows["headers"])

    def _listed(self, entries):
        return self._matches([pattern for entry in entries for pattern in entry.get("files", ())])

    @cached_property
    def names(self):
        """The files that exist after these patches, without those that grow."""
        return self._listed(self.entries) - self._grows

    def _has_begun(self, name):
        """Whether a file that grows exists yet. It comes with the patch that lists it or, if none
        does, with the first other file of its folder."""
        if name in self._listed(self.spec["patch"]):
            return name in self._listed(self.entries)
        folder = name.rpartition("/")[0] + "/"
        return name.startswith(("include/", "mm/kmemdump/K")) or \
            any(other.startswith(folder) for other in self.names)

    @cached_property
    def _later(self):
        left = {path for path in self._all if path.endswith(".c") and path not in self.names}
        return grow.defined(self._all[path].read_text() for path in left)

    @cached_property
    def _used(self):
        """The functions that the sources call after these patches."""
        called = {name for path in self.names if path.endswith((".c", ".h"))
                  for name in re.findall(r"\b(\w+)\(", self._all[path].read_text())}
        hunks = "".join(path.read_text() for path in self.series())
        return called | set(re.findall(r"\b(\w+)\(", hunks))

    def _content(self, name, there, options):
        """The content of a file that grows, after these patches."""
        grows, text = self.spec["grows"], self._all[name].read_text()
        if name in grows["makefiles"]:
            return grow.makefile(text, name, there)
        if name in grows["kconfig"]:
            return grow.kconfig(text, there | set(grows["kconfig"]), options)
        if name.startswith("include/"):
            return grow.header(text, self._later)
        if name in grows["headers"]:
            return grow.header(text, self._later, there, self._used)
        later = {title for title, path in grows["sections"].get(name, {}).items()
                 if path not in there}
        return grow.sections(text, later)

    def contents(self):
        """Each file of this repository that exists after these patches -> its bytes."""
        out = {name: self._all[name].read_bytes() for name in self.names}
        options = {name for entry in self.entries for name in entry.get("options", ())}
        if not options:
            return out
        sections = set(self.spec["grows"]["sections"]) & self.names
        for name in self._grows | sections:
            if self._has_begun(name):
                out[name] = self._content(name, self.names, options).encode()
        return out

    def _overlay_files(self):
        """Write contents() to files, which the kernel tree gets."""
        folder = self.dir / "series-files"
        shutil.rmtree(folder, ignore_errors=True)
        for name, data in self.contents().items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)
        return {name: folder / name for name in self.contents()}

    def restore(self):
        """Make the kernel tree have all patches again."""
        Tree(self.base).make()

    def series(self):
        return [self.patches / f"{hunk}.patch" for entry in self.entries
                for hunk in entry.get("hunks", ())]


def _git(folder, *args, **kwargs):
    env = dict(os.environ, GIT_CONFIG_GLOBAL="/dev/null", GIT_CONFIG_SYSTEM="/dev/null")
    proc = subprocess.run(["git", "-C", str(folder), *args], env=env, capture_output=True, text=True,
                          **kwargs)
    if proc.returncode:
        raise Failed(f"git {' '.join(args)}:\n{proc.stdout}{proc.stderr}")
    return proc.stdout


class Series:
    """The patches for one base."""

    def __init__(self, base=BASE, sender=None):
        self.base = base
        self.spec = load()
        self.placeholder = self.spec["from"]
        self.sender = sender or self.placeholder
        if not re.fullmatch(r"[^<>\n]+ <[^<>\s]+@[^<>\s]+>", self.sender):
            raise Failed(f"FROM={self.sender!r} is not of the form: Name <mail>")
        self.entries = self.spec["patch"]
        self.repo = CACHE / "series" / base
        self._last = self.step(len(self.entries))
        self._check_list()

    def step(self, nr):
        return Step(self.base, self.spec, nr)

    def _check_list(self):
        """Check that each hunk and each file is in one patch, and that the list names no others."""
        tree = Tree(self.base)
        hunks = [hunk for entry in self.entries for hunk in entry.get("hunks", ())]
        have = [path.stem for path in tree.series()]
        if sorted(hunks) != have:
            raise Failed(f"{LIST.name} and patches/{self.base} differ: {set(hunks) ^ set(have)}")
        if hunks != have:
            raise Failed(f"{LIST.name} has the hunks in another order than patches/{self.base}")
        seen = {}
        step = self._last
        for entry in self.entries:
            for pattern in entry.get("files", ()):
                names = step._matches([pattern])
                if not names:
                    raise Failed(f"{LIST.name}: there is no file {pattern}")
                for name in names:
                    if name in seen and name not in step._grows:
                        raise Failed(f"{LIST.name}: {name} is in {seen[name]!r}, and again in "
                                     f"{entry['subject']!r}")
                    seen[name] = entry["subject"]
        for name, titles in self.spec["grows"]["sections"].items():
            grow.sections(step._all[name].read_text(), titles)
            if gone := set(titles.values()) - step.names:
                raise Failed(f"{LIST.name}: a section waits for {gone}, which is no file")
        left = set(step._all) - set(step.contents())
        if left:
            raise Failed(f"{LIST.name}: no patch has {', '.join(sorted(left))}")
        for name, data in step.contents().items():
            if data != step._all[name].read_bytes():
                raise Failed(f"{name} is not what it is in the repository after all patches:\n"
                             f"{_diff(step._all[name].read_text(), data.decode())}")

    def _signed(self, data):
        return data.replace(self.placeholder.encode(), self.sender.encode())

    def _commit(self, message):
        name, mail = re.fullmatch(r"(.+) <(.+)>", self.sender).groups()
        _git(self.repo, "add", "-A", "-f")
        _git(self.repo, "-c", f"user.name={name}", "-c", f"user.email={mail}", "commit", "-q",
             "-F", "-", input=message)

    def commit_all(self):
        """Make a git repository of only the files that the series touches, with a commit for each
        patch."""
        last = self._last
        with host.lock(f"tree-{self.base}"):
            last._unpack()
            last.apply_patches()
        shutil.rmtree(self.repo, ignore_errors=True)
        self.repo.mkdir(parents=True)
        _git(self.repo, "init", "-q")
        for name in set(last.touched()):
            (self.repo / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(last.pristine / name, self.repo / name)
        self._commit(f"Linux {self.base}")
        _git(self.repo, "tag", "base")
        before = {}
        for nr, entry in enumerate(self.entries, 1):
            before = self._add_patch(nr, entry, before)
        self._compare()

    def _add_patch(self, nr, entry, before):
        for hunk in entry.get("hunks", ()):
            path = Tree(self.base).patches / f"{hunk}.patch"
            try:
                _git(self.repo, "apply", "--whitespace=nowarn", "-",
                     input=self._signed(path.read_bytes()).decode())
            except Failed as err:
                raise Failed(f"{path.relative_to(REPO)} does not apply: {err}") from err
        after = self.step(nr).contents()
        if set(before) - set(after):
            raise Failed(f"{entry['subject']}: {set(before) - set(after)} would go again")
        for name, data in after.items():
            (self.repo / name).parent.mkdir(parents=True, exist_ok=True)
            (self.repo / name).write_bytes(self._signed(data))
            mode = self._last._all[name].stat().st_mode
            (self.repo / name).chmod(0o755 if mode & 0o100 else 0o644)
        self._commit(f"{entry['subject']}\n\n{entry['message'].strip()}\n\n"
                     f"Signed-off-by: {self.sender}\n")
        return after

    def _compare(self):
        """Check that the files after all patches are what "make tree" makes."""
        last = self._last
        expected = {name: path.read_bytes() for name, path in last.apply_patches().items()}
        expected |= {name: path.read_bytes() for name, path in last._all.items()}
        have = {name: (self.repo / name).read_bytes()
                for name in _git(self.repo, "ls-files").splitlines()}
        for name in sorted(set(expected) | set(have)):
            if have.get(name) != self._signed(expected.get(name, b"")):
                raise Failed(f"{name} is not what make tree makes of it")

    def sizes(self):
        """For each patch, how many lines of code it adds without tests, and how many of tests."""
        return [self._added(nr) for nr in range(1, len(self.entries) + 1)]

    def changed(self, nr):
        """The files that the patch of this number changes."""
        commit = f"HEAD~{len(self.entries) - nr}"
        return _git(self.repo, "diff", "--name-only", f"{commit}^", commit).splitlines()

    def _added(self, nr):
        code = tests = 0
        commit = f"HEAD~{len(self.entries) - nr}"
        for name in self.changed(nr):
            if not CODE.search(name):
                continue
            grown = sum(sign * code_lines(self._show(rev, name))
                        for sign, rev in ((1, commit), (-1, f"{commit}^")))
            if TEST.search(name):
                tests += grown
            else:
                code += grown
        return code, tests

    def _show(self, commit, name):
        proc = subprocess.run(["git", "-C", str(self.repo), "show", f"{commit}:{name}"],
                              capture_output=True, text=True)
        return proc.stdout if not proc.returncode else ""

    def table(self):
        """A table of the lines that each patch adds."""
        rows, sums = [], {}
        for nr, (entry, (code, tests)) in enumerate(zip(self.entries, self.sizes()), 1):
            rows.append(f"{nr:3} {code:6} {tests:6}  {entry['subject']}")
            part = entry.get("part", "more")
            sums[part] = [a + b for a, b in zip(sums.get(part, (0, 0)), (code, tests))]
        titles = {"fixes": "fixes of Linux", "first": "first part, of use by itself",
                  "more": "one feature each"}
        rows += [f"    {code:6} {tests:6}  {titles[part]}" for part, (code, tests) in sums.items()]
        return "\n".join([" nr   code  tests  (lines of C without comments)", *rows])

    def footprint(self):
        """How many lines of code the series adds to existing files outside pstore."""
        stat = _git(self.repo, "diff", "--numstat", "base", "HEAD")
        existing = set(self._last.touched())
        return sum(int(added) for added, _, name in map(str.split, stat.splitlines())
                   if name in existing and CODE.search(name) and "pstore" not in name)

    def write(self, out):
        """Write a cover letter and the patches to the folder @out. Returns their paths."""
        out.mkdir(parents=True, exist_ok=True)
        subject, _, body = COVER.read_text().partition("\n\n")
        letter = out / "0000-cover-letter.patch"
        old = list(out.iterdir())
        if old and not (letter.exists() and subject in letter.read_text() and
                        all(re.fullmatch(r"\d{4}-.*\.patch", path.name) for path in old)):
            raise Failed(f"{out} has other files in it than an older series, such as {old[0].name}")
        for path in old:
            path.unlink()
        name, mail = re.fullmatch(r"(.+) <(.+)>", self.sender).groups()
        _git(self.repo, "-c", f"user.name={name}", "-c", f"user.email={mail}", "format-patch", "-q",
             "--cover-letter", "--binary", "--full-index", "--no-renames", "--no-signature",
             "-o", str(out), "base..HEAD")
        text = letter.read_text()
        counts = host.last_counts()
        tests = f"make check: {counts}." if counts else "They were not run for this very version."
        body = body.replace("@SIZES@", self.table()).replace("@BASE@", self.base) \
                   .replace("@TESTS@", tests).replace("@OTHERS@", str(self.footprint()))
        text = text.replace("*** SUBJECT HERE ***", subject).replace("*** BLURB HERE ***", body)
        letter.write_text(text)
        return sorted(out.glob("*.patch"))

    def checkpatch(self, patches):
        """What checkpatch --strict complains of in the patches."""
        linux = Tree(self.base).linux
        # checkpatch leaves a cache where it runs, and needs more Python modules if that has a .git.
        with tempfile.TemporaryDirectory() as scratch:
            proc = subprocess.run(["perl", str(linux / "scripts/checkpatch.pl"), "--strict",
                                   "--emacs", "--no-summary", "--quiet", f"--root={linux}",
                                   "--ignore", "FILE_PATH_CHANGES,CAMELCASE", *map(str, patches)],
                                  cwd=scratch, capture_output=True, text=True)
        if proc.stderr or proc.returncode > 1:
            raise Failed(f"checkpatch did not run:\n{proc.stderr}")
        reports = re.split(r"^(?=\S+\.patch:\d+: (?:ERROR|WARNING|CHECK): )", proc.stdout, flags=re.M)
        if proc.returncode and not reports[1:]:
            raise Failed(f"checkpatch said what is not understood here:\n{proc.stdout}")
        return "".join(report for report in reports[1:] if not self._is_accepted(report))

    def _is_accepted(self, report):
        # Accept the string if a patch of the series documents it.
        compatible = re.search(r"DT compatible string \"(.+?)\" appears un-documented", report)
        if compatible:
            return any(compatible[1] in path.read_text() for path in self.repo.glob("**/*.yaml"))
        return any(re.search(known, report) for known in ACCEPTED)


def _diff(old, new):
    return "\n".join(difflib.unified_diff(old.splitlines(), new.splitlines(), "repository", "series",
                                          lineterm=""))


def run(base, out, sender, check=False, numbers=()):
    """Make the series for a base and print its sizes. With @check, also build and test after each
    patch, or after those of @numbers."""
    series = Series(base, sender)
    series.commit_all()
    patches = series.write(out or series.repo.parent / f"patches-{base}")
    say(series.table())
    complaints = series.checkpatch(patches[1:])
    if complaints:
        raise Failed(f"checkpatch --strict is not content:\n{complaints}")
    say(f"\n{len(patches) - 1} patches for Linux {base}, and a letter: {patches[0].parent}")
    if check:
        from . import series_build
        series_build.run(series, numbers)
