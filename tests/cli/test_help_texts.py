"""Every option of every help page: a telling placeholder, a text that is no clause, a default that says something."""

import re
from collections.abc import Iterator

import pytest

from builders.cli_pages import PAGES, help_of


def options_of(page: list[str]) -> Iterator[str]:
    """Yield each argument of a help page with its text, in one line."""
    _, _, options = help_of(page).partition("options\n")
    for block in re.split(r"\n(?=  [-A-Z]\S)", options):
        yield " ".join(block.split())


@pytest.mark.parametrize("page", PAGES, ids=" ".join)
def test_every_option_explains_itself(page: list[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "100")
    assert " TEXT" not in help_of(page)
    for option in options_of(page):
        assert not re.match(r"\S+ (\S+ )?Whether ", option), option
        # None as a default is said where the text says what None means.
        assert "(default: None)" not in option or option.count("None") > 1, option
        # Such a switch is shown as --no-NAME, which its text, of --NAME, would contradict.
        assert "(default: True)" not in option, option
        assert "(default: )" not in option, option
        assert "not given" not in option, option
        assert not re.search(r"[^.)] \((required|default)", option), option
