"""Grounding: whether the patches that match a caption best are those that it describes. Needs described pixels."""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from PIL import Image
from rich.console import Console
from torch import Tensor

from sycoca.data.samples import ImageTextSample, SampleSource
from sycoca.evaluation.batches import num_evaluated, sample_batches
from sycoca.evaluation.caption_rotation import NO_OTHER_CAPTION, CaptionRotation, RotatedCaption
from sycoca.evaluation.report import ItemScores, Report
from sycoca.evaluation.sharding import ALONE, Sharding
from sycoca.facts.metric_suffixes import NO_CAPTION, OTHER_CAPTION
from sycoca.inference.predictor import Predictor
from sycoca.metrics.grounding import (
    described_patch_auc,
    grounding_average_precision,
    largest_mask_coverage,
    mask_coverage,
)
from sycoca.model.masking import lowest
from sycoca.model.patches import patchify
from sycoca.preprocess.image_transforms import inference_image


def evaluate_grounding(
    predictor: Predictor,
    source: SampleSource,
    *,
    batch_size: int = 64,
    limit: int | None = None,
    console: Console | None = None,
    sharding: Sharding = ALONE,
) -> Report:
    """Compare patch scores with the pixels that captions describe, for one caption per sample, in rotation.

    ``described_patch_auc``: area under the ROC curve of described against undescribed object pixels, over the samples
    that have both. ``mask_coverage``: fraction of the described pixels inside the better-scoring half of the patches,
    whatever ratios and strategy the model was trained with, so that models compare; ``_largest`` is the best choice of
    as many patches, ``_random`` what chance reaches. Both also have the baselines ``_no_caption`` (the cosine with the
    image's own embedding: mere saliency) and ``_other_caption`` (the caption of the next sample that has another one;
    where a sample finds none, the settings say so in its place). ``grounding_average_precision`` ranks pixels by their
    patch's score, ``described_ratio`` is about its chance.

    Samples whose caption describes nothing that the model sees are skipped and counted. Raises ValueError where no
    sample is left, and for a sample without captions.
    """
    started_at = time.perf_counter()
    num_samples = num_evaluated(source, limit)
    rows, keys, rotation = [], [], CaptionRotation(source, num_samples)
    first = sharding.own(num_samples).start
    batches = sample_batches(source, num_samples, batch_size, "scoring patches", console=console, sharding=sharding)
    for samples in batches:
        captions = [rotation.of(sample, first + i) for i, sample in enumerate(samples)]
        others = [rotation.other_than(sample, first + i) for i, sample in enumerate(samples)]
        first += len(samples)
        maps = _patch_maps(predictor, samples, captions, others, batch_size)
        has_truth = maps.described.sum(1) > 0
        rows.append(torch.cat(maps, dim=1)[has_truth])
        keys += [sample.key for sample, is_known in zip(samples, has_truth.tolist(), strict=True) if is_known]
    joined = sharding.join(rows, len(_PatchMaps._fields) * predictor.model.config.image_encoder.num_patches)
    if len(joined) == 0:
        raise ValueError(f"{source.name} does not say which pixels its captions describe; the built-in scenes do")
    maps, keys = _PatchMaps(*joined.chunk(len(_PatchMaps._fields), dim=1)), sharding.join_plain(keys)
    items = {"image": _items(keys, _coverage_values(maps))}
    can_tell = maps.undescribed.sum(1) > 0
    if can_tell.any():
        told_keys = [key for key, is_told in zip(keys, can_tell.tolist(), strict=True) if is_told]
        told = _PatchMaps(*(one[can_tell] for one in maps))
        items["image with an undescribed object"] = _items(told_keys, _auc_values(told))
    metrics = {name: float(np.mean(column)) for one in reversed(items.values()) for name, column in one.values.items()}
    return Report(
        task="grounding",
        metrics=metrics,
        counts={
            "samples": len(keys),
            "samples_with_undescribed_objects": int(can_tell.sum()),
            "skipped_samples": num_samples - len(keys),
        },
        settings={
            "data": source.name,
            "limit": limit,
            "score": predictor.config.masking.score,
            **without_other_caption(metrics, ("described_patch_auc", "mask_coverage")),
        },
        seconds=time.perf_counter() - started_at,
        items=items,
        remarks=predictor.cautions("similarities"),
    )


def grounding_values(
    scores: Float[Tensor, "samples patches"], described: Float[Tensor, "samples patches"]
) -> dict[str, Float[Tensor, " samples"]]:
    """Return every sample's metrics; ``described`` is the described fraction of each patch."""
    is_better = ~lowest(scores, 0.5).is_chosen
    num_better = int(is_better[0].sum())
    values = {
        "mask_coverage": mask_coverage(is_better, described),
        "mask_coverage_largest": largest_mask_coverage(described, num_better),
        "grounding_average_precision": grounding_average_precision(scores, described),
        "grounding_average_precision_largest": grounding_average_precision(described, described),
        "described_ratio": described.mean(1),
        "mask_coverage_random": torch.full((len(scores),), num_better / scores.shape[1], dtype=torch.double),
    }
    return {name: value.double() for name, value in values.items()}


class _PatchMaps(NamedTuple):
    """What is known of every patch."""

    described: Float[Tensor, "samples patches"]
    """Fraction of its pixels that the caption describes."""

    undescribed: Float[Tensor, "samples patches"]
    """Fraction of its pixels that belong to other objects."""

    scores: Float[Tensor, "samples patches"]
    """Match with the caption."""

    no_caption: Float[Tensor, "samples patches"]
    """Match with the image's own embedding."""

    other_caption: Float[Tensor, "samples patches"]
    """Match with the caption of another sample; no numbers where there is none."""

    def baselines(self) -> dict[str, Float[Tensor, "samples patches"]]:
        """Return the scores and those of the baselines that all samples have, by the suffix of their metrics."""
        own = {"": self.scores, NO_CAPTION: self.no_caption}
        return own if bool(self.other_caption.isnan().any()) else {**own, OTHER_CAPTION: self.other_caption}


def without_other_caption(metrics: Mapping[str, float], names: Iterable[str]) -> dict[str, str]:
    """Return by key why those of some metrics that were measured lack the baseline of other captions."""
    keys = [f"{name}{OTHER_CAPTION}" for name in names if name in metrics]
    return {key: NO_OTHER_CAPTION for key in keys if key not in metrics}


def _patch_maps(
    predictor: Predictor,
    samples: Sequence[ImageTextSample],
    captions: Sequence[RotatedCaption],
    others: Sequence[RotatedCaption | None],
    batch_size: int,
) -> _PatchMaps:
    described = torch.stack(
        [_described(predictor, sample, own.number) for sample, own in zip(samples, captions, strict=True)]
    )
    objects = torch.stack([_of_objects(predictor, sample) for sample in samples])
    return _PatchMaps(
        described=described,
        undescribed=(objects - described).clamp(min=0),
        scores=predictor.patch_scores(samples, [own.text for own in captions], batch_size=batch_size),
        no_caption=predictor.saliency(samples, batch_size=batch_size),
        other_caption=_scores_of_others(predictor, samples, others, batch_size),
    )


def _scores_of_others(
    predictor: Predictor, samples: Sequence[ImageTextSample], others: Sequence[RotatedCaption | None], batch_size: int
) -> Float[Tensor, "samples patches"]:
    pairs = [(sample, other.text) for sample, other in zip(samples, others, strict=True) if other is not None]
    images, texts = [sample for sample, _ in pairs], [text for _, text in pairs]
    scores = predictor.patch_scores(images, texts, batch_size=batch_size)
    found = scores.new_full((len(samples), scores.shape[1]), torch.nan)
    found[[other is not None for other in others]] = scores
    return found


def _coverage_values(maps: _PatchMaps) -> dict[str, Float[Tensor, " samples"]]:
    values = grounding_values(maps.scores, maps.described)
    for suffix, scores in maps.baselines().items():
        values[f"mask_coverage{suffix}"] = mask_coverage(~lowest(scores, 0.5).is_chosen, maps.described).double()
    return values


def _auc_values(maps: _PatchMaps) -> dict[str, Float[Tensor, " samples"]]:
    return {
        f"described_patch_auc{suffix}": described_patch_auc(scores, maps.described, maps.undescribed).double()
        for suffix, scores in maps.baselines().items()
    }


def _items(keys: Sequence[str], values: Mapping[str, Float[Tensor, " samples"]]) -> ItemScores:
    return ItemScores(keys=keys, values={name: value.tolist() for name, value in values.items()})


def described_ratios(predictor: Predictor, pixels: Bool[np.ndarray, "height width"]) -> Float[Tensor, " patches"]:
    """Return the described fraction of each patch, after the resizing and cropping of the image."""
    picture = Image.fromarray(pixels.astype(np.uint8) * 255).convert("RGB")
    plain = replace(predictor.config.transforms, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    image = inference_image(picture, predictor.image_size, plain)
    return patchify(image[None], predictor.model.config.image_encoder.patch_size)[0].mean(1)


def _described(predictor: Predictor, sample: ImageTextSample, place: int) -> Float[Tensor, " patches"]:
    if sample.described_pixels is None:
        return torch.zeros(predictor.model.config.image_encoder.num_patches)
    return described_ratios(predictor, sample.described_pixels(place))


def _of_objects(predictor: Predictor, sample: ImageTextSample) -> Float[Tensor, " patches"]:
    if sample.object_pixels is None:
        return torch.zeros(predictor.model.config.image_encoder.num_patches)
    return described_ratios(predictor, sample.object_pixels())
