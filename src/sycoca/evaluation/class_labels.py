"""The class of every image of a source. Images without class are an error, or skipped and counted."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import assert_never, final

import torch
from jaxtyping import Int
from torch import Tensor

from sycoca.data.samples import SampleSource, with_remarks
from sycoca.evaluation.class_options import Unlabeled
from sycoca.plain_data import did_you_mean
from sycoca.texts import normal_form

_DIGITS = 12
"""Digits of a list's SHA-256 that a report shows."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LabeledImages:
    """The images that are classified, and their classes."""

    places: list[int]
    """Indices of their samples in the source."""

    keys: list[str]
    """Their names."""

    labels: Int[Tensor, " images"]
    """Their classes, as indices into the list of classes."""

    num_left_out: int
    """Number of samples that were skipped."""


@final
class ClassPlaces:
    """The places of classes in their list by the labels that data gives them, in any Unicode form.

    Where the labels are the places themselves, 0, 1 and so on, "001" is 1.
    """

    def __init__(self, class_labels: Sequence[str]) -> None:
        self._place_of = {normal_form(label): place for place, label in enumerate(class_labels)}
        self.are_numbers = list(self._place_of) == list(map(str, range(len(class_labels))))

    def get(self, label: str | None) -> int | None:
        """Return the place of the class with that label; None where there is none."""
        if label is None:
            return None
        form = normal_form(label)
        number = str(int(form)) if self.are_numbers and form.isdecimal() else form
        return self._place_of.get(form, self._place_of.get(number))


def labeled_images(
    source: SampleSource, num_samples: int, class_labels: Sequence[str], unlabeled: Unlabeled = "error"
) -> LabeledImages:
    """Return the classes of a source's first samples.

    Raises ValueError for the first sample without label or whose label is no class, where they are not to be skipped,
    and where none is left.
    """
    places, keys, labels = [], [], []
    place_of = ClassPlaces(class_labels)
    for index in range(num_samples):
        sample = source[index]
        place = place_of.get(sample.label)
        if place is not None:
            places.append(index)
            keys.append(sample.key)
            labels.append(place)
        else:
            _leave_out(unlabeled, _fault(source, sample.key, sample.label, class_labels))
    if not places:
        raise ValueError(f"{source.name}: no image belongs to one of the {len(class_labels)} classes")
    return LabeledImages(places=places, keys=keys, labels=torch.tensor(labels), num_left_out=num_samples - len(places))


def labels_of(source: SampleSource, num_samples: int, unlabeled: Unlabeled = "error") -> list[str]:
    """Return the different labels of a source in alphabetical order, those of all its samples.

    A choice is as hard as its list is long, so the list must not depend on how many of the samples are classified.
    Raises ValueError for one of the first ``num_samples`` without label, unless such are to be skipped, and for fewer
    than two labels.
    """
    labels: set[str] = set()
    for index in range(len(source)):
        sample = source[index]
        if sample.label is not None:
            labels.add(normal_form(sample.label))
        elif index < num_samples:
            _leave_out(unlabeled, _fault(source, sample.key, None, ()))
    if len(labels) < 2:
        found = ", ".join(sorted(labels)) or "none"
        raise ValueError(
            f"{source.name} has fewer than two classes ({found}); give data with images of others, too (evaluate"
            " zero-shot also takes their names, with --class-names)"
        )
    return sorted(labels)


def class_list_setting(names: Sequence[str]) -> str:
    """Return what tells lists of classes apart in the settings of reports: their length and a part of their SHA-256."""
    digest = hashlib.sha256("\n".join(map(normal_form, names)).encode()).hexdigest()
    return f"{len(names)} classes, SHA-256 {digest[:_DIGITS]}"


def _leave_out(unlabeled: Unlabeled, fault: str) -> None:
    """Raise ValueError unless such images are skipped."""
    match unlabeled:
        case "error":
            raise ValueError(fault)
        case "skip":
            return
        case unknown:
            assert_never(unknown)


def _fault(source: SampleSource, key: str, label: str | None, class_labels: Sequence[str]) -> str:
    remedy = "leave such images out (evaluate zero-shot and classification do, and count them, with --unlabeled skip)"
    if label is None:
        fault = f"{source.name}: {key} has no label; name the column, as in ?label=class, or {remedy}"
        return with_remarks(fault, source)
    if ClassPlaces(class_labels).are_numbers:
        hint = f": they are counted from 0 to {len(class_labels) - 1}"
    elif label.isdecimal() and int(label) < len(class_labels):
        hint = " (where labels are indices into the list of --class-names: --labels-are indices)"
    else:
        hint = did_you_mean(label, class_labels) if len(class_labels) <= 20 else ""
    return f"{source.name}: the label {label!r} of {key} is none of the {len(class_labels)} classes{hint}; {remedy}"
