"""Captions of a whole set of images, in a file that an interrupted program resumes."""

import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from sycoca.data.choices import check_skipped_ratio
from sycoca.data.formats.named_images import image_path
from sycoca.data.image_arguments import open_images
from sycoca.data.loading.skipping import usable_source
from sycoca.data.named_inputs import named_inputs
from sycoca.data.samples import ImageTextSample, SampleSource
from sycoca.data.writing.caption_results import CaptionFormat, write_caption_results
from sycoca.inference.decoding.generation_config import GenerationConfig, GenerationOptions
from sycoca.inference.inputs import Images
from sycoca.inference.load import predictor_of
from sycoca.inference.model_options import ModelOptions
from sycoca.inference.predictor import Predictor
from sycoca.inference.provenance import provenance_of, result_lines, with_provenance
from sycoca.json_lines import ResumableLines
from sycoca.keywords import suggests_keywords
from sycoca.outputs.output import Output, claimed
from sycoca.outputs.record_lines import Record
from sycoca.progress_bar import tracked

if TYPE_CHECKING:
    from rich.console import Console

logger = logging.getLogger(__name__)

_IS_ONE_LIST: Mapping[CaptionFormat, bool] = {"jsonl": False, "coco": True}
"""Whether a file is one JSON list, written at the end, and not a line per image."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageCaption:
    """The caption of one image."""

    image: str
    """The image's name in its set: its path, or the sample's key."""

    caption: str
    """What the model says."""

    log_likelihood: float
    """Sum of the log-probabilities of the caption's tokens given the image, natural logarithm, the end token included;
    also where guidance has chosen the tokens."""


@suggests_keywords
def caption_set(  # noqa: PLR0913 (every option by its name)
    weights: Predictor | str | Path,
    images: SampleSource | str | Path | Iterable[str | Path],
    *,
    out: str | Path | None = None,
    format: CaptionFormat = "jsonl",
    resume: bool = False,
    overwrite: bool = False,
    max_skipped_ratio: float = 0.0,
    model: ModelOptions | None = None,
    console: "Console | None" = None,
    **options: Unpack[GenerationOptions],
) -> list[ImageCaption]:
    """Caption all images of a set and return the captions in their order.

    ``weights``: a weights folder, ``hf:owner/name[@revision]``, or a loaded `Predictor`. ``images``: image files,
    folders of them, one data SPEC, or a source. ``out``: a file for the captions. With ``format`` "jsonl" it gets a
    line {"image", "caption", "log_likelihood"} as soon as a batch is done, and data SPECs read it back; "coco" is
    COCO's result format, written at the end. OUT.provenance.json names weights and options (`ResultProvenance`).
    ``resume``: continue the file of an interrupted call with the same arguments; captions drawn at random become those
    of a call in one go. ``overwrite``: replace the file.
    ``max_skipped_ratio``: largest fraction of the images that may be left out because they cannot be read; each is
    logged and, with ``out``, named in OUT.skipped.jsonl. ``model``: device, precision and batch size. ``console``:
    where progress bars are shown; None shows none. ``options`` are the fields of `GenerationConfig`, greedy by default.

    Raises OutputError (a ValueError) before anything runs where the file is there already or cannot be written, or
    another process writes it, and for one that is resumed with other weights or options; ValueError where it was
    written for other images, where an image cannot be read, or too many cannot, and for a model without text decoder.
    """
    path, generation = None if out is None else Path(out), GenerationConfig(**options)
    check_format(path, format, resume=resume)
    check_skipped_ratio(max_skipped_ratio)
    model = ModelOptions() if model is None else model
    inputs = named_inputs(weights, images)
    with claimed(_output(path, format, inputs, overwrite=overwrite, resume=resume)) as (lease,):
        opened, predictor = open_images(images), predictor_of(weights, model)
        if path is None:
            source = usable_source(opened, max_skipped_ratio, console=console)
            return list(generate_for_set(predictor, source, generation, batch_size=model.batch_size, console=console))
        provenance = provenance_of(weights, predictor, generation)
        lines = None if _IS_ONE_LIST[format] else result_lines(path, provenance, resume=resume, lease=lease)
        source = _usable_images(opened, path, max_skipped_ratio, resume=resume, console=console)
        captions = [] if lines is None else _known_captions(source, lines)
        for caption in generate_for_set(
            predictor, source, generation, first=len(captions), batch_size=model.batch_size, console=console
        ):
            if lines is not None:
                lines.append(asdict(caption) | {"image": _name_in_file(source[len(captions)], path)})
            captions.append(caption)
        if lines is None:
            with with_provenance(path, provenance):
                write_caption_results(path, [one.image for one in captions], [one.caption for one in captions])
    return captions


def generate_for_set(
    predictor: Predictor,
    source: SampleSource,
    generation: GenerationConfig,
    *,
    first: int = 0,
    batch_size: int = 64,
    console: "Console | None" = None,
) -> Iterator[ImageCaption]:
    """Yield the captions of the samples from number ``first`` on, batch by batch.

    Captions drawn at random depend on the seed and the sample's number, not on ``first``. Raises ValueError for a model
    without text decoder.
    """
    indices = range(first, len(source))
    samples = [source[index] for index in indices]
    captions = caption_samples(predictor, samples, samples, generation, indices=indices, batch_size=batch_size)
    yield from tracked(captions, len(samples), "captioning", console=console)


def caption_samples(
    predictor: Predictor,
    samples: Sequence[ImageTextSample],
    images: Images,
    generation: GenerationConfig,
    *,
    indices: Sequence[int],
    batch_size: int,
) -> Iterator[ImageCaption]:
    """Yield the captions of samples, batch by batch; ``images`` are theirs, opened or to be opened.

    ``indices`` are those of the samples in their source, from which random captions are derived.
    """
    generated = predictor.generate(images, generation, batch_size=batch_size, indices=indices)
    for sample, caption in zip(samples, generated, strict=True):
        text = predictor.tokenizer.decode(caption.tokens)
        yield ImageCaption(image=sample.key, caption=text, log_likelihood=round(caption.log_likelihood, 4))


def check_format(path: Path | None, format: CaptionFormat, *, resume: bool) -> None:
    """Raise ValueError where the arguments contradict each other."""
    if resume and path is None:
        raise ValueError("there is no file to resume: give --out too")
    if _IS_ONE_LIST[format] and (path is None or resume):
        raise ValueError(f"--format {format} is one JSON list: give --out, and no --resume")


def _output(
    path: Path | None, format: CaptionFormat, inputs: tuple[Path, ...], *, overwrite: bool, resume: bool
) -> Output | None:
    if path is None:
        return None
    Output(path=_skipped_path(path), inputs=inputs).check_inputs()
    kind = "file" if _IS_ONE_LIST[format] else "growing file"
    return Output(path=path, kind=kind, inputs=inputs, overwrite=overwrite, resume=resume)


def _skipped_path(out: Path) -> Path:
    return out.with_name(f"{out.name}.skipped.jsonl")


def _name_in_file(sample: ImageTextSample, path: Path) -> str:
    """Return the name of an image in a file of captions: it opens from there, as data SPECs read it back."""
    if image_path(sample) != sample.key or os.path.isabs(sample.key):
        return sample.key
    return Path(os.path.relpath(sample.key, path.parent)).as_posix()


def _known_captions(source: SampleSource, lines: ResumableLines) -> list[ImageCaption]:
    """Return the captions that the file has. Raises ValueError where they are not those of the first images."""
    lines.check([{"image": _name_in_file(source[index], lines.path)} for index in range(len(source))])
    if len(lines):
        logger.info("%s has %d of %d captions", lines.path, len(lines), len(source))
    captions = (_caption(record, lines.path) for record in lines.records)
    return [replace(caption, image=source[index].key) for index, caption in enumerate(captions)]


def _caption(record: Record, path: Path) -> ImageCaption:
    try:
        return ImageCaption(**record)
    except TypeError as error:
        raise ValueError(f"{path} has a line that is no caption of sycoca caption: {ascii(record)[:80]}") from error


def _usable_images(
    source: SampleSource, out: Path, max_skipped_ratio: float, *, resume: bool, console: "Console | None"
) -> SampleSource:
    """Return the images that can be read; the names of the others go beside the output file."""
    skipped = _skipped_path(out)
    if not resume:
        skipped.unlink(missing_ok=True)
    return usable_source(source, max_skipped_ratio, path=skipped, console=console)
