"""The comparisons of benchmarks/versus_*.py, without the other libraries."""

import argparse
import json
from pathlib import Path

import pytest
import torch

from builders.benchmark_scripts import benchmark_script

alternating = benchmark_script("alternating")
benchmark_script("inputs")  # which versus_pycocoevalcap imports
evaluated_embeddings = benchmark_script("evaluated_embeddings")
versus_clip_benchmark = benchmark_script("versus_clip_benchmark")
versus_pycocoevalcap = benchmark_script("versus_pycocoevalcap")
versus_transformers = benchmark_script("versus_transformers")


def test_turns_alternate_after_a_warm_up():
    order: list[str] = []
    seconds = alternating.alternating_seconds({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, turns=2)
    assert "".join(order) == "baabba"
    assert {name: len(times) for name, times in seconds.items()} == {"a": 2, "b": 2}


def test_a_ratio_is_the_median_of_its_turns():
    # By hand: the turns' ratios are 2, 3 and 10; the median of any three of them lies between 2 and 10.
    ratio = alternating.median_ratio([2.0, 6.0, 10.0], [1.0, 2.0, 1.0])
    assert (ratio.median, ratio.interval) == (3.0, (2.0, 10.0))
    assert str(ratio) == "3 (2 to 10)"


def test_a_report_holds_figures_options_and_machine(tmp_path: Path):
    path = tmp_path / "figures.json"
    options = alternating.comparison_parser("", turns=3).parse_args(["--json", str(path)])
    alternating.write_report({"rows": {"greedy": 1.5}}, options)
    report = json.loads(path.read_text())
    assert report["rows"] == {"greedy": 1.5}
    assert report["options"] == {"json": str(path), "turns": 3, "threads": 2}
    assert report["machine"]["torch"] == torch.__version__


def test_without_a_file_nothing_is_written():
    alternating.write_report({}, argparse.Namespace(json=None))


def test_zero_shot_figures_are_those_of_the_nearest_classes():
    data = evaluated_embeddings.labeled_embeddings(300, 20, 3, 64)
    prompts = torch.nn.functional.normalize(data.prompts, dim=2).mean(1)
    cosines = torch.nn.functional.normalize(data.images, dim=1) @ torch.nn.functional.normalize(prompts, dim=1).T
    is_right = cosines.argmax(1) == data.labels
    figures = evaluated_embeddings.zero_shot(data)
    assert 0.2 < figures["accuracy_top_1"] < 0.8
    assert figures["accuracy_top_1"] == pytest.approx(is_right.double().mean().item(), abs=1e-12)
    by_class = [is_right[data.labels == label].double().mean().item() for label in data.labels.unique()]
    assert figures["mean_class_accuracy"] == pytest.approx(sum(by_class) / len(by_class), abs=1e-12)
    assert set(versus_clip_benchmark.ZERO_SHOT.values()) == figures.keys()


def test_retrieval_figures_are_those_of_the_nearest_images():
    data = evaluated_embeddings.paired_embeddings(200, 3, 64)
    cosines = torch.nn.functional.normalize(data.texts, dim=1) @ torch.nn.functional.normalize(data.images, dim=1).T
    is_first = cosines.argmax(1) == data.image_of_text
    figures = evaluated_embeddings.retrieval(data)
    assert figures["text_to_image_recall_at_1"] == pytest.approx(is_first.double().mean().item(), abs=1e-12)
    assert set(versus_clip_benchmark.RETRIEVAL.values()) <= figures.keys()


def test_other_figures_of_evaluation_end_the_comparison():
    ours, names = {"accuracy_top_1": 0.54}, {"acc1": "accuracy_top_1"}
    # 0.54 as float32, and one of 50,000 images more.
    equal, other = {"acc1": 0.5400000214576721}, {"acc1": 0.54002}
    same = versus_clip_benchmark.same_figures({"sycoca": ours, "clip_benchmark": equal}, names)
    assert same == {"acc1": (0.54, 0.5400000214576721)}
    for wrong in (other, {"acc1": float("nan")}):
        with pytest.raises(SystemExit, match="acc1"):
            versus_clip_benchmark.same_figures({"sycoca": ours, "clip_benchmark": wrong}, names)


def test_other_figures_of_captions_end_the_comparison():
    assert versus_pycocoevalcap.same_figures({"bleu_1": 0.5, "x": 1.0}, {"bleu_1": 0.5}) == {"bleu_1": (0.5, 0.5)}
    with pytest.raises(SystemExit, match="differ: cider"):
        versus_pycocoevalcap.same_figures({"bleu_1": 0.5, "cider": 0.9}, {"bleu_1": 0.5, "cider": 0.9 + 1e-9})


@pytest.mark.parametrize("captions", [[[5, 6, 7]], [[5, 6, 7], [5, 6]], [[5, 6, 7], [5, 2, 7]]])
def test_captions_of_another_length_end_the_comparison(captions: list[list[int]]):
    versus_transformers.check_lengths("blip", [[5, 6, 7], [5, 6, 7]], 2, (2, 3))
    with pytest.raises(SystemExit, match="blip"):
        versus_transformers.check_lengths("blip", captions, 2, (2, 3))
