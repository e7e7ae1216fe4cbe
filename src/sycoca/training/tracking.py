"""Where logged values go: a JSON-lines file that never fails, TensorBoard files, and whatever has the interface."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol, final, runtime_checkable

from sycoca.plain_data import write_text

Number = int | float


@runtime_checkable
class Tracker(Protocol):
    """Takes the values of a step."""

    def log(self, step: int, values: Mapping[str, Number]) -> None:
        """Record values by name."""
        ...

    def close(self) -> None:
        """Finish what was begun."""
        ...


@final
class MetricsFile:
    """``metrics.jsonl``: one line per logged step, on disk at once."""

    def __init__(self, path: Path, *, first_step: int) -> None:
        """Open for appending; lines after ``first_step`` are of steps that will be done again, and are dropped."""
        if path.exists():
            kept = [json.dumps(line) for line in read_metrics(path) if (line["step"] or 0) <= first_step]
            write_text(path, "".join(f"{line}\n" for line in kept))
        self._file = path.open("a", encoding="utf-8")

    def log(self, step: int, values: Mapping[str, Number]) -> None:
        """Append one line; a number that is not finite becomes null, as JSON has no word for it."""
        finite = {name: value if math.isfinite(value) else None for name, value in values.items()}
        self._file.write(json.dumps({"step": step, **finite}) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


@final
class TensorBoard:
    """TensorBoard event files of scalars."""

    def __init__(self, folder: Path, *, first_step: int) -> None:
        from torch.utils.tensorboard.writer import SummaryWriter

        self._writer = SummaryWriter(str(folder), purge_step=first_step + 1)

    def log(self, step: int, values: Mapping[str, Number]) -> None:
        """Add one point to every curve."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Write out and close."""
        self._writer.close()


@final
class Trackers:
    """Several trackers as one."""

    def __init__(self, trackers: Sequence[Tracker]) -> None:
        self._trackers = tuple(trackers)

    def log(self, step: int, values: Mapping[str, Number]) -> None:
        """Hand the values to all."""
        for tracker in self._trackers:
            tracker.log(step, values)

    def close(self) -> None:
        """Close all."""
        for tracker in self._trackers:
            tracker.close()


def read_metrics(path: Path) -> list[dict[str, Number | None]]:
    """Return the lines of a ``metrics.jsonl``; a last line that a killed run left unfinished is not one."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines(keepends=True) if line[-1] == "\n"]
