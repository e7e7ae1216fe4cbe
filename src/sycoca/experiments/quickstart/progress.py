"""What a quickstart has finished, in its folder, so that an interrupted one continues from there."""

import json
import logging
import math
import shlex
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, final

from sycoca.evaluation.report import Report
from sycoca.outputs.manifest import read_sound_json
from sycoca.outputs.set_aside import set_aside
from sycoca.plain_data import from_plain, to_plain, write_text
from sycoca.training.run_folder import RunFolder

logger = logging.getLogger(__name__)

Training = Literal["pretraining", "vqa", "classification"]
"""The trainings of a quickstart, in order."""

FOLDERS: Mapping[Training, str] = {"pretraining": ".", "vqa": "vqa", "classification": "classification"}
"""The run folder of each, in that of the quickstart."""


@dataclass(frozen=True, kw_only=True, slots=True)
class QuickstartOptions:
    """What a quickstart was asked for."""

    seed: int
    """Seed of everything random in it."""

    steps: int | None
    """Steps of every training; None for those of the presets."""

    def steps_of(self, preset: int) -> int:
        """Return the steps of a training whose preset has so many."""
        return preset if self.steps is None else self.steps

    def command(self, out: Path) -> str:
        """Return the command of this quickstart in the folder ``out``: it begins it, and resumes it."""
        seed = f" --seed {self.seed}" if self.seed else ""
        steps = "" if self.steps is None else f" --steps {self.steps}"
        return f"sycoca quickstart --out {shlex.quote(str(out))}{seed}{steps}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Session:
    """One time that a training ran."""

    training: Training
    """Which training."""

    started_at: float
    """When it began, in seconds since 1970."""

    seconds: float | None = None
    """How long it took; None where the process was killed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Record:
    """The content of ``quickstart.json``."""

    options: QuickstartOptions
    sessions: tuple[Session, ...] = field(default=())


@final
class QuickstartProgress:
    """Trainings and evaluations of a quickstart, of which each is done once."""

    def __init__(self, out: Path, options: QuickstartOptions) -> None:
        """Begin, or continue what the folder holds.

        Raises ValueError where the folder holds something else, or a quickstart with other options.
        """
        self._out = out
        self._path = progress_path(out)
        if self._path.exists():
            self._record = _read_record(self._path, options)
            _check_options(out, self._record.options, options)
            self._save()
            return
        if out.exists() and not _is_empty(out):
            raise ValueError(
                f"{out} exists and holds no quickstart that could be continued; --restart deletes it first, if it is a"
                " run folder, --out names another folder"
            )
        self._record = _Record(options=options)
        out.mkdir(parents=True, exist_ok=True)
        self._save()

    def folder(self, training: Training) -> RunFolder:
        """Return the run folder of a training."""
        return RunFolder(self._out / FOLDERS[training])

    def train(self, training: Training, *, start: Callable[[], object], resume: Callable[[], object]) -> None:
        """Start or resume a training, unless its weights are there."""
        folder = self.folder(training)
        if folder.weights.exists():
            logger.info(f"{training} is finished: weights in {folder.weights}")
            return
        self._end_killed_sessions(training)
        with self._timed(training):
            (resume if folder.holds_run() else start)()

    def report(self, name: str, evaluate: Callable[[], Report]) -> Report:
        """Return a report: that of an earlier evaluation where there is one."""
        path = self._out / "reports" / f"{name}.json"
        if path.exists():
            logger.debug(f"report of {name} in {path}")
        else:
            evaluate().save(path)
        # Loaded in any case, so that a resumed quickstart and an uninterrupted one compute with the same.
        return Report.load(path)

    def seconds(self, training: Training) -> float:
        """Return how long a training took in all sessions; one that was killed counts up to its last logged step."""
        self._end_killed_sessions(training)
        own = [session.seconds or 0.0 for session in self._record.sessions if session.training == training]
        return math.fsum(own)

    @contextmanager
    def _timed(self, training: Training) -> Iterator[None]:
        session = Session(training=training, started_at=time.time())
        earlier = self._record.sessions
        self._keep((*earlier, session))
        started_at = time.perf_counter()
        try:
            yield
        finally:
            self._keep((*earlier, replace(session, seconds=time.perf_counter() - started_at)))

    def _end_killed_sessions(self, training: Training) -> None:
        metrics = self.folder(training).metrics
        logged_at = metrics.stat().st_mtime if metrics.exists() else 0.0
        self._keep(
            tuple(
                replace(session, seconds=max(0.0, logged_at - session.started_at))
                if session.training == training and session.seconds is None
                else session
                for session in self._record.sessions
            )
        )

    def _keep(self, sessions: tuple[Session, ...]) -> None:
        if sessions != self._record.sessions:
            self._record = replace(self._record, sessions=sessions)
            self._save()

    def _save(self) -> None:
        write_text(self._path, json.dumps(to_plain(self._record), indent=2) + "\n")


def progress_path(out: Path) -> Path:
    """Return the file in a quickstart's folder that holds its options and times."""
    return out / "quickstart.json"


def _read_record(path: Path, options: QuickstartOptions) -> _Record:
    """Return the content of ``quickstart.json``; that of a damaged one, which is set aside, is only the options."""
    try:
        return from_plain(_Record, read_sound_json(path), str(path))
    except ValueError as error:
        aside = set_aside(path, ".damaged")
        logger.warning(f"{error}; it is now {aside.name}, and the times of earlier sessions are lost")
        return _Record(options=options)


def _check_options(out: Path, old: QuickstartOptions, new: QuickstartOptions) -> None:
    if old != new:
        raise ValueError(
            f"{out} holds a quickstart with other options; continue it with {old.command(out)}, or --restart deletes"
            " it first, or --out names another folder"
        )


def _is_empty(folder: Path) -> bool:
    """Return whether a folder has no files; a name with a dot may be what a killed process was writing."""
    return folder.is_dir() and all(path.name.startswith(".") for path in folder.iterdir())
