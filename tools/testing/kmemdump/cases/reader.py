# SPDX-License-Identifier: GPL-2.0
"""The reader on everything but a good dump; built with ASan and UBSan."""

import random
import re
import struct
import subprocess

from harness.host import xxh64
from harness.lab import expect

VERBS = (["list"], ["log"], ["check"], ["show", "my_critical_data"])


def _run(lab, data, verbs=VERBS, env=None):
    """Run the verbs on a file of @data; a clear answer is all that is allowed."""
    reader = lab.sanitized_reader
    file = lab.dumps / "hostile"
    file.write_bytes(data)
    outs = {}
    for verb, *args in verbs:
        proc = subprocess.run([str(reader), verb, str(file), *args], capture_output=True,
                              timeout=60, env=env)
        err = proc.stderr.decode(errors="replace")
        expect(proc.returncode in (0, 1, 2) and "Sanitizer" not in err
               and "runtime error" not in err,
               f"an answer of '{verb}', not exit code {proc.returncode}", err[-3000:])
        expect(proc.returncode == 0 or err or proc.stdout, f"a word from '{verb}'")
        outs[verb] = (proc.returncode, proc.stderr + proc.stdout)
    return outs


def _frames(data):
    """(start, end) of each piece of a record: skippable frames and zstd frames."""
    at, pieces = 0, []
    while at < len(data):
        kind, size = struct.unpack_from("<H", data, at + 18)[0], 64
        pieces.append((at, at + size))
        if kind == 2:
            length = struct.unpack_from("<Q", data, at + 48)[0]
            pieces.append((at + 64, at + 64 + length))
            size += length
        at += size
    return pieces


def test_good_one(lab):
    outs = _run(lab, lab.story_dump.read_bytes())
    expect(all(code == 0 for code, _ in outs.values()), "no complaint", str(outs))
    outs = _run(lab, lab.elf(lab.story_dump).read_bytes())
    expect(all(code == 0 for code, _ in outs.values()), "no complaint about the ELF core",
           str(outs))


def test_truncated(lab):
    data = lab.story_dump.read_bytes()
    rnd = random.Random(1)
    cuts = {0, 1, 63, 64, 65, len(data) - 1, len(data) - 64}
    cuts |= {end for _, end in _frames(data)[:-1]} | {rnd.randrange(len(data)) for _ in range(60)}
    for cut in sorted(cuts):
        outs = _run(lab, data[:cut])
        code, text = outs["check"]
        expect(code != 0 and b"complete record" not in text, f"a cut at {cut} to be noticed",
               text.decode(errors="replace"))


def test_log_and_truncation(lab):
    """log works exactly when the log is whole; the text is either right or not there."""
    data = lab.story_dump.read_bytes()
    whole = _run(lab, data)["log"][1]
    for _, end in _frames(data)[:-1]:
        outs = _run(lab, data[:end])
        marked = [line for line in outs["check"][1].splitlines() if b"region log_" in line]
        if outs["check"][0] == 1 and not marked:
            code, text = outs["log"]
            expect(code == 0 and text.endswith(whole), "the whole log", text.decode())


def test_truncated_elf(lab):
    data = lab.elf(lab.story_dump).read_bytes()
    rnd = random.Random(2)
    for cut in [4, 16, 63, 64, 119, 120, 400, 4096, *(rnd.randrange(len(data)) for _ in range(40))]:
        outs = _run(lab, data[:cut])
        expect(outs["check"][0] != 0, f"a cut at {cut} to be noticed", str(outs["check"]))


def test_one_bit_flipped(lab):
    """In a record no flipped bit that matters goes unnoticed; zstd ignores a few."""
    data = lab.story_dump.read_bytes()
    image = lab.elf(lab.story_dump).read_bytes()
    rnd = random.Random(3)
    bits = [rnd.randrange(8 * len(data)) for _ in range(250)]
    bits += [8 * at + bit for at in range(0, 128) for bit in (0, 5)]
    for bit in bits:
        bad = bytearray(data)
        bad[bit // 8] ^= 1 << bit % 8
        code, text = _run(lab, bytes(bad), [["check"]])["check"]
        if code == 0:
            same = subprocess.run(["zstd", "-dcq"], input=bytes(bad), capture_output=True).stdout
            expect(same == image, f"flipped bit {bit} to be noticed", text.decode(errors="replace"))


def test_bits_flipped_in_the_elf(lab):
    """The ELF core has no checksums of its own but those of the regions."""
    data = lab.elf(lab.story_dump).read_bytes()
    rnd = random.Random(4)
    for _ in range(150):
        bad = bytearray(data)
        for _ in range(rnd.randrange(1, 20)):
            bad[rnd.randrange(12000)] ^= 1 << rnd.randrange(8)
        _run(lab, bytes(bad))


def test_memory_changed(lab):
    """A byte of a region that changed after the crash makes it corrupt."""
    data = bytearray(lab.elf(lab.story_dump).read_bytes())
    at = data.find(b"CRITICAL_STATE: User_ID=1234")
    data[at] ^= 1
    outs = _run(lab, bytes(data))
    expect(b"region my_critical_data: corrupt" in outs["check"][1], "corrupt", str(outs["check"]))
    expect(outs["check"][0] == 1 and outs["show"][0] == 1, "exit code 1", str(outs["show"]))


def test_lost_frame(lab):
    """A damaged frame costs itself; what stands in the others is still read."""
    data = bytearray(lab.story_dump.read_bytes())
    pieces = _frames(data)
    for start, end in pieces[4:-2]:
        bad = bytearray(data)
        bad[start + 8:end] = bytes(end - start - 8)
        outs = _run(lab, bytes(bad))
        expect(outs["check"][0] == 1 and b"damaged places: 1" in outs["check"][1],
               "one damaged place", outs["check"][1].decode(errors="replace"))


def test_foreign_files(lab):
    rnd = random.Random(5)
    for data in (b"\x7fELF", b"\x7fELF" + bytes(200), lab.reader_path.read_bytes(),
                 b"\x28\xb5\x2f\xfd" + bytes(100), b"hello\n", bytes(100000),
                 rnd.randbytes(100000), b"\x5d" * 5000,
                 struct.pack("<II", 0x184D2A5D, 56) + b"KMEMDUMP" + bytes(200)):
        outs = _run(lab, data)
        expect(all(code == 2 for code, _ in outs.values()), "exit code 2", str(outs))


def test_no_file(lab):
    for path in ("/nonexistent", "/", "/dev/null"):
        out = lab.reader("list", path, status=2)
        expect(path in out, "an error that names the file", out)
    expect("usage" in lab.reader(status=2), "usage")
    expect("usage" in lab.reader("frobnicate", "x", status=2), "usage")
    out = lab.reader("show", lab.story_dump, "no_such_region", status=2)
    expect("has no region no_such_region" in out, "a clear error", out)


def test_terminal_escapes(lab):
    """Names and log text of a dump can't drive the terminal."""
    data = lab.elf(lab.story_dump).read_bytes()
    data = data.replace(b"my_critical_data\0", b"my\x1b[2J\x07_l_data\0", 1)
    outs = _run(lab, data)
    expect(b"\x1b" not in outs["list"][1] + outs["check"][1], "escapes to be shown as text",
           str(outs["list"]))


def test_hex_and_raw(lab):
    raw = subprocess.run([str(lab.reader_path), "show", "-r", str(lab.story_dump),
                          "my_critical_data"], capture_output=True, check=True).stdout
    expect(len(raw) == 1024 and raw.startswith(b"CRITICAL_STATE") and raw.endswith(bytes(64)),
           "the raw bytes", str(raw))
    text = lab.reader("show", "-x", lab.story_dump, "my_critical_data")
    expect(text.startswith("00000000  43 52 49 54") and "|CRITICAL_STATE: |" in text, "hex", text)


def _forge(data, at, field, value):
    """@data with a field of the frame at @at changed, and its checksum made right again."""
    start, size = {"version": (16, 2), "record_id": (24, 8), "offset": (32, 8),
                   "length": (40, 8)}[field]
    bad = bytearray(data)
    bad[at + start:at + start + size] = value.to_bytes(size, "little")
    bad[at + 56:at + 64] = xxh64(bytes(bad[at:at + 56])).to_bytes(8, "little")
    return bytes(bad)


def test_forged_frames(lab):
    """Frames whose checksums are right and whose claims are not: never called whole."""
    data = lab.story_dump.read_bytes()
    pieces = _frames(data)
    commit = pieces[-1][0]
    header = struct.unpack_from("<Q", data, 40)[0]
    forged = {
        "an image larger than its frames": _forge(data, 0, "length", header + 4096),
        "a commit of another size": _forge(data, commit, "length", header - 1),
        "a commit of fewer bytes": _forge(data, commit, "offset", 1),
        "a commit of another record": _forge(data, commit, "record_id", 77),
        "a frame outside of the image": _forge(data, pieces[1][0], "offset", header),
        "a frame that wraps": _forge(data, pieces[1][0], "offset", 2**64 - 1),
        "a frame too long": _forge(data, pieces[1][0], "length", 2**40),
        "record id 0": _forge(data, 0, "record_id", 0),
        "no header": data[64:],
        "a frame left out": data[:pieces[3][0]] + data[pieces[4][1]:],
        "a bad frame twice": data[:commit] + data[pieces[3][0]:pieces[3][1]]
        + bytes(pieces[4][1] - pieces[4][0]) + data[commit:],
        "a frame of another version": _forge(data, commit, "version", 2),
    }
    for what, bad in forged.items():
        code, text = _run(lab, bad)["check"]
        expect(code != 0, f"{what} to be noticed", text.decode(errors="replace"))


def test_forged_sizes(lab):
    """Sizes that would take long or much memory are refused at once."""
    data = lab.story_dump.read_bytes()
    for size in (2**32 + 1, 2**48, 2**64 - 1):
        code, text = _run(lab, _forge(data, 0, "length", size))["check"]
        expect(code == 2 and b"is no image" in text, "a clear refusal",
               text.decode(errors="replace"))
    elf = bytearray(lab.elf(lab.story_dump).read_bytes())
    note = elf.find(b"KMEMDUMP\0") + 12
    for at, value in ((12, 2**31), (20, 2**31), (8, 2**31), (16, 2**31), (0, 9)):
        bad = bytearray(elf)
        bad[note + at:note + at + 4] = value.to_bytes(4, "little")
        code, text = _run(lab, bytes(bad))["check"]
        expect(code == 2 and b"list of regions is damaged" in text, "a clear refusal",
               text.decode(errors="replace"))


def test_log_ring_damaged(lab):
    """A log that can't be followed is never printed as if it were all there."""
    elf = lab.elf(lab.story_dump).read_bytes()
    rows = dict(re.findall(r"(0x[0-9a-f]+) 0x[0-9a-f]+ +\d+ +1 kernel +(log_\w+)",
                           lab.reader("list", lab.story_dump)))
    address = {name: int(vaddr, 16) for vaddr, name in rows.items()}
    count = struct.unpack_from("<H", elf, 56)[0]
    loads = [struct.unpack_from("<IIQQQQQQ", elf, 64 + 56 * i) for i in range(1, count)]

    def place(vaddr):
        return next(p[2] + vaddr - p[3] for p in loads if p[3] <= vaddr < p[3] + p[5])

    for name in ("log_descs", "log_infos", "log_text", "log_ring", "log_prb"):
        at = place(address[name])
        for junk in (bytes(88), b"\xff" * 88, b"\x01" * 88):
            bad = bytearray(elf)
            bad[at:at + len(junk)] = junk
            code, text = _run(lab, bytes(bad))["log"]
            expect(code != 0, f"damage of {name} to be noticed", text.decode(errors="replace"))
