import pytest
import torch

from builders.models import BatchMaker
from sycoca.model.key_value_cache import KeyValueCache
from sycoca.model.sycoca import SyCoCa


def full_logits(model: SyCoCa, tokens: torch.Tensor, memory: torch.Tensor) -> torch.Tensor:
    """Logits of every position without any cache."""
    states = model.encode_texts(tokens, torch.zeros_like(tokens, dtype=torch.bool)).token_states
    return model.vocabulary_logits(model.caption_states(states, memory))


def test_cached_decoding_equals_uncached(model: SyCoCa, make_batch: BatchMaker):
    batch = make_batch(batch=3)
    memory = model.memory(model.encode_images(batch.images))
    tokens = torch.randint(3, 30, (3, 9))
    expected = full_logits(model, tokens, memory)
    state = model.start_decoding(memory, max_tokens=9)
    torch.testing.assert_close(model.next_token_logits(tokens[:, :4], state), expected[:, 3])
    for position in range(4, 9):
        logits = model.next_token_logits(tokens[:, position : position + 1], state)
        torch.testing.assert_close(logits, expected[:, position])
    assert state.num_tokens == 9


@pytest.mark.parametrize("order", [[2, 2, 0, 4, 3, 3], [0, 1, 1, 3, 3, 3]], ids=["all move", "some are overwritten"])
def test_beams_share_their_images_memory_and_can_be_reordered(order: list[int], model: SyCoCa, make_batch: BatchMaker):
    batch = make_batch(batch=2)
    memory = model.memory(model.encode_images(batch.images))
    tokens = torch.randint(3, 30, (6, 5))
    state = model.start_decoding(memory, max_tokens=8)
    logits = model.next_token_logits(tokens, state)
    repeated = memory.repeat_interleave(3, dim=0)
    torch.testing.assert_close(logits, full_logits(model, tokens, repeated)[:, -1])
    state.reorder(torch.tensor(order))
    new = torch.randint(3, 30, (6, 1))
    expected = full_logits(model, torch.cat([tokens[order], new], dim=1), repeated)[:, -1]
    torch.testing.assert_close(model.next_token_logits(new, state), expected)


def test_images_can_be_dropped_while_decoding(model: SyCoCa, make_batch: BatchMaker):
    batch = make_batch(batch=3)
    memory = model.memory(model.encode_images(batch.images))
    tokens = torch.randint(3, 30, (3, 4))
    state = model.start_decoding(memory, max_tokens=8)
    model.next_token_logits(tokens[:, :3], state)
    kept = torch.tensor([0, 2])
    state.keep_images(kept, kept)
    expected = full_logits(model, tokens[kept], memory[kept])[:, -1]
    torch.testing.assert_close(model.next_token_logits(tokens[kept, 3:], state), expected)


def test_beams_that_stay_are_not_copied(model: SyCoCa, make_batch: BatchMaker, monkeypatch: pytest.MonkeyPatch):
    memory = model.memory(model.encode_images(make_batch(batch=2).images))
    state = model.start_decoding(memory, max_tokens=2)
    model.next_token_logits(torch.randint(3, 30, (6, 1)), state)
    monkeypatch.delattr(KeyValueCache, "take_rows")
    state.reorder(torch.tensor([0, 1, 1, 3, 3, 3]))
