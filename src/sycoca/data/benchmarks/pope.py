"""POPE: questions whether an object is in an image (Li et al., EMNLP 2023, arXiv 2305.10355)."""

import re
from collections.abc import Iterator
from pathlib import Path

from sycoca.data.benchmarks.entries import Entry, line_entries
from sycoca.data.benchmarks.records import YesNoQuestion
from sycoca.data.formats.image_files import ImageFiles

_QUESTION = re.compile(r"is there (?P<article>an? )?(?P<thing>.+?) in (?:the|this) im(?:age|ange)\s*\??", re.IGNORECASE)
"""POPE's only question; some of its published files have the misprint."""


OBJECT_COUNTS = ("_ground_truth_objects.json", "_co_occur.json")
"""Ends of the names of files that are published beside POPE's lists, and from which the questions were drawn."""


def read_pope(path: Path, files: ImageFiles) -> Iterator[YesNoQuestion]:
    """Yield the questions of a file of POPE: lines of {"question_id", "image", "text", "label": "yes" or "no"}, or a
    list of these, as published for A-OKVQA and GQA.

    The kind is the name of the file, such as coco_pope_adversarial: which objects are asked for that are not there.
    """
    for entry in line_entries(path):
        question, label = entry.text("text"), entry.text("label").strip().lower()
        if label not in ("yes", "no"):
            entry.refuse(f'"label" must be yes or no, got {label!r}')
        yield YesNoQuestion(
            key=f"{path.stem} {entry.optional_text('question_id') or entry.key}",
            image=entry.image("image", files),
            question=question,
            statements=_statements(question, entry),
            is_yes=label == "yes",
            kind=path.stem,
        )


def _statements(question: str, entry: Entry) -> tuple[str, str]:
    """Return what yes and no say, as captions: contrastive towers and captioners were trained on no questions."""
    found = _QUESTION.fullmatch(question.strip())
    if found is None:
        entry.refuse(f'"text" must ask "Is there a THING in the image?", got {question!r}')
    article, thing = found["article"] or "", found["thing"]
    return f"There is {article.lower()}{thing} in the image.", f"There is no {thing} in the image."
