"""A data check as one self-contained HTML page: headlines, a contact sheet, problems, photos, duplicates."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from sycoca.data.inspection.check import DataCheck, Duplicates, SetCheck
from sycoca.data.inspection.check_headlines import headlines
from sycoca.data.inspection.photo_checks import PhotoThresholds, num_by_kind
from sycoca.data.samples import SampleSource
from sycoca.data.selection import evenly_spread
from sycoca.evaluation.fit_records import DataFit, fit_headlines
from sycoca.facts.photo_facts import PHOTO_KINDS, PhotoFacts, PhotoKind
from sycoca.plain_data import write_text
from sycoca.reports.data_check.fit_page import (
    MISFIT_SHAPES,
    MISFIT_TITLES,
    map_json,
    map_marks,
    map_parts,
    num_marked,
    shown_fits,
)
from sycoca.reports.data_check.thumbnails import Thumbnail, thumbnail
from sycoca.reports.html import render

NUM_THUMBNAILS = 36
"""Thumbnails per set on the contact sheet, evenly spread over it."""

MOST_GROUPS = 60
"""Groups of duplicates that are shown; the JSON has all."""

MOST_IN_GROUP = 6
"""Images of a group that are shown."""

MOST_PHOTOS = 12
"""Photos of each kind that are shown per set, the worst; the JSON has all."""

MOST_PROBLEMS = 500
"""Problems per set that are listed; the JSON has all."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _ShownSet:
    check: SetCheck
    thumbnails: Sequence[Thumbnail]
    photos: Sequence["_ShownPhotos"]


@dataclass(frozen=True, kw_only=True, slots=True)
class _ShownPhotos:
    """The worst photos of one kind, with what was measured."""

    facts: PhotoFacts
    number: int
    threshold: float
    median: float | None
    """Over the set; None where no photo could be measured."""

    thumbnails: Sequence[tuple[Thumbnail, float]]


@dataclass(frozen=True, kw_only=True, slots=True)
class _ShownGroup:
    group: Duplicates
    thumbnails: Sequence[Thumbnail]


def save_data_page(check: DataCheck, sources: Sequence[SampleSource], path: Path, fit: DataFit | None = None) -> None:
    """Write the page as one self-contained HTML file, atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, render_data_page(check, sources, fit))


def render_data_page(check: DataCheck, sources: Sequence[SampleSource], fit: DataFit | None = None) -> str:
    """Return the page as HTML; texts are escaped."""
    of_fit = [] if fit is None else list(fit_headlines(fit, sources))
    shown_map = None if fit is None else fit.map
    marks = [] if fit is None or shown_map is None else map_marks(fit, shown_map)
    return render(
        "data_check.html",
        check=check,
        headlines=headlines(check) + of_fit,
        fit=fit,
        fits=[] if fit is None else shown_fits(fit, sources),
        map_parts=[] if shown_map is None else map_parts(shown_map),
        # Texts of the map are put in by the script as text, never as HTML.
        map_json="" if shown_map is None else Markup(map_json(shown_map, marks)),
        num_marked=num_marked(marks),
        misfit_titles=MISFIT_TITLES,
        misfit_shapes=MISFIT_SHAPES,
        sets=[_shown_set(one, source, check.thresholds) for one, source in zip(check.sets, sources, strict=True)],
        groups=[_shown_group(group, sources) for group in check.duplicates[:MOST_GROUPS]],
        most_problems=MOST_PROBLEMS,
        most_in_group=MOST_IN_GROUP,
    )


def _shown_set(one: SetCheck, source: SampleSource, thresholds: PhotoThresholds) -> _ShownSet:
    places = evenly_spread(len(source), NUM_THUMBNAILS)
    return _ShownSet(
        check=one,
        thumbnails=[thumbnail(source[place], one.name) for place in places],
        photos=[_shown_photos(one, source, kind, thresholds.of(kind)) for kind in num_by_kind(one.photos)],
    )


def _shown_photos(one: SetCheck, source: SampleSource, kind: PhotoKind, threshold: float) -> _ShownPhotos:
    issues = [issue for issue in one.photos if issue.kind == kind]
    shown = [(thumbnail(source[issue.index], one.name), issue.value) for issue in issues[:MOST_PHOTOS]]
    return _ShownPhotos(
        facts=PHOTO_KINDS[kind],
        number=len(issues),
        threshold=threshold,
        median=one.photo_medians.get(kind),
        thumbnails=shown,
    )


def _shown_group(group: Duplicates, sources: Sequence[SampleSource]) -> _ShownGroup:
    shown = group.places[:MOST_IN_GROUP]
    pictures = [thumbnail(sources[p.set_number][p.index], p.part) for p in shown]
    return _ShownGroup(group=group, thumbnails=pictures)
