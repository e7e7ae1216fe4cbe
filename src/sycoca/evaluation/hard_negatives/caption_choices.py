"""Choices between a true caption and a false one."""

from collections.abc import Sequence

from sycoca.data.benchmarks.records import CaptionChoice
from sycoca.evaluation.hard_negatives.findings import BLIND_REMARK, Findings, Score, item_metrics
from sycoca.evaluation.report import ItemScores
from sycoca.facts.metric_suffixes import NEGATIVE_TYPE, RANDOM, SHORTER

_ACCURACY = "hard_negative_accuracy"


def judge_choices(choices: Sequence[CaptionChoice], score: Score) -> Findings:
    """Return how often the true caption scores higher, by each scorer; a tie counts against the model.

    ``hard_negative_accuracy`` overall, by type of negative and as the mean over types; ``..._shorter`` is that of
    always taking the caption with fewer words, ties shared, for which nobody needs a model; ``..._random`` that of a
    coin.
    """
    scores = score([choice.image for choice in choices], [[choice.caption, choice.negative] for choice in choices])
    values: dict[str, list[float | int]] = {
        f"{_ACCURACY}{scorer}": [int(true > false) for true, false in (own.tolist() for own in of_images)]
        for scorer, of_images in scores.items()
    }
    values[f"{_ACCURACY}{SHORTER}"] = [_preference_for_shorter(choice) for choice in choices]
    items = ItemScores(
        keys=[choice.key for choice in choices],
        values=values,
        groups=[choice.image.name for choice in choices],
        kinds={NEGATIVE_TYPE: [choice.kind for choice in choices]},
    )
    metrics = item_metrics(items, {f"{_ACCURACY}{RANDOM}": 0.5})
    return Findings(unit="choice", items=items, metrics=metrics, remarks=(BLIND_REMARK,))


def _preference_for_shorter(choice: CaptionChoice) -> float:
    longer = len(choice.negative.split()) - len(choice.caption.split())
    return (1 + (longer > 0) - (longer < 0)) / 2
