"""The map of a data check's page in a real Chromium: outlined images, their legend, keyboard, narrow screens."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from builders.predictors import photo_source
from sycoca.data.inspection.check import DataCheck, check_set
from sycoca.data.inspection.finding_cache import FindingCache
from sycoca.data.inspection.image_inspection import inspect_images
from sycoca.evaluation.fit_records import DataFit, DataMap, MapPoint, MapQuality, PairFit, SetFit
from sycoca.reports.data_check.page import save_data_page

if TYPE_CHECKING:
    from playwright.sync_api import Browser
    from playwright.sync_api import Page as Tab

CHROMIUM = shutil.which("chromium")

pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")]

LONG_SPEC = "photos.jsonl?images=" + 20 * "a_very_long_name_of_a_folder"


def pair(index: int, other: int) -> PairFit:
    return PairFit(
        index=index,
        caption=f"caption {index}",
        cosine=0.125,
        rank=2,
        num_others=3,
        mean_other_cosine=0.25,
        other_index=other,
        other_cosine=0.5,
        num_fitting_other=1,
    )


def point(index: int) -> MapPoint:
    return MapPoint(
        x=index / 3,
        y=0.5,
        set_number=0,
        index=index,
        name=f"{index}.png",
        part="photos",
        caption=f"image {index}",
        picture="data:image/gif;base64,R0lGODlhAQABAAAAACw=",
    )


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page whose map has four images in a row, from 0 on the left to 3 on the right."""
    source = photo_source([("a",), ("b",), ("c",), ("d",)])
    findings = list(inspect_images(source, FindingCache(None), range(4)))
    check = DataCheck(sets=(check_set(source, LONG_SPEC, findings, len, 76),), duplicates=(), context_length=76)
    fit = SetFit(
        num_images=4,
        num_captions=4,
        mean_cosine=0.5,
        mean_other_cosine=0.25,
        chance=0.75,
        num_fitting_another=1,
        least=(pair(1, 0), pair(3, 2)),
        fitting_another=(pair(3, 0),),
    )
    shown = DataMap(
        points=tuple(map(point, range(4))),
        quality=MapQuality(num_neighbors=1, kept_neighbors=0.5, chance=0.25),
        num_images=4,
    )
    path = tmp_path_factory.mktemp("check") / "check.html"
    save_data_page(check, [source], path, DataFit(weights="runs/x/weights", sets=(fit,), map=shown))
    return path


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM)
        yield browser
        browser.close()


@pytest.fixture(params=[1000, 390])
def tab(browser: "Browser", path: Path, request: pytest.FixtureRequest) -> "Iterator[Tab]":
    context = browser.new_context(viewport={"width": request.param, "height": 900})
    mistakes, asked = [], []
    tab = context.new_page()
    tab.on("pageerror", lambda error: mistakes.append(str(error)))
    tab.on("request", lambda one: None if one.url.startswith("data:") else asked.append(one.url))
    tab.goto(path.as_uri())
    yield tab
    context.close()
    assert mistakes == []
    assert asked == [path.as_uri()]  # the page needs nothing else


def shown_text(tab: "Tab") -> list[str]:
    return [line for line in tab.locator("#map-shown figcaption").inner_text().splitlines() if line.strip()]


def test_the_legend_goes_through_the_outlined_images(tab: "Tab"):
    assert tab.locator(".points .misfit").count() == 3
    least, another = tab.locator("[data-misfit]").all()
    assert least.inner_text().strip() == "2 among the pairs that fit least"
    least.click()
    assert shown_text(tab) == ["image 1", "1.png", "fits its caption least, cosine 0.125: caption 1"]
    assert tab.locator(".points line").count() == 0
    least.click()
    fits_better = "another image fits better, 0.500 against 0.125: caption 3"
    both = ["image 3", "3.png", "fits its caption least, cosine 0.125: caption 3", fits_better]
    assert shown_text(tab) == both
    line = tab.locator(".points line")
    assert [line.get_attribute(name) for name in ("x1", "x2")] == ["1000", "0"]  # to the image that fits better
    least.click()
    assert shown_text(tab)[0] == "image 1"
    another.click()
    assert shown_text(tab) == both


def test_images_are_shown_by_the_mouse_and_the_keyboard(tab: "Tab"):
    points = tab.locator(".points")
    points.scroll_into_view_if_needed()
    box = points.bounding_box()
    assert box is not None
    tab.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 0.5 * box["height"], steps=3)
    assert shown_text(tab)[0] == "image 1"
    points.focus()
    tab.keyboard.press("ArrowRight")
    assert shown_text(tab) == ["image 2", "2.png"]
    assert points.locator("circle.is-chosen").count() == 1


def test_nothing_is_wider_than_the_screen(tab: "Tab"):
    assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
