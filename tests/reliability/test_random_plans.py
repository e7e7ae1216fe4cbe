"""A hundred random plans: sizes, processes, workers, batch sizes and stops; each sample of an epoch is seen once."""

import pytest

from builders.training_plans import check, random_plan

# More workers than cores are no error: their number must not matter.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:This DataLoader will create")]

NUM_PLANS = 100


@pytest.mark.parametrize("first", range(0, NUM_PLANS, 10))
def test_plans_with_worker_processes(first: int):
    plans = [random_plan(1000 + number, most_workers=3) for number in range(first, first + 10)]
    for plan in plans:
        check(plan)
    num_stages = sum(len(plan.stages) for plan in plans)
    num_samples = sum(stage.num_steps * stage.global_batch_size for plan in plans for stage in plan.stages)
    print(f"{len(plans)} plans, {num_stages} stages, {num_samples:,} samples")
