"""Explanations of one image and a caption, as plain arrays, and as JSON."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float, UInt8

from sycoca.inference.explaining.text_spans import TextSpan

Grid = Float[np.ndarray, "rows columns"]
"""One value per patch of the image."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reconstruction:
    """An image of which some patches were masked and predicted from the others and the caption."""

    original: UInt8[np.ndarray, "height width 3"]
    """The image as the model sees it, as RGB."""

    masked: UInt8[np.ndarray, "height width 3"]
    """The image with its masked patches in the mean color."""

    reconstructed: UInt8[np.ndarray, "height width 3"]
    """Visible patches as they are, masked ones as predicted."""

    is_masked: Bool[np.ndarray, "rows columns"]
    """True for patches that were predicted."""

    has_true_statistics: bool
    """Whether every predicted patch has the mean and standard deviation of the true one (normalized patches)."""

    def __repr__(self) -> str:
        height, width = self.original.shape[:2]
        masked = f"{int(self.is_masked.sum())} of {self.is_masked.size} patches"
        return f"<Reconstruction of {masked}, {width} x {height} px>"

    @property
    def error(self) -> float:
        """Mean squared error of the masked patches, colors from 0 to 1."""
        return self._mean_squared(self._patches(self.reconstructed) - self._patches(self.original))

    @property
    def flat_error(self) -> float:
        """The error of masked patches of one color each, as a baseline.

        It is each patch's true mean where predicted patches get that, too (`has_true_statistics`), and otherwise the
        mean color of the visible patches.
        """
        patches = self._patches(self.original)
        if self.has_true_statistics:
            return self._mean_squared(patches - patches.mean((2, 3), keepdims=True))
        return self._mean_squared(patches - patches[~self.is_masked].mean((0, 1, 2)))

    def _patches(self, picture: UInt8[np.ndarray, "height width 3"]) -> Float[np.ndarray, "rows columns y x 3"]:
        rows, columns = self.is_masked.shape
        height, width = picture.shape[:2]
        patches = picture.reshape(rows, height // rows, columns, width // columns, 3).swapaxes(1, 2)
        return patches / 255

    def _mean_squared(self, difference: Float[np.ndarray, "rows columns y x 3"]) -> float:
        return float((difference[self.is_masked] ** 2).mean())


@dataclass(frozen=True, kw_only=True, slots=True)
class CaptionedReconstruction:
    """The reconstruction of the same masked patches under another caption."""

    caption: str
    """The caption; empty for none."""

    reconstruction: Reconstruction
    """The image, reconstructed with it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NounPhrase:
    """A noun phrase of the caption and how well each patch matches it."""

    text: str
    """The phrase, as decoded from its tokens."""

    span: TextSpan
    """Where it stands in the caption."""

    scores: Grid
    """Every patch's largest cosine over the words of the phrase, determiners left out."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenLikelihood:
    """A token of a caption and how likely the text decoder finds it after those before it, given the image."""

    text: str
    """The token as text; "<eos>" is the end of the caption."""

    log_likelihood: float
    """Natural logarithm of its probability."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GeneratedExplanation:
    """The caption that the model itself generates, and where its text decoder looks at every word."""

    caption: str
    """The caption, by greedy decoding."""

    words: tuple[str, ...]
    """Its words."""

    spans: tuple[TextSpan, ...]
    """Where the words stand in it."""

    attention: Float[np.ndarray, "words rows columns"]
    """Cross-attention to every patch where each word is predicted: the mean over its tokens, heads and layers."""

    tokens: tuple[TokenLikelihood, ...]
    """Its tokens, the end included, with their log-likelihoods."""

    word_log_likelihoods: tuple[float, ...]
    """Log-likelihood of each word: the sum over its tokens."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OtherCaptions:
    """What other captions say about the same image, as a baseline for the caption."""

    captions: tuple[str, ...]
    """The other captions."""

    cosines: Float[np.ndarray, " others"]
    """The image's cosine with each of them."""

    patch_scores: Float[np.ndarray, "others rows columns"]
    """How well each patch matches each of them, by the score that chooses masks."""

    word_scores: Float[np.ndarray, "others rows columns"]
    """Each patch's largest cosine over the words of each of them."""

    @property
    def mean_scores(self) -> Grid:
        """The mean of their patch scores: what a caption scores that says nothing about this image in particular."""
        return self.patch_scores.mean(0)

    @property
    def mean_word_scores(self) -> Grid:
        """The mean of their word scores, the baseline for the words and noun phrases of the caption."""
        return self.word_scores.mean(0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Explanation:
    """How the patches of an image match a caption, beside what they score without it, and what training would mask.

    Every cosine is of the joint space, so all maps share one scale (`scale`).
    """

    caption: str
    """The caption."""

    words: tuple[str, ...]
    """Its words, as far as they fit into the model's context."""

    spans: tuple[TextSpan, ...]
    """Where the words stand in the caption."""

    original: UInt8[np.ndarray, "height width 3"]
    """The image as the model sees it, as RGB."""

    patch_scores: Grid
    """How well each patch matches the caption: the cosine by which masks are chosen in training."""

    image_scores: Grid
    """Every patch's cosine with the image's own embedding: what it scores without any caption."""

    relevance: Float[np.ndarray, "words patches"]
    """How well each patch, row by row, matches each word: its largest cosine over the word's tokens."""

    noun_phrases: tuple[NounPhrase, ...]
    """The caption's noun phrases with their scores; none in languages other than English."""

    cosine: float
    """Cosine of the image's and the caption's embeddings."""

    others: OtherCaptions | None
    """The same for other captions, of which none is this one; None where there are none."""

    tokens: tuple[TokenLikelihood, ...] | None
    """The caption's tokens, the end included, with their log-likelihoods; None for a model without text decoder."""

    word_log_likelihoods: tuple[float, ...] | None
    """Log-likelihood of each word: the sum over its tokens."""

    generated: GeneratedExplanation | None
    """The model's own caption; None for a model without text decoder."""

    is_hidden_from_captioner: Bool[np.ndarray, "rows columns"]
    """True for patches that are hidden from captioning in training."""

    is_masked: Bool[np.ndarray, "rows columns"]
    """True for patches that are masked and reconstructed in training."""

    reconstruction: Reconstruction | None
    """The image decoder's reconstruction of the masked patches; None for a model without image decoder."""

    other_reconstructions: tuple[CaptionedReconstruction, ...] = ()
    """Reconstructions of the same patches under an empty caption, and under an edited one where it was given."""

    is_truncated: bool = False
    """Whether the caption is longer than the model's context, so that its end was not read."""

    absent: Mapping[str, str] = field(default_factory=dict)
    """By part ("reconstruction", "log_likelihood", "generated", "noun_phrases") the reason why it is not there."""

    def __repr__(self) -> str:
        rows, columns = self.patch_scores.shape
        hidden, masked = int(self.is_hidden_from_captioner.sum()), int(self.is_masked.sum())
        rebuilt = "without reconstruction" if self.reconstruction is None else "reconstructed"
        patches = f"{rows} x {columns} patches, {hidden} hidden from captioning, {masked} masked, {rebuilt}"
        return f"<Explanation of {self.caption!r}: {len(self.words)} words, {patches}>"

    def _repr_html_(self) -> str:
        """Return maps and reconstructions as HTML for the cell of a notebook."""
        from sycoca.inference.explaining.explanation_cell import explanation_cell

        return explanation_cell(self)

    @property
    def scale(self) -> tuple[float, float]:
        """The smallest and the largest cosine of all maps, those of the other captions and of their words included.

        So a caption that matches nothing does not get the colors of one that does.
        """
        maps = [self.patch_scores, self.image_scores, self.relevance]
        if self.others is not None:
            maps += [self.others.patch_scores, self.others.word_scores]
        values = np.concatenate([scores.ravel() for scores in maps])
        return float(values.min()), float(values.max())

    @property
    def rank(self) -> int | None:
        """The caption's rank among the other captions by cosine, from 1, after those that fit as well; None without."""
        return None if self.others is None else 1 + int((self.others.cosines >= self.cosine).sum())

    @property
    def log_likelihood(self) -> float | None:
        """Log-likelihood of the caption, its end included; None for a model without text decoder."""
        return None if self.tokens is None else sum(token.log_likelihood for token in self.tokens)

    @property
    def log_likelihood_per_token(self) -> float | None:
        """Mean log-likelihood of the caption's tokens, the end included; None for a model without text decoder."""
        total = self.log_likelihood
        return None if total is None or self.tokens is None else total / len(self.tokens)

    def word_scores(self, word: int) -> Grid:
        """Return how well each patch matches word number ``word``."""
        return self.relevance[word].reshape(self.patch_scores.shape)

    def to_plain(self, *, with_pictures: bool = False) -> dict[str, object]:
        """Return the explanation as plain data for JSON; see `explanation_json` for the keys."""
        from sycoca.inference.explaining.explanation_json import plain_explanation

        return plain_explanation(self, with_pictures=with_pictures)

    def to_json(self, *, with_pictures: bool = False) -> str:
        """Return the explanation as JSON; ``with_pictures`` adds the images as data URLs of PNG files."""
        return json.dumps(self.to_plain(with_pictures=with_pictures), allow_nan=False, ensure_ascii=False)
