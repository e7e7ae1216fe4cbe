"""Photos that can be read and are still worth a look: blurred, dark, bright, nearly empty, very long."""

import math
import statistics
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import assert_never, get_args

from sycoca.data.formats.named_images import shown_name
from sycoca.data.inspection.finding_cache import Finding
from sycoca.data.inspection.image_facts import ImageFacts
from sycoca.data.samples import SampleSource
from sycoca.facts.photo_facts import NEAR_BITS, NEAR_COLORS, PHOTO_KINDS, PhotoKind

_MOST_NEAR_BITS = 8
"""Hashes that may differ in more bits are compared in so many pairs that large sets take hours."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PhotoThresholds:
    """Thresholds beyond which a photo is listed as worth a look."""

    blurred: float = PHOTO_KINDS["blurred"].threshold
    """Sharpness below which a photo counts as blurred: 3 is noise, 1 to 2 a sharp photo, 0 a smooth one."""

    dark: float = PHOTO_KINDS["dark"].threshold
    """Dark: 95 % of the pixels are below this level, of 0 to 255."""

    bright: float = PHOTO_KINDS["bright"].threshold
    """Bright: 75 % of the pixels are above this level, of 0 to 255."""

    low_information: float = PHOTO_KINDS["low_information"].threshold
    """Nearly empty: fewer bits per pixel, by the entropy of the differences of neighbors."""

    odd_aspect: float = PHOTO_KINDS["odd_aspect"].threshold
    """Very long: the longer side is more than this many times the shorter one."""

    near_bits: int = NEAR_BITS
    """Near duplicates: perceptual hashes that differ in at most this many of 64 bits, 0 to 8."""

    near_colors: float = NEAR_COLORS
    """Near duplicates: colors of 4 x 4 cells that differ by at most this many levels of 255 on average."""

    def __post_init__(self) -> None:
        if not 0 <= self.near_bits <= _MOST_NEAR_BITS:
            raise ValueError(f"near_bits must lie between 0 and {_MOST_NEAR_BITS}, got {self.near_bits}")

        for name in (*get_args(PhotoKind), "near_colors"):
            if math.isnan(getattr(self, name)):
                raise ValueError(f"{name} must be a number, got nan")

    def of(self, kind: PhotoKind) -> float:
        """Return the threshold of a kind."""
        return float(getattr(self, kind))


DEFAULT_THRESHOLDS = PhotoThresholds()


@dataclass(frozen=True, kw_only=True, slots=True)
class PhotoIssue:
    """A photo that is worth a look."""

    kind: PhotoKind
    index: int
    """Its index in the source."""

    key: str
    shown: str
    """The path that opens the image from the working directory, or the key where it is no file."""

    value: float
    """What was measured, see `PHOTO_KINDS`."""


def photo_issues(
    source: SampleSource, places: Sequence[int], findings: Sequence[Finding], thresholds: PhotoThresholds
) -> tuple[PhotoIssue, ...]:
    """Return the photos that are worth a look, by kind, the worst of each first.

    ``findings`` are about the images with the indices ``places``. A photo may be of several kinds.
    """
    found = [issue for kind in PHOTO_KINDS for issue in _of_kind(source, places, findings, kind, thresholds.of(kind))]
    return tuple(sorted(found, key=lambda issue: (list(PHOTO_KINDS).index(issue.kind), _goodness(issue))))


def num_by_kind(issues: Sequence[PhotoIssue]) -> Mapping[PhotoKind, int]:
    """Return the number of photos of each kind that occurs."""
    counts = Counter(issue.kind for issue in issues)
    return {kind: counts[kind] for kind in PHOTO_KINDS if counts[kind]}


def medians(facts: Sequence[ImageFacts]) -> Mapping[PhotoKind, float]:
    """Return the median over photos of what is measured for each kind; without those that cannot be measured."""
    found: dict[PhotoKind, float] = {}
    for kind in PHOTO_KINDS:
        values = [value for fact in facts if (value := measured(kind, fact)) is not None]
        if values:
            found[kind] = statistics.median(values)
    return found


def measured(kind: PhotoKind, facts: ImageFacts) -> float | None:
    """Return what decides whether a photo is of a kind; None where it cannot be measured."""
    measures = facts.measures
    match kind:
        case "blurred":
            return measures.sharpness
        case "dark":
            return float(measures.dark_level)
        case "bright":
            return float(measures.bright_level)
        case "low_information":
            return measures.information
        case "odd_aspect":
            return max(facts.width, facts.height) / min(facts.width, facts.height)
        case unknown:
            assert_never(unknown)


def _of_kind(
    source: SampleSource, places: Sequence[int], findings: Sequence[Finding], kind: PhotoKind, threshold: float
) -> Iterator[PhotoIssue]:
    is_below = PHOTO_KINDS[kind].is_below
    for index, finding in zip(places, findings, strict=True):
        value = measured(kind, finding) if isinstance(finding, ImageFacts) else None
        if value is not None and (value < threshold if is_below else value > threshold):
            sample = source[index]
            yield PhotoIssue(kind=kind, index=index, key=sample.key, shown=shown_name(sample), value=value)


def _goodness(issue: PhotoIssue) -> float:
    return issue.value if PHOTO_KINDS[issue.kind].is_below else -issue.value
