"""``sycoca score retrieval``."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from sycoca.cli.shared.report_arguments import ReportArguments
from sycoca.cli.shared.usage import UsageError

if TYPE_CHECKING:
    from sycoca.evaluation.report import Report


@dataclass(frozen=True, kw_only=True, slots=True)
class Arguments(ReportArguments):
    """Image-text retrieval from embeddings of any model: recall at 1, 5 and 10, ranks, in both directions."""

    embeddings: Path | None = None
    """One file with all of it, as sycoca embed writes it: arrays "images", "texts", "image_of_text" and perhaps "keys",
    in a .safetensors or .npz file."""

    image_embeddings: Path | None = None
    """Or the images' vectors, one row each: .npy, .npz or .safetensors."""

    text_embeddings: Path | None = None
    """And the captions' vectors, one row each, all captions of all images."""

    image_of_text: Path | None = None
    """And which image each caption belongs to: a JSON list or .npy file of row numbers (the first is 0) or keys."""

    similarity: Literal["cosine", "dot"] = "cosine"
    """How vectors are compared."""

    def report(self) -> "Report":
        """Score."""
        from sycoca.evaluation.embedded_retrieval import score_retrieval
        from sycoca.evaluation.embedding_files import read_pairs

        images, texts = self.image_embeddings or self.embeddings, self.text_embeddings or self.embeddings
        if images is None or texts is None:
            raise UsageError("score retrieval needs --embeddings, or --image-embeddings and --text-embeddings")
        return score_retrieval(read_pairs(images, texts, self.image_of_text), self.similarity)
