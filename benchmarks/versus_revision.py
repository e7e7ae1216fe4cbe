"""Compare the cost of a training step and of a checkpoint with those of another source tree, such as an older revision.

    git worktree add ../before v0.1.0
    python benchmarks/versus_revision.py ../before --preset tiny
    python benchmarks/versus_revision.py ../before --preset vit_b32 --batch 4 --launches 5 --pairs 6
    python benchmarks/versus_revision.py ../before --preset vit_b32 --what checkpoints

Both trees run at the same time in processes of their own and take turns, so that a noisy machine disturbs both alike.
Processes of one and the same tree differ by about 1 % for as long as they live (where memory lies, for one), which no
number of pairs averages out: so each pair of processes is started anew several times (`--launches`), a launch's figure
is the median ratio of its pairs, and the printed 95 % bootstrap interval is over launches. The tree itself as the other
tree shows what is left of chance.
"""

import argparse
import os
import random
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from itertools import chain
from pathlib import Path

HERE = Path(__file__).parent
WARM_UP = {"steps": 3, "checkpoints": 2}
RESAMPLES = 4000


class Worker:
    """A worker process with one tree's sources."""

    def __init__(self, tree: Path, arguments: Sequence[str]) -> None:
        environment = {
            **os.environ,
            "PYTHONPATH": str(tree.resolve() / "src"),
            "OMP_NUM_THREADS": "1",
            "GOMP_SPINCOUNT": "100",
        }
        self._process = subprocess.Popen(
            [sys.executable, HERE / "revision_worker.py", *arguments],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._answer()  # it is ready

    def seconds(self) -> float:
        """Have it done once more, and return the time that it took."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> float:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the worker ended with code {self._process.wait()}; run it by hand to see why")
        return float(line)

    def end(self) -> None:
        """Kill the process."""
        self._process.kill()
        self._process.wait()


def main() -> None:
    """Measure and print one line."""
    options = _options()
    launches = [_launch(options, number) for number in range(options.launches)]
    ratios = [statistics.median(b / a for a, b in zip(before, now, strict=True)) for before, now in launches]
    low, high = _interval(ratios)
    before, now = (statistics.median(chain.from_iterable(times)) for times in zip(*launches, strict=True))
    print(
        f"{options.what} of {options.preset}: before {before:.4f} s, now {now:.4f} s; ratio"
        f" {statistics.median(ratios):.4f} (95 % {low:.4f} to {high:.4f}, {len(ratios)} launches of {options.pairs}"
        f" pairs: {', '.join(f'{ratio:.3f}' for ratio in ratios)})"
    )


def _launch(options: argparse.Namespace, number: int) -> tuple[list[float], list[float]]:
    """Return the times of both trees in two new processes, of which either is started first in turn."""
    with tempfile.TemporaryDirectory() as scratch:
        trees = {"before": options.tree, "now": HERE.parent}
        names = list(trees) if number % 2 else list(reversed(trees))
        workers = {name: Worker(trees[name], _arguments(options, Path(scratch) / name)) for name in names}
        try:
            return _alternating(workers["before"], workers["now"], options)
        finally:
            for worker in workers.values():
                worker.end()


def _alternating(before: Worker, now: Worker, options: argparse.Namespace) -> tuple[list[float], list[float]]:
    """Return the times of both, the first of each pair in turn; while one computes, the other waits."""
    times: dict[Worker, list[float]] = {before: [], now: []}
    warm_up = WARM_UP[options.what]
    for number in range(options.pairs + warm_up):
        for worker in (before, now) if number % 2 else (now, before):
            times[worker].append(worker.seconds())
    return times[before][warm_up:], times[now][warm_up:]


def _arguments(options: argparse.Namespace, folder: Path) -> list[str]:
    if options.what == "checkpoints":
        folder.mkdir()
        return ["checkpoints", options.preset, str(folder)]
    return [
        *("steps", "pretrain", options.preset, "--out", str(folder), "--runtime.device", "cpu"),
        *(
            "--training.steps",
            str(options.pairs + 2 * WARM_UP["steps"]),
            "--training.no-report",
            "--training.no-tensorboard",
        ),
        *("--data.train", "scenes:?level=easy&count=2000&seed=0", "--data.num-workers", "1"),
        *(["--training.global-batch-size", str(options.batch)] if options.batch else []),
    ]


def _interval(ratios: Sequence[float]) -> tuple[float, float]:
    generator = random.Random(0)
    medians = sorted(statistics.median(generator.choices(ratios, k=len(ratios))) for _ in range(RESAMPLES))
    return medians[RESAMPLES // 40], medians[-RESAMPLES // 40]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tree", type=Path, help="the other tree, with src/sycoca")
    parser.add_argument("--what", choices=("steps", "checkpoints"), default="steps")
    parser.add_argument("--preset", default="tiny")
    parser.add_argument("--launches", type=int, default=9, help="of a process for each tree (default: %(default)s)")
    parser.add_argument("--pairs", type=int, default=15, help="of times in a launch (default: %(default)s)")
    parser.add_argument("--batch", type=int, help="training.global_batch_size; default: the preset's")
    return parser.parse_args()


if __name__ == "__main__":
    main()
