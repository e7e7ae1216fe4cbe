"""Training of ``tiny`` from shards behind a web server with latency against the same shards on the disk.

A run of each kind trains at the same time, so that whatever else the machine does slows both; each remote run begins
with an empty cache and an index, as a second run of a set does. The server is a process of its own that answers ranges
after a pause. Prints images per second of each run after its first logged step, and their ratios, as JSON.
"""

import argparse
import json
import multiprocessing
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from pathlib import Path

from sycoca.data.spec import open_source
from sycoca.data.writing.shard_layout import ShardLayout
from sycoca.data.writing.write_shards import write_shards


def main() -> None:
    """Write shards, train from both in turns, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="scenes:?count=4000", help="SPEC of the samples")
    parser.add_argument("--samples-per-shard", type=int, default=500)
    parser.add_argument("--latency", type=float, default=0.02, help="seconds until an answer begins")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--workers", type=int, default=1, help="loader workers")
    parser.add_argument("--turns", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        layout = ShardLayout(samples_per_shard=options.samples_per_shard)
        written = write_shards(options.data, folder / "set", layout)
        os.environ["XDG_CACHE_HOME"] = str(folder / "home")
        address = _served(folder / "set", options.latency)
        specs = {"local": written.spec, "remote": written.spec.replace(str(folder / "set"), address)}
        specs["remote"] += f"?cache={folder / 'cache'}"
        runs = {kind: [] for kind in specs}
        for spec in specs.values():
            len(open_source(spec))  # builds the index
        for _ in range(options.turns):
            shutil.rmtree(folder / "cache", ignore_errors=True)
            started = {kind: _started(folder / kind, spec, options) for kind, spec in specs.items()}
            for kind, process in started.items():
                runs[kind].append(_images_per_second(folder / kind, process))
    pairs = zip(runs["remote"], runs["local"], strict=True)
    ratios = [remote / local for remote, local in pairs]
    report = {
        "bytes_per_sample": round(written.bytes / written.samples),
        **runs,
        "ratios": ratios,
        "median_ratio": statistics.median(ratios),
    }
    print(json.dumps(report, indent=2))


def _started(run: Path, spec: str, options: argparse.Namespace) -> subprocess.Popen[bytes]:
    """Start to train in a process of its own."""
    shutil.rmtree(run, ignore_errors=True)
    settings = {
        "out": run,
        "data.train": spec,
        "data.num-workers": options.workers,
        "training.steps": options.steps,
        "training.global-batch-size": options.batch_size,
        "training.log-every": max(1, options.steps // 6),
    }
    words = [word for name, value in settings.items() for word in (f"--{name}", str(value))]
    command = [sys.executable, "-m", "sycoca", "pretrain", "tiny", *words]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL)


def _images_per_second(run: Path, process: subprocess.Popen[bytes]) -> float:
    """Return the rate of a run, when it has ended, between its first and its last logged step."""
    if process.wait() != 0:
        raise SystemExit(f"{run.name}: training failed")
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    logged = [line["images_per_second"] for line in lines if "images_per_second" in line]
    return statistics.harmonic_mean(logged[1:])


def _served(folder: Path, latency: float) -> str:
    """Serve a folder from another process and return its address."""
    ours, theirs = multiprocessing.Pipe()
    multiprocessing.Process(target=_serve, args=(folder, latency, theirs), daemon=True).start()
    return f"http://127.0.0.1:{ours.recv()}"


def _serve(folder: Path, latency: float, address: Connection) -> None:
    handler = partial(_Ranges, directory=str(folder), latency=latency)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        address.send(server.server_address[1])
        server.serve_forever()


class _Ranges(SimpleHTTPRequestHandler):
    """Answers ranges after a pause."""

    protocol_version = "HTTP/1.1"

    def __init__(self, *arguments: object, latency: float, directory: str) -> None:
        self._latency = latency
        super().__init__(*arguments, directory=directory)

    def do_GET(self) -> None:
        """Send a range, or the whole file."""
        time.sleep(self._latency)
        first, _, last = self.headers.get("Range", "").removeprefix("bytes=").partition("-")
        with Path(self.translate_path(self.path)).open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            start, stop = (int(first), int(last) + 1) if last else (0, size)
            file.seek(start)
            content = file.read(stop - start)
        self.send_response(206 if last else 200)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{size}")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


if __name__ == "__main__":
    main()
