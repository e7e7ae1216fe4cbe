import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from builders.manifests import renew_manifest
from builders.predictors import small_predictor
from sycoca.inference.predictor import Predictor
from sycoca.model.masking_config import MaskingConfig
from sycoca.preprocess.config import ImageTransformConfig
from sycoca.weights.config import FORMAT_VERSION
from sycoca.weights.folder import load_weights, save_weights
from sycoca.weights.provenance import Provenance
from sycoca.weights.publishing import push_to_hub
from sycoca.weights.verification import verify_weights


@pytest.fixture
def predictor() -> Predictor:
    return small_predictor()


@pytest.fixture
def folder(tmp_path, predictor: Predictor):
    provenance = Provenance(summary="Found in a test.")
    save_weights(tmp_path / "weights", predictor.model, predictor.tokenizer, predictor.config, provenance=provenance)
    return tmp_path / "weights"


def change_config(folder, **changes: object) -> None:
    path = folder / "config.json"
    write_config(folder, {**json.loads(path.read_text()), **changes})


def write_config(folder, plain: object) -> None:
    (folder / "config.json").write_text(json.dumps(plain))
    renew_manifest(folder)


def test_loading_restores_everything(tmp_path):
    predictor = small_predictor(
        masking=MaskingConfig(strategy="inverse", score="caption", hides_from_captioning=False),
        transforms=ImageTransformConfig(mean=(0.1, 0.2, 0.3), resize="squash"),
        normalizes_patches=False,
        captioning_dropped_share=0.25,
    )
    save_weights(tmp_path / "w", predictor.model, predictor.tokenizer, predictor.config)
    loaded = load_weights(tmp_path / "w")
    assert loaded.config == predictor.config
    assert json.loads((tmp_path / "w" / "config.json").read_text())["format_version"] == 5
    assert not loaded.model.training
    expected = predictor.model.state_dict()
    assert loaded.model.state_dict().keys() == expected.keys()
    for name, tensor in loaded.model.state_dict().items():
        assert torch.equal(tensor, expected[name]), name
    assert all(parameter.requires_grad for parameter in loaded.model.parameters())
    text = "a red circle left of a blue square"
    assert loaded.tokenizer.encode(text, 20) == predictor.tokenizer.encode(text, 20)


def test_a_model_without_decoders_can_be_loaded(tmp_path):
    predictor = small_predictor(model_text_decoder=None, model_image_decoder=None)
    save_weights(tmp_path / "w", predictor.model, predictor.tokenizer, predictor.config)
    loaded = load_weights(tmp_path / "w")
    assert loaded.model.text_decoder is None
    assert loaded.model.image_decoder is None


def test_the_folder_holds_a_model_a_card_and_a_manifest(folder):
    model = ["config.json", "model.safetensors", "tokenizer.json"]
    assert sorted(path.name for path in folder.iterdir()) == ["README.md", "config.json", "manifest.json", *model[1:]]
    manifest = json.loads((folder / "manifest.json").read_text())
    assert (manifest["kind"], sorted(manifest["files"])) == ("weights", model)
    plain = json.loads((folder / "config.json").read_text())
    assert plain["format_version"] == 4, "the oldest format that can say it"
    assert plain["masking"]["captioning_hidden_ratio"] == 0.25
    assert "captioning_dropped_share" not in plain
    assert "Found in a test." in (folder / "README.md").read_text()


def test_an_existing_folder_is_replaced(folder, predictor: Predictor):
    with torch.no_grad():
        predictor.model.log_logit_scale.fill_(1.5)
    save_weights(folder, predictor.model, predictor.tokenizer, predictor.config)
    assert load_weights(folder).model.log_logit_scale.item() == 1.5
    assert [path.name for path in folder.parent.iterdir()] == ["weights"]


def test_history_is_kept(folder, predictor: Predictor):
    loaded = load_weights(folder)
    provenance = Provenance(summary="Tried again.")
    save_weights(folder, loaded.model, loaded.tokenizer, loaded.config, provenance=provenance)
    assert load_weights(folder).config.history == ("Found in a test.", "Tried again.")
    assert "1. Found in a test.\n1. Tried again." in (folder / "README.md").read_text()
    save_weights(folder, predictor.model, predictor.tokenizer, predictor.config)
    assert "Not recorded." in (folder / "README.md").read_text()


def test_a_failed_save_leaves_the_old_folder(folder, predictor: Predictor, monkeypatch: pytest.MonkeyPatch):
    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("sycoca.weights.folder.model_card", fail)
    with pytest.raises(OSError, match="disk full"):
        save_weights(folder, predictor.model, predictor.tokenizer, predictor.config)
    assert load_weights(folder).config.history == ("Found in a test.",)
    assert [path.name for path in folder.parent.iterdir()] == ["weights"]


def test_refuses_to_replace_something_else(folder, predictor: Predictor, tmp_path):
    (folder / "thesis.tex").write_text("years of work")
    with pytest.raises(ValueError, match=r"is not a weights folder \(thesis\.tex would be deleted\)"):
        save_weights(folder, predictor.model, predictor.tokenizer, predictor.config)
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="choose another name"):
        save_weights(tmp_path / "file", predictor.model, predictor.tokenizer, predictor.config)
    assert (folder / "thesis.tex").exists()


def test_refuses_to_save_mismatched_model_and_config(tmp_path, predictor: Predictor):
    other = replace(predictor.config, model=replace(predictor.config.model, embed_dim=12))
    with pytest.raises(ValueError, match="the config to save is of another model"):
        save_weights(tmp_path / "w", predictor.model, predictor.tokenizer, other)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
def test_refuses_a_folder_that_lacks_a_file(folder, name: str):
    (folder / name).unlink()
    renew_manifest(folder)
    with pytest.raises(ValueError, match=f"weights has no {re.escape(name)}; a weights folder holds"):
        load_weights(folder)


def test_refuses_what_is_no_folder(tmp_path):
    with pytest.raises(ValueError, match="nowhere does not exist; a weights folder holds"):
        load_weights(tmp_path / "nowhere")


def test_refuses_a_newer_format(folder):
    newer = FORMAT_VERSION + 1
    change_config(folder, format_version=newer)
    said = f"format_version {newer}, this version of sycoca reads up to {FORMAT_VERSION}; update sycoca"
    with pytest.raises(ValueError, match=said):
        load_weights(folder)


def test_older_formats_load_with_defaults_for_newer_fields(folder, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("sycoca.weights.config_file.FORMAT_VERSION", FORMAT_VERSION + 1)
    path = folder / "config.json"
    plain = json.loads(path.read_text())
    del plain["answers_exclude_each_other"]
    del plain["model"]["num_classes"]
    write_config(folder, plain)
    config = load_weights(folder).config
    assert config.answers_exclude_each_other is False
    assert config.model.num_classes is None


NO_FORMAT = ['{"model": {}}', '{"format_version": "1"}', '{"format_version": 0}', '{"format_version": true}']


@pytest.mark.parametrize("text", ["{", "[1]", "[" * 100_000, *NO_FORMAT])
def test_refuses_a_config_of_something_else(folder, text: str):
    (folder / "config.json").write_text(text)
    renew_manifest(folder)
    with pytest.raises(ValueError, match=r"config\.json is not (JSON|the config of a weights folder)"):
        load_weights(folder)


@pytest.mark.parametrize(("part", "size"), [("width", -24), ("num_heads", 0), ("depth", -1)])
def test_refuses_sizes_that_no_model_has(folder, part: str, size: int):
    path = folder / "config.json"
    plain = json.loads(path.read_text())
    plain["model"]["image_encoder"][part] = size
    write_config(folder, plain)
    with pytest.raises(ValueError, match=rf"config\.json\.model\.image_encoder\.{part} must be at least 1, got {size}"):
        load_weights(folder)


def test_refuses_sizes_that_cannot_be_counted(folder):
    path = folder / "config.json"
    plain = json.loads(path.read_text())
    plain["model"]["image_encoder"]["width"] = 3 * 10**12
    write_config(folder, plain)
    with pytest.raises(ValueError, match=r"config\.json describes a model that cannot be built"):
        load_weights(folder)


def test_refuses_unknown_settings(folder):
    change_config(folder, maskin={})
    with pytest.raises(ValueError, match=r"config\.json\.maskin is not a known key; did you mean 'masking'\?"):
        load_weights(folder)


def change_tensors(folder, change) -> None:
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors")
    renew_manifest(folder)


def test_refuses_missing_tensors_by_name(folder):
    change_tensors(folder, lambda tensors: tensors.pop("text_encoder.positions"))
    with pytest.raises(ValueError, match=r"model\.safetensors lacks text_encoder\.positions;"):
        load_weights(folder)


def test_refuses_unexpected_tensors_by_name(folder):
    change_tensors(folder, lambda tensors: tensors.update({f"extra.{i}": torch.ones(1) for i in range(7)}))
    with pytest.raises(ValueError, match=r"unknown to its config, extra\.0, .*extra\.4 and 2 more"):
        load_weights(folder)


def test_refuses_misshapen_tensors_by_name(folder):
    change_tensors(folder, lambda tensors: tensors.update(log_logit_scale=torch.ones(2)))
    with pytest.raises(ValueError, match=r"has in another shape log_logit_scale \(2,\) instead of \(1,\)"):
        load_weights(folder)


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.complex64])
def test_refuses_other_dtypes_than_floating_point(folder, dtype: torch.dtype):
    if dtype.is_complex:
        pytest.importorskip("safetensors", minversion="0.7")  # earlier ones cannot write such a file
    change_tensors(folder, lambda tensors: tensors.update(log_logit_scale=torch.ones(1, dtype=dtype)))
    with pytest.raises(ValueError, match=r"has other than floating-point values in log_logit_scale;"):
        load_weights(folder)


def test_weights_in_half_precision_load(folder):
    change_tensors(folder, lambda tensors: tensors.update({name: one.half() for name, one in tensors.items()}))
    assert load_weights(folder).model.log_logit_scale.dtype == torch.float16


def test_refuses_damaged_tensors(folder):
    data = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(data[: len(data) // 2])
    renew_manifest(folder)
    with pytest.raises(ValueError, match=r"model\.safetensors is damaged"):
        load_weights(folder)


@pytest.mark.parametrize(
    ("data", "said"),
    [(data, "not a tokenizer file: ") for data in (b"", b"{}", b"null", b'{"model": {}}')]
    + [(b"\xff\xfe", "UTF-16; save it as UTF-8")],
)
def test_refuses_a_damaged_tokenizer(folder, data: bytes, said: str):
    (folder / "tokenizer.json").write_bytes(data)
    renew_manifest(folder)
    with pytest.raises(ValueError, match=rf"tokenizer\.json is {said}"):
        load_weights(folder)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
@given(data=st.data())
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damage_anywhere_is_named_or_does_no_harm(folder, name: str, data: st.DataObject):
    path = folder / name
    sound = path.read_bytes()
    place = data.draw(st.integers(0, min(len(sound), 4000) - 1))
    damage = data.draw(st.binary(min_size=1, max_size=9))
    path.write_bytes(sound[:place] + damage + sound[place + len(damage) :])
    renew_manifest(folder)  # what checks of the structure find by themselves
    said = ""
    try:
        load_weights(folder)
    except ValueError as error:
        said = str(error)
    finally:
        path.write_bytes(sound)
    assert said == "" or str(folder) in said


def test_refuses_the_tokenizer_of_another_model(folder):
    path = folder / "config.json"
    plain = json.loads(path.read_text())
    plain["model"]["text_encoder"]["vocab_size"] = 77
    write_config(folder, plain)
    with pytest.raises(
        ValueError, match=r"tokenizer\.json has \d+ token ids, the model of .*config\.json was built for 77"
    ):
        load_weights(folder)


def test_a_sound_folder_passes_verification(folder):
    verify_weights(folder)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_verification_finds_numbers_that_are_not_finite(folder, value: float):
    change_tensors(folder, lambda tensors: tensors["text_encoder.positions"][3, 2:4].fill_(value))
    load_weights(folder)
    said = r"2 of the \d+ values of text_encoder\.positions are not finite"
    with pytest.raises(ValueError, match=said):
        verify_weights(folder)


def test_only_publishing_needs_the_model_card(folder):
    (folder / "README.md").unlink()
    assert "README.md" not in verify_weights(folder).names
    with pytest.raises(ValueError, match=r"has no README\.md; "):
        push_to_hub(folder, "me/tiny", token="none")


def test_verification_finds_what_loading_finds(folder):
    change_tensors(folder, lambda tensors: tensors.pop("text_encoder.positions"))
    with pytest.raises(ValueError, match=r"lacks text_encoder\.positions"):
        verify_weights(folder)


@pytest.mark.parametrize(
    ("file", "given", "told"),
    [
        ("theirs/open_clip_config.json", "theirs", "theirs has no config.json; sycoca convert from-open-clip {} --out"),
        (
            "coca.pt",
            "coca.pt",
            "coca.pt is not a folder; sycoca convert from-open-clip {} --out WEIGHTS converts it into a weights",
        ),
        ("theirs/config.json", "theirs", "theirs is a model of Hugging Face's transformers; sycoca convert from-hf "),
        (
            "README.md",
            "README.md",
            "README.md is not a folder; a weights folder holds config.json, model.safetensors, ",
        ),
    ],
)
def test_errors_name_the_command_that_converts(tmp_path: Path, file: str, given: str, told: str):
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text('{"model_type": "clip"}')
    with pytest.raises(ValueError, match=re.escape(told.format(tmp_path / given))):
        load_weights(tmp_path / given)


def test_a_file_of_a_weights_folder_is_not_the_folder(folder: Path):
    with pytest.raises(ValueError, match=re.escape(f"is not a folder; name the folder that contains it, {folder}")):
        load_weights(folder / "model.safetensors")


def test_the_folder_of_a_run_is_recognized(folder: Path, tmp_path: Path):
    run = tmp_path / "run"
    shutil.copytree(folder, run / "weights")
    with pytest.raises(ValueError, match=re.escape(f"it is the folder of a run; its weights are {run / 'weights'}")):
        load_weights(run)
