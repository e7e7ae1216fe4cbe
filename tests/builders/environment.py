"""Which Python and which versions the tests run on, and which ones make asked for."""

import os
import platform
import re
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import torch

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, kw_only=True, slots=True)
class AskedFor:
    """What a target of the Makefile says about the environment that it uses."""

    python: str
    venv: str
    constraints: str


def asked_for() -> AskedFor | None:
    """Return what make asked for; None where pytest was started without make."""
    if "TEST_CONSTRAINTS" not in os.environ:
        return None
    return AskedFor(
        python=os.environ["TEST_PYTHON"],
        venv=os.environ["TEST_VENV"],
        constraints=os.environ["TEST_CONSTRAINTS"],
    )


def environment_line() -> str:
    """Return the first line of the suite's output."""
    asked = asked_for()
    constraints = "any versions" if asked is None else asked.constraints
    return f"Python {platform.python_version()}, torch {torch.__version__}, {constraints} ({Path(sys.prefix).name})"


def normalized(package: str) -> str:
    """Return a package's name as package indexes compare names."""
    return re.sub(r"[-_.]+", "-", package).lower()


def pinned_versions(constraints: str) -> dict[str, str]:
    """Return the version of each package that a constraints file pins."""
    lines = (ROOT / constraints).read_text().splitlines()
    pins = (line.split("#")[0].strip().split("==") for line in lines)
    return {normalized(pin[0]): pin[1] for pin in pins if len(pin) == 2}


def installed_versions() -> dict[str, str]:
    """Return the version of each installed package, without build tags such as +cpu."""
    return {normalized(found.name): found.version.split("+")[0] for found in metadata.distributions()}
