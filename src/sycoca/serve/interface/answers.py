"""The answers of the interface, as the documentation page describes them and JSON carries them."""

import math
from collections.abc import Sequence

from pydantic import BaseModel, FiniteFloat

from sycoca.inference.decoding.generation import GeneratedCaption
from sycoca.inference.vqa import RankedAnswer
from sycoca.preprocess.tokenizer import Tokenizer
from sycoca.search.hits import SearchResults


class TokenAnswer(BaseModel):
    """A token of a caption."""

    text: str
    """What it adds to the caption; empty for the end token, which is the last one."""

    log_likelihood: FiniteFloat
    """Natural logarithm of its probability."""


class CaptionAnswer(BaseModel):
    """A generated caption."""

    caption: str
    """The text."""

    log_likelihood: FiniteFloat
    """Natural logarithm of its probability: the sum over its tokens."""

    tokens: list[TokenAnswer]
    """Its tokens."""


class EmbedAnswer(BaseModel):
    """Embeddings in the joint space, L2-normalized: their dot product is their cosine."""

    image_embed: list[FiniteFloat] | None
    """That of the image."""

    text_embed: list[FiniteFloat] | None
    """That of the text."""

    notices: list[str]
    """What to know about them."""


class AskAnswer(BaseModel):
    """The answer to a question."""

    answer: str
    """The text."""

    log_likelihood: FiniteFloat
    """Natural logarithm of its probability."""

    notices: list[str]
    """What to know about it."""


class ClassAnswer(BaseModel):
    """A class."""

    name: str
    """Its name."""

    probability: FiniteFloat
    """How probable it is among the classes."""

    cosine: FiniteFloat | None
    """Cosine of the image's and the class's embedding; null for classes of a fine-tuned head."""


class ClassifyAnswer(BaseModel):
    """Classes, the most probable first."""

    classes: list[ClassAnswer]
    """All of them."""

    notices: list[str]
    """What to know about them."""


class HitAnswer(BaseModel):
    """An image that a search has found."""

    file: str
    """Its name in the index."""

    cosine: FiniteFloat
    """Cosine of the query's and the image's embedding."""

    columns: dict[str, object]
    """What the index knows of it."""

    thumbnail: str
    """A small JPEG of it as a data URL."""


class SearchAnswer(BaseModel):
    """Images of the index, the most similar first."""

    hits: list[HitAnswer]
    """The images."""

    exact: bool
    """Whether all images were compared, or only those of the nearest clusters."""

    median_cosine: float | None
    """Median cosine of the query with images of the index: the baseline for those of the hits."""

    notices: list[str]
    """What to know about them."""


class ErrorAnswer(BaseModel):
    """The answer to a request that is refused or fails."""

    error: str
    """The reason."""

    setting: str | None
    """The setting of the server that refuses it."""


def caption_answer(found: GeneratedCaption, tokenizer: Tokenizer) -> CaptionAnswer:
    """Return a generated caption as text, with its tokens."""
    texts = token_texts(found.tokens, tokenizer)
    texts += [""] * (len(found.token_log_likelihoods) - len(texts))
    return CaptionAnswer(
        caption=tokenizer.decode(found.tokens),
        log_likelihood=found.log_likelihood,
        tokens=[
            TokenAnswer(text=text, log_likelihood=gain)
            for text, gain in zip(texts, found.token_log_likelihoods, strict=True)
        ],
    )


def ask_answer(found: RankedAnswer | GeneratedCaption, tokenizer: Tokenizer, notices: list[str]) -> AskAnswer:
    """Return an answer as text."""
    if isinstance(found, RankedAnswer):
        # A probability may round to 0, whose logarithm JSON has no number for.
        log_likelihood = math.log(max(found.probability, 1e-45))
        return AskAnswer(answer=found.answer, log_likelihood=log_likelihood, notices=notices)
    text = tokenizer.decode(found.tokens)
    return AskAnswer(answer=text, log_likelihood=found.log_likelihood, notices=notices)


def search_answer(found: SearchResults, notices: list[str]) -> SearchAnswer:
    """Return the results of a search, with thumbnails as data URLs."""
    hits = [
        HitAnswer(file=hit.file, cosine=hit.cosine, columns=dict(hit.columns), thumbnail=hit.thumbnail_uri())
        for hit in found.hits
    ]
    return SearchAnswer(hits=hits, exact=found.is_exact, median_cosine=found.median_cosine, notices=notices)


def token_texts(tokens: Sequence[int], tokenizer: Tokenizer) -> list[str]:
    """Return what each token adds to the text; together they are the text.

    A character of several tokens belongs to its last one.
    """
    texts, shown = [], ""
    for count in range(1, len(tokens) + 1):
        whole = tokenizer.decode(tokens[:count])
        # An unfinished character is decoded as a replacement character.
        complete = whole if count == len(tokens) else whole.rstrip("\N{REPLACEMENT CHARACTER}")
        new = complete[len(shown) :] if complete.startswith(shown) else ""
        texts.append(new)
        shown += new
    return texts
