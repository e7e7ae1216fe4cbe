import pytest
import torch

from sycoca.metrics.clip_score import clip_scores, ref_clip_scores, reference_similarities

IMAGES = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
CAPTIONS = torch.tensor([[0.6, 0.8], [-0.6, 0.8], [0.6, 0.8]])
REFERENCES = [torch.tensor([[1.0, 0.0], [0.8, 0.6]]), torch.tensor([[-1.0, 0.0]]), torch.tensor([[0.0, -1.0]])]


def test_clip_score_is_the_cosine_times_2_5_and_never_negative():
    assert clip_scores(IMAGES, CAPTIONS).tolist() == pytest.approx([1.5, 0, 2.0])


def test_the_closest_reference_counts():
    assert reference_similarities(CAPTIONS, REFERENCES).tolist() == pytest.approx([0.96, 0.6, 0])


def test_ref_clip_score_is_the_harmonic_mean_of_both():
    scores, similarities = clip_scores(IMAGES, CAPTIONS), reference_similarities(CAPTIONS, REFERENCES)
    assert ref_clip_scores(scores, similarities).tolist() == pytest.approx([2 * 1.5 * 0.96 / 2.46, 0, 0])
    assert ref_clip_scores(torch.zeros(1), torch.zeros(1)).tolist() == [0]


def test_a_caption_without_references_is_named():
    with pytest.raises(ValueError, match="caption 2 has no references"):
        reference_similarities(CAPTIONS[:2], [REFERENCES[0], torch.zeros(0, 2)])
