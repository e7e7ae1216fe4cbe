"""Small ablations, run as a user runs them."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from builders.predictors import photo_source, small_predictor
from builders.small_ablations import (
    RECIPE,
    TEST_SCENES,
    made_up_result,
    small_plan,
    small_settings,
    write_recipe,
)
from sycoca.cli.main import main
from sycoca.data.loading.skipping import SkipLog
from sycoca.data.spec import open_source
from sycoca.evaluation.report import ItemScores, Report
from sycoca.experiments.ablation import transfer
from sycoca.experiments.ablation.ablate import ablate
from sycoca.experiments.ablation.folder import AblationFolder
from sycoca.experiments.ablation.measures import NUM_RESAMPLES, losses_as_used, measure, resampled_headlines
from sycoca.experiments.ablation.one_run import complete_run
from sycoca.experiments.ablation.plan import AblationPlan, PlannedRun, agree
from sycoca.experiments.ablation.recipe import recipe_of
from sycoca.experiments.ablation.run_result import RunResult
from sycoca.facts.ablation_metrics import HEADLINES, MEASURED, METRIC_GROUPS
from sycoca.inference.load import load
from sycoca.inference.predictor import Predictor
from sycoca.objectives.config import ObjectivesConfig
from sycoca.plain_data import write_yaml
from sycoca.records import ImageTextBatch
from sycoca.training.engine.runtime import Runtime
from sycoca.training.recipes.pretraining.recipe import Pretraining
from sycoca.training.run.assembly import RunParts, assemble
from sycoca.training.run_folder import RunFolder


def assembled(plan: AblationPlan, row: str, seed: int, scratch: Path) -> RunParts:
    """Return a run before its first step."""
    config = plan.config(PlannedRun(row=row, seed=seed, steps=0), scratch)
    recipe = Pretraining.for_new_run(config)
    source = recipe.open_sources().train
    with Runtime(config.runtime) as runtime:
        trained = recipe.build(source, RunFolder(scratch), runtime)
        return assemble(config, source, trained, runtime, SkipLog(source, 0.2))


def in_float32(predictor: Predictor) -> Predictor:
    predictor.model.float()
    return predictor


def first_batches(parts: RunParts) -> list[ImageTextBatch]:
    steps = parts.batches.from_position(0)
    found = [batch for _ in range(4) for batch in next(steps)]
    assert all(isinstance(batch, ImageTextBatch) for batch in found)
    return found  # pyright: ignore[reportReturnType]


@pytest.mark.parametrize("row", [row.name for row in recipe_of("objectives").rows if row.name != "coca"])
def test_rows_of_one_seed_have_equal_towers_and_equal_batches(tmp_path: Path, row: str):
    small = small_plan(tmp_path)
    plan = replace(small, recipe=recipe_of("objectives"))
    coca, other = (assembled(plan, name, 3, tmp_path / name) for name in ("coca", row))
    own, theirs = (parts.trained.model.state_dict() for parts in (coca, other))
    shared = own.keys() & theirs.keys()
    parts_of = {name.partition(".")[0] for name in shared}
    expected = {"image_encoder", "text_encoder", "log_logit_scale"}
    assert parts_of == expected | ({"text_decoder"} if row != "clip" else set())
    assert {name for name in own.keys() - shared if not name.startswith("text_decoder.")} == set()
    assert all(torch.equal(own[name], theirs[name]) for name in shared)
    for one, another in zip(first_batches(coca), first_batches(other), strict=True):
        assert torch.equal(one.images, another.images)  # pyright: ignore[reportArgumentType]
        assert torch.equal(one.tokens, another.tokens)
        assert torch.equal(one.draw_keys, another.draw_keys)


def test_another_seed_has_other_towers_and_batches(tmp_path: Path):
    plan = small_plan(tmp_path)
    one, other = (assembled(plan, "coca", seed, tmp_path / str(seed)) for seed in (0, 1))
    own, theirs = (parts.trained.model.image_encoder.patch_embedding.weight for parts in (one, other))
    assert not torch.equal(own, theirs)
    assert not torch.equal(first_batches(one)[0].draw_keys, first_batches(other)[0].draw_keys)


def test_rows_that_reconstruct_share_the_image_decoder(tmp_path: Path):
    plan = replace(small_plan(tmp_path), recipe=recipe_of("objectives"))
    one, other = (
        assembled(plan, row, 0, tmp_path / row).trained.model.image_decoder for row in ("sycoca", "tg_mim_random")
    )
    assert one is not None
    assert other is not None
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(one.parameters(), other.parameters(), strict=True))


def test_a_run_is_trained_measured_and_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(transfer, "VQA_STEPS", 5)
    plan = small_plan(tmp_path)
    folder = AblationFolder(tmp_path / "out")
    agree(folder.path, plan)
    run = PlannedRun(row="coca", seed=1, steps=4)
    result = complete_run(plan, folder, run)
    assert RunResult.load(folder.result(run)) == result
    assert folder.results(plan) == [result]
    without = {name for name, value in result.metrics.items() if value is None}
    # The few images have classes with a single one, which no probe can be fitted to; their questions have one answer.
    assert without == {
        name for name in MEASURED if name.startswith(("reconstruction", "probe_accuracy", "vqa_accuracy"))
    }
    assert list((tmp_path / "out" / "runs").rglob("vqa")) == []
    assert (result.row, result.seed, result.steps, result.num_samples, result.killed_sessions) == ("coca", 1, 4, 12, 0)
    assert result.settings_sha256 == plan.digest(run)
    assert {name: len(values) for name, values in result.resamples.items()} == dict.fromkeys(HEADLINES, NUM_RESAMPLES)
    assert 0 < result.training_processor_seconds < result.processor_seconds


@pytest.mark.slow
def test_two_rows_and_two_seeds_end_to_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    words = ["ablate", str(write_recipe(tmp_path)), "--out", str(tmp_path / "out"), "--test", TEST_SCENES]
    assert main([*words, "--seeds", "2", "--processes", "2", "--json"]) == 0
    captured = capsys.readouterr()
    (analysis,) = json.loads(captured.out)["analyses"]
    coca, sycoca = analysis["rows"]
    assert (coca["seeds"], sycoca["seeds"], analysis["equal"]) == ([0, 1], [0, 1], "steps")
    assert coca["metrics"]["mean_text_recall"]["difference"] is None
    assert sycoca["metrics"]["captioning"]["difference"]["num_pairs"] == 2
    assert "reconstruction_error" not in coca["metrics"]
    assert sycoca["metrics"].keys() - coca["metrics"].keys() == {
        name for name in MEASURED if name.startswith("reconstruction")
    }
    assert captured.err.count("is finished") == 4
    folder = AblationFolder(tmp_path / "out")
    run = PlannedRun(row="sycoca", seed=1, steps=4)
    result = RunResult.load(folder.result(run))
    assert folder.result(run).stat().st_size < 8000
    assert set(result.metrics) == set(MEASURED)
    assert {name for name, value in result.metrics.items() if value is None} == {
        name for name in MEASURED if name.startswith(("probe_accuracy", "vqa_accuracy"))
    }
    assert (result.steps, result.num_samples, result.measured_on) == (4, 12, TEST_SCENES)
    assert str(tmp_path) not in folder.result(run).read_text()
    assert list((tmp_path / "out" / "runs").iterdir()) == []
    # The same command has nothing left to do; --table analyzes alone.
    for more in ([], ["--table"]):
        assert main([*words, "--seeds", "2", *more]) == 0
        captured = capsys.readouterr()
        assert "is finished" not in captured.err
        assert "small, scenes: equal steps" in captured.out


@pytest.mark.slow
def test_a_run_that_fails_is_named_and_ends_no_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    recipe = {**RECIPE, "rows": {**RECIPE["rows"], "broken": {"data": {"train": "missing.jsonl"}}}}
    write_yaml(tmp_path / "mine.yaml", recipe)
    words = ["ablate", str(tmp_path / "mine.yaml"), "--out", str(tmp_path / "out"), "--test", TEST_SCENES]
    assert main([*words, "--seeds", "1", "--processes", "2", "--keep-weights"]) == 1
    captured = capsys.readouterr()
    assert "sycoca ablate: broken-4steps-seed0 failed: " in captured.err
    assert "missing.jsonl" in captured.err
    folder = AblationFolder(tmp_path / "out")
    kept = folder.run(PlannedRun(row="sycoca", seed=0, steps=4))
    assert (kept / "weights" / "model.safetensors").exists()
    assert not (kept / "checkpoints").exists()
    # What a result says can be measured again from the weights.
    predictor = load(kept / "weights", device="cpu", dtype="float32")
    objectives = small_plan(tmp_path).config(PlannedRun(row="sycoca", seed=0, steps=0), kept).objectives
    again = measure(predictor, open_source(TEST_SCENES), objectives)
    result = RunResult.load(folder.result(PlannedRun(row="sycoca", seed=0, steps=4)))
    of_transfer = {name: result.metrics[name] for name in METRIC_GROUPS["transfer"]}
    expected = {**again.metrics, **of_transfer}
    undefined = {name for name, value in expected.items() if value is None}
    assert {name for name, value in result.metrics.items() if value is None} == undefined
    assert {name: value for name, value in result.metrics.items() if value is not None} == pytest.approx(
        {name: value for name, value in expected.items() if value is not None}, rel=1e-4
    )


def test_losses_are_those_of_use_and_of_fixed_batches(tmp_path: Path):
    plan = small_plan(tmp_path)
    parts = assembled(plan, "sycoca", 0, tmp_path / "run")
    predictor = Predictor(parts.trained.model.eval(), parts.trained.tokenizer, parts.trained.weights)
    source = open_source(TEST_SCENES)
    losses = losses_as_used(predictor, source, plan.base.objectives)
    captions = [source[index].captions[0] for index in range(len(source))]
    images = [source[index] for index in range(len(source))]
    likelihoods = predictor.caption_log_likelihood(images, captions)
    num_labels = sum(len(predictor.tokenizer.encode(caption, 32)) - 1 for caption in captions)
    assert losses["captioning"] == pytest.approx(-float(likelihoods.sum()) / num_labels, rel=1e-4)
    similarities = predictor.embed_images(images) @ predictor.embed_texts(captions).T
    logits = similarities * predictor.model.logit_scale().item()
    targets = torch.arange(len(logits))
    entropies = [torch.nn.functional.cross_entropy(one, targets).item() for one in (logits, logits.T)]
    assert losses["contrastive"] == pytest.approx(sum(entropies) / 2, rel=1e-4)
    # Rows are compared by it, whatever loss each was trained with.
    for other in ("sigmoid", "decoupled"):
        objectives = replace(plan.base.objectives, contrastive_loss=other)
        assert losses_as_used(predictor, source, objectives) == losses


def test_resamples_are_those_of_images_with_all_their_captions():
    hits = np.array([[1, 1, 1], [0, 1, 1], [0, 0, 1], [0, 0, 0]])
    named = {f"recall_at_{k}": column.tolist() for k, column in zip((1, 5, 10), hits.T, strict=True)}
    keys = ["a", "b", "c", "d"]
    of_captions = {f"text_to_image_{name}": values * 2 for name, values in named.items()}
    items = {
        "image": ItemScores(keys=keys, values={f"image_to_text_{name}": values for name, values in named.items()}),
        "caption": ItemScores(keys=keys * 2, values=of_captions, groups=keys * 2),
    }
    report = Report(task="retrieval", metrics={}, counts={}, items=items)
    found = resampled_headlines(report)
    # Two captions of an image have its own hits here, so that both directions agree where images are drawn alike.
    assert found["mean_text_recall"] == found["mean_image_recall"]
    assert len(set(found["mean_text_recall"])) > 5
    assert np.mean(found["mean_text_recall"]) == pytest.approx(hits.mean(), abs=0.05)
    assert resampled_headlines(report) == found
    one = {
        unit: replace(own, keys=own.keys[:1], values={n: v[:1] for n, v in own.values.items()}, groups=None)
        for unit, own in items.items()
    }
    assert resampled_headlines(replace(report, items=one)) == {}


def test_a_run_is_claimed_once(tmp_path: Path):
    plan = small_plan(tmp_path)
    folder = AblationFolder(tmp_path / "out")
    agree(folder.path, plan)
    run = PlannedRun(row="coca", seed=0, steps=4)
    with folder.claim(run) as first, folder.claim(run) as second:
        assert first is not None
        assert second is None
    with folder.claim(run) as again:
        assert again is not None
    folder.result(run).parent.mkdir()
    folder.result(run).write_text("{}")
    with folder.claim(run) as finished:
        assert finished is None


@pytest.mark.parametrize("keeps_weights", [False, True])
def test_what_a_killed_process_has_left_of_a_finished_run_is_deleted(tmp_path: Path, keeps_weights: bool):
    folder = AblationFolder(tmp_path / "out")
    finished, tidy, begun = (PlannedRun(row="coca", seed=seed, steps=4) for seed in range(3))
    for run in (finished, tidy, begun):
        (folder.run(run) / "weights").mkdir(parents=True)
    for run in (finished, begun):
        (folder.run(run) / "checkpoints").mkdir()
    folder.result(tidy).parent.mkdir()
    for run in (finished, tidy):
        folder.result(run).touch()
    folder.tidy_finished([finished, tidy, begun], keeps_weights=keeps_weights)
    assert folder.run(finished).exists() == keeps_weights
    assert not (folder.run(finished) / "checkpoints").exists()
    assert (folder.run(tidy) / "weights").exists()
    assert (folder.run(begun) / "checkpoints").exists()


def test_a_folder_of_other_settings_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    agree(tmp_path / "out", small_plan(tmp_path))
    words = ["ablate", str(write_recipe(tmp_path)), "--out", str(tmp_path / "out"), "--test", TEST_SCENES]
    assert main([*words, "--steps", "8"]) == 2
    assert "was begun with other settings: base.training.steps was 4, is 8" in capsys.readouterr().err
    rows = {"sycoca": {"objectives": {"masked_image_weight": 0.5}}, "coca": RECIPE["rows"]["coca"]}
    for changed, difference in (
        ({**RECIPE["rows"], "half": {}}, "rows.half is new: {}"),
        ({"coca": RECIPE["rows"]["coca"]}, "rows.sycoca is no more: {}"),
        (rows, "rows.sycoca.objectives is new: {'masked_image_weight': 0.5}"),
    ):
        write_yaml(tmp_path / "small.yaml", {**RECIPE, "rows": changed})
        assert main(words) == 2
        assert f"was begun with other settings: {difference}; name another folder" in capsys.readouterr().err
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "photo.jpg").touch()
    assert main([*words[:3], str(tmp_path / "other")]) == 2
    assert "holds no ablation (photo.jpg is in it)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["objective", "--out", "out"], "'objective' is neither a RECIPE.yaml nor a table; did you mean 'objectives'"),
        (["objectives", "--out", "out", "--seeds", "none"], "seeds 'none' is neither"),
        (["objectives", "--out", "out", "--table", "--dry-run"], "give --table or --dry-run, not both"),
        (["objectives", "--out", "out", "--processes", "0"], "processes must be at least 1, got 0"),
        (["none.yaml", "--out", "out"], "none.yaml cannot be read"),
        (["objectives", "--out", "out", "--table"], "out/plan.json is missing; name the folder of an ablation"),
    ],
)
def test_wrong_usage_is_one_line(
    words: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    assert main(["ablate", *words]) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.out == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("more", [[], ["--dry-run"]])
@pytest.mark.parametrize("split", ["train", "test", "validation"])
def test_data_that_all_runs_lack_are_named_before_the_first(
    split: str, more: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    base = {**RECIPE["base"], "data": {"train": "none.csv"}} if split == "train" else RECIPE["base"]
    write_yaml(tmp_path / "small.yaml", {**RECIPE, "base": base})
    measured = ["--split", "test" if split == "train" else split, "--test", TEST_SCENES, f"--{split}", "none.csv"]
    assert main(["ablate", str(tmp_path / "small.yaml"), "--out", str(tmp_path / "out"), *measured, *more]) == 1
    assert f"{split} data: there is no file 'none.csv'; name others with --{split}" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_flags_beside_a_table_are_those_of_the_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    agree(tmp_path / "out", small_plan(tmp_path))
    words = ["ablate", str(tmp_path / "small.yaml"), "--out", str(tmp_path / "out"), "--table"]
    assert main([*words, "--test", TEST_SCENES, "--steps", "4", "--seeds", "2"]) == 0
    capsys.readouterr()
    for flags, found in (
        (["--split", "validation"], f"{TEST_SCENES}, not scenes:?level=medium&count=4000&split=validation&size=32"),
        (["--test", "other.csv"], f"{TEST_SCENES}, not other.csv"),
        (["--steps", "8"], "4, not 8"),
        (["--setting", "flickr8k"], "scenes, not flickr8k"),
    ):
        assert main([*words, *flags]) == 2
        assert f"--table shows what {tmp_path / 'out'} has, {found}: leave --" in capsys.readouterr().err


def test_weights_that_were_not_kept_are_missed(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    plan, settings = small_plan(tmp_path), small_settings(tmp_path, keep_weights=True)
    folder = AblationFolder(settings.out)
    agree(folder.path, plan)
    for row in ("coca", "sycoca"):
        for seed in (0, 1):
            run = PlannedRun(row=row, seed=seed, steps=4)
            made_up_result(plan, row, seed, 4, mean_text_recall=0.5).save(folder.result(run))
    (folder.run(run) / "weights").mkdir(parents=True)
    ablate(settings)
    assert "the weights of 3 finished runs were not kept; delete results such as" in caplog.text


def test_a_result_that_cannot_be_read_is_named_before_runs_start(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    folder = AblationFolder(tmp_path / "out")
    agree(folder.path, small_plan(tmp_path))
    (folder.path / "results").mkdir()
    (folder.path / "results" / "coca-4steps-seed0.json").write_text("{")
    words = ["ablate", str(tmp_path / "small.yaml"), "--out", str(tmp_path / "out"), "--test", TEST_SCENES]
    assert main(words) == 1
    assert "coca-4steps-seed0.json" in capsys.readouterr().err
    assert not (folder.path / "runs").exists()


def test_a_dry_run_estimates_and_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    words = ["ablate", str(write_recipe(tmp_path)), "--out", str(tmp_path / "out"), "--test", TEST_SCENES]
    assert main([*words, "--seeds", "3", "--dry-run", "--json", "--equal", "processor-time"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["seeds"], found["steps"]["coca"]) == ([0, 1, 2], 4)
    assert 1 <= found["steps"]["sycoca"] <= 6
    assert main([*words, "--seeds", "3", "--dry-run"]) == 0
    assert capsys.readouterr().out.startswith("6 runs: 2 rows x 3 seeds\n")
    assert not (tmp_path / "out").exists()


def test_of_photos_what_needs_the_truth_of_scenes_is_not_measured():
    source = photo_source([("a red circle", "a blue square"), ("a green star",), ("a square",)])
    measured = measure(in_float32(small_predictor()), source, ObjectivesConfig()).metrics
    absent = {name for name, value in measured.items() if value is None}
    assert absent == {
        name
        for name in MEASURED
        if name.startswith(("described_patch_auc", "mask_coverage", "caption_truth", "caption_detail", "swap_accuracy"))
        or name in METRIC_GROUPS["transfer"]
        or (name.startswith("reconstruction") and "described" in name)
    }
    contrast = ObjectivesConfig(captioning_weight=0.0, masked_image_weight=0.0)
    clip = in_float32(small_predictor(model_text_decoder=None, model_image_decoder=None))
    of_clip = measure(clip, source, contrast).metrics
    assert {name for name, value in of_clip.items() if value is not None} == set(METRIC_GROUPS["retrieval"])
