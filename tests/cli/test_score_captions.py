"""What sycoca score captioning adds with a scoring model, with human judgments and with COCO's instances."""

import json
from pathlib import Path

import numpy as np
import pytest

from builders.predictors import save_small_weights
from builders.twelve_pictures import PICTURES, caption_lines, coco_captions, write_json, write_lines, write_pictures
from sycoca.cli.main import main
from sycoca.data.benchmarks.judgments import Judgment
from sycoca.evaluation.comparison import compare_reports
from sycoca.evaluation.judged_captions import correlate_judgments
from sycoca.evaluation.report import Report
from sycoca.inference.load import load
from sycoca.inference.provenance import weights_digest


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_small_weights(tmp_path_factory.mktemp("model") / "weights")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    write_pictures(folder)
    return write_lines(folder / "captions.jsonl", caption_lines())


@pytest.fixture(scope="module")
def predictions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    lines = [{"image_id": p.number, "caption": f"a red circle {p.number} above a dog"} for p in PICTURES]
    return write_json(tmp_path_factory.mktemp("predictions") / "results.json", lines)


def score(*words: object) -> list[str]:
    return ["score", "captioning", "--no-meteor", *map(str, words)]


def test_clip_scores_are_those_of_the_towers(weights: Path, pictures: Path, predictions: Path, tmp_path: Path):
    out = tmp_path / "report.json"
    # COCO's annotations call images by number, the data that holds the images by name.
    references = write_json(tmp_path / "coco.json", coco_captions())
    judge = ("--weights", weights, "--data", pictures, "--out", out)
    assert main(score("--predictions", predictions, "--references", references, *judge)) == 0
    report, predictor = Report.load(out), load(weights, device="cpu")
    values = report.items["image"].values
    for row, picture in enumerate(PICTURES):
        image = predictor.embed_images([picture.pixels])
        caption = predictor.embed_texts([f"A photo depicts a red circle {picture.number} above a dog"])
        own = predictor.embed_texts([f"A photo depicts {text}" for text in picture.captions])
        by_image, by_text = 2.5 * max(0, (image @ caption.T).item()), max(0, (own @ caption.T).max().item())
        assert values["clip_score"][row] == pytest.approx(by_image, abs=1e-5)
        expected = 2 * by_image * by_text / (by_image + by_text) if by_image + by_text else 0
        assert values["ref_clip_score"][row] == pytest.approx(expected, abs=1e-5)
        other = predictor.embed_images([PICTURES[(row + 1) % 12].pixels])
        assert values["clip_score_other_image"][row] == pytest.approx(
            2.5 * max(0, (other @ caption.T).item()), abs=1e-5
        )
    assert report.metrics["clip_score"] == pytest.approx(np.mean(values["clip_score"]))
    assert report.settings["scoring_weights_sha256"] == weights_digest(weights)
    assert report.settings["clip_score_prefix"] == "A photo depicts"
    assert any("score with weights that are not those under test" in remark for remark in report.remarks)
    value = compare_reports({"one": report}).values["clip_score"][0]
    assert value is not None
    assert value.interval is not None
    assert value.interval[0] < value.value < value.interval[1]


def test_the_prefix_is_an_option(weights: Path, pictures: Path, predictions: Path, capsys: pytest.CaptureFixture[str]):
    found = []
    for prefix in ("A photo depicts", ""):
        judge = ("--weights", weights, "--json", "--clip-score-prefix", prefix)
        assert main(score("--predictions", predictions, "--references", pictures, *judge)) == 0
        found.append(json.loads(capsys.readouterr().out)["metrics"]["clip_score"])
    assert found[0] != found[1]


def test_a_model_does_not_judge_its_own_captions(
    weights: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    folder = tmp_path / "captions"
    mapped = [
        "map",
        "caption",
        str(weights),
        str(pictures),
        "--out",
        str(folder),
        "--format",
        "jsonl",
        "--max-tokens",
        "3",
    ]
    assert main(mapped) == 0
    (written,) = folder.rglob("00000*.jsonl*")
    capsys.readouterr()
    own = score("--predictions", written, "--references", pictures, "--weights")
    assert main([*own, str(weights)]) == 1
    expected = "says the plan of its folder: a model cannot judge its own captions; name other --weights"
    assert expected in capsys.readouterr().err


@pytest.mark.parametrize("format", ["jsonl", "coco"])
def test_a_model_does_not_judge_the_captions_of_a_file_either(
    weights: Path, pictures: Path, tmp_path: Path, format: str, capsys: pytest.CaptureFixture[str]
):
    written = tmp_path / "captions.json"
    command = ["caption", str(weights), str(pictures), "--out", str(written), "--format", format, "--max-tokens", "3"]
    assert main(command) == 0
    own = score("--predictions", written, "--references", pictures, "--weights")
    assert main([*own, str(weights)]) == 1
    assert "says its provenance: a model cannot judge its own captions" in capsys.readouterr().err
    assert main([*own, str(save_small_weights(tmp_path / "other", seed=2))]) == 0


def test_images_without_data_or_name_are_said(
    weights: Path, pictures: Path, predictions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    references = write_json(tmp_path / "coco.json", coco_captions())
    own = score("--predictions", predictions, "--references", references)
    assert main([*own, "--weights", str(weights)]) == 2
    assert "--weights needs the images: name them with --data SPEC" in capsys.readouterr().err
    assert main([*own, "--data", str(pictures)]) == 2
    assert "--data names the images for --weights: give both" in capsys.readouterr().err
    few = write_lines(pictures.parent / "few.jsonl", caption_lines()[:11])
    assert main([*own, "--weights", str(weights), "--data", str(few)]) == 1
    assert "few.jsonl has no image 11, of which there are captions" in capsys.readouterr().err


JUDGED = [("two words", 1.0), ("picture 0", 4.0), ("picture 0, fine indeed", 4.0)]


def test_judgments_rank_captions(pictures: Path, tmp_path: Path):
    lines = [{"image": PICTURES[0].name, "caption": caption, "score": value} for caption, value in JUDGED]
    lines.append({"image": "3", "caption": "nothing of it at all", "score": [1, 2]})
    lines.append({"image": "3", "caption": PICTURES[3].captions[0], "score": 1})  # a reference, so it is left out
    judgments, out = write_lines(tmp_path / "judged.jsonl", lines), tmp_path / "report.json"
    assert main(score("--judgments", judgments, "--references", pictures, "--out", out)) == 0
    report = Report.load(out)
    # By ROUGE-L: 0, 0.8, 0.9, 0, 0 (about) against 1, 4, 4, 1, 2: ten pairs, of which (2, 3) and (1, 4) are tied for
    # people, the three zeros for the metric. Six agree, none does not.
    assert report.metrics["rouge_l_kendall_tau_b"] == pytest.approx(6 / np.sqrt(7 * 8))
    assert report.metrics["rouge_l_kendall_tau_c"] == pytest.approx(2 * 6 * 3 / (25 * 2))
    assert report.counts == {"judgments": 5, "judged_images": 2, "judged_references_left_out": 1}
    assert "clip_score_kendall_tau_b" not in report.metrics
    assert compare_reports({"one": report}).values["rouge_l_kendall_tau_b"][0] is not None
    assert "human_score" not in report.metrics


@pytest.mark.parametrize("same", ["A  Caf\u00e9 runs.", "a cafe\u0301 runs", "a caf\u00e9 runs ."])
def test_judged_captions_are_references_as_the_metrics_compare_them(same: str):
    judgments = [
        Judgment(image="7", caption=caption, score=score)
        for caption, score in ((same, 1.0), ("a dog", 2.0), ("a cat", 4.0))
    ]
    found = correlate_judgments(Path("judged.jsonl"), judgments, {"7": ["A caf\u00e9 runs.", "one cat"]})
    assert found.counts == {"judgments": 2, "judged_images": 1, "judged_references_left_out": 1}
    assert found.items["judgment"].values["human_score"] == [2, 4]
    assert found.items["judgment"].values["judged_caption_length"] == [2, 2]
    with pytest.raises(ValueError, match=r"judged\.jsonl: all judged captions are references"):
        correlate_judgments(Path("judged.jsonl"), judgments[:1], {"7": ["A caf\u00e9 runs."]})


def test_judgments_of_unknown_images_and_constant_ones_are_said(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    unknown = write_lines(tmp_path / "unknown.jsonl", [{"image": "99", "caption": "x", "score": 1}])
    assert main(score("--judgments", unknown, "--references", pictures)) == 1
    assert "a judgment is about image 99, which has no references" in capsys.readouterr().err
    own = write_lines(tmp_path / "own.jsonl", [{"image": "3", "caption": PICTURES[3].captions[0], "score": 1}])
    assert main(score("--judgments", own, "--references", pictures)) == 1
    assert "own.jsonl: all judged captions are references of their images" in capsys.readouterr().err
    same = [{"image": "0", "caption": caption, "score": 1} for caption, _ in JUDGED]
    constant = write_lines(tmp_path / "same.jsonl", same)
    assert main(score("--judgments", constant, "--references", pictures, "--json")) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["metrics"] == {}
    assert report["settings"]["cider_kendall_tau_b"].startswith("not computed: all captions, or all people")


def test_a_judge_is_ranked_beside_the_other_metrics(
    weights: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    lines = [{"image": str(p.number), "caption": f"a circle {p.number}", "score": p.number % 4} for p in PICTURES]
    judgments = write_lines(tmp_path / "judged.jsonl", lines)
    judge = ("--weights", weights, "--json")
    assert main(score("--judgments", judgments, "--references", pictures, *judge)) == 0
    report = json.loads(capsys.readouterr().out)
    for name in ("clip_score", "ref_clip_score", "reference_similarity"):
        assert -1 <= report["metrics"][f"{name}_kendall_tau_c"] <= 1


def test_chair_counts_what_no_instance_and_no_reference_shows(
    predictions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    captions = coco_captions()
    captions["annotations"] = [  # a reference names the dog of picture 1
        {"image_id": p.number, "caption": "a puppy" if p.number == 1 else "nothing much"} for p in PICTURES
    ]
    references = write_json(tmp_path / "coco.json", captions)
    instances = {
        "images": captions["images"],
        "annotations": [{"image_id": n, "category_id": c} for n, c in ((0, 18), (0, 1), (2, 1))],
        "categories": [{"id": 18, "name": "dog"}, {"id": 1, "name": "person"}],
    }
    own = ("--instances", write_json(tmp_path / "instances.json", instances), "--json")
    assert main(score("--predictions", predictions, "--references", references, *own)) == 0
    report = json.loads(capsys.readouterr().out)
    # Every caption mentions a dog, two images have one; four objects are shown, of which captions find both dogs.
    assert report["metrics"]["chair_i"] == report["metrics"]["chair_s"] == pytest.approx(10 / 12)
    assert report["metrics"]["object_recall"] == pytest.approx(2 / 4)
    assert report["metrics"]["chair_s_other_image"] == pytest.approx(10 / 12)
    assert report["counts"]["hallucinated_objects"] == 10


def test_options_that_need_others_are_usage_errors(pictures: Path, capsys: pytest.CaptureFixture[str]):
    assert main(score("--references", pictures)) == 2
    assert "give --predictions, or --judgments, or both" in capsys.readouterr().err
    assert main(score("--references", pictures, "--judgments", "j.jsonl", "--instances", "i.json")) == 2
    assert "--instances checks --predictions: give them, too" in capsys.readouterr().err
