"""Every damage of a weights folder is refused by name, by whatever loads it; nothing is used before."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import sycoca
from builders.benchmark_files import write_benchmarks
from builders.image_indexes import facts
from builders.manifests import renew_manifest
from builders.predictors import photo, save_small_weights
from sycoca.cli.command_line import arguments_class, command_module
from sycoca.cli.main import main
from sycoca.cli.parsing.table import Argument, arguments_of
from sycoca.cli.tree import Command, commands
from sycoca.data.spec import open_source
from sycoca.evaluation.tasks.registry import TASKS
from sycoca.outputs.manifest import DamageError, Manifest
from sycoca.search.index_table import IndexTable
from sycoca.weights.average import average_weights
from sycoca.weights.config_file import read_weights_config
from sycoca.weights.folder import load_weights, save_weights
from sycoca.weights.parts import load_parts, read_parts_config, save_image_encoder
from sycoca.weights.verification import verify_weights

FILES = ("config.json", "manifest.json", "model.safetensors", "tokenizer.json")
SCENES = "scenes:?count=6&size=32"


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of two weights folders, ``a`` and ``b``, whose files have the same sizes."""
    folder = tmp_path_factory.mktemp("models")
    save_small_weights(folder / "a")
    loaded = load_weights(folder / "a")
    with torch.no_grad():
        loaded.model.log_logit_scale.add_(0.5)
    config = json.loads((folder / "a" / "config.json").read_text())
    save_weights(folder / "b", loaded.model, loaded.tokenizer, loaded.config)
    config["masking"]["captioning_hidden_ratio"] = 0.75
    (folder / "b" / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    tokenizer = (folder / "a" / "tokenizer.json").read_text()
    (folder / "b" / "tokenizer.json").write_text(tokenizer.replace("\n", " ", 1))
    renew_manifest(folder / "b")
    load_weights(folder / "b")
    return folder


@pytest.fixture
def weights(saved: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved / "a", tmp_path / "weights"))


def damaged(weights: Path, saved: Path, name: str, damage: str) -> None:
    path, data = weights / name, bytearray((weights / name).read_bytes())
    match damage:
        case "truncated":
            path.write_bytes(data[:-7])
        case "extended":
            path.write_bytes(data + b"\n")
        case "emptied":
            path.write_bytes(b"")
        case "missing":
            path.unlink()
        case "swapped":
            shutil.copy(saved / "b" / name, path)
        case "a folder":
            path.unlink()
            path.mkdir()
        case _:
            position = int(float(damage.removeprefix("flipped at ")) * (len(data) - 1))
            data[position] ^= 1
            path.write_bytes(data)


DAMAGES = {
    "truncated": r"is truncated: [\d,]+ of [\d,]+ bytes|is not JSON",
    "emptied": "is emptied",
    "missing": "is missing",
    "swapped": "differs from its SHA-256",
    "a folder": "cannot be read: Is a directory|is truncated|too many|differs",
    **{
        f"flipped at {part}": "differs from its SHA-256|is not JSON|is not a manifest|is missing"
        for part in (0, 0.3, 0.9, 1)
    },
}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_refused_by_name(weights: Path, saved: Path, name: str, damage: str):
    damaged(weights, saved, name, damage)
    with pytest.raises(DamageError, match=DAMAGES[damage]) as error:
        sycoca.load(weights, device="cpu")
    # A manifest with another name or hash in it speaks of another file.
    is_vague = name == "manifest.json" and (damage == "swapped" or "flipped" in damage)
    assert str(error.value).startswith(str(weights if is_vague else weights / name))
    assert re.search(
        "; copy the whole folder again(, or load it as it is with --no-verify .* --renew)?$", str(error.value)
    )


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_command_says_so_in_one_line(
    weights: Path, saved: Path, name: str, damage: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    damaged(weights, saved, name, damage)
    photo().save(tmp_path / "a.png")
    assert main(["caption", str(weights), str(tmp_path / "a.png")]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"sycoca caption: {weights}/")
    assert captured.err.count("\n") == 1
    assert "copy the whole folder again" in captured.err


def test_every_bit_counts(weights: Path):
    """One bit of the tensors' header, of each byte of a value, of the first and of the last tensor."""
    path = weights / "model.safetensors"
    sound = path.read_bytes()
    begin = 8 + int.from_bytes(sound[:8], "little")
    positions = [0, 3, 8, begin // 2, begin - 1, *range(begin, begin + 8), *range(len(sound) - 8, len(sound))]
    for position in (*positions, *range(begin, len(sound), 997)):
        data = bytearray(sound)
        data[position] ^= 1 << position % 8
        path.write_bytes(data)
        with pytest.raises(DamageError, match=r"model\.safetensors differs from its SHA-256 in manifest\.json"):
            load_weights(weights)
    path.write_bytes(sound)
    load_weights(weights)


def test_damage_is_reported_before_what_it_leads_to(weights: Path):
    """A config whose damage names another version or other sizes is damaged before all."""
    text = (weights / "config.json").read_text()
    for damage in (('"format_version": 4', '"format_version": 9'), ('"width": 24', '"width": 25'), ("{", "[")):
        (weights / "config.json").write_text(text.replace(*damage, 1))
        with pytest.raises(DamageError, match=r"config\.json differs from its SHA-256"):
            load_weights(weights)


def test_a_folder_in_whose_place_a_file_is(weights: Path):
    shutil.rmtree(weights)
    with pytest.raises(ValueError, match="weights does not exist"):
        sycoca.load(weights)
    weights.write_text("")
    with pytest.raises(ValueError, match="weights is not a folder"):
        sycoca.load(weights)
    weights.unlink()
    weights.mkdir()
    with pytest.raises(ValueError, match=r"weights has no config\.json; a weights folder holds"):
        sycoca.load(weights)


def test_the_manifest_of_something_else(weights: Path):
    Manifest(kind="checkpoint", step=3, files={}).write(weights)
    with pytest.raises(DamageError, match=r"that of a checkpoint, not of a weights folder; name a weights folder$"):
        sycoca.load(weights)
    Manifest(kind="weights", files={}).write(weights)
    with pytest.raises(DamageError, match=r"config\.json is not listed in manifest\.json"):
        sycoca.load(weights)


def test_the_model_card_may_be_edited_and_files_may_be_added(weights: Path):
    (weights / "README.md").write_text("My own words.")
    (weights / "notes.txt").write_text("More of them.")
    sycoca.load(weights, device="cpu")


def test_a_damaged_image_encoder(weights: Path, tmp_path: Path):
    whole = load_parts(weights)
    own = {name.split(".", 1)[1]: tensor for name, tensor in whole.tensors.items() if name.startswith("image_encoder.")}
    for name in ("config.json", "manifest.json", "model.safetensors"):
        folder = tmp_path / name
        save_image_encoder(folder, whole.config.image_encoder, own, whole.config.transforms)
        data = bytearray((folder / name).read_bytes())
        data[-20] ^= 1
        (folder / name).write_bytes(data)
        with pytest.raises(DamageError, match=re.escape(str(folder))):
            load_parts(folder)


def test_folders_of_earlier_formats_have_no_manifest(weights: Path):
    (weights / "manifest.json").unlink()
    config = json.loads((weights / "config.json").read_text())
    (weights / "config.json").write_text(json.dumps({**config, "format_version": 3}))
    sycoca.load(weights, device="cpu")
    renew_manifest(weights)  # one that has been added is compared
    (weights / "config.json").write_text(json.dumps({**config, "format_version": 2}))
    with pytest.raises(DamageError, match=r"config\.json differs"):
        sycoca.load(weights)


def test_what_the_hub_has_cached_can_be_fetched_again(weights: Path, tmp_path: Path):
    cached = tmp_path / "hub" / "models--me--tiny" / "snapshots" / "0123abc"
    shutil.copytree(weights, cached)
    flip_mantissa_bit(cached)
    with pytest.raises(
        DamageError, match=f"; delete {tmp_path / 'hub' / 'models--me--tiny'}, then it is fetched again"
    ):
        sycoca.load(cached)


def flip_mantissa_bit(weights: Path) -> Path:
    """Damage the lowest bit of the last tensor's last value: a finite one in each shape that is expected."""
    path = weights / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[-4] ^= 1
    path.write_bytes(data)
    return weights


def test_verification_can_be_turned_off(weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    flip_mantissa_bit(weights)
    photo().save(tmp_path / "a.png")
    expected = sycoca.load(weights, device="cpu", verify=False).caption([tmp_path / "a.png"])
    assert main(["caption", str(weights), "--no-verify", str(tmp_path / "a.png")]) == 0
    assert expected[0] in capsys.readouterr().out
    (weights / "manifest.json").unlink()
    sycoca.load(weights, device="cpu", verify=False)
    with pytest.raises(DamageError, match=r"manifest\.json is missing"):  # it is off for one call only
        sycoca.load(weights)


LOADERS: dict[str, Callable[[Path], object]] = {
    "load": sycoca.load,
    "load_weights": load_weights,
    "load_parts": load_parts,
    "average before": lambda weights: average_weights(weights, weights.parent / "other"),
    "average after": lambda weights: average_weights(weights.parent / "other", weights),
    "verify_weights": verify_weights,
    "push_to_hub": lambda weights: sycoca.push_to_hub(weights, "me/tiny", token="none"),
}


@pytest.mark.parametrize("name", LOADERS)
def test_every_function_refuses_a_flipped_mantissa_bit(weights: Path, saved: Path, name: str):
    shutil.copytree(saved / "a", weights.parent / "other")
    flip_mantissa_bit(weights)
    with pytest.raises(DamageError, match=re.escape(f"{weights / 'model.safetensors'} differs from its SHA-256")):
        LOADERS[name](weights)


@pytest.mark.parametrize("read", [read_weights_config, read_parts_config])
def test_reading_the_config_alone_compares_the_config_alone(weights: Path, read: Callable[[Path], object]):
    read(flip_mantissa_bit(weights))
    text = (weights / "config.json").read_text()
    (weights / "config.json").write_text(
        text.replace('"captioning_hidden_ratio": 0.25', '"captioning_hidden_ratio": 0.35')
    )
    with pytest.raises(DamageError, match=r"config\.json differs from its SHA-256"):
        read(weights)


_POPE = ("--data", "pope:benchmarks/coco_pope_random.json", "--images", "benchmarks")
_SCORED = ("--predictions", "captions.json", "--references", SCENES)
MORE_WORDS = {"probe": ("--train", SCENES), "filter": ("--min-similarity", "0.1")}
COMMANDS: dict[str, tuple[str, ...]] = {
    "pretrain --start.weights": ("pretrain", "tiny", "--start.weights", "WEIGHTS", "--data.train", SCENES),
    "finetune WEIGHTS": ("finetune", "retrieval", "WEIGHTS", "--data.train", SCENES, "--out", "RUN"),
    "caption WEIGHTS": ("caption", "WEIGHTS", "PHOTO"),
    "classify WEIGHTS": ("classify", "WEIGHTS", "PHOTO", "--class-names", "classes.txt"),
    "ask WEIGHTS": ("ask", "WEIGHTS", "PHOTO", "why?"),
    "embed WEIGHTS": ("embed", "WEIGHTS", SCENES, "--out", "OUT.npz"),
    "explain WEIGHTS": ("explain", "WEIGHTS", "PHOTO", "a circle", "--out", "OUT.png"),
    "index WEIGHTS": ("index", "WEIGHTS", SCENES, "--out", "OUT.lance"),
    "search --weights": ("search", "INDEX", "a dog", "--weights", "WEIGHTS"),
    "evaluate all WEIGHTS": ("evaluate", "all", "WEIGHTS", "--tasks", "TASKS", "--out", "OUT"),
    **{
        f"evaluate {task} WEIGHTS": ("evaluate", task, "WEIGHTS", "--data", SCENES, *MORE_WORDS.get(task, ()))
        for task in TASKS
    },
    "evaluate hard-negatives WEIGHTS": ("evaluate", "hard-negatives", "WEIGHTS", *_POPE),
    "score captioning --weights": ("score", "captioning", *_SCORED, "--weights", "WEIGHTS", "--data", SCENES),
    **{
        f"map {verb} WEIGHTS": ("map", verb, "WEIGHTS", SCENES, "--out", "OUT", *MORE_WORDS.get(verb, ()))
        for verb in ("caption", "embed", "filter", "score")
    },
    "average BEFORE": ("average", "WEIGHTS", "OTHER", "--out", "OUT"),
    "average AFTER": ("average", "OTHER", "WEIGHTS", "--out", "OUT"),
    "convert to-open-clip WEIGHTS": ("convert", "to-open-clip", "WEIGHTS", "--out", "OUT"),
    "export WEIGHTS": ("export", "WEIGHTS", "--out", "OUT"),
    "serve WEIGHTS": ("serve", "WEIGHTS", "--port", "0"),
    "verify WEIGHTS": ("verify", "WEIGHTS"),
    "push WEIGHTS": ("push", "WEIGHTS", "me/tiny"),
    "data filter --weights": ("data", "filter", SCENES, "--weights", "WEIGHTS", "--scores", "OUT.jsonl"),
    "data check --weights": ("data", "check", SCENES, "--weights", "WEIGHTS", "--no-cache"),
}
"""Words of every command that reads weights, by its name and the argument that names them."""


def taking_weights() -> set[str]:
    """Return names of commands with each of their arguments that takes weights, from the table of commands."""
    return {
        f"{' '.join(path)} {argument.placeholder if argument.is_positional else argument.name}"
        for path, command in commands()
        for argument in arguments_of_command(command)
        if argument.placeholder in ("WEIGHTS", "BEFORE", "AFTER")
    }


def arguments_of_command(command: Command) -> list[Argument]:
    own = getattr(command_module(command), "table", None)
    return own() if own else arguments_of(arguments_class(command)[0])


def test_no_command_that_takes_weights_is_left_out():
    assert sorted(COMMANDS) == sorted(taking_weights())


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_refuses_a_flipped_mantissa_bit(
    weights: Path,
    saved: Path,
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_TOKEN", "none")
    shutil.copytree(saved / "a", tmp_path / "OTHER")
    (tmp_path / "TASKS").write_text(f"found: {{task: retrieval, data: '{SCENES}'}}\n")
    (tmp_path / "classes.txt").write_text("a cat\na dog\n")
    photo().save(tmp_path / "photo.png")
    IndexTable.create("INDEX", facts(10))
    (tmp_path / "benchmarks").mkdir()
    write_benchmarks(tmp_path / "benchmarks")
    keys = [sample.key for sample in open_source(SCENES)]
    (tmp_path / "captions.json").write_text(json.dumps([{"image_id": key, "caption": "a dog"} for key in keys]))
    flip_mantissa_bit(weights).rename("WEIGHTS")
    named = {"PHOTO": "photo.png"}
    assert main([named.get(word, word) for word in COMMANDS[name]]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "WEIGHTS/model.safetensors differs from its SHA-256 in manifest.json; copy" in captured.err.splitlines()[-1]
