import pytest
import torch

from builders.predictors import small_predictor
from sycoca.data.scenes.language import facts_of, write_caption
from sycoca.data.scenes.source import ScenesSource
from sycoca.data.scenes.swaps import false_swaps
from sycoca.evaluation.scene_swaps import evaluate_scene_swaps

SOURCE = ScenesSource(level="easy", count=4, split="test", size=32)


@pytest.fixture(scope="module")
def predictor():
    with torch.random.fork_rng():
        torch.manual_seed(2)
        return small_predictor()


def expected(score) -> dict[str, list[bool]]:
    """Judge every swap by itself, with what users call."""
    hits: dict[str, list[bool]] = {}
    for index in range(len(SOURCE)):
        scene = SOURCE.scene(index)
        for place, own in enumerate(facts_of(scene)):
            for kind, swap in false_swaps(own, scene).items():
                caption, other = write_caption(own, place), write_caption(swap, place)
                hits.setdefault(kind, []).append(score(SOURCE[index], caption) > score(SOURCE[index], other))
    return hits


@pytest.mark.parametrize("batch_size", [2, pytest.param(64, marks=pytest.mark.slow)])
def test_swaps_are_judged_one_by_one(predictor, batch_size: int):
    report = evaluate_scene_swaps(predictor, SOURCE, batch_size=batch_size)
    scorers = {
        "swap_accuracy": lambda image, text: predictor.similarity([image], [text]).item(),
        "swap_accuracy_likelihood": lambda image, text: predictor.caption_log_likelihood(
            [image], [text], per_token=True
        ).item(),
    }
    for name, score in scorers.items():
        hits = expected(score)
        everything = [hit for of_kind in hits.values() for hit in of_kind]
        assert report.metrics[name] == pytest.approx(sum(everything) / len(everything))
        for kind, of_kind in hits.items():
            assert report.metrics[f"{name}_{kind}"] == pytest.approx(sum(of_kind) / len(of_kind))
        assert 0 < report.metrics[name] < 1
    assert report.counts["swaps"] == len(everything)
    assert report.counts["swaps"] + report.counts["swaps_left_out"] == 4 * 4 * 3
    values = report.items["swap"].values["swap_accuracy"]
    assert sum(values) / len(values) == pytest.approx(report.metrics["swap_accuracy"])


def test_a_model_without_captioner_is_judged_by_similarity_alone():
    report = evaluate_scene_swaps(small_predictor(model_text_decoder=None), SOURCE, limit=2)
    assert not any("likelihood" in name for name in report.metrics)
    assert report.counts["scenes"] == 2
