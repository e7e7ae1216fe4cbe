"""Questions in the format of VQA v2, with answers in a second file."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sycoca.data.formats.image_files import Names, open_image_files
from sycoca.data.formats.repeated_ids import entry_id, places_by_id, repeated, same_id_of_other_type, typed
from sycoca.data.formats.row_source import RowSource, source_from_rows
from sycoca.data.formats.rows import Columns, QuestionRow, Row, answer_texts
from sycoca.data.selection import EVERYTHING, Selection
from sycoca.data.text_files import read_json, read_list

_ID_IN_NAME = re.compile(r"\{(?::0?(\d{1,2})d?)?\}")


def open_vqa(
    path: Path,
    *,
    annotations: Path | None = None,
    images: Path | None = None,
    name: str | None = None,
    wanted: Selection = EVERYTHING,
    names: Names = "anywhere",
) -> RowSource:
    """Open questions with their answers: {"questions": [{"image_id", "question", "question_id"}]} and annotations.

    Args:
        path: The questions.
        annotations: {"annotations": [{"question_id", "answers": [{"answer"}], "question_type", "answer_type"}]};
            without them no question has an answer, as in a test set.
        images: Folder or zip file; the file's own folder where it is not given.
        name: What an image is called, with ``{}`` or ``{:012}`` for its id; COCO's names where it is not given, after
            the file's "data_subtype".
        wanted: Which part.
        names: Where the images are that the file may name.
    """
    files = open_image_files(path.parent if images is None else images, names)
    data = read_json(path)
    questions = read_list(data, "questions", path)
    answers = {} if annotations is None else read_annotations(annotations)
    rows = _rows(questions, answers, _naming(path, data, name), annotations)
    columns = Columns(image="image_id", answer="answers")
    return source_from_rows(path, rows, files, columns=columns, wanted=wanted, what="questions", can_name_columns=False)


def read_annotations(path: Path) -> dict[int | str, Mapping[str, Any]]:
    """Return the entries of an annotation file by question id. Raises ValueError for another file."""
    found: dict[int | str, Mapping[str, Any]] = {}
    for i, entry in enumerate(read_list(read_json(path), "annotations", path)):
        key = entry_id(entry, "question_id")
        if key is None:
            raise ValueError(f'{path}, annotation {i + 1}: expected {{"question_id": number, "answers": [..]}}')
        if key in found:
            raise ValueError(f"{path}, annotation {i + 1}: question {key} is answered twice")
        found[key] = entry
    return found


def _rows(
    questions: list[Any],
    answers: dict[int | str, Mapping[str, Any]],
    image_name: Callable[[object], object],
    annotations: Path | None,
) -> Iterator[Row]:
    ambiguous = {key: own for key, own in places_by_id(questions, "question_id").items() if len(own) > 1}
    for i, entry in enumerate(questions):
        if not isinstance(entry, Mapping):
            yield Row(place=f"question {i + 1}", problem='expected {"image_id", "question", "question_id"}')
            continue
        key = entry_id(entry, "question_id")
        if key in ambiguous:
            yield Row(place=f"question {i + 1}", problem=_ambiguity(key, ambiguous[key]))
            continue
        found = {} if key is None else answers.pop(key, {})
        question = QuestionRow(
            question=entry.get("question"),
            answers=answer_texts(found.get("answers")),
            key=key,
            question_type=found.get("question_type"),
            answer_type=found.get("answer_type"),
        )
        place = f"question {i + 1 if key is None else key}"
        yield Row(place=place, image=image_name(_image_id(entry)), questions=[question], given=entry)
    known = {entry_id(entry, "question_id") for entry in questions} - {None}
    for key in answers:
        if key not in ambiguous:
            other = same_id_of_other_type(key, known)
            there = "" if other is None else f"; there is {typed(key)}, among the questions {typed(other)}"
            problem = f"{annotations} answers it, but it is not among the questions{there}"
            yield Row(place=f"question {key}", problem=problem)


def _image_id(entry: Mapping[str, Any]) -> object:
    """Return the id of a question's image; what stands in its place where that is none, for the message."""
    key = entry_id(entry, "image_id")
    return entry.get("image_id") if key is None else key


def _ambiguity(key: int | str, places: Sequence[int]) -> str:
    return (
        f"{repeated('question_id', key, 'questions', places)}, so nobody knows which of them its answers belong"
        " to; give each question an id of its own"
    )


def _naming(path: Path, data: dict[str, Any], name: str | None) -> Callable[[object], object]:
    """Return the pattern of image names, with the id's place."""
    if name is None:
        subset = data.get("data_subtype")
        if not isinstance(subset, str):
            raise ValueError(
                f'{path} has no "data_subtype"; say what its images are called: ?name=COCO_val2014_{{:012}}.jpg'
            )
        # The images of test-dev are among those of test.
        name = f"COCO_{subset.replace('-dev', '')}_{{:012}}.jpg"
    found = list(_ID_IN_NAME.finditer(name))
    if len(found) != 1:
        raise ValueError(f"{path}: name must have the image's id in it once, as {{}} or {{:012}}, got {name!r}")
    begin, end, width = name[: found[0].start()], name[found[0].end() :], int(found[0][1] or 0)

    def image_name(key: object) -> object:
        is_id = isinstance(key, int | str) and not isinstance(key, bool) and key != ""
        return f"{begin}{str(key).zfill(width)}{end}" if is_id else key

    return image_name
