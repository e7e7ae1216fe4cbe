"""Problems of data sets: unreadable images, odd captions, duplicates within and across sets."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import get_args

from sycoca.data.formats.named_images import shown_name
from sycoca.data.inspection.caption_checks import CaptionFindings, check_captions
from sycoca.data.inspection.duplicates import MatchKind, find_duplicates
from sycoca.data.inspection.finding_cache import Finding
from sycoca.data.inspection.image_facts import ImageFacts
from sycoca.data.inspection.photo_checks import DEFAULT_THRESHOLDS, PhotoIssue, PhotoThresholds, medians
from sycoca.data.inspection.statistics import Spread, spread
from sycoca.data.samples import SampleSource, remarks_on, skipped_samples
from sycoca.facts.photo_facts import PhotoKind
from sycoca.unusable import REASONS_OF_ABSENCE, SkippedSample


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageFindings:
    """Statistics of the readable images of a set."""

    num_readable: int
    num_gray: int
    widths: Spread | None
    """None where no image could be read."""

    heights: Spread | None
    shorter_sides: Spread | None


@dataclass(frozen=True, kw_only=True, slots=True)
class SetCheck:
    """Findings about one data set."""

    name: str
    spec: str
    num_samples: int
    """Number of samples, including those with unreadable images."""

    num_samples_by_split: dict[str, int]
    """The same by split, in the order of the file; empty without splits."""

    problems: tuple[SkippedSample, ...]
    """Invalid rows and unreadable images, by name and reason."""

    captions: CaptionFindings
    images: ImageFindings

    remarks: tuple[str, ...] = ()
    """Lines about what is no error and still worth a look."""

    photos: tuple[PhotoIssue, ...] = ()
    """Photos that can be read and are worth a look, by kind, the worst first."""

    photo_medians: Mapping[PhotoKind, float] = field(default_factory=dict)
    """By kind the median over all readable photos of what is measured, beside which a value is low or high."""

    @property
    def num_missing_images(self) -> int:
        """How many images are missing where not a single one was found, so that it is the folder that is wrong."""
        missing = sum(problem.reason in REASONS_OF_ABSENCE for problem in self.problems)
        return missing if self.images.num_readable == 0 and missing > 1 else 0

    @property
    def listed_problems(self) -> tuple[SkippedSample, ...]:
        """The problems one by one, without the images that are all missing for one reason."""
        if not self.num_missing_images:
            return self.problems
        return tuple(one for one in self.problems if one.reason not in REASONS_OF_ABSENCE)

    @property
    def num_problems_by_reason(self) -> dict[str, int]:
        """Number of samples by reason, most frequent first."""
        return dict(Counter(problem.reason for problem in self.problems).most_common())


@dataclass(frozen=True, kw_only=True, slots=True)
class SampleLocation:
    """A sample of one of the sets."""

    set_number: int
    index: int
    key: str
    part: str
    """Name of the set, with the split where it has several."""

    shown: str = ""
    """The path that opens the image from the working directory, or the key where it is no file."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Duplicates:
    """Samples that show the same picture."""

    match_kind: MatchKind
    places: tuple[SampleLocation, ...]

    @property
    def is_leak(self) -> bool:
        """Whether they are in more than one set, or in several splits of one."""
        return len({(place.set_number, place.part) for place in self.places}) > 1


@dataclass(frozen=True, kw_only=True, slots=True)
class DataCheck:
    """Findings about all data sets."""

    sets: tuple[SetCheck, ...]
    duplicates: tuple[Duplicates, ...]
    context_length: int
    thresholds: PhotoThresholds = DEFAULT_THRESHOLDS
    """Thresholds beyond which photos are listed as worth a look."""

    @property
    def leaks(self) -> tuple[Duplicates, ...]:
        """Pictures in more than one set or split."""
        return tuple(group for group in self.duplicates if group.is_leak)

    @property
    def is_clean(self) -> bool:
        """Whether there are no problems and no picture is in two sets or splits."""
        return not self.leaks and not any(one.problems for one in self.sets)


def check_set(
    source: SampleSource,
    spec: str,
    findings: Sequence[Finding],
    num_tokens: Callable[[str], int],
    context_length: int,
    photos: tuple[PhotoIssue, ...] = (),
) -> SetCheck:
    """Return the findings about a set; ``findings`` are those about its images, all or some of them, in order."""
    facts = [one for one in findings if isinstance(one, ImageFacts)]
    return SetCheck(
        name=source.name,
        spec=spec,
        num_samples=len(source),
        num_samples_by_split=_count_splits(source),
        problems=(*skipped_samples(source), *(one for one in findings if isinstance(one, SkippedSample))),
        captions=check_captions(source, num_tokens, context_length),
        images=check_images(facts),
        remarks=tuple(remarks_on(source)),
        photos=photos,
        photo_medians=medians(facts),
    )


def check_images(facts: Sequence[ImageFacts]) -> ImageFindings:
    """Return the statistics of the images."""
    return ImageFindings(
        num_readable=len(facts),
        num_gray=sum(fact.is_gray for fact in facts),
        widths=spread([fact.width for fact in facts]),
        heights=spread([fact.height for fact in facts]),
        shorter_sides=spread([min(fact.width, fact.height) for fact in facts]),
    )


def duplicates_among(
    sources: Sequence[SampleSource],
    places: Sequence[Sequence[int]],
    findings: Sequence[Sequence[Finding]],
    thresholds: PhotoThresholds = DEFAULT_THRESHOLDS,
) -> tuple[Duplicates, ...]:
    """Return the pictures that occur more than once, those in several sets or splits first.

    ``findings`` are about the images with the indices ``places`` of each source.
    """
    have_splits = [len(_count_splits(source)) > 1 for source in sources]
    where = [(number, index) for number, indices in enumerate(places) for index in indices]
    facts = [one if isinstance(one, ImageFacts) else None for ones in findings for one in ones]

    def place(number: int, index: int) -> SampleLocation:
        sample, name = sources[number][index], sources[number].name
        part = part_name(name, sample.split) if have_splits[number] else name
        return SampleLocation(set_number=number, index=index, key=sample.key, part=part, shown=shown_name(sample))

    groups = [
        Duplicates(match_kind=group.match_kind, places=tuple(place(*where[i]) for i in group.places))
        for group in find_duplicates(facts, thresholds.near_bits, thresholds.near_colors)
    ]
    return tuple(sorted(groups, key=lambda group: (not group.is_leak, get_args(MatchKind).index(group.match_kind))))


def part_name(set_name: str, split: str | None) -> str:
    """Return the name of a split of a set."""
    return f"{set_name} ({split or 'no split'})"


def _count_splits(source: SampleSource) -> dict[str, int]:
    splits = Counter(source[index].split for index in range(len(source)))
    return {} if set(splits) <= {None} else {split or "no split": number for split, number in splits.items()}
