"""Writing of samples: image files, and a captions file that the jsonl source reads back."""

import json
from collections.abc import Iterable
from pathlib import Path

from sycoca.data.samples import ImageTextSample, Question
from sycoca.plain_data import write_text

CAPTIONS_FILE = "captions.jsonl"
"""Name of the file with one line per image."""

IMAGES_FOLDER = "images"
"""Name of the folder of images beside it."""


def write_samples(samples: Iterable[ImageTextSample], folder: Path) -> Path:
    """Write samples one by one and return the captions file.

    Raises ValueError for a folder with a captions file, since two data sets would mix.
    """
    captions_path = folder / CAPTIONS_FILE
    if captions_path.exists():
        raise ValueError(f"{captions_path} exists already; choose another folder or delete it first")
    (folder / IMAGES_FOLDER).mkdir(parents=True, exist_ok=True)
    # Written last and atomically, so that the file never names a missing image.
    lines = []
    for index, sample in enumerate(samples):
        image = f"{IMAGES_FOLDER}/{index:06d}.png"
        sample.open_image().save(folder / image)
        lines.append(json.dumps(_row(sample, image), ensure_ascii=False))
    write_text(captions_path, "\n".join(lines) + "\n")
    return captions_path


def _row(sample: ImageTextSample, image: str) -> dict[str, object]:
    row: dict[str, object] = {"image": image, "captions": list(sample.captions)}
    if sample.label is not None:
        row["label"] = sample.label
    if sample.questions:
        row["questions"] = [_question(entry) for entry in sample.questions]
    return row


def _question(entry: Question) -> dict[str, object]:
    row: dict[str, object] = {"question": entry.question}
    if len(entry.answers) == 1:
        row["answer"] = entry.answers[0]
    elif entry.answers:
        row["answers"] = list(entry.answers)
    described = {
        "question_id": entry.key,
        "question_type": entry.question_type,
        "answer_type": entry.answer_type,
    }
    return row | {name: value for name, value in described.items() if value is not None}
