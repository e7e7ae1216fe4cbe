"""The precision that pays on a device: fp32 against bf16, in a matrix product and in a step of a small model."""

import copy
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

import torch

from sycoca.experiments.benchmark.timing import seconds_per_call
from sycoca.experiments.doctor.finding import Finding, Section
from sycoca.experiments.doctor.small_model import runtime_of, small_model
from sycoca.model.automatic_precision import DTYPE_OF_PRECISION, bfloat16_gain
from sycoca.model.linear import Linear
from sycoca.training.engine.numerics import choose_precision

NUM_ROUNDS = 5
"""Rounds; each runs every call once, so that other load on the machine affects all of them."""

LEAST_GAIN = 1.1
"""Ratio of times from which on a precision pays; the rounds must agree on it."""

MOST_NOISE = 1.3
"""Ratio of the slowest to the fastest round of the same work from which on the machine counts as busy."""

MATRIX_SIDE, MATRIX_SIDE_OF_ACCELERATORS = 768, 4096

_CPU = torch.device("cpu")

_DECODER_WIDTH, _NUM_BEAMS = 512, 24
"""Those of 4 photos with 6 beams in a decoder of `vit_b32`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """Seconds of the same work in both precisions, round by round."""

    fp32: Sequence[float]
    bf16: Sequence[float]

    @property
    def ratios(self) -> list[float]:
        """How many times as long fp32 takes, in each round."""
        return [fp32 / bf16 for fp32, bf16 in zip(self.fp32, self.bf16, strict=True)]

    @property
    def noise(self) -> float:
        """The slowest round over the fastest one of the same work, in the precision where that is more."""
        return max(max(seconds) / min(seconds) for seconds in (self.fp32, self.bf16))

    @property
    def conclusion(self) -> str:
        """Say which precision is faster, where all rounds agree."""
        ratios = self.ratios
        if min(ratios) > LEAST_GAIN:
            return f"bf16 is {_times(ratios)} as fast as fp32"
        inverse = [1 / ratio for ratio in ratios]
        if min(inverse) > LEAST_GAIN:
            return f"bf16 takes {_times(inverse)} as long as fp32"
        return f"no clear difference: bf16 is {_times(ratios)} as fast as fp32"


def precision(device: torch.device) -> Section:
    """Return which precision is faster on a device, with the noise of the measurement."""
    matrices = compared({name: _product(device, dtype) for name, dtype in DTYPE_OF_PRECISION.items()}, device)
    with ExitStack() as stack:
        runtimes = {name: stack.enter_context(runtime_of(device, name)) for name in ("fp32", "bf16")}
        steps = compared({name: small_model(runtime).update for name, runtime in runtimes.items()}, device)
    return Section(title=f"precision on {device}", findings=tuple(_findings(matrices, steps, device)))


def compared(calls: Mapping[str, Callable[[], object]], device: torch.device) -> Comparison:
    """Time calls of the names fp32 and bf16 in turns, after one of each to warm up."""
    for call in calls.values():
        call()
    rounds = [{name: seconds_per_call(call, 1, device) for name, call in calls.items()} for _ in range(NUM_ROUNDS)]
    return Comparison(fp32=[one["fp32"] for one in rounds], bf16=[one["bf16"] for one in rounds])


def _findings(matrices: Comparison, steps: Comparison, device: torch.device) -> list[Finding]:
    findings = [
        Finding(name="matrix product", value=_with_noise(matrices)),
        Finding(name="training step", value=f"{_with_noise(steps)} (preset tiny)"),
        *_automatic(device),
    ]
    if max(matrices.noise, steps.noise) > MOST_NOISE:
        remedy = "measure again while nothing else runs"
        value = f"the same work took up to {max(matrices.noise, steps.noise):.1f} times as long in another round"
        findings.append(Finding(name="noise", value=value, state="note", remedy=remedy))
    return findings


def _automatic(device: torch.device) -> Iterator[Finding]:
    """Yield what auto stands for here, after a new measurement, which replaces the kept one."""
    gain = bfloat16_gain(remeasures=True) if device.type == "cpu" else None
    if gain is not None:
        value = (
            f"bf16 is {gain.training:.2f} times as fast as fp32 in training, {gain.inference:.2f} times at inference"
        )
        yield Finding(name="block of ViT-B", value=f"{value}; kept for auto")
    value = f"{choose_precision('auto', device)} for training; --runtime.precision sets another one"
    yield Finding(name="chosen by auto", value=value)
    if device.type == "cpu":
        value = f"products of captions are {_times(_int8_gains())} as fast as in fp32; --precision int8 takes it"
        yield Finding(name="int8", value=value)


def _int8_gains() -> list[float]:
    """Return how many times as fast a product of a decoding step is in int8, in each round."""
    linear = Linear(_DECODER_WIDTH, 4 * _DECODER_WIDTH).requires_grad_(False)
    quantized = copy.deepcopy(linear)
    quantized.quantize()
    rows = torch.rand(_NUM_BEAMS, _DECODER_WIDTH, generator=torch.Generator().manual_seed(0))
    for one in (linear, quantized):
        one(rows)
    seconds = [
        [seconds_per_call(partial(one, rows), 20, _CPU) for one in (linear, quantized)] for _ in range(NUM_ROUNDS)
    ]
    return [fp32 / int8 for fp32, int8 in seconds]


def _with_noise(comparison: Comparison) -> str:
    return f"{comparison.conclusion}; the same work varies by {comparison.noise:.2f} times"


def _times(ratios: Sequence[float]) -> str:
    return f"{statistics.median(ratios):.2f} times ({min(ratios):.2f} to {max(ratios):.2f})"


def _product(device: torch.device, dtype: torch.dtype) -> Callable[[], object]:
    side = MATRIX_SIDE if device.type == "cpu" else MATRIX_SIDE_OF_ACCELERATORS
    generator = torch.Generator().manual_seed(side)
    left, right = (torch.rand(side, side, generator=generator).to(device, dtype) for _ in range(2))
    return lambda: left @ right
