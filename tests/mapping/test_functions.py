"""Maps from Python: rows, columns, formats, what is skipped, and what a folder refuses."""

import json
import logging
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest
import torch

import sycoca
from builders.predictors import ListSource, photo_source, save_small_weights, small_predictor
from builders.twelve_pictures import caption_lines, write_lines, write_pictures
from sycoca.data.samples import Shard
from sycoca.data.spec import open_source
from sycoca.evaluation.embedding_files import read_arrays
from sycoca.evaluation.pair_scores import pair_scores
from sycoca.inference.load import load
from sycoca.inference.model_options import ModelOptions
from sycoca.inference.predictor import Predictor
from sycoca.outputs.errors import OutputError, OutputInterrupted

SCENES = "scenes:?split=test&count=7&size=32"
BATCHES = ModelOptions(batch_size=2)


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    return load(save_small_weights(tmp_path_factory.mktemp("model") / "weights"), device="cpu")


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    write_pictures(tmp_path)
    return write_lines(tmp_path / "captions.jsonl", caption_lines())


def rows_of(folder: Path) -> list[dict]:
    paths = sorted(folder.glob("*.jsonl"))
    return [json.loads(line) for path in paths for line in path.read_text(encoding="utf-8").splitlines()]


def names_in(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize(
    "options", [{"max_tokens": 5}, {"temperature": 1.0, "seed": 3, "max_tokens": 5}, {"num_beams": 2, "max_tokens": 5}]
)
def test_captions_are_those_of_the_whole_set(predictor: Predictor, tmp_path: Path, options: dict):
    result = sycoca.map_captions(predictor, SCENES, tmp_path / "out", block_size=3, model=BATCHES, **options)
    assert names_in(tmp_path / "out") == ["00000.jsonl", "00001.jsonl", "00002.jsonl", "plan.json"]
    expected = sycoca.caption_set(predictor, SCENES, **options)
    assert [(row["key"], row["caption"]) for row in rows_of(tmp_path / "out")] == [
        (one.image, one.caption) for one in expected
    ]
    assert [row["log_likelihood"] for row in rows_of(tmp_path / "out")] == pytest.approx(
        [one.log_likelihood for one in expected], abs=2e-4
    )
    assert (result.files, result.samples, result.written_rows, result.skipped) == (3, 7, 7, {})


def test_rows_name_image_files_so_that_a_spec_opens_them_from_anywhere(
    predictor: Predictor, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    sycoca.map_captions(predictor, "captions.jsonl", "out", max_tokens=3)
    monkeypatch.chdir("/")
    source, original = open_source(str(tmp_path / "out" / "00000.jsonl")), open_source(str(pictures))
    for index in range(12):
        assert source[index].open_image().tobytes() == original[index].open_image().tobytes()
        assert rows_of(tmp_path / "out")[index]["key"] == original[index].key
    assert len(source) == 12


def test_a_folder_of_images_is_captioned(predictor: Predictor, pictures: Path, tmp_path: Path):
    sycoca.map_captions(predictor, pictures.parent, tmp_path / "out", max_tokens=3)
    assert len(rows_of(tmp_path / "out")) == 12


class Sharded(ListSource):
    """Seven photos in three shards, two of which have the same name."""

    shards = (
        Shard(name="a/0.tar", first=0, stop=2),
        Shard(name="b/0.tar", first=2, stop=3),
        Shard(name="1.tar", first=3, stop=7),
    )


def test_a_shard_becomes_a_file(predictor: Predictor, tmp_path: Path):
    source = Sharded(samples=photo_source([("a",)] * 7).samples)
    sycoca.map_captions(predictor, source, tmp_path / "out", max_tokens=2)
    assert names_in(tmp_path / "out") == ["00000-0.jsonl", "00001-0.jsonl", "00002-1.jsonl", "plan.json"]
    assert [row["key"] for row in rows_of(tmp_path / "out")] == [f"photo-{number}" for number in range(7)]
    with pytest.raises(ValueError, match="has shards, each of which becomes one file: leave block_size out"):
        sycoca.map_captions(predictor, source, tmp_path / "other", block_size=4)


def test_embeddings_are_the_predictors(predictor: Predictor, tmp_path: Path):
    source = photo_source([("a", "b c"), (), ("d",), ("e",), ("f",)])
    sycoca.map_embeddings(predictor, source, tmp_path / "out", block_size=4, model=BATCHES)
    parts = [read_arrays(tmp_path / "out" / f"0000{number}.safetensors") for number in range(2)]
    images = np.concatenate([part["images"] for part in parts])
    texts = np.concatenate([part["texts"] for part in parts])
    np.testing.assert_allclose(images, predictor.embed_images(source).numpy(), atol=1e-6)
    np.testing.assert_allclose(texts, predictor.embed_texts(["a", "b c", "d", "e", "f"]).numpy(), atol=1e-6)
    assert parts[0]["image_of_text"].tolist() == [0, 0, 2, 3]
    assert parts[0]["keys"].tolist() == [f"photo-{number}" for number in range(4)]


def test_a_model_in_bf16_maps(tmp_path: Path):
    model = load(save_small_weights(tmp_path / "weights"), device="cpu", dtype=torch.bfloat16)
    result = sycoca.map_captions(model, SCENES, tmp_path / "out", model=BATCHES, max_tokens=5)
    assert (result.samples, result.written_rows) == (7, 7)


def test_texts_alone_open_no_image(predictor: Predictor, pictures: Path, tmp_path: Path):
    for image in pictures.parent.rglob("*.jpg"):
        image.write_text("no picture")
    result = sycoca.map_embeddings(predictor, str(pictures), tmp_path / "out", what="texts", format="jsonl")
    assert (result.written_rows, result.skipped) == (12, {})
    assert list(rows_of(tmp_path / "out")[0]) == ["key", "image", "captions", "text_embeddings"]


def test_parquet_has_the_same_rows(predictor: Predictor, tmp_path: Path):
    source = photo_source([("a", "b c"), ("d",)])
    for format in ("parquet", "jsonl"):
        sycoca.map_embeddings(predictor, source, tmp_path / f"embed-{format}", format=format)
        sycoca.map_filter(predictor, source, tmp_path / f"filter-{format}", min_similarity=-1.0, format=format)
    for verb in ("embed", "filter"):
        table = pyarrow.parquet.read_table(tmp_path / f"{verb}-parquet" / "00000.parquet")
        assert table.to_pylist() == rows_of(tmp_path / f"{verb}-jsonl")
    assert str(table.schema.field("similarities").type) == "list<element: double>"


def test_scores_are_those_of_data_filter(predictor: Predictor, tmp_path: Path):
    source = photo_source([("a", "b c"), ("d",), ("e",)])
    sycoca.map_scores(predictor, source, tmp_path / "out", block_size=2)
    expected = [score for _, own in pair_scores(predictor, source, with_log_likelihood=True) for score in own]
    found = rows_of(tmp_path / "out")
    assert [(row["key"], row["caption"]) for row in found] == [(score.image, score.caption) for score in expected]
    assert [row["similarity"] for row in found] == pytest.approx([score.similarity for score in expected], abs=1e-5)
    assert [row["log_likelihood"] for row in found] == pytest.approx(
        [score.log_likelihood for score in expected], abs=1e-4
    )


def test_a_filter_keeps_what_data_filter_keeps(predictor: Predictor, pictures: Path, tmp_path: Path):
    scores = [own for _, own in pair_scores(predictor, open_source(str(pictures)), with_log_likelihood=False)]
    least = float(np.median([score.similarity for own in scores for score in own]))
    result = sycoca.map_filter(predictor, str(pictures), tmp_path / "out", min_similarity=least)
    sycoca.filter_pairs(predictor, str(pictures), min_similarity=least, out=tmp_path / "kept.jsonl")
    kept, expected = open_source(str(tmp_path / "out" / "00000.jsonl")), open_source(str(tmp_path / "kept.jsonl"))
    assert 0 < result.written_rows == len(kept) == len(expected) < 12
    for index in range(len(kept)):
        assert kept[index].captions == expected[index].captions
        assert (kept[index].label, kept[index].split) == (expected[index].label, expected[index].split)
    assert all(min(row["similarities"]) >= least for row in rows_of(tmp_path / "out"))


def test_a_filter_needs_a_minimum(predictor: Predictor, tmp_path: Path):
    with pytest.raises(ValueError, match="give --min-similarity or --min-log-likelihood; sycoca data filter"):
        sycoca.map_filter(predictor, SCENES, tmp_path / "out")


def test_what_cannot_be_read_is_named_beside_its_block_and_moves_no_other_caption(
    predictor: Predictor, pictures: Path, tmp_path: Path
):
    options = {"block_size": 5, "model": BATCHES, "temperature": 1.0, "max_tokens": 5}
    sycoca.map_captions(predictor, str(pictures), tmp_path / "whole", **options)
    broken = str(caption_lines()[5]["image"])
    (pictures.parent / broken).write_text("no picture")
    with pytest.raises(ValueError, match=r"1 of 12 samples cannot be used, more than max_skipped_ratio 0 allows"):
        sycoca.map_captions(predictor, str(pictures), tmp_path / "out", **options)
    result = sycoca.map_captions(predictor, str(pictures), tmp_path / "out", max_skipped_ratio=0.1, **options)
    assert result.skipped == {"not an image": 1}
    (line,) = (tmp_path / "out" / "skipped" / "00001.jsonl").read_text(encoding="utf-8").splitlines()
    assert (json.loads(line)["name"], json.loads(line)["reason"]) == (broken, "not an image")
    rows, expected = rows_of(tmp_path / "out"), [row for row in rows_of(tmp_path / "whole") if row["key"] != broken]
    assert [(row["key"], row["caption"]) for row in rows] == [(row["key"], row["caption"]) for row in expected]
    assert [row["log_likelihood"] for row in rows] == pytest.approx(
        [row["log_likelihood"] for row in expected],
        abs=2e-4,  # sums in other batches, rounded to four decimals
    )
    assert result.files == 3


def test_what_the_source_leaves_out_is_counted_too(predictor: Predictor, pictures: Path, tmp_path: Path):
    pictures.write_text(pictures.read_text(encoding="utf-8") + '{"captions": ["no image"]}\n', encoding="utf-8")
    with pytest.raises(ValueError, match="1 of 13 samples cannot be used"):
        sycoca.map_captions(predictor, str(pictures), tmp_path / "out", max_tokens=2)
    result = sycoca.map_captions(predictor, str(pictures), tmp_path / "out", max_tokens=2, max_skipped_ratio=0.1)
    assert result.skipped == {"no image name": 1}
    assert (tmp_path / "out" / "skipped" / "source.jsonl").exists()


def test_only_missing_files_are_made(predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    out = tmp_path / "out"
    sycoca.map_captions(predictor, SCENES, out, block_size=3, max_tokens=4)
    whole = {path.name: path.read_bytes() for path in out.glob("*.jsonl")}
    (out / "00001.jsonl").unlink()
    monkeypatch.chdir(tmp_path)
    result = sycoca.map_captions(predictor, SCENES, out, block_size=3, max_tokens=4)
    assert (result.written_files, result.mapped_samples, result.files) == (1, 3, 3)
    assert {path.name: path.read_bytes() for path in out.glob("*.jsonl")} == whole
    assert sycoca.map_captions(predictor, SCENES, out, block_size=3, max_tokens=4).written_files == 0


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"data": "scenes:?count=8&size=32"}, "data was 'scenes:.split=test&count=7&size=32', is 'scenes"),
        ({"min_tokens": 2}, "min_tokens was 1, is 2"),
        ({"block_size": 2}, "the data is cut into other blocks or shards"),
        ({"format": "parquet"}, "format was 'jsonl', is 'parquet'"),
        ({"model": ModelOptions(batch_size=3)}, "batch_size was 64, is 3"),
    ],
)
def test_other_arguments_are_refused_with_the_difference(
    predictor: Predictor, tmp_path: Path, changes: dict, reason: str
):
    sycoca.map_captions(predictor, SCENES, tmp_path / "out", block_size=3, max_tokens=4)
    options = {"data": SCENES, "block_size": 3, "max_tokens": 4, **changes}
    with pytest.raises(OutputError, match=rf"out was begun with other arguments: {reason}.*--overwrite starts over"):
        sycoca.map_captions(predictor, out=tmp_path / "out", **options)


def test_other_weights_and_other_samples_are_refused(predictor: Predictor, pictures: Path, tmp_path: Path):
    sycoca.map_captions(predictor, str(pictures), tmp_path / "out", max_tokens=2)
    other = load(save_small_weights(tmp_path / "weights"), device="cpu")
    other.model.log_logit_scale.data += 1
    with pytest.raises(OutputError, match="the weights are not the same"):
        sycoca.map_captions(other, str(pictures), tmp_path / "out", max_tokens=2)
    pictures.write_text(pictures.read_text(encoding="utf-8").replace("picture 3", "picture three"), encoding="utf-8")
    with pytest.raises(OutputError, match="the data has other samples"):
        sycoca.map_captions(predictor, str(pictures), tmp_path / "out", max_tokens=2)


def test_overwriting_deletes_the_old_map_and_nothing_else(predictor: Predictor, tmp_path: Path):
    out = tmp_path / "out"
    sycoca.map_captions(predictor, SCENES, out, block_size=2, max_tokens=4)
    (out / "all.jsonl").write_text("{}", encoding="utf-8")
    sycoca.map_captions(predictor, SCENES, out, block_size=5, max_tokens=4, overwrite=True)
    assert names_in(out) == ["00000.jsonl", "00001.jsonl", "all.jsonl", "plan.json"]


@pytest.mark.parametrize("block_size", [2, 3])
def test_who_loads_its_model_while_another_command_starts_over_writes_nothing(
    predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block_size: int
):
    def after_another_command(*_: object) -> Predictor:
        monkeypatch.undo()
        sycoca.map_captions(predictor, SCENES, tmp_path / "out", block_size=3, max_tokens=3, overwrite=True)
        return predictor

    monkeypatch.setattr("sycoca.mapping.worker.predictor_of", after_another_command)
    with pytest.raises(OutputError, match=r"another command has begun .* anew with --overwrite; this one writes"):
        sycoca.map_captions(predictor, SCENES, tmp_path / "out", block_size=block_size, max_tokens=4)
    assert names_in(tmp_path / "out") == ["00000.jsonl", "00001.jsonl", "00002.jsonl", "plan.json"]


@pytest.mark.parametrize("change", [{"files": ["../mine"]}, {"format": "txt"}, {"files": [1]}, {"format_version": 2}])
def test_a_plan_from_elsewhere_deletes_no_other_files(predictor: Predictor, tmp_path: Path, change: dict):
    (tmp_path / "mine.jsonl").touch()
    sycoca.map_captions(predictor, SCENES, tmp_path / "out", max_tokens=2)
    plan = json.loads((tmp_path / "out" / "plan.json").read_bytes())
    (tmp_path / "out" / "plan.json").write_text(json.dumps(plan | change), encoding="utf-8")
    with pytest.raises(OutputError, match="is no plan that this version of sycoca reads"):
        sycoca.map_captions(predictor, SCENES, tmp_path / "out", max_tokens=2, overwrite=True)
    assert (tmp_path / "mine.jsonl").exists()


def test_a_folder_of_something_else_is_refused(predictor: Predictor, tmp_path: Path):
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(OutputError, match=r"holds notes\.txt and is no folder of sycoca map"):
        sycoca.map_captions(predictor, SCENES, tmp_path, overwrite=True)


def test_an_interruption_says_what_is_there(predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    generate, calls = Predictor.generate, []

    def interrupted(self, *arguments, **options):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return generate(self, *arguments, **options)

    monkeypatch.setattr(Predictor, "generate", interrupted)
    with pytest.raises(OutputInterrupted, match="out has 2 of 4 files; the same command makes the others"):
        sycoca.map_captions(predictor, SCENES, tmp_path / "out", block_size=2, max_tokens=4)
    assert not list((tmp_path / "out").glob(".*.lease"))


def test_what_other_processes_cannot_get_is_refused(predictor: Predictor, tmp_path: Path):
    with pytest.raises(ValueError, match="several workers load model and data themselves: name a weights folder"):
        sycoca.map_captions(predictor, SCENES, tmp_path / "out", workers=2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"workers": 0}, "workers must be at least 1, got 0"),
        ({"max_skipped_ratio": 1.5}, "max_skipped_ratio must lie between 0 and 1, got 1.5"),
        ({"ray_address": "auto"}, "ray_address is an option of engine ray, not of local"),
    ],
)
def test_wrong_options_are_refused(predictor: Predictor, tmp_path: Path, options: dict, message: str):
    with pytest.raises(ValueError, match=message):
        sycoca.map_captions(predictor, SCENES, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_a_model_that_cannot_do_it_is_told_before_a_folder_is_made(tmp_path: Path):
    without_decoder = small_predictor(model_text_decoder=None)
    with pytest.raises(ValueError, match="text decoder"):
        sycoca.map_captions(without_decoder, SCENES, tmp_path / "out")
    with pytest.raises(ValueError, match="does not exist; a weights folder holds"):
        sycoca.map_scores(tmp_path / "nothing", SCENES, tmp_path / "out")
    with pytest.raises(ValueError, match="captions with at most 26 tokens"):
        sycoca.map_captions(small_predictor(), SCENES, tmp_path / "out", max_tokens=27)
    assert not (tmp_path / "out").exists()


def test_captions_longer_than_the_context_are_counted(
    predictor: Predictor, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    source = photo_source([("a b c " * 40, "d"), ("e " * 90,)])
    with caplog.at_level(logging.WARNING, "sycoca"):
        sycoca.map_scores(predictor, source, tmp_path / "out", block_size=1)
    assert "2 captions are longer than the model's context: the rest of them is not read" in caplog.messages
