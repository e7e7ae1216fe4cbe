from collections.abc import Iterator
from typing import NamedTuple

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from reference.slow_retrieval import slow_order, slow_rank, slow_re_ranked
from sycoca.metrics.retrieval import (
    RetrievalRanks,
    equal_rows,
    first_candidates,
    re_ranked,
    retrieval_metrics,
    retrieval_ranks,
)
from sycoca.metrics.retrieval_ceilings import recall_ceilings


class Case(NamedTuple):
    """Embeddings of small whole numbers, so that ties are common and products exact."""

    images: torch.Tensor
    texts: torch.Tensor
    image_of_text: list[int]

    def queries(self) -> Iterator[tuple[str, list[float], list[bool]]]:
        """Yield every query's direction, its scores and which candidates are right."""
        for index, image in enumerate(self.images):
            yield "image", [float(image @ text) for text in self.texts], [own == index for own in self.image_of_text]
        for text, own in zip(self.texts, self.image_of_text, strict=True):
            yield "text", [float(text @ image) for image in self.images], [i == own for i in range(len(self.images))]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Return up to 6 images with 1 to 7 captions each, captions in any order."""
    num_captions = draw(st.lists(st.integers(1, 7), min_size=1, max_size=6))
    image_of_text = draw(st.permutations([i for i, count in enumerate(num_captions) for _ in range(count)]))
    embeds = st.lists(st.integers(-2, 2), min_size=2, max_size=2)
    return Case(
        torch.tensor([draw(embeds) for _ in num_captions]).float(),
        torch.tensor([draw(embeds) for _ in image_of_text]).float(),
        image_of_text,
    )


@given(case=cases(), block_size=st.integers(1, 9))
def test_ranks_equal_counting_one_by_one(case: Case, block_size: int):
    ranks = retrieval_ranks(case.images, case.texts, torch.tensor(case.image_of_text), block_size=block_size)
    expected = [slow_rank(scores, is_right) for _, scores, is_right in case.queries()]
    assert [*ranks.image_to_text.tolist(), *ranks.text_to_image.tolist()] == expected


@given(case=cases(), num_first=st.integers(1, 9), block_size=st.integers(1, 9), seed=st.integers(0, 100))
def test_re_ranking_equals_sorting_one_by_one(case: Case, num_first: int, block_size: int, seed: int):
    owners = torch.tensor(case.image_of_text)
    # Two values only: other scores tie as well.
    other = torch.randint(0, 2, (len(case.images), len(case.texts)), generator=torch.Generator().manual_seed(seed))
    candidates = first_candidates(case.images, case.texts, owners, num_first, block_size=block_size)
    ranks = retrieval_ranks(case.images, case.texts, owners)
    of_images = candidates.texts_of_image
    found = re_ranked(
        ranks.image_to_text,
        owners[of_images] == torch.arange(len(case.images))[:, None],
        other.gather(1, of_images).float(),
    )
    of_texts = candidates.images_of_text
    found_images = re_ranked(ranks.text_to_image, of_texts == owners[:, None], other.T.gather(1, of_texts).float())
    others = [*other.tolist(), *other.T.tolist()]
    queries = list(case.queries())
    # Which of several equal wrong candidates is among the first is open, and no rank depends on their number.
    for (_, scores, is_right), row in zip(queries, [*of_images.tolist(), *of_texts.tolist()], strict=True):
        expected = slow_order(scores, is_right)[:num_first]
        assert [(scores[i], is_right[i]) for i in row] == [(scores[i], is_right[i]) for i in expected]
        assert len(set(row)) == len(row)
    clear = [i for i, (_, scores, is_right) in enumerate(queries) if has_clear_end(scores, is_right, num_first)]
    slow = [slow_re_ranked(queries[i][1], queries[i][2], num_first, others[i]) for i in clear]
    fast = [*found.tolist(), *found_images.tolist()]
    assert [fast[i] for i in clear] == slow


def has_clear_end(scores: list[float], is_right: list[bool], num_first: int) -> bool:
    """Return whether the first candidates are the same ones however equal ones are ordered."""
    order = slow_order(scores, is_right)
    if num_first >= len(order):
        return True
    last, following = order[num_first - 1], order[num_first]
    return (scores[last], is_right[last]) != (scores[following], is_right[following])


def test_ranks_worked_out_by_hand():
    images = torch.eye(3)
    # Captions 0 and 1 are of image 0: 0 is closest to image 2, 1 to its own.
    texts = torch.tensor([[0.5, 0.1, 0.8], [0.9, 0.2, 0.3], [0.6, 0.4, 0.5], [0.1, 0.7, 0.2]])
    ranks = retrieval_ranks(images, texts, torch.tensor([0, 0, 1, 2]))
    assert ranks.image_to_text.tolist() == [1, 2, 4]
    assert ranks.text_to_image.tolist() == [2, 1, 3, 2]


@given(case=cases())
def test_no_recall_exceeds_its_ceiling(case: Case):
    owners = torch.tensor(case.image_of_text)
    ceilings = recall_ceilings(equal_rows(case.texts).value, equal_rows(case.images).value, owners)
    found = retrieval_metrics(retrieval_ranks(case.images, case.texts, owners))
    assert all(found[name] <= ceiling <= 1 for name, ceiling in ceilings.items())


def test_ceilings_worked_out_by_hand():
    # Images 0 and 1 have two equal captions, image 2 has one of these and one of its own, images 3 and 4 are equal.
    captions, owners = torch.tensor([0, 1, 0, 1, 0, 2, 3, 4]), torch.tensor([0, 0, 1, 1, 2, 2, 3, 4])
    ceilings = recall_ceilings(captions, torch.tensor([0, 1, 2, 3, 3]), owners)
    assert ceilings["image_to_text_recall_at_1"] == 2 / 5  # image 2, and one of 3 and 4
    # One query of caption 0, one of caption 1, and caption 2; images 3 and 4 tie.
    assert ceilings["text_to_image_recall_at_1"] == 3 / 8
    assert {name: value for name, value in ceilings.items() if value == 1}.keys() == {
        f"{direction}_recall_at_{k}" for direction in ("image_to_text", "text_to_image") for k in (5, 10)
    }
    assert ceilings["mean_text_recall"] == pytest.approx((2 / 5 + 2) / 3)


@pytest.mark.parametrize("block_size", [1, 3])
def test_equal_captions_are_ties_wherever_they_stand(block_size: int):
    # Images i and 300 + i have equal captions; caption 0 makes their number odd.
    texts = torch.nn.functional.normalize(torch.randn(300, 24), dim=1)
    both = torch.cat([torch.zeros(1, 24), texts, texts])
    ranks = retrieval_ranks(both, both, torch.arange(601), block_size=block_size)
    assert ranks.image_to_text[1:].tolist() == [2] * 600
    equal = equal_rows(torch.cat([texts, texts]))
    assert (equal.first.tolist(), equal.value.tolist()) == (list(range(300)), [*range(300)] * 2)


def test_constant_embeddings_have_recall_zero():
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
def test_refuses_embeddings_that_are_not_finite(broken: str):
    embeds = {"image": torch.ones(2, 3), "text": torch.ones(2, 3)}
    embeds[broken][1, 1] = float("nan")
    with pytest.raises(ValueError, match=f"{broken} embedding 1 is not finite: the model has diverged"):
        retrieval_ranks(embeds["image"], embeds["text"], torch.arange(2))


def test_refuses_an_image_without_caption():
    with pytest.raises(ValueError, match="image 1 has no caption"):
        retrieval_ranks(torch.ones(3, 2), torch.ones(2, 2), torch.tensor([0, 2]))


def test_refuses_a_caption_of_no_image():
    with pytest.raises(ValueError, match="belongs to image 2, there are 2 images"):
        retrieval_ranks(torch.ones(2, 2), torch.ones(3, 2), torch.tensor([0, 1, 2]))
    with pytest.raises(ValueError, match="belongs to image -1, there are 2 images"):
        retrieval_ranks(torch.ones(2, 2), torch.ones(3, 2), torch.tensor([0, 1, -1]))


def test_refuses_zero_candidates():
    with pytest.raises(ValueError, match="at least 1 candidate"):
        first_candidates(torch.ones(2, 2), torch.ones(2, 2), torch.arange(2), 0)
