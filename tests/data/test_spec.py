import gzip
import json
import re
import tarfile
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from sycoca.data.image_arguments import open_images
from sycoca.data.scenes.source import ScenesSource
from sycoca.data.spec import open_source


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for label in ("cat", "dog"):
        (tmp_path / "photos" / label).mkdir(parents=True)
        Image.new("RGB", (4, 4)).save(tmp_path / "photos" / label / "1.png")
    lines = [
        json.dumps({"image": f"{label}/1.png", "caption": f"a {label}", "split": split})
        for label, split in (("cat", "train"), ("dog", "test"))
    ]
    (tmp_path / "pets.jsonl").write_text("\n".join(lines))
    with gzip.open(tmp_path / "pets.jsonl.gz", "wt") as file:
        file.write("\n".join(lines))
    return tmp_path


def test_scenes_with_options():
    source = open_source("scenes:?level=hard&count=7&seed=3&split=validation&size=32")
    assert isinstance(source, ScenesSource)
    assert (source.level, source.count, source.seed, source.split, source.size) == ("hard", 7, 3, "validation", 32)
    assert source[2].open_image().size == (32, 32)


def test_scenes_without_options():
    source = open_source("scenes:")
    assert isinstance(source, ScenesSource)
    assert (source.level, source.count, source.seed, source.split, source.size) == ("easy", 2000, 0, "train", 64)


@pytest.mark.parametrize(
    ("options", "count"), [("limit=5", 5), ("count=4&limit=5", 4), ("count=9&limit=5", 5), ("limit=9999", 2000)]
)
def test_a_limit_never_adds_scenes(options, count):
    assert len(open_source(f"scenes:?{options}")) == count


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize("place", ["pets.jsonl", "pets.jsonl.gz", "jsonl:pets.jsonl"])
def test_lines_with_options(place):
    source = open_source(f"{place}?images=photos&split=test")
    assert [source[index].captions for index in range(len(source))] == [("a dog",)]
    assert len(open_source(f"{place}?images=photos&limit=1&seed=0")) == 1


@pytest.mark.parametrize("name", ["pets.jsonl", "pets.jsonl.gz"])
def test_suffixes_may_be_in_capitals(files: Path, name: str):
    (files / name).rename(files / name.upper())
    assert len(open_source(f"{name.upper()}?images=photos")) == 2


def test_suffixes_of_archives_may_be_in_capitals(files: Path):
    with zipfile.ZipFile(files / "PHOTOS.ZIP", "w") as archive:
        archive.write(files / "photos" / "cat" / "1.png", "cat/1.png")
    with tarfile.open(files / "photos" / "A.TAR", "w") as shard:
        shard.add(files / "photos" / "cat" / "1.png", "1.png")
        shard.add(files / "pets.jsonl", "1.txt")
    assert len(open_source("PHOTOS.ZIP")) == len(open_source("photos/A.TAR")) == len(open_source("shards:photos")) == 1


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize("place", ["photos", "folder:photos"])
def test_folders_with_options(place):
    source = open_source(place)
    assert [source[index].label for index in range(len(source))] == ["cat", "dog"]
    assert len(open_source(f"{place}?limit=1")) == 1


def test_absolute_paths_and_escaped_letters(files):
    (files / "a & b").mkdir()
    (files / "a & b" / "one.jsonl").write_text((files / "pets.jsonl").read_text())
    assert len(open_source(f"{files}/a & b/one.jsonl?images={files}/a %26 b")) == 2


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (
            "scens:?count=3",
            r"kind must be one of scenes, jsonl, csv, .*, vqa, folder, .*got 'scens' \(did you mean scenes\?\)",
        ),
        ("s3://bucket/x.jsonl", "kind must be one of scenes, jsonl, csv, tsv, coco, karpathy, vqa, folder, .*got 's3'"),
        (
            "C:\\data\\x.txt",
            "is no data source: expected a .*jsonl, .* or .*parquet file, a folder .* of class folders, or kind:path",
        ),
        ("nothing", "'nothing' is no data source"),
        ("scenes:photos", "scenes are generated and have no path; write scenes:"),
        ("scenes:?levl=easy", r"an option of scenes must be one of level, .* got 'levl' \(did you mean level\?\)"),
        ("scenes:?level=esy", r"level must be one of easy, medium, hard, got 'esy' \(did you mean easy\?\)"),
        ("scenes:?split=val", "split must be one of train, validation, test, got 'val'"),
        ("scenes:?count=many", "count must be a whole number of at least 1, got 'many'"),
        ("scenes:?count=0", "count must be a whole number of at least 1, got '0'"),
        ("scenes:?limit=0", "limit must be a whole number of at least 1, got '0'"),
        ("scenes:?seed=-1", "seed must be a whole number of at least 0, got '-1'"),
        ("scenes:?seed", r"option seed needs a value, as in \?seed=VALUE"),
        ("scenes:?seed=", "option seed needs a value"),
        ("scenes:?seed=1&seed=2", "option seed is given twice"),
        ("gone.jsonl", "there is no file 'gone.jsonl'"),
        ("folder:gone", "there is no folder 'gone'"),
        ("photos?images=x", "an option of folder must be one of labels, limit, seed, got 'images'"),
        (
            "pets.jsonl?split=tset&images=photos",
            r"split must be one of test, train, got 'tset' \(did you mean test\?\)",
        ),
        (
            "pets.json",
            "; JSON needs its kind in front: coco:pets.json, karpathy:pets.json, vqa:pets.json, or jsonl:pets",
        ),
        ("gone.zip", "there is no folder 'gone.zip'"),
        (
            "pets.jsonl?caption=captin&images=photos",
            r"the field for caption .* got 'captin' \(did you mean caption\?\)",
        ),
        ("csv:pets.jsonl?separator=ab", "separator must be one character or tab, got 'ab'"),
        ("csv:pets.jsonl?separator=%22", "separator must be one character or tab, got '\"'"),
        ("karpathy:pets.jsonl?restval=test", "restval must be one of train, separate, got 'test'"),
        ("coco:pets.jsonl", "pets.jsonl is no JSON file: Extra data"),
        ("pets.jsonl\0", "there is no file|is no data source"),
        ("x" * 5000 + ".jsonl", "there is no file"),
        ("pets.jsonl?images=a%00b", "images must be a folder or a zip file, a\0b is neither"),
        (f"pets.jsonl?images={'x' * 5000}", "images cannot be read from x+: File name too long"),
        ("pets.jsonl?images=gone", "images must be a folder or a zip file, gone is neither"),
    ],
)
def test_refuses_with_a_remedy(spec, message):
    with pytest.raises(ValueError, match=message) as caught:
        open_source(spec)
    assert "\n" not in str(caught.value)


def test_what_was_opened_is_a_message_at_debug(caplog: pytest.LogCaptureFixture):
    caplog.set_level("DEBUG", "sycoca")
    open_source("scenes:?count=3&size=16")
    assert caplog.messages == ["scenes:?count=3&size=16: 3 samples, 0 left out"]


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize("spec", ["", "folder:", "?limit=1", "shards:", "folder:?limit=1"])
def test_an_empty_path_is_not_the_working_folder(spec):
    with pytest.raises(ValueError, match=rf"'{re.escape(spec)}' names no path; the working folder is \."):
        open_source(spec)
    for images in (spec, [".", ""]):
        with pytest.raises(ValueError, match=r"the working folder is \."):
            open_images(images)
    assert len(open_images(".")) == len(open_images(Path(""))) == 2
