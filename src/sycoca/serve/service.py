"""The model behind the server: each method computes an answer, together with those of other requests."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any, final

from PIL import Image
from starlette.datastructures import UploadFile
from torch import Tensor

from sycoca.inference.classification import head_names
from sycoca.inference.decoding.generation import GeneratedCaption
from sycoca.inference.decoding.generation_config import GenerationConfig
from sycoca.inference.predictor import Predictor
from sycoca.inference.vqa import RankedAnswer
from sycoca.search.hits import SearchResults
from sycoca.search.image_index import ImageIndex
from sycoca.serve import kinds
from sycoca.serve.batching import Batcher, Kind
from sycoca.serve.interface.uploads import PictureReader
from sycoca.serve.metrics import Metrics
from sycoca.serve.refusals import RefusedError
from sycoca.serve.settings import ServeSettings

_SEARCHES = 4
"""Searches that look into the index at a time."""


@final
class Service:
    """A predictor that answers many requests at the same time."""

    def __init__(
        self, predictor: Predictor, index: ImageIndex | None, settings: ServeSettings, metrics: Metrics
    ) -> None:
        self.predictor = predictor
        self._index = index
        self._batcher = Batcher(settings.max_batch_size, settings.batch_wait_seconds, metrics.computed)
        self._read_picture = PictureReader(predictor.image_size, predictor.config.transforms)
        # Threads of its own: work whose client has gone keeps its thread until it ends, so that no more of it runs at a
        # time. A limiter of anyio's would let the next begin beside it.
        self._decoders = ThreadPoolExecutor(settings.decoding_threads, "decoder")
        self._searchers = ThreadPoolExecutor(_SEARCHES, "searcher")
        metrics.gauge("sycoca_queued_inputs", "Inputs that wait for the model.", lambda: float(len(self._batcher)))

    async def picture(self, upload: UploadFile) -> Image.Image:
        """Return an uploaded image at the model's input size. Raises UnusableSampleError where it cannot be read."""
        return await _run_in(self._decoders, self._read_picture, upload)

    async def caption(self, picture: Image.Image, config: GenerationConfig) -> GeneratedCaption:
        """Return the caption of a picture as token ids."""
        return await self._computed(kinds.captioning(self.predictor, config), picture)

    async def embed_image(self, picture: Image.Image) -> Tensor:
        """Return the embedding of a picture, L2-normalized."""
        return await self._computed(kinds.image_embedding(self.predictor), picture)

    async def embed_text(self, text: str) -> Tensor:
        """Return the embedding of a text, L2-normalized."""
        return await self._computed(kinds.text_embedding(self.predictor), text)

    async def answer(self, picture: Image.Image, question: str) -> RankedAnswer | GeneratedCaption:
        """Return the answer to a question: one of a fine-tuned model's list, or the text decoder's continuation."""
        question_about = kinds.Question(picture=picture, question=question)
        return await self._computed(kinds.answering(self.predictor), question_about)

    async def class_scores(self, picture: Image.Image, class_names: Sequence[str] | None) -> Tensor:
        """Return a logit per class; without names of the classes of a fine-tuned model's head."""
        names = None if class_names is None else tuple(class_names)
        return await self._computed(kinds.classification(self.predictor, names), picture)

    def class_names(self, given: Sequence[str] | None) -> tuple[str, ...]:
        """Return the names of the classes that are scored."""
        return head_names(self.predictor.config) if given is None else tuple(given)

    def logit_scale(self) -> float:
        """Return the factor of cosines in logits of classes."""
        return float(self.predictor.model.logit_scale().detach())

    async def explain(self, captioned: kinds.Captioned) -> dict[str, object]:
        """Return which patches match the caption and its words, and the reconstruction of the masked patches.

        As plain data with pictures; without a caption the model's own is explained.
        """
        return await self._computed(kinds.explanation(self.predictor), captioned)

    async def search(self, embedding: Tensor, count: int, where: str | None) -> SearchResults:
        """Return the images of the index with the most similar embeddings. Raises RefusedError without an index."""
        if self._index is None:
            raise RefusedError(404, "this server has no index of images; start it with --index", "index")
        return await _run_in(self._searchers, self._index.search_embedding, embedding, count, where)

    def notices(self, *texts: str) -> list[str]:
        """Return what a client should know about the answer: texts of which the model does not read the end."""
        room = self.predictor.context_length
        return [
            f"the model reads the first {room} tokens of a text and not the rest of {text[:40]!r}..."
            for text in texts
            if self.predictor.num_truncated([text])
        ]

    def close(self) -> None:
        """Compute what is asked for already, and no more."""
        self._batcher.close()
        for threads in (self._decoders, self._searchers):
            threads.shutdown(cancel_futures=True)

    async def _computed(self, kind: Kind, item: object) -> Any:
        return await asyncio.wrap_future(self._batcher.submit(kind, item))


async def _run_in(threads: Executor, function: Callable[..., Any], *values: object) -> Any:
    """Return what a function returns, computed by one of some threads; cancelled before it begins, it never does."""
    return await asyncio.get_running_loop().run_in_executor(threads, function, *values)
