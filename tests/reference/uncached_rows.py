"""Decoding without a cache: the reference implementation of `sycoca.inference.caption_rows.CaptionRows`."""

import torch
from torch import Tensor

from sycoca.model.sycoca import SyCoCa


class UncachedRows:
    """Encodes every caption from its beginning for every token; rows of an image still share its memory."""

    def __init__(self, model: SyCoCa, memory: Tensor, *, rows_per_image: int) -> None:
        self.model = model
        self.memory = memory
        self.rows_per_image = rows_per_image
        self.seen = torch.empty(len(memory) * rows_per_image, 0, dtype=torch.long)

    def advance(self, tokens: Tensor) -> Tensor:
        """Append one token to every row; return the logits of the next."""
        self.seen = torch.cat([self.seen, tokens[:, None]], dim=1)
        texts = self.model.encode_texts(self.seen, torch.zeros_like(self.seen, dtype=torch.bool))
        return self.model.vocabulary_logits(self.model.caption_states(texts.token_states, self.memory)[:, -1])

    def reorder(self, rows: Tensor) -> None:
        """Replace row i by row ``rows[i]``; images without rows are dropped."""
        self.memory = self.memory[rows[:: self.rows_per_image] // self.rows_per_image]
        self.seen = self.seen[rows]
