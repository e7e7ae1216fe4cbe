"""A flat folder, a folder of class folders and a zip file mean the same in every command, and their names open."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from builders.predictors import photo, save_small_weights, small_predictor
from sycoca.cli.main import main
from sycoca.inference.load import load
from sycoca.preprocess.decoding import open_rgb
from sycoca.weights.folder import save_weights

NAMES = {
    "flat": ["0.png", "1.png", "2.png"],
    "classes": ["cat/0.png", "cat/1.png", "dog/2.png"],
    "mixed": ["0.png", "cat/1.png", "dog/2.png"],
    "deep": ["a/b/0.png", "a/b/c/1.png", "a/d/2.png"],
}


MIXED = "1 of 3 images lies in no folder (0.png), so no folder is a class; move such images into class folders"


def is_mixed() -> bool:
    return Path("photos/0.png").exists() and Path("photos/cat").exists()


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_small_weights(tmp_path_factory.mktemp("model") / "weights"))


@pytest.fixture(params=[*NAMES, "zip of flat", "zip of classes", "zip of mixed"])
def images(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return a folder or zip file of three photos, as it is called from the working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    kind = request.param.removeprefix("zip of ")
    for number, name in enumerate(NAMES[kind]):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        photo(seed=number).save(path)
    if not request.param.startswith("zip"):
        return "photos"
    with zipfile.ZipFile("photos.zip", "w") as archive:
        for name in NAMES[kind]:
            archive.write(tmp_path / "photos" / name, f"photos/{name}")
    return "photos.zip"


def opened(name: str) -> int:
    """Return which photo a printed name opens."""
    pixels = [np.asarray(photo(seed=number)) for number in range(3)]
    (found,) = [number for number in range(3) if np.array_equal(np.asarray(open_rgb(name)), pixels[number])]
    return found


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().out.removesuffix("\n").split("\n")


def test_caption(weights: str, images: str, capsys: pytest.CaptureFixture[str]):
    assert main(["caption", weights, images, "--device", "cpu"]) == 0
    printed = dict(line.split(": ", 1) for line in lines(capsys))
    assert [opened(name) for name in printed] == [0, 1, 2]
    assert list(printed.values()) == load(weights, device="cpu").caption([photo(seed=n) for n in range(3)])


def test_captions_in_a_file_are_read_back_as_data(weights: str, images: str, capsys: pytest.CaptureFixture[str]):
    assert main(["caption", weights, images, "--out", "out/captions.jsonl", "--device", "cpu"]) == 0
    before = Path("out/captions.jsonl").read_bytes()
    assert main(["caption", weights, images, "--out", "out/captions.jsonl", "--resume", "--device", "cpu"]) == 0
    assert Path("out/captions.jsonl").read_bytes() == before
    capsys.readouterr()
    assert main(["data", "stats", "out/captions.jsonl", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["num_samples"], found["images"]["num_opened"], found["images"]["failures"]) == (3, 3, [])


def test_classify(weights: str, images: str, capsys: pytest.CaptureFixture[str]):
    assert main(["classify", weights, images, "--class-names", "cat,dog", "--device", "cpu"]) == 0
    assert [opened(line.split(": ")[0]) for line in lines(capsys)] == [0, 1, 2]


def test_ask(weights: str, images: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["ask", weights, images, "what is it?", "--open-ended", "--device", "cpu"]) == 0
    printed = [line.split(": ", 1) for line in lines(capsys)]
    predictor = load(weights, device="cpu")
    assert [opened(name) for name, _ in printed] == [0, 1, 2]
    answers = [predictor.ask(photo(seed=number), "what is it?", open_ended=True) for number in range(3)]
    assert [answer for _, answer in printed] == answers
    assert main(["ask", weights, printed[1][0], "what is it?", "--open-ended", "--device", "cpu"]) == 0
    assert lines(capsys) == [answers[1]]
    with_list = small_predictor(answers=("yes", "no"), model_num_answers=2)
    save_weights(tmp_path / "vqa", with_list.model.float(), with_list.tokenizer, with_list.config)
    assert main(["ask", str(tmp_path / "vqa"), images, "is it?", "--top", "2", "--json", "--device", "cpu"]) == 0
    found = [json.loads(line) for line in lines(capsys)]
    assert [(opened(one["image"]), len(one["answers"])) for one in found] == [(0, 2), (1, 2), (2, 2)]


def test_embed(weights: str, images: str, capsys: pytest.CaptureFixture[str]):
    assert main(["embed", weights, images, "--out", "e.npz", "--device", "cpu"]) == 0
    assert (MIXED in capsys.readouterr().err) == is_mixed()
    arrays = np.load("e.npz")
    assert ("texts" in arrays) == ((Path("photos/cat").exists() and not is_mixed()) or Path("photos/a").exists())
    assert len(arrays["images"]) == 3
    assert [opened(str(key)) for key in arrays["keys"]] == [0, 1, 2]


def test_data_check_and_stats(images: str, capsys: pytest.CaptureFixture[str]):
    assert main(["data", "check", images]) == 0
    printed = capsys.readouterr().out
    assert "3 images read, nothing broken" in printed
    assert (MIXED in printed) == is_mixed()
    assert main(["data", "stats", images, "--json"]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["images"]["num_opened"] == 3
    assert (MIXED in printed.err) == is_mixed()


@pytest.mark.parametrize("images", ["mixed", "zip of mixed"], indirect=True)
def test_what_needs_classes_or_captions_says_why_a_mixed_folder_has_none(
    weights: str, images: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "names.csv").write_text("cat,cat\ndog,dog\n")
    for command in (
        ["pretrain", "tiny", "--data.train", images],
        ["finetune", "classification", weights, "--data.train", images],
        ["finetune", "captioning", weights, "--data.train", images],
        ["evaluate", "retrieval", weights, "--data", images],
        ["evaluate", "zero-shot", weights, "--data", images],
        ["data", "stats", f"folder:{images}?labels=names.csv"],
    ):
        assert main(command) == 1, command
        assert MIXED in capsys.readouterr().err, command


def test_a_flat_folder_is_embedded_without_captions(weights: str, tmp_path: Path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    photo().save("0.png")
    assert main(["embed", weights, ".", "--out", "e.npz", "--device", "cpu"]) == 0
    assert sorted(np.load("e.npz")) == ["dtype", "images", "keys", "weights", "weights_sha256"]
    said = capsys.readouterr().err
    assert f"{tmp_path.name} has no captions: images alone are embedded" in said
    assert "1 image in e.npz" in said


def test_images_that_cannot_be_read_may_be_skipped(weights: str, tmp_path: Path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (8, 8)).save("0.png")
    Path("1.png").write_bytes(b"broken")
    for command in (["classify", weights, ".", "--class-names", "a,b"], ["ask", weights, ".", "?", "--open-ended"]):
        assert main([*command, "--device", "cpu"]) == 1
        assert "1.png cannot be read as an image" in capsys.readouterr().err
        assert main([*command, "--device", "cpu", "--max-skipped-ratio", "0.5"]) == 0
        captured = capsys.readouterr()
        assert captured.out.startswith("0.png: ")
        assert "1.png: " not in captured.out
        assert "1 of 2 samples skipped" in captured.err
