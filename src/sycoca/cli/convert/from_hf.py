"""``sycoca convert from-hf``."""

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from sycoca.cli.convert.summary import show_conversion


@dataclass(frozen=True, kw_only=True, slots=True)
class Arguments:
    """Convert a model of Hugging Face to a weights folder; its kind is detected.

    A CLIP, SigLIP or SigLIP2 gives a whole model. A ViT, ViTMAE, DINOv2 or DINOv3 gives a weights folder with an image
    encoder alone, for sycoca pretrain --start.weights; so does a SigLIP with --image-encoder-only, since its text
    encoder cannot caption.
    """

    source: Positional[Annotated[Path, arg(metavar="FOLDER")]]
    """A folder with config.json and model.safetensors (or pytorch_model.bin)."""

    out: Annotated[Path, arg(metavar="FOLDER")]
    """The weights folder to write."""

    overwrite: bool = False
    """Replace a weights folder that exists."""

    tokenizer: Path | None = None
    """The model's tokenizer.json, if its vocabulary is not CLIP's and its folder has none of a SigLIP."""

    image_encoder_only: bool = False
    """Convert the image encoder of a SigLIP alone."""

    def run(self) -> int:
        """Convert, and print a summary."""
        from sycoca.model.config import SyCoCaConfig
        from sycoca.weights.conversion.convert import from_hf

        conversion = from_hf(
            self.source,
            self.out,
            tokenizer_path=self.tokenizer,
            image_encoder_only=self.image_encoder_only,
            overwrite=self.overwrite,
        )
        out = shlex.quote(str(self.out))
        starts = f"sycoca pretrain vit_b16 --start.weights {out} --data.train captions.jsonl"
        classifies = f"sycoca classify {out} photo.jpg --class-names dog cat"
        converts = f"sycoca convert from-hf {shlex.quote(str(self.source))} --out ENCODER --image-encoder-only"
        if not isinstance(conversion.model, SyCoCaConfig):
            commands = (starts,)
        elif conversion.model.text_encoder.form.is_causal:
            commands = (classifies, starts)
        else:
            commands = (classifies, f"{converts}, to train a captioner")
        show_conversion(conversion, self.out, commands)
        return 0
