"""What a user installs: a wheel, in an empty environment, away from the repository."""

import json
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_a_wheel_runs_the_quickstart_in_an_empty_environment(tmp_path: Path):
    def run(*command: str | Path) -> str:
        done = subprocess.run(
            [str(part) for part in command], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    run(sys.executable, "-m", "build", "--wheel", "--outdir", tmp_path, ROOT)
    (wheel,) = tmp_path.glob("sycoca-*.whl")
    venv.create(tmp_path / "empty", with_pip=True)
    programs = tmp_path / "empty" / "bin"
    run(programs / "pip", "install", "--quiet", "--constraint", ROOT / "constraints.txt", wheel)
    figures = json.loads(run(programs / "sycoca", "quickstart", "--steps", "2", "--json"))
    assert figures["training_seconds"] > 0
    page = (tmp_path / "runs" / "quickstart" / "report.html").read_text(encoding="utf-8")
    assert "SyCoCa quickstart" in page
    clip = "from sycoca.preprocess.tokenizer import Tokenizer; print(Tokenizer.clip(pad='own').vocab_size)"
    assert run(programs / "python", "-c", clip).strip() == "49409"
    (notice,) = (tmp_path / "empty").rglob("site-packages/sycoca/preprocess/clip_merges.LICENSE")
    assert "Copyright (c) 2021 OpenAI" in notice.read_text(encoding="utf-8")
    installed = run(programs / "pip", "list")
    assert not any(name in installed for name in ("torchvision", "nvidia", "timm", "open_clip", "transformers"))
