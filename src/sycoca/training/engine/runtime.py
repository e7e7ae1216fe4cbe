"""Device, precision and processes: with ``distributed/``, all that uses torch.distributed.

Under ``torchrun`` the runtime joins the process group; otherwise it is a single process with the same methods. Losses
are divided by counts of the global batch, and therefore they and their gradients are summed over processes.
"""

import contextlib
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, fields, replace
from datetime import timedelta
from typing import Any, TypeVar, assert_never, final

import torch
import torch.distributed as dist
from jaxtyping import Shaped
from torch import Tensor, nn

from sycoca.data.loading.skipping import SkipLog
from sycoca.device_copies import copied_to
from sycoca.evaluation.sharding import Sharding
from sycoca.inference.load import choose_device
from sycoca.model.products import limit_cached_kernels
from sycoca.records import ImageTokens, MoreCaptions, TrainingBatch
from sycoca.terminal import one_line
from sycoca.training.engine.allocator import keep_freed_memory
from sycoca.training.engine.distributed.collectives import DifferentiableGather, GatheredNumbers, is_of_collective
from sycoca.training.engine.distributed.data_parallel import DataParallel
from sycoca.training.engine.distributed.ending import Ending, RunInFolder
from sycoca.training.engine.distributed.heartbeat import Heartbeat
from sycoca.training.engine.distributed.launch import read_launch
from sycoca.training.engine.distributed.rendezvous import Rendezvous, host_of
from sycoca.training.engine.interruption import TrainingInterrupted
from sycoca.training.engine.numerics import autocast, choose_precision, scales_loss, set_matrix_products
from sycoca.training.engine.task import TrainingTask
from sycoca.training.runtime_config import FixedPrecision, Precision, RuntimeConfig
from sycoca.unusable import SkippedSample

B = TypeVar("B", bound=TrainingBatch)

# The main process writes checkpoints and reports while the others wait; PyTorch's 10 minutes may be too short.
_TIMEOUT = timedelta(hours=2)


_LONGEST_REASON = 300

_rendezvous_of_this_process = itertools.count()

_NO_BYTES = torch.empty(0, dtype=torch.uint8)


@final
class Runtime:
    """One process of a run: its device, its precision and its communication with the other processes."""

    def __init__(self, config: RuntimeConfig) -> None:
        self._launch = read_launch()
        self.world_size = self._launch.world_size
        self.rank = self._launch.rank
        self.device = _local_device(choose_device(config.device), self._launch.local_rank)
        set_matrix_products(self.device, tf32=config.tf32)
        self._parallel = DataParallel(config, self._launch, self.device)
        self._owns_process_group = False
        self.ending = Ending()
        self._heartbeat: Heartbeat | None = None
        if self.device.type == "cpu":
            keep_freed_memory()
            limit_cached_kernels()  # before the first product, which may be that of a measurement
        chosen = choose_precision(config.precision, self.device) if self.is_main_rank else None
        self._init_process_group(config)
        self.precision: FixedPrecision = self._agreed_precision(config.precision, chosen)

    @property
    def is_main_rank(self) -> bool:
        """Whether this process writes files and prints."""
        return self.rank == 0

    def __enter__(self) -> "Runtime":
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        self._say_goodbye(error)
        if self._owns_process_group:
            dist.destroy_process_group()

    @contextlib.contextmanager
    def training(self, run: RunInFolder) -> Iterator[None]:
        """Context for the run, which is named when another process is lost.

        An error of a collective that follows from such a loss is not raised: this process ends within the context.
        """
        self.ending.run = run
        try:
            yield
        except RuntimeError as error:
            if is_of_collective(error):
                self._say_goodbye(error)
            raise

    @property
    def is_sharded(self) -> bool:
        """Whether each process holds a shard of the parameters, see `runtime.sharding`."""
        return self._parallel.is_sharded

    def shard(self, task: TrainingTask) -> None:
        """Shard the task's parameters in place, where that is configured; before its optimizer is built."""
        self._parallel.shard(task, self.precision)

    def wrap(self, task: TrainingTask) -> nn.Module:
        """Return the module to call in training: with activation checkpointing, torch.compile and DDP as configured."""
        return self._parallel.wrap(task)

    def autocast(self) -> contextlib.AbstractContextManager[Any]:
        """Return the context of a forward pass in the run's precision."""
        return autocast(self.precision, self.device)

    @property
    def scales_loss(self) -> bool:
        """Whether the loss is scaled for the backward pass, since small gradients would underflow."""
        return scales_loss(self.precision)

    def backward(self, loss: Tensor) -> None:
        """Backpropagate this process's part of the global loss."""
        self._parallel.backward(loss)

    def accumulating(self, wrapped: nn.Module, *, is_last: bool) -> contextlib.AbstractContextManager[None]:
        """Return a context that synchronizes gradients in the last micro-batch of a step only."""
        return self._parallel.accumulating(wrapped, is_last=is_last)

    def free_gathered(self, task: nn.Module) -> None:
        """Free gathered parameters that a forward pass without a backward pass has left."""
        self._parallel.free_gathered(task)

    def gather(self, tensor: Shaped[Tensor, "batch ..."]) -> Shaped[Tensor, "global_batch ..."]:
        """Concatenate a tensor over processes in order of rank, differentiably; the shapes must be equal."""
        if self.world_size == 1:
            return tensor
        return DifferentiableGather.apply(tensor, self.rank, self.world_size)  # pyright: ignore[reportReturnType]

    def sum_over_ranks(self, values: Mapping[str, Tensor]) -> dict[str, float]:
        """Return each scalar's sum over processes."""
        stacked = torch.stack([value.detach().double().cpu() for value in values.values()])
        if self.world_size > 1:
            stacked = stacked.to(self.device)
            dist.all_reduce(stacked)
        return dict(zip(values, stacked.tolist(), strict=True))

    def gather_numbers(self, values: Sequence[Tensor | float]) -> "GatheredNumbers":
        """Start to gather numbers of all processes; neither the host nor the device waits for them before `rows`."""
        return GatheredNumbers.start(values, self.device, self.world_size)

    def any_rank(self, flag: bool) -> bool:
        """Return whether the flag is set in any process."""
        return self.sum_over_ranks({"flag": torch.tensor(float(flag))})["flag"] > 0

    def share_skipped(self, log: SkipLog) -> int:
        """Exchange the samples skipped since the last call, and return the number skipped by all processes.

        Called by all processes. Raises ValueError in all of them where the total exceeds the log's maximum ratio.
        """
        if self.world_size > 1:
            for skipped in self.gather_plain([asdict(one) for one in log.take_new()]):
                log.add(SkippedSample(**skipped))
            log.take_new()  # each rank has recorded its own skipped samples already
        return log.num_lost

    def sharding(self) -> Sharding:
        """Return how evaluation is sharded over the processes."""
        return Sharding(
            rank=self.rank,
            world_size=self.world_size,
            gather_rows=self.gather_rows,
            gather_plain=self.gather_plain,
        )

    @torch.no_grad()
    def gather_rows(self, rows: Shaped[Tensor, "_ *columns"]) -> Shaped[Tensor, "_ *columns"]:
        """Concatenate the rows of all processes on the CPU in order of rank; their numbers may differ."""
        if self.world_size == 1:
            return rows
        counts = torch.zeros(self.world_size, dtype=torch.long, device=self.device)
        counts[self.rank] = len(rows)
        dist.all_reduce(counts)
        padded = rows.new_zeros(int(counts.max()), *rows.shape[1:], device=self.device)
        padded[: len(rows)] = rows
        parts = [torch.empty_like(padded) for _ in range(self.world_size)]
        dist.all_gather(parts, padded)
        return torch.cat([part[:count].cpu() for part, count in zip(parts, counts.tolist(), strict=True)])

    def gather_plain(self, values: list[Any]) -> list[Any]:
        """Concatenate JSON values over all processes in order of rank, without pickle."""
        if self.world_size == 1:
            return values
        lines = "".join(json.dumps(value) + "\n" for value in values).encode("ascii")
        gathered = self.gather_rows(torch.frombuffer(bytearray(lines), dtype=torch.uint8) if lines else _NO_BYTES)
        return [json.loads(line) for line in gathered.numpy().tobytes().decode("ascii").splitlines()]

    def barrier(self) -> None:
        """Wait until all processes have called this."""
        if self.world_size > 1:
            dist.barrier()

    def to_device(self, batch: B) -> B:
        """Move a batch to the device, except its draw keys: random numbers are generated on the CPU."""
        values = {field.name: getattr(batch, field.name) for field in fields(batch)}
        moved = {name: self._moved(value) for name, value in values.items() if name != "draw_keys"}
        return replace(batch, **{name: value for name, value in moved.items() if value is not None})

    def _moved(self, value: object) -> Tensor | ImageTokens | MoreCaptions | None:
        """Return a tensor, or a record of tensors, on the device; None for anything else."""
        if isinstance(value, ImageTokens | MoreCaptions):
            own = {field.name: self._moved(getattr(value, field.name)) for field in fields(value)}
            return replace(value, **{name: tensor for name, tensor in own.items() if tensor is not None})
        return copied_to(value, self.device) if isinstance(value, Tensor) else None

    def _agreed_precision(self, precision: Precision, chosen: FixedPrecision | None) -> FixedPrecision:
        """Return the named precision, for `auto` that of the main process, since machines may measure differently."""
        match precision:
            case "fp32" | "bf16" | "fp16":
                return precision
            case "auto":
                return self.gather_plain([] if chosen is None else [chosen])[0]
            case unknown:
                assert_never(unknown)

    def _init_process_group(self, config: RuntimeConfig) -> None:
        if self.device.type == "cuda":
            torch.cuda.set_device(self.device)
        if self.world_size > 1 and not dist.is_initialized():
            self._join(config)
        group_size = dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1
        if group_size != self.world_size:
            raise ValueError(
                f"WORLD_SIZE is {self.world_size} but the process group has {group_size} processes;"
                " start all processes with torchrun, or none"
            )

    def _join(self, config: RuntimeConfig) -> None:
        """Meet the other processes, watch them, and form a process group with them."""
        launch = self._launch
        store = Rendezvous(launch, config.rendezvous_seconds, number=next(_rendezvous_of_this_process)).join()
        if config.heartbeat_seconds is not None:
            hosts = [host_of(store, rank) for rank in range(launch.world_size)]
            self._heartbeat = Heartbeat(launch, store, hosts, config.heartbeat_seconds, self.ending)
        store.set_timeout(_TIMEOUT)
        backend = "nccl" if self.device.type == "cuda" else "gloo"
        try:
            dist.init_process_group(
                backend, store=store, rank=launch.rank, world_size=launch.world_size, timeout=_TIMEOUT
            )
        except BaseException as error:
            self._say_goodbye(error)
            raise
        self._owns_process_group = True

    def _say_goodbye(self, error: BaseException | None) -> None:
        """Tell the other processes why this one leaves; does not return where an error comes from a lost process."""
        if self._heartbeat is None:
            return
        match error:
            case None | TrainingInterrupted():
                self._heartbeat.leave("clean")
            case KeyboardInterrupt():
                self._heartbeat.leave("interrupted", "it was interrupted")
            case RuntimeError() if is_of_collective(error):
                self._heartbeat.leave("broken", _reason(error))
            case _:
                self._heartbeat.leave("failed", _reason(error))


def _local_device(device: torch.device, local_rank: int) -> torch.device:
    """Return the GPU of this local rank where none was named."""
    if device.type != "cuda" or device.index is not None:
        return device
    return torch.device("cuda", local_rank)


def _reason(error: BaseException) -> str:
    """Return an error as a reason for the other processes."""
    text = one_line(" ".join(str(error).split())) or type(error).__name__
    return text if len(text) <= _LONGEST_REASON else f"{text[:_LONGEST_REASON]} ..."
