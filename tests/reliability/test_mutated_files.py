"""Mutated files of every kind are read or refused by name, in bounded time and memory; nothing else happens.

Run it alone with ``pytest -s -m slow tests/reliability/test_mutated_files.py``. SYCOCA_FUZZ_SEED sets the seed,
SYCOCA_FUZZ_CASES their number, and SYCOCA_FUZZ_CASE=kind:number runs one case alone.
"""

import gzip
import io
import json
import os
import random
import re
import shutil
import sys
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from builders.forked import MIB, run_forked
from builders.image_bytes import encoded
from builders.mutations import mutated
from builders.predictors import save_small_weights
from sycoca.data.class_lists import read_classes
from sycoca.data.samples import SampleSource, skipped_samples
from sycoca.data.spec import open_source
from sycoca.outputs.manifest import MANIFEST_NAME, verification
from sycoca.plain_data import from_plain, read_yaml, to_plain, write_yaml
from sycoca.preprocess.decoding import open_rgb
from sycoca.presets.pretrain import PRESETS
from sycoca.training.recipes.pretraining.config import PretrainConfig
from sycoca.unusable import UnusableSampleError
from sycoca.weights.config import MODEL_FILES
from sycoca.weights.conversion.checkpoint_files import read_checkpoint
from sycoca.weights.folder import LoadedWeights, load_weights

SEED = int(os.environ.get("SYCOCA_FUZZ_SEED", "0"))
SECONDS, BYTES = 10.0, 1024 * MIB
CASES, QUICK_CASES, BATCH = int(os.environ.get("SYCOCA_FUZZ_CASES", "10000")), 380, 50

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is read from /proc")

NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (24, 20, 3), dtype=np.uint8))


@dataclass(frozen=True, kw_only=True, slots=True)
class Kind:
    """A kind of file: what is mutated, and how it is read."""

    files: dict[str, bytes]
    """The files that are mutated, by name."""

    read: Callable[[Path], object]
    """Reads the mutated file of a folder."""

    beside: dict[str, bytes] | None = None
    """Files that stay as they are."""


def image_kind(**files: bytes) -> Kind:
    return Kind(
        files={name.replace("_", ".", 1): data for name, data in files.items()},
        read=lambda path: open_rgb(path).size,
    )


def of_source(prefix: str = "", options: str = "") -> Callable[[Path], object]:
    def read(path: Path) -> object:
        source = open_source(f"{prefix}{path}{options}")
        skipped = skipped_samples(source)
        counted = {(one.name, one.detail) for one in skipped}
        assert len(counted) == len(skipped), "a skipped sample is counted twice"
        for index in range(min(4, len(source))):
            problem = image_problem(source, index)
            assert problem is None or str(path.parent) in problem, f"the image is not named: {problem}"
        return len(source)

    return read


def image_problem(source: SampleSource, index: int) -> str | None:
    try:
        source[index].open_image()
    except UnusableSampleError as error:
        return str(error)
    return None


def text(value: object) -> bytes:
    return json.dumps(value).encode()


def text_kinds() -> dict[str, Kind]:
    png = {"a.png": encoded(NOISE, "PNG").getvalue(), "b.png": encoded(NOISE, "PNG").getvalue()}
    rows = [{"image": "a.png", "captions": ["a cat", "two"], "split": "train", "label": "cat"}]
    rows += [{"image": "b.png", "question": "why?", "answers": ["no", "yes"], "question_id": 7}]
    lines = b"\n".join(map(text, rows * 3))
    table = b'image,caption,split\na.png,"a cat, wet",train\nb.png,"one\nline",test\n'
    coco = {"images": [{"id": 1, "file_name": "a.png"}, {"id": 2, "file_name": "b.png"}]}
    coco |= {"annotations": [{"id": 3, "image_id": 1, "caption": "a cat"}, {"image_id": 2, "caption": "dog"}]}
    karpathy = {"images": [{"filename": "a.png", "split": "test", "sentences": [{"raw": "a cat"}]}] * 2}
    vqa = {"questions": [{"image_id": 1, "question": "why?", "question_id": 7}], "data_subtype": "val2014"}
    answers = {"annotations": [{"question_id": 7, "answers": [{"answer": "no"}], "answer_type": "other"}]}
    asked = {**png, "q.json": text(vqa), "COCO_val2014_000000000001.jpg": encoded(NOISE, "JPEG").getvalue()}
    return {
        "jsonl": Kind(files={"x.jsonl": lines, "x.jsonl.gz": gzip.compress(lines)}, read=of_source(), beside=png),
        "table": Kind(
            files={"x.csv": table, "x.tsv": table.replace(b",", b"\t"), "x.csv.gz": gzip.compress(table)},
            read=of_source(),
            beside=png,
        ),
        "coco": Kind(
            files={"x.json": text(coco), "x.json.gz": gzip.compress(text(coco))}, read=of_source("coco:"), beside=png
        ),
        "karpathy": Kind(files={"x.json": text(karpathy)}, read=of_source("karpathy:"), beside=png),
        "vqa": Kind(files={"x.json": text(vqa)}, read=of_source("vqa:"), beside=asked),
        "annotations": Kind(
            files={"y.json": text(answers)},
            read=lambda path: of_source("vqa:", f"?annotations={path}")(path.parent / "q.json"),
            beside=asked,
        ),
        "classes": Kind(
            files={"x.json": text(["cat", ["dog", "hound"]]), "x.csv": b"0,cat\n1,dog\n", "x.txt": b"cat\ndog\n"},
            read=lambda path: len(read_classes(str(path))),
        ),
    }


def archive(names: dict[str, bytes], method: int) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as packed:
        for name, data in names.items():
            packed.writestr(name, data)
    return file.getvalue()


def image_kinds() -> dict[str, Kind]:
    exif = Image.Exif()
    exif[0x0112] = 6
    moving = {"save_all": True, "append_images": [NOISE.rotate(90)]}
    pictures = {f"{one}/{i}.png": encoded(NOISE, "PNG").getvalue() for one in ("cat", "dog") for i in range(2)}
    return {
        "jpeg": image_kind(
            a_jpg=encoded(NOISE, "JPEG", exif=exif).getvalue(),
            b_jpg=encoded(NOISE, "JPEG", progressive=True).getvalue(),
            c_jpg=encoded(NOISE.convert("CMYK"), "JPEG").getvalue(),
        ),
        "png": image_kind(
            a_png=encoded(NOISE, "PNG", exif=exif).getvalue(),
            b_png=encoded(NOISE.convert("P"), "PNG", transparency=3).getvalue(),
            c_png=encoded(NOISE.convert("I;16"), "PNG").getvalue(),
        ),
        "gif": image_kind(a_gif=encoded(NOISE, "GIF", **moving).getvalue()),
        "webp": image_kind(
            a_webp=encoded(NOISE, "WEBP", **moving).getvalue(), b_webp=encoded(NOISE, "WEBP").getvalue()
        ),
        "tiff": image_kind(
            a_tif=encoded(NOISE, "TIFF", compression="tiff_lzw", exif=exif).getvalue(),
            b_tif=encoded(NOISE.convert("F"), "TIFF").getvalue(),
        ),
        "bmp": image_kind(a_bmp=encoded(NOISE, "BMP").getvalue(), b_bmp=encoded(NOISE.convert("P"), "BMP").getvalue()),
        "zip": Kind(
            files={
                "x.zip": archive(pictures, zipfile.ZIP_STORED),
                "y.zip": archive(pictures, zipfile.ZIP_DEFLATED),
                "z.zip": archive(pictures, zipfile.ZIP_LZMA),
            },
            read=of_source(),
        ),
    }


def refused_unless_harmless(sound: dict[str, bytes]) -> Callable[[Path], object]:
    def read(path: Path) -> object:
        loaded = load_weights(path.parent)
        changed = [name for name in MODEL_FILES if (path.parent / name).read_bytes() != sound[name]]
        assert not changed, f"a change of {changed} has gone through"
        return len(loaded.config.history)

    return read


def without_verification(load: Callable[[Path], LoadedWeights]) -> Callable[[Path], object]:
    """What checks of the structure find by themselves, as in folders that have no manifest."""

    def read(path: Path) -> object:
        with verification(False):
            return len(load(path.parent).config.history)

    return read


def model_kinds(folder: Path) -> dict[str, Kind]:
    weights = save_small_weights(folder / "weights")
    files = {name: (weights / name).read_bytes() for name in (*MODEL_FILES, MANIFEST_NAME)}
    write_yaml(folder / "config.yaml", to_plain(PRESETS["tiny"]()))
    tensors = io.BytesIO()
    torch.save({"a.weight": torch.ones(3, 4), "state": torch.ones(2)}, tensors)
    return {
        "config": Kind(
            files={"config.yaml": (folder / "config.yaml").read_bytes()},
            read=lambda path: from_plain(PretrainConfig, read_yaml(path), str(path)),
        ),
        "weights": Kind(files=files, read=refused_unless_harmless(files), beside=files),
        "unverified weights": Kind(files=files, read=without_verification(load_weights), beside=files),
        "checkpoint": Kind(
            files={"a.safetensors": files["model.safetensors"], "a.pt": tensors.getvalue()},
            read=lambda path: len(read_checkpoint(path).tensors),
        ),
    }


@pytest.fixture(scope="module")
def kinds(tmp_path_factory):
    return {**text_kinds(), **image_kinds(), **model_kinds(tmp_path_factory.mktemp("models"))}


def run_case(kind: Kind, seed: str, folder: Path) -> str | None:
    """Read one mutated file; return what is wrong with how it went."""
    generator = random.Random(seed)
    name = generator.choice(sorted(kind.files))
    path = folder / name
    for other, data in (kind.beside or {}).items():
        (folder / other).write_bytes(data)
    path.write_bytes(mutated(kind.files[name], generator))
    before = sorted(os.listdir(folder))
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    idle, started = memory("VmRSS"), time.perf_counter()
    wrong = None
    try:
        kind.read(path)
    except ValueError as error:
        wrong = fault_of(str(error), path)
    except BaseException as error:
        wrong = f"{type(error).__name__}: {str(error)[:200]}"
    seconds, extra = time.perf_counter() - started, memory("VmHWM") - idle
    if seconds > SECONDS or extra > BYTES:
        wrong = f"{seconds:.1f} s, {extra / MIB:,.0f} MiB"
    if sorted(os.listdir(folder)) != before:
        wrong = f"the folder has changed: {sorted(os.listdir(folder))}"
    path.unlink()
    return wrong


def fault_of(message: str, path: Path) -> str | None:
    # Answers that fit no question are missing in the questions' file; what fits no config or manifest concerns the
    # whole folder.
    names = {"y.json": path.parent / "q.json", "model.safetensors": path.parent, MANIFEST_NAME: path.parent}
    if str(path) not in message and str(names.get(path.name, path)) not in message:
        return f"does not name the file: {message[:200]}"
    if "\n" in message or len(message) > 5000:
        return f"is no line: {message[:200]!r}"
    return None


def memory(field: str) -> int:
    found = re.search(rf"{field}:\s*(\d+) kB", Path("/proc/self/status").read_text(encoding="ascii"))
    return int(found[1]) * 1024 if found else 0


def run_cases(kinds: dict[str, Kind], cases: list[str], folder: Path) -> list[str]:
    """Read mutated files in a forked child; return the faults, each with its case."""
    progress = folder / "progress"
    work = folder / "work"

    def all_of_them() -> list[str]:
        found = []
        for case in cases:
            progress.write_text(case, encoding="utf-8")
            shutil.rmtree(work, ignore_errors=True)
            work.mkdir()
            wrong = run_case(kinds[case.partition(":")[0]], f"{SEED}:{case}", work)
            found += [] if wrong is None else [f"{case}: {wrong}"]
        return found

    measured = run_forked(all_of_them, timeout=len(cases) * SECONDS)
    if measured.error is not None:
        return [f"{progress.read_text(encoding='utf-8')}: {measured.error}"]
    assert isinstance(measured.result, list)
    return measured.result


def check(kinds: dict[str, Kind], number: int, folder: Path) -> None:
    print(f"seed {SEED}")
    names = sorted(kinds)
    cases = [f"{names[i % len(names)]}:{i // len(names)}" for i in range(number)]
    if alone := os.environ.get("SYCOCA_FUZZ_CASE"):
        cases = [alone]
    started = time.perf_counter()
    faults = []
    for begin in range(0, len(cases), BATCH):
        faults += run_cases(kinds, cases[begin : begin + BATCH], folder)
    print(f"{len(cases):,} mutated files in {time.perf_counter() - started:.0f} s, {len(faults)} faults")
    assert not faults, "\n".join(faults[:40])


def test_hundreds_of_mutated_files(kinds, tmp_path):
    check(kinds, QUICK_CASES, tmp_path)


@pytest.mark.slow
def test_ten_thousand_mutated_files(kinds, tmp_path):
    check(kinds, CASES, tmp_path)
