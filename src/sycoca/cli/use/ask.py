"""``sycoca ask``: answer a question about an image, or all questions of a data set."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tyro.conf import Positional

from sycoca.cli.shared.usage import UsageError
from sycoca.inference.generation_config import GenerationConfig
from sycoca.inference.model_options import ModelOptions

if TYPE_CHECKING:
    from sycoca.inference.answering import RankedAnswer


@dataclass(frozen=True, kw_only=True, slots=True)
class AskArguments:
    """Answer a question about an image, or all questions of a data set."""

    weights: Positional[str]
    """A weights folder, or hf:owner/name[@revision], of a model that was fine-tuned to answer questions (or give
    --open-ended)."""

    image: Positional[str]
    """An image file; or a data SPEC with questions, whose answers go to --out."""

    question: Positional[str | None] = None
    """What to ask about the image file."""

    top: int = 1
    """How many answers to show, the likeliest first, each with its probability."""

    out: Path | None = None
    """Answer all questions of a SPEC and write this file in VQA's result format, [{"question_id", "answer"}]."""

    json: bool = False
    """Print [{"answer", "probability"}] instead of plain text; open-ended answers have no probability."""

    open_ended: bool = False
    """Let the text decoder write an answer after the question, instead of choosing from the fine-tuned model's list."""

    generation: GenerationConfig = field(default_factory=GenerationConfig)
    """How open-ended answers are generated."""

    model: ModelOptions = field(default_factory=ModelOptions)
    """On what it runs."""


def run(arguments: list[str]) -> int:
    """Answer; answers go to stdout or to --out, progress to stderr."""
    import tyro

    options = tyro.cli(AskArguments, prog="sycoca ask", args=arguments, config=(tyro.conf.OmitArgPrefixes,))
    _check(options)
    if options.out is not None:
        _answer_all(options, options.out)
        return 0
    answers = list(_answers(options))
    if options.json:
        print(json.dumps(answers, ensure_ascii=False))
    else:
        for answer in answers:
            share = f"  {100 * float(answer['probability']):.1f} %" if options.top > 1 else ""
            print(f"{answer['answer']}{share}")
    return 0


def _check(options: AskArguments) -> None:
    if (options.question is None) == (options.out is None):
        raise UsageError(
            "ask takes an image file and a question, or a data SPEC and --out FILE for the answers to all its questions"
        )
    if options.top < 1:
        raise UsageError(f"--top must be at least 1, got {options.top}")
    if options.top > 1 and (options.open_ended or options.out is not None):
        raise UsageError("--top ranks the answers of a list to one question: leave out --open-ended and --out")
    if options.generation != GenerationConfig() and not options.open_ended:
        raise UsageError("answers are generated only with --open-ended: add it, or leave out how to generate")


def _answers(options: AskArguments) -> Iterator[dict[str, str | float]]:
    predictor = options.model.load(options.weights)
    asked = [options.image], [[str(options.question)]]
    if options.open_ended:
        yield {"answer": next(predictor.write_answers(*asked, options.generation))[0]}
        return
    ranked: tuple[RankedAnswer, ...] = next(predictor.answers(*asked, top=options.top))[0]
    for answer in ranked:
        yield {"answer": answer.answer, "probability": answer.probability}


def _answer_all(options: AskArguments, out: Path) -> None:
    from rich.console import Console

    from sycoca.data.loading.skipping import SkipLog
    from sycoca.data.questions import keyed_questions
    from sycoca.data.spec import open_source
    from sycoca.data.writing.vqa_results import write_results
    from sycoca.evaluation.vqa import answer_questions

    source = open_source(options.image)
    SkipLog(source, 0.0)  # what cannot be used is an error: every question needs an answer
    asked = keyed_questions(source, len(source))
    answers = answer_questions(
        options.model.load(options.weights),
        source,
        asked,
        generation=options.generation if options.open_ended else None,
        batch_size=options.model.batch_size,
        console=Console(stderr=True),
    )
    write_results(out, [question for own in asked for question in own], answers)
