"""What a data set looks like: captions, words, tokens, labels, image sizes."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sycoca.data.samples import SampleSource
from sycoca.preprocess.tokenizer import Tokenizer


@dataclass(frozen=True, kw_only=True, slots=True)
class Spread:
    """How a number is spread."""

    least: int
    mean: float
    median: int
    most: int


@dataclass(frozen=True, kw_only=True, slots=True)
class CaptionStatistics:
    """What a source's texts look like."""

    num_samples: int
    num_captions: int
    num_different_captions: int
    captions_per_sample: Spread
    words_per_caption: Spread
    tokens_per_caption: Spread
    """Special tokens included, before anything is cut."""

    num_truncated: int
    """Captions of more tokens than fit."""

    num_words: int
    """Different words."""

    num_labels: int
    """Different class labels."""

    num_questions: int

    @property
    def truncated_ratio(self) -> float:
        """Share of the captions that are cut."""
        return self.num_truncated / self.num_captions


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageStatistics:
    """What a source's images look like."""

    num_opened: int
    widths: Spread | None
    """None where no image could be read."""

    heights: Spread | None

    failures: tuple[str, ...]
    """One message per image that cannot be read."""


def all_captions(source: SampleSource) -> Iterator[str]:
    """Yield every caption of every sample, as a tokenizer wants them for training."""
    for index in range(len(source)):
        yield from source[index].captions


def caption_statistics(source: SampleSource, tokenizer: Tokenizer, context_length: int) -> CaptionStatistics:
    """Count captions, words, tokens, labels and questions of the whole source; opens no image."""
    samples = [source[index] for index in range(len(source))]
    times_said = Counter(caption for sample in samples for caption in sample.captions)
    num_tokens = {caption: tokenizer.num_tokens(caption) for caption in times_said}
    captions = list(times_said.elements())
    return CaptionStatistics(
        num_samples=len(samples),
        num_captions=len(captions),
        num_different_captions=len(times_said),
        captions_per_sample=spread([len(sample.captions) for sample in samples]),
        words_per_caption=spread([len(caption.split()) for caption in captions]),
        tokens_per_caption=spread([num_tokens[caption] for caption in captions]),
        num_truncated=sum(num_tokens[caption] > context_length for caption in captions),
        num_words=len({word for caption in times_said for word in caption.lower().split()}),
        num_labels=len({sample.label for sample in samples if sample.label is not None}),
        num_questions=sum(len(sample.questions) for sample in samples),
    )


def image_statistics(source: SampleSource, num_images: int) -> ImageStatistics:
    """Open images spread evenly over the source; what cannot be read is reported by name."""
    if num_images < 0:
        raise ValueError(f"the number of images to open must be at least 0, got {num_images}")
    num_opened = min(num_images, len(source))
    widths, heights, failures = [], [], []
    for place in range(num_opened):
        try:
            image = source[place * len(source) // num_opened].open_image()
        except ValueError as error:
            failures.append(str(error))
        else:
            widths.append(image.width)
            heights.append(image.height)
    return ImageStatistics(
        num_opened=num_opened,
        widths=spread(widths) if widths else None,
        heights=spread(heights) if heights else None,
        failures=tuple(failures),
    )


def spread(numbers: Sequence[int]) -> Spread:
    """Return least, mean, median (the lower one of two) and most of some numbers."""
    ordered = sorted(numbers)
    return Spread(
        least=ordered[0],
        mean=sum(ordered) / len(ordered),
        median=ordered[(len(ordered) - 1) // 2],
        most=ordered[-1],
    )
