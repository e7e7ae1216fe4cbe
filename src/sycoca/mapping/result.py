"""What a map of a data set has made."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from sycoca.mapping.settings import Verb


@dataclass(frozen=True, kw_only=True, slots=True)
class MapResult:
    """A folder in which every block has its file, and what this call has done for it."""

    verb: Verb
    """What was done with every sample."""

    out: Path
    """The folder."""

    files: int
    """Its files of rows."""

    samples: int
    """Samples of the source."""

    skipped: dict[str, int]
    """Samples without a row, and captions left out of images that stay, by reason."""

    written_files: int
    """The files that this call has written; other calls may have written the others."""

    written_rows: int
    """Their rows."""

    mapped_samples: int
    """Their samples."""

    seconds: float
    """What this call took, the loading of the model included."""

    def __repr__(self) -> str:
        return f"<MapResult of {self.verb}: {self.samples:,} samples in {self.files:,} files of {str(self.out)!r}>"

    def to_json(self) -> str:
        """Return all fields as JSON."""
        return json.dumps(asdict(self) | {"out": str(self.out)}, indent=2)
