"""The web page of ``sycoca serve`` in a headless Chromium that reaches loopback only.

Run it alone with ``pytest -s -m slow tests/serve/test_web_page.py``. The screenshots (wide, narrow, dark) are
kept in pytest's folder for temporary files, or in SYCOCA_SCREENSHOTS; their paths are printed.
"""

import base64
import io
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image

import sycoca
from builders.browser import DARK, LOW_CONTRASTS, NARROW, UNNAMED_CONTROLS, WIDE, Visit, chromium
from builders.image_indexes import facts, rows
from builders.predictors import small_predictor
from sycoca.data.scenes.source import ScenesSource
from sycoca.inference.predictor import Predictor
from sycoca.presets.pretrain import tiny
from sycoca.search.fingerprint import fingerprints
from sycoca.search.image_index import ImageIndex
from sycoca.search.index_table import IndexTable
from sycoca.serve.application import create_app
from sycoca.serve.server import Server, address_of, listening_socket
from sycoca.serve.settings import Access, ServeSettings
from sycoca.training.config import DataConfig
from sycoca.training.pretrain import pretrain

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.slow

TOKEN = "sixteen-letters-or-more"
MOST_BYTES = 200_000
SCENES = "scenes:?level=easy&count=6&split=test&size=64"
"""The examples of the page, which the model learns by heart."""

Open = Callable[..., "Page"]


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    preset = tiny()
    image = replace(preset.model.image_encoder, image_size=32, patch_size=8, width=64, depth=2)
    text = replace(preset.model.text_encoder, width=64)
    config = replace(
        preset,
        out=str(tmp_path_factory.mktemp("runs") / "page"),
        model=replace(preset.model, image_encoder=image, text_encoder=text),
        data=DataConfig(train=SCENES, cache_images=True),
        optimizer=replace(preset.optimizer, peak_lr=2e-3, weight_decay=0.0),
        schedule=replace(preset.schedule, warmup_steps=20),
        training=replace(preset.training, steps=150, global_batch_size=6, tensorboard=False, evaluate_every=None),
    )
    return sycoca.load(Path(pretrain(config)) / "weights", device="cpu")


@pytest.fixture(scope="module")
def index(predictor: Predictor, tmp_path_factory: pytest.TempPathFactory) -> ImageIndex:
    path = tmp_path_factory.mktemp("search") / "photos.lance"
    embeddings = predictor.embed_images(FILES).numpy()
    table = IndexTable.create(str(path), facts(embeddings.shape[1], fingerprints(predictor)))
    captions = list(SCENE_FILES)
    columns = {
        "file": [f"photos/scene {at}.png" for at in range(len(captions))],
        "captions": [[caption] for caption in captions],
        "thumbnail": [as_jpeg(content) for content in SCENE_FILES.values()],
    }
    table.add(rows(embeddings, 0, **columns))
    return sycoca.open_index(path, weights=predictor)


@pytest.fixture(scope="module")
def without_decoders() -> Predictor:
    return small_predictor(model_text_decoder=None, model_image_decoder=None)


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def address(predictor: Predictor, index: Any) -> Iterator[str]:
    with served(predictor, index) as found:
        yield found


@pytest.fixture
def visit(browser: "Browser") -> Iterator[Open]:
    """Opens a page as a user of their own; at the end nothing outside was asked for and no script has failed."""
    visits: list[Visit] = []

    def start(address: str, view: dict[str, Any] = WIDE) -> "Page":
        visits.append(Visit(browser, address, view))
        return visits[-1].page

    yield start
    for one in visits:
        one.end()


@contextmanager
def served(predictor: Predictor, index: Any = None, token: str | None = None) -> Iterator[str]:
    settings = ServeSettings(max_upload_bytes=MOST_BYTES)
    app = create_app(predictor, index, settings, access=Access(token=token), name="runs/page/weights")
    with listening_socket("127.0.0.1", 0) as listener:
        server = Server(app, settings)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield address_of(listener)
        finally:
            server.should_exit = True
            thread.join(60)
        assert not thread.is_alive()


def scene_files() -> dict[str, bytes]:
    source = ScenesSource(level="easy", count=6, split="test", size=64)
    found = {}
    for sample in (source[at] for at in range(len(source))):
        buffer = io.BytesIO()
        sample.open_image().save(buffer, "PNG")
        found[sample.captions[0]] = buffer.getvalue()
    return found


def as_jpeg(content: bytes) -> bytes:
    buffer = io.BytesIO()
    Image.open(io.BytesIO(content)).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


SCENE_FILES = scene_files()
"""A PNG of each scene by its first caption."""

FILES = list(SCENE_FILES.values())


def upload(page: "Page", content: bytes, name: str = "photo.png", kind: str = "image/png") -> None:
    page.set_input_files("#file", {"name": name, "mimeType": kind, "buffer": content})


def captioned(page: "Page") -> str:
    """Wait until the photo has its caption, and return it."""
    page.wait_for_selector("#caption-section:not([aria-busy]) .caption .word")
    return page.text_content(".caption") or ""


def explained(page: "Page", act: Callable[[], object]) -> dict[str, Any]:
    """Do what makes the page ask for an explanation, and return the answer once it is shown."""
    with page.expect_response("**/explain") as found:
        act()
    answer = found.value.json()
    page.wait_for_function("text => document.querySelector('.caption')?.textContent === text", arg=answer["caption"])
    return answer


def shown_pictures(page: "Page") -> dict[str, str]:
    """Return the pictures of the reconstruction by what they are."""
    figures = "[...document.querySelectorAll('.pictures figure')]"
    return dict(page.evaluate(f"{figures}.map((one) => [one.dataset.origin, one.querySelector('img').src])"))


def map_pixels(page: "Page") -> np.ndarray:
    """Return red, green and blue of the heat map's patches."""
    size_and_data = page.evaluate(
        """() => {
          const { width, height } = document.getElementById("map");
          const all = document.getElementById("map").getContext("2d").getImageData(0, 0, width, height);
          return [height, width, [...all.data]];
        }"""
    )
    return np.array(size_and_data[2]).reshape(size_and_data[0], size_and_data[1], 4)[:, :, :3]


def expected_pixels(scores: list[list[float]], scale: list[float]) -> np.ndarray:
    """Return the same by matplotlib's color map."""
    fractions = (np.array(scores) - scale[0]) / (scale[1] - scale[0])
    return 255 * mpl.colormaps["inferno"](fractions.clip(0, 1))[:, :, :3]


def test_an_example_is_captioned_at_once(visit: Open, address: str):
    page = visit(address)
    assert captioned(page)
    assert page.locator(".example").count() == len(FILES)
    assert page.locator(".example[aria-current=true]").count() == 1
    assert page.inner_text("#notice") == "These weights know colored shapes only, not photos."
    assert page.inner_text("#weights") == "runs/page/weights"


@pytest.mark.parametrize("way", ["choose", "drop", "paste"])
def test_a_photo_is_captioned_and_its_reconstruction_shown(visit: Open, address: str, way: str):
    page = visit(address)
    captioned(page)
    content = FILES[3]

    def give() -> None:
        if way == "choose":
            return upload(page, content, "mine.png")
        given = [base64.b64encode(content).decode(), way]
        page.evaluate(
            """([data, way]) => {
              const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
              const transfer = new DataTransfer();
              transfer.items.add(new File([bytes], "mine.png", { type: "image/png" }));
              const common = { bubbles: true, cancelable: true };
              document.body.dispatchEvent(way === "drop"
                ? new DragEvent("drop", { ...common, dataTransfer: transfer })
                : new ClipboardEvent("paste", { ...common, clipboardData: transfer }));
            }""",
            given,
        )

    answer = explained(page, give)
    assert page.get_attribute("#photo", "alt") == "mine.png"
    assert page.input_value("#caption") == answer["caption"]
    assert shown_pictures(page) == {
        "seen": answer["image_png"],
        "masked": answer["masked_png"],
        "baseline": answer["other_reconstructions"][0]["png"],
        "generated": answer["reconstruction_png"],
    }
    assert answer["other_reconstructions"][0]["caption"] == ""
    assert f"With one color in each masked patch it is {answer['flat_error']:.4f}" in page.inner_text(
        "#reconstruction-body"
    )
    assert page.locator(".example[aria-current=true]").count() == 0


@pytest.mark.parametrize("way", ["hover", "keyboard"])
def test_a_word_shows_its_heat_map_on_the_one_scale(visit: Open, address: str, way: str):
    page = visit(address)
    captioned(page)
    answer = explained(page, lambda: upload(page, FILES[2]))
    assert page.is_hidden("#map")
    place = next(at for at, word in enumerate(answer["words"]) if word["text"] == "pink")
    word = page.locator(".word").nth(place)
    if way == "hover":
        word.hover()
    else:
        page.locator(".word").first.focus()
        for _ in range(place):
            page.keyboard.press("Tab")
    assert page.is_visible("#map")
    scores = answer["words"][place]["scores"]
    np.testing.assert_allclose(map_pixels(page), expected_pixels(scores, answer["scale"]), atol=8)
    low, high = np.min(scores), np.max(scores)
    said = page.inner_text("#readout").replace("\N{MINUS SIGN}", "-")
    assert said.startswith(
        f"\N{LEFT DOUBLE QUOTATION MARK}pink\N{RIGHT DOUBLE QUOTATION MARK}, {low:.2f} to {high:.2f}".replace(
            "-0.00", "0.00"
        )
    )
    assert [page.inner_text(f"#{end}").replace("\N{MINUS SIGN}", "-") for end in ("low", "high")] == [
        f"{end:.2f}" for end in answer["scale"]
    ]
    if way == "hover":
        page.mouse.move(1, 1)
    else:
        page.locator("#caption").focus()
    assert page.is_hidden("#map")


def test_the_baseline_without_caption_is_a_toggle(visit: Open, address: str):
    page = visit(address)
    captioned(page)
    answer = explained(page, lambda: upload(page, FILES[1]))
    toggle = page.get_by_role("button", name="Without caption")
    toggle.click()
    page.mouse.move(1, 1)
    assert toggle.get_attribute("aria-pressed") == "true"
    np.testing.assert_allclose(map_pixels(page), expected_pixels(answer["image_scores"], answer["scale"]), atol=8)
    page.locator(".word").nth(1).hover()  # a look at another map, which passes
    scores = answer["words"][1]["scores"]
    np.testing.assert_allclose(map_pixels(page), expected_pixels(scores, answer["scale"]), atol=8)
    page.mouse.move(1, 1)
    np.testing.assert_allclose(map_pixels(page), expected_pixels(answer["image_scores"], answer["scale"]), atol=8)
    toggle.click()
    page.mouse.move(1, 1)
    assert page.is_hidden("#map")


def test_another_caption_changes_maps_and_reconstruction(visit: Open, address: str):
    page = visit(address)
    captioned(page)
    own = explained(page, lambda: upload(page, FILES[0]))
    before = shown_pictures(page)
    assert "yours" not in before
    page.fill("#caption", "a blue circle left of a red cross")
    page.wait_for_selector("[data-origin=yours] img")
    assert page.text_content(".caption") == "a blue circle left of a red cross"
    after = shown_pictures(page)
    assert {**after, "yours": None} == {**before, "yours": None}  # the same patches are masked
    assert after["yours"] not in before.values()
    page.get_by_role("button", name="Back to the generated caption").click()
    assert captioned(page) == own["caption"]
    assert page.locator("[data-origin=yours]").count() == 0
    swap = page.locator("#swaps .chip").first
    swap.click()
    page.wait_for_selector("[data-origin=yours] img")
    assert page.text_content(".caption") == page.input_value("#caption") != own["caption"]


def test_questions_are_answered_the_latest_first(visit: Open, address: str):
    page = visit(address)
    captioned(page)
    for number, question in enumerate(("what is on the left?", "what is on the right?"), start=1):
        page.fill("#question", question)
        page.keyboard.press("Enter")
        page.wait_for_function("count => document.querySelectorAll('.answers dt').length === count", arg=number)
        assert page.locator(".answers dt").first.inner_text() == question
        assert page.locator(".answers .answer").first.inner_text() != ""


def test_classes_are_ranked_with_probabilities_and_cosines(visit: Open, address: str):
    page = visit(address)
    captioned(page)
    page.fill("#classes", "green circle, red triangle, purple square")
    with page.expect_response("**/classify") as found:
        page.get_by_role("button", name="Classify").click()
    page.wait_for_selector(".classes")
    expected = sorted(found.value.json()["classes"], key=lambda one: -one["probability"])
    assert page.locator(".classes tbody th").all_inner_texts() == [one["name"] for one in expected]
    percents = page.locator(".classes tbody td:nth-child(2)").all_inner_texts()
    assert sum(float(text.strip().removesuffix("%")) for text in percents) == pytest.approx(100, abs=1)


def test_the_index_is_searched_by_words_and_by_the_photo(visit: Open, address: str):
    page = visit(address)
    captioned(page)
    caption, content = list(SCENE_FILES.items())[3]
    page.fill("#query", caption)
    page.keyboard.press("Enter")
    page.wait_for_selector(".hits li")
    assert page.locator(".hits li").count() == len(FILES)
    assert page.locator(".file span").first.inner_text() == "scene 3.png"
    assert page.locator(".about").first.inner_text() == caption
    assert page.locator(".hits img").first.evaluate("image => image.complete && image.naturalWidth > 0")
    upload(page, content)
    page.get_by_role("button", name="Find images like this photo").click()
    page.wait_for_function("() => document.querySelector('#hits-body .hint').textContent.includes('this photo')")
    assert page.locator(".file b").first.inner_text() == "1.00"
    explained(page, page.locator(".hits button").nth(1).click)  # a hit becomes the photo
    assert page.get_attribute("#photo", "alt") == page.locator(".file span").nth(1).inner_text()


def test_errors_stand_beside_what_caused_them(visit: Open, address: str):
    page = visit(address)
    captioned(page)
    page.get_by_role("button", name="Ask").click()
    assert page.inner_text("#ask-error") == "Write a question first."
    assert page.get_attribute("#question", "aria-invalid") == "true"
    page.fill("#classes", "only one")
    page.get_by_role("button", name="Classify").click()
    assert "second class name" in page.inner_text("#classify-error")
    page.get_by_role("button", name="Search", exact=True).click()
    assert page.inner_text("#search-error") == "Write what to look for first."
    page.fill("#query", "a red cross")
    page.click("#filter summary")
    page.fill("#where", "no such column = ")
    page.keyboard.press("Enter")
    page.wait_for_function("() => document.querySelector('#search-error .error')?.textContent.length > 40")
    assert page.get_attribute("#where", "aria-invalid") == "true"
    assert page.get_attribute("#query", "aria-invalid") is None
    page.fill("#caption", "x" * 2001)
    page.wait_for_selector("#caption-error .error")
    assert "2,000" in page.inner_text("#caption-error")
    page.fill("#caption", " ")
    page.wait_for_function("() => document.querySelector('#caption-error').innerText === 'Write a caption first.'")
    upload(page, b"no picture", "notes.txt", "text/plain")
    page.wait_for_selector("#photo-error .error")
    assert len(page.inner_text("#photo-error")) > 20
    upload(page, FILES[0])
    captioned(page)
    assert page.inner_text("#photo-error") == ""


def test_a_photo_above_the_servers_limit_is_refused_before_it_is_sent(visit: Open, address: str):
    page = visit(address)
    caption = captioned(page)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    upload(page, os.urandom(MOST_BYTES + 1), "large.png")
    page.wait_for_selector("#photo-error .error")
    assert page.inner_text("#photo-error") == (
        "large.png has 0.2 MB, and this server takes at most 0.2 MB. Choose a smaller photo."
    )
    assert asked == []
    assert captioned(page) == caption


def test_a_photo_that_the_server_refuses_as_too_large_says_so(visit: Open, address: str):
    page = visit(address)
    captioned(page)
    buffer = io.BytesIO()
    Image.new("1", (12_000, 12_000)).save(buffer, "PNG")  # a picture bomb: small as a file
    assert len(buffer.getvalue()) < 1.2 * MOST_BYTES
    upload(page, buffer.getvalue(), "bomb.png")
    page.wait_for_selector("#photo-error .error")
    assert "limit" in page.inner_text("#photo-error") or "at most" in page.inner_text("#photo-error")


def test_a_busy_server_is_asked_again(visit: Open, address: str):
    page = visit(address)
    captioned(page)
    busy = {"error": "64 requests are being answered already; try again soon", "setting": "max_requests"}
    page.route("**/ask", lambda route: route.fulfill(status=429, json=busy), times=1)
    page.fill("#question", "what is it?")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Try again").click()
    page.wait_for_selector(".answers .answer")
    assert page.inner_text("#ask-error") == ""


def test_waiting_is_seen_and_heard(visit: Open, address: str):
    page = visit(address)
    captioned(page)
    waiting = threading.Event()
    held: list[Any] = []
    page.route("**/explain", lambda route: (held.append(route), waiting.set()))
    upload(page, FILES[4])
    page.wait_for_selector(".skeleton")
    page.wait_for_timeout(200)
    assert page.get_attribute("#caption-section", "aria-busy") == "true"
    assert page.is_visible("#progress")
    held[0].continue_()
    captioned(page)
    assert page.is_hidden("#progress")
    assert page.inner_text("#status").startswith("Caption: ")


def test_an_answer_about_an_earlier_photo_or_caption_is_not_shown(visit: Open, address: str):
    page = visit(address)
    captioned(page)
    held: list[Any] = []
    page.route("**/explain", lambda route: held.append(route), times=1)
    upload(page, FILES[4])
    page.wait_for_selector(".skeleton")
    later = explained(page, lambda: upload(page, FILES[2]))
    assert len(held) == 1
    with suppress(Exception):  # its request may be given up already
        held[0].fulfill(json={**later, "caption": "of an earlier photo"})
    page.wait_for_timeout(500)
    assert captioned(page) == later["caption"]
    assert shown_pictures(page)["seen"] == later["image_png"]


def test_the_token_is_asked_for_once(visit: Open, predictor: Predictor):
    with served(predictor, token=TOKEN) as address:
        page = visit(address)
        page.wait_for_selector("#token-dialog[open]")
        page.keyboard.press("Escape")
        assert page.is_visible("#token-dialog")
        page.get_by_role("button", name="Continue").click()
        assert page.inner_text("#token-error") == "Enter the token first."
        page.fill("#token", "not the right token".replace(" ", "-"))
        page.keyboard.press("Enter")
        page.wait_for_function("() => document.querySelector('#token-error').innerText.includes('does not know')")
        page.fill("#token", TOKEN)
        page.keyboard.press("Enter")
        captioned(page)
        page.reload()
        captioned(page)
        assert page.is_hidden("#token-dialog")
        assert page.evaluate("Object.keys(localStorage).length") == 0
        other = visit(address)  # another user has given no token
        other.wait_for_selector("#token-dialog[open]")


def test_two_users_at_once_see_their_own_photos(visit: Open, address: str):
    pages = [visit(address), visit(address, NARROW)]
    for page in pages:
        captioned(page)
    contents = FILES
    for _ in range(3):
        with pages[0].expect_response("**/explain") as first, pages[1].expect_response("**/explain") as second:
            upload(pages[0], contents[1])
            upload(pages[1], contents[4])
        answers = [first.value.json(), second.value.json()]
        for page, answer in zip(pages, answers, strict=True):
            page.wait_for_function(
                "src => document.querySelector('[data-origin=seen] img')?.src === src", arg=answer["image_png"]
            )
            assert captioned(page) == answer["caption"]
        assert answers[0]["caption"] != answers[1]["caption"]


def test_what_the_weights_lack_is_absent_with_the_reason(visit: Open, without_decoders: Predictor):
    with served(without_decoders) as address:
        page = visit(address)
        page.wait_for_selector(".caption .word")  # the example's caption
        assert "text decoder" in page.inner_text("#caption-section .absent")
        assert "image decoder" in page.inner_text("#reconstruction-section .absent")
        assert "text decoder" in page.inner_text("#ask-section .absent")
        assert "sycoca index" in page.inner_text("#search-section .absent")
        assert page.locator("#ask-section :is(input, button)").count() == 0
        assert page.locator("#search-section :is(input, button)").count() == 0
        assert page.locator("#classify-section :is(input, button)").count() == 2


@pytest.fixture(scope="module")
def folder_of_screenshots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = Path(os.environ.get("SYCOCA_SCREENSHOTS") or tmp_path_factory.mktemp("screenshots"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.mark.parametrize(("name", "view"), [("wide", WIDE), ("narrow", NARROW), ("dark", DARK)])
def test_every_state_can_be_read_and_reached(
    visit: Open, address: str, name: str, view: dict[str, Any], folder_of_screenshots: Path
):
    page = visit(address, view)
    captioned(page)

    def looks_right(state: str) -> None:
        path = folder_of_screenshots / f"{name}-{state}.png"
        page.screenshot(path=path, full_page=True)
        print(path)
        assert page.evaluate(LOW_CONTRASTS) == []
        assert page.evaluate(UNNAMED_CONTROLS) == []
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0

    looks_right("start")
    page.locator(".word").nth(1).click()
    looks_right("word")
    page.fill("#caption", "a blue circle left of a red cross")
    page.wait_for_selector("[data-origin=yours] img")
    page.fill("#question", "what is on the left?")
    page.keyboard.press("Enter")
    page.wait_for_selector(".answer")
    page.get_by_role("button", name="Classify").click()
    page.wait_for_selector(".classes")
    page.fill("#query", "a red cross")
    page.keyboard.press("Enter")
    page.wait_for_selector(".hits li")
    looks_right("all")
    page.fill("#question", "")
    page.get_by_role("button", name="Ask").click()
    upload(page, b"no picture", "notes.txt", "text/plain")
    page.wait_for_selector("#photo-error .error")
    looks_right("errors")


def test_the_keyboard_reaches_everything_and_shows_where_it_is(visit: Open, address: str):
    page = visit(address)
    captioned(page)
    reached: list[str] = []
    page.locator(".skip").focus()
    for _ in range(80):
        page.keyboard.press("Tab")
        name = page.evaluate("document.activeElement.id || document.activeElement.textContent")
        if page.evaluate("document.activeElement === document.body"):
            break
        shown = "getComputedStyle(document.activeElement.id === 'file' ? document.activeElement.previousElementSibling"
        assert page.evaluate(f"{shown} : document.activeElement).outlineStyle") == "solid"
        reached.append(name)
    for expected in ("file", "pink", "Whole caption", "Without caption", "caption", "question", "Ask", "classes",
                     "Classify", "query", "Search", "search-by-photo"):  # fmt: skip
        assert expected in reached or any(expected in name for name in reached)


def test_nothing_moves_for_those_who_ask_for_that(visit: Open, address: str):
    page = visit(address, {**WIDE, "reduced_motion": "reduce"})
    captioned(page)
    page.route("**/explain", lambda _: None)
    upload(page, FILES[4])
    page.wait_for_selector(".skeleton")
    squares = "[...document.querySelectorAll('.skeleton span, .pictures span[data-origin]')]"
    assert set(page.evaluate(f"{squares}.map((one) => getComputedStyle(one).animationName)")) == {"none"}
    assert page.evaluate("getComputedStyle(document.getElementById('progress'), '::after').animationName") == "none"
