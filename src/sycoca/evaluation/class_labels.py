"""The class of every image of a source. Images without class are an error, or skipped and counted."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, assert_never

import torch
from jaxtyping import Int
from torch import Tensor

from sycoca.data.samples import SampleSource
from sycoca.plain_data import did_you_mean

Unlabeled = Literal["error", "skip"]
"""How to treat an image without label, or with a label that is no class."""


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


def labeled_images(
    source: SampleSource, num_samples: int, class_labels: Sequence[str], unlabeled: Unlabeled = "error"
) -> LabeledImages:
    """Return the classes of a source's first samples.

    Raises ValueError for the first sample without label or whose label is no class, where they are not to be skipped,
    and where none is left.
    """
    place_of = {label: place for place, label in enumerate(class_labels)}
    places, keys, labels = [], [], []
    for index in range(num_samples):
        sample = source[index]
        if sample.label in place_of:
            places.append(index)
            keys.append(sample.key)
            labels.append(place_of[sample.label])
        else:
            _leave_out(unlabeled, _fault(source, sample.key, sample.label, class_labels))
    if not places:
        raise ValueError(f"{source.name}: no image belongs to one of the {len(class_labels)} classes")
    return LabeledImages(places=places, keys=keys, labels=torch.tensor(labels), num_left_out=num_samples - len(places))


def labels_of(source: SampleSource, num_samples: int, unlabeled: Unlabeled = "error") -> list[str]:
    """Return the different labels of a source's first samples in alphabetical order.

    Raises ValueError for a sample without label, unless such are to be skipped, and for fewer than two labels.
    """
    labels: set[str] = set()
    for index in range(num_samples):
        sample = source[index]
        if sample.label is not None:
            labels.add(sample.label)
        else:
            _leave_out(unlabeled, _fault(source, sample.key, None, ()))
    if len(labels) < 2:
        found = ", ".join(sorted(labels)) or "none"
        raise ValueError(f"{source.name} has fewer than two classes ({found}); name the others with --class-names")
    return sorted(labels)


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
        return f"{source.name}: {key} has no label; name the column, as in ?label=class, or {remedy}"
    hint = did_you_mean(label, class_labels) if len(class_labels) <= 20 else ""
    return f"{source.name}: the label {label!r} of {key} is none of the {len(class_labels)} classes{hint}; {remedy}"
