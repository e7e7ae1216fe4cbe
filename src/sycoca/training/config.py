"""What a training run is made of, as typed values. Imports no torch, so that presets and help load at once."""

import shlex
from dataclasses import dataclass, field
from typing import ClassVar, Literal

FixedPrecision = Literal["fp32", "bf16", "fp16"]
"""What a forward pass is computed in."""

Precision = Literal["auto", "fp32", "bf16", "fp16"]
"""The same, or what suits the device."""


def _check_at_least(name: str, value: int, least: int) -> None:
    if value < least:
        raise ValueError(f"{name} must be at least {least}, got {value}")


def _check_positive(name: str, value: float) -> None:
    if value <= 0:
        raise ValueError(f"{name} must be positive, got {value}")


@dataclass(frozen=True, kw_only=True, slots=True)
class DataConfig:
    """Where the samples come from."""

    train: str
    """Training data as a SPEC: a path, or kind:path?option=value."""

    validation: str | None = None
    """Validation data as a SPEC; None trains without validation."""

    num_workers: int = 0
    """Processes that load images, but never more than there are cores; 0 loads them in the training process."""

    cache_images: bool = False
    """Whether decoded images stay in memory (in each worker), for sets that fit."""

    max_skipped_ratio: float = 0.2
    """Largest share of the samples that may be left out because they cannot be used; the first beyond it ends the
    run. Each one is named in skipped.jsonl. With 0 nothing is left out."""

    def __post_init__(self) -> None:
        _check_at_least("data.num_workers", self.num_workers, 0)
        if not 0 <= self.max_skipped_ratio < 1:
            raise ValueError(f"data.max_skipped_ratio must lie between 0 and 1, got {self.max_skipped_ratio}")


@dataclass(frozen=True, kw_only=True, slots=True)
class OptimizerConfig:
    """AdamW."""

    peak_lr: float = 5e-4
    """Learning rate after the warm-up."""

    betas: tuple[float, float] = (0.9, 0.98)
    """Decay rates of the running means of the gradient and its square."""

    eps: float = 1e-6
    """Added to the denominator of an update."""

    weight_decay: float = 0.2
    """Decay of matrices; norms, biases, embeddings and the temperature never decay."""

    layer_decay: float | None = None
    """Learning rate of an encoder's block as a share of the next one's: what is near the pixels or words changes less.
    None: one rate for all."""

    def __post_init__(self) -> None:
        _check_positive("optimizer.peak_lr", self.peak_lr)
        _check_positive("optimizer.eps", self.eps)
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"optimizer.betas must lie in [0, 1), got {self.betas}")
        if self.layer_decay is not None and not 0 < self.layer_decay <= 1:
            raise ValueError(f"optimizer.layer_decay must lie in (0, 1], got {self.layer_decay}")
        if self.weight_decay < 0:
            raise ValueError(f"optimizer.weight_decay must not be negative, got {self.weight_decay}")


@dataclass(frozen=True, kw_only=True, slots=True)
class ScheduleConfig:
    """The learning rate as a function of the step: linear warm-up, then a cosine."""

    warmup_steps: int = 2000
    """Steps in which the learning rate climbs to its peak."""

    final_lr_ratio: float = 0.0
    """Learning rate after the last step, as a share of the peak."""

    def __post_init__(self) -> None:
        _check_at_least("schedule.warmup_steps", self.warmup_steps, 0)
        if not 0 <= self.final_lr_ratio <= 1:
            raise ValueError(f"schedule.final_lr_ratio must lie between 0 and 1, got {self.final_lr_ratio}")


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingConfig:
    """How long, how much at once, and what happens how often."""

    steps: int
    """Optimizer updates of the whole run."""

    global_batch_size: int
    """Pairs per step over all processes and micro-batches."""

    micro_batch_size: int | None = None
    """Pairs per forward pass of one process; None takes the process's whole share at once. Images and captions of the
    whole step are compared all the same: each is embedded once more, without gradient, before the first pass."""

    gradient_clip_norm: float | None = 1.0
    """Largest norm of the gradient; None does not clip."""

    average_decay: float | None = None
    """Decay of a running mean of the weights, between 0 and 1, which validation and the saved weights use (EMA); in the
    first steps it is lower, so that the initial weights are soon forgotten. None takes the weights as they are."""

    log_every: int = 10
    """Steps between two logged lines."""

    evaluate_every: int | None = None
    """Steps between two validations; None validates after the last step only."""

    evaluation_samples: int = 1000
    """Validation samples that are used, the first of the source; fewer if it has fewer."""

    save_every: int | None = None
    """Steps between two checkpoints; None saves after the last step and when interrupted."""

    keep_checkpoints: int = 2
    """Newest checkpoints that are kept."""

    tensorboard: bool = True
    """Whether the logged values also go to TensorBoard files in the run folder."""

    wandb: str | None = None
    """Project at Weights & Biases that the logged values also go to (pip install 'sycoca[wandb]'); None for none."""

    report: bool = True
    """Whether the run ends with ``report.html`` in the run folder."""

    def __post_init__(self) -> None:
        for name in ("steps", "global_batch_size", "log_every", "evaluation_samples", "keep_checkpoints"):
            _check_at_least(f"training.{name}", getattr(self, name), 1)
        for name in ("micro_batch_size", "evaluate_every", "save_every"):
            value = getattr(self, name)
            if value is not None:
                _check_at_least(f"training.{name}", value, 1)
        if self.gradient_clip_norm is not None:
            _check_positive("training.gradient_clip_norm", self.gradient_clip_norm)
        if self.average_decay is not None and not 0 < self.average_decay < 1:
            raise ValueError(f"training.average_decay must lie between 0 and 1, got {self.average_decay}")
        if self.global_batch_size % (self.micro_batch_size or self.global_batch_size):
            raise ValueError(
                f"training.global_batch_size {self.global_batch_size} is not a multiple of"
                f" micro_batch_size {self.micro_batch_size}"
            )

    def micro_batch_on(self, world_size: int) -> int:
        """Return the pairs per forward pass when ``world_size`` processes share a step."""
        micro_batch_size = self.micro_batch_size or self.global_batch_size // world_size
        if micro_batch_size == 0 or self.global_batch_size % (micro_batch_size * world_size):
            raise ValueError(
                f"training.global_batch_size {self.global_batch_size} cannot be shared by {world_size} processes"
                f" with micro-batches of {micro_batch_size}; it must be a multiple of their product"
            )
        return micro_batch_size


@dataclass(frozen=True, kw_only=True, slots=True)
class RuntimeConfig:
    """On what and how precisely it is computed."""

    device: str = "auto"
    """auto (an accelerator where there is one, else the CPU), cpu, cuda, cuda:1, mps."""

    precision: Precision = "auto"
    """fp32, or bf16 / fp16 where it is safe (autocast; weights stay fp32). auto: bf16 on GPUs that have it, else
    fp16 there; fp32 on other devices."""

    compile: bool = False
    """Whether torch.compile speeds up the components; the first steps then take minutes."""

    activation_checkpointing: bool = False
    """Whether transformer blocks keep their inputs alone for the backward pass and compute the rest again: a fraction
    of the memory for a third more time."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunConfig:
    """What every run has, whatever is trained."""

    command: ClassVar[str]
    """The command line's word for this kind of run."""

    out: str
    """The run folder."""

    data: DataConfig
    """Where the samples come from."""

    training: TrainingConfig
    """How long, how much at once, and what happens how often."""

    seed: int = 0
    """Every draw of the run derives from it."""

    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    """AdamW."""

    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    """The learning rate over the steps."""

    runtime: RuntimeConfig = field(default_factory=RuntimeConfig)
    """Device and precision."""

    def resume_command(self) -> str:
        """Return the command that goes on with the run."""
        return f"sycoca {self.command} --resume {shlex.quote(self.out)}"
