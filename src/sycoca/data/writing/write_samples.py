"""Writing of samples: image files, and a captions file that the jsonl source reads back."""

import json
import re
from collections.abc import Iterable
from pathlib import Path

from sycoca.data.samples import ImageTextSample, Question
from sycoca.outputs.atomic import atomic_folder
from sycoca.outputs.errors import OutputError
from sycoca.outputs.output import Output
from sycoca.plain_data import write_text

CAPTIONS_FILE = "captions.jsonl"
"""Name of the file with one line per image."""

IMAGES_FOLDER = "images"
"""Name of the folder of images beside it."""

_NAME = re.compile(r"\d{6,}\.png")


def write_samples(samples: Iterable[ImageTextSample], folder: Path, *, overwrite: bool = False) -> Path:
    """Write samples whole or not at all, and return the captions file.

    ``overwrite`` replaces a data set that this function has written before. Raises OutputError (a ValueError) where
    captions or images are there already, since two data sets would mix, and where the folder cannot be written.
    """
    captions_path, images = folder / CAPTIONS_FILE, folder / IMAGES_FOLDER
    output = Output(path=folder, kind="files in a folder", names=(CAPTIONS_FILE, IMAGES_FOLDER), overwrite=overwrite)
    with output.claim():
        _refuse_other_images(images)
        lines = []
        with atomic_folder(images) as unfinished:
            for index, sample in enumerate(samples):
                name = f"{index:06d}.png"
                sample.open_image().save(unfinished / name)
                row = {"image": f"{IMAGES_FOLDER}/{name}", **fields_of(sample)}
                lines.append(json.dumps(row, ensure_ascii=False))
            # It never names an image that is missing, nor another one.
            captions_path.unlink(missing_ok=True)
        write_text(captions_path, "\n".join(lines) + "\n")
    return captions_path


def _refuse_other_images(folder: Path) -> None:
    names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    other = next((name for name in names if not _NAME.fullmatch(name)), None)
    if other is not None:
        raise OutputError(f"{folder} holds other files ({other} would be deleted); choose another folder")


def fields_of(sample: ImageTextSample) -> dict[str, object]:
    """Return a sample's captions, label and questions as the fields of a JSON object, which data SPECs read."""
    row: dict[str, object] = {"captions": list(sample.captions)}
    if sample.generated_captions:
        row["generated_captions"] = list(sample.generated_captions)
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
