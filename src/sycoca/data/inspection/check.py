"""Problems of data sets: unreadable images, odd captions, duplicates within and across sets."""

import heapq
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import get_args

from sycoca.data.formats.named_images import shown_name
from sycoca.data.inspection.duplicates import MatchKind, find_duplicates
from sycoca.data.inspection.image_facts import ImageFacts
from sycoca.data.inspection.image_index import Finding
from sycoca.data.inspection.statistics import Spread, spread
from sycoca.data.samples import SampleSource, remarks_on, skipped_samples
from sycoca.preprocess.tokenizer import may_be_longer
from sycoca.texts import is_one_word, normal_form
from sycoca.unusable import SkippedSample, SkipReason

NUM_EXAMPLES = 20
"""Number of the longest and of the most repeated captions that are reported."""

VERY_LONG_WORDS = 100
"""A longer caption, in words, is probably an article or from the wrong column."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CaptionOccurrence:
    """A conspicuous caption."""

    caption: str
    """The text."""

    key: str
    """Its sample, or the first of several."""

    number: int
    """Its number of tokens, or of occurrences."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CaptionFindings:
    """Conspicuous captions of a set, with counts."""

    num_captions: int
    """Captions of all samples."""

    num_different: int
    """Different ones."""

    repeated_in_sample: tuple[CaptionOccurrence, ...]
    """All captions that one image has more than once, with their numbers of occurrences."""

    most_repeated: tuple[CaptionOccurrence, ...]
    """Captions of several images, most frequent first, with the numbers of images."""

    num_bracketed: int
    """Captions that begin with [ and end with ], which may be lists that could not be read."""

    num_one_word: int
    """Captions of a single word."""

    one_word: tuple[CaptionOccurrence, ...]
    """Captions of a single word, most frequent first, with their numbers of occurrences."""

    num_very_long: int
    """Captions of more than `VERY_LONG_WORDS` words."""

    num_cut: int
    """Captions of more tokens than the context length."""

    longest: tuple[CaptionOccurrence, ...]
    """Truncated captions, longest first, with their numbers of tokens."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageFindings:
    """Statistics of the readable images of a set."""

    num_readable: int
    num_gray: int
    widths: Spread | None
    """None where no image could be read."""

    heights: Spread | None
    shorter_sides: Spread | None


_MISSING: frozenset[SkipReason] = frozenset({"missing image"})


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

    @property
    def num_missing_images(self) -> int:
        """How many images are missing where not a single one was found, so that it is the folder that is wrong."""
        missing = sum(problem.reason in _MISSING for problem in self.problems)
        return missing if self.images.num_readable == 0 and missing > 1 else 0

    @property
    def listed_problems(self) -> tuple[SkippedSample, ...]:
        """The problems one by one, without the images that are all missing for one reason."""
        if not self.num_missing_images:
            return self.problems
        return tuple(one for one in self.problems if one.reason not in _MISSING)

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
) -> SetCheck:
    """Return the findings about a set; ``findings`` are those about its images, all or some of them, in order."""
    return SetCheck(
        name=source.name,
        spec=spec,
        num_samples=len(source),
        num_samples_by_split=_count_splits(source),
        problems=(*skipped_samples(source), *(one for one in findings if isinstance(one, SkippedSample))),
        captions=check_captions(source, num_tokens, context_length),
        images=check_images([one for one in findings if isinstance(one, ImageFacts)]),
        remarks=tuple(remarks_on(source)),
    )


def check_captions(source: SampleSource, num_tokens: Callable[[str], int], context_length: int) -> CaptionFindings:
    """Return the conspicuous captions with counts."""
    first_key: dict[str, str] = {}
    times_said: Counter[str] = Counter()
    num_images: Counter[str] = Counter()
    repeated: list[CaptionOccurrence] = []
    for key, captions in _captions(source):
        captions = tuple(map(normal_form, captions))
        own = Counter(captions)
        times_said.update(captions)
        num_images.update(own.keys())
        repeated += [CaptionOccurrence(caption=c, key=key, number=n) for c, n in own.items() if n > 1]
        for caption in own:
            first_key.setdefault(caption, key)
    long = [caption for caption in times_said if may_be_longer(caption, context_length)]
    cut = {caption: number for caption in long if (number := num_tokens(caption)) > context_length}
    one_word = {caption: n for caption, n in times_said.items() if is_one_word(caption)}

    def examples(numbers: dict[str, int]) -> tuple[CaptionOccurrence, ...]:
        most = heapq.nlargest(NUM_EXAMPLES, numbers.items(), key=lambda item: item[1])
        return tuple(CaptionOccurrence(caption=c, key=first_key[c], number=n) for c, n in most)

    return CaptionFindings(
        num_captions=times_said.total(),
        num_different=len(times_said),
        repeated_in_sample=tuple(repeated),
        most_repeated=examples({caption: n for caption, n in num_images.items() if n > 1}),
        num_bracketed=sum(n for caption, n in times_said.items() if _is_bracketed(caption)),
        num_one_word=sum(one_word.values()),
        one_word=examples(one_word),
        num_very_long=sum(n for caption, n in times_said.items() if len(caption.split()) > VERY_LONG_WORDS),
        num_cut=sum(times_said[caption] for caption in cut),
        longest=examples(cut),
    )


def _is_bracketed(caption: str) -> bool:
    return caption.lstrip().startswith("[") and caption.rstrip().endswith("]")


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
    sources: Sequence[SampleSource], places: Sequence[Sequence[int]], findings: Sequence[Sequence[Finding]]
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
        for group in find_duplicates(facts)
    ]
    return tuple(sorted(groups, key=lambda group: (not group.is_leak, get_args(MatchKind).index(group.match_kind))))


def part_name(set_name: str, split: str | None) -> str:
    """Return the name of a split of a set."""
    return f"{set_name} ({split or 'no split'})"


def _count_splits(source: SampleSource) -> dict[str, int]:
    splits = Counter(source[index].split for index in range(len(source)))
    return {} if set(splits) <= {None} else {split or "no split": number for split, number in splits.items()}


def _captions(source: SampleSource) -> Iterator[tuple[str, tuple[str, ...]]]:
    for index in range(len(source)):
        sample = source[index]
        yield sample.key, sample.captions
