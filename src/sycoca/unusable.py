"""Samples that cannot be used: the reason, the sample's name and a one-line message."""

from dataclasses import dataclass
from typing import Literal

from sycoca.texts import shortened

_LONGEST_PATH = 4096
"""Letters of a name that may be that of a file; a longer one is cut in messages."""

SkipReason = Literal[
    "malformed row",
    "no image name",
    "no caption",
    "empty caption",
    "caption is no text",
    "no question",
    "no answer",
    "missing image",
    "image outside",
    "empty file",
    "not an image",
    "broken image",
    "image too small",
    "image too large",
    "file too large",
    "unreadable file",
    "duplicate key",
    "damaged shard",
]
"""Why a sample is skipped; every skipped sample is counted under one of these."""

LASTING_REASONS: frozenset[SkipReason] = frozenset({"empty file", "not an image", "broken image", "image too small"})
"""Problems that persist while the file does not change; missing rights, memory or limits may not."""

REASONS_OF_ABSENCE: frozenset[SkipReason] = frozenset({"missing image"})
"""Problems of a file that is not there: they persist while there is none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SkippedSample:
    """A sample that is skipped."""

    name: str
    """The image's name, or file and line where no image is named."""

    reason: SkipReason
    """The kind of error."""

    detail: str
    """One line that names file, field and remedy."""

    image_stays: bool = False
    """Whether only a caption is left out, of an image that has others."""


class UnusableSampleError(ValueError):
    """A sample that cannot be used; the error's message is the detail of ``skipped``."""

    def __init__(self, skipped: SkippedSample) -> None:
        super().__init__(skipped)
        self.skipped = skipped

    def __str__(self) -> str:
        return self.skipped.detail


def unusable(name: str, reason: SkipReason, detail: str) -> UnusableSampleError:
    """Return the error to raise for a sample."""
    if len(name) > _LONGEST_PATH:
        detail = detail.replace(name, shortened(name))
    return UnusableSampleError(SkippedSample(name=name, reason=reason, detail=detail))
