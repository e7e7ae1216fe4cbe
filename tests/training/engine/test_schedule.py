import pytest

from sycoca.training.config import ScheduleConfig
from sycoca.training.engine.optimization.schedule import learning_rate


def rates(steps: int, schedule: ScheduleConfig) -> list[float]:
    return [learning_rate(step, steps=steps, peak_lr=8.0, schedule=schedule) for step in range(steps + 1)]


def test_climbs_linearly_then_follows_half_a_cosine():
    # cos(0), cos(45 deg), cos(90 deg), cos(135 deg), cos(180 deg), mapped from [-1, 1] to [0, 8].
    expected = [2.0, 4.0, 6.0, 8.0, 8.0, 6.8284271, 4.0, 1.1715729, 0.0]
    assert rates(8, ScheduleConfig(warmup_steps=4)) == pytest.approx(expected)


def test_ends_at_the_final_rate():
    assert rates(8, ScheduleConfig(warmup_steps=4, final_lr_ratio=0.25))[-1] == pytest.approx(2.0)
    assert rates(8, ScheduleConfig(warmup_steps=4, final_lr_ratio=0.25))[3] == pytest.approx(8.0)


def test_without_warmup_begins_at_the_peak():
    assert rates(4, ScheduleConfig(warmup_steps=0))[0] == 8.0


def test_shorter_than_the_warmup_only_climbs():
    assert rates(3, ScheduleConfig(warmup_steps=8)) == pytest.approx([1.0, 2.0, 3.0, 4.0])


def test_stays_at_the_final_rate_after_the_last_step():
    schedule = ScheduleConfig(warmup_steps=1, final_lr_ratio=0.5)
    assert learning_rate(99, steps=4, peak_lr=8.0, schedule=schedule) == pytest.approx(4.0)
