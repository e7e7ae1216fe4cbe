"""Conspicuous captions of a data set: repeated, very long, truncated, of one word, missing, perhaps lists."""

import heapq
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from sycoca.data.samples import SampleSource
from sycoca.preprocess.tokenizer import may_be_longer
from sycoca.texts import is_one_word, normal_form

NUM_EXAMPLES = 20
"""Number of the longest and of the most repeated captions that are reported."""

MISSING_VALUES = frozenset({"nan", "NaN", "NAN", "None", "null", "NULL", "N/A", "n/a", "#N/A", "<NA>"})
"""What programs write for a cell without a value; a reader of text takes it for a caption."""

VERY_LONG_WORDS = 100
"""A longer caption, in words, is probably an article or from the wrong column."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CaptionOccurrence:
    """A conspicuous caption."""

    caption: str
    """The text."""

    key: str
    """Its sample, or the first of several."""

    number: int
    """Its number of tokens, or of occurrences."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CaptionFindings:
    """Conspicuous captions of a set, with counts."""

    num_captions: int
    """Captions of all samples."""

    num_different: int
    """Different ones."""

    repeated_in_sample: tuple[CaptionOccurrence, ...]
    """All captions that one image has more than once, with their numbers of occurrences."""

    most_repeated: tuple[CaptionOccurrence, ...]
    """Captions of several images, most frequent first, with the numbers of images."""

    num_bracketed: int
    """Captions that begin with [ and end with ], which may be lists that could not be read."""

    num_missing: int
    """Captions that are one of `MISSING_VALUES`."""

    num_one_word: int
    """Captions of a single word, without missing ones."""

    one_word: tuple[CaptionOccurrence, ...]
    """Captions of a single word, most frequent first, with their numbers of occurrences."""

    num_very_long: int
    """Captions of more than `VERY_LONG_WORDS` words."""

    num_cut: int
    """Captions of more tokens than the context length."""

    longest: tuple[CaptionOccurrence, ...]
    """Truncated captions, longest first, with their numbers of tokens."""


def check_captions(source: SampleSource, num_tokens: Callable[[str], int], context_length: int) -> CaptionFindings:
    """Return the conspicuous captions with counts."""
    first_key: dict[str, str] = {}
    times_said: Counter[str] = Counter()
    num_images: Counter[str] = Counter()
    repeated: list[CaptionOccurrence] = []
    for key, captions in _captions(source):
        captions = tuple(map(normal_form, captions))
        own = Counter(captions)
        times_said.update(captions)
        num_images.update(own.keys())
        repeated += [CaptionOccurrence(caption=c, key=key, number=n) for c, n in own.items() if n > 1]
        for caption in own:
            first_key.setdefault(caption, key)
    long = [caption for caption in times_said if may_be_longer(caption, context_length)]
    cut = {caption: number for caption in long if (number := num_tokens(caption)) > context_length}
    one_word = {
        caption: n for caption, n in times_said.items() if is_one_word(caption) and caption not in MISSING_VALUES
    }

    def examples(numbers: dict[str, int]) -> tuple[CaptionOccurrence, ...]:
        most = heapq.nlargest(NUM_EXAMPLES, numbers.items(), key=lambda item: item[1])
        return tuple(CaptionOccurrence(caption=c, key=first_key[c], number=n) for c, n in most)

    return CaptionFindings(
        num_captions=times_said.total(),
        num_different=len(times_said),
        repeated_in_sample=tuple(repeated),
        most_repeated=examples({caption: n for caption, n in num_images.items() if n > 1}),
        num_bracketed=sum(n for caption, n in times_said.items() if _is_bracketed(caption)),
        num_missing=sum(times_said[caption] for caption in MISSING_VALUES),
        num_one_word=sum(one_word.values()),
        one_word=examples(one_word),
        num_very_long=sum(n for caption, n in times_said.items() if len(caption.split()) > VERY_LONG_WORDS),
        num_cut=sum(times_said[caption] for caption in cut),
        longest=examples(cut),
    )


def _is_bracketed(caption: str) -> bool:
    return caption.lstrip().startswith("[") and caption.rstrip().endswith("]")


def _captions(source: SampleSource) -> Iterator[tuple[str, tuple[str, ...]]]:
    for index in range(len(source)):
        sample = source[index]
        yield sample.key, sample.captions
