"""Damages of a run folder: each is reported by name, and the resumed run ends bit for bit like an undisturbed one."""

import os
import random
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from builders.damages import (
    Damage,
    append_foreign,
    empty,
    endless,
    flip,
    flip_in_key,
    halve,
    make_file,
    make_folder,
    prepend,
    remove,
    truncate,
    zero,
    zero_end,
)
from builders.interrupted_runs import differences, finished_run, interrupted_run, values
from sycoca.cli.main import main
from sycoca.plain_data import read_yaml
from sycoca.training.engine.checkpoints.soundness import damage_of

pytestmark = pytest.mark.slow

NEWEST, BEFORE = "step-00000004", "step-00000002"
TENSORS = ("model.safetensors", "optimizer.safetensors", "average.safetensors")
PLAIN = ("state.json", "manifest.json", "config.yaml", "tokenizer.json", "start.json")


def from_step_before(path: Path) -> None:
    shutil.copy(path.parents[1] / BEFORE / path.name, path)


def copy_of_step_before(path: Path) -> None:
    remove(path)
    shutil.copytree(path.with_name(BEFORE), path)


def renamed(path: Path) -> None:
    path.rename(path.with_name("step-00000005"))


def emptied(path: Path) -> None:
    remove(path)
    path.mkdir()


def linked_to_itself(path: Path) -> None:
    remove(path)
    path.symlink_to(path)


FILE_DAMAGES = (truncate, halve, empty, zero, zero_end, flip(0), flip(0.37), flip(0.5), flip(1), remove, make_folder)

OF_CHECKPOINT: list[tuple[str, Damage]] = [
    *((name, damage) for name in TENSORS + PLAIN for damage in FILE_DAMAGES),
    *((name, from_step_before) for name in (*TENSORS, "state.json", "manifest.json")),
    *(("", damage) for damage in (make_file, emptied, copy_of_step_before, renamed, linked_to_itself)),
]

LINES = ("metrics.jsonl", "skipped.jsonl", "skipped_validation.jsonl", "skipped_steps.jsonl")

FOREIGN = {
    "nul": bytes(4096),
    "nul line": bytes(50) + b"\n",
    "text": b"hello\n",
    "JSON of another file": b'{"x": 1}\n',
    "a list": b"[1, 2]\n",
    "wrong types": b'{"step": "2", "name": 5, "reason": null, "detail": []}\n',
    "other encoding": "\u00e9 {}\n".encode("utf-16"),
}

OF_LINES: list[tuple[str, Damage]] = [
    *((name, damage) for name in LINES for damage in (empty, halve, zero, remove, make_folder, endless)),
    *((name, prepend(key, data)) for name in LINES for key, data in FOREIGN.items() if key != "nul"),
    *((name, append_foreign(key, data)) for name in LINES for key, data in FOREIGN.items()),
]

OF_SMALL_FILES: list[tuple[str, Damage]] = [
    *((name, damage) for name in ("tokenizer.json", "start.json") for damage in FILE_DAMAGES),
    # A flipped bit in a value of a config looks like an edit, which people may make.
    *(("config.yaml", damage) for damage in FILE_DAMAGES if not damage.__name__.startswith("flip")),
    *(("config.yaml", flip_in_key(position)) for position in (0, 0.37, 0.5, 1)),
    *(("log.txt", damage) for damage in (truncate, empty, zero, remove, make_folder)),
]

SILENT = {remove, empty}
"""Damages of a file of lines, or of a log, that nothing tells from a file in which nothing was written."""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished_run(tmp_path_factory.mktemp("finished"))


def resumed(run: Path, finished: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """Resume a run, compare its end with that of the undisturbed one, and return what was said."""
    capsys.readouterr()
    code = main(["pretrain", "--resume", str(run)])
    said = capsys.readouterr().err
    assert code == 0, said
    assert differences(finished, run) == []
    return said


def content(path: Path) -> object:
    """Return what a file holds; of a config without the name of the folder, which has been copied."""
    if path.name == "config.yaml":
        plain = read_yaml(path)
        return {**plain, "out": ""} if isinstance(plain, dict) else plain
    return path.read_bytes() if path.is_file() else None


@pytest.mark.parametrize(
    ("name", "damage"), OF_CHECKPOINT, ids=[f"{name or 'folder'}-{damage.__name__}" for name, damage in OF_CHECKPOINT]
)
def test_a_damage_of_the_newest_checkpoint_is_named_and_stepped_over(
    name: str, damage: Damage, finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    run = interrupted_run(finished, tmp_path)
    checkpoints = run / "checkpoints"
    damage(checkpoints / NEWEST / name)
    said = resumed(run, finished, capsys)
    assert "resuming after step 2" in said
    assert values(run) == values(finished)
    (warning,) = [line for line in said.splitlines() if ".damaged" in line]
    damaged = checkpoints / ("step-00000005" if damage is renamed else NEWEST)
    # A flipped bit of the manifest may be in the name of a file.
    is_somewhere = name == "manifest.json" or name == ""
    assert warning.startswith(str(damaged if is_somewhere else damaged / name)), warning
    assert warning.endswith(f"the checkpoint is now {damaged.name}.damaged, and the run resumes after step 2")
    names = {path.name for path in checkpoints.iterdir()}
    assert names == {BEFORE, NEWEST, f"{damaged.name}.damaged", "step-00000006"}


def test_no_flipped_bit_goes_through_silently(finished: Path, tmp_path: Path):
    folder = interrupted_run(finished, tmp_path) / "checkpoints" / NEWEST
    drawn, started_at, num_found = random.Random(18), time.perf_counter(), 0
    for path in sorted(folder.iterdir()):
        data = path.read_bytes()
        for _ in range(250):
            flipped = bytearray(data)
            flipped[drawn.randrange(len(data))] ^= 1 << drawn.randrange(8)
            path.write_bytes(flipped)
            assert damage_of(folder, 4) is not None, path.name
            num_found += 1
        path.write_bytes(data)
    assert damage_of(folder, 4) is None
    print(f"\n{num_found:,} flipped bits found in {time.perf_counter() - started_at:.0f} s")


@pytest.mark.parametrize(
    ("name", "damage"),
    OF_LINES + OF_SMALL_FILES,
    ids=[f"{name}-{damage.__name__}" for name, damage in OF_LINES + OF_SMALL_FILES],
)
def test_no_side_file_stops_a_resume(
    name: str, damage: Damage, finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    run = interrupted_run(finished, tmp_path)
    before = content(run / name)
    damage(run / name)
    said = resumed(run, finished, capsys)
    is_text = name in (*LINES, "log.txt")
    if (is_text and damage in SILENT) or (name == "log.txt" and damage is not make_folder):
        return
    assert str(run / name) in said, said
    if name in PLAIN:
        assert content(run / name) == before
    if damage is not remove and name in (*LINES, *PLAIN):
        assert (run / f"{name}.damaged").exists()
    if "encoding" not in damage.__name__ and (damage.__name__.startswith(("append", "prepend")) or name not in LINES):
        assert [line["step"] for line in values(run)] == [1, 2, 3, 4, 5, 6]


def test_everything_damaged_at_once(finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    run = interrupted_run(finished, tmp_path)
    for name in (*LINES, "config.yaml", "tokenizer.json", "start.json"):
        zero(run / name)
    flip(0.5)(run / "checkpoints" / NEWEST / "model.safetensors")
    make_folder(run / "log.txt")
    said = resumed(run, finished, capsys)
    assert sum(".damaged" in line for line in said.splitlines()) == len(LINES) + 3 + 1 + 1
    assert main(["pretrain", "--resume", str(run), "--training.steps", "7"]) == 0
    assert ".damaged" not in capsys.readouterr().err, "what was healed is not reported again"


def test_files_that_may_not_be_read(capsys: pytest.CaptureFixture[str]):
    parent = Path(tempfile.mkdtemp())  # pytest's own folder may not be entered by others
    try:
        finished = finished_run(parent / "data")
        with an_ordinary_user(parent):
            for number, name in enumerate(("", "model.safetensors", "state.json", "manifest.json", "config.yaml")):
                run = interrupted_run(finished, parent / str(number))
                (run / "checkpoints" / NEWEST / name).chmod(0)
                said = resumed(run, finished, capsys)
                assert "cannot be read: Permission denied; the checkpoint is now step-00000004.damaged" in said
            for name in (*LINES, "config.yaml", "tokenizer.json", "start.json", "log.txt"):
                run = interrupted_run(finished, parent / name)
                (run / name).chmod(0)
                said = resumed(run, finished, capsys)
                assert f"{name} cannot be read: Permission denied; it is now {name}.damaged" in said
    finally:
        shutil.rmtree(parent)


@contextmanager
def an_ordinary_user(folder: Path) -> Iterator[None]:
    """Context in which this process owns a folder as somebody who is not root, whom no permission stops."""
    if os.geteuid() != 0:
        yield
        return
    for path in (folder, *folder.rglob("*")):
        os.chown(path, 65534, 65534)
    os.setegid(65534)
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
