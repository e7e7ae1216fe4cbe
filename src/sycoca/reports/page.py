"""A run as one self-contained HTML page: figures, curves, examples, what was left out, configuration."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from sycoca.evaluation.report import Report
from sycoca.plain_data import to_plain, write_text
from sycoca.reports.config_table import config_sections
from sycoca.reports.curves import Curve, Lines, draw_charts
from sycoca.reports.html import render
from sycoca.reports.sample_gallery import AnswerExample, CaptionExample, MaskExample, RetrievalExample
from sycoca.unusable import SkippedSample


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

    config: object
    """The run's configuration, a dataclass."""

    curves: Sequence[Curve] = ()
    """Which of them are drawn, where they were logged."""

    kind: str = "pretraining"
    """What stands small above the heading."""

    notice: str | None = None
    """What must not be overlooked: that the run was stopped."""

    figures: Sequence[Figure] = ()
    """The numbers that matter most."""

    facts: Mapping[str, str] = field(default_factory=dict)
    """Sizes, data and times by name."""

    retrieval: Sequence[RetrievalExample] = ()
    """Captions and the images found."""

    captions: Sequence[CaptionExample] = ()
    """Images and captions."""

    masks: Sequence[MaskExample] = ()
    """Attentive masks and reconstructions."""

    answers: Sequence[AnswerExample] = ()
    """Questions about images."""

    classes: Sequence[AnswerExample] = ()
    """Images and their classes."""

    examples_of: str = "held-out images"
    """What the examples were taken from."""

    reports: Sequence[Report] = ()
    """All measured numbers."""

    skipped: Sequence[SkippedSample] = ()
    """Samples that could not be used."""

    next_commands: Sequence[str] = ()
    """What to try with the trained model."""

    environment: Mapping[str, str] = field(default_factory=dict)
    """Machine, versions and seed by name."""


def save_page(page: Page, path: str | Path) -> None:
    """Write the page as one HTML file that needs no other, whole or not at all."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, render_page(page))


def render_page(page: Page) -> str:
    """Return the page as HTML; texts are escaped."""
    return render(
        "page.html",
        page=page,
        charts=draw_charts(page.lines, page.curves),
        sections=config_sections(page.config),
        config_yaml=yaml.safe_dump(to_plain(page.config), sort_keys=False, allow_unicode=True, width=110),
        skipped_counts=Counter(one.reason for one in page.skipped).most_common(),
    )
