"""The tables of docs/ablation.md are those that the results in the repository give."""

import re
import shlex
from pathlib import Path

import pytest

from sycoca.cli.command_line import parse
from sycoca.cli.measure.ablate import Arguments
from sycoca.experiments.ablation.ablate import analyses_of
from sycoca.experiments.ablation.folder import AblationFolder
from sycoca.experiments.ablation.plan import agree, plan_of, read_plan
from sycoca.experiments.ablation.recipe import recipe_of
from sycoca.experiments.ablation.table_text import markdown

ROOT = Path(__file__).parents[2]
FOLDERS = sorted(path.parent for path in (ROOT / "ablations").glob("*/plan.json"))
PAGE = ROOT / "docs" / "ablation.md"


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_the_table_of_a_folder_is_that_of_its_results(folder: Path):
    assert (folder / "table.md").read_text(encoding="utf-8") == markdown(
        analyses_of(AblationFolder(folder), read_plan(folder))
    )


def planned_commands() -> dict[str, list[str]]:
    """Return the arguments of the page's commands that train, by their folder."""
    found = re.findall(r"^sycoca ablate (.*--out (ablations/\w+).*)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    return {folder: shlex.split(line) for line, folder in found if "--table" not in line}


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_the_command_of_the_page_resumes_the_folder(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A preset or setting that is changed later must not change what a committed recipe stands for."""
    monkeypatch.chdir(ROOT)
    settings = parse(["ablate", *planned_commands()[f"ablations/{folder.name}"]])
    assert isinstance(settings, Arguments)
    (tmp_path / "plan.json").write_bytes((folder / "plan.json").read_bytes())
    agree(tmp_path, plan_of(settings, recipe_of(settings.recipe)))


def test_tables_of_the_page_are_those_of_the_folders():
    named = re.findall(r"<!-- from (ablations/\w+)/table\.md -->\n\n((?:\|.*\n)+)", PAGE.read_text(encoding="utf-8"))
    assert {folder for folder, _ in named} == {f"ablations/{folder.name}" for folder in FOLDERS}
    for folder, table in named:
        assert table in (ROOT / folder / "table.md").read_text(encoding="utf-8"), folder
