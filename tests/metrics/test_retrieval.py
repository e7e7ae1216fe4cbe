import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sycoca.metrics.retrieval import RetrievalRanks, retrieval_metrics, retrieval_ranks


def slow_ranks(images: torch.Tensor, texts: torch.Tensor, image_of_text: list[int]) -> tuple[list[int], list[int]]:
    """Rank one query after the other, counting in Python."""
    image_to_text, text_to_image = [], []
    for i, image in enumerate(images):
        scores = [float(image @ text) for text in texts]
        best = max(score for score, owner in zip(scores, image_of_text, strict=True) if owner == i)
        wrong = [score for score, owner in zip(scores, image_of_text, strict=True) if owner != i]
        image_to_text.append(1 + sum(score >= best for score in wrong))
    for text, owner in zip(texts, image_of_text, strict=True):
        scores = [float(text @ image) for image in images]
        text_to_image.append(1 + sum(score >= scores[owner] for i, score in enumerate(scores) if i != owner))
    return image_to_text, text_to_image


@given(data=st.data(), num_images=st.integers(1, 6), block_size=st.integers(1, 9))
def test_ranks_equal_counting_one_by_one(data: st.DataObject, num_images: int, block_size: int):
    extra = data.draw(st.lists(st.integers(0, num_images - 1), max_size=8))
    image_of_text = data.draw(st.permutations([*range(num_images), *extra]))
    # Small whole numbers, so that ties are common and products exact.
    numbers = st.lists(st.integers(-2, 2), min_size=2, max_size=2)
    images = torch.tensor([data.draw(numbers) for _ in range(num_images)]).float()
    texts = torch.tensor([data.draw(numbers) for _ in image_of_text]).float()
    ranks = retrieval_ranks(images, texts, torch.tensor(image_of_text), block_size=block_size)
    expected = slow_ranks(images, texts, image_of_text)
    assert (ranks.image_to_text.tolist(), ranks.text_to_image.tolist()) == expected


def test_ranks_worked_out_by_hand():
    images = torch.eye(3)
    # Captions 0 and 1 are of image 0: 0 is closest to image 2, 1 to its own.
    texts = torch.tensor([[0.5, 0.1, 0.8], [0.9, 0.2, 0.3], [0.6, 0.4, 0.5], [0.1, 0.7, 0.2]])
    ranks = retrieval_ranks(images, texts, torch.tensor([0, 0, 1, 2]))
    assert ranks.image_to_text.tolist() == [1, 2, 4]
    assert ranks.text_to_image.tolist() == [2, 1, 3, 2]


def test_embeddings_that_are_all_the_same_find_nothing():
    same = torch.ones(20, 4)
    metrics = retrieval_metrics(retrieval_ranks(same, same, torch.arange(20)))
    assert metrics["text_to_image_recall_at_10"] == metrics["image_to_text_recall_at_10"] == 0.0
    assert metrics["text_to_image_mean_rank"] == 20


def test_half_precision_is_compared_in_float32():
    images = torch.tensor([[1.0, 0.001], [1.0, 0.0]], dtype=torch.bfloat16)
    texts = torch.tensor([[1.0, 0.001], [1.0, -0.001]], dtype=torch.bfloat16)
    assert retrieval_ranks(images, texts, torch.arange(2)).text_to_image.tolist() == [1, 1]


def test_metrics_worked_out_by_hand():
    ranks = RetrievalRanks(image_to_text=torch.tensor([1, 5, 6, 20]), text_to_image=torch.tensor([1, 1, 2, 10, 11]))
    metrics = retrieval_metrics(ranks)
    assert metrics["image_to_text_recall_at_1"] == 0.25
    assert metrics["image_to_text_recall_at_5"] == 0.5
    assert metrics["image_to_text_recall_at_10"] == 0.75
    assert metrics["image_to_text_mean_rank"] == 8.0
    assert metrics["image_to_text_median_rank"] == 5.5
    assert metrics["mean_text_recall"] == pytest.approx(0.5)
    assert metrics["text_to_image_recall_at_10"] == pytest.approx(0.8)
    assert metrics["text_to_image_median_rank"] == 2.0
    assert metrics["mean_image_recall"] == pytest.approx((0.4 + 0.6 + 0.8) / 3)


@pytest.mark.parametrize("broken", ["image", "text"])
def test_refuses_numbers_that_are_none(broken: str):
    embeds = {"image": torch.ones(2, 3), "text": torch.ones(2, 3)}
    embeds[broken][1, 1] = float("nan")
    with pytest.raises(ValueError, match=f"{broken} embeddings are not finite"):
        retrieval_ranks(embeds["image"], embeds["text"], torch.arange(2))


def test_refuses_an_image_without_caption():
    with pytest.raises(ValueError, match="image 1 has no caption"):
        retrieval_ranks(torch.ones(3, 2), torch.ones(2, 2), torch.tensor([0, 2]))


def test_refuses_a_caption_of_no_image():
    with pytest.raises(ValueError, match="belongs to image 2, there are 2 images"):
        retrieval_ranks(torch.ones(2, 2), torch.ones(3, 2), torch.tensor([0, 1, 2]))
