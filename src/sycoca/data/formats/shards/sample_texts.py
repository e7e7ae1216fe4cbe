"""What a sample's members say beside its image, validated as rows of other formats are, and its packed form.

A sample with one caption is packed as the caption itself; all else is a JSON object behind a mark.
"""

import json
from dataclasses import dataclass
from typing import Any, Literal

from sycoca.data.formats.row_checks import Known, RowValidator
from sycoca.data.formats.rows import Columns, Row, row_from_json
from sycoca.data.formats.shards.groups import JSON_SUFFIX, LABEL_SUFFIX, TEXT_SUFFIX, Group, captions_in_order
from sycoca.data.samples import Question
from sycoca.unusable import SkippedSample

_MARK = b"\x01"
"""First byte of a packed object; no caption that is packed as it is begins with it."""

_MOST_FIELDS = 200
"""Names of fields that are kept for the message about one that is missing."""

_FALLBACK = "txt"
"""Field of captions where a JSON member has neither of the usual ones."""

Content = Literal[0, 1, 2]
"""What a sample has beside its image: nothing, a label alone, or captions or questions."""


@dataclass(frozen=True, slots=True)
class SampleTexts:
    """What a sample of a shard has beside its image."""

    captions: tuple[str, ...] = ()
    label: str | None = None
    split: str | None = None
    questions: tuple[Question, ...] = ()
    generated_captions: tuple[str, ...] = ()
    key: str | None = None
    """The sample's key in its shard, where the index does not have it as a number."""

    @property
    def content(self) -> Content:
        """How much that is."""
        if self.captions or self.questions:
            return 2
        return 0 if self.label is None else 1


class _NotUtf8(bytes):
    """A caption that is no text."""

    def __repr__(self) -> str:
        return "bytes that are not UTF-8"


def read_texts(
    group: Group, name: str, path: str, columns: Columns, fields: set[str]
) -> tuple[SampleTexts | None, list[SkippedSample]]:
    """Return the usable texts of a group, and the captions, or the sample as a whole, that are left out.

    ``name`` is the sample's in its source, ``path`` that of its shard; the names of its fields are added to ``fields``.
    """
    row = _row(group, name, columns)
    if len(fields) < _MOST_FIELDS:
        fields.update(row.given)
    if row.problem is None and row.captions is None and not row.questions and row.label is None:
        split = row.split if isinstance(row.split, str) else None
        return SampleTexts(split=split), []
    validator = RowValidator(path, columns)
    validator.split_of(row)
    validator.add(row)
    usable, skipped = validator.result()
    if name not in usable:
        return None, [SkippedSample(name=name, reason=skipped[0].reason, detail=skipped[0].detail)]
    left_out = [
        SkippedSample(name=f"{name}, text {number}", reason=one.reason, detail=one.detail, image_stays=True)
        for number, one in enumerate(skipped, start=1)
    ]
    return _texts(usable[name]), left_out


def packed(texts: SampleTexts) -> bytes:
    """Return texts as the index stores them."""
    if texts == SampleTexts(captions=texts.captions[:1]):
        caption = "".join(texts.captions).encode()
        if not caption.startswith(_MARK):
            return caption
    fields: dict[str, Any] = {
        "captions": texts.captions,
        "generated_captions": texts.generated_captions,
        "label": texts.label,
        "split": texts.split,
        "questions": [_plain_question(question) for question in texts.questions],
        "key": texts.key,
    }
    given = {name: value for name, value in fields.items() if value}
    return _MARK + json.dumps(given, ensure_ascii=False, separators=(",", ":")).encode()


def unpacked_texts(data: bytes) -> SampleTexts:
    """Return the texts that `packed` has packed."""
    if not data.startswith(_MARK):
        return SampleTexts(captions=(data.decode(),) if data else ())
    given = json.loads(data[1:])
    questions = (Question(**{**fields, "answers": tuple(fields["answers"])}) for fields in given.pop("questions", ()))
    captions = {kind: tuple(given.get(kind, ())) for kind in ("captions", "generated_captions")}
    return SampleTexts(**{**given, **captions}, questions=tuple(questions))


def _plain_question(question: Question) -> dict[str, Any]:
    names = ("question", "answers", "key", "question_type", "answer_type", "image")
    fields = {name: getattr(question, name) for name in names}
    return {name: value for name, value in fields.items() if value is not None}


def _texts(known: Known) -> SampleTexts:
    return SampleTexts(
        captions=tuple(known.captions),
        label=known.label,
        split=known.split,
        questions=tuple(known.questions),
        generated_captions=tuple(known.generated_captions),
    )


def _row(group: Group, name: str, columns: Columns) -> Row:
    """Return the texts of a group as a row: captions of text members first, then those of the JSON member."""
    place = f"sample {group.key.encode('utf-8', 'backslashreplace').decode()}"
    row = Row(place=place, image=name)
    if JSON_SUFFIX in group.texts:
        row = _row_of_json(group.texts[JSON_SUFFIX], columns, place)
        row.image = name
    if LABEL_SUFFIX in group.texts and row.label is None:
        row.label = _text(group.texts[LABEL_SUFFIX])
    if columns.captions == TEXT_SUFFIX and TEXT_SUFFIX in group.texts:
        row.captions = _lines(group.texts[TEXT_SUFFIX])
        row.given = {*row.given, TEXT_SUFFIX}
    elif not _names_captions(columns):
        own = [_text(content) for content in captions_in_order(group.texts)]
        row.captions = _joined(own, row.captions)
    return row


def _row_of_json(content: bytes, columns: Columns, place: str) -> Row:
    try:
        given = json.loads(content.decode())
    except UnicodeDecodeError as error:
        return Row(place=place, problem=f"its JSON is not UTF-8 (byte {error.start + 1})")
    except (ValueError, RecursionError) as error:
        return Row(place=place, problem=f"its JSON cannot be read: {error}")
    if not isinstance(given, dict):
        return Row(place=place, problem=f'its JSON must be an object such as {{"captions": [..]}}, got {given!r:.60}')
    row = row_from_json(given, columns, place)
    if row.captions is None and not _names_captions(columns) and row.problem is None:
        row.captions = given.get(_FALLBACK)
    return row


def _names_captions(columns: Columns) -> bool:
    """Return whether a SPEC names the field of captions, which is then the only one."""
    return columns.caption_fields != Columns().caption_fields


def _joined(own: list[object], others: object) -> object:
    """Return all captions, without those of the second list that stand in the first one, too."""
    if not own:
        return others
    rest: list[object] = [] if others is None else others if isinstance(others, list) else [others]
    known = {text for text in own if isinstance(text, str)}
    return [*own, *(text for text in rest if not isinstance(text, str) or text.strip() not in known)]


def _lines(content: bytes) -> list[object]:
    """Return the captions of a member that has one a line, as in CLIP_benchmark's sets for retrieval."""
    text = _text(content)
    return [line for line in text.splitlines() if line.strip()] if isinstance(text, str) else [text]


def _text(content: bytes) -> object:
    """Return the text of a member without spaces and line ends around it; bytes that are none as such."""
    try:
        return content.decode("utf-8-sig").strip()
    except UnicodeDecodeError:
        return _NotUtf8(content)
