"""Records of what a model says about data sets. Imports no torch, as pages and commands that read them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sycoca.data.inspection.check_headlines import Headline, counted
from sycoca.data.samples import SampleSource

NUM_MISFITS = 12
"""Pairs of each kind, one per image, that a page shows and marks on its map; the JSON has more."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PairFit:
    """An image with one of its captions, and the other image that fits the caption best."""

    index: int
    """The image's index in its source."""

    caption: str
    cosine: float
    """Cosine of the image and the caption."""

    rank: int
    """1 where every other image fits the caption less; plus the number of those that fit it at least as well."""

    num_others: int
    """Other images that were compared: copies of its own and those with an equal caption are none."""

    mean_other_cosine: float | None
    """Mean cosine of the caption and these; None without. Some captions, such as "a", fit no image well."""

    other_index: int | None
    """The other image that fits best; None where every other image has the same caption or the same pixels."""

    other_cosine: float | None

    num_fitting_other: int = 0
    """Captions of other images that fit that image best: where there are many, it fits anything. Counted for the
    captions that fit another image as well or better, 0 for other pairs."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SetFit:
    """How captions fit their images in one set."""

    num_images: int
    num_captions: int

    mean_cosine: float
    """Mean over the pairs of the set."""

    mean_other_cosine: float | None
    """Mean over captions and their other images, as each pair has them, the baseline; None where there are none."""

    chance: float
    """The expected fraction of captions that fit another image as well or better where a model knows nothing."""

    num_fitting_another: int
    """Captions that fit another image as well as their own, or better."""

    least: tuple[PairFit, ...]
    """Pairs of the smallest cosine."""

    fitting_another: tuple[PairFit, ...]
    """Captions that fit another image as well or better, by the difference of the cosines."""

    @property
    def shown_least(self) -> list[PairFit]:
        """The pairs of the smallest cosine that a page shows, one per image."""
        return one_per_image(self.least)[:NUM_MISFITS]

    @property
    def shown_fitting_another(self) -> list[PairFit]:
        """The captions that fit another image as well or better that a page shows, one per image."""
        return one_per_image(self.fitting_another)[:NUM_MISFITS]

    @property
    def shown_images(self) -> set[int]:
        """Indices of the images of the pairs that a page shows, and of the images that fit their captions better."""
        shown = (*self.shown_least, *self.shown_fitting_another)
        others = {pair.other_index for pair in self.shown_fitting_another if pair.other_index is not None}
        return {pair.index for pair in shown} | others


@dataclass(frozen=True, kw_only=True, slots=True)
class MapQuality:
    """How far a map can be trusted."""

    num_neighbors: int
    """Neighbors that were compared."""

    kept_neighbors: float
    """Fraction of each image's nearest neighbors, by cosine, that are among its nearest on the map."""

    chance: float
    """The same for points that lie at random."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MapPoint:
    """An image on a map."""

    x: float
    y: float
    """Between 0 and 1, from left and from top."""

    set_number: int
    index: int
    """Of its set, and of the image in it."""

    name: str
    part: str
    """Name of its set, and its split where it has one."""

    caption: str
    """Its first caption, or its label; empty without."""

    picture: str
    """A data URI."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DataMap:
    """A map of the images of all sets."""

    points: tuple[MapPoint, ...]
    quality: MapQuality
    num_images: int
    """Images that could have been on it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DataFit:
    """What a model says about data sets."""

    weights: str
    sets: tuple[SetFit | None, ...]
    """By set; None for a set without captions."""

    map: DataMap | None


def one_per_image(pairs: Sequence[PairFit]) -> list[PairFit]:
    """Return the first pair of each image, in order: one wrong image has several captions that do not fit it."""
    first: dict[int, PairFit] = {}
    for pair in pairs:
        first.setdefault(pair.index, pair)
    return list(first.values())


def fit_headlines(fit: DataFit, sources: Sequence[SampleSource]) -> Iterator[Headline]:
    """Yield a sentence per set, with its baselines."""
    for source, one in zip(sources, fit.sets, strict=True):
        if one is not None:
            ratio, number = one.num_fitting_another / one.num_captions, counted(one.num_captions, "caption")
            others = "" if one.mean_other_cosine is None else f", of others {one.mean_other_cosine:.3f}"
            yield Headline(
                kind="odd" if one.num_fitting_another else "good",
                text=f"{source.name}: {one.num_fitting_another:,} of {number} ({ratio:.1%}, chance {one.chance:.1%})"
                f" fit another image as well or better; mean cosine of pairs {one.mean_cosine:.3f}{others}",
            )
