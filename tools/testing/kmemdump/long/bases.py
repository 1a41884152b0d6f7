# SPDX-License-Identifier: GPL-2.0
"""What cases/bases.py does on x86_64, on the other machines; and the dumps that their firmware
makes."""

import contextlib

import pytest

from cases import bases, debuggers, fadump, kunit, minidump, story

BASE = bases.BASE
RUNS = [run for run in kunit.RUNS if run != "x86_64"]
BOARDS = ("arm64-ramoops", "ppc64le-ramoops")


@pytest.mark.parametrize("run, name", kunit.each(RUNS, BASE))
def test_kunit(run, name):
    kunit.check_one(run, name, BASE)


@pytest.mark.parametrize("run", [pytest.param(run, marks=kunit.group(run, BASE)) for run in RUNS])
def test_all_of_them(run):
    kunit.check_all(run, BASE)


@pytest.mark.parametrize("board", BOARDS)
def test_story(lab, board):
    story.test_sample_from_the_tree(lab.other(board))


@pytest.mark.parametrize("board", (*BOARDS, minidump.BOARD))
def test_gdb(lab, board):
    debuggers.check_gdb(lab, board)


@pytest.mark.parametrize("board", (*BOARDS, minidump.BOARD))
def test_drgn(lab, board):
    debuggers.check_drgn(lab, board)


@pytest.mark.parametrize("board", (*BOARDS, minidump.BOARD))
def test_crash(lab, board):
    debuggers.check_crash(lab, board, *bases.OPTIONS, greeting=bases.GREETING)


def test_minidump(lab):
    minidump.test_story(lab.other(minidump.BOARD))


def test_fadump(lab):
    with contextlib.closing(fadump.Shared()) as shared:
        fadump.test_story(lab.other(fadump.BOARD), shared)
