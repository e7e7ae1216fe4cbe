import re
from pathlib import Path
from typing import get_args

import pytest

from sycoca.facts.input_limits import INPUT_LIMITS, LimitName, input_limit, stated_limit, variable_of

SOURCES = Path(__file__).parents[2] / "src" / "sycoca"
DATA = Path(__file__).parents[2] / "docs" / "data.md"


def test_the_table_is_complete_and_the_document_equals_it():
    assert set(INPUT_LIMITS) == set(get_args(LimitName))
    rows = re.findall(
        r"^\| `(SYCOCA_MAX_\w+)` \| (.*) \| ([\d,]+) \| (.*) \|$", DATA.read_text(encoding="utf-8"), re.MULTILINE
    )
    assert rows == [(variable_of(name), one.title, f"{one.default:,}", one.why) for name, one in INPUT_LIMITS.items()]


@pytest.mark.parametrize("name", INPUT_LIMITS)
def test_the_environment_sets_another_value(name, monkeypatch):
    assert input_limit(name) == INPUT_LIMITS[name].default
    monkeypatch.setenv(variable_of(name), "123456")
    assert input_limit(name) == 123456
    assert stated_limit(name) == f"the limit is 123,456 {INPUT_LIMITS[name].title}; {variable_of(name)} sets another"


@pytest.mark.parametrize("text", ["", "0", "-1", "1.5", "many", "9" * 30, "\u0663"])
def test_other_values_are_errors(text, monkeypatch):
    monkeypatch.setenv("SYCOCA_MAX_LINE_BYTES", text)
    with pytest.raises(ValueError, match="SYCOCA_MAX_LINE_BYTES must be a whole number of at least 1, got"):
        input_limit("line_bytes")


def test_every_limit_is_applied_somewhere():
    table = SOURCES / "facts" / "input_limits.py"
    text = "".join(path.read_text(encoding="utf-8") for path in SOURCES.rglob("*.py") if path != table)
    assert [name for name in INPUT_LIMITS if not re.search(rf"[\"']{name}[\"']", text)] == []
