import json

import pytest

from sycoca.experiments.ablation.estimate import Estimate


def of_runs(minutes: dict[str, float], num_seeds: int, processes: int) -> Estimate:
    steps = dict.fromkeys(minutes, 100)
    return Estimate(seeds=tuple(range(num_seeds)), steps=steps, minutes=minutes, processes=processes)


@pytest.mark.parametrize(
    ("minutes", "num_seeds", "processes", "total"),
    [
        ({"a": 10.0, "b": 10.0}, 1, 64, 10),
        ({"a": 10.0, "b": 10.0}, 2, 3, 20),
        ({"a": 10.0, "b": 4.0}, 3, 1, 42),
        # a until 10; b until 4, then a until 14; b until 14.
        ({"a": 10.0, "b": 4.0}, 2, 2, 14),
        # In the order of the runs: the long one comes last, and the other process waits for it.
        ({"a": 1.0, "b": 1.0, "c": 6.0}, 1, 2, 7),
    ],
)
def test_runs_take_the_time_of_the_last_one(minutes: dict[str, float], num_seeds: int, processes: int, total: float):
    found = of_runs(minutes, num_seeds, processes)
    assert found.total_minutes == total
    assert json.loads(found.to_json())["total_minutes"] == total
    assert f"training takes about {total} minutes with {processes} at once" in "\n".join(found.lines())
