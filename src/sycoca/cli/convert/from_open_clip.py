"""``sycoca convert from-open-clip``."""

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from sycoca.cli.convert.summary import show_conversion
from sycoca.model.config import ClsPosition


@dataclass(frozen=True, kw_only=True, slots=True)
class Arguments:
    """Convert a checkpoint of open_clip to a weights folder: CoCa with any pooler or none, or CLIP with a ViT."""

    source: Positional[Annotated[Path, arg(metavar="CHECKPOINT")]]
    """A .safetensors, .pt or .bin file, or a folder with one; a folder's open_clip_config.json is read too."""

    out: Annotated[Path, arg(metavar="FOLDER")]
    """The weights folder to write."""

    overwrite: bool = False
    """Replace a weights folder that exists."""

    config: Annotated[Path | None, arg(metavar="FILE.json")] = None
    """open_clip's JSON config of the model, which is checked against the tensors. Without it, settings that no tensor
    shape reveals are assumed to be those of open_clip's own models; the summary lists them."""

    tokenizer: Path | None = None
    """The model's tokenizer.json, if its vocabulary is not CLIP's."""

    quick_gelu: bool = False
    """The model uses QuickGELU, as OpenAI's and those named -quickgelu do; a JSON config states it itself."""

    cls_position: ClsPosition = "last"
    """Position of CoCa's text [CLS] token: the last of the context, as for captions that open_clip's tokenizer has
    padded; or directly after the caption, as for unpadded ones."""

    def run(self) -> int:
        """Convert, and print a summary."""
        from sycoca.weights.conversion.convert import from_open_clip
        from sycoca.weights.conversion.open_clip_shapes import UnseenForms

        forms = UnseenForms(activation="quick_gelu" if self.quick_gelu else "gelu", cls_position=self.cls_position)
        conversion = from_open_clip(
            self.source,
            self.out,
            config_path=self.config,
            tokenizer_path=self.tokenizer,
            forms=forms,
            overwrite=self.overwrite,
        )
        out = shlex.quote(str(self.out))
        captions = f"sycoca caption {out} photo.jpg"
        classifies = f"sycoca classify {out} photo.jpg --class-names dog cat"
        has_decoder = getattr(conversion.model, "text_decoder", None) is not None
        show_conversion(conversion, self.out, (captions if has_decoder else classifies,))
        return 0
