"""``sycoca convert from-open-clip``."""

import shlex
from dataclasses import dataclass
from pathlib import Path

from tyro.conf import FlagCreatePairsOff, Positional

from sycoca.cli.convert.summary import show_conversion
from sycoca.model.config import ClsPosition


@dataclass(frozen=True, kw_only=True, slots=True)
class Arguments:
    """Make a weights folder of a checkpoint of open_clip: CoCa with any pooler or none, or CLIP with a ViT."""

    source: Positional[Path]
    """A .safetensors, .pt or .bin file, or a folder with one; a folder's open_clip_config.json is read too."""

    out: Path
    """The weights folder to write."""

    config: Path | None = None
    """open_clip's JSON config of the model, which is checked against the tensors. Without it, what no shape shows is
    taken to be as in its own models, and is said."""

    tokenizer: Path | None = None
    """The model's tokenizer.json, where its vocabulary is not CLIP's."""

    quick_gelu: FlagCreatePairsOff[bool] = False
    """The model has OpenAI's activation, as those named -quickgelu; a JSON config says it by itself."""

    cls_position: ClsPosition = "last"
    """Where CoCa's text [CLS] stands: at the last position, as open_clip's tokenizer pads captions; or behind the row's
    own end, as its model does with rows of any length."""

    def convert(self) -> None:
        """Convert, and say what became of what."""
        from sycoca.weights.conversion.convert import from_open_clip
        from sycoca.weights.conversion.open_clip_shapes import UnseenForms

        forms = UnseenForms(activation="quick_gelu" if self.quick_gelu else "gelu", cls_position=self.cls_position)
        conversion = from_open_clip(
            self.source, self.out, config_path=self.config, tokenizer_path=self.tokenizer, forms=forms
        )
        out = shlex.quote(str(self.out))
        captions = f"sycoca caption {out} photo.jpg"
        classifies = f"sycoca classify {out} photo.jpg --class-names dog cat"
        has_decoder = getattr(conversion.model, "text_decoder", None) is not None
        show_conversion(conversion, self.out, (captions if has_decoder else classifies,))
