"""How this process was launched: alone, or as one of several; read from the variables that torchrun sets."""

import os
from collections.abc import Mapping
from dataclasses import dataclass

_ADVICE = "start all processes with torchrun, or unset RANK and WORLD_SIZE to train with one"
_MOST_PORTS = 65535


@dataclass(frozen=True, kw_only=True, slots=True)
class Launch:
    """The rank of this process, and where it meets the others."""

    rank: int = 0
    """Number of this process among all, from 0."""

    world_size: int = 1
    """Number of processes."""

    local_rank: int = 0
    """Number of this process on its host, which is that of its GPU; 0 where LOCAL_RANK is not set, as with a launcher
    that shows each process one GPU."""

    local_world_size: int | None = None
    """Number of processes on its host; None where LOCAL_WORLD_SIZE is not set."""

    address: str = ""
    """Host of rank 0; empty for a single process."""

    port: int = 0
    """Port on that host; 0 for a single process."""

    uses_agent_store: bool = False
    """Whether torchrun itself listens there, rather than rank 0."""


def read_launch(environment: Mapping[str, str] = os.environ) -> Launch:
    """Return how this process was launched.

    Raises ValueError, which names the variable, where one is missing, is no number or does not fit the others.
    """
    local_rank = _number("LOCAL_RANK", environment) if "LOCAL_RANK" in environment else 0
    is_alone = environment.get("WORLD_SIZE", "1") == "1" and "RANK" not in environment
    if is_alone:
        return Launch(local_rank=local_rank)
    rank, world_size = _number("RANK", environment), _number("WORLD_SIZE", environment)
    if rank >= world_size:
        raise ValueError(f"RANK is {rank}, but WORLD_SIZE is {world_size}: ranks count from 0; {_ADVICE}")
    if world_size == 1:
        return Launch(local_rank=local_rank)
    port = _number("MASTER_PORT", environment)
    if not 0 < port <= _MOST_PORTS:
        raise ValueError(f"MASTER_PORT is {port}, which is no port (1 to {_MOST_PORTS}); {_ADVICE}")
    return Launch(
        rank=rank,
        world_size=world_size,
        local_rank=local_rank,
        local_world_size=_number("LOCAL_WORLD_SIZE", environment) if "LOCAL_WORLD_SIZE" in environment else None,
        address=_value("MASTER_ADDR", environment),
        port=port,
        uses_agent_store=environment.get("TORCHELASTIC_USE_AGENT_STORE") == "True",
    )


def is_main_process() -> bool:
    """Return whether this is rank 0, which alone prints; raises ValueError as `read_launch` does."""
    return read_launch().rank == 0


def _value(name: str, environment: Mapping[str, str]) -> str:
    if not environment.get(name):
        known = " and ".join(one for one in ("RANK", "WORLD_SIZE") if environment.get(one))
        raise ValueError(f"{name} is not set beside {known}; {_ADVICE}")
    return environment[name]


def _number(name: str, environment: Mapping[str, str]) -> int:
    text = _value(name, environment)
    if not text.isascii() or not text.isdigit():
        raise ValueError(f"{name} is {text!r}, which is no number; {_ADVICE}")
    return int(text)
