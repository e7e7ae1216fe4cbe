import json
from pathlib import Path

import numpy as np
import pytest

from builders.benchmark_files import ARO, POPE, SUGAR_CREPE, WINOGROUND, write_benchmarks
from builders.twelve_pictures import PICTURES, write_json, write_lines
from sycoca.data.benchmarks.benchmark import open_benchmark
from sycoca.data.benchmarks.records import CaptionChoice, PairOfPairs, YesNoQuestion
from sycoca.unusable import UnusableSampleError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_benchmarks(tmp_path)


def test_sugar_crepe_has_a_kind_per_file(folder: Path):
    choices = open_benchmark(f"sugarcrepe:{folder / 'sugarcrepe'}", folder)
    found = [(c.key, c.kind, c.image.name, c.caption, c.negative) for c in choices if isinstance(c, CaptionChoice)]
    first = PICTURES[0].name
    assert found == [
        ("add_att 0", "add_att", first, "a circle", "a small blue circle"),
        ("replace_obj 0", "replace_obj", first, "a red circle", "a red square"),
        ("replace_obj 1", "replace_obj", PICTURES[1].name, "a blue triangle", "a green triangle"),
    ]
    assert len(open_benchmark(f"sugarcrepe:{folder / 'sugarcrepe' / 'replace_obj.json'}", folder)) == 2


def test_aro_shows_the_box_alone(folder: Path):
    choices = open_benchmark(f"aro:{folder / 'visual_genome_relation.json'}", folder)
    first = choices[0]
    assert isinstance(first, CaptionChoice)
    assert (first.kind, first.caption) == ("left of", "the circle is left of the square")
    assert first.image.name == f"{PICTURES[0].name}[16, 0, 48, 16]"
    np.testing.assert_array_equal(np.asarray(first.image.open_image()), PICTURES[0].pixels[0:16, 16:48])
    attributes = [{name: value for name, value in ARO[0].items() if name != "relation_name"}]
    attributes[0]["attributes"] = ["white", "old"]
    (choice,) = open_benchmark(f"aro:{write_json(folder / 'attribution.json', attributes)}", folder)
    assert choice.kind == "white_old"


def test_winoground_pairs_images_and_captions(folder: Path):
    pairs = open_benchmark(f"winoground:{folder / 'examples.jsonl'}", folder)
    assert [pair.kind for pair in pairs] == ["Object", "Relation"]
    first = pairs[0]
    assert isinstance(first, PairOfPairs)
    assert [image.name for image in first.images] == [PICTURES[0].name, PICTURES[1].name]
    assert first.captions == ("a red circle above a blue square", "a blue circle above a red square")
    # The published names lack their suffix.
    (folder / "ex_0_img_0.png").write_bytes((folder / PICTURES[0].name).read_bytes())
    bare = [{**WINOGROUND[0], "image_0": "ex_0_img_0"}]
    (pair,) = open_benchmark(f"winoground:{write_lines(folder / 'bare.jsonl', bare)}", folder)
    assert isinstance(pair, PairOfPairs)
    assert pair.images[0].name == "ex_0_img_0.png"


def test_pope_questions_become_statements(folder: Path):
    questions = open_benchmark(f"pope:{folder / 'coco_pope_random.json'}", folder)
    found = [(q.statements, q.is_yes) for q in questions if isinstance(q, YesNoQuestion)]
    assert found[0] == (("There is a circle in the image.", "There is no circle in the image."), True)
    assert found[1] == (("There is a square in the image.", "There is no square in the image."), False)
    assert found[2] == (("There is an owl in the image.", "There is no owl in the image."), True)
    assert questions[0].kind == "coco_pope_random"
    misprint = [{**POPE[0], "text": "Is there a dining table in the imange?"}]
    (question,) = open_benchmark(f"pope:{write_lines(folder / 'misprint.json', misprint)}", folder)
    assert isinstance(question, YesNoQuestion)
    assert question.statements[0] == "There is a dining table in the image."


def test_lists_and_counts_beside_popes_questions(folder: Path):
    """A-OKVQA's and GQA's questions are published as a list, COCO's in a folder with counts of objects."""
    lists = folder / "output"
    lists.mkdir()
    write_json(lists / "gqa_pope_seem_popular.json", POPE)
    write_json(lists / "coco_ground_truth_objects.json", {"person": 348})
    write_json(lists / "coco_co_occur.json", {"person": ["car"]})
    questions = open_benchmark(f"pope:{lists}", folder)
    assert [question.key for question in questions] == [f"gqa_pope_seem_popular {number}" for number in range(1, 5)]
    pairs = open_benchmark(f"winoground:{write_json(folder / 'list.json', WINOGROUND)}", folder)
    assert [pair.kind for pair in pairs] == ["Object", "Relation"]


FAULTS = [
    ("sugarcrepe", {"0": {"filename": "a.jpg"}}, "f.json, entry 0: there is no image .*a.jpg; is --images right"),
    ("sugarcrepe", {"7": {"caption": "x"}}, 'f.json, entry 7: "filename" must be the name of an image file, got None'),
    ("sugarcrepe", 3, "f.json must hold a list of entries or an object of them, got 3"),
    ("sugarcrepe", {}, "f.json holds no entries"),
    ("sugarcrepe", [1], "f.json, entry 1: expected an object of fields, got 1"),
    ("aro", [{**ARO[0], "bbox_w": 0}], 'entry 1: "bbox_w" and "bbox_h" must be at least 1, got 0 and 16'),
    ("aro", [{**ARO[0], "bbox_x": "left"}], "entry 1: \"bbox_x\" must be a whole number, got 'left'"),
    ("aro", [{**ARO[0], "bbox_x": float("nan")}], 'entry 1: "bbox_x" must be a whole number, got nan'),
    ("aro", [{**ARO[0], "bbox_x": float("inf")}], 'entry 1: "bbox_x" must be a whole number, got inf'),
    ("aro", [{**ARO[0], "relation_name": None}], 'entry 1: it has neither "relation_name" nor "attributes"'),
    ("aro", [{**ARO[0], "false_caption": " "}], "entry 1: \"false_caption\" must be a text that can be read, got ' '"),
]


@pytest.mark.parametrize(("name", "content", "fault"), FAULTS)
def test_faults_of_json_name_file_and_entry(folder: Path, name: str, content: object, fault: str):
    with pytest.raises(ValueError, match=fault):
        open_benchmark(f"{name}:{write_json(folder / 'f.json', content)}", folder)


LINE_FAULTS = [
    ("winoground", [{**WINOGROUND[0], "caption_1": 3}], 'f.jsonl, line 1: "caption_1" must be a text .*, got 3'),
    ("winoground", [WINOGROUND[0], WINOGROUND[0]], "the key of 'f 0' stands twice"),
    ("pope", [POPE[0], {**POPE[1], "label": "maybe"}], "f.jsonl, line 2: \"label\" must be yes or no, got 'maybe'"),
    ("pope", [{**POPE[0], "text": "what?"}], 'line 1: "text" must ask "Is there a THING in the image\\?", got'),
    ("pope", [3], "f.jsonl, line 1: expected an object of fields, got 3"),
]


@pytest.mark.parametrize(("name", "lines", "fault"), LINE_FAULTS)
def test_faults_of_lines_name_file_and_line(folder: Path, name: str, lines: list[object], fault: str):
    with pytest.raises(ValueError, match=fault):
        open_benchmark(f"{name}:{write_lines(folder / 'f.jsonl', lines)}", folder)


def test_broken_files_and_names_are_said(folder: Path):
    (folder / "f.jsonl").write_text(json.dumps(POPE[0]) + "\n\n{", encoding="utf-8")
    with pytest.raises(ValueError, match=r"f.jsonl, line 3 is not JSON"):
        open_benchmark(f"pope:{folder / 'f.jsonl'}", folder)
    with pytest.raises(ValueError, match="must be one of sugarcrepe, aro, winoground, pope, got 'sugarcrape'"):
        open_benchmark("sugarcrape:x.json", folder)
    with pytest.raises(ValueError, match="name the benchmark and its file"):
        open_benchmark("x.json", folder)
    (folder / "empty").mkdir()
    with pytest.raises(ValueError, match=r"empty has no files of a benchmark"):
        open_benchmark(f"pope:{folder / 'empty'}", folder)
    with pytest.raises(ValueError, match=r"missing.json cannot be read"):
        open_benchmark("sugarcrepe:missing.json", folder)


def test_a_box_outside_of_its_image_is_unusable(folder: Path):
    outside = write_json(folder / "f.json", [{**ARO[0], "bbox_x": 500}])
    (choice,) = open_benchmark(f"aro:{outside}", folder)
    assert isinstance(choice, CaptionChoice)
    with pytest.raises(UnusableSampleError, match=r"has 48 x 32 pixels, its box \(500, 0, 532, 16\) lies outside"):
        choice.image.open_image()


def test_files_of_one_kind_are_counted(folder: Path):
    assert sum(map(len, SUGAR_CREPE.values())) == len(open_benchmark(f"sugarcrepe:{folder / 'sugarcrepe'}", folder))
