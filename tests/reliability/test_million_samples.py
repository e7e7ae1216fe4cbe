"""One million samples in 100 shards: bytes of the index, private memory and start of a run."""

import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest

from builders.shards import image_bytes, member

pytestmark = pytest.mark.slow

NUM_SHARDS, PER_SHARD, STEPS = 100, 10_000, 12
BLOCK, DIGITS = 512, 9
WORDS = [first + last for first in ("ba", "co", "du", "fi", "go", "ha", "ki", "lo") for last in "tnrsxmplg"]


@lru_cache
def header(suffix: str, size: int) -> bytes:
    """Return the header of a member with a key of zeros."""
    return member(f"{'0' * DIGITS}.{suffix}", bytes(size))[:BLOCK]


def quick_member(key: bytes, suffix: str, content: bytes) -> bytes:
    """Return a member as `member` does, thirty times as fast."""
    zeros = header(suffix, len(content))
    checksum = int(zeros[148:154], 8) + sum(key) - DIGITS * ord("0")
    return b"".join([key, zeros[DIGITS:148], b"%06o\0 " % checksum, zeros[156:], content, bytes(-len(content) % BLOCK)])


def write_large_shard(path: Path, shard: int) -> None:
    """Write a shard of tiny images with captions of 4 to 16 words."""
    generator = random.Random(shard)
    with path.open("wb", buffering=2**20) as file:
        for number in range(PER_SHARD):
            key = b"%09d" % (shard * PER_SHARD + number)
            caption = " ".join(generator.choices(WORDS, k=generator.randint(4, 16)))
            file.write(quick_member(key, "png", image_bytes(number % 64)))
            file.write(quick_member(key, "txt", caption.encode()))
        file.write(bytes(2 * BLOCK))


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder of a million samples, 2 GB."""
    folder = tmp_path_factory.mktemp("million")
    if shutil.disk_usage(folder).free < 6e9:
        pytest.skip("needs 6 GB of disk")
    for shard in range(NUM_SHARDS):
        write_large_shard(folder / f"{shard:05d}.tar", shard)
    yield folder
    shutil.rmtree(folder)


def output_of(*arguments: str) -> str:
    """Return what a Python process prints: type checks of tests would slow this one down."""
    root = Path(__file__).parents[2]
    environment = os.environ | {"PYTHONPATH": f"{root / 'src'}{os.pathsep}{root / 'tests'}"}
    done = subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def seconds_to_open(spec: str) -> float:
    code = (
        "import sys, time; from sycoca.data.spec import open_source; start = time.perf_counter();"
        "assert len(open_source(sys.argv[1])) == 1_000_000; print(time.perf_counter() - start)"
    )
    return float(output_of("-c", code, spec))


def measured_run(spec: str, out: Path) -> dict[str, Any]:
    return json.loads(output_of("-m", "builders.measured_start", spec, str(out), str(STEPS)).splitlines()[-1])


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_million_samples_cost_bytes_not_objects(shards: Path, tmp_path: Path):
    spec = f"shards:{shards}/{{00000..00099}}.tar"
    building, opening = seconds_to_open(spec), seconds_to_open(spec)
    (index,) = (shards / ".sycoca-index").iterdir()
    sizes = {path.name: path.stat().st_size for path in index.iterdir()}
    each = (sum(sizes.values()) - sizes["texts.bin"]) / (NUM_SHARDS * PER_SHARD)
    few = measured_run(f"{spec}?limit=1000", tmp_path / "few")
    many = measured_run(spec, tmp_path / "many")
    more = sum(many["private_mib"]) - sum(few["private_mib"])
    print(
        f"\nindex: {each:.2f} bytes a sample beside the captions, built in {building:.1f} s, opened in"
        f" {1000 * opening:.1f} ms; private memory of a process and its 2 workers: {sum(many['private_mib']):.0f} MiB,"
        f" with 1,000 samples {sum(few['private_mib']):.0f} MiB; first batch after {many['seconds']:.2f} s, of"
        f" which {many['processor_seconds']:.2f} s on the processor; with 1,000 samples {few['seconds']:.2f} s and"
        f" {few['processor_seconds']:.2f} s"
    )
    assert each <= 28
    assert opening < 1
    assert more <= 300
    # Of the processor, since other programs may take most of it while this test runs.
    assert many["processor_seconds"] <= 5
