"""Times of several calls in turns, their medians, and ratios with intervals.

Within a turn every call runs once, so that other load on the machine disturbs all of them alike; a ratio is the median
over turns of the ratio within a turn, with its 95 % bootstrap interval.
"""

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch

from sycoca.experiments.benchmark.machine import processor_name

RESAMPLES = 10_000

Name = TypeVar("Name")


@dataclass(frozen=True, kw_only=True)
class Ratio:
    """A ratio of two times."""

    median: float
    """Median over turns of the ratio within a turn."""

    interval: tuple[float, float]
    """Its 95 % bootstrap interval over turns."""

    def __str__(self) -> str:
        return f"{self.median:.3g} ({self.interval[0]:.3g} to {self.interval[1]:.3g})"


def alternating_seconds(calls: Mapping[Name, Callable[[], object]], turns: int) -> dict[Name, list[float]]:
    """Return the seconds of every call in each turn, after one that warms up; every other turn is in reverse order."""
    seconds: dict[Name, list[float]] = {name: [] for name in calls}
    for turn in range(turns + 1):
        for name in calls if turn % 2 else reversed(list(calls)):
            started_at = time.perf_counter()
            calls[name]()
            seconds[name].append(time.perf_counter() - started_at)
    return {name: times[1:] for name, times in seconds.items()}


def median_ratio(above: Sequence[float], below: Sequence[float]) -> Ratio:
    """Return how many times the first times are as long as the second ones, turn by turn."""
    ratios = np.array(above) / np.array(below)
    draws = np.random.default_rng(0).integers(0, len(ratios), (RESAMPLES, len(ratios)))
    low, high = np.quantile(np.median(ratios[draws], axis=1), [0.025, 0.975])
    return Ratio(median=float(np.median(ratios)), interval=(float(low), float(high)))


def spread(values: Sequence[float]) -> dict[str, float]:
    """Return median, smallest and largest value."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def compare_times(row: str, seconds: Mapping[str, Sequence[float]]) -> dict[str, object]:
    """Print and return the times of two sides, and the ratio of the first to the second."""
    ratio = median_ratio(*seconds.values())
    spreads = {side: spread(times) for side, times in seconds.items()}
    medians = ", ".join(f"{side} {own['median']:.3g} s" for side, own in spreads.items())
    print(f"{row:24} {medians}: ratio {ratio}", flush=True)
    return {"seconds": spreads, "ratio": asdict(ratio)}


def comparison_parser(description: str | None, *, turns: int) -> argparse.ArgumentParser:
    """Return a parser with the options of every comparison."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures to this file, too")
    parser.add_argument("--turns", type=int, default=turns, help="measured turns (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=2, help="threads of PyTorch, for both sides (default: 2)")
    return parser


def write_report(report: Mapping[str, object], options: argparse.Namespace) -> None:
    """Write figures, options and machine to the file of ``--json``, if there is one."""
    if options.json is None:
        return
    machine = {
        "processor": processor_name(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }
    settings = {name: str(value) if isinstance(value, Path) else value for name, value in vars(options).items()}
    options.json.write_text(json.dumps({**report, "machine": machine, "options": settings}, indent=2) + "\n")
