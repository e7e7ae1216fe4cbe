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
    """Its path in src/sycoca, or in docs/ or tests/."""

    text: str
    """What is inserted."""

    before: str | None = None
    """The code in front of which it is inserted; None makes a new file, "" appends to the file."""

    after: str = ""
    """The code behind which it is inserted, in place of ``before``."""

    @property
    def is_new(self) -> bool:
        """Whether it makes a new file."""
        return self.before is None and not self.after

    def apply(self, root: Path) -> None:
        """Edit the copy of the repository below a folder."""
        folder = root if self.file.startswith(("docs/", "tests/")) else root / "src" / "sycoca"
        path = folder / self.file
        old = "" if self.is_new else path.read_text(encoding="utf-8")
        if not (self.before or self.after):
            path.write_text(old + self.text, encoding="utf-8")
            return
        anchor = self.before or self.after
        assert old.count(anchor) == 1, f"{self.file} has {old.count(anchor)} times {anchor!r}"
        path.write_text(
            old.replace(anchor, self.text + anchor if self.before else anchor + self.text), encoding="utf-8"
        )


EXTENSIONS: Mapping[str, tuple[Step, ...]] = {
    "An objective": (
        Step("records.py", '    alignment: Float[Tensor, ""] | None = None\n', "    contrastive: Float[Tensor"),
        Step("facts/objective_facts.py", '"alignment", ', '"contrastive", "captioning", "masked_image"'),
        Step(
            "facts/objective_facts.py",
            '    "alignment": ObjectiveFacts(\n'
            '        title="alignment loss", short_title="alignment", weight_field="alignment_weight"\n'
            "    ),\n",
            '    "contrastive": ObjectiveFacts(',
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
            "    return LossTerms(\n        contrastive=",
        ),
        Step(
            "objectives/pretraining.py",
            "        alignment=alignment,\n",
            "        contrastive=contrastive,\n        captioning",
        ),
        Step(
            "facts/training_facts.py",
            '"alignment", ',
            '"contrastive", "captioning", "masked_image", "masked_feature", "patch_word")',
        ),
    ),
    "A patch score": (
        Step("model/forms.py", '"token_mean", ', '"token_max", "caption"]'),
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
        Step("model/masking_config.py", "token_mean: mean cosine. ", after='score: PatchScore = "token_max"\n    """'),
    ),
    "An optimizer": (
        Step("facts/optimizer_facts.py", '"rmsprop", ', '"adamw"]'),
        Step(
            "facts/optimizer_facts.py",
            '    "rmsprop": OptimizerFacts(title="RMSprop", state_per_parameter=1),\n',
            '    "adamw": OptimizerFacts(',
        ),
        Step("training/config.py", "rmsprop: without momentum. ", after='kind: OptimizerKind = "adamw"\n    """'),
        Step(
            "training/engine/optimization/optimizer.py",
            '        case "rmsprop":\n'
            "            return torch.optim.RMSprop(groups, lr=config.peak_lr, eps=config.eps)\n",
            "        case unknown:\n",
        ),
    ),
    "A data format": (
        Step("data/parsed_spec.py", '"listing", ', '"scenes", "jsonl", "csv"'),
        Step("data/parsed_spec.py", '    "listing": ("limit", "seed"),\n', '    "scenes": ('),
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
            "def _open_listing(spec: ParsedSpec) -> SampleSource:\n"
            "    from sycoca.data.formats.listing import open_listing\n\n"
            "    return open_listing(_file(spec), _wanted(spec))\n\n\n",
            "_OPENERS: ",
        ),
        Step("data/spec.py", '    "listing": _open_listing,\n', '    "scenes": _open_scenes'),
        Step("docs/data.md", "`listing:photos.txt` names images.\n\n", ""),
    ),
    "A decoding strategy": (
        Step("inference/decoding/generation_config.py", '"worst", ', '"greedy", "beam_search"'),
        Step(
            "inference/decoding/generation_config.py", "    takes_worst: bool = False\n\n", "    num_beams: int = 1\n"
        ),
        Step(
            "inference/decoding/generation_config.py",
            '        if self.takes_worst:\n            return "worst"\n',
            '        if self.num_beams > 1:\n            return "beam_search"',
        ),
        Step("inference/decoding/generation_config.py", "    takes_worst: bool\n", "    num_beams: int\n"),
        Step(
            "inference/decoding/worst.py",
            "from sycoca.inference.decoding.generation import GeneratedCaption, NextTokens\n\n\n"
            "def worst_captions(rows: NextTokens, num_rows: int) -> list[GeneratedCaption]:\n"
            "    del rows\n"
            "    return [GeneratedCaption(tokens=(), log_likelihood=0.0, is_complete=True)] * num_rows\n",
        ),
        Step(
            "inference/captioning.py",
            '        case "worst":\n'
            "            from sycoca.inference.decoding.worst import worst_captions\n\n"
            "            return worst_captions(rows, len(indices))\n",
            "        case unknown:\n",
        ),
        Step(
            "tests/inference/decoding/test_generation_config.py",
            '    "worst": {"takes_worst": True},\n',
            '    "greedy": {},\n',
        ),
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
