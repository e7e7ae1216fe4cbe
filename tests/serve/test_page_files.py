"""The files of the web page: self-contained, installed, and in agreement with each other."""

import re
import tomllib
from fnmatch import fnmatch
from html.parser import HTMLParser
from pathlib import Path

import pytest

import sycoca
from builders.documents import ROOT
from builders.predictors import small_predictor
from sycoca.serve.application import create_app

PAGE = Path(sycoca.__file__).parent / "serve" / "page"
FILES = sorted(PAGE.iterdir())
SCRIPTS = {path.name: path.read_text(encoding="utf-8") for path in FILES if path.suffix == ".js"}
MARKUP = (PAGE / "index.html").read_text(encoding="utf-8")
SVG_NAMESPACE = 'xmlns="http://www.w3.org/2000/svg"'


class Elements(HTMLParser):
    """All elements of the page with their attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(MARKUP)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


ELEMENTS = Elements().found
IDS = [attributes["id"] for _, attributes in ELEMENTS if "id" in attributes]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_file_refers_to_no_outside_address(path: Path):
    text = path.read_text(encoding="utf-8").replace(SVG_NAMESPACE, "")
    assert re.findall(r"""\w+://|["'(]//\w""", text) == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_file_is_installed_with_the_package(path: Path):
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = pyproject["tool"]["setuptools"]["package-data"]["sycoca"]
    name = path.relative_to(Path(sycoca.__file__).parent).as_posix()
    assert any(fnmatch(name, pattern) for pattern in patterns)


def test_the_markup_has_no_script_or_style_of_its_own():
    assert [tag for tag, _ in ELEMENTS if tag == "style"] == []
    assert all("src" in attributes for tag, attributes in ELEMENTS if tag == "script")
    names = {name for _, attributes in ELEMENTS for name in attributes}
    assert {name for name in names if name == "style" or name.startswith("on")} == set()


def test_the_markup_asks_for_files_that_exist():
    asked_for = {attributes.get("src") or attributes.get("href") for tag, attributes in ELEMENTS if tag != "a"} - {None}
    assert asked_for == {"page/main.js", "page/page.css", "page/icon.svg"}
    assert {name.removeprefix("page/") for name in asked_for if name} <= {path.name for path in FILES}


def test_every_field_has_a_label_and_every_reference_a_target():
    assert len(IDS) == len(set(IDS))
    labeled = {attributes.get("for") for tag, attributes in ELEMENTS if tag == "label"}
    assert {attributes["id"] for tag, attributes in ELEMENTS if tag == "input"} <= labeled
    names = ("for", "aria-labelledby", "aria-describedby")
    targets = {attributes[name] for _, attributes in ELEMENTS for name in names if attributes.get(name)}
    assert targets <= set(IDS)


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_module_finds_the_elements_and_names_that_it_uses(name: str):
    script = SCRIPTS[name]
    used = set(re.findall(r'byId\("([^"]+)"\)', script))
    assert used <= set(IDS)
    for names, module in re.findall(r'import \{([^}]+)\} from "\./([^"]+)"', script):
        exported = set(re.findall(r"export (?:async )?(?:function|class|const) (\w+)", SCRIPTS[module]))
        imported = {one.strip() for one in names.split(",")}
        assert imported <= exported
        rest = script.replace(f"import {{{names}}}", "")
        assert {one for one in imported if not re.search(rf"\b{one}\b", rest)} == set()


def test_every_module_is_reached_from_the_first():
    reached, found = {"main.js"}, ["main.js"]
    while found:
        imported = set(re.findall(r'from "\./([^"]+)"', SCRIPTS[found.pop()])) - reached
        reached |= imported
        found += imported
    assert reached == set(SCRIPTS)


def test_modules_are_short():
    assert {name for name, script in SCRIPTS.items() if len(script.splitlines()) > 150} == set()


def test_every_path_that_the_page_asks_for_is_answered():
    script = "\n".join(SCRIPTS.values())
    asked_for = set(re.findall(r'\b(?:get|post)\("(\w+)"', script))
    asked_for |= {name for pair in re.findall(r'const path = .*\? "(\w+)" : "(\w+)"', script) for name in pair}
    assert asked_for == {"info", "examples", "caption", "explain", "ask", "classify", "search"}
    answered = create_app(small_predictor()).openapi()["paths"]
    assert {f"/{name}" for name in asked_for} <= set(answered)


def test_every_field_that_the_page_sends_is_read():
    paths = create_app(small_predictor()).openapi()
    sent = {
        "explain": {"image", "caption", "edited_caption", "reconstruct"},
        "ask": {"image", "question"},
        "classify": {"image", "class_names"},
        "search": {"text", "image", "count", "where"},
    }
    for path, names in sent.items():
        content = paths["paths"][f"/{path}"]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
        fields = paths["components"]["schemas"][content["$ref"].rpartition("/")[2]]["properties"]
        assert names <= set(fields)
        assert all(re.search(rf"\b{name}\b", "\n".join(SCRIPTS.values())) for name in names)
