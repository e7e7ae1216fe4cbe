"""Draw the pictures of docs/gallery.md with ``sycoca explain``, from built-in scenes.

    python docs/draw_gallery.py runs/quickstart/weights

Pictures become WebP files, so that the repository stays small.
"""

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from sycoca.cli.main import main as sycoca
from sycoca.data.spec import open_source

FOLDER = Path(__file__).parent / "gallery"
QUALITY = 82
MOST_WIDTH = 1400
"""Pixels, twice what a page shows."""


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture: a scene, and a caption that it is explained with."""

    name: str
    """The name of its file."""

    scene: int
    """The index of the scene among those of the SPEC."""

    caption: str
    """What the model is asked about it."""

    edited_caption: str | None = None
    """A caption under which the masked patches are reconstructed, too."""

    spec: str = "scenes:?level=easy&split=test&count=200"
    """Where the scene comes from."""


PICTURES = (
    Picture("described", 6, "a red cross left of a cyan triangle"),
    Picture("absent", 6, "a dog"),
    Picture("edited", 6, "a red cross left of a cyan triangle", "a blue cross left of a cyan triangle"),
    Picture(
        "distractor",
        3,
        "a red triangle below a red circle",
        spec="scenes:?level=easy&split=test&count=200&distractors=1",
    ),
)
"""All pictures of the page, which a test compares with those that it shows."""


def draw(picture: Picture, weights: str, folder: Path) -> Path:
    """Write one picture and return its path."""
    image, drawn = folder / "scene.png", folder / "drawn.png"
    open_source(picture.spec)[picture.scene].open_image().save(image)
    edited = [] if picture.edited_caption is None else ["--edited-caption", picture.edited_caption]
    words = [weights, str(image), picture.caption, *edited, "--out", str(drawn), "--overwrite", "--quiet"]
    code = sycoca(["explain", *words])
    if code != 0:
        raise SystemExit(code)
    return shrunk(drawn, FOLDER / f"{picture.name}.webp")


def shrunk(drawn: Path, out: Path) -> Path:
    """Write a picture again as a smaller file, and narrower where it is very wide."""
    with Image.open(drawn) as opened:
        pixels = opened.convert("RGB")
    pixels.thumbnail((MOST_WIDTH, 10 * MOST_WIDTH), Image.Resampling.LANCZOS)
    out.parent.mkdir(exist_ok=True)
    pixels.save(out, quality=QUALITY, method=6)
    return out


def main(weights: str) -> None:
    """Draw all pictures with these weights."""
    with tempfile.TemporaryDirectory() as folder:
        for picture in PICTURES:
            out = draw(picture, weights, Path(folder))
            sys.stdout.write(f"{out}: {out.stat().st_size / 1024:.0f} KiB\n")


if __name__ == "__main__":
    main(sys.argv[1])
