# SPDX-License-Identifier: GPL-2.0
"""Tests that need stock crash of another architecture, which is slow in qemu-user.
cases/debuggers.py has one such test for each machine."""

from cases.debuggers import check_crash


def test_crash_on_arm64(lab):
    check_crash(lab, "arm64-ramoops")


def test_crash_on_ppc64le_with_the_hash_mmu(lab):
    check_crash(lab, "ppc64le-ramoops", append="disable_radix")
