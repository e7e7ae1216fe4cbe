import pytest

from sycoca.training.engine.loop import is_due


@pytest.mark.parametrize(
    ("every", "due"),
    [(3, [3, 6, 7]), (1, [1, 2, 3, 4, 5, 6, 7]), (None, [7]), (100, [7])],
)
def test_due_every_so_many_steps_and_at_the_end(every: int | None, due: list[int]):
    assert [step for step in range(1, 8) if is_due(every, step, steps=7)] == due
