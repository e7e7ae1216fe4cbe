"""A model cut into graphs: what each computes, under which names, and which of its axes may have any length.

Captions are generated in steps that keep keys and values of past tokens. A caption begins with caches of length 0, so
one graph serves every token, and only keys and values of the image are computed before the first.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, assert_never, final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sycoca.model.config import SyCoCaConfig
from sycoca.model.sycoca import SyCoCa
from sycoca.model.text_decoder import TextDecoder
from sycoca.precision import at_least_float32

IMAGE_ENCODER, TEXT_ENCODER = "image_encoder", "text_encoder"
CAPTION_PREFILL, CAPTION_STEP = "caption_prefill", "caption_step"

GRAPH_NAMES = (IMAGE_ENCODER, TEXT_ENCODER, CAPTION_PREFILL, CAPTION_STEP)

PortKind = Literal["numbers", "tokens", "lengths"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Port:
    """An input or output of a graph."""

    name: str
    """Its name in the file."""

    axes: tuple[int | str, ...]
    """Lengths of its axes; a name stands for any length, the same everywhere in a graph."""

    kind: PortKind = "numbers"
    """numbers: float32. tokens: token ids, int64. lengths: tokens per row, int64."""

    is_normalized: bool = False
    """Whether its rows are L2-normalized."""

    @property
    def dtype(self) -> str:
        """NumPy's name of the element type."""
        match self.kind:
            case "numbers":
                return "float32"
            case "tokens" | "lengths":
                return "int64"
            case unknown:
                assert_never(unknown)

    def draw(self, sizes: Mapping[str, int], vocab_size: int, generator: torch.Generator) -> Tensor:
        """Return random contents, given the lengths of the axes that have names."""
        shape = [sizes[axis] if isinstance(axis, str) else axis for axis in self.axes]
        match self.kind:
            case "numbers":
                return torch.randn(shape, generator=generator)
            case "tokens":
                return torch.randint(vocab_size, shape, generator=generator)
            case "lengths":
                return torch.randint(2, sizes["tokens"] + 1, shape, generator=generator)
            case unknown:
                assert_never(unknown)


@dataclass(frozen=True, kw_only=True, slots=True)
class Graph:
    """One file: a module that takes a list of tensors and returns a tuple of tensors, in the order of the ports."""

    name: str
    """The file's name without ``.onnx``."""

    what: str
    """What it computes, in words."""

    module: nn.Module
    """The module, in evaluation mode."""

    inputs: tuple[Port, ...]
    """The inputs."""

    outputs: tuple[Port, ...]
    """The outputs."""

    longest: Mapping[str, int] = field(default_factory=dict)
    """Largest lengths of named axes."""

    vocab_size: int
    """Token ids are below this."""

    def draw_inputs(self, sizes: Mapping[str, int], generator: torch.Generator) -> list[Tensor]:
        """Return random inputs, given the lengths of the axes that have names."""
        return [port.draw(sizes, self.vocab_size, generator) for port in self.inputs]


def graphs_of(model: SyCoCa) -> list[Graph]:
    """Return the graphs of a model; those for captions only where it has a text decoder."""
    decoder = model.text_decoder
    encoders = [_image_encoder(model), _text_encoder(model)]
    if decoder is None:
        return encoders
    return [*encoders, _caption_prefill(model, decoder), _caption_step(model, decoder)]


@final
class ImageEncoderGraph(nn.Module):
    """Pixels to the image embedding, and to the text decoder's memory where there is one."""

    def __init__(self, model: SyCoCa) -> None:
        super().__init__()
        self.model = model

    def forward(self, inputs: list[Tensor]) -> tuple[Tensor, ...]:
        """Return the embedding, L2-normalized, and the memory."""
        (pixels,) = inputs
        encoded = self.model.encode_images(pixels)
        if self.model.text_decoder is None:
            return (encoded.image_embeds,)
        return encoded.image_embeds, self.model.memory(encoded)


@final
class TextEncoderGraph(nn.Module):
    """Token ids to the text embedding."""

    def __init__(self, model: SyCoCa) -> None:
        super().__init__()
        self.text_encoder = model.text_encoder

    def forward(self, inputs: list[Tensor]) -> tuple[Tensor, ...]:
        """Return the embedding, L2-normalized; tokens beyond a row's length are padding."""
        tokens, lengths = inputs
        is_padding = torch.arange(tokens.shape[1]) >= lengths.unsqueeze(1)
        _, pooled = self.text_encoder(tokens, is_padding, is_packed=False)
        return (F.normalize(at_least_float32(pooled), dim=-1),)


@final
class CaptionPrefillGraph(nn.Module):
    """Keys and values of an image's memory in every layer of the text decoder, computed once per image."""

    def __init__(self, decoder: TextDecoder) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(self, inputs: list[Tensor]) -> tuple[Tensor, ...]:
        """Return keys and values, layer by layer."""
        (memory,) = inputs
        return tuple(part for pair in self.decoder.keys_values(memory) for part in pair)


@final
class CaptionStepGraph(nn.Module):
    """One more token of every caption."""

    def __init__(self, model: SyCoCa, decoder: TextDecoder) -> None:
        super().__init__()
        self.text_encoder, self.decoder = model.text_encoder, decoder

    def forward(self, inputs: list[Tensor]) -> tuple[Tensor, ...]:
        """Return logits of the token after this one, then the caches with this one in them.

        Given are keys and values of the memory, layer by layer, and those of past tokens: the text encoder's layers,
        then the decoder's.
        """
        token, *keys_values = inputs
        pairs = list(zip(keys_values[::2], keys_values[1::2], strict=True))
        memory = pairs[: self.decoder.depth]
        caches = [_LongerCache(keys, values) for keys, values in pairs[self.decoder.depth :]]
        num_text_layers = len(self.text_encoder.blocks)
        states = self.text_encoder.decode_step(token, caches[:num_text_layers])
        logits = self.decoder.logits(self.decoder.decode_step(states, caches[num_text_layers:], memory))
        return (logits, *(part for cache in caches for part in (cache.keys, cache.values)))


@final
class _LongerCache:
    """A key-value cache that is concatenated at every step: a graph cannot write in place."""

    def __init__(self, keys: Tensor, values: Tensor) -> None:
        self.keys, self.values = keys, values

    @property
    def num_tokens(self) -> int:
        return self.keys.shape[2]

    def append(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        self.keys, self.values = torch.cat([self.keys, keys], dim=2), torch.cat([self.values, values], dim=2)
        return self.keys, self.values


def _image_encoder(model: SyCoCa) -> Graph:
    config = model.config
    size = config.image_encoder.image_size
    embeds, memory = _embeds("image_embeds", config), _memory(config)
    of_captions = "" if model.text_decoder is None else ", and to what captions are generated from"
    return Graph(
        name=IMAGE_ENCODER,
        what=f"Images to vectors of the joint space, L2-normalized{of_captions}.",
        module=ImageEncoderGraph(model).eval(),
        inputs=(Port(name="pixels", axes=("batch", 3, size, size)),),
        outputs=(embeds,) if model.text_decoder is None else (embeds, memory),
        vocab_size=config.text_encoder.vocab_size,
    )


def _text_encoder(model: SyCoCa) -> Graph:
    config = model.config
    return Graph(
        name=TEXT_ENCODER,
        what="Texts to vectors of the joint space, L2-normalized. Rows are token ids (bos, the text, eos, then any"
        " padding); `lengths` counts the tokens without padding.",
        module=TextEncoderGraph(model).eval(),
        inputs=(
            Port(name="tokens", axes=("batch", "tokens"), kind="tokens"),
            Port(name="lengths", axes=("batch",), kind="lengths"),
        ),
        outputs=(_embeds("text_embeds", config),),
        longest={"tokens": config.text_encoder.context_length},
        vocab_size=config.text_encoder.vocab_size,
    )


def _caption_prefill(model: SyCoCa, decoder: TextDecoder) -> Graph:
    config = model.config
    return Graph(
        name=CAPTION_PREFILL,
        what="The memory of images to its keys and values in every layer of the text decoder: once per image.",
        module=CaptionPrefillGraph(decoder).eval(),
        inputs=(_memory(config),),
        outputs=_memory_keys_values(config, decoder),
        vocab_size=config.text_encoder.vocab_size,
    )


def _caption_step(model: SyCoCa, decoder: TextDecoder) -> Graph:
    config = model.config
    text = config.text_encoder
    heads = [text.num_heads] * text.depth + [decoder.num_heads] * decoder.depth
    return Graph(
        name=CAPTION_STEP,
        what="The last token of unfinished captions to the logits of the next one. The first token is bos, with caches"
        " of length 0; afterwards `past_*` are the `present_*` of the step before.",
        module=CaptionStepGraph(model, decoder).eval(),
        inputs=(
            Port(name="token", axes=("batch", 1), kind="tokens"),
            *_memory_keys_values(config, decoder),
            *_keys_values("past", heads, "past", text.width),
        ),
        outputs=(
            Port(name="logits", axes=("batch", text.vocab_size)),
            *_keys_values("present", heads, "past + 1", text.width),
        ),
        longest={"past": text.context_length - 1},
        vocab_size=text.vocab_size,
    )


def _embeds(name: str, config: SyCoCaConfig) -> Port:
    return Port(name=name, axes=("batch", config.embed_dim), is_normalized=True)


def _memory(config: SyCoCaConfig) -> Port:
    image = config.image_encoder
    return Port(name="memory", axes=("batch", image.memory_length, image.output_width))


def _memory_keys_values(config: SyCoCaConfig, decoder: TextDecoder) -> tuple[Port, ...]:
    heads = [decoder.num_heads] * decoder.depth
    return _keys_values("memory", heads, config.image_encoder.memory_length, decoder.width)


def _keys_values(what: str, heads: Sequence[int], length: int | str, width: int) -> tuple[Port, ...]:
    """Return keys and values of layers in turn, given each layer's number of heads."""
    return tuple(
        Port(name=f"{what}_{part}_{layer}", axes=("batch", number, length, width // number))
        for layer, number in enumerate(heads)
        for part in ("keys", "values")
    )
