"""What all commands of ``sycoca map`` take, and how they tell what was made."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import Positional, arg

from sycoca.cli.shared.logs import stderr_console
from sycoca.cli.shared.results import counted, typed
from sycoca.inference.model_options import ModelOptions
from sycoca.mapping.settings import MapSettings

if TYPE_CHECKING:
    from sycoca.mapping.result import MapResult

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class MapArguments(MapSettings):
    """Weights, data, the folder to write, and the settings of the map."""

    weights: Positional[str]
    """A weights folder, or hf:owner/name[@revision] on the Hugging Face Hub."""

    data: Positional[str]
    """Data as a SPEC: a path, or kind:path?option=value."""

    out: Annotated[Path, arg(metavar="FOLDER")]
    """The folder to write, one file per shard or block. The same command continues it, and any number of commands may
    work on it at the same time."""

    json: bool = False
    """Print the summary as JSON."""

    model: ModelOptions = field(default_factory=ModelOptions)
    """Device and precision."""

    def common(self) -> dict[str, Any]:
        """Return the keywords that the functions of all maps take."""
        settings = {one.name: getattr(self, one.name) for one in fields(MapSettings)}
        return {**settings, "model": self.model, "console": stderr_console()}

    def tell(self, result: "MapResult", noun: str) -> int:
        """Tell what was made on stderr, print it with --json, and return the exit code."""
        if self.json:
            print(result.to_json())
        for line in _lines(result, noun):
            logger.info(line)
        return 0


def _lines(result: "MapResult", noun: str) -> Iterator[str]:
    if result.skipped:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in result.skipped.items())
        yield f"skipped: {reasons}; named in {typed(result.out / 'skipped')}"
    if result.mapped_samples:
        rate = result.mapped_samples / result.seconds
        yield f"{counted(result.mapped_samples, 'sample')} in {result.seconds:,.1f} s, {rate:,.1f} per second"
    files = f"{counted(result.files, 'file')} in {typed(result.out)}"
    if result.written_files == result.files:
        yield f"{counted(result.written_rows, noun)} in {files}"
    elif result.written_files:
        yield f"{result.written_files:,} of {files} were written now, with {counted(result.written_rows, noun)}"
    else:
        yield f"complete, nothing was left to do: {files}"
