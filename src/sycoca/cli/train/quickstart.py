"""``sycoca quickstart``: train, evaluate and explain a tiny model, in minutes on two CPU cores."""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import arg

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Arguments:
    """Pretrain the tiny preset on built-in scenes, evaluate it on held-out ones, and write one HTML report.

    Downloads nothing, and takes minutes on two CPU cores. After an interruption the same command continues.
    """

    out: Annotated[Path, arg(metavar="RUN")] = Path("runs/quickstart")
    """The run folder."""

    seed: int = 0
    """Seed of everything random in the run."""

    steps: int | None = None
    """Train for N steps instead of the preset's; with few the figures mean little."""

    restart: bool = False
    """Delete an earlier run in the same folder first."""

    json: bool = False
    """Print the figures as JSON."""

    def run(self) -> int:
        """Run the quickstart; the figures go to stdout, progress to stderr."""
        # Imported here, since it imports torch: help appears fast.
        from sycoca.cli.shared.logs import stderr_console
        from sycoca.cli.shared.usage import print_error
        from sycoca.experiments.quickstart.progress import QuickstartOptions
        from sycoca.experiments.quickstart.quickstart import commands_to_try, quickstart, remove_run
        from sycoca.stop_signals import STOP_SIGNALS, number_of
        from sycoca.training.engine.interruption import TrainingInterrupted

        if self.restart:
            remove_run(self.out)
        command = QuickstartOptions(seed=self.seed, steps=self.steps).command(self.out) + " --json" * self.json
        try:
            result = quickstart(self.out, seed=self.seed, steps=self.steps, console=stderr_console())
        except TrainingInterrupted as interrupted:
            print_error(
                f"sycoca quickstart: stopped after step {interrupted.step}, checkpoint saved; continue with: {command}"
            )
            return interrupted.exit_code
        except KeyboardInterrupt as interrupt:
            print_error(f"sycoca quickstart: interrupted; continue with: {command}")
            return STOP_SIGNALS[number_of(interrupt)].exit_code
        self._print(result.metrics)
        commands = "".join(f"\n  {command}" for command in commands_to_try(result.weights))
        logger.info(f"\nreport   {result.page}\nweights  {result.weights}\n\nTry next:{commands}")
        return 0

    def _print(self, metrics: "Mapping[str, float]") -> None:
        from sycoca.facts.metric_facts import readable

        if self.json:
            print(json.dumps(metrics, indent=2))
            return
        width = max(map(len, metrics))
        for name, value in metrics.items():
            print(f"{name:<{width}}  {readable(name, value):>8}")
