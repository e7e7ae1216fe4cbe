"""docs/extending.md is true: without any one of its steps the check beside it fails, with all of them nothing does."""

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

import pytest

from builders.documents import Document
from builders.extensions import EXTENSIONS, Step, copied_tree

TEXT = Document("docs/extending.md").text
PYRIGHT = "pyright"
CODE = re.compile(r"`([^`]+)`")


@dataclass(frozen=True)
class Row:
    """A step of the document."""

    file: str
    check: str | None
    """pyright or a file of tests; None begins: it has nothing to fit to."""

    is_new: bool
    """Whether it makes a new file, for which the named one is an example."""

    def stands_for(self, step: Step) -> bool:
        """Return whether it describes a step."""
        if self.is_new:
            return step.is_new and Path(step.file).parent == Path(self.file).parent
        return not step.is_new and step.file == self.file


def rows_below(heading: str) -> list[Row]:
    """Return the rows of the first table below a heading."""
    section = TEXT.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    table = re.search(r"^\|[-| ]+\|\n((?:\|.*\|\n)+)", section, re.MULTILINE)
    assert table is not None, heading
    found = []
    for line in table[1].splitlines():
        cells = line.strip("|").split(" | ")
        checks = CODE.findall(cells[-1])
        is_new = cells[0].strip().startswith("a new file")
        found.append(Row(CODE.findall(cells[0])[0], checks[0] if checks else None, is_new))
    return found


@dataclass(frozen=True)
class LeftOut:
    """A step that is not taken, with the check that is to notice."""

    heading: str
    step: Step
    check: str


LEFT_OUT = {
    heading: [
        LeftOut(heading, step, row.check)
        for step, row in zip(steps, rows_below(heading), strict=True)
        if row.check is not None
    ]
    for heading, steps in EXTENSIONS.items()
}


def rounds(of_pyright: bool) -> list[list[LeftOut]]:
    """Return what is left out at once: of every extension at most one step."""
    chosen = ([one for one in own if (one.check == PYRIGHT) == of_pyright] for own in LEFT_OUT.values())
    return [[one for one in column if one is not None] for column in zip_longest(*chosen)]


def tree_without(left_out: list[LeftOut], folder: Path) -> Path:
    """Return a copy of the tree with all extensions but for these steps."""
    missing = {id(one.step) for one in left_out}
    taken = [step for steps in EXTENSIONS.values() for step in steps if id(step) not in missing]
    return copied_tree(folder / "tree", taken)


def failing_tests(tree: Path, *files: str) -> tuple[set[str], str]:
    """Return the files of tests that fail in a tree, and what pytest says."""
    environment = os.environ | {"PYTHONPATH": str(tree / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", *files]
    done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True)
    return set(re.findall(r"^(?:FAILED|ERROR) (tests/[\w/.]+)", done.stdout, re.MULTILINE)), done.stdout + done.stderr


def pyright_errors(tree: Path, *files: str) -> dict[str, str]:
    """Return the messages of pyright's errors in a tree, or in some files of it, by file of the sources."""
    paths = [path for path in (tree / "src" / "sycoca" / file for file in files) if path.exists()]
    command = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable, *map(str, paths)]
    done = subprocess.run(command, cwd=tree, capture_output=True, text=True)
    sources, found = tree.resolve() / "src" / "sycoca", dict[str, str]()
    for one in json.loads(done.stdout)["generalDiagnostics"]:
        if one["severity"] == "error":
            name = Path(one["file"]).resolve().relative_to(sources).as_posix()
            found[name] = found.get(name, "") + one["message"]
    return found


def is_named(step: Step, errors: dict[str, str]) -> bool:
    """Return whether an error is in the step's file, or names what the file should define."""
    defined = re.findall(r"def (\w+)", step.text)
    module = step.file.removesuffix(".py").replace("/", ".")
    return step.file in errors or any(name in message for message in errors.values() for name in (*defined, module))


@pytest.mark.parametrize("heading", EXTENSIONS)
def test_the_document_lists_the_steps(heading: str):
    first, *others = rows = rows_below(heading)
    assert [row for row, step in zip(rows, EXTENSIONS[heading], strict=True) if not row.stands_for(step)] == []
    assert first.check is None
    assert None not in [row.check for row in others]


@pytest.mark.slow
@pytest.mark.parametrize("left_out", rounds(of_pyright=False))
def test_tests_name_a_step_that_is_left_out(tmp_path: Path, left_out: list[LeftOut]):
    failing, output = failing_tests(tree_without(left_out, tmp_path), *sorted({one.check for one in left_out}))
    assert failing == {one.check for one in left_out}, output
    for one in left_out:
        if one.check == "tests/test_closed_sets.py":
            assert f"{one.step.file}: " in output, one


@pytest.mark.parametrize(
    "left_out",
    [
        pytest.param(one, marks=[] if place == 0 else [pytest.mark.slow])
        for place, one in enumerate(rounds(of_pyright=True))
    ],
)
def test_pyright_names_a_step_that_is_left_out(tmp_path: Path, left_out: list[LeftOut]):
    edited = {step.file for steps in EXTENSIONS.values() for step in steps if step.file.endswith(".py")}
    errors = pyright_errors(tree_without(left_out, tmp_path), *sorted(edited))
    assert [one for one in left_out if not is_named(one.step, errors)] == []
    assert errors.keys() <= {step.file for one in left_out for step in EXTENSIONS[one.heading]}


@pytest.mark.slow
def test_with_all_steps_nothing_fails(tmp_path: Path):
    files = {one.check for own in LEFT_OUT.values() for one in own} - {PYRIGHT}
    others = {"tests/model/test_forms.py", "tests/training/engine/test_optimizer.py", "tests/test_closed_sets.py"}
    failing, output = failing_tests(tree_without([], tmp_path), *sorted(files | others))
    assert failing == set(), output
    assert "passed" in output


@pytest.mark.slow
def test_with_all_steps_runs_log_and_report_them(tmp_path: Path):
    tree = tree_without([], tmp_path)
    failing, output = failing_tests(tree, "tests/facts/test_logged_values.py")
    assert failing == set(), output
    assert pyright_errors(tree) == {}
