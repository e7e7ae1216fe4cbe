"""The first batch as a figure: images and captions as the model gets them, after all transforms."""

import math
import textwrap
from pathlib import Path

from sycoca.preprocess.config import ImageTransformConfig
from sycoca.preprocess.image_transforms import to_pictures
from sycoca.preprocess.tokenizer import Tokenizer
from sycoca.records import ImageTextBatch, pixels_of


def draw_first_batch(
    batch: ImageTextBatch, tokenizer: Tokenizer, transforms: ImageTransformConfig, path: Path, *, most: int = 16
) -> None:
    """Write a PNG file with up to ``most`` pairs of a batch, with captions decoded from their tokens."""
    # Without pyplot, which needs a display and keeps global state.
    from matplotlib.figure import Figure

    number = min(most, len(batch.tokens))
    columns = min(4, number)
    rows = math.ceil(number / columns)
    figure = Figure(figsize=(3 * columns, 3.6 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    pictures = to_pictures(pixels_of(batch.images)[:number], transforms)
    for i, axes in enumerate(grid.flat):
        axes.set_axis_off()
        if i < number:
            axes.imshow(pictures[i])
            caption = textwrap.fill(tokenizer.decode(batch.tokens[i].tolist()), 34)
            axes.set_title(caption, fontsize=8, parse_math=False)
    figure.savefig(path, dpi=100)
