"""``sycoca embed``: images and captions as vectors."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tyro.conf import Positional

from sycoca.cli.shared.logs import stderr_console
from sycoca.inference.model_options import ModelOptions

if TYPE_CHECKING:
    import numpy as np

    from sycoca.data.samples import SampleSource
    from sycoca.inference.predictor import Predictor

Embedded = Literal["both", "images", "texts"]

_EMBEDDED: Mapping[Embedded, tuple[str, ...]] = {
    "both": ("images", "texts"),
    "images": ("images",),
    "texts": ("texts",),
}
"""The arrays that are written."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EmbedArguments:
    """Write images and captions as vectors of the joint space: float32, L2-normalized, so that products are cosines.

    The file has arrays "images" (images, embed), "texts" (captions, embed), "image_of_text" (captions: the row of the
    image) and the images' "keys" (.npz: an array; .safetensors: a JSON list in the metadata).
    """

    weights: Positional[str]
    """A weights folder, or hf:owner/name[@revision] at the Hugging Face Hub."""

    data: Positional[str]
    """Data as a SPEC: a path, or kind:path?option=value."""

    out: Path
    """The file to write: .safetensors or .npz."""

    what: Embedded = "both"
    """What is embedded; with texts no image is opened."""

    limit: int | None = None
    """Take the first so many samples; None takes all."""

    max_skipped_ratio: float = 0.0
    """Largest share of the samples that may be left out because they cannot be used; they are counted."""

    model: ModelOptions = field(default_factory=ModelOptions)
    """On what it runs."""


def run(arguments: list[str]) -> int:
    """Embed a data set; progress and the summary go to stderr."""
    import tyro

    options = tyro.cli(EmbedArguments, prog="sycoca embed", args=arguments, config=(tyro.conf.OmitArgPrefixes,))
    from sycoca.data.samples import skipped_samples
    from sycoca.evaluation.batches import num_evaluated
    from sycoca.evaluation.embedding_files import check_suffix, write_arrays
    from sycoca.evaluation.embeddings import ImageEmbeddings
    from sycoca.evaluation.tasks.inputs import OpenSources

    check_suffix(options.out)
    console, batch_size = stderr_console(), options.model.batch_size
    source = OpenSources(console).usable(options.data, options.max_skipped_ratio, options.limit)
    num_samples = num_evaluated(source, options.limit)
    predictor = options.model.load(options.weights)
    arrays: dict[str, np.ndarray] = {}
    if "images" in _EMBEDDED[options.what]:
        embeddings = ImageEmbeddings(predictor, batch_size=batch_size, console=console)
        arrays["images"] = embeddings.of(source, num_samples).contiguous().numpy()
    if "texts" in _EMBEDDED[options.what]:
        arrays |= _text_arrays(predictor, source, num_samples)
    write_arrays(options.out, arrays, [source[index].key for index in range(num_samples)])
    counts = ", ".join(f"{len(arrays[name]):,} {name}" for name in ("images", "texts") if name in arrays)
    skipped = len(skipped_samples(source))
    print(f"{counts} in {options.out}" + (f"; {skipped:,} samples skipped" if skipped else ""), file=sys.stderr)
    return 0


def _text_arrays(predictor: "Predictor", source: "SampleSource", num_samples: int) -> "dict[str, np.ndarray]":
    import numpy as np

    from sycoca.evaluation.retrieval import embed_captions

    captions_of = [source[index].captions for index in range(num_samples)]
    captions = [caption for own in captions_of for caption in own]
    if not captions:
        raise ValueError(f"{source.name} has no captions; give --what images")
    texts = embed_captions(predictor, captions, console=stderr_console())
    owners = np.arange(num_samples).repeat([len(own) for own in captions_of])
    return {"texts": texts.numpy(), "image_of_text": owners}
