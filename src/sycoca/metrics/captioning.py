"""Caption metrics: BLEU, ROUGE-L and CIDEr-D as coco-caption computes them, in pure Python."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from sycoca.metrics.bleu import BleuCounts, bleu_columns, bleu_counts, corpus_bleu
from sycoca.metrics.cider import cider
from sycoca.metrics.ngrams import count_ngrams
from sycoca.metrics.ptb_tokenizer import tokenize_captions
from sycoca.metrics.rouge import rouge_l
from sycoca.texts import normal_form, refuse_text


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenizedCaptions:
    """One caption and several references per image, in lower case, punctuation removed, tokens joined by spaces."""

    candidates: list[str]
    references: list[list[str]]


@dataclass(frozen=True, kw_only=True, slots=True)
class CaptionScores:
    """The scores of each image's caption."""

    bleu: list[BleuCounts]
    rouge_l: list[float]
    cider: list[float]

    def metrics(self) -> dict[str, float]:
        """Return the metrics of the set by name."""
        sums = {name: np.array([sum(column)], dtype=np.float64) for name, column in bleu_columns(self.bleu).items()}
        return {
            **{name: float(score[0]) for name, score in corpus_bleu(sums).items()},
            "rouge_l": sum(self.rouge_l) / len(self.rouge_l),
            "cider": sum(self.cider) / len(self.cider),
        }

    def per_image(self) -> dict[str, Sequence[float | int]]:
        """Return one value per image: ROUGE-L and CIDEr-D, whose means are the metrics, and the counts of BLEU."""
        return {"rouge_l": self.rouge_l, "cider": self.cider, **bleu_columns(self.bleu)}


def tokenize(candidates: Sequence[str], references: Sequence[Sequence[str]]) -> TokenizedCaptions:
    """Tokenize one caption and several references per image.

    They are brought into Unicode's composed form first, which coco-caption leaves out: an accent that is stored as a
    character of its own would make another word. Raises ValueError where there is no image, and for an
    image without references.
    """
    refuse_text(candidates, "candidates")
    for number, own in enumerate(references):
        refuse_text(own, f"references[{number}]")
    if not candidates:
        raise ValueError("there are no captions to score")
    without = [number for number, own in enumerate(references) if not own]
    if without or len(candidates) != len(references):
        raise ValueError(
            f"{len(candidates)} captions, {len(references)} lists of references, {len(without)} of them empty: "
            "every caption needs references"
        )
    flat = tokenize_captions([normal_form(reference) for own in references for reference in own])
    ends = list(accumulate(len(own) for own in references))
    return TokenizedCaptions(
        candidates=tokenize_captions(list(map(normal_form, candidates))),
        references=[flat[start:end] for start, end in zip([0, *ends], ends, strict=False)],
    )


def score_captions(captions: TokenizedCaptions) -> CaptionScores:
    """Compare every image's caption with its references."""
    candidates = [count_ngrams(candidate.split()) for candidate in captions.candidates]
    references = [[count_ngrams(reference.split()) for reference in own] for own in captions.references]
    return CaptionScores(
        bleu=[bleu_counts(candidate, own) for candidate, own in zip(candidates, references, strict=True)],
        rouge_l=[
            # coco-caption splits at single spaces here: an empty caption has one word, a phone number is one word.
            rouge_l(candidate.split(" "), [reference.split(" ") for reference in own])
            for candidate, own in zip(captions.candidates, captions.references, strict=True)
        ],
        cider=cider(candidates, references),
    )
