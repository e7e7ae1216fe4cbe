"""Winoground's scores: two images and two captions, matched in both directions."""

from collections.abc import Sequence

from sycoca.data.benchmarks.records import PairOfPairs
from sycoca.evaluation.hard_negatives.findings import Findings, Score, item_metrics
from sycoca.evaluation.report import ItemScores
from sycoca.facts.metric_suffixes import BLANK_IMAGE, PAIR_TYPE, RANDOM

_CHANCE = {"text": 1 / 4, "image": 1 / 4, "group": 1 / 6}
"""Of four independent random scores (Winoground, arXiv 2204.03162, section 4): two comparisons each, which share no
score; all four hold in 4 of the 24 orders."""


def judge_pairs(pairs: Sequence[PairOfPairs], score: Score) -> Findings:
    """Return ``winoground_text_score``, ``_image_score`` and ``_group_score`` by each scorer (section 4 of the paper).

    Text: both images prefer their own caption. Image: both captions prefer their own image. Group: both. A tie counts
    against the model. Without the image both images are one, and the text score is 0 by definition: a language model
    alone solves none, so that baseline is left out.
    """
    images = [image for pair in pairs for image in pair.images]
    scores = score(images, [pair.captions for pair in pairs for _ in pair.images])
    values: dict[str, list[float | int]] = {}
    for scorer, of_images in scores.items():
        if not scorer.endswith(BLANK_IMAGE):
            rows = [own.tolist() for own in of_images]
            for first, other in zip(rows[::2], rows[1::2], strict=True):
                for name, hit in _hits(first, other).items():
                    values.setdefault(f"winoground_{name}_score{scorer}", []).append(int(hit))
    items = ItemScores(
        keys=[pair.key for pair in pairs], values=values, kinds={PAIR_TYPE: [pair.kind for pair in pairs]}
    )
    chance = {f"winoground_{name}_score{RANDOM}": value for name, value in _CHANCE.items()}
    return Findings(unit="pair", items=items, metrics=item_metrics(items, chance))


def _hits(first: Sequence[float], other: Sequence[float]) -> dict[str, bool]:
    """Return what both images' scores of both captions get right."""
    text = first[0] > first[1] and other[1] > other[0]
    image = first[0] > other[0] and other[1] > first[1]
    return {"text": text, "image": image, "group": text and image}
