import io

import pytest
import torch
from rich.console import Console

from builders.predictors import ListSource, photo_source, small_predictor
from sycoca.evaluation.retrieval import evaluate_retrieval

CAPTIONS = [
    ("a red circle", "a round thing", "something red"),
    ("a blue square",),
    ("a green cross above a pink star", "a green cross"),
    ("a star",),
    ("a very long caption that no context of so few tokens can ever hold to its end",),
]


def slow_recall_at_1(captions: list[tuple[str, ...]]) -> tuple[float, float]:
    """Return image-to-text and text-to-image R@1 through the similarities that users see."""
    predictor = fresh_predictor()
    source = photo_source(captions)
    owners = [index for index, own in enumerate(captions) for _ in own]
    texts = [text for own in captions for text in own]
    similarities = predictor.similarity([source[index].open_image for index in range(len(source))], texts)
    best_text = [owners[int(row.argmax())] == index for index, row in enumerate(similarities)]
    best_image = [int(column.argmax()) == owner for column, owner in zip(similarities.T, owners, strict=True)]
    return sum(best_text) / len(best_text), sum(best_image) / len(best_image)


def fresh_predictor():
    torch.manual_seed(5)
    return small_predictor()


@pytest.mark.parametrize("batch_size", [2, 64])
def test_recall_is_that_of_the_similarities_users_see(batch_size: int):
    report = evaluate_retrieval(fresh_predictor(), photo_source(CAPTIONS), batch_size=batch_size)
    image_to_text, text_to_image = slow_recall_at_1(CAPTIONS)
    assert report.metrics["image_to_text_recall_at_1"] == pytest.approx(image_to_text)
    assert report.metrics["text_to_image_recall_at_1"] == pytest.approx(text_to_image)
    assert report.metrics["text_to_image_recall_at_5"] == 1.0
    assert report.task == "retrieval"
    assert report.counts == {"images": 5, "captions": 8, "truncated_captions": 1}
    assert report.settings["data"] == "a list"
    assert report.seconds > 0


def test_limits_of_images_and_captions():
    report = evaluate_retrieval(fresh_predictor(), photo_source(CAPTIONS), limit=3, captions_per_image=2)
    cut = [own[:2] for own in CAPTIONS[:3]]
    assert report.counts == {"images": 3, "captions": 5, "truncated_captions": 0}
    assert report.metrics["text_to_image_recall_at_1"] == pytest.approx(slow_recall_at_1(cut)[1])
    assert report.settings["limit"] == 3
    assert report.settings["captions_per_image"] == 2


def test_shows_progress_on_a_terminal():
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    evaluate_retrieval(fresh_predictor(), photo_source(CAPTIONS), batch_size=2, console=console)
    assert "embedding" in console.file.getvalue()
    assert "5/5" in console.file.getvalue()


def test_refuses_what_leaves_nothing_to_measure():
    predictor = fresh_predictor()
    with pytest.raises(ValueError, match="a list has no samples"):
        evaluate_retrieval(predictor, ListSource(samples=()))
    with pytest.raises(ValueError, match="limit must be at least 1, got 0"):
        evaluate_retrieval(predictor, photo_source(CAPTIONS), limit=0)
    with pytest.raises(ValueError, match="captions_per_image must be at least 1, got 0"):
        evaluate_retrieval(predictor, photo_source(CAPTIONS), captions_per_image=0)
