# SPDX-License-Identifier: GPL-2.0
"""kmemdump collect, which saves the dumps that wait after a crash. Most tests give it the stored
record in a folder that looks like a root folder, so they need no kernel."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from harness import host, story
from harness.lab import RECORD, STORED_RECORD, expect
from harness.record import FRAME_MAX, elf_core, packed, part, record

PSTORE, VMCORE, FADUMP = "sys/fs/pstore", "proc/vmcore", "sys/kernel/fadump"
FOLDER = re.compile(r"\d{14}(-\d+)?")
# Be root, but without the right to ignore the modes of files.
BOUND = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]


def _good(lab):
    """(The stored record, its core)."""
    return STORED_RECORD.read_bytes(), lab.elf(STORED_RECORD).read_bytes()


def _root(lab, records=(), vmcore=None):
    """Make a root folder as a boot after a crash has it."""
    root = lab.dumps / "root"
    shutil.rmtree(root, ignore_errors=True)
    for folder in (PSTORE, "proc", "run", FADUMP):
        (root / folder).mkdir(parents=True)
    (root / PSTORE / "dmesg-ramoops-0").write_text("not ours\n")
    for i, data in enumerate(records):
        (root / PSTORE / f"kmemdump-ramoops-{i}").write_bytes(data)
    if vmcore:
        (root / VMCORE).write_bytes(vmcore)
        for name, text in (("enabled", "1\n"), ("registered", "0\n"), ("release_mem", "")):
            (root / FADUMP / name).write_text(text)
    return root


def _collect(lab, root, status, *args, by=(), reader=None):
    proc = subprocess.run([*by, reader or lab.sanitized_reader, "collect", "--root", root, *args],
                          capture_output=True, text=True, timeout=60)
    out = proc.stdout + proc.stderr
    expect(proc.returncode == status, f"exit code {status}, not {proc.returncode}", out)
    return out


def _saved(root):
    """The content of each folder, in the order in which they were made: by the second in their
    names, and by the number that follows it."""
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
    """Without a dump, it says so and does nothing. Wrong arguments get the usage."""
    root = _root(lab)
    expect(_collect(lab, root, 0) == "nothing to collect\n", "a word")
    expect(not (root / "var").exists() and _waiting(root) == ["dmesg-ramoops-0"], "nothing done")
    shutil.rmtree(root / "sys")
    expect(_collect(lab, root, 0) == "nothing to collect\n", "the same with no pstore")
    for args in (["collect", "x"], ["collect", "--dir"], ["collect", "--nonsense"]):
        expect("usage" in lab.reader(*args, status=2), "usage")


def test_all_kinds(lab):
    """Good, torn, and foreign records and a vmcore are all saved and released, and none is lost."""
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
    """If collect is stopped, it leaves nothing half done, and the dump stays where it was."""
    root = _root(lab, vmcore=b"x")
    with (root / VMCORE).open("r+b") as file:
        # The test looks every 10 ms. To copy 4 TiB in between takes a disk of 400 TiB/s.
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


def _large_record():
    """A record of 2 GiB of zeros, which takes a while to read."""
    body, size = packed(bytes(FRAME_MAX)), 16384 * FRAME_MAX
    head = packed(elf_core([(1 << 63, 0, 4096, 0)]).ljust(FRAME_MAX, b"\0"))
    return record(size, part(0, FRAME_MAX, head) + b"".join(
        part(at, FRAME_MAX, body) for at in range(FRAME_MAX, size, FRAME_MAX)))


def _wait(ready, what):
    """Wait until @ready() returns something true, and return that."""
    deadline = time.monotonic() + 60
    while not (found := ready()):
        expect(time.monotonic() < deadline, what)
        time.sleep(0.001)
    return found


def _is_gone(pid):
    """Whether a process has ended, even if its parent has not waited for it yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


@contextlib.contextmanager
def _held(lab, root, writing=False):
    """Run collect, and stop its child while that makes a core or, with @writing, while it writes
    the core: (collect, PID of the child). The child can be missed only if this process stands still
    until 2 GiB are unpacked."""
    with subprocess.Popen([lab.reader_path, "collect", "--root", root], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True) as proc:
        children = Path(f"/proc/{proc.pid}/task/{proc.pid}/children")
        try:
            child = int(_wait(lambda: children.read_text().split(), "a process for the core")[0])
            if writing:
                _wait(lambda: list(root.glob(f"var/crash/{'?' * 14}/.kmemdump-partial")),
                      "a file")
            os.kill(child, signal.SIGSTOP)
            yield proc, child
        finally:
            proc.kill()


@pytest.mark.parametrize("how", ["SIGTERM", "SIGINT", "SIGHUP"])
def test_stopped_while_it_reads(lab, how):
    """A signal ends collect at once, even while it reads a large record. Nothing is left half
    done."""
    host.install(["zstd"])
    root = _root(lab, [_large_record(), _good(lab)[0]])
    with _held(lab, root) as (proc, _):
        proc.send_signal(getattr(signal, how))
        out = proc.communicate(timeout=60)[1]
        expect(proc.returncode == 2 and out.count("interrupted") == 2 and
               out.count("NOT saved") == 2, "an end of its own, and a word on each", out)
    expect(not list((root / "var/crash").iterdir()) and len(_waiting(root)) == 3,
           "nothing saved, nothing left behind", out)


def test_killed(lab):
    """The next run removes what a killed one could not clean up, and saves the dump. Files of
    others stay."""
    host.install(["zstd"])
    root = _root(lab, [_large_record()])
    others = [root / "var/crash" / name
              for name in ("202601010000/.kmemdump-partial", "20260101000000/x", "x/y")]
    for other in others:
        other.parent.mkdir(parents=True)
        other.write_text("of another program\n")
    with _held(lab, root, writing=True) as (proc, child):
        proc.kill()
        proc.wait()
        # The next run removes the file that the child writes, so wait until it writes no more.
        _wait(lambda: _is_gone(child), "the child to end, too")
    expect(len(list(root.glob("var/crash/*/.kmemdump-partial"))) == 2, "a file left behind")
    (root / "var/crash/20260101000000/.kmemdump-partial").write_text("of an earlier run\n")
    _collect(lab, root, 0, reader=lab.reader_path)
    left = sorted(path.relative_to(root / "var/crash") for path in root.glob("var/crash/*/*"))
    expect(len(left) == 4 and sum(path.name == "vmcore" for path in left) == 1 and
           all(map(Path.exists, others)) and len(list((root / "var/crash").iterdir())) == 4,
           "the dump, and the others", str(left))


def test_waited_for_one_that_fails(lab):
    """A collect that has waited saves all that the other one has not. That includes the vmcore of a
    kdump kernel: only the other one could have told that it was saved, but it was killed."""
    host.install(["zstd"])
    root = _root(lab, [_large_record()], _good(lab)[1])
    shutil.rmtree(root / FADUMP)
    with _held(lab, root) as (first, child):
        with subprocess.Popen([lab.reader_path, "collect", "--root", root], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True) as second:
            word = second.stderr.readline()
            expect("waiting for another collect to end" in word, "it to wait", word)
            first.kill()
            # The child may have been stopped before it asked to be killed with its parent.
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGCONT)
            out, err = second.communicate(timeout=300)
    expect(second.returncode == 0 and out.count("saved in") == 2, "both saved", out + err)
    expect((root / "run/kmemdump.lock").stat().st_mode & 0o777 == 0o600,
           "a lock that no user can take")
    # A collect that did not wait does not ask whether an earlier one has saved the vmcore.
    expect("saved in" in _collect(lab, root, 0), "it to be saved again")


def test_two_at_once(lab):
    """The second waits for the end of the first, and finds nothing left: no dump is saved twice,
    and none is released that another still reads."""
    host.install(["zstd"])
    root = _root(lab, [_large_record()], _good(lab)[1])
    # As in a kdump kernel, where nothing in sysfs shows that the dump was saved.
    shutil.rmtree(root / FADUMP)
    with _held(lab, root) as (first, child):
        with subprocess.Popen([lab.reader_path, "collect", "--root", root, "--dir", "/else"],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as second:
            word = second.stderr.readline()
            expect("waiting for another collect to end" in word, "it to wait", word)
            expect(first.poll() is None and second.poll() is None, "both at work")
            os.kill(child, signal.SIGCONT)
            _, err = first.communicate(timeout=300)
            out = second.communicate(timeout=300)[0]
        expect(first.returncode == 0 and len(_saved(root)) == 2, "the first to save both", err)
        expect(second.returncode == 0 and out == "nothing to collect\n" and
               not (root / "else").exists(), "the second to save nothing", out)


def test_unreadable_dump(lab):
    """If the kernel could not make a file of firmware's dump, collect says what to do. FADump saves
    no other dump until then."""
    root = _root(lab, vmcore=b"x")
    (root / VMCORE).unlink()
    (root / FADUMP / "registered").write_text("0\n")
    out = _collect(lab, root, 2)
    expect("not there, though FADump is not registered" in out and "release_mem" in out,
           "a word on what to do", out)
    expect(not _released(root), "nothing done by itself", out)


def test_dir(lab):
    """Dumps go into a folder that does not exist yet. The kernel has nothing to release."""
    _, core = _good(lab)
    root = _root(lab, vmcore=core)
    shutil.rmtree(root / FADUMP)
    out = _collect(lab, root, 0, "--dir", "a/b")
    [file] = (root / "a/b").glob("*/vmcore")
    expect(file.read_bytes() == core and not (root / FADUMP).exists(), "it saved", out)


@contextlib.contextmanager
def _disk_of(root, kib):
    """Mount a file system of @kib KiB where dumps go."""
    target = root / "var/crash"
    target.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kib}k", "none", target], check=True)
    try:
        yield target
    finally:
        subprocess.run(["umount", target], check=True)


def test_no_room_for_a_core(lab):
    """If the core of a record does not fit, the record itself is saved. That leaves room for the
    next one, and a core can be made from it elsewhere."""
    good, core = _good(lab)
    root = _root(lab, [good])
    kib = len(good) // 1024 + 16
    expect(2 * kib < lab.elf(STORED_RECORD).stat().st_blocks // 2 < len(core), "a larger core")
    with _disk_of(root, kib):
        out = _collect(lab, root, 1)
        [saved] = root.glob("var/crash/*/*")
        expect("no core can be made of it here" in out, "a clear word", out)
        expect(saved.name == "kmemdump-ramoops-0" and saved.read_bytes() == good, "it as it was")
    expect(len(_waiting(root)) == 1, "it released", out)


def test_disk_full(lab):
    """A dump that does not fit stays where it was, and no part of it is left on the disk. Once
    there is room, it is saved."""
    good, core = _good(lab)
    root = _root(lab, [good, good[:-64]], core)
    kib = len(good) // 1024 // 2
    with _disk_of(root, kib) as target:
        out = _collect(lab, root, 2)
        left = list(target.rglob("*"))
    expect(kib > 8 and len(core) >> 10 > kib, "what does not fit", f"{kib} KiB")
    # Neither the core of a record nor the record itself fits.
    expect(out.count("No space left on device") == 5 and out.count("NOT saved") == 3,
           "a clear word on each", out)
    expect(not left, "nothing of them there", str(left))
    expect(len(_waiting(root)) == 3 and not _released(root), "all of them still waiting", out)
    _collect(lab, root, 1)
    expect(len(_saved(root)) == 3 and len(_waiting(root)) == 1 and _released(root), "all saved")


def test_unreadable(lab):
    """A dump that can't be read stays where it is, and the others are saved."""
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
    """If a dump can't be read from its first byte on, no part of a copy is left, and the dump
    stays."""
    root = _root(lab, vmcore=b"x")
    (root / VMCORE).unlink()
    # The first page of a process is not mapped.
    (root / VMCORE).symlink_to("/proc/self/mem")
    out = _collect(lab, root, 2)
    expect("Input/output error at byte 0" in out and not _released(root), "not released", out)
    expect(not list((root / "var/crash").iterdir()), "nothing left", out)


def test_not_released(lab):
    """If a dump is saved but can't be removed, collect says so, and the copy stays."""
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
    """If the folder can't be made, the record stays."""
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
    """In a guest: after a crash, collect saves the record and removes it. Then all of this again,
    because the next crash needs the place of the record."""
    with lab.guest(files={"/bin/kmemdump": lab.guest_reader}) as guest:
        for _ in range(2):
            guest.run("insmod kmemdump_test.ko")
            guest.crash()
            check = guest.run(f"kmemdump check /sys/fs/pstore/{RECORD}")
            crashed = re.search("^crashed: .*", check, re.M)
            expect("complete record" in check and crashed, "it read in place", check)
            out = guest.run("kmemdump collect")
            saved = rf"^/sys/fs/pstore/{RECORD}: saved in /var/crash/\d{{14}}$"
            expect(re.search(saved, out, re.M), "it saved", out)
            left = guest.run("ls /sys/fs/pstore")
            expect("kmemdump" not in left and "dmesg-ramoops-0" in left, "its record gone", left)
            [dump] = guest.fetch("/var/crash", lab.dumps / "collected").glob("*/vmcore")
            guest.run("rm -r /var/crash")
            _check(lab, dump)
            expect(crashed[0] in lab.reader("check", dump), "the time of the crash", crashed[0])
            expect(guest.run("kmemdump collect") == "nothing to collect\n", "no more of it")


# The kernels of the tests have no sockets to reach a journal.
NO_JOURNAL = "int sd_journal_sendv(const void *iov, int n) { return iov && n < 0; }"


def test_systemd_pstore(lab):
    """systemd-pstore moves a record out of pstore, and the reader finds it whole in the new
    place."""
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
