"""Statistics of a data set: captions, words, tokens, labels, image sizes."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sycoca.data.inspection.finding_cache import Finding
from sycoca.data.inspection.image_facts import ImageFacts
from sycoca.data.samples import ImageTextSample, SampleSource
from sycoca.preprocess.tokenizer import Tokenizer
from sycoca.texts import normal_form
from sycoca.unusable import SkippedSample


@dataclass(frozen=True, kw_only=True, slots=True)
class Spread:
    """Minimum, mean, median and maximum."""

    least: int
    mean: float
    median: int
    most: int


@dataclass(frozen=True, kw_only=True, slots=True)
class CaptionStatistics:
    """Statistics of a source's texts."""

    num_samples: int
    num_captions: int
    num_different_captions: int
    captions_per_sample: Spread | None
    words_per_caption: Spread | None
    """None for a source of questions or labels only."""

    tokens_per_caption: Spread | None
    """Special tokens included, before truncation."""

    num_truncated: int
    """Captions that are longer than the context."""

    num_words: int
    """Different words."""

    num_labels: int
    """Different class labels."""

    num_questions: int

    @property
    def truncated_ratio(self) -> float:
        """Fraction of the captions that are truncated; 0 without captions."""
        return self.num_truncated / max(1, self.num_captions)


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageStatistics:
    """Statistics of a source's images."""

    num_opened: int
    widths: Spread | None
    """None where no image could be read."""

    heights: Spread | None

    failures: tuple[str, ...]
    """One message per image that cannot be read."""


def all_captions(source: SampleSource, *, with_generated: bool = False) -> Iterator[str]:
    """Yield every caption of every sample, generated ones only where they are asked for."""
    for index in range(len(source)):
        yield from _captions(source[index], with_generated)


def _captions(sample: ImageTextSample, with_generated: bool) -> tuple[str, ...]:
    return sample.captions + sample.generated_captions if with_generated else sample.captions


def all_texts(source: SampleSource, *, with_generated: bool = False) -> Iterator[str]:
    """Yield every caption and question of every sample, to train a tokenizer on.

    Generated captions are left out unless they are asked for. Questions are taken, too: a model that is to be asked
    later must not read them character by character.
    """
    for index in range(len(source)):
        sample = source[index]
        yield from _captions(sample, with_generated)
        yield from (question.question for question in sample.questions)


def caption_statistics(source: SampleSource, tokenizer: Tokenizer, context_length: int) -> CaptionStatistics:
    """Count captions, words, tokens, labels and questions of the whole source; opens no image."""
    times_said, labels = Counter[str](), set[str]()
    captions_per_sample: list[int] = []
    num_questions = 0
    for index in range(len(source)):  # one at a time, since a large source does not fit into memory
        sample = source[index]
        times_said.update(map(normal_form, sample.captions))
        captions_per_sample.append(len(sample.captions))
        num_questions += len(sample.questions)
        if sample.label is not None:
            labels.add(sample.label)
    num_tokens = {caption: tokenizer.num_tokens(caption) for caption in times_said}
    return CaptionStatistics(
        num_samples=len(source),
        num_captions=times_said.total(),
        num_different_captions=len(times_said),
        captions_per_sample=spread(captions_per_sample),
        words_per_caption=spread([len(caption.split()) for caption in times_said.elements()]),
        tokens_per_caption=spread([num_tokens[caption] for caption in times_said.elements()]),
        num_truncated=sum(number for caption, number in times_said.items() if num_tokens[caption] > context_length),
        num_words=len({word for caption in times_said for word in caption.lower().split()}),
        num_labels=len(labels),
        num_questions=num_questions,
    )


def image_statistics(findings: Sequence[Finding]) -> ImageStatistics:
    """Return the statistics of images; unreadable ones are named."""
    facts = [one for one in findings if isinstance(one, ImageFacts)]
    return ImageStatistics(
        num_opened=len(findings),
        widths=spread([fact.width for fact in facts]),
        heights=spread([fact.height for fact in facts]),
        failures=tuple(one.detail for one in findings if isinstance(one, SkippedSample)),
    )


def spread(numbers: Sequence[int]) -> Spread | None:
    """Return minimum, mean, median (the lower of two) and maximum; None for no numbers."""
    if not numbers:
        return None
    ordered = sorted(numbers)
    return Spread(
        least=ordered[0],
        mean=sum(ordered) / len(ordered),
        median=ordered[(len(ordered) - 1) // 2],
        most=ordered[-1],
    )
