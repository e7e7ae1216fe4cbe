"""The report of a training run: everything that a run folder knows, and what the model does, as one page."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sycoca.data.samples import SampleSource
from sycoca.evaluation.report import readable
from sycoca.inference.predictor import Predictor
from sycoca.reports.curves import Lines, points_of
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

GALLERY_IMAGES = 200
"""Images among which a report's captions search: enough to be no child's play, few enough to take seconds."""

_HEADLINES = {
    "validation_text_to_image_recall_at_1": "text-to-image R@1",
    "validation_image_to_text_recall_at_1": "image-to-text R@1",
    "validation_mask_coverage": "described pixels in the better half, mask coverage",
    "validation_cider": "captions, CIDEr",
    "validation_vqa_accuracy": "answers, official VQA accuracy",
    "validation_answer_accuracy": "answers that are right",
    "validation_accuracy_top_1": "images in the right class",
}
_LOSSES = {
    "contrastive": "contrastive loss, ITC",
    "captioning": "captioning loss, IC",
    "masked_image": "reconstruction loss, TG-MIM",
    "answering": "loss of answers",
    "classification": "loss of classes",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class RunRecord:
    """What is known of a run when it ends."""

    folder: Path
    """The run folder."""

    kind: str
    """What kind of training it was, in a word or two."""

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
    """Samples that the validation measures on; None without validation."""

    skipped: Sequence[SkippedSample] = ()
    """Samples that could not be used."""

    resume_command: str
    """What goes on with the run, were it stopped."""

    commands_to_try: Sequence[str] = ()
    """What may be done with the weights, whose place is written ``{weights}``."""

    stopped_after: int | None = None
    """The last step of a run that was stopped; None where it came to its end."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Gallery:
    """What a model does with some samples."""

    taken_from: str
    """What the samples are."""

    retrieval: Sequence[RetrievalExample] = ()
    """Captions and the images found."""

    captions: Sequence[CaptionExample] = ()
    """Images and captions."""

    masks: Sequence[MaskExample] = ()
    """Attentive masks and reconstructions."""

    answers: Sequence[AnswerExample] = ()
    """Questions about images."""

    classes: Sequence[AnswerExample] = ()
    """Images and their classes."""

    skipped: Sequence[SkippedSample] = ()
    """Samples that were to be shown but cannot be read."""


def gather_gallery(predictor: Predictor, source: SampleSource, taken_from: str, *, can_search: bool = True) -> Gallery:
    """Let a model search, caption and reconstruct samples evenly spread over a source, as far as it can.

    ``can_search`` is False for a model that was trained without the contrastive objective. Samples whose image cannot
    be read are named in ``skipped``; without any readable one with a caption there are no examples.
    """
    samples, skipped = gallery(predictor, source, GALLERY_IMAGES)
    if not samples:
        return Gallery(taken_from=taken_from, skipped=skipped)
    can_caption = predictor.model.text_decoder is not None
    return Gallery(
        taken_from=taken_from,
        retrieval=retrieval_examples(predictor, samples, 4) if can_search else (),
        captions=caption_examples(predictor, samples, 10, None) if can_caption else (),
        masks=mask_examples(predictor, samples, 4),
        skipped=skipped,
    )


def run_page(run: RunRecord, examples: Gallery | None) -> Page:
    """Return the page of a run; without examples where none were made."""
    shown = Gallery(taken_from="") if examples is None else examples
    return Page(
        title=run.folder.name,
        kind=run.kind,
        summary=run.summary,
        notice=_notice(run),
        lines=run.lines,
        config=run.config,
        figures=headline_figures(run.lines, run.num_validated),
        facts=run.facts,
        retrieval=shown.retrieval,
        captions=shown.captions,
        masks=shown.masks,
        answers=shown.answers,
        classes=shown.classes,
        examples_of=shown.taken_from,
        skipped=_unique([*run.skipped, *shown.skipped]),
        next_commands=next_commands(run),
        environment=run.environment,
    )


def headline_figures(lines: Lines, num_validated: int | None) -> list[Figure]:
    """Return the last validation's numbers large, or the last losses of training where nothing was validated."""
    figures = []
    for name, label in _HEADLINES.items():
        points = points_of(lines, name)
        if points:
            best = max(value for _, value in points)
            note = f"best so far {readable(name, best)}" if best > points[-1][1] else _chance(name, num_validated)
            figures.append(Figure(label=label, value=readable(name, points[-1][1]), note=note))
    for name, label in _LOSSES.items():
        held_out, training = points_of(lines, f"validation_{name}"), points_of(lines, name)
        if held_out or training:
            value = (held_out or training)[-1][1]
            figures.append(Figure(label=label, value=f"{value:.3g}", note="held out" if held_out else "in training"))
    return figures


def next_commands(run: RunRecord) -> list[str]:
    """Return commands to try with a run."""
    if run.stopped_after is not None:
        return [run.resume_command]
    weights = shlex.quote(str(run.folder / "weights"))
    return [command.format(weights=weights) for command in run.commands_to_try]


def _notice(run: RunRecord) -> str | None:
    if run.stopped_after is None:
        return None
    return f"Stopped after step {run.stopped_after:,}. Go on with: {next_commands(run)[0]}"


def _chance(name: str, num_validated: int | None) -> str:
    if name.endswith("mask_coverage"):
        return "50 % by chance"
    if num_validated is None:
        return "held out"
    among = f"among {num_validated:,} held-out samples"
    return f"{among}; {readable(name, 1 / num_validated)} by chance" if name.endswith("recall_at_1") else among


def _unique(skipped: Sequence[SkippedSample]) -> list[SkippedSample]:
    """Return each once: what validation found may be found again by the examples."""
    return list(dict.fromkeys(skipped))
