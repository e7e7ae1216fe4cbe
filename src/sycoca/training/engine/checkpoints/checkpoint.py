"""Checkpoints: everything that an exact resume needs, as safetensors and JSON, written atomically.

    checkpoints/step-00001000/
        model.safetensors        weights; where adapters are trained, without those of their base
        optimizer.safetensors    the optimizer's state
        average.safetensors      exponential moving average of the weights, where one is kept;
                                 large files are cut into several, see tensor_files.py; sharded checkpoints have
                                 those of shard_files.py instead of all three
        state.json               step, samples seen, loss scaler of fp16, value of training.keep_best
        config.yaml              copies of the run's own files, from which a resume restores damaged ones;
        tokenizer.json           not all runs have all of them
        start.json
        manifest.json            size and SHA-256 of each file, written last

All randomness derives from the seed and the step, so no generator state is saved.
"""

import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sycoca.outputs.atomic import atomic_folder
from sycoca.outputs.manifest import Manifest, Writer, written_entries
from sycoca.outputs.set_aside import set_aside
from sycoca.training.checkpoint_copies import checkpoint_path, checkpoints_in
from sycoca.training.engine.checkpoints.shard_files import staged
from sycoca.training.engine.checkpoints.sharded_save import Conclusion, ShardedSave
from sycoca.training.engine.checkpoints.stored_tensors import StoredTensors
from sycoca.training.engine.checkpoints.tensor_files import Part, split_into_files, write_tensor_file
from sycoca.training.engine.checkpoints.training_tensors import (
    TrainingTensors,
    restore_average,
    restore_model,
    restore_optimizer,
    training_tensors,
)
from sycoca.training.engine.optimization.weight_average import WeightAverage
from sycoca.training.engine.runtime import Runtime

FORMAT_VERSION = 5
"""Increases when checkpoints change in a way that older versions cannot read. 2: with a manifest; 3: tensors of a
part may lie in several files; 4: sharded; 5: without the weights of a base."""

_WHOLE_FORMAT_VERSION, _SHARDED_FORMAT_VERSION = 3, 4
"""The formats of checkpoints with all weights, in whole files and sharded, which older versions can read."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingState:
    """The counters and the loss scaler of a checkpoint."""

    step: int
    """Optimizer updates done."""

    samples_seen: int
    """Training samples consumed."""

    scaler: dict[str, Any] = field(default_factory=dict)
    """State of the loss scaler; empty unless the precision is fp16."""

    metrics: dict[str, float] = field(default_factory=dict)
    """The value of ``training.keep_best`` after the step, where it was logged."""

    base_sha256: str | None = None
    """SHA-256 of the tensors of the weights that have adapters, and whose tensors are left out; None without."""


def save_checkpoint(
    folder: Path,
    state: TrainingState,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    *,
    average: WeightAverage | None = None,
    copies: Mapping[str, bytes] | None = None,
) -> Path:
    """Write the checkpoint of a step below ``folder`` and return its path.

    ``copies`` are the contents of other files of the run by name, from which a resume restores them. The folder gets
    its name only once it is complete and on disk. An existing checkpoint of the step is kept.
    """
    path = checkpoint_path(folder, state.step)
    if not path.exists():
        tensors = training_tensors(model, optimizer, average, has_base=state.base_sha256 is not None)
        with atomic_folder(path) as new:
            files = {
                **{name: write for part, own in tensors.items() for name, write in _tensor_writers(part, own).items()},
                **_plain_writers(state, {} if copies is None else copies, shards=None),
            }
            Manifest(kind="checkpoint", step=state.step, files=written_entries(new, files)).write(new)
    return path


def start_sharded_save(
    folder: Path,
    state: TrainingState,
    tensors: TrainingTensors,
    runtime: Runtime,
    *,
    copies: Mapping[str, bytes],
    check: Callable[[], object],
) -> ShardedSave | None:
    """Start to write a sharded checkpoint while training goes on; None where that of the step exists.

    Called by all processes. The tensors are copied first, so they may change. ``copies`` are as in `save_checkpoint`;
    ``check`` raises where the run folder is no longer held.
    """
    path, is_main_rank = checkpoint_path(folder, state.step), runtime.is_main_rank
    with ExitStack() as naming:
        is_new = is_main_rank and not path.exists()
        own_name = [str(naming.enter_context(atomic_folder(path)))] if is_new else [None]
        unfinished = runtime.gather_plain(own_name if is_main_rank else [])[0]
        if unfinished is None:
            return None
        own = staged(tensors, is_main_rank=is_main_rank)
        conclusion = Conclusion(
            folder=naming.pop_all(),
            num_writers=runtime.world_size,
            step=state.step,
            files=lambda shards: _plain_writers(state, copies, shards=shards),
            check=check,
        )
        return ShardedSave(Path(unfinished), own, runtime.rank, conclusion if is_main_rank else None)


def set_aside_checkpoints(folder: Path, *, after_step: int) -> list[Path]:
    """Rename the checkpoints of later steps, so that no resume takes them, and return their new paths."""
    return [set_aside(path, ".unsound") for step, path in checkpoints_in(folder) if step > after_step]


def load_checkpoint(
    path: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    average: WeightAverage | None = None,
    *,
    base_sha256: str | None = None,
) -> TrainingState:
    """Load model, optimizer and the average of the weights from a sound checkpoint, and return its state.

    ``base_sha256`` is that of the weights which the model has where the checkpoint has none. Raises ValueError where it
    belongs to another model or base, or where it lacks the average.
    """
    plain = json.loads((path / "state.json").read_text(encoding="utf-8"))
    saved_base = plain.get("base_sha256")
    if saved_base not in (None, base_sha256):
        raise ValueError(
            f"{path} has adapters of weights with other tensors (SHA-256 {saved_base[:12]}...) than those that the run"
            " is to continue with; put back the weights that it started from"
        )
    restore_model(path, model, has_base=saved_base is not None)
    restore_optimizer(path, model, optimizer)
    if average is not None:
        restore_average(path, average)
    return TrainingState(
        step=plain["step"],
        samples_seen=plain["samples_seen"],
        scaler=plain["scaler"],
        metrics=plain.get("metrics", {}),
        base_sha256=saved_base,
    )


def read_samples_seen(path: Path) -> int:
    """Return how many samples a checkpoint's run had consumed."""
    return json.loads((path / "state.json").read_text(encoding="utf-8"))["samples_seen"]


@contextmanager
def checkpoint_weights(path: Path) -> Iterator[Callable[[str], Tensor]]:
    """Context with a function that reads a weight of a checkpoint by its name, the averaged one where it has any."""
    with StoredTensors.of(path, "model") as weights, StoredTensors.of(path, "average") as averages:
        averaged = averages.shapes
        yield lambda name: (averages if name in averaged else weights).read(name)


def _tensor_writers(part: Part, tensors: Mapping[str, Tensor]) -> dict[str, Writer]:
    return {name: partial(write_tensor_file, piece) for name, piece in split_into_files(part, tensors).items()}


def _plain_writers(state: TrainingState, copies: Mapping[str, bytes], *, shards: list[str] | None) -> dict[str, Writer]:
    """Return the writers of all files but those of tensors; ``shards`` are the names of those of a sharded one."""
    return {
        "state.json": partial(_save_state, state, shards),
        **{name: partial(_save_bytes, data) for name, data in copies.items()},
    }


def _save_state(state: TrainingState, shards: list[str] | None, path: Path) -> None:
    plain = {"format_version": _format_version(state, shards), **dataclasses.asdict(state)}
    if state.base_sha256 is None:
        del plain["base_sha256"]
    if shards is not None:
        plain["shards"] = shards
    path.write_text(json.dumps(plain, indent=2) + "\n", encoding="utf-8")


def _format_version(state: TrainingState, shards: list[str] | None) -> int:
    if state.base_sha256 is not None:
        return FORMAT_VERSION
    return _WHOLE_FORMAT_VERSION if shards is None else _SHARDED_FORMAT_VERSION


def _save_bytes(data: bytes, path: Path) -> None:
    path.write_bytes(data)
