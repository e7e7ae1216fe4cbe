"""What several models answer for the same images: retrieved images with heat maps, captions, answers, classes."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from sycoca.data.samples import ImageTextSample, Question, SampleSource
from sycoca.data.selection import evenly_spread
from sycoca.inference.predictor import Predictor
from sycoca.inference.vqa import RankedAnswer
from sycoca.metrics.vqa import AnswerRule, answer_rule
from sycoca.reports.comparing.retrieved import Query, compared_queries
from sycoca.reports.gallery_size import gallery_size
from sycoca.reports.pictures import data_uri
from sycoca.reports.sample_gallery import gallery, picture_of
from sycoca.unusable import SkippedSample
from sycoca.weights.limits import has_part, why_missing

_NUM_OTHERS = 8
"""Images with captions, with answers and with classes."""

_MOSTLY_RIGHT = 0.5


@dataclass(frozen=True, kw_only=True, slots=True)
class Said:
    """What one model says about an image."""

    row: str
    """The model's row."""

    text: str
    """Its caption, answer or class."""

    probability: float | None = None
    """Probability of an answer or class."""

    is_right: bool | None = None
    """Whether it counts as correct; None where that is not decided."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Shown:
    """An image with what every model says about it."""

    picture: str
    """The image, as a data URI."""

    question: str | None
    """The question, if there is one."""

    references: tuple[str, ...]
    """Captions of the data, the annotators' answers, or the true class."""

    said: tuple[Said, ...]
    """One per row that can."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelGallery:
    """What the models of a comparison answer."""

    taken_from: str
    """The data that the images are of."""

    num_images: int = 0
    """Images among which captions are searched for."""

    queries: tuple[tuple[str, tuple[Query, ...]], ...] = ()
    """By title the captions on which the models differ most, and on which all are worst."""

    captions: tuple[Shown, ...] = ()
    """Images with captions."""

    answers: tuple[Shown, ...] = ()
    """Images with answers to a question."""

    classes: tuple[Shown, ...] = ()
    """Images with predicted classes."""

    missing: tuple[str, ...] = ()
    """What is not shown, and why."""

    skipped: tuple[SkippedSample, ...] = ()
    """Images that cannot be read."""


def model_gallery(
    models: Mapping[str, Predictor],
    source: SampleSource,
    taken_from: str,
    *,
    answering: Mapping[str, Predictor] | None = None,
    classifying: Mapping[str, Predictor] | None = None,
) -> ModelGallery:
    """Return what the models, given by row, answer for images that are evenly spread over a source.

    ``answering`` and ``classifying`` are those that are asked and that classify; by default the same ones. Every model
    sees an image in its own size. A large model on a CPU gets fewer images, see `gallery_size`.
    """
    smallest = min((gallery_size(model) for model in models.values()), key=lambda size: size.images)
    first = next(iter(models.values()))
    samples, skipped = gallery(first, source, smallest.images, is_shown=lambda _: True)
    captioned = [sample for sample in samples if sample.captions]
    return ModelGallery(
        taken_from=taken_from,
        num_images=len(captioned),
        queries=tuple(compared_queries(models, captioned)) if len(captioned) > 1 else (),
        captions=_captions(models, captioned),
        answers=_answers(models if answering is None else answering, samples),
        classes=_classes(models if classifying is None else classifying, samples),
        missing=tuple(_missing(models, samples)),
        skipped=tuple(skipped),
    )


def _captions(models: Mapping[str, Predictor], samples: Sequence[ImageTextSample]) -> tuple[Shown, ...]:
    able = {name: model for name, model in models.items() if has_part(model.config.model, "text_decoder")}
    chosen = _spread(samples)
    if not able or not chosen:
        return ()
    said = {name: model.caption(chosen) for name, model in able.items()}
    return tuple(
        _shown(models, sample, sample.captions, tuple(Said(row=name, text=texts[i]) for name, texts in said.items()))
        for i, sample in enumerate(chosen)
    )


def _answers(models: Mapping[str, Predictor], samples: Sequence[ImageTextSample]) -> tuple[Shown, ...]:
    able = {name: model for name, model in models.items() if model.config.answers is not None}
    chosen = _spread([sample for sample in samples if _asked(sample)])
    if not able or not chosen:
        return ()
    # The first questions of all images would often be the same.
    asked = [_asked(sample)[number % len(_asked(sample))] for number, sample in enumerate(chosen)]
    rule = answer_rule([question.answers for question in asked])
    given = {name: list(model.answers(chosen, [[one.question] for one in asked])) for name, model in able.items()}
    return tuple(
        _shown(
            models,
            sample,
            question.answers,
            tuple(_answered(name, own[i][0][0], question, rule) for name, own in given.items()),
            question.question,
        )
        for i, (sample, question) in enumerate(zip(chosen, asked, strict=True))
    )


def _answered(row: str, best: RankedAnswer, question: Question, rule: AnswerRule) -> Said:
    is_right = rule.accuracy(best.answer, question.answers) >= _MOSTLY_RIGHT
    return Said(row=row, text=best.answer, probability=best.probability, is_right=is_right)


def _asked(sample: ImageTextSample) -> list[Question]:
    return [question for question in sample.questions if question.answers]


def _classes(models: Mapping[str, Predictor], samples: Sequence[ImageTextSample]) -> tuple[Shown, ...]:
    able = {name: model for name, model in models.items() if model.config.class_names is not None}
    chosen = _spread([sample for sample in samples if sample.label is not None])
    if not able or not chosen:
        return ()
    said = {name: _predicted(name, model, chosen) for name, model in able.items()}
    return tuple(
        _shown(models, sample, (str(sample.label),), tuple(own[i] for own in said.values()))
        for i, sample in enumerate(chosen)
    )


def _predicted(row: str, model: Predictor, samples: Sequence[ImageTextSample]) -> list[Said]:
    names = model.config.class_names
    assert names is not None, "only models with classes are asked"
    probabilities, predicted = model.class_probabilities(samples).max(dim=1)
    return [
        Said(row=row, text=names[index], probability=probability, is_right=names[index] == sample.label)
        for sample, index, probability in zip(samples, predicted.tolist(), probabilities.tolist(), strict=True)
    ]


def _shown(
    models: Mapping[str, Predictor],
    sample: ImageTextSample,
    references: Sequence[str],
    said: tuple[Said, ...],
    question: str | None = None,
) -> Shown:
    picture = data_uri(picture_of(next(iter(models.values())), sample))
    return Shown(picture=picture, question=question, references=tuple(dict.fromkeys(references)), said=said)


def _spread(samples: Sequence[ImageTextSample]) -> list[ImageTextSample]:
    return [samples[index] for index in evenly_spread(len(samples), _NUM_OTHERS)]


def _missing(models: Mapping[str, Predictor], samples: Sequence[ImageTextSample]) -> Iterator[str]:
    for name, model in models.items():
        if not has_part(model.config.model, "text_decoder"):
            yield f"{name} generates no captions: {why_missing(model.config, 'text_decoder')}"
    if sum(bool(sample.captions) for sample in samples) < 2:
        yield "Captions and retrieval need images with captions, and these have none"
