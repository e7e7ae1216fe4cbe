"""How many examples a report shows: on a CPU fewer of a large model, so that a report takes seconds."""

from dataclasses import dataclass

from sycoca.inference.predictor import Predictor

_CPU_BUDGET = 0.6e12
"""Multiply-adds of the image encoder for the images of a report: some 8 seconds on two cores."""

_LEAST_IMAGES = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class GallerySize:
    """Numbers of examples."""

    images: int
    """Candidates of the retrieval examples; the other examples are some of them."""

    captions: int
    """Images with generated captions."""

    masks: int
    """Images with masks and reconstructions."""

    remark: str = ""
    """Why these are fewer than usual, if they are."""


WHOLE_GALLERY = GallerySize(images=200, captions=10, masks=4)
"""Enough candidates for a low chance level."""


def gallery_size(predictor: Predictor) -> GallerySize:
    """Return the numbers of examples of a model on its device, from its sizes alone, so that a report repeats."""
    encoder = predictor.model.image_encoder
    cost = sum(parameter.numel() for parameter in encoder.parameters()) * encoder.config.num_patches
    images = max(_LEAST_IMAGES, int(_CPU_BUDGET / cost))
    if encoder.patch_embedding.weight.device.type != "cpu" or images >= WHOLE_GALLERY.images:
        return WHOLE_GALLERY
    return GallerySize(
        images=images,
        captions=min(WHOLE_GALLERY.captions, max(2, images // 5)),
        masks=min(WHOLE_GALLERY.masks, max(1, images // 10)),
        remark=f"A model of this size takes long on a CPU, so there are examples of {images} images only.",
    )
