"""The configuration in a weights folder. Imports no torch."""

import math
from dataclasses import dataclass

from sycoca.facts.head_facts import HEADS, HeadName
from sycoca.facts.limit_facts import ModelLimits
from sycoca.model.config import SyCoCaConfig
from sycoca.model.masking_config import MaskingConfig
from sycoca.outputs.manifest import MANIFEST_NAME
from sycoca.preprocess.config import ImageTransformConfig
from sycoca.texts import refuse_text

CONFIG_NAME = "config.json"
TENSORS_NAME = "model.safetensors"
ADAPTER_NAME = "adapter.safetensors"
TOKENIZER_NAME = "tokenizer.json"
CARD_NAME = "README.md"
MODEL_FILES = (CONFIG_NAME, TENSORS_NAME, TOKENIZER_NAME)
"""The files that a whole model is loaded from."""

ADAPTER_FILES = (CONFIG_NAME, ADAPTER_NAME, TOKENIZER_NAME)
"""Those of an adapter, which names the weights of a whole model."""

READ_FILES = (CONFIG_NAME, TENSORS_NAME, ADAPTER_NAME, TOKENIZER_NAME)
"""Those of either; a manifest lists the ones that are there."""

FILE_NAMES = (*READ_FILES, CARD_NAME, MANIFEST_NAME)
"""The files of a weights folder. The card is free to be edited."""

OPEN_CLIP_CONFIG_NAME = "open_clip_config.json"
"""The file that identifies a folder of open_clip."""

FORMAT_VERSION = 5
"""Increases when folders change in a way that older versions cannot read. 2: the architectures of converted weights,
and their history. 3: the limits of a model. 4: a manifest. 5: adapters, registers, rotary positions,
MAP heads, a logit bias, captions without image, masks in a part of training."""

PARTS_KEY = "parts"
"""The key of a config that lists which components a folder holds; the config of a whole model lacks it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AdapterConfig:
    """The low-rank adapters (LoRA, arXiv 2106.09685) of a fine-tuned model, and the weights that they belong to."""

    rank: int
    """Rank of each update of a weight matrix."""

    alpha: float
    """The updates are multiplied by alpha / rank."""

    base: str
    """The weights that the fine-tuning started from: a path, or hf:owner/name@revision."""

    base_sha256: str
    """SHA-256 of the file of their tensors."""

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise ValueError(f"adapter.rank must be at least 1, got {self.rank}")
        if not 0 < self.alpha < math.inf:
            raise ValueError(f"adapter.alpha must be positive, got {self.alpha}")


@dataclass(frozen=True, kw_only=True, slots=True)
class WeightsConfig:
    """All that is needed, beside tensors and tokenizer, to use a model as it was trained."""

    model: SyCoCaConfig
    """Architecture, with the vocabulary size of the tokenizer."""

    masking: MaskingConfig
    """Attentive masking as in training."""

    transforms: ImageTransformConfig
    """Image preprocessing."""

    normalizes_patches: bool = True
    """Whether the image decoder predicts pixels normalized per patch (MAE's norm_pix_loss), or plain ones."""

    captioning_dropped_share: float = 0.0
    """Share of images that captioning did not see in training, as guided captions need it; 0 also where it is not
    known, as of converted weights."""

    answers: tuple[str, ...] | None = None
    """The answers of the VQA head, in the order of its outputs."""

    answers_exclude_each_other: bool = False
    """Whether the answers' probabilities sum to 1 (a head trained with softmax), or are independent (sigmoid)."""

    class_names: tuple[str, ...] | None = None
    """The classes of the classification head, in the order of its outputs."""

    history: tuple[str, ...] = ()
    """How the weights were made, one sentence of Markdown per step in order, for the model card."""

    limits: ModelLimits | None = None
    """Abilities that training has spoiled, and why parts are missing; None in folders of earlier versions."""

    adapter: AdapterConfig | None = None
    """Set where a folder holds an adapter alone; None for a whole model, as every loaded one is."""

    def __post_init__(self) -> None:
        refuse_text(self.history, "history")
        for head, names in self.head_names.items():
            name, number = HEADS[head].names_field, getattr(self.model, HEADS[head].size_field)
            refuse_text(names, name)
            if (None if names is None else len(names)) != number:
                counted = "none" if names is None else len(names)
                raise ValueError(f"{name}: the model has a head for {number or 'none'}, the config names {counted}")

    @property
    def files(self) -> tuple[str, ...]:
        """The files that such a model is loaded from."""
        return MODEL_FILES if self.adapter is None else ADAPTER_FILES

    @property
    def head_names(self) -> dict[HeadName, tuple[str, ...] | None]:
        """What the outputs of every head stand for; None where the model lacks the head."""
        names: dict[HeadName, tuple[str, ...] | None] = {}
        for head, facts in HEADS.items():
            names[head] = getattr(self, facts.names_field)
        return names
