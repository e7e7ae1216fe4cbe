import logging
from pathlib import Path

import pytest

from sycoca.training.engine.run_log import run_log

library = logging.getLogger("sycoca")
module = logging.getLogger("sycoca.somewhere")


class Kept(logging.Handler):
    """Keeps what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())


@pytest.fixture
def application(monkeypatch: pytest.MonkeyPatch) -> Kept:
    """Return the handler of an application that has set up logging at the root, for warnings."""
    kept = Kept()
    monkeypatch.setattr(logging.getLogger(), "handlers", [kept])
    monkeypatch.setattr(logging.getLogger(), "level", logging.WARNING)
    library.manager._clear_cache()  # pyright: ignore[reportAttributeAccessIssue]
    return kept


def texts(path: Path) -> list[str]:
    return [line.split("  ", 1)[1] for line in path.read_text(encoding="utf-8").splitlines()]


def test_the_file_has_all_messages_and_the_application_no_more_than_before(tmp_path: Path, application: Kept):
    before = (library.level, list(library.handlers))
    with run_log(tmp_path / "log.txt"):
        module.debug("details")
        module.info("%d steps", 3)
        module.warning("odd")
        logging.getLogger("other").warning("of another library")
    module.warning("after")
    assert texts(tmp_path / "log.txt") == ["3 steps", "odd"]
    assert application.texts == ["odd", "of another library", "after"]
    assert (library.level, list(library.handlers)) == before
    assert application.filters == []


def test_an_application_that_asked_for_more_gets_it(tmp_path: Path, application: Kept, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(library, "level", logging.DEBUG)
    library.manager._clear_cache()  # pyright: ignore[reportAttributeAccessIssue]
    with run_log(tmp_path / "log.txt"):
        module.debug("details")
        module.info("a step")
    assert application.texts == ["details", "a step"]
    assert texts(tmp_path / "log.txt") == ["a step"]


def test_a_resumed_run_appends_and_other_ranks_write_nothing(tmp_path: Path):
    for _ in range(2):
        with run_log(tmp_path / "log.txt"):
            module.info("begins")
    with run_log(None):
        module.info("unheard")
    assert texts(tmp_path / "log.txt") == ["begins", "begins"]


def test_a_folder_in_its_place_is_renamed(tmp_path: Path):
    (tmp_path / "log.txt").mkdir()
    with run_log(tmp_path / "log.txt"):
        module.warning("hello")
    assert texts(tmp_path / "log.txt") == ["hello"]
    assert (tmp_path / "log.txt.damaged").is_dir()


def test_an_error_closes_the_file_too(tmp_path: Path):
    with pytest.raises(ValueError, match="broken"), run_log(tmp_path / "log.txt"):
        raise ValueError("broken")
    assert not [handler for handler in library.handlers if isinstance(handler, logging.FileHandler)]
