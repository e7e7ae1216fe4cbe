"""Folders and files of the source stay small enough to find one's way in."""

from collections import Counter
from pathlib import Path

import pytest

from builders.documents import ROOT

SOURCE = ROOT / "src" / "sycoca"
MOST_FILES, MOST_LINES = 16, 300

LARGE_FOLDERS = {"model", "evaluation", "metrics"}
"""One concept per file, all of one kind."""


@pytest.mark.parametrize("folder", [SOURCE, *(p for p in SOURCE.rglob("*") if p.is_dir() and p.name != "__pycache__")])
def test_folders_hold_few_files(folder: Path):
    files = [path.name for path in folder.glob("*.py") if path.name != "__init__.py"]
    assert len(files) <= MOST_FILES or folder.name in LARGE_FOLDERS


def test_files_are_short():
    lines = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in SOURCE.rglob("*.py")}
    assert {path.name: count for path, count in lines.items() if count > MOST_LINES} == {}


def test_every_file_of_tests_has_a_name_of_its_own():
    names = Counter(path.name for path in (ROOT / "tests").rglob("test_*.py"))
    assert [name for name, number in names.items() if number > 1] == []  # pytest would not collect them
