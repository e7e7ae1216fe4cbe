"""``sycoca caption``: caption images, or a whole data set."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from sycoca.cli.shared.logs import stderr_console
from sycoca.cli.shared.results import counted, tell
from sycoca.data.writing.caption_results import CaptionFormat
from sycoca.inference.decoding.generation_config import GenerationConfig
from sycoca.inference.model_options import ModelOptions
from sycoca.terminal import for_stdout


@dataclass(frozen=True, kw_only=True, slots=True)
class Arguments:
    """Caption images, or a whole data set."""

    weights: Positional[str]
    """A weights folder, or hf:owner/name[@revision] on the Hugging Face Hub."""

    images: Positional[tuple[str, ...]]
    """Image files, folders of them, or one data SPEC."""

    out: Annotated[Path | None, arg(metavar="FILE")] = None
    """Write lines of {"image", "caption", "log_likelihood"} to this file, batch by batch; FILE.provenance.json names
    weights and options."""

    format: CaptionFormat = "jsonl"
    """jsonl: lines as above, which can be read back as a data SPEC. coco: COCO's result format,
    [{"image_id", "caption"}], written when all images are done."""

    resume: bool = False
    """Caption only the images that --out does not have yet; weights and options must be the same."""

    overwrite: bool = False
    """Replace --out if it exists."""

    max_skipped_ratio: float = 0.0
    """Largest fraction of unreadable images to skip; each is reported on stderr and, with --out, in
    FILE.skipped.jsonl. 0 makes the first one an error."""

    json: bool = False
    """Print the same lines instead of plain text."""

    generation: GenerationConfig = field(default_factory=GenerationConfig)
    """Decoding."""

    model: ModelOptions = field(default_factory=ModelOptions)
    """Device and precision."""

    def run(self) -> int:
        """Caption images; captions go to stdout or to --out, progress to stderr."""
        if self.out is None:
            _print_captions(self)
            return 0
        from sycoca.inference.caption_set import caption_set

        captions = caption_set(
            self.weights,
            self.images,
            out=self.out,
            format=self.format,
            resume=self.resume,
            overwrite=self.overwrite,
            max_skipped_ratio=self.max_skipped_ratio,
            model=self.model,
            console=stderr_console(),
            **asdict(self.generation),
        )
        tell(counted(len(captions), "caption"), self.out)
        return 0


def _print_captions(options: Arguments) -> None:
    """Print each caption as soon as its batch is done."""
    from sycoca.data.formats.named_images import shown_name
    from sycoca.data.image_arguments import open_images
    from sycoca.data.loading.skipping import usable_source
    from sycoca.inference.caption_set import check_format, generate_for_set

    check_format(None, options.format, resume=options.resume)
    console = stderr_console()
    source = usable_source(open_images(options.images), options.max_skipped_ratio, console=console)
    predictor = options.model.load(options.weights)
    captions = generate_for_set(
        predictor, source, options.generation, batch_size=options.model.batch_size, console=console
    )
    for number, one in enumerate(captions):
        line = json.dumps(asdict(one), ensure_ascii=False) if options.json else None
        print(for_stdout(f"{shown_name(source[number])}: {one.caption}") if line is None else line)
