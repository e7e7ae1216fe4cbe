"""An explanation as HTML for the cell of a notebook: maps of words and of baselines over the image, on one scale."""

from collections.abc import Iterator

import numpy as np

from sycoca.inference.explaining.explanation import Explanation, Grid
from sycoca.inference.explaining.explanation_json import png_url
from sycoca.notebooks.cell_html import cell, figures, note, picture

_SIDE = 132
_LOW, _HIGH = np.array([24, 28, 58, 165]), np.array([255, 214, 64, 165])
"""Color and opacity of the smallest and the largest cosine."""


def explanation_cell(explanation: Explanation) -> str:
    """Return an explanation as HTML: how well patches match the caption, its words, and nothing in particular."""
    low, high = explanation.scale
    scale = f"dark {low:.2f} to bright {high:.2f}: cosines of patches, on one scale for all maps"
    return cell(
        explanation.caption,
        note(_about_pair(explanation)),
        figures(_maps(explanation), side=_SIDE),
        note(scale),
        figures(_reconstructions(explanation), side=_SIDE),
        *(note(f"no {part.replace('_', ' ')}: {reason}") for part, reason in explanation.absent.items()),
    )


def _about_pair(explanation: Explanation) -> str:
    parts = [f"cosine {explanation.cosine:.3f}"]
    if explanation.others is not None:
        parts.append(f"rank {explanation.rank} of {len(explanation.others.captions) + 1} captions")
    if explanation.log_likelihood_per_token is not None:
        parts.append(f"log-likelihood {explanation.log_likelihood_per_token:.2f} nats per token")
    if explanation.is_truncated:
        parts.append(f"only the first {len(explanation.words)} words fit into the context")
    return ", ".join(parts)


def _maps(explanation: Explanation) -> Iterator[tuple[str, str]]:
    image = png_url(explanation.original)
    yield picture(image, explanation.caption, side=_SIDE), "image"
    maps: list[tuple[str, Grid]] = [
        ("the caption", explanation.patch_scores),
        ("no caption (the image itself)", explanation.image_scores),
    ]
    if explanation.others is not None:
        maps.append(("mean of other captions", explanation.others.mean_scores))
    maps += [(f"“{word}”", explanation.word_scores(number)) for number, word in enumerate(explanation.words)]
    for name, scores in maps:
        heat = png_url(_heat(scores, explanation.scale))
        yield picture(image, f"patches that match {name}", side=_SIDE, over=heat), name


def _reconstructions(explanation: Explanation) -> Iterator[tuple[str, str]]:
    own = explanation.reconstruction
    if own is None:
        return
    yield (
        picture(png_url(own.masked), "masked patches", side=_SIDE),
        f"{100 * own.is_masked.mean():.0f} % of the patches masked; in one color each, error {own.flat_error:.4f}",
    )
    shown = [
        (explanation.caption, own),
        *((one.caption, one.reconstruction) for one in explanation.other_reconstructions),
    ]
    for caption, one in shown:
        name = f"“{caption}”" if caption else "an empty caption"
        uri = png_url(one.reconstructed)
        yield picture(uri, f"reconstruction under {name}", side=_SIDE), f"under {name}, error {one.error:.4f}"


def _heat(scores: Grid, scale: tuple[float, float]) -> np.ndarray:
    """Return a map as colors with their opacity, one pixel per patch."""
    low, high = scale
    ratio = (scores - low) / (high - low if high > low else 1.0)
    return (_LOW + ratio[:, :, None] * (_HIGH - _LOW)).round().astype(np.uint8)
