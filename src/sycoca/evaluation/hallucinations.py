"""CHAIR of captions: objects that they mention, against those that images show and references name."""

from collections.abc import Mapping, Sequence

import numpy as np

from sycoca.data.benchmarks.coco_instances import ImageObjects
from sycoca.evaluation.report_parts import ReportPart
from sycoca.facts.metric_suffixes import OTHER_IMAGE
from sycoca.metrics.chair import chair_counts, chair_metrics, objects_in_captions

NOTHING_COUNTED = "not computed: no caption mentions an object of COCO, or no image shows one"
"""What stands in the place of a ratio whose denominator is 0."""


def chair_part(
    captions: Mapping[str, str], references: Mapping[str, Sequence[str]], instances: ImageObjects
) -> ReportPart:
    """Return ``chair_i``, ``chair_s`` and ``object_recall`` of captions by image name.

    An image shows what its instances are and what one of its references names, as in the paper (section 2.1): people
    name objects that nobody has outlined. ``..._other_image`` are the figures of the same captions against the objects
    of the next image, what a caption of some other photo reaches; absent for a single image. Raises ValueError for an
    image that the instances lack.
    """
    names = list(captions)
    mentioned = objects_in_captions(list(captions.values()))
    shown = [instances.of(name) | _named(references[name]) for name in names]
    counts = chair_counts(mentioned, shown)
    if len(names) > 1:
        counts |= chair_counts(mentioned, [*shown[1:], shown[0]], OTHER_IMAGE)
    sums = {name: np.array([sum(column)], dtype=np.float64) for name, column in counts.items()}
    metrics = {name: float(value[0]) for name, value in chair_metrics(sums).items()}
    metrics |= {name: sum(own) / len(own) for name, own in counts.items() if name.startswith("chair_s")}
    return ReportPart(
        metrics={name: value for name, value in metrics.items() if np.isfinite(value)},
        counts={
            "mentioned_objects": sum(counts["mentioned_objects"]),
            "hallucinated_objects": sum(counts["hallucinated_objects"]),
        },
        settings={
            "instances": str(instances.path),
            **{name: NOTHING_COUNTED for name, value in metrics.items() if not np.isfinite(value)},
        },
        values=counts,
    )


def _named(references: Sequence[str]) -> set[str]:
    return {category for own in objects_in_captions(references) for category in own}
