from collections.abc import Sequence

from sycoca.evaluation.item_differences import ItemDifference, item_differences
from sycoca.evaluation.report import ItemScores, Report


def retrieval(ranks: Sequence[int], keys: Sequence[str] = "abcd") -> Report:
    captions = ItemScores(
        keys=[f"{key}#0" for key in keys], values={"text_to_image_mean_rank": ranks}, groups=list(keys)
    )
    return Report(task="retrieval", metrics={"text_to_image_mean_rank": 1.0}, counts={}, items={"caption": captions})


def classified(hits: Sequence[float], keys: Sequence[str] = "abcd") -> Report:
    items = ItemScores(keys=keys, values={"accuracy_top_1": hits})
    return Report(task="probe", metrics={"accuracy_top_1": 0.5}, counts={}, items={"image": items})


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
    first = [classified([0.25, 0.5, 0, 0]), classified([0.75, 0.5, 0, 0])]
    found = item_differences(first, [classified([1, 0.5, 1], "dbx")], most=5)
    assert found is not None
    assert found.num_items == 2
    assert [(item.key, item.first, item.other) for item in found.gains] == [("d", 0, 1)]
    assert found.losses == ()


def test_ranks_among_other_candidates_are_not_compared():
    assert item_differences([retrieval([1, 3, 5, 7])], [retrieval([1, 4, 9], "abc")], most=5) is None
    full, few = (
        Report(
            task="scene_captions",
            metrics={},
            counts={},
            items={"image": ItemScores(keys=keys, values={"cider": [1] * len(keys), "caption_truth": [1] * len(keys)})},
        )
        for keys in ("abcd", "abc")
    )
    measures = [item_differences([full], [other], most=5) for other in (full, few)]
    assert [found and found.metric for found in measures] == ["cider", "caption_truth"]


def test_higher_rates_are_better_and_right_answers_are_not_the_worst():
    found = item_differences([classified([1, 0, 0], "abc")], [classified([0, 1, 0], "abc")], most=5)
    assert found is not None
    assert (keys(found.gains), keys(found.losses), keys(found.worst)) == (["b"], ["a"], ["c"])


def test_reports_without_items_have_no_differences():
    assert item_differences([retrieval([1, 2, 3, 4])], [Report(task="t", metrics={}, counts={})], most=5) is None
