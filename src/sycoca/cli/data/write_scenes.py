"""``sycoca data write-scenes``: write the built-in scenes to disk."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from sycoca.cli.shared.logs import stderr_console
from sycoca.cli.shared.results import typed
from sycoca.data.scenes.content import Level, Split
from sycoca.data.scenes.source import DEFAULT_COUNT, ScenesSource
from sycoca.data.writing.write_samples import write_samples
from sycoca.progress_bar import tracked


@dataclass(frozen=True, kw_only=True, slots=True)
class Arguments:
    """Write built-in scenes as PNG files and a captions.jsonl, which is a data SPEC."""

    folder: Positional[Annotated[Path, arg(metavar="FOLDER")]]
    """The folder to write to; it is created if it does not exist."""

    overwrite: bool = False
    """Replace scenes that were written to the folder before."""

    level: Level = "easy"
    """Difficulty: number of objects, colors, shapes and relations."""

    count: int = DEFAULT_COUNT
    """Number of scenes."""

    seed: int = 0
    """Seed of the scenes."""

    split: Split = "train"
    """Split; no content occurs in two of them."""

    size: int = 64
    """Height and width in pixels."""

    json: bool = False
    """Print JSON instead of text."""

    def run(self) -> int:
        """Write the scenes and print their path."""
        source = ScenesSource(level=self.level, count=self.count, seed=self.seed, split=self.split, size=self.size)
        samples = (source[i] for i in range(len(source)))
        console = stderr_console()
        shown = tracked(samples, len(source), "writing scenes", console=console)
        captions_path = write_samples(shown, self.folder, overwrite=self.overwrite)
        if self.json:
            print(json.dumps({"captions": str(captions_path), "num_images": len(source)}))
        else:
            print(f"wrote {len(source)} scenes; use them as {typed(captions_path)}")
        return 0
