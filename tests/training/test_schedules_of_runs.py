"""Runs whose masks and objectives change in the course of training."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from builders.predictors import small_predictor
from sycoca.model.masking_config import MaskingConfig
from sycoca.objectives.config import ObjectivesConfig
from sycoca.presets.finetune import retrieval
from sycoca.records import ImageTextBatch, TrainingProgress
from sycoca.training.engine.step_review import StepOutcome, StepReview
from sycoca.training.engine.tracking import read_metrics
from sycoca.training.pretrain import pretrain, resume_pretraining
from sycoca.training.recipes.image_text.task import ImageTextTask
from sycoca.training.recipes.pairs.recipe import masking_of
from sycoca.training.recipes.pretraining.config import PretrainConfig
from sycoca.training.run_folder import RunFolder

MASKING = MaskingConfig(captioning_hidden_share=0.5, captioning_hidden_until=0.7, attentive_from=0.3)


def test_a_run_knows_its_steps_also_after_a_resume(make_run_config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    seen: list[TrainingProgress | None] = []
    forward = ImageTextTask.forward

    def recording(self: ImageTextTask, batch: ImageTextBatch):
        seen.append(batch.progress)
        return forward(self, batch)

    monkeypatch.setattr(ImageTextTask, "forward", recording)
    config = make_run_config(masking=MASKING, objectives=ObjectivesConfig(masked_image_every=3))
    sizes = {"steps": 6, "global_batch_size": 4, "micro_batch_size": 2}
    often = {"log_every": 2, "save_every": 2, "keep_checkpoints": 3}
    run = pretrain(replace(config, training=replace(config.training, **sizes, **often)))
    # The last step's loss is computed once more, with the final weights.
    steps = [TrainingProgress(step=step, num_steps=6) for step in (1, 2, 3, 4, 5, 6, 6) for _ in range(2)]
    assert seen == steps
    lines = read_metrics(run / "metrics.jsonl")
    # Step 4 has no TG-MIM, but step 3 had, after the entry of step 2.
    assert [(line["step"], "masked_image" in line) for line in lines] == [(2, False), (4, True), (6, True)]
    cut = Path(shutil.copytree(run, tmp_path / "cut"))
    for step in (4, 6):  # that of step 2 knows no moments of the image decoder
        shutil.rmtree(cut / "checkpoints" / f"step-0000000{step}")
    seen.clear()
    resume_pretraining(replace(RunFolder(cut).read_config(PretrainConfig), out=str(cut)))
    assert seen == steps[4:]
    one, two = (load_file(path / "weights" / "model.safetensors") for path in (run, cut))
    assert all(torch.equal(one[name], two[name]) for name in one)
    again = read_metrics(cut / "metrics.jsonl")
    for line in (*lines, *again):
        del line["images_per_second"]
    assert again == lines


def test_losses_are_no_spikes_beside_steps_without_one_of_the_terms(caplog: pytest.LogCaptureFixture):
    review = StepReview(lambda _: [], first_step=0, max_skipped_in_a_row=1, skipped_file=None)

    def add(step: int, loss: float) -> None:
        terms = {"captioning": 1.0} | ({"masked_image": 9.0} if step % 8 == 0 else {})
        review.add(StepOutcome(step=step, loss=loss, gradient_norm=1.0, is_skipped=False, terms=terms))

    for step in range(1, 65):
        add(step, 10.0 if step % 8 == 0 else 1.0)
    assert not caplog.text
    add(65, 10.0)
    assert "loss spike at step 65: 10, where the median of the 50 steps before is 1;" in caplog.text


def test_fine_tuning_masks_by_score_from_its_first_step():
    weights = replace(small_predictor().config, masking=replace(MASKING, strategy="inverse"))
    config = replace(retrieval("weights", "pairs.jsonl"), hides_from_captioning=True)
    assert masking_of(weights, config) == replace(weights.masking, attentive_from=0.0)
    assert not masking_of(weights, retrieval("weights", "pairs.jsonl")).hides_from_captioning
