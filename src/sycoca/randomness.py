"""Randomness is derived, not carried: every draw is a function of a seed, a purpose and a place.

Nothing here depends on rank, worker or micro-batch, so that one process and four, any split of a batch and a
resumed run see the same numbers, and a checkpoint holds counters instead of generator states.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def derive_key(seed: int, purpose: str, *place: int) -> int:
    """Return a number of 63 bits that depends on every argument, equal on every machine.

    ``purpose`` says what is drawn ("crop", "caption"), ``place`` where: epoch, step, sample index and the like.
    """
    text = "/".join([str(seed), purpose, *(str(part) for part in place)])
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def derive_generator(seed: int, purpose: str, *place: int) -> torch.Generator:
    """Return a CPU generator that starts at ``derive_key`` of the same arguments."""
    import torch

    return torch.Generator().manual_seed(derive_key(seed, purpose, *place))


def derive_generators(keys: Iterable[int], purpose: str) -> list[torch.Generator]:
    """Return one generator per sample, from the batch's ``draw_keys`` and what is to be drawn."""
    return [derive_generator(int(key), purpose) for key in keys]
