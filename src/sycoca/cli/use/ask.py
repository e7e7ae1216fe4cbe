"""``sycoca ask``: answer a question about an image, or all questions of a data set."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from sycoca.cli.shared.results import counted, tell
from sycoca.cli.shared.usage import UsageError
from sycoca.inference.decoding.generation_config import GenerationConfig
from sycoca.inference.model_options import ModelOptions
from sycoca.outputs.output import Output, claimed
from sycoca.terminal import for_stdout
from sycoca.texts import is_visible

if TYPE_CHECKING:
    from sycoca.data.samples import ImageTextSample
    from sycoca.inference.predictor import Predictor


@dataclass(frozen=True, kw_only=True, slots=True)
class Arguments:
    """Answer a question about an image, or all questions of a data set."""

    weights: Positional[str]
    """A weights folder, or hf:owner/name[@revision] on the Hugging Face Hub. Without --open-ended it must be fine-tuned
    for VQA."""

    image: Positional[Annotated[str, arg(metavar="IMAGE|SPEC")]]
    """An image file; a folder, zip file or SPEC of images, each of which is asked about; or, with --out, data with
    questions as a SPEC."""

    question: Positional[Annotated[str | None, arg(metavar="[QUESTION]")]] = None
    """The question about the image, as one argument: "what color is the circle?"."""

    top: int = 1
    """Number of most probable answers to print, with their probabilities."""

    out: Annotated[Path | None, arg(metavar="FILE.json")] = None
    """Write the answers to all questions of a SPEC to this file in VQA's result format: [{"question_id", "answer"}];
    FILE.provenance.json names the weights."""

    overwrite: bool = False
    """Replace --out if it exists."""

    json: bool = False
    """Print [{"answer", "probability"}] instead of plain text, for several images lines of {"image", "answers"};
    generated answers have no probability."""

    max_skipped_ratio: float = 0.0
    """Largest fraction of unusable samples to skip; each is reported on stderr. 0 makes the first one an error."""

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
            from sycoca.data.named_inputs import named_inputs

            inputs = named_inputs(self.weights, self.image)
            with claimed(Output(path=self.out, inputs=inputs, overwrite=self.overwrite)):
                _answer_all(self, self.out)
            return 0
        _print_answers(self, str(self.question))
        return 0


def _check(options: Arguments) -> None:
    if (options.question is None) == (options.out is None):
        raise UsageError(
            "give an image file and a question, or a data SPEC and --out FILE.json for the answers to all its questions"
        )
    if options.question is not None and not is_visible(options.question):
        raise UsageError("the question is empty; ask something")
    if options.top < 1:
        raise UsageError(f"--top must be at least 1, got {options.top}")
    if options.top > 1 and (options.open_ended or options.out is not None):
        raise UsageError("--top ranks the answers of a list to one question: leave out --open-ended and --out")
    if options.generation != GenerationConfig() and not options.open_ended:
        raise UsageError("answers are generated with --open-ended only: add it, or leave out the decoding options")


def _print_answers(options: Arguments, question: str) -> None:
    """Print the answers about an image, or about each of several images below its name."""
    from sycoca.cli.shared.logs import stderr_console
    from sycoca.data.formats.named_images import shown_name
    from sycoca.data.image_arguments import open_images
    from sycoca.data.loading.skipping import usable_source

    source = usable_source(open_images(options.image), options.max_skipped_ratio, console=stderr_console())
    samples = [source[index] for index in range(len(source))]
    is_alone = [Path(shown_name(sample)) for sample in samples] == [Path(options.image)]
    predictor = options.model.load(options.weights)
    predictor.warn_of_truncation([question], "questions")
    for sample, answers in zip(samples, _answers(options, predictor, samples, question), strict=True):
        if options.json:
            about = answers if is_alone else {"image": sample.key, "answers": answers}
            print(json.dumps(about, ensure_ascii=False))
            continue
        for answer in answers:
            name = "" if is_alone else f"{shown_name(sample)}: "
            probability = f"  {100 * float(answer['probability']):.1f} %" if options.top > 1 else ""
            print(for_stdout(f"{name}{answer['answer']}{probability}"))


def _answers(
    options: Arguments, predictor: "Predictor", samples: "Sequence[ImageTextSample]", question: str
) -> Iterator[list[dict[str, str | float]]]:
    """Yield the answers to the question about each image, with probabilities where they are chosen from a list."""
    questions, batch_size = [[question]] * len(samples), options.model.batch_size
    if options.open_ended:
        written = predictor.write_answers(samples, questions, options.generation, batch_size=batch_size, warns=False)
        for (answer,) in written:
            yield [{"answer": answer}]
        return
    for (ranked,) in predictor.answers(samples, questions, top=options.top, batch_size=batch_size, warns=False):
        yield [{"answer": one.answer, "probability": one.probability} for one in ranked]


def _answer_all(options: Arguments, out: Path) -> None:
    from sycoca.cli.shared.logs import stderr_console
    from sycoca.data.loading.skipping import usable_source
    from sycoca.data.questions import keyed_questions
    from sycoca.data.spec import open_source
    from sycoca.data.writing.vqa_results import write_results
    from sycoca.evaluation.vqa import answer_questions
    from sycoca.inference.provenance import provenance_of, with_provenance

    console = stderr_console()
    source = usable_source(open_source(options.image), options.max_skipped_ratio, console=console)
    asked = keyed_questions(source, len(source))
    predictor = options.model.load(options.weights)
    predictor.warn_of_truncation([question.question for own in asked for question in own], "questions")
    generation = options.generation if options.open_ended else None
    answers = answer_questions(
        predictor,
        source,
        asked,
        generation=generation,
        batch_size=options.model.batch_size,
        console=console,
    )
    with with_provenance(out, provenance_of(options.weights, predictor, generation)):
        write_results(out, [question for own in asked for question in own], answers)
    tell(counted(len(answers), "answer"), out)
