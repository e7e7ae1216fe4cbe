"""Text of users on a terminal: shown as it is, never taken for markup or for commands to the terminal."""

import codecs
import io
import re
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
"""What moves the cursor, changes colors or cannot be encoded."""

_ESCAPE = "sycoca_escape"


def one_line(text: str) -> str:
    r"""Return a text for one line of output: control characters and halves of characters as escapes such as ``\n``."""
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


def say(console: "Console", text: str, *, style: str | None = None, soft_wrap: bool = True) -> None:
    """Print lines as they are, without markup and colors of numbers.

    With ``soft_wrap`` rich breaks no line, so that paths can be copied.
    """
    console.print(plain(text), style=style, highlight=False, soft_wrap=soft_wrap)


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
