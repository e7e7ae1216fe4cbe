import numpy as np
import pytest
import torch

from sycoca.evaluation import data_map
from sycoca.evaluation.data_map import LEAST_MAP_IMAGES, map_layout


def clusters(number: int = 40) -> torch.Tensor:
    """Return directions in four groups."""
    generator = torch.Generator().manual_seed(0)
    rows = torch.eye(16)[torch.arange(number) % 4] + 0.05 * torch.randn(number, 16, generator=generator)
    return torch.nn.functional.normalize(rows, dim=1)


def test_groups_stay_together_and_the_map_is_the_same_every_time():
    found = map_layout(clusters())
    assert found is not None
    assert (found.points.min(), found.points.max()) == (0, 1)
    centers = np.stack([found.points[group::4].mean(0) for group in range(4)])
    nearest = np.linalg.norm(found.points[:, None] - centers, axis=2).argmin(1)
    assert nearest.tolist() == [number % 4 for number in range(40)]
    quality = found.quality
    assert (quality.num_neighbors, quality.chance) == (10, 10 / 39)
    assert quality.kept_neighbors > 0.85
    again = map_layout(clusters())
    assert again is not None
    assert np.array_equal(found.points, again.points)


def test_kept_neighbors_are_counted():
    line = torch.arange(12.0)[:, None]
    vectors = torch.cat([line, torch.zeros(12, 1)], dim=1)
    assert data_map._kept(vectors, vectors, 2) == 1
    # Swapping the halves of a line keeps the neighbors within each half: all but one of those at the two cuts.
    swapped = vectors.clone()
    swapped[:, 0] = (line[:, 0] + 6) % 12
    assert 0.5 < data_map._kept(vectors, swapped, 2) < 1


def test_few_images_have_no_map():
    assert map_layout(clusters(LEAST_MAP_IMAGES - 1)) is None
    assert map_layout(clusters(LEAST_MAP_IMAGES)) is not None


@pytest.mark.parametrize("scale", [0.0, 1e-9])
def test_images_that_embed_alike_have_no_map(scale: float):
    """scikit-learn's t-SNE dies of a segmentation fault for equal points."""
    rows = clusters(1).repeat(12, 1)
    assert map_layout(rows + scale * torch.arange(12.0)[:, None]) is None
    assert map_layout(torch.zeros(12, 16)) is None
    rows[0] += 1e-5
    assert map_layout(rows) is not None


def test_without_scikit_learn_the_extra_is_named(monkeypatch):
    monkeypatch.setattr(data_map, "find_spec", lambda _: None)
    with pytest.raises(
        ValueError, match=r"needs scikit-learn: pip install 'sycoca\[probe\]', or leave it out: --no-map"
    ):
        map_layout(clusters())
