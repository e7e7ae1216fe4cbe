"""Reading of open_clip's CoCa and CLIP checkpoints as SyCoCa models, and export of tensors in its format."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jaxtyping import Shaped
from torch import Tensor

from sycoca.facts.head_facts import HEADS
from sycoca.model.sycoca import SyCoCa
from sycoca.weights.config import OPEN_CLIP_CONFIG_NAME
from sycoca.weights.conversion.checkpoint_files import read_checkpoint, read_json
from sycoca.weights.conversion.config_fields import section
from sycoca.weights.conversion.open_clip_json import check_sizes, forms_from_json, open_clip_json
from sycoca.weights.conversion.open_clip_names import open_clip_table
from sycoca.weights.conversion.open_clip_shapes import UnseenForms, config_from_shapes, text_prefix
from sycoca.weights.conversion.renaming import filled_model, to_theirs
from sycoca.weights.parts import PART_NAMES
from sycoca.weights.tensors.shapes import shapes_of

CHECKPOINT_NAMES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
"""Names of the weights in a folder that open_clip saved."""

_DROPPED_PARTS = {
    "image_decoder.": PART_NAMES["image_decoder"],
    "image_encoder.mask_token": "mask token",
    **{f"{head}.": facts.title for head, facts in HEADS.items()},
}
"""Parts that open_clip does not have, by the prefix of their tensors' names; dropped on purpose."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenClipModel:
    """A checkpoint of open_clip as a SyCoCa model."""

    model: SyCoCa
    """With its tensors, on the CPU, in evaluation mode."""

    preprocessing: Mapping[str, Any]
    """Its ``preprocess_cfg``; empty where there is none."""

    is_described: bool
    """Whether a JSON config stated what tensor shapes do not show."""

    dropped: tuple[str, ...]
    """Constant buffers of the file, which no model needs."""


def read_open_clip(path: Path, *, config_path: Path | None = None, forms: UnseenForms | None = None) -> OpenClipModel:
    """Read a checkpoint file of open_clip, or a folder that it saved.

    ``config_path`` is one of open_clip's model configs or an open_clip_config.json; by default the folder's own.
    ``forms`` are options that neither tensor shapes nor config show. Raises ValueError for anything that cannot be
    converted completely.
    """
    path = Path(path)
    checkpoint = read_checkpoint(path, CHECKPOINT_NAMES)
    if config_path is None and (path / OPEN_CLIP_CONFIG_NAME).is_file():
        config_path = path / OPEN_CLIP_CONFIG_NAME
    described = {} if config_path is None else read_json(config_path)
    where = f"{config_path}: "
    model_json = section(described, "model_cfg", where) if "model_cfg" in described else described
    forms = forms or UnseenForms()
    if model_json:
        forms = forms_from_json(model_json, forms, str(config_path))
    shapes = shapes_of(checkpoint.tensors)
    config = config_from_shapes(shapes, forms, str(path))
    if model_json:
        check_sizes(model_json, config, str(config_path))
    return OpenClipModel(
        model=filled_model(
            config, checkpoint.tensors, open_clip_table(config, text_prefix(shapes)), str(checkpoint.path)
        ),
        preprocessing=section(described, "preprocess_cfg", where),
        is_described=bool(model_json),
        dropped=checkpoint.dropped,
    )


def open_clip_tensors(model: SyCoCa) -> tuple[dict[str, Shaped[Tensor, "..."]], tuple[str, ...]]:
    """Return a model's tensors under open_clip's names, and the parts that were dropped since open_clip lacks them.

    Raises ValueError for an architecture that open_clip does not support.
    """
    open_clip_json(model.config)
    own = model.state_dict()
    kept = {name: tensor for name, tensor in own.items() if not name.startswith(tuple(_DROPPED_PARTS))}
    dropped = tuple(part for prefix, part in _DROPPED_PARTS.items() if any(name.startswith(prefix) for name in own))
    prefix = "text." if model.config.text_encoder.has_cls_token else ""
    return to_theirs(kept, open_clip_table(model.config, prefix)), dropped
