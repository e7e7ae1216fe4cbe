"""An explanation as JSON, for pages and other programs.

Keys: ``caption``, ``is_truncated``, ``cosine``, ``rank`` {"rank", "count"}, ``log_likelihood``, ``tokens`` [{"text",
"log_likelihood"}], ``grid`` [rows, columns], ``scale`` [low, high] of all maps in cosines, ``patch_scores``,
``image_scores`` (the same patches without any caption), ``words`` [{"text", "start", "end", "scores",
"log_likelihood"}], ``noun_phrases`` [{"text", "start", "end", "scores"}], ``other_captions`` [{"caption", "cosine"}],
``other_scores`` (their mean), ``other_word_scores`` (the mean of their words' largest), ``generated`` {"caption",
"words": [{"text", "start", "end", "attention", "log_likelihood"}]} (the model's own caption),
``is_hidden_from_captioner``, ``is_masked``, ``image_png``, ``masked_png``, ``reconstruction_png``,
``reconstruction_error``, ``flat_error`` (that of patches in one color each), ``has_true_statistics``,
``other_reconstructions`` [{"caption", "png", "error"}], ``absent`` {part: reason}. Maps are lists of rows; ``start``
and ``end`` are character positions in the caption; log-likelihoods are natural logarithms. What the model lacks is
null.
"""

import base64
import io
from collections.abc import Sequence

import numpy as np
from jaxtyping import Shaped, UInt8
from PIL import Image

from sycoca.inference.explaining.explanation import Explanation
from sycoca.inference.explaining.text_spans import TextSpan

_DIGITS = 5
"""Decimals of a map's values: more would only make the file longer."""

Plain = dict[str, object]


def plain_explanation(explanation: Explanation, *, with_pictures: bool) -> Plain:
    """Return an explanation as plain data; ``with_pictures`` adds the images as data URLs of PNG files."""
    return {
        **_of_pair(explanation),
        "grid": list(explanation.patch_scores.shape),
        "scale": [round(value, _DIGITS) for value in explanation.scale],
        "patch_scores": _rows(explanation.patch_scores),
        "image_scores": _rows(explanation.image_scores),
        "words": _words(explanation),
        "noun_phrases": [
            {"text": phrase.text, **_span(phrase.span), "scores": _rows(phrase.scores)}
            for phrase in explanation.noun_phrases
        ],
        **_of_others(explanation),
        "generated": _generated(explanation),
        "is_hidden_from_captioner": explanation.is_hidden_from_captioner.tolist(),
        "is_masked": explanation.is_masked.tolist(),
        **_of_reconstructions(explanation, with_pictures=with_pictures),
        "absent": dict(explanation.absent),
    }


def _of_pair(explanation: Explanation) -> Plain:
    tokens = explanation.tokens
    return {
        "caption": explanation.caption,
        "is_truncated": explanation.is_truncated,
        "cosine": explanation.cosine,
        "log_likelihood": explanation.log_likelihood,
        "tokens": None
        if tokens is None
        else [{"text": token.text, "log_likelihood": token.log_likelihood} for token in tokens],
    }


def _of_others(explanation: Explanation) -> Plain:
    others = explanation.others
    if others is None:
        return {"rank": None, "other_captions": [], "other_scores": None, "other_word_scores": None}
    cosines = others.cosines.tolist()
    return {
        "rank": {"rank": explanation.rank, "count": len(cosines) + 1},
        "other_captions": [
            {"caption": caption, "cosine": cosine} for caption, cosine in zip(others.captions, cosines, strict=True)
        ],
        "other_scores": _rows(others.mean_scores),
        "other_word_scores": _rows(others.mean_word_scores),
    }


def _words(explanation: Explanation) -> list[Plain]:
    likelihoods: Sequence[float | None] = explanation.word_log_likelihoods or [None] * len(explanation.words)
    return [
        {"text": text, **_span(span), "scores": _rows(explanation.word_scores(index)), "log_likelihood": likelihood}
        for index, (text, span, likelihood) in enumerate(
            zip(explanation.words, explanation.spans, likelihoods, strict=True)
        )
    ]


def _generated(explanation: Explanation) -> Plain | None:
    own = explanation.generated
    if own is None:
        return None
    rows = zip(own.words, own.spans, own.attention, own.word_log_likelihoods, strict=True)
    return {
        "caption": own.caption,
        "words": [
            {"text": text, **_span(span), "attention": _rows(attention), "log_likelihood": likelihood}
            for text, span, attention, likelihood in rows
        ],
    }


def _of_reconstructions(explanation: Explanation, *, with_pictures: bool) -> Plain:
    own, others = explanation.reconstruction, explanation.other_reconstructions
    plain: Plain = {
        "reconstruction_error": None if own is None else own.error,
        "flat_error": None if own is None else own.flat_error,
        "has_true_statistics": None if own is None else own.has_true_statistics,
        "other_reconstructions": [
            {"caption": other.caption, "error": other.reconstruction.error}
            | ({"png": png_url(other.reconstruction.reconstructed)} if with_pictures else {})
            for other in others
        ],
    }
    if with_pictures:
        plain["image_png"] = png_url(explanation.original)
        plain["masked_png"] = None if own is None else png_url(own.masked)
        plain["reconstruction_png"] = None if own is None else png_url(own.reconstructed)
    return plain


def png_url(picture: UInt8[np.ndarray, "height width channels"]) -> str:
    """Return an image, RGB or RGBA, as a data URL of a PNG file, with its own pixels."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _span(span: TextSpan) -> Plain:
    return {"start": span.start, "end": span.end}


def _rows(scores: Shaped[np.ndarray, "rows columns"]) -> list[list[float]]:
    return [[round(float(value), _DIGITS) for value in row] for row in scores]
