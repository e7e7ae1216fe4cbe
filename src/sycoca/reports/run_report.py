"""The report of a training run as one page: the contents of its run folder, and examples of the model's outputs."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from sycoca.data.samples import SampleSource
from sycoca.facts.metric_facts import METRICS, VALIDATION, is_improvement, readable, readable_interval
from sycoca.facts.metric_suffixes import BASELINES
from sycoca.facts.objective_facts import OBJECTIVES, ObjectiveName
from sycoca.facts.training_facts import TRAININGS, TrainingKind
from sycoca.inference.predictor import Predictor
from sycoca.metrics.intervals import wilson_interval
from sycoca.reports.curves import Lines, curves_of, points_of
from sycoca.reports.gallery_size import gallery_size
from sycoca.reports.page import Figure, Page
from sycoca.reports.sample_gallery import (
    AnswerExample,
    CaptionExample,
    MaskExample,
    RetrievalExample,
    caption_examples,
    gallery,
    mask_examples,
    retrieval_examples,
)
from sycoca.unusable import SkippedSample

_NO_BASELINES: Mapping[ObjectiveName, str] = MappingProxyType({})


@dataclass(frozen=True, kw_only=True, slots=True)
class RunRecord:
    """A training run at its end."""

    folder: Path
    """The run folder."""

    training: TrainingKind
    """The kind of training, which determines the losses and metrics that are shown."""

    title: str
    """Title of the training; for pretraining its preset."""

    summary: str
    """One or two sentences: what was trained, on what, for how long."""

    config: object
    """Its configuration, a dataclass."""

    lines: Lines
    """Its logged values."""

    facts: Mapping[str, str]
    """Sizes, data and times by name."""

    environment: Mapping[str, str]
    """Machine, versions and seed by name."""

    num_validated: int | None = None
    """Number of validation samples; None without validation."""

    validated: str | None = None
    """Which samples these are, such as "the first 200 of 500 samples of scenes-easy-validation"."""

    loss_baselines: Mapping[ObjectiveName, str] = field(default_factory=dict)
    """What held-out losses are without any knowledge, such as the contrastive loss at chance."""

    skipped: Sequence[SkippedSample] = ()
    """Samples that could not be used."""

    resume_command: str
    """The command that resumes the run if it was stopped."""

    commands_to_try: Sequence[str] = ()
    """Example commands for the weights, with ``{weights}`` for their path."""

    stopped_after: int | None = None
    """The last step of a run that was stopped; None where it was completed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Gallery:
    """Examples of a model's outputs."""

    taken_from: str
    """The data that the samples are from."""

    retrieval: Sequence[RetrievalExample] = ()
    """Text-to-image retrieval: captions and the top images."""

    captions: Sequence[CaptionExample] = ()
    """Images with generated captions."""

    masks: Sequence[MaskExample] = ()
    """Attentive masks and reconstructions."""

    answers: Sequence[AnswerExample] = ()
    """Images with questions and answers."""

    classes: Sequence[AnswerExample] = ()
    """Images with predicted classes."""

    skipped: Sequence[SkippedSample] = ()
    """Chosen samples that cannot be read."""

    remark: str = ""
    """Why there are fewer examples than usual, if there are."""


def gather_gallery(predictor: Predictor, source: SampleSource, taken_from: str, *, can_search: bool = True) -> Gallery:
    """Return retrieval, captioning and reconstruction examples, as far as the model has these tasks.

    The samples are evenly spread over a source. ``can_search`` is False for a model that was trained without the
    contrastive objective. Unreadable samples are named in ``skipped``; without readable captioned samples there are no
    examples. A model that needs long for an image on a CPU shows fewer, see `gallery_size`.
    """
    size = gallery_size(predictor)
    samples, skipped = gallery(predictor, source, size.images)
    if not samples:
        return Gallery(taken_from=taken_from, skipped=skipped)
    can_caption = predictor.model.text_decoder is not None
    return Gallery(
        taken_from=taken_from,
        retrieval=retrieval_examples(predictor, samples, 4) if can_search else (),
        captions=caption_examples(predictor, samples, size.captions, None) if can_caption else (),
        masks=mask_examples(predictor, samples, size.masks),
        skipped=skipped,
        remark=size.remark,
    )


def run_page(run: RunRecord, examples: Gallery | None) -> Page:
    """Return the page of a run, with examples where there are some."""
    shown = Gallery(taken_from="") if examples is None else examples
    return Page(
        title=run.folder.name,
        kind=run.title,
        curves=curves_of(run.training, run.lines),
        summary=run.summary,
        notice=_notice(run),
        lines=run.lines,
        held_out=run.validated,
        config=run.config,
        figures=headline_figures(run.training, run.lines, run.num_validated, run.loss_baselines),
        facts=run.facts,
        retrieval=shown.retrieval,
        captions=shown.captions,
        masks=shown.masks,
        answers=shown.answers,
        classes=shown.classes,
        examples_of=shown.taken_from,
        examples_remark=shown.remark,
        skipped=_unique([*run.skipped, *shown.skipped]),
        next_commands=next_commands(run),
        environment=run.environment,
    )


def headline_figures(
    training: TrainingKind,
    lines: Lines,
    num_validated: int | None,
    loss_baselines: Mapping[ObjectiveName, str] = _NO_BASELINES,
) -> list[Figure]:
    """Return key figures: the metrics and losses of the last validation, or training losses without validation."""
    facts = TRAININGS[training]
    metrics = (_metric_figure(key, lines, num_validated) for key in facts.metrics)
    losses = (_loss_figure(name, lines, num_validated, loss_baselines.get(name)) for name in facts.losses)
    return [figure for figure in (*metrics, *losses) if figure is not None]


def _metric_figure(key: str, lines: Lines, num_validated: int | None) -> Figure | None:
    values = [value for _, value in points_of(lines, f"{VALIDATION}{key}")]
    if not values:
        return None
    last = values[-1]
    best = next((value for value in values if not any(is_improvement(key, other - value) for other in values)), last)
    notes = [f"best so far {readable(key, best)}"] if is_improvement(key, best - last) else []
    baselines = _baselines(key, lines)
    if baselines:
        notes.append(baselines)
    return Figure(
        label=METRICS[key].title,
        value=readable(key, last),
        note="; ".join([*notes, *([] if baselines else _chance(key, num_validated))]),
        evidence=_evidence(key, last, num_validated),
    )


def _evidence(key: str, value: float, num_validated: int | None) -> str:
    """Return the number of samples, and the interval of what is a mean of values between 0 and 1."""
    if num_validated is None:
        return "held out"
    counted = f"N = {num_validated:,} held-out samples"
    if not METRICS[key].is_percent or not 0 <= value <= 1:
        return counted
    return f"{counted}, 95 % interval {readable_interval(key, wilson_interval(value, num_validated))}"


def _loss_figure(name: ObjectiveName, lines: Lines, num_validated: int | None, baseline: str | None) -> Figure | None:
    held_out, training, facts = _logged(lines, f"{VALIDATION}{name}"), _logged(lines, name), OBJECTIVES[name]
    if not held_out and not training:
        return None
    last = (held_out or training)[-1]
    value = "not finite" if last is None else readable(name, last)
    if not held_out:
        return Figure(label=facts.title, value=value, note="in training", evidence="last logged step")
    evidence = "held out" if num_validated is None else f"N = {num_validated:,} held-out samples"
    note = "; ".join(filter(None, (facts.held_out_note, baseline)))
    return Figure(label=facts.title, value=value, note=note, evidence=evidence)


def _logged(lines: Lines, name: str) -> list[float | None]:
    """Return all values that were logged, None where one was not finite: the one before it is not the last."""
    return [line[name] for line in lines if name in line]


def _baselines(key: str, lines: Lines) -> str:
    """Return the baselines of a metric that were evaluated."""
    found = {name: points_of(lines, f"{VALIDATION}{key}{suffix}") for suffix, name in BASELINES.items()}
    return ", ".join(f"{name} {readable(key, points[-1][1])}" for name, points in found.items() if points)


def next_commands(run: RunRecord) -> list[str]:
    """Return example commands for a run; for a stopped one, the command that resumes it."""
    if run.stopped_after is not None:
        return [run.resume_command]
    weights = shlex.quote(str(run.folder / "weights"))
    return [command.format(weights=weights) for command in run.commands_to_try]


def _notice(run: RunRecord) -> str | None:
    if run.stopped_after is None:
        return None
    return f"Stopped after step {run.stopped_after:,}. Resume with: {next_commands(run)[0]}"


def _chance(key: str, num_validated: int | None) -> list[str]:
    chance = METRICS[key].chance
    if chance is None and num_validated is not None and key.endswith("recall_at_1"):
        chance = 1 / num_validated
    return [] if chance is None else [f"chance {readable(key, chance)}"]


def _unique(skipped: Sequence[SkippedSample]) -> list[SkippedSample]:
    """Return the samples without duplicates: validation and examples may skip the same ones."""
    return list(dict.fromkeys(skipped))
