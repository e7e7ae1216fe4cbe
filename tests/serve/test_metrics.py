"""The text that Prometheus reads: totals, cumulative buckets, escaped labels."""

from sycoca.serve.metrics import Histogram, Metrics


def test_buckets_of_a_histogram_are_cumulative():
    histogram = Histogram("size", "Sizes.", (1, 2, 4))
    for value in (1, 2, 2, 3, 9):
        histogram.add(value, kind="a")
    histogram.add(4, kind="b")
    assert list(histogram.lines()) == [
        "# HELP size Sizes.",
        "# TYPE size histogram",
        'size_bucket{kind="a",le="1"} 1',
        'size_bucket{kind="a",le="2"} 3',
        'size_bucket{kind="a",le="4"} 4',
        'size_bucket{kind="a",le="+Inf"} 5',
        'size_sum{kind="a"} 17.0',
        'size_count{kind="a"} 5',
        'size_bucket{kind="b",le="1"} 0',
        'size_bucket{kind="b",le="2"} 0',
        'size_bucket{kind="b",le="4"} 1',
        'size_bucket{kind="b",le="+Inf"} 1',
        'size_sum{kind="b"} 4.0',
        'size_count{kind="b"} 1',
    ]


def test_requests_batches_and_gauges_are_counted_under_their_labels():
    metrics = Metrics()
    for status, seconds in (("200", 0.02), ("200", 0.3), ("gone", 70.0)):
        metrics.answered('/a"\\\n', status, seconds)
    metrics.computed("caption", 3, 0.2)
    metrics.gauge("waiting", "What waits.", lambda: 2.0)
    lines = metrics.text().splitlines()
    path = 'path="/a\\"\\\\\\n"'
    assert f'sycoca_requests_total{{{path},status="200"}} 2' in lines
    assert f'sycoca_requests_total{{{path},status="gone"}} 1' in lines
    assert f'sycoca_request_seconds_bucket{{{path},le="0.025"}} 1' in lines
    assert f'sycoca_request_seconds_bucket{{{path},le="60.0"}} 2' in lines
    assert f"sycoca_request_seconds_count{{{path}}} 3" in lines
    assert 'sycoca_batch_size_sum{kind="caption"} 3.0' in lines
    assert 'sycoca_batch_seconds_bucket{kind="caption",le="0.1"} 0' in lines
    assert 'sycoca_batch_seconds_bucket{kind="caption",le="0.25"} 1' in lines
    assert lines[-3:] == ["# HELP waiting What waits.", "# TYPE waiting gauge", "waiting 2.0"]
