"""What goes wrong at a user's desk: through the command line, one line that names file, field and remedy."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from builders.manifests import renew_manifest
from builders.predictors import photo, save_small_weights
from sycoca.cli.main import main
from sycoca.weights.config import FORMAT_VERSION


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_small_weights(tmp_path_factory.mktemp("model") / "weights")


@pytest.fixture
def weights(saved: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "weights"))


@pytest.fixture
def fails(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Return a function that runs a command and returns the one line it fails with."""

    def run(*arguments: object, code: int = 1) -> str:
        assert main([str(argument) for argument in arguments]) == code
        captured = capsys.readouterr()
        assert captured.out == ""
        assert "Traceback" not in captured.err
        prog, said = captured.err.strip().splitlines()[-1].split(": ", maxsplit=1)
        assert prog.split() in (["sycoca", *arguments[:1]], ["sycoca", *arguments[:2]])
        return said

    return run


def pretrain(data: object, out: Path, *flags: str) -> list[object]:
    steps = ["--training.steps", "1", "--training.global-batch-size", "2", "--data.num-workers", "0"]
    own = ["--data.train", data, "--data.validation", "None", "--data.max-skipped-ratio", "0"]
    return ["pretrain", "tiny", "--out", out, *own, *steps, *flags]


def write_captions(folder: Path, *rows: dict) -> Path:
    photo(20, 20).save(folder / "good.png")
    path = folder / "captions.jsonl"
    good = {"image": "good.png", "caption": "a dog", "split": "train"}
    path.write_text("".join(json.dumps(row) + "\n" for row in (good, *rows)), encoding="utf-8")
    return path


def test_a_missing_image(fails, weights: Path, tmp_path: Path):
    lost = tmp_path / "lost.png"
    said = f"{lost} cannot be read as an image: there is no such file; check the name and the images folder"
    assert fails("explain", weights, lost, "a dog", "--out", tmp_path / "x.png") == said
    captions = write_captions(tmp_path, {"image": "lost.png", "caption": "a cat"})
    assert fails("evaluate", "retrieval", weights, "--data", captions) == said
    assert fails(*pretrain(captions, tmp_path / "run")).startswith(f"{said} (1 of 2 samples cannot be used, more than")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "it is empty (0 bytes); fetch it again or leave it out"),
        (b"<html>404</html>", "it is a web page, as servers send in place of a lost image; JPEG, PNG"),
        (b"\xff\xd8\xff\xe0\0\0", "it ends or breaks within its header; fetch it again or leave it out"),
    ],
)
def test_an_unreadable_image(fails, weights: Path, tmp_path: Path, data: bytes, said: str):
    path = tmp_path / "bad.jpg"
    path.write_bytes(data)
    assert fails("caption", weights, path).startswith(f"{path} cannot be read as an image: {said}")


def test_an_image_of_one_pixel(fails, weights: Path, tmp_path: Path):
    path = tmp_path / "pixel.png"
    Image.new("RGB", (1, 1)).save(path)
    assert fails("caption", weights, path) == (
        f"{path} cannot be read as an image: it has 1 x 1 pixels, both sides must have at least 2; leave it out"
    )


def test_an_image_of_30000_by_30000_pixels(fails, weights: Path, tmp_path: Path):
    path = tmp_path / "large.png"
    Image.new("1", (30_000, 30_000)).save(path)
    assert path.stat().st_size < 2**20
    message = fails("caption", weights, path)
    assert message.startswith(f"{path} cannot be read as an image: it has 900,000,000 pixels; store it smaller")
    assert message.endswith("SYCOCA_MAX_DECODED_BYTES sets another")


def test_an_empty_caption(fails, tmp_path: Path):
    captions = write_captions(tmp_path, {"image": "bare.png", "caption": " "})
    assert fails(*pretrain(captions, tmp_path / "run")) == (
        f'{captions}, line 2: "caption" has nothing to read in it; write a text or remove it (1 of 2 samples cannot be'
        " used, more than max_skipped_ratio 0 allows: repair them or allow more)"
    )


def test_a_wrong_column(fails, tmp_path: Path):
    table = tmp_path / "photos.csv"
    table.write_text("filepath,title\ngood.png,a dog\n", encoding="utf-8")
    assert fails("data", "stats", table) == (
        f"{table} has no column 'image' (it has filepath, title); say which one names the image files: ?image=filepath"
    )
    assert fails("data", "stats", f"{table}?image=filepath&caption=titel") == (
        f"{table}: the column for caption must be one of filepath, title, got 'titel' (did you mean title?)"
    )


def test_a_wrong_split_and_a_wrong_option(fails, tmp_path: Path):
    captions = write_captions(tmp_path)
    assert fails("data", "stats", f"{captions}?split=trian") == (
        f"{captions}: split must be one of train, got 'trian' (did you mean train?)"
    )
    assert "(did you mean split?)" in fails("data", "stats", f"{captions}?splt=train")


def change_tensors(weights: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> Path:
    tensors = load_file(weights / "model.safetensors")
    change(tensors)
    save_file(tensors, weights / "model.safetensors")
    renew_manifest(weights)
    return weights / "model.safetensors"


def test_weights_with_a_missing_an_extra_and_a_misshapen_tensor(fails, weights: Path, tmp_path: Path):
    remedy = "it does not belong to the config.json beside it: copy the whole folder again"
    path = change_tensors(weights, lambda tensors: tensors.pop("log_logit_scale"))
    photo().save(tmp_path / "a.png")
    assert fails("caption", weights, tmp_path / "a.png") == f"{path} lacks log_logit_scale; {remedy}"
    change_tensors(weights, lambda tensors: tensors.update(log_logit_scale=torch.ones(1), extra=torch.ones(2)))
    assert fails("caption", weights, tmp_path / "a.png") == f"{path} has, unknown to its config, extra; {remedy}"
    change_tensors(weights, lambda tensors: tensors.pop("extra"))
    change_tensors(weights, lambda tensors: tensors.update(log_logit_scale=torch.ones(2)))
    assert fails("caption", weights, tmp_path / "a.png") == (
        f"{path} has in another shape log_logit_scale (2,) instead of (1,); {remedy}"
    )
    (weights / "model.safetensors").write_bytes(b"half")
    renew_manifest(weights)
    assert fails("caption", weights, tmp_path / "a.png").startswith(f"{path} is damaged or not a safetensors file: ")


def test_weights_of_a_newer_version(fails, weights: Path, tmp_path: Path):
    config = json.loads((weights / "config.json").read_text(encoding="utf-8"))
    config["format_version"] = 99
    (weights / "config.json").write_text(json.dumps(config), encoding="utf-8")
    renew_manifest(weights)
    photo().save(tmp_path / "a.png")
    assert fails("caption", weights, tmp_path / "a.png") == (
        f"{weights / 'config.json'} has format_version 99, this version of sycoca reads up to {FORMAT_VERSION};"
        " update sycoca"
    )


@pytest.mark.parametrize(
    ("yaml", "said"),
    [
        ("training: {stepz: 3}", "config.training.stepz is not a known key; did you mean 'steps'?"),
        ("masking: {strategy: atentive}", "config.masking.strategy is 'atentive'; did you mean 'attentive'?"),
        (
            "model: {image_decoder: null}",
            "objectives.masked_image_weight is 1.0 but model.image_decoder is null; give its sizes or set the weight",
        ),
        ("training: [1", "{file} is not a YAML file: while parsing a flow sequence"),
    ],
)
def test_an_unknown_and_a_contradictory_config_field(fails, tmp_path: Path, yaml: str, said: str):
    file = tmp_path / "config.yaml"
    file.write_text(yaml, encoding="utf-8")
    assert fails("pretrain", "tiny", "--config", file, code=2).startswith(said.replace("{file}", str(file)))


def test_a_device_that_is_not_there(fails, weights: Path, tmp_path: Path):
    photo().save(tmp_path / "a.png")
    line = fails("caption", weights, tmp_path / "a.png", "--device", "cuda:7")
    assert line.startswith("there is no device 'cuda:7', PyTorch finds ")
    assert line.endswith("; use auto")
    captions = write_captions(tmp_path)
    line = fails(*pretrain(captions, tmp_path / "run", "--runtime.device", "cuda:7"))
    assert line.startswith("there is no device 'cuda:7'")


def test_debug_shows_the_traceback(weights: Path, tmp_path: Path):
    with pytest.raises(ValueError, match="there is no such file"):
        main(["caption", str(weights), str(tmp_path / "lost.png"), "--debug"])
