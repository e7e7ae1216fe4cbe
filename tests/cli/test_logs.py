import logging

import pytest

from sycoca.cli.shared.logs import log_to_stderr

logger = logging.getLogger("sycoca.somewhere")


def test_messages_are_shown_as_they_are_and_only_inside(capsys: pytest.CaptureFixture[str]):
    long = "a folder [of 2] " + "x" * 200
    with log_to_stderr():
        logger.info("%s", long)
        logger.debug("details")
    logger.warning("later")
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", f"{long}\n")


@pytest.mark.parametrize(("level", "shown"), [(logging.DEBUG, "a\nb\nc\n"), (logging.WARNING, "c\n")])
def test_the_level_decides(level: int, shown: str, capsys: pytest.CaptureFixture[str]):
    with log_to_stderr(level):
        logger.debug("a")
        logger.info("b")
        logger.warning("c")
    assert capsys.readouterr().err == shown


def test_what_the_bar_shows_is_not_repeated(capsys: pytest.CaptureFixture[str]):
    with log_to_stderr():
        logger.info("step 1", extra={"is_in_bar": True})
    assert capsys.readouterr().err == ""
