"""The files of a run folder."""

from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from sycoca.outputs.errors import OutputError
from sycoca.outputs.output import Output
from sycoca.plain_data import from_plain, read_yaml, to_plain, write_yaml
from sycoca.training.config import RunConfig

C = TypeVar("C", bound=RunConfig)


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The paths of a run's files."""

    path: Path
    """The folder itself."""

    @property
    def config(self) -> Path:
        """The complete configuration; it can start the same run again."""
        return self.path / "config.yaml"

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
        return self.path / "tokenizer.json"

    @property
    def start(self) -> Path:
        """The names of the tensors loaded from initial weights; absent where training starts from scratch."""
        return self.path / "start.json"

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
        """Raise OutputError (a ValueError) where the folder already holds a run, or cannot be written."""
        if self.config.exists():
            raise OutputError(
                f"{self.path} already holds a run; resume it with: {config.resume_command()},"
                " or choose another folder with --out"
            )
        self.output(config).check()

    def create(self, config: RunConfig) -> None:
        """Create the folder of a new run; errors as of `check_new`."""
        self.check_new(config)
        self.checkpoints.mkdir(parents=True, exist_ok=True)
        write_yaml(self.config, to_plain(config))

    def read_config(self, kind: type[C]) -> C:
        """Return the config that the run was started with; raises ValueError where there is none of this class."""
        return from_plain(kind, self.read_plain_config())

    def holds_finetuning(self) -> bool:
        """Return whether the run is a fine-tuning; raises ValueError where there is no run."""
        plain = self.read_plain_config()
        return isinstance(plain, dict) and "task" in plain

    def read_plain_config(self) -> object:
        """Return the content of ``config.yaml``; raises ValueError where it is missing."""
        if not self.config.exists():
            raise ValueError(f"{self.path} is not a run folder: it has no config.yaml")
        return read_yaml(self.config)
