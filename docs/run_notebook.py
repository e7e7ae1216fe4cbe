"""Run a notebook from top to bottom and keep what its cells print, show and return.

    python docs/run_notebook.py examples/explore.ipynb

A cell's outputs stand beside a hash of the code up to it, by which a test tells whether they are those of this code. No
kernel is needed: the notebooks use no magic.
"""

import ast
import base64
import contextlib
import hashlib
import io
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image

HASH = "sha256_of_code_so_far"
MOST_COLORS = 128
"""Colors of a picture, whose file is a third as large for it."""


def run(notebook: dict[str, Any]) -> None:
    """Run the code cells in order, in the working directory, and replace their outputs."""
    names: dict[str, Any] = {"__name__": "__main__"}
    hashes = iter(hashes_of_code(notebook))
    for number, cell in enumerate(code_cells(notebook), start=1):
        cell["outputs"] = outputs_of("".join(cell["source"]), names, number)
        cell["execution_count"] = number
        cell["metadata"] = {HASH: next(hashes)}


def code_cells(notebook: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the cells that hold code."""
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def hashes_of_code(notebook: dict[str, Any]) -> list[str]:
    """Return a hash per code cell, of its code and of that of all cells before it."""
    so_far, found = hashlib.sha256(), []
    for cell in code_cells(notebook):
        so_far.update("".join(cell["source"]).encode() + b"\0")
        found.append(so_far.hexdigest()[:16])
    return found


def outputs_of(code: str, names: dict[str, Any], number: int) -> list[dict[str, Any]]:
    """Run a cell and return its outputs in the format of notebooks: what it printed, then its last value."""
    body = ast.parse(code).body
    last = body.pop() if body and isinstance(body[-1], ast.Expr) else None
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(ast.Module(body, []), f"cell {number}", "exec"), names)
        value = eval(compile(ast.Expression(last.value), f"cell {number}", "eval"), names) if last else None
    outputs: list[dict[str, Any]] = []
    if printed.getvalue():
        outputs.append({"name": "stdout", "output_type": "stream", "text": lines_of(printed.getvalue())})
    if value is not None:
        outputs.append(
            {"data": shown(value), "execution_count": number, "metadata": {}, "output_type": "execute_result"}
        )
    return outputs


def shown(value: Any) -> dict[str, Any]:
    """Return a value as Jupyter would show it: as a picture, as HTML, as text."""
    if isinstance(value, Image.Image):
        return {"image/png": png(value), "text/plain": [f"<image of {value.width} x {value.height} pixels>"]}
    data: dict[str, Any] = {"text/plain": lines_of(repr(value))}
    if hasattr(value, "_repr_html_"):
        data["text/html"] = lines_of(value._repr_html_())
    return data


def png(picture: Image.Image) -> str:
    """Return a picture as a small PNG in base64."""
    file = io.BytesIO()
    picture.convert("RGB").quantize(MOST_COLORS, dither=Image.Dither.NONE).save(file, "PNG", optimize=True)
    return base64.b64encode(file.getvalue()).decode()


def lines_of(text: str) -> list[str]:
    """Return a text as notebooks store it, a string per line."""
    return text.splitlines(keepends=True)


def main(path: Path) -> None:
    """Run a notebook in an empty folder and write it back."""
    notebook = json.loads(path.read_text("utf-8"))
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        run(notebook)
    unfinished = path.with_suffix(".unfinished")
    unfinished.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", "utf-8")
    os.replace(unfinished, path)


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
