"""WiSE-FT averages: by hand, at both ends, with components that only one model has; and what cannot be averaged."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from builders.predictors import SCENES, small_predictor
from sycoca.facts.limit_facts import ModelLimits
from sycoca.model.masking_config import MaskingConfig
from sycoca.preprocess.config import ImageTransformConfig, TokenizerConfig
from sycoca.preprocess.tokenizer import Tokenizer
from sycoca.weights.average import average_weights
from sycoca.weights.folder import load_weights, save_weights


def saved(folder: Path, **changes: Any) -> Path:
    """Write a model with different random weights at every call; ``changes`` are those of `small_predictor`."""
    predictor = small_predictor(**changes)
    save_weights(folder, predictor.model.float(), predictor.tokenizer, predictor.config)
    return folder


def tensors_in(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


@pytest.fixture
def start(tmp_path: Path) -> Path:
    return saved(tmp_path / "start")


@pytest.fixture
def end(tmp_path: Path) -> Path:
    masking = MaskingConfig(strategy="random")
    return saved(tmp_path / "end", masking=masking, transforms=ImageTransformConfig(crop_min_area=0.5))


def test_every_tensor_is_the_mean_by_hand(start: Path, end: Path):
    averaged = average_weights(start, end, alpha=0.3)
    before, after, found = tensors_in(start), tensors_in(end), averaged.model.state_dict()
    assert found.keys() == before.keys() == after.keys()
    for name, tensor in found.items():
        pairs = zip(before[name].flatten().tolist(), after[name].flatten().tolist(), strict=True)
        by_hand = [0.7 * old + 0.3 * new for old, new in pairs]
        assert tensor.dtype == torch.float32
        assert torch.equal(tensor.flatten(), torch.tensor(by_hand, dtype=torch.float64).float()), name
    assert averaged.config == replace(load_weights(end).config, limits=ModelLimits())
    assert not averaged.model.training
    assert averaged.summary == (
        f"0.7 of `{start}` and 0.3 of `{end}`: image encoder, text encoder, text decoder, image decoder, temperature",
    )


@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_alpha_0_and_1_give_the_inputs_to_the_last_bit(start: Path, end: Path, alpha: float):
    # Minus zero and infinity would not survive 1 * x + 0 * y.
    loaded = load_weights(start)
    with torch.no_grad():
        loaded.model.image_encoder.positions[0, 0] = -0.0
        loaded.model.image_encoder.positions[0, 1] = torch.inf
    save_weights(start, loaded.model, loaded.tokenizer, loaded.config)
    found = average_weights(start, end, alpha=alpha).model.state_dict()
    for name, tensor in tensors_in(end if alpha == 1 else start).items():
        assert torch.equal(found[name].view(torch.int32), tensor.view(torch.int32)), name


def test_the_mean_can_be_saved_and_used(start: Path, end: Path, tmp_path: Path):
    averaged = average_weights(start, end)
    save_weights(tmp_path / "mean", averaged.model, averaged.tokenizer, averaged.config)
    assert load_weights(tmp_path / "mean").config == averaged.config
    assert averaged.summary[0].startswith(f"0.5 of `{start}` and 0.5 of `{end}`: ")


def test_the_mean_of_half_precisions_is_rounded_once(start: Path, end: Path, tmp_path: Path):
    halves = [tmp_path / "one", tmp_path / "two"]
    for folder, half in zip((start, end), halves, strict=True):
        loaded = load_weights(folder)
        save_weights(half, loaded.model.bfloat16(), loaded.tokenizer, loaded.config)
    one, two = (tensors_in(half)["text_encoder.positions"] for half in halves)
    mean = average_weights(*halves, alpha=0.3).model.text_encoder.positions
    assert torch.equal(mean, (0.7 * one.double() + 0.3 * two.double()).bfloat16())
    assert not torch.equal(mean, 0.7 * one + 0.3 * two)


def test_components_that_one_lacks_are_copied_from_the_other(tmp_path: Path):
    """A fine-tuned classifier: without decoders, with a head."""
    start = saved(tmp_path / "start", normalizes_patches=False, captioning_dropped_share=0.25)
    end = saved(
        tmp_path / "end",
        model_text_decoder=None,
        model_image_decoder=None,
        model_num_classes=2,
        class_names=("circle", "square"),
    )
    averaged = average_weights(start, end, alpha=0.5)
    before, after, found = tensors_in(start), tensors_in(end), averaged.model.state_dict()
    assert found.keys() == before.keys() | after.keys()
    for name in before.keys() - after.keys():
        assert torch.equal(found[name], before[name])
    for name in after.keys() - before.keys():
        assert torch.equal(found[name], after[name])
    assert not torch.equal(found["text_encoder.positions"], before["text_encoder.positions"])
    assert averaged.config.class_names == ("circle", "square")
    assert not averaged.config.normalizes_patches
    assert averaged.config.captioning_dropped_share == 0.25
    assert averaged.summary[1:] == (
        f"copied from `{start}`, the only one that has it: text decoder, image decoder",
        f"copied from `{end}`, the only one that has it: head for classes",
    )
    save_weights(tmp_path / "mean", averaged.model, averaged.tokenizer, averaged.config)
    assert load_weights(tmp_path / "mean").model.class_head is not None


@pytest.mark.parametrize("has_decoder", [True, False])
def test_what_one_objective_alone_trains_is_copied_from_the_one_that_has_it(tmp_path: Path, has_decoder: bool):
    """The bias of the sigmoid loss and the head for features, which fine-tunings drop."""
    decoder = small_predictor().model.config.image_decoder
    assert decoder is not None
    extended = replace(decoder, predicts_features=True)
    start = saved(tmp_path / "start", model_has_logit_bias=True, model_image_decoder=extended)
    end = saved(tmp_path / "end", model_image_decoder=decoder if has_decoder else None)
    for one, two in ((start, end), (end, start)):
        averaged = average_weights(one, two)
        found, before = averaged.model.state_dict(), tensors_in(start)
        assert found.keys() == before.keys()
        for name in before.keys() - tensors_in(end).keys():
            assert torch.equal(found[name], before[name])
        assert averaged.config.model.has_logit_bias
        assert averaged.config.model.image_decoder == extended
        assert "logit bias" in averaged.summary[1]


def test_a_head_of_the_start_is_kept(tmp_path: Path):
    answers = {"model_num_answers": 2, "answers": ("yes", "no"), "answers_exclude_each_other": True}
    start, end = saved(tmp_path / "start", **answers), saved(tmp_path / "end")
    averaged = average_weights(start, end)
    assert averaged.config.answers == ("yes", "no")
    assert averaged.config.answers_exclude_each_other
    assert averaged.summary[1] == f"copied from `{start}`, the only one that has it: head for answers"


def test_single_tensors_of_a_part_that_both_have_are_named(tmp_path: Path):
    inside = small_predictor()
    decoder = inside.model.config.image_decoder
    assert decoder is not None
    start = saved(tmp_path / "start", model_image_decoder=replace(decoder, mask_tokens="encoder"))
    end = saved(tmp_path / "end", model_image_decoder=None)
    summary = average_weights(start, end).summary
    assert summary[1] == f"copied from `{start}`, the only one that has it: image decoder, image_encoder.mask_token"


@pytest.mark.parametrize("alpha", [-0.1, 1.1])
def test_alpha_lies_between_0_and_1(alpha: float):
    with pytest.raises(ValueError, match=r"alpha must lie between 0 \(the start\) and 1 \(the end\), got"):
        average_weights("one", "two", alpha=alpha)


def test_other_architectures_are_refused_with_the_first_difference(start: Path, tmp_path: Path):
    text_encoder = load_weights(start).config.model.text_encoder
    other = saved(tmp_path / "other", model_text_encoder=replace(text_encoder, pooling="eos", context_length=30))
    with pytest.raises(
        ValueError,
        match=r"start and .*other cannot be averaged: model\.text_encoder\.context_length is 28 in the first and 30 in"
        " the second; take the weights that the end came from",
    ):
        average_weights(start, other)


def test_other_tokenizers_are_refused(start: Path, tmp_path: Path):
    captions = [caption for index in range(len(SCENES)) for caption in SCENES[index].captions]
    cased = Tokenizer.train(captions, TokenizerConfig(vocab_size=300, lowercase=False))
    predictor = small_predictor()
    save_weights(tmp_path / "other", predictor.model.float(), cased, predictor.config)
    with pytest.raises(ValueError, match="cannot be averaged: their tokenizers differ"):
        average_weights(start, tmp_path / "other")


@pytest.mark.parametrize(
    ("one", "two", "said"),
    [
        (
            {"model_num_classes": 2, "class_names": ("a", "b")},
            {"model_num_classes": 2, "class_names": ("b", "a")},
            "their heads have different class_names",
        ),
        (
            {"model_num_answers": 2, "answers": ("a", "b")},
            {"model_num_answers": 3, "answers": ("a", "b", "c")},
            "model.num_answers is 2 in the first and 3 in the second",
        ),
        (
            {"transforms": ImageTransformConfig(std=(0.5, 0.5, 0.5))},
            {},
            r"transforms.std is \(0.5, 0.5, 0.5\) in the first and \(0.26",
        ),
        ({"normalizes_patches": False}, {}, "only one of their image decoders predicts pixels normalized"),
    ],
)
def test_other_heads_and_pixels_are_refused(tmp_path: Path, one: dict[str, Any], two: dict[str, Any], said: str):
    with pytest.raises(ValueError, match=f"cannot be averaged: {said}"):
        average_weights(saved(tmp_path / "one", **one), saved(tmp_path / "two", **two))
