"""Comparison of SyCoCa with open_clip 3.3.0 on this machine: same sizes, photos, captions and lengths, interleaved.

Run by ``make versus-open-clip`` in a separate environment. Every row is the median of its runs; each side runs in
its own process while the other one waits. Ratios below 1 mean that SyCoCa needs less time or memory.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

from inputs import FLICKR8K, write_inputs

CACHED, UNCACHED = "caption_beam_cached", "caption_beam_uncached"
"""The one row in which both sides are ours: cached against uncached decoding."""

ROWS = (
    "train_itc_ic",
    "train_all",
    "train_itc_ic_compiled",
    "train_all_compiled",
    "train_itc_ic_bf16",
    "train_all_bf16",
    "train_all_activation_memory",
    "caption_greedy",
    "caption_beam",
    CACHED,
    "preprocess_224",
    "preprocess_2000",
    "tokenize",
    "retrieval_scoring",
)


class Side:
    """A worker process that runs the code of one library."""

    def __init__(self, name: str, library: str, folder: Path, threads: int) -> None:
        self.name = name
        worker = str(Path(__file__).with_name("worker.py"))
        self._process = subprocess.Popen(
            [sys.executable, worker, library, str(folder), str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": str(threads)},
        )

    def ask(self, *command: str) -> float:
        """Send a command and wait for its answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.name} has ended at {command}")
        return json.loads(line)

    def end(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def measure_row(row: str, ours: Side, theirs: Side, runs: int) -> dict[str, list[float]]:
    """Return the measurements of both sides, interleaved."""
    command = "peak_bytes" if row.endswith("_memory") else "seconds"
    ours.ask("prepare", row)
    theirs.ask("prepare", UNCACHED if row == CACHED else row)
    figures: dict[str, list[float]] = {ours.name: [], theirs.name: []}
    for _ in range(runs):
        for side in (ours, theirs):
            figures[side.name].append(side.ask(command))
    for side in (ours, theirs):
        side.ask("release")
    return figures


def main() -> None:
    """Measure and print."""
    options = _options()
    with tempfile.TemporaryDirectory() as folder:
        from open_clip_side import OpenClipSide  # noqa: F401 (it defines operators that importing open_clip needs)

        write_inputs(Path(folder), options.data, options.batch_size)
        ours, theirs, uncached = (
            Side(name, library, Path(folder), options.threads)
            for name, library in (("sycoca", "sycoca"), ("open_clip", "open_clip"), ("uncached", "sycoca"))
        )
        if ours.ask("num_parameters") != theirs.ask("num_parameters"):
            raise SystemExit("the two models have different sizes")
        report: dict[str, dict] = {"ratios": {}, "seconds": {}, "spread": {}, "machine": _machine(options)}
        for row in options.rows:
            other = uncached if row == CACHED else theirs
            figures = measure_row(row, ours, other, options.runs)
            medians = {name: statistics.median(values) for name, values in figures.items()}
            report["ratios"][row] = medians[ours.name] / medians[other.name]
            report["seconds"][row] = medians
            report["spread"][row] = {name: [min(values), max(values)] for name, values in figures.items()}
            print(_line(row, report), file=sys.stderr if options.json else sys.stdout, flush=True)
        for side in (ours, theirs, uncached):
            side.end()
    if options.json:
        print(json.dumps(report, indent=2))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print ratios, seconds and machine as JSON")
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS), help="what to measure")
    parser.add_argument("--runs", type=int, default=5, help="runs of each side per row")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--data", default=FLICKR8K, help="photos with captions, a SPEC")
    return parser.parse_args()


def _machine(options: argparse.Namespace) -> dict[str, object]:
    return {
        "processor": platform.processor() or platform.machine(),
        "threads": options.threads,
        "batch_size": options.batch_size,
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def _line(row: str, report: dict[str, dict]) -> str:
    ours, theirs = report["seconds"][row].values()
    return f"{row:30} {ours:12.4g} {theirs:12.4g}   ratio {report['ratios'][row]:.3f}  {report['spread'][row]}"


if __name__ == "__main__":
    main()
