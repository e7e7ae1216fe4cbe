"""Captions that a model has generated, beside the original ones, in every format that has columns."""

import json
from pathlib import Path

import datasets
import pytest

from builders.shards import image_bytes, tar_bytes
from sycoca.data.formats.shards.sample_texts import SampleTexts, packed, unpacked_texts
from sycoca.data.samples import ImageTextSample, MixedSource, SampleSource, skipped_samples
from sycoca.data.spec import open_source
from sycoca.data.writing.shard_layout import ShardLayout
from sycoca.data.writing.write_samples import write_samples
from sycoca.data.writing.write_shards import write_shards

GENERATED = {"a": ("a dog runs", "a wet dog"), "b": ("a cat sleeps",), "c": ()}
"""The generated captions of images with the captions "a", "b" and "c"."""


def kinds_of(source: SampleSource) -> dict[tuple[str, ...], tuple[str, ...]]:
    samples = (source[index] for index in range(len(source)))
    return {sample.captions: sample.generated_captions for sample in samples}


def rows(field: str) -> list[dict[str, object]]:
    """Return a row for each image: several generated captions, one as a text, and none."""
    return [
        {"image": "a.png", "caption": "a", field: ["a dog runs", "a wet dog"]},
        {"image": "b.png", "caption": "b", field: "a cat sleeps"},
        {"image": "c.png", "caption": "c"},
    ]


def as_jsonl(folder: Path, field: str) -> str:
    return listed(folder, rows(field))


def as_table(folder: Path, field: str) -> str:
    lines = [f"image,caption,{field}", "a.png,a,a dog runs", "a.png,,a wet dog", "b.png,b,a cat sleeps", "c.png,c,"]
    (folder / "rows.csv").write_text("\n".join(lines), encoding="utf-8")
    return f"{folder}/rows.csv"


def as_shards(folder: Path, field: str) -> str:
    members: list[tuple[str, bytes]] = []
    for row in rows(field):
        name = str(row["caption"])
        content = json.dumps({field: row[field]} if field in row else {}).encode()
        members += [(f"{name}.png", image_bytes(1)), (f"{name}.txt", name.encode()), (f"{name}.json", content)]
    (folder / "0.tar").write_bytes(tar_bytes(members))
    return f"shards:{folder}/0.tar"


def as_parquet(folder: Path, field: str) -> str:
    columns = {
        "image": [image_bytes(1)] * 3,
        "caption": ["a", "b", "c"],
        field: [list(GENERATED[key]) for key in "abc"],
    }
    datasets.Dataset.from_dict(columns).to_parquet(folder / "rows.parquet")
    return f"hf:{folder}/rows.parquet"


def listed(folder: Path, lines: list[dict[str, object]]) -> str:
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    return f"{folder}/rows.jsonl"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    datasets.disable_progress_bars()


@pytest.mark.parametrize("write", [as_jsonl, as_table, as_shards, as_parquet])
def test_every_format_reads_both_kinds(write, tmp_path: Path):
    expected = {(caption,): generated for caption, generated in GENERATED.items()}
    source = open_source(write(tmp_path, "generated_captions"))
    assert kinds_of(source) == expected
    assert list(skipped_samples(source)) == []
    spec = write(tmp_path, "blip")
    assert set(kinds_of(open_source(spec)).values()) == {()}
    assert kinds_of(open_source(f"{spec}?generated=blip")) == expected


def test_a_column_that_is_missing_is_an_error(tmp_path: Path):
    with pytest.raises(ValueError, match=r"the field for generated .*blop.*blip"):
        open_source(f"{as_jsonl(tmp_path, 'blip')}?generated=blop")


def test_rows_of_one_image_are_merged_and_bad_captions_named(tmp_path: Path):
    lines = [
        {"image": "a.png", "generated_captions": ["first", ""]},
        {"image": "a.png", "caption": "a", "generated_captions": 7},
        {"image": "a.png", "generated_captions": "second"},
        {"image": "b.png", "generated_captions": "only this"},
    ]
    source = open_source(listed(tmp_path, lines))
    assert kinds_of(source) == {("a",): ("first", "second")}
    assert [(one.reason, one.image_stays) for one in skipped_samples(source)] == [
        ("empty caption", True),
        ("caption is no text", True),
        ("no caption", False),
    ]
    assert '"generated_captions 2" has nothing to read in it' in skipped_samples(source)[0].detail
    assert '"generated_captions" must be a text, got 7' in skipped_samples(source)[1].detail


def test_writers_keep_both_kinds(tmp_path: Path):
    source = open_source(as_shards(tmp_path, "generated_captions"))
    write_shards(source, tmp_path / "shards", ShardLayout(samples_per_shard=2), num_workers=0)
    assert kinds_of(open_source(f"shards:{tmp_path}/shards/*.tar")) == kinds_of(source)
    samples = (source[index] for index in range(len(source)))
    assert kinds_of(open_source(str(write_samples(samples, tmp_path / "images")))) == kinds_of(source)


@pytest.mark.parametrize("captions", [(), ("one",), ("one", "two")])
def test_packed_texts_have_both_kinds(captions: tuple[str, ...]):
    texts = SampleTexts(captions=captions, generated_captions=("x", "y"))
    assert unpacked_texts(packed(texts)) == texts


def test_one_text_is_no_list_of_generated_captions():
    with pytest.raises(TypeError, match="generated_captions"):
        ImageTextSample(key="a", captions=("a",), open_image=lambda _=None: None, generated_captions="a dog")  # pyright: ignore


def test_a_source_of_a_mixture_has_its_own_ratio(tmp_path: Path):
    file = tmp_path / "mixed.yaml"
    spec = as_jsonl(tmp_path, "generated_captions")
    text = f"sources:\n- {{data: {spec}, weight: 1, generated_caption_ratio: RATIO}}\n- {{data: {spec}, weight: 1}}\n"
    file.write_text(text.replace("RATIO", "0.7"), encoding="utf-8")
    source = open_source(f"mixture:{file}")
    assert isinstance(source, MixedSource)
    assert [part.generated_caption_ratio for part in source.parts] == [0.7, None]
    file.write_text(text.replace("RATIO", "1.5"), encoding="utf-8")
    with pytest.raises(ValueError, match=r"generated_caption_ratio must be 0 to 1, got 1\.5"):
        open_source(f"mixture:{file}")
