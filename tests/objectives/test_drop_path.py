import pytest
import torch

from sycoca.model.image_encoder import ImageEncoder
from sycoca.objectives.classification import classification_loss
from sycoca.objectives.drop_path import residual_factors

CPU = torch.device("cpu")


def test_blocks_are_dropped_at_the_given_rate_and_the_mean_is_kept():
    factors = residual_factors(torch.arange(4000), depth=3, rate=0.4, device=CPU)
    assert factors.shape == (4000, 3, 2)
    assert (factors[:, 0] == 1).all()
    for place, rate in ((1, 0.2), (2, 0.4)):
        dropped = factors[:, place] == 0
        assert dropped.double().mean().item() == pytest.approx(rate, abs=0.03)
        assert torch.allclose(factors[:, place][~dropped], torch.tensor(1 / (1 - rate)))
        assert dropped[:, 0].ne(dropped[:, 1]).any()


def test_factors_depend_on_the_images_key_alone():
    keys = torch.tensor([5, 9, 2])
    whole = residual_factors(keys, depth=4, rate=0.5, device=CPU)
    assert torch.equal(whole[1:2], residual_factors(keys[1:2], depth=4, rate=0.5, device=CPU))


def test_factors_of_one_change_nothing_and_of_zero_drop_all_blocks(config):
    encoder = ImageEncoder(config.image_encoder, config.embed_dim).double()
    images = torch.randn(2, 3, 16, 16).double()
    _, plain = encoder(images)
    _, kept = encoder(images, residual_factors=torch.ones(2, 2, 2))
    torch.testing.assert_close(kept, plain)
    factors = torch.ones(2, 2, 2)
    factors[0] = 0
    _, one_left_out = encoder(images, residual_factors=factors)
    torch.testing.assert_close(one_left_out[1], plain[1])
    encoder.blocks = torch.nn.ModuleList()
    _, before_blocks = encoder(images)
    torch.testing.assert_close(one_left_out[0], before_blocks[0])


def test_attention_and_mlp_have_separate_factors(config):
    encoder = ImageEncoder(config.image_encoder, config.embed_dim).double()
    images = torch.randn(1, 3, 16, 16).double()
    only_attention, only_mlp = torch.zeros(2, 1, 2, 2)
    only_attention[0, 1, 0] = only_mlp[0, 1, 1] = 1
    _, attended = encoder(images, residual_factors=only_attention)
    _, nothing = encoder(images, residual_factors=torch.zeros(1, 2, 2))
    _, fed = encoder(images, residual_factors=only_mlp)
    block = encoder.blocks[1]
    torch.testing.assert_close(
        attended - nothing, _patches(block.attention(_all(encoder, images), block.norm_attention, is_causal=False))
    )
    torch.testing.assert_close(fed - nothing, _patches(block.mlp(_all(encoder, images), block.norm_mlp)))


def _all(encoder: ImageEncoder, images):
    return torch.cat(encoder(images, residual_factors=torch.zeros(1, 2, 2)), dim=1)


def _patches(x):
    return x[:, 1:]


def test_cross_entropy_by_hand_is_divided_by_the_global_batch():
    logits = torch.tensor([[0.0, 0.0], [1.0, 0.0]]).double()
    targets = torch.tensor([[0.5, 0.5], [0.0, 1.0]])
    log_half, log_second = torch.tensor(0.5).log(), logits[1].log_softmax(0)[1]
    assert classification_loss(logits, targets, 4).item() == pytest.approx(-(log_half + log_second).item() / 4)
    parts = sum(classification_loss(logits[i : i + 1], targets[i : i + 1], 4) for i in range(2))
    assert float(parts) == pytest.approx(classification_loss(logits, targets, 4).item())
