"""Configuration of the four components. Imports no torch, so that presets load fast."""

from dataclasses import dataclass

from sycoca.facts.head_facts import HEADS
from sycoca.keywords import suggests_fields
from sycoca.model.decoder_configs import ImageDecoderConfig, TextDecoderConfig
from sycoca.model.forms import (
    GATED,
    LEARNED_POSITIONS,
    POOLINGS,
    TEXT_POOLINGS,
    Activation,
    ClsMask,
    ClsPosition,
    Pooling,
    PoolingForm,
    PositionEmbedding,
    TextPooling,
    TextPoolingForm,
)
from sycoca.model.pooler_config import AttentionPoolerConfig, check_heads

LAYER_NORM_EPS = 1e-5
"""Epsilon of LayerNorms in CLIP and CoCa; with another one the outputs of a converted model visibly differ."""

MLP_RATIO = 4
"""Hidden width of an MLP relative to the width of its input, as in open_clip's CLIP and CoCa."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageEncoderConfig:
    """The vision transformer: images -> patch tokens and one global feature."""

    image_size: int = 224
    """Height and width of the input in pixels."""

    patch_size: int = 16
    """Height and width of a patch in pixels."""

    width: int = 768
    """Features per token."""

    depth: int = 12
    """Transformer blocks."""

    num_heads: int = 12
    """Attention heads."""

    pooling: Pooling = "cls"
    """How the global feature is pooled: the [CLS] token (paper), the mean or the maximum over the patches in the joint
    space, attention pooling, or map (multihead attention pooling): one learned query with an MLP, as in SigLIP."""

    pooler: AttentionPoolerConfig = AttentionPoolerConfig()  # noqa: RUF009 (frozen; its default is compared)
    """Sizes of attention pooling; unused with the other poolings."""

    activation: Activation = "gelu"
    """Activation of the MLPs. gelu: exact. quick_gelu: x sigmoid(1.702 x), as in OpenAI's CLIP. gelu_tanh: GELU's
    approximation by tanh, as in SigLIP. swiglu: SiLU of one half times the other half, as in the largest DINOs
    (arXiv 2002.05202)."""

    mlp_width: int | None = None
    """Hidden width of the MLPs; None: 4 times the width, as in all CLIPs but the largest (ViT-g, bigG). With swiglu
    it is that of each half."""

    norm_eps: float = LAYER_NORM_EPS
    """Epsilon of the LayerNorms: 1e-5 in CLIP and CoCa, 1e-12 in Hugging Face's ViT."""

    has_norm_pre: bool = True
    """Apply a LayerNorm before the blocks, as in CLIP and CoCa; ViT has none."""

    num_registers: int = 0
    """Register tokens beside [CLS], which only the blocks see (DINOv2 with registers, arXiv 2309.16588)."""

    position_embedding: PositionEmbedding = "learned"
    """How patches know where they are. learned: a vector per position is added (paper). rotary: queries and keys turn
    with the coordinates of their patches, as in DINOv3 (arXiv 2508.10104)."""

    rope_theta: float = 100.0
    """Base of the rotary frequencies; unused with learned positions."""

    norms_memory: bool = False
    """Give the text decoder the patch tokens after the final LayerNorm, as in open_clip's coca_base; attention pooling
    has its own norms."""

    def __post_init__(self) -> None:
        check_heads("model.image_encoder", self.width, self.num_heads)
        if self.mlp_width is not None and self.mlp_width < 1:
            raise ValueError(f"model.image_encoder.mlp_width must be at least 1, got {self.mlp_width}")
        if self.num_registers < 0:
            raise ValueError(f"model.image_encoder.num_registers must be at least 0, got {self.num_registers}")
        if self.norm_eps <= 0:
            raise ValueError(f"model.image_encoder.norm_eps must be above 0, got {self.norm_eps}")
        if self.rope_theta <= 0:
            raise ValueError(f"model.image_encoder.rope_theta must be above 0, got {self.rope_theta}")
        if not self.has_learned_positions and self.width // self.num_heads % 4:
            raise ValueError(
                f"model.image_encoder: rotary positions need heads of a multiple of 4 features, got"
                f" {self.width // self.num_heads} (width {self.width}, num_heads {self.num_heads})"
            )
        if self.image_size % self.patch_size:
            raise ValueError(
                f"model.image_encoder.image_size {self.image_size} is not a multiple of patch_size {self.patch_size}"
            )

    @property
    def form(self) -> PoolingForm:
        """Properties of the pooling."""
        return POOLINGS[self.pooling]

    @property
    def has_learned_positions(self) -> bool:
        """Whether each position has a learned vector."""
        return LEARNED_POSITIONS[self.position_embedding]

    @property
    def is_gated(self) -> bool:
        """Whether one half of the MLPs' hidden features is the gate of the other."""
        return GATED[self.activation]

    @property
    def mlp_features(self) -> int:
        """Hidden width of the MLPs."""
        return MLP_RATIO * self.width if self.mlp_width is None else self.mlp_width

    @property
    def num_patches(self) -> int:
        """Patches per image."""
        return (self.image_size // self.patch_size) ** 2

    @property
    def patch_pixels(self) -> int:
        """Values per patch: three channels times its area."""
        return 3 * self.patch_size**2

    @property
    def output_width(self) -> int:
        """Width of the pooled image before its projection, and of the text decoder's memory."""
        return self.pooler.width if self.form.has_pooler else self.width

    @property
    def memory_length(self) -> int:
        """Vectors per image that the text decoder attends to when no patch is hidden."""
        if not self.form.has_pooler:
            return self.num_patches
        return self.pooler.num_queries - self.pooler.form.num_global_queries

    @property
    def is_projected(self) -> bool:
        """Whether a linear layer projects the pooled image into the joint space."""
        return not (self.form.has_pooler and self.pooler.form.has_contrastive_pooler)

    @property
    def has_memory_pooler_of_its_own(self) -> bool:
        """Whether a pooler serves the text decoder alone, so that it gets no gradient without captioning."""
        return self.form.has_pooler and self.pooler.form.has_memory_pooler_of_its_own


@dataclass(frozen=True, kw_only=True, slots=True)
class TextEncoderConfig:
    """The transformer over the caption, causal but with pooling last: tokens -> token states and one global feature."""

    vocab_size: int = 49408
    """Maximum vocabulary size; a tokenizer trained on few captions may have fewer ids, and then so has the model."""

    context_length: int = 76
    """Maximum tokens per caption, special tokens included."""

    width: int = 512
    """Features per token; the text decoder has the same."""

    depth: int = 12
    """Transformer blocks."""

    num_heads: int = 8
    """Attention heads."""

    pooling: TextPooling = "cls"
    """How the global feature is pooled. cls: a [CLS] token after the text (paper). mean: the mean of the token states.
    eos: the state of the eos token, as in CLIP. last: that of the context's last position, where every position attends
    to all others, padding included, as in SigLIP; such a text encoder cannot caption."""

    activation: Activation = "gelu"
    """Activation of the MLPs, see the image encoder's; the text decoder has the same."""

    cls_mask: ClsMask = "correct"
    """What [CLS] attends to. correct: the caption and itself. shifted: the caption and one padding token (id 0) after
    it, but not itself, unless the caption fills the row; open_clip's released CoCa models have this off-by-one mask."""

    cls_position: ClsPosition = "last"
    """Position of [CLS]. last: the last position of the context, as if every row were padded to it, as open_clip's
    tokenizer does. row_end: after the padding of the given row, as open_clip's model does with rows of any length; a
    caption's embedding then depends on its batch."""

    mlp_width: int | None = None
    """Hidden width of the MLPs; None: 4 times the width."""

    norm_eps: float = LAYER_NORM_EPS
    """Epsilon of the LayerNorms: 1e-5 in CLIP and CoCa, 1e-6 in SigLIP."""

    has_projection_bias: bool = False
    """Give the projection into the joint space a bias, as in SigLIP."""

    has_bos: bool = True
    """Whether texts begin with the bos token; those of SigLIP do not."""

    pad_id: int = 0
    """Token id of padding, which pooling last attends to; unused with the other poolings."""

    def __post_init__(self) -> None:
        check_heads("model.text_encoder", self.width, self.num_heads)
        if self.mlp_width is not None and self.mlp_width < 1:
            raise ValueError(f"model.text_encoder.mlp_width must be at least 1, got {self.mlp_width}")
        if self.norm_eps <= 0:
            raise ValueError(f"model.text_encoder.norm_eps must be above 0, got {self.norm_eps}")
        if not 0 <= self.pad_id < self.vocab_size:
            raise ValueError(
                f"model.text_encoder.pad_id must be one of the {self.vocab_size} token ids, got {self.pad_id}"
            )
        usual = ("correct", "last")
        if not self.has_cls_token and (self.cls_mask, self.cls_position) != usual:
            raise ValueError(
                f"model.text_encoder: cls_mask and cls_position apply to pooling cls only, pooling is {self.pooling}"
            )

    @property
    def form(self) -> TextPoolingForm:
        """Properties of the pooling."""
        return TEXT_POOLINGS[self.pooling]

    @property
    def has_cls_token(self) -> bool:
        """Whether a [CLS] token follows the caption."""
        return self.form.has_cls_token


@suggests_fields
@dataclass(frozen=True, kw_only=True, slots=True)
class SyCoCaConfig:
    """The whole model."""

    image_encoder: ImageEncoderConfig = ImageEncoderConfig()
    """The vision transformer."""

    text_encoder: TextEncoderConfig = TextEncoderConfig()
    """The text transformer."""

    text_decoder: TextDecoderConfig | None = TextDecoderConfig()  # noqa: RUF009 (frozen)
    """The captioner; None in a contrastive model (CLIP)."""

    image_decoder: ImageDecoderConfig | None = ImageDecoderConfig()  # noqa: RUF009 (frozen)
    """The decoder of masked image modeling; None in CLIP and CoCa."""

    has_logit_bias: bool = False
    """Give similarities a learned bias. Training sets it by objectives.contrastive_loss: the sigmoid loss needs it,
    softmax losses would cancel it."""

    embed_dim: int = 512
    """Size of the joint space of images and texts."""

    num_answers: int | None = None
    """Outputs of the VQA head of a fine-tuned model; None without that head."""

    num_classes: int | None = None
    """Outputs of the classification head of a fine-tuned model; None without that head."""

    def __post_init__(self) -> None:
        if self.num_answers is not None and self.text_decoder is None:
            raise ValueError("a model that answers questions needs a text decoder: model.text_decoder is null")
        for name in (facts.size_field for facts in HEADS.values()):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise ValueError(f"model.{name} must be at least 1, got {getattr(self, name)}")
        image_encoder = self.image_encoder
        if not image_encoder.is_projected and image_encoder.pooler.width != self.embed_dim:
            raise ValueError(
                f"model.image_encoder.pooler.width {image_encoder.pooler.width} must be model.embed_dim"
                f" {self.embed_dim} with kind {image_encoder.pooler.kind}, whose result is not projected"
            )
        if self.text_decoder is not None:
            check_heads("model.text_decoder", self.text_encoder.width, self.text_decoder.num_heads)
