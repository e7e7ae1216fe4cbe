"""A run as one self-contained HTML page: key figures, curves, examples, skipped samples, configuration."""

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
    """A key figure at the top of the page."""

    label: str
    """Name of the metric."""

    value: str
    """The value, formatted."""

    note: str
    """A value for comparison, such as chance."""

    evidence: str = ""
    """What it was computed from: the number of items, and a confidence interval where there is one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """The contents of a report page; empty parts are left out."""

    title: str
    """The heading."""

    summary: str
    """One or two sentences: what was trained, on what, for how long."""

    lines: Lines
    """The run's logged values."""

    config: object
    """The run's configuration, a dataclass."""

    curves: Sequence[Curve] = ()
    """The curves to draw, where their values were logged."""

    held_out: str | None = None
    """The data of the curves' held-out values; None where nothing was held out."""

    kind: str = "pretraining"
    """The line above the heading."""

    notice: str | None = None
    """A prominent notice, such as that the run was stopped."""

    figures: Sequence[Figure] = ()
    """The key figures."""

    facts: Mapping[str, str] = field(default_factory=dict)
    """Sizes, data and times by name."""

    retrieval: Sequence[RetrievalExample] = ()
    """Text-to-image retrieval: captions and the top images."""

    captions: Sequence[CaptionExample] = ()
    """Images with generated captions."""

    masks: Sequence[MaskExample] = ()
    """Attentive masks and reconstructions."""

    answers: Sequence[AnswerExample] = ()
    """Images with questions and answers."""

    classes: Sequence[AnswerExample] = ()
    """Images with predicted classes."""

    examples_of: str = "held-out images"
    """The data that the examples were taken from."""

    examples_remark: str = ""
    """Why there are fewer examples than usual, if there are."""

    reports: Sequence[Report] = ()
    """Reports of all evaluations."""

    skipped: Sequence[SkippedSample] = ()
    """Samples that could not be used."""

    next_commands: Sequence[str] = ()
    """Example commands for the trained model."""

    environment: Mapping[str, str] = field(default_factory=dict)
    """Machine, versions and seed by name."""


def save_page(page: Page, path: str | Path) -> None:
    """Write the page as one self-contained HTML file, atomically."""
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
