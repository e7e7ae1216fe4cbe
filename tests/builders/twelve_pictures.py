"""Twelve pictures of two classes with captions and questions, written in every format that a source can read."""

import csv
import gzip
import json
import zipfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from sycoca.data.samples import Question


@dataclass(frozen=True, slots=True)
class Picture:
    number: int

    @property
    def label(self) -> str:
        return ("red fox", "owl")[self.number % 2]

    @property
    def split(self) -> str:
        return ("train", "test")[self.number % 3 == 0]

    @property
    def name(self) -> str:
        return f"{self.label.replace(' ', '_')}/COCO_val2014_{self.number:012d}.jpg"

    @property
    def captions(self) -> tuple[str, ...]:
        return (f'picture {self.number}, "fine"', f"zwei\nZeilen {self.number} 雪")

    @property
    def questions(self) -> tuple[Question, ...]:
        yes = Question(question="is it?", answers=("yes",) * 10, key=str(10 * self.number))
        what = Question(question="what is it?", answers=(self.label, "animal"), key=str(10 * self.number + 1))
        return (yes, what)

    @property
    def pixels(self) -> np.ndarray:
        small = np.random.default_rng(self.number).integers(0, 256, (2, 3, 3), dtype=np.uint8)
        return small.repeat(16, axis=0).repeat(16, axis=1)


PICTURES = [Picture(number) for number in range(12)]


def write_pictures(folder: Path) -> None:
    for picture in PICTURES:
        path = folder / picture.name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture.pixels).save(path, format="PNG")


def zip_folder(folder: Path, archive: Path, prefix: str = "") -> None:
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr(f"__MACOSX/{prefix}._a.jpg", b"no picture")
        for path in sorted(folder.rglob("*.jpg")):
            file.write(path, prefix + path.relative_to(folder).as_posix())


def caption_lines() -> list[dict[str, object]]:
    return [{"image": p.name, "captions": list(p.captions), "label": p.label, "split": p.split} for p in PICTURES]


def question_lines() -> list[dict[str, object]]:
    return [
        {"image": p.name, "question": q.question, "answers": list(q.answers), "question_id": int(q.key or 0)}
        for p in PICTURES
        for q in p.questions
    ]


def write_lines(path: Path, rows: Iterable[object]) -> Path:
    return write_bytes(path, "".join(json.dumps(row) + "\n" for row in rows).encode())


def write_json(path: Path, data: object) -> Path:
    return write_bytes(path, json.dumps(data).encode())


def write_table(path: Path, rows: Iterable[Sequence[object]], separator: str, line_end: str = "\r\n") -> Path:
    plain = path.with_name("plain")
    with plain.open("w", encoding="utf-8-sig", newline="") as file:
        csv.writer(file, delimiter=separator, lineterminator=line_end).writerows(rows)
    return write_bytes(path, plain.read_bytes())


def write_bytes(path: Path, data: bytes) -> Path:
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def caption_rows() -> list[Sequence[object]]:
    rows = [(p.name, caption, p.label, p.split) for p in PICTURES for caption in p.captions]
    return [("image", "caption", "label", "split"), *rows]


def coco_captions() -> dict[str, object]:
    annotations = [
        {"id": 100 * i + p.number, "image_id": p.number, "caption": caption}
        for i in range(2)
        for p in PICTURES
        for caption in p.captions[i : i + 1]
    ]
    return {"images": [{"id": p.number, "file_name": p.name} for p in PICTURES], "annotations": annotations}


def karpathy_captions(split: Callable[[Picture], str]) -> dict[str, object]:
    images = [
        {
            "filepath": p.name.split("/")[0],
            "filename": p.name.split("/")[1],
            "split": split(p),
            "sentences": [{"raw": caption} for caption in p.captions],
        }
        for p in PICTURES
    ]
    return {"dataset": "coco", "images": images}


def vqa_questions(pictures: Sequence[Picture]) -> dict[str, object]:
    questions = [
        {"image_id": p.number, "question": q.question, "question_id": int(q.key or 0)}
        for p in pictures
        for q in p.questions
    ]
    return {"data_subtype": "val2014", "questions": questions}


def vqa_annotations(pictures: Sequence[Picture]) -> dict[str, object]:
    annotations = [
        {
            "question_id": int(q.key or 0),
            "image_id": p.number,
            "question_type": "what",
            "answer_type": "other",
            "answers": [{"answer": answer, "answer_id": i} for i, answer in enumerate(q.answers, start=1)],
        }
        for p in reversed(pictures)
        for q in p.questions
    ]
    return {"annotations": annotations}
