import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from builders.small_ablations import made_up_result, small_plan
from sycoca.cli.main import main
from sycoca.experiments.ablation.ablate import analyzed, read_ablation
from sycoca.experiments.ablation.analysis import analyze, paired_difference
from sycoca.experiments.ablation.folder import AblationFolder
from sycoca.experiments.ablation.plan import AblationPlan, agree, read_plan
from sycoca.experiments.ablation.recipe import paper_recipe
from sycoca.experiments.ablation.run_result import RunResult
from sycoca.experiments.ablation.table_text import items_cell, markdown
from sycoca.metrics.power import smallest_detectable_difference
from sycoca.outputs.errors import OutputError
from sycoca.outputs.manifest import DamageError


def test_differences_are_paired_by_seed():
    # The rows are far apart from seed to seed, and alike within one: 1, 2 and 3 more.
    found = paired_difference({0: 11.0, 1: 22.0, 2: 33.0, 9: 0.0}, {0: 10.0, 2: 30.0, 1: 20.0, 8: 5.0})
    assert found is not None
    assert (found.mean, found.deviation, found.num_pairs) == (pytest.approx(2.0), pytest.approx(1.0), 3)
    assert found.interval == pytest.approx((2 - 4.3027 / math.sqrt(3), 2 + 4.3027 / math.sqrt(3)), abs=1e-4)
    assert found.smallest_detectable == pytest.approx(smallest_detectable_difference(1.0, 3))
    assert not found.is_clear


def test_without_common_seeds_there_is_no_difference():
    assert paired_difference({0: 1.0}, {1: 1.0}) is None
    alone = paired_difference({0: 3.0}, {0: 1.0})
    assert alone is not None
    assert (alone.mean, alone.interval, alone.smallest_detectable, alone.is_clear) == (2.0, None, None, False)


def test_the_interval_over_items_compares_resample_by_resample():
    # Resamples differ by far more than the rows, which differ by 1 and 3 in all of them, with a seed each.
    draws = {0: [10.0, 50.0, 30.0], 1: [70.0, 20.0, 90.0]}
    better = {0: [value + 1 for value in draws[0]], 1: [value + 3 for value in draws[1]]}
    found = paired_difference({0: 2.0, 1: 4.0}, {0: 1.0, 1: 1.0}, better, draws)
    assert found is not None
    assert found.item_interval == (pytest.approx(2.0), pytest.approx(2.0))
    assert items_cell("cider", found) == "+2.000 to +2.000"
    # A result of an earlier version has none.
    without = paired_difference({0: 2.0, 1: 4.0}, {0: 1.0, 1: 1.0}, {0: better[0]}, draws)
    assert without is not None
    assert (without.item_interval, items_cell("cider", without)) == (None, "-")


@pytest.fixture
def plan(tmp_path: Path) -> AblationPlan:
    return small_plan(tmp_path)


def test_rows_have_the_results_of_their_steps(plan: AblationPlan):
    results = [
        *(made_up_result(plan, "coca", seed, 4, mean_text_recall=0.1 * seed) for seed in range(3)),
        *(made_up_result(plan, "sycoca", seed, 4, mean_text_recall=0.1 * seed + 0.02) for seed in range(3)),
        made_up_result(plan, "sycoca", 0, 3, mean_text_recall=0.9),
    ]
    coca, sycoca = analyze(plan, results, {"coca": 4, "sycoca": 4}, "steps").rows
    assert (coca.seeds, coca.processor_minutes) == ((0, 1, 2), 1.0)
    assert coca.metrics["mean_text_recall"].mean == pytest.approx(0.1)
    assert coca.metrics["mean_text_recall"].difference is None
    found = sycoca.metrics["mean_text_recall"].difference
    assert found is not None
    assert found.mean == pytest.approx(0.02)
    assert found.is_clear
    _, shorter = analyze(plan, results, {"coca": 4, "sycoca": 3}, "processor-time").rows
    assert shorter.metrics["mean_text_recall"].mean == pytest.approx(0.9)


def test_a_metric_that_a_row_cannot_have_is_left_out(plan: AblationPlan):
    results = [made_up_result(plan, "coca", 0, 4, captioning=2.0, reconstruction_error=None)]
    coca, sycoca = analyze(plan, results, {"coca": 4, "sycoca": 4}, "steps").rows
    assert set(coca.metrics) == {"captioning"}
    assert (sycoca.seeds, sycoca.metrics, sycoca.processor_minutes) == ((), {}, None)


def test_markdown_has_the_papers_numbers_beside_ours(plan: AblationPlan):
    objectives = AblationPlan(
        recipe=paper_recipe("objectives"), setting="scenes", measured_on=plan.measured_on, base=plan.base
    )
    results = [
        made_up_result(objectives, row, seed, 4, mean_text_recall=0.25 + better + 0.01 * seed)
        for row, better in (("coca", 0.0), ("sycoca", 0.035))
        for seed in range(2)
    ]
    steps = {row.name: 4 for row in objectives.recipe.rows}
    text = markdown([analyze(objectives, results, steps, "steps")])
    sycoca = next(line for line in text.splitlines() if "(SyCoCa)" in line)
    assert sycoca == (
        "| + TG-MIM, attentive masks (SyCoCa) | 2 | 4 | 1.0 | 29.0 ± 0.7 % | +3.5 (+3.5 to +3.5)* | - | 0.0 |"
        " - | - | - | - | COCO 18.3 / 18.4, Flickr30k 42.6 / 32.4 |"
    )
    own = [line for line in text.splitlines() if line.startswith("| + TG-MIM, attentive masks (SyCoCa) | 29.0")]
    # 12.71 standard errors, Student's t with one degree of freedom, on both sides of the mean.
    assert own == [
        "| + TG-MIM, attentive masks (SyCoCa) | 29.0 ± 0.7 % | 22.6 to 35.4 | +3.5 (+3.5 to +3.5)* | - | 0.0 |"
    ]
    clip = next(line for line in text.splitlines() if "(CLIP)" in line)
    assert clip == "| ITC only (CLIP) | 0 | 4 | - | - | - | - | - | - | - | - | - | COCO 13.5 / 14.8 |"


def test_the_plan_of_a_table_of_the_paper_is_read_again(plan: AblationPlan, tmp_path: Path):
    written = replace(plan, recipe=paper_recipe("objectives"))
    agree(tmp_path / "out", written)
    found = read_plan(tmp_path / "out")
    assert found.to_plain() == written.to_plain()
    assert found.recipe.row("sycoca").paper["COCO"].mean_text_recall == 18.3


def test_an_unfinished_folder_is_analyzed(plan: AblationPlan, tmp_path: Path):
    folder = AblationFolder(tmp_path / "out")
    agree(folder.path, plan)
    for seed in range(2):
        for row in ("coca", "sycoca")[: 2 - seed]:
            result = made_up_result(plan, row, seed, 4, mean_text_recall=0.5, contrastive=1.0)
            result.save(folder.path / "results" / f"{row}-4steps-seed{seed}.json")
    (found,) = read_ablation(folder.path, "small.yaml").analyses
    assert sum(len(row.seeds) for row in found.rows) == 3
    plain = json.loads(folder.table("json").read_text())
    assert [row["seeds"] for row in plain["analyses"][0]["rows"]] == [[0, 1], [0]]
    assert "<title>Ablation: small</title>" in folder.table("html").read_text()
    assert "http" not in folder.table("html").read_text().replace("http://www.w3.org", "")
    before = folder.table("svg").read_bytes()
    read_ablation(folder.path)
    assert folder.table("svg").read_bytes() == before
    with pytest.raises(OutputError, match="holds an ablation of small, not of objectives"):
        read_ablation(folder.path, "objectives")


def test_steps_of_equal_time_have_a_section_of_their_own(plan: AblationPlan, tmp_path: Path):
    folder = AblationFolder(tmp_path / "out")
    agree(folder.path, plan)
    folder.write_steps({"coca": 4, "sycoca": 3}, {"coca": 0.3, "sycoca": 0.4})
    result = analyzed(folder, plan, ())
    assert [(one.equal, [row.steps for row in one.rows]) for one in result.analyses] == [
        ("steps", [4, 4]),
        ("processor-time", [4, 3]),
    ]
    # The baseline has as many steps in both, but the others have results of one kind alone.
    for row, steps in (("coca", 4), ("sycoca", 3)):
        made_up_result(plan, row, 0, steps).save(folder.path / "results" / f"{row}-{steps}steps-seed0.json")
    assert [one.equal for one in analyzed(folder, plan, ()).analyses] == ["processor-time"]
    made_up_result(plan, "sycoca", 0, 4).save(folder.path / "results" / "sycoca-4steps-seed0.json")
    assert [one.equal for one in analyzed(folder, plan, ()).analyses] == ["steps", "processor-time"]


def test_rows_are_compared_with_any_of_them(plan: AblationPlan, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    folder = AblationFolder(tmp_path / "out")
    agree(folder.path, plan)
    for row, value in (("coca", 0.5), ("sycoca", 0.4)):
        result = made_up_result(plan, row, 0, 4, mean_text_recall=value)
        result.save(folder.path / "results" / f"{row}-4steps-seed0.json")
    words = ["ablate", "small.yaml", "--out", str(folder.path), "--baseline"]
    assert main([*words, "sycoca", "--table", "--json"]) == 0
    captured = capsys.readouterr()
    (analysis,) = json.loads(captured.out)["analyses"]
    coca = analysis["rows"][0]["metrics"]["mean_text_recall"]
    assert coca["difference"]["mean"] == pytest.approx(0.1)
    assert "table.md" not in captured.err
    assert not folder.table("md").exists()
    assert main([*words, "clip", "--table"]) == 1
    assert "baseline 'clip' is not among the rows" in capsys.readouterr().err
    assert main([*words, "sycoca"]) == 2
    assert "give --table, too" in capsys.readouterr().err


def test_results_of_other_settings_are_refused(plan: AblationPlan, tmp_path: Path):
    folder = AblationFolder(tmp_path / "out")
    agree(folder.path, plan)
    made_up_result(plan, "coca", 0, 5).save(folder.path / "results" / "coca-5steps-seed0.json")
    text = (folder.path / "results" / "coca-5steps-seed0.json").read_text()
    (folder.path / "results" / "coca-5steps-seed0.json").write_text(text.replace('"steps": 5', '"steps": 4'))
    with pytest.raises(OutputError, match="another settings_sha256"):
        read_ablation(folder.path)


def test_results_stay_when_a_version_adds_a_switch_and_a_metric(plan: AblationPlan, tmp_path: Path):
    folder = AblationFolder(tmp_path / "out")
    agree(folder.path, plan)
    result = made_up_result(plan, "coca", 0, 4)
    replace(result, metrics={"mean_text_recall": 1.0}).save(folder.path / "results" / "coca-4steps-seed0.json")
    written = json.loads((folder.path / "plan.json").read_text())
    added = written["base"]["objectives"].pop("normalizes_patches")
    (folder.path / "plan.json").write_text(json.dumps(written))
    agree(folder.path, plan)
    (analysis,) = read_ablation(folder.path).analyses
    assert analysis.rows[0].metrics["mean_text_recall"].mean == 1.0
    # A default that was changed is another setting all the same.
    written["base"]["objectives"]["normalizes_patches"] = not added
    (folder.path / "plan.json").write_text(json.dumps(written))
    with pytest.raises(OutputError, match=r"base\.objectives\.normalizes_patches was"):
        agree(folder.path, plan)
    with pytest.raises(OutputError, match="another settings_sha256"):
        read_ablation(folder.path)


def test_resamples_are_optional_lists_of_numbers(plan: AblationPlan, tmp_path: Path):
    path = tmp_path / "result.json"
    result = replace(made_up_result(plan, "coca", 0, 4), resamples={"mean_text_recall": [0.5, 0.25]})
    result.save(path)
    assert RunResult.load(path) == result
    plain = json.loads(path.read_text())
    ragged = {"mean_text_recall": [0.5, 0.25], "mean_image_recall": [0.5]}
    for damaged in ([0.5], {"mean_text_recall": 0.5}, {"mean_text_recall": ["0.5"]}, {"a": [None]}, ragged):
        path.write_text(json.dumps({**plain, "resamples": damaged}))
        with pytest.raises(DamageError, match="is no result of a run"):
            RunResult.load(path)
    metrics = {"metrics": {"mean_text_recall": float("nan")}}
    for one in (metrics, {"metrics": {"cider": True}}, {"row": ["coca"]}, {"seed": "0"}, {"num_samples": None}):
        path.write_text(json.dumps({**plain, **one}))
        with pytest.raises(DamageError):
            RunResult.load(path)
    del plain["resamples"]
    path.write_text(json.dumps(plain))
    assert RunResult.load(path).resamples == {}


def test_a_copied_result_is_not_that_of_another_seed(plan: AblationPlan, tmp_path: Path):
    folder = AblationFolder(tmp_path / "out")
    agree(folder.path, plan)
    result = made_up_result(plan, "coca", 0, 4)
    for seed in (0, 1):
        result.save(folder.path / "results" / f"coca-4steps-seed{seed}.json")
    with pytest.raises(OutputError, match=r"coca-4steps-seed1\.json holds the result of coca-4steps-seed0"):
        read_ablation(folder.path)


@pytest.mark.parametrize("content", ["", "[]", '{"format_version": 1}', '{"format_version": 99}'])
def test_a_damaged_result_is_named(plan: AblationPlan, tmp_path: Path, content: str):
    folder = AblationFolder(tmp_path / "out")
    agree(folder.path, plan)
    (folder.path / "results").mkdir()
    (folder.path / "results" / "coca-4steps-seed0.json").write_text(content)
    with pytest.raises(ValueError, match=r"coca-4steps-seed0\.json"):
        read_ablation(folder.path)
