"""The commands of docs/tutorial.md run from start to end as they stand there, and what they make is good enough."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from builders.code_blocks import blocks_of
from builders.documents import ROOT, Document

TUTORIAL = Document("docs/tutorial.md")


def script() -> str:
    """Return all blocks that run as one shell script that stops at the first error."""
    parts = ["set -euo pipefail"]
    for block in blocks_of(TUTORIAL):
        if block.runs:
            code = block.code if block.language == "sh" else f"python - <<'END OF BLOCK'\n{block.code}END OF BLOCK\n"
            parts.append(f"echo '== line {block.line}' >&2\n{code}")
    return "\n".join(parts)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder in which the tutorial has run; what it printed is in ``said.txt``."""
    folder = tmp_path_factory.mktemp("tutorial")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT / "src"), "XDG_CACHE_HOME": str(folder / "cache")}
    environment.pop("OMP_NUM_THREADS", None)
    started_at = time.monotonic()
    done = subprocess.run(["bash", "-c", script()], cwd=folder, env=environment, capture_output=True, text=True)
    print(f"\nthe tutorial took {time.monotonic() - started_at:.0f} s")
    assert done.returncode == 0, done.stderr
    (folder / "said.txt").write_text(done.stdout, "utf-8")
    return folder


@pytest.mark.slow
def test_its_model_retrieves_and_captions(finished: Path):
    retrieval = json.loads((finished / "retrieval.json").read_text("utf-8"))
    print({name: round(value, 3) for name, value in retrieval["metrics"].items() if "recall_at_1" in name})
    # Chance among 150 photos is 0.7 %; photos with equal captions are no hits of each other.
    assert retrieval["metrics"]["text_to_image_recall_at_1"] > 0.4
    captions = [json.loads(line) for line in (finished / "captions.jsonl").read_text("utf-8").splitlines()]
    assert len(captions) == 150
    assert len({one["caption"] for one in captions}) > 50
    captioning = json.loads((finished / "captioning.json").read_text("utf-8"))
    print({name: round(value, 3) for name, value in captioning["metrics"].items()})
    assert captioning["metrics"]["cider"] > 0.5


@pytest.mark.slow
def test_it_leaves_what_the_page_names(finished: Path):
    for name in ("check.html", "runs/first/report.html", "runs/first/weights/model.safetensors", "explained.png"):
        assert (finished / name).stat().st_size > 1000, name


@pytest.mark.slow
def test_what_the_page_shows_is_what_is_printed(finished: Path):
    said = (finished / "said.txt").read_text("utf-8")
    shown = [block.code for block in blocks_of(TUTORIAL) if block.language == "text"]
    assert shown
    assert [code for code in shown if code not in said] == []


@pytest.mark.slow
def test_its_index_finds_and_its_server_answers(finished: Path):
    assert "<img" in (finished / "found.html").read_text("utf-8")
    hits = json.loads((finished / "hits.json").read_text("utf-8"))["hits"]
    assert len(hits) == 3
    assert "green triangle" in json.dumps([hit["columns"] for hit in hits])
    said = (finished / "said.txt").read_text("utf-8")
    assert re.search(r'"caption": ?"[a-z]+ [a-z]+ [a-z]+', said), "the server captions the photo"
