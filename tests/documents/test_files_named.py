"""Every file, folder and link that the documents name is there."""

import re
from pathlib import Path

import pytest

from builders.documents import ROOT, Document, documents, present_documents

PATH = re.compile(r"[\w.{}*-]+(?:/[\w.{},*-]+)*/?")
ROOTS = (ROOT, ROOT / "src" / "sycoca", ROOT / "docs", ROOT / "tests")
SOURCE_FOLDERS = {path.name for root in ROOTS[:2] for path in root.iterdir() if path.is_dir()} - {"runs"}


def names_a_source(code: str) -> bool:
    """Return whether inline code is the path of a file or folder of this repository, not of a user's."""
    if not PATH.fullmatch(code) or "/" not in code:
        return False
    first = code.split("/", 1)[0]
    return first in SOURCE_FOLDERS and (code.endswith("/") or "." in code.rsplit("/", 1)[1])


def document_at(path: Path) -> Document:
    return Document(path.resolve().relative_to(ROOT).as_posix())


def exists(code: str) -> bool:
    return any((root / code).exists() for root in ROOTS)


@pytest.mark.parametrize("document", present_documents(), ids=lambda document: document.name)
def test_files_and_folders_exist(document: Document):
    named = [code for code in document.inline_code() if names_a_source(code)]
    assert [code for code in named if not exists(code)] == []


@pytest.mark.parametrize("document", present_documents(), ids=lambda document: document.name)
def test_python_files_exist(document: Document):
    if "/coming_from/" in document.name:
        pytest.skip("it names programs of other projects")
    folders = [ROOT / name for name in ("src", "tests", "benchmarks", "examples", "docs")]
    known = {path.name for folder in folders for path in folder.rglob("*.py")}
    assert set(re.findall(r"\b\w+\.py\b", document.text)) - known == set()


@pytest.mark.parametrize("document", documents(), ids=lambda document: document.name)
def test_links_resolve(document: Document):
    broken = []
    for target in document.links():
        path, _, anchor = target.partition("#")
        if re.match(r"[a-z]+:", target):
            continue
        found = document.folder / path if path else ROOT / document.name
        if not found.exists() or (anchor and anchor not in document_at(found).anchors()):
            broken.append(target)
    assert broken == []


def test_readme_is_short():
    assert len(Document("README.md").text.splitlines()) < 150


def test_readme_shows_the_whole_tree():
    tree = next(block for _, block in Document("README.md").blocks() if block.startswith("src/sycoca/"))
    shown = set(re.findall(r"^ {2,}([\w/]+)/ ", tree, re.MULTILINE))
    package = ROOT / "src" / "sycoca"
    folders = {path.parent.relative_to(package).as_posix() for path in package.rglob("__init__.py")} - {"."}
    assert {folder for folder in folders if "/" not in folder} <= shown, "a folder of the package is missing"
    for name in shown:
        assert any(folder == name or folder.endswith(f"/{name}") for folder in folders), name
