"""The configuration that all training runs share. Imports no torch, so that presets and help load at once."""

import shlex
from dataclasses import dataclass, field
from typing import ClassVar

from sycoca.facts.metric_facts import METRICS, TRAINING_VALUES, VALIDATION, metric_facts
from sycoca.facts.optimizer_facts import OPTIMIZERS, OptimizerFacts, OptimizerKind
from sycoca.plain_data import closest
from sycoca.training.data_config import DataConfig
from sycoca.training.runtime_config import RuntimeConfig, check_at_least, check_positive


@dataclass(frozen=True, kw_only=True, slots=True)
class OptimizerConfig:
    """How weights are updated."""

    kind: OptimizerKind = "adamw"
    """adamw: Adam with decoupled weight decay (arXiv 1711.05101)."""

    peak_lr: float = 5e-4
    """Learning rate after the warm-up."""

    betas: tuple[float, float] = (0.9, 0.98)
    """Decay rates of the moment estimates of the gradient and its square."""

    eps: float = 1e-6
    """Added to the denominator of the update."""

    weight_decay: float = 0.2
    """Weight decay of linear layers' matrices; norms, biases, embeddings and the temperature have none."""

    layer_decay: float | None = None
    """Layer-wise learning-rate decay of the encoders: each block's rate is this ratio of the next block's. None: one
    rate for all."""

    def __post_init__(self) -> None:
        check_positive("optimizer.peak_lr", self.peak_lr)
        check_positive("optimizer.eps", self.eps)
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"optimizer.betas must lie in [0, 1), got {self.betas}")
        if self.layer_decay is not None and not 0 < self.layer_decay <= 1:
            raise ValueError(f"optimizer.layer_decay must lie in (0, 1], got {self.layer_decay}")
        if not self.weight_decay >= 0:
            raise ValueError(f"optimizer.weight_decay must not be negative, got {self.weight_decay}")

    @property
    def facts(self) -> OptimizerFacts:
        """What the optimizer is called and what it keeps."""
        return OPTIMIZERS[self.kind]


@dataclass(frozen=True, kw_only=True, slots=True)
class ScheduleConfig:
    """The learning-rate schedule: linear warm-up, then cosine decay."""

    warmup_steps: int = 2000
    """Steps of linear warm-up to the peak learning rate."""

    final_lr_ratio: float = 0.0
    """Learning rate after the last step, as a ratio of the peak."""

    def __post_init__(self) -> None:
        check_at_least("schedule.warmup_steps", self.warmup_steps, 0)
        if not 0 <= self.final_lr_ratio <= 1:
            raise ValueError(f"schedule.final_lr_ratio must lie between 0 and 1, got {self.final_lr_ratio}")


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingConfig:
    """Steps, batch sizes, and how often to log, validate and save."""

    steps: int
    """Optimizer updates of the run."""

    global_batch_size: int
    """Samples per optimizer step over all processes and micro-batches."""

    micro_batch_size: int | None = None
    """Samples per forward pass of one process; None takes all of the process's samples at once. The contrastive loss
    still compares the whole global batch (GradCache), for one more forward pass of the encoders without gradient."""

    gradient_clip_norm: float | None = 1.0
    """Gradient clipping: the largest global norm; None does not clip."""

    max_skipped_steps: int = 5
    """Steps in a row with a loss or gradient that is not finite, whose updates are skipped, after which the run ends.
    Each is listed in skipped_steps.jsonl."""

    average_decay: float | None = None
    """Decay of an exponential moving average (EMA) of the weights, between 0 and 1, which validation and the saved
    weights use; it is lower in the first steps. None keeps no average."""

    log_every: int = 10
    """Steps between two log entries."""

    evaluate_every: int | None = None
    """Steps between two validations; None validates after the last step only."""

    evaluation_samples: int = 1000
    """Largest number of validation samples; the first of the data are used."""

    save_every: int | None = None
    """Steps between two checkpoints; None saves after the last step and when interrupted."""

    keep_checkpoints: int = 2
    """Number of newest checkpoints to keep; the one before them stays, too, until a finite step has confirmed them."""

    keep_every: int | None = None
    """Steps between checkpoints that are never deleted, a multiple of save_every; None: only the newest stay."""

    keep_best: str | None = None
    """A logged metric, such as validation_mean_text_recall: the checkpoint with its best value is kept, and the end
    of the run writes its weights to weights-best. None: none is chosen."""

    tensorboard: bool = True
    """Also write the logged values to TensorBoard files in the run folder."""

    wandb: str | None = None
    """Weights & Biases project to log to as well (pip install 'sycoca[wandb]'); None for none."""

    report: bool = True
    """Write ``report.html`` at the end of the run."""

    def __post_init__(self) -> None:
        for name in (
            "steps",
            "global_batch_size",
            "log_every",
            "evaluation_samples",
            "keep_checkpoints",
            "max_skipped_steps",
        ):
            check_at_least(f"training.{name}", getattr(self, name), 1)
        for name in ("micro_batch_size", "evaluate_every", "save_every", "keep_every"):
            value = getattr(self, name)
            if value is not None:
                check_at_least(f"training.{name}", value, 1)
        if self.gradient_clip_norm is not None:
            check_positive("training.gradient_clip_norm", self.gradient_clip_norm)
        if self.average_decay is not None and not 0 < self.average_decay < 1:
            raise ValueError(f"training.average_decay must lie between 0 and 1, got {self.average_decay}")
        if self.global_batch_size % (self.micro_batch_size or self.global_batch_size):
            raise ValueError(
                f"training.global_batch_size {self.global_batch_size} is not a multiple of training.micro_batch_size"
                f" {self.micro_batch_size}"
            )
        self._check_kept_checkpoints()

    def _check_kept_checkpoints(self) -> None:
        if self.keep_every is not None and (self.save_every is None or self.keep_every % self.save_every):
            raise ValueError(
                f"training.keep_every {self.keep_every} is not a multiple of training.save_every, which is"
                f" {self.save_every}"
            )
        if self.keep_best is not None:
            self._check_best(self.keep_best)

    def _check_best(self, metric: str) -> None:
        """Raise ValueError where no checkpoint could be the best: its step must log the metric."""
        facts = metric_facts(metric)
        if facts is None:
            known = [*TRAINING_VALUES, *METRICS]
            meant = closest(metric, [*known, *(f"{VALIDATION}{name}" for name in known)])
            raise ValueError(
                f"training.keep_best: no metric is called '{metric}'; "
                + ("metrics.jsonl of a run lists the logged ones" if meant is None else f"did you mean '{meant}'?")
            )
        if facts.is_better_higher is None:
            raise ValueError(f"training.keep_best: neither high nor low values of {metric} are better")
        if metric.startswith(VALIDATION):
            self._check_logged_when_saved(metric, "evaluate_every", self.evaluate_every)
        else:
            self._check_logged_when_saved(metric, "log_every", self.log_every)

    def _check_logged_when_saved(self, metric: str, name: str, every: int | None) -> None:
        if every is None or self.save_every is None or self.save_every % every:
            raise ValueError(
                f"training.keep_best needs {metric} at each checkpoint: set training.save_every to a multiple of"
                f" training.{name}, got {self.save_every} and {every}"
            )

    def micro_batch_on(self, world_size: int) -> int:
        """Return the samples per forward pass on each process; raises ValueError where the sizes do not divide."""
        micro_batch_size = self.micro_batch_size or self.global_batch_size // world_size
        if micro_batch_size == 0 or self.global_batch_size % (micro_batch_size * world_size):
            raise ValueError(
                f"training.global_batch_size {self.global_batch_size} cannot be divided among {world_size} processes"
                f" with micro-batches of {micro_batch_size}; it must be a multiple of their product"
            )
        return micro_batch_size


@dataclass(frozen=True, kw_only=True, slots=True)
class RunConfig:
    """The configuration of any training run."""

    command: ClassVar[str]
    """The command that starts such a run."""

    out: str
    """The run folder."""

    data: DataConfig
    """Training and validation data."""

    training: TrainingConfig
    """Steps, batch sizes, and how often to log, validate and save."""

    seed: int = 0
    """Seed from which all random numbers of the run derive."""

    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    """How weights are updated."""

    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    """The learning-rate schedule."""

    runtime: RuntimeConfig = field(default_factory=RuntimeConfig)
    """Device, precision and memory."""

    def resume_command(self) -> str:
        """Return the command that resumes the run."""
        return f"sycoca {self.command} --resume {shlex.quote(self.out)}"
