"""Maps of a model over a data set, as functions of Python; the commands ``sycoca map`` call them."""

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from sycoca.evaluation.embedded import Embedded
from sycoca.evaluation.pair_scores import Threshold
from sycoca.inference.decoding.generation_config import GenerationConfig, GenerationOptions
from sycoca.inference.model_options import ModelOptions
from sycoca.inference.predictor import Predictor
from sycoca.keywords import suggests_keywords
from sycoca.mapping.result import MapResult
from sycoca.mapping.run import run_map
from sycoca.mapping.settings import MapFormat, MapOptions, MapSettings, RowFormat
from sycoca.mapping.work import CaptionWork, Data, EmbedWork, FilterWork, ScoreWork, Work

if TYPE_CHECKING:
    from rich.console import Console

Weights = Predictor | str | Path


class MapCaptionsOptions(MapOptions, GenerationOptions, total=False):
    """Keywords of `map_captions`: the fields of `MapSettings` and of `GenerationConfig`."""


@suggests_keywords
def map_captions(
    weights: Weights,
    data: Data,
    out: str | Path,
    *,
    format: RowFormat = "jsonl",
    model: ModelOptions | None = None,
    console: "Console | None" = None,
    **options: Unpack[MapCaptionsOptions],
) -> MapResult:
    """Caption a data set into a folder: a file per shard, or per block of samples.

    ``weights``: a weights folder, ``hf:owner/name[@revision]``, or a loaded `Predictor`. ``data``: a SPEC, a folder of
    images, or a source. ``out``: the folder; a call with the same arguments continues it, and any number of calls, on
    any machines, may work on it at the same time. ``format``: "jsonl" or "parquet". ``model``: device, precision and
    batch size. ``console``: where progress bars are shown; none by default. ``options``: the fields of `MapSettings`
    (block_size, engine, workers, threads, ray_address, max_skipped_ratio, overwrite) and of `GenerationConfig`.

    Rows have key, image (the path that opens it; null where it is no file of its own), caption and log_likelihood.
    Captions drawn at random depend on the seed and the sample's index alone.

    Raises OutputError (a ValueError) before anything runs where the folder is of other arguments or holds other files;
    ValueError where arguments contradict each other, an image cannot be read, or more than ``max_skipped_ratio`` of
    them, and for a model without text decoder.
    """
    settings = {name: value for name, value in options.items() if name in _SETTINGS}
    generation: dict[str, Any] = {name: value for name, value in options.items() if name not in _SETTINGS}
    work = CaptionWork(generation=GenerationConfig(**generation))
    return _mapped(work, weights, data, out, format, model, console, settings)


@suggests_keywords
def map_embeddings(
    weights: Weights,
    data: Data,
    out: str | Path,
    *,
    what: Embedded = "both",
    format: MapFormat = "safetensors",
    model: ModelOptions | None = None,
    console: "Console | None" = None,
    **options: Unpack[MapOptions],
) -> MapResult:
    """Embed the images and captions of a data set into a folder; see `map_captions` for the arguments.

    ``what``: "both", "images" or "texts", which opens no image. ``format``: "safetensors" has the arrays of ``sycoca
    embed`` (images, texts, image_of_text, and the keys); the rows of "parquet" and "jsonl" have key, image,
    image_embedding, captions and text_embeddings. Embeddings are float32 and L2-normalized.
    """
    return _mapped(EmbedWork(what=what), weights, data, out, format, model, console, options)


@suggests_keywords
def map_scores(
    weights: Weights,
    data: Data,
    out: str | Path,
    *,
    format: RowFormat = "jsonl",
    model: ModelOptions | None = None,
    console: "Console | None" = None,
    **options: Unpack[MapOptions],
) -> MapResult:
    """Score every caption of a data set against its image; see `map_captions` for the arguments.

    Rows have key, image, caption, similarity (cosine) and log_likelihood (mean per token, natural logarithm; null for a
    model without text decoder).
    """
    return _mapped(ScoreWork(), weights, data, out, format, model, console, options)


@suggests_keywords
def map_filter(
    weights: Weights,
    data: Data,
    out: str | Path,
    *,
    min_similarity: float | None = None,
    min_log_likelihood: float | None = None,
    format: RowFormat = "jsonl",
    model: ModelOptions | None = None,
    console: "Console | None" = None,
    **options: Unpack[MapOptions],
) -> MapResult:
    """Keep the captions of a data set that reach a minimal score; see `map_captions` for the other arguments.

    ``min_similarity``: least cosine of image and caption. ``min_log_likelihood``: least mean log-probability of a
    caption's tokens, natural logarithm. Rows, of images that keep captions, have key, image, captions, similarities,
    log_likelihoods (null where none is asked for), label and split; data SPECs read them as jsonl.
    """
    work = FilterWork(threshold=Threshold(similarity=min_similarity, log_likelihood=min_log_likelihood))
    return _mapped(work, weights, data, out, format, model, console, options)


_SETTINGS = frozenset(field.name for field in fields(MapSettings))


def _mapped(
    work: Work,
    weights: Weights,
    data: Data,
    out: str | Path,
    format: MapFormat,
    model: ModelOptions | None,
    console: "Console | None",
    options: Any,
) -> MapResult:
    return run_map(
        work,
        weights,
        data,
        Path(out),
        format=format,
        settings=MapSettings(**options),
        model=ModelOptions() if model is None else model,
        console=console,
    )
