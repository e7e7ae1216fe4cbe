"""What ``sycoca data check`` finds in photos: kinds, what is measured of each, and thresholds. Imports no torch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

PhotoKind = Literal["blurred", "dark", "bright", "low_information", "odd_aspect"]
"""What may be wrong with a photo that can be read."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PhotoFacts:
    """A kind of conspicuous photo."""

    title: str
    """Its adjective, as in "3 blurred photos"."""

    measure: str
    """What is measured."""

    threshold: float
    """The default threshold, chosen on Flickr8k (docs/log.md, 2026-11-29)."""

    is_below: bool
    """Whether photos below the threshold are found, or those above it."""

    meaning: str
    """What the photos have in common, a sentence without its subject."""


PHOTO_KINDS: Mapping[PhotoKind, PhotoFacts] = {
    "blurred": PhotoFacts(
        title="blurred",
        measure="sharpness",
        threshold=0.8,
        is_below=True,
        meaning="No fine detail in at least one direction: out of focus, shaken, or enlarged from few pixels",
    ),
    "dark": PhotoFacts(
        title="dark",
        measure="level (0 to 255) that 95 % of the pixels do not exceed",
        threshold=80.0,
        is_below=True,
        meaning="Nearly all pixels are dark",
    ),
    "bright": PhotoFacts(
        title="bright",
        measure="level (0 to 255) that 75 % of the pixels exceed",
        threshold=220.0,
        is_below=False,
        meaning="Most pixels are nearly white: overexposed, or a drawing on white paper",
    ),
    "low_information": PhotoFacts(
        title="nearly empty",
        measure="bits per pixel",
        threshold=1.5,
        is_below=True,
        meaning="Neighboring pixels are mostly equal: a banner, a single color, a placeholder",
    ),
    "odd_aspect": PhotoFacts(
        title="very long",
        measure="longer side by shorter side",
        threshold=3.0,
        is_below=False,
        meaning="A central square, which the model sees, leaves out most of the photo",
    ),
}
"""All kinds, in the order in which they are shown."""

NEAR_BITS = 4
"""Default of the largest number of differing bits, of 64, of the perceptual hashes of near duplicates."""

NEAR_COLORS = 16.0
"""Default of the largest mean difference, of 255, of the colors of 4 x 4 cells of near duplicates."""
