from collections.abc import Sequence

from sycoca.evaluation.item_differences import ItemDifference, item_differences
from sycoca.evaluation.report import ItemScores, Report


def retrieval(ranks: Sequence[int], keys: Sequence[str] = "abcd") -> Report:
    captions = ItemScores(
        keys=[f"{key}#0" for key in keys], values={"text_to_image_mean_rank": ranks}, groups=list(keys)
    )
    return Report(task="retrieval", metrics={"text_to_image_mean_rank": 1.0}, counts={}, items={"caption": captions})


def keys(items: Sequence[ItemDifference]) -> list[str]:
    return [item.key for item in items]


def test_lower_ranks_are_better():
    found = item_differences([retrieval([9, 1, 5, 7])], [retrieval([2, 4, 5, 6])], most=2)
    assert found is not None
    assert (found.metric, found.unit, found.num_items) == ("text_to_image_mean_rank", "caption", 4)
    assert (found.num_better, found.num_worse) == (2, 1)
    assert found.gains[0] == ItemDifference(key="a#0", image="a", first=9.0, other=2.0)
    assert keys(found.gains) == ["a#0", "d#0"]
    assert keys(found.losses) == ["b#0"]
    assert keys(found.worst) == ["d#0", "c#0"]  # the better of both ranks is 6, then 5


def test_seeds_are_averaged_and_only_common_items_compared():
    found = item_differences([retrieval([1, 3, 5, 7]), retrieval([3, 5, 5, 7])], [retrieval([1, 4, 9], "dbx")], most=5)
    assert found is not None
    assert found.num_items == 2
    assert [(item.key, item.first, item.other) for item in found.gains] == [("d#0", 7, 1)]
    assert found.losses == ()


def test_higher_rates_are_better_and_right_answers_are_not_the_worst():
    def report(hits: Sequence[int]) -> Report:
        items = ItemScores(keys="abc", values={"accuracy_top_1": hits})
        return Report(task="probe", metrics={"accuracy_top_1": 0.5}, counts={}, items={"image": items})

    found = item_differences([report([1, 0, 0])], [report([0, 1, 0])], most=5)
    assert found is not None
    assert (keys(found.gains), keys(found.losses), keys(found.worst)) == (["b"], ["a"], ["c"])


def test_reports_without_items_have_no_differences():
    assert item_differences([retrieval([1, 2, 3, 4])], [Report(task="t", metrics={}, counts={})], most=5) is None
