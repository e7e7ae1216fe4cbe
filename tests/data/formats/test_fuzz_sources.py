"""Whatever stands in a file, a SPEC or a config: it is read, or refused with a ValueError, and soon."""

import csv
import io
import json
import math
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sycoca.data.parsed_spec import OPTIONS
from sycoca.data.samples import skipped_samples
from sycoca.data.spec import open_source
from sycoca.plain_data import from_plain, read_yaml
from sycoca.training.recipes.pretraining.config import PretrainConfig

SECONDS_OF_LONG_RUN = 120

NAMES = st.sampled_from(
    [
        *("image", "caption", "captions", "question", "questions", "answer", "answers", "label", "split"),
        *("id", "image_id", "file_name", "annotations", "images", "filename", "filepath", "sentences", "raw"),
        *("question_id", "data_subtype", "training", "model", "steps", "objectives", "data", "train"),
    ]
)
LETTERS = st.text(st.characters(), max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | LETTERS | st.sampled_from(["a.png", "b.png", "train"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES | LETTERS, inner, max_size=5),
    max_leaves=12,
)
RECORDS = st.dictionaries(NAMES, VALUES, max_size=6)


def encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def table(rows: list[list[str]], separator: str) -> bytes:
    file = io.StringIO()
    csv.writer(file, delimiter=separator, escapechar="\\").writerows(rows)
    return encoded(file.getvalue())


BYTES = st.binary(max_size=80) | LETTERS.map(encoded)
LINES = st.lists(RECORDS.map(lambda row: encoded(json.dumps(row))) | BYTES, max_size=6).map(b"\n".join)
HEADERS = st.lists(NAMES, max_size=5)
TABLES = st.builds(
    lambda header, rows, separator: table([header, *rows], separator),
    HEADERS,
    st.lists(st.lists(LETTERS | st.sampled_from(["a.png", '"']), max_size=5), max_size=5),
    st.sampled_from(",;\t"),
)
RAW_TABLES = st.lists(LETTERS | st.sampled_from(['"', ",", "\n", "\r\n", "image,caption\n"]), max_size=12).map(
    lambda parts: encoded("image,caption\n" + "".join(parts))
)
COCO = st.fixed_dictionaries(
    {"images": VALUES | st.lists(RECORDS, max_size=4), "annotations": VALUES | st.lists(RECORDS, max_size=4)}
)
QUESTIONS = st.fixed_dictionaries({"questions": VALUES | st.lists(RECORDS, max_size=4), "data_subtype": VALUES})
JSON_FILES = (COCO | QUESTIONS | RECORDS).map(lambda data: encoded(json.dumps(data))) | BYTES
OPTION_TEXTS = st.lists(
    st.tuples(
        st.sampled_from(sorted({name for names in OPTIONS.values() for name in names})) | LETTERS,
        LETTERS | st.sampled_from(["train", "x", "1", "0", "image", "%00", "file", "..", "tab", "{}", "{:012}"]),
    ),
    max_size=3,
).map(lambda pairs: "&".join(f"{name}={value}" for name, value in pairs))
SPECS = st.builds(
    lambda kind, path, options: f"{kind}{path}?{options}",
    st.sampled_from(["", *(f"{kind}:" for kind in OPTIONS if kind != "scenes")]) | LETTERS,
    st.sampled_from(["file", "file.csv", "file.jsonl", "file.zip", ".", ""]) | LETTERS,
    OPTION_TEXTS,
)


def reads_or_refuses(spec: str) -> None:
    try:
        source = open_source(spec)
    except ValueError:
        return
    assert len(source) > 0
    for index in range(len(source)):
        sample = source[index]
        assert sample.key
        assert sample.captions or sample.questions or sample.label is not None
        assert all(caption.strip() for caption in sample.captions)
    for skipped in skipped_samples(source):
        assert skipped.name
        assert skipped.detail
        json.dumps([skipped.name, skipped.detail], ensure_ascii=False).encode()


def read_file(folder: Path, name: str, spec: str, data: bytes) -> None:
    (folder / name).write_bytes(data)
    reads_or_refuses(spec.replace("FILE", str(folder / name)))


def read_spec(folder: Path, spec: str) -> None:
    for name in ("file", "file.csv", "file.jsonl", "file.zip"):
        (folder / name).write_bytes(b'{"image": "a.png", "caption": "x", "split": "train"}\n')
    # Only files of this folder: the machine's own are no part of the test.
    kind, colon, path = spec.rpartition(":") if spec.split("?")[0].count(":") else ("", "", spec)
    if not path.startswith(("/", "~", ".")):
        reads_or_refuses(f"{kind}{colon}{folder}/{path}")


def read_config(folder: Path, data: bytes) -> None:
    (folder / "config.yaml").write_bytes(data)
    with suppress(ValueError):
        from_plain(PretrainConfig, read_yaml(folder / "config.yaml"))


CONFIGS = (
    st.dictionaries(NAMES | LETTERS, VALUES, max_size=4).map(lambda data: encoded(json.dumps(data)))
    | st.text(st.sampled_from("abz:-?[]{}#&*!|>'\"%@` \n\t01.e~"), max_size=40).map(encoded)
    | BYTES
)


@dataclass(frozen=True)
class Fuzz:
    data: st.SearchStrategy
    read: Callable[[Path, object], None]


def file_fuzz(name: str, spec: str, data: st.SearchStrategy) -> Fuzz:
    return Fuzz(data, lambda folder, text: read_file(folder, name, spec, text))  # pyright: ignore[reportArgumentType]


FUZZES = {
    "jsonl": file_fuzz("x.jsonl", "FILE", LINES),
    "jsonl of a split": file_fuzz("x.jsonl", "FILE?split=train&limit=2&seed=1", LINES),
    "csv": file_fuzz("x.csv", "FILE", TABLES | RAW_TABLES | BYTES),
    "tsv": file_fuzz("x.tsv", "FILE?caption=label", TABLES | BYTES),
    "gz": file_fuzz("x.jsonl.gz", "FILE", BYTES.map(lambda data: b"\x1f\x8b\x08" + data)),
    "coco": file_fuzz("x.json", "coco:FILE", JSON_FILES),
    "karpathy": file_fuzz("x.json", "karpathy:FILE", JSON_FILES),
    "vqa": file_fuzz("x.json", "vqa:FILE?annotations=FILE", JSON_FILES),
    "vqa by name": file_fuzz("x.json", "vqa:FILE?name={}.jpg", JSON_FILES),
    "zip": file_fuzz("x.zip", "FILE", BYTES.map(lambda data: b"PK\x03\x04" + data + b"PK\x05\x06" + bytes(18))),
    "spec": Fuzz(SPECS, read_spec),
    "config": Fuzz(CONFIGS, read_config),
}


@pytest.fixture
def folder():
    # Not pytest's: thousands of files are written over one another, best in memory where there is such a place.
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def run(fuzz: Fuzz, folder: Path, max_examples: int, seconds: float) -> int:
    started_at, examples = time.monotonic(), 0

    @settings(
        max_examples=max_examples,
        database=None,
        suppress_health_check=list(HealthCheck),
        print_blob=True,
    )
    @given(fuzz.data)
    def check(data: object) -> None:
        nonlocal examples
        if time.monotonic() - started_at < seconds:
            examples += 1
            fuzz.read(folder, data)

    check()
    return examples


@pytest.mark.parametrize("name", FUZZES)
def test_a_few_examples_are_read_or_refused(folder, name):
    assert run(FUZZES[name], folder, max_examples=25, seconds=math.inf) >= 1


@pytest.mark.slow
def test_minutes_of_examples_are_read_or_refused(folder):
    started_at, total = time.monotonic(), 0
    while time.monotonic() - started_at < SECONDS_OF_LONG_RUN:
        for fuzz in FUZZES.values():
            total += run(fuzz, folder, max_examples=300, seconds=30)
    assert total > 1000
