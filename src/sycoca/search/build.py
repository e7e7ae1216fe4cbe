"""Make an image index and bring it up to date: ``sycoca index``."""

import json
import os
import shutil
import time
from collections import Counter
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from sycoca.data.choices import check_skipped_ratio
from sycoca.data.loading.skipping import SkipLog
from sycoca.data.named_inputs import named_inputs
from sycoca.data.samples import SampleSource
from sycoca.data.spec import open_source, place_of
from sycoca.inference.load import predictor_of
from sycoca.inference.model_options import ModelOptions
from sycoca.inference.predictor import Predictor
from sycoca.inference.provenance import LOADED
from sycoca.keywords import suggests_keywords
from sycoca.outputs.errors import OutputError
from sycoca.outputs.output import Output, claimed
from sycoca.search.fingerprint import fingerprints
from sycoca.search.index_facts import EXACT_BELOW, TABLE_NAMES, IndexFacts, RecallFacts, is_remote
from sycoca.search.requirements import check_requirements
from sycoca.weights.hub import is_at_hub

if TYPE_CHECKING:
    from rich.console import Console

Data = str | Path | SampleSource
"""A folder of photos, another SPEC, or a source."""


@dataclass(frozen=True, kw_only=True, slots=True)
class IndexResult:
    """An index, and what a call of `index_images` has done for it."""

    path: Path
    """The folder."""

    images: int
    """Images in it."""

    embedded: int
    """Images that went through the model."""

    copied: int
    """Rows that were written without the model, since the index had the image: renamed, copied and touched files, and
    other captions, labels or splits."""

    removed: int
    """Rows of images that are no longer in the data, or not under this name."""

    skipped: dict[str, int]
    """Images that cannot be used, by reason."""

    recall: RecallFacts | None
    """The approximate search; None where every search is exact."""

    embedding_seconds: float
    """Time of reading and embedding."""

    seconds: float
    """Time of it all, the loading of the model included."""

    def __repr__(self) -> str:
        return f"<IndexResult: {self.images:,} images in {str(self.path)!r}>"

    def to_json(self) -> str:
        """Return all fields as JSON."""
        return json.dumps(asdict(self) | {"path": str(self.path)}, indent=1)


@suggests_keywords
def index_images(
    weights: Predictor | str | Path,
    data: Data,
    out: str | Path,
    *,
    exact_below: int = EXACT_BELOW,
    max_skipped_ratio: float = 0.0,
    overwrite: bool = False,
    model: ModelOptions | None = None,
    console: "Console | None" = None,
) -> IndexResult:
    """Index the images of a data set for searches, or bring their index up to date.

    ``weights``: a weights folder, ``hf:owner/name[@revision]``, or a loaded `Predictor`. ``data``: a folder of photos,
    another SPEC, or a source. ``out``: the folder of the index. A call with the same data continues an interrupted one
    and follows it: new and changed images are embedded, renamed ones are recognized by their content, and images that
    are gone are removed. ``exact_below``: indexes of fewer images compare every one; larger ones are clustered, and the
    recall of their searches is measured. ``max_skipped_ratio``: largest fraction of images to skip because they cannot
    be read. ``overwrite``: start over; searches find the old index until the new one is complete.

    Raises OutputError (a ValueError) where the folder holds something else, or another process writes it; ValueError
    where other weights or other data made it, where too many images cannot be read, and without the extra [search].
    """
    started_at = time.perf_counter()
    check_requirements()
    from sycoca.search.indexing import Indexing
    from sycoca.search.replacement import is_searched

    path, model = Path(out), ModelOptions() if model is None else model
    check_skipped_ratio(max_skipped_ratio)
    output = _output(out, overwrite=overwrite)
    with claimed(output) as (lease,):
        assert lease is not None
        replace(output, inputs=named_inputs(weights, data)).check_inputs()
        source = open_source(os.fspath(data)) if isinstance(data, str | os.PathLike) else data
        log = SkipLog(source, max_skipped_ratio)
        predictor = predictor_of(weights, model)
        predictor.check_ability("similarities")
        replaces = overwrite and is_searched(path)
        if overwrite and not replaces:
            _remove(path)
        facts = _facts(weights, predictor, data, exact_below)
        indexing = Indexing(path, facts, source, log, predictor, model.batch_size, lease, replaces=replaces)
        embedding_seconds = indexing.run(console)
    return IndexResult(
        path=path,
        images=indexing.num_images,
        embedded=indexing.num_embedded,
        copied=indexing.num_copied,
        removed=indexing.num_removed,
        skipped=dict(Counter(one.reason for one in log.skipped if not one.image_stays)),
        recall=indexing.recall,
        embedding_seconds=round(embedding_seconds, 3),
        seconds=round(time.perf_counter() - started_at, 3),
    )


def _output(out: str | Path, *, overwrite: bool) -> Output:
    if is_remote(os.fspath(out)):
        raise OutputError(f"{out} is an address; index into a folder on the disk and copy it there, searches read it")
    return Output(
        path=Path(out),
        kind="growing folder",
        names=TABLE_NAMES,
        noun="sycoca index",
        overwrite=overwrite,
        resume=not overwrite,
    )


def _remove(path: Path) -> None:
    for name in TABLE_NAMES[::-1]:  # the facts first: without them it is no index
        shutil.rmtree(path / name, ignore_errors=True)


def _facts(weights: Predictor | str | Path, predictor: Predictor, data: Data, exact_below: int) -> IndexFacts:
    named = os.fspath(data) if isinstance(data, str | os.PathLike) else data.name
    place = place_of(named) if isinstance(data, str | os.PathLike) else None
    return IndexFacts(
        weights=_name_of(weights),
        fingerprints=fingerprints(predictor),
        embed_dim=predictor.model.config.embed_dim,
        data=named,
        place=named if place is None else os.path.abspath(place),
        exact_below=exact_below,
    )


def _name_of(weights: Predictor | str | Path) -> str:
    if isinstance(weights, Predictor):
        return LOADED
    return str(weights) if is_at_hub(weights) else os.path.abspath(weights)
