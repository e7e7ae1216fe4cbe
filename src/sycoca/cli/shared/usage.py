"""Wrong usage of the command line, told apart from errors of a right one."""


class UsageError(Exception):
    """A command was called in a way it does not understand; ends with exit code 2."""
