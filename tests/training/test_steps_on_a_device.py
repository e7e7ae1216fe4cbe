"""No training step makes the host wait for a GPU, and none mixes devices; shown on device ``meta``."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from builders.device_steps import META, HostWaitError, no_host_waits, runtime_on_meta
from sycoca.data.loading.skipping import SkipLog
from sycoca.model.config import SyCoCaConfig
from sycoca.model.masking_config import MaskingConfig
from sycoca.model.pooler_config import AttentionPoolerConfig
from sycoca.model.sycoca import SyCoCa
from sycoca.objectives.config import ObjectivesConfig
from sycoca.training.config import DataConfig, RuntimeConfig, TrainingConfig
from sycoca.training.engine.distributed.collectives import GatheredNumbers
from sycoca.training.engine.step_review import StepReview
from sycoca.training.engine.step_watch import StepWatch
from sycoca.training.finetune import KINDS
from sycoca.training.recipes.classification.config import FinetuneClassificationConfig
from sycoca.training.recipes.pairs.config import FinetunePairsConfig
from sycoca.training.recipes.pretraining.recipe import Pretraining
from sycoca.training.recipes.recipe import Recipe
from sycoca.training.recipes.vqa.config import FinetuneVqaConfig
from sycoca.training.run.assembly import RunParts, assemble
from sycoca.training.run_folder import RunFolder

DATA = DataConfig(train="scenes:?count=12&size=16")
ALL_AT_ONCE = TrainingConfig(steps=2, global_batch_size=4, average_decay=0.9, gradient_clip_norm=1.0)
ACCUMULATED = replace(ALL_AT_ONCE, micro_batch_size=2)
CPU = RuntimeConfig(device="cpu")


def image(config: SyCoCaConfig, **changes: Any) -> SyCoCaConfig:
    return replace(config, image_encoder=replace(config.image_encoder, **changes))


def text(config: SyCoCaConfig, **changes: Any) -> SyCoCaConfig:
    return replace(config, text_encoder=replace(config.text_encoder, **changes))


def pooler(config: SyCoCaConfig, kind: Any) -> SyCoCaConfig:
    sizes = AttentionPoolerConfig(kind=kind, num_queries=5, width=config.embed_dim, num_heads=2)
    return image(config, pooling="attention", pooler=sizes)


def mask_tokens_in_encoder(config: SyCoCaConfig) -> SyCoCaConfig:
    assert config.image_decoder is not None
    return replace(config, image_decoder=replace(config.image_decoder, mask_tokens="encoder"))


def shallow(config: SyCoCaConfig) -> SyCoCaConfig:
    """Return the model with one block per component: what each block does, it does the same way."""
    assert config.text_decoder is not None
    assert config.image_decoder is not None
    return replace(
        text(image(config, depth=1), depth=1),
        text_decoder=replace(config.text_decoder, depth=1),
        image_decoder=replace(config.image_decoder, depth=1),
    )


MODELS: dict[str, Callable[[SyCoCaConfig], SyCoCaConfig]] = {
    "max, shifted [CLS]": lambda config: text(image(config, pooling="max"), cls_mask="shifted", cls_position="row_end"),
    "[CLS], eos": lambda config: text(image(config, pooling="cls"), pooling="eos"),
    "single pooler, mean of tokens": lambda config: text(pooler(config, "single"), pooling="mean"),
    "parallel poolers": lambda config: pooler(config, "parallel"),
    "cascade, mask tokens in the encoder": lambda config: mask_tokens_in_encoder(pooler(config, "cascade")),
}

PRETRAININGS: dict[str, dict[str, Any]] = {
    "attentive": {"masking": MaskingConfig(strategy="attentive", score="token_max")},
    "inverse, by caption": {"masking": MaskingConfig(strategy="inverse", score="caption")},
    "random, drop path": {"masking": MaskingConfig(strategy="random"), "drop_path": 0.2},
    "gradient caching": {"training": ACCUMULATED},
    "accumulation": {"training": ACCUMULATED, "objectives": ObjectivesConfig(contrastive_weight=0.0)},
    "all patches visible": {"masking": MaskingConfig(hides_from_captioning=False)},
    "plain pixels": {"objectives": ObjectivesConfig(pixel_error="absolute", normalizes_patches=False)},
    "captioning alone": {"objectives": ObjectivesConfig(contrastive_weight=0.0, masked_image_weight=0.0)},
    "captions without images, others in parallel": {
        "objectives": ObjectivesConfig(captioning_dropped_share=0.3, captioning_parallel_share=0.3)
    },
    "patches and words": {"objectives": ObjectivesConfig(patch_word_weight=1.0, patch_word_weighting="rare")},
    "seen patches": {"objectives": ObjectivesConfig(encoded_patches="seen"), "training": ACCUMULATED},
    "recomputed blocks": {"runtime": replace(CPU, activation_checkpointing=True)},
}

FINETUNINGS: dict[str, tuple[type, dict[str, Any]]] = {
    "retrieval": (
        FinetunePairsConfig,
        {"objectives": ObjectivesConfig(captioning_weight=0.0, masked_image_weight=0.0)},
    ),
    "captioning": (FinetunePairsConfig, {"training": ACCUMULATED}),
    "vqa": (FinetuneVqaConfig, {"training": ACCUMULATED}),
    "classification": (FinetuneClassificationConfig, {"mixup_alpha": 0.5, "drop_path": 0.2, "label_smoothing": 0.1}),
}

READ_LATER = {
    GatheredNumbers: "the results of a step are read while the next one runs, after a copy that an event confirms",
}
"""What the host reads within steps, and why that is no wait. Besides, it reads what is logged every ``log_every``
steps, and the weights at checkpoints."""


def test_every_finetuning_is_tried():
    assert FINETUNINGS.keys() == KINDS.keys()


@pytest.mark.parametrize("name", PRETRAININGS)
def test_a_pretraining_step_does_not_make_the_host_wait(name: str, make_run_config, monkeypatch, tmp_path: Path):
    config = make_run_config(**{"training": ALL_AT_ONCE, "data": DATA, **PRETRAININGS[name]})
    check_steps(Pretraining(replace(config, model=shallow(config.model))), tmp_path, monkeypatch)


@pytest.mark.parametrize("name", MODELS)
def test_no_form_of_the_model_makes_the_host_wait(name: str, make_run_config, monkeypatch, tmp_path: Path):
    config = make_run_config(training=ALL_AT_ONCE, data=DATA, masking=MaskingConfig())
    check_steps(Pretraining(replace(config, model=MODELS[name](shallow(config.model)))), tmp_path, monkeypatch)


@pytest.mark.parametrize("task", FINETUNINGS)
def test_a_finetuning_step_does_not_make_the_host_wait(task: Any, weights: Path, monkeypatch, tmp_path: Path):
    kind, changes = FINETUNINGS[task]
    sections = {"data": DATA, "training": ALL_AT_ONCE, "runtime": CPU, **changes}
    config = kind(task=task, weights=str(weights), out=str(tmp_path / "run"), **sections)
    check_steps(KINDS[task].recipe(config), tmp_path, monkeypatch)


def test_a_total_of_several_processes_stays_on_the_device(make_run_config, monkeypatch, tmp_path: Path):
    config = make_run_config(training=ALL_AT_ONCE, data=DATA)
    config = replace(config, model=shallow(config.model))
    counts: list[int] = []

    def sum_over_ranks(count: int) -> Tensor:
        counts.append(count)
        return torch.full((), count, device=META)

    check_steps(Pretraining(config), tmp_path, monkeypatch, sum_over_ranks)
    assert counts


def test_large_vocabularies_are_cut_without_waiting(make_run_config, monkeypatch, tmp_path: Path):
    monkeypatch.setattr("sycoca.objectives.pretraining.MOST_LOGITS", 5 * 300)
    objectives = ObjectivesConfig(contrastive_weight=0.0, masked_image_weight=0.0)
    config = make_run_config(training=ALL_AT_ONCE, data=DATA, objectives=objectives)
    check_steps(Pretraining(config), tmp_path, monkeypatch)


def test_a_decoding_step_does_not_make_the_host_wait(model: SyCoCa, monkeypatch):
    model = model.to(META)
    with no_host_waits(monkeypatch) as mode:
        memory = torch.empty(3, 5, model.config.image_encoder.output_width, dtype=torch.float64, device=META)
        state = model.start_decoding(memory, 4)
        for new in (2, 1):
            logits = model.next_token_logits(torch.zeros(3, new, dtype=torch.int64, device=META), state)
        state.reorder(torch.zeros(2, dtype=torch.int64, device=META))
    assert logits.shape == (3, 30)
    assert mode.num_operators > 50


WAITS: dict[str, Callable[[Tensor, Tensor], object]] = {
    "reads a value": lambda x, _: bool(x[0] > 0),
    "to the CPU": lambda x, _: x.cpu(),
    "copies from the device": lambda x, _: x.tolist(),
    "nonzero has a shape": lambda x, _: x.nonzero(),
    "by a mask has a shape": lambda x, _: x[x > 0],
    "masked_select has a shape": lambda x, _: x.masked_select(x > 0),
    "unique2 has a shape": lambda x, _: x.unique(),
    "index mixes": lambda x, own: x[own.long()],
    "index_put_ mixes": lambda x, own: x.index_put_((own.long(),), x),
    "add mixes": lambda x, own: x + own,
    "not non_blocking": lambda x, own: own.to(x.device),
    "copy_ to the device blocks": lambda x, own: x.copy_(own),
    "not pinned": lambda x, own: own.to(x.device, non_blocking=True),
    "tensor copies": lambda x, _: torch.tensor([1.0], device=x.device),
}


@pytest.mark.parametrize("message", WAITS)
def test_waits_are_noticed(message: str, monkeypatch):
    with no_host_waits(monkeypatch), pytest.raises(HostWaitError, match=message):
        WAITS[message](torch.zeros(3, device=META), torch.zeros(3))


def test_waits_are_noticed_in_the_backward_pass(monkeypatch):
    class Reads(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:  # noqa: ARG004
            return x.clone()

        @staticmethod
        def backward(ctx: Any, *gradients: Tensor) -> Tensor:  # noqa: ARG004
            return gradients[0] * float(gradients[0].sum())

    with no_host_waits(monkeypatch), pytest.raises(HostWaitError, match="reads a value"):
        Reads.apply(torch.zeros(3, device=META, requires_grad=True)).sum().backward()


def check_steps(
    recipe: Recipe[Any],
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    sum_over_ranks: Callable[[int], Tensor] | None = None,
) -> None:
    """Do a training step with everything that belongs to it, and take in its results again for a further step."""
    monkeypatch.setattr(GatheredNumbers, "rows", lambda numbers: [[1.0] * len(part) for part in numbers._parts])
    with runtime_on_meta(recipe.config.runtime, monkeypatch) as runtime:
        source = recipe.open_sources().train
        trained = recipe.build(source, RunFolder(folder), runtime)
        parts = assemble(recipe.config, source, trained, runtime, SkipLog(source, 0.0))
        review = StepReview(lambda _: [], first_step=0, max_skipped_in_a_row=1, skipped_file=None)
        watch = StepWatch(parts.updater, review)
        parts.batches.sum_over_ranks = sum_over_ranks
        check_step(parts, watch, monkeypatch)
    assert {parameter.device for parameter in trained.model.parameters()} == {META}


def check_step(parts: RunParts, watch: StepWatch, monkeypatch: pytest.MonkeyPatch) -> None:
    micro_batches = next(parts.batches.from_position(0))
    with no_host_waits(monkeypatch) as mode:
        result = parts.updater.update(micro_batches, lr=1e-3)
        assert parts.average is not None
        parts.average.update(1, result.gradient_norm)
        for step in (1, 2):
            watch.add(step, result, stop_number=0)
    assert mode.num_operators > 100
