# SPDX-License-Identifier: GPL-2.0
"""Saving the dumps that wait, once after a crash: kmemdump collect. Most of it with the stored
record, in a folder that looks like a root; so it needs no kernel."""

import re
import shutil
import subprocess
import time

from harness import host, story
from harness.lab import RECORD, STORED_RECORD, expect

PSTORE, VMCORE, FADUMP = "sys/fs/pstore", "proc/vmcore", "sys/kernel/fadump"
FOLDER = re.compile(r"\d{14}(-\d+)?")
# Root, but bound to what the modes of files allow.
BOUND = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]


def _good(lab):
    """The stored record, and the core of it."""
    return STORED_RECORD.read_bytes(), lab.elf(STORED_RECORD).read_bytes()


def _root(lab, records=(), vmcore=None):
    """A root folder as a boot after a crash has it."""
    root = lab.dumps / "root"
    shutil.rmtree(root, ignore_errors=True)
    for folder in (PSTORE, "proc", FADUMP):
        (root / folder).mkdir(parents=True)
    (root / PSTORE / "dmesg-ramoops-0").write_text("not ours\n")
    for i, data in enumerate(records):
        (root / PSTORE / f"kmemdump-ramoops-{i}").write_bytes(data)
    if vmcore:
        (root / VMCORE).write_bytes(vmcore)
        for name, text in (("enabled", "1\n"), ("registered", "0\n"), ("release_mem", "")):
            (root / FADUMP / name).write_text(text)
    return root


def _collect(lab, root, status, *args, by=()):
    proc = subprocess.run([*by, lab.sanitized_reader, "collect", "--root", root, *args],
                          capture_output=True, text=True, timeout=60)
    out = proc.stdout + proc.stderr
    expect(proc.returncode == status, f"exit code {status}, not {proc.returncode}", out)
    return out


def _saved(root):
    """What is in each of the folders, in the order in which they were made: by their second, and
    by their number in that."""
    folders = list((root / "var/crash").iterdir())
    expect(folders and all(FOLDER.fullmatch(path.name) for path in folders),
           "folders named by the time", str(folders))
    folders.sort(key=lambda path: [int(part) for part in path.name.split("-")])
    expect(all(path.stat().st_mode & 0o777 == 0o700 for path in folders), "folders of the owner")
    files = [{path.name: path for path in folder.iterdir()} for folder in folders]
    expect(all(files) and all(path.stat().st_mode & 0o777 == 0o400
                              for these in files for path in these.values()),
           "files in each, of the owner")
    return [{name: path.read_bytes() for name, path in these.items()} for these in files]


def _waiting(root):
    return sorted(path.name for path in (root / PSTORE).iterdir())


def _released(root):
    return (root / FADUMP / "release_mem").read_text() == "1\n"


def test_nothing(lab):
    """With no dump there, it says so and does nothing; wrong arguments get the usage."""
    root = _root(lab)
    expect(_collect(lab, root, 0) == "nothing to collect\n", "a word")
    expect(not (root / "var").exists() and _waiting(root) == ["dmesg-ramoops-0"], "nothing done")
    shutil.rmtree(root / "sys")
    expect(_collect(lab, root, 0) == "nothing to collect\n", "the same with no pstore")
    for args in (["collect", "x"], ["collect", "--dir"], ["collect", "--nonsense"]):
        expect("usage" in lab.reader(*args, status=2), "usage")


def test_all_kinds(lab):
    """Good, torn, and foreign records and a vmcore: all saved, all released, none lost."""
    good, core = _good(lab)
    torn, foreign = good[:-200], b"no record at all\n" * 100
    root = _root(lab, [good, torn, foreign, good], core)
    out = _collect(lab, root, 1)
    whole, cut, other, second, vmcore = _saved(root)
    expect(whole == second == vmcore == {"vmcore": core}, "the whole ones as cores", out)
    expect(set(cut) == {"vmcore", "kmemdump-ramoops-1"} and cut["kmemdump-ramoops-1"] == torn,
           "the torn one as it was, too", out)
    expect(0 < len(cut["vmcore"]) <= len(core) and cut["vmcore"][:4] == b"\x7fELF", "a core of it")
    expect(other == {"kmemdump-ramoops-2": foreign}, "the foreign one as it was", out)
    expect(_waiting(root) == ["dmesg-ramoops-0"], "records gone, and no others", out)
    expect(_released(root) and (root / FADUMP / "registered").read_text() == "1\n",
           "released, and registered anew", out)
    expect(out.count("saved in") == 5 and "NOT" not in out, "a line for each", out)

    (root / VMCORE).unlink()
    expect(_collect(lab, root, 0) == "nothing to collect\n", "no more of it")


def test_interrupted(lab):
    """Whoever stops it finds nothing half done, and the dump where it was."""
    root = _root(lab, vmcore=b"x")
    with (root / VMCORE).open("r+b") as file:
        # We look every 10 ms; to copy 4 TiB in between takes a disk of 400 TiB/s.
        file.truncate(4 << 40)
    with subprocess.Popen([lab.reader_path, "collect", "--root", root], stderr=subprocess.PIPE,
                          text=True) as proc:
        try:
            deadline = time.monotonic() + 60
            while not list(root.glob("var/crash/*/*")):
                expect(time.monotonic() < deadline and proc.poll() is None, "it to begin")
                time.sleep(0.01)
            proc.terminate()
            out = proc.communicate(timeout=60)[1]
        finally:
            proc.kill()
    expect(proc.returncode == 2 and "interrupted" in out, "an end of its own", out)
    expect(not list((root / "var/crash").iterdir()), "nothing left behind")
    expect((root / VMCORE).exists() and not _released(root), "the dump to wait", out)


def test_unreadable_dump(lab):
    """The kernel could make no file of a dump that firmware has, and saves no other one."""
    root = _root(lab, vmcore=b"x")
    (root / VMCORE).unlink()
    (root / FADUMP / "registered").write_text("0\n")
    out = _collect(lab, root, 2)
    expect("not there, though FADump is not registered" in out and "release_mem" in out,
           "a word on what to do", out)
    expect(not _released(root), "nothing done by itself", out)


def test_dir(lab):
    """Into a folder that is to be made, of a kernel that has nothing to release."""
    _, core = _good(lab)
    root = _root(lab, vmcore=core)
    shutil.rmtree(root / FADUMP)
    out = _collect(lab, root, 0, "--dir", "a/b")
    [file] = (root / "a/b").glob("*/vmcore")
    expect(file.read_bytes() == core and not (root / FADUMP).exists(), "it saved", out)


def test_disk_full(lab):
    """What does not fit leaves nothing behind and stays where it was; with room, it is saved."""
    good, core = _good(lab)
    root = _root(lab, [good, good[:-64]], core)
    target = root / "var/crash"
    target.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "none", target], check=True)
    try:
        out = _collect(lab, root, 2)
        left = list(target.rglob("*"))
    finally:
        subprocess.run(["umount", target], check=True)
    expect(len(core) > 256 << 10, "a core that does not fit")
    expect(out.count("No space left on device") == 3 and out.count("NOT saved") == 3,
           "a clear word on each", out)
    expect(not left, "nothing of them there", str(left))
    expect(len(_waiting(root)) == 3 and not _released(root), "all of them still waiting", out)
    _collect(lab, root, 1)
    expect(len(_saved(root)) == 3 and len(_waiting(root)) == 1 and _released(root), "all saved")


def test_unreadable(lab):
    """What can't be read stays, and does not keep the others."""
    good, core = _good(lab)
    root = _root(lab, [good] * 3, core)
    (root / PSTORE / "kmemdump-ramoops-0").chmod(0)
    (root / PSTORE / "kmemdump-ramoops-1").unlink()
    (root / PSTORE / "kmemdump-ramoops-1").mkdir()
    (root / VMCORE).chmod(0)
    out = _collect(lab, root, 2, by=BOUND)
    expect(out.count("NOT saved") == 3 and "kmemdump-ramoops-0: Permission denied" in out
           and "kmemdump-ramoops-1: not a regular file" in out and "vmcore: Permission" in out,
           "a clear word on each", out)
    expect(_saved(root) == [{"vmcore": core}] and not _released(root), "the other saved", out)
    expect(_waiting(root)[1:] == ["kmemdump-ramoops-0", "kmemdump-ramoops-1"], "these left", out)


def test_read_error(lab):
    """The dump can't be read, from its first byte on: nothing is left of it, and it stays."""
    root = _root(lab, vmcore=b"x")
    (root / VMCORE).unlink()
    # The first page of a process is not mapped.
    (root / VMCORE).symlink_to("/proc/self/mem")
    out = _collect(lab, root, 2)
    expect("Input/output error at byte 0" in out and not _released(root), "not released", out)
    expect(not list((root / "var/crash").iterdir()), "nothing left", out)


def test_not_released(lab):
    """Saved, but the source can't be removed: that is told, and it is not lost."""
    good, core = _good(lab)
    root = _root(lab, [good], core)
    (root / PSTORE).chmod(0o555)
    (root / FADUMP / "release_mem").unlink()
    (root / FADUMP / "release_mem").symlink_to("/dev/full")
    out = _collect(lab, root, 2, by=BOUND)
    (root / PSTORE).chmod(0o755)
    expect("can't be removed: Permission denied" in out and "release_mem: No space left" in out
           and "no crash will be saved" in out, "a clear word", out)
    expect(_saved(root) == [{"vmcore": core}] * 2, "both saved", out)
    expect((root / FADUMP / "registered").read_text() == "0\n", "not registered", out)


def test_no_target(lab):
    """Where the folder can't be made, the record stays."""
    root = _root(lab, [_good(lab)[0]])
    (root / "var").write_text("in the way")
    out = _collect(lab, root, 2)
    expect("var/crash: Not a directory" in out and len(_waiting(root)) == 2, "a clear word", out)


def _check(lab, dump):
    """The reader and stock crash open what was saved."""
    expect(lab.reader("show", dump, "my_critical_data") == story.TEXT + "\n", "the text")
    out = host.crash(lab.kernel.vmlinux, dump, ["log"], "--minimal")
    expect("sysrq triggered crash" in out, "crash to open it", out[-3000:])


def test_ramoops(lab):
    """In a guest: a crash, collect, and the record is saved and gone. Then all of it again, for the
    next crash has to find its place free."""
    with lab.guest(files={"/bin/kmemdump": lab.guest_reader}) as guest:
        for _ in range(2):
            guest.run("insmod kmemdump_test.ko")
            guest.crash()
            expect("complete record" in guest.run(f"kmemdump check /sys/fs/pstore/{RECORD}"),
                   "it read in place")
            out = guest.run("kmemdump collect")
            saved = rf"^/sys/fs/pstore/{RECORD}: saved in /var/crash/\d{{14}}$"
            expect(re.search(saved, out, re.M), "it saved", out)
            left = guest.run("ls /sys/fs/pstore")
            expect("kmemdump" not in left and "dmesg-ramoops-0" in left, "its record gone", left)
            [dump] = guest.fetch("/var/crash", lab.dumps / "collected").glob("*/vmcore")
            guest.run("rm -r /var/crash")
            _check(lab, dump)
            expect(guest.run("kmemdump collect") == "nothing to collect\n", "no more of it")


# The kernels of the tests have no sockets to reach a journal.
NO_JOURNAL = "int sd_journal_sendv(const void *iov, int n) { return iov && n < 0; }"


def test_systemd_pstore(lab):
    """systemd-pstore moves a record out of pstore, and it is read as a whole one where that put
    it."""
    host.install(["systemd"])
    shim = lab.dumps / "journal.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", shim, "-xc", "-"], input=NO_JOURNAL.encode(),
                   check=True)
    files = host.with_libraries("/lib/systemd/systemd-pstore") | {"/lib/journal.so": shim}
    with lab.guest(files=files) as guest:
        guest.run("insmod kmemdump_test.ko")
        guest.crash()
        guest.run("mkdir -p /var/lib/systemd/pstore")
        guest.run("/lib/ld.so --library-path /lib --preload /lib/journal.so /root/systemd-pstore")
        left = guest.run("ls /sys/fs/pstore")
        guest.fetch("/var/lib/systemd/pstore", lab.dumps / "systemd-pstore")
    [record] = (lab.dumps / "systemd-pstore").rglob(RECORD)
    expect("complete record" in lab.reader("check", record) and RECORD not in left,
           "the whole record moved", left)
