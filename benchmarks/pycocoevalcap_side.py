"""pycocoevalcap's side of the comparison: its tokenizer and its metrics, but SPICE, which has to be downloaded."""

import io
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout

from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.meteor.meteor import Meteor
from pycocoevalcap.rouge.rouge import Rouge
from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

Tokenized = tuple[Mapping[int, list[str]], Mapping[int, list[str]]]
"""References, and a list of one caption, of every image."""


def tokenize(candidates: Sequence[str], references: Sequence[Sequence[str]]) -> Tokenized:
    """Tokenize references and captions, each in a Java process, as its evaluation does."""
    tokenizer = PTBTokenizer()
    texts = [references, [[candidate] for candidate in candidates]]
    of_references, of_candidates = (
        tokenizer.tokenize({number: [{"caption": text} for text in own] for number, own in enumerate(of_images)})
        for of_images in texts
    )
    return of_references, of_candidates


def scores(tokenized: Tokenized) -> dict[str, float]:
    """Return BLEU, ROUGE-L and CIDEr."""
    with redirect_stdout(io.StringIO()):
        bleu, _ = Bleu(4).compute_score(*tokenized, verbose=0)
        rouge_l, _ = Rouge().compute_score(*tokenized)
        cider, _ = Cider().compute_score(*tokenized)
    return {**{f"bleu_{n}": score for n, score in enumerate(bleu, 1)}, "rouge_l": float(rouge_l), "cider": float(cider)}


def meteor(tokenized: Tokenized) -> float:
    """Return METEOR, by the Java program."""
    score, _ = Meteor().compute_score(*tokenized)
    return score
