"""Wrong usage and requests for help, told apart from errors of a right usage."""


class UsageError(Exception):
    """A command line that its command does not understand; exit code 2."""


class HelpRequested(Exception):
    """A command line that ends with help: because it asks for it, or because nothing follows a group."""

    def __init__(self, text: str, *, is_usage_error: bool = False) -> None:
        super().__init__(text)
        self.text = text
        self.is_usage_error = is_usage_error
