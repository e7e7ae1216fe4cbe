"""Visual question answering: answers of a model to the questions of a source."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from sycoca.data.questions import check_answered, keyed_questions
from sycoca.data.samples import ImageTextSample, Question, SampleSource, num_lost_samples
from sycoca.data.writing.vqa_results import write_results
from sycoca.evaluation.batches import num_evaluated, sample_batches
from sycoca.evaluation.report import Report
from sycoca.evaluation.sharding import ALONE, Sharding
from sycoca.evaluation.vqa_scores import vqa_report
from sycoca.inference.decoding.generation_config import GenerationConfig
from sycoca.inference.predictor import Predictor
from sycoca.metrics.vqa import References


@dataclass(frozen=True, kw_only=True, slots=True)
class VqaOptions:
    """Answering, scoring and output file of VQA."""

    open_ended: GenerationConfig | None = None
    """Options of open-ended generation; None chooses from the model's list of answers."""

    references_are: References | None = None
    """What several reference answers are, see `answer_rule`."""

    predictions: Path | None = None
    """A file for the answers in VQA's result format."""


def evaluate_vqa(
    predictor: Predictor,
    source: SampleSource,
    *,
    options: VqaOptions | None = None,
    batch_size: int = 64,
    limit: int | None = None,
    console: Console | None = None,
    sharding: Sharding = ALONE,
) -> Report:
    """Answer every question about the first samples and score the answers; see `vqa_report`.

    Raises ValueError where there is no question, or one without reference answer.
    """
    started_at = time.perf_counter()
    num_samples = num_evaluated(source, limit)
    asked = keyed_questions(source, num_samples)
    questions = [question for own in asked for question in own]
    check_answered(questions, source.name)
    options = VqaOptions() if options is None else options
    answers = answer_questions(
        predictor,
        source,
        asked,
        generation=options.open_ended,
        batch_size=batch_size,
        console=console,
        sharding=sharding,
    )
    if options.predictions is not None and sharding.rank == 0:
        write_results(options.predictions, questions, answers)
    tokenizer, room = predictor.tokenizer, predictor.context_length
    report = vqa_report(
        questions,
        answers,
        references_are=options.references_are,
        listed_answers=None if options.open_ended else predictor.config.answers,
        counts={
            "images": sum(map(bool, asked)),
            "images_without_questions": sum(not own for own in asked),
            "truncated_questions": sum(tokenizer.num_tokens(question.question) > room for question in questions),
            "skipped_samples": num_lost_samples(source),
        },
        settings={"data": source.name, "limit": limit, "open_ended": options.open_ended is not None},
        seconds=time.perf_counter() - started_at,
    )
    cautions = () if options.open_ended is None else predictor.generation_cautions(options.open_ended)
    return replace(report, remarks=(*cautions, *report.remarks))


def answer_questions(
    predictor: Predictor,
    source: SampleSource,
    asked: Sequence[Sequence[Question]],
    *,
    generation: GenerationConfig | None,
    batch_size: int,
    console: Console | None,
    sharding: Sharding = ALONE,
) -> list[str]:
    """Return one answer per question about the first samples of a source, all in order.

    Answers come from the model's list, or with ``generation`` from its text decoder.
    """
    found: list[str] = []
    first = sharding.own(len(asked)).start
    batches = sample_batches(source, len(asked), batch_size, "answering", console=console, sharding=sharding)
    for samples in batches:
        texts = [[question.question for question in own] for own in asked[first : first + len(samples)]]
        # Images without questions need not be read.
        busy = [place for place, own in enumerate(texts) if own]
        found += _answers(
            predictor,
            [samples[place] for place in busy],
            [texts[place] for place in busy],
            generation,
            batch_size=batch_size,
            first_index=sum(map(len, asked[:first])),
        )
        first += len(samples)
    return sharding.join_plain(found)


def _answers(
    predictor: Predictor,
    samples: Sequence[ImageTextSample],
    texts: Sequence[Sequence[str]],
    generation: GenerationConfig | None,
    *,
    batch_size: int,
    first_index: int,
) -> Iterator[str]:
    """Yield one answer per question; ``first_index`` is the first question's index in the whole list."""
    if generation is None:
        for ranked in predictor.answers(samples, texts, batch_size=batch_size, warns=False):
            yield from (own[0].answer for own in ranked)
    else:
        for written in predictor.write_answers(
            samples, texts, generation, batch_size=batch_size, first_index=first_index, warns=False
        ):
            yield from written
