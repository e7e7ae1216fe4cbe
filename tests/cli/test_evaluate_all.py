import json
from pathlib import Path

import pytest
import yaml

from builders.predictors import save_small_weights
from sycoca.cli.command_line import run
from sycoca.cli.shared.logs import log_to_stderr
from sycoca.data.spec import open_source
from sycoca.evaluation.report import Report
from sycoca.evaluation.sections import read_sections
from sycoca.inference import load as load_module
from sycoca.inference.model_options import ModelOptions
from sycoca.inference.predictor import Predictor

SCENES = "scenes:?split=test&count=5&size=32"
EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "evaluate_all.yaml"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_small_weights(tmp_path_factory.mktemp("model") / "weights"))


def write(folder: Path, sections: object) -> Path:
    path = folder / "tasks.yaml"
    path.write_text(sections if isinstance(sections, str) else yaml.safe_dump(sections, sort_keys=False))
    return path


def evaluate_all(weights: str, tasks: Path, out: Path, *options: str) -> int:
    return run(["evaluate", "all", weights, "--tasks", str(tasks), "--out", str(out), *options])


def test_reports_are_those_of_each_evaluation(weights: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    tasks = write(
        tmp_path,
        {
            "retrieval": {"data": SCENES, "re_rank": 2},
            "few": {"task": "retrieval", "data": SCENES, "limit": 3},
            "scene-captions": {"data": SCENES, "max_tokens": 3, "batch_size": 2},
        },
    )
    assert evaluate_all(weights, tasks, tmp_path / "reports", "--json") == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary == json.loads((tmp_path / "reports" / "summary.json").read_text())
    assert list(summary["reports"]) == ["retrieval", "few", "scene-captions"]
    alone = {
        "retrieval": ["retrieval", weights, "--data", SCENES, "--re-rank", "2"],
        "few": ["retrieval", weights, "--data", SCENES, "--limit", "3"],
        "scene-captions": ["scene-captions", weights, "--data", SCENES, "--max-tokens", "3"],
    }
    for name, command in alone.items():
        run(["evaluate", *command, "--out", str(tmp_path / "alone.json"), "--overwrite"])
        expected = Report.load(tmp_path / "alone.json")
        found = Report.load(tmp_path / "reports" / f"{name}.json")
        assert (found.metrics, found.settings, found.items) == (expected.metrics, expected.settings, expected.items)
        assert summary["reports"][name]["metrics"] == found.metrics


def test_the_model_is_loaded_and_images_are_embedded_once(
    weights: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    loaded: list[object] = []
    embedded: list[int] = []
    load, image_vectors = load_module.load, Predictor.image_vectors

    def counted_load(*arguments: object, **options: object) -> Predictor:
        loaded.append(arguments)
        return load(*arguments, **options)  # pyright: ignore[reportArgumentType]

    def counted_vectors(self: Predictor, images, **options: int):
        embedded.append(len(images))
        return image_vectors(self, images, **options)

    monkeypatch.setattr(load_module, "load", counted_load)
    monkeypatch.setattr(Predictor, "image_vectors", counted_vectors)
    again = {"task": "retrieval", "data": SCENES, "captions_per_image": 1, "batch_size": 4}
    evaluate_all(weights, write(tmp_path, {"retrieval": {"data": SCENES}, "again": again}), tmp_path / "reports")
    assert len(loaded) == 1
    assert embedded == [5]


def test_a_table_goes_to_stdout(weights: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    with log_to_stderr():
        evaluate_all(weights, write(tmp_path, {"grounding": {"data": SCENES}}), tmp_path / "reports")
    printed = capsys.readouterr()
    assert "mask_coverage" in printed.out
    assert "grounding (1 of 1)" in printed.err


GOOD = {"data": SCENES}


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        (
            {"retrieval": GOOD, "few": {**GOOD, "task": "retrieval", "limits": 3}},
            r"few\.limits is not a known key; did",
        ),
        ({"retrieval": GOOD, "few": {**GOOD, "task": "retrievl"}}, "few: there is no task 'retrievl'; did you mean"),
        ({"retrieval": GOOD, "few": {"task": "retrieval"}}, r"few\.data is missing"),
        (
            {"retrieval": GOOD, "few": {**GOOD, "task": "retrieval", "limit": "all"}},
            r"few\.limit must be a whole number",
        ),
        ({"retrieval": GOOD, "few": {**GOOD, "task": "retrieval", "out": "x"}}, r"few\.out is no option of a section"),
        ({"retrieval": GOOD, "few": {"task": "retrieval", "data": "missing.jsonl"}}, r"few: .*missing\.jsonl"),
        ({"retrieval": GOOD, "few": {**GOOD, "task": "retrieval", "re_rank": 0}}, "few: re_rank must be at least 1"),
        ({"retrieval": GOOD, "vqa": {**GOOD, "weights": "nowhere"}}, "vqa: nowhere does not exist; a weights folder"),
        ({"retrieval": GOOD, "probe": {**GOOD, "train": "missing.jsonl"}}, r"probe: .*missing\.jsonl"),
        ({"retrieval": GOOD, "zero-shot": {**GOOD, "class_names": "missing.txt"}}, r"zero-shot: .*missing\.txt"),
        ({"retrieval": GOOD, "vqa": GOOD}, "vqa: this model has no head for answers"),
        ({"retrieval": GOOD, "classification": GOOD}, "classification: this model has no head for classes"),
        ({"retrieval": GOOD, "few": None}, "few must be a mapping"),
        ({"retrieval": GOOD, "../few": {**GOOD, "task": "retrieval"}}, "cannot be the name of a section"),
        ({}, "must have a section per evaluation"),
        (f"retrieval: {{data: '{SCENES}'}}\nretrieval: {{data: x}}", "the key 'retrieval' occurs 2 times"),
    ],
)
def test_what_is_wrong_anywhere_is_told_before_anything_runs(
    weights: str, tmp_path: Path, sections: object, message: str
):
    with pytest.raises(ValueError, match=message):
        evaluate_all(weights, write(tmp_path, sections), tmp_path / "reports")
    assert not (tmp_path / "reports").exists()


def test_files_in_the_way_are_told_before_anything_runs(weights: str, tmp_path: Path):
    tasks = write(tmp_path, {"retrieval": GOOD})
    with pytest.raises(ValueError, match=r"none\.yaml cannot be read: No such file or directory; name a YAML file"):
        evaluate_all(weights, tmp_path / "none.yaml", tmp_path / "reports")
    with pytest.raises(ValueError, match=r"tasks\.yaml is a file; name a folder"):
        evaluate_all(weights, tasks, tasks)


def test_scenes_must_be_scenes_before_anything_runs(weights: str, tmp_path: Path):
    (tmp_path / "pairs.jsonl").write_text('{"image": "missing.png", "captions": ["a star"]}\n')
    tasks = write(tmp_path, {"retrieval": GOOD, "scene-swaps": {"data": f"{tmp_path}/pairs.jsonl"}})
    with pytest.raises(ValueError, match=r"scene-swaps: .* is not made of scenes"):
        evaluate_all(weights, tasks, tmp_path / "reports")
    assert not (tmp_path / "reports").exists()


def test_an_error_on_the_way_names_its_section_and_leaves_what_was_found(weights: str, tmp_path: Path):
    (tmp_path / "questions.jsonl").write_text('{"image": "missing.png", "captions": ["a star"]}\n')
    tasks = write(tmp_path, {"retrieval": GOOD, "broken": {"task": "retrieval", "data": f"{tmp_path}/questions.jsonl"}})
    with pytest.raises(ValueError, match="broken: "):
        evaluate_all(weights, tasks, tmp_path / "reports")
    assert [path.name for path in (tmp_path / "reports").iterdir()] == ["retrieval.json"]


def test_the_example_is_right(weights: str):
    sections = read_sections(EXAMPLE, weights, ModelOptions())
    assert list(sections) == [
        "retrieval", "zero-shot", "captioning", "vqa", "scene-captions", "scene-swaps", "grounding", "retrieval-few",
    ]  # fmt: skip
    for section in sections.values():
        assert len(open_source(section.task.data)) == 100
