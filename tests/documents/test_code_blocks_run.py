"""Every block of the site that is not marked runs, page by page, in a folder with small weights and few photos.

Trainings take two steps of a few samples instead of theirs and write no report; all else is as it stands on the page.
The tutorial has a test of its own, which shortens nothing.
"""

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from builders.code_blocks import CodeBlock, blocks_of, pages
from builders.documents import ROOT, Document
from builders.forked_commands import ForkedCommands
from builders.models import write_hf_clip

FEW = {
    "--training.steps": "2",
    "--training.global-batch-size": "8",
    "--training.evaluation-samples": "8",
    "--schedule.warmup-steps": "1",
    "--data.num-workers": "0",
    "--runtime.device": "cpu",
}
"""Less of everything for trainings."""

NO_REPORT = ("--training.no-report", "--training.no-tensorboard")

OF_TESTS = {"docs/tutorial.md"}
PAGES = [page for page in pages() if page.name not in OF_TESTS and any(block.runs for block in blocks_of(page))]


class Stage(NamedTuple):
    """Where pages run: a folder that is filled anew for each, and commands that run in it."""

    folder: Path
    filled: Path
    commands: ForkedCommands

    def fill(self) -> None:
        """Put the folder into the state in which every page finds it."""
        for path in self.folder.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        shutil.copytree(self.filled, self.folder, dirs_exist_ok=True)

    def run(self, words: list[str]) -> None:
        """Run a command of this package."""
        log = self.folder.parent / "log.txt"
        log.unlink(missing_ok=True)
        assert self.commands.start(words, log).wait(300) == 0, f"sycoca {shlex.join(words)}\n{log.read_text('utf-8')}"


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Return a folder with what pages name: photos, captions, the weights of a quickstart and of other runs."""
    folder, filled = tmp_path_factory.mktemp("stage") / "here", tmp_path_factory.mktemp("filled")
    folder.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        made = Stage(folder, filled, ForkedCommands())
        made.run(["data", "write-scenes", "photos", "--count", "24"])
        data = ["--data.train", "photos/captions.jsonl", "--data.validation", "None"]
        made.run(["pretrain", "tiny", *data, *few(), "--out", "run"])
        lines = [json.loads(line) for line in Path("photos/captions.jsonl").read_text("utf-8").splitlines()]
        rows = "".join(json.dumps({**line, "image": f"photos/{line['image']}"}) + "\n" for line in lines)
        for name in ("captions.jsonl", "photos.jsonl"):
            (filled / name).write_text(rows, "utf-8")
        for name in ("runs/quickstart", "runs/small", "base", "tuned"):
            shutil.copytree("run/weights", filled / name / "weights")
        shutil.copytree("photos", filled / "photos")
        write_hf_clip(filled / "clip-vit-base-patch32")
        yield made
        made.commands.close()


def few() -> list[str]:
    return [*(word for pair in FEW.items() for word in pair), *NO_REPORT]


def shortened(words: list[str]) -> list[str]:
    """Return the words of a command, of a training with few steps."""
    if words[0] not in ("pretrain", "finetune"):
        return words
    kept, skips = list[str](), False
    for word in words:
        if not skips and word not in FEW:
            kept.append(word)
        skips = not skips and word in FEW
    return [*kept, *few()]


def run_shell(block: CodeBlock, stage: Stage) -> None:
    """Run the lines of a block: commands of this package as forks, others in a shell.

    A block that leaves a command in the background is a script, which runs as a whole.
    """
    if any(line.endswith(" &") for line in block.code.splitlines()):
        run_in_shell(block.code)
        return
    for line in block.code.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        if words[:1] == ["sycoca"]:
            stage.run(shortened(words[1:]))
        elif words:
            run_in_shell(line)


def run_in_shell(script: str) -> None:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT / "src")}
    subprocess.run(["bash", "-euc", script], check=True, env=environment, timeout=300)


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_blocks_of_a_page_run(page: Document, stage: Stage, monkeypatch: pytest.MonkeyPatch):
    stage.fill()
    monkeypatch.chdir(stage.folder)
    names: dict[str, object] = {}
    exec("from pathlib import Path\n\nimport sycoca\n\npredictor = sycoca.load('runs/quickstart/weights')", names)
    for block in blocks_of(page):
        if block.runs and block.language == "sh":
            run_shell(block, stage)
        elif block.runs:
            exec(compile(block.code, str(block), "exec"), names)


def test_trainings_are_shortened_and_nothing_else():
    words = shlex.split("finetune vqa w --training.steps 500 --out runs/vqa")
    assert shortened(words) == ["finetune", "vqa", "w", "--out", "runs/vqa", *few()]
    assert shortened(["evaluate", "vqa", "w"]) == ["evaluate", "vqa", "w"]


@pytest.mark.slow
def test_a_block_that_fails_is_noticed(stage: Stage, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(stage.folder)
    with pytest.raises(AssertionError, match="data stats missing"):
        run_shell(CodeBlock("x.md", 1, "sh", "sycoca data stats missing.jsonl\n", None), stage)
    with pytest.raises(subprocess.CalledProcessError):
        run_shell(CodeBlock("x.md", 1, "sh", "head missing.csv\n", None), stage)
