"""Fine-tuning for every task starts from weights with any head, and keeps no head but its own."""

from dataclasses import replace
from pathlib import Path

import pytest

from builders.predictors import small_predictor
from sycoca.facts.head_facts import HEADS, HeadName
from sycoca.facts.training_facts import FinetuneTask
from sycoca.presets.finetune import PRESETS
from sycoca.training.config import RuntimeConfig
from sycoca.training.engine.runtime import Runtime
from sycoca.training.finetune import KINDS
from sycoca.training.run_folder import RunFolder
from sycoca.weights.folder import save_weights

SCENES = "scenes:?count=8&size=32"


@pytest.fixture(scope="module", params=HEADS)
def weights(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    head: HeadName = request.param
    facts = HEADS[head]
    predictor = small_predictor(**{f"model_{facts.size_field}": 2, facts.names_field: ("cat", "dog")})
    folder = tmp_path_factory.mktemp(head) / "weights"
    save_weights(folder, predictor.model.float(), predictor.tokenizer, predictor.config)
    return folder


@pytest.mark.parametrize("task", KINDS)
def test_only_the_head_of_the_task_is_kept(weights: Path, tmp_path: Path, task: FinetuneTask):
    config = replace(PRESETS[task](str(weights), SCENES), runtime=RuntimeConfig(device="cpu"), out=str(tmp_path))
    recipe = KINDS[task].recipe(config)
    source = recipe.open_sources().train
    with Runtime(config.runtime) as runtime:
        trained = recipe.build(source, RunFolder(tmp_path), runtime)
    heads = {head for head, names in trained.weights.head_names.items() if names is not None}
    assert heads == {head for head, facts in HEADS.items() if facts.training == task}
