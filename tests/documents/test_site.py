"""The documentation site builds without a warning, loads nothing from outside, and holds all names and commands."""

import html
import re
import subprocess
import sys
from pathlib import Path

import pytest

import sycoca
from builders.documents import ROOT
from sycoca.cli.tree import commands

OUTSIDE = re.compile(
    r"""<(?:script|link|img|iframe)\b[^>]*(?:src|href)=["']?(?:https?:)?//[^>]*>|@import|url\(["']?(?:https?:)?//"""
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-n", "-d", folder / "trees", ROOT / "docs"]
    done = subprocess.run([*command, folder / "html"], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    return folder / "html"


def text_of(page: Path) -> str:
    return html.unescape(re.sub(r"<[^>]+>", "", page.read_text("utf-8")))


@pytest.mark.slow
def test_nothing_is_loaded_from_outside(site: Path):
    files = [path for path in site.rglob("*") if path.suffix in (".html", ".css")]
    assert len(files) > 30
    assert {path.name: found[0] for path in files if (found := OUTSIDE.findall(path.read_text("utf-8")))} == {}
    assert not list(site.rglob("*athjax*"))


@pytest.mark.slow
def test_the_reference_holds_every_name_and_command(site: Path):
    names = text_of(site / "reference" / "python.html")
    assert [name for name in sycoca.__all__ if not name.startswith("__") and f"sycoca.{name}(" not in names] == []
    assert 'Float[Tensor, "images embed"]' in names.replace("'", '"')
    helps = text_of(site / "reference" / "commands.html")
    assert [words for words, _ in commands() if f"usage: sycoca {' '.join(words)} " not in helps] == []
    assert "training.global_batch_size" in text_of(site / "reference" / "configuration.html")


@pytest.mark.slow
def test_equations_are_mathml_beside_the_code_that_computes_them(site: Path):
    page = (site / "equations.html").read_text("utf-8")
    assert page.count("<math ") > 20
    assert page.count('display="block"') > 8
    assert "def contrastive_loss" not in text_of(site / "equations.html")
    for name in ("pretraining_losses", "token_max_scores", "choose_patches", "captioning_loss", "masked_image_loss"):
        assert f"def {name}" in text_of(site / "equations.html")


@pytest.mark.slow
def test_a_warning_ends_the_build(tmp_path: Path):
    (tmp_path / "conf.py").write_text(
        (ROOT / "docs" / "conf.py").read_text("utf-8").replace("Path(__file__).parents[1]", f"Path({str(ROOT)!r})"),
        "utf-8",
    )
    (tmp_path / "index.md").write_text("# Title\n\n[gone](gone.md) and $\\nothing$\n", "utf-8")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-n", tmp_path, tmp_path / "html"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode != 0
    assert "gone.md" in done.stderr
    assert 'Unknown LaTeX command "\\nothing"' in done.stderr
