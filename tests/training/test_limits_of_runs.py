"""Weights that runs write say what the run has spoiled and left behind, and whoever loads them is told."""

import logging
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import sycoca
from builders.predictors import photo, photos
from sycoca.facts.limit_facts import AbsentPart, ModelLimits, SpoiledAbility
from sycoca.objectives.config import ObjectivesConfig
from sycoca.training.config import DataConfig, OptimizerConfig, RuntimeConfig, ScheduleConfig, TrainingConfig
from sycoca.training.finetune import finetune
from sycoca.training.pretrain import pretrain, resume_pretraining
from sycoca.training.recipes.classification.config import FinetuneClassificationConfig
from sycoca.training.recipes.finetune_config import FinetuneConfig
from sycoca.training.recipes.pairs.config import FinetunePairsConfig
from sycoca.training.recipes.pretraining.initial_weights_config import InitialWeightsConfig
from sycoca.training.recipes.vqa.config import FinetuneVqaConfig
from sycoca.weights.average import average_weights
from sycoca.weights.folder import load_weights, save_weights

TRAINING = TrainingConfig(steps=1, global_batch_size=4, tensorboard=False, report=False)


@pytest.fixture(scope="module")
def base(make_run_config) -> Path:
    return pretrain(make_run_config("pretrained", training=TRAINING)) / "weights"


def tuned(kind: type[FinetuneConfig], task: str, weights: Path, out: Path, **changes: object) -> Path:
    config = kind(
        task=task,
        weights=str(weights),
        out=str(out),
        data=DataConfig(train="scenes:?count=8&size=16"),
        training=TRAINING,
        optimizer=OptimizerConfig(peak_lr=1e-3),
        schedule=ScheduleConfig(warmup_steps=0),
        runtime=RuntimeConfig(device="cpu"),
        **changes,
    )
    return finetune(config) / "weights"


def limits_in(weights: Path) -> ModelLimits | None:
    return load_weights(weights).config.limits


def test_pretraining_with_everything_has_no_limits(base: Path):
    assert limits_in(base) == ModelLimits()


def test_vqa_spoils_captions_and_leaves_the_image_decoder_behind(base: Path, tmp_path: Path, caplog):
    weights = tuned(FinetuneVqaConfig, "vqa", base, tmp_path / "run")
    assert "do not rely on" not in caplog.text, "not during training"
    limits = limits_in(weights)
    assert limits == ModelLimits(
        spoiled=tuple(
            SpoiledAbility(ability=ability, reason="other_training", training="vqa", weights=str(base))
            for ability in ("captions", "similarities")
        ),
        absent=(AbsentPart(part="image_decoder", reason="left_behind", training="vqa", weights=str(base)),),
    )
    predictor = sycoca.load(weights, device="cpu")
    predictor.caption(photos(1), max_tokens=2)
    assert f"do not rely on captions, their likelihoods, re-ranking and open-ended answers; use {base}" in caplog.text
    said = f"no image decoder: fine-tuning for VQA left it behind; {base}, from which it started, has one"
    with pytest.raises(ValueError, match=said):
        predictor.reconstruct(photo(), "a red circle")
    card = " ".join((weights / "README.md").read_text("utf-8").split())
    assert f"do not rely on captions, their likelihoods, re-ranking and open-ended answers; use {base}, from" in card


def test_a_classifier_says_that_its_decoder_was_left_behind(base: Path, tmp_path: Path):
    weights = tuned(FinetuneClassificationConfig, "classification", base, tmp_path / "run")
    predictor = sycoca.load(weights, device="cpu")
    said = f"no text decoder: fine-tuning for classification left it behind; {base}, from which it started, has one"
    for use in (
        lambda: predictor.caption([]),
        lambda: predictor.caption_log_likelihood(photos(1), ["a"]),
        lambda: predictor.ask(photo(), "what is it?", open_ended=True),
        lambda: predictor.classify(photos(1), ["cat", "dog"], scorer="likelihood"),
    ):
        with pytest.raises(ValueError, match=said):
            use()
    with pytest.raises(ValueError, match=f"{weights}: this model has {said}; VQA needs it, choose other weights"):
        tuned(FinetuneVqaConfig, "vqa", weights, tmp_path / "other")
    averaged = average_weights(base, weights)
    save_weights(tmp_path / "mean", averaged.model, averaged.tokenizer, averaged.config)
    assert limits_in(tmp_path / "mean") == ModelLimits(
        spoiled=tuple(
            SpoiledAbility(ability=ability, reason="averaged", training="classification", weights=str(base))
            for ability in ("captions", "similarities")
        )
    )


def test_fine_tuning_on_pairs_regains_what_was_spoiled(base: Path, tmp_path: Path):
    vqa = tuned(FinetuneVqaConfig, "vqa", base, tmp_path / "vqa")
    captions = tuned(
        FinetunePairsConfig,
        "captioning",
        vqa,
        tmp_path / "captions",
        objectives=ObjectivesConfig(contrastive_weight=0.0, masked_image_weight=0.0),
    )
    limits = limits_in(captions)
    assert limits is not None
    assert [(one.ability, one.weights) for one in limits.spoiled] == [("similarities", str(base))], "lost before"
    assert {(one.part, one.weights) for one in limits.absent} == {
        ("image_decoder", str(base)),
        ("answer_head", str(vqa)),
    }
    with pytest.raises(
        ValueError, match=f"no head for answers: fine-tuning for captioning left it behind; {vqa}, from"
    ):
        sycoca.load(captions, device="cpu").ask(photo(), "what is it?")


def test_pretraining_from_weights_and_its_resumption_say_the_same(base: Path, make_run_config):
    config = make_run_config(
        "continued",
        start=InitialWeightsConfig(weights=str(base)),
        objectives=ObjectivesConfig(contrastive_weight=0.0, masked_image_weight=0.0),
        training=TRAINING,
    )
    expected = ModelLimits(
        spoiled=(
            SpoiledAbility(ability="similarities", reason="other_training", training="pretraining", weights=str(base)),
        ),
        absent=(AbsentPart(part="image_decoder", reason="left_behind", training="pretraining", weights=str(base)),),
    )
    folder = pretrain(config)
    assert limits_in(folder / "weights") == expected
    longer = replace(config, training=replace(TRAINING, steps=2))
    assert limits_in(resume_pretraining(longer) / "weights") == expected


def test_frozen_encoders_keep_their_similarities(base: Path, make_run_config):
    config = make_run_config(
        "frozen",
        start=InitialWeightsConfig(weights=str(base), frozen=("image_encoder", "text_encoder")),
        objectives=ObjectivesConfig(contrastive_weight=0.0, masked_image_weight=0.0),
        training=TRAINING,
    )
    limits = limits_in(pretrain(config) / "weights")
    assert limits is not None
    assert limits.spoiled == ()


def test_scratch_without_an_objective_has_none_of_its_parts(make_run_config, caplog):
    caplog.set_level(logging.WARNING, "sycoca")
    objectives = ObjectivesConfig(contrastive_weight=0.0, masked_image_weight=0.0)
    weights = pretrain(make_run_config("captioner", objectives=objectives, training=TRAINING)) / "weights"
    predictor = sycoca.load(weights, device="cpu")
    assert torch.isfinite(predictor.similarity(photos(1), ["a"])).all()
    assert "the contrastive objective was off in training: similarities, retrieval" in caplog.text
    with pytest.raises(ValueError, match="no image decoder: it was trained without the objective that needs one"):
        predictor.reconstruct(photo(), "a")
