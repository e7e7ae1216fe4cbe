"""One caption for every sample where each has several, in rotation, and another sample's to compare with."""

from dataclasses import dataclass
from typing import final

from sycoca.data.content_keys import normalized_caption
from sycoca.data.samples import ImageTextSample, SampleSource, with_remarks

NO_OTHER_CAPTION = "not computed: no other sample has another caption than one of these samples"
"""What stands in the place of a baseline of other captions that a sample lacks."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RotatedCaption:
    """The caption that stands for a sample."""

    index: int
    """Index of the sample in its source."""

    number: int
    """Number of the caption among the sample's."""

    text: str
    """The caption."""

    form: str
    """The caption as captions are compared, see `normalized_caption`."""


@final
class CaptionRotation:
    """The captions that stand for the first samples of a source: of sample number i its caption i modulo their number.

    Which of them is another one than a sample's own depends on texts alone, not on a model, so that models compare.
    """

    def __init__(self, source: SampleSource, num_samples: int) -> None:
        self._source = source
        self._num_samples = num_samples
        self._known: dict[int, RotatedCaption] = {}

    def of(self, sample: ImageTextSample, index: int) -> RotatedCaption:
        """Return the caption that stands for sample number ``index``. Raises ValueError where it has none."""
        if not sample.captions:
            fault = f"{self._source.name}: {sample.key} has no caption, and every image needs one"
            raise ValueError(with_remarks(fault, self._source))
        if index not in self._known:
            number = index % len(sample.captions)
            text = sample.captions[number]
            self._known[index] = RotatedCaption(index=index, number=number, text=text, form=normalized_caption(text))
        return self._known[index]

    def other_than(self, sample: ImageTextSample, index: int) -> RotatedCaption | None:
        """Return the caption of the next sample, the first after the last, whose caption is none of this one's.

        Captions that differ in case, in spaces or in Unicode's form alone are equal. None where there is no such
        sample. Raises ValueError for a sample without captions on the way.
        """
        own = set(map(normalized_caption, sample.captions))
        following = ((index + distance) % self._num_samples for distance in range(1, self._num_samples))
        return next((other for other in map(self._at, following) if other.form not in own), None)

    def _at(self, index: int) -> RotatedCaption:
        return self._known.get(index) or self.of(self._source[index], index)
