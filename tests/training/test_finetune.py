"""Fine-tuning on pairs: it starts from pretrained weights, drops untrained components, and resumes exactly."""

import logging
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import sycoca
from sycoca.cli.main import main
from sycoca.model.patches import resize_positions
from sycoca.objectives.config import ObjectivesConfig
from sycoca.preprocess.config import ImageTransformConfig
from sycoca.presets.finetune import PRESETS, finetune_preset
from sycoca.training.config import DataConfig, OptimizerConfig, RuntimeConfig, ScheduleConfig, TrainingConfig
from sycoca.training.engine.runtime import Runtime
from sycoca.training.engine.tracking import read_metrics
from sycoca.training.finetune import finetune, read_finetune_config, resume_finetuning
from sycoca.training.pretrain import pretrain
from sycoca.training.recipes.pairs.config import FinetunePairsConfig
from sycoca.training.recipes.pairs.recipe import PairsFinetuning
from sycoca.training.run_folder import RunFolder
from sycoca.weights.config_file import read_weights_config

DATA = "scenes:?count=10&size=16"


@pytest.fixture(scope="module")
def weights(make_run_config) -> Path:
    """Return pretrained weights with all four components."""
    return pretrain(make_run_config("pretrained")) / "weights"


@pytest.fixture
def config(weights: Path, tmp_path: Path) -> FinetunePairsConfig:
    return FinetunePairsConfig(
        task="captioning",
        weights=str(weights),
        out=str(tmp_path / "tuned"),
        data=DataConfig(train=DATA, validation="scenes:?count=4&size=16&split=validation"),
        training=TrainingConfig(steps=3, global_batch_size=4, log_every=1, tensorboard=False, report=False),
        optimizer=OptimizerConfig(peak_lr=1e-2),
        schedule=ScheduleConfig(warmup_steps=0, final_lr_ratio=1.0),
        runtime=RuntimeConfig(device="cpu"),
    )


def first_model(config: FinetunePairsConfig, tmp_path: Path) -> sycoca.SyCoCa:
    recipe = PairsFinetuning(config)
    with Runtime(config.runtime) as runtime:
        return recipe.build(recipe.open_sources().train, RunFolder(tmp_path), runtime).model


def test_it_starts_from_the_weights(config: FinetunePairsConfig, weights: Path, tmp_path: Path):
    pretrained = load_file(weights / "model.safetensors")
    own = first_model(config, tmp_path).state_dict()
    assert set(own) == {name for name in pretrained if not name.startswith("image_decoder")}
    assert all(torch.equal(tensor, pretrained[name]) for name, tensor in own.items())


def test_random_weights_keep_sizes_alone(config: FinetunePairsConfig, weights: Path, tmp_path: Path):
    pretrained = load_file(weights / "model.safetensors")
    config = replace(config, random_weights=True)
    own = first_model(config, tmp_path).state_dict()
    assert not torch.equal(own["image_encoder.positions"], pretrained["image_encoder.positions"])
    again = first_model(config, tmp_path).state_dict()
    assert all(torch.equal(tensor, again[name]) for name, tensor in own.items())
    recipe = PairsFinetuning(config)
    assert recipe.base is None
    assert recipe.weights_config(recipe.loaded()).history == ()


def test_another_image_size_interpolates_positions(config: FinetunePairsConfig, weights: Path, tmp_path: Path):
    pretrained = load_file(weights / "model.safetensors")
    config = replace(config, image_size=24, objectives=ObjectivesConfig())
    own = first_model(config, tmp_path).state_dict()
    resized = {"image_encoder.positions", "image_decoder.positions"}
    for name in resized:
        assert torch.equal(own[name], resize_positions(pretrained[name], 36))
    assert all(torch.equal(own[name], pretrained[name]) for name in pretrained.keys() - resized)
    predictor = sycoca.load(finetune(config) / "weights", device="cpu")
    assert predictor.config.model.image_encoder.image_size == 24
    assert predictor.model.num_parameters == sum(tensor.numel() for tensor in own.values())


def test_refuses_an_image_size_that_patches_do_not_divide(config: FinetunePairsConfig):
    with pytest.raises(ValueError, match="image_size 18 is not a multiple of patch_size 4"):
        finetune(replace(config, image_size=18))


def test_a_run_leaves_weights_that_can_be_used_and_tuned_again(config: FinetunePairsConfig, weights: Path):
    run = finetune(config)
    predictor = sycoca.load(run / "weights", device="cpu")
    assert predictor.model.image_decoder is None
    assert not predictor.config.masking.hides_from_captioning
    assert predictor.config.transforms == sycoca.load(weights, device="cpu").config.transforms
    pretraining, tuning = predictor.config.history
    assert pretraining.startswith("Trained from scratch (preset `test`) for ")
    assert tuning == (
        f"Fine-tuned for captioning from `{weights}` for 3 steps of 4 samples on `{config.data.train}`, seed 0."
    )
    card = " ".join((run / "weights" / "README.md").read_text("utf-8").split())
    assert tuning in card
    assert "| objectives | contrastive (weight 1), captioning (weight 2) |" in card
    assert f"The limits of `{weights}`, from which its training started, also apply." in card
    assert "| cider | 0." in card
    losses = [line["captioning"] for line in read_metrics(run / "metrics.jsonl")]
    assert losses[-1] < losses[0]
    last = read_metrics(run / "metrics.jsonl")[-1]
    assert {"validation_text_to_image_recall_at_1", "validation_cider", "validation_bleu_4"} <= set(last)
    log = (run / "log.txt").read_text("utf-8")
    assert "dropped, since this training does not train it: image decoder" in log
    assert "forgets retrieval" not in log
    again = replace(config, weights=str(run / "weights"), out=f"{config.out}-again", task="retrieval")
    assert (finetune(again) / "weights").exists()


def test_other_transforms_and_all_objectives(config: FinetunePairsConfig):
    transforms = ImageTransformConfig(crop_min_area=0.9)
    objectives = ObjectivesConfig(captioning_dropped_share=0.25)
    run = finetune(replace(config, transforms=transforms, objectives=objectives, hides_from_captioning=True))
    predictor = sycoca.load(run / "weights", device="cpu")
    assert predictor.model.image_decoder is not None
    assert predictor.config.masking.hides_from_captioning
    assert predictor.config.captioning_dropped_share == 0.25
    assert predictor.config.transforms == transforms


def test_warns_where_training_forgets_retrieval(config: FinetunePairsConfig, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO, "sycoca")
    run = finetune(replace(config, objectives=ObjectivesConfig(contrastive_weight=0.0, masked_image_weight=0.0)))
    assert "forgets retrieval and zero-shot classification" in (run / "log.txt").read_text("utf-8")
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    about_captions, about_forgetting = warnings  # what describes the training (sizes, dropped components) is no warning
    assert "longer than the context" in about_captions
    assert "forgets retrieval" in about_forgetting


def test_refuses_an_objective_whose_component_the_weights_lack(config: FinetunePairsConfig):
    run = finetune(config)
    config = replace(config, weights=str(run / "weights"), out=f"{config.out}-2", objectives=ObjectivesConfig())
    with pytest.raises(
        ValueError, match=r"this model has no image decoder: .*; objectives.masked_image_weight trains it, set --"
    ):
        finetune(config)


def test_a_resumed_run_is_the_same_to_the_last_bit(config: FinetunePairsConfig):
    training = replace(config.training, save_every=2, steps=4)
    whole = finetune(replace(config, training=training))
    short = replace(config, out=f"{config.out}-short", training=replace(training, steps=2))
    finetune(short)
    longer = replace(read_finetune_config(RunFolder(Path(short.out))), training=training)
    resume_finetuning(longer)
    one, two = (load_file(Path(run) / "weights" / "model.safetensors") for run in (whole, short.out))
    assert all(torch.equal(one[name], two[name]) for name in one)
    with pytest.raises(ValueError, match="weights cannot change when a run is resumed"):
        resume_finetuning(replace(longer, weights="elsewhere"))


@pytest.mark.parametrize("task", PRESETS)
def test_every_task_has_a_preset_of_its_own(task: str):
    config = finetune_preset(task, "weights", "data.jsonl")
    assert (config.task, config.weights, config.data.train) == (task, "weights", "data.jsonl")
    assert config.command == "finetune"


def test_a_resumed_run_refuses_damaged_base_weights(
    config: FinetunePairsConfig, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    copy = Path(shutil.copytree(weights, tmp_path / "base"))
    finetune(replace(config, weights=str(copy)))
    data = bytearray((copy / "model.safetensors").read_bytes())
    data[-4] ^= 1
    (copy / "model.safetensors").write_bytes(data)
    resume = ["finetune", "--resume", config.out, "--training.steps", "4"]
    assert main(resume) == 1
    assert f"{copy / 'model.safetensors'} differs from its SHA-256" in capsys.readouterr().err
    assert main([*resume, "--no-verify"]) == 0


def test_the_command_line(weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    out = tmp_path / "run"
    steps = ["--training.steps", "2", "--training.global-batch-size", "4", "--training.no-report"]
    assert main(["finetune", "retrieval", str(weights), "--data.train", DATA, "--out", str(out), *steps]) == 0
    assert capsys.readouterr().out == f"{out}\n"
    assert read_finetune_config(RunFolder(out)).task == "retrieval"
    assert main(["finetune", "--resume", str(out), "--training.steps", "3"]) == 0
    assert "resuming after step 2" in capsys.readouterr().err
    assert main(["pretrain", "--resume", str(out)]) == 2
    assert "holds a fine-tuning; resume it with sycoca finetune --resume" in capsys.readouterr().err
    assert main(["finetune", "retrieval", str(weights), "--data.train", DATA, "--out", str(out)]) == 2
    assert f"resume it with: sycoca finetune --resume {out}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["retreival", "w"], "there is no task 'retreival'; did you mean 'retrieval'?"),
        (["retrieval"], "WEIGHTS is missing"),
        (["--resume", "run", "--config", "x"], "--resume takes the run's own config"),
        (["--resume", "nowhere"], "nowhere is not a run folder"),
        (["captioning", "w", "--config", "nowhere.yaml"], "--config nowhere.yaml is not a file"),
        (["captioning", "w", "--data.train", "x", "--task", "retrieval"], "there is no --task;"),
    ],
)
def test_wrong_usage_is_explained(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]):
    assert main(["finetune", *arguments]) == 2
    assert said in capsys.readouterr().err


def test_a_config_file_wins_over_defaults_and_flags_over_it(weights: Path, tmp_path: Path):
    file = tmp_path / "c.yaml"
    file.write_text(
        f"data: {{train: '{DATA}'}}\ntraining: {{steps: 2, global_batch_size: 2, report: false}}\nseed: 5\n"
    )
    out = tmp_path / "run"
    assert main(["finetune", "captioning", str(weights), "--config", str(file), "--seed", "6", "--out", str(out)]) == 0
    config = read_finetune_config(RunFolder(out))
    assert (config.seed, config.training.global_batch_size, config.data.train) == (6, 2, DATA)


def test_flags_change_single_fields_of_the_weights_own_transforms(weights: Path, tmp_path: Path):
    own = read_weights_config(weights).transforms
    assert own == ImageTransformConfig(crop_min_area=0.5)  # not the default
    out = tmp_path / "flipped"
    rest = ["--out", str(out), "--training.steps", "1", "--training.global-batch-size", "2"]
    assert main(["finetune", "retrieval", str(weights), "--data.train", DATA, "--transforms.flips", *rest]) == 0
    assert read_weights_config(out / "weights").transforms == replace(own, flips=True)


def test_the_named_weights_win_over_those_of_a_config_file(weights: Path, tmp_path: Path):
    file = tmp_path / "earlier.yaml"
    file.write_text("weights: elsewhere\ntraining: {steps: 1, global_batch_size: 2}\n")
    out = tmp_path / "again"
    arguments = ["--data.train", DATA, "--config", str(file), "--out", str(out)]
    assert main(["finetune", "retrieval", str(weights), *arguments]) == 0
    assert read_finetune_config(RunFolder(out)).weights == str(weights)


def test_data_must_be_named(capsys: pytest.CaptureFixture[str]):
    assert main(["finetune", "captioning", "weights"]) == 2
    assert "--data.train SPEC is missing" in capsys.readouterr().err
