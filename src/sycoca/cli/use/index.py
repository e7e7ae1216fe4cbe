"""``sycoca index``: index images for searches."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from sycoca.cli.shared.logs import stderr_console
from sycoca.cli.shared.results import counted, print_path, typed
from sycoca.inference.model_options import ModelOptions
from sycoca.search.index_facts import EXACT_BELOW, RecallFacts

if TYPE_CHECKING:
    from sycoca.search.build import IndexResult

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Arguments:
    """Index the images of a folder or data set, for sycoca search and sycoca serve (extra [search]).

    The same command continues an interrupted one and follows the data: new and changed images are embedded, renamed
    ones are recognized by their content, and images that are gone are removed.
    """

    weights: Positional[str]
    """A weights folder, or hf:owner/name[@revision] on the Hugging Face Hub."""

    data: Positional[str]
    """A folder of photos, or other data as a SPEC: a path, or kind:path?option=value."""

    out: Annotated[Path, arg(metavar="INDEX")]
    """The folder of the index, such as photos.lance. Embeddings, thumbnails, captions and labels are stored in it."""

    overwrite: bool = False
    """Start over, and replace an index of other weights or data; searches find the old one until then."""

    exact_below: int = EXACT_BELOW
    """Number of images below which a search compares every image. Larger indexes are clustered, and the recall of
    their approximate searches is measured and printed."""

    max_skipped_ratio: float = 0.0
    """Largest fraction of unreadable images to skip; each is named. 0 makes the first one an error."""

    json: bool = False
    """Print what was done as JSON."""

    model: ModelOptions = field(default_factory=ModelOptions)
    """Device and precision."""

    def run(self) -> int:
        """Index what is new, and print the folder of the index."""
        from sycoca.search.build import index_images

        result = index_images(
            self.weights,
            self.data,
            self.out,
            exact_below=self.exact_below,
            max_skipped_ratio=self.max_skipped_ratio,
            overwrite=self.overwrite,
            model=self.model,
            console=stderr_console(),
        )
        for line in _lines(result):
            logger.info(line)
        if self.json:
            print(result.to_json())
        else:
            print_path(f"{counted(result.images, 'image')}", result.path)
        return 0


def _lines(result: "IndexResult") -> Iterator[str]:
    if result.embedded:
        rate = result.embedded / max(result.embedding_seconds, 1e-9)
        yield f"{counted(result.embedded, 'image')} embedded, {rate:,.1f} per second"
    if result.copied:
        what = "renamed, copied, touched, or with another caption, label or split"
        yield f"{counted(result.copied, 'image')} {what}: not embedded again"
    if result.removed:
        yield f"{counted(result.removed, 'row')} removed: files that are gone or have another name"
    if result.skipped:
        yield "skipped: " + ", ".join(f"{count:,} {reason}" for reason, count in result.skipped.items())
    if not (result.embedded or result.copied or result.removed):
        yield f"nothing was left to do: {typed(result.path)} is up to date"
    if result.recall is not None:
        yield recall_line(result.recall)


def recall_line(recall: RecallFacts) -> str:
    """Return what an approximate search finds, beside the exact search and chance."""
    approximate, exact = 1000 * recall.approximate_seconds, 1000 * recall.exact_seconds
    return (
        f"approximate search: recall@10 {recall.image_recall:.3f} by images, {recall.text_recall:.3f} by"
        f" {recall.text_kind} ({recall.num_queries} queries each), {recall.chance:.3f} of as many images at random;"
        f" {recall.num_probes:,} of {recall.num_clusters:,} clusters, {approximate:.1f} ms against {exact:.1f} ms"
        " exactly"
    )
