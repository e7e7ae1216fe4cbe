"""The metrics of an ablation, in the order of its tables. Imports no torch."""

from collections.abc import Mapping
from typing import Literal

from sycoca.facts.metric_suffixes import EMPTY_CAPTION, NO_CAPTION, OTHER_CAPTION, QUESTION_ONLY

MetricGroup = Literal["retrieval", "captioning", "hard negatives", "grounding", "reconstruction", "transfer"]

SWAPS_BY_COSINE = "swap_accuracy"
SWAPS_BY_LIKELIHOOD = "swap_accuracy_likelihood"

PROBE_ACCURACY = "probe_accuracy"

ANSWERS = tuple(f"{name}{suffix}" for name in ("vqa_accuracy", "answer_accuracy") for suffix in ("", QUESTION_ONLY))
"""Accuracy of answers, by the one of the two that fits the data, and that of the questions alone."""

_RECONSTRUCTION = tuple(
    f"reconstruction_{kind}"
    for infix in ("", "_described", "_undescribed")
    for kind in (
        f"error{infix}",
        f"error{infix}{OTHER_CAPTION}",
        f"error{infix}{EMPTY_CAPTION}",
        f"gain{infix}_over_other",
        f"gain{infix}_over_empty",
    )
)

METRIC_GROUPS: Mapping[MetricGroup, tuple[str, ...]] = {
    "retrieval": (
        "mean_text_recall",
        "mean_image_recall",
        *(f"{direction}_recall_at_{k}" for direction in ("image_to_text", "text_to_image") for k in (1, 5, 10)),
        "image_to_text_mean_log_rank",
        "text_to_image_mean_log_rank",
        "contrastive",
    ),
    "captioning": ("captioning", "caption_truth", "caption_detail", "cider"),
    "hard negatives": (SWAPS_BY_COSINE, SWAPS_BY_LIKELIHOOD),
    "grounding": (
        "described_patch_auc",
        f"described_patch_auc{NO_CAPTION}",
        f"described_patch_auc{OTHER_CAPTION}",
        "mask_coverage",
    ),
    "reconstruction": _RECONSTRUCTION,
    "transfer": (PROBE_ACCURACY, *ANSWERS),
}
"""All metrics by group."""

MEASURED: tuple[str, ...] = tuple(name for group in METRIC_GROUPS.values() for name in group)
"""All metrics; every result has each of them, None where it could not be measured."""

HEADLINES = ("mean_text_recall", "mean_image_recall")
"""The metrics of the paper's tables."""

SHOWN = (
    *HEADLINES,
    "contrastive",
    "captioning",
    "caption_truth",
    "described_patch_auc",
    "reconstruction_error_described",
    "reconstruction_gain_described_over_other",
)
"""The metrics that the terminal's table and the plot show."""
