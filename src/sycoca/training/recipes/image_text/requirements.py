"""What every training on image-text pairs needs of its data and says of its objectives."""

from sycoca.data.samples import SampleSource
from sycoca.objectives.config import ObjectivesConfig


def objective_weights(config: ObjectivesConfig) -> dict[str, float]:
    """Return the three objectives of pairs by name with their weights, those that are off included."""
    return {
        "contrastive": config.contrastive_weight,
        "captioning": config.captioning_weight,
        "masked image": config.masked_image_weight,
    }


def require_captions(source: SampleSource) -> None:
    """Raise ValueError where a source has no captions."""
    if not source[0].captions:
        raise ValueError(
            f"{source.name} has no captions, and this training needs them; name their column, as in ?caption=title"
        )
