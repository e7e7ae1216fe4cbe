"""``sycoca ask``: answer a question about an image, or all questions of a data set."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from sycoca.cli.shared.usage import UsageError
from sycoca.inference.generation_config import GenerationConfig
from sycoca.inference.model_options import ModelOptions
from sycoca.terminal import for_stdout

if TYPE_CHECKING:
    from sycoca.inference.vqa import RankedAnswer


@dataclass(frozen=True, kw_only=True, slots=True)
class Arguments:
    """Answer a question about an image, or all questions of a data set."""

    weights: Positional[str]
    """A weights folder, or hf:owner/name[@revision] on the Hugging Face Hub. Without --open-ended it must be fine-tuned
    for VQA."""

    image: Positional[Annotated[str, arg(metavar="IMAGE|SPEC")]]
    """An image file; or data with questions as a SPEC, whose answers go to --out."""

    question: Positional[Annotated[str | None, arg(metavar="[QUESTION]")]] = None
    """The question about the image, as one argument: "what color is the circle?"."""

    top: int = 1
    """Number of most probable answers to print, with their probabilities."""

    out: Annotated[Path | None, arg(metavar="FILE.json")] = None
    """Write the answers to all questions of a SPEC to this file in VQA's result format: [{"question_id", "answer"}]."""

    json: bool = False
    """Print [{"answer", "probability"}] instead of plain text; generated answers have no probability."""

    open_ended: bool = False
    """Generate answers with the text decoder, instead of choosing from the fine-tuned model's answer list."""

    generation: GenerationConfig = field(default_factory=GenerationConfig)
    """Decoding of open-ended answers."""

    model: ModelOptions = field(default_factory=ModelOptions)
    """Device and precision."""

    def run(self) -> int:
        """Answer; answers go to stdout or to --out, progress to stderr."""
        _check(self)
        if self.out is not None:
            _answer_all(self, self.out)
            return 0
        answers = list(_answers(self))
        if self.json:
            print(json.dumps(answers, ensure_ascii=False))
        else:
            for answer in answers:
                probability = f"  {100 * float(answer['probability']):.1f} %" if self.top > 1 else ""
                print(for_stdout(f"{answer['answer']}{probability}"))
        return 0


def _check(options: Arguments) -> None:
    if (options.question is None) == (options.out is None):
        raise UsageError(
            "give an image file and a question, or a data SPEC and --out FILE.json for the answers to all its questions"
        )
    if options.top < 1:
        raise UsageError(f"--top must be at least 1, got {options.top}")
    if options.top > 1 and (options.open_ended or options.out is not None):
        raise UsageError("--top ranks the answers of a list to one question: leave out --open-ended and --out")
    if options.generation != GenerationConfig() and not options.open_ended:
        raise UsageError("answers are generated with --open-ended only: add it, or leave out the decoding options")


def _answers(options: Arguments) -> Iterator[dict[str, str | float]]:
    predictor = options.model.load(options.weights)
    asked = [options.image], [[str(options.question)]]
    if options.open_ended:
        yield {"answer": next(predictor.write_answers(*asked, options.generation))[0]}
        return
    ranked: tuple[RankedAnswer, ...] = next(predictor.answers(*asked, top=options.top))[0]
    for answer in ranked:
        yield {"answer": answer.answer, "probability": answer.probability}


def _answer_all(options: Arguments, out: Path) -> None:
    from sycoca.cli.shared.logs import stderr_console
    from sycoca.data.loading.skipping import SkipLog
    from sycoca.data.questions import keyed_questions
    from sycoca.data.spec import open_source
    from sycoca.data.writing.vqa_results import write_results
    from sycoca.evaluation.vqa import answer_questions

    source = open_source(options.image)
    SkipLog(source, 0.0)  # unusable samples are errors: every question needs an answer
    asked = keyed_questions(source, len(source))
    predictor = options.model.load(options.weights)
    predictor.warn_of_truncation([question.question for own in asked for question in own], "questions")
    answers = answer_questions(
        predictor,
        source,
        asked,
        generation=options.generation if options.open_ended else None,
        batch_size=options.model.batch_size,
        console=stderr_console(),
    )
    write_results(out, [question for own in asked for question in own], answers)
