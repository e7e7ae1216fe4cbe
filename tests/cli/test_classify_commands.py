"""sycoca classify, evaluate zero-shot and evaluate classification."""

import json

import pytest

from builders.predictors import photo, save_small_weights, small_predictor
from sycoca.cli.command_line import run
from sycoca.cli.use import classify
from sycoca.inference.load import load
from sycoca.weights.folder import save_weights


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_small_weights(tmp_path_factory.mktemp("model") / "weights"))


@pytest.fixture
def folder(tmp_path) -> str:
    for name, seeds in (("cat", (0, 1)), ("dog", (2, 3, 4))):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for seed in seeds:
            photo(seed=seed).save(tmp_path / "photos" / name / f"{seed}.png")
    return str(tmp_path / "photos")


def test_names_the_most_probable_classes(weights: str, folder: str, capsys: pytest.CaptureFixture[str]):
    image = f"{folder}/cat/0.png"
    options = ["--class-names", "circle,red square,star", "--templates", "a {}", "the {}", "--top", "2"]
    assert run(["classify", weights, image, *options, "--json"]) == 0
    line = json.loads(capsys.readouterr().out)
    expected = load(weights).class_probabilities(
        [image], ["circle", "red square", "star"], templates=("a {}", "the {}")
    )[0]
    assert line["image"] == image
    assert [one["probability"] for one in line["classes"]] == pytest.approx(
        expected.sort(descending=True).values[:2].tolist(), abs=1e-4
    )
    assert run(["classify", weights, image, *options]) == 0
    assert capsys.readouterr().out.startswith(f"{image}: {line['classes'][0]['class']} ")


def test_a_fine_tuned_model_needs_no_names(folder: str, tmp_path, capsys: pytest.CaptureFixture[str]):
    predictor = small_predictor(model_num_classes=2, class_names=("cat", "dog"))
    save_weights(tmp_path / "weights", predictor.model.float(), predictor.tokenizer, predictor.config)
    weights = str(tmp_path / "weights")
    assert run(["classify", weights, folder, "--top", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 5
    names = load(weights).classify([line.rsplit(": ", 1)[0] for line in lines[:2]])
    assert [line.rsplit(": ", 1)[1].split()[0] for line in lines[:2]] == names
    assert run(["evaluate", "classification", weights, "--data", folder, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["counts"]["images"] == 5


def test_evaluates_zero_shot_with_classes_from_a_file(
    weights: str, folder: str, tmp_path, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "classes.txt").write_text("cat\ndog\nhorse\n")
    command = ["zero-shot", weights, "--data", folder, "--class-names", str(tmp_path / "classes.txt"), "--json"]
    assert run(["evaluate", *command, "--scorer", "likelihood", "--out", str(tmp_path / "report.json")]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["counts"]["images"], report["counts"]["classes"]) == (5, 3)
    assert json.loads((tmp_path / "report.json").read_text())["items"]["class"]["keys"] == ["cat", "dog"]


def test_labels_may_be_indices(weights: str, tmp_path, capsys: pytest.CaptureFixture[str]):
    photo().save(tmp_path / "a.png")
    (tmp_path / "labels.csv").write_text("image,class_index\na.png,1\n")
    command = ["zero-shot", weights, "--data", f"{tmp_path / 'labels.csv'}?label=class_index", "--json"]
    assert run(["evaluate", *command, "--class-names", "crane,crane", "--labels-are", "indices"]) == 0
    # Classes of one name tie, and a tie counts against the model.
    assert json.loads(capsys.readouterr().out)["metrics"]["accuracy_top_1"] == 0
    with pytest.raises(ValueError, match="names the class 'crane' twice"):
        run(["evaluate", *command, "--class-names", "crane,crane"])
    with pytest.raises(ValueError, match="give --class-names"):
        run(["evaluate", *command, "--labels-are", "indices"])


def test_wrong_use(weights: str, folder: str):
    with pytest.raises(ValueError, match=r"this model has no head for classes: .*; or name the classes"):
        run(["classify", weights, folder])
    with pytest.raises(ValueError, match="top must be at least 1, got 0"):
        classify.Arguments(weights=weights, images=(), top=0)
    with pytest.raises(ValueError, match="'a photo' is neither a prompt template"):
        run(["classify", weights, folder, "--class-names", "a,b", "--templates", "a photo"])


def test_probes(weights: str, folder: str, tmp_path, capsys: pytest.CaptureFixture[str]):
    pytest.importorskip("sklearn", reason="needs scikit-learn, of the extra probe")
    out = tmp_path / "report.json"
    command = ["probe", weights, "--train", folder, "--data", folder, "--json"]
    assert run(["evaluate", *command, "--vectors", "embedding", "--out", str(out)]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["counts"]["images"] == 5
    assert (report["settings"]["vectors"], report["settings"]["training_images"]) == ("embedding", 3)
    with pytest.raises(ValueError, match="2 samples of the class 'cat', fewer than samples_per_class 3"):
        run(["evaluate", *command, "--samples-per-class", "3"])
    assert run(["evaluate", *command, "--validation", folder]) == 0
    assert json.loads(capsys.readouterr().out)["settings"]["training_images"] == 5
