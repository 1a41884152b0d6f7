# SPDX-License-Identifier: GPL-2.0
"""Assemble an ELF core from a Qualcomm minidump, in each form that firmware leaves it in. The
minidumps are made here, so only the test of the debuggers needs a kernel. The reader is built with
ASan and UBSan."""

import json
import re
import shutil
import struct
import subprocess

from harness import host
from harness.lab import STORED_RECORD, expect
from harness.minidump import INVALID, PAGE, Core, Minidump, flat
from harness.tamper import packed, replaced


def _work(lab):
    folder = lab.dumps / "assemble"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


def _assemble(lab, *args, status=0):
    """Run assemble on minidumps of any form: (what it printed, the bytes of the core)."""
    core = lab.dumps / "assembled"
    core.unlink(missing_ok=True)
    out = lab.reader("assemble", *args, core, status=status,
                     reader=lab.sanitized_reader) if args[0] == "--smem" else \
        lab.reader("assemble", core, *args, status=status, reader=lab.sanitized_reader)
    expect(core.exists() == (status < 2), "a core exactly if there is an answer", out)
    if not core.exists():
        return out, None
    expect(core.stat().st_mode & 0o777 == 0o400, "a file for its owner only")
    return out, core.read_bytes()


def _write_ram(path, ram):
    """Write RAM to a file, with holes where @ram has nothing. Returns the argument for --ram."""
    base = min(ram)
    with path.open("wb") as file:
        for address, data in ram.items():
            file.seek(address - base)
            file.write(data)
    return f"{path}@{base:#x}"


def _from_folder(lab, md, **kwargs):
    return _assemble(lab, md.folder(_work(lab) / "md"), **kwargs)


def _from_rawdump(lab, data, **kwargs):
    path = _work(lab) / "rawdump"
    path.write_bytes(data)
    return _assemble(lab, path, **kwargs)


def _from_ram(lab, md, ram, options=(), **kwargs):
    return _assemble(lab, "--smem", hex(md.smem_at), *options, "--ram",
                     _write_ram(_work(lab) / "ram", ram), **kwargs)


def _each_form(lab, md, status=0):
    return {"folder": _from_folder(lab, md, status=status),
            "rawdump": _from_rawdump(lab, md.rawdump(), status=status),
            "RAM": _from_ram(lab, md, md.ram(), status=status)}


def _check_forms(lab, core):
    md = Minidump(core)
    for form, (out, data) in _each_form(lab, md).items():
        expect(data == md.elf, f"KELF and the slots behind it, from {form}", out)
    for form in ("md_{}.bin", "MD_{}.BIN", "md_{}"):
        _, data = _from_rawdump(lab, md.rawdump(form=form))
        expect(data == md.elf, f"the same from sections named {form}")
    _, data = _assemble(lab, md.folder(_work(lab) / "lower", "md_{}.bin"))
    expect(data == md.elf, "the same from names in lower case")
    folder = _work(lab) / "upper"
    folder.mkdir()
    for name, data in md.slots.items():
        (folder / f"md_{name.upper()}.BIN").write_bytes(data)
    _, data = _assemble(lab, folder)
    expect(data == md.elf, "the same from regions in upper case")


def test_forms(lab):
    """A small core is assembled from each form, and its log is read."""
    _check_forms(lab, Core.small())
    out = lab.reader("log", lab.dumps / "assembled")
    expect(out == "[    0.000000] one\n[    1.000000] \n[    2.000000] two\n[    2.000000] lines\n",
           "the log", out)


def test_forms_of_a_real_dump(lab):
    """The memory of a real crash, as if firmware had saved it: from each form, the reader gets the
    log and all regions."""
    core = Core.from_elf(lab.elf(STORED_RECORD).read_bytes())
    _check_forms(lab, core)
    there = lab.dumps / "assembled"
    expect(lab.reader("log", there) == lab.reader("log", STORED_RECORD), "the same log")
    out = lab.reader("check", there)
    expect(re.search(r"regions: (\d+) of \1 whole, checksums verified", out), "all regions", out)


def test_split_ram(lab):
    """RAM in several files, one of which ends inside of regions and of their table."""
    md = Minidump(Core.small())
    ram, folder = md.ram(), _work(lab)
    base, end = min(ram), max(address + len(data) for address, data in ram.items())
    whole = folder / "ram"
    data = flat(ram, base)
    whole.write_bytes(data)
    cuts = [base, md.address["Kslot1"] + 33, md.table_at + 50, md.smem_at + 0x4010, end]
    args = []
    for low, high in zip(cuts, cuts[1:]):
        part = folder / f"part{low:x}"
        part.write_bytes(data[low - base:high - base])
        args[0:0] = ["--ram", f"{part}@{low}"]
    _, core = _assemble(lab, "--smem", md.smem_at, *args)
    expect(core == md.elf, "the same core")
    # The part in the middle of the slot is missing.
    out, core = _assemble(lab, "--smem", md.smem_at, *args[:6], status=1)
    expect("of region Kslot0" in out and "of region Kslot1" in out, "the regions by name", out)
    out, _ = _assemble(lab, "--smem", md.smem_at, *args, *args[:2], status=2)
    expect("two files claim to be RAM at" in out, "a clear error", out)
    for arg in ("part", f"{whole}@", f"{whole}@12x", f"{whole}@-1", f"{whole}@0x{2**64 - 100:x}",
                "/nonexistent@0", f"{whole}@{2**64}"):
        out, _ = _assemble(lab, "--smem", md.smem_at, "--ram", arg, status=2)
        expect(arg.split("@")[0] in out, "an error that names the file", out)


def test_usage(lab):
    """Wrong arguments get the usage, or an error that says what is wrong with them."""
    for args in (("--smem", "1"), ("--smem",), ("--frob", "1", "x"), ("--ram", "x@1", "core"),
                 ("--subsystem", "1", "core", "part"), ("core",)):
        expect("usage" in lab.reader("assemble", *args, status=2), "usage", str(args))
    expect("not an address" in lab.reader("assemble", "--smem", "x", "--ram", "y@1", "core",
                                          status=2), "a clear error")
    expect("not the number" in lab.reader("assemble", "--smem", "1", "--subsystem", "-1", "--ram",
                                          "y@1", "core", status=2), "a clear error")


def test_other_subsystem(lab):
    """--subsystem chooses the table. It is an error if that subsystem has no regions, or is not
    there."""
    md = Minidump(Core.small())
    ram = md.ram(subsystem=3)
    out, core = _from_ram(lab, md, ram, ["--subsystem", "3"])
    expect(core == md.elf, "the same core", out)
    out, _ = _from_ram(lab, md, ram, status=2)
    expect("subsystem 0 has no regions" in out, "a clear error", out)
    out, _ = _from_ram(lab, md, ram, ["--subsystem", "10"], status=2)
    expect("too few for subsystem 10" in out, "a clear error", out)


def test_cached_item(lab):
    """The item of the minidump is found among the cached ones, whose list grows down from the
    end."""
    md = Minidump(Core.small())
    out, core = _from_ram(lab, md, md.ram(cached=True))
    expect(core == md.elf, "the same core", out)
    for at, layout, value, reason in ((0x4ff0 - 48, "<H", 0, "damaged at byte 4032"),
                                      (0x4ff0 - 44, "<I", 2**31, "damaged at byte 4032"),
                                      (0x4ff0 - 40, "<H", 41, "damaged at byte 4032"),
                                      (0x4ff0 - 44, "<I", 48, "damaged at byte 3920"),
                                      (0x4010, "<I", 4032, "damaged at byte 4032"),
                                      (0x4010, "<I", 4096, "no item 602")):
        data = packed(md.smem(cached=True), at, layout, value)
        out, _ = _from_ram(lab, md, md.ram() | {md.smem_at: data}, status=2)
        expect(reason in out, reason, out)


def test_older_kelf(lab):
    """If KELF has no names, regions are placed by their addresses, in the forms that have
    addresses."""
    md = Minidump(Core.small(), older=True)
    out, _ = _from_folder(lab, md, status=2)
    expect("KELF names no regions" in out, "a clear error", out)
    expect(_from_rawdump(lab, md.rawdump())[1] == md.elf, "the core, from a rawdump")
    expect(_from_ram(lab, md, md.ram())[1] == md.elf, "the core, from RAM")
    at = md.address["Kslot2"]
    md.slots["Xslot2"], md.address["Xslot2"] = md.slots.pop("Kslot2"), at
    out, _ = _from_rawdump(lab, md.rawdump(), status=1)
    expect(f"the region at {at:#x} is missing" in out, "its address", out)


def test_missing(lab):
    """Missing slots are named, and nothing reads them as zeros. All other regions are there."""
    for name, lost in (("Kslot1", ["test-1"]), ("Kstaging", ["test-3", "test-4", "test-5"])):
        md = Minidump(Core.small())
        whole = md.elf
        size = len(md.slots.pop(name))
        for form, (out, data) in _each_form(lab, md, status=1).items():
            missing = {"folder": f"md_{name}.BIN", "rawdump": f"md_{name}",
                       "RAM": f"region {name}"}[form]
            expect(f"{missing} is missing, {size} bytes" in out, "its name", out)
            at = md.offset[name]
            expect(data[PAGE:at] == whole[PAGE:at] and not any(data[at:at + size])
                   and data[at + size:] == whole[at + size:], "all the others")
            info = json.loads(lab.reader("check", "--json", lab.dumps / "assembled", status=1))
            states = {r["name"]: r["state"] for r in info["regions"]}
            expect(all((state == "missing") == (region in lost) and state in ("missing", "ok")
                       for region, state in states.items()) and len(states) == 7,
                   "check to tell which regions are lost", str(info))


def test_short_and_long(lab):
    """Slots with fewer or more bytes than KELF claims are named, and check knows which regions they
    damage."""
    md = Minidump(Core.small())
    md.slots["Kslot1"] = md.slots["Kslot1"][:20]
    md.slots["Kslot2"] += bytes(4)
    md.slots["Kstaging"] = md.slots["Kstaging"][:90]
    for out, _ in _each_form(lab, md, status=1).values():
        for text in ("Kslot1.* has 20 bytes, not the 68", "Kslot2.* has 76 bytes, not the 72",
                     "Kstaging.* has 90 bytes, not the "):
            expect(re.search(text, out), text, out)
        out = lab.reader("check", lab.dumps / "assembled", status=1)
        expect("test-1: cut, 20 of 68 bytes" in out and "test-4: cut, 10 of 80" in out
               and "test-5: missing" in out and "regions: 4 of 7" in out, "exact states", out)
    # There is no other slot after the last one.
    md = Minidump(Core.small())
    whole = md.elf
    md.slots["Kstaging"] += b"more" * (1 << 18)
    for out, data in (_from_folder(lab, md, status=1),
                      _from_rawdump(lab, md.rawdump(), status=1)):
        expect("Kstaging" in out and data == whole, "what KELF has a place for", out)


def test_overlap(lab):
    """If two program headers have the same memory, the first one counts. The rest of the second one
    stays where it was."""
    md = Minidump(Core.small(page=256))
    # Extend the header of test-1 to 20 bytes into test-2.
    core = lab.dumps / "overlap"
    core.write_bytes(packed(md.elf, 64 + 56 * 2 + 32, "<QQ", 256 + 20, 256 + 20))
    for name, status in (("test-1", 0), ("test-2", 1)):
        proc = subprocess.run([str(lab.sanitized_reader), "show", "-r", str(core), name],
                              capture_output=True, timeout=60)
        expect(proc.returncode == status, f"exit code {status} for {name}", str(proc))
    at = md.offset["Kslot1"] + 256
    expect(proc.stdout == md.elf[at:at + 20] + md.slots["Kslot2"][20:72], "the bytes of both",
           str(proc))


def test_stray_files(lab):
    """Files of others are skipped, doubtful ones are named, and nothing is overwritten."""
    md = Minidump(Core.small())
    folder = md.folder(_work(lab) / "md")
    for name in ("md_modem.BIN", "minidump.elf", "md_.BIN", "notes.txt", ".BIN", "md_"):
        (folder / name).write_bytes(b"else")
    expect(_assemble(lab, folder)[1] == md.elf, "the same core, with files of others around")
    (folder / "md_Kother.BIN").write_bytes(b"else")
    out, data = _assemble(lab, folder, status=1)
    expect("md_Kother.BIN has no place in the core" in out and data == md.elf, "its name", out)
    (folder / "md_Kother.BIN").unlink()
    (folder / "md_Kslot1.BIN").write_bytes(b"")
    out, _ = _assemble(lab, folder, status=1)
    expect("md_Kslot1.BIN has 0 bytes, not the 68" in out, "the empty file", out)
    (folder / "md_kelf.bin").write_bytes(md.slots["KELF"])
    out, _ = _assemble(lab, folder, status=1)
    expect("md_kelf.BIN is there twice" in out, "the exact name to win", out)
    (folder / "md_KELF.BIN").rename(folder / "md_Kelf.BIN")
    out, _ = _assemble(lab, folder, status=2)
    expect("has more than one KELF" in out, "a clear error", out)
    for entry in folder.glob("md_[Kk]elf*"):
        entry.unlink()
    out, _ = _assemble(lab, folder, status=2)
    expect("has no md_KELF.BIN" in out, "a clear error", out)
    (folder / "md_KELF.BIN").mkdir()
    out, _ = _assemble(lab, folder, status=2)
    expect("md_KELF.BIN: not a regular file" in out, "a clear error", out)
    shutil.rmtree(folder)
    folder.mkdir()
    out, _ = _assemble(lab, folder, status=2)
    expect("has no files md_*.BIN" in out, "a clear error", out)
    core = lab.dumps / "assembled"
    core.write_bytes(b"dear")
    md.folder(folder / "md")
    out = lab.reader("assemble", core, folder / "md", status=2)
    expect("File exists" in out and core.read_bytes() == b"dear", "no file to be lost", out)


def _damage_kelf(md, at, layout, *values):
    md.slots["KELF"] = packed(md.slots["KELF"], at, layout, *values)


def test_bad_kelf(lab):
    """A KELF that can't be right is refused with a reason, and there is no core."""
    def section(name, field, value):
        return lambda md: _damage_kelf(md, md.section(name) + field, "<Q", value)

    for change, reason in (
            (lambda md: _damage_kelf(md, 0, "<I", 0), "KELF is not the start of a"),
            (lambda md: _damage_kelf(md, 4, "<B", 1), "KELF is not the start of a"),
            (lambda md: _damage_kelf(md, 5, "<B", 2), "KELF is not the start of a"),
            (lambda md: _damage_kelf(md, 16, "<H", 2), "KELF is not the start of a"),
            (lambda md: _damage_kelf(md, 54, "<H", 32), "KELF is not the start of a"),
            (lambda md: md.slots.update(KELF=b"\x7fELF"), "has only 4 bytes of KELF"),
            (lambda md: _damage_kelf(md, 56, "<H", 0), "KELF has not the 0 program headers"),
            (lambda md: _damage_kelf(md, 56, "<H", 0xffff), "KELF has not the 65535 program"),
            (lambda md: _damage_kelf(md, 56, "<H", 100), "KELF has not the 100 program headers"),
            (lambda md: _damage_kelf(md, 32, "<Q", 2**64 - 8), "KELF has not the 8 program"),
            (lambda md: _damage_kelf(md, 60, "<H", 100), "KELF has not the 100 section headers"),
            (lambda md: _damage_kelf(md, 40, "<Q", 2**64 - 8), "KELF has not the 7 section"),
            (lambda md: _damage_kelf(md, 62, "<H", 77), "KELF has not the 7 section headers"),
            (lambda md: _damage_kelf(md, md.shdr_at + 64 + 24, "<Q", 2**63), "are not in KELF"),
            (lambda md: _damage_kelf(md, md.section("Kslot1"), "<I", 2**31),
             "section 3 of KELF has no name"),
            (lambda md: _damage_kelf(md, md.section("Kslot1"), "4s", md.slots["KELF"][
                md.section("Kslot2"):][:4]), "KELF claims region Kslot2 twice"),
            # The names end after two characters of the last one, which is Kstaging.
            (lambda md: _damage_kelf(md, md.shdr_at + 64 + 32, "<Q", 2 + struct.unpack_from(
                "<I", md.slots["KELF"], md.section("Kstaging"))[0]),
             "section 6 of KELF has no name"),
            (section("Kslot1", 24, 2**64 - 1), "of region Kslot1 at byte 18446744073709551615"),
            (section("Kslot1", 32, 2**64 - 1), "of region Kslot1 at byte 4160, which can't be"),
            (section("Kslot1", 32, 2**33), "of region Kslot1 at byte 4160, which can't be"),
            (section("Kslot1", 32, 200), "the regions Kslot1 and Kslot2 overlap"),
            (section("Kslot0", 24, PAGE - 4), "the regions KELF and Kslot0 overlap")):
        md = Minidump(Core.small())
        change(md)
        for form, (out, _) in _each_form(lab, md, status=2).items():
            expect(reason in out, f"{reason!r}, from {form}", out)


def test_bent_kelf(lab):
    """If KELF claims bytes that are not there, only those are lost."""
    md = Minidump(Core.small())
    _damage_kelf(md, 64 + 56 * 2 + 8, "<Q", 2**64 - 20)
    out, _ = _from_folder(lab, md, status=1)
    expect("1 program headers claim bytes that no region holds" in out, "a reason", out)
    out = lab.reader("check", lab.dumps / "assembled", status=1)
    expect("test-1: missing" in out and "regions: 6 of 7" in out, "the others", out)
    md = Minidump(Core.small())
    _damage_kelf(md, md.shdr_at + 4, "<IQQQQ", 1, 0, 0, 0, PAGE + 4)
    out, core = _from_folder(lab, md, status=1)
    expect("KELF has 4096 bytes, not the 4100 it claims" in out and core == md.elf, "a reason", out)
    md = Minidump(Core.small())
    _damage_kelf(md, md.section("Kslot1") + 24, "<QQ", md.offset["Kslot1"] + 8, 60)
    out, _ = _from_folder(lab, md, status=1)
    expect("no region for bytes 4160 to 4167" in out and "has 68 bytes, not the 60" in out,
           "reasons", out)


def test_bad_rawdump(lab):
    """If a partition is cut, or its headers can't be right, the reader says why. It makes a core
    from all the rest if there is a KELF."""
    md = Minidump(Core.small())
    good = md.rawdump()

    def bent(at, layout, *values):
        return packed(good, at, layout, *values)

    def section(index, field, layout, *values):
        return bent(56 + 64 * index + field, layout, *values)

    for data, reason in (
            (good[:40], "ends inside of its header"),
            (good[:300], "ends inside of its 6 section headers"),
            (bent(52, "<I", 0), "claims 0 sections, which can't be"),
            (bent(52, "<I", 2**32 - 1), "claims 4294967295 sections, which can't be"),
            (bent(52, "<I", 4000), "ends inside of its 4000 section headers"),
            (section(0, 44, "4s", b"xxxx"), "has no md_KELF"),
            (section(0, 0, "<I", 2), "section md_KELF is not marked valid")):
        out, _ = _from_rawdump(lab, data, status=2)
        expect(reason in out, reason, out)
    for data, reason in (
            (bent(12, "<I", 2), "the partition had no room for all of the dump"),
            (bent(12, "<I", 0), "is not marked valid"),
            (bent(36, "<Q", len(good) + 1), "is cut: the dump has"),
            (good[:-10], "the file ends before section md_Kstaging does"),
            (section(2, 0, "<I", 0), "section md_Kslot1 is not marked valid, and left out"),
            (section(2, 12, "<Q", 100), "section md_Kslot1 starts inside of the headers"),
            (section(2, 12, "<Q", 2**64 - 4), "the file ends before section md_Kslot1 does: 0 of"),
            (section(2, 20, "<Q", 2**64 - 1), "the file ends before section md_Kslot1 does"),
            (section(2, 12, "<Q", len(good) - 150), "the sections md_Kstaging and md_Kslot1"),
            (section(2, 44, "20s", b"md_Kslot0"), "md_Kslot0 is there twice, one is left out"),
            (section(2, 44, "20s", b"md_K\x1b[2Jslot\xff"), "md_K?[2Jslot? has no place")):
        out, _ = _from_rawdump(lab, data, status=1)
        expect(reason in out, reason, out)
    md.slots = {f"x{i}": b"" for i in range(3)}
    md.address = dict.fromkeys(md.slots, 0)
    out, _ = _from_rawdump(lab, replaced(md.rawdump(), b"md_", b"DDR", 3), status=2)
    expect("has no sections of a minidump" in out, "a clear error", out)


def test_bad_smem(lab):
    """If SMEM or a table of regions can't be right, the reader says why. It makes a core if there
    is a table."""
    md = Minidump(Core.small())
    item = 0x4000 + 32 + 16 + 32 + 16
    last = 0x5000

    def bent(at, layout, *values):
        return md.ram() | {md.smem_at: packed(md.smem(), at, layout, *values)}

    for ram, reason in (
            (bent(0x5c, "<I", 11 << 16), "SMEM is of version 11"),
            (bent(0xc0, "<I", 0), "no firmware has initialized it"),
            (bent(last, "<I", 0), "SMEM has no partition table"),
            (bent(last + 4, "<I", 2), "SMEM has no partition table"),
            (bent(last + 8, "<I", 85), "SMEM claims 85 partitions, which can't be"),
            (bent(last + 8, "<I", 1), "SMEM has no global partition"),
            (bent(last + 80, "<I", 2**32 - 4), "global partition of SMEM lies outside"),
            (bent(last + 84, "<I", 2**32 - 4), "global partition of SMEM lies outside"),
            (bent(last + 84, "<I", 8), "global partition of SMEM lies outside"),
            (bent(0x4000, "<I", 0), "the header of the global partition of SMEM is damaged"),
            (bent(0x4008, "<I", 0x800), "the header of the global partition of SMEM is damaged"),
            (bent(0x4010, "<I", 0x1001), "the header of the global partition of SMEM is damaged"),
            (bent(0x400c, "<I", 2**31), "the header of the global partition of SMEM is damaged"),
            (bent(0x400c, "<I", 32 + 48), "SMEM has no item 602"),
            (bent(0x4022, "<H", 602), "too few for subsystem 0"),
            (bent(0x4020, "<H", 0), "SMEM is damaged at byte 32"),
            (bent(0x4024, "<I", 2**32 - 1), "SMEM is damaged at byte 32"),
            (bent(0x402a, "<H", 0xffff), "SMEM is damaged at byte 32"),
            (bent(0x4028, "<H", 25), "SMEM is damaged at byte 32"),
            (bent(item + 32, "<I", 0), "subsystem 0 has no regions"),
            (bent(item + 32, "<I", 2**32 - 1), "claims 4294967295 regions, which can't be"),
            (bent(item + 40, "<Q", 0), "subsystem 0 has no regions"),
            (bent(item + 40, "<Q", 2**64 - 40), "the table of regions at 0xffffffffffffffd8 is")):
        out, _ = _from_ram(lab, md, ram, status=2)
        expect(reason in out, reason, out)
    for ram, reason in (
            (bent(item, "<I", 0), "the firmware has not initialized the table"),
            (bent(item + 16, "<I", 0), "subsystem 0 is not marked ready"),
            (bent(item + 20, "<I", 0), "subsystem 0 is not marked ready")):
        out, core = _from_ram(lab, md, ram, status=1)
        expect(reason in out and core == md.elf, reason, out)

    def region(index, field, layout, *values):
        return md.ram() | {md.table_at: packed(md.table(), 40 * index + field, layout, *values)}

    for ram, reason in (
            (region(2, 20, "<I", INVALID), "region Kslot1 is not marked valid, and left out"),
            (region(2, 24, "<Q", 2**64 - 8), "0 of 68 bytes of region Kslot1"),
            (region(2, 32, "<Q", 2**64 - 1), "of 18446744073709551615 bytes of region Kslot1"),
            (region(2, 0, "16s", b"Kslot0"), "region Kslot0 is there twice, one is left out"),
            (region(2, 0, "16s", b"K" * 16), f"region {'K' * 16} has no place in the core"),
            (bent(item + 32, "<I", 4000), "in the table")):
        out, _ = _from_ram(lab, md, ram, status=1)
        expect(reason in out, reason, out)
    out, _ = _assemble(lab, "--smem", "0x10", "--ram", _write_ram(_work(lab) / "ram", md.ram()),
                       status=2)
    expect("SMEM at 0x10 is not in the files of RAM" in out, "a clear error", out)
    out, _ = _from_ram(lab, md, {md.smem_at: md.smem()}, status=2)
    expect("is not in the files of RAM" in out, "a clear error", out)


def test_debuggers(lab):
    """crash, gdb and drgn open the assembled core, and report what is missing in it."""
    with lab.guest(append="kmemdump.coreset=standard") as guest:
        guest.run("insmod kmemdump_test.ko")
        record, _ = lab.crash(guest, "assemble-standard")
    core = Core.from_elf(lab.elf(record).read_bytes())
    info = json.loads(lab.reader("check", "--json", record))
    [region] = [r for r in info["regions"] if r["name"] == "my_critical_data"]
    address = int(region["virtual"], 16)
    [slot] = [f"Kslot{i}" for i, (vaddr, _, data) in enumerate(core.loads)
              if vaddr <= address < vaddr + len(data)]
    md = Minidump(core)
    dump = lab.dumps / "assembled"
    vmlinux = lab.kernel.vmlinux
    offset = int(re.search(rb"^KERNELOFFSET=([0-9a-f]+)$", core.notes, re.M)[1], 16)
    for there in (True, False):
        if not there:
            md.slots.pop(slot)
        _from_folder(lab, md, status=0 if there else 1)
        out = host.crash(vmlinux, dump, ["ps", "bt", f"rd {address:x}"])
        expect("kthreadd" in out and "sysrq_handle_crash" in out
               and ("read error" in out) != there, "crash to open it", out[-3000:])
        out = host.gdb(vmlinux, dump, offset, ["print init_uts_ns.name.release",
                                               f"x/s {address:#x}"])
        expect("-kmemdump" in out and ("CRITICAL_STATE" in out) == there
               and ("Cannot access memory" in out) != there, "gdb to open it", out)
        out = host.drgn(vmlinux, dump, "print(prog['init_uts_ns'].name.release)\n"
                        f"print(prog.read({address:#x}, 40))")
        expect("-kmemdump" in out and ("CRITICAL_STATE" in out) == there
               and ("FaultError" in out) != there, "drgn to open it", out)
