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


def spoil(pictures: Path, *numbers: int) -> list[str]:
    """Replace pictures by files that are none; returns their names."""
    names = [caption_lines()[number]["image"] for number in numbers]
    for name in names:
        (pictures.parent / str(name)).write_text("no picture")
    return [str(name) for name in names]


def test_an_unreadable_image_ends_captioning_unless_it_may_be_left_out(
    weights: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (spoiled,) = spoil(pictures, 4)
    out = tmp_path / "out.jsonl"
    caption = ["caption", str(weights), str(pictures), "--out", str(out), "--max-tokens", "4"]
    assert main(caption) == 1
    assert spoiled in capsys.readouterr().err
    assert not out.exists()
    assert main([*caption, "--max-skipped-ratio", "0.1"]) == 0
    told = capsys.readouterr().err
    assert f"skipped: {tmp_path / spoiled}" in told
    assert "1 of 12 samples skipped: 1 not an image" in told
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert [line["image"] for line in lines] == [p["image"] for i, p in enumerate(caption_lines()) if i != 4]
    skipped = [json.loads(line) for line in (tmp_path / "out.jsonl.skipped.jsonl").read_text().splitlines()]
    assert [one["name"] for one in skipped] == [spoiled]
    whole = out.read_text()
    out.write_text("\n".join(whole.splitlines()[:5]) + '\n{"image": "half')
    assert main([*caption, "--max-skipped-ratio", "0.1", "--resume"]) == 0
    assert out.read_text() == whole
    assert len((tmp_path / "out.jsonl.skipped.jsonl").read_text().splitlines()) == 1


def test_too_many_unreadable_images_end_captioning(
    weights: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    spoil(pictures, 1, 4)
    out = tmp_path / "out.jsonl"
    assert main(["caption", str(weights), str(pictures), "--out", str(out), "--max-skipped-ratio", "0.1"]) == 1
    assert "2 of 12 samples cannot be used, more than max_skipped_ratio 0.1" in capsys.readouterr().err
    assert not out.exists()


def test_captions_in_cocos_result_format(
    weights: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    out = tmp_path / "deep" / "results.json"
    caption = ["caption", str(weights), str(pictures), "--out", str(out), "--max-tokens", "4", "--format", "coco"]
    assert main(caption) == 0
    assert [entry["image_id"] for entry in json.loads(out.read_text())] == list(range(12))
    out.unlink()
    assert main([*caption, "--resume"]) == 1
    assert "--format coco is one JSON list: give --out, and no --resume" in capsys.readouterr().err
