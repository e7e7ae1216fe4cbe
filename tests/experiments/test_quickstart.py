import io
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from builders.small_quickstart import make_quickstart_small
from sycoca.cli.main import main
from sycoca.data.spec import open_source
from sycoca.experiments.quickstart import page
from sycoca.experiments.quickstart import quickstart as module
from sycoca.experiments.quickstart import tasks as quickstart_tasks
from sycoca.experiments.quickstart.quickstart import QuickstartResult, _is_of_run, quickstart, remove_run
from sycoca.outputs.errors import OutputError, OutputInterrupted
from sycoca.outputs.lease import Lease, lease_beside, lease_inside

BASELINES = ("", "_no_caption", "_other_caption")


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> QuickstartResult:
    """Return a quickstart of two steps on few scenes."""
    with pytest.MonkeyPatch.context() as patch:
        make_quickstart_small(patch)
        out = tmp_path_factory.mktemp("runs") / "quickstart"
        return quickstart(out, steps=2, console=Console(file=io.StringIO()))


def test_writes_figures_reports_weights_and_a_page(result: QuickstartResult):
    plain = json.loads((result.page.parent / "report.json").read_text())
    assert plain["task"] == "quickstart"
    assert plain["metrics"] == result.metrics
    tasks = {"retrieval", "captioning", "vqa", "zero_shot", "classification"}
    assert plain["reports"].keys() == {*tasks, "swaps", "grounding", "baselines"}
    assert {"cider", "bleu_4", "caption_truth"} <= plain["reports"]["captioning"]["metrics"].keys()
    for name in (
        "text_to_image_recall_at_1",
        "text_to_image_recall_at_10",
        "text_to_image_recall_at_1_ceiling",
        "text_to_image_recall_at_1_color_only",
        "caption_truth",
        "caption_truth_most_frequent",
        "caption_detail",
        *(f"{name}{suffix}" for name in ("described_patch_auc", "mask_coverage") for suffix in BASELINES),
        *(f"noun_phrase_average_precision{suffix}" for suffix in (*BASELINES, "_any_object", "_random")),
        "swap_accuracy",
        "zero_shot_accuracy_top_1",
        "answer_accuracy",
        "classification_accuracy_top_1",
        "training_seconds",
        "fine_tuning_seconds",
    ):
        assert plain["metrics"][name] >= 0
    run = result.page.parent
    for weights in (result.weights, run / "vqa" / "weights", run / "classification" / "weights"):
        assert (weights / "model.safetensors").is_file()


def test_the_page_shows_all_results(result: QuickstartResult):
    html = result.page.read_text()
    for heading in (
        "Training curves",
        "Text-to-image retrieval",
        "Captions",
        "Questions",
        "Classes",
        "Attentive masks",
        "All metrics",
        "Next commands",
    ):
        assert heading in html
    assert html.count("word by word") == 6
    assert html.count("<img") - html.count('alt="patches that match') == 5 * 5 + 3 * 10 + 6 * 6
    assert f"{100 * result.metrics['mask_coverage']:.1f} %" in html
    assert f"no caption {100 * result.metrics['mask_coverage_no_caption']:.1f} %" in html
    assert f"no caption {result.metrics['described_patch_auc_no_caption']:.3f}" in html


def test_every_headline_has_its_number_of_items_and_an_interval(result: QuickstartResult):
    html = result.page.read_text()
    figures = html.count('<div class="value">')
    assert figures == html.count('<div class="evidence">N = ') == html.count("95\u00a0% interval ") > 5
    assert "N = 24 test " in html
    num_phrases = result.reports["grounding"].counts["noun_phrases"]
    assert f"N = {num_phrases} test noun phrases, " in html


def test_noun_phrases_stand_beside_their_baselines(result: QuickstartResult):
    html, name = result.page.read_text(), "noun_phrase_average_precision"
    shown = {
        suffix: f"{100 * result.metrics[f'{name}{suffix}']:.1f} %" for suffix in (*BASELINES, "_any_object", "_random")
    }
    assert f'<div class="value">{shown[""]}</div>' in html
    assert (
        f"no caption {shown['_no_caption']}, another image&#39;s caption {shown['_other_caption']}, all objects alike"
        f" {shown['_any_object']}, chance {shown['_random']}"
    ) in html


def test_a_report_of_an_earlier_version_knows_no_noun_phrases_and_gets_no_figure(result: QuickstartResult):
    report = result.reports["grounding"]
    metrics = {key: value for key, value in report.metrics.items() if not key.startswith("noun_phrase")}
    earlier = result.reports | {"grounding": replace(report, metrics=metrics)}
    titles = [figure.label for figure in page._figures(result.metrics, result.reports)]
    assert [figure.label for figure in page._figures(result.metrics, earlier)] == titles[:-1]


def test_the_page_says_how_many_images_retrieval_ranks(result: QuickstartResult):
    assert "Each caption ranks 24 held-out scenes;" in result.page.read_text()


def test_the_last_example_command_explains_the_first_scene_with_its_caption():
    first = open_source(module.TEST_SCENES)[0]
    assert f"images/000000.png '{first.captions[0]}' --out" in module.commands_to_try(Path("weights"))[-1]


def test_deletes_only_run_folders(tmp_path: Path):
    remove_run(tmp_path / "absent")
    with pytest.raises(ValueError, match="is not a run folder: it has no config"):
        remove_run(tmp_path)
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.yaml").touch()
    remove_run(run)
    assert not run.exists()


def test_a_deletion_that_is_killed_can_be_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    run, remove = tmp_path / "run", os.rmdir
    for name in ("checkpoints", "classification", "reports", "scenes", "tensorboard", "vqa", "weights"):
        (run / name).mkdir(parents=True)
        if name == "reports":
            (run / "config.yaml").touch()

    def killed(*arguments: Any, **options: Any) -> None:
        assert (run / "config.yaml").exists(), "the folder is still known as a run"
        remove(*arguments, **options)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "rmdir", killed)
        with pytest.raises(OutputInterrupted):
            remove_run(run)
    remove_run(run)
    assert not run.exists()


def test_a_folder_with_more_than_a_run_is_not_deleted(tmp_path: Path, result: QuickstartResult):
    assert [path.name for path in result.page.parent.iterdir() if not _is_of_run(path)] == []
    project = tmp_path / "project"
    (project / "weights").mkdir(parents=True)
    unfinished = (".config.yaml.0123456789ab.partial.yaml", ".weights.0123456789ab", ".vqa.lease")
    for name in ("config.yaml", "quickstart.json.damaged-2", *unfinished):
        (project / name).touch()
    for name in ("thesis.txt", ".git"):
        (project / name).touch()
        with pytest.raises(ValueError, match=rf"project holds more than a run \({name} would be deleted\), so nothing"):
            remove_run(project)
        (project / name).unlink()
    remove_run(project)
    assert not project.exists()


def test_a_quickstart_that_still_runs_is_neither_joined_nor_deleted(tmp_path: Path):
    run = tmp_path / "run"
    (run / "vqa").mkdir(parents=True)
    (run / "config.yaml").touch()
    for lease in (lease_beside(run), lease_inside(run)):
        with Lease(lease, run), pytest.raises(OutputError, match="run is being written by this very process"):
            remove_run(run)
    with Lease(lease_beside(run), run), pytest.raises(OutputError, match="run is being written by this very process"):
        quickstart(run, console=Console(quiet=True))
    assert sorted(path.name for path in run.iterdir()) == ["config.yaml", "vqa"]


def test_an_existing_folder_is_not_changed(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "notes.txt").touch()
    assert main(["quickstart", "--out", str(tmp_path)]) == 1
    assert "exists and holds no quickstart that could be continued" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_every_caption_begins_with_its_class_in_one_of_the_prompts():
    source = open_source("scenes:?level=easy&count=100")
    for sample in (source[index] for index in range(len(source))):
        prompts = [template.replace("{}", str(sample.label)) for template in quickstart_tasks.FIRST_WORDS]
        assert all(any(caption.startswith(prompt) for prompt in prompts) for caption in sample.captions)
