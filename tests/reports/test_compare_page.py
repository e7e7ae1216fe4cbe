import re

import pytest

from sycoca.evaluation.comparison import compare_reports
from sycoca.evaluation.item_differences import item_differences
from sycoca.evaluation.report import ItemScores, Report
from sycoca.reports.comparing.compare_page import (
    ComparePage,
    PageRow,
    PairDifferences,
    render_compare_page,
    save_compare_page,
)
from sycoca.reports.comparing.model_gallery import ModelGallery, Said, Shown
from sycoca.reports.comparing.retrieved import Query, Retrieved

LINES = [{"step": 1, "contrastive": 4.0}, {"step": 2, "contrastive": 2.0}]


def report(hits: list[int]) -> Report:
    keys = [f"<{number}>.jpg" for number in range(len(hits))]
    items = {"image": ItemScores(keys=keys, values={"accuracy_top_1": hits})}
    return Report(task="zero_shot", metrics={"accuracy_top_1": sum(hits) / len(hits)}, counts={}, items=items)


FIRST, OTHER = report([1] * 10 + [0] * 90), report([0] * 2 + [1] * 98)


@pytest.fixture(scope="module")
def page() -> ComparePage:
    found = item_differences([FIRST], [OTHER], most=3)
    assert found is not None
    answer = Retrieved(
        row="<a>",
        rank=7,
        own="data:,own",
        own_cosine=0.25,
        first="data:,first",
        first_map="data:,map",
        first_cosine=0.5,
    )
    right = Retrieved(
        row="b", rank=1, own="data:,right", own_cosine=0.75, first=None, first_map=None, first_cosine=0.75
    )
    said = (Said(row="<a>", text="a <cat>"), Said(row="b", text="", probability=0.5, is_right=False))
    return ComparePage(
        rows=[PageRow(name="<a>", paths=("runs/<a>",), runs=(LINES,)), PageRow(name="b", paths=("b.json",))],
        comparisons={"photos": compare_reports({"<a>": FIRST, "b": OTHER})},
        items={"photos": [PairDifferences(base="<a>", other="b", found=found)]},
        pictures={"<10>.jpg": "data:,thumb"},
        gallery=ModelGallery(
            taken_from="<set>",
            num_images=1234,
            queries=(("b ranks higher", (Query(caption="a <dog>", picture="data:,q", answers=(answer, right)),)),),
            captions=(Shown(picture="data:,c", question=None, references=("the <cat>",), said=said),),
        ),
        missing=("No pictures: <why>.",),
    )


def test_a_difference_without_interval_is_a_point():
    rows = [PageRow(name=name, paths=(name,)) for name in ("a", "b")]
    page = ComparePage(rows=rows, comparisons={"photos": compare_reports({"a": report([0]), "b": report([1])})})
    html = render_compare_page(page)
    assert '<i style="left: 98.0%; width: 0.0%"></i>' in html
    assert "+100.0" in html
    assert "+100.0 *" not in html


def test_shows_metrics_differences_items_curves_and_answers(page: ComparePage):
    html = render_compare_page(page)
    for text in (
        "zero shot (photos)",
        "10.0 %",
        "98.0 %",
        '<span class="mark yes">+88.0 *</span>',
        "95 % interval<small>test items only</small>",
        "<li>*: no interval of the difference holds 0; 1 of 1 here. Between rows that do not differ, chance marks",
        "another seed may differ more",
        'data-of="b \N{MINUS SIGN} &lt;a&gt;"',
        "runs/&lt;a&gt;",
        "better on 90, worse on 2 of 100",
        '<img src="data:,thumb" alt="&lt;10&gt;.jpg">',
        "Contrastive loss, ITC",
        "1,234 images of &lt;set&gt;",
        "“a &lt;dog&gt;”",
        "rank 7",
        "a &lt;cat&gt;",
        "(nothing)",
        "the &lt;cat&gt;",
        "No pictures: &lt;why&gt;.",
    ):
        assert text in html, text
    assert html.count('<img src="data:,first"') == html.count('<img src="data:,map"') == 1
    assert re.findall("<(?:a|cat|dog|why|set|10)>", html) == []


def test_every_row_has_its_color_everywhere(page: ComparePage):
    html = render_compare_page(page)
    assert 'class="key run-1">&lt;a&gt;</span>' in html
    assert 'class="key run-2">b</span>' in html
    assert 'class="key run-1" data-label="&lt;a&gt;">' in html


def test_an_interval_is_drawn_around_its_center_with_zero_in_the_middle(page: ComparePage):
    drawn = r'class="whisker" aria-hidden="true"><i style="left: (.+?)%; width: (.+?)%"></i><b style="left: (.+?)%'
    ((left, width, center),) = re.findall(drawn, render_compare_page(page))
    assert 50 < float(left) < float(center) < float(left) + float(width) == pytest.approx(98, abs=0.1)


def test_is_self_contained_and_every_image_has_a_text(page: ComparePage):
    html = render_compare_page(page)
    assert re.findall(r'(?:src|href)="(?!data:)[^"]*"', html) == []
    assert html.count("<img") == html.count('alt="')


def test_parts_that_are_not_there_are_left_out(tmp_path):
    rows = [PageRow(name="a", paths=("a.json",)), PageRow(name="b", paths=("b.json",))]
    plain = Report(task="last_validation", metrics={"cider": 0.5}, counts={})
    page = ComparePage(rows=rows, comparisons={"last_validation": compare_reports({"a": plain, "b": plain})})
    save_compare_page(page, tmp_path / "new" / "page.html")
    html = (tmp_path / "new" / "page.html").read_text(encoding="utf-8")
    assert "<h2>last validation</h2>" in html
    for text in (
        "Curves",
        "<h2>Captions",
        "What the models retrieve",
        "Not on this page",
        "95 % interval<small>",
        "uPlot",
    ):
        assert text not in html, text
