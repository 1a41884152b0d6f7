# SPDX-License-Identifier: GPL-2.0
"""Benchmarks: figures to read, not tests with a clock. "make bench" prints them."""

import json
import re
import struct

from . import host
from .firmware import Held
from .host import Failed, say

COLUMNS = ("register", "by name", "update", "unregister", "walk")
NUMBERS = (100, 201, 1000, 10000, 100000)
FIGURES = re.compile(r"figures (\w+) (\d+)((?: \d+/\d+)+) (-?\d+)")


def _measure(guest, what, nr, pattern):
    """Run the benchmark module. Returns the matches of @pattern in what it prints."""
    guest.run("dmesg -C")
    guest.run(f"insmod kmemdump_benchmark.ko what={what} nr={nr} && rmmod kmemdump_benchmark",
              timeout=1500)
    return list(re.finditer(pattern, guest.run("dmesg"), re.M))


def _registration(lab, icount=False):
    """What the module prints: (design, regions) -> ([(ns, ticks)], bytes)."""
    rows = {}
    with lab.guest(cpus=1, icount=icount, timeout=1500, memory_mib=1024,
                   append="tsc=reliable kmemdump.coreset=minimal") as guest:
        for what, nr in [("registration", nr) for nr in NUMBERS] + [("earlier", 201)]:
            for m in _measure(guest, what, nr, FIGURES):
                rows[m[1], int(m[2])] = ([tuple(map(int, pair.split("/"))) for pair in m[3].split()],
                                         int(m[4]))
    if len(rows) != len(NUMBERS) + 1:
        raise Failed(f"the benchmark printed only {sorted(rows)}")
    return rows


def _table(title, rows, pick):
    say(f"\n{title}\n{'':26}" + "".join(f"{name:>12}" for name in COLUMNS))
    for (design, number), (pairs, _) in rows.items():
        label = f"{number} regions" if design == "kmemdump" else f"{number}, earlier design"
        say(f"{label:26}" + "".join(f"{pick(pair) or '-':>12}" for pair in pairs))


def _ratios(rows, pick, low, high):
    say(f"{f'{high} to {low} regions':26}" + "".join(
        f"{pick(b) / max(pick(a), 1):>11.2f}x" for a, b in
        zip(rows["kmemdump", low][0], rows["kmemdump", high][0])))
    say(f"{'earlier design to ours':26}" + "".join(
        f"{pick(b) / max(pick(a), 1):>11.2f}x" if pick(b) else f"{'-':>12}" for a, b in
        zip(rows["kmemdump", 201][0], rows["model", 201][0])))


def registration(lab):
    """What an operation costs with 100 to 100,000 regions, in one run each."""
    times = _registration(lab)
    counts = _registration(lab, icount=True)
    _table("Nanoseconds per operation (QEMU, on this machine)", times, lambda p: p[0])
    _ratios(times, lambda p: p[0], 100, 100000)
    _table("Instructions per operation (QEMU -icount)", counts, lambda p: p[1])
    _ratios(counts, lambda p: p[1], 100, 100000)
    say("\nMemory of the core per region, with room for the panic-time image:")
    for (design, number), (_, size) in counts.items():
        if design == "kmemdump" and number >= 1000:
            say(f"{number:>8} regions: {size} bytes")
    say(f"     201, earlier design: {counts['model', 201][1]} bytes")


STAMP = r"\[ *(\d+)\.(\d+)\] "


def panic(lab):
    """What a crash costs, in instructions (QEMU -icount)."""
    say(f"{'core set':12}{'instructions from panic to a whole record':>44}{'core bytes':>12}")
    for core_set in SETS:
        with lab.guest(append=f"kmemdump.coreset={core_set}", icount=True, cpus=1,
                       timeout=600) as guest:
            console = guest.crash(timeout=600)
        first = re.search(STAMP + "Kernel panic", console)
        last = re.search(STAMP + r"kmemdump: ramoops: dump saved, \d+ regions, (\d+) bytes",
                         console)
        if not first or not last:
            raise Failed(f"no dump of the {core_set} set:\n{console[-3000:]}")
        # A nanosecond of the guest's clock is an instruction.
        stamps = [int(m[1]) * 10**9 + int(m[2]) * 1000 for m in (first, last)]
        say(f"{core_set:12}{stamps[1] - stamps[0]:>44,}{int(last[3]):>12,}")


def slots(lab):
    """What it costs to change a table that firmware saves memory by, and at the panic."""
    there = lab.other("arm64-minidump")
    rows = {}
    for icount in (False, True):
        with Held(there, icount=icount, cpus=1, timeout=600) as held:
            for number in (10, 50, 150):
                [found] = _measure(held.guest, "update", number, r"moves \d+ (\d+)$")
                rows.setdefault(number, []).append(int(found[1]))
    # A nanosecond of the guest's clock is an instruction then.
    say(f"{'regions besides':>16}{'ns per update':>14}{'instructions (QEMU -icount)':>30}")
    for number, (ns, instructions) in rows.items():
        say(f"{number:>16}{ns:>14,}{instructions:>30,}")
    with Held(there, icount=True, cpus=1, timeout=600) as held:
        console, dump = held.crash(timeout=600)
    first = re.search(STAMP + "SMP: stopping|" + STAMP + "Kernel panic", console)
    last = re.search(STAMP + r"kmemdump: minidump: \d+ regions, (\d+) bytes", console)
    if not first or not last:
        raise Failed(f"no minidump:\n{console[-3000:]}")
    stamps = [int(m) * 10**9 + int(n) * 1000 for m, n in
              (tuple(filter(None, first.groups())), last.groups()[:2])]
    say(f"\nFrom panic to a published table of the standard set, arm64: "
        f"{stamps[1] - stamps[0]:,} instructions, {int(last[3]):,} bytes, "
        f"{len(dump.regions)} slots")
    counts = []
    for append in ("", "qcom_minidump.running=1"):
        with Held(there, icount=True, cpus=1, timeout=600, append=append) as held:
            [found] = _measure(held.guest, "switch", 1000, r"switch (\d+)$")
            counts.append(int(found[1]))
    say(f"A context switch, arm64: {counts[0]:,} instructions, with qcom_minidump.running "
        f"{counts[1]:,}")


SETS = ("minimal", "standard", "extended")

# Where the data of a vmcore starts.
DATA_MIB = 1
IMAGE_MAP = 0xffffffff80000000


def _vmcore(path, core, region, iomem):
    """Put headers like those of /proc/vmcore before the RAM in the file @path: the notes of @core,
    and a PT_LOAD for the kernel image and for each range of RAM. @region is a region in the linear
    map."""
    data = core.read_bytes()
    offset, size = struct.unpack_from("<8xQ16xQ", data, 64)
    notes = data[offset:offset + size]
    phys_base = int(re.search(rb"^NUMBER\(phys_base\)=(-?\d+)$", notes, re.M)[1])
    stext = int(re.search(rb"^SYMBOL\(_stext\)=([0-9a-f]+)$", notes, re.M)[1], 16)
    loads = [(stext, stext - IMAGE_MAP + phys_base, 32 << 20)]
    linear = int(region["virtual"], 16) - int(region["physical"], 16)
    for low, high in re.findall(r"^([0-9a-f]+)-([0-9a-f]+) : System RAM$", iomem, re.M):
        # Only whole pages.
        start, end = -(-int(low, 16) // 4096) * 4096, (int(high, 16) + 1) // 4096 * 4096
        loads.append((start + linear, start, end - start))
    head = struct.pack("<16sHHIQQQIHHHHHH", b"\x7fELF\2\1\1", 4, 62, 1, 0, 64, 0, 0, 64, 56,
                       len(loads) + 1, 0, 0, 0)
    head += struct.pack("<IIQQQQQQ", 4, 0, 4096, 0, 0, len(notes), len(notes), 4)
    for vaddr, paddr, size in loads:
        head += struct.pack("<IIQQQQQQ", 1, 7, (DATA_MIB << 20) + paddr, vaddr, paddr, size,
                            size, 0)
    with path.open("r+b") as out:
        out.write(head.ljust(4096, b"\0") + notes)


def _sizes(lab, cpus, memory_mib):
    """What a crash of a guest saves: label -> (raw, compressed). It also has what makedumpfile
    saves of the crash of the standard set."""
    rows = {}
    vmcore = lab.dumps / "vmcore"
    for core_set in SETS:
        with lab.guest(append=f"kmemdump.coreset={core_set}", cpus=cpus,
                       memory_mib=memory_mib) as guest:
            guest.run("insmod kmemdump_test.ko")
            if core_set == "standard":
                iomem = guest.run("cat /proc/iomem")
                guest.crash_and_hold()
                guest.copy_ram(vmcore, DATA_MIB)
                guest.release(hold=False)
            else:
                guest.crash()
            dump = lab.fetch_record(guest, f"size-{core_set}")
        rows[core_set] = (lab.elf(dump).stat().st_size, dump.stat().st_size)
        if core_set == "standard":
            info = json.loads(lab.reader("check", "--json", dump))
            [region] = [r for r in info["regions"] if r["name"] == "my_critical_data"]
            _vmcore(vmcore, lab.elf(dump), region, iomem)
            for name, option in (("lzo", "-l"), ("zstd", "-z")):
                filtered = host.makedumpfile(vmcore, "-d31", option)
                rows[f"makedumpfile -d31, {name}"] = "-", filtered.stat().st_size
            vmcore.unlink()
    return rows


def size(lab):
    """What of a machine's memory a crash saves, in bytes."""
    for memory_mib in (512, 2048):
        for cpus in (1, 2, 4):
            say(f"\n{memory_mib} MiB of RAM, {cpus} CPUs{'raw':>26}{'compressed':>14}")
            say(f"{'full RAM':28}{memory_mib << 20:>22}{'-':>14}")
            for name, (raw, packed) in _sizes(lab, cpus, memory_mib).items():
                say(f"{name:28}{raw:>22}{packed:>14}")
    dump = lab.crash_with_full_log("size-log")
    raw, packed = lab.elf(dump).stat().st_size, dump.stat().st_size
    say(f"\n{'minimal, its log full':28}{raw:>22}{packed:>14}")


def _fadump(lab, append):
    """Crash a pseries guest, and save its dump to the disk. Returns how many bytes were reserved,
    how many are left to movable pages (of those or apart from them), the size of the dump, and the
    instructions from the panic until it is saved."""
    with lab.guest(append=append, cpus=1, memory_mib=2048, disk_mib=2200, icount=True,
                   timeout=900) as guest:
        reserved = int(guest.run("cat /sys/kernel/fadump/mem_reserved"))
        movable = int(guest.run("grep CmaTotal /proc/meminfo").split()[1]) * 1024
        start = guest.qmp("query-replay")["icount"]
        guest.crash(timeout=900)
        guest.run("dmesg -n 1")
        size = int(guest.run("stat -c %s /proc/vmcore"))
        guest.run("dd if=/proc/vmcore of=/dev/vda bs=1M && sync", timeout=3600)
        return reserved, movable, size, guest.qmp("query-replay")["icount"] - start


def fadump(lab):
    """Dumps through the firmware of IBM Power: FADump of all memory, and ours."""
    there = lab.other("ppc64le-fadump")
    rows = {"FADump": _fadump(there, "fadump=on"), "kmemdump": _fadump(there, "")}
    say(f"{'2 GiB of RAM':15}{'reserved':>14}{'movable only':>14}{'dump':>14}"
        f"{'from panic to saved dump':>28}")
    widths = (14, 14, 14, 28)
    for name, row in rows.items():
        say(f"{name:15}" + "".join(f"{n:>{w},}" for n, w in zip(row, widths)))
    ratios = [f"{a / b:.1f}" for a, b in zip(*rows.values())]
    ratios[1] = ""
    say(f"{'ratio':15}" + "".join(f"{text:>{w}}" for text, w in zip(ratios, widths)))
    say("in bytes, and in instructions (QEMU -icount)")


PARTS = {"registration": registration, "size": size, "panic": panic, "slots": slots,
         "fadump": fadump}


def run(lab, parts):
    unknown = set(parts) - set(PARTS)
    if unknown:
        raise Failed(f"there is no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    for name in parts or PARTS:
        say(f"=== {name}: {PARTS[name].__doc__}")
        PARTS[name](lab)
