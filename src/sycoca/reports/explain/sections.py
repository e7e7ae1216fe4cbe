"""What the picture of an explanation shows: panels in sections, each section on one scale."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool

from sycoca.inference.explaining.explanation import Explanation, GeneratedExplanation, Grid, Reconstruction
from sycoca.reports.pictures import Picture, without_patches

WORD_COLUMNS = 8
"""Words in a row: captions have many."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Scale:
    """The values that the colors of maps stand for."""

    low: float
    """Value of the first color."""

    high: float
    """Value of the last color."""

    colors: str
    """Name of Matplotlib's color map."""

    label: str
    """What the values are."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Panel:
    """An image, or a map over a pale version of it."""

    title: str
    """Title above it."""

    picture: Picture
    """The image."""

    note: str = ""
    """Small text below it."""

    scores: Grid | None = None
    """Values of the patches; None for the image alone."""

    scale: Scale | None = None
    """The scale of the values."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Section:
    """Panels under a heading, with color bars for their scales."""

    title: str
    """The heading."""

    panels: Sequence[Panel]
    """The panels."""

    columns: int = 5
    """Panels in a row; more make each smaller."""

    @property
    def scales(self) -> list[Scale]:
        """The scales of the panels, each once."""
        return list(dict.fromkeys(panel.scale for panel in self.panels if panel.scale is not None))


def sections_of(explanation: Explanation) -> list[Section]:
    """Return the sections of an explanation; parts that the model lacks have none."""
    low, high = explanation.scale
    scale = Scale(low=low, high=high, colors="viridis", label="cosine")
    sections = [
        Section(title="The image, with and without the caption", panels=list(_of_caption(explanation, scale))),
        Section(title="Noun phrases", panels=list(_of_phrases(explanation, scale))),
        Section(title="Words", panels=list(_of_words(explanation, scale)), columns=WORD_COLUMNS),
        Section(title=_title_of_masks(explanation), panels=list(_of_masks(explanation))),
    ]
    if explanation.generated is not None:
        sections.append(_of_generated(explanation.original, explanation.generated))
    return [section for section in sections if section.panels]


def _title_of_masks(explanation: Explanation) -> str:
    own = explanation.reconstruction
    if own is None:
        return "Masks of training"
    taken = "; each masked patch has its true mean and contrast" if own.has_true_statistics else ""
    return f"Masks of training, and reconstruction with its mean squared error{taken}"


def _of_other_words(explanation: Explanation, scale: Scale) -> Iterator[Panel]:
    """Yield the baseline of single words and phrases."""
    if explanation.others is not None:
        note = f"best word, mean of {len(explanation.others.captions)}"
        yield _map(explanation, "other captions", explanation.others.mean_word_scores, scale, note)


def _of_caption(explanation: Explanation, scale: Scale) -> Iterator[Panel]:
    original = explanation.original
    yield Panel(title="image", picture=original, note="as the model sees it")
    yield _map(explanation, "match with the caption", explanation.patch_scores, scale)
    yield _map(explanation, "no caption", explanation.image_scores, scale, "with the image's own embedding")
    if explanation.others is not None:
        mean, number = explanation.others.mean_scores, len(explanation.others.captions)
        half = (scale.high - scale.low) / 2
        difference = Scale(low=-half, high=half, colors="PuOr_r", label="difference")
        yield _map(explanation, "other captions", mean, scale, f"mean over {number} captions")
        yield _map(explanation, "caption minus others", explanation.patch_scores - mean, difference)


def _of_phrases(explanation: Explanation, scale: Scale) -> Iterator[Panel]:
    for phrase in explanation.noun_phrases:
        yield _map(explanation, phrase.text, phrase.scores, scale)
    if explanation.noun_phrases:
        yield from _of_other_words(explanation, scale)


def _of_words(explanation: Explanation, scale: Scale) -> Iterator[Panel]:
    for index, word in enumerate(explanation.words):
        if not _is_said(word):
            continue
        likelihoods = explanation.word_log_likelihoods
        note = "" if likelihoods is None else _log(likelihoods[index])
        yield _map(explanation, word, explanation.word_scores(index), scale, note)
    if explanation.words and not explanation.noun_phrases:
        yield from _of_other_words(explanation, scale)


def _of_masks(explanation: Explanation) -> Iterator[Panel]:
    is_hidden, own = explanation.is_hidden_from_captioner, explanation.reconstruction
    if explanation.tokens is not None:
        yield Panel(
            title="visible to captioning",
            picture=without_patches(explanation.original, is_hidden),
            note=f"{_percent(~is_hidden)} of the patches in training;\nat inference all",
        )
    if own is None:
        return
    masked = f"{_percent(own.is_masked)} of the patches\nin one color each: error {own.flat_error:.4f}"
    yield Panel(title="masked", picture=without_patches(own.original, own.is_masked), note=masked)
    yield _reconstructed("reconstructed", own)
    for other in explanation.other_reconstructions:
        title = "under the edited caption" if other.caption else "under an empty caption"
        yield _reconstructed(title, other.reconstruction, other.caption)


def _reconstructed(title: str, reconstruction: Reconstruction, caption: str = "") -> Panel:
    notes = [*([] if not caption else [quoted(caption)]), f"error {reconstruction.error:.4f}"]
    return Panel(title=title, picture=reconstruction.reconstructed, note="\n".join(notes))


def _of_generated(picture: Picture, own: GeneratedExplanation) -> Section:
    uniform = 1 / max(1, own.attention[0].size) if len(own.attention) else 1.0
    high = max(float(own.attention.max(initial=0.0)), 2 * uniform)
    scale = Scale(low=0.0, high=high, colors="OrRd", label="attention")
    rows = zip(own.words, own.attention, own.word_log_likelihoods, strict=True)
    words = [
        Panel(title=word, picture=picture, scores=attention, scale=scale, note=_log(likelihood))
        for word, attention, likelihood in rows
        if _is_said(word)
    ]
    return Section(
        title=f"The model's own caption, and its attention (uniform: {uniform:.3f}): {quoted(own.caption)}",
        panels=[*words, *([] if len(words) < 2 else [_mean_attention(picture, own, scale)])],
        columns=WORD_COLUMNS,
    )


def _mean_attention(picture: Picture, own: GeneratedExplanation, scale: Scale) -> Panel:
    """Return the baseline of single words: where the decoder looks whatever it predicts."""
    return Panel(title="mean", picture=picture, scores=own.attention.mean(0), scale=scale, note="over all words")


def _map(explanation: Explanation, title: str, scores: Grid, scale: Scale, note: str = "") -> Panel:
    values = f"{two_decimals(float(np.min(scores)))} to {two_decimals(float(np.max(scores)))}"
    return Panel(
        title=title,
        picture=explanation.original,
        scores=scores,
        scale=scale,
        note="\n".join(part for part in (values, note) if part),
    )


def quoted(caption: str) -> str:
    """Return a caption in quotation marks, and a name for the empty one."""
    return f"“{caption}”" if caption.strip() else "(an empty caption)"


def _is_said(word: str) -> bool:
    """Return whether a word is more than punctuation."""
    return any(letter.isalnum() for letter in word)


def _percent(is_chosen: Bool[np.ndarray, "rows columns"]) -> str:
    return f"{100 * is_chosen.mean():.0f} %"


def _log(likelihood: float) -> str:
    return f"log p {two_decimals(likelihood)}"


def two_decimals(value: float) -> str:
    """Return a number with two decimals, without the sign of a rounded zero."""
    return f"{round(value, 2) + 0.0:.2f}"
