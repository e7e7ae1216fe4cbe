"""Updates of a small model by one or several processes, whole or sharded, and what is left of them as whole tensors."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from builders.two_processes import MODEL, batch_of, rows_of, with_more_captions
from sycoca.model.config import SyCoCaConfig
from sycoca.model.masking_config import MaskingConfig
from sycoca.model.sycoca import SyCoCa
from sycoca.objectives.config import ObjectivesConfig
from sycoca.objectives.contrastive import Ranks
from sycoca.records import TrainingProgress
from sycoca.training.config import OptimizerConfig
from sycoca.training.engine.distributed.shards import own_shard, whole
from sycoca.training.engine.limits import state_bytes
from sycoca.training.engine.optimization.optimizer import build_optimizer
from sycoca.training.engine.optimization.weight_average import WeightAverage
from sycoca.training.engine.runtime import Runtime
from sycoca.training.engine.update import Updater
from sycoca.training.recipes.image_text.task import ImageTextTask
from sycoca.training.runtime_config import RuntimeConfig


@dataclass(frozen=True, kw_only=True)
class Case:
    """How a model is updated: three times, of which the second has a batch that is not finite."""

    objectives: ObjectivesConfig = field(default_factory=ObjectivesConfig)
    num_parts: int = 1
    frozen: tuple[str, ...] = ()
    drop_path: float | None = 0.3
    strategy: Any = "attentive"
    hidden_share: float = 1.0
    activation_checkpointing: bool = False
    precision: Any = "fp32"
    dtype: torch.dtype = torch.float32


CASES = {
    "all objectives": Case(),
    "gradient caching": Case(num_parts=2, activation_checkpointing=True),
    "accumulation": Case(num_parts=2, objectives=ObjectivesConfig(contrastive_weight=0.0), strategy="random"),
    "parameters without gradient": Case(objectives=ObjectivesConfig(contrastive_weight=0.0, masked_image_weight=0.0)),
    "frozen encoder": Case(num_parts=2, frozen=("image_encoder",), drop_path=None),
    "seen patches": Case(
        num_parts=2, objectives=ObjectivesConfig(encoded_patches="seen"), activation_checkpointing=True
    ),
    # Four processes have two pairs each, a group.
    "patches and words": Case(
        objectives=ObjectivesConfig(patch_word_weight=1.0, patch_word_group_size=2), drop_path=None
    ),
    "several captions": Case(num_parts=2, objectives=ObjectivesConfig(captions_per_image=3)),
    "teacher": Case(num_parts=2, objectives=ObjectivesConfig(masked_feature_weight=1.0)),
    "bf16": Case(num_parts=2, precision="bf16"),
    "some steps and images": Case(num_parts=2, objectives=ObjectivesConfig(masked_image_every=2), hidden_share=0.5),
}

NUMBERS_OF_STEPS = (2, 3, 5)
"""Numbers of the three steps; a finite one without TG-MIM follows on one with it, whose moments must not act."""


def tolerance(name: str) -> float:
    """Return how far numbers may differ; gathered in bfloat16, parameters of norms are rounded as well."""
    return 3e-2 if CASES[name].precision == "bf16" else 1e-5


@contextmanager
def assembled(case: Case, config: RuntimeConfig) -> Iterator[Updater]:
    """Context with the updater of a small model, as it is configured."""
    config = replace(config, precision=case.precision, activation_checkpointing=case.activation_checkpointing)
    with Runtime(config) as runtime, torch.random.fork_rng():
        torch.manual_seed(3)
        model = SyCoCa(_model_config(case)).to(case.dtype)
        for part in case.frozen:
            model.get_submodule(part).requires_grad_(False)
        task = ImageTextTask(
            model,
            masking=MaskingConfig(strategy=case.strategy, captioning_hidden_share=case.hidden_share),
            objectives=case.objectives,
            ranks=Ranks(gather=runtime.gather, rank=runtime.rank),
            drop_path=case.drop_path,
        )
        runtime.shard(task)
        average = WeightAverage(model, 0.9)
        yield Updater(runtime, task, build_optimizer(model, OptimizerConfig()), clip_norm=0.5, teacher=average)


def _model_config(case: Case) -> SyCoCaConfig:
    assert MODEL.image_decoder is not None
    has_teacher = case.objectives.masked_feature_weight > 0
    return replace(MODEL, image_decoder=replace(MODEL.image_decoder, predicts_features=has_teacher))


def update(case: Case, config: RuntimeConfig) -> dict[str, Any]:
    """Do three updates on this process's shard of eight pairs; return sums over processes and whole tensors."""
    with assembled(case, config) as updater:
        runtime, task, model = updater.runtime, updater.task, updater.task.model
        average = updater.teacher
        assert average is not None
        results = [_step(updater, average, case, number) for number in range(3)]
        batches = micro_batches_of(runtime, case)
        return {
            "steps": results,
            "loss": runtime.sum_over_ranks({"loss": updater.loss(batches)}),
            "logged": task.logged_values(),
            "weights": {name: whole(one) for name, one in model.state_dict().items()},
            "averages": {name: whole(one) for name, one in average.tensors().items()},
            "own": sum(own_shard(one).numel() for one in model.parameters()),
            "all": model.num_parameters,
            "state bytes": state_bytes(model, OptimizerConfig()),
        }


def in_a_process(rank: int, world_size: int, port: int) -> None:
    """Set the variables that torchrun sets."""
    torch.set_num_threads(1)
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(world_size), LOCAL_WORLD_SIZE="2")
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))


def assert_same_updates(found: dict[str, Any], alone: dict[str, Any], *, rtol: float) -> None:
    """Assert that steps, losses, gradients, weights and averages are those of one process."""
    assert [step["is_skipped"] for step in found["steps"]] == [False, True, False]
    for own, expected in zip(found["steps"], alone["steps"], strict=True):
        assert own["gradients"].keys() == expected["gradients"].keys()
        _assert_close(own, expected, rtol)
    for kind in ("loss", "logged", "weights", "averages"):
        _assert_close(found[kind], alone[kind], rtol)


def _assert_close(found: Any, expected: Any, rtol: float) -> None:
    torch.testing.assert_close(found, expected, rtol=rtol, atol=rtol, equal_nan=True)


def _step(updater: Updater, average: WeightAverage, case: Case, number: int) -> dict[str, Any]:
    runtime = updater.runtime
    batches = micro_batches_of(runtime, case)
    if number == 1 and runtime.rank == runtime.world_size - 1:
        batches[-1].images[-1, 0, 0, 0] = torch.nan  # of the same image however the batch is divided
    progress = TrainingProgress(step=NUMBERS_OF_STEPS[number], num_steps=5)
    result = updater.update(updater.task.at(batches, progress), lr=1e-3)
    average.update(number + 1, result.gradient_norm)
    gradients = {name: whole(p.grad) for name, p in updater.task.model.named_parameters() if p.grad is not None}
    is_skipped = not bool(result.gradient_norm.isfinite())
    return {
        "terms": runtime.sum_over_ranks(result.terms),
        "norm": result.gradient_norm,
        "is_skipped": torch.tensor(is_skipped),
        # Where they are not finite, which ones depends on how the batch is divided.
        "gradients": dict.fromkeys(gradients, 0.0) if is_skipped else gradients,
    }


def micro_batches_of(runtime: Runtime, case: Case) -> list[Any]:
    """Return this process's micro-batches of the eight pairs."""
    size = 8 // runtime.world_size // case.num_parts if runtime.world_size > 1 else 8
    num_parts = case.num_parts if runtime.world_size > 1 else 1
    first = runtime.rank * size * num_parts
    batch = batch_of(8) if case.objectives.captions_per_image == 1 else with_more_captions(batch_of(8))
    parts = [rows_of(batch, slice(first + i * size, first + (i + 1) * size)) for i in range(num_parts)]
    return [replace(part, images=part.images.to(case.dtype)) for part in parts]
