"""An explanation as a figure: similarity maps of the caption and its words, masks, and the reconstruction."""

import math
import textwrap
from pathlib import Path

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from sycoca.inference.explanation import Explanation
from sycoca.outputs.atomic import atomic_file
from sycoca.reports.pictures import Picture, without_patches

PICTURE_SUFFIXES = (".png", ".pdf", ".svg")

_COLUMNS = 5
_PANEL_INCHES = 2.1
_TITLE_LETTERS = 90
_PANEL_TEXT_INCHES = 0.55
_SCORE_COLORS = "inferno"


def save_explanation(explanation: Explanation, path: str | Path) -> None:
    """Save an explanation as a figure; the suffix is the format. Raises ValueError for an unknown one."""
    path = Path(path)
    check_picture_name(path)
    figure = explanation_figure(explanation)
    with atomic_file(path) as unfinished:
        figure.savefig(unfinished, dpi=150, facecolor="white")


def check_picture_name(path: Path) -> None:
    """Raise ValueError for a file name without a supported suffix."""
    if path.suffix.lower() not in PICTURE_SUFFIXES:
        raise ValueError(f"{path} must end in one of {', '.join(PICTURE_SUFFIXES)}")


def explanation_figure(explanation: Explanation) -> Figure:
    """Return a figure of an explanation: a row of panels for the whole caption, then one panel per word.

    The colors of every map span its own range of cosines, which is written below it.
    """
    num_word_rows = math.ceil(len(explanation.words) / _COLUMNS)
    num_rows = 1 + num_word_rows
    title = textwrap.wrap(f"“{explanation.caption}”{_cut_note(explanation)}", _TITLE_LETTERS)
    title_inches = 0.5 + 0.25 * len(title)
    height = title_inches + num_rows * (_PANEL_INCHES + _PANEL_TEXT_INCHES)
    figure = Figure(figsize=(_COLUMNS * (_PANEL_INCHES + 0.15) + 0.3, height))
    FigureCanvasAgg(figure)
    figure.suptitle("\n".join(title), fontsize=14, y=1 - 0.2 / height, va="top", parse_math=False)
    grid = figure.add_gridspec(
        num_rows,
        _COLUMNS,
        left=0.02,
        right=0.98,
        top=1 - (title_inches + 0.1) / height,
        bottom=0.3 / height,
        wspace=0.07,
        hspace=_PANEL_TEXT_INCHES / _PANEL_INCHES,
    )
    axes = [figure.add_subplot(grid[row, column]) for row in range(num_rows) for column in range(_COLUMNS)]
    for axis in axes:
        axis.set_visible(False)
    _draw_caption_row(axes[:_COLUMNS], explanation)
    for axis, word, scores in zip(axes[_COLUMNS:], explanation.words, explanation.relevance, strict=False):
        _draw_scores(axis, explanation.original, scores.reshape(explanation.patch_scores.shape), word)
    return figure


def _cut_note(explanation: Explanation) -> str:
    read = [word.lower() for word in explanation.words]
    return "" if read == explanation.caption.lower().split() else f" (cut after “{' '.join(read[-1:])}”)"


def _draw_caption_row(axes: list[Axes], explanation: Explanation) -> None:
    original = explanation.original
    _draw(axes[0], original, "image")
    _draw_scores(axes[1], original, explanation.patch_scores, "match with the caption")
    is_hidden = explanation.is_hidden_from_captioner
    seen_ratio = 1 - is_hidden.mean()
    _draw(
        axes[2],
        without_patches(original, is_hidden),
        "seen by captioning in training",
        f"{seen_ratio:.0%} of the patches; all at inference",
    )
    reconstruction = explanation.reconstruction
    if reconstruction is not None:
        masked_ratio = reconstruction.is_masked.mean()
        _draw(
            axes[3], without_patches(original, reconstruction.is_masked), "masked", f"{masked_ratio:.0%} of the patches"
        )
        note = "\nand the true patches' mean and contrast" if reconstruction.has_true_statistics else ""
        _draw(axes[4], reconstruction.reconstructed, "reconstructed", f"from the rest and the caption{note}")


def _draw(axis: Axes, picture: Picture, title: str, note: str = "") -> None:
    height, width, _ = picture.shape
    axis.set_visible(True)
    axis.set(xticks=[], yticks=[])
    axis.spines[:].set_color("0.8")
    axis.imshow(picture, interpolation="nearest", extent=(0, width, height, 0))
    axis.set_title(title, fontsize=10, pad=4, parse_math=False)
    axis.text(0.5, -0.03, note, transform=axis.transAxes, ha="center", va="top", fontsize=8, color="0.35")


def _draw_scores(axis: Axes, picture: Picture, scores: Float[np.ndarray, "rows columns"], title: str) -> None:
    """Draw the scores over a pale gray version of the picture."""
    height, width, _ = picture.shape
    pale = 255 - 0.8 * (255 - picture.mean(axis=2, keepdims=True).repeat(3, axis=2))
    _draw(
        axis, pale.astype(np.uint8), title, f"cosine {_cosine(float(scores.min()))} to {_cosine(float(scores.max()))}"
    )
    axis.imshow(scores, cmap=_SCORE_COLORS, alpha=0.55, interpolation="nearest", extent=(0, width, height, 0))


def _cosine(value: float) -> str:
    return f"{round(value, 2) + 0.0:.2f}"  # without the sign of a rounded zero
