"""The quickstart: preset tiny pretrained on built-in scenes, five tasks evaluated on held-out ones, an HTML report."""

import json
import logging
import re
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from sycoca.data.scenes.source import ScenesSource
from sycoca.data.spec import open_source
from sycoca.evaluation.report import Report
from sycoca.experiments.quickstart.page import TunedModels, quickstart_page
from sycoca.experiments.quickstart.progress import FOLDERS, QuickstartOptions, QuickstartProgress, progress_path
from sycoca.experiments.quickstart.tasks import SAVE_EVERY, measure_pretrained, tune_for_classes, tune_for_questions
from sycoca.inference.load import load
from sycoca.outputs.lease import Lease, lease_inside
from sycoca.outputs.output import Output
from sycoca.plain_data import write_text
from sycoca.presets.pretrain import tiny
from sycoca.reports.page import save_page
from sycoca.training.pretrain import pretrain, resume_pretraining
from sycoca.training.recipes.pretraining.config import PretrainConfig
from sycoca.training.run_folder import RunFolder

TEST_SCENES = "scenes:?level=easy&count=500&split=test"
"""Scenes for evaluation, whose content does not occur in training."""

GROUNDING_HEADLINES = ("described_patch_auc", "mask_coverage", "noun_phrase_average_precision")
"""Metrics of grounding among the key figures, with their baselines."""

_OTHER_NAMES = ("report.json", "reports", "scenes", "first_batch.png")
"""The names in the folder of a quickstart that are not those of a run."""

_HIDDEN_NAME = re.compile(r"(\..+)?\.(lease|[0-9a-f]{12}(\.new|\.partial(\..*)?)?)")
"""The names of leases, and of what killed processes were writing."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class QuickstartResult:
    """The result of a quickstart."""

    metrics: dict[str, float]
    """The key figures; fractions are 0 to 1."""

    reports: dict[str, Report]
    """The complete reports of all evaluations."""

    weights: Path
    """The pretrained model."""

    page: Path
    """The HTML report."""


def quickstart(out: Path, *, seed: int = 0, steps: int | None = None, console: Console) -> QuickstartResult:
    """Pretrain, fine-tune for VQA and classification, evaluate all five tasks and report into the folder ``out``.

    An interrupted quickstart continues where it was; what is finished is not done again, and the figures are those of
    an uninterrupted one. ``steps`` shortens every training (the metrics then mean little). Raises ValueError where the
    folder holds something else or a quickstart with other options, OutputError (a ValueError) where another process
    writes it, TrainingInterrupted after Ctrl-C.
    """
    with _output(out).claim():
        return _quickstart(out, QuickstartOptions(seed=seed, steps=steps), console)


def _output(out: Path) -> Output:
    """Return the folder as an output. Its lease lies beside it: each training takes the one inside its run folder."""
    return Output(path=out, kind="folder", resume=True)


def _quickstart(out: Path, options: QuickstartOptions, console: Console) -> QuickstartResult:
    progress = QuickstartProgress(out, options)
    config, folder = _config(out, options), progress.folder("pretraining")
    progress.train(
        "pretraining",
        start=lambda: pretrain(config, console=console),
        resume=lambda: resume_pretraining(config, console=console),
    )
    predictor = load(folder.weights)
    source, with_distractors = open_source(TEST_SCENES), open_source(f"{TEST_SCENES}&distractors=1")
    assert isinstance(source, ScenesSource)
    assert isinstance(with_distractors, ScenesSource)
    logger.info(f"measuring on {len(source)} held-out scenes")
    reports = measure_pretrained(predictor, source, with_distractors, progress, console)
    tuned = TunedModels(
        vqa=tune_for_questions(folder.weights, progress, source, options, console),
        classification=tune_for_classes(folder.weights, progress, source, options, console),
    )
    reports |= {"vqa": tuned.vqa.report, "classification": tuned.classification.report}
    metrics = _summary(reports, progress)
    # The page is written last: where there is one, everything is finished.
    if folder.report.exists():
        logger.info(f"the quickstart in {out} is finished; --restart begins it from scratch")
    else:
        plain = {"task": "quickstart", "metrics": metrics, "reports": {n: r.to_plain() for n, r in reports.items()}}
        write_text(folder.path / "report.json", json.dumps(plain, indent=2) + "\n")
        page = quickstart_page(config, folder, predictor, source, tuned, reports, metrics)
        save_page(replace(page, next_commands=commands_to_try(folder.weights)), folder.report)
    return QuickstartResult(metrics=metrics, reports=reports, weights=folder.weights, page=folder.report)


def commands_to_try(weights: Path) -> list[str]:
    """Return example commands for the trained models."""
    run = weights.parent
    photos = run / "scenes"
    shown = open_source(TEST_SCENES)[0]  # the scene that the first command writes first
    return [
        f"sycoca data write-scenes {photos} --count 20 --split test",
        f"sycoca caption {weights} {photos}/images/*.png",
        f"sycoca ask {run}/vqa/weights {photos}/images/000000.png '{shown.questions[0].question}'",
        f"sycoca classify {run}/classification/weights {photos}/images/000000.png",
        f"sycoca evaluate retrieval {weights} --data '{TEST_SCENES}'",
        f"sycoca explain {weights} {photos}/images/000000.png '{shown.captions[0]}' --out explained.png",
    ]


def remove_run(out: Path) -> None:
    """Delete an earlier quickstart's folder.

    Raises ValueError where it is none or holds anything else, or another process writes it.
    """
    if not out.exists():
        return
    if not RunFolder(out).config.exists() and not progress_path(out).exists():
        raise ValueError(f"{out} is not a run folder: it has no config.yaml, so nothing was deleted")
    if others := sorted(path.name for path in out.iterdir() if not _is_of_run(path)):
        raise ValueError(
            f"{out} holds more than a run ({others[0]} would be deleted), so nothing was deleted; choose another name"
        )
    with _output(out).claim(), Lease(lease_inside(out), out):
        marks = {RunFolder(out).config, progress_path(out)}
        for path in set(out.iterdir()) - marks - {lease_inside(out)}:
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        shutil.rmtree(out)  # by these it is known as a run, also where the deletion is interrupted before


def _is_of_run(path: Path) -> bool:
    """Return whether a quickstart, or a command that it shows, writes a path of its folder."""
    names = {*RunFolder(path.parent).names, *FOLDERS.values(), progress_path(path.parent).name, *_OTHER_NAMES}
    # What is damaged stands there with a suffix.
    return bool(_HIDDEN_NAME.fullmatch(path.name)) or path.name.partition(".damaged")[0] in names


def _config(out: Path, options: QuickstartOptions) -> PretrainConfig:
    preset = tiny()
    # The quickstart writes the report itself, with the results of all tasks.
    training = replace(
        preset.training,
        steps=options.steps_of(preset.training.steps),
        save_every=min(SAVE_EVERY, preset.training.save_every or SAVE_EVERY),
        report=False,
    )
    return replace(preset, out=str(out), seed=options.seed, training=training)


def _summary(reports: dict[str, Report], progress: QuickstartProgress) -> dict[str, float]:
    retrieval, captioning = reports["retrieval"].metrics, reports["captioning"].metrics
    return {
        "text_to_image_recall_at_1": retrieval["text_to_image_recall_at_1"],
        "text_to_image_recall_at_10": retrieval["text_to_image_recall_at_10"],
        **reports["baselines"].metrics,
        "caption_truth": captioning["caption_truth"],
        "caption_detail": captioning["caption_detail"],
        **{key: value for key, value in reports["grounding"].metrics.items() if key.startswith(GROUNDING_HEADLINES)},
        "swap_accuracy": reports["swaps"].metrics["swap_accuracy"],
        "zero_shot_accuracy_top_1": reports["zero_shot"].metrics["accuracy_top_1"],
        "answer_accuracy": reports["vqa"].metrics["answer_accuracy"],
        "classification_accuracy_top_1": reports["classification"].metrics["accuracy_top_1"],
        "training_seconds": progress.seconds("pretraining"),
        "fine_tuning_seconds": progress.seconds("vqa") + progress.seconds("classification"),
    }
