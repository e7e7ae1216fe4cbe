"""``sycoca quickstart``: from nothing to a trained, measured and explained model, in minutes on two CPU cores."""

import sys
from dataclasses import dataclass
from pathlib import Path

import tyro


@dataclass(frozen=True, kw_only=True, slots=True)
class QuickstartArguments:
    """Pretrain the tiny preset on built-in scenes, measure it on held-out ones, write one HTML report."""

    out: Path = Path("runs/quickstart")
    """The run folder."""

    seed: int = 0
    """Every draw of the run derives from it."""

    steps: int | None = None
    """Train for fewer steps than the preset; the figures then mean little."""

    restart: bool = False
    """Delete an earlier run in the same folder first."""

    json: bool = False
    """Print the figures as JSON."""


def run(arguments: list[str]) -> int:
    """Run the quickstart; the figures go to stdout, progress to stderr."""
    chosen = tyro.cli(
        QuickstartArguments,
        prog="sycoca quickstart",
        description="Pretrain a tiny SyCoCa on built-in scenes, measure it, and write one HTML report.",
        args=arguments,
        config=(tyro.conf.FlagCreatePairsOff,),
    )
    # Only now, since this imports torch: help answers at once.
    import json

    from rich.console import Console

    from sycoca.experiments.quickstart.quickstart import next_commands, quickstart, remove_run
    from sycoca.facts.metric_facts import readable
    from sycoca.training.engine.interruption import TrainingInterrupted

    console = Console(stderr=True)
    if chosen.restart:
        remove_run(chosen.out)
    elif chosen.out.exists():
        raise ValueError(f"{chosen.out} exists already; --restart begins anew, --out names another folder")
    try:
        result = quickstart(chosen.out, seed=chosen.seed, steps=chosen.steps, console=console)
    except TrainingInterrupted as interrupted:
        print(f"sycoca: {interrupted}", file=sys.stderr)
        return 130
    if chosen.json:
        print(json.dumps(result.metrics, indent=2))
    else:
        width = max(map(len, result.metrics))
        for name, value in result.metrics.items():
            print(f"{name:<{width}}  {readable(name, value):>8}")
    console.print(f"\nreport   {result.page}\nweights  {result.weights}\n\nTry next:", highlight=False)
    for command in next_commands(result.weights):
        console.print(f"  {command}", highlight=False, soft_wrap=True)
    return 0
