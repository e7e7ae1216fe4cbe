"""Comparison of runs and reports: what each holds, their metrics section by section, and the page about them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from rich.console import Console

from sycoca.data.samples import SampleSource
from sycoca.evaluation.comparison import Comparison, compare_reports
from sycoca.evaluation.item_differences import ItemDifferences, item_differences
from sycoca.evaluation.report import Report, Setting
from sycoca.evaluation.report_files import reports_at
from sycoca.experiments.quickstart.progress import FOLDERS
from sycoca.facts.metric_facts import VALIDATION, metric_title
from sycoca.inference.model_options import ModelOptions
from sycoca.model.masking_config import MaskingConfig
from sycoca.objectives.config import ObjectivesConfig
from sycoca.preprocess.config import TokenizerConfig
from sycoca.reports.comparing.compare_page import ComparePage, PageRow, PairDifferences
from sycoca.reports.comparing.model_gallery import ModelGallery, model_gallery
from sycoca.reports.curves import Lines
from sycoca.reports.data_check.thumbnails import thumbnail
from sycoca.texts import normal_form
from sycoca.training.config import TrainingConfig
from sycoca.training.engine.tracking import read_metrics
from sycoca.training.run_folder import RunFolder

LAST_VALIDATION = "last_validation"
"""The section of what runs logged at their last validation."""

_ORDER = ("retrieval", "captioning", "vqa", "zero_shot", "probe", "classification", "")
"""The first sections of a comparison; the empty name stands for all others."""

_FORMS_OF_LOSSES: Mapping[str, Mapping[str, Setting]] = {
    "objectives": {
        name: getattr(ObjectivesConfig(), name)
        for name in (
            "contrastive_loss",
            "captions_per_image",
            "pixel_error",
            "normalizes_patches",
            "patch_word_group_size",
            "patch_word_weighting",
        )
    },
    "masking": {
        name: getattr(MaskingConfig(), name)
        for name in ("strategy", "captioning_hidden_ratio", "reconstruction_masked_ratio")
    },
    # The captioning loss is a mean over tokens, of which each vocabulary makes others.
    "tokenizer": {name: getattr(TokenizerConfig(), name) for name in ("kind", "vocab_size", "lowercase")},
    "training": {
        "global_batch_size": None,
        "micro_batch_size": None,
        # Retrieval ranks among so many images.
        "evaluation_samples": TrainingConfig(steps=1, global_batch_size=1).evaluation_samples,
    },
}
"""By section of a config the settings on which the scale of a held-out value depends, with their defaults."""

_MOST_ITEMS = 5
"""Test items of each sort that the page shows: better, worse, worst for both."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Compared:
    """A run or report that is compared."""

    path: Path
    """The run folder, the report, or the folder of reports."""

    reports: Mapping[str, Report]
    """Its reports by section; the last validation of a run is one of them."""

    lines: Lines = ()
    """What the run logged; empty where it is none."""

    weights: Path | None = None
    """The run's weights, where it has some."""

    answering: Path | None = None
    """Weights that answer questions: those that a quickstart has fine-tuned for VQA, or the run's own."""

    classifying: Path | None = None
    """Weights that classify, likewise."""


Rows = Mapping[str, Sequence[Compared]]
"""By name what is compared; several of one row differ in the seed only. The first row is the baseline."""


def read_compared(path: Path) -> Compared:
    """Return what a path holds. Raises ValueError where that is neither a run nor a report."""
    reports = reports_at(path)
    if not path.is_dir():
        return Compared(path=path, reports=reports)
    folder = RunFolder(path)
    lines = read_metrics(folder.metrics)
    last = _last_validation(lines, _validation_settings(folder))
    if last is not None:
        reports[LAST_VALIDATION] = last
    if not reports and not lines:
        raise ValueError(
            f"{path} holds neither a run nor reports; name a run folder, a report of sycoca evaluate --out, or the"
            " folder of sycoca evaluate all --out"
        )
    own, answering, classifying = (
        _weights(path / FOLDERS[training]) for training in ("pretraining", "vqa", "classification")
    )
    return Compared(
        path=path,
        reports=reports,
        lines=lines,
        weights=own,
        answering=answering or own,
        classifying=classifying or own,
    )


def _weights(run: Path) -> Path | None:
    weights = RunFolder(run).weights
    return weights if weights.exists() else None


def _validation_settings(folder: RunFolder) -> dict[str, Setting]:
    """Return what the values of a run's validation depend on, beside the model: its data, how many samples of it, and
    the form of its losses.

    A run's losses are named alike in all forms, though their values are on other scales. What the config does not name
    is left out, but for settings that a version before did not have.
    """
    plain = folder.read_plain_config() if folder.holds_run() else None
    config = plain if isinstance(plain, dict) else {}
    sections = {name: own for name, own in config.items() if isinstance(own, dict)}
    settings: dict[str, Setting] = {"data": sections.get("data", {}).get("validation")}
    for section, defaults in _FORMS_OF_LOSSES.items():
        if section in sections:
            settings |= {f"{section}.{name}": sections[section].get(name, value) for name, value in defaults.items()}
    return settings


def _last_validation(lines: Lines, settings: Mapping[str, Setting]) -> Report | None:
    """Return the last value of everything that validation logged, as a report without items.

    Its settings are what it was measured on and after how much training, so that a comparison says where these differ.
    A last value that is not finite is a remark: an earlier one would be taken for it.
    """
    last: dict[str, float | None] = {}
    settings = dict(settings)
    for line in lines:
        measured = {key.removeprefix(VALIDATION): value for key, value in line.items() if key.startswith(VALIDATION)}
        last |= measured
        if measured:
            settings |= {key: line[key] for key in ("step", "samples_seen") if key in line}
    metrics = {name: float(value) for name, value in last.items() if value is not None}
    remarks = tuple(f"{metric_title(name)} is not finite" for name, value in last.items() if value is None)
    if not metrics:
        return None
    return Report(task=LAST_VALIDATION, metrics=metrics, counts={}, settings=settings, remarks=remarks)


def compare_rows(rows: Rows, *, seed: int = 0, console: Console | None = None) -> dict[str, Comparison]:
    """Return the comparison of every section, each among the rows of which every run has it.

    Reports of files alone are one section, and must be of one task. Errors as of `compare_reports`.
    """
    if all(one.path.is_file() for row in rows.values() for one in row):
        named = {name: [report for one in row for report in one.reports.values()] for name, row in rows.items()}
        comparison = compare_reports(named, seed=seed, console=console)
        return {comparison.task: comparison}
    return {
        section: compare_reports(_with_section(rows, section), seed=seed, console=console)
        for section in _sections(rows)
    }


def _sections(rows: Rows) -> list[str]:
    """Return the sections that some row has: the five tasks, others, the last validation."""
    found = {name: report.task for row in rows.values() for one in row for name, report in one.reports.items()}
    names = [name for name in found if _with_section(rows, name)]
    return sorted(names, key=lambda name: _place(name, found[name]))


def _place(section: str, task: str) -> int:
    """Return where a section stands: by its name or its task, whichever is known."""
    known = [_ORDER.index(name) for name in (section, task) if name in _ORDER]
    return min(known, default=_ORDER.index("") if task != LAST_VALIDATION else len(_ORDER))


def _with_section(rows: Rows, section: str) -> dict[str, list[Report]]:
    return {
        name: [one.reports[section] for one in row]
        for name, row in rows.items()
        if all(section in one.reports for one in row)
    }


def compare_page(
    rows: Rows,
    comparisons: Mapping[str, Comparison],
    *,
    source: SampleSource | None = None,
    model: ModelOptions | None = None,
) -> ComparePage:
    """Return the page of a comparison; with data, its images, and what the models of run folders answer for them."""
    items = {section: _item_differences(_with_section(rows, section)) for section in comparisons}
    gallery = None if source is None else _gallery(rows, source, ModelOptions() if model is None else model)
    return ComparePage(
        rows=[
            PageRow(
                name=name,
                paths=tuple(str(one.path) for one in row),
                runs=tuple(one.lines for one in row if one.lines),
            )
            for name, row in rows.items()
        ],
        comparisons=comparisons,
        items=items,
        pictures={} if source is None else _pictures(source, [pair.found for own in items.values() for pair in own]),
        gallery=gallery,
        missing=(*_missing(rows, comparisons, source), *_missing_answers(gallery)),
    )


def _item_differences(rows: Mapping[str, Sequence[Report]]) -> list[PairDifferences]:
    (base, first), *others = rows.items()
    found = [(other, item_differences(first, row, _MOST_ITEMS)) for other, row in others]
    return [PairDifferences(base=base, other=other, found=one) for other, one in found if one is not None]


def _pictures(source: SampleSource, found: Sequence[ItemDifferences]) -> dict[str, str]:
    """Return pictures of the images that the page names, by key."""
    wanted = {item.image for one in found for item in (*one.gains, *one.losses, *one.worst)}
    if not wanted:
        return {}
    samples = map(source.__getitem__, range(len(source)))
    # Reports have names in their composed form; as they are where two would become one.
    named = ((sample.key if sample.key in wanted else normal_form(sample.key), sample) for sample in samples)
    pictures = {key: thumbnail(sample, "").picture for key, sample in named if key in wanted}
    return {key: picture for key, picture in pictures.items() if picture}


def _gallery(rows: Rows, source: SampleSource, model: ModelOptions) -> ModelGallery | None:
    """Return what the first run of every row answers; None where no row has weights."""
    runs = {name: row[0] for name, row in rows.items() if row[0].weights is not None}
    if not runs:
        return None
    load = cache(model.load)
    return model_gallery(
        {name: load(run.weights) for name, run in runs.items() if run.weights},
        source,
        source.name,
        answering={name: load(run.answering) for name, run in runs.items() if run.answering},
        classifying={name: load(run.classifying) for name, run in runs.items() if run.classifying},
    )


def _missing_answers(gallery: ModelGallery | None) -> Iterator[str]:
    if gallery is not None:
        yield from (f"{note}." for note in gallery.missing)
        yield from (f"{one.name} is left out, {one.reason}: {one.detail}." for one in gallery.skipped)


def _missing(rows: Rows, comparisons: Mapping[str, Comparison], source: SampleSource | None) -> Iterator[str]:
    for name, row in rows.items():
        lacking = [section for section in comparisons if any(section not in one.reports for one in row)]
        if lacking and not all(one.path.is_file() for one in row):
            names = ", ".join(lacking)
            yield f"{name} has no report {names}: sycoca evaluate TASK --out RUN/reports/TASK.json writes one."
    if source is None:
        yield (
            "Without pictures: reports hold scores and names of images, no images. --examples SPEC shows the images"
            " that they were measured on, and what the models of run folders retrieve, caption and look at."
        )
        return
    without = [name for name, row in rows.items() if row[0].weights is None]
    if without:
        yield f"No answers of {', '.join(without)}: reports hold no models; name the run folder, which has the weights."
