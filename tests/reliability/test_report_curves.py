"""Curves of a report page in a real Chromium, without network: values at the cursor, zoom, keyboard, key, print."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sycoca.reports.comparing.compare_page import ComparePage, PageRow, save_compare_page
from sycoca.reports.curves import Curve
from sycoca.reports.page import Page, save_page

if TYPE_CHECKING:
    from playwright.sync_api import Browser
    from playwright.sync_api import Page as Tab

CHROMIUM = shutil.which("chromium")

pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")]

LINES = [
    {"step": step, "loss": 5.0 - step / 100, "rate": 0.1 * step, **({"validation_loss": 3.25} if step == 200 else {})}
    for step in range(10, 401, 10)
]
CURVES = [
    Curve(title="Loss", training="loss", validation="validation_loss", axis="loss", is_noisy=False),
    Curve(title="Rate", training="rate", axis="rate", is_noisy=False),
]


@dataclass(frozen=True)
class Config:
    seed: int = 0


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    save_page(Page(title="run", summary="s", lines=LINES, curves=CURVES, config=Config()), path)
    return path


@pytest.fixture
def tab(browser: "Browser", path: Path) -> "Iterator[Tab]":
    context = browser.new_context(viewport={"width": 1000, "height": 900})
    mistakes, asked = [], []
    tab = context.new_page()
    tab.on("pageerror", lambda error: mistakes.append(str(error)))
    tab.on("request", lambda request: asked.append(request.url))
    tab.goto(path.as_uri())
    tab.wait_for_selector(".chart.is-live canvas")
    yield tab
    context.close()
    assert mistakes == []
    assert asked == [path.as_uri()]  # the page needs nothing else


def texts(tab: "Tab", number: int) -> list[str]:
    return tab.locator(".chart").nth(number).locator(".key, .step > span").all_inner_texts()


def move(tab: "Tab", ratio: float, *, number: int = 0) -> None:
    """Move the mouse to a ratio of a chart's width."""
    box = tab.locator(".chart .u-over").nth(number).bounding_box()
    assert box is not None
    tab.mouse.move(box["x"] + ratio * box["width"], box["y"] + box["height"] / 2, steps=3)
    tab.wait_for_timeout(100)


def test_values_follow_the_mouse_in_all_charts(tab: "Tab"):
    at_end = [texts(tab, 0), texts(tab, 1)]
    assert at_end == [["training 1", "held out 3.25", "at the end"], ["training 40", "at the end"]]
    move(tab, 0.5)
    assert texts(tab, 0) == ["training 3", "held out 3.25", "step 200"]
    assert texts(tab, 1) == ["training 20", "step 200"]
    move(tab, 0.75)
    assert texts(tab, 0) == ["training 2", "held out 3.25 at 200", "step 300"]
    tab.mouse.move(1, 1)
    tab.wait_for_timeout(100)
    assert [texts(tab, 0), texts(tab, 1)] == at_end


def test_dragging_zooms_all_charts_and_a_double_click_shows_the_whole_curves(tab: "Tab"):
    whole = tab.locator(".chart .whole")
    assert not whole.first.is_visible()
    move(tab, 0.25)
    tab.mouse.down()
    move(tab, 0.75)
    tab.mouse.up()
    assert whole.first.is_visible()
    assert whole.nth(1).is_visible()
    move(tab, 0.02)  # what was a quarter of the width is now the left edge
    assert texts(tab, 0)[-1] == "step 100"
    tab.locator(".chart .u-over").first.dblclick()
    assert not whole.first.is_visible()
    move(tab, 0.5)
    assert texts(tab, 0)[-1] == "step 200"


def test_the_keyboard_moves_zooms_and_resets(tab: "Tab"):
    tab.locator(".chart .live").first.focus()
    for _ in range(3):
        tab.keyboard.press("ArrowRight")
    tab.wait_for_timeout(100)
    assert texts(tab, 0)[-1] == "step 30"
    tab.keyboard.press("+")
    assert tab.locator(".chart .whole").first.is_visible()
    tab.keyboard.press("Escape")
    assert not tab.locator(".chart .whole").first.is_visible()


def test_a_click_on_the_key_hides_a_curve_everywhere(tab: "Tab"):
    keys = tab.locator('.key[data-label="training"]')
    keys.first.click()
    assert [keys.nth(i).get_attribute("aria-pressed") for i in range(2)] == ["false", "false"]
    keys.nth(1).press("Enter")
    assert keys.first.get_attribute("aria-pressed") == "true"


def test_paper_and_pages_without_scripts_show_the_pictures(browser: "Browser", tab: "Tab", path: Path):
    assert not tab.locator(".chart svg.still").first.is_visible()
    tab.emulate_media(media="print")
    assert tab.locator(".chart svg.still").first.is_visible()
    assert not tab.locator(".chart .live").first.is_visible()
    context = browser.new_context(java_script_enabled=False)
    plain = context.new_page()
    plain.goto(path.as_uri())
    assert plain.locator(".chart svg.still").first.is_visible()
    assert not plain.locator(".with-script").first.is_visible()
    context.close()


def test_seeds_of_a_row_are_averaged_at_the_cursor(browser: "Browser", tmp_path: Path):
    def run(offset: float) -> list[dict[str, int | float | None]]:
        return [{"step": step, "contrastive": step + offset} for step in (0, 100, 200)]

    rows = [PageRow(name="a", paths=(), runs=(run(0.0), run(10.0))), PageRow(name="b", paths=(), runs=(run(90.0),))]
    save_compare_page(ComparePage(rows=rows, comparisons={}), tmp_path / "page.html")
    context = browser.new_context(viewport={"width": 1000, "height": 900})
    tab = context.new_page()
    tab.goto((tmp_path / "page.html").as_uri())
    assert texts(tab, 0) == ["a 205", "b 290", "at the end"]
    move(tab, 0.5)
    assert texts(tab, 0) == ["a 105", "b 190", "step 100"]
    context.close()


def test_dark_charts_have_the_colors_of_the_dark_page(tab: "Tab"):
    drawn = "element => element.toDataURL()"
    light = tab.locator(".chart canvas").first.evaluate(drawn)
    tab.locator("button.theme").click()
    tab.wait_for_timeout(100)
    assert tab.locator(".chart canvas").first.evaluate(drawn) != light
