"""The web page: plain files of this package, read anew for each request, so that a reload shows what was edited."""

from importlib.resources import files
from pathlib import PurePosixPath

from starlette.responses import Response

from sycoca.serve.refusals import RefusedError

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".woff2": "font/woff2",
}


def page_file(name: str) -> Response:
    """Return a file of the page. Raises RefusedError where there is none of that name."""
    # No path is made of the name, which could leave the folder, or be one that no file system takes.
    file = next((file for file in (files("sycoca.serve") / "page").iterdir() if file.name == name), None)
    kind = _TYPES.get(PurePosixPath(name).suffix)
    if file is None or kind is None:
        raise RefusedError(404, f"the page has no file {name[:100]!r}")
    return Response(file.read_bytes(), media_type=kind, headers={"cache-control": "no-cache"})
