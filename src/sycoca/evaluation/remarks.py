"""Lines about figures that are right by their definition and say less than they seem to."""

from collections.abc import Iterator, Mapping

from sycoca.facts.metric_facts import readable
from sycoca.facts.metric_suffixes import CEILING
from sycoca.metrics.captioning import TokenizedCaptions
from sycoca.metrics.ngrams import LONGEST_NGRAM
from sycoca.metrics.retrieval import RECALL_AT
from sycoca.texts import has_no_word_spaces


def caption_remarks(captions: TokenizedCaptions) -> Iterator[str]:
    """Yield what makes caption metrics 0, or next to it, whatever the captions say."""
    if len(captions.references) == 1:
        yield "cider is 0 by definition where all references are of one image: every word is in all of the images"
    texts = [*captions.candidates, *(text for own in captions.references for text in own)]
    whole = sum(len(text.split()) == 1 and has_no_word_spaces(text) for text in texts)
    if 2 * whole > len(texts):
        yield (
            "most captions are one token: they are in a script without spaces between words, which these metrics do not"
            " cut into words; segment predictions and references first"
        )
        return
    longest = max(1, *(len(text.split()) for text in captions.candidates))
    if longest < LONGEST_NGRAM:
        names = " and ".join(f"bleu_{length}" for length in range(longest + 1, LONGEST_NGRAM + 1))
        yield (
            f"{names} {'says' if longest + 1 == LONGEST_NGRAM else 'say'} nothing where every caption has fewer than"
            f" {longest + 1} words: without an n-gram to match, what coco-caption adds to avoid division by zero gives"
            " 3.2 % at most"
        )


def retrieval_remarks(num_images: int, num_captions: int, ceilings: Mapping[str, float]) -> Iterator[str]:
    """Yield which recalls are complete whatever the ranking, and how high those at 1 are at most, by their ceilings."""
    for direction, candidates, number in (
        ("image_to_text", "captions", num_captions),
        ("text_to_image", "images", num_images),
    ):
        complete = [str(k) for k in RECALL_AT if number <= k]
        if complete:
            yield f"{direction} recall at {' and '.join(complete)} is 100 % by definition among {number} {candidates}"
    at_most = [
        f"{name.removesuffix(CEILING)} is at most {readable(name, ceiling)}"
        for name in (f"{direction}_recall_at_1{CEILING}" for direction in ("image_to_text", "text_to_image"))
        if (ceiling := ceilings.get(name)) is not None
    ]
    if at_most:
        yield f"{' and '.join(at_most)}, since equal captions of several images, and equal images, are ties"


def class_remarks(num_classes: int) -> Iterator[str]:
    """Yield that the true class is always among the first five where there are no more."""
    if num_classes <= 5:
        yield f"accuracy_top_5 is 100 % by definition with {num_classes} classes"
