import pytest
import torch

from sycoca.metrics.classification import (
    ClassAccuracy,
    accuracy_metrics,
    accuracy_per_class,
    class_ranks,
    most_frequent_mistakes,
)

SCORES = torch.tensor(
    [
        [0.9, 0.1, 0.0, -1.0, -2.0, -3.0],
        [0.2, 0.7, 0.6, 0.5, 0.4, 0.3],
        [0.5, 0.4, 0.3, 0.2, 0.1, 0.6],
        [0.6, 0.5, 0.4, 0.3, 0.2, 0.1],
    ]
)
LABELS = torch.tensor([0, 0, 2, 2])


def test_ranks_worked_out_by_hand():
    assert class_ranks(SCORES, LABELS).tolist() == [1, 6, 4, 3]


def test_a_tie_counts_against_the_model():
    assert class_ranks(torch.zeros(2, 3), torch.tensor([0, 2])).tolist() == [3, 3]


def test_frequent_classes_count_no_more_than_rare_ones():
    labels = torch.tensor([0, 0, 0, 4])
    metrics = accuracy_metrics(torch.tensor([1, 1, 7, 2]), labels)
    assert metrics["accuracy_top_1"] == 0.5
    assert metrics["accuracy_top_5"] == 0.75
    assert metrics["mean_class_accuracy"] == pytest.approx((2 / 3 + 0) / 2)
    assert accuracy_per_class(torch.tensor([1, 1, 7, 2]), labels) == [
        ClassAccuracy(label=0, num_images=3, accuracy=2 / 3),
        ClassAccuracy(label=4, num_images=1, accuracy=0.0),
    ]


def test_confusions_are_counted():
    predicted, labels = torch.tensor([1, 1, 2, 0, 0]), torch.tensor([0, 0, 0, 0, 3])
    assert most_frequent_mistakes(predicted, labels, most=2) == [(0, 1, 2), (0, 2, 1)]
    assert len(most_frequent_mistakes(predicted, labels, most=9)) == 3


def test_scores_that_are_not_finite_are_refused():
    with pytest.raises(ValueError, match="the model has diverged"):
        class_ranks(torch.tensor([[float("nan"), 1.0]]), torch.tensor([0]))
