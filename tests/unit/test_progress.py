"""Tables and progress bars, on a terminal and in a log."""

from __future__ import annotations

import pytest

from fleetgate import progress

CELL = "word " * 30


@pytest.mark.parametrize("columns, width", [("40", 40), (None, progress.WIDTH_IN_LOGS), ("wide", progress.WIDTH_IN_LOGS)])
def test_a_table_in_a_log_is_as_wide_as_columns_says(capsys, monkeypatch, columns, width):
    monkeypatch.delenv("COLUMNS", raising=False)
    if columns:
        monkeypatch.setenv("COLUMNS", columns)
    progress.table("title", ("a", "b"), [("x", CELL * 2)])
    assert max(map(len, capsys.readouterr().out.splitlines())) == width


@pytest.mark.parametrize("terminal", [False, True], ids=["log", "terminal"])
def test_a_bar_that_is_not_kept_moves_on_a_terminal_and_leaves_nothing_in_a_log(capsys, monkeypatch, terminal):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("TTY_COMPATIBLE", "1" if terminal else "0")
    with progress.bar("looking", None, kept=False) as bar:
        bar.advance()
    assert ("looking" in capsys.readouterr().err) is terminal


def test_the_end_of_a_bar_that_is_kept_stands_in_a_log(capsys):
    with progress.bar("adding", 2) as bar:
        bar.advance(2)
    shown = capsys.readouterr().err
    assert shown.count("adding") == 1 and "2/2" in shown
