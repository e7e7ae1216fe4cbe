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


@pytest.mark.parametrize(("has_console", "level"), [(True, "INFO"), (False, "DEBUG")])
def test_messages_elsewhere_only_when_it_takes_long(
    has_console: bool, level: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    caplog.set_level("DEBUG", "sycoca")
    now = iter([0.0, 4.0, 11.0, 12.0, 15.0])
    monkeypatch.setattr(progress_bar.time, "perf_counter", lambda: next(now))
    file = io.StringIO()
    console = Console(file=file, force_terminal=False, width=100) if has_console else None
    assert list(tracked([1, 2, 3, 4], 8, "counting", console=console, step=2)) == [1, 2, 3, 4]
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        (level, "counting: 4 of 8, 0:00:11 left")
    ]
    assert file.getvalue() == ""
