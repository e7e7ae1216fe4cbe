import time

import pytest
import torch
import torch.nn.functional as F

from sycoca.experiments.benchmark import timing as benchmark_timing
from sycoca.experiments.benchmark.timing import BenchmarkRow, counted_gflop, measure, seconds_per_call, synchronize

CPU = torch.device("cpu")


def row_of(name: str, call, precision=None) -> BenchmarkRow:
    return BenchmarkRow(name=name, call=call, items=4, unit="things", precision=precision)


def test_rows_are_interleaved(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(benchmark_timing, "SHORTEST_RUN_SECONDS", 0.0)
    called: list[str] = []
    rows = [row_of(name, lambda name=name: called.append(name)) for name in "abc"]
    results = measure(rows, runs=3, device=CPU)
    # Once to warm up and once to see how long it takes; then round by round.
    assert "".join(called) == "aabbcc" + 3 * "abc"
    assert list(results) == ["a", "b", "c"]


def test_median_smallest_and_largest(monkeypatch: pytest.MonkeyPatch):
    seconds = iter([0.2, 9.0, 1.0, 3.0])
    monkeypatch.setattr(benchmark_timing, "seconds_per_call", lambda *_: next(seconds))
    result = measure([row_of("a", lambda: None)], runs=3, device=CPU)["a"]
    assert (result.seconds, result.seconds_min, result.seconds_max) == (3.0, 1.0, 9.0)
    assert result.items_per_second == pytest.approx(4 / 3)
    assert result.gflop is None
    assert result.gflop_per_second is None


def test_short_calls_are_repeated_within_a_run(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(benchmark_timing, "SHORTEST_RUN_SECONDS", 0.1)
    called: list[None] = []

    def call() -> None:
        called.append(None)
        time.sleep(0.01)

    result = measure([row_of("short", call)], runs=1, device=CPU)["short"]
    # The shorter of its calls decides; a busy machine makes them longer.
    assert 2 + 1 < len(called) <= 2 + 10
    assert 0.01 <= result.seconds < 0.1


def test_only_rows_with_products_are_counted():
    left = torch.ones(2, 3)
    rows = [row_of("with", lambda: left @ left.T, "fp32"), row_of("without", lambda: left @ left.T)]
    results = measure(rows, runs=1, device=CPU)
    assert results["with"].gflop == 2 * 2 * 3 * 2 / 1e9
    assert results["with"].gflop_per_second == pytest.approx(24e-9 / results["with"].seconds)
    assert results["without"].gflop is None


def test_operations_of_attention_by_hand():
    batch, heads, tokens, features = 2, 4, 32, 16
    queries = torch.randn(batch, heads, tokens, features, requires_grad=True)
    product = 2 * batch * heads * tokens * tokens * features
    attend = lambda: F.scaled_dot_product_attention(queries, queries, queries, is_causal=True)  # noqa: E731
    # Forward: scores, and sums of values. Backward: the scores again, and two products for each of the two.
    assert counted_gflop(attend) == 2 * product / 1e9
    assert counted_gflop(lambda: attend().sum().backward()) == (2 + 5) * product / 1e9


def test_operations_on_slices_of_parameters_are_counted_without_gradient_too():
    module, queries = torch.nn.Linear(16, 8), torch.nn.Parameter(torch.randn(5, 16))
    with torch.no_grad():
        assert counted_gflop(lambda: module(queries[:3])) == 2 * 3 * 16 * 8 / 1e9


@pytest.mark.compiled
@pytest.mark.filterwarnings("ignore:.*torch.jit.script_method:DeprecationWarning")  # of PyTorch's own compiler
def test_operations_of_compiled_modules_equal_those_of_eager_ones():
    module = torch.nn.Sequential(torch.nn.Linear(16, 8), torch.nn.GELU(), torch.nn.Linear(8, 4))
    images = torch.randn(5, 16)
    plain = counted_gflop(lambda: module(images))
    module.compile()
    module(images)
    assert counted_gflop(lambda: module(images)) == plain == 2 * 5 * (16 * 8 + 8 * 4) / 1e9


def test_the_clock_waits_for_accelerators(monkeypatch: pytest.MonkeyPatch):
    order: list[str] = []
    monkeypatch.setattr(torch.accelerator, "synchronize", lambda device: order.append(str(device)))
    synchronize(CPU)
    assert order == []
    seconds_per_call(lambda: order.append("call"), 2, torch.device("cuda", 1))
    assert order == ["cuda:1", "call", "call", "cuda:1"]
