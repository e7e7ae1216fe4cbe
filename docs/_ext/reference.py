"""Reference pages from the code: a mark in a page is replaced by what the code says, each time the site is built.

``<!-- names -->`` stands for all public names of ``sycoca``, ``<!-- object: sycoca.model.patches.patchify -->`` for a
function or class, ``<!-- commands -->`` for the help of all commands, and ``<!-- fields: pretrain -->`` or
``<!-- fields: vqa -->`` for the fields of a configuration. Signatures are copied from the source, so shapes stand there
as they were written.
"""

import re
from typing import Any

import command_help
import config_fields
import docstrings
from sphinx.application import Sphinx

_MARK = re.compile(r"^<!-- (names|object|commands|fields)(?:: (\S+))? -->$", re.MULTILINE)

_WRITERS = {
    "names": lambda _: docstrings.public_names(),
    "object": docstrings.described,
    "commands": lambda _: command_help.all_commands(),
    "fields": config_fields.table,
}


def expand(_app: Sphinx, _name: str, content: list[str]) -> None:
    """Replace the marks of a page."""
    content[0] = _MARK.sub(lambda mark: _WRITERS[mark[1]](mark[2]), content[0])


def always_outdated(_app: Sphinx, env: Any, *_: Any) -> list[str]:
    """Name the pages with marks: what they show depends on the code."""
    return [name for name in env.found_docs if _MARK.search(env.doc2path(name).read_text("utf-8"))]


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the replacement."""
    app.connect("source-read", expand)
    app.connect("env-get-outdated", always_outdated)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
