"""``sycoca search``: search an image index by text or by image."""

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from sycoca.cli.shared.results import tell
from sycoca.cli.shared.usage import UsageError
from sycoca.inference.model_options import ModelOptions
from sycoca.outputs.output import Output, claimed

if TYPE_CHECKING:
    from rich.console import Console

    from sycoca.search.hits import SearchResults

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Arguments:
    """Search an image index by text or by image: the images of the largest cosine similarity (extra [search])."""

    index: Positional[str]
    """The folder of an index that sycoca index has made, or its address in an object store (s3://bucket/name)."""

    query: Positional[str | None] = None
    """What to search for, such as "two dogs in snow"."""

    image: Path | None = None
    """Search for images like this one instead."""

    count: Annotated[int, arg(aliases=["-k"])] = 12
    """Images to find."""

    where: Annotated[str | None, arg(metavar="CONDITION")] = None
    """Search only among images that fulfill this, in SQL: "label = 'dog' AND width > 640". Columns: key, file,
    captions, label, split, width, height; of a list: "array_has(captions, 'a dog')"."""

    exact: bool = False
    """Compare every image, also where the index has clusters for an approximate search."""

    html: Annotated[Path | None, arg(metavar="FILE.html")] = None
    """Write the images as a contact sheet, one self-contained page."""

    overwrite: bool = False
    """Replace --html if it exists."""

    json: bool = False
    """Print query and hits as JSON."""

    weights: str | None = None
    """The weights that made the index, if they are no longer where they were then."""

    model: ModelOptions = field(default_factory=ModelOptions)
    """Device and precision."""

    def run(self) -> int:
        """Search, and print a table or JSON, or write a contact sheet."""
        if (self.query is None) == (self.image is None):
            raise UsageError('give one query: a text, such as "two dogs in snow", or --image FILE')
        if self.count < 1:
            raise UsageError(f"--count must be at least 1, got {self.count}")
        with claimed(None if self.html is None else _output(self, self.html)):
            _show(self, _found(self))
        return 0


def _output(options: Arguments, html: Path) -> Output:
    from sycoca.data.named_inputs import inputs_of

    return Output(path=html, suffixes=(".html",), inputs=inputs_of(options, "html"), overwrite=options.overwrite)


def _found(options: Arguments) -> "SearchResults":
    from sycoca.search.image_index import open_index

    index = open_index(options.index, weights=options.weights, model=options.model)
    query = options.query if options.image is None else options.image
    assert query is not None
    return index.search(query, options.count, options.where, is_exact=True if options.exact else None)


def _show(options: Arguments, found: "SearchResults") -> None:
    from rich.console import Console

    if options.html is not None:
        from sycoca.reports.contact_sheet import save_contact_sheet

        save_contact_sheet(found, options.html)
        tell("contact sheet", options.html)
    if options.json:
        print(found.to_json())
    elif options.html is None:
        _print_table(found, Console())
    logger.info(_summary(found))


def _print_table(found: "SearchResults", console: "Console") -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from sycoca.terminal import plain, show_table

    has_text = any(hit.text for hit in found)
    table = Table(box=SIMPLE_HEAD)
    table.add_column("cosine", justify="right")
    table.add_column("image", overflow="fold")
    if has_text:
        table.add_column("caption or label", overflow="fold")
    for hit in found:
        table.add_row(f"{hit.cosine:.3f}", plain(hit.file), *([plain(hit.text)] if has_text else []))
    show_table(console, table)


def _summary(found: "SearchResults") -> str:
    of = f"{found.num_matching:,} of {found.num_images:,}" if found.where is not None else f"{found.num_images:,}"
    how = "compared one by one" if found.is_exact else "searched approximately"
    return f"{of} images {how}, {1000 * found.seconds:.0f} ms{found.baseline}"
