"""filter_pairs from Python; the command has tests of its own."""

import json
from pathlib import Path

import pytest

import sycoca
from builders.predictors import save_small_weights
from builders.twelve_pictures import PICTURES, caption_lines, write_lines, write_pictures
from sycoca.data.spec import open_source
from sycoca.evaluation.pair_scores import PairScore
from sycoca.inference.load import load
from sycoca.inference.model_options import ModelOptions
from sycoca.inference.predictor import Predictor


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    return load(save_small_weights(tmp_path_factory.mktemp("model") / "weights"), device="cpu")


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    write_pictures(tmp_path)
    return write_lines(tmp_path / "captions.jsonl", caption_lines())


def read(path: Path) -> list[PairScore]:
    return [PairScore(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]


def test_scores_are_returned_and_written(predictor: Predictor, pictures: Path, tmp_path: Path):
    found = sycoca.filter_pairs(predictor, str(pictures), scores=tmp_path / "scores.jsonl")
    assert [(one.image, one.caption) for one in found.scores] == [
        (picture.name, caption) for picture in PICTURES for caption in picture.captions
    ]
    assert read(tmp_path / "scores.jsonl") == found.scores
    assert found.counts["kept_captions"] == found.counts["captions"] == 24
    assert found.quantiles["similarity"]["100 %"] == max(one.similarity for one in found.scores)


def test_what_reaches_the_minimum_is_a_data_set(predictor: Predictor, pictures: Path, tmp_path: Path):
    source = open_source(str(pictures))
    ordered = sorted(one.similarity for one in sycoca.filter_pairs(predictor, source).scores)
    minimum, kept = (ordered[9] + ordered[10]) / 2, tmp_path / "kept.jsonl"
    found = sycoca.filter_pairs(predictor, source, min_similarity=minimum, out=kept)
    samples = open_source(str(kept))
    assert sum(len(samples[i].captions) for i in range(len(samples))) == found.counts["kept_captions"] == 14
    assert found.scores[0].log_likelihood is None  # which decides nothing here


def test_likelihoods_of_some_captions_alone_have_no_quantiles(predictor: Predictor, pictures: Path, tmp_path: Path):
    """The first call looked at likelihoods and was interrupted; the second one filters by similarity."""
    scores, kept = tmp_path / "scores.jsonl", tmp_path / "kept.jsonl"
    sycoca.filter_pairs(predictor, str(pictures), scores=scores)
    lines = scores.read_text(encoding="utf-8").splitlines(keepends=True)
    scores.write_text("".join(lines[: len(PICTURES[0].captions)]), encoding="utf-8")
    found = sycoca.filter_pairs(predictor, str(pictures), scores=scores, resume=True, min_similarity=-1.0, out=kept)
    assert found.scores[0].log_likelihood is not None
    assert found.scores[-1].log_likelihood is None
    assert list(found.quantiles) == ["similarity"]
    assert found.counts["kept_captions"] == 24


def test_an_interrupted_call_is_resumed_behind_its_last_whole_image(
    predictor: Predictor, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    scores, model = tmp_path / "scores.jsonl", ModelOptions(batch_size=5)
    expected = sycoca.filter_pairs(predictor, str(pictures), model=model).scores
    embed, seen = Predictor.embed_images, []

    def interrupted(self, images, **options):
        seen.append(len(images))
        if len(seen) == 2:
            raise KeyboardInterrupt
        return embed(self, images, **options)

    def counted(self, images, **options):
        seen.append(len(images))
        return embed(self, images, **options)

    monkeypatch.setattr(Predictor, "embed_images", interrupted)
    with pytest.raises(KeyboardInterrupt):
        sycoca.filter_pairs(predictor, str(pictures), scores=scores, model=model)
    assert read(scores) == expected[:10]
    with scores.open("a", encoding="utf-8") as file:
        file.write(json.dumps({"image": expected[10].image, "caption": expected[10].caption}) + '\n{"image": "cut')
    monkeypatch.setattr(Predictor, "embed_images", counted)
    seen.clear()
    with pytest.raises(ValueError, match="was written without likelihoods"):
        sycoca.filter_pairs(predictor, str(pictures), scores=scores, resume=True, model=model)
    lines = scores.read_text(encoding="utf-8").splitlines(keepends=True)
    lines[10] = lines[10].replace("}", ', "similarity": 0.0, "log_likelihood": -1.0}')
    scores.write_text("".join(lines), encoding="utf-8")
    found = sycoca.filter_pairs(predictor, str(pictures), scores=scores, resume=True, model=model)
    assert seen == [5, 2]
    assert read(scores) == found.scores == expected


def test_contradictions_are_told_before_anything_is_loaded(tmp_path: Path):
    (tmp_path / "there.jsonl").touch()
    for options, message in (
        ({"resume": True}, "give --scores too"),
        (
            {"scores": tmp_path / "there.jsonl"},
            "is there already; --resume continues it, --overwrite",
        ),
        (
            {"out": tmp_path / "there.jsonl", "min_similarity": 0.1},
            "is there already; --overwrite replaces it, or",
        ),
        ({"out": tmp_path / "kept.jsonl"}, "keeps everything without --min-similarity"),
        ({"min_similarity": 2.0}, "is a cosine between -1 and 1, got 2"),
    ):
        with pytest.raises(ValueError, match=message):
            sycoca.filter_pairs(tmp_path / "no weights", "no data", **options)
