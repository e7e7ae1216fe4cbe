"""Data sets of Hugging Face: saved to disk, as Parquet files, and (without a network) at the Hub."""

import io
import logging
import pickle
import sys
import unicodedata
from pathlib import Path
from typing import Any, Literal

import datasets
import numpy as np
import pytest
from PIL import Image

from sycoca.data.content_keys import HasContent
from sycoca.data.formats.hugging_face.source import HuggingFaceSource, open_hugging_face
from sycoca.data.formats.rows import Columns
from sycoca.data.selection import Selection
from sycoca.data.spec import open_source
from sycoca.data.writing.write_shards import write_shards
from sycoca.unusable import UnusableSampleError

CLASSES = ["cat", "dog", "owl"]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr("socket.socket.connect", _no_network)
    datasets.disable_progress_bars()


def _no_network(*_: object) -> None:
    raise AssertionError("the network was used")


def jpeg(index: int) -> bytes:
    file = io.BytesIO()
    pixels = np.random.default_rng(index).integers(0, 255, (9, 12, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file, "JPEG")
    return file.getvalue()


def table(count: int, **columns: Any) -> datasets.Dataset:
    """Return a table of images with the given columns, by default a caption and a class each."""
    columns = columns or {
        "caption": [f"caption {index}" for index in range(count)],
        "label": [index % 3 for index in range(count)],
    }
    built = datasets.Dataset.from_dict({"image": [{"bytes": jpeg(i), "path": None} for i in range(count)], **columns})
    built = built.cast_column("image", datasets.Image())
    return built.cast_column("label", datasets.ClassLabel(names=CLASSES)) if "label" in columns else built


def saved(folder: Path, built: datasets.Dataset | datasets.DatasetDict, form: str) -> str:
    if form == "folder":
        built.save_to_disk(folder / "saved")
        return str(folder / "saved")
    built.to_parquet(folder / "data.parquet")
    return str(folder / "data.parquet")


@pytest.mark.parametrize("form", ["folder", "parquet"])
def test_a_row_is_a_sample_with_the_bytes_of_its_image(tmp_path: Path, form: str):
    source = open_hugging_face(saved(tmp_path, table(5), form))
    assert len(source) == 5
    assert source.skipped == []
    assert len({source[index].key for index in range(5)}) == 5
    for index, sample in enumerate(source[index] for index in range(5)):
        assert sample.captions == (f"caption {index}",)
        assert sample.label == CLASSES[index % 3]
        assert sample.open_image.content() == jpeg(index)
        decoded = np.asarray(Image.open(io.BytesIO(jpeg(index))).convert("RGB"))
        assert (np.asarray(sample.open_image()) == decoded).all()
    again = pickle.loads(pickle.dumps(source))
    assert again[3].open_image.content() == jpeg(3)
    assert repr(source) == f"<HuggingFaceSource {source.name!r}: 5 samples>"


def test_columns_may_have_other_names_and_lists(tmp_path: Path):
    built = table(2, sentences=[["one", "two"], ["three"]], q=["what?", "where?"], a=[["x"], ["y", "z"]])
    path = saved(tmp_path, built.rename_column("image", "jpg"), "folder")
    columns = Columns(image="jpg", captions="sentences", question="q", answers="a")
    source = open_hugging_face(path, columns=columns)
    assert [source[index].captions for index in range(2)] == [("one", "two"), ("three",)]
    assert [question.answers for question in source[1].questions] == [("y", "z")]
    with pytest.raises(ValueError, match=r"has no column 'image' \(it has jpg, sentences, q, a\); say which one"):
        open_hugging_face(path)
    with pytest.raises(
        ValueError, match=r"the column 'q' holds no images .* name the one that does with .image=COLUMN"
    ):
        open_hugging_face(path, columns=Columns(image="q", captions="sentences"))


@pytest.mark.parametrize("kind", ["binary", "struct"])
def test_images_may_be_plain_bytes(tmp_path: Path, kind: str):
    content = [jpeg(0), jpeg(1)] if kind == "binary" else [{"bytes": jpeg(i), "path": "x.jpg"} for i in range(2)]
    built = datasets.Dataset.from_dict({"image": content, "caption": ["one", "two"]})
    source = open_hugging_face(saved(tmp_path, built, "parquet"))
    assert [source[index].open_image.content() for index in range(2)] == [jpeg(0), jpeg(1)]


def test_unusable_rows_and_captions_are_named(tmp_path: Path):
    captions = [["fine"], [], ["good", " "], [" "], None, ["last"]]
    source = open_hugging_face(saved(tmp_path, table(6, caption=captions), "parquet"))
    assert [source[index].captions for index in range(len(source))] == [("fine",), ("good",), ("last",)]
    assert [(one.name, one.reason, one.image_stays) for one in source.skipped] == [
        ("train/1", "no caption", False),
        ("train/2, text 1", "empty caption", True),
        ("train/3", "empty caption", False),
        ("train/4", "no caption", False),
    ]
    assert source.skipped[0].detail.startswith(f"hf:{tmp_path}/data.parquet, row 1: no")
    assert source[2].open_image.content() == jpeg(5)


def test_labels_alone_do_where_no_row_has_a_caption(tmp_path: Path):
    only_labels = open_hugging_face(saved(tmp_path, table(4, label=[0, 1, -1, 2]), "parquet"))
    assert [only_labels[index].label for index in range(3)] == ["cat", "dog", "owl"]
    assert [one.name for one in only_labels.skipped] == ["train/2"]
    mixed = table(3, label=[0, 1, 2], caption=["one", None, "three"])
    source = open_hugging_face(saved(tmp_path, mixed, "folder"))
    assert [source[index].captions for index in range(2)] == [("one",), ("three",)]
    assert [(one.name, one.reason) for one in source.skipped] == [("row/1", "no caption")]


def test_an_image_that_cannot_be_read_is_named_when_it_is_opened(tmp_path: Path):
    content = [
        {"bytes": None, "path": None},
        {"bytes": None, "path": str(tmp_path / "x.jpg")},
        {"bytes": b"x", "path": ""},
    ]
    built = datasets.Dataset.from_dict({"image": content, "caption": ["one", "two", "three"]})
    source = open_hugging_face(saved(tmp_path, built, "parquet"))
    for index, reason in enumerate(("missing image", "unreadable file", "not an image")):
        with pytest.raises(UnusableSampleError) as caught:
            source[index].open_image()
        assert (caught.value.skipped.name, caught.value.skipped.reason) == (f"train/{index}", reason)
    (tmp_path / "x.jpg").write_bytes(jpeg(1))
    assert source[1].open_image().size == (12, 9)


def test_a_split_is_one_of_the_data_set_or_of_a_column(tmp_path: Path):
    splits = datasets.DatasetDict({"train": table(3), "test": table(2)})
    path = saved(tmp_path, splits, "folder")
    assert len(open_hugging_face(path, wanted=Selection(split="test"))) == 2
    with pytest.raises(ValueError, match=r"saved has the splits train, test; choose one with \?split=train"):
        open_hugging_face(path)
    with pytest.raises(ValueError, match="saved: split must be one of train, test, got 'val'"):
        open_hugging_face(path, wanted=Selection(split="val"))
    (tmp_path / "files").mkdir()
    for name, size in (("train-00000-of-00002", 2), ("train-00001-of-00002", 1), ("test-00000-of-00001", 4)):
        table(size).to_parquet(tmp_path / "files" / f"{name}.parquet")
    assert len(open_hugging_face(str(tmp_path / "files"), wanted=Selection(split="train"))) == 3
    columned = table(4, caption=["a", "b", "c", "d"], split=["train", "val", "train", "val"])
    source = open_hugging_face(saved(tmp_path, columned, "parquet"), wanted=Selection(split="val"))
    assert [source[index].captions[0] for index in range(len(source))] == ["b", "d"]
    with pytest.raises(ValueError, match=r"data\.parquet: split must be one of train, val, got 'test'"):
        open_hugging_face(str(tmp_path / "data.parquet"), wanted=Selection(split="test"))


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_columns_and_splits_are_named_in_any_form_of_unicode(tmp_path: Path, form: Literal["NFC", "NFD"]):
    accents = {"légende": ["a", "b"], "split": ["été", "b"]}
    stored = {_form("NFD", name): [_form("NFD", text) for text in texts] for name, texts in accents.items()}
    path = saved(tmp_path, table(2, **stored), "parquet")
    source = open_source(_form(form, f"{path}?caption=légende&split=été"))
    assert [source[index].captions for index in range(len(source))] == [("a",)]
    splits = datasets.DatasetDict({_form("NFD", "été"): table(2), "test": table(1)})
    (tmp_path / "files").mkdir()
    for name, own in splits.items():
        own.to_parquet(tmp_path / "files" / f"{name}-00000-of-00001.parquet")
    assert len(open_source(_form(form, f"hf:{tmp_path}/files?split=été"))) == 2
    with pytest.raises(ValueError, match=r"split must be one of .*test"):
        open_source(f"hf:{tmp_path}/files?split=ete")


def test_a_number_of_a_split_is_its_name(tmp_path: Path):
    path = saved(tmp_path, table(3, caption=["a", "b", "c"], split=[1, 2, 2]), "parquet")
    assert len(open_source(f"{path}?split=2")) == 2


def _form(form: Literal["NFC", "NFD"], text: str) -> str:
    return unicodedata.normalize(form, text)


def test_a_limit_takes_the_first_or_random_rows(tmp_path: Path):
    path = saved(tmp_path, table(30), "parquet")
    first = open_hugging_face(path, wanted=Selection(limit=3))
    assert [first[index].captions[0] for index in range(3)] == ["caption 0", "caption 1", "caption 2"]
    some = open_hugging_face(path, wanted=Selection(limit=3, seed=0))
    assert len(some) == 3
    assert [some[index].captions for index in range(3)] != [first[index].captions for index in range(3)]


def test_a_data_set_of_the_hub_is_announced_and_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    calls = []

    def load(*arguments: object, **options: object) -> datasets.DatasetDict:
        calls.append((arguments, options))
        return datasets.DatasetDict({"train": table(2)})

    monkeypatch.setattr(datasets, "load_dataset", load)
    monkeypatch.chdir(tmp_path)
    with caplog.at_level(logging.INFO):
        source = open_hugging_face("someone/photos@v2", config="small", wanted=Selection(split="train"))
    assert calls == [(("someone/photos", "small"), {"revision": "v2"})]
    assert "hf:someone/photos@v2: fetched from the Hugging Face Hub, unless it is in" in caplog.text
    assert source.name == "someone/photos@v2 (train)"
    assert isinstance(source, HuggingFaceSource)


def test_what_cannot_be_loaded_is_said_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)

    def fail(*_: object, **__: object) -> None:
        raise ConnectionError("Couldn't reach\n the Hub")

    monkeypatch.setattr(datasets, "load_dataset", fail)
    for name, message in (
        ("someone/photos", "hf:someone/photos cannot be loaded: Couldn't reach the Hub"),
        ("", "hf: needs a name: hf:owner/name for the Hub"),
        ("no/such/path", "hf:no/such/path: there is no such path, and the Hub's names are owner/name"),
        (str(tmp_path), "there are no Parquet files, nor a data set that save_to_disk has written"),
        ("gone.parquet", "there is no file 'gone.parquet'"),
    ):
        with pytest.raises(ValueError, match=message.replace("[", r"\[")):
            open_hugging_face(name)
    with pytest.raises(ValueError, match=r"is local and has no configurations; leave \?config= out"):
        open_hugging_face(saved(tmp_path, table(1), "parquet"), config="x")


def test_files_without_rows_are_passed_over_and_named_where_there_is_no_other(tmp_path: Path):
    full, none = table(3), table(3).select(range(0))
    full.to_parquet(tmp_path / "data-00000-of-00002.parquet")
    none.to_parquet(tmp_path / "data-00001-of-00002.parquet")
    assert len(open_hugging_face(str(tmp_path))) == 3
    with pytest.raises(ValueError, match=r"data-00001-of-00002\.parquet has no rows"):
        open_hugging_face(str(tmp_path / "data-00001-of-00002.parquet"))


def test_without_the_extra_the_error_says_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = saved(tmp_path, table(1), "parquet")
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ValueError, match=r"need datasets: pip install 'sycoca\[datasets\]'"):
        open_hugging_face(path)


def test_a_spec_opens_them_by_kind_or_by_suffix(tmp_path: Path):
    built = table(3, text=["one", "two", "three"]).rename_column("image", "img")
    path = saved(tmp_path, built, "parquet")
    for spec in (f"{path}?image=img&caption=text", f"hf:{path}?image=img&caption=text&limit=2"):
        source = open_source(spec)
        assert source[1].captions == ("two",)
        assert source[1].open_image().size == (12, 9)
    assert len(source) == 2


def test_rows_become_shards_with_the_same_bytes(tmp_path: Path):
    write_shards(f"hf:{saved(tmp_path, table(4), 'folder')}", tmp_path / "shards", num_workers=2)
    source = open_source(f"shards:{tmp_path}/shards/00000.tar")
    for index in range(4):
        assert source[index].captions == (f"caption {index}",)
        assert source[index].label == CLASSES[index % 3]
        opener = source[index].open_image
        assert isinstance(opener, HasContent)
        assert opener.content() == jpeg(index)
