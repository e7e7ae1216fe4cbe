"""``sycoca embed``: write image and text embeddings."""

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from sycoca.cli.shared.logs import stderr_console
from sycoca.cli.shared.results import counted, typed
from sycoca.evaluation.embedded import EMBEDDED, Embedded
from sycoca.inference.model_options import ModelOptions
from sycoca.outputs.output import Output, claimed

if TYPE_CHECKING:
    import numpy as np

    from sycoca.data.samples import SampleSource
    from sycoca.inference.predictor import Predictor

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Arguments:
    """Write image and text embeddings, float32 and L2-normalized: their dot products are cosine similarities.

    The file has arrays "images" (images, embed), "texts" (captions, embed), "image_of_text" (the row of each caption's
    image) and the "keys" of the images (.npz: an array; .safetensors: a JSON list in the metadata). "weights",
    "weights_sha256" and "dtype" name the model (.npz: arrays; .safetensors: metadata).
    """

    weights: Positional[str]
    """A weights folder, or hf:owner/name[@revision] on the Hugging Face Hub."""

    data: Positional[str]
    """Data as a SPEC: a path, or kind:path?option=value."""

    out: Annotated[Path, arg(metavar="FILE")]
    """The file to write: .safetensors or .npz."""

    what: Embedded = "both"
    """What to embed; texts opens no image, and both embeds images alone where there are no captions."""

    overwrite: bool = False
    """Replace --out if it exists."""

    limit: int | None = None
    """Embed the first N samples only."""

    max_skipped_ratio: float = 0.0
    """Largest fraction of unusable samples to skip; they are counted. 0 makes the first one an error."""

    model: ModelOptions = field(default_factory=ModelOptions)
    """Device and precision."""

    def run(self) -> int:
        """Embed a data set and write the file."""
        from sycoca.data.named_inputs import named_inputs
        from sycoca.evaluation.embedding_files import SUFFIXES

        inputs = named_inputs(self.weights, self.data)
        with claimed(Output(path=self.out, suffixes=SUFFIXES, inputs=inputs, overwrite=self.overwrite)):
            _write_embeddings(self)
        return 0


def _write_embeddings(options: Arguments) -> None:
    from sycoca.data.formats.named_images import shown_name
    from sycoca.data.samples import num_lost_samples
    from sycoca.data.spec import is_folder
    from sycoca.evaluation.batches import num_evaluated
    from sycoca.evaluation.embedding_files import write_arrays
    from sycoca.evaluation.embeddings import ImageEmbeddings
    from sycoca.evaluation.tasks.inputs import OpenSources
    from sycoca.inference.provenance import provenance_of

    console = stderr_console()
    source = OpenSources(console).usable(options.data, options.max_skipped_ratio, options.limit)
    num_samples = num_evaluated(source, options.limit)
    predictor = options.model.load(options.weights)
    arrays: dict[str, np.ndarray] = {}
    if "images" in EMBEDDED[options.what]:
        embeddings = ImageEmbeddings(predictor, batch_size=options.model.batch_size, console=console)
        arrays["images"] = embeddings.of(source, num_samples).contiguous().numpy()
    if "texts" in EMBEDDED[options.what]:
        arrays |= _text_arrays(predictor, source, num_samples, is_optional=bool(arrays))
    samples = (source[index] for index in range(num_samples))
    names = [shown_name(one) if is_folder(options.data) else one.key for one in samples]
    write_arrays(options.out, arrays, names, provenance_of(options.weights, predictor).model())
    counts = ", ".join(counted(len(arrays[f"{noun}s"]), noun) for noun in ("image", "text") if f"{noun}s" in arrays)
    skipped = num_lost_samples(source)
    logger.info(f"{counts} in {typed(options.out)}" + (f"; {counted(skipped, 'sample')} skipped" if skipped else ""))


def _text_arrays(
    predictor: "Predictor", source: "SampleSource", num_samples: int, *, is_optional: bool
) -> "dict[str, np.ndarray]":
    """Return the captions' arrays; nothing where there are no captions and they are optional."""
    import numpy as np

    from sycoca.data.samples import with_remarks
    from sycoca.evaluation.retrieval import embed_captions

    captions_of = [source[index].captions for index in range(num_samples)]
    captions = [caption for own in captions_of for caption in own]
    if not captions and is_optional:
        logger.warning(with_remarks(f"{source.name} has no captions: images alone are embedded", source))
        return {}
    if not captions:
        raise ValueError(with_remarks(f"{source.name} has no captions; give --what images", source))
    predictor.warn_of_truncation(captions, "captions")
    texts = embed_captions(predictor, captions, console=stderr_console())
    owners = np.arange(num_samples).repeat([len(own) for own in captions_of])
    return {"texts": texts.numpy(), "image_of_text": owners}
