"""A headless Chromium whose pages reach loopback only, and what it finds wrong with a page."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

WIDE: dict[str, Any] = {"viewport": {"width": 1280, "height": 860}}
DARK: dict[str, Any] = {**WIDE, "color_scheme": "dark"}
NARROW: dict[str, Any] = {
    "viewport": {"width": 390, "height": 844},
    "device_scale_factor": 2,
    "has_touch": True,
    "is_mobile": True,
}

# No name is resolved, so that nothing outside is reached, whatever the browser itself would like to.
_ARGUMENTS = ("--no-sandbox", "--disable-gpu", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1")


@contextmanager
def chromium() -> "Iterator[Browser]":
    """Yield a browser; skips the test where there is none."""
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("Chromium is not installed: the web page is not tested (Debian: apt install chromium)")
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="Playwright is not installed: pip install playwright"
    )
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=program, args=list(_ARGUMENTS))
        yield browser
        browser.close()


class Visit:
    """A user with a browser of their own (cookies, storage) at a page; errors of its scripts are kept."""

    def __init__(self, browser: "Browser", address: str, view: dict[str, Any]) -> None:
        self.context: BrowserContext = browser.new_context(**view)
        self.page: Page = self.context.new_page()
        self.page.set_default_timeout(60_000)  # of a busy machine
        self.requests: list[str] = []
        self.script_errors: list[str] = []
        self.context.on("request", lambda request: self.requests.append(request.url))
        self.page.on("pageerror", lambda error: self.script_errors.append(str(error)))
        self.page.on("console", self._keep_error)
        self.page.goto(address)

    def end(self) -> None:
        """Close the browser's window. Fails where a script failed, or something outside loopback was asked for."""
        self.context.close()
        hosts = {urlsplit(url).hostname for url in self.requests if not url.startswith(("data:", "blob:"))}
        assert hosts == {"127.0.0.1"}
        assert self.script_errors == [], self.script_errors

    def _keep_error(self, message: Any) -> None:
        # Answers such as 401 are reported as failed loads; the page deals with them.
        if message.type == "error" and not message.text.startswith("Failed to load resource"):
            self.script_errors.append(message.text)


UNNAMED_CONTROLS = """
() => [...document.querySelectorAll("button, input, a, summary, select, textarea")]
  .filter((one) => one.checkVisibility())
  .filter((one) => {
    const labels = [...(one.labels ?? [])].map((label) => label.textContent).join("");
    const text = one.tagName === "INPUT" ? "" : one.textContent + [...one.querySelectorAll("img")].map((i) => i.alt);
    return (one.getAttribute("aria-label") ?? "" + labels + text).trim() === "";
  })
  .map((one) => one.outerHTML)
"""
"""JavaScript: the controls that a screen reader could not name."""

LOW_CONTRASTS = """
() => {
  const probe = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (css) => {
    probe.clearRect(0, 0, 1, 1);
    probe.fillStyle = css;
    probe.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = probe.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = (top, below) => [0, 1, 2].map((at) => top[at] * top[3] + below[at] * (1 - top[3])).concat(1);
  const luminance = (color) =>
    [0.2126, 0.7152, 0.0722].reduce((sum, weight, at) => {
      const part = color[at] / 255;
      return sum + weight * (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
    }, 0);
  const ratio = (one, other) => {
    const [low, high] = [luminance(one), luminance(other)].sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05);
  };
  const ground = (element) => {
    const layers = [];
    for (let at = element; at !== null; at = at.parentElement) layers.push(rgba(getComputedStyle(at).backgroundColor));
    return layers.reverse().reduce((below, layer) => over(layer, below), rgba("Canvas"));
  };
  const found = [];
  const check = (element, color, least, what) => {
    const measured = ratio(over(rgba(color), ground(element)), ground(element));
    if (measured < least) found.push(`${measured.toFixed(2)}: ${what}`);
  };
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].filter((one) => one.nodeType === Node.TEXT_NODE).map((one) => one.textContent);
    const hidden = !element.checkVisibility() || element.closest("#frame, .unseen, .skip, [aria-disabled]") !== null;
    const text = own.join("").trim();
    if (!hidden && text !== "") check(element, getComputedStyle(element).color, 4.5, text);
    if (!hidden && element.matches("input.text, .button:not(.primary), .chip")) {
      check(element.parentElement, getComputedStyle(element).borderTopColor, 3, `border of ${element.outerHTML}`);
    }
  }
  return found;
}
"""
"""JavaScript: texts whose contrast is below AA's 4.5, and borders of fields and buttons below its 3, as computed."""
