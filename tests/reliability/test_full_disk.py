"""No space on the disk: small disks, limits on the size of files, and quotas, under the commands of users.

Each command ends with one line that says why and what is left; what was there before stays; the resume command or the
same command then ends well.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from builders.predictors import save_small_weights
from sycoca.outputs.disk_full import REASONS
from sycoca.training.checkpoint_copies import checkpoints_in

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.name != "posix", reason="needs limits on the size of files")]

SMALL = ["--data.train", "scenes:?count=16&size=16", "--data.num-workers", "0", "--runtime.device", "cpu"]
OFTEN = ["--training.global-batch-size", "8", "--training.log-every", "1", "--training.save-every", "2"]
PRETRAIN = ["pretrain", "tiny", *SMALL, "--data.validation", "None", *OFTEN, "--training.steps", "4"]

QUOTA = """
import errno, os
real = os.fsync
def fsync(descriptor):
    if "{name}" in os.path.basename(os.readlink(f"/proc/self/fd/{{descriptor}}")):
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))
    return real(descriptor)
os.fsync = fsync
"""
"""Network file systems report a quota when a file is flushed."""


def run(*words: str, most_bytes: int | None = None, quota_at: str | None = None) -> tuple[int, list[str]]:
    """Run a command and return its exit code and the lines of stderr.

    ``most_bytes``: largest file that the system lets it write. ``quota_at``: part of the name of the file whose
    flushing fails with EDQUOT.
    """
    limit = "" if most_bytes is None else f"resource.setrlimit(resource.RLIMIT_FSIZE, ({most_bytes},) * 2)"
    quota = "" if quota_at is None else QUOTA.format(name=quota_at)
    program = f"import resource, sys\n{limit}\n{quota}\nfrom sycoca.cli.main import main\nsys.exit(main(sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-c", program, *words], capture_output=True, text=True, check=False, timeout=300
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stderr.splitlines()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Return a function that mounts a disk of a size such as 2m."""
    mounted: list[Path] = []

    def mount(size: str) -> Path:
        disk = tmp_path / f"disk{len(mounted)}"
        disk.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(disk)]
        if subprocess.run(command, capture_output=True, check=False).returncode != 0:
            pytest.skip("needs the right to mount a small disk")
        mounted.append(disk)
        return disk

    yield mount
    for disk in mounted:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_small_weights(tmp_path_factory.mktemp("model") / "weights")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for number in range(80):
        Image.new("RGB", (20, 20), (number, 0, 0)).save(folder / f"a_photo_with_a_rather_long_name_{number:03}.png")
    return folder


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed") / "run"
    assert run(*PRETRAIN, "--out", str(folder))[0] == 0
    return folder


def same_weights(first: Path, second: Path) -> bool:
    one, other = (load_file(folder / "weights" / "model.safetensors") for folder in (first, second))
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def checkpoint_bytes(folder: Path) -> int:
    _, newest = checkpoints_in(folder / "checkpoints")[-1]
    return sum(path.stat().st_size for path in newest.iterdir())


def contents(path: Path) -> dict[str, bytes]:
    files = path.rglob("*") if path.is_dir() else [path]
    return {file.name: file.read_bytes() for file in files}


def test_a_checkpoint_that_does_not_fit(undisturbed: Path, small_disk: Callable[[str], Path]):
    needed = checkpoint_bytes(undisturbed)
    disk = small_disk(str(needed * 3 // 2 + 400_000))  # the first checkpoint fits, the second does not
    folder = disk / "run"
    code, lines = run(*PRETRAIN, "--out", str(folder))
    assert (code, lines[-2:]) == (
        1,
        [
            f"sycoca pretrain: the disk is full; {folder} has what was done; free some space and resume with:",
            f"  sycoca pretrain --resume {folder}",
        ],
    )
    assert [path.name for path in (folder / "checkpoints").iterdir()] == ["step-00000002"]
    subprocess.run(["mount", "-o", f"remount,size={needed * 6}", str(disk)], check=True)
    assert run("pretrain", "--resume", str(folder))[0] == 0
    assert same_weights(folder, undisturbed)


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.safetensors", "state.json", "config.json"])
def test_a_quota_that_is_used_up(undisturbed: Path, tmp_path: Path, name: str):
    folder = tmp_path / "run"
    code, lines = run(*PRETRAIN, "--out", str(folder), quota_at=name)
    assert code == 1
    assert lines[-2] == (
        f"sycoca pretrain: the disk quota is used up; {folder} has what was done; free some space and resume with:"
    )
    assert run("pretrain", "--resume", str(folder))[0] == 0
    assert same_weights(folder, undisturbed)


@pytest.mark.parametrize("kilobytes", [4, 8])
def test_a_tokenizer_that_may_not_grow_leaves_no_run(undisturbed: Path, tmp_path: Path, kilobytes: int):
    folder = tmp_path / "run"
    code, lines = run(*PRETRAIN, "--out", str(folder), most_bytes=kilobytes * 1000)
    assert code == 1
    assert lines[-1].startswith("sycoca pretrain: the file is larger than the limit of this shell (ulimit -f)"), lines
    assert lines[-1].endswith(f"; {folder} was not written")
    assert run(*PRETRAIN, "--out", str(folder))[0] == 0
    assert same_weights(folder, undisturbed)


@pytest.mark.parametrize("kilobytes", [16, 64, 1000])
def test_files_that_may_not_grow(undisturbed: Path, tmp_path: Path, kilobytes: int):
    folder = tmp_path / "run"
    code, lines = run(*PRETRAIN, "--out", str(folder), most_bytes=kilobytes * 1000)
    assert code == 1
    assert lines[-2].startswith("sycoca pretrain: the file is larger than the limit of this shell (ulimit -f)"), lines
    assert lines[-1] == f"  sycoca pretrain --resume {folder}"
    assert run("pretrain", "--resume", str(folder))[0] == 0
    assert same_weights(folder, undisturbed)


def test_a_report_that_does_not_fit_leaves_weights_and_checkpoint(undisturbed: Path, tmp_path: Path):
    folder = tmp_path / "run"
    code, lines = run(*PRETRAIN, "--out", str(folder), quota_at="report")
    assert (code, "the disk quota is used up" in lines[-2]) == (1, True), lines
    assert same_weights(folder, undisturbed)
    assert not (folder / "report.html").exists()
    assert run("pretrain", "--resume", str(folder))[0] == 0
    assert (folder / "report.html").stat().st_size > 0


def test_captions_continue_where_they_stopped(weights: Path, photos: Path, tmp_path: Path):
    whole, out = tmp_path / "whole.jsonl", tmp_path / "captions.jsonl"
    words = ["caption", str(weights), str(photos), "--batch-size", "8", "--max-tokens", "3", "--device", "cpu"]
    assert run(*words, "--out", str(whole))[0] == 0
    code, lines = run(*words, "--out", str(out), most_bytes=whole.stat().st_size // 2)
    assert (code, lines[-2].endswith("; free some space and resume with:")) == (1, True), lines
    assert "--resume" in lines[-1]
    assert out.stat().st_size > 0
    assert run(*words, "--out", str(out), "--resume")[0] == 0
    assert out.read_bytes() == whole.read_bytes()


@pytest.mark.parametrize(
    "command",
    [
        ["embed", "{weights}", "{photos}", "--out", "{out}.npz"],
        ["caption", "{weights}", "{photos}", "--max-tokens", "2", "--format", "coco", "--out", "{out}.json"],
        ["average", "{weights}", "{weights}", "--out", "{out}"],
        ["explain", "{weights}", "{photo}", "a photo", "--out", "{out}.png"],
        ["data", "check", "{photos}", "--out", "{out}.html"],
    ],
    ids=lambda words: words[0],
)
def test_what_was_there_stays(command: list[str], weights: Path, photos: Path, tmp_path: Path):
    photo = next(photos.iterdir())
    words = [word.format(weights=weights, photos=photos, photo=photo, out=tmp_path / "out") for word in command]
    out = Path(words[-1])
    assert run(*words)[0] == 0
    before = contents(out)
    code, lines = run(*words, "--overwrite", most_bytes=500)
    assert (code, f"{out} is as it was before" in lines[-1]) == (1, True), lines
    assert lines[-1].startswith(f"sycoca {command[0]}")
    assert contents(out) == before
    assert [path.name for path in out.parent.iterdir()] == [out.name], "nothing else is left"
    assert run(*words, "--overwrite")[0] == 0


def test_stdout_that_is_full(weights: Path, photos: Path):
    command = [sys.executable, "-m", "sycoca", "caption", str(weights), str(photos), "--max-tokens", "2", "--json"]
    with open("/dev/full", "w", encoding="utf-8") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)
    assert done.stderr.splitlines()[-1] == f"sycoca caption: stdout cannot be written: {REASONS[28]}"


def test_metrics_are_whole_lines_afterwards(undisturbed: Path, tmp_path: Path):
    folder = tmp_path / "run"
    run(*PRETRAIN, "--out", str(folder), most_bytes=16_000)
    run("pretrain", "--resume", str(folder))
    first, second = (
        [json.loads(line)["contrastive"] for line in (one / "metrics.jsonl").read_text().splitlines()]
        for one in (folder, undisturbed)
    )
    assert first == second
