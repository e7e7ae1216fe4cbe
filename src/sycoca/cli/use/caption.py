"""``sycoca caption``: describe images, or a whole data set."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tyro.conf import Positional

from sycoca.cli.shared.unfinished_file import whole_lines
from sycoca.inference.generation_config import GenerationConfig
from sycoca.inference.model_options import ModelOptions

if TYPE_CHECKING:
    from sycoca.data.samples import SampleSource
    from sycoca.inference.predictor import Predictor

CaptionFormat = Literal["jsonl", "coco"]

_IS_ONE_LIST: Mapping[CaptionFormat, bool] = {"jsonl": False, "coco": True}
"""Whether a file is one JSON list, written when all is done, and not a line per image."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CaptionArguments:
    """Describe images."""

    weights: Positional[str]
    """A weights folder, or hf:owner/name[@revision] at the Hugging Face Hub."""

    images: Positional[tuple[str, ...]]
    """Image files, folders of them, or one data SPEC."""

    out: Path | None = None
    """Write lines of {"image", "caption", "log_likelihood"} to this file, batch by batch."""

    format: CaptionFormat = "jsonl"
    """jsonl: lines as above, which data SPECs read back. coco: COCO's result format [{"image_id", "caption"}], written
    when all images are done."""

    resume: bool = False
    """Go on with the images that --out does not have yet."""

    max_skipped_ratio: float = 0.0
    """Largest share of the images that may be left out because they cannot be read; each is named on stderr and, with
    --out, in FILE.skipped.jsonl. 0 makes the first one an error."""

    json: bool = False
    """Print the same lines instead of plain text."""

    generation: GenerationConfig = field(default_factory=GenerationConfig)
    """How captions are generated."""

    model: ModelOptions = field(default_factory=ModelOptions)
    """On what it runs."""


def run(arguments: list[str]) -> int:
    """Caption images; captions go to stdout or to --out, progress to stderr."""
    import tyro

    options = tyro.cli(CaptionArguments, prog="sycoca caption", args=arguments, config=(tyro.conf.OmitArgPrefixes,))
    _check(options)
    source = _usable(image_source(options.images), options)
    predictor = options.model.load(options.weights)
    if options.out is None:
        for line in _lines(predictor, source, options, num_done=0):
            print(json.dumps(line, ensure_ascii=False) if options.json else f"{line['image']}: {line['caption']}")
        return 0
    options.out.parent.mkdir(parents=True, exist_ok=True)
    if _IS_ONE_LIST[options.format]:
        from sycoca.data.writing.caption_results import write_caption_results

        lines = list(_lines(predictor, source, options, num_done=0))
        write_caption_results(options.out, *zip(*((line["image"], line["caption"]) for line in lines), strict=True))
        return 0
    num_done = _num_done(options.out, [source[index].key for index in range(len(source))])
    with options.out.open("a", encoding="utf-8") as file:
        for line in _lines(predictor, source, options, num_done):
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
            file.flush()
    return 0


def _check(options: CaptionArguments) -> None:
    if options.resume and options.out is None:
        raise ValueError("--resume goes on with a file: give --out too")
    if _IS_ONE_LIST[options.format] and (options.out is None or options.resume):
        raise ValueError(f"--format {options.format} is one JSON list: give --out, and no --resume")
    if options.out is not None and options.out.exists() and not options.resume:
        raise ValueError(f"{options.out} is there already; give --resume to go on with it, or another name")


def _usable(source: "SampleSource", options: CaptionArguments) -> "SampleSource":
    """Return the images that can be read; where any may be left out, each is opened once beforehand."""
    import sys

    from rich.console import Console

    from sycoca.data.loading.skipping import SkipLog, UsableSamples, image_problems
    from sycoca.progress_bar import tracked

    path = None if options.out is None else options.out.with_name(f"{options.out.name}.skipped.jsonl")
    if path is not None and not options.resume:
        path.unlink(missing_ok=True)
    if options.max_skipped_ratio == 0:
        SkipLog(source, options.max_skipped_ratio)  # what the source itself has left out is an error, too
        return source
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
    log = SkipLog(source, options.max_skipped_ratio, path)
    problems = image_problems(source, range(len(source)))
    checked = tracked(problems, len(source), "checking images", console=Console(stderr=True))
    usable = UsableSamples(source, log, checked)
    for skipped in log.skipped:
        print(f"skipped: {skipped.detail}", file=sys.stderr)
    if log.skipped:
        print(log.summary(), file=sys.stderr)
    return usable


def image_source(inputs: tuple[str, ...]) -> "SampleSource":
    """Return image files, the images in folders, or one SPEC's samples.

    Raises ValueError where there is nothing, and where a SPEC stands beside other things.
    """
    from sycoca.data.formats.image_files import IMAGE_SUFFIXES
    from sycoca.data.formats.named_images import NamedImages
    from sycoca.data.spec import open_source

    if not inputs:
        raise ValueError("name at least one image, or a data SPEC")
    found: list[Path] = []
    for text in inputs:
        path = Path(text)
        inside = sorted(path.iterdir()) if path.is_dir() else [path]
        files = [file for file in inside if file.suffix.lower() in IMAGE_SUFFIXES]
        if not files and len(inputs) > 1:
            raise ValueError(f"{text} is neither an image file nor a folder of them; a data SPEC must stand alone")
        if not files:
            return open_source(text)
        found += files
    return NamedImages(files=tuple(found))


def _lines(
    predictor: "Predictor", source: "SampleSource", options: CaptionArguments, num_done: int
) -> Iterator[dict[str, str | float]]:
    from rich.console import Console

    from sycoca.progress_bar import tracked

    left = [source[index] for index in range(num_done, len(source))]
    generated = predictor.generate(
        left,
        options.generation,
        batch_size=options.model.batch_size,
        first_index=num_done,
    )
    shown = tracked(generated, len(left), "captioning", console=Console(stderr=True))
    for sample, caption in zip(left, shown, strict=True):
        text = predictor.tokenizer.decode(caption.tokens)
        yield {"image": sample.key, "caption": text, "log_likelihood": round(caption.log_likelihood, 4)}


def _num_done(path: Path, names: list[str]) -> int:
    """Count the lines of an unfinished file.

    Raises ValueError where the lines are not about the first of the images.
    """
    lines = whole_lines(path)
    if len(lines) > len(names):
        raise ValueError(f"{path} has {len(lines)} lines for {len(names)} images; it was written for other images")
    for number, (line, name) in enumerate(zip(lines, names, strict=False), start=1):
        if _captioned_image(line, f"{path}, line {number}") != name:
            raise ValueError(f"{path}, line {number} is not about {name}; it was written for other images")
    return len(lines)


def _captioned_image(line: str, where: str) -> str:
    try:
        return json.loads(line)["image"]
    except (json.JSONDecodeError, TypeError, KeyError) as error:
        raise ValueError(f"{where} is no caption; --resume goes on with a file that this command wrote") from error
