"""CHAIR: objects that captions mention and images do not show (Rohrbach et al., EMNLP 2018, arXiv 1809.02156)."""

from collections.abc import Collection, Mapping, Sequence

import numpy as np
from jaxtyping import Float

from sycoca.metrics.coco_objects import mentioned_objects
from sycoca.metrics.ptb_tokenizer import tokenize_captions
from sycoca.texts import normal_form

_HALLUCINATED = "hallucinated_objects"
_MENTIONED = "mentioned_objects"
_SHOWN = "shown_objects"


def objects_in_captions(captions: Sequence[str]) -> list[list[str]]:
    """Return the categories of COCO that each caption mentions, one per mention, in order."""
    return [mentioned_objects(caption.split()) for caption in tokenize_captions(list(map(normal_form, captions)))]


def chair_counts(
    mentioned: Sequence[Sequence[str]], shown: Sequence[Collection[str]], suffix: str = ""
) -> dict[str, list[int]]:
    """Return by name one count per caption, from which `chair_metrics` follow; ``suffix`` tells variants apart.

    ``mentioned`` are the categories of each caption's mentions, ``shown`` those of the objects in its image.
    """
    pairs = list(zip(mentioned, shown, strict=True))
    hallucinated = [sum(category not in own for category in named) for named, own in pairs]
    return {
        f"{_HALLUCINATED}{suffix}": hallucinated,
        f"{_MENTIONED}{suffix}": [len(named) for named, _ in pairs],
        f"{_SHOWN}{suffix}": [len(own) for _, own in pairs],
        f"found_objects{suffix}": [len(set(named) & set(own)) for named, own in pairs],
        f"chair_s{suffix}": [int(count > 0) for count in hallucinated],
    }


def chair_metrics(sums: Mapping[str, Float[np.ndarray, " sets"]]) -> dict[str, Float[np.ndarray, " sets"]]:
    """Return CHAIR_i and object recall of sets of captions, from the summed `chair_counts` of each set.

    ``chair_i``: hallucinated mentions over all mentions; NaN where nothing is mentioned. ``object_recall``: categories
    shown that the caption mentions over those shown, without which silence would be the best caption. (``chair_s``,
    the fraction of captions with a hallucinated object, is the mean of its counts.)
    """
    found = {}
    for name, hallucinated in sums.items():
        if name.startswith(_HALLUCINATED):
            suffix = name.removeprefix(_HALLUCINATED)
            # No mention, or no object in any image: 0 / 0.
            with np.errstate(invalid="ignore", divide="ignore"):
                found[f"chair_i{suffix}"] = hallucinated / sums[f"{_MENTIONED}{suffix}"]
                found[f"object_recall{suffix}"] = sums[f"found_objects{suffix}"] / sums[f"{_SHOWN}{suffix}"]
    return found
