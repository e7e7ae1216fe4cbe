"""Plans of stops and resumes; tests/reliability/test_random_plans.py has a hundred, with worker processes."""

import pytest

from builders.training_plans import Plan, Stage, check, random_plan
from sycoca.data.loading.order import KeyedOrder


@pytest.mark.parametrize("number", range(8))
def test_every_sample_of_every_epoch_is_seen_once_however_a_run_is_resumed(number: int):
    check(random_plan(number, most_workers=0))


def test_a_run_that_stops_at_a_step_and_resumes_with_other_processes_and_batches():
    def stage(num_steps: int, world_size: int, micro_batch_size: int) -> Stage:
        return Stage(
            num_steps=num_steps,
            world_size=world_size,
            num_workers=0,
            micro_batch_size=micro_batch_size,
            num_micro_batches=1,
        )

    order = KeyedOrder(seed=1, num_samples=101, block_size=4, window_size=20)
    check(Plan(num_samples=101, order=order, stages=(stage(37, 2, 3), stage(5, 3, 2), stage(20, 1, 6))))
