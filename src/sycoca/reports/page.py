"""A run as one self-contained HTML page: figures, curves, examples, configuration."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import jinja2
from markupsafe import Markup

from sycoca.evaluation.report import Report, readable
from sycoca.plain_data import write_text
from sycoca.reports.curves import Lines, curves_svg
from sycoca.reports.examples import CaptionExample, MaskExample, RetrievalExample


@dataclass(frozen=True, kw_only=True, slots=True)
class Figure:
    """A number that stands large at the top of the page."""

    label: str
    """What it is."""

    value: str
    """As people read it."""

    note: str
    """What to compare it with."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """What a report page shows; parts that are empty are left out."""

    title: str
    """The heading."""

    summary: str
    """One or two sentences: what was trained, on what, for how long."""

    lines: Lines
    """The run's logged values."""

    config: str
    """The run's configuration as YAML."""

    figures: Sequence[Figure] = ()
    """The numbers that matter most."""

    retrieval: Sequence[RetrievalExample] = ()
    """Captions and the images found."""

    captions: Sequence[CaptionExample] = ()
    """Images and captions."""

    masks: Sequence[MaskExample] = ()
    """Attentive masks and reconstructions."""

    reports: Sequence[Report] = ()
    """All measured numbers."""

    next_commands: Sequence[str] = ()
    """What to try with the trained model."""


def save_page(page: Page, path: str | Path) -> None:
    """Write the page as one HTML file that needs no other, whole or not at all."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, render_page(page))


def render_page(page: Page) -> str:
    """Return the page as HTML; texts are escaped."""
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    environment.filters["readable"] = lambda item: readable(*item)
    environment.filters["words"] = lambda name: str(name).replace("_", " ")
    source = resources.files("sycoca.reports").joinpath("templates/page.html").read_text(encoding="utf-8")
    # The drawing is ours and holds no user's text but numbers.
    return environment.from_string(source).render(page=page, curves=Markup(curves_svg(page.lines)))
