"""The tables of docs/ablation.md are those that the results in the repository give."""

import re
from pathlib import Path

import pytest

from sycoca.experiments.ablation.ablate import analyses_of
from sycoca.experiments.ablation.folder import AblationFolder
from sycoca.experiments.ablation.plan import read_plan
from sycoca.experiments.ablation.table_text import markdown

ROOT = Path(__file__).parents[2]
FOLDERS = sorted(path.parent for path in (ROOT / "ablations").glob("*/plan.json"))
PAGE = ROOT / "docs" / "ablation.md"


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_the_table_of_a_folder_is_that_of_its_results(folder: Path):
    assert (folder / "table.md").read_text(encoding="utf-8") == markdown(
        analyses_of(AblationFolder(folder), read_plan(folder))
    )


def test_tables_of_the_page_are_those_of_the_folders():
    named = re.findall(r"<!-- from (ablations/\w+)/table\.md -->\n\n((?:\|.*\n)+)", PAGE.read_text(encoding="utf-8"))
    assert {folder for folder, _ in named} == {f"ablations/{folder.name}" for folder in FOLDERS}
    for folder, table in named:
        assert table in (ROOT / folder / "table.md").read_text(encoding="utf-8"), folder
