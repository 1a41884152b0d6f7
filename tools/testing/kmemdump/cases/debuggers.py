# SPDX-License-Identifier: GPL-2.0
"""Stock crash, gdb and drgn, in full mode and with no flags, on dumps of real crashes."""

import json
import random
import re
import shutil
import subprocess
import time

from harness import host, story
from harness.crash import COMMANDS, COMPLAINT, answers
from harness.elfcore import NO_PID, ElfCore
from harness.firmware import Held
from harness.lab import expect

# The machines with KASLR, which nokaslr switches off.
BOARDS = ("x86_64-ramoops", "arm64-ramoops")
LA57 = ("-cpu", "qemu64,+la57")
PANIC = "Kernel panic - not syncing: sysrq triggered crash"
DRGN = """
import json
def frames(thread):
    try:
        return [frame.name for frame in prog.stack_trace(thread)]
    except Exception as err:
        return str(err)
thread = prog.crashed_thread()
print(json.dumps({
    "crashed": thread.tid,
    "frames": [frame.name for frame in thread.stack_trace()],
    "tasks": {task.pid.value_(): [task.comm.string_().decode(), frames(task)]
              for task in for_each_task(prog)},
    "text": prog.read(%#x, 400).split(bytes(1))[0].decode(),
    "release": prog["init_uts_ns"].name.release.string_().decode(),
}))
"""


def _name(board, core_set, cpus, append, devices):
    return "-".join(filter(None, ("debug", board, core_set, cpus and f"{cpus}cpus", append,
                                  "".join(devices[1:]))))


def _make_minidump(there, path):
    with Held(there) as held:
        held.guest.run("insmod kmemdump_test.ko")
        shutil.copy(held.save(held.crash()[1], "debug"), path)


def _make_record(there, path, core_set, cpus, append, devices):
    with there.guest(append=f"kmemdump.coreset={core_set} {append}", cpus=cpus,
                     devices=devices) as guest:
        guest.run("insmod kmemdump_test.ko")
        shutil.copy(there.crash(guest, "debug")[0], path)


def _dump(lab, board, core_set="standard", cpus=None, append="", devices=()):
    """(The lab of the board, the record of a crash there, its ELF core). All tests of a run share
    the crash."""
    name = _name(board, core_set, cpus, append, devices)
    path = host.run_folder() / lab.tree.named(name)
    there = lab.other(board)
    if board == "arm64-minidump":
        host.once(path.name, lambda: _make_minidump(there, path))
        return there, path, path
    host.once(path.name, lambda: _make_record(there, path, core_set, cpus, append, devices))
    return there, path, there.elf(path)


def _json(there, record):
    return json.loads(there.reader("check", "--json", record))


def check_crash(lab, board, *options, greeting=(), **kwargs):
    there, record, core = _dump(lab, board, **kwargs)
    info = _json(there, record)
    [region] = [r for r in info["regions"] if r["name"] == "my_critical_data"]
    rd = f"rd -a {region['virtual']}"
    modules = "--no_modules" not in options
    # Ask everything in one session: crash of another architecture takes long to start.
    out = answers(there, core, [*(command for command in COMMANDS if modules or command != "mod"),
                                "foreach 1 task", rd], *options, greeting=greeting)
    for command, text in out.items():
        complaints = [m[0] for m in COMPLAINT.finditer(text)] if command != "log" else []
        expect(text.strip() and not complaints, f"crash to answer {command!r} without an error",
               "\n".join(complaints) or text)

    cpus = len(info["cpus"])
    expect(sorted(cpu["state"] for cpu in info["cpus"]) == ["crashed"] + ["stopped"] * (cpus - 1),
           "registers of each CPU", str(info["cpus"]))
    expect(f'PANIC: "{PANIC}"' in out["sys"], "the right PANIC line", out["sys"])
    expect(re.search(rf"CPUS: {cpus}$", out["sys"], re.M), "all CPUs, online", out["sys"])
    tasks = int(re.search(r"TASKS: (\d+)", out["sys"])[1])
    rows = re.findall(r"^[> ] +(\d+) +\d+ +(\d+) +([0-9a-f]{16}) +(\w\w) .* (\S+)$", out["ps"],
                      re.M)
    expect(len(rows) == tasks and tasks > 20, "a row of ps for each task", out["ps"])
    expect({"[swapper/0]", "[kthreadd]", "init", "sh"} <= {row[4] for row in rows},
           "the tasks by name", out["ps"])
    expect(out["ps"].count("\n>") + out["ps"].startswith(">") == cpus, "an active task a CPU",
           out["ps"])
    [crashed] = [cpu for cpu in info["cpus"] if cpu["state"] == "crashed"]
    expect(re.search(rf"PID: {crashed['pid']} .*CPU: {crashed['cpu']} .*COMMAND: \"sh\"",
                     out["bt"]), "the task that crashed", out["bt"])
    for name in ("sysrq_handle_crash", "write_sysrq_trigger", "vfs_write", "ksys_write"):
        expect(re.search(rf"#\d+ \[\w+\] {name} at ", out["bt"]), f"{name} in the backtrace",
               out["bt"])
    expect(out["bt -a"].count("PID: ") == cpus, "a backtrace of each CPU", out["bt -a"])
    expect(out["foreach bt"].count("PID: ") == tasks, "one of each task", out["foreach bt"][-3000:])
    # A user task that runs has no kernel stack to show; all others have one.
    blocks = out["foreach bt"].split("PID: ")[1:]
    bare = [block for block in blocks if block.count(" #") < 2]
    expect(not bare, "frames in each backtrace", "".join(bare))
    expect(not modules or "kmemdump_test" in out["mod"], "the module", out.get("mod"))
    expect(all(f"CPU {cpu} RUNQUEUE" in out["runq"] for cpu in range(cpus)), "the run queues",
           out["runq"])
    expect(re.search(r"TIMER_BASES", out["timer"]) and re.search(r"<\w+>", out["timer"]), "timers",
           out["timer"])
    expect(re.search(r"^ *\d+ +[0-9a-f]{16} +[0-9a-f]{16} +\"?\w", out["irq"], re.M),
           "an interrupt with its action", out["irq"])
    expect(re.search(r"jiffies = \$?.*\d{6}", out["p jiffies"]), "jiffies", out["p jiffies"])
    expect(PANIC in out["log"], "the log", out["log"][-2000:])
    shown = "".join(re.findall(r"^ *[0-9a-f]+:  (.*)$", out[rd], re.M))
    expect(shown.startswith(story.TEXT[:40]), "the provider's text", shown)
    expect("__state = " in out["foreach 1 task"] and
           'comm = "init' in out["foreach 1 task"], "the task_struct of init",
           out["foreach 1 task"][-3000:])


def test_crash_on_x86_64(lab):
    check_crash(lab, "x86_64-ramoops")


def test_crash_with_one_cpu(lab):
    check_crash(lab, "x86_64-ramoops", cpus=1)


def test_crash_with_four_cpus(lab):
    check_crash(lab, "x86_64-ramoops", cpus=4)


def test_crash_with_the_extended_set(lab):
    check_crash(lab, "x86_64-ramoops", core_set="extended")


def test_crash_on_ppc64le(lab):
    check_crash(lab, "ppc64le-ramoops")


def test_crash_without_kaslr(lab):
    check_crash(lab, "x86_64-ramoops", append="nokaslr")


def test_crash_with_five_levels(lab):
    """Page tables of five levels; all other dumps of the same kernel have four."""
    check_crash(lab, "x86_64-ramoops", devices=LA57)


def test_crash_on_a_minidump(lab):
    """crash opens a minidump, which is of arm64. "make check-long" has a dump of ramoops on
    arm64."""
    check_crash(lab, "arm64-minidump")


def test_crash_in_a_module(lab):
    """The function of the module is named in the backtrace."""
    with lab.guest(append="kmemdump.coreset=standard oops=panic") as guest:
        guest.run("insmod kmemdump_crash.ko")
        record, _ = lab.crash(guest, "module",
                              "echo oops > /sys/module/kmemdump_crash/parameters/crash")
    out = answers(lab, lab.elf(record), ["bt", "mod"])
    expect("[exception RIP: crash_oops" in out["bt"], "the function that crashed", out["bt"])
    for name in ("crash_now", "param_attr_store", "vfs_write"):
        expect(re.search(rf"#\d+ \[\w+\] {name} at ", out["bt"]), f"{name} in the backtrace",
               out["bt"])
    for text in out.values():
        expect(not COMPLAINT.search(text), "no error", text)


def _expect_frames(text, names, what):
    """A backtrace has a line for each of @names, in this order."""
    found = re.findall(r"^ *#\d+ \[\w+\] (\w+) at ", text, re.M)
    expect([name for name in found if name in names] == list(names), what, text)


def test_crash_in_an_nmi(lab):
    """The backtrace goes from the panic through the NMI to the code that the NMI has
    interrupted."""
    with lab.guest(append="kmemdump.coreset=standard unknown_nmi_panic", cpus=1) as guest:
        def inject():
            guest.send("insmod kmemdump_crash.ko mode=spin")
            # Wait until it spins, because a panic can't interrupt printk everywhere.
            deadline = time.monotonic() + 120
            while "6b6d64756d705350" not in guest.qmp(
                    "human-monitor-command", **{"command-line": "info registers"}):
                expect(time.monotonic() < deadline, "it to spin", guest.text[-2000:])
                time.sleep(0.05)
            guest.qmp("inject-nmi")

        record, console = lab.crash(guest, "nmi", inject)
    expect("NMI: Not continuing" in console, "a panic in the NMI", console)
    core = lab.elf(record)
    out = answers(lab, core, ["bt", "bt -a", "log"])
    for command in ("bt", "bt -a"):
        expect(not COMPLAINT.search(out[command]), "no error", out[command])
        _expect_frames(out[command], ("panic", "exc_nmi", "crash_spin", "do_one_initcall"),
                       "both stacks")
        expect("exception RIP: spin+" in out[command], "what was interrupted", out[command])
    out = json.loads(host.drgn(lab.kernel.vmlinux, core, CRASHED))
    expect([name for name in out if name in ("panic", "exc_nmi", "do_one_initcall")] ==
           ["panic", "exc_nmi", "do_one_initcall"], "both stacks in drgn", str(out))


def test_many_threads(lab):
    """Any user can start more threads than an image has room for. The dump has what debuggers need
    to start, and all threads. It has as many stacks as there is room for, and the reader says that
    others are missing."""
    with lab.guest(area="0x1000000", append="kmemdump.coreset=standard", memory_mib=1024) as guest:
        guest.run("echo 20000 > /proc/sys/kernel/threads-max; "
                  "insmod kmemdump_crowd.ko threads=10000 regions=0", timeout=300)
        record, console = lab.crash(guest, "many-threads", timeout=300)
    check = lab.reader("check", record, status=1)
    expect("complete record" in check and re.search(r"left out: \d+ pieces", check),
           "a record that says that it has not all", check)
    core = lab.elf(record)
    out = answers(lab, core, ["sys", "ps", "bt", "bt -a", "runq", "p jiffies"])
    for command, text in out.items():
        expect(not COMPLAINT.search(text), f"no complaint about {command!r}", text[-3000:])
    _expect_frames(out["bt"], ("panic", "sysrq_handle_crash", "ksys_write"), "the crash")
    expect(out["ps"].count("[crowd/") == 10000, "all threads, without their stacks", out["sys"])


CRASHED = """
import json
print(json.dumps([frame.name for frame in prog.crashed_thread().stack_trace()]))
"""


def test_stack_overflow(lab):
    """The backtrace goes from the stack on which the fault is handled to the one that has
    overflowed."""
    with lab.guest(append="kmemdump.coreset=standard oops=panic") as guest:
        record, console = lab.crash(guest, "overflow", "insmod kmemdump_crash.ko mode=overflow")
    expect("stack guard page" in console, "a stack overflow", console)
    core = lab.elf(record)
    out = answers(lab, core, ["bt", "log"])
    expect(not COMPLAINT.search(out["bt"]), "no error", out["bt"])
    _expect_frames(out["bt"], ("panic", "exc_double_fault"), "the stack of the fault")
    expect(out["bt"].count("overflow at ") > 5, "the one that was too small", out["bt"])


def test_stack_overflow_on_arm64(lab):
    there = lab.other("arm64-ramoops")
    with there.guest(append="kmemdump.coreset=standard") as guest:
        record, console = there.crash(guest, "overflow", "insmod kmemdump_crash.ko mode=overflow")
    expect("kernel stack overflow" in console, "a stack overflow", console)
    out = json.loads(host.drgn(there.kernel.vmlinux, there.elf(record), CRASHED))
    expect("panic" in out and "panic_bad_stack" in out, "the stack of the fault", str(out))


def _vmcoreinfo(core, key):
    """A number of VMCOREINFO; None if it is not there."""
    match = re.search(rb"^%s=([0-9a-f]+)$" % re.escape(key.encode()), core.read_bytes(), re.M)
    return int(match[1], 16) if match else None


def test_what_vmcoreinfo_says(lab):
    """The dumps are of kernels with KASLR and page tables as the tests want them."""
    offsets = {append: [_vmcoreinfo(_dump(lab, board, append=append)[2], "KERNELOFFSET")
                        for board in BOARDS] for append in ("", "nokaslr")}
    # An offset may be 0 by chance: on x86_64 in 1 of about 490 boots (1 GiB in steps of 2 MiB). On
    # arm64 there are more than 2^16 places, so both are 0 in less than 1 of 30 million boots.
    expect(any(offsets[""]) and not any(offsets["nokaslr"]), "KASLR as asked for", str(offsets))
    for levels, devices in ((4, ()), (5, LA57)):
        number = _vmcoreinfo(_dump(lab, "x86_64-ramoops", devices=devices)[2],
                             "NUMBER(pgtable_l5_enabled)")
        expect(number == levels - 4, f"{levels} levels", str(number))


def check_gdb(lab, board, **kwargs):
    there, record, core = _dump(lab, board, **kwargs)
    cpus = _json(there, record)["cpus"]
    [crashed] = [i for i, cpu in enumerate(cpus) if cpu["state"] == "crashed"]
    out = host.gdb(there.kernel.vmlinux, core, _vmcoreinfo(core, "KERNELOFFSET"),
                   ["info threads", f"thread {crashed + 1}", "bt", "print init_uts_ns.name.release",
                    "print init_task.comm"])
    threads = re.findall(r"^[* ] +\d+ +LWP ", out, re.M)
    expect(len(threads) == len(cpus), "a thread for each CPU", out)
    for name in ("sysrq_handle_crash", "ksys_write"):
        expect(re.search(rf"^#\d+ .*\b{name} \(", out, re.M), f"{name} in gdb's backtrace", out)
    expect(re.search(rf'= "{re.escape(lab.base)}\.\d+-kmemdump"', out), "the release", out)
    expect('= "swapper' in out, "a variable", out)


def test_gdb_on_x86_64(lab):
    check_gdb(lab, "x86_64-ramoops")


def test_gdb_of_debian_12(lab):
    """gdb before 16 takes all notes with the same PID for one thread, but all idle tasks have PID
    0. It shows a thread for each CPU all the same, with the registers of that CPU."""
    there, record, core = _dump(lab, "x86_64-ramoops", cpus=4)
    told = _json(there, record)["cpus"]
    expect([cpu["pid"] for cpu in told].count(0) > 1, "idle CPUs", str(told))
    cpus = ElfCore(core.read_bytes()).x86_64_cpus
    expect([pid for pid, _ in cpus] == [cpu["pid"] or NO_PID + cpu["cpu"] for cpu in told],
           "a number for each CPU", str(cpus))
    out = host.gdb_of_debian_12(there.kernel.vmlinux, core, _vmcoreinfo(core, "KERNELOFFSET"),
                                ["show version", "info threads"] +
                                [c for i in range(1, 5) for c in (f"thread {i}", "print/x $pc")])
    expect(re.search(r"^GNU gdb \(Debian 13\.", out, re.M), "the gdb of Debian 12", out[:1000])
    found = [int(pc, 16) for pc in re.findall(r"^\$\d+ = (0x[0-9a-f]+)$", out, re.M)]
    # In struct user_regs_struct, the address of the next instruction is word 16.
    expect(found == [regs[16] for _, regs in cpus], "the registers of each CPU", out[-3000:])


def test_gdb_on_arm64(lab):
    check_gdb(lab, "arm64-ramoops")


def test_gdb_on_a_minidump(lab):
    check_gdb(lab, "arm64-minidump")


def test_gdb_on_ppc64le(lab):
    check_gdb(lab, "ppc64le-ramoops")


def test_gdb_on_ppc64le_with_the_hash_mmu(lab):
    """gdb opens a dump of a kernel with the hash MMU. "make check-long" does this with stock
    crash."""
    check_gdb(lab, "ppc64le-ramoops", append="disable_radix")


def test_gdb_without_kaslr(lab):
    for board in BOARDS:
        check_gdb(lab, board, append="nokaslr")


def test_gdb_with_five_levels(lab):
    check_gdb(lab, "x86_64-ramoops", devices=LA57)


def check_drgn(lab, board, **kwargs):
    there, record, core = _dump(lab, board, **kwargs)
    info = _json(there, record)
    [region] = [r for r in info["regions"] if r["name"] == "my_critical_data"]
    text = host.drgn(there.kernel.vmlinux, core, DRGN % int(region["virtual"], 16))
    lines = [line for line in text.splitlines() if line.startswith("{")]
    expect(lines, "an answer of drgn", text[-3000:])
    out = json.loads(lines[0])
    [crashed] = [cpu for cpu in info["cpus"] if cpu["state"] == "crashed"]
    expect(out["crashed"] == crashed["pid"] and "sysrq_handle_crash" in out["frames"],
           "the stack trace of the crashed thread", str(out["frames"]))
    expect(out["text"] == story.TEXT, "the provider's text", out["text"])
    expect(out["release"].endswith("-kmemdump"), "the release", out["release"])
    expect(len(out["tasks"]) > 20 and out["tasks"]["1"][0] == "init", "the tasks", text[-2000:])
    bad = {pid: task for pid, task in out["tasks"].items() if not isinstance(task[1], list)
           or len(task[1]) < 2}
    expect(not bad, "a stack trace of each task", str(bad))


def test_drgn_on_x86_64(lab):
    check_drgn(lab, "x86_64-ramoops")


def test_drgn_on_arm64(lab):
    check_drgn(lab, "arm64-ramoops")


def test_drgn_on_a_minidump(lab):
    check_drgn(lab, "arm64-minidump")


def test_drgn_on_ppc64le(lab):
    check_drgn(lab, "ppc64le-ramoops")


def test_drgn_on_ppc64le_with_the_hash_mmu(lab):
    check_drgn(lab, "ppc64le-ramoops", append="disable_radix")


def test_drgn_without_kaslr(lab):
    for board in BOARDS:
        check_drgn(lab, board, append="nokaslr")


def test_drgn_with_five_levels(lab):
    check_drgn(lab, "x86_64-ramoops", devices=LA57)


def test_right_after_boot(lab):
    """There is room for what is found at the crash, even if no module and no driver has registered
    anything since ramoops has attached. It attaches before all others."""
    with lab.guest(append="kmemdump.coreset=standard") as guest:
        record, _ = lab.crash(guest, "after-boot")
    info = json.loads(lab.reader("check", "--json", record))
    expect(info["good"] and info["left_out"] == 0, "a whole dump", str(info["left_out"]))


def test_budget(lab):
    """If the core set is larger than the area, what matters most is there."""
    with lab.guest(area="0x60000", append="kmemdump.coreset=standard") as guest:
        guest.run("insmod kmemdump_test.ko")
        record, _ = lab.crash(guest, "budget")
    info = json.loads(lab.reader("check", "--json", record, status=1))
    states = {r["name"]: r["state"] for r in info["regions"]}
    expect(info["record"] == "partial", "a partial record", str(info["record"]))
    for name in ("log_text", "log_infos", "my_critical_data"):
        expect(states[name] == "ok", f"{name} to be there", str(states))
    expect(states["cpu:1"] in ("cut", "missing"), "per-CPU areas not to be", str(states))
    core = lab.dumps / "budget.core"
    core.unlink(missing_ok=True)
    lab.reader("extract", record, core, status=1)
    out = host.crash(lab.kernel.vmlinux, core, ["log"], "--minimal")
    expect(PANIC in out, "crash --minimal to print the log", out[-2000:])


def test_crowd(lab):
    """1,000 threads deep in their stacks, and 3,000 regions."""
    with lab.guest(append="kmemdump.coreset=standard") as guest:
        guest.run("insmod kmemdump_crowd.ko", timeout=300)
        record, _ = lab.crash(guest, "crowd", timeout=300)
    info = json.loads(lab.reader("check", "--json", record))
    expect(info["good"] and info["left_out"] == 0, "a whole dump", str(info["left_out"]))
    names = {r["name"] for r in info["regions"] if r["checksum"] == "good"}
    expect({f"crowd-{i}" for i in range(3000)} <= names, "all regions, checksums right")
    out = answers(lab, lab.elf(record), ["ps", "foreach IN bt"])
    crowd = re.findall(r"\[crowd/\d+\]", out["ps"])
    expect(len(crowd) == 1000, "all threads in ps", str(len(crowd)))
    blocks = [b for b in out["foreach IN bt"].split("PID: ") if "crowd/" in b]
    expect(len(blocks) == 1000 and all(b.count("dive at ") > 40 for b in blocks),
           "the whole stack of each", "".join(blocks[:1]))


def test_crowd_in_a_small_area(lab):
    """With many regions and a small area, what matters most is there."""
    with lab.guest(area="0x90000", append="kmemdump.coreset=standard") as guest:
        guest.run("insmod kmemdump_crowd.ko", timeout=300)
        record, _ = lab.crash(guest, "small-crowd", timeout=300)
    expect(record.stat().st_size <= 0x90000, "a record that fits", str(record.stat().st_size))
    info = json.loads(lab.reader("check", "--json", record, status=1))
    low = {f"crowd-{i}" for i in range(0, 3000, 3)}
    bad = [r["name"] for r in info["regions"] if r["state"] != "ok" and
           r["class"] in ("log", "driver") and r["name"] not in low]
    expect(info["record"] == "partial" and not bad,
           "the log and all providers' regions, but for those of low priority", str(bad))


def test_truncation_sweep(lab):
    """Wherever a record ends, check says exactly what is left, and crash opens it if that is
    enough."""
    there, record, core = _dump(lab, "x86_64-ramoops")
    data, whole = record.read_bytes(), core.read_bytes()
    full = _json(there, record)
    needed = {r["name"] for r in full["regions"] if r["class"] == "log"}
    cut = lab.dumps / "sweep"
    rng = random.Random(4)
    opened = 0
    for i in range(100):
        cut.write_bytes(data[:rng.randrange(200, len(data) - 1)])
        out = lab.dumps / "sweep.core"
        out.unlink(missing_ok=True)
        proc = subprocess.run([there.reader_path, "extract", cut, out], capture_output=True,
                              text=True)
        if proc.returncode == 2:
            expect("is missing" in proc.stderr or "no image" in proc.stderr or
                   "neither" in proc.stderr or "not an ELF" in proc.stderr, "a reason",
                   proc.stderr)
            continue
        expect(proc.returncode == 1 and "torn record" in proc.stdout, "a torn record", proc.stdout)
        have = out.stat().st_size
        expect(out.read_bytes() == whole[:have], "what is there to be right")
        proc = subprocess.run([there.reader_path, "check", "--json", cut], capture_output=True,
                              text=True)
        if proc.returncode == 2:
            continue
        info = json.loads(proc.stdout)
        expect(info["image_have"] == have and not info["good"], "the exact size", str(have))
        for was, region in zip(full["regions"], info["regions"]):
            want = "ok" if region["have"] == region["size"] else \
                "cut" if region["have"] else "missing"
            expect(region["state"] == want and region["name"] == was["name"], "an exact state",
                   str(region))
        states = {r["name"]: r["state"] for r in info["regions"]}
        if all(states[name] == "ok" for name in needed) and i % 7 == 0:
            text = host.crash(there.kernel.vmlinux, out, ["log"], "--minimal")
            expect(PANIC in text, f"crash to print the log of {have} bytes", text[-2000:])
            opened += 1
    expect(opened > 5, "some that crash opens", str(opened))


def test_assemble(lab):
    """A record is assembled from pieces that are cut anywhere and given in any order."""
    _, record, core = _dump(lab, "x86_64-ramoops")
    folder = lab.dumps / "parts"
    data = record.read_bytes()
    for number, size in enumerate((200001, 131072, len(data))):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        parts = []
        for pos in range(0, len(data), size):
            parts.append(folder / f"part{pos}")
            parts[-1].write_bytes(data[pos:pos + size])
        out = folder / "core"
        lab.reader("assemble", out, *(parts[::-1] if number else parts[1::2] + parts[::2]))
        expect(out.read_bytes() == core.read_bytes(), "the core that zstd -d gives")
        expect(out.stat().st_mode & 0o777 == 0o400, "a file for its owner only")
        if len(parts) > 2:
            out.unlink()
            lab.reader("assemble", out, *parts[:1], *parts[2:], status=1)
            expect("complete record" not in lab.reader("check", parts[0], status=1), "no whole one")
    out = lab.reader("assemble", folder / "core2", lab.kernel.image, status=2)
    expect("has no start of a part" in out, "a clear error", out)
