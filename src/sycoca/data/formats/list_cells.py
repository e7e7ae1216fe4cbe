"""Lists that are written into one field as text, as pandas and the tables of the Hugging Face Hub have them."""

import ast
import json
import re
import warnings

_STRING = r"""(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")"""
# Between its strings NumPy writes spaces and line ends, no commas.
_NUMPY_LIST = re.compile(rf"\[\s*{_STRING}(?:\s+{_STRING})+\s*\]", re.DOTALL)
_ONE_STRING = re.compile(_STRING, re.DOTALL)


def listed_text(text: str) -> list[object] | None:
    """Return the list that a text is, as JSON, Python or NumPy writes it; None where it is no such list."""
    stripped = text.strip()
    if not (stripped.startswith("[") and stripped.endswith("]")):
        return None
    try:
        found = json.loads(stripped)
    except (ValueError, RecursionError):
        found = _python_list(stripped)
    return found if isinstance(found, list) else None


def is_list_of_texts(text: str) -> bool:
    """Return whether a text is a list of texts, which no caption or answer is by accident."""
    found = listed_text(text)
    return bool(found) and all(isinstance(entry, str) for entry in found or ())


def _python_list(text: str) -> object:
    try:
        # Python would join the strings of a NumPy list: 'a' 'b' is "ab".
        if _NUMPY_LIST.fullmatch(text):
            return [ast.literal_eval(found) for found in _ONE_STRING.findall(text)]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about backslashes, which Python keeps
            return ast.literal_eval(text)
    # Broken text may raise any of them, thousands of brackets the last two.
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None
