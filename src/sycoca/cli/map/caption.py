"""``sycoca map caption``: caption a whole data set on any number of machines."""

from dataclasses import asdict, dataclass, field

from sycoca.cli.map.arguments import MapArguments
from sycoca.inference.decoding.generation_config import GenerationConfig
from sycoca.mapping.settings import RowFormat


@dataclass(frozen=True, kw_only=True, slots=True)
class Arguments(MapArguments):
    """Caption a data set: a file per shard or block, written by any number of workers on any machines.

    Rows have key, image (the path that opens it), caption and log_likelihood. Captions drawn at random depend on the
    seed and the sample alone, not on the worker.
    """

    format: RowFormat = "jsonl"
    """jsonl: a line per image, which can be read back as a data SPEC. parquet: the same columns (extra [datasets])."""

    generation: GenerationConfig = field(default_factory=GenerationConfig)
    """Decoding."""

    def run(self) -> int:
        """Caption what has no file yet."""
        from sycoca.mapping.functions import map_captions

        options = {**self.common(), **asdict(self.generation)}
        return self.tell(map_captions(self.weights, self.data, self.out, format=self.format, **options), "caption")
