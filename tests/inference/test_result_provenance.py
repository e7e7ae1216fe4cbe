"""Results name the weights that they come from, and are not continued by others."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

import sycoca
from builders.predictors import save_small_weights
from sycoca.inference.decoding.generation_config import GenerationConfig
from sycoca.inference.load import load
from sycoca.inference.model_options import ModelOptions
from sycoca.inference.provenance import (
    first_difference,
    provenance_of,
    read_provenance,
    result_lines,
    weights_digest,
    with_provenance,
)
from sycoca.outputs.errors import OutputError

SCENES = "scenes:?split=test&count=5&size=32"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_small_weights(tmp_path_factory.mktemp("model") / "weights")


@pytest.fixture(scope="module")
def other_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_small_weights(tmp_path_factory.mktemp("model") / "other", seed=2)


def cut(path: Path, lines: int) -> None:
    kept = path.read_text(encoding="utf-8").splitlines(keepends=True)[:lines]
    path.write_text("".join(kept), encoding="utf-8")


@pytest.mark.parametrize("format", ["jsonl", "coco"])
def test_captions_name_weights_and_options(weights: Path, tmp_path: Path, format: str):
    out = tmp_path / "captions.json"
    sycoca.caption_set(weights, SCENES, out=out, format=format, max_tokens=3)  # pyright: ignore[reportArgumentType]
    assert json.loads((tmp_path / "captions.json.provenance.json").read_text(encoding="utf-8")) == {
        "format_version": 1,
        "weights": str(weights),
        "weights_sha256": weights_digest(weights),
        "dtype": "float32",
        "options": {
            "num_beams": 1,
            "length_penalty": 1.0,
            "temperature": None,
            "top_k": None,
            "top_p": None,
            "seed": 0,
            "min_tokens": 1,
            "max_tokens": 3,
            "guidance_scale": 1.0,
        },
    }
    assert read_provenance(out) == provenance_of(weights, load(weights), GenerationConfig(max_tokens=3))


def test_captions_are_not_continued_by_other_weights_or_options(weights: Path, other_weights: Path, tmp_path: Path):
    out = tmp_path / "captions.jsonl"
    whole = sycoca.caption_set(weights, SCENES, out=out, max_tokens=3)
    cut(out, 2)
    before = out.read_bytes()
    for given, options, reason in (
        (other_weights, {"max_tokens": 3}, "the weights are not the same"),
        (weights, {"max_tokens": 4}, "max_tokens was 3, is 4"),
        (weights, {"max_tokens": 3, "model": ModelOptions(precision="bf16")}, "dtype was 'float32', is 'bfloat16'"),
        (load(weights), {"max_tokens": 3}, "the weights were .* and are a loaded model, and only two of a kind"),
    ):
        with pytest.raises(OutputError, match=f"was begun with other arguments: {reason}.*; --overwrite starts over"):
            sycoca.caption_set(given, SCENES, out=out, resume=True, **options)  # pyright: ignore[reportArgumentType]
    assert out.read_bytes() == before
    # The same weights under another name.
    moved = tmp_path / "moved"
    moved.symlink_to(weights)
    assert sycoca.caption_set(moved, SCENES, out=out, resume=True, max_tokens=3) == whole
    sycoca.caption_set(other_weights, SCENES, out=out, overwrite=True, max_tokens=4)
    found = read_provenance(out)
    assert found is not None
    assert (found.weights_sha256, found.options["max_tokens"]) == (weights_digest(other_weights), 4)


def test_captions_of_an_earlier_version_are_continued_with_a_warning(
    weights: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    out = tmp_path / "captions.jsonl"
    sycoca.caption_set(weights, SCENES, out=out, max_tokens=3)
    cut(out, 2)
    (tmp_path / "captions.jsonl.provenance.json").unlink()
    assert len(sycoca.caption_set(weights, SCENES, out=out, resume=True, max_tokens=3)) == 5
    assert f"{out} does not say which weights and options began it; it is continued with those given" in caplog.messages
    assert read_provenance(out) is None  # of its first captions nothing is known


def test_an_interruption_leaves_no_lines_beside_the_provenance_of_others(
    weights: Path, other_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    out = tmp_path / "captions.jsonl"
    sycoca.caption_set(weights, SCENES, out=out, max_tokens=3)
    begun = result_lines(out, provenance_of(other_weights, load(other_weights)), resume=False)
    assert len(out.read_text(encoding="utf-8").splitlines()) == 5  # nothing happens before the first line

    def fail(*_: object) -> None:
        raise OSError("interrupted")

    monkeypatch.setattr("sycoca.inference.provenance.write_text", fail)
    with pytest.raises(OSError, match="interrupted"):
        begun.append({"image": "a"})
    assert not out.exists()
    with pytest.raises(RuntimeError, match="interrupted"), with_provenance(out, provenance_of(weights, load(weights))):
        raise RuntimeError("interrupted")
    assert read_provenance(out) is None


def test_scores_of_pairs_are_not_continued_by_other_weights(weights: Path, other_weights: Path, tmp_path: Path):
    scores = tmp_path / "scores.jsonl"
    whole = sycoca.filter_pairs(weights, SCENES, scores=scores)
    cut(scores, 4)
    with pytest.raises(OutputError, match="the weights are not the same"):
        sycoca.filter_pairs(other_weights, SCENES, scores=scores, resume=True)
    assert sycoca.filter_pairs(weights, SCENES, scores=scores, resume=True).scores == whole.scores


@pytest.mark.parametrize("text", ["{", '{"format_version": 2}', "[]", '{"format_version": 1, "weights": 3}'])
def test_a_damaged_provenance_is_named(weights: Path, tmp_path: Path, text: str):
    out = tmp_path / "captions.jsonl"
    sycoca.caption_set(weights, SCENES, out=out, max_tokens=3)
    (tmp_path / "captions.jsonl.provenance.json").write_text(text, encoding="utf-8")
    with pytest.raises(OutputError, match=r"captions.jsonl.provenance.json (cannot be read|is no provenance).*delete"):
        sycoca.caption_set(weights, SCENES, out=out, resume=True, max_tokens=3)


def test_a_digest_is_of_the_parameters_in_int8_too(weights: Path):
    one, other = load(weights, dtype="int8"), load(weights, dtype="int8")
    assert weights_digest(one) == weights_digest(other) != weights_digest(load(weights))
    changed = load(weights)
    dict(changed.model.named_parameters())["text_encoder.blocks.0.mlp.expand.weight"].data.mul_(-1)
    changed.model.quantize()
    assert weights_digest(changed) != weights_digest(one)


def test_where_weights_lie_is_no_difference(weights: Path):
    provenance = provenance_of(weights, load(weights))
    assert first_difference(provenance.model(), replace(provenance, weights="elsewhere").model()) is None


def test_reports_and_predictions_name_their_weights(weights: Path, tmp_path: Path):
    predictions = tmp_path / "captions.json"
    section = {"data": SCENES, "predictions": str(predictions), "max_tokens": 3, "meteor": False}
    reports = sycoca.evaluate_all(weights, {"captioning": section}, model=ModelOptions(precision="bf16"))
    settings = reports["captioning"].settings
    names = ("weights", "weights_sha256", "dtype")
    assert [settings[name] for name in names] == [str(weights), weights_digest(weights), "bfloat16"]
    beside = read_provenance(predictions)
    assert beside is not None
    assert beside.weights_sha256 == weights_digest(weights)
    of_loaded = sycoca.evaluate_all(load(weights), {"retrieval": {"data": SCENES}})["retrieval"].settings
    assert of_loaded["weights"] == "a loaded model"
