"""Unfinished captions of images, one token at a time, with key-value caches."""

from typing import final

from jaxtyping import Float, Int
from torch import Tensor

from sycoca.model.sycoca import SyCoCa


@final
class CaptionRows:
    """Next-token predictions with key-value caches; each image's cross-attention keys are computed once.

    With ``prompts``, one per image and with bos, every row continues its image's prompt instead of bos alone.
    """

    def __init__(
        self,
        model: SyCoCa,
        memory: Float[Tensor, "images memory memory_width"],
        *,
        rows_per_image: int,
        max_tokens: int,
        prompts: Int[Tensor, "images prompt"] | None = None,
    ) -> None:
        self._model = model
        num_prompted = 1 if prompts is None else prompts.shape[1]
        self._state = model.start_decoding(memory, max_tokens + num_prompted - 1)
        self._prompts = prompts
        self._rows_per_image = rows_per_image
        self._num_images = len(memory)
        self._device = memory.device

    def advance(self, tokens: Int[Tensor, " rows"]) -> Float[Tensor, "rows vocab"]:
        """Append one token to every row, the first being bos; return the logits of the next."""
        new = tokens[:, None]
        if self._prompts is not None:
            new, self._prompts = self._prompts.repeat_interleave(self._rows_per_image, 0), None
        return self._model.next_token_logits(new.to(self._device), self._state)

    def reorder(self, rows: Int[Tensor, " kept"]) -> None:
        """Let row i continue row ``rows[i]`` of the same image; images without rows are dropped."""
        rows = rows.to(self._device)
        images = rows[:: self._rows_per_image] // self._rows_per_image
        if len(images) == self._num_images:
            self._state.reorder(rows)
        else:
            self._state.keep_images(images, rows)
            self._num_images = len(images)
