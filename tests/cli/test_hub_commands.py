"""Weights of the Hugging Face Hub on the command line, played by a stand-in on this machine."""

import json
import shutil
from pathlib import Path

import pytest
import yaml

from builders.hub_stand_in import TOKEN, HubStandIn
from builders.predictors import photo, save_small_weights
from sycoca.cli.main import main
from sycoca.inference.load import load

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # the Hub's library does not

SCENES = "scenes:?split=test&count=5&size=32"


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_small_weights(tmp_path_factory.mktemp("model") / "weights")


@pytest.fixture
def published(hub: HubStandIn, saved: Path) -> str:
    """Return the commit of weights at hf:me/tiny."""
    return hub.add("me/tiny", {path.name: path.read_bytes() for path in saved.iterdir()}).head


@pytest.mark.usefixtures("published")
def test_weights_of_the_hub_are_used_like_a_folder(
    hub: HubStandIn, saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    photo().save(tmp_path / "a.png")
    assert main(["caption", "hf:me/tiny", str(tmp_path / "a.png"), "--device", "cpu"]) == 0
    captured = capsys.readouterr()
    assert captured.out == f"{tmp_path / 'a.png'}: {load(saved, device='cpu').caption([tmp_path / 'a.png'])[0]}\n"
    assert captured.err.startswith(f"fetching hf:me/tiny from {hub.url}, unless the cache has it: config.json, ")


@pytest.mark.usefixtures("published")
def test_evaluations_fetch_them_once(hub: HubStandIn, saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    tasks = tmp_path / "tasks.yaml"
    tasks.write_text(yaml.safe_dump({name: {"task": "retrieval", "data": SCENES} for name in ("one", "two")}))
    assert main(["evaluate", "all", "hf:me/tiny", "--tasks", str(tasks), "--out", str(tmp_path / "out")]) == 0
    assert capsys.readouterr().err.count("fetching hf:me/tiny") == 1
    assert sum(line.endswith("/model.safetensors") and line.startswith("GET") for line in hub.requests) == 1
    assert main(["evaluate", "retrieval", str(saved), "--data", SCENES, "--json"]) == 0
    expected = json.loads(capsys.readouterr().out)["metrics"]
    assert json.loads((tmp_path / "out" / "two.json").read_text())["metrics"] == expected


def test_fine_tuning_starts_from_a_commit_that_its_config_names(
    hub: HubStandIn,
    published: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
):
    steps = ["--training.steps", "1", "--training.global-batch-size", "2", "--training.no-report"]
    out = tmp_path / "run"
    flags = ["--data.train", SCENES, "--out", str(out), "--transforms.flips", *steps, "--runtime.device", "cpu"]
    assert main(["finetune", "captioning", "hf:me/tiny", *flags]) == 0
    assert capsys.readouterr().err.count(f"fetching hf:me/tiny from {hub.url}") == 1
    config = yaml.safe_load((out / "config.yaml").read_text())
    assert config["weights"] == f"hf:me/tiny@{published}"
    assert config["transforms"]["flips"] is True
    history = load(out / "weights", device="cpu").config.history
    assert history[-1].startswith(f"Fine-tuned for captioning from `hf:me/tiny@{published}` for 1 steps")
    assert "base_model: me/tiny\n" in (out / "weights" / "README.md").read_text()
    hub.repositories["me/tiny"].commit({"tokenizer.json": b"of another model"})
    shutil.rmtree(out / "weights")
    monkeypatch.setattr("sycoca.weights.hub._announced", set())  # as in a new process
    capsys.readouterr()
    assert main(["finetune", "--resume", str(out)]) == 0
    assert f"fetching hf:me/tiny@{published} from" in capsys.readouterr().err
    assert (out / "weights").exists()


def test_pretraining_starts_from_a_commit_that_its_config_names(
    hub: HubStandIn, published: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    out = tmp_path / "run"
    steps = ["--training.steps", "1", "--training.global-batch-size", "2", "--training.no-report"]
    flags = ["--data.train", SCENES, "--data.validation", "None", "--out", str(out), *steps, "--runtime.device", "cpu"]
    assert main(["pretrain", "tiny", "--start.weights", "hf:me/tiny", *flags]) == 0
    assert capsys.readouterr().err.count(f"fetching hf:me/tiny from {hub.url}") == 1
    pinned = f"hf:me/tiny@{published}"
    assert yaml.safe_load((out / "config.yaml").read_text())["start"]["weights"] == pinned
    assert load(out / "weights", device="cpu").config.history[-1].startswith(f"Trained from `{pinned}` (preset `tiny`)")
    hub.requests.clear()
    assert main(["pretrain", "--resume", str(out), "--training.steps", "2"]) == 0
    assert "fetching" not in capsys.readouterr().err
    assert hub.requests == []


@pytest.mark.usefixtures("published")
def test_weights_of_the_hub_can_be_averaged(saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    out = tmp_path / "mean"
    assert main(["average", "hf:me/tiny", str(saved), "--out", str(out)]) == 0
    captured = capsys.readouterr()
    assert captured.err.startswith("fetching hf:me/tiny from ")
    assert f"0.5 of hf:me/tiny and 0.5 of {saved}: " in captured.err
    assert (out / "model.safetensors").read_bytes() == (saved / "model.safetensors").read_bytes()


def test_help_fetches_nothing(hub: HubStandIn, capsys: pytest.CaptureFixture[str]):
    assert main(["finetune", "captioning", "hf:me/tiny", "--help"]) == 0
    assert "--data.train SPEC" in capsys.readouterr().out
    assert hub.requests == []


@pytest.mark.usefixtures("hub")
def test_what_is_not_there_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    photo().save(tmp_path / "a.png")
    assert main(["caption", "hf:me/nothing", str(tmp_path / "a.png")]) == 1
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2
    assert "me/nothing does not exist, or is hidden from users without a token; check the name" in said[1]


def test_push_prints_the_commit(
    hub: HubStandIn, saved: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    assert main(["push", str(saved), "me/new", "--private"]) == 1
    assert "publishing hf:me/new needs a token of the Hugging Face Hub" in capsys.readouterr().err
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert main(["push", str(saved), "me/new", "--private", "--message", "First light"]) == 0
    repository = hub.repositories["me/new"]
    captured = capsys.readouterr()
    assert captured.out == f"{hub.url}/me/new/commit/{repository.head}\n"
    assert captured.err == f"checking {saved}, then publishing it as me/new\n"
    assert repository.private
    assert repository.messages[-1] == "First light"
    assert main(["push", str(saved), "me/open"]) == 0
    assert not hub.repositories["me/open"].private
