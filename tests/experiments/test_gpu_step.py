"""benchmarks/gpu_step.py, as far as a CPU allows."""

import json
import warnings

import pytest
import torch

from builders.benchmark_scripts import benchmark_script

gpu_step = benchmark_script("gpu_step")


@pytest.fixture(scope="module")
def printed() -> dict:
    with pytest.MonkeyPatch.context() as patched:
        lines: list[str] = []
        patched.setattr("sys.stdout.write", lines.append)
        patched.setattr("sycoca.experiments.benchmark.machine.MATRIX_SIDES", {"cpu": (64,)})
        patched.setattr("sycoca.experiments.benchmark.timing.SHORTEST_RUN_SECONDS", 0.0)
        gpu_step.main(["--device", "cpu", "--preset", "tiny", "--batch-size", "4", "--runs", "1"])
    return json.loads("".join(lines))


def test_a_step_on_a_cpu_has_time_and_rate(printed: dict):
    step = printed["steps"]["eager"]
    assert step["pairs_per_second"] == pytest.approx(4 / step["seconds"])
    assert step["model_flops_utilization"] == pytest.approx(
        step["gflop"] / step["seconds"] / printed["peak_gflop_per_second"]
    )
    assert 1 < step["gflop"] < 1.5  # four pairs of 0.3


def test_what_a_cpu_cannot_measure_is_said(printed: dict):
    missing = {name for name, value in printed["steps"]["eager"].items() if value is None}
    assert printed["not_measured"].keys() == missing


def test_waits_are_counted_where_cuda_warns_of_them(monkeypatch):
    modes: list[str] = []
    monkeypatch.setattr("torch.cuda.set_sync_debug_mode", modes.append)

    def step() -> None:
        for message in ("called a synchronizing CUDA operation", "something else"):
            warnings.warn(message, stacklevel=1)

    assert len(gpu_step.count_synchronizations(step, torch.device("cuda"))) == 1
    assert modes == ["warn", "default"]


def test_a_device_that_is_not_there_is_named():
    if torch.cuda.is_available():
        pytest.skip("there is one")
    with pytest.raises(SystemExit, match="there is no device 'cuda'"):
        gpu_step.main(["--device", "cuda", "--preset", "tiny"])
