"""Checkpoints as earlier versions wrote them."""

import json
from pathlib import Path

from sycoca.training.checkpoint_copies import COPIED_NAMES, checkpoints_in


def make_format_1(run: Path) -> None:
    """Turn the checkpoints of a run into those of format 1: without manifest and without copies of the run's files."""
    for _, path in checkpoints_in(run / "checkpoints"):
        for name in ("manifest.json", *COPIED_NAMES):
            (path / name).unlink(missing_ok=True)
        state = json.loads((path / "state.json").read_text(encoding="utf-8"))
        (path / "state.json").write_text(json.dumps(state | {"format_version": 1}), encoding="utf-8")
