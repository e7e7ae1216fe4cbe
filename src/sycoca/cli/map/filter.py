"""``sycoca map filter``: keep the matching captions of a whole data set, on any number of machines."""

from dataclasses import dataclass

from sycoca.cli.map.arguments import MapArguments
from sycoca.mapping.settings import RowFormat


@dataclass(frozen=True, kw_only=True, slots=True)
class Arguments(MapArguments):
    """Keep the captions that match their image: a file per shard or block, by any number of workers on any machines.

    Rows have key, image, captions, similarities, log_likelihoods, label and split; images that keep no caption have
    none. sycoca data filter on some thousand samples (?limit=) shows which minimum to choose.
    """

    min_similarity: float | None = None
    """Minimum cosine similarity of image and caption, between -1 and 1."""

    min_log_likelihood: float | None = None
    """Minimum log-likelihood of the caption per token, at most 0."""

    format: RowFormat = "jsonl"
    """jsonl: a line per image, which can be read back as a data SPEC. parquet: the same columns (extra [datasets])."""

    def run(self) -> int:
        """Filter what has no file yet."""
        from sycoca.mapping.functions import map_filter

        result = map_filter(
            self.weights,
            self.data,
            self.out,
            min_similarity=self.min_similarity,
            min_log_likelihood=self.min_log_likelihood,
            format=self.format,
            **self.common(),
        )
        return self.tell(result, "image")
