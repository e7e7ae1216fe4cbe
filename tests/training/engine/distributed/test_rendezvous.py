"""Processes that arrive late, or never."""

import logging
import os
import socket
import subprocess
import sys
import threading
import time

import pytest
import torch.distributed as dist

from builders.two_processes import free_port
from sycoca.training.engine.distributed import rendezvous
from sycoca.training.engine.distributed.errors import LostProcessError
from sycoca.training.engine.distributed.launch import Launch
from sycoca.training.engine.distributed.rendezvous import Rendezvous, host_of

RUN = ["pretrain", "tiny", "--data.train", "scenes:?count=8&size=16", "--runtime.device", "cpu"]


def launch(rank: int, world_size: int, port: int) -> Launch:
    return Launch(rank=rank, world_size=world_size, local_rank=rank, address="127.0.0.1", port=port)


def test_who_is_missing_is_said_once_and_then_given_up(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr(rendezvous, "NOTICE_SECONDS", 0.3)
    port = free_port()
    errors: list[LostProcessError] = []

    def arrive(rank: int) -> None:
        with pytest.raises(LostProcessError) as caught:
            Rendezvous(launch(rank, 4, port), 1.5 + rank).join()
        errors.append(caught.value)

    threads = [threading.Thread(target=arrive, args=(rank,)) for rank in (0, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    here = f"2 of 4 processes have arrived at 127.0.0.1:{port} (ranks 1, 3 are missing)"
    (notice,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert notice == f"{here}; giving up after 1.5 seconds (runtime.rendezvous_seconds)"
    expected = f"{here}, after 1.5 seconds (runtime.rendezvous_seconds); start all processes with torchrun"
    assert [str(error) for error in errors] == [expected, expected]
    assert sorted(error.is_reporter for error in errors) == [False, True]


def test_without_rank_0_each_says_so():
    port = free_port()
    with pytest.raises(
        LostProcessError, match=rf"^rank 1 cannot reach rank 0 at 127.0.0.1:{port} \(.+\), after"
    ) as caught:
        Rendezvous(launch(1, 2, port), 0.6).join()
    assert caught.value.is_reporter


def test_a_port_that_is_taken_is_named():
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(ValueError, match=f"^rank 0 cannot listen at 127.0.0.1:{port}: another program does"):
            Rendezvous(launch(0, 2, port), 5.0).join()


@pytest.mark.parametrize(
    ("address", "resolved", "is_ipv4"),
    [
        ("127.0.0.1", ["127.0.0.1"], True),
        ("localhost", ["127.0.0.1"], True),
        ("localhost", ["::1", "127.0.0.1"], False),
        ("node-1", ["127.0.1.1"], False),  # on node-1 itself; other hosts may know an IPv6 address
        ("::1", ["::1"], False),
    ],
)
def test_the_store_listens_for_ipv4_alone_where_all_reach_it_so(
    monkeypatch: pytest.MonkeyPatch, address: str, resolved: list[str], is_ipv4: bool
):
    families = [socket.AF_INET6 if ":" in one else socket.AF_INET for one in resolved]
    found = [(family, socket.SOCK_STREAM, 6, "", (one, 0)) for family, one in zip(families, resolved, strict=True)]
    monkeypatch.setattr(socket, "has_dualstack_ipv6", lambda: True)
    asked = []

    def create_server(_: tuple[str, int], **options: object) -> socket.socket:
        asked.append(options.get("family", socket.AF_INET))
        raise OSError("enough")

    with monkeypatch.context() as patched:
        patched.setattr(socket, "getaddrinfo", lambda *_, **__: found)
        patched.setattr(socket, "create_server", create_server)
        with pytest.raises(ValueError, match="enough"):
            Rendezvous(Launch(rank=0, world_size=2, address=address, port=1), 0.1).join()
    assert asked == [socket.AF_INET if is_ipv4 else socket.AF_INET6]


def test_late_processes_are_waited_for():
    port = free_port()
    stores = {}

    def arrive(rank: int, delay: float) -> None:
        time.sleep(delay)
        stores[rank] = Rendezvous(launch(rank, 2, port), 20.0).join()

    threads = [threading.Thread(target=arrive, args=one) for one in ((1, 0.0), (0, 0.7))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert host_of(stores[1], 0) == socket.gethostname()


def test_the_command_ends_with_one_line():
    place = {"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}
    place["MASTER_PORT"] = str(free_port())
    words = [sys.executable, "-m", "sycoca", *RUN, "--runtime.rendezvous-seconds", "0.5"]
    done = subprocess.run(words, env={**os.environ, **place}, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("sycoca pretrain: 1 of 2 processes have arrived at 127.0.0.1:")
    assert "(rank 1 is missing), after 0.5 seconds" in line


def test_the_store_of_a_process_is_kept_for_its_next_meeting():
    port = free_port()
    first = meet(port, number=0)
    second = meet(port, number=1)
    for rank in (0, 1):
        assert second[rank].underlying_store is first[rank].underlying_store
    assert second[0].num_keys() == first[0].num_keys() == 6  # all here and two hosts of each


def meet(port: int, number: int) -> dict[int, dist.PrefixStore]:
    stores: dict[int, dist.PrefixStore] = {}

    def arrive(rank: int) -> None:
        store = Rendezvous(launch(rank, 2, port), 20.0, number).join()
        assert isinstance(store, dist.PrefixStore)
        stores[rank] = store

    threads = [threading.Thread(target=arrive, args=(rank,)) for rank in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return stores
