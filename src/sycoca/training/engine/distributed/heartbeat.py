"""The heartbeat: a thread in each process of a run that notices when another one was killed, hangs or has failed.

Rank 0 listens, and all others connect to it. Both ends send a beat every few seconds from a thread, so that slow steps,
saves and validation are not silence. A process that ends says goodbye first, with a reason where it has failed. A
connection that closes without a goodbye, or beats that stop, mean that a process was lost: collectives with it would
wait forever. Then one process says so, and all exit at once: the last checkpoint stands.

Silence is counted in beats of the observer rather than in time, so that a laptop that wakes up, or a process that was
stopped itself, hears the others before it judges them.
"""

import contextlib
import json
import math
import os
import secrets
import selectors
import socket
import threading
import time
import weakref
from collections.abc import Mapping
from functools import partial
from typing import Literal, NamedTuple, Protocol, final, runtime_checkable

from sycoca.training.engine.distributed.ending import FAILED_CODE, LOST_CODE, Ending
from sycoca.training.engine.distributed.launch import Launch
from sycoca.training.engine.distributed.peers import Message, MessageSocket, Peer

BEAT_SECONDS = 2.0
"""Time between two beats; shorter where ``runtime.heartbeat_seconds`` is short."""

GRACE_SECONDS = 5.0
"""Time in which an error that all processes have may show in this one, after it was seen in another."""

_LEAST_BEATS = 5
_CONNECT_SECONDS = 10.0

Leaving = Literal["clean", "failed", "interrupted", "broken"]
"""How a process leaves: at its end, with an error of its own, by a second signal, or since a collective failed."""


class _Way(NamedTuple):
    waits: bool
    """Whether the process waits until it is known which other one was lost."""

    is_consequence: bool
    """Whether it may leave only because another process has failed, which then is the reason."""


_WAYS: Mapping[Leaving, _Way] = {
    "clean": _Way(waits=False, is_consequence=False),
    "failed": _Way(waits=False, is_consequence=False),
    "interrupted": _Way(waits=False, is_consequence=True),
    "broken": _Way(waits=True, is_consequence=True),
}


@runtime_checkable
class _Store(Protocol):
    def set(self, key: str, value: str, /) -> None: ...
    def get(self, key: str, /) -> bytes: ...


@final
class Heartbeat:
    """The heartbeat of this process, which watches the others from its creation until `leave`."""

    def __init__(
        self,
        launch: Launch,
        store: _Store,
        hosts: list[str],
        seconds: float,
        ending: Ending,
    ) -> None:
        """Connect through the ``store``; a rank counts as lost after ``seconds`` of silence.

        ``hosts``: that of each rank. ``ending``: how this process ends because of others. Raises ValueError where rank
        0 cannot be reached.
        """
        self._launch, self._hosts, self._seconds = launch, hosts, seconds
        self._ending = ending
        self._beat_seconds = min(BEAT_SECONDS, seconds / _LEAST_BEATS)
        self._most_missed = math.ceil(seconds / self._beat_seconds)
        self._selector = selectors.DefaultSelector()
        self._links: dict[MessageSocket, Peer] = {}
        self._leaving: tuple[Leaving, str | None, float] | None = None
        self._failure: tuple[Peer, Message, float] | None = None
        self._is_over = False
        self._wake, woken = socket.socketpair()
        self._selector.register(woken, selectors.EVENT_READ, lambda: woken.recv(1))
        self._sockets: list[socket.socket | MessageSocket] = [self._wake, woken]
        others = range(1, launch.world_size) if launch.rank == 0 else [0]
        self._peers = {rank: Peer(rank=rank, host=hosts[rank]) for rank in others}
        self._token = ""
        if launch.rank == 0:
            self._listen(store)
        else:
            self._connect(store)
        self._thread = threading.Thread(target=self._watch, name="heartbeat", daemon=True)
        self._thread.start()
        _of_this_process.add(self)

    def leave(self, how: Leaving, reason: str | None = None) -> None:
        """Say goodbye to the other processes, with the ``reason`` of a failure, and stop watching them.

        After a collective that failed (``broken``) this first waits until the heartbeat knows which process was lost,
        and then does not return.
        """
        if not self._thread.is_alive():
            return
        patience = self._seconds + GRACE_SECONDS if _WAYS[how].waits else 0.0
        self._leaving = how, reason, time.monotonic() + patience
        with contextlib.suppress(OSError):  # the thread may have seen it already, and be done
            self._wake.send(b"\0")
        while self._thread.is_alive():
            # torchrun sends SIGTERM as soon as one process has ended; the cause is said first.
            with contextlib.suppress(KeyboardInterrupt):
                self._thread.join()

    def forget(self) -> None:
        """Close all connections in a forked process, so that they end with the process that they belong to."""
        self._selector.close()
        for one in (*self._sockets, *self._links):
            one.close()

    def _listen(self, store: _Store) -> None:
        if socket.has_dualstack_ipv6():
            listener = socket.create_server(("", 0), family=socket.AF_INET6, dualstack_ipv6=True)
        else:
            listener = socket.create_server(("", 0))
        listener.setblocking(False)
        self._sockets.append(listener)
        self._selector.register(listener, selectors.EVENT_READ, partial(self._accept, listener))
        self._token = secrets.token_hex(16)
        port = listener.getsockname()[1]
        store.set("heartbeat", json.dumps({"port": port, "token": self._token, "pid": os.getpid()}))

    def _connect(self, store: _Store) -> None:
        main, told = self._peers[0], json.loads(store.get("heartbeat"))
        main.pid = told["pid"]
        link = MessageSocket(self._connection_to(main, told["port"]))
        link.send({"hello": told["token"], "rank": self._launch.rank, "pid": os.getpid()})
        self._add(link, main)

    def _connection_to(self, main: Peer, port: int) -> socket.socket:
        trouble = None
        for address in (self._launch.address, main.host):
            try:
                return socket.create_connection((address, port), _CONNECT_SECONDS)
            except OSError as error:
                trouble = trouble or error
        raise ValueError(
            f"rank {self._launch.rank} cannot reach rank 0 at {self._launch.address}:{port} for the heartbeat"
            f" ({trouble}); open the ports between the hosts, or switch it off with --runtime.heartbeat-seconds None"
        )

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            link = MessageSocket(listener.accept()[0])
            self._sockets.append(link)
            self._selector.register(link, selectors.EVENT_READ, partial(self._greet, link))

    def _greet(self, link: MessageSocket) -> None:
        """Read the first message of a connection, and close it unless it is of a process of this run."""
        messages, is_closed = link.read()
        if not messages and not is_closed:
            return
        self._selector.unregister(link)
        self._sockets.remove(link)
        first = messages[0] if messages else {}
        peer = self._peer_of(first)
        if peer is None:
            link.close()
            return
        peer.pid = first.get("pid")
        self._add(link, peer)
        self._take(messages[1:], peer)

    def _peer_of(self, first: Message) -> Peer | None:
        """Return the process whose first message this is; None for anybody else, who may send any JSON."""
        match first:
            case {"hello": str() as token, "rank": int() as rank}:
                is_ours = secrets.compare_digest(token.encode("utf-8", "surrogatepass"), self._token.encode())
                return self._peers.get(rank) if is_ours else None
            case _:
                return None

    def _add(self, link: MessageSocket, peer: Peer) -> None:
        peer.hear()
        self._links[link] = peer
        self._selector.register(link, selectors.EVENT_READ, partial(self._receive, link, peer))

    def _watch(self) -> None:
        """Run the thread until this process leaves."""
        next_beat = time.monotonic()
        while not self._is_over:
            for key, _ in self._selector.select(max(0.0, next_beat - time.monotonic())):
                key.data()
            self._end_with_failed()
            self._take_leave()
            if time.monotonic() >= next_beat:
                next_beat = time.monotonic() + self._beat_seconds
                self._beat()
        for link in self._links:
            link.finish()
        self.forget()

    def _receive(self, link: MessageSocket, peer: Peer) -> None:
        if self._is_over:
            return
        messages, is_closed = link.read()
        peer.hear()
        self._take(messages, peer)
        if is_closed:
            self._selector.unregister(link)
            del self._links[link]
            link.close()
            if not peer.has_left:
                self._end_without(peer, "ended unexpectedly at {time}, as after a kill or a crash")

    def _take(self, messages: list[Message], peer: Peer) -> None:
        for message in messages:
            if "end" in message:
                self._end_after_others(message)
            elif "bye" in message:
                peer.has_left = True
                if message["bye"] is not None:
                    self._failure = peer, message, time.monotonic() + GRACE_SECONDS

    def _beat(self) -> None:
        for link in self._links:
            link.send({})
        for peer in self._peers.values():
            peer.num_missed += 1
            if peer.num_missed > self._most_missed and not peer.has_left:
                self._end_without(peer, f"has been silent since {{time}}, for {self._seconds:g} seconds")

    def _end_with_failed(self) -> None:
        """Exit after an error of another process, unless this one ends by itself; it may have the same error."""
        if self._failure is None:
            return
        peer, message, deadline = self._failure
        own = None if self._leaving is None else self._leaving[0]
        # Ctrl-C interrupts all of them, and each says so itself.
        is_consequence = own is not None and _WAYS[own].is_consequence and own != message["how"]
        if is_consequence or time.monotonic() > deadline:
            # Rank 0 has said itself why it failed.
            self._end(f"{peer} has failed: {message['bye']}", FAILED_CODE, peer, is_reporter=self._launch.rank == 0)

    def _take_leave(self) -> None:
        if self._leaving is None or self._is_over:
            return
        how, reason, deadline = self._leaving
        # A process that has connected, but was not greeted yet, would take the end of its connection for a crash.
        awaits = any(peer.pid is None for peer in self._peers.values())
        if time.monotonic() >= deadline + _CONNECT_SECONDS * awaits:
            for link in self._links:
                link.send({"bye": reason, "how": how})
            self._is_over = True

    def _end_without(self, peer: Peer, what: str) -> None:
        at = time.strftime("%H:%M:%S", time.localtime(peer.heard_at))
        self._end(f"{peer} {what.format(time=at)}", LOST_CODE, peer, is_reporter=self._reports_loss_of(peer))

    def _end_after_others(self, message: Message) -> None:
        """Exit after the others: rank 0 has said why, unless it was this process that was silent."""
        is_lost = message["end"] == self._launch.rank
        silence = f"rank {self._launch.rank} was silent for {self._seconds:g} seconds, and the others have ended"
        self._end(silence if is_lost else "another process has ended", message["code"], None, is_reporter=is_lost)

    def _reports_loss_of(self, peer: Peer) -> bool:
        """Return whether this process reports: rank 0, or without it the first of each host."""
        own_host = self._hosts[self._launch.rank]
        return peer.rank != 0 or self._launch.local_rank == (1 if own_host == peer.host else 0)

    def _end(self, text: str, code: int, lost: Peer | None, *, is_reporter: bool) -> None:
        """Tell the others and exit at once: the main thread may wait in a collective forever."""
        if self._is_over:
            return
        self._is_over = True
        for link in self._links:
            link.send({"end": None if lost is None else lost.rank, "code": code})
            link.finish()
        self._ending.exit(text, code, is_reporter=is_reporter)


_of_this_process: "weakref.WeakSet[Heartbeat]" = weakref.WeakSet()


def _forget_all() -> None:
    for heartbeat in _of_this_process:
        heartbeat.forget()


if hasattr(os, "register_at_fork"):
    # Forked loader workers would keep the connections open after this process was killed.
    os.register_at_fork(after_in_child=_forget_all)
