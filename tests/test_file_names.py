import ast
import os
from pathlib import Path

import pytest

from sycoca.file_names import existing, has_suffix, meant_name, own_name, spelled_otherwise

SOURCES = Path(__file__).parents[1] / "src" / "sycoca"

NFC, NFD = "caf\u00e9", "cafe\u0301"


@pytest.mark.parametrize(
    ("stored", "asked"),
    [
        (f"{NFD}.jpg", f"{NFC}.jpg"),
        (f"{NFC}.jpg", f"{NFD}.jpg"),
        (f"{NFD}/{NFC}/a.jpg", f"{NFC}/{NFD}/a.jpg"),
        ("im/0.jpg", "im\\0.jpg"),
        (f"im/{NFD}.jpg", f"im\\{NFC}.jpg"),
        ("0.jpg", " 0.jpg"),
        ("im/0.jpg", "im/0.jpg "),
        ("im/0.jpg", "im/ 0.jpg"),
    ],
)
def test_a_file_is_found_by_a_name_that_is_written_otherwise(tmp_path, stored, asked):
    path = tmp_path / stored
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("x")
    found = spelled_otherwise(f"{tmp_path}/{asked}")
    assert found is not None
    assert os.path.samefile(found, path)
    assert meant_name(stored) == meant_name(asked) or asked == "im/ 0.jpg"


def test_the_exact_name_comes_first(tmp_path):
    for name in (NFC, NFD, "a\\b"):
        (tmp_path / name).write_text(name)
    assert existing(tmp_path / NFC) == str(tmp_path / NFC)
    assert existing(tmp_path / NFD) == str(tmp_path / NFD)
    assert existing(tmp_path / "a\\b") == str(tmp_path / "a\\b")


def test_of_two_files_that_may_be_meant_none_is_taken(tmp_path):
    (tmp_path / "\u212b").write_text("angstrom sign")
    (tmp_path / "A\u030a").write_text("a with a ring")
    assert spelled_otherwise(tmp_path / "\u00c5") is None


@pytest.mark.parametrize("name", ["gone.jpg", f"{NFC}.jpg", f"{NFC}/a.jpg", "a\0b", "", "\udce9"])
def test_a_file_that_is_nowhere_is_not_found(tmp_path, name):
    assert spelled_otherwise(f"{tmp_path}/none/{name}") is None
    assert existing(f"{tmp_path}/none/{name}") == f"{tmp_path}/none/{name}"


def test_a_new_file_is_seen(tmp_path):
    assert spelled_otherwise(tmp_path / NFC) is None
    (tmp_path / NFD).write_text("x")
    os.utime(tmp_path, (1, 1))
    assert spelled_otherwise(tmp_path / NFC) == str(tmp_path / NFD)


@pytest.mark.parametrize(
    ("name", "suffixes", "expected"),
    [
        ("photos/A.JPG", (".png", ".jpg"), True),
        (Path("rows.CSV.Gz"), (".csv.gz",), True),
        ("rows.csv.gz", (".csv",), False),
        ("rows.csv/list", (".csv",), False),
        ("folder/.zip", (".zip",), False),
        ("azip", (".zip",), False),
    ],
)
def test_suffixes_have_no_case(name, suffixes, expected):
    assert has_suffix(name, *suffixes) is expected


def test_no_other_piece_of_code_compares_suffixes():
    """What compares a suffix itself forgets files of cameras and of Windows (.JPG, .CSV)."""
    found = []
    for path in sorted(SOURCES.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Compare(left=ast.Attribute(attr="suffix")):
                    found.append(f"{path.name}:{node.lineno}")
                case ast.Call(func=ast.Attribute(attr="endswith"), args=[ast.Constant(value=str(end))]) if (
                    end[:1] == "." and end[1:2].isalnum()
                ):
                    found.append(f"{path.name}:{node.lineno}")
                case _:
                    pass
    assert [place for place in found if not place.startswith("folding.py")] == []  # names of tensors


def test_a_folder_that_stands_for_another_has_the_name_of_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "photos" / "new").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "photos" / "new")
    assert [own_name(path) for path in (".", Path(), "..", "../", "a.jsonl", "/")] == [
        "new",
        "new",
        "photos",
        "photos",
        "a.jsonl",
        "/",
    ]
