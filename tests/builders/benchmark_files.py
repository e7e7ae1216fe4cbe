"""Small files of our own in the formats of SugarCrepe, ARO, Winoground and POPE, on the twelve pictures."""

from pathlib import Path

from builders.twelve_pictures import PICTURES, write_json, write_lines, write_pictures

SUGAR_CREPE = {
    "replace_obj": {
        "0": {"filename": PICTURES[0].name, "caption": "a red circle", "negative_caption": "a red square"},
        "1": {"filename": PICTURES[1].name, "caption": "a blue triangle", "negative_caption": "a green triangle"},
    },
    "add_att": {
        "0": {"filename": PICTURES[0].name, "caption": "a circle", "negative_caption": "a small blue circle"},
    },
}

ARO = [
    {
        "image_path": PICTURES[number].name,
        "bbox_x": 16,
        "bbox_y": 0,
        "bbox_w": 32,
        "bbox_h": 16.0,
        "true_caption": "the circle is left of the square",
        "false_caption": "the square is left of the circle",
        "relation_name": relation,
    }
    for number, relation in ((0, "left of"), (1, "left of"), (2, "above"))
]

WINOGROUND = [
    {
        "id": number,
        "image_0": PICTURES[2 * number].name,
        "image_1": PICTURES[2 * number + 1].name,
        "caption_0": "a red circle above a blue square",
        "caption_1": "a blue circle above a red square",
        "collapsed_tag": tag,
    }
    for number, tag in enumerate(("Object", "Relation"))
]

POPE = [
    {"question_id": number, "image": PICTURES[image].name, "text": f"Is there {thing} in the image?", "label": label}
    for number, (image, thing, label) in enumerate(
        ((0, "a circle", "yes"), (0, "a square", "no"), (1, "an owl", "yes"), (1, "a circle", "yes")), start=1
    )
]


def write_benchmarks(folder: Path) -> Path:
    """Write the pictures and all files; returns the folder."""
    write_pictures(folder)
    sugar_crepe = folder / "sugarcrepe"
    sugar_crepe.mkdir()
    for kind, entries in SUGAR_CREPE.items():
        write_json(sugar_crepe / f"{kind}.json", entries)
    write_json(folder / "visual_genome_relation.json", ARO)
    write_lines(folder / "examples.jsonl", WINOGROUND)
    write_lines(folder / "coco_pope_random.json", POPE)
    return folder
