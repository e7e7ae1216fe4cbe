"""Fine-tuning for classification: trained parameters, weight average, resuming, few-shot sets, heads from prompts."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import sycoca
from sycoca.data.spec import open_source
from sycoca.evaluation.classification import evaluate_classification
from sycoca.evaluation.zero_shot import SCENE_TEMPLATES
from sycoca.inference.predictor import Predictor
from sycoca.plain_data import overlay
from sycoca.presets.finetune import finetune_preset
from sycoca.training.config import DataConfig, OptimizerConfig, RuntimeConfig, ScheduleConfig, TrainingConfig
from sycoca.training.engine.runtime import Runtime
from sycoca.training.engine.tracking import read_metrics
from sycoca.training.finetune import finetune, resume_finetuning
from sycoca.training.pretrain import pretrain
from sycoca.training.recipes.classification.config import FinetuneClassificationConfig
from sycoca.training.recipes.classification.recipe import ClassificationFinetuning
from sycoca.training.run_folder import RunFolder

DATA = "scenes:?count=12&size=16"


@pytest.fixture(scope="module")
def weights(make_run_config) -> Path:
    return pretrain(make_run_config("pretrained")) / "weights"


@pytest.fixture
def config(weights: Path, tmp_path: Path) -> FinetuneClassificationConfig:
    return FinetuneClassificationConfig(
        task="classification",
        weights=str(weights),
        out=str(tmp_path / "tuned"),
        data=DataConfig(train=DATA, validation=DATA),
        training=TrainingConfig(
            steps=4, global_batch_size=4, average_decay=0.9, log_every=1, save_every=2, tensorboard=False, report=False
        ),
        optimizer=OptimizerConfig(peak_lr=1e-2, layer_decay=0.5),
        schedule=ScheduleConfig(warmup_steps=0, final_lr_ratio=1.0),
        runtime=RuntimeConfig(device="cpu"),
        label_smoothing=0.1,
        mixup_alpha=0.5,
        drop_path=0.2,
    )


def started(config: FinetuneClassificationConfig, tmp_path: Path) -> Predictor:
    recipe = ClassificationFinetuning(config)
    with Runtime(config.runtime) as runtime:
        trained = recipe.build(recipe.open_sources().train, RunFolder(tmp_path), runtime)
    return Predictor(trained.model, trained.tokenizer, trained.weights)


def test_the_image_encoder_learns_and_the_texts_stay(config: FinetuneClassificationConfig, weights: Path):
    out = finetune(config)
    old, new = load_file(weights / "model.safetensors"), load_file(out / "weights" / "model.safetensors")
    assert all(torch.equal(new[name], old[name]) for name in new if name.startswith("text_encoder"))
    assert not torch.equal(
        new["image_encoder.blocks.0.mlp.expand.weight"], old["image_encoder.blocks.0.mlp.expand.weight"]
    )
    assert not any(name.startswith(("text_decoder", "image_decoder")) for name in new)
    predictor = sycoca.load(out / "weights", device="cpu")
    source = open_source(DATA)
    labels = {source[index].label for index in range(len(source))}
    assert predictor.config.class_names == tuple(sorted(filter(None, labels)))
    accuracy = evaluate_classification(predictor, source).metrics["accuracy_top_1"]
    assert read_metrics(out / "metrics.jsonl")[-1]["validation_accuracy_top_1"] == pytest.approx(accuracy)


def test_the_mean_of_the_weights_is_saved(config: FinetuneClassificationConfig):
    out = finetune(config)
    saved = load_file(out / "weights" / "model.safetensors")
    checkpoint = out / "checkpoints" / "step-00000004"
    means, last = load_file(checkpoint / "average.safetensors"), load_file(checkpoint / "model.safetensors")
    head = "class_head.linear.weight"
    assert torch.equal(saved[head], means[head])
    assert not torch.equal(saved[head], last[head])


def test_a_resumed_run_is_the_same_to_the_last_bit(config: FinetuneClassificationConfig, tmp_path: Path):
    whole = finetune(config)
    short = replace(config, out=str(tmp_path / "short"), training=replace(config.training, steps=2))
    finetune(short)
    resumed = resume_finetuning(replace(short, training=config.training))
    for name in ("weights/model.safetensors", "checkpoints/step-00000004/average.safetensors"):
        one, other = load_file(whole / name), load_file(resumed / name)
        assert all(torch.equal(one[key], other[key]) for key in one)


def test_a_mean_that_was_not_kept_cannot_be_resumed(config: FinetuneClassificationConfig):
    without = replace(config, training=replace(config.training, steps=2, average_decay=None))
    finetune(without)
    with pytest.raises(ValueError, match=r"has no average of the weights; resume without training\.average_decay"):
        resume_finetuning(config)


def test_few_shots_are_as_many_of_every_class(config: FinetuneClassificationConfig):
    few = ClassificationFinetuning(replace(config, samples_per_class=1)).open_sources()
    labels = [few.train[index].label for index in range(len(few.train))]
    assert len(set(labels)) == len(labels) > 1
    assert few.validation is not None
    assert len(few.validation) == 12


def test_a_head_from_prompts_begins_as_the_zero_shot_classifier(
    config: FinetuneClassificationConfig, weights: Path, tmp_path: Path
):
    predictor = started(replace(config, head_from_prompts=True), tmp_path)
    source = open_source(DATA)
    samples = [source[index] for index in range(len(source))]
    names = predictor.config.class_names
    assert names is not None
    expected = sycoca.load(weights, device="cpu").classify(samples, names, templates=SCENE_TEMPLATES)
    assert predictor.classify(samples) == expected
    assert len(set(started(config, tmp_path).classify(samples))) == 1  # a head of zeros


def test_what_cannot_be_classified(config: FinetuneClassificationConfig):
    other = replace(config.data, validation="scenes:?count=40&size=16&split=test")
    with pytest.raises(ValueError, match=r"the label '.*' of scenes-easy-test-.* is none of the \d+ classes"):
        ClassificationFinetuning(replace(config, data=other)).open_sources()
    with pytest.raises(ValueError, match="fewer than samples_per_class 9"):
        ClassificationFinetuning(replace(config, samples_per_class=9)).open_sources()


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("samples_per_class", 0, "samples_per_class must be at least 1"),
        ("mixup_alpha", 0.0, "mixup_alpha must be positive"),
        ("drop_path", 0.0, "drop_path must lie between 0 and 1, got 0.0; None switches it off"),
        ("label_smoothing", 1.0, "label_smoothing must lie between 0 and 1"),
        ("training.average_decay", 0.0, "training.average_decay must lie between 0 and 1"),
    ],
)
def test_zero_is_not_off(field: str, value: float, message: str):
    section, _, name = field.rpartition(".")
    changes = {section: {name: value}} if section else {name: value}
    with pytest.raises(ValueError, match=message):
        overlay(finetune_preset("classification", "weights", DATA), changes)
