"""Pretraining from initial weights: sizes, loaded and new tensors, resuming without the weights."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import sycoca
from builders.hub_stand_in import HubStandIn
from builders.old_checkpoints import make_format_1
from builders.starts import MODEL, PARTS, PIXELS, VIT, VOCAB_SIZE, built, count_of, log_of, notices, tensors_in
from sycoca.cli.main import main
from sycoca.model.decoder_configs import TextDecoderConfig
from sycoca.model.patches import resize_positions
from sycoca.objectives.config import ObjectivesConfig
from sycoca.preprocess.config import ImageTransformConfig
from sycoca.training.config import RuntimeConfig
from sycoca.training.engine.tracking import read_metrics
from sycoca.training.pretrain import FIXED_ON_RESUME, pretrain, resume_pretraining
from sycoca.training.recipes.pretraining.config import PretrainConfig
from sycoca.training.recipes.pretraining.initial_weights_config import InitialWeightsConfig
from sycoca.training.recipes.pretraining.recipe import Pretraining
from sycoca.training.run.dry_run import dry_run
from sycoca.training.run.start import check_resumable
from sycoca.training.run_folder import RunFolder
from sycoca.weights.config_file import read_weights_config
from sycoca.weights.folder import load_weights, save_weights
from sycoca.weights.tensors.filling import fill_model

SHORT = "--training.steps 2 --training.global-batch-size 4 --training.no-report --training.no-tensorboard"
SCENES = "--data.train scenes:?count=6&size=16 --data.validation None --runtime.device cpu"


def test_parts_have_the_weights_tensors_sizes_and_words(make_run_config, weights: Path, tmp_path: Path):
    config = make_run_config(start=InitialWeightsConfig(weights=str(weights)))
    recipe, trained = built(config, tmp_path / "run")
    expected = tensors_in(weights)
    own = trained.model.state_dict()
    assert own.keys() == expected.keys()
    assert all(torch.equal(own[name], tensor) for name, tensor in expected.items())
    assert trained.model.config == read_weights_config(weights).model == recipe.config.model
    text = "A red circle left of a BLUE square"
    assert trained.tokenizer.encode(text, 30) == load_weights(weights).tokenizer.encode(text, 30)
    assert trained.tokenizer.encode(text, 30) != trained.tokenizer.encode(text.lower(), 30)
    assert trained.weights.masking == config.masking
    assert trained.weights.history == read_weights_config(weights).history
    assert recipe.base == str(weights)
    said, replaced = recipe.summary(trained)
    counts = {part: f"{count_of(weights, part):,}" for part in PARTS}
    assert said == (
        f"from {weights}: image encoder {counts['image_encoder']}, text encoder {counts['text_encoder']}, text decoder"
        f" {counts['text_decoder']}, image decoder {counts['image_decoder']}, temperature"
    )
    assert replaced == (
        "fields of preset test replaced by those of the weights: image_encoder (width, depth, num_heads, pooling),"
        " text_encoder (vocab_size, context_length, width, depth), text_decoder (depth, num_heads), image_decoder"
        " (width, depth), embed_dim, transforms (mean, std)"
    )


def test_a_clip_gets_new_decoders(make_run_config, clip: Path):
    run = pretrain(make_run_config(start=InitialWeightsConfig(weights=str(clip))))
    model = sycoca.load(run / "weights", device="cpu").model
    assert model.config.text_encoder == read_weights_config(clip).model.text_encoder
    assert (model.config.text_encoder.pooling, model.config.text_encoder.activation) == ("eos", "quick_gelu")
    assert model.text_decoder is not None
    assert model.image_decoder is not None
    counts = [f"{count_of(run / 'weights', decoder):,}" for decoder in ("text_decoder", "image_decoder")]
    assert "temperature; new: text decoder {}, image decoder {}\n".format(*counts) in log_of(run)
    lines = read_metrics(run / "metrics.jsonl")
    assert lines[-1]["captioning"] < lines[0]["captioning"]
    card = (run / "weights" / "README.md").read_text("utf-8")
    assert f"Trained from `{clip}` (preset `test`) for 4 steps" in " ".join(card.split())


def test_an_image_encoder_alone_gets_all_else_new(make_run_config, vit: Path, tmp_path: Path):
    recipe, trained = built(make_run_config(start=InitialWeightsConfig(weights=str(vit))), tmp_path / "run")
    own = trained.model.state_dict()
    assert all(torch.equal(own[name], tensor) for name, tensor in tensors_in(vit).items())
    config = trained.model.config
    assert config.image_encoder == VIT
    assert (config.text_encoder.width, config.embed_dim) == (16, 8)
    assert trained.weights.transforms == replace(recipe.config.transforms, mean=PIXELS.mean, std=PIXELS.std)
    said = next(iter(recipe.summary(trained)))
    assert said.startswith(f"from {vit}: image encoder 2,700; new: ")
    assert "; new: image_encoder.projection.weight 96, text encoder " in said
    assert said.endswith(", temperature")


def test_parts_without_objective_are_not_used(make_run_config, weights: Path, tmp_path: Path):
    config = make_run_config(
        start=InitialWeightsConfig(weights=str(weights)),
        objectives=ObjectivesConfig(captioning_weight=0.0, masked_image_weight=0.0),
    )
    recipe, trained = built(config, tmp_path / "run")
    assert (trained.model.text_decoder, trained.model.image_decoder) == (None, None)
    said = next(iter(recipe.summary(trained)))
    gone = [f"{count_of(weights, decoder):,}" for decoder in ("text_decoder", "image_decoder")]
    assert said.endswith("temperature; not used: text decoder {}, image decoder {}".format(*gone))


def test_weights_at_the_hub_are_fetched_and_their_commit_kept(hub: HubStandIn, make_run_config, weights: Path):
    hub.add("me/tiny", {path.name: path.read_bytes() for path in weights.iterdir()})
    recipe = Pretraining.for_new_run(make_run_config(start=InitialWeightsConfig(weights="hf:me/tiny")))
    assert recipe.config.start.weights == f"hf:me/tiny@{hub.repositories['me/tiny'].head}"
    assert recipe.config.model == read_weights_config(weights).model


def test_heads_are_not_used(make_run_config, weights: Path, tmp_path: Path):
    loaded = load_weights(weights)
    config = replace(loaded.config, model=replace(loaded.config.model, num_classes=2), class_names=("a", "b"))
    model = sycoca.SyCoCa(config.model)
    save_weights(tmp_path / "headed", model, loaded.tokenizer, config)
    said = notices(make_run_config(start=InitialWeightsConfig(weights=str(tmp_path / "headed"))), tmp_path / "run")[0]
    assert said.endswith("temperature; not used: head for classes 50")


def test_positions_are_interpolated_to_another_image_size(make_run_config, weights: Path, tmp_path: Path):
    recipe, trained = built(
        make_run_config(start=InitialWeightsConfig(weights=str(weights), image_size=24)), tmp_path / "run"
    )
    expected, own = tensors_in(weights), trained.model.state_dict()
    assert recipe.config.model.image_encoder.image_size == 24
    resized = {"image_encoder.positions", "image_decoder.positions"}
    for name in resized:
        assert torch.equal(own[name], resize_positions(expected[name], 36))
    assert all(torch.equal(own[name], expected[name]) for name in expected.keys() - resized)
    with pytest.raises(ValueError, match="image_size 18 is not a multiple of patch_size 4"):
        pretrain(make_run_config(start=InitialWeightsConfig(weights=str(weights), image_size=18)))


def test_pixels_that_the_user_sets_stay(make_run_config, weights: Path, tmp_path: Path):
    own = ImageTransformConfig(mean=(0.1, 0.2, 0.3), crop_min_area=0.7)
    config = make_run_config(start=InitialWeightsConfig(weights=str(weights)), transforms=own)
    _, trained = built(config, tmp_path / "run")
    assert trained.weights.transforms == replace(own, std=PIXELS.std)


def test_tensors_of_half_the_precision_come_in(make_run_config, tmp_path: Path, weights: Path):
    loaded = load_weights(weights)
    save_weights(tmp_path / "half", loaded.model.bfloat16(), loaded.tokenizer, loaded.config)
    config = make_run_config(start=InitialWeightsConfig(weights=str(tmp_path / "half"), image_size=24))
    _, trained = built(config, tmp_path / "run")
    assert {parameter.dtype for parameter in trained.model.parameters()} == {torch.float32}


def test_without_weights_nothing_is_said_of_them_and_nothing_recorded(make_run_config, tmp_path: Path):
    assert [line for line in notices(make_run_config(), tmp_path / "run") if "captions are longer" not in line] == []
    assert not RunFolder(tmp_path / "run").start.exists()


def cautious(config: PretrainConfig, weights: Path) -> PretrainConfig:
    """Return a config with frozen parts, a learning-rate ratio and micro-batches."""
    return replace(
        config,
        start=InitialWeightsConfig(weights=str(weights), image_size=24, frozen=("image_encoder",), lr_ratio=0.1),
        optimizer=replace(config.optimizer, layer_decay=0.7),
        training=replace(config.training, micro_batch_size=2, average_decay=0.9, save_every=2, keep_checkpoints=9),
        runtime=RuntimeConfig(device="cpu", activation_checkpointing=True),
    )


def assert_same_runs(one: Path, two: Path) -> None:
    for name in ("model.safetensors", "optimizer.safetensors", "average.safetensors"):
        first, second = (load_file(run / "checkpoints" / "step-00000004" / name) for run in (one, two))
        assert first.keys() == second.keys()
        assert all(torch.equal(first[key], second[key]) for key in first), name
    lines = [[{**line, "images_per_second": 0} for line in read_metrics(run / "metrics.jsonl")] for run in (one, two)]
    assert lines[0] == lines[1]
    assert len(lines[0]) == 4


@pytest.mark.parametrize("kind", ["weights", "vit"])
def test_a_run_goes_on_to_the_last_bit_when_its_weights_are_gone(
    make_run_config, request: pytest.FixtureRequest, tmp_path: Path, kind: str
):
    copy = tmp_path / "copy"
    shutil.copytree(request.getfixturevalue(kind), copy)
    whole = pretrain(cautious(make_run_config("whole"), copy))
    cut = tmp_path / "cut"
    shutil.copytree(whole, cut)
    shutil.rmtree(cut / "checkpoints" / "step-00000004")
    shutil.rmtree(cut / "weights")
    shutil.rmtree(copy)
    resume_pretraining(replace(RunFolder(cut).read_config(PretrainConfig), out=str(cut)))
    assert_same_runs(whole, cut)
    beginning = f"from {copy}: image encoder"
    assert log_of(cut).count(beginning) == 2
    assert len({line.split(beginning)[1] for line in log_of(cut).splitlines() if beginning in line}) == 1


def test_before_the_first_checkpoint_the_weights_are_loaded_again(make_run_config, weights: Path, tmp_path: Path):
    copy = tmp_path / "copy"
    shutil.copytree(weights, copy)
    whole = pretrain(cautious(make_run_config("whole"), copy))
    cut = tmp_path / "cut"
    shutil.copytree(whole, cut)
    shutil.rmtree(cut / "checkpoints")
    config = replace(RunFolder(cut).read_config(PretrainConfig), out=str(cut))
    resume_pretraining(config)
    assert_same_runs(whole, cut)
    shutil.rmtree(cut / "checkpoints")
    copy.rename(tmp_path / "gone")
    with pytest.raises(ValueError, match="copy does not exist; name a weights folder"):
        resume_pretraining(config)


def test_the_config_of_a_run_starts_it_again(make_run_config, weights: Path):
    first = pretrain(cautious(make_run_config(), weights))
    config = RunFolder(first).read_config(PretrainConfig)
    assert config.model == read_weights_config(first / "weights").model
    assert config.tokenizer.vocab_size == VOCAB_SIZE
    again = pretrain(replace(config, out=f"{config.out}-again"))
    assert RunFolder(again).read_config(PretrainConfig) == replace(config, out=str(again))
    assert_same_runs(first, again)
    assert "replaced by those of the weights" in log_of(first)
    assert "replaced by those of the weights" not in log_of(again)


@pytest.mark.parametrize("changes", [{"weights": "elsewhere"}, {"frozen": ()}, {"image_size": None}])
def test_what_a_run_started_with_cannot_change(make_run_config, weights: Path, changes: dict[str, Any]):
    config = cautious(make_run_config(), weights)
    changed = replace(config, start=replace(config.start, **changes))
    with pytest.raises(ValueError, match=rf"start\.{next(iter(changes))} cannot change when a run is resumed"):
        check_resumable(config, changed, FIXED_ON_RESUME)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"image_size": 32}, "start.image_size is set, but nothing is loaded; name the weights with --start.weights"),
        ({"frozen": ("text_encoder",)}, "start.frozen is set, but nothing is loaded"),
        ({"lr_ratio": 0.5}, "start.lr_ratio is set, but nothing is loaded"),
        ({"weights": "w", "image_size": 0}, "start.image_size must be at least 1, got 0"),
        ({"weights": "w", "lr_ratio": 0.0}, r"start.lr_ratio must lie in \(0, 1\], got 0.0; start.frozen freezes"),
        ({"weights": "w", "lr_ratio": 1.5}, r"start.lr_ratio must lie in \(0, 1\], got 1.5"),
    ],
)
def test_contradictions_are_refused_at_the_door(changes: dict[str, Any], said: str):
    with pytest.raises(ValueError, match=said):
        InitialWeightsConfig(**changes)


def test_parts_that_do_not_fit_are_explained(make_run_config, clip: Path):
    config = make_run_config(start=InitialWeightsConfig(weights=str(clip)))
    decoder = TextDecoderConfig(depth=1, num_heads=16)  # fits the preset's text encoder
    with pytest.raises(
        ValueError,
        match=r"^the parts of preset test do not fit .*weights: model.text_decoder.width 8 is not a multiple of num_he",
    ):
        pretrain(replace(config, model=replace(config.model, text_decoder=decoder)))
    assert not Path(config.out).exists()


def test_frozen_parts_must_come_from_the_weights(make_run_config, vit: Path, clip: Path, weights: Path):
    why = (
        r"has no tensor of it \(this model has no text decoder: it was trained without the objective .*\); new tensors"
    )
    with pytest.raises(ValueError, match=why):
        pretrain(make_run_config(start=InitialWeightsConfig(weights=str(clip), frozen=("text_decoder",))))
    with pytest.raises(ValueError, match=r"start.frozen names text_encoder, but .*vit has no tensor of it"):
        pretrain(
            make_run_config(start=InitialWeightsConfig(weights=str(vit), frozen=("image_encoder", "text_encoder")))
        )
    with pytest.raises(ValueError, match=r"start.frozen names all parts of the model \(image_encoder, .*nothing would"):
        pretrain(make_run_config(start=InitialWeightsConfig(weights=str(weights), frozen=PARTS)))


def test_weights_of_which_nothing_can_be_loaded_are_an_error():
    model = sycoca.SyCoCa(MODEL)
    with pytest.raises(ValueError, match="the model has none of the weights' tensors: nothing would be loaded"):
        fill_model(model, {"visual.conv1.weight": torch.ones(3)})
    with pytest.raises(ValueError, match=r"log_logit_scale has shape \(2,\) in the weights and \(1,\) in the model"):
        fill_model(model, {"log_logit_scale": torch.ones(2)})


def test_a_run_folder_without_its_record_takes_the_copy_and_without_one_is_refused(make_run_config, weights: Path):
    run = pretrain(make_run_config(start=InitialWeightsConfig(weights=str(weights))))
    config, record, tokenizer = RunFolder(run).read_config(PretrainConfig), run / "start.json", run / "tokenizer.json"
    kept = record.read_bytes()
    record.unlink()
    resume_pretraining(config)
    assert record.read_bytes() == kept
    make_format_1(run)
    record.write_bytes(b"")
    with pytest.raises(ValueError, match=r"start\.json is emptied; a run that started from weights cannot"):
        resume_pretraining(config)
    tokenizer.unlink()
    with pytest.raises(ValueError, match=r"tokenizer\.json is missing or damaged, and no checkpoint has a copy"):
        resume_pretraining(config)


def test_the_command_line(weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    out = tmp_path / "run"
    flags = ["--start.frozen", "image_encoder", "text_encoder", "--start.lr-ratio", "0.1", "--out", str(out)]
    arguments = ["pretrain", "tiny", "--start.weights", str(weights), *flags, *SHORT.split(), *SCENES.split()]
    assert main(arguments) == 0
    error = capsys.readouterr().err
    assert f"from {weights}: image encoder " in error
    assert "frozen: image encoder " in error
    assert RunFolder(out).read_config(PretrainConfig).start.frozen == ("image_encoder", "text_encoder")
    shutil.rmtree(out / "weights")
    assert main(["pretrain", "--resume", str(out), "--training.steps", "3"]) == 0
    assert "resuming after step 2" in capsys.readouterr().err
    assert main([*arguments[:3], "nowhere", "--out", str(tmp_path / "x"), *SCENES.split()]) == 1
    assert capsys.readouterr().err == "sycoca pretrain: nowhere does not exist; name a weights folder\n"
    assert not (tmp_path / "x").exists()


def test_a_dry_run_says_the_same(make_run_config, weights: Path, caplog: pytest.LogCaptureFixture):
    caplog.set_level("INFO", "sycoca")
    report = dry_run(make_run_config(start=InitialWeightsConfig(weights=str(weights))))
    assert [text.split(":")[0] for text in caplog.messages[1:3]] == [
        f"from {weights}",
        "fields of preset test replaced by those of the weights",
    ]
    assert report.parameters["all"] == sum(tensor.numel() for tensor in tensors_in(weights).values())
