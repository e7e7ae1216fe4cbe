"""The suite runs on the Python and the versions that make was asked for."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from builders.environment import (
    ROOT,
    AskedFor,
    asked_for,
    environment_line,
    installed_versions,
    pinned_versions,
)


@pytest.fixture
def asked() -> AskedFor:
    found = asked_for()
    if found is None:
        pytest.skip("pytest was started without make")
    return found


def test_python_is_the_one_asked_for(asked: AskedFor):
    assert f"{sys.version_info.major}.{sys.version_info.minor}" == asked.python


def test_environment_is_the_one_asked_for(asked: AskedFor):
    assert Path(sys.prefix).name == asked.venv


def test_versions_are_the_ones_asked_for(asked: AskedFor):
    installed = installed_versions()
    pinned = pinned_versions(asked.constraints)
    assert "torch" in pinned
    assert {name: installed[name] for name in pinned if name in installed} == {
        name: version for name, version in pinned.items() if name in installed
    }


def test_first_line_names_python_torch_and_constraints(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TEST_PYTHON", "3.11")
    monkeypatch.setenv("TEST_VENV", ".venv-lowest")
    monkeypatch.setenv("TEST_CONSTRAINTS", "constraints-lowest.txt")
    line = environment_line()
    assert line.startswith(f"Python {sys.version_info.major}.{sys.version_info.minor}.")
    assert f"torch {installed_versions()['torch']}" in line
    assert "constraints-lowest.txt" in line


@pytest.fixture
def pythons(tmp_path: Path) -> Path:
    """Return a folder with a python3 that says it is 3.11 and a python3.99 that says it is 3.99."""
    for name, version in (("python3", "3.11"), ("python3.11", "3.11"), ("python3.99", "3.99")):
        (tmp_path / name).write_text(f"#!/bin/sh\necho {version}\n")
        (tmp_path / name).chmod(0o755)
    return tmp_path


def planned(pythons: Path, *arguments: str) -> str:
    """Return the commands that make would run, with the pythons of that folder before others."""
    make = shutil.which("make")
    assert make is not None
    outer = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    outer |= {"PATH": f"{pythons}:{os.environ['PATH']}"}
    for name in ("PYTHON", "CONSTRAINTS"):
        outer.pop(name, None)
    command = [make, "--dry-run", "--always-make", *arguments]
    return subprocess.run(command, cwd=ROOT, env=outer, capture_output=True, text=True, check=True).stdout


ENVIRONMENTS = [
    (["test"], "3.11", ".venv", "constraints.txt"),
    (["test-slow"], "3.11", ".venv", "constraints.txt"),
    (["test", "PYTHON=python3.11"], "3.11", ".venv", "constraints.txt"),
    (["test", "PYTHON=python3.99"], "3.99", ".venv-3.99", "constraints.txt"),
    (["test-slow", "PYTHON=python3.99"], "3.99", ".venv-3.99", "constraints.txt"),
    (["test-lowest"], "3.11", ".venv-lowest", "constraints-lowest.txt"),
    (["test-lowest", "PYTHON=python3.99"], "3.99", ".venv-3.99-lowest", "constraints-lowest.txt"),
    (["test-newest"], "3.11", ".venv-newest", "constraints-newest.txt"),
]


@pytest.mark.parametrize(("arguments", "python", "venv", "constraints"), ENVIRONMENTS, ids=lambda x: str(x))
def test_targets_make_their_own_environment_and_say_which(
    pythons: Path, arguments: list[str], python: str, venv: str, constraints: str
):
    lines = planned(pythons, *arguments).splitlines()
    suites = [line for line in lines if "/pytest" in line]
    assert suites
    for line in suites:
        assert f"{venv}/bin/pytest" in line.split()
        assert {f"TEST_PYTHON={python}", f"TEST_VENV={venv}", f"TEST_CONSTRAINTS={constraints}"} <= set(line.split())
    assert [line for line in lines if line.endswith(f"-m venv --clear {venv}")]
    (install,) = [line for line in lines if "pip install" in line]
    assert install.startswith(f"{venv}/bin/pip ")
    assert f"--constraint {constraints} " in install


def test_python_that_does_not_run_is_refused(pythons: Path):
    with pytest.raises(subprocess.CalledProcessError) as caught:
        planned(pythons, "test", "PYTHON=python3.98")
    assert "PYTHON=python3.98 does not run" in caught.value.stderr


def test_type_checker_looks_at_the_same_environment(pythons: Path):
    lines = planned(pythons, "check", "PYTHON=python3.99").splitlines()
    (written,) = [line for line in lines if line.startswith("echo ")]
    settings, file = written.removeprefix("echo ").rsplit(" > ", 1)
    assert json.loads(settings.strip("'")) == {
        "extends": "../pyproject.toml",
        "venvPath": "..",
        "venv": ".venv-3.99",
        "pythonVersion": "3.99",
    }
    assert f".venv-3.99/bin/pyright --project {file}" in lines
