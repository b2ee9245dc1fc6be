from __future__ import annotations

import io
import sys

import pytest

from cli.progress import progress_bar, sweep_bar


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_nobody_looks() -> None:
    with progress_bar(quiet=True) as progress:
        assert progress is None
    with progress_bar(quiet=False) as progress:  # stderr is not a terminal here
        assert progress is None


def test_a_terminal_sees_virtual_time_and_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    with progress_bar(quiet=False) as progress:
        assert progress is not None
        progress(2 * 3600 * 10**9, 8 * 3600 * 10**9, 759_475)
    shown = terminal.getvalue()
    assert "2:00:00 of 8:00:00 virtual" in shown and "25%" in shown and "759,475 requests" in shown


def test_a_sweep_shows_evaluations_and_judges_what_is_left_by_what_was_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with sweep_bar(quiet=True) as progress:
        assert progress is None
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    with sweep_bar(quiet=False) as progress:
        assert progress is not None
        progress(40, 100, 40)
        progress(55, 100, 40)
    shown = terminal.getvalue()
    assert (
        "55 of 100 evaluations, 40 from before" in shown and "25%" in shown
    )  # 15 of the 60 that were missing
