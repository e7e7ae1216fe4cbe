"""Answer normalization of the official VQA evaluation, quirks included."""

import re
from functools import lru_cache

from sycoca.metrics.vqa_contractions import CONTRACTIONS
from sycoca.texts import normal_form

_PUNCTUATION = (
    *(";", "/", "[", "]", '"', "{", "}", "(", ")", "=", "+"),
    *("\\", "_", "-", ">", "<", "@", "`", ",", "?", "!"),
)
_NUMBER_WORDS = {
    **{"none": "0", "zero": "0", "one": "1", "two": "2", "three": "3", "four": "4", "five": "5"},
    **{"six": "6", "seven": "7", "eight": "8", "nine": "9", "ten": "10"},
}
_ARTICLES = frozenset(("a", "an", "the"))
_PERIOD = re.compile(r"\.(?!\d)")
_COMMA_IN_NUMBER = re.compile(r"\d,\d")

_MOST_PERIODS = 32
"""The official evaluation passes a regex flag with this value as the maximum number of replacements, by mistake."""


def clean_answer(text: str) -> str:
    """Return an answer on one line, stripped; this is the only normalization where annotators agree.

    Unlike the official evaluation it also composes characters (Unicode NFC), so that an accent counts however it is
    stored.
    """
    return normal_form(text.replace("\n", " ").replace("\t", " ").strip())


@lru_cache(maxsize=2**16)
def normalize_answer(text: str) -> str:
    """Return an answer in lower case, without punctuation and articles, with number words up to ten as digits.

    Source: GT-Vision-Lab/VQA, PythonEvaluationTools/vqaEvaluation/vqaEval.py, with its quirks: a punctuation mark is
    removed where it is next to a space anywhere in the answer, or where the answer has a comma between digits, and
    replaced by a space otherwise; a period is removed unless a digit follows. It is not idempotent.
    """
    return _without_articles(_without_punctuation(clean_answer(text)))


def _without_punctuation(text: str) -> str:
    has_comma_in_number = _COMMA_IN_NUMBER.search(text) is not None
    result = text
    for sign in _PUNCTUATION:
        stands_apart = f"{sign} " in text or f" {sign}" in text
        result = result.replace(sign, "" if stands_apart or has_comma_in_number else " ")
    return _PERIOD.sub("", result, count=_MOST_PERIODS)


def _without_articles(text: str) -> str:
    words = (_NUMBER_WORDS.get(word, word) for word in text.lower().split())
    return " ".join(CONTRACTIONS.get(word, word) for word in words if word not in _ARTICLES)
