"""The hooks before a commit use the same ruff as make check."""

import re
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]


def test_hooks_use_the_pinned_ruff():
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    needed = {name for repo in config["repos"] for hook in repo["hooks"] for name in hook["additional_dependencies"]}
    pinned = re.search(r"^ruff==.*$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    assert pinned is not None
    assert {name for name in needed if name.startswith("ruff")} == {pinned[0]}
