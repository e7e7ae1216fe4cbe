import io
import json

import pytest
from rich.console import Console
from rich.table import Table

from sycoca.evaluation.comparison import compare_reports
from sycoca.evaluation.comparison_table import comparison_tables, legend
from sycoca.evaluation.report import ItemScores, Report
from sycoca.progress_bar import tracked
from sycoca.terminal import escape_what_cannot_be_encoded, for_stdout, one_line, plain, say

NAMES = ["[/how]", "[what]", "photos [draft]", "a [b", "[red]x[/]"]


def shown(*things: object, **options: bool) -> str:
    console = Console(file=io.StringIO(), width=200, force_terminal=False, **options)
    for thing in things:
        console.print(thing)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize("name", NAMES)
def test_brackets_are_no_markup_in_a_table(name):
    table = Table(title=plain(name))
    table.add_column(plain(name))
    table.add_row(plain(name))
    table.add_row("as wide as its title")
    assert shown(table).count(name) == 3


@pytest.mark.parametrize("name", NAMES)
def test_brackets_are_no_markup_in_a_line(name):
    console = Console(file=io.StringIO())
    say(console, name, style="dim")
    assert console.file.getvalue() == f"{name}\n"  # pyright: ignore[reportAttributeAccessIssue]


def test_control_characters_are_shown_and_not_obeyed():
    assert one_line("a\x1b[31mb\nc\t\x07\udce9") == r"a\x1b[31mb\nc\t\x07\udce9"
    assert plain("a\nb\x1b").plain == "a\nb\\x1b"
    assert one_line("\u4e00\u200d\u00e9 x") == "\u4e00\u200d\u00e9 x"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_what_an_encoding_lacks_is_escaped_as_json_has_it(encoding):
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding)
    escape_what_cannot_be_encoded(stream)
    text = "caf\u00e9 \u732b \U0001f408 \udce9"
    print(json.dumps(text, ensure_ascii=False), file=stream, flush=True)
    assert json.loads(raw.getvalue().decode(encoding)) == text


def report(name: str, right: float) -> Report:
    metric = f"vqa_accuracy_of_question_type_{name}"
    return Report(
        task="vqa",
        metrics={metric: right},
        counts={f"questions_{name}": 1},
        settings={"meteor": "not computed: pip install 'sycoca[captions]'"},
        items={"question": ItemScores(keys=["1", "2"], values={metric: [right, right]})},
    )


@pytest.mark.parametrize("name", NAMES)
def test_names_of_users_are_whole_in_every_table_of_reports(name):
    assert shown(report(name, 1.0).table()).count(name) == 2
    assert "'sycoca[captions]'" in shown(report(name, 1.0).table())
    for reports in (["a", name], ["a", "b", name]):
        compared = compare_reports({one: report(name, 1.0) for one in reports})
        assert all(name in shown(table) for table in comparison_tables(compared))
        console = Console(file=io.StringIO())
        for line in legend(compared):
            say(console, line)


@pytest.mark.parametrize("name", NAMES)
def test_names_of_users_are_whole_in_progress(name):
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    assert list(tracked([1, 2], 2, f"images of {name}", console=console)) == [1, 2]
    assert name in console.file.getvalue()  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize(("is_terminal", "expected"), [(True, "a\\x1bb"), (False, "a\x1bb")])
def test_other_programs_get_what_a_terminal_would_obey(monkeypatch, is_terminal, expected):
    monkeypatch.setattr("sys.stdout", io.StringIO())
    monkeypatch.setattr("sys.stdout.isatty", lambda: is_terminal, raising=False)
    assert for_stdout("a\x1bb") == expected
