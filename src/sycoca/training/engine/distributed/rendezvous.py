"""The rendezvous: every process waits until all have arrived, says which are missing, and gives up at some time.

All meet at a key-value store at ``MASTER_ADDR:MASTER_PORT``, in which each leaves the name of its host. torchrun serves
it, or else rank 0.
"""

import contextlib
import logging
import socket
import time
from datetime import timedelta
from typing import final

import torch.distributed as dist

from sycoca.training.engine.distributed.errors import LostProcessError
from sycoca.training.engine.distributed.launch import Launch

logger = logging.getLogger(__name__)

NOTICE_SECONDS = 10.0
"""Time after which a process that waits says for whom."""

_POLL_SECONDS = 0.25
_CONNECT_SECONDS = 2.0
_BACKLOG = 4096
"""Processes that may wait for rank 0 to accept their connections; the system may allow fewer."""

_MOST_RANKS_SHOWN = 8
_ALL_HERE, _GIVEN_UP = "all here", "given up"


_stores: dict[Launch, dist.Store] = {}
"""The store of this process, kept for its next meeting: if rank 0 opened a new one, others might reach the old one."""


@final
class Rendezvous:
    """One meeting of all processes."""

    def __init__(self, launch: Launch, seconds: float, number: int = 0) -> None:
        """``seconds``: how long to wait for the others. ``number``: how many meetings all have had before."""
        self._launch = launch
        self._seconds = seconds
        self._number = number
        self._started_at = time.monotonic()
        self._has_said = False
        self._store: dist.Store | None = None

    def join(self) -> dist.Store:
        """Return the store once all processes have arrived.

        Raises LostProcessError where they have not in time, ValueError where rank 0 cannot listen at its address.
        """
        opened = _stores.get(self._launch) or self._open_store()
        store = dist.PrefixStore(f"sycoca/{self._number}", opened)
        try:
            store.set(_arrival(self._launch.rank), socket.gethostname())
            self._store = store
            self._wait(store)
        except RuntimeError as error:
            raise LostProcessError(f"the process at {self._address} has ended", is_reporter=True) from error
        _stores[self._launch] = opened
        return store

    @property
    def _address(self) -> str:
        return f"{self._launch.address}:{self._launch.port}"

    def _open_store(self) -> dist.Store:
        if self._launch.rank == 0 and not self._launch.uses_agent_store:
            return self._serve()
        # Reached by a plain connection first: the store's client fills the terminal while it tries again and again.
        while (trouble := self._trouble()) is not None:
            self._pause(f"rank {self._launch.rank} cannot reach rank 0 at {self._address} ({trouble})")
        return self._tcp_store()

    def _serve(self) -> dist.Store:
        try:
            listener = self._listener()
        except OSError as error:
            with contextlib.suppress(OSError), socket.create_connection(self._place, _CONNECT_SECONDS):
                raise ValueError(f"rank 0 cannot listen at {self._address}: another program does") from error
            raise ValueError(f"rank 0 cannot listen at {self._address}: {error.strerror or error}") from error
        return self._tcp_store(listener)

    def _listener(self) -> socket.socket:
        """Return a socket that listens at the port of the store: for IPv4 alone where nothing else can reach it.

        A socket for IPv6 and IPv4 shows IPv4 addresses as IPv6 ones. The store asks the name server for the name of
        each that connects, one after the other, and such an address has none: 5 seconds where that answer is lost.
        """
        found = socket.getaddrinfo(*self._place, type=socket.SOCK_STREAM)
        is_ipv4 = all(family == socket.AF_INET for family, *_ in found)
        # On its own host a name may lead to 127.0.0.1 alone, and elsewhere to an IPv6 address.
        is_same_elsewhere = self._launch.address in ("localhost", *(address[0] for *_, address in found))
        if (is_ipv4 and is_same_elsewhere) or not socket.has_dualstack_ipv6():
            return socket.create_server(("", self._launch.port), backlog=_BACKLOG)
        return socket.create_server(
            ("", self._launch.port), family=socket.AF_INET6, backlog=_BACKLOG, dualstack_ipv6=True
        )

    def _tcp_store(self, listener: socket.socket | None = None) -> dist.Store:
        """Return the store, served at a ``listener``, which it takes over, or by another process."""
        return dist.TCPStore(
            *self._place,
            world_size=self._launch.world_size,
            is_master=listener is not None,
            timeout=timedelta(seconds=max(self._remaining(), _CONNECT_SECONDS)),
            wait_for_workers=False,
            master_listen_fd=None if listener is None else listener.detach(),
        )

    @property
    def _place(self) -> tuple[str, int]:
        return self._launch.address, self._launch.port

    def _trouble(self) -> str | None:
        """Return why nobody can be reached at the address; None where somebody is."""
        try:
            socket.create_connection(self._place, min(_CONNECT_SECONDS, self._seconds)).close()
        except OSError as error:
            return error.strerror or str(error)
        return None

    def _wait(self, store: dist.Store) -> None:
        rank = self._launch.rank
        while not store.check([_ALL_HERE]):
            if rank == 0 and not _missing(store, self._launch.world_size):
                store.set(_ALL_HERE, "")
                return
            if store.check([_GIVEN_UP]):
                raise LostProcessError(store.get(_GIVEN_UP).decode(), is_reporter=False)
            self._pause("")

    def _pause(self, trouble: str) -> None:
        """Wait for a moment; say once for whom, and raise LostProcessError where there is no time left."""
        if self._remaining() <= 0:
            raise self._too_late(trouble)
        if not self._has_said and time.monotonic() - self._started_at >= NOTICE_SECONDS:
            self._has_said = True
            logger.log(
                logging.WARNING if self._is_reporter() else logging.DEBUG,
                f"{trouble or self._arrived()}; giving up after {self._seconds:g} seconds (runtime.rendezvous_seconds)",
            )
        time.sleep(_POLL_SECONDS)

    def _too_late(self, trouble: str) -> LostProcessError:
        message = (
            f"{trouble or self._arrived()}, after {self._seconds:g} seconds (runtime.rendezvous_seconds); start all"
            " processes with torchrun"
        )
        is_reporter = self._is_reporter()
        if self._store is not None and is_reporter:
            # The others end by themselves and in silence; the store must outlive their next look at it.
            self._store.set(_GIVEN_UP, message)
            time.sleep(4 * _POLL_SECONDS)
        return LostProcessError(message, is_reporter=is_reporter)

    def _arrived(self) -> str:
        assert self._store is not None, "the store is open"
        world_size = self._launch.world_size
        missing = _missing(self._store, world_size)
        return (
            f"{world_size - len(missing)} of {world_size} processes have arrived at {self._address} ({_shown(missing)}"
            f" {'is' if len(missing) == 1 else 'are'} missing)"
        )

    def _is_reporter(self) -> bool:
        """Return whether no process of a lower rank has arrived, which would report; all report without a store."""
        return self._store is None or len(_missing(self._store, self._launch.rank)) == self._launch.rank

    def _remaining(self) -> float:
        return self._started_at + self._seconds - time.monotonic()


def host_of(store: dist.Store, rank: int) -> str:
    """Return the host of a rank that has arrived."""
    return store.get(_arrival(rank)).decode()


def _arrival(rank: int) -> str:
    return f"host of rank {rank}"


def _missing(store: dist.Store, num_ranks: int) -> list[int]:
    """Return which of the first ranks have not arrived."""
    return [rank for rank in range(num_ranks) if not store.check([_arrival(rank)])]


def _shown(ranks: list[int]) -> str:
    shown = ", ".join(map(str, ranks[:_MOST_RANKS_SHOWN]))
    more = len(ranks) - _MOST_RANKS_SHOWN
    return f"rank{'s' if len(ranks) > 1 else ''} {shown}{f' and {more:,} more' if more > 0 else ''}"
