"""The engine ``ray``: the same work by actors of a Ray cluster, one per device, each with the model in memory.

Ray places the actors, starts those of lost nodes again elsewhere and keeps apart who uses which device. Which block an
actor maps is decided here, one at a time and only once the actor is ready: an actor that waits for a free node holds
no block. What is finished is seen by its output file alone, so a cluster that is lost costs the blocks in work.
"""

import logging
import math
import os
import time
from collections import Counter, deque
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import torch

from sycoca.mapping.blocks import Block
from sycoca.mapping.folder import MapFolder
from sycoca.mapping.settings import MapSettings
from sycoca.mapping.worker import Advance, BlockReport, Job, Worker
from sycoca.stop_signals import handlers_kept

logger = logging.getLogger(__name__)

MOST_LOSSES = 3
"""How many actors may be lost with one block before it is an error: what kills them may be the block itself."""

_MOST_RESTARTS = 100
_SECONDS_TO_BEGIN = 60.0
_SECONDS_BETWEEN_LOOKS = 1.0
"""How long a block that another worker has is left alone."""


def check_requirements() -> None:
    """Raise ValueError where the extra [ray] is not installed."""
    if find_spec("ray") is None:
        raise ValueError("--engine ray needs Ray: pip install 'sycoca[ray]'")


def map_on_ray(job: Job, folder: MapFolder, settings: MapSettings) -> Generator[Advance, None, None]:
    """Start actors on a cluster and yield the blocks that they finish, until every block has its file.

    Raises the error of an actor that fails; RuntimeError for a block with which actors are lost again and again.
    """
    import ray  # pyright: ignore[reportMissingImports]

    with _cluster(settings.ray_address):
        resources = ray.cluster_resources()
        num_gpus = 0 if job.model.device == "cpu" else int(resources.get("GPU", 0))
        num_actors = settings.workers or max(1, num_gpus)
        threads = settings.threads or 1
        kind = ray.remote(
            num_cpus=threads,
            num_gpus=min(1.0, num_gpus / num_actors),
            max_restarts=_MOST_RESTARTS,
            runtime_env={"env_vars": {"OMP_NUM_THREADS": str(threads)}},
        )(_Actor)
        actors = [kind.remote(job, threads, os.getcwd()) for _ in range(num_actors)]
        logger.info("Ray actors: %d, nodes: %d", num_actors, sum(bool(node["Alive"]) for node in ray.nodes()))
        try:
            yield from _Schedule(folder, actors).run()
        finally:
            for actor in actors:
                ray.kill(actor)


class _Actor:
    """A worker on a node of the cluster."""

    def __init__(self, job: Job, num_threads: int, folder: str) -> None:
        torch.set_num_threads(num_threads)
        with suppress(OSError):  # nodes that see the paths of the command in another folder need absolute ones
            os.chdir(folder)
        self._job = job

    def ready(self) -> None:
        """Load the model. Not in the constructor, whose errors Ray would take for a lost actor."""
        self._worker = Worker.begin(self._job)
        self._blocks = {block.name: block for block in self._worker.folder.blocks}

    def map_block(self, name: str) -> BlockReport | None:
        """Map a block; None where another worker has it or has finished it."""
        reports = [advance.report for advance in self._worker.map_block(self._blocks[name])]
        return reports[-1] if reports else None


@dataclass(frozen=True, slots=True)
class _Call:
    """What an actor was asked for."""

    actor: Any
    block: Block | None
    """None where it was only asked whether it is ready."""


class _Schedule:
    """Which actor maps which block."""

    def __init__(self, folder: MapFolder, actors: Sequence[Any]) -> None:
        self._folder = folder
        self._left = deque(folder.unfinished())
        self._calls: dict[Any, _Call] = {}
        self._resting = deque((0.0, actor) for actor in actors)
        """Actors that are asked at some time whether they are ready."""
        self._idle: list[Any] = []
        self._losses: Counter[str] = Counter()
        self._warns_at = time.monotonic() + _SECONDS_TO_BEGIN

    def run(self) -> Iterator[Advance]:
        """Yield what is finished, until nothing is left."""
        import ray  # pyright: ignore[reportMissingImports]

        while self._left or any(call.block is not None for call in self._calls.values()):
            self._hand_out()
            if not self._calls:
                time.sleep(_SECONDS_BETWEEN_LOOKS)
                continue
            finished, _ = ray.wait(list(self._calls), timeout=_SECONDS_BETWEEN_LOOKS)
            self._warn_of_waiting(is_answered=bool(finished))
            for reference in finished:
                yield from self._taken(reference, self._calls.pop(reference))

    def _hand_out(self) -> None:
        while self._resting and self._resting[0][0] <= time.monotonic():
            _, actor = self._resting.popleft()
            self._calls[actor.ready.remote()] = _Call(actor, None)
        while self._idle and self._left:
            actor, block = self._idle.pop(), self._left.popleft()
            self._calls[actor.map_block.remote(block.name)] = _Call(actor, block)

    def _warn_of_waiting(self, *, is_answered: bool) -> None:
        """Warn once where no actor could be started: Ray waits for resources without an end."""
        if is_answered:
            self._warns_at = math.inf
        elif time.monotonic() > self._warns_at:
            self._warns_at = math.inf
            logger.warning("no Ray actor is ready yet: the cluster may lack the CPUs or GPUs that they ask for")

    def _taken(self, reference: Any, call: _Call) -> Iterator[Advance]:
        """Take the answer to a call: the actor is free again, or lost, and ready again when Ray has restarted it."""
        import ray  # pyright: ignore[reportMissingImports]

        try:
            report = ray.get(reference)
        except ray.exceptions.RayTaskError as error:
            raise error.cause if isinstance(error.cause, Exception) else error from None
        except ray.exceptions.RayActorError as error:
            self._note_loss(call, error, is_final=isinstance(error, ray.exceptions.ActorDiedError))
            return
        self._idle.append(call.actor)
        if call.block is None:
            return
        if report is not None:
            yield Advance(num_samples=report.num_samples, report=report)
        elif self._folder.output(call.block).exists():
            yield Advance(num_samples=len(call.block))
        else:  # a worker outside of the cluster has it, or one of a lost node whose lease is not old yet
            self._left.append(call.block)
            time.sleep(_SECONDS_BETWEEN_LOOKS / len(self._left))

    def _note_loss(self, call: _Call, error: Exception, *, is_final: bool) -> None:
        if call.block is not None:
            self._left.appendleft(call.block)
            name = call.block.name
            self._losses[name] += 1
            if self._losses[name] >= MOST_LOSSES:
                raise RuntimeError(f"{MOST_LOSSES} Ray actors were lost with {name}; the last: {error}") from error
            logger.warning("a Ray actor was lost with %s, which is mapped again", name)
        # Calls of an actor that is being restarted fail, too; those of one that is not to be restarted fail for good.
        if call.block is not None or not is_final:
            self._resting.append((time.monotonic() + _SECONDS_BETWEEN_LOOKS, call.actor))
        elif not (self._calls or self._resting or self._idle):
            raise RuntimeError(f"all Ray actors are lost; the last: {error}") from error


@contextmanager
def _cluster(address: str | None) -> Iterator[None]:
    """Context with a connection to a cluster; one that the caller has already stays."""
    check_requirements()
    import ray  # pyright: ignore[reportMissingImports]

    is_own = not ray.is_initialized()
    if is_own:
        with handlers_kept():  # Ray's own would end the process before it says what is left
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, include_dashboard=False)
    try:
        yield
    finally:
        if is_own:
            ray.shutdown()
