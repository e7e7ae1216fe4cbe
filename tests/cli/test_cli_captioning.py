import json
from pathlib import Path

import pytest

from builders.predictors import save_small_weights
from builders.twelve_pictures import caption_lines, coco_captions, write_json, write_lines, write_pictures
from sycoca.cli.main import main


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_small_weights(tmp_path_factory.mktemp("model") / "weights")


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    write_pictures(tmp_path)
    return write_lines(tmp_path / "captions.jsonl", caption_lines())


def test_evaluate_then_score_find_the_same(
    weights: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    results = tmp_path / "results.json"
    evaluate = ["evaluate", "captioning", str(weights), "--data", str(pictures), "--no-meteor", "--json"]
    assert main([*evaluate, "--predictions", str(results)]) == 0
    evaluated = json.loads(capsys.readouterr().out)
    assert evaluated["counts"]["images"] == 12
    assert evaluated["counts"]["captions"] == 24
    score = ["score", "captioning", "--predictions", str(results), "--no-meteor", "--json", "--references"]
    # COCO's annotations call images by number, a data SPEC by name.
    for references in (str(pictures), str(write_json(tmp_path / "coco.json", coco_captions()))):
        assert main([*score, references]) == 0
        scored = json.loads(capsys.readouterr().out)
        assert scored["metrics"] == pytest.approx(evaluated["metrics"])
        assert scored["counts"]["images_without_prediction"] == 0


def test_missing_captions_are_an_error_or_counted(pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    results = write_json(tmp_path / "results.json", [{"image_id": 3, "caption": "picture 3"}])
    score = ["score", "captioning", "--predictions", str(results), "--references", str(pictures), "--no-meteor"]
    assert main(score) == 1
    assert "11 of 12 images with references have no caption" in capsys.readouterr().err
    assert main([*score, "--only-predicted", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["counts"]["images_without_prediction"] == 11


def test_captions_of_unknown_images_are_an_error(pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    results = write_json(tmp_path / "results.json", [{"image_id": 99, "caption": "x"}])
    assert main(["score", "captioning", "--predictions", str(results), "--references", str(pictures)]) == 1
    assert "a caption is for image 99, which has no references" in capsys.readouterr().err
