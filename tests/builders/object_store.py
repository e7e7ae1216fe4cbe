"""A stand-in for an object store: a web server with ranges and latency, which counts and can fail requests."""

import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


@dataclass
class ObjectStore:
    """Serves the files of a folder at ``address``."""

    folder: Path
    latency: float = 0.0
    """Seconds until an answer begins."""

    has_ranges: bool = True
    fault: Callable[[str, int], int | None] = lambda _path, _number: None
    """Returns the status with which request ``number`` for a path fails; None where it does not."""

    requests: list[tuple[str, str, str]] = field(default_factory=list)
    """Method, path and range of each request."""

    address: str = ""

    @property
    def num_reads(self) -> int:
        return sum(method == "GET" for method, _, _ in self.requests)

    @contextmanager
    def serving(self) -> Iterator["ObjectStore"]:
        """Serve while the block runs."""
        store = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_HEAD(self) -> None:
                store.answer(self)

            def do_GET(self) -> None:
                store.answer(self)

            def handle(self) -> None:
                with suppress(ConnectionError):  # of a client that has gone
                    super().handle()

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            server.daemon_threads = True
            server.block_on_close = False
            self.address = f"http://127.0.0.1:{server.server_address[1]}"
            thread = threading.Thread(target=server.serve_forever, args=(0.02,))
            thread.start()
            try:
                yield self
            finally:
                server.shutdown()
                thread.join()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        wanted = handler.headers.get("Range", "")
        self.requests.append((handler.command, handler.path, wanted))
        time.sleep(self.latency)
        path = self.folder / handler.path.lstrip("/")
        status = self.fault(handler.path, len(self.requests))
        if status is None and not path.is_file():
            status = 404
        given = re.fullmatch(r"bytes=(\d+)-(\d+)", wanted) if self.has_ranges else None
        if status is None and given and int(given[1]) >= path.stat().st_size:
            status = 416
        if status is not None:
            handler.send_response(status)
            handler.send_header("Content-Length", "0")
            handler.end_headers()
            return
        size = path.stat().st_size
        first, last = (int(given[1]), min(int(given[2]), size - 1)) if given else (0, size - 1)
        handler.send_response(206 if given else 200)
        handler.send_header("Content-Length", str(last + 1 - first))
        handler.send_header("ETag", f'"{path.stat().st_mtime_ns}-{size}"')
        if given:
            handler.send_header("Content-Range", f"bytes {first}-{last}/{size}")
        handler.end_headers()
        if handler.command == "GET":
            with path.open("rb") as file:
                file.seek(first)
                handler.wfile.write(file.read(last + 1 - first))
