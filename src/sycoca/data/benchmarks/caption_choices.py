"""Benchmarks of a true caption against one false caption: SugarCrepe and ARO."""

from collections.abc import Iterator
from pathlib import Path

from sycoca.data.benchmarks.entries import json_entries
from sycoca.data.benchmarks.records import CaptionChoice
from sycoca.data.formats.image_files import ImageFiles


def read_sugar_crepe(path: Path, files: ImageFiles) -> Iterator[CaptionChoice]:
    """Yield the choices of a file of SugarCrepe (Hsieh et al., NeurIPS 2023, arXiv 2306.14610).

    {"0": {"filename": "000000085329.jpg", "caption": true one, "negative_caption": false one}}, images of COCO val2017.
    The kind is the name of the file, such as replace_obj or swap_att.
    """
    for entry in json_entries(path):
        yield CaptionChoice(
            key=f"{path.stem} {entry.key}",
            image=entry.image("filename", files),
            caption=entry.text("caption"),
            negative=entry.text("negative_caption"),
            kind=path.stem,
        )


def read_aro(path: Path, files: ImageFiles) -> Iterator[CaptionChoice]:
    """Yield the choices of VG-Relation or VG-Attribution of ARO (Yuksekgonul et al., ICLR 2023, arXiv 2210.01936).

    [{"image_path", "bbox_x", "bbox_y", "bbox_w", "bbox_h", "true_caption", "false_caption", "relation_name" or
    "attributes": [first, second]}]: the model sees the box alone. The kind is the relation, or the pair of attributes.
    COCO-Order and Flickr30k-Order are not read: they are no files, but draws of a program.
    """
    for entry in json_entries(path):
        attributes = entry.values.get("attributes")
        pair = "_".join(map(str, attributes)) if isinstance(attributes, list) and attributes else None
        kind = entry.optional_text("relation_name") or pair
        if kind is None:
            entry.refuse('it has neither "relation_name" nor "attributes"; is it of VG-Relation or VG-Attribution?')
        yield CaptionChoice(
            key=f"{path.stem} {entry.key}",
            image=entry.cropped(entry.image("image_path", files)),
            caption=entry.text("true_caption"),
            negative=entry.text("false_caption"),
            kind=kind,
        )
