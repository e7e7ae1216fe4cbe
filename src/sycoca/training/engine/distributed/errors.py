"""Errors about the other processes of a run."""


class LostProcessError(ConnectionError):
    """Another process of the run has ended, has become silent or never arrived; one process reports it for all."""

    def __init__(self, message: str, *, is_reporter: bool) -> None:
        """``is_reporter``: whether this process prints the message."""
        super().__init__(message)
        self.is_reporter = is_reporter
