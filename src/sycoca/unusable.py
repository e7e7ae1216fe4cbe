"""What is wrong with a sample that cannot be used: the reason, the name and one line for people."""

from dataclasses import dataclass
from typing import Literal

SkipReason = Literal[
    "malformed row",
    "no image name",
    "no caption",
    "empty caption",
    "caption is no text",
    "no question",
    "no answer",
    "missing image",
    "empty file",
    "not an image",
    "broken image",
    "image too small",
    "image too large",
    "file too large",
    "unreadable file",
]
"""Why a sample is left out; every one that is left out is counted under one of these."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SkippedSample:
    """A sample that is left out."""

    name: str
    """The image's name, or file and line where there is no image to name."""

    reason: SkipReason
    """What is wrong."""

    detail: str
    """One line that names file, field and remedy."""


class UnusableSampleError(ValueError):
    """A sample that cannot be used; its text is the detail of ``skipped``."""

    def __init__(self, skipped: SkippedSample) -> None:
        super().__init__(skipped)
        self.skipped = skipped

    def __str__(self) -> str:
        return self.skipped.detail


def unusable(name: str, reason: SkipReason, detail: str) -> UnusableSampleError:
    """Return the error to raise for a sample."""
    return UnusableSampleError(SkippedSample(name=name, reason=reason, detail=detail))
