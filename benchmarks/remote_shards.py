"""Training of ``tiny`` from shards behind a web server with latency against the same shards on the disk.

Runs of both kinds take turns; each remote run begins with an empty cache and an index, as a second run of a set does.
The server is a process of its own that answers ranges after a pause. Prints images per second of each run after its
first logged step, the seconds until that step, and the ratio of neighboring runs, as JSON.
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
        address = _served(folder / "set", options.latency)
        specs = {"local": written.spec, "remote": written.spec.replace(str(folder / "set"), address)}
        specs["remote"] += f"?cache={folder / 'cache'}"
        runs = {kind: [] for kind in specs}
        for turn in range(options.turns + 1):
            for kind, spec in specs.items():
                shutil.rmtree(folder / "cache", ignore_errors=True)
                result = _trained(folder, spec, options)
                if turn > 0:  # the first ones build the indexes
                    runs[kind].append(result)
    pairs = zip(runs["remote"], runs["local"], strict=True)
    ratios = [remote["images_per_second"] / local["images_per_second"] for remote, local in pairs]
    report = {
        "bytes_per_sample": round(written.bytes / written.samples),
        **runs,
        "ratios": ratios,
        "median_ratio": statistics.median(ratios),
    }
    print(json.dumps(report, indent=2))


def _trained(folder: Path, spec: str, options: argparse.Namespace) -> dict[str, float]:
    """Train in a process of its own."""
    run = folder / "run"
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
    environment = {**os.environ, "XDG_CACHE_HOME": str(folder / "home")}
    started = time.time()
    subprocess.run([sys.executable, "-m", "sycoca", "pretrain", "tiny", *words], env=environment, check=True)
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    logged = [line for line in lines if "images_per_second" in line]
    return {
        "images_per_second": statistics.harmonic_mean([line["images_per_second"] for line in logged[1:]]),
        "seconds": time.time() - started,
    }


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
