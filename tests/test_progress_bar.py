import io

import pytest
from rich.console import Console

from sycoca import progress_bar
from sycoca.progress_bar import tracked


def test_silent_without_a_console():
    assert list(tracked([1, 2, 3], 3, "counting", console=None)) == [1, 2, 3]


def test_a_bar_on_a_terminal():
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    assert list(tracked(iter([1, 2, 3]), 5, "counting", console=console, step=2)) == [1, 2, 3]
    shown = console.file.getvalue()
    assert "counting" in shown
    assert "5/5" in shown


def test_lines_elsewhere_only_when_it_takes_long(monkeypatch: pytest.MonkeyPatch):
    now = iter([0.0, 4.0, 11.0, 12.0, 15.0])
    monkeypatch.setattr(progress_bar.time, "perf_counter", lambda: next(now))
    console = Console(file=io.StringIO(), force_terminal=False, width=100)
    assert list(tracked([1, 2, 3, 4], 8, "counting", console=console, step=2)) == [1, 2, 3, 4]
    assert console.file.getvalue() == "counting: 4 of 8, 11 s left\n"
