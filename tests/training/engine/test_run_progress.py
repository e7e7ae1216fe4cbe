import io
import logging

import pytest
from rich.console import Console

from sycoca.training.engine.run_progress import RunProgress

VALUES = {
    "contrastive": 1.23456,
    "captioning": 0.5,
    "lr": 0.00025,
    "gradient_norm": 3.0,
    "images_per_second": 1234.5,
    "samples_seen": 1280,
}


def run(console: Console | None, *, is_main_rank: bool = True) -> None:
    progress = RunProgress(steps=100, first_step=0, console=console, is_main_rank=is_main_rank)
    for step in (1, 2):
        progress.advance(step)
    progress.log(2, {**VALUES, "validation_captioning": 0.75, "validation_text_to_image_recall_at_1": 0.5})
    progress.log(3, {"validation_mask_coverage": 0.75, "validation_mask_coverage_no_caption": 0.875})
    progress.close()


@pytest.mark.parametrize("console", [None, Console(file=io.StringIO(), force_terminal=False)])
def test_losses_and_validation_are_messages(console: Console | None, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO, "sycoca")
    run(console)
    losses, first, second = caplog.messages
    assert losses.startswith("step 2/100  contrastive 1.23  captioning 0.5  lr 0.00025  1,234 images/s  0:00:")
    assert losses.endswith(" left")
    assert first == "step 2  validation  captioning (all patches visible) 0.75  text-to-image R@1 0.5"
    assert second == "step 3  validation  mask coverage 0.75  no caption 0.875"
    assert [record.is_in_bar for record in caplog.records if hasattr(record, "is_in_bar")] == [False]
    if console is not None:
        assert console.file.getvalue() == ""  # pyright: ignore[reportAttributeAccessIssue]


def test_a_terminal_has_a_bar_with_rate_and_losses(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO, "sycoca")
    text = io.StringIO()
    run(Console(file=text, force_terminal=True, width=140, _environ={}))
    shown = text.getvalue()
    assert "2/100" in shown
    assert "contrastive 1.23  captioning 0.5  lr 0.00025  1,234 images/s" in shown
    assert "contrastive 1.23" in caplog.messages[0]
    assert [getattr(record, "is_in_bar", False) for record in caplog.records] == [True, False, False]


def test_skipped_steps_are_shown_where_there_are_any(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO, "sycoca")
    progress = RunProgress(steps=9, first_step=0, console=None)
    for number, shown in ((0, ""), (1, "  1 step skipped"), (2, "  2 steps skipped")):
        progress.log(3, {**VALUES, "skipped_steps": number})
        assert f"lr 0.00025{shown}  1,234 images/s" in caplog.messages[-1]
    progress.close()


def test_first_step_has_no_pace_yet(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO, "sycoca")
    progress = RunProgress(steps=9, first_step=4, console=None)
    progress.advance(5)
    progress.log(5, VALUES)
    progress.close()
    assert "unknown time left" in caplog.text


def test_other_ranks_say_the_same_in_detail_only(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.DEBUG, "sycoca")
    run(None, is_main_rank=False)
    assert {record.levelname for record in caplog.records} == {"DEBUG"}
