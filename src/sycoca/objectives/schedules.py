"""What changes in the course of training: which patches are hidden and masked, and whether images are at all.

Without a known progress, as in evaluation, everything is at full strength.
"""

from collections import Counter
from dataclasses import dataclass, replace

from sycoca.model.masking_config import MaskingConfig
from sycoca.objectives.config import ObjectivesConfig
from sycoca.records import TrainingProgress


@dataclass(frozen=True, kw_only=True, slots=True)
class StepKind:
    """Steps of a training that compute the same, and so take equally long."""

    example: TrainingProgress
    """The first of them."""

    share: float
    """Their fraction of all steps."""


def masking_at(masking: MaskingConfig, progress: TrainingProgress | None) -> MaskingConfig:
    """Return the masking of a step: random before ``attentive_from``, nothing hidden after
    ``captioning_hidden_until``."""
    if progress is None:
        return masking
    done = progress.fraction_done
    return replace(
        masking,
        strategy="random" if done < masking.attentive_from else masking.strategy,
        hides_from_captioning=masking.hides_from_captioning and done < masking.captioning_hidden_until,
    )


def masks_images_at(objectives: ObjectivesConfig, progress: TrainingProgress | None) -> bool:
    """Return whether a step has TG-MIM: it has a weight, and ``masked_image_every`` and ``masked_image_from`` agree."""
    if objectives.masked_image_weight == 0 or progress is None:
        return objectives.masked_image_weight > 0
    is_due = progress.step % objectives.masked_image_every == 0
    return is_due and progress.fraction_done >= objectives.masked_image_from


def kinds_of_steps(masking: MaskingConfig, objectives: ObjectivesConfig, num_steps: int) -> tuple[StepKind, ...]:
    """Return the kinds of steps of a training, by what is hidden from captioning and whether there is TG-MIM."""
    steps = [TrainingProgress(step=step, num_steps=num_steps) for step in range(1, num_steps + 1)]
    kinds = [(masking_at(masking, one).hides_from_captioning, masks_images_at(objectives, one)) for one in steps]
    counts = Counter(kinds)
    return tuple(StepKind(example=steps[kinds.index(kind)], share=count / num_steps) for kind, count in counts.items())
