# SPDX-License-Identifier: GPL-2.0
"""Crashes in the contexts that panics come from: each has to leave a whole dump."""

import json
import re

import pytest

from harness import host
from harness.elfcore import ElfCore, Symbols
from harness.lab import expect


def _crash(lab, mode, message, **kwargs):
    dump, console = lab.crash_in(f"context-{mode}", mode, **kwargs)
    expect(message in console, f"the crash to be the one asked for: {message}", console)
    return dump, console


def _whole(lab, dump, freed=True):
    """Check that the dump is whole, and that exactly the two regions that the module freed are
    marked as gone."""
    out = lab.reader("check", dump, status=1)
    expect("complete record" in out, "a complete record", out)
    expect("region freed_vmalloc: gone" in out and "region freed_pages: gone" in out,
           "freed regions marked", out)
    expect(out.count("\nregion ") == 2, "no other region marked", out)
    text = lab.reader("show", dump, "vmalloc_data")
    expect("kmemdump test data in vmalloc memory" in text, "the text in vmalloc memory", text)
    text = lab.reader("show", dump, "module_data")
    expect("kmemdump test data in module data" in text, "the text in module data", text)


def test_interrupt_context(lab):
    dump, console = _crash(lab, "irq", "kmemdump test: in interrupt context")
    expect("<IRQ>" in console, "a panic in interrupt context", console)
    _whole(lab, dump)


def test_interrupts_off(lab):
    _whole(lab, _crash(lab, "irqsoff", "kmemdump test: with interrupts off")[0])


def test_oops(lab):
    _whole(lab, _crash(lab, "oops", "Oops", append="oops=panic")[0])


def test_another_cpu_holds_the_lock(lab):
    dump, console = _crash(lab, "lock", "while another CPU holds the registration lock")
    out = lab.reader("list", dump, status=1)
    expect(" hang" in out, "the region that is just being registered", out)
    _whole(lab, dump)


def test_another_cpu_detaches_a_backend(lab):
    _whole(lab, _crash(lab, "detach", "while another CPU detaches a backend")[0])


def test_backend_goes_in_the_panic(lab):
    """No dump is lost, whatever other panic callbacks do to backends."""
    dump, console = _crash(lab, "self_detach", "a backend goes in the panic")
    expect("test-bad: dump failed after 0 of" in console, "the failure of that backend", console)
    expect("test-hang: " in console and " regions left to it, 0 not carried" in console,
           "a word on the other one", console)
    _whole(lab, dump)


# For each machine: a mode that keeps a CPU in one function until it is stopped, the name of that
# function, the property of ElfCore with the registers of all CPUs, and the register that has the
# address of the next instruction. On arm64, a CPU that has its interrupts off is not stopped, so
# the mode leaves them on. The others stop such a CPU, too. With interrupts on, it might be stopped
# in an interrupt handler.
BUSY = {"x86_64-ramoops": ("deaf", "hold_irqsoff", "x86_64_cpus", 16),
        "arm64-ramoops": ("registers", "hold_registers", "arm64_cpus", 32),
        "ppc64le-ramoops": ("deaf", "hold_irqsoff", "ppc64_cpus", 32)}


NT_PRSTATUS = 1


def _states(there, record):
    out = there.reader("check", "--json", record, status=1)
    return {cpu["cpu"]: cpu["state"] for cpu in json.loads(out)["cpus"]}


@pytest.mark.parametrize("board", BUSY)
def test_post_notifiers(lab, board):
    """With crash_kexec_post_notifiers the CPUs stop in another way: on x86_64 they stay online, and
    leave their registers in notes of the kernel. The dump has those notes, and nobody waits for
    CPUs to go offline."""
    there = lab.other(board)
    mode, function, cpus, pc = BUSY[board]
    with there.guest(append="crash_kexec_post_notifiers", cpus=4) as guest:
        guest.run("insmod kmemdump_crash.ko; cp /proc/kallsyms /tmp/")
        path = guest.fetch_file("/tmp/kallsyms", there.dumps / "kallsyms")
        record, console = there.crash(guest, "post-notifiers", f"echo {mode} > "
                                      "/sys/module/kmemdump_crash/parameters/crash")
    expect("not all CPUs have stopped" not in console, "all of them to stop", console)
    symbols, core = Symbols(path.read_text()), ElfCore(there.elf(record).read_bytes())
    states = _states(there, record)
    expect(sorted(states.values()) == ["crashed"] + ["stopped"] * 3, "registers of all CPUs",
           str(states))
    where = {cpu: symbols.name(regs[pc]) for cpu, (_, regs) in zip(states, getattr(core, cpus))}
    expect(all(where.values()), "what each CPU did", str(where))
    expect([states[cpu] for cpu in where if where[cpu] == function] == ["stopped"],
           "one in the loop of the test", str(where))


NOTES = """
from drgn.helpers.linux.cpumask import for_each_possible_cpu
from drgn.helpers.linux.percpu import per_cpu_ptr
print([int(per_cpu_ptr(prog["crash_notes"], cpu)[0][2]) for cpu in for_each_possible_cpu(prog)])
"""


def test_cpu_that_does_not_stop(lab):
    """A CPU of arm64 that has its interrupts off does not stop. That costs a second and its
    registers, but no more. It has a note, too: without one, crash gives the next CPU the registers
    of this one."""
    there = lab.other("arm64-ramoops")
    with there.guest(append="kmemdump.coreset=standard", cpus=3) as guest:
        record, console = there.crash(guest, "deaf", "insmod kmemdump_crash.ko mode=deaf")
    start, end = (re.search(rf"\[ *(\d+\.\d+)\].*{text}", console)
                  for text in ("SMP: failed to stop secondary CPUs", "not all CPUs have stopped"))
    expect(start and end, "a word on it", console)
    expect(0.9 < float(end[1]) - float(start[1]) < 10, "a second, and no minute", console)
    notes = host.drgn(there.kernel.vmlinux, there.elf(record), NOTES)
    expect(notes.strip() == str([NT_PRSTATUS] * 3), "a note of each", notes)
    states = _states(there, record)
    expect(sorted(states.values()) == ["crashed", "running", "stopped"], "one that still runs",
           str(states))
    _whole(there, record)


def test_one_cpu(lab):
    _whole(lab, _crash(lab, "irqsoff", "kmemdump test: with interrupts off", cpus=1)[0])


def test_panic_inside_a_writer(lab):
    """The second panic goes on to the reboot; what was saved before it stays."""
    dump, console = _crash(lab, "nested", "kmemdump test: inside of a writer")
    expect(console.count("Kernel panic - not syncing") == 2, "two panics", console)
    _whole(lab, dump)


def test_oops_inside_a_writer(lab):
    dump, console = _crash(lab, "nested_oops", "Kernel panic - not syncing: kmemdump test: outer")
    expect("Oops" in console and console.count("Kernel panic - not syncing") == 2,
           "an oops that becomes a second panic", console)
    _whole(lab, dump)


def test_kernel_without_backend(lab):
    """Without a backend, registering works, and debugfs says that nobody carries the region."""
    with lab.guest(area="0") as guest:
        guest.run("insmod kmemdump_test.ko")
        regions = guest.run("cat /sys/kernel/debug/kmemdump/regions")
        expect("\tnobody\tmy_critical_data" in regions, "nobody as the carrier", regions)
        backends = guest.run("cat /sys/kernel/debug/kmemdump/backends")
        expect(backends.count("\n") == 1, "no backend listed", backends)
        console = guest.crash()
        expect("dump saved" not in console, "no word of a dump", console)
        listing = guest.run("ls /sys/fs/pstore")
        expect("dmesg-ramoops-0" in listing and "kmemdump" not in listing,
               "a dmesg record and no kmemdump one", listing)
