"""How a process was launched, and variables that are missing or wrong."""

import pytest

from sycoca.training.engine.distributed.launch import Launch, is_main_process, read_launch

OF_TWO = {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1", "MASTER_ADDR": "node1", "MASTER_PORT": "29500"}


def test_alone_without_variables():
    assert read_launch({}) == read_launch({"WORLD_SIZE": "1"}) == Launch()
    assert read_launch({"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "3"}) == Launch(local_rank=3)


def test_one_of_two():
    expected = {"rank": 1, "world_size": 2, "local_rank": 1, "address": "node1", "port": 29500}
    assert read_launch(OF_TWO) == Launch(**expected)
    assert read_launch({**OF_TWO, "TORCHELASTIC_USE_AGENT_STORE": "True"}) == Launch(**expected, uses_agent_store=True)


def test_without_a_local_rank_it_is_0():
    assert read_launch({name: value for name, value in OF_TWO.items() if name != "LOCAL_RANK"}).local_rank == 0


@pytest.mark.parametrize("name", sorted(OF_TWO.keys() - {"LOCAL_RANK"}))
def test_what_is_missing_is_named(name: str):
    for wrong in ({**OF_TWO, name: ""}, {one: value for one, value in OF_TWO.items() if one != name}):
        with pytest.raises(ValueError, match=rf"^{name} is not set beside .*start all processes with torchrun"):
            read_launch(wrong)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("RANK", "one", "RANK is 'one', which is no number"),
        ("RANK", "-1", "RANK is '-1', which is no number"),
        ("RANK", "2", "RANK is 2, but WORLD_SIZE is 2: ranks count from 0"),
        ("WORLD_SIZE", "2.0", "WORLD_SIZE is '2.0', which is no number"),
        ("LOCAL_RANK", "x", "LOCAL_RANK is 'x', which is no number"),
        ("MASTER_PORT", "70000", "MASTER_PORT is 70000, which is no port"),
        ("MASTER_PORT", "0", "MASTER_PORT is 0, which is no port"),
    ],
)
def test_what_is_wrong_is_named(name: str, value: str, message: str):
    with pytest.raises(ValueError, match=f"^{message}.*; start all processes with torchrun"):
        read_launch({**OF_TWO, name: value})


def test_main_process_is_rank_0(monkeypatch: pytest.MonkeyPatch):
    assert is_main_process()
    for name, value in OF_TWO.items():
        monkeypatch.setenv(name, value)
    assert not is_main_process()
