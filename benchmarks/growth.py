"""Time and memory of a training step as a function of batch, caption, image and model size: docs/growth.svg.

All three objectives, float32. The measured time is compared with two lower bounds on this machine (a roofline): the
operations of the matrix products at the measured peak, and the bytes that all operators read and write at the measured
copy rate. The larger bound is named, with its fraction of the time.
"""

import argparse
import json
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import torch
from matplotlib.ticker import LogLocator
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from measure import peak_bytes, seconds
from sycoca.experiments.benchmark.machine import copy_row, matrix_row
from sycoca.experiments.benchmark.timing import counted_gflop, measure
from sycoca.model.config import ImageEncoderConfig, SyCoCaConfig, TextEncoderConfig
from sycoca.model.decoder_configs import ImageDecoderConfig, TextDecoderConfig
from sycoca.records import BatchTotals, ImageTextBatch
from sycoca.training.config import OptimizerConfig, RuntimeConfig
from sycoca.training.engine.optimization.optimizer import build_optimizer
from sycoca.training.engine.runtime import Runtime
from sycoca.training.engine.update import Updater
from sycoca_side import pretraining_task

CPU = torch.device("cpu")
VOCABULARY = 8192


@dataclass(frozen=True, kw_only=True)
class Size:
    """Sizes of a step."""

    batch: int = 16
    tokens: int = 16
    image_side: int = 128
    width: int = 256


AXES: dict[str, tuple[str, Sequence[int]]] = {
    "batch": ("pairs per step", (2, 4, 8, 16, 32)),
    "tokens": ("tokens per caption", (8, 16, 32, 64, 128)),
    "image_side": ("pixels of an image's side", (64, 96, 128, 192, 256)),
    "width": ("features per layer", (64, 128, 256, 384, 512)),
}


@dataclass(frozen=True, kw_only=True)
class Point:
    """The cost of a step of one size."""

    value: int
    seconds: float
    peak_bytes: int
    arithmetic_seconds: float
    traffic_seconds: float

    @property
    def bound(self) -> str:
        """Return the larger of the two bounds."""
        return "arithmetic" if self.arithmetic_seconds > self.traffic_seconds else "memory traffic"

    @property
    def share(self) -> float:
        """Return the bound's fraction of the step's time."""
        return max(self.arithmetic_seconds, self.traffic_seconds) / self.seconds


class Traffic(TorchDispatchMode):
    """Counts the bytes that operators read and write, each tensor once per operator; views count as 0."""

    def __init__(self) -> None:
        super().__init__()
        self.num_bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if not func.is_view:
            tensors = [leaf for leaf in tree_leaves((args, kwargs, out)) if isinstance(leaf, Tensor)]
            self.num_bytes += sum(tensor.numel() * tensor.element_size() for tensor in tensors)
        return out


def main() -> None:
    """Measure all axes and draw them."""
    options = _options()
    torch.manual_seed(0)
    machine = measure([matrix_row("fp32", CPU), copy_row(CPU)], runs=5, device=CPU)
    peak = machine["matrix_peak"].gflop_per_second
    rate = machine["copy_rate"].items_per_second
    assert peak is not None
    curves = {
        axis: [_point(replace(Size(), **{axis: value}), value, peak, rate, options.runs) for value in values]
        for axis, (_, values) in AXES.items()
    }
    options.out.with_suffix(".json").write_text(
        json.dumps(
            {
                "peak_gflop_per_second": peak,
                "copy_gb_per_second": rate,
                "base": asdict(Size()),
                "curves": {
                    axis: [{**asdict(point), "bound": point.bound, "share": point.share} for point in points]
                    for axis, points in curves.items()
                },
            },
            indent=1,
        )
    )
    _draw(curves, peak, rate, options.out)


def _point(size: Size, value: int, peak: float, rate: float, runs: int) -> Point:
    step = _step(size)
    step()
    with Traffic() as traffic:
        step()
    gflop = counted_gflop(step)
    point = Point(
        value=value,
        seconds=statistics.median(seconds(step) for _ in range(runs)),
        peak_bytes=peak_bytes(step),
        arithmetic_seconds=gflop / peak,
        traffic_seconds=traffic.num_bytes / 1e9 / rate,
    )
    print(
        f"{size}: {point.seconds:.3f} s, {point.peak_bytes / 1e6:.0f} MB, {point.bound} {point.share:.0%}", flush=True
    )
    return point


def _step(size: Size) -> Callable[[], object]:
    heads = max(1, size.width // 64)
    model = SyCoCaConfig(
        image_encoder=ImageEncoderConfig(
            image_size=size.image_side, patch_size=16, width=size.width, depth=6, num_heads=heads
        ),
        text_encoder=TextEncoderConfig(
            vocab_size=VOCABULARY, context_length=size.tokens, width=size.width, depth=4, num_heads=heads
        ),
        text_decoder=TextDecoderConfig(depth=4, num_heads=heads),
        image_decoder=ImageDecoderConfig(width=size.width, depth=2, num_heads=heads),
        embed_dim=size.width,
    )
    task = pretraining_task(model)
    updater = Updater(
        Runtime(RuntimeConfig(device="cpu", precision="fp32")),
        task,
        build_optimizer(task.model, OptimizerConfig()),
        clip_norm=1.0,
    )
    batch = _batch(size)
    return lambda: updater.update([batch], lr=1e-6)


def _batch(size: Size) -> ImageTextBatch:
    tokens = torch.randint(3, VOCABULARY, (size.batch, size.tokens))
    return ImageTextBatch(
        images=torch.randn(size.batch, 3, size.image_side, size.image_side),
        tokens=tokens,
        is_padding=torch.zeros_like(tokens, dtype=torch.bool),
        draw_keys=torch.arange(size.batch),
        totals=BatchTotals(num_samples=size.batch, num_labels=tokens[:, 1:].numel()),
    )


def _draw(curves: dict[str, list[Point]], peak: float, rate: float, out: Path) -> None:
    plt.rcParams.update({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "svg.fonttype": "none"})
    figure, panels = plt.subplots(2, len(curves), figsize=(13, 6), layout="constrained", sharey="row")
    for column, (axis, points) in enumerate(curves.items()):
        values = [point.value for point in points]
        time, memory = panels[0][column], panels[1][column]
        time.plot(values, [point.seconds for point in points], "o-", color="#1b6ca8", label="measured")
        time.plot(values, [point.arithmetic_seconds for point in points], "--", color="#c44536", label="arithmetic")
        time.plot(values, [point.traffic_seconds for point in points], ":", color="#6a8d3f", label="memory traffic")
        time.set_title(_bounds(points), fontsize=9)
        memory.plot(values, [point.peak_bytes / 2**20 for point in points], "o-", color="#1b6ca8")
        for panel in (time, memory):
            panel.set_xscale("log", base=2)
            panel.set_yscale("log")
            panel.set_xticks(values, [str(value) for value in values])
            panel.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            panel.yaxis.set_major_formatter("{x:g}")
            panel.minorticks_off()
            panel.grid(alpha=0.25)
        memory.set_xlabel(AXES[axis][0])
    panels[0][0].set_ylabel("seconds per step")
    panels[1][0].set_ylabel("memory of a step, MiB")
    panels[0][0].legend(frameon=False)
    figure.suptitle(f"All three objectives, float32: peak {peak:.0f} GFLOP/s and {rate:.0f} GB/s")
    figure.savefig(out)


def _bounds(points: Sequence[Point]) -> str:
    """Return the bounds from the smallest value to the largest, and their fractions of the time at both ends."""
    names = ", then ".join(dict.fromkeys(point.bound for point in points))
    return f"bound: {names}\n({points[0].share:.0%} of the time at the left, {points[-1].share:.0%} at the right)"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "docs" / "growth.svg")
    parser.add_argument("--runs", type=int, default=5)
    return parser.parse_args()


if __name__ == "__main__":
    main()
