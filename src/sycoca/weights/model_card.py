"""The README.md of a weights folder."""

from sycoca.model.sycoca import SyCoCa
from sycoca.weights.config import WeightsConfig


def model_card(model: SyCoCa, config: WeightsConfig, origin: str) -> str:
    """Return a model card as Markdown: what it is, where it comes from, its sizes, and how to use it."""
    sizes = "\n".join(f"| {name} | {size} |" for name, size in _sizes(model).items())
    masking = config.masking
    seen = 1 - masking.captioning_hidden_ratio if masking.hides_from_captioning else 1
    rebuilt = "none" if model.image_decoder is None else f"{masking.reconstruction_masked_ratio:.0%}"
    return f"""---
library_name: sycoca
tags: [image-text, retrieval, image-captioning, sycoca]
---

# A contrastive captioner trained with SyCoCa

Weights of `sycoca`, an implementation of *SyCoCa: Symmetrizing Contrastive Captioners with Attentive Masking for
Multimodal Alignment* (Ma et al., ICML 2024, arXiv 2401.02137).

## Origin

{origin.strip() or "Not recorded."}

## Sizes

| part | size |
| --- | --- |
{sizes}

Masking in training: {masking.strategy}, scored by `{masking.score}`; captioning sees {seen:.0%} of the patches,
{rebuilt} are reconstructed.

## Use

```python
import sycoca

predictor = sycoca.load("this/folder")
predictor.caption(["photo.jpg"], num_beams=4)
predictor.similarity(["photo.jpg"], ["a dog on a beach", "a red circle"])
```

It can say and retrieve only what it has seen in training, with all the gaps and prejudices of that data.
"""


def _sizes(model: SyCoCa) -> dict[str, str]:
    image, text = model.config.image_encoder, model.config.text_encoder
    decoder, image_decoder = model.config.text_decoder, model.config.image_decoder
    return {
        "parameters": f"{model.num_parameters:,}",
        "image encoder": f"{image.image_size} px, patches of {image.patch_size} px, width {image.width},"
        f" {image.depth} blocks, pooling `{image.pooling}`",
        "text encoder": f"{text.vocab_size} token ids, {text.context_length} tokens, width {text.width},"
        f" {text.depth} blocks, pooling `{text.pooling}`",
        "text decoder": "none" if decoder is None else f"{decoder.depth} layers",
        "image decoder": "none"
        if image_decoder is None
        else f"{image_decoder.depth} layers, width {image_decoder.width}",
        "joint space": f"{model.config.embed_dim} dimensions",
    }
