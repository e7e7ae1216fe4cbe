"""The precision that `auto` stands for on CPUs: bf16 where a measurement says that it pays.

A block of ViT-B's size is run in fp32 and in bf16, in turns, which takes seconds. The result is kept in the user's
cache folder, by processor, threads and version of PyTorch, so that runs of one machine choose the same.
"""

import copy
import json
import logging
import math
import os
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, assert_never, get_args

import torch

from sycoca.model.products import multiplies_bfloat16, processor_name
from sycoca.model.transformer import SelfBlock
from sycoca.outputs.atomic import atomic_file
from sycoca.outputs.cache_folder import user_cache_folder
from sycoca.plain_data import from_plain

logger = logging.getLogger(__name__)

AutomaticPrecision = Literal["fp32", "bf16"]

DTYPE_OF_PRECISION: Mapping[AutomaticPrecision, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16}
"""PyTorch's types by precision."""

Use = Literal["training", "inference"]
"""Training rounds the weights in every product (autocast), inference loads rounded ones."""

VARIABLE = "SYCOCA_AUTO_PRECISION"
"""The environment variable that names what `auto` stands for on CPUs, in place of a measurement."""

LEAST_GAIN = 1.1
"""How many times as fast as fp32 bf16 must be to be chosen."""

_NUM_ROUNDS = 5
_WIDTH, _NUM_HEADS, _NUM_IMAGES, _NUM_TOKENS = 768, 12, 8, 50


@dataclass(frozen=True, kw_only=True, slots=True)
class Bfloat16Gain:
    """How many times as fast as fp32 bf16 is on a machine."""

    training: float
    """Forward and backward pass of a block under autocast."""

    inference: float
    """Forward pass of a block whose weights are in bf16."""

    measured_on: str
    """The day, such as 2026-11-30."""

    def __post_init__(self) -> None:
        if not all(0 <= gain < math.inf for gain in (self.training, self.inference)):  # rounded, it may be 0
            raise ValueError(f"gains must be finite numbers from 0 on, got {self.training} and {self.inference}")

    def of(self, use: Use) -> float:
        """Return the gain in a use."""
        match use:
            case "training":
                return self.training
            case "inference":
                return self.inference
            case unknown:
                assert_never(unknown)


def automatic_precision(use: Use) -> AutomaticPrecision:
    """Return what `auto` stands for on this CPU, and log why where it is bf16.

    Raises ValueError where the environment names another precision than fp32 and bf16.
    """
    named = os.environ.get(VARIABLE)
    if named is not None:
        return _checked(named)
    gain = bfloat16_gain()
    if gain is None or gain.of(use) < LEAST_GAIN:
        return "fp32"
    logger.info(
        f"auto is bf16: {gain.of(use):.1f} times as fast as fp32 here in {use}, measured on {gain.measured_on};"
        f" {VARIABLE}=fp32 keeps fp32"
    )
    return "bf16"


def bfloat16_gain(*, remeasures: bool = False) -> Bfloat16Gain | None:
    """Return the gain that is kept for this machine, after a measurement where there is none or with ``remeasures``.

    None where the processor does not multiply bfloat16, which is then slower than fp32.
    """
    if not multiplies_bfloat16():
        return None
    known = None if remeasures else _kept().get(_machine())
    if known is None:
        logger.info("measuring once whether bf16 pays on this machine")
        known = _measured()
        _keep(known)
    return known


def _checked(named: str) -> AutomaticPrecision:
    for precision in get_args(AutomaticPrecision):
        if precision == named:
            return precision
    raise ValueError(f"{VARIABLE} is {named!r}; set it to {' or '.join(get_args(AutomaticPrecision))}")


def _measured() -> Bfloat16Gain:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        block = SelfBlock(_WIDTH, _NUM_HEADS)
        rows = torch.randn(_NUM_IMAGES, _NUM_TOKENS, _WIDTH)
    rounded = copy.deepcopy(block).bfloat16()

    def train(*, is_bfloat16: bool) -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=is_bfloat16):
            loss = block(rows, is_causal=False).float().square().mean()
        torch.autograd.grad(loss, list(block.parameters()))

    def infer(*, is_bfloat16: bool) -> None:
        with torch.no_grad():
            (rounded if is_bfloat16 else block)(rows.bfloat16() if is_bfloat16 else rows, is_causal=False)

    with torch.enable_grad():
        gains = {"training": _gain(train), "inference": _gain(infer)}
    return Bfloat16Gain(**gains, measured_on=datetime.now(UTC).date().isoformat())


def _gain(run: Callable[..., None]) -> float:
    """Return the median of rounds, each of which runs both precisions, after a round to warm up."""
    rounds = [_seconds(run, is_bfloat16=False) / _seconds(run, is_bfloat16=True) for _ in range(_NUM_ROUNDS + 1)]
    return round(statistics.median(rounds[1:]), 2)


def _seconds(run: Callable[..., None], *, is_bfloat16: bool) -> float:
    started_at = time.perf_counter()
    run(is_bfloat16=is_bfloat16)
    return time.perf_counter() - started_at


def _machine() -> str:
    return f"{processor_name()}, {torch.get_num_threads()} threads, torch {torch.__version__}"


def _file() -> Path:
    return user_cache_folder() / "bfloat16_gain.json"


def _kept() -> Mapping[str, Bfloat16Gain]:
    """Return the gains by machine; none where the file is missing or damaged, since all can be measured again."""
    try:
        content = json.loads(_file().read_bytes())
        return {machine: from_plain(Bfloat16Gain, gain, machine) for machine, gain in content.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        logger.debug("what is kept of measurements cannot be used: %s", error)
        return {}


def _keep(gain: Bfloat16Gain) -> None:
    content = {machine: asdict(one) for machine, one in {**_kept(), _machine(): gain}.items()}
    try:
        with atomic_file(_file()) as unfinished:
            unfinished.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        logger.debug("the measurement cannot be kept, and the next process measures again: %s", error)
