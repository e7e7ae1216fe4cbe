"""The table of objectives is complete, and each of them is computed, trained, weighted and shown."""

from dataclasses import fields, replace
from typing import get_args

import pytest
import torch
from torch import Tensor

from builders.compiled_tasks import TASKS
from builders.models import BatchMaker
from sycoca.facts.objective_facts import (
    AVERAGED_OVER_LABELS,
    OBJECTIVES,
    WEIGHT_FIELD_OF_COMPONENT,
    ComponentName,
    ObjectiveName,
)
from sycoca.model.config import SyCoCaConfig
from sycoca.model.masking_config import MaskingConfig
from sycoca.model.sycoca import SyCoCa
from sycoca.objectives.config import ObjectivesConfig
from sycoca.objectives.pretraining import pretraining_losses
from sycoca.records import ImageTextBatch, LossTerms
from sycoca.training.engine.task import TrainingTask
from sycoca.training.recipes.image_text.task import ImageTextTask

WEIGHTED = {name: facts.weight_field for name, facts in OBJECTIVES.items() if facts.weight_field is not None}

ALONE = [name for name in WEIGHTED if name != "masked_feature"]
"""Those that need no other; masked features need TG-MIM and a teacher (tests/objectives/test_masked_features.py)."""


def only(name: ObjectiveName) -> ObjectivesConfig:
    """Return weights of 0 but for one objective."""
    return ObjectivesConfig(**{field: float(other == name) for other, field in WEIGHTED.items()})


def test_there_is_a_row_for_every_loss_term_and_a_term_for_every_row():
    assert [field.name for field in fields(LossTerms)] == list(OBJECTIVES) == list(get_args(ObjectiveName))


def test_titles_tell_objectives_apart():
    for titles in (
        [facts.title for facts in OBJECTIVES.values()],
        [facts.short_title for facts in OBJECTIVES.values()],
    ):
        assert len(set(titles)) == len(OBJECTIVES)


def test_every_weight_of_the_config_belongs_to_an_objective():
    of_config = {field.name for field in fields(ObjectivesConfig) if field.name.endswith("_weight")}
    assert of_config == set(WEIGHTED.values())


def test_only_the_objectives_of_the_paper_are_on_by_default():
    weights = {name: weight for name, weight in ObjectivesConfig().weights.items() if weight != 0}
    assert weights == {"contrastive": 1.0, "captioning": 2.0, "masked_image": 1.0}


def test_every_component_that_may_be_missing_belongs_to_an_objective():
    may_be_missing = {name for name in ("text_decoder", "image_decoder") if name in SyCoCaConfig.__dataclass_fields__}
    assert set(WEIGHT_FIELD_OF_COMPONENT) == set(get_args(ComponentName)) == may_be_missing
    for component in WEIGHT_FIELD_OF_COMPONENT:
        assert getattr(replace(SyCoCaConfig(), **{component: None}), component) is None


@pytest.mark.parametrize("name", ALONE)
def test_every_weighted_objective_is_computed_where_its_weight_is_above_zero(
    model: SyCoCa, make_batch: BatchMaker, name: ObjectiveName
):
    task = ImageTextTask(model, masking=MaskingConfig(), objectives=only(name))
    terms = task(make_batch())
    assert list(terms.named()) == [name]
    assert task.total_loss(terms).item() == terms.named()[name].item() != 0


def test_objectives_with_attentive_masking_are_marked(model: SyCoCa, make_batch: BatchMaker):
    batch = make_batch()

    def loss(name: ObjectiveName, masking: MaskingConfig) -> Tensor:
        return pretraining_losses(
            model, batch, masking, only(name), ImageTextTask(model, masking=masking, objectives=only(name)).ranks
        ).named()[name]

    for name in ALONE:
        depends = not torch.equal(loss(name, MaskingConfig()), loss(name, MaskingConfig(strategy="inverse")))
        assert depends == OBJECTIVES[name].masks_patches, name


@pytest.mark.parametrize("kind", ["pretraining", "seen_patches_and_words", "vqa", "classification"])
def test_losses_that_are_means_over_tokens_or_questions_are_marked(kind: str):
    task, make_batch = TASKS[kind]()
    batch = make_batch(8)
    more_labels = replace(batch, totals=replace(batch.totals, num_labels=4 * batch.totals.num_labels))
    losses = task(batch).named()
    for name, loss in task(more_labels).named().items():
        factor = 0.25 if name in AVERAGED_OVER_LABELS else 1.0
        assert loss.item() == pytest.approx(factor * losses[name].item(), rel=1e-5), name


class _Forgetful(TrainingTask[ImageTextBatch]):
    """A task that forgets the weight of a loss that it returns."""

    def forward(self, batch: ImageTextBatch) -> LossTerms:
        raise NotImplementedError

    def components(self) -> list[torch.nn.Module]:
        return []

    def leaves_parameters_unused(self) -> bool:
        return False

    def loss_weights(self) -> dict[ObjectiveName, float]:
        return {"contrastive": 2.0, "masked_image": 3.0}

    def after_update(self) -> None:
        pass

    def logged_values(self) -> dict[str, float]:
        return {}


def test_a_loss_without_a_weight_is_refused():
    task = _Forgetful()
    terms = LossTerms(contrastive=torch.tensor(0.5))
    assert task.total_loss(terms).item() == 1.0
    with pytest.raises(ValueError, match="_Forgetful gives no weight to the loss terms answering, captioning"):
        task.total_loss(replace(terms, captioning=torch.tensor(1.0), answering=torch.tensor(1.0)))
