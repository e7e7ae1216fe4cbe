from dataclasses import replace

import pytest
import torch

from reference import slow
from sycoca.data.loading.loader import validation_batches
from sycoca.data.loading.skipping import SkipLog, UsableSamples, image_problems
from sycoca.data.samples import SampleSource
from sycoca.evaluation.sharding import ALONE
from sycoca.records import ImageTextBatch
from sycoca.training.config import DataConfig
from sycoca.training.engine.runtime import Runtime
from sycoca.training.recipes.pretraining.config import PretrainConfig
from sycoca.training.recipes.pretraining.recipe import Pretraining
from sycoca.training.run.assembly import RunParts, assemble
from sycoca.training.run.validation import build_validation, validation_losses
from sycoca.training.run_folder import RunFolder


@pytest.fixture
def config(make_run_config) -> PretrainConfig:
    config = make_run_config(data=DataConfig(train="scenes:?count=10&size=16", validation="scenes:?count=9&size=16"))
    return replace(config, training=replace(config.training, evaluation_samples=7))


@pytest.fixture
def parts(config: PretrainConfig, tmp_path) -> RunParts:
    recipe = Pretraining(config)
    source = recipe.open_sources().train
    runtime = Runtime(config.runtime)
    trained = recipe.build(source, RunFolder(tmp_path), runtime)
    return assemble(config, source, trained, runtime, SkipLog(source, 0.0))


def validation_source(config: PretrainConfig) -> SampleSource:
    source = Pretraining(config).open_sources().validation
    assert source is not None
    return source


def first_seven(source: SampleSource) -> UsableSamples:
    return UsableSamples(source, SkipLog(source, 0.0), image_problems(source, range(7)))


def test_losses_are_means_over_samples_of_unequal_batches(config: PretrainConfig, parts: RunParts):
    source = first_seven(validation_source(config))
    losses = validation_losses(config, parts, source, ALONE)
    examples = parts.trained.batch_maker
    batches = validation_batches(source, examples, config.transforms, 16, range(2), batch_size=4, seed=0)
    sizes, errors = [], []
    for batch in batches:
        sizes.append(len(batch.images))
        with torch.no_grad():
            errors.append(parts.trained.task(batch).masked_image.item())
    assert sizes == [4, 3]
    assert losses["masked_image"] == pytest.approx((4 * errors[0] + 3 * errors[1]) / 7)


def test_held_out_captioning_sees_all_patches_and_is_a_mean_over_tokens(config: PretrainConfig, parts: RunParts):
    source = first_seven(validation_source(config))
    losses = validation_losses(config, parts, source, ALONE)
    batches = validation_batches(
        source, parts.trained.batch_maker, config.transforms, 16, range(2), batch_size=4, seed=0
    )
    model, as_used, masked, num_tokens = parts.trained.model, 0.0, 0.0, []
    with torch.no_grad():
        for batch in batches:
            assert isinstance(batch, ImageTextBatch)
            texts = model.encode_texts(batch.tokens, batch.is_padding)
            memory = model.memory(model.encode_images(batch.images))
            logits = model.vocabulary_logits(model.caption_states(texts.token_states, memory))
            num_tokens.append(int((~batch.is_padding[:, 1:]).sum()))
            as_used += num_tokens[-1] * slow.captioning(logits, batch.tokens, batch.is_padding)
            masked += num_tokens[-1] * parts.trained.task(batch).captioning.item()
    assert num_tokens[0] / num_tokens[1] != pytest.approx(4 / 3, rel=0.01)  # a mean over samples is another one
    assert losses["captioning"] == pytest.approx(as_used / sum(num_tokens))
    assert losses["masked_captioning"] == pytest.approx(masked / sum(num_tokens))
    assert losses["masked_captioning"] != pytest.approx(losses["captioning"], rel=1e-4)


def test_without_hidden_patches_there_is_one_held_out_captioning_loss(config: PretrainConfig, tmp_path):
    config = replace(config, masking=replace(config.masking, hides_from_captioning=False))
    source, runtime = Pretraining(config).open_sources().train, Runtime(config.runtime)
    trained = Pretraining(config).build(source, RunFolder(tmp_path), runtime)
    parts = assemble(config, source, trained, runtime, SkipLog(source, 0.0))
    losses = validation_losses(config, parts, first_seven(validation_source(config)), ALONE)
    assert losses.keys() == {"contrastive", "captioning", "masked_image"}


def test_same_model_same_values_and_no_gradients(config: PretrainConfig, parts: RunParts):
    validate = build_validation(Pretraining(config), parts, validation_source(config))
    assert validate is not None
    first = validate()
    assert first == validate()
    assert all(name.startswith("validation_") for name in first)
    assert {"validation_contrastive", "validation_image_to_text_recall_at_10", "validation_mask_coverage"} <= set(first)
    assert all(parameter.grad is None for parameter in parts.trained.model.parameters())


def test_first_samples_only(config: PretrainConfig, parts: RunParts):
    source = validation_source(config)
    validate = build_validation(Pretraining(config), parts, source)
    of_seven = build_validation(
        Pretraining(replace(config, training=replace(config.training, evaluation_samples=1000))),
        parts,
        first_seven(source),
    )
    assert validate is not None
    assert of_seven is not None
    assert validate() == of_seven()


def test_without_data_there_is_no_validation(config: PretrainConfig, parts: RunParts):
    assert build_validation(Pretraining(config), parts, None) is None
