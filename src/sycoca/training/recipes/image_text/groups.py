"""Groups of pairs whose patches and words are compared. Imports no torch."""

from sycoca.objectives.config import ObjectivesConfig
from sycoca.training.config import TrainingConfig


def check_groups(objectives: ObjectivesConfig, training: TrainingConfig, world_size: int = 1) -> None:
    """Raise ValueError where a micro-batch would cut a group: the loss would depend on how a step is split."""
    if objectives.patch_word_weight == 0:
        return
    group, micro_batch = objectives.patch_word_group_size, training.micro_batch_on(world_size)
    if micro_batch not in (training.global_batch_size, micro_batch // group * group):
        processes = "" if world_size == 1 else f" on each of {world_size} processes"
        raise ValueError(
            f"objectives.patch_word_weight compares groups of objectives.patch_word_group_size {group} pairs, and"
            f" micro-batches of {micro_batch}{processes} would cut them: set training.micro_batch_size to a multiple of"
            f" the group's size, or the group's size to a divisor of {micro_batch}"
        )
