import re

import pytest

from sycoca.evaluation.report import Report
from sycoca.reports.curves import Curve, curves_svg
from sycoca.reports.examples import CaptionExample, Hit, MaskExample, RetrievalExample
from sycoca.reports.page import Figure, Page, render_page, save_page

LINES = [
    {"step": 10, "contrastive": 4.0, "validation_mask_coverage": 0.5},
    {"step": 20, "contrastive": 2.0, "validation_contrastive": 3.0, "validation_mask_coverage": 0.8},
    {"step": 30, "contrastive": None},
]


@pytest.fixture
def page() -> Page:
    return Page(
        title="A <run>",
        summary="What was done.",
        lines=LINES,
        config="seed: 7\n",
        figures=[Figure(label="R@1", value="41.0 %", note="chance 0.2 %")],
        retrieval=[
            RetrievalExample(
                caption="a <b>bold</b> cat",
                rank=2,
                hits=(
                    Hit(picture="data:,first", is_right=False, similarity=0.5),
                    Hit(picture="data:,second", is_right=True, similarity=0.25),
                ),
            )
        ],
        captions=[
            CaptionExample(picture="data:,a", generated="a cat", references=("the cat",), is_true=True),
            CaptionExample(picture="data:,b", generated="", references=("a dog",), is_true=False),
            CaptionExample(picture="data:,c", generated="a cow", references=("an ox",), is_true=None),
        ],
        masks=[MaskExample(caption="a cat", panels=(("image", "data:,1"), ("masked", "data:,2")))],
        reports=[
            Report(task="some_task", metrics={"caption_truth": 0.625}, counts={"scenes": 1500}, settings={"data": "x"})
        ],
        next_commands=["sycoca caption 'weights' photo.png"],
    )


def test_shows_every_part_and_escapes_texts(page: Page):
    html = render_page(page)
    assert "<title>A &lt;run&gt;</title>" in html
    assert "a &lt;b&gt;bold&lt;/b&gt; cat" in html
    assert "right image at rank 2" in html
    assert re.search(r'class="is-right"><img src="data:,second"', html)
    assert html.count("is-right") == 2  # the style and one image
    for text in ("41.0 %", "62.5 %", "1,500 scenes", "not true", "(nothing)", "seed: 7", "some task"):
        assert text in html
    assert html.count('class="mark yes"') == 1
    assert html.count('class="mark no"') == 1
    assert "<svg" in html


def test_needs_no_other_file(page: Page):
    html = render_page(page)
    assert re.findall(r'(?:src|href)="(?!data:|#)[^"]*"', html) == []
    assert "@import" not in html


def test_leaves_out_what_is_empty():
    html = render_page(Page(title="t", summary="s", lines=[], config="c"))
    for heading in ("How it learned", "Captions", "Attentive masks", "All numbers", "Go on from here"):
        assert heading not in html
    assert "Configuration" in html


def test_saves_one_file(page: Page, tmp_path):
    save_page(page, tmp_path / "new" / "report.html")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["report.html"]


def test_curves_draw_what_was_logged_and_nothing_else():
    svg = curves_svg(LINES)
    assert svg.startswith("<svg")
    assert curves_svg([{"step": 1}]) == ""
    only = curves_svg(LINES, [Curve(title="coverage", validation="validation_mask_coverage", is_share=True)])
    assert len(only) < len(svg)
    assert 'height="' not in svg.split(">", 1)[0]
