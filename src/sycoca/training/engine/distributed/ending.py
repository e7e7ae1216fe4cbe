"""How a process ends when others were lost: it reports, gives the run folder up, and exits at once."""

import logging
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import final

from sycoca.stop_signals import REQUEUE_CODE

logger = logging.getLogger(__name__)

FAILED_CODE = 1
"""Exit code after another process has failed with an error."""

LOST_CODE = REQUEUE_CODE
"""Exit code after another process was lost: the same run may succeed when it is started again."""

_LAST_WORDS_SECONDS = 3.0


@dataclass(frozen=True, kw_only=True, slots=True)
class RunInFolder:
    """What the end of this process means for its run."""

    resume_command: str
    """The command that resumes the run."""

    release: Callable[[], None]
    """Gives the run folder up for the next process."""


@final
class Ending:
    """The end of this process because of others; the main thread is not asked, since it may wait for them forever.

    ``clears_terminal`` is called before the reason is said, ``closes_files`` afterwards.
    """

    def __init__(self, exit_process: Callable[[int], object] = os._exit) -> None:
        self.run: RunInFolder | None = None
        self.clears_terminal: Callable[[], None] = _nothing
        self.closes_files: Callable[[], None] = _nothing
        self._exit_process = exit_process

    def exit(self, reason: str, code: int, *, is_reporter: bool) -> None:
        """Log the reason, as an error where this process is the one that reports, and exit."""
        # In a thread that may be left behind: a terminal or a file system may hang as well.
        last_words = threading.Thread(target=self._say_last_words, args=(reason, is_reporter), daemon=True)
        last_words.start()
        last_words.join(_LAST_WORDS_SECONDS)
        self._exit_process(code)

    def _say_last_words(self, reason: str, is_reporter: bool) -> None:
        self.clears_terminal()
        resume = "" if self.run is None else f"; resume with: {self.run.resume_command}"
        logger.log(logging.ERROR if is_reporter else logging.DEBUG, f"{reason}; all processes end{resume}")
        if self.run is not None:
            self.run.release()
        self.closes_files()


def _nothing() -> None:
    pass
