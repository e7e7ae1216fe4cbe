from pathlib import Path

import pytest

from builders.twelve_pictures import write_lines
from sycoca.data.benchmarks.judgments import Judgment, read_judgments


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


EXPECTED = [
    Judgment(image="a.jpg", caption="a dog, running", score=4.0),
    Judgment(image="a.jpg", caption="a dog, running", score=2.5),
    Judgment(image="7", caption="a cat", score=1.0),
]


def test_lines_and_tables_say_the_same(tmp_path: Path):
    lines = [
        {"image": "a.jpg", "caption": "a dog, running", "score": [4, 2.5]},
        {"image_id": 7.0, "caption": "a cat", "score": "1"},
    ]
    assert read_judgments(write_lines(tmp_path / "judged.jsonl", lines)) == EXPECTED
    assert read_judgments(write_lines(tmp_path / "judged.jsonl.gz", lines)) == EXPECTED
    rows = 'image,score,caption\na.jpg,4,"a dog, running"\na.jpg,2.5,"a dog, running"\n7,1,a cat\n'
    assert read_judgments(write(tmp_path / "judged.csv", rows)) == EXPECTED
    tabs = "image\tscore\tcaption\na.jpg\t4\ta dog, running\na.jpg\t2.5\ta dog, running\n7\t1\ta cat\n"
    assert read_judgments(write(tmp_path / "judged.tsv", tabs)) == EXPECTED


@pytest.mark.parametrize(
    ("name", "text", "fault"),
    [
        ("a.jsonl", "", "a.jsonl holds no judgments"),
        ("a.jsonl", '\n{"image": 1', "a.jsonl, line 2 is not JSON"),
        ("a.jsonl", "[1]", 'line 1: expected {"image", "caption", "score"}, got \\[1\\]'),
        ("a.jsonl", '{"caption": "x", "score": 1}', 'line 1: "image" must be the name or id of an image, got None'),
        ("a.jsonl", '{"image": "a", "caption": " ", "score": 1}', 'line 1: "caption" must be a text that can be read'),
        ("a.jsonl", '{"image": "a", "caption": "x", "score": "good"}', "\"score\" must be a number, got 'good'"),
        ("a.jsonl", '{"image": "a", "caption": "x", "score": true}', '"score" must be a number, got True'),
        ("a.jsonl", '{"image": "a", "caption": "x", "score": NaN}', '"score" must be a number, got nan'),
        ("a.jsonl", '{"image": "a", "caption": "x", "score": []}', '"score" is an empty list'),
        ("a.csv", "image,caption\na,b\n", 'line 2: "score" must be a number, got None'),
        ("a.csv", "image,caption,score\na,b\n", "line 2 has 2 fields, the header has 3"),
        ("a.csv", 'image,caption,score\na,"b,1\n', "line 2: broken quotes"),
    ],
)
def test_faults_name_file_and_line(tmp_path: Path, name: str, text: str, fault: str):
    with pytest.raises(ValueError, match=fault):
        read_judgments(write(tmp_path / name, text))
