"""``sycoca map score``: score the captions of a whole data set, on any number of machines."""

from dataclasses import dataclass

from sycoca.cli.map.arguments import MapArguments
from sycoca.mapping.settings import RowFormat


@dataclass(frozen=True, kw_only=True, slots=True)
class Arguments(MapArguments):
    """Score every caption against its image: a file per shard or block, by any number of workers on any machines.

    Rows have key, image, caption, similarity (cosine) and log_likelihood (mean per token, natural logarithm).
    """

    format: RowFormat = "jsonl"
    """jsonl: a line per caption. parquet: the same columns (extra [datasets])."""

    def run(self) -> int:
        """Score what has no file yet."""
        from sycoca.mapping.functions import map_scores

        return self.tell(map_scores(self.weights, self.data, self.out, format=self.format, **self.common()), "caption")
