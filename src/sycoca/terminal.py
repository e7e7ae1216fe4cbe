"""Text of users on a terminal: shown as it is, never taken for markup or for commands to the terminal."""

import codecs
import io
import re
import shutil
import sys
import textwrap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
"""What moves the cursor, changes colors or cannot be encoded."""

_ESCAPE = "sycoca_escape"

_BEFORE_COMMAND = " with: sycoca "
"""What stands before a command that ends a message."""

_ANY_WIDTH = 10_000
"""More columns than any table has."""


def one_line(text: str) -> str:
    r"""Return a text for one line of output: control characters and lone surrogates as escapes such as ``\n``."""
    return _CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


def for_stdout(text: str) -> str:
    """Return a line to print: `one_line` of it on a terminal, and the text as it is for other programs."""
    return one_line(text) if sys.stdout.isatty() else text


def plain(text: str, style: str = "") -> "Text":
    """Return a text for a cell, heading or title of a rich table; a plain string there loses what stands in brackets.

    Line ends stay, other control characters are escaped.
    """
    from rich.text import Text

    return Text("\n".join(one_line(line) for line in text.split("\n")), style=style)


def say(console: "Console", text: str, *, style: str | None = None, width: int | None = None) -> None:
    """Print lines without markup and colors of numbers, broken between words where the stream has a width.

    ``width`` breaks them there in any case. Words, such as paths, stay whole.
    """
    lines = wrapped(text, width or line_width(console.file))
    console.print(plain(lines), style=style, highlight=False, soft_wrap=True)


def line_width(stream: object) -> int | None:
    """Return the columns of a terminal; None for files and pipes, where programs expect a message in one line."""
    return shutil.get_terminal_size().columns if _is_terminal(stream) else None


def _is_terminal(stream: object) -> bool:
    return getattr(stream, "isatty", bool)()


def wrapped(text: str, width: int | None) -> str:
    """Return the lines of a text broken between words, none within one; commands stay whole, to be copied."""
    return "\n".join(line if width is None else _wrapped_line(line, width) for line in text.split("\n"))


def _wrapped_line(line: str, width: int) -> str:
    indent = line[: len(line) - len(line.lstrip())]
    if len(line) <= width or (indent and line.startswith("sycoca ", len(indent))):
        return line
    text, _, command = line.partition(_BEFORE_COMMAND)
    if command:
        last = f"{_BEFORE_COMMAND}{command}"
        return f"{_wrapped_line(f'{text} with:', width)}\n{indent}  {last.removeprefix(' with: ')}"
    return textwrap.fill(
        line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False, expand_tabs=False
    )


def show_table(console: "Console", table: "Table") -> None:
    """Print a table; where it is wider than the terminal even with broken cells, as a paragraph per row."""
    from rich.measure import Measurement

    # Within the console's own width every table fits: its words would be broken.
    room = console.options.update(max_width=_ANY_WIDTH)
    if Measurement.get(console, room, table).minimum <= console.width:
        console.print(table)
        return
    headings = [_flat(column.header) for column in table.columns]
    if table.title is not None:
        say(console, _flat(table.title), width=console.width)
    for cells in zip(*(column.cells for column in table.columns), strict=True):
        first, *others = map(_flat, cells)
        lines = [first, *(f"  {heading}: {cell}" for heading, cell in zip(headings[1:], others, strict=True))]
        say(console, "\n".join(lines), width=console.width)


def _flat(cell: object) -> str:
    """Return a cell, its lines joined."""
    return ", ".join(line.rstrip() for line in str(cell).split("\n"))


def escape_what_cannot_be_encoded(stream: object) -> None:
    """Let a stream write characters that its encoding lacks as escapes that JSON knows, instead of failing.

    Terminals of Windows and of minimal containers lack most of Unicode, and file names may hold halves of characters.
    """
    codecs.register_error(_ESCAPE, _json_escapes)
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors=_ESCAPE)


def _json_escapes(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass")
    pairs = (units[i : i + 2].hex() for i in range(0, len(units), 2))
    return "".join(f"\\u{pair}" for pair in pairs), error.end
