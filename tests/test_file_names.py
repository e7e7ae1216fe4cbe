import os

import pytest

from sycoca.file_names import existing, meant_name, spelled_otherwise

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
