"""The learning-rate schedule, a pure function of the step, so that a resumed run stays on the same curve."""

import math

from sycoca.training.config import ScheduleConfig


def learning_rate(step: int, *, steps: int, peak_lr: float, schedule: ScheduleConfig) -> float:
    """Return the learning rate of update number ``step`` (from 0) of ``steps``.

    Linear warm-up reaches the peak at the last warm-up update. Cosine decay then ends at the final rate, which update
    number ``steps`` would have. With fewer steps than warm-up steps the rate only rises.
    """
    if step < schedule.warmup_steps:
        return peak_lr * (step + 1) / schedule.warmup_steps
    progress = min(1.0, (step - schedule.warmup_steps) / max(1, steps - schedule.warmup_steps))
    cosine = 0.5 * (1 + math.cos(math.pi * progress))
    return peak_lr * (schedule.final_lr_ratio + (1 - schedule.final_lr_ratio) * cosine)
