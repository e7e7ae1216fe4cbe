"""A run's ``log.txt``: a handler of the library's logger while the run lasts."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sycoca.outputs.disk_full import disk_full_reason
from sycoca.outputs.set_aside import set_aside_unusable

_LIBRARY = logging.getLogger("sycoca")

_FORMAT = logging.Formatter("%(asctime)s  %(message)s", datefmt="%Y-%m-%d %H:%M:%S")


class _LogFile(logging.FileHandler):
    def handleError(self, record: logging.LogRecord) -> None:
        """Raise where the disk is full, which ends the run with one line; logging would print a traceback instead."""
        error = sys.exc_info()[1]
        if error is not None and disk_full_reason(error) is not None:
            raise error
        super().handleError(record)


@contextmanager
def run_log(path: Path | None) -> Iterator[None]:
    """Append the library's messages from INFO on to a file while the context is open; without a path do nothing.

    The file has them whatever level the application has set, and its own handlers show no more than before. What is in
    its place and no file is renamed.
    """
    if path is None:
        yield
        return
    set_aside_unusable(path)
    handler = _LogFile(path, encoding="utf-8")
    handler.setLevel(logging.INFO)
    handler.setFormatter(_FORMAT)
    with _informative():
        _LIBRARY.addHandler(handler)
        try:
            yield
        finally:
            _LIBRARY.removeHandler(handler)
            handler.close()


@contextmanager
def _informative() -> Iterator[None]:
    """Enable INFO messages of the library for a new handler, without changing what existing handlers show."""
    level, level_before = _LIBRARY.getEffectiveLevel(), _LIBRARY.level
    if level <= logging.INFO:
        yield
        return

    def was_shown_before(record: logging.LogRecord) -> bool:
        return record.levelno >= level or not record.name.startswith(_LIBRARY.name)

    others = [*_LIBRARY.handlers, *(logging.getLogger().handlers if _LIBRARY.propagate else ())]
    for handler in others:
        handler.addFilter(was_shown_before)
    _LIBRARY.setLevel(logging.INFO)
    try:
        yield
    finally:
        _LIBRARY.setLevel(level_before)
        for handler in others:
            handler.removeFilter(was_shown_before)
