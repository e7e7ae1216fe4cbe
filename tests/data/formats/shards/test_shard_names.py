from pathlib import Path

import pytest

from builders.shards import write_set
from sycoca.data.formats.shards.shard_names import expanded, shard_paths


@pytest.mark.parametrize(
    ("text", "paths"),
    [
        ("a.tar", ["a.tar"]),
        ("{08..11}.tar", ["08.tar", "09.tar", "10.tar", "11.tar"]),
        ("{9..11}.tar", ["9.tar", "10.tar", "11.tar"]),
        ("{train,extra}/{0..1}.tar", ["train/0.tar", "train/1.tar", "extra/0.tar", "extra/1.tar"]),
        ("{0,}x.tar", ["0x.tar", "x.tar"]),
    ],
)
def test_braces_stand_for_ranges_and_lists(text: str, paths: list[str]):
    assert expanded(text) == paths


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{0..1", "is opened and not closed"),
        ("0..1}", "is opened and not closed"),
        ("{3..1}.tar", "ends before it begins"),
        ("{a..c}.tar", "stands for nothing; braces are a range of numbers, as in"),
        ("{}.tar", "stands for nothing"),
        ("{0..99999999}.tar", "is too long; the limit is 1,000,000 files"),
        ("{0..9999}{0..9999}.tar", "names 100,000,000 files; the limit is"),
    ],
)
def test_wrong_braces_are_explained(text: str, message: str):
    with pytest.raises(ValueError, match=message):
        expanded(text)


def test_a_pattern_and_a_folder_are_the_files_that_there_are(tmp_path: Path):
    write_set(tmp_path, num_shards=3)
    (tmp_path / "00000_stats.json").write_text("{}")
    names = [f"{tmp_path}/{number:05d}.tar" for number in range(3)]
    assert shard_paths(str(tmp_path)) == shard_paths(f"{tmp_path}/*.tar") == names
    assert shard_paths(f"{tmp_path}/{{00000..00002}}.tar") == names
    assert shard_paths(f"{tmp_path}/00002.tar") == names[2:]


def test_what_is_missing_is_named_with_what_there_is(tmp_path: Path):
    write_set(tmp_path, num_shards=3)
    with pytest.raises(ValueError, match=r"no file '.*00003.tar' \(2 of 4 files are missing\); .* 3 tar files: 00000"):
        shard_paths(f"{tmp_path}/{{00001..00004}}.tar")
    with pytest.raises(ValueError, match=r"there is no file '.*/7.tar'; .* has 3 tar files: 00000.tar to 00002.tar"):
        shard_paths(f"{tmp_path}/7.tar")
    with pytest.raises(ValueError, match=r"no file matches .*; .* has 3 tar files"):
        shard_paths(f"{tmp_path}/train-*.tar")
    with pytest.raises(ValueError, match=r"there is no folder '.*nowhere'"):
        shard_paths(f"{tmp_path}/nowhere/0.tar")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"empty has no tar files"):
        shard_paths(f"{tmp_path}/empty")
    with pytest.raises(ValueError, match=r"shards: needs a path"):
        shard_paths("")
    with pytest.raises(ValueError, match=r"names .*00000.tar twice"):
        shard_paths(f"{tmp_path}/{{00000,00000}}.tar")


def test_compressed_tars_are_refused(tmp_path: Path):
    (tmp_path / "0.tar.gz").write_bytes(b"")
    with pytest.raises(ValueError, match=r"is compressed, and samples of a compressed tar cannot be read in any order"):
        shard_paths(f"{tmp_path}/0.tar.gz")
