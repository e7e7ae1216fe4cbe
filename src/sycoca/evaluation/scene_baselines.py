"""Ceilings and trivial baselines of the built-in scenes, for comparison with a model's results."""

import time

from sycoca.data.scenes.language import (
    ceiling_text_to_image,
    color_only_text_to_image,
    most_frequent_caption_truth,
)
from sycoca.data.scenes.source import ScenesSource
from sycoca.evaluation.batches import num_evaluated
from sycoca.evaluation.report import Report
from sycoca.facts.metric_suffixes import CEILING


def evaluate_scene_baselines(source: ScenesSource, *, limit: int | None = None) -> Report:
    """Return the ceiling of text-to-image R@1, the R@1 of a color-only baseline, and the most frequent caption's truth.

    Means over the scenes' captions, as ``evaluate_retrieval`` takes all of them. Ties are shared: ranking by the
    truth finds one of n true scenes in 1 of n cases.
    """
    started_at = time.perf_counter()
    num_scenes = num_evaluated(source, limit)
    scenes = [source.scene(index) for index in range(num_scenes)]
    captions = [source[index].captions for index in range(num_scenes)]
    ways = [list(same_place) for same_place in zip(*captions, strict=True)]
    return Report(
        task="scene_baselines",
        metrics={
            f"text_to_image_recall_at_1{CEILING}": sum(ceiling_text_to_image(scenes, way) for way in ways) / len(ways),
            "text_to_image_recall_at_1_color_only": sum(color_only_text_to_image(scenes, way) for way in ways)
            / len(ways),
            "caption_truth_most_frequent": most_frequent_caption_truth(
                scenes, [caption for own in captions for caption in own]
            ),
        },
        counts={"scenes": num_scenes, "captions": num_scenes * len(ways)},
        settings={"data": source.name, "limit": limit},
        seconds=time.perf_counter() - started_at,
    )
