"""The gallery shows every picture that docs/draw_gallery.py draws, and no other; their files are small."""

import re
from pathlib import Path

import pytest
from PIL import Image

from builders.benchmark_scripts import docs_script
from builders.documents import ROOT, Document
from builders.predictors import save_small_weights

draw_gallery = docs_script("draw_gallery")
FOLDER = ROOT / "docs" / "gallery"


def test_the_page_shows_all_pictures_with_their_captions():
    shown = re.findall(r"^!\[([^\]]+)\]\(gallery/(\w+)\.webp\)$", Document("docs/gallery.md").text, re.MULTILINE)
    assert [name for _, name in shown] == [one.name for one in draw_gallery.PICTURES]
    assert [
        one.name for (alt, _), one in zip(shown, draw_gallery.PICTURES, strict=True) if one.caption not in alt
    ] == []
    assert {path.stem for path in FOLDER.iterdir()} == {one.name for one in draw_gallery.PICTURES}


@pytest.mark.parametrize("picture", draw_gallery.PICTURES, ids=lambda picture: picture.name)
def test_files_are_small(picture):
    path = FOLDER / f"{picture.name}.webp"
    assert path.stat().st_size < 150_000
    with Image.open(path) as opened:
        assert opened.width <= draw_gallery.MOST_WIDTH


def test_pictures_are_drawn_by_the_command_and_shrunk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(draw_gallery, "FOLDER", tmp_path / "gallery")
    weights = save_small_weights(tmp_path / "weights")
    out = draw_gallery.draw(draw_gallery.PICTURES[0], str(weights), tmp_path)
    with Image.open(out) as opened:
        assert (opened.format, opened.width <= draw_gallery.MOST_WIDTH) == ("WEBP", True)
