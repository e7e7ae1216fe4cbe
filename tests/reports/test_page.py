import json
import re
from dataclasses import dataclass, field, replace
from importlib import resources
from pathlib import Path

import pytest

from sycoca.evaluation.report import Report
from sycoca.reports.charts import Line, chart_of
from sycoca.reports.curves import curves_of
from sycoca.reports.html import render
from sycoca.reports.page import Figure, Page, render_page, save_page
from sycoca.reports.sample_gallery import AnswerExample, CaptionExample, Hit, MaskExample, RetrievalExample
from sycoca.unusable import SkippedSample

LINES = [
    {"step": 10, "contrastive": 4.0, "validation_mask_coverage": 0.5},
    {"step": 20, "contrastive": 2.0, "validation_contrastive": 3.0, "validation_mask_coverage": 0.8},
    {"step": 30, "contrastive": None},
]


@dataclass(frozen=True)
class Part:
    width: int = 4
    name: str = "small"


@dataclass(frozen=True)
class Config:
    seed: int = 0
    part: Part = field(default_factory=Part)


def skipped(count: int) -> list[SkippedSample]:
    return [
        SkippedSample(name=f"{i}.jpg", reason="broken image" if i else "no caption", detail=f"{i}.jpg is <cut>")
        for i in range(count)
    ]


@pytest.fixture
def page() -> Page:
    return Page(
        title="A <run>",
        summary="What was done.",
        lines=LINES,
        curves=curves_of("pretraining", LINES),
        config=Config(seed=7, part=Part(width=1024)),
        figures=[Figure(label="R@1", value="41.0 %", note="chance 0.2 %")],
        retrieval=[
            RetrievalExample(
                caption="a <b>bold</b> cat",
                rank=2,
                num_images=17,
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
        masks=[
            MaskExample(
                caption="a cat",
                panels=(("image", "data:,1"), ("masked", "data:,2")),
                note="dark 0.1 to bright 0.2",
                words=(("cat", "data:,3"),),
            )
        ],
        facts={"steps": "30 of 30"},
        environment={"device": "a <fast> one"},
        skipped=skipped(3),
        reports=[
            Report(task="some_task", metrics={"caption_truth": 0.625}, counts={"scenes": 1500}, settings={"data": "x"})
        ],
        next_commands=["sycoca caption 'weights' photo.png"],
    )


def test_shows_every_part_and_escapes_texts(page: Page):
    html = render_page(page)
    assert "<title>A &lt;run&gt;</title>" in html
    assert "a &lt;b&gt;bold&lt;/b&gt; cat" in html
    assert "correct image at rank 2" in html
    assert re.search(r'class="is-right"><img src="data:,second"', html)
    assert html.count('class="is-right"') == 1
    assert "17 held-out images" in html
    for text in ("41.0 %", "62.5 %", "1,500 scenes", "not true", "(nothing)", "seed: 7", "some task", "30 of 30"):
        assert text in html
    assert html.count('class="mark yes"') == 1
    assert html.count('class="mark no"') == 1
    assert "<svg" in html
    assert "a &lt;fast&gt; one" in html
    assert '<img src="data:,3" alt="patches that match cat">' in html


def test_answers_and_classes_have_separate_sections(page: Page):
    asked = AnswerExample(
        picture="data:,q",
        question="what <color>?",
        answer="red",
        probability=0.875,
        references=("blue", "blue"),
        is_right=False,
    )
    html = render_page(replace(page, answers=[asked], classes=[replace(asked, question=None, is_right=True)]))
    assert "<h2>Questions</h2>" in html
    assert "<h2>Classes</h2>" in html
    assert html.count("what &lt;color&gt;?") == 1
    assert html.count("red <small>88 %</small>") == 2
    assert html.count('<div class="reference">blue</div>') == 1  # what is right is said where the answer is wrong
    assert "<h2>Questions</h2>" not in render_page(page)


def test_is_self_contained(page: Page):
    html = render_page(page)
    assert re.findall(r'(?:src|href)="(?!data:|#)[^"]*"', html) == []
    assert "@import" not in html


def test_masks_have_a_note_below_them(page: Page):
    assert '<div class="note">dark 0.1 to bright 0.2</div>' in render_page(page)


def test_empty_sections_are_left_out():
    html = render_page(Page(title="t", summary="s", lines=[], config=Config()))
    for heading in ("Training curves", "Captions", "Attentive masks", "All metrics", "Next commands"):
        assert heading not in html
    assert "Configuration" in html


def test_saves_one_file(page: Page, tmp_path):
    save_page(page, tmp_path / "new" / "report.html")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["report.html"]


def test_every_image_has_a_text_alternative(page: Page):
    html = render_page(page)
    assert html.count("<img") == html.count('alt="') == 8
    assert len(re.findall(r'<svg [^>]*role="img" aria-label="[^"]+"', html)) == html.count('class="card chart"') == 2


def test_values_that_differ_from_the_defaults_are_marked(page: Page):
    html = render_page(page)
    rows = re.findall(r'<tr class="is-changed"><td>(.*?)</td><td>(.*?)<small>default (.*?)</small>', html)
    assert rows == [("seed", "7", "0"), ("width", "1,024", "4")]
    assert "<td>name</td><td>small</td>" in html


def test_skipped_samples_are_counted_by_reason_and_named(page: Page):
    html = render_page(page)
    assert "3 samples could not be\nused" in html
    assert re.findall(r'class="mark count">([^<]*)<', html) == ["2 broken image", "1 no caption"]
    assert '<td class="mono">2.jpg</td><td>broken image</td><td>2.jpg is &lt;cut&gt;</td>' in html
    assert "<details open>" in html


def test_many_skipped_samples_are_collapsed_and_truncated(page: Page):
    html = render_page(replace(page, skipped=skipped(1234)))
    assert "<details open>" not in html
    assert html.count('class="mono"') == 200
    assert "The other 1,034 are named in\nskipped.jsonl" in html


def test_a_stopped_run_says_so(page: Page):
    assert 'role="status"' not in render_page(page)
    assert '<div class="notice" role="status">Stopped &amp; saved</div>' in render_page(
        replace(page, notice="Stopped & saved")
    )


def test_a_model_without_decoders_has_no_masks(page: Page):
    html = render_page(replace(page, masks=[MaskExample(caption="a cat", panels=(("image", "data:,1"),))]))
    assert "Similarity of patches and caption" in html
    assert "Attentive masks" not in html
    assert "word by word" not in html


def test_curves_are_live_with_the_shipped_library_and_still_pictures_without_scripts(page: Page):
    html = render_page(page)
    assert "uPlot (v1.6.32)" in html
    assert html.count('class="still"') == html.count('class="live" tabindex="0" role="img" aria-label="') == 2
    first, second = map(json.loads, re.findall(r'<script type="application/json">(.*?)</script>', html))
    assert first["steps"] == [10.0, 20.0]
    assert [(series["label"], series["values"]) for series in first["series"]] == [
        ("training", [4.0, 2.0]),
        ("held out", [None, 3.0]),
    ]
    assert second["series"][0]["values"] == [50.0, 80.0]
    assert second["sign"] == " %"
    assert "uPlot" not in render_page(replace(page, lines=[]))


def test_names_of_curves_cannot_end_the_data_of_the_script():
    chart = chart_of(
        "t", [Line(label="</script>", style="training", points=[(1.0, 1.0), (2.0, 2.0)])], axis="a", is_percent=False
    )
    html = render("chart.html", chart=chart)
    assert html.count("</script>") == 1


def test_the_shipped_library_is_the_documented_version_with_its_license():
    folder = resources.files("sycoca.reports").joinpath("vendor", "uplot")
    script = folder.joinpath("uPlot.iife.min.js").read_text(encoding="utf-8")
    (version,) = re.findall(r"uPlot \(v([\d.]+)\)", script[:200])
    documented = (Path(__file__).parents[2] / "docs" / "outputs.md").read_text(encoding="utf-8")
    assert f"uPlot {version}" in documented
    assert "Permission is hereby granted, free of charge" in folder.joinpath("LICENSE").read_text(encoding="utf-8")
