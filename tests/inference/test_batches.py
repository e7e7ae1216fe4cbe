import pytest
import torch

from builders.predictors import photos, small_predictor
from sycoca.inference.batches import in_length_order, joined_rows

CAPTIONS = ["a red circle left of a blue square", "a star", "a green cross above a pink star", "red", "a pink star"]


def test_sequences_of_like_length_share_a_batch_and_rows_keep_their_order():
    batches: list[list[int]] = []

    def compute(sequences) -> torch.Tensor:
        batches.append([len(sequence) for sequence in sequences])
        return torch.tensor([[float(sum(sequence))] for sequence in sequences], dtype=torch.float64)

    rows = in_length_order(compute, [[1, 2, 3], [4], [5, 5], [6, 1, 1, 1]], 2)
    assert rows.tolist() == [[6.0], [4.0], [10.0], [9.0]]
    assert rows.dtype == torch.float32
    assert batches == [[1, 2], [3, 4]]


def test_no_items_give_no_rows_of_the_right_shape():
    assert joined_rows([], (3, 2)).shape == (0, 3, 2)
    rows = in_length_order(lambda _: torch.ones(1, 5), [], 4, (5,))
    assert (rows.shape, rows.dtype) == ((0, 5), torch.float32)


def test_batches_hold_at_least_one_item():
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        in_length_order(lambda _: torch.ones(1), [[1]], 0)


def test_embeddings_of_texts_are_those_of_each_alone():
    predictor = small_predictor()
    together = predictor.embed_texts(CAPTIONS, batch_size=2)
    alone = torch.cat([predictor.embed_texts([caption]) for caption in CAPTIONS])
    torch.testing.assert_close(together, alone)


@pytest.mark.parametrize("batch_size", [1, 2, 64])
def test_candidates_are_as_likely_as_their_pairs(batch_size: int):
    predictor, images = small_predictor(), photos(3)
    candidates = [CAPTIONS[:4], CAPTIONS[4:], CAPTIONS[1:3]]
    found = predictor.candidate_log_likelihoods(images, candidates, batch_size=batch_size)
    for image, captions, values in zip(images, candidates, found, strict=True):
        pairs = predictor.caption_log_likelihood([image] * len(captions), captions, per_token=True)
        torch.testing.assert_close(values, pairs)
    with pytest.raises(ValueError, match="3 images and 1 lists of candidates"):
        predictor.candidate_log_likelihoods(images, candidates[:1])
