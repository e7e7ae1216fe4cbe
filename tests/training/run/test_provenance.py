"""The provenance of a run in the model card."""

from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from huggingface_hub import ModelCard
from PIL import Image

from sycoca.facts.metric_facts import readable
from sycoca.plain_data import from_plain
from sycoca.training.config import DataConfig
from sycoca.training.engine.tracking import read_metrics
from sycoca.training.pretrain import pretrain
from sycoca.training.recipes.pretraining.config import PretrainConfig
from sycoca.training.run.report import duration, training_seconds


@pytest.fixture(scope="module")
def run(make_run_config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a validated run on three pairs, one of them without an image."""
    lost = tmp_path_factory.mktemp("nothing") / "lost.png"
    pairs = [(Image.new("RGB", (20, 16), color), f"a field of {color}") for color in ("red", "blue")]
    data = DataConfig(train="not read", validation="scenes:?count=6&size=16&split=validation", max_skipped_ratio=0.5)
    config = make_run_config(data=data)
    training = replace(config.training, evaluation_samples=5, evaluate_every=2)
    return pretrain(replace(config, training=training), [*pairs, (lost, "a lost picture")])


@pytest.fixture
def card(run: Path) -> ModelCard:
    return ModelCard.load(run / "weights" / "README.md")


def test_the_card_tells_data_and_recipe(card: ModelCard, run: Path):
    seconds = training_seconds(read_metrics(run / "metrics.jsonl"))
    for row in (
        "| data | 3 samples of `pairs`; 1 unusable ones skipped |",
        "| objectives | contrastive (weight 1), captioning (weight 2), masked image (weight 1) |",
        "| steps | 4 of 4 samples each (5.3 epochs) |",
        "| optimizer | AdamW, weight decay 0.2, betas 0.9 and 0.98 |",
        "| learning rate | 0.01 after 2 steps of warm-up, then cosine decay to 0 |",
        "| seed | 0 |",
        "| precision | fp32 |",
        "| not the paper's settings | masking random (paper: attentive) |",
        f"| time in training | {duration(seconds)} |",
    ):
        assert row in card.text
    assert "| device | cpu (" in card.text


def test_the_card_tells_the_last_metrics_and_no_losses(card: ModelCard, run: Path):
    last = read_metrics(run / "metrics.jsonl")[-1]
    rows = card.text.split("| metric | value |\n| --- | --- |\n")[1].split("\n\n")[0].splitlines()
    told = dict(row.strip("| ").split(" | ") for row in rows)
    metrics = {name.removeprefix("validation_"): value for name, value in last.items() if name.startswith("valid")}
    for other in ("contrastive", "captioning", "masked_captioning", "masked_image", "skipped_samples"):
        del metrics[other]
    assert told == {name: readable(name, value) for name, value in metrics.items() if value is not None}
    assert "on 5 samples of `scenes:?count=6&size=16&split=validation`" in " ".join(card.text.split())


def test_the_configuration_in_the_card_is_that_of_the_run(card: ModelCard, run: Path):
    text = card.text.split("```yaml\n")[1].split("```")[0]
    from_card = from_plain(PretrainConfig, yaml.safe_load(text))
    assert from_card == from_plain(PretrainConfig, yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8")))
