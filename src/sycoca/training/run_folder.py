"""The files of a run folder."""

from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from sycoca.outputs.atomic import remove_unfinished
from sycoca.outputs.errors import OutputError
from sycoca.outputs.output import Output
from sycoca.plain_data import from_plain, read_yaml, to_plain, write_yaml
from sycoca.training.checkpoint_copies import (
    CONFIG_NAME,
    DIFFERS,
    START_NAME,
    TOKENIZER_NAME,
    Copy,
    checkpoints_in,
    difference,
    newest_copy,
    replace_damaged,
    restore_from_copy,
)
from sycoca.training.config import RunConfig
from sycoca.training.data_config import OrderKind

C = TypeVar("C", bound=RunConfig)

_OLDER_DATA: dict[str, OrderKind] = {"order": "table"}
"""Fields of ``data`` that older configs lack, with what their runs did: other than new runs do by default."""


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The paths of a run's files."""

    path: Path
    """The folder itself."""

    @property
    def config(self) -> Path:
        """The complete configuration; it can start the same run again."""
        return self.path / CONFIG_NAME

    @property
    def metrics(self) -> Path:
        """One JSON line per logged step."""
        return self.path / "metrics.jsonl"

    @property
    def log(self) -> Path:
        """The messages of the logger `sycoca` from INFO on, with times."""
        return self.path / "log.txt"

    @property
    def skipped(self) -> Path:
        """One JSON line per skipped sample; absent where none was skipped."""
        return self.path / "skipped.jsonl"

    @property
    def skipped_in_validation(self) -> Path:
        """The same for the validation data."""
        return self.path / "skipped_validation.jsonl"

    @property
    def skipped_steps(self) -> Path:
        """One JSON line per skipped step and per loss spike, with the names of its samples; absent without any."""
        return self.path / "skipped_steps.jsonl"

    @property
    def tensorboard(self) -> Path:
        """TensorBoard's event files."""
        return self.path / "tensorboard"

    @property
    def wandb_id(self) -> Path:
        """The run's id at Weights & Biases, where it has one."""
        return self.path / "wandb_id.txt"

    @property
    def report(self) -> Path:
        """The run as one HTML page."""
        return self.path / "report.html"

    @property
    def tokenizer(self) -> Path:
        """The run's tokenizer."""
        return self.path / TOKENIZER_NAME

    @property
    def start(self) -> Path:
        """The names of the tensors loaded from initial weights; absent where training starts from scratch."""
        return self.path / START_NAME

    @property
    def checkpoints(self) -> Path:
        """The newest checkpoints."""
        return self.path / "checkpoints"

    @property
    def weights(self) -> Path:
        """The trained model, as a weights folder."""
        return self.path / "weights"

    @property
    def best_weights(self) -> Path:
        """The weights of the checkpoint with the best value of ``training.keep_best``, where that is set."""
        return self.path / "weights-best"

    @property
    def names(self) -> frozenset[str]:
        """The names of all files and folders above."""
        kind = type(self)
        attributes = [name for name, value in vars(kind).items() if isinstance(value, property) and name != "names"]
        return frozenset(getattr(self, name).name for name in attributes)

    def output(self, config: RunConfig) -> Output:
        """Return the folder as an output: a run is never overwritten, and resumed by its own command."""
        return Output(
            path=self.path,
            kind="files in a folder",
            names=(self.config.name,),
            resume=True,
            resume_command=config.resume_command(),
        )

    def check_new(self, config: RunConfig) -> None:
        """Raise OutputError (a ValueError) where the folder already holds a run or a part of one, or is read-only."""
        if self.holds_run():
            raise OutputError(
                f"{self.path} already holds a run; resume it with: {config.resume_command()},"
                " or choose another folder with --out"
            )
        left = next((path for path in (self.tokenizer, self.start) if path.exists()), None)
        if left is not None:
            raise OutputError(
                f"{left} is there already, of a weights folder or of a run that was removed, and this run would take it"
                " for its own; delete it, or choose another folder with --out"
            )
        self.output(config).check()

    def create(self, config: RunConfig) -> None:
        """Create the folder of a new run; errors as of `check_new`."""
        self.check_new(config)
        self.checkpoints.mkdir(parents=True, exist_ok=True)
        write_yaml(self.config, to_plain(config))

    def forget(self) -> None:
        """Delete what makes the folder that of a run, where a new one was refused before its first step."""
        for path in (self.config, self.tokenizer, self.start):
            path.unlink(missing_ok=True)

    def holds_run(self) -> bool:
        """Return whether the folder holds a run, even one that has lost its ``config.yaml``."""
        return self.config.exists() or len(checkpoints_in(self.checkpoints)) > 0

    def remove_unfinished(self) -> None:
        """Delete files and folders that a killed run was writing; called while the folder is held."""
        for folder in (self.path, self.checkpoints):
            remove_unfinished(folder)

    def read_config(self, kind: type[C]) -> C:
        """Return the config that the run was started with; raises ValueError where there is none of this class."""
        plain = self.read_plain_config()
        try:
            return from_plain(kind, _with_older_defaults(plain))
        except ValueError as error:
            raise ValueError(f"{self.config}: {error}") from error

    def read_saved_config(self, kind: type[C]) -> C | None:
        """Return the config that the newest checkpoint was written with; None where there is no checkpoint with one."""
        copy = self._saved_config()
        if copy is None:
            return None
        return from_plain(kind, _with_older_defaults(read_yaml(copy.checkpoint / CONFIG_NAME)))

    def restore(self) -> None:
        """Restore config, tokenizer and record of the initial weights from the newest checkpoint where damaged.

        Damaged files are renamed, each with a warning. Only the process that holds the folder may call it.
        """
        copy = self._saved_config()
        why = None if copy is None else self._damage_of_config(copy)
        if copy is not None and why is not None:
            replace_damaged(self.config, why, copy)
        for path in (self.tokenizer, self.start):
            restore_from_copy(path, self.checkpoints)

    def holds_finetuning(self) -> bool:
        """Return whether the run is a fine-tuning; raises ValueError where there is no run."""
        plain = self.read_plain_config()
        return isinstance(plain, dict) and "task" in plain

    def read_plain_config(self) -> object:
        """Return the content of ``config.yaml``, or of its copy in the newest checkpoint where it is damaged.

        Raises ValueError where both are missing, and where it is damaged and has no copy.
        """
        copy = self._saved_config()
        if copy is not None and self._damage_of_config(copy) is not None:
            return read_yaml(copy.checkpoint / CONFIG_NAME)
        if not self.config.exists():
            raise ValueError(f"{self.path} is not a run folder: it has no config.yaml")
        plain = read_yaml(self.config)
        if not isinstance(plain, dict):
            why = "is emptied" if plain is None else "is no run's config"
            raise ValueError(
                f"{self.config} {why}, and no checkpoint has a copy of it; restore it from a backup, or start a new run"
                " with another --out"
            )
        return plain

    def _saved_config(self) -> Copy | None:
        return newest_copy(self.checkpoints, CONFIG_NAME)

    def _damage_of_config(self, copy: Copy) -> str | None:
        """Return what is wrong with ``config.yaml``; None also where only values differ, which people may change."""
        why = difference(self.config, copy)
        if why != DIFFERS:
            return why
        try:
            own = read_yaml(self.config)
        except ValueError:
            return "is not a YAML file"
        lacking = _missing_keys(own, read_yaml(copy.checkpoint / CONFIG_NAME))
        return f"has no {lacking[0]}" if lacking else None


def _with_older_defaults(plain: object) -> object:
    """Return the config of a run with what was not yet a choice when it was started."""
    data = plain.get("data") if isinstance(plain, dict) else None
    if not isinstance(plain, dict) or not isinstance(data, dict):
        return plain
    return {**plain, "data": {**_OLDER_DATA, **data}}


def _missing_keys(plain: object, expected: object, prefix: str = "") -> list[str]:
    """Return the dotted keys of nested mappings that are expected and missing."""
    if not isinstance(expected, dict):
        return []
    if not isinstance(plain, dict):
        return [f"{prefix}{key}" for key in expected]
    return [
        missing
        for key, value in expected.items()
        for missing in (_missing_keys(plain[key], value, f"{prefix}{key}.") if key in plain else [f"{prefix}{key}"])
    ]
