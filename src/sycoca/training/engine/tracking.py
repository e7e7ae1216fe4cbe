"""Trackers of logged values: a JSON Lines file, TensorBoard and Weights & Biases."""

import importlib
import logging
import math
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol, final, runtime_checkable

from sycoca.json_lines import ResumableLines, read_records
from sycoca.outputs.lease import Lease
from sycoca.outputs.record_lines import Record
from sycoca.outputs.set_aside import set_aside, set_aside_unusable
from sycoca.plain_data import write_text

logger = logging.getLogger(__name__)

Number = int | float

_RUN_ID = re.compile(r"[\w-]{1,128}", re.ASCII)


@runtime_checkable
class Tracker(Protocol):
    """Records the logged values of each step."""

    def log(self, step: int, values: Mapping[str, Number]) -> None:
        """Record values by name."""
        ...

    def close(self) -> None:
        """Flush and close."""
        ...


@final
class MetricsFile:
    """``metrics.jsonl``: one line per logged step, on disk at once."""

    def __init__(self, path: Path, *, first_step: int, lease: Lease | None = None) -> None:
        """Resume the file; lines after ``first_step`` are dropped, since those steps will be done again.

        Damaged lines are moved to ``metrics.jsonl.damaged``, with a warning.
        ``lease`` is that of the run folder: `log` raises LeaseLostError where another process has taken it over.
        """
        self._lines = ResumableLines(path, resume=True, accepts=_is_record, lease=lease)
        self._lines.keep_if(lambda record: record["step"] <= first_step)

    def log(self, step: int, values: Mapping[str, Number]) -> None:
        """Append one line; a number that is not finite becomes null, since JSON has no NaN."""
        finite = {name: value if math.isfinite(value) else None for name, value in values.items()}
        self._lines.append({"step": step, **finite})

    def close(self) -> None:
        """Do nothing: every line is on disk already."""


@final
class TensorBoard:
    """TensorBoard event files of scalars."""

    def __init__(self, folder: Path, *, first_step: int) -> None:
        from torch.utils.tensorboard.writer import SummaryWriter

        if folder.exists() and not folder.is_dir():
            logger.warning(f"{folder} is no folder; it is now {set_aside(folder, '.damaged').name}")
        self._writer = SummaryWriter(str(folder), purge_step=first_step + 1)

    def log(self, step: int, values: Mapping[str, Number]) -> None:
        """Write one scalar per value."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Write out and close."""
        self._writer.close()


@final
class WeightsAndBiases:
    """A run at Weights & Biases: online, offline or disabled, as ``WANDB_MODE`` sets.

    The file ``id_path`` keeps the run's id, which a resumed run uses again. Weights & Biases ignores the values of
    steps that are repeated after a kill; they are the same to the last bit.
    """

    def __init__(self, project: str, config: Mapping[str, Any], *, id_path: Path) -> None:
        """Start or resume; raises ValueError where wandb is not installed or cannot start (no login, no network)."""
        wandb = import_wandb()
        run_id = _read_id(id_path)
        folder = id_path.parent
        try:
            self._run = wandb.init(
                project=project, name=folder.name, id=run_id, resume="allow", dir=str(folder), config=dict(config)
            )
        except wandb.Error as error:
            raise ValueError(
                f"Weights & Biases did not start: {error} WANDB_MODE=offline stores the run locally for a later sync"
            ) from error
        write_text(id_path, f"{self._run.id}\n")

    def log(self, step: int, values: Mapping[str, Number]) -> None:
        """Send the values of a step."""
        self._run.log(dict(values), step=step)

    def close(self) -> None:
        """Send remaining values and finish the run."""
        self._run.finish()


def _read_id(path: Path) -> str | None:
    """Return the run's id at Weights & Biases; None, with a warning, where the file holds none."""
    set_aside_unusable(path)
    if not path.exists():
        return None
    text = path.read_bytes()[:200].decode(errors="replace").strip()
    if _RUN_ID.fullmatch(text):
        return text
    aside = set_aside(path, ".damaged")
    logger.warning(f"{path} holds no id of a run; it is now {aside.name}, and Weights & Biases begins a new run")
    return None


def import_wandb() -> ModuleType:
    """Import the optional package wandb; raises ValueError where it is not installed."""
    try:
        return importlib.import_module("wandb")
    except ModuleNotFoundError as error:
        raise ValueError(
            "training.wandb needs Weights & Biases; install it with: pip install 'sycoca[wandb]'"
        ) from error


@final
class Trackers:
    """Several trackers as one."""

    def __init__(self, trackers: Sequence[Tracker]) -> None:
        self._trackers = tuple(trackers)

    def log(self, step: int, values: Mapping[str, Number]) -> None:
        """Pass the values to every tracker."""
        for tracker in self._trackers:
            tracker.log(step, values)

    def close(self) -> None:
        """Close every tracker."""
        for tracker in self._trackers:
            tracker.close()

    def close_after_error(self) -> None:
        """Close every tracker; what fails then is a warning, since it must not hide why the run ends."""
        for tracker in self._trackers:
            try:
                tracker.close()
            except Exception as error:  # noqa: BLE001 (whatever a tracker's library raises)
                logger.warning(f"{type(tracker).__name__} was not closed: {error}")


def read_metrics(path: Path) -> list[dict[str, Number | None]]:
    """Return the lines of a ``metrics.jsonl``, without damaged ones; none without a file."""
    return read_records(path, _is_record)


def _is_record(record: Record) -> bool:
    """Return whether an object is a line of ``metrics.jsonl``: a step and finite numbers."""
    step = record.get("step")
    return type(step) is int and step >= 0 and all(map(_is_number, record.values()))


def _is_number(value: object) -> bool:
    return value is None or (isinstance(value, int | float) and abs(value) <= sys.float_info.max)
