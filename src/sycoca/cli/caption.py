"""``sycoca caption``: describe images, or a whole data set."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tyro.conf import Positional

from sycoca.cli.model_arguments import ModelArguments
from sycoca.inference.generation_config import GenerationConfig

if TYPE_CHECKING:
    from PIL import Image

    from sycoca.inference.predictor import Predictor

    NamedImage = tuple[str, Callable[[], Image.Image]]


@dataclass(frozen=True, kw_only=True, slots=True)
class CaptionArguments:
    """Describe images."""

    weights: Positional[str]
    """A weights folder."""

    images: Positional[tuple[str, ...]]
    """Image files, folders of them, or one data SPEC."""

    out: Path | None = None
    """Write lines of {"image", "caption", "log_likelihood"} to this file, batch by batch."""

    resume: bool = False
    """Go on with the images that --out does not have yet."""

    json: bool = False
    """Print the same lines instead of plain text."""

    generation: GenerationConfig = field(default_factory=GenerationConfig)
    """How captions are generated."""

    model: ModelArguments = field(default_factory=ModelArguments)
    """On what it runs."""


def run(arguments: list[str]) -> int:
    """Caption images; captions go to stdout or to --out, progress to stderr."""
    import tyro

    options = tyro.cli(CaptionArguments, prog="sycoca caption", args=arguments, config=(tyro.conf.OmitArgPrefixes,))
    if options.resume and options.out is None:
        raise ValueError("--resume goes on with a file: give --out too")
    if options.out is not None and options.out.exists() and not options.resume:
        raise ValueError(f"{options.out} is there already; give --resume to go on with it, or another name")
    images = named_images(options.images)
    predictor = options.model.load(options.weights)
    if options.out is None:
        for line in _lines(predictor, images, options, num_done=0):
            print(json.dumps(line, ensure_ascii=False) if options.json else f"{line['image']}: {line['caption']}")
        return 0
    names = [name for name, _ in images]
    num_done = _num_done(options.out, names) if options.out.exists() else 0
    options.out.parent.mkdir(parents=True, exist_ok=True)
    with options.out.open("a", encoding="utf-8") as file:
        for line in _lines(predictor, images, options, num_done):
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
            file.flush()
    return 0


def named_images(inputs: tuple[str, ...]) -> "list[NamedImage]":
    """Return names and openers of image files, of the images in folders, or of one SPEC's samples.

    Raises ValueError where there is nothing, and where a SPEC stands beside other things.
    """
    from functools import partial

    from sycoca.data.image_files import IMAGE_SUFFIXES
    from sycoca.data.spec import open_source
    from sycoca.preprocess.decoding import open_rgb

    if not inputs:
        raise ValueError("name at least one image, or a data SPEC")
    found: list[NamedImage] = []
    for text in inputs:
        path = Path(text)
        inside = sorted(path.iterdir()) if path.is_dir() else [path]
        files = [file for file in inside if file.suffix.lower() in IMAGE_SUFFIXES]
        if not files and len(inputs) > 1:
            raise ValueError(f"{text} is neither an image file nor a folder of them; a data SPEC must stand alone")
        if not files:
            source = open_source(text)
            return [(source[index].key, source[index].open_image) for index in range(len(source))]
        found += [(str(file), partial(open_rgb, file)) for file in files]
    return found


def _lines(
    predictor: "Predictor", images: "list[NamedImage]", options: CaptionArguments, num_done: int
) -> Iterator[dict[str, str | float]]:
    from rich.console import Console

    from sycoca.inference.progress import tracked

    left = images[num_done:]
    generated = predictor.generate(
        [open_image for _, open_image in left],
        options.generation,
        batch_size=options.model.batch_size,
        first_index=num_done,
    )
    shown = tracked(generated, len(left), "captioning", console=Console(stderr=True))
    for (name, _), caption in zip(left, shown, strict=True):
        text = predictor.tokenizer.decode(caption.tokens)
        yield {"image": name, "caption": text, "log_likelihood": round(caption.log_likelihood, 4)}


def _num_done(path: Path, names: list[str]) -> int:
    """Count the lines of an unfinished file, and take off a last one that a killed run has cut.

    Raises ValueError where the lines are not about the first of the images.
    """
    text = path.read_text(encoding="utf-8")
    whole = text[: text.rfind("\n") + 1]
    lines = whole.splitlines()
    if len(lines) > len(names):
        raise ValueError(f"{path} has {len(lines)} lines for {len(names)} images; it was written for other images")
    for number, (line, name) in enumerate(zip(lines, names, strict=False), start=1):
        if _captioned_image(line, f"{path}, line {number}") != name:
            raise ValueError(f"{path}, line {number} is not about {name}; it was written for other images")
    path.write_text(whole, encoding="utf-8")
    return len(lines)


def _captioned_image(line: str, where: str) -> str:
    try:
        return json.loads(line)["image"]
    except (json.JSONDecodeError, TypeError, KeyError) as error:
        raise ValueError(f"{where} is no caption; --resume goes on with a file that this command wrote") from error
