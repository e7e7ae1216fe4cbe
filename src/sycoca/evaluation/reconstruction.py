"""Reconstruction: whether the image decoder uses the caption, by its error under the right one, a wrong one and none.

The same patches are masked for all three captions, at random, from fixed seeds: half of each image.
"""

import time
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float
from rich.console import Console
from torch import Tensor

from sycoca.data.samples import ImageTextSample, SampleSource
from sycoca.evaluation.batches import num_evaluated, sample_batches
from sycoca.evaluation.caption_rotation import CaptionRotation, RotatedCaption
from sycoca.evaluation.grounding import described_ratios
from sycoca.evaluation.phrase_grounding import LEAST_COVERED
from sycoca.evaluation.report import ItemScores, Report
from sycoca.facts.metric_suffixes import EMPTY_CAPTION, OTHER_CAPTION
from sycoca.inference.predictor import Predictor
from sycoca.model.draws import uniform_draws
from sycoca.model.masking import highest
from sycoca.randomness import derive_key

MASKED_RATIO = 0.5
"""Patches that are masked, whatever ratio a model was trained with, so that models compare."""

_GAINS: Mapping[str, str] = {OTHER_CAPTION: "_over_other", EMPTY_CAPTION: "_over_empty"}
"""How the gain of the right caption over each of the others is named."""


def evaluate_reconstruction(
    predictor: Predictor,
    source: SampleSource,
    *,
    batch_size: int = 64,
    limit: int | None = None,
    console: Console | None = None,
) -> Report:
    """Compare reconstructions under the right caption, another sample's and an empty one; one caption per sample.

    ``reconstruction_error``: mean squared error of the pixels of masked patches, as TG-MIM trains on it;
    ``_other_caption`` and ``_empty_caption`` the same under those. ``reconstruction_gain_over_other`` is by
    how much more the error is with that caption than with the right one. Where described pixels are known, all of them
    also for ``_described`` patches, those described by a quarter at least, and for ``_undescribed`` ones, over the
    samples with both among their masked patches. Values are means over a sample's patches, and then over samples.

    Captions rotate as in grounding; the other sample is the next one that has another caption. Raises ValueError for a
    model without image decoder, for a sample without captions, and where no other sample has another caption.
    """
    started_at = time.perf_counter()
    num_samples = num_evaluated(source, limit)
    if num_samples < 2:
        raise ValueError(f"{source.name} has one sample; another one's caption is needed to compare with")
    rotation = CaptionRotation(source, num_samples)
    keys: list[str] = []
    errors: list[dict[str, Tensor]] = []
    is_described: list[Tensor] = []
    for samples in sample_batches(source, num_samples, batch_size, "reconstructing", console=console):
        indices = range(len(keys), len(keys) + len(samples))
        is_masked = _random_masks(indices, predictor.model.config.image_encoder.num_patches)
        own_captions = [rotation.of(sample, index) for sample, index in zip(samples, indices, strict=True)]
        captions = {
            "": [own.text for own in own_captions],
            OTHER_CAPTION: [_other(source, rotation, *pair) for pair in zip(samples, indices, strict=True)],
            EMPTY_CAPTION: [""] * len(samples),
        }
        errors.append(
            {
                name: predictor.reconstruction_errors(samples, own, is_masked, batch_size=batch_size)
                for name, own in captions.items()
            }
        )
        if samples[0].described_pixels is not None:
            described = torch.stack([_described(predictor, *pair) for pair in zip(samples, own_captions, strict=True)])
            is_described.append(described[is_masked].reshape(len(samples), -1))
        keys += [sample.key for sample in samples]
    joined = {name: torch.cat([own[name] for own in errors]) for name in errors[0]}
    items = _items(keys, joined, torch.cat(is_described) if is_described else None)
    return Report(
        task="reconstruction",
        metrics={name: float(np.mean(column)) for one in items.values() for name, column in one.values.items()},
        counts={unit: len(one.keys) for unit, one in items.items()},
        settings={"data": source.name, "limit": limit, "masked_ratio": MASKED_RATIO},
        seconds=time.perf_counter() - started_at,
        items=items,
    )


def reconstruction_values(
    errors: Mapping[str, Float[Tensor, "samples masked"]],
    counts: Bool[Tensor, "samples masked"],
    infix: str = "",
) -> dict[str, Float[Tensor, " samples"]]:
    """Return every sample's mean errors over the patches that count, and the gains of the right caption.

    Args:
        errors: errors of the masked patches by the suffix of the caption; "" is the right one.
        counts: the patches that count, at least one of each sample.
        infix: what the names of the patches' metrics have, such as "_described".
    """
    means = {name: (own * counts).sum(1) / counts.sum(1) for name, own in errors.items()}
    values = {f"reconstruction_error{infix}{name}": own for name, own in means.items()}
    gains = {f"reconstruction_gain{infix}{gain}": means[name] - means[""] for name, gain in _GAINS.items()}
    return {**values, **gains}


def _items(
    keys: Sequence[str],
    errors: Mapping[str, Float[Tensor, "samples masked"]],
    is_described: Bool[Tensor, "samples masked"] | None,
) -> dict[str, ItemScores]:
    """Return the values of all samples, and those of described and other patches, of the samples that have both."""
    items = {"samples": _scores(keys, reconstruction_values(errors, torch.ones_like(errors[""], dtype=torch.bool)))}
    if is_described is None:
        return items
    has_both = is_described.any(1) & ~is_described.all(1)
    if bool(has_both.any()):
        own = {name: one[has_both] for name, one in errors.items()}
        described = is_described[has_both]
        values = {
            **reconstruction_values(own, described, "_described"),
            **reconstruction_values(own, ~described, "_undescribed"),
        }
        chosen = [key for key, is_told in zip(keys, has_both.tolist(), strict=True) if is_told]
        items["samples with both kinds of patches"] = _scores(chosen, values)
    return items


def _scores(keys: Sequence[str], values: Mapping[str, Tensor]) -> ItemScores:
    return ItemScores(keys=keys, values={name: value.double().tolist() for name, value in values.items()})


def _other(source: SampleSource, rotation: CaptionRotation, sample: ImageTextSample, index: int) -> str:
    other = rotation.other_than(sample, index)
    if other is None:
        raise ValueError(f"{source.name}: no other sample has another caption than {sample.key}, to compare with")
    return other.text


def _random_masks(indices: Sequence[int], num_patches: int) -> Bool[Tensor, "samples patches"]:
    """Return masks that depend on the number of the sample alone."""
    keys = torch.tensor([derive_key(0, "masked for evaluation", index) for index in indices])
    draws = uniform_draws(keys, "masked for reconstruction", (num_patches,), torch.device("cpu"))
    return highest(draws, MASKED_RATIO).is_chosen


def _described(predictor: Predictor, sample: ImageTextSample, caption: RotatedCaption) -> Bool[Tensor, " patches"]:
    """Return the patches of which the sample's caption describes a quarter at least."""
    assert sample.described_pixels is not None, f"{sample.key} does not say which pixels its captions describe"
    return described_ratios(predictor, sample.described_pixels(caption.number)) >= LEAST_COVERED
