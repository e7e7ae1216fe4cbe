import numpy as np
import pytest
import torch

from sycoca.metrics import resampling
from sycoca.metrics.classification import accuracy_metrics
from sycoca.metrics.resampling import bootstrap, metrics_of_items, percentile_interval
from sycoca.metrics.retrieval import RetrievalRanks, per_item, retrieval_metrics

WEIGHTS = np.random.default_rng(3).integers(0, 3, (6, 40)).astype(float)


def repeated(column: np.ndarray, row: int) -> np.ndarray:
    """Return each item as often as the row of weights says."""
    return column.repeat(WEIGHTS[row].astype(int))


def as_arrays(values: dict) -> dict[str, np.ndarray]:
    return {name: np.asarray(column, dtype=float) for name, column in values.items()}


def test_weights_count_as_repeated_items_in_retrieval():
    ranks = np.random.default_rng(4).integers(1, 30, 40)
    values = as_arrays(per_item("image_to_text", torch.from_numpy(ranks)))
    values |= as_arrays(per_item("text_to_image", torch.from_numpy(ranks)))
    values |= as_arrays(per_item("re_ranked_text_to_image", torch.from_numpy(ranks)))
    found = metrics_of_items(values, WEIGHTS)
    for row in range(len(WEIGHTS)):
        of_row = torch.from_numpy(repeated(ranks, row))
        expected = retrieval_metrics(RetrievalRanks(image_to_text=of_row, text_to_image=of_row))
        assert {name: found[name][row] for name in expected} == pytest.approx(expected)
        assert found["re_ranked_mean_image_recall"][row] == pytest.approx(expected["mean_image_recall"])


def test_the_median_of_an_even_number_is_the_mean_of_the_middle_two():
    values = {"image_to_text_mean_rank": np.array([9.0, 1.0, 4.0]), "image_to_text_recall_at_1": np.zeros(3)}
    values |= {"image_to_text_recall_at_5": np.zeros(3), "image_to_text_recall_at_10": np.zeros(3)}
    found = metrics_of_items(values, np.array([[1.0, 1.0, 0.0], [1.0, 1.0, 1.0], [0.0, 2.0, 2.0]]))
    assert found["image_to_text_median_rank"].tolist() == [5.0, 4.0, 2.5]


def test_weights_count_as_repeated_items_in_classification():
    generator = np.random.default_rng(5)
    hits, classes = generator.integers(0, 2, 40), generator.integers(0, 12, 40)
    found = metrics_of_items(as_arrays({"accuracy_top_1": hits, "true_class": classes}), WEIGHTS)
    for row in range(len(WEIGHTS)):
        ranks = torch.from_numpy(2 - repeated(hits, row))
        expected = accuracy_metrics(ranks, torch.from_numpy(repeated(classes, row)))["mean_class_accuracy"]
        assert found["mean_class_accuracy"][row] == pytest.approx(expected)


def test_bleu_is_that_of_the_summed_counts():
    counts = {"bleu_length": [4, 6], "bleu_reference_length": [5, 7]}
    for longest, (matches, totals) in enumerate(
        [([3, 6], [4, 6]), ([2, 4], [3, 5]), ([1, 2], [2, 4]), ([1, 1], [1, 3])]
    ):
        counts |= {f"bleu_matches_{longest + 1}": matches, f"bleu_total_{longest + 1}": totals}
    found = metrics_of_items(as_arrays(counts), np.array([[1.0, 1.0], [1.0, 0.0]]))
    penalty = np.exp(1 - 12 / 10)
    assert found["bleu_1"][0] == pytest.approx(penalty * 9 / 10)
    assert found["bleu_2"][0] == pytest.approx(penalty * (9 / 10 * 6 / 8) ** (1 / 2))
    assert found["bleu_4"][0] == pytest.approx(penalty * (9 / 10 * 6 / 8 * 3 / 6 * 2 / 4) ** (1 / 4))
    assert found["bleu_3"][1] == pytest.approx(np.exp(1 - 5 / 4) * (3 / 4 * 2 / 3 * 1 / 2) ** (1 / 3))


def test_detail_is_facts_of_captions_over_facts_of_references():
    values = {"stated_facts": [5, 2], "reference_facts": [20, 12], "references": [4, 2]}
    found = metrics_of_items(as_arrays(values), np.array([[1.0, 1.0], [0.0, 3.0]]))
    assert found["caption_detail"].tolist() == pytest.approx([(7 / 2) / (32 / 6), 2 / 6])


def test_means_of_a_kind_are_over_its_items_alone():
    values, kinds = {"hit": np.array([1.0, 0.0, 1.0, 1.0])}, {"red": np.array([0, 1]), "blue": np.array([3])}
    found = metrics_of_items(values, np.array([[1.0, 1.0, 1.0, 1.0], [3.0, 1.0, 5.0, 0.0]]), kinds)
    assert found["hit_red"].tolist() == [0.5, 0.75]
    assert found["hit_blue"][0] == 1.0
    assert np.isnan(found["hit_blue"][1])  # none was drawn
    assert percentile_interval(found["hit_blue"]) == (1.0, 1.0)


def interval_of_mean(column: np.ndarray, clusters: list[str], **options: int) -> tuple[float, float]:
    resamples = bootstrap(lambda weights: metrics_of_items({"mean": column}, weights), clusters, **options)
    return percentile_interval(resamples["mean"])


def test_the_interval_of_a_mean_is_nearly_that_of_the_normal_distribution():
    column = np.random.default_rng(6).normal(5.0, 2.0, 400)
    low, high = interval_of_mean(column, [str(i) for i in range(400)])
    half = 1.96 * column.std() / 20
    assert low == pytest.approx(column.mean() - half, abs=0.1 * half)
    assert high == pytest.approx(column.mean() + half, abs=0.1 * half)


def test_items_of_one_cluster_are_drawn_together():
    column = np.random.default_rng(7).normal(0.0, 1.0, 100)
    alone = interval_of_mean(column, [str(i) for i in range(100)])
    together = interval_of_mean(column.repeat(5), [str(i) for i in range(100) for _ in range(5)])
    assert together == pytest.approx(alone)
    apart = interval_of_mean(column.repeat(5), [str(i) for i in range(500)])
    assert apart[1] - apart[0] < 0.6 * (alone[1] - alone[0])


def test_resamples_depend_on_the_seed_alone(monkeypatch: pytest.MonkeyPatch):
    column, keys = np.arange(31.0), [str(i) for i in range(31)]
    first = interval_of_mean(column, keys, num_resamples=100)
    assert interval_of_mean(column, keys, num_resamples=100, seed=1) != first
    monkeypatch.setattr(resampling, "_NUMBERS_AT_ONCE", 31 * 7)
    assert interval_of_mean(column, keys, num_resamples=100) == first
