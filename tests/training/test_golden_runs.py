"""Run folders of earlier versions resume with their configs, checkpoints and metrics."""

import json
import shutil
from pathlib import Path

import pytest

from sycoca.training.finetune import read_finetune_config, resume_finetuning
from sycoca.training.pretrain import resume_pretraining
from sycoca.training.recipes.pretraining.config import PretrainConfig
from sycoca.training.run_folder import RunFolder

GOLDEN = Path(__file__).with_name("golden")
FORMATS = sorted(path.name for path in GOLDEN.glob("format-*"))


def lines(path: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("run", ["pretrain", "retrieval", "vqa", "classification"])
@pytest.mark.parametrize("written_by", FORMATS)
def test_an_old_run_goes_on_as_it_would_have(
    written_by: str, run: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    shutil.copytree(GOLDEN / written_by, tmp_path / "runs")
    monkeypatch.chdir(tmp_path / "runs")  # the configs have paths relative to it
    folder = RunFolder(Path(run))
    if run == "pretrain":
        resume_pretraining(folder.read_config(PretrainConfig))
    else:
        resume_finetuning(read_finetune_config(folder))
    resumed = lines(folder.metrics)[2:]
    for line in resumed:
        del line["images_per_second"]
        assert line.pop("skipped_steps") == 0
    expected = lines(Path(run) / "expected.jsonl")
    for line in expected:
        line.pop("skipped_steps", None)  # not logged when runs of format 1 were written
    assert len(expected) == 2
    # Other processors sum in another order; a lost optimizer state would change the third digit.
    assert [line.keys() for line in resumed] == [line.keys() for line in expected]
    for ours, theirs in zip(resumed, expected, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-4)
    assert (folder.weights / "model.safetensors").is_file()


def test_old_runs_keep_their_order_and_new_ones_have_another():
    orders = {
        written_by: RunFolder(GOLDEN / written_by / "pretrain").read_config(PretrainConfig).data.order
        for written_by in FORMATS
    }
    assert orders == {"format-1": "table", "format-3": "keyed"}
