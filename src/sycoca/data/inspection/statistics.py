"""What a data set looks like: captions, words, tokens, labels, image sizes."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sycoca.data.inspection.image_facts import ImageFacts
from sycoca.data.inspection.image_index import Finding
from sycoca.data.samples import SampleSource
from sycoca.preprocess.tokenizer import Tokenizer
from sycoca.unusable import SkippedSample


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
    captions_per_sample: Spread | None
    words_per_caption: Spread | None
    """None where there are only questions or labels."""

    tokens_per_caption: Spread | None
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
        """Share of the captions that are cut; 0 where there is none."""
        return self.num_truncated / max(1, self.num_captions)


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
    """Yield every caption of every sample."""
    for index in range(len(source)):
        yield from source[index].captions


def all_texts(source: SampleSource) -> Iterator[str]:
    """Yield every caption and question of every sample, as a tokenizer wants them for training.

    Questions, too: a model that is to be asked later must not read them letter by letter.
    """
    for index in range(len(source)):
        sample = source[index]
        yield from sample.captions
        yield from (question.question for question in sample.questions)


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


def evenly_spread(num_samples: int, most: int) -> list[int]:
    """Return up to ``most`` places of samples, spread evenly."""
    number = min(most, num_samples)
    return [place * num_samples // number for place in range(number)]


def image_statistics(findings: Sequence[Finding]) -> ImageStatistics:
    """Sum up what is known about images; what cannot be read is reported by name."""
    facts = [one for one in findings if isinstance(one, ImageFacts)]
    return ImageStatistics(
        num_opened=len(findings),
        widths=spread([fact.width for fact in facts]),
        heights=spread([fact.height for fact in facts]),
        failures=tuple(one.detail for one in findings if isinstance(one, SkippedSample)),
    )


def spread(numbers: Sequence[int]) -> Spread | None:
    """Return least, mean, median (the lower one of two) and most of some numbers; None of none."""
    if not numbers:
        return None
    ordered = sorted(numbers)
    return Spread(
        least=ordered[0],
        mean=sum(ordered) / len(ordered),
        median=ordered[(len(ordered) - 1) // 2],
        most=ordered[-1],
    )
