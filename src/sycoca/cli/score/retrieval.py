"""``sycoca score retrieval``."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import arg

from sycoca.cli.shared.report_arguments import ReportArguments
from sycoca.cli.shared.usage import UsageError
from sycoca.evaluation.embedded import Similarity

if TYPE_CHECKING:
    from sycoca.evaluation.report import Report

VectorFile = Annotated[Path | None, arg(metavar="FILE")]


@dataclass(frozen=True, kw_only=True, slots=True)
class Arguments(ReportArguments):
    """Image-text retrieval from embeddings of any model: recall at 1, 5 and 10, ranks, in both directions."""

    embeddings: VectorFile = None
    """A .safetensors or .npz file, as sycoca embed writes it: arrays "images", "texts", "image_of_text" and (optional)
    "keys"."""

    image_embeddings: VectorFile = None
    """Instead of --embeddings: the image embeddings, one row per image (.npy, .npz or .safetensors)."""

    text_embeddings: VectorFile = None
    """The text embeddings, one row per caption, for all captions of all images."""

    image_of_text: VectorFile = None
    """The image of each caption: a .json list or .npy file of row indices (from 0) or of keys."""

    similarity: Similarity = "cosine"
    """Similarity of two embeddings."""

    def report(self) -> "Report":
        """Score."""
        from sycoca.evaluation.embedded_retrieval import score_retrieval
        from sycoca.evaluation.embedding_files import read_pairs

        images, texts = self.image_embeddings or self.embeddings, self.text_embeddings or self.embeddings
        if images is None or texts is None:
            raise UsageError("give --embeddings, or --image-embeddings and --text-embeddings")
        return score_retrieval(read_pairs(images, texts, self.image_of_text), self.similarity)
