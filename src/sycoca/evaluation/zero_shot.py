"""Zero-shot classification by prompts."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import assert_never

from rich.console import Console

from sycoca.data.class_lists import NamedClass, named_classes
from sycoca.data.samples import SampleSource
from sycoca.data.scenes.source import ScenesSource
from sycoca.evaluation.batches import num_evaluated
from sycoca.evaluation.class_labels import Unlabeled, class_list_setting, labeled_images, labels_of
from sycoca.evaluation.classification import classification_report
from sycoca.evaluation.embeddings import ImageEmbeddings
from sycoca.evaluation.report import Report
from sycoca.evaluation.sharding import ALONE, Sharding
from sycoca.inference.classification import PHOTO_TEMPLATES, Scorer, class_embeds, scorer_ability
from sycoca.inference.predictor import Predictor
from sycoca.inference.prompts import all_prompts
from sycoca.precision import precise_product
from sycoca.progress_bar import tracked
from sycoca.texts import refuse_text

SCENE_TEMPLATES = ("a {} left of", "a {} right of", "a {} above", "a {} below")
"""First words of captions of the built-in scenes: the object that is the class. Captions always continue."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ZeroShotPrompts:
    """Classes, prompt templates and scorer."""

    classes: Sequence[NamedClass] | None = None
    """The classes; None takes the labels of the data, of all of it for any limit."""

    templates: Sequence[str] | None = None
    """Prompts with {} for the class; None takes "a photo of a {}.", for the built-in scenes their own."""

    scorer: Scorer = "cosine"
    """Score by which a class is chosen."""

    unlabeled: Unlabeled = "error"
    """How to treat an image without label, or with a label that is no class."""

    def __post_init__(self) -> None:
        refuse_text(self.classes, "classes")
        refuse_text(self.templates, "templates")


BY_LABELS = ZeroShotPrompts()
"""The labels of the data with CLIP's default prompt."""


def evaluate_zero_shot(
    predictor: Predictor,
    source: SampleSource,
    *,
    prompts: ZeroShotPrompts = BY_LABELS,
    embeddings: ImageEmbeddings | None = None,
    batch_size: int = 64,
    limit: int | None = None,
    console: Console | None = None,
    sharding: Sharding = ALONE,
) -> Report:
    """Return the zero-shot accuracy.

    Protocol of CLIP (arXiv 2103.00020, section 3.1): each prompt's embedding normalized, their mean, normalized; the
    class of the largest cosine. The scorer "likelihood" takes the class whose prompt has the highest likelihood as
    the beginning of a caption. Raises ValueError for labels that are no class and images without label, unless they are
    to be skipped.
    """
    started_at = time.perf_counter()
    num_samples = num_evaluated(source, limit)
    scorer, unlabeled = prompts.scorer, prompts.unlabeled
    classes = prompts.classes
    if classes is None:
        classes = named_classes(labels_of(source, num_samples, unlabeled))
    templates = default_templates(source) if prompts.templates is None else prompts.templates
    labels = [one.label for one in classes]
    images = labeled_images(source, num_samples, labels, unlabeled)
    predictor.check_prompts(classes, templates, warns=False)
    match scorer:
        case "cosine":
            if embeddings is None:
                embeddings = ImageEmbeddings(predictor, batch_size=batch_size, console=console, sharding=sharding)
            columns = class_embeds(partial(predictor.embed_texts, warns=False), classes, templates, console=console).T
            scores = precise_product(embeddings.of(source, num_samples)[images.places], columns)
        case "likelihood":
            own = [source[images.places[i]] for i in sharding.own(len(images.places))]
            batches = predictor.class_scores(own, classes, templates=templates, scorer=scorer, batch_size=batch_size)
            shown = tracked(batches, len(own), "scoring classes", console=console, step=batch_size)
            scores = sharding.join(list(shown), len(classes))
        case unknown:
            assert_never(unknown)
    report = classification_report(
        "zero_shot",
        scores,
        images,
        labels,
        source,
        settings={
            "class_list": class_list_setting([" | ".join((one.label, *one.wordings)) for one in classes]),
            "limit": limit,
            "unlabeled": unlabeled,
            "templates": " | ".join(templates),
            "scorer": scorer,
        },
        seconds=time.perf_counter() - started_at,
    )
    truncated = {"truncated_prompts": predictor.num_truncated(all_prompts(classes, templates))}
    remarks = (*predictor.cautions(scorer_ability(scorer)), *report.remarks)
    return replace(report, counts=report.counts | truncated, remarks=remarks)


def default_templates(source: SampleSource) -> tuple[str, ...]:
    """Return the default prompts for photos, or for scenes."""
    return SCENE_TEMPLATES if isinstance(source, ScenesSource) else PHOTO_TEMPLATES
