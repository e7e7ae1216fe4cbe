from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from reference import slow
from sycoca.objectives.captioning import captioning_loss
from sycoca.objectives.config import ObjectivesConfig
from sycoca.objectives.contrastive import Ranks, cached_contrastive_gradients, contrastive_loss
from sycoca.objectives.masked_image import masked_image_loss, normalize_patches


def test_contrastive_equals_the_slow_version():
    images, texts = (F.normalize(torch.randn(5, 4, dtype=torch.float64), dim=-1) for _ in range(2))
    loss = contrastive_loss(images, texts, torch.tensor([7.0], dtype=torch.float64), 5, Ranks())
    assert loss.item() == pytest.approx(slow.contrastive(images, texts, 7.0))


def test_contrastive_losses_of_ranks_sum_to_that_of_one_process():
    images, texts = (F.normalize(torch.randn(6, 4, dtype=torch.float64), dim=-1) for _ in range(2))
    scale, shares = torch.tensor([7.0], dtype=torch.float64), []
    for rank in range(3):
        rows = slice(2 * rank, 2 * rank + 2)
        local = {images[rows].data_ptr(): images, texts[rows].data_ptr(): texts}

        def gather(rows: torch.Tensor, local: dict[int, torch.Tensor] = local) -> torch.Tensor:
            return local[rows.data_ptr()]

        shares.append(contrastive_loss(images[rows], texts[rows], scale, 6, Ranks(gather=gather, rank=rank)))
    expected = contrastive_loss(images, texts, scale, 6, Ranks())
    torch.testing.assert_close(torch.stack(shares).sum(), expected)


# Pairs 0 and 3 share the image, 1 and 4 the caption, 2 and 5 both; an image's key may equal a caption's.
KEYS = torch.tensor([[1, 11], [2, 12], [3, 13], [1, 14], [5, 12], [3, 13], [7, 5]])


def seven_pairs() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(4)
    images, texts = (F.normalize(torch.randn(7, 5, generator=generator, dtype=torch.float64), dim=1) for _ in "it")
    return images, texts, torch.tensor([7.0], dtype=torch.float64)


def test_copies_are_no_negatives_of_each_other():
    images, texts, scale = seven_pairs()
    loss = contrastive_loss(images, texts, scale, 7, Ranks(), KEYS)
    keys = [tuple(row) for row in KEYS.tolist()]
    assert loss.item() == pytest.approx(slow.contrastive(images, texts, 7.0, keys))
    assert loss.item() < contrastive_loss(images, texts, scale, 7, Ranks()).item()


def test_copies_are_found_in_the_pairs_of_other_ranks():
    images, texts, scale = (tensor[:6] for tensor in seven_pairs())
    keys, parts = KEYS[:6].contiguous(), []
    for rank in range(3):
        rows = slice(2 * rank, 2 * rank + 2)
        local = {tensor[rows].data_ptr(): tensor for tensor in (images, texts, keys)}
        ranks = Ranks(gather=lambda rows, local=local: local[rows.data_ptr()], rank=rank)
        parts.append(contrastive_loss(images[rows], texts[rows], scale, 6, ranks, keys[rows]))
    torch.testing.assert_close(torch.stack(parts).sum(), contrastive_loss(images, texts, scale, 6, Ranks(), keys))


def test_without_copies_keys_change_no_bit():
    images, texts, scale = (tensor.float().requires_grad_() for tensor in seven_pairs())
    gradients = []
    for keys in (None, torch.arange(14).reshape(7, 2)):
        loss = contrastive_loss(images, texts, scale, 7, Ranks(), keys)
        gradients.append((loss, *torch.autograd.grad(loss, (images, texts, scale))))
    for without, with_keys in zip(*gradients, strict=True):
        assert torch.equal(without, with_keys)


def test_a_batch_of_copies_alone_has_loss_0_and_no_gradient():
    images, texts, scale = (tensor.requires_grad_() for tensor in seven_pairs())
    loss = contrastive_loss(images, texts, scale, 7, Ranks(), torch.ones(7, 2, dtype=torch.int64))
    assert loss.item() == 0
    assert all(bool((gradient == 0).all()) for gradient in torch.autograd.grad(loss, (images, texts, scale)))


def test_loss_of_perfect_alignment_follows_from_the_temperature():
    embeds = torch.eye(3)
    loss = contrastive_loss(embeds, embeds, torch.tensor([2.0]), 3, Ranks())
    assert loss.item() == pytest.approx(-2 + torch.tensor([2.0, 0.0, 0.0]).exp().sum().log().item())


def test_contrastive_logits_stay_float32_under_autocast():
    embeds = F.normalize(torch.randn(8, 16), dim=-1)
    expected = contrastive_loss(embeds, embeds, torch.tensor([100.0]), 8, Ranks())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = contrastive_loss(embeds, embeds, torch.tensor([100.0]), 8, Ranks())
    assert loss.dtype == torch.float32
    assert torch.equal(loss, expected)


def test_captioning_divides_by_the_global_number_of_labels():
    logits, labels = torch.randn(4, 7), torch.randint(0, 7, (4,))
    by_hand = -sum(float(row.log_softmax(-1)[label]) for row, label in zip(logits, labels, strict=True))
    assert captioning_loss(logits, labels, 10).item() == pytest.approx(by_hand / 10, rel=1e-5)


@pytest.mark.parametrize(("error", "expected"), [("squared", (1 + 4) / 2), ("absolute", (1 + 2) / 2)])
def test_masked_image_error_by_hand(error, expected: float):
    predicted = torch.tensor([[[1.0, 2.0]], [[0.0, 0.0]]])
    loss = masked_image_loss(predicted, torch.zeros(2, 1, 2), error, num_samples=2)
    assert loss.item() == pytest.approx(expected / 2)


def test_normalized_patches_have_mean_0_and_variance_1_and_flat_ones_are_finite():
    patches = torch.stack([torch.randn(48) * 5 + 3, torch.full((48,), 0.25)]).unsqueeze(0)
    normalized = normalize_patches(patches)
    assert normalized[0, 0].mean().item() == pytest.approx(0, abs=1e-5)
    assert normalized[0, 0].var().item() == pytest.approx(1, rel=1e-4)
    assert normalized[0, 1].abs().max().item() == pytest.approx(0, abs=1e-3)


def test_weights_are_checked():
    with pytest.raises(ValueError, match="must be numbers of at least 0"):
        ObjectivesConfig(captioning_weight=-1.0)
    with pytest.raises(ValueError, match="at least one objective"):
        ObjectivesConfig(contrastive_weight=0.0, captioning_weight=0.0, masked_image_weight=0.0)


@pytest.mark.parametrize("keys", [None, torch.tensor([[1, 2], [3, 4], [1, 5], [6, 7], [8, 9], [10, 4], [11, 12]])])
@pytest.mark.parametrize("block_size", [1, 3, 7])
def test_contrastive_loss_in_blocks_is_that_of_the_whole(keys: torch.Tensor | None, block_size: int):
    found = []
    for size in (None, block_size):
        generator = torch.Generator().manual_seed(2)
        images, texts = (F.normalize(torch.randn(7, 4, generator=generator).double(), dim=1) for _ in range(2))
        scale = torch.tensor([9.0], dtype=torch.float64)
        inputs = [tensor.requires_grad_() for tensor in (images, texts, scale)]
        loss = contrastive_loss(images, texts, scale, 7, Ranks(), keys, size)
        cached = cached_contrastive_gradients(
            [images[:4], images[4:]], [texts[:4], texts[4:]], scale, 7, Ranks(), keys, size
        )
        found.append([loss, *torch.autograd.grad(loss, inputs), cached[1].loss, cached[1].grad_text_embeds])
    torch.testing.assert_close(found[1], found[0], rtol=1e-9, atol=1e-12)


def test_blocks_bound_the_logits_in_memory():
    largest = []

    class Sizes(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            result = func(*args, **(kwargs or {}))
            largest.append(
                max((one.numel() for one in tree_leaves(result) if isinstance(one, torch.Tensor)), default=0)
            )
            return result

    images, texts = (torch.randn(64, 2).requires_grad_() for _ in range(2))
    with Sizes():
        contrastive_loss(images, texts, torch.ones(1), 64, Ranks(), None, 4).backward()
    assert max(largest) == 4 * 64
