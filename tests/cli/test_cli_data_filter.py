import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from builders.predictors import save_small_weights
from builders.twelve_pictures import PICTURES, caption_lines, write_lines, write_pictures
from sycoca.cli.main import main
from sycoca.data.spec import open_source
from sycoca.inference.load import load
from sycoca.inference.predictor import Predictor

SCORES = ("similarity", "log_likelihood")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_small_weights(tmp_path_factory.mktemp("model") / "weights")


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    write_pictures(tmp_path)
    return write_lines(tmp_path / "captions.jsonl", caption_lines())


def test_scores_show_what_to_choose(weights: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    scores = tmp_path / "scores.jsonl"
    command = ["data", "filter", str(pictures), "--weights", str(weights), "--json", "--scores", str(scores)]
    assert main([*command, "--batch-size", "5"]) == 0
    found = json.loads(capsys.readouterr().out)
    lines = [json.loads(line) for line in scores.read_text(encoding="utf-8").splitlines()]
    assert found["counts"]["captions"] == found["counts"]["kept_captions"] == len(lines) == 24
    predictor = load(weights, device="cpu")
    for number, line in enumerate(lines):
        picture, caption = PICTURES[number // 2], PICTURES[number // 2].captions[number % 2]
        image = pictures.parent / picture.name
        assert (line["image"], line["caption"]) == (picture.name, caption)
        assert line["similarity"] == pytest.approx(predictor.similarity([image], [caption]).item(), abs=1e-5)
        likelihood = predictor.caption_log_likelihood([image], [caption], per_token=True).item()
        assert line["log_likelihood"] == pytest.approx(likelihood, abs=1e-4)
    ordered = sorted(line["similarity"] for line in lines)
    assert found["quantiles"]["similarity"]["0 %"] == ordered[0]
    assert found["quantiles"]["similarity"]["100 %"] == ordered[-1]


def test_resume_goes_on_behind_the_last_whole_image(
    weights: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    scores, judged = tmp_path / "scores.jsonl", []
    command = ["data", "filter", str(pictures), "--weights", str(weights), "--json", "--scores", str(scores)]
    assert main(command) == 0
    whole, shown = scores.read_text(encoding="utf-8"), capsys.readouterr().out
    lines = whole.splitlines(keepends=True)
    # Three images, one caption of the next, and half a line.
    scores.write_text("".join(lines[:7]) + lines[7][:9], encoding="utf-8")
    embed = Predictor.embed_images
    monkeypatch.setattr(
        Predictor, "embed_images", lambda self, images, **more: judged.extend(images) or embed(self, images, **more)
    )
    assert main([*command, "--resume"]) == 0
    assert [sample.key for sample in judged] == [picture.name for picture in PICTURES[3:]]
    again = [json.loads(line) for line in scores.read_text(encoding="utf-8").splitlines()]
    for line, before in zip(again, map(json.loads, lines), strict=True):
        assert line == before | {name: pytest.approx(before[name], abs=1e-5) for name in SCORES}
    assert json.loads(capsys.readouterr().out)["counts"] == json.loads(shown)["counts"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: re.sub('"caption": "', '"caption": "not ', text), "line 1 is not about"),
        (lambda text: text * 2, "has 48 lines, but there are only 24 to write"),
        (lambda text: "[]\n" + text, "line 1 is not a JSON object"),
        (lambda text: re.sub(r'"log_likelihood": [^}]+', '"log_likelihood": null', text), "without likelihoods"),
    ],
)
def test_resume_refuses_another_file(
    change: Callable[[str], str], message: str, weights: Path, pictures: Path, tmp_path: Path, capsys
):
    scores = tmp_path / "scores.jsonl"
    command = ["data", "filter", str(pictures), "--weights", str(weights), "--scores", str(scores)]
    assert main(command) == 0
    scores.write_text(change(scores.read_text(encoding="utf-8")), encoding="utf-8")
    assert main([*command, "--resume"]) == 1
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("name", SCORES)
def test_keeps_what_reaches_the_minimum(
    name: str, weights: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    scores, kept = tmp_path / "scores.jsonl", tmp_path / "deep" / "kept.jsonl"
    command = ["data", "filter", str(pictures), "--weights", str(weights), "--json"]
    assert main([*command, "--scores", str(scores)]) == 0
    lines = [json.loads(line) for line in scores.read_text(encoding="utf-8").splitlines()]
    ordered = sorted(line[name] for line in lines)
    minimum = (ordered[9] + ordered[10]) / 2
    capsys.readouterr()
    option = f"--min-{name.replace('_', '-')}"
    assert main([*command, "--out", str(kept), f"{option}={minimum}"]) == 0
    counts = json.loads(capsys.readouterr().out)["counts"]
    assert (counts["kept_captions"], counts[f"dropped_for_{name}"]) == (14, 10)
    source = open_source(str(kept))
    found = {Path(source[i].key).name: source[i] for i in range(len(source))}
    assert counts["kept_images"] == len(found)
    assert sum(len(sample.captions) for sample in found.values()) == 14
    for line in lines:
        sample = found.get(Path(line["image"]).name)
        assert (sample is not None and line["caption"] in sample.captions) == (line[name] >= minimum)
    one = next(iter(found.values()))
    assert one.open_image().size == (48, 32)
    assert one.label in ("red fox", "owl")
    assert one.split in ("train", "test")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--out", "kept.jsonl"], "keeps everything without --min-similarity"),
        (["--out", "kept.csv", "--min-similarity", "0"], "must end with .jsonl"),
        (["--out", "captions.jsonl", "--min-similarity", "0"], "would replace what it is made from"),
        (["--scores", "captions.jsonl"], "would replace what it is made from"),
        (["--resume"], "give --scores too"),
        (["--min-similarity", "2"], "is a cosine between -1 and 1, got 2"),
        (["--min-log-likelihood", "1"], "is at most 0, got 1"),
        (["--min-log-likelihood", "nan"], "is at most 0, got nan"),
        (["--out", "kept.jsonl", "--min-similarity", "1"], "no caption reaches the minimum"),
    ],
)
def test_wrong_use_is_one_clear_line(
    options: list[str],
    message: str,
    weights: Path,
    pictures: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.chdir(pictures.parent)
    assert main(["data", "filter", str(pictures), "--weights", str(weights), *options]) in (1, 2)
    assert message in capsys.readouterr().err


def test_images_must_be_files_to_be_named(weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    command = ["data", "filter", "scenes:?count=2&size=32", "--weights", str(weights), "--min-similarity", "0"]
    assert main([*command, "--out", str(tmp_path / "kept.jsonl")]) == 1
    assert "is no image file of its own" in capsys.readouterr().err
