# SPDX-License-Identifier: GPL-2.0
"""The reader, built with ASan and UBSan, on everything but a good dump. The tests use the stored
record of a real crash, so they need no kernel. The case torn checks that a record of today is like
it."""

import io
import json
import random
import re
import struct
import subprocess
from dataclasses import dataclass

import pytest
from elftools.elf.elffile import ELFFile

from harness import host
from harness.elfcore import ElfCore
from harness.full_dump import RAM_START, FullDump
from harness.host import xxh64
from harness.lab import STORED_RECORD, expect
from harness.record import elf_core, note, region_list
from harness.tamper import changed, flipped, packed, replaced

TEXT = b"CRITICAL_STATE: User_ID=1234"
VERBS = (["list"], ["log"], ["check"], ["show", "my_critical_data"])
CHECK, LOG = [["check"]], [["log"]]


@dataclass
class Answer:
    """How the program ended, and what it printed."""
    code: int
    err: bytes
    out: bytes

    @property
    def text(self):
        return self.err + self.out

    def __str__(self):
        return f"exit code {self.code}\n" + self.text[-3000:].decode(errors="replace")


def _record():
    return STORED_RECORD.read_bytes()


def _elf(lab):
    """The ELF core of the stored record."""
    return lab.elf(STORED_RECORD).read_bytes()


def _notes_end(elf):
    """Where the notes of the core end. All that the reader depends on is before that."""
    [notes] = ELFFile(io.BytesIO(elf)).iter_segments("PT_NOTE")
    return notes["p_offset"] + notes["p_filesz"]


def _run(lab, data, verbs=VERBS):
    """Run @verbs on a file of @data: verb -> Answer. Whatever the data is, the program ends with 0,
    1 or 2 and no report of a sanitizer, and says why if it does not end with 0."""
    file = lab.dumps / "hostile"
    file.write_bytes(data)
    answers = {}
    for verb, *args in verbs:
        args = [*args, str(file)] if "--json" in args else [str(file), *args]
        proc = subprocess.run([str(lab.sanitized_reader), verb, *args], capture_output=True,
                              timeout=60)
        answer = answers[verb] = Answer(proc.returncode, proc.stderr, proc.stdout)
        expect(answer.code in (0, 1, 2) and b"Sanitizer" not in answer.err
               and b"runtime error" not in answer.err, f"an answer of '{verb}'", str(answer))
        expect(answer.code != 2 or answer.err.startswith(b"kmemdump: "),
               f"'{verb}' to say what it can't read", str(answer))
        expect(answer.text, f"a word from '{verb}'", str(answer))
    return answers


def _expect_codes(answers, code, what):
    """All verbs ended with @code."""
    expect(answers and all(answer.code == code for answer in answers.values()),
           f"exit code {code} for {what}", "\n".join(map(str, answers.values())))


def _frames(data):
    """(start, end) of each frame of a record, skippable or of zstd."""
    at, frames = 0, []
    while at < len(data):
        kind = struct.unpack_from("<H", data, at + 18)[0]
        frames.append((at, at + 64))
        at += 64
        if kind == 2:
            length = struct.unpack_from("<Q", data, at - 16)[0]
            frames.append((at, at + length))
            at += length
    # A header, some data in two frames each, the end mark: enough for all tests here.
    expect(at == len(data) and len(frames) >= 12, "the frames of a record", str(frames))
    return frames


def test_good_one(lab):
    """The record and its ELF core are read without complaint, and the text is right."""
    for data in (_record(), _elf(lab)):
        answers = _run(lab, data)
        _expect_codes(answers, 0, "a good one")
        expect(answers["show"].out.startswith(TEXT), "the text", str(answers["show"]))
        expect(b"sysrq triggered crash" in answers["log"].out, "the log", str(answers["log"]))
        expect(b"my_critical_data" in answers["list"].out, "the list", str(answers["list"]))


def test_truncated(lab):
    """A record that is cut at, around or between the ends of its frames is never called whole. Up
    to the end of the first data frame, which has the list of regions, nothing can be read."""
    data = _record()
    frames = _frames(data)
    rnd = random.Random(1)
    cuts = {0, 1, 63, 65, len(data) - 1} | {end for _, end in frames[:-1]}
    cuts |= {(start + end) // 2 for start, end in frames} | set(rnd.sample(range(len(data)), 15))
    for cut in sorted(cuts):
        answers = _run(lab, data[:cut])
        check = answers["check"]
        if cut < frames[2][1]:
            _expect_codes(answers, 2, f"a cut at {cut}")
        expect(check.code == (2 if cut < frames[2][1] else 1),
               f"a cut at {cut} to be noticed", str(check))
        expect(b"complete record" not in check.text and (cut < 64 or b"torn record" in check.text),
               f"a cut at {cut} to be told", str(check))


def test_log_and_truncation(lab):
    """log ends with 0 exactly if check misses nothing of the log, and prints all of it then.
    Otherwise, each line that it prints is one of the log."""
    data = _record()
    whole = _run(lab, data, LOG)["log"].out
    lines = set(whole.splitlines())
    seen = set()
    for _, end in _frames(data)[2:-1]:
        answers = _run(lab, data[:end], CHECK + LOG)
        check, log = answers["check"], answers["log"]
        marked = [line for line in check.out.splitlines() if line.startswith(b"region log_")]
        expect(log.code == (1 if marked else 0), f"a log cut at {end} to be told", str(log))
        if marked:
            expect(set(log.out.splitlines()) <= lines, "lines of the log only", str(log))
        else:
            expect(log.out == whole, "the whole log", str(log))
        seen.add(bool(marked))
    expect(seen == {False, True}, "cuts with the log whole, and with the log cut", str(seen))


def test_truncated_elf(lab):
    """A core that is cut before the end of its notes can't be read. If it is cut after that, check
    notices."""
    data = _elf(lab)
    end = _notes_end(data)
    rnd = random.Random(2)
    for cut in (4, 16, 63, 64, 119, 120, 400, end - 1, *rnd.sample(range(end), 6)):
        _expect_codes(_run(lab, data[:cut]), 2, f"a cut at {cut}")
    for cut in (len(data) - 1, *rnd.sample(range(end, len(data)), 6)):
        check = _run(lab, data[:cut])["check"]
        expect(check.code == 1 and b"complete" not in check.text, f"a cut at {cut} to be noticed",
               str(check))


# Which bits are flipped: one in every byte of the first two frame headers, or some anywhere.
FLIPS = {"headers": lambda bits: [8 * at + at % 8 for at in range(128)],
         "anywhere": lambda bits: random.Random(3).sample(range(bits), 120)}


@pytest.mark.parametrize("where", FLIPS)
def test_one_bit_flipped(lab, where):
    """Each flipped bit in a record is noticed, except those that change nothing, so that zstd makes
    the same image."""
    host.install(["zstd"])
    data, image = _record(), _elf(lab)
    noticed = 0
    for bit in FLIPS[where](8 * len(data)):
        bad = flipped(data, [bit])
        check = _run(lab, bad, CHECK)["check"]
        if check.code:
            noticed += 1
            continue
        same = subprocess.run(["zstd", "-dcq"], input=bad, capture_output=True).stdout
        expect(same == image, f"flipped bit {bit} to be noticed", str(check))
    expect(noticed >= 100, "nearly all of them to be noticed", str(noticed))


def test_bits_flipped_in_the_elf(lab):
    """Flip up to 20 bits in the headers and notes of the core, which have no checksums of their
    own. If check calls it good, and the name is still there, show prints the right text."""
    data = _elf(lab)
    rnd = random.Random(4)
    codes = []
    for _ in range(40):
        answers = _run(lab, flipped(data, rnd.sample(range(8 * _notes_end(data)),
                                                     rnd.randrange(1, 20))))
        codes.append(answers["check"].code)
        show = answers["show"]
        if not codes[-1]:
            expect(show.out.startswith(TEXT) if show.code == 0 else
                   b"has no region my_critical_data" in show.err, "the text", str(show))
    expect(set(codes) == {0, 1, 2}, "answers of each kind", str(codes))


def test_memory_changed(lab):
    """A byte of a region that changed after the crash makes it corrupt."""
    data = replaced(_elf(lab), TEXT, TEXT.replace(b"1234", b"1235"))
    answers = _run(lab, data)
    expect(b"region my_critical_data: corrupt" in answers["check"].out, "corrupt",
           str(answers["check"]))
    expect(answers["check"].code == 1 and answers["show"].code == 1, "exit code 1",
           str(answers["show"]))


def test_lost_frame(lab):
    """A damaged frame loses what is in it, and the others are still read. Without the first one,
    which has the list of regions, nothing can be read."""
    data = _record()
    frames = _frames(data)
    for number, (start, end) in enumerate(frames[1:-1], 1):
        answers = _run(lab, changed(data, start + 8, bytes(end - start - 8)))
        check = answers["check"]
        expect(check.code == (2 if number < 3 else 1) and b"damaged places: 1" in check.out,
               f"one damaged place, frame {number}", str(check))
        if number < 3:
            expect(b"the start of the image is missing" in check.err, "a reason", str(check))
            continue
        whole, total = map(int, re.search(rb"^regions: (\d+) of (\d+) whole", check.out,
                                          re.M).groups())
        expect(0 < whole < total, "some regions to be lost, the others not", str(check))
        lost = re.search(rb"^region my_critical_data: ", check.out, re.M)
        show = answers["show"]
        expect(show.code == 2 if lost else show.code == 0 and show.out.startswith(TEXT),
               "the text, unless its frame is lost", str(show))


def test_hole_in_a_region(lab):
    """If a region has lost a frame in its middle, show prints what is before the hole, and does not
    go on after it as if there were no hole."""
    data, holes = _record(), 0
    file = lab.dumps / "hole"

    def show():
        return subprocess.run([str(lab.sanitized_reader), "show", "-r", str(file), "log_infos"],
                              capture_output=True, timeout=60)

    file.write_bytes(data)
    whole = show().stdout
    for start, end in _frames(data)[4:-1:2]:
        bad = changed(data, start + 8, bytes(end - start - 8))
        check = _run(lab, bad, CHECK)["check"].out
        cut = re.search(rb"^region log_infos: cut, (\d+) of ", check, re.M)
        if not cut:
            continue
        file.write_bytes(bad)
        shown = show()
        expect(shown.returncode == 1 and len(shown.stdout) <= int(cut[1])
               and whole.startswith(shown.stdout), "what is before the hole", str(shown.stderr))
        holes += 0 < len(shown.stdout) < int(cut[1])
    expect(holes, "a frame in the middle of log_infos")


def test_foreign_files(lab):
    """Files that are not dumps, some of which start like one."""
    rnd = random.Random(5)
    for data in (b"\x7fELF", b"\x7fELF" + bytes(200), lab.reader_path.read_bytes(),
                 b"\x28\xb5\x2f\xfd" + bytes(100), b"hello\n", bytes(100000),
                 rnd.randbytes(100000), b"\x5d" * 5000,
                 struct.pack("<II", 0x184D2A5D, 56) + b"KMEMDUMP" + bytes(200)):
        _expect_codes(_run(lab, data), 2, f"a file of {len(data)} bytes from {data[:8]}")


def test_no_file(lab):
    """No file, no region, no verb: an error that names what is wrong."""
    for path in ("/nonexistent", "/", "/dev/null"):
        out = lab.reader("list", path, status=2)
        expect(path in out, "an error that names the file", out)
    for args in ((), ("frobnicate", "x")):
        expect("usage" in lab.reader(*args, status=2), "usage")
    out = lab.reader("show", STORED_RECORD, "no_such_region", status=2)
    expect("has no region no_such_region" in out, "a clear error", out)
    for args in (("list", "/\x1b[2J"), ("show", STORED_RECORD, "\x1b[2J"),
                 ("extract", STORED_RECORD, "/nonexistent/\x1b[2J"),
                 ("collect", "--root", "/nonexistent/\x1b[2J")):
        out = lab.reader(*args, status=2)
        expect("\\x1b[2J" in out and "\x1b" not in out, "the name without escapes", repr(out))


def test_terminal_escapes(lab):
    """Names and log text of a dump can't control the terminal."""
    data = replaced(_elf(lab), b"my_critical_data\0", b"my\x1b[2J\x07\x9b_al_data\0")
    data = replaced(data, b"Linux version 6", b"Linux\x1b[2J\x9b\x07_n 6")
    answers = _run(lab, data)
    for verb, shown in (("list", rb"my.+\[2J.+_al_data"), ("log", rb"Linux.+\[2J.+_n 6"),
                        ("check", rb"region log_text: corrupt")):
        answer = answers[verb]
        expect(answer.code == 1 and re.search(shown, answer.out), f"{verb} to show what is there",
               str(answer))
        expect(not re.search(rb"[\x00-\x08\x0b-\x1f\x7f-\x9f]", answer.text),
               f"{verb} to show escapes as text", repr(answer.text))


def test_hex_and_raw(lab):
    """show prints the bytes of a region as they are, or in hex."""
    raw = subprocess.run([str(lab.reader_path), "show", "-r", str(STORED_RECORD),
                          "my_critical_data"], capture_output=True, check=True).stdout
    expect(len(raw) == 1024 and raw.startswith(b"CRITICAL_STATE") and raw.endswith(bytes(64)),
           "the raw bytes", str(raw))
    text = lab.reader("show", "-x", STORED_RECORD, "my_critical_data")
    expect(text.startswith("00000000  43 52 49 54") and "|CRITICAL_STATE: |" in text, "hex", text)


def _forge(data, at, field, value):
    """@data with a field of the frame at @at changed, and its checksum made right again."""
    start, layout = {"version": (16, "<H"), "record_id": (24, "<Q"), "offset": (32, "<Q"),
                     "length": (40, "<Q"), "time": (48, "<Q")}[field]
    bad = packed(data, at + start, layout, value)
    return packed(bad, at + 56, "<Q", xxh64(bad[at:at + 56]))


def _short(data, frames):
    """Replace the second data frame by the last one, which has less data than the second one
    claims."""
    (_, end), (start, stop), last = frames[3], frames[4], data[slice(*frames[-2])]
    bad = data[:start] + last + data[stop:]
    return _forge(bad, end - 64, "time", len(last))


def _forgeries():
    """What is wrong -> (the record, check's exit code, what it says)."""
    data = _record()
    frames = _frames(data)
    commit = frames[-1][0]
    size = struct.unpack_from("<Q", data, 40)[0]
    mark = b"the record does not hold what its end mark says"
    outside = b"a frame claims bytes outside of the image"
    return {
        "an image larger than its frames": (_forge(data, 0, "length", size + 4096), 1, mark),
        "a commit of another size": (_forge(data, commit, "length", size - 1), 1, mark),
        "a commit of fewer bytes": (_forge(data, commit, "offset", 1), 1, mark),
        "a commit of another record": (_forge(data, commit, "record_id", 77), 1, b"torn record"),
        "a frame outside of the image": (_forge(data, frames[1][0], "offset", size), 2, outside),
        "a frame that wraps": (_forge(data, frames[1][0], "offset", 2**64 - 1), 2, outside),
        "a frame too long": (_forge(data, frames[1][0], "length", 2**40), 2, outside),
        "record id 0": (_forge(data, 0, "record_id", 0), 1, b"the header is damaged"),
        "no header": (data[64:], 1, b"the header is damaged"),
        "a frame left out": (data[:frames[3][0]] + data[frames[4][1]:], 1, mark),
        "a bad frame twice": (data[:commit] + data[frames[3][0]:frames[3][1]]
                              + bytes(frames[4][1] - frames[4][0]) + data[commit:], 1,
                              b"two frames claim the same bytes"),
        "a good frame behind a bad one": (data[:commit] + data[slice(*frames[3])]
                                          + data[slice(*frames[4])] + data[commit:], 1,
                                          b"two frames claim the same bytes"),
        "a frame of another version": (_forge(data, commit, "version", 2), 1, b"torn record"),
        "a frame of fewer bytes than it claims": (_short(data, frames), 1, b"is damaged"),
    }


def test_forged_frames(lab):
    """A record is never called whole if the checksums of its frames are right, but their claims are
    not."""
    for what, (bad, code, reason) in _forgeries().items():
        check = _run(lab, bad, CHECK)["check"]
        expect(check.code == code and reason in check.text,
               f"{what} to be noticed: {code}, {reason}", str(check))


def test_forged_sizes(lab):
    """Sizes that would take long or much memory are refused at once."""
    data = _record()
    for size in (2**32 + 1, 2**48, 2**64 - 1):
        check = _run(lab, _forge(data, 0, "length", size), CHECK)["check"]
        expect(check.code == 2 and b"is no image" in check.err, "a clear refusal", str(check))
    elf = _elf(lab)
    expect(elf.count(b"KMEMDUMP\0") == 1, "one list of regions")
    note = elf.index(b"KMEMDUMP\0") + 12
    for at, value in ((12, 2**31), (20, 2**31), (8, 2**31), (16, 2**31), (0, 9)):
        check = _run(lab, packed(elf, note + at, "<I", value), CHECK)["check"]
        expect(check.code == 2 and b"list of regions is damaged" in check.err, "a clear refusal",
               str(check))


# Fields of an entry in the list of regions: (offset, how the field is packed).
FIRST_PIECE, NR_PIECES, SIZE = (140, "<I"), (144, "<I"), (160, "<Q")


def test_forged_entries(lab):
    """An entry is refused if its pieces are not in the table of pieces, or do not have the size of
    the region: there might be no room for what is read of it. The log does not need the list."""
    elf = _elf(lab)
    note = elf.index(b"KMEMDUMP\0") + 12
    _, header, row, _, _, pieces = struct.unpack_from("<6I", elf, note)
    entry = note + header + row
    [size] = struct.unpack_from("<Q", elf, entry + SIZE[0])
    log = _run(lab, elf, LOG)["log"].out
    for (at, layout), value in ((FIRST_PIECE, pieces), (FIRST_PIECE, pieces + 1),
                                (FIRST_PIECE, 2**32 - 1), (NR_PIECES, 0),
                                (NR_PIECES, pieces + 1), (NR_PIECES, 2**32 - 1),
                                (SIZE, size - 1), (SIZE, size + 1), (SIZE, 0)):
        answers = _run(lab, packed(elf, entry + at, layout, value))
        reason = b"entry 1 of its list of regions is damaged"
        expect(all(reason in answer.err for answer in answers.values()), "a reason",
               "\n".join(map(str, answers.values())))
        got = answers.pop("log")
        expect(got.code == 1 and got.out == log, "the whole log", str(got))
        _expect_codes(answers, 2, f"{value} at byte {at} of an entry")


def _pieces(lab, elf, name):
    """Where a region is in the core: (offset, bytes) of its pieces, in their order in memory."""
    [region] = [region for region in json.loads(lab.reader("list", "--json", STORED_RECORD))[
        "regions"] if region["name"] == name]
    start, end = int(region["virtual"], 16), int(region["virtual"], 16) + region["size"]
    loads = sorted((s["p_vaddr"], s["p_vaddr"] + s["p_filesz"], s["p_offset"])
                   for s in ELFFile(io.BytesIO(elf)).iter_segments("PT_LOAD"))
    pieces = [(offset + max(start, low) - low, min(end, high) - max(start, low))
              for low, high, offset in loads if low < end and start < high]
    expect(sum(size for _, size in pieces) == end - start, f"all of {name}", str(pieces))
    return pieces


def _with_checksum(lab, elf, name, at, new):
    """@elf with @new at the offset @at of a region's bytes, and with the right checksum of that
    region."""
    pieces = _pieces(lab, elf, name)
    bad = changed(elf, pieces[0][0] + at, new)
    was, now = (xxh64(b"".join(core[start:start + size] for start, size in pieces))
                .to_bytes(8, "little") for core in (elf, bad))
    return replaced(bad, was, now)


def test_log_of_bad_records(lab):
    """A record of the log whose text belongs to another one, or is longer than its place, is
    counted and not printed, even if the checksum of its region is right."""
    elf = _elf(lab)
    text_len = int(re.search(rb"^OFFSET\(printk_info.text_len\)=(\d+)$", elf, re.M)[1])
    whole = _run(lab, elf, LOG)["log"].out.splitlines()
    # The ring was never full, so the first record is the first one in each of its parts.
    for name, at, new in (("log_text", 0, b"\x55" * 8), ("log_infos", text_len, b"\xff\x7f")):
        log = _run(lab, _with_checksum(lab, elf, name, at, new), LOG)["log"]
        expect(log.code == 1 and b"1 records of the log are damaged" in log.err and
               log.out.splitlines() == whole[1:], f"all but the first line: {name}", str(log)[:2000])


# The region that is damaged -> the exit codes of log for each of JUNK in its place.
JUNK = (bytes(88), b"\xff" * 88, b"\x01" * 88)
ENDS = {"log_descs": (1, 1, 1), "log_infos": (1, 1, 1), "log_text": (1, 1, 1),
        "log_ring": (2, 2, 2), "log_prb": (2, 2, 2)}


@pytest.mark.parametrize("name", ENDS)
def test_log_ring_damaged(lab, name):
    """A log that can't be followed is never printed as if it were all there."""
    elf = _elf(lab)
    at = _pieces(lab, elf, name)[0][0]
    for junk, code in zip(JUNK, ENDS[name]):
        log = _run(lab, changed(elf, at, junk), LOG)["log"]
        reason = b"the head of the log is" if code == 2 else f"region {name} is corrupt".encode()
        expect(log.code == code and reason in log.err, f"damage of {name} to be noticed", str(log))


def test_log_in_no_region(lab):
    """The log is found by the headers of a dump of all memory, even if its own list of regions is
    good but has no log."""
    core, made = ElfCore(_elf(lab)), FullDump()
    loads = [(0, RAM_START, bytes(made.ram))] + core.loads
    [info] = [desc for name, _, desc in core.notes if name == "VMCOREINFO"]
    # If a line is there twice, the first one counts.
    notes = note("VMCOREINFO", 0, made.info + info)
    where, data = [], b""
    for vaddr, paddr, content in loads:
        where.append((vaddr, paddr, len(content), len(data)))
        data += content
    file = lab.dumps / "full"
    file.write_bytes(elf_core(where, notes, data))
    names = {region["name"] for region in json.loads(lab.reader("list", "--json", file))["regions"]}
    expect(names == set(made.regions), "the regions of the list", str(names))
    expect(lab.reader("log", file) == lab.reader("log", STORED_RECORD), "the whole log")


HIGH, PAGE = 0xffff888000000000, 4096


def _per_cpu_core():
    """A core with a per-CPU region. The part of CPU 0 is missing. The list has no checksum."""
    notes = region_list([("counters", 0, 2, 2 * PAGE, PAGE)],
                        [(HIGH, PAGE, 0), (HIGH + 2 * PAGE, PAGE, 1)])
    return elf_core([(HIGH + 2 * PAGE, 0, PAGE, 0)], notes, b"of CPU 1".ljust(PAGE, b"\0"))


def test_part_of_a_cpu(lab):
    """The part of one CPU is shown even if that of another one is missing."""
    file = lab.dumps / "per-cpu"
    file.write_bytes(_per_cpu_core())
    expect("region counters: cut, 4096 of 8192 bytes" in lab.reader("check", file, status=1),
           "the part of CPU 0 to be missing")
    expect(lab.reader("show", file, "counters@1") == "of CPU 1\n", "what CPU 1 has")
    expect("has nothing of region counters@0" in
           lab.reader("show", file, "counters@0", status=2), "nothing of CPU 0")
    expect("has nothing of region counters" in lab.reader("show", file, "counters", status=2),
           "nothing that goes on from the start")


def test_exit_code_of_list(lab):
    """list has the exit code that check has, whatever it prints."""
    data = _record()
    frames = _frames(data)
    for bad in (data[:frames[-1][0]], changed(data, frames[3][0] + 8, bytes(40)), data):
        answers = _run(lab, bad, (["check"], ["list"]))
        as_json = _run(lab, bad, (["list", "--json"],))["list"]
        good = json.loads(as_json.out)["good"]
        expect(answers["list"].code == answers["check"].code == as_json.code == (0 if good else 1),
               "one exit code", "\n".join(map(str, (*answers.values(), as_json))))
