"""``sycoca caption``: describe images, or a whole data set."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tyro.conf import Positional

from sycoca.cli.shared.logs import stderr_console
from sycoca.data.writing.caption_results import CaptionFormat
from sycoca.inference.generation_config import GenerationConfig
from sycoca.inference.model_options import ModelOptions


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
    """Resume --out with the images that it does not have yet."""

    max_skipped_ratio: float = 0.0
    """Largest fraction of the images that may be left out because they cannot be read; each is named on stderr and,
    with --out, in FILE.skipped.jsonl. 0 makes the first one an error."""

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
    if options.out is None:
        _print_captions(options)
        return 0
    from sycoca.inference.caption_set import caption_set

    caption_set(
        options.weights,
        options.images,
        out=options.out,
        format=options.format,
        resume=options.resume,
        max_skipped_ratio=options.max_skipped_ratio,
        model=options.model,
        console=stderr_console(),
        **asdict(options.generation),
    )
    return 0


def _print_captions(options: CaptionArguments) -> None:
    """Print each caption as soon as its batch is done."""
    from sycoca.data.loading.skipping import usable_source
    from sycoca.data.spec import open_images
    from sycoca.inference.caption_set import check_output, generate_for_set

    check_output(None, options.format, resume=options.resume)
    console = stderr_console()
    source = usable_source(open_images(options.images), options.max_skipped_ratio, console=console)
    predictor = options.model.load(options.weights)
    for one in generate_for_set(
        predictor, source, options.generation, batch_size=options.model.batch_size, console=console
    ):
        print(json.dumps(asdict(one), ensure_ascii=False) if options.json else f"{one.image}: {one.caption}")
