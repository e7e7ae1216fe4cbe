"""Training on a dirty data set from the command line: 200 usable images, 40 unusable items of 20 kinds."""

import io
import json
import struct
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from builders.predictors import photo
from sycoca.cli.main import main
from sycoca.plain_data import to_plain, write_yaml
from sycoca.training.config import DataConfig, TrainingConfig
from sycoca.training.engine.tracking import read_metrics
from sycoca.training.recipes.pretraining.config import PretrainConfig

GOOD = 200
STEPS, BATCH = 24, 20  # two epochs, so that every sample is seen


def encoded(kind: str) -> bytes:
    file = io.BytesIO()
    photo(seed=7).save(file, kind)
    return file.getvalue()


def png_of(width: int, height: int) -> bytes:
    """Return a PNG file whose header states a size, without pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 99)) + chunk(b"IEND", b"")
    )


def wrong_checksum(png: bytes) -> bytes:
    place = png.index(b"IDAT") + 8
    return png[:place] + bytes([png[place] ^ 0xFF]) + png[place + 1 :]


BAD_FILES: dict[str, tuple[str, bytes]] = {
    "empty.jpg": ("empty file", b""),
    "page.jpg": ("not an image", b"<!DOCTYPE html><html>404</html>"),
    "noise.png": ("not an image", bytes(range(200))),
    "half.jpg": ("broken image", encoded("JPEG")[:400]),
    "half.png": ("broken image", encoded("PNG")[:-100]),
    "checksum.png": ("broken image", wrong_checksum(encoded("PNG"))),
    "half.gif": ("broken image", encoded("GIF")[:300]),
    "start.jpg": ("broken image", b"\xff\xd8\xff\xe0"),
    "pixel.png": ("image too small", png_of(1, 1)),
    "bomb.png": ("image too large", png_of(30_000, 30_000)),
}

BAD_LINES: dict[str, tuple[str, Callable[[str], str]]] = {
    "not json": ("malformed row", lambda image: f'{{"image": "{image}", "caption": '),
    "a list": ("malformed row", lambda image: json.dumps([image, "a dog"])),
    "no image": ("no image name", lambda _: json.dumps({"caption": "a dog"})),
    "image is a number": ("no image name", lambda _: json.dumps({"image": 7, "caption": "a dog"})),
    "no caption": ("no caption", lambda image: json.dumps({"image": image})),
    "empty caption": ("empty caption", lambda image: json.dumps({"image": image, "caption": ""})),
    "blank caption": ("empty caption", lambda image: json.dumps({"image": image, "caption": " \t\n"})),
    "caption is a number": ("caption is no text", lambda image: json.dumps({"image": image, "caption": 3.5})),
    "half a character": ("caption is no text", lambda image: f'{{"image": "{image}", "caption": "\\ud83d"}}'),
}


def write_dirty_set(folder: Path) -> tuple[Path, dict[str, str]]:
    """Write images and captions; return the captions file and the reason of every unusable item by name."""
    lines: list[str] = []
    reasons: dict[str, str] = {}
    images = folder / "images"
    images.mkdir(parents=True)
    for seed in range(GOOD):
        photo(24, 24, seed=seed).save(images / f"{seed}.png")
        lines.append(json.dumps({"image": f"images/{seed}.png", "caption": f"picture number {seed}"}))
    for twice in ("1", "2"):
        for name, (reason, data) in BAD_FILES.items():
            (images / f"{twice}-{name}").write_bytes(data)
            reasons[f"images/{twice}-{name}"] = reason
        reasons[f"images/{twice}-lost.jpg"] = "missing image"
        for name in list(reasons)[-11:]:
            lines.append(json.dumps({"image": name, "caption": "a dog"}))
        for kind, (reason, write) in BAD_LINES.items():
            image = f"{twice}-{kind}.jpg".replace(" ", "-")
            lines.append(write(image))
            is_named = "image" not in reason and reason != "malformed row"
            reasons[f"{image if is_named else folder / 'captions.jsonl'}, line {len(lines)}"] = reason
    captions = folder / "captions.jsonl"
    captions.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return captions, reasons


@pytest.fixture
def dirty(make_run_config, tmp_path: Path) -> tuple[PretrainConfig, dict[str, str]]:
    captions, reasons = write_dirty_set(tmp_path / "data")
    config = make_run_config(
        data=DataConfig(train=str(captions), validation=str(captions), num_workers=1),
        training=TrainingConfig(steps=STEPS, global_batch_size=BATCH, log_every=8, evaluation_samples=10),
    )
    return config, reasons


def pretrain(config: PretrainConfig, folder: Path, *flags: str) -> int:
    write_yaml(folder / "config.yaml", to_plain(config))
    return main(["pretrain", "--config", str(folder / "config.yaml"), *flags])


def test_trains_to_the_end_and_names_each_bad_item_once(dirty, tmp_path: Path, capsys):
    config, reasons = dirty
    assert len(reasons) == 40
    assert len(BAD_FILES) + len(BAD_LINES) + 1 == 20
    assert pretrain(config, tmp_path) == 0
    run = Path(config.out)
    lines = [json.loads(line) for line in (run / "skipped.jsonl").read_text(encoding="utf-8").splitlines()]
    assert {line["name"]: line["reason"] for line in lines} == reasons
    assert len(lines) == 40
    # Every detail names the file.
    assert all(
        line["name"].split(", line")[0].rsplit("/", 1)[-1] in line["detail"]
        for line in lines
        if "image" in line["reason"]
    )
    assert read_metrics(run / "metrics.jsonl")[-1]["skipped_samples"] == 40
    said = " ".join(capsys.readouterr().err.split())
    counted = Counter(reasons.values())
    assert f"40 of 240 samples skipped: {counted['broken image']} broken image" in said
    assert str(run / "skipped.jsonl") in said
    assert "Traceback" not in said


def test_with_ratio_0_it_stops_at_the_first(dirty, tmp_path: Path, capsys):
    config, _ = dirty
    assert pretrain(config, tmp_path, "--data.max-skipped-ratio", "0") == 1
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith(f"sycoca pretrain: {config.data.train}, line ")
    assert line.endswith(
        "(1 of 240 samples cannot be used, more than max_skipped_ratio 0 allows: repair them or allow more)"
    )


def test_above_the_ratio_it_stops_with_the_one_too_many(dirty, tmp_path: Path, capsys):
    config, _ = dirty
    assert pretrain(config, tmp_path, "--data.max-skipped-ratio", "0.1") == 1
    line = capsys.readouterr().err.splitlines()[-1]
    assert "cannot be read as an image: " in line
    assert "(25 of 240 samples cannot be used, more than max_skipped_ratio 0.1 allows" in line
    assert len((Path(config.out) / "skipped.jsonl").read_text(encoding="utf-8").splitlines()) == 25
