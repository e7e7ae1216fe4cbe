"""Summary of a data check in sentences, the most serious first."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

from sycoca.data.inspection.caption_checks import VERY_LONG_WORDS
from sycoca.data.inspection.check import DataCheck, Duplicates, SetCheck, part_name
from sycoca.data.inspection.duplicates import MatchKind
from sycoca.data.inspection.photo_checks import num_by_kind
from sycoca.facts.photo_facts import PHOTO_KINDS


@dataclass(frozen=True, kw_only=True, slots=True)
class Headline:
    """One sentence."""

    text: str
    kind: Literal["bad", "odd", "good"]
    """bad: makes the check fail. odd: may be a mistake. good: as it should be."""


_SHARED: Mapping[MatchKind, str] = {"exact": "photo", "near": "near duplicate"}
"""How duplicates across sets or splits are called."""

_DUPLICATED: Mapping[MatchKind, str] = {"exact": "identical photos", "near": "near duplicates"}
"""How duplicates within one set or split are called."""


def headlines(check: DataCheck) -> list[Headline]:
    """Return the sentences, bad before odd before good: leaks, problems, duplicates, photos, captions."""
    found = [*_leaks(check), *_problems(check.sets), *_duplicates(check.duplicates)]
    for one in check.sets:
        found += _photos(one)
        found += _captions(one, check.context_length)
    return sorted(found, key=lambda headline: ("bad", "odd", "good").index(headline.kind))


def _leaks(check: DataCheck) -> Iterator[Headline]:
    parts = [part for number, one in enumerate(check.sets) for part in _parts(number, one)]
    for first, second in combinations(parts, 2):
        names = f"{first[1]} and {second[1]}"
        shared = [
            group
            for group in check.leaks
            if {first, second} <= {(place.set_number, place.part) for place in group.places}
        ]
        for match_kind, noun in _SHARED.items():
            number = sum(group.match_kind == match_kind for group in shared)
            if number:
                yield Headline(kind="bad", text=f"{names} share {counted(number, noun)}")
    if len(parts) > 1 and not check.leaks:
        yield Headline(kind="good", text=f"no photo is in two {'sets' if len(check.sets) > 1 else 'splits'}")


def _parts(number: int, one: SetCheck) -> list[tuple[int, str]]:
    splits = one.num_samples_by_split
    return [(number, part_name(one.name, split)) for split in splits] if len(splits) > 1 else [(number, one.name)]


def _problems(sets: Sequence[SetCheck]) -> Iterator[Headline]:
    for one in sets:
        reasons = ", ".join(f"{number:,} {reason}" for reason, number in one.num_problems_by_reason.items())
        if one.num_missing_images:
            first = next(problem.detail for problem in one.problems if problem not in one.listed_problems)
            text = f"{one.name}: none of the {one.num_missing_images:,} images was found; name their folder or zip file"
            yield Headline(kind="bad", text=f"{text}: ?images=FOLDER (the first: {first})")
        if one.problems:
            text = f"{one.name}{_splits(one)} has {counted(len(one.problems), 'unusable item')}: {reasons}"
            yield Headline(kind="bad", text=text)
        else:
            text = f"{one.name}: {counted(one.images.num_readable, 'image')} read{_splits(one)}, nothing broken"
            yield Headline(kind="good", text=text)


def _splits(one: SetCheck) -> str:
    by_split = one.num_samples_by_split
    numbers = ", ".join(f"{number:,} {split}" for split, number in by_split.items())
    return f" ({numbers})" if len(by_split) > 1 else ""


def _duplicates(groups: Sequence[Duplicates]) -> Iterator[Headline]:
    for match_kind, what in _DUPLICATED.items():
        number = sum(group.match_kind == match_kind and not group.is_leak for group in groups)
        if number:
            yield Headline(kind="odd", text=f"{counted(number, 'group')} of {what} within one set or split")


def _photos(one: SetCheck) -> Iterator[Headline]:
    counts = num_by_kind(one.photos)
    if counts:
        number, readable = len({issue.index for issue in one.photos}), one.images.num_readable
        kinds = ", ".join(f"{count:,} {PHOTO_KINDS[kind].title}" for kind, count in counts.items())
        text = f"{one.name}: {counted(number, 'photo')} worth a look ({number / readable:.2%}): {kinds}"
        yield Headline(kind="odd", text=text)


def _captions(one: SetCheck, context_length: int) -> Iterator[Headline]:
    captions = one.captions
    yield from (Headline(kind="odd", text=remark) for remark in one.remarks)
    if captions.num_bracketed:
        text = f"{one.name}: {counted(captions.num_bracketed, 'caption')} in brackets: lists? ?captions=NAME reads them"
        yield Headline(kind="odd", text=text)
    if captions.repeated_in_sample:
        text = f"{one.name}: {counted(len(captions.repeated_in_sample), 'caption')} repeated for the same image"
        yield Headline(kind="odd", text=text)
    if captions.num_missing:
        text = f'{one.name}: {counted(captions.num_missing, "caption")} such as "nan": cells without a value?'
        yield Headline(kind="odd", text=text)
    if captions.num_one_word:
        yield Headline(kind="odd", text=f"{one.name}: {counted(captions.num_one_word, 'caption')} of one word")
    if captions.num_very_long:
        text = f"{one.name}: {counted(captions.num_very_long, 'caption')} of more than {VERY_LONG_WORDS} words"
        yield Headline(kind="odd", text=text)
    if captions.num_cut:
        ratio = captions.num_cut / captions.num_captions
        text = f"{one.name}: {counted(captions.num_cut, 'caption')} ({ratio:.2%}) cut at {context_length} tokens"
        yield Headline(kind="odd", text=text)


def counted(number: int, thing: str) -> str:
    """Return "1 photo", "3 photos"."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"
