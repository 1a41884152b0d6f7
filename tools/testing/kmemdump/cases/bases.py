# SPDX-License-Identifier: GPL-2.0
"""The same sources on another version of Linux than all other tests use: the KUnit suites, the
story and the debuggers, on x86_64. long/bases.py has the other machines."""

import pytest

from cases import kunit, style
from cases.debuggers import check_crash, test_drgn_on_x86_64, test_gdb_on_x86_64  # noqa: F401
from cases.story import *  # noqa: F401, F403
from harness import host
from harness.lab import expect

BASE = "7.3"


@pytest.mark.parametrize("run, name", kunit.each(["x86_64"], BASE))
def test_kunit(run, name):
    kunit.check_one(run, name, BASE)


@pytest.mark.parametrize("run", [pytest.param("x86_64", marks=kunit.group("x86_64", BASE))])
def test_all_of_them(run):
    """The guest ran exactly the tests that the source has, and reported no error."""
    kunit.check_all(run, BASE)


def test_w1(lab):
    """gcc has no complaints. The sparse of Debian 12 is too old for this Linux."""
    style.compile_all(lab, *style.X86_64, checkers=["gcc"])


# The options that stock crash 9.0.2 needs for any dump of this Linux, and what it says with them
# when it starts.
OPTIONS = ("--no_modules",)
SLUB = "WARNING: SLUB: cannot determine how compound pages are linked"
GREETING = (SLUB, "WARNING: no kernel module access")


def test_crash(lab):
    """Stock crash 9.0.2 starts only without modules: see the next test. All else works as with the
    other Linux."""
    check_crash(lab, "x86_64-ramoops", *OPTIONS, greeting=GREETING)


def test_crash_with_modules(lab):
    """Stock crash 9.0.2 expects GPL-only symbols in a table of their own, which modules no longer
    have, and exits. It does so with a dump of all memory by QEMU, too. If this test fails because
    crash works now, the other test no longer needs the option."""
    with lab.guest(append="qemu_fw_cfg.ioport=12@0x510:0:1:4",
                   devices=["-device", "vmcoreinfo"]) as guest:
        guest.run("insmod kmemdump_test.ko")
        dump = lab.dumps / "memory"
        guest.qmp("dump-guest-memory", paging=False, protocol=f"file:{dump}")
    for options, said in ((), "invalid structure member offset: module_num_gpl_syms"), \
                         (OPTIONS, f"RELEASE: {BASE}"):
        out = host.crash(lab.kernel.vmlinux, dump, ["sys"], *options)
        expect(SLUB in out and said in out, said, out)
