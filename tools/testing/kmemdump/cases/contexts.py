# SPDX-License-Identifier: GPL-2.0
"""Crashes in the contexts that panics come from: each has to leave a whole dump."""

from harness.lab import expect


def _crash(lab, mode, message, **kwargs):
    dump, console = lab.crash_in(f"context-{mode}", mode, **kwargs)
    expect(message in console, f"the crash to be the one asked for: {message}", console)
    return dump, console


def _whole(lab, dump, freed=True):
    """All there; the two regions that the module freed are marked, and only they."""
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
    """What other callbacks of a panic do to backends costs no dump."""
    dump, console = _crash(lab, "self_detach", "a backend goes in the panic")
    expect("test-bad: dump failed after 0 of" in console, "the failure of that backend", console)
    expect("test-hang: " in console and " regions left to it, 0 not carried" in console,
           "a word on the other one", console)
    _whole(lab, dump)


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
    """Registering works; the administrator is told that nobody carries it."""
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
