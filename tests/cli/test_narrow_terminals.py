"""On a terminal of 60 columns, text is broken between words, never within one."""

import io
from pathlib import Path

import pytest
from rich.console import Console
from rich.table import Table

from builders.cli_pages import PAGES, help_of
from builders.predictors import photo, save_small_weights
from sycoca.cli.main import main
from sycoca.terminal import show_table, wrapped


def words_of(text: str) -> list[str]:
    """Return the words, without rules between sections; choices are words of their own."""
    return [word for word in text.replace(",", ", ").split() if set(word) != {"-"}]


@pytest.mark.parametrize("page", PAGES, ids=" ".join)
def test_help_keeps_its_words(page: list[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "300")
    words = words_of(help_of(page))
    monkeypatch.setenv("COLUMNS", "60")
    text = help_of(page)
    assert words_of(text) == words
    longest = max(map(len, words))
    assert [line for line in text.splitlines() if len(line) > max(60, longest + 8)] == []


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_small_weights(tmp_path_factory.mktemp("model") / "weights"))


def outputs(command: list[str], columns: int, capsys: pytest.CaptureFixture[str], patch: pytest.MonkeyPatch) -> str:
    patch.setenv("COLUMNS", str(columns))
    patch.setattr("sycoca.terminal._is_terminal", lambda _: True)
    main(command)
    printed = capsys.readouterr()
    return printed.out + printed.err


def without_lines(text: str) -> list[str]:
    frame = str.maketrans(dict.fromkeys("┏┓┗┛┡┩└┘├┤┬┴┼╇━─│┃╞╡═", " "))
    return sorted(text.translate(frame).split())


def test_outputs_keep_their_words(
    weights: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    for number in range(3):
        photo(seed=number).save(tmp_path / "photos" / f"{number}.png")
    (tmp_path / "photos" / "cats").mkdir()
    photo(seed=5).save(tmp_path / "photos" / "cats" / "a.png")
    scenes = "scenes:?level=easy&count=12&size=32"
    commands = [
        ["data", "stats", "photos", "--no-cache"],
        ["data", "check", "photos", "--no-cache"],
        ["pretrain", "tiny", "--data.train", "photos", "--out", "run"],
        ["pretrain", "tinny"],
        ["caption", "no-such-folder-of-weights-anywhere", "photos"],
        ["evaluate", "retrieval", weights, "--data", scenes, "--device", "cpu"],
        ["evaluate", "captioning", weights, "--data", scenes, "--device", "cpu", "--max-tokens", "4"],
        ["evaluate", "retrieval", weights, "--data", "photos", "--device", "cpu"],
    ]
    for command in commands:
        wide = outputs(command, 400, capsys, monkeypatch)
        narrow = outputs(command, 60, capsys, monkeypatch)
        words = [word for word in without_lines(narrow) if not _is_number(word)]
        assert words == [word for word in without_lines(wide) if not _is_number(word)], command
        long_words = [line for line in narrow.splitlines() if len(line) > 60 and " " in line.strip()]
        assert long_words == [], command


def _is_number(word: str) -> bool:
    return word.replace(".", "").replace(",", "").isdecimal()


def test_a_table_that_is_too_wide_becomes_paragraphs():
    table = Table("metric", "coca_vit_b32_base\n1 report", "sycoca_with_token_max", title="retrieval")
    table.add_row("re_ranked_text_to_image_recall_at_10", "50.0 %\n36 to 63", "60.0 %")
    console = Console(file=io.StringIO(), width=60)
    show_table(console, table)
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue().splitlines() == [
        "retrieval",
        "re_ranked_text_to_image_recall_at_10",
        "  coca_vit_b32_base, 1 report: 50.0 %, 36 to 63",
        "  sycoca_with_token_max: 60.0 %",
    ]


def test_commands_stay_whole_and_other_lines_are_broken():
    text = "Try next:\n  sycoca caption runs/a/weights b.jpg\n  some words that are too long"
    assert wrapped(text, 20).splitlines() == [
        "Try next:",
        "  sycoca caption runs/a/weights b.jpg",
        "  some words that",
        "  are too long",
    ]
    assert wrapped(text, None) == text
    assert wrapped(
        "stopped after step 3, checkpoint saved; continue with: sycoca quickstart --out q", 30
    ).splitlines() == [
        "stopped after step 3,",
        "checkpoint saved; continue",
        "with:",
        "  sycoca quickstart --out q",
    ]


def test_messages_in_files_and_pipes_are_one_line(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "60")
    assert main(["caption", "no-such-folder-of-weights-anywhere", "photos-of-somebody-else"]) != 0
    assert len(capsys.readouterr().err.splitlines()) == 1
