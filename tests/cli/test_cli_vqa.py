"""The commands about questions: ask, evaluate vqa, score vqa."""

import json
from pathlib import Path

import pytest
import torch

from builders.predictors import photo, small_predictor
from builders.twelve_pictures import (
    PICTURES,
    question_lines,
    vqa_annotations,
    write_json,
    write_lines,
    write_pictures,
)
from sycoca.cli.main import main
from sycoca.inference.load import load
from sycoca.inference.provenance import read_provenance, weights_digest
from sycoca.weights.folder import save_weights

ANSWERS = ("yes", "red fox", "owl")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    with torch.random.fork_rng():
        torch.manual_seed(4)
        predictor = small_predictor(model_num_answers=len(ANSWERS), answers=ANSWERS)
    folder = tmp_path_factory.mktemp("model") / "weights"
    save_weights(folder, predictor.model.float(), predictor.tokenizer, predictor.config)
    return str(folder)


@pytest.fixture
def photo_file(tmp_path: Path) -> str:
    photo().save(tmp_path / "photo.png")
    return str(tmp_path / "photo.png")


@pytest.fixture
def spec(tmp_path: Path) -> str:
    write_pictures(tmp_path)
    write_json(tmp_path / "annotations.json", vqa_annotations(PICTURES[:4]))
    return str(write_lines(tmp_path / "questions.jsonl", question_lines()[:8]))


def test_an_answer_and_its_rivals(weights: str, photo_file: str, capsys: pytest.CaptureFixture[str]):
    predictor = load(weights)
    assert main(["ask", weights, photo_file, "is it?"]) == 0
    assert capsys.readouterr().out == predictor.ask(photo_file, "is it?") + "\n"
    ranked = next(predictor.answers([photo_file], [["is it?"]], top=2))[0]
    main(["ask", weights, photo_file, "is it?", "--top", "2"])
    expected = [f"{answer.answer}  {100 * answer.probability:.1f} %" for answer in ranked]
    assert capsys.readouterr().out.splitlines() == expected
    main(["ask", weights, photo_file, "is it?", "--top", "2", "--json"])
    assert json.loads(capsys.readouterr().out) == [
        {"answer": answer.answer, "probability": answer.probability} for answer in ranked
    ]


def test_an_open_ended_answer(weights: str, photo_file: str, capsys: pytest.CaptureFixture[str]):
    assert main(["ask", weights, photo_file, "is it?", "--open-ended", "--json", "--max-tokens", "3"]) == 0
    (answer,) = json.loads(capsys.readouterr().out)
    assert answer.keys() == {"answer"}
    assert answer["answer"] != ""


def test_a_whole_set_is_answered_scored_and_evaluated(weights: str, spec: str, tmp_path: Path, capsys):
    asked, evaluated = tmp_path / "asked.json", tmp_path / "evaluated.json"
    assert main(["ask", weights, spec, "--out", str(asked)]) == 0
    assert main(["evaluate", "vqa", weights, "--data", spec, "--predictions", str(evaluated), "--json"]) == 0
    assert asked.read_bytes() == evaluated.read_bytes()
    names = [read_provenance(path) for path in (asked, evaluated)]
    assert names[0] == names[1]
    assert names[0] is not None
    assert (names[0].weights, names[0].weights_sha256) == (weights, weights_digest(weights))
    report = json.loads(capsys.readouterr().out)
    assert report["task"] == "vqa"
    assert report["counts"]["questions"] == 8
    assert report["settings"]["data"] == "questions.jsonl"
    assert main(["score", "vqa", "--predictions", str(asked), "--references", spec, "--json"]) == 0
    scored = json.loads(capsys.readouterr().out)
    assert scored["metrics"]["answer_accuracy"] == report["metrics"]["answer_accuracy"]
    annotations = str(tmp_path / "annotations.json")
    out = tmp_path / "report.json"
    assert main(["score", "vqa", "--predictions", str(asked), "--references", annotations, "--out", str(out)]) == 0
    assert json.loads(out.read_text())["metrics"]["answer_accuracy_of_answer_type_other"] == pytest.approx(
        scored["metrics"]["answer_accuracy"]
    )


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["ask", "{weights}", "{photo}"], 2, "give an image file and a question, or a data SPEC and --out"),
        (["ask", "{weights}", "{photo}", "is it?", "--out", "x.json"], 2, "give an image file and a question"),
        (["ask", "{weights}", "{photo}", "is it?", "--top", "0"], 2, "--top must be at least 1"),
        (["ask", "{weights}", "{photo}", "is it?", "--top", "2", "--open-ended"], 2, "leave out --open-ended"),
        (["ask", "{weights}", "{photo}", "is it?", "--num-beams", "2"], 2, "with --open-ended only"),
        (["ask", "{weights}", "none.png", "is it?"], 1, "none.png"),
        (["ask", "{weights}", "scenes:?cuont=2", "is it?"], 1, "did you mean count?"),
        (["evaluate", "vqa", "{weights}", "--data", "{spec}", "--num-beams", "2"], 1, "with --open-ended only"),
        (
            ["evaluate", "vqa", "{weights}", "--data", "{spec}", "--references-are", "annotators"],
            1,
            "at least 4 annotators for every question, got 2",
        ),
        (["score", "vqa", "--predictions", "none.json", "--references", "{spec}"], 1, "none.json cannot be read"),
        (["score", "vqa", "--predictions", "{wrong}", "--references", "{spec}"], 1, "about unknown questions"),
    ],
)
def test_wrong_input_is_one_line(
    weights: str, photo_file: str, spec: str, tmp_path: Path, capsys, arguments: list[str], code: int, message: str
):
    wrong = write_json(tmp_path / "wrong.json", [{"question_id": 77, "answer": "yes"}])
    values = {"weights": weights, "photo": photo_file, "spec": spec, "wrong": str(wrong)}
    assert main([argument.format(**values) if "{" in argument else argument for argument in arguments]) == code
    error = capsys.readouterr().err
    assert message in error
    assert len(error.splitlines()) == 1
