"""Stateless random numbers: every draw is a function of a seed, a purpose and indices such as epoch and sample.

Nothing here depends on rank, worker or micro-batch. So one process and four, any split of a batch, and a resumed
run draw the same numbers, and a checkpoint stores counters instead of generator states.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

NUM_KEYS = 2**63
"""Keys are whole numbers from 0 to below this."""


def derive_key(seed: int, purpose: str, *indices: int) -> int:
    """Return a 63-bit integer that depends on every argument and is the same on every machine.

    ``purpose`` says what is drawn ("crop", "caption"), ``indices`` for what: epoch, step, sample index and the like.
    """
    text = "/".join([str(seed), purpose, *(str(index) for index in indices)])
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def derive_generator(seed: int, purpose: str, *indices: int) -> torch.Generator:
    """Return a CPU generator seeded with ``derive_key`` of the same arguments."""
    import torch

    return torch.Generator().manual_seed(derive_key(seed, purpose, *indices))


def derive_generators(keys: Iterable[int], purpose: str) -> list[torch.Generator]:
    """Return one generator per sample, seeded from the batch's ``draw_keys`` and the purpose."""
    return [derive_generator(int(key), purpose) for key in keys]
