import json
from pathlib import Path

import pytest

from builders.benchmark_files import write_benchmarks
from builders.predictors import save_small_weights
from sycoca.cli.main import main


def test_all_four_benchmarks_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    weights, folder = save_small_weights(tmp_path / "weights"), write_benchmarks(tmp_path)
    evaluate = ["evaluate", "hard-negatives", str(weights), "--images", str(folder), "--json", "--data"]
    expected = {
        f"sugarcrepe:{folder}/sugarcrepe": ("hard_negative_accuracy_of_negative_type_add_att", {"choices": 3}),
        f"aro:{folder}/visual_genome_relation.json": ("hard_negative_accuracy_mean_of_types", {"choices": 3}),
        f"winoground:{folder}/examples.jsonl": ("winoground_group_score_likelihood", {"pairs": 2}),
        f"pope:{folder}/coco_pope_random.json": ("pope_f1_likelihood_gain", {"questions": 4}),
    }
    for spec, (metric, counts) in expected.items():
        assert main([*evaluate, spec]) == 0
        report = json.loads(capsys.readouterr().out)
        assert report["task"] == "hard_negatives"
        assert 0 <= report["metrics"][metric] <= 1
        assert report["counts"].items() >= counts.items()
        is_winoground = spec.startswith("winoground")
        assert is_winoground == (not any("without seeing the image" in remark for remark in report.get("remarks", [])))
    assert main([*evaluate, f"pope:{folder}/missing.json"]) == 1
    error = capsys.readouterr().err
    assert "missing.json cannot be read" in error
    assert error.count("\n") == 1
