"""Errors about outputs: those before the work begins are wrong usage for the command line (exit code 2)."""

from pathlib import Path


class OutputError(ValueError):
    """An output that is refused before the work begins: it exists, cannot be written, or another process writes it."""


class LeaseLostError(OSError):
    """Another process has taken an output over, since this one was not heard of for too long."""


class OutputInterrupted(KeyboardInterrupt):
    """Ctrl-C while an output was written; says what is left of it."""

    def __init__(self, path: Path, state: str, *, can_resume: bool = False, command: str | None = None) -> None:
        """Keep what a message needs.

        ``can_resume``: the same call resumes the output with ``resume=True`` (``--resume``). ``command``: another
        command that does.
        """
        super().__init__(f"interrupted; {path} {state}")
        self.can_resume = can_resume
        self.command = command
