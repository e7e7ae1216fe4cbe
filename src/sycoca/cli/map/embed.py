"""``sycoca map embed``: embed a whole data set on any number of machines."""

from dataclasses import dataclass

from sycoca.cli.map.arguments import MapArguments
from sycoca.evaluation.embedded import Embedded
from sycoca.mapping.settings import MapFormat


@dataclass(frozen=True, kw_only=True, slots=True)
class Arguments(MapArguments):
    """Embed a data set: a file per shard or block, written by any number of workers on any machines.

    Embeddings are float32 and L2-normalized: their dot products are cosine similarities.
    """

    what: Embedded = "both"
    """What to embed; texts opens no image."""

    format: MapFormat = "safetensors"
    """safetensors: the arrays of sycoca embed (images, texts, image_of_text, keys). parquet (extra [datasets]) and
    jsonl: rows of key, image, image_embedding, captions, text_embeddings."""

    def run(self) -> int:
        """Embed what has no file yet."""
        from sycoca.mapping.functions import map_embeddings

        common = self.common()
        result = map_embeddings(self.weights, self.data, self.out, what=self.what, format=self.format, **common)
        return self.tell(result, "sample")
