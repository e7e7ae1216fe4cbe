"""The quickstart: built-in scenes -> pretrain the tiny preset -> measure it on held-out scenes -> one HTML page."""

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from rich.console import Console

from sycoca.data.scenes import ScenesSource
from sycoca.data.scenes_language import is_true, parse_caption
from sycoca.data.spec import open_source
from sycoca.evaluation.grounding import evaluate_grounding
from sycoca.evaluation.report import Report, readable
from sycoca.evaluation.retrieval import evaluate_retrieval
from sycoca.evaluation.scene_baselines import evaluate_scene_baselines
from sycoca.evaluation.scene_captions import evaluate_scene_captions
from sycoca.inference.load import load
from sycoca.inference.predictor import Predictor
from sycoca.plain_data import write_text
from sycoca.presets.pretrain import tiny
from sycoca.reports.examples import caption_examples, mask_examples, retrieval_examples
from sycoca.reports.page import Figure, Page, save_page
from sycoca.reports.run_report import run_page
from sycoca.training.config import PretrainConfig
from sycoca.training.pretrain import pretrain
from sycoca.training.pretraining import Pretraining
from sycoca.training.reporting import run_record
from sycoca.training.run_folder import RunFolder
from sycoca.training.runtime import Runtime

TEST_SCENES = "scenes:?level=easy&count=500&split=test"
"""What the quickstart is measured on: scenes whose content does not occur in training."""


@dataclass(frozen=True, kw_only=True, slots=True)
class QuickstartResult:
    """What a quickstart leaves behind."""

    metrics: dict[str, float]
    """The figures that sum it up; shares are 0 to 1."""

    reports: dict[str, Report]
    """The measurements behind them."""

    weights: Path
    """The trained model."""

    page: Path
    """The HTML report."""


def quickstart(out: Path, *, seed: int = 0, steps: int | None = None, console: Console) -> QuickstartResult:
    """Pretrain, measure and report into the folder ``out``.

    ``steps`` shortens the run (its figures then mean little). Raises ValueError where the folder holds a run
    already, TrainingInterrupted after Ctrl-C.
    """
    config = _config(out, seed, steps)
    started_at = time.perf_counter()
    folder = RunFolder(pretrain(config, console=console))
    training_seconds = time.perf_counter() - started_at
    predictor = load(folder.weights)
    source = open_source(TEST_SCENES)
    assert isinstance(source, ScenesSource)
    console.print(f"measuring on {len(source)} held-out scenes")
    reports = _measure(predictor, source, console)
    metrics = _summary(reports, training_seconds)
    plain = {"task": "quickstart", "metrics": metrics, "reports": {n: asdict(r) for n, r in reports.items()}}
    write_text(folder.path / "report.json", json.dumps(plain, indent=2) + "\n")
    page = folder.report
    save_page(_page(config, folder, predictor, source, reports, metrics), page)
    return QuickstartResult(metrics=metrics, reports=reports, weights=folder.weights, page=page)


def remove_run(out: Path) -> None:
    """Delete an earlier quickstart's folder. Raises ValueError where it holds something else."""
    if not out.exists():
        return
    if not RunFolder(out).config.exists():
        raise ValueError(f"{out} is no run folder: it has no config.yaml, so nothing was deleted")
    shutil.rmtree(out)


def _config(out: Path, seed: int, steps: int | None) -> PretrainConfig:
    preset = tiny()
    # The quickstart writes the report itself, with its measurements.
    training = replace(preset.training, steps=preset.training.steps if steps is None else steps, report=False)
    return replace(preset, out=str(out), seed=seed, training=training)


def _measure(predictor: Predictor, source: ScenesSource, console: Console) -> dict[str, Report]:
    return {
        "retrieval": evaluate_retrieval(predictor, source, console=console),
        "captioning": evaluate_scene_captions(predictor, source, console=console),
        "grounding": evaluate_grounding(predictor, source, console=console),
        "baselines": evaluate_scene_baselines(source),
    }


def _summary(reports: dict[str, Report], training_seconds: float) -> dict[str, float]:
    retrieval, captioning = reports["retrieval"].metrics, reports["captioning"].metrics
    return {
        "text_to_image_recall_at_1": retrieval["text_to_image_recall_at_1"],
        "text_to_image_recall_at_10": retrieval["text_to_image_recall_at_10"],
        **reports["baselines"].metrics,
        "caption_truth": captioning["caption_truth"],
        "caption_detail": captioning["caption_detail"],
        "mask_coverage": reports["grounding"].metrics["mask_coverage"],
        "training_seconds": training_seconds,
    }


def _page(
    config: PretrainConfig,
    folder: RunFolder,
    predictor: Predictor,
    source: ScenesSource,
    reports: dict[str, Report],
    metrics: dict[str, float],
) -> Page:
    samples = [source[i] for i in range(len(source))]
    recipe = Pretraining(config)
    with Runtime(config.runtime) as runtime:
        record = run_record(
            recipe, folder, recipe.open_sources(), runtime, num_parameters=predictor.model.num_parameters
        )
    return replace(
        run_page(record, None),
        title="SyCoCa quickstart",
        kind="from nothing to a measured model",
        summary=(
            f"A model of {predictor.model.num_parameters:,} parameters, trained from nothing on"
            f" generated scenes for {config.training.steps:,} steps of {config.training.global_batch_size} pairs in"
            f" {metrics['training_seconds'] / 60:.1f} minutes, and measured on {len(source)} scenes with contents"
            " that it has never seen."
        ),
        examples_of="held-out scenes",
        figures=_figures(metrics, reports),
        retrieval=retrieval_examples(predictor, samples, 5),
        captions=caption_examples(predictor, samples, 10, _truth_of(source)),
        masks=mask_examples(predictor, samples, 6),
        reports=list(reports.values()),
        next_commands=next_commands(folder.weights),
    )


def _figures(metrics: dict[str, float], reports: dict[str, Report]) -> list[Figure]:
    shares = {**metrics, **reports["grounding"].metrics, "recall_by_chance": 10 / reports["retrieval"].counts["images"]}
    percent = {name: readable(name, share) for name, share in shares.items() if name != "training_seconds"}
    return [
        Figure(
            label="caption finds its image, R@1",
            value=percent["text_to_image_recall_at_1"],
            note=f"{percent['text_to_image_recall_at_1_color_only']} by matching colors alone",
        ),
        Figure(
            label="among the first ten, R@10",
            value=percent["text_to_image_recall_at_10"],
            note=f"{percent['recall_by_chance']} by chance;"
            f" R@1 can be at most {percent['text_to_image_recall_at_1_ceiling']}",
        ),
        Figure(
            label="captions that are true",
            value=percent["caption_truth"],
            note=f"{percent['caption_truth_most_frequent']} by the most frequent caption",
        ),
        Figure(
            label="described pixels in the better half, mask coverage",
            value=percent["mask_coverage"],
            note=f"{percent['mask_coverage_random']} by chance, {percent['mask_coverage_largest']} at best",
        ),
    ]


def _truth_of(source: ScenesSource) -> Callable[[int, str], bool]:
    def is_caption_true(index: int, caption: str) -> bool:
        facts = parse_caption(caption)
        return facts is not None and is_true(facts, source.scene(index))

    return is_caption_true


def next_commands(weights: Path) -> list[str]:
    """Return commands to try with the trained model."""
    photos = weights.parent / "scenes"
    shown = open_source(TEST_SCENES)[0].captions[0]  # the scene that the first command writes first
    return [
        f"sycoca data write-scenes {photos} --count 20 --split test",
        f"sycoca caption {weights} {photos}/images/*.png",
        f"sycoca evaluate retrieval {weights} --data '{TEST_SCENES}'",
        f"sycoca explain {weights} {photos}/images/000000.png '{shown}' --out explained.png",
    ]
