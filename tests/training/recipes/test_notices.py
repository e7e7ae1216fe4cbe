"""Warnings before the first step: training that makes loaded weights forget, and only that."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from builders.predictors import photo_source
from sycoca.data import selection
from sycoca.facts.training_facts import FinetuneTask
from sycoca.model.sycoca import SyCoCa
from sycoca.objectives.config import ObjectivesConfig
from sycoca.preprocess.config import TokenizerConfig
from sycoca.preprocess.tokenizer import Tokenizer
from sycoca.presets.finetune import finetune_preset
from sycoca.presets.pretrain import pretrain_preset
from sycoca.training.config import OptimizerConfig, RuntimeConfig
from sycoca.training.engine.runtime import Runtime
from sycoca.training.finetune import KINDS
from sycoca.training.recipes import notices
from sycoca.training.recipes.finetune_config import FinetuneConfig
from sycoca.training.recipes.notices import (
    count_truncated,
    forgetting_notice,
    high_rate_notice,
    repeated_samples_notice,
    truncation_notice,
    uncached_notice,
)
from sycoca.training.recipes.pairs.config import FinetunePairsConfig
from sycoca.training.recipes.pretraining.recipe import Pretraining
from sycoca.training.run_folder import RunFolder


def test_weights_that_cannot_retrieve_forget_nothing(model: SyCoCa):
    assert list(forgetting_notice(model.float(), "")) == []
    with torch.no_grad():
        model.log_logit_scale.add_(1e-3)
    assert len(list(forgetting_notice(model, "stop"))) == 1
    model.image_encoder.requires_grad_(False)
    assert next(forgetting_notice(model, "stop")).endswith("(a published CoCa fell from 54.6 % to 0.9 % text R@1 on"
                                                           " COCO); stop")  # fmt: skip
    model.text_encoder.requires_grad_(False)
    assert list(forgetting_notice(model, "")) == []


def said_of_rates(model: SyCoCa, loaded: set[str], ratio: float = 1.0, **optimizer: float) -> list[str]:
    return list(high_rate_notice(model, loaded, OptimizerConfig(**optimizer), dict.fromkeys(loaded, ratio), "--a.flag"))


def test_the_rate_is_that_of_what_was_loaded_and_learns(model: SyCoCa, monkeypatch: pytest.MonkeyPatch):
    loaded = {name for name, _ in model.named_parameters() if name.startswith(("image_encoder", "text_decoder"))}
    assert said_of_rates(model, loaded, peak_lr=1.0) == []  # small models need high rates
    monkeypatch.setattr(notices, "LARGE_MODEL_PARAMETERS", 10)
    assert said_of_rates(model, set(), peak_lr=1.0) == []
    assert said_of_rates(model, loaded, peak_lr=1e-4) == []
    assert said_of_rates(model, loaded, peak_lr=4e-4, ratio=0.25) == []
    (said,) = said_of_rates(model, loaded, peak_lr=4e-4, ratio=0.5)
    number = sum(parameter.numel() for name, parameter in model.named_parameters() if name in loaded)
    assert said == (
        f"the peak learning rate of the loaded weights ({number / 1e6:.1f} M trainable parameters) is 2.0e-04 on"
        " average: above 1e-04 models of this size forget; lower --a.flag"
    )
    # Layer-wise decay lowers the rates of the encoders; decoders have the full rate, unless they are frozen.
    assert said_of_rates(model, loaded, peak_lr=2e-4, layer_decay=0.1) != []
    model.get_submodule("text_decoder").requires_grad_(False)
    assert said_of_rates(model, loaded, peak_lr=2e-4, layer_decay=0.1) == []


def finetune_notices(config: FinetuneConfig, folder: Path) -> str:
    recipe = KINDS[config.task].recipe(replace(config, runtime=RuntimeConfig(device="cpu")))
    with Runtime(recipe.config.runtime) as runtime:
        trained = recipe.build(recipe.open_sources().train, RunFolder(folder), runtime)
    return "\n".join([*recipe.summary(trained), *recipe.notices(trained)])


@pytest.mark.parametrize("task", ["captioning", "vqa", "classification"])
def test_fine_tuning_says_it_too(task: FinetuneTask, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(notices, "LARGE_MODEL_PARAMETERS", 10)
    config = finetune_preset(task, str(weights), "scenes:?count=6&size=16")
    config = replace(config, optimizer=OptimizerConfig(peak_lr=3e-4))
    if isinstance(config, FinetunePairsConfig):
        assert "forgets retrieval" not in finetune_notices(config, tmp_path)
        config = replace(config, objectives=ObjectivesConfig(contrastive_weight=0.0, masked_image_weight=0.0))
    said = finetune_notices(config, tmp_path)
    assert "dropped, since this training does not train it: " in said
    assert "training without the contrastive objective forgets retrieval and zero-shot classification" in said
    assert "sycoca average of the weights before and after brings much of it back" in said
    assert ("keep --objectives.contrastive-weight at 1" in said) == (task == "captioning")
    assert "trainable parameters) is 3.0e-04 on average: above" in said
    assert "lower --optimizer.peak-lr" in said
    random = finetune_notices(replace(config, random_weights=True), tmp_path)
    assert "forgets" not in random
    assert "rate" not in random


class _Said:
    """Captions of so many words each."""

    def __init__(self, *lengths: int) -> None:
        self.source = photo_source([tuple("red " * length for length in lengths)])
        self.tokenizer = Tokenizer.train(["red red"] * 3, TokenizerConfig(vocab_size=300))


def test_truncated_captions_are_counted():
    said = _Said(3, 20, 30, 5)
    number = said.tokenizer.num_tokens("red " * 30)
    assert list(truncation_notice(count_truncated(said.source, said.tokenizer, 20), "do this")) == [
        f"2 of 4 training captions are longer than the context of 20 tokens (the longest has {number}) and are"
        " truncated; do this"
    ]
    assert list(truncation_notice(count_truncated(said.source, said.tokenizer, number), "do this")) == []


def test_what_rests_on_some_samples_of_a_large_source_says_so(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(selection, "LARGE_SOURCE", 3)
    monkeypatch.setattr(notices, "_MOST_COUNTED_SAMPLES", 2)
    source = photo_source([("red " * 30,), ("blue",), ("red " * 30,), ("blue",)])
    tokenizer = Tokenizer.train(["red red"] * 3, TokenizerConfig(vocab_size=300))
    (said,) = truncation_notice(count_truncated(source, tokenizer, 20), "do this")
    assert said.startswith("2 of 2 sampled training captions are longer than")
    assert list(uncached_notice(source, cache_images=False)) == []
    (said,) = uncached_notice(source, cache_images=True)
    assert said.startswith("data.cache_images is off for the 4 samples of ")
    many = photo_source([(f"caption {number % 3}",) for number in range(40)])
    (said,) = repeated_samples_notice(many, 4)
    assert "each of the 3 different captions (among 32 samples) 1.3 times on average" in said


def test_pretraining_and_fine_tuning_say_it(weights: Path, tmp_path: Path):
    captions = [("a red circle " * 40,), ("a red circle",)]
    config = finetune_preset("retrieval", str(weights), "unused")
    recipe = KINDS["retrieval"].recipe(replace(config, runtime=RuntimeConfig(device="cpu")))
    with Runtime(recipe.config.runtime) as runtime:
        trained = recipe.build(photo_source(captions), RunFolder(tmp_path), runtime)
    (said,) = [line for line in recipe.notices(trained) if "truncated" in line]
    assert said.startswith("1 of 2 training captions are longer than the context of")
    assert said.endswith("weights pretrained with --tokenizer.kind clip or with a longer context avoid this")
    recipe = Pretraining.for_new_run(replace(pretrain_preset("tiny"), runtime=RuntimeConfig(device="cpu")))
    with Runtime(recipe.config.runtime) as runtime:
        trained = recipe.build(photo_source(captions), RunFolder(tmp_path), runtime)
    (said,) = recipe.notices(trained)
    assert said.startswith("1 of 2 training captions are longer than the context of")
    assert "--model.text-encoder.context-length" in said
    assert "--tokenizer.kind clip" in said
