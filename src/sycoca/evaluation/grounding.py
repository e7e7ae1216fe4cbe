"""Grounding: whether the patches that match a caption best are those that it describes. Needs described pixels."""

import time
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Bool, Float
from PIL import Image
from rich.console import Console
from torch import Tensor

from sycoca.data.samples import ImageTextSample, SampleSource
from sycoca.evaluation.batches import num_evaluated, sample_batches
from sycoca.evaluation.report import ItemScores, Report
from sycoca.evaluation.sharding import ALONE, Sharding
from sycoca.inference.predictor import Predictor
from sycoca.metrics.grounding import grounding_average_precision, largest_mask_coverage, mask_coverage
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

    ``mask_coverage``: fraction of the described pixels inside the better-scoring half of the patches, whatever ratios
    and strategy the model was trained with, so that models compare; ``_largest`` is the best choice of as many
    patches, ``_random`` what chance reaches. ``grounding_average_precision`` ranks pixels by their patch's score,
    ``described_ratio`` is about its chance. Samples whose caption describes nothing that the model sees are skipped and
    counted. Raises ValueError where no sample is left.
    """
    started_at = time.perf_counter()
    num_samples = num_evaluated(source, limit)
    all_scores, all_described, keys = [], [], []
    first = sharding.own(num_samples).start
    batches = sample_batches(source, num_samples, batch_size, "scoring patches", console=console, sharding=sharding)
    for samples in batches:
        places = [(first + i) % len(sample.captions) for i, sample in enumerate(samples)]
        first += len(samples)
        described = torch.stack([_described(predictor, *pair) for pair in zip(samples, places, strict=True)])
        captions = [sample.captions[place] for sample, place in zip(samples, places, strict=True)]
        has_truth = described.sum(1) > 0
        scores = predictor.patch_scores(samples, captions, batch_size=batch_size)
        all_scores.append(scores[has_truth])
        all_described.append(described[has_truth])
        keys += [sample.key for sample, is_known in zip(samples, has_truth.tolist(), strict=True) if is_known]
    num_patches = predictor.model.config.image_encoder.num_patches
    scores, described = sharding.join(all_scores, num_patches), sharding.join(all_described, num_patches)
    if len(scores) == 0:
        raise ValueError(f"{source.name} does not say which pixels its captions describe; the built-in scenes do")
    values = grounding_values(scores, described)
    return Report(
        task="grounding",
        metrics={name: value.mean().item() for name, value in values.items()},
        counts={"samples": len(scores), "skipped_samples": num_samples - len(scores)},
        settings={"data": source.name, "limit": limit, "score": predictor.config.masking.score},
        seconds=time.perf_counter() - started_at,
        items={
            "image": ItemScores(
                keys=sharding.join_plain(keys), values={name: value.tolist() for name, value in values.items()}
            )
        },
    )


def grounding_values(
    scores: Float[Tensor, "samples patches"], described: Float[Tensor, "samples patches"]
) -> dict[str, Float[Tensor, " samples"]]:
    """Return every sample's metrics; ``described`` is the described fraction of each patch."""
    is_better = ~lowest(scores, 0.5)
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


def described_shares(predictor: Predictor, pixels: Bool[np.ndarray, "height width"]) -> Float[Tensor, " patches"]:
    """Return the described fraction of each patch, after the resizing and cropping of the image."""
    picture = Image.fromarray(pixels.astype(np.uint8) * 255).convert("RGB")
    plain = replace(predictor.config.transforms, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    image = inference_image(picture, predictor.image_size, plain)
    return patchify(image[None], predictor.model.config.image_encoder.patch_size)[0].mean(1)


def _described(predictor: Predictor, sample: ImageTextSample, place: int) -> Float[Tensor, " patches"]:
    if sample.described_pixels is None:
        return torch.zeros(predictor.model.config.image_encoder.num_patches)
    return described_shares(predictor, sample.described_pixels(place))
