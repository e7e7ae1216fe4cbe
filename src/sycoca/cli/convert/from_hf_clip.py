"""``sycoca convert from-hf-clip``."""

import shlex
from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from sycoca.cli.convert.summary import show_conversion


@dataclass(frozen=True, kw_only=True, slots=True)
class Arguments:
    """Make a weights folder of a CLIP of Hugging Face; of a ViT or ViTMAE one to start pretraining from."""

    source: Positional[Path]
    """A folder with config.json and model.safetensors (or pytorch_model.bin)."""

    out: Path
    """The weights folder to write."""

    tokenizer: Path | None = None
    """The model's tokenizer.json, where its vocabulary is not CLIP's."""

    def convert(self) -> None:
        """Convert, and say what became of what."""
        from sycoca.model.config import SyCoCaConfig
        from sycoca.weights.conversion.convert import from_hf_clip

        conversion = from_hf_clip(self.source, self.out, tokenizer_path=self.tokenizer)
        out = shlex.quote(str(self.out))
        starts = f"sycoca pretrain vit_b16 --start.weights {out} --data.train captions.jsonl"
        classifies = f"sycoca classify {out} photo.jpg --class-names dog cat"
        is_whole = isinstance(conversion.model, SyCoCaConfig)
        show_conversion(conversion, self.out, (classifies, starts) if is_whole else (starts,))
