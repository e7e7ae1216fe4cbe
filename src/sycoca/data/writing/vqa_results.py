"""Files of answers and annotations in the formats of VQA v2."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sycoca.data.formats.repeated_ids import entry_id
from sycoca.data.formats.rows import answer_texts
from sycoca.data.formats.vqa import read_annotations
from sycoca.data.samples import Question
from sycoca.data.text_files import read_any_json
from sycoca.plain_data import write_text


def write_results(path: Path, questions: Sequence[Question], answers: Sequence[str]) -> None:
    """Write [{"question_id", "answer"}] atomically; ids of digits become numbers, as in VQA."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [
        json.dumps({"question_id": _as_id(question.key), "answer": answer}, ensure_ascii=False)
        for question, answer in zip(questions, answers, strict=True)
    ]
    write_text(path, "[" + ",\n".join(lines) + "]\n")


def read_results(path: Path) -> dict[str, str]:
    """Return answers by question id from [{"question_id", "answer"}].

    Raises ValueError where the file is none, an answer is no text, and a question is answered twice.
    """
    entries = read_any_json(path)
    if not isinstance(entries, list) or not entries:
        raise ValueError(f'{path} must hold a list of {{"question_id": id, "answer": text}}, at least one')
    answers: dict[str, str] = {}
    for i, entry in enumerate(entries):
        key, answer = _result(entry, f"{path}, answer {i + 1}")
        if key in answers:
            raise ValueError(f"{path}, answer {i + 1}: question {key} is answered twice")
        answers[key] = answer
    return answers


def read_references(path: Path) -> list[Question]:
    """Return the questions of a VQA annotation file with their ids, answers and types, but without their text.

    Raises ValueError where the file is none, or a question has no answers that are texts.
    """
    return [_reference(key, entry, path) for key, entry in read_annotations(path).items()]


def _reference(key: int | str, entry: Mapping[str, Any], path: Path) -> Question:
    answers = answer_texts(entry.get("answers"))
    if not isinstance(answers, list) or not answers or not all(isinstance(text, str) for text in answers):
        raise ValueError(f'{path}, question {key}: "answers" must be a list of {{"answer": text}}, at least one')
    types = {name: entry.get(name) for name in ("question_type", "answer_type")}
    image = entry_id(entry, "image_id")
    return Question(
        question="",
        answers=tuple(answers),
        key=str(key),
        image=None if image is None else str(image),
        **{name: value if isinstance(value, str) else None for name, value in types.items()},
    )


def _result(entry: object, where: str) -> tuple[str, str]:
    key = entry_id(entry, "question_id")
    answer = entry.get("answer") if isinstance(entry, Mapping) else None
    if key is None or not isinstance(answer, str):
        raise ValueError(f'{where}: expected {{"question_id": id, "answer": text}}, got {ascii(entry)[:80]}')
    return str(key), answer


def _as_id(key: str | None) -> int | str:
    assert key is not None, "questions of results have ids"
    return int(key) if key.isascii() and key.isdigit() and str(int(key)) == key else key
