import base64
import io
import re
import sys
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from builders.predictors import small_predictor
from sycoca.evaluation.report import Report
from sycoca.notebooks.live_bar import NotebookBar, in_notebook
from sycoca.progress_bar import tracked
from sycoca.search.hits import SearchHit, SearchResults
from sycoca.training.engine.run_progress import RunProgress


class Cell:
    """What a cell shows: the content of every display, in order, with all that it has shown before."""

    def __init__(self) -> None:
        self.displays: list[list[str]] = []

    def display(self, shown: str, *, display_id: bool) -> SimpleNamespace:
        assert display_id
        own = [shown]
        self.displays.append(own)
        return SimpleNamespace(update=own.append)


@pytest.fixture
def cell(monkeypatch: pytest.MonkeyPatch) -> Cell:
    """A stand-in for IPython in the kernel of a notebook."""
    cell, ipython, display = Cell(), ModuleType("IPython"), ModuleType("IPython.display")
    ipython.get_ipython = lambda: SimpleNamespace(kernel=object())  # pyright: ignore[reportAttributeAccessIssue]
    display.HTML, display.display = str, cell.display  # pyright: ignore[reportAttributeAccessIssue]
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    return cell


def ticks(*seconds: float) -> Iterator[float]:
    yield from seconds


def test_a_notebook_is_a_kernel(cell: Cell, monkeypatch: pytest.MonkeyPatch):
    assert in_notebook()
    monkeypatch.setattr(sys.modules["IPython"], "get_ipython", lambda: SimpleNamespace())
    assert not in_notebook()  # IPython on a terminal
    monkeypatch.setattr(sys.modules["IPython"], "get_ipython", lambda: None)
    assert not in_notebook()
    monkeypatch.delitem(sys.modules, "IPython")
    assert not in_notebook()
    assert cell.displays == []


def test_the_bar_appears_after_a_second_is_replaced_and_goes(cell: Cell):
    bar = NotebookBar("<counting>", 1000, clock=ticks(0.0, 0.5, 2.0, 2.1, 4.0).__next__)
    for completed in (100, 400, 410, 800):
        bar.update(completed, "loss 1.5")
    assert cell.displays == [
        [
            '<div style="font: 13px/1.5 system-ui, sans-serif; font-variant-numeric: tabular-nums">&lt;counting&gt; '
            '<progress max="1000" value="400"></progress> 400/1,000 · 200.0/s · 0:00:03 left · loss 1.5</div>',
            '<div style="font: 13px/1.5 system-ui, sans-serif; font-variant-numeric: tabular-nums">&lt;counting&gt; '
            '<progress max="1000" value="800"></progress> 800/1,000 · 200.0/s · 0:00:01 left · loss 1.5</div>',
        ]
    ]
    bar.close()
    assert cell.displays[0][-1] == ""


def test_the_rate_of_resumed_work_is_of_what_is_done_now(cell: Cell):
    bar = NotebookBar("training", 1000, completed=800, clock=ticks(0.0, 2.0, 4.0).__next__)
    bar.update(800)
    bar.update(900)
    assert "800/1,000</div>" in cell.displays[0][0]
    assert "900/1,000 · 25.0/s · 0:00:04 left</div>" in cell.displays[0][1]


@pytest.mark.parametrize("console", [None, Console(force_terminal=False)])
def test_long_work_shows_one_bar_and_no_lines(
    cell: Cell, console: Console | None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    caplog.set_level("DEBUG", "sycoca")
    monkeypatch.setattr("sycoca.notebooks.live_bar.SECONDS_BEFORE_BAR", 0.0)
    monkeypatch.setattr("sycoca.notebooks.live_bar.SECONDS_BETWEEN_UPDATES", 0.0)
    assert list(tracked([1, 2, 3], 5, "counting", console=console, step=2)) == [1, 2, 3]
    (shown,) = cell.displays
    assert [re.findall(r"\d/\d", one) for one in shown] == [["2/5"], ["4/5"], ["5/5"], []]
    assert caplog.records == []


def test_short_work_and_quiet_consoles_show_nothing(cell: Cell, monkeypatch: pytest.MonkeyPatch):
    assert list(tracked([1, 2], 2, "counting", console=None)) == [1, 2]
    monkeypatch.setattr("sycoca.notebooks.live_bar.SECONDS_BEFORE_BAR", 0.0)
    assert list(tracked([1, 2], 2, "counting", console=Console(quiet=True))) == [1, 2]
    assert cell.displays == []


def test_training_shows_its_losses_in_the_bar_of_the_main_rank(cell: Cell, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("sycoca.notebooks.live_bar.SECONDS_BEFORE_BAR", 0.0)
    monkeypatch.setattr("sycoca.notebooks.live_bar.SECONDS_BETWEEN_UPDATES", 0.0)
    for is_main_rank in (True, False):
        progress = RunProgress(steps=10, first_step=0, console=None, is_main_rank=is_main_rank)
        for step in (1, 2):
            progress.advance(step)
        progress.log(2, {"contrastive": 1.25, "images_per_second": 80.0})
        progress.close()
    (shown,) = cell.displays
    assert "2/10" in shown[-2]
    assert shown[-2].endswith("contrastive 1.25  80 images/s</div>")
    assert shown[-1] == ""


def test_hits_in_a_cell_show_thumbnails_captions_and_cosines_escaped():
    hit = SearchHit(file="<b>.jpg", cosine=0.51234, columns={"captions": ["a <script>"]}, thumbnail=b"jpeg")
    results = SearchResults(
        query="<two> dogs", hits=(hit,), is_exact=False, where="a < 1", num_images=10, num_matching=9, seconds=0.5
    )
    html = results._repr_html_()
    assert 'src="data:image/jpeg;base64,anBlZw=="' in html
    assert "0.512 a &lt;script&gt; · &lt;b&gt;.jpg" in html
    assert "&lt;two&gt; dogs" in html
    assert "1 of 9 images where a &lt; 1; approximate, 0.50 s" in html
    assert 'alt="&lt;b&gt;.jpg"' in html
    assert "<script" not in html


@pytest.mark.parametrize("parts", [{}, {"model_text_decoder": None, "model_image_decoder": None}])
def test_an_explanation_in_a_cell_shows_every_map_on_one_scale(parts: dict[str, None]):
    predictor = small_predictor(**parts)
    explained = predictor.explain(np.zeros((16, 16, 3), dtype=np.uint8), "a <red> circle")
    html = explained._repr_html_()
    maps = 3 + len(explained.words)  # the caption, no caption, other captions, the words
    assert html.count("image-rendering: pixelated") == maps
    assert "a &lt;red&gt; circle" in html
    assert "<red>" not in html
    low, high = explained.scale
    assert f"dark {low:.2f} to bright {high:.2f}" in html
    assert ("under an empty caption" in html) == (not parts)
    assert ("no reconstruction: " in html) == bool(parts)
    assert re.findall(r'src="(?!data:)', html) == []


def test_maps_in_a_cell_are_bright_where_scores_are_high_and_reconstructions_have_their_own_error():
    explained = small_predictor().explain(np.arange(768, dtype=np.uint8).reshape(16, 16, 3), "a red circle")
    html = explained._repr_html_()
    shown = re.findall(r'src="data:image/png;base64,([^"]+)" alt="" style="[^"]*image-rendering: pixelated', html)
    words = (explained.word_scores(index) for index in range(3))
    maps = [explained.patch_scores, explained.image_scores, explained.others.mean_scores, *words]
    for encoded, scores in zip(shown, maps, strict=True):
        with Image.open(io.BytesIO(base64.b64decode(encoded))) as heat:
            red = np.asarray(heat)[:, :, 0]
        low, high = explained.scale
        np.testing.assert_allclose(red, 24 + (scores - low) / (high - low) * (255 - 24), atol=0.51)
    own, empty = explained.reconstruction, explained.other_reconstructions[0].reconstruction
    assert f"in one color each, error {own.flat_error:.4f}" in html
    assert f"under “a red circle”, error {own.error:.4f}" in html
    assert f"under an empty caption, error {empty.error:.4f}" in html


def test_a_report_in_a_cell_shows_metrics_and_remarks_escaped():
    report = Report(
        task="zero_shot",
        metrics={"accuracy_top_1": 0.625},
        counts={"images": 1500},
        settings={"data": "<b>photos</b>", "meteor": "not computed: no java"},
        remarks=("<script>",),
    )
    html = report._repr_html_()
    for text in ("zero shot", "62.5 %", "1,500 images", "&lt;b&gt;photos&lt;/b&gt;", "&lt;script&gt;", "no java"):
        assert text in html, text
    assert "<script" not in html
    assert "<b>" not in html
