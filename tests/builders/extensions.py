"""Throw-away extensions of a copy of the sources, one edit per step of docs/extending.md, in its order."""

import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from builders.documents import ROOT

NOT_COPIED = shutil.ignore_patterns("__pycache__", "golden", "goldens", "peers")


@dataclass(frozen=True)
class Step:
    """A text that is inserted before another in a file of the sources, or at the beginning of a new file."""

    file: str
    """Its path in src/sycoca, or in docs/."""

    text: str
    """What is inserted."""

    before: str | None = None
    """The text in front of which it is inserted; None makes a new file."""

    def apply(self, root: Path) -> None:
        """Edit the copy of the repository below a folder."""
        path = root / self.file if self.file.startswith("docs/") else root / "src" / "sycoca" / self.file
        if self.before is None:
            path.write_text(self.text, encoding="utf-8")
            return
        old = path.read_text(encoding="utf-8")
        assert old.count(self.before) == 1, f"{self.file} has {old.count(self.before)} times {self.before!r}"
        path.write_text(old.replace(self.before, self.text + self.before), encoding="utf-8")


EXTENSIONS: Mapping[str, tuple[Step, ...]] = {
    "An objective": (
        Step("records.py", '    alignment: Float[Tensor, ""] | None = None\n', "\n    def named(self)"),
        Step("facts/objective_facts.py", ', "alignment"', ']\n"""The fields of ``LossTerms``'),
        Step(
            "facts/objective_facts.py",
            '    "alignment": ObjectiveFacts(\n'
            '        title="alignment loss", short_title="alignment", weight_field="alignment_weight"\n'
            "    ),\n",
            "}\n\nWEIGHT_FIELD_OF_COMPONENT",
        ),
        Step("objectives/config.py", "    alignment_weight: float = 0.0\n\n", "    pixel_error: PixelError ="),
        Step(
            "objectives/alignment.py",
            "from torch import Tensor\n\n\n"
            "def alignment_loss(images: Tensor, texts: Tensor, num_samples: int) -> Tensor:\n"
            "    return (1 - (images * texts).sum(dim=1)).sum() / num_samples\n",
        ),
        Step(
            "objectives/pretraining.py",
            "    if objectives.alignment_weight > 0:\n"
            "        from sycoca.objectives.alignment import alignment_loss\n\n"
            "        alignment = alignment_loss(images.image_embeds, texts.text_embeds, batch.totals.num_samples)\n"
            "    else:\n"
            "        alignment = None\n",
            "    return LossTerms(contrastive=",
        ),
        Step(
            "objectives/pretraining.py",
            ", alignment=alignment",
            ")\n\n\ndef embed_pairs(",
        ),
        Step("facts/training_facts.py", ', "alignment"', ")\n\nTRAININGS"),
    ),
    "A patch score": (
        Step("model/forms.py", ', "token_mean"', "]\nMaskTokenPosition"),
        Step(
            "model/masking.py",
            "def token_mean_scores(patch_embeds: Tensor, token_embeds: Tensor, counts: Tensor) -> Tensor:\n"
            "    similarities = precise_product(patch_embeds, token_embeds.mT) * counts.unsqueeze(1)\n"
            "    return similarities.sum(dim=2) / counts.sum(dim=1, keepdim=True).clamp(min=1)\n\n\n",
            "def caption_scores(",
        ),
        Step(
            "model/sycoca.py",
            '            case "token_mean":\n'
            "                from sycoca.model.masking import token_mean_scores\n\n"
            "                words = is_word(is_padding)\n"
            "                return token_mean_scores(patch_embeds, self.token_embeds(texts.token_states), words)\n",
            '            case "caption":\n',
        ),
        Step("model/config.py", "token_mean: their mean cosine. ", "caption:\n    cosine with"),
    ),
    "An optimizer": (
        Step("facts/optimizer_facts.py", ', "rmsprop"', "]\n\n_BYTES_OF_FLOAT32"),
        Step(
            "facts/optimizer_facts.py",
            '    "rmsprop": OptimizerFacts(title="RMSprop", state_per_parameter=1),\n',
            "}\n\nBYTES_PER_FROZEN_PARAMETER",
        ),
        Step("training/config.py", "rmsprop: without momentum. ", "adamw: Adam with"),
        Step(
            "training/engine/optimization/optimizer.py",
            '        case "rmsprop":\n'
            "            return torch.optim.RMSprop(groups, lr=config.peak_lr, eps=config.eps)\n",
            "        case unknown:\n",
        ),
    ),
    "A data format": (
        Step("data/spec.py", ', "listing"', ']\n"""Kinds of sources."""'),
        Step("data/spec.py", '    "listing": ("limit", "seed"),\n', '}\n"""The options of each kind."""'),
        Step(
            "data/formats/listing.py",
            "from pathlib import Path\n\n"
            "from sycoca.data.formats.image_files import open_image_files\n"
            "from sycoca.data.formats.row_source import RowSource, source_from_rows\n"
            "from sycoca.data.formats.rows import Row\n"
            "from sycoca.data.selection import Selection\n\n\n"
            "def open_listing(path: Path, wanted: Selection) -> RowSource:\n"
            "    lines = path.read_text(encoding='utf-8').splitlines()\n"
            "    rows = (Row(place=line, image=line, captions=line, label=None) for line in lines)\n"
            "    return source_from_rows(path, rows, open_image_files(path.parent), wanted=wanted)\n",
        ),
        Step(
            "data/spec.py",
            '        case "listing":\n'
            "            from sycoca.data.formats.listing import open_listing\n\n"
            "            return open_listing(_file(parsed), _wanted(parsed))\n",
            "        case unknown:\n",
        ),
        Step("docs/data.md", "`listing:photos.txt` names images.\n\n", "## Where the images are\n"),
    ),
}
"""By heading of docs/extending.md."""


def copied_tree(root: Path, steps: Iterable[Step]) -> Path:
    """Copy what the checks need to a new folder, apply the steps, and return the folder."""
    for name in ("src", "tests", "docs"):
        shutil.copytree(ROOT / name, root / name, ignore=NOT_COPIED)
    shutil.copy(ROOT / "pyproject.toml", root)
    for step in steps:
        step.apply(root)
    return root
