import itertools
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from builders.predictors import photo_source, small_predictor
from sycoca.data.samples import ImageTextSample, SampleSource
from sycoca.data.scenes.source import ScenesSource
from sycoca.evaluation.phrase_grounding import evaluate_grounding_and_phrases
from sycoca.metrics.grounding import chance_average_precision, grounding_average_precision

SOURCE = ScenesSource(level="easy", count=6, split="test", size=32, distractors=1)
NAME = "noun_phrase_average_precision"


def average_precision(scores: np.ndarray, is_relevant: np.ndarray) -> float:
    order = (-scores).argsort(kind="stable")
    hits = np.flatnonzero(is_relevant[order])
    return float(np.mean([(i + 1) / (rank + 1) for i, rank in enumerate(hits)]))


def covered_patches(pixels: np.ndarray) -> np.ndarray:
    """Return which of 4 x 4 patches of 8 pixels are covered by a quarter at least, row by row."""
    return pixels.reshape(4, 8, 4, 8).mean((1, 3)).flatten() >= 0.25


def test_named_objects_are_those_of_the_caption():
    for index in range(6):
        sample = SOURCE[index]
        assert sample.named_objects is not None
        assert sample.described_pixels is not None
        for number, caption in enumerate(sample.captions):
            first, second = sample.named_objects(number)
            assert caption.index(first.name) < caption.index(second.name)
            np.testing.assert_array_equal(first.pixels | second.pixels, sample.described_pixels(number))
            assert not (first.pixels & second.pixels).any()


@pytest.mark.parametrize("batch_size", [4, pytest.param(64, marks=pytest.mark.slow)])
def test_phrases_are_scored_by_the_best_of_their_words(batch_size: int):
    predictor = small_predictor()
    report = evaluate_grounding_and_phrases(predictor, SOURCE, batch_size=batch_size)
    found: dict[str, list[float]] = {suffix: [] for suffix in ("", "_no_caption", "_other_caption")}
    for index in range(6):
        sample, other = SOURCE[index], SOURCE[(index + 1) % 6]
        own_number, other_number = index % 4, (index + 1) % 6 % 4
        own = predictor.explain(sample, sample.captions[own_number], other_captions=[])
        by_other = predictor.explain(sample, other.captions[other_number], other_captions=[])
        names = sample.named_objects(own_number), other.named_objects(other_number)
        for thing, other_thing in zip(*names, strict=True):
            covered = covered_patches(thing.pixels)
            if not covered.any():
                continue
            for suffix, explained, name in (("", own, thing.name), ("_other_caption", by_other, other_thing.name)):
                pairs = list(itertools.pairwise(explained.words))
                color = pairs.index(tuple(name.split()))
                scores = explained.relevance[color : color + 2].max(0)
                found[suffix].append(average_precision(scores, covered))
            found["_no_caption"].append(average_precision(own.image_scores.flatten(), covered))
    assert report.counts["noun_phrases"] == len(found[""])
    assert report.counts["noun_phrases"] + report.counts["skipped_noun_phrases"] == 12
    for suffix, values in found.items():
        assert report.metrics[f"{NAME}{suffix}"] == pytest.approx(np.mean(values), abs=1e-6)
        assert report.items["noun phrase"].values[f"{NAME}{suffix}"] == pytest.approx(values, abs=1e-6)
    assert "mask_coverage" in report.metrics


def test_baselines_in_random_order_rank_all_objects_and_all_patches():
    report = evaluate_grounding_and_phrases(small_predictor(), SOURCE)
    expected: dict[str, list[float]] = {"_any_object": [], "_random": []}
    generator = np.random.default_rng(0)
    for index in range(6):
        sample = SOURCE[index]
        assert sample.object_pixels is not None
        assert sample.named_objects is not None
        is_any = covered_patches(sample.object_pixels())
        for thing in sample.named_objects(index % 4):
            covered = covered_patches(thing.pixels)
            if covered.any():
                orders = generator.random((3000, 16))
                for suffix, scores in (("_any_object", orders + is_any), ("_random", orders)):
                    expected[suffix].append(float(np.mean([average_precision(row, covered) for row in scores])))
    for suffix, values in expected.items():
        assert report.items["noun phrase"].values[f"{NAME}{suffix}"] == pytest.approx(values, abs=0.02)
    assert expected["_any_object"] > expected["_random"]


@pytest.mark.parametrize(("num_relevant", "num_ranked"), [(1, 1), (1, 5), (2, 5), (5, 5)])
def test_chance_is_the_mean_over_all_orders(num_relevant: int, num_ranked: int):
    orders = itertools.permutations(range(num_ranked))
    scores = torch.tensor(list(orders), dtype=torch.double)
    is_relevant = torch.zeros_like(scores)
    is_relevant[:, :num_relevant] = 1
    expected = grounding_average_precision(scores, is_relevant).mean().item()
    assert chance_average_precision(num_relevant, num_ranked) == pytest.approx(expected)


def test_phrases_beyond_the_context_are_counted():
    predictor = small_predictor()
    predictor.model.config = replace(
        predictor.model.config, text_encoder=replace(predictor.model.config.text_encoder, context_length=6)
    )
    report = evaluate_grounding_and_phrases(predictor, SOURCE)
    assert report.counts["noun_phrases"] < report.counts["skipped_noun_phrases"]


@dataclass(frozen=True, slots=True)
class NamesNothing(SampleSource):
    """Scenes of which the captions of one name no object."""

    scenes: ScenesSource = SOURCE

    @property
    def name(self) -> str:
        return self.scenes.name

    def __len__(self) -> int:
        return len(self.scenes)

    def __getitem__(self, index: int) -> ImageTextSample:
        sample = self.scenes[index]
        return replace(sample, named_objects=lambda _: ()) if index == 1 else sample


def test_a_phrase_is_skipped_where_the_other_caption_names_nothing():
    predictor = small_predictor()
    report = evaluate_grounding_and_phrases(predictor, NamesNothing())
    # The first scene is compared with the second, which has no phrases of its own.
    assert {key.split()[0] for key in report.items["noun phrase"].keys}.isdisjoint(SOURCE[i].key for i in (0, 1))
    assert report.counts["skipped_noun_phrases"] >= 2
    assert report.counts["noun_phrases"] + report.counts["skipped_noun_phrases"] == 10


def test_one_sample_has_no_phrase_of_another_caption():
    source = ScenesSource(level="easy", count=1, split="test", size=32, distractors=1)
    report = evaluate_grounding_and_phrases(small_predictor(), source)
    assert {NAME, f"{NAME}_no_caption", f"{NAME}_any_object"} < report.metrics.keys()
    assert f"{NAME}_other_caption" not in report.metrics
    assert str(report.settings[f"{NAME}_other_caption"]).startswith("not computed: no other sample")
    assert "mask_coverage_other_caption" in report.settings


def test_without_known_objects_there_is_nothing_to_measure():
    with pytest.raises(ValueError, match="does not say which pixels its captions describe"):
        evaluate_grounding_and_phrases(small_predictor(), photo_source([("a thing",)]))
