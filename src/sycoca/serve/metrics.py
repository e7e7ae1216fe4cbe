"""Counts and times of the server in Prometheus' text format (version 0.0.4)."""

import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import final

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_SIZES = (1, 2, 4, 8, 16, 32, 64)

Labels = tuple[tuple[str, str], ...]


@final
class Histogram:
    """A histogram with fixed buckets, one per combination of labels."""

    def __init__(self, name: str, text: str, bounds: Sequence[int | float]) -> None:
        self._name, self._text, self._bounds = name, text, tuple(bounds)
        self._buckets: dict[Labels, list[int]] = {}
        self._sums: defaultdict[Labels, float] = defaultdict(float)

    def add(self, value: int | float, **labels: str) -> None:
        """Count a value."""
        key = tuple(labels.items())
        buckets = self._buckets.setdefault(key, [0] * (len(self._bounds) + 1))
        buckets[next((i for i, bound in enumerate(self._bounds) if value <= bound), len(self._bounds))] += 1
        self._sums[key] += value

    def lines(self) -> Iterator[str]:
        """Yield the lines of the text format."""
        yield from _head(self._name, self._text, "histogram")
        for key, buckets in self._buckets.items():
            total = 0
            for bound, number in zip((*map(str, self._bounds), "+Inf"), buckets, strict=True):
                total += number
                yield f"{self._name}_bucket{_braces((*key, ('le', bound)))} {total}"
            yield f"{self._name}_sum{_braces(key)} {self._sums[key]}"
            yield f"{self._name}_count{_braces(key)} {total}"


@final
class Metrics:
    """What the server counts. Every label has few values, so that the text stays short."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: Counter[Labels] = Counter()
        self._seconds = Histogram(
            "sycoca_request_seconds",
            "Time from a request's head to the end of its answer, or until its client goes.",
            _SECONDS,
        )
        self._batch_sizes = Histogram(
            "sycoca_batch_size", "Images, texts or pairs of them that are computed at a time.", _SIZES
        )
        self._batch_seconds = Histogram("sycoca_batch_seconds", "Time to compute a batch.", _SECONDS)
        self._gauges: dict[str, tuple[str, Callable[[], float]]] = {}

    def gauge(self, name: str, text: str, read: Callable[[], float]) -> None:
        """Add a value that is read when the metrics are."""
        self._gauges[name] = (text, read)

    def answered(self, path: str, status: str, seconds: float) -> None:
        """Count a request that was answered with that status, or whose client has gone ("gone")."""
        with self._lock:
            self._requests[("path", path), ("status", status)] += 1
            self._seconds.add(seconds, path=path)

    def computed(self, kind: str, size: int, seconds: float) -> None:
        """Count a batch."""
        with self._lock:
            self._batch_sizes.add(size, kind=kind)
            self._batch_seconds.add(seconds, kind=kind)

    def text(self) -> str:
        """Return all metrics as text."""
        with self._lock:
            return "\n".join(self._lines()) + "\n"

    def _lines(self) -> Iterator[str]:
        yield from _head(
            "sycoca_requests_total", "Requests by path and status; gone: the client closed the connection.", "counter"
        )
        for key, number in self._requests.items():
            yield f"sycoca_requests_total{_braces(key)} {number}"
        for histogram in (self._seconds, self._batch_sizes, self._batch_seconds):
            yield from histogram.lines()
        for name, (text, read) in self._gauges.items():
            yield from _head(name, text, "gauge")
            yield f"{name} {read()}"


def _head(name: str, text: str, kind: str) -> tuple[str, str]:
    return f"# HELP {name} {text}", f"# TYPE {name} {kind}"


def _braces(labels: Labels) -> str:
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels) + "}" if labels else ""


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
