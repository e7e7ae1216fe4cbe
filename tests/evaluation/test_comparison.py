import io
import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

from builders.predictors import SCENES, small_predictor
from sycoca.evaluation.captioning import CaptioningOptions, evaluate_captioning
from sycoca.evaluation.comparison import compare_reports, evidence_of
from sycoca.evaluation.comparison_table import comparison_tables, legend
from sycoca.evaluation.grounding import evaluate_grounding
from sycoca.evaluation.report import ItemScores, Report
from sycoca.evaluation.retrieval import evaluate_retrieval, named_metrics, retrieval_items
from sycoca.evaluation.scene_captions import evaluate_scene_captions
from sycoca.evaluation.scene_swaps import evaluate_scene_swaps
from sycoca.evaluation.vqa import VqaOptions, evaluate_vqa
from sycoca.evaluation.zero_shot import evaluate_zero_shot
from sycoca.inference.decoding.generation_config import GenerationConfig
from sycoca.metrics.intervals import t_interval, welch_interval
from sycoca.metrics.retrieval import RetrievalRanks
from sycoca.terminal import show_table


def report(hits: list[int], keys: list[str] | None = None, **settings: int) -> Report:
    return Report(
        task="classification",
        metrics={"accuracy_top_1": sum(hits) / len(hits), "skipped_samples": 0.0},
        counts={"images": len(hits)},
        settings=dict(settings),
        items={
            "image": ItemScores(keys=keys or [str(i) for i in range(len(hits))], values={"accuracy_top_1": hits}),
        },
    )


HITS = np.random.default_rng(8).integers(0, 2, 500).tolist()
BETTER = [1 if i % 10 == 0 else hit for i, hit in enumerate(HITS)]


def retrieval_report(seed: int, num_images: int = 50, keys: list[str] | None = None) -> Report:
    generator = torch.Generator().manual_seed(seed)
    ranks = {
        "": RetrievalRanks(
            image_to_text=torch.randint(1, 20, (num_images,), generator=generator),
            text_to_image=torch.randint(1, 20, (2 * num_images,), generator=generator),
        )
    }
    keys = keys or [f"{i}.jpg" for i in range(num_images)]
    captions = [f"{key}#{place}" for key in keys for place in range(2)]
    items = retrieval_items(ranks, keys, captions, [image for image in range(num_images) for _ in range(2)])
    return Report(task="retrieval", metrics=named_metrics(ranks), counts={}, items=items)


def test_pairing_finds_what_intervals_of_each_would_hide():
    comparison = compare_reports({"a": report(HITS), "b": report(BETTER), "same": report(HITS)})
    first, better, same = comparison.values["accuracy_top_1"]
    assert first is not None
    assert better is not None
    assert first.interval is not None
    assert first.interval[0] < first.value < first.interval[1]
    assert same == first
    assert first.interval[1] > better.value  # each by itself says nothing
    none, of_better, of_same = comparison.differences["accuracy_top_1"]
    assert none is None
    assert of_better is not None
    assert of_better.difference == pytest.approx(better.value - first.value)
    assert of_better.num_items == 500
    assert of_better.is_clear
    assert of_same is not None
    assert of_same.interval == (0.0, 0.0)
    assert not of_same.is_clear


def test_items_are_matched_by_key_whatever_their_order():
    order = np.random.default_rng(9).permutation(500)
    shuffled = report([BETTER[i] for i in order], [str(i) for i in order])
    shuffled = compare_reports({"a": report(HITS), "b": shuffled})
    straight = compare_reports({"a": report(HITS), "b": report(BETTER)})
    assert shuffled.differences == straight.differences


def test_reports_of_other_items_are_paired_as_far_as_they_go():
    comparison = compare_reports({"a": report(HITS), "b": report(BETTER[:300])})
    found = comparison.differences["accuracy_top_1"][1]
    assert found is not None
    assert found.num_items == 300
    assert found.difference == pytest.approx((sum(BETTER[:300]) - sum(HITS[:300])) / 300)
    assert comparison.notes == ["b: paired on the common ones: 500 and 300 images, 300 of them common"]
    strangers = compare_reports({"a": report(HITS[:2]), "b": report([1, 0], ["x", "y"])})
    assert strangers.differences["accuracy_top_1"] == [None, None]
    assert strangers.notes == ["b: not paired: 2 and 2 images, 0 of them common"]


def test_every_metric_of_retrieval_has_an_interval():
    comparison = compare_reports({"a": retrieval_report(0), "b": retrieval_report(1)})
    assert "mean_text_recall" in comparison.values
    assert "text_to_image_median_rank" in comparison.values
    for name in comparison.values:
        for value in comparison.values[name]:
            assert value is not None
            assert value.interval is not None
            assert value.interval[0] <= value.value <= value.interval[1]
        assert comparison.differences[name][1] is not None


def test_captions_of_one_image_are_no_independent_witnesses():
    generator = torch.Generator().manual_seed(0)
    of_images = torch.randint(1, 4, (60,), generator=generator)
    intervals = []
    for num_captions in (1, 5):
        ranks = {"": RetrievalRanks(image_to_text=of_images, text_to_image=of_images.repeat_interleave(num_captions))}
        keys = [f"{i}.jpg" for i in range(60)]
        captions = [f"{key}#{place}" for key in keys for place in range(num_captions)]
        items = retrieval_items(ranks, keys, captions, [i for i in range(60) for _ in range(num_captions)])
        same = Report(task="retrieval", metrics=named_metrics(ranks), counts={}, items=items)
        comparison = compare_reports({"a": same, "b": same})
        intervals.append([value and value.interval for value in comparison.values["text_to_image_recall_at_1"]])
    assert intervals[1][0] == pytest.approx(intervals[0][0])  # saying it five times makes nothing surer


def vqa_report(hits: list[int], kinds: list[str | None], images: list[str] | None = None) -> Report:
    keys = [str(i) for i in range(len(hits))]
    of_kind = {kind: [hit for hit, own in zip(hits, kinds, strict=True) if own == kind] for kind in set(kinds) - {None}}
    return Report(
        task="vqa",
        metrics={"answer_accuracy": sum(hits) / len(hits)}
        | {f"answer_accuracy_of_answer_type_{kind}": sum(own) / len(own) for kind, own in of_kind.items()},
        counts={},
        items={
            "question": ItemScores(
                keys=keys, values={"answer_accuracy": hits}, groups=images, kinds={"of_answer_type_": kinds}
            )
        },
    )


def test_metrics_of_a_kind_have_intervals_of_their_own():
    kinds = ["number" if i < 40 else None if i < 60 else "other" for i in range(500)]
    comparison = compare_reports({"a": vqa_report(HITS, kinds), "b": vqa_report(BETTER, kinds)})
    widths = {}
    for kind in ("number", "other"):
        name = f"answer_accuracy_of_answer_type_{kind}"
        value, difference = comparison.values[name][0], comparison.differences[name][1]
        assert value is not None
        assert value.interval is not None
        assert difference is not None
        expected = [better - hit for better, hit, own in zip(BETTER, HITS, kinds, strict=True) if own == kind]
        assert difference.difference == pytest.approx(sum(expected) / len(expected))
        widths[kind] = value.interval[1] - value.interval[0]
    assert widths["number"] > 2 * widths["other"]  # 40 questions say less than 440


def test_questions_about_one_image_are_no_independent_witnesses():
    once, five_times = HITS[:100], [hit for hit in HITS[:100] for _ in range(5)]
    images = [str(i) for i in range(100) for _ in range(5)]
    intervals = []
    for hits, own in ((once, None), (five_times, images), (five_times, None)):
        same = vqa_report(hits, ["yes/no"] * len(hits), own)
        found = compare_reports({"a": same, "b": same}).values["answer_accuracy"][0]
        assert found is not None
        intervals.append(found.interval)
    assert intervals[1] == pytest.approx(intervals[0])
    assert intervals[2] != pytest.approx(intervals[0], abs=1e-3)


@pytest.mark.parametrize(
    "evaluate",
    [
        partial(evaluate_captioning, options=CaptioningOptions(with_meteor=False)),
        evaluate_grounding,
        evaluate_scene_captions,
        evaluate_scene_swaps,
        partial(evaluate_vqa, options=VqaOptions(open_ended=GenerationConfig(max_tokens=3))),
        evaluate_zero_shot,
        evaluate_retrieval,
    ],
)
def test_metrics_of_every_task_can_be_compared(evaluate: Callable[..., Report], tmp_path: Path):
    reports = {}
    for name, limit in (("a", 12), ("b", 8)):
        evaluate(small_predictor(), SCENES, limit=limit).save(tmp_path / f"{name}.json")
        reports[name] = Report.load(tmp_path / f"{name}.json")
    comparison = compare_reports(reports)
    for metric, values in comparison.values.items():
        if metric != "skipped_samples":  # a count
            assert all(value is None or value.interval is not None for value in values), metric


def test_ranks_among_other_candidates_are_not_paired():
    comparison = compare_reports({"a": retrieval_report(0, 50), "b": retrieval_report(1, 40)})
    assert all(row == [None, None] for row in comparison.differences.values())
    assert comparison.notes[0] == (
        "b: not paired, 50 and 40 images, 40 of them common: values depend on the whole set (ranks among the"
        " candidates)"
    )


def captioning_report(num_images: int, **more: list[float]) -> Report:
    columns = {
        "rouge_l": [i % 3 / 4 for i in range(num_images)],
        "cider": [i % 7 / 5 for i in range(num_images)],
        **more,
    }
    return Report(
        task="captioning",
        metrics={name: sum(column) / num_images for name, column in columns.items()},
        counts={},
        items={"image": ItemScores(keys=[f"{i}.jpg" for i in range(num_images)], values=columns)},
    )


def test_values_that_depend_on_the_whole_set_are_paired_on_equal_sets_alone():
    hits = {"self_retrieval_recall_at_1": [float(i % 2) for i in range(30)]}
    comparison = compare_reports({"a": captioning_report(30, **hits), "b": captioning_report(20)})
    assert {name: row[1] is not None for name, row in comparison.differences.items()} == {
        "rouge_l": True,
        "cider": False,
        "self_retrieval_recall_at_1": False,
    }
    sizes = "30 and 20 images, 20 of them common"
    assert comparison.notes == [
        f"b: paired on the common ones: {sizes}; left out, since values depend on the whole set (cider: document"
        " frequencies)"
    ]
    same = compare_reports({"a": captioning_report(30, **hits), "b": captioning_report(30, **hits)})
    assert all(row[1] is not None for row in same.differences.values())
    assert same.notes == []


def test_ranks_of_images_among_other_captions_are_not_paired():
    """As with retrieval.captions_per_image: the images are the same."""
    one, two = retrieval_report(0), retrieval_report(1)
    of_captions = one.items["caption"]
    first = {name: column[::2] for name, column in of_captions.values.items()}
    groups = None if of_captions.groups is None else of_captions.groups[::2]
    fewer = replace(of_captions, keys=of_captions.keys[::2], values=first, groups=groups)
    shown = {name: value for name, value in one.metrics.items() if "image_to_text" in name}
    comparison = compare_reports({"a": replace(one, metrics=shown, items={**one.items, "caption": fewer}), "b": two})
    assert comparison.differences["image_to_text_mean_rank"] == [None, None]


def test_one_image_says_nothing_of_others():
    """Its resamples are all equal; with five captions, too, for they are resampled together."""
    one, two = (captioning_report(1, rouge_l=[value]) for value in (0.2, 0.7))
    comparison = compare_reports({"a": one, "b": two, "c": [two, two]})
    assert [value and value.interval for value in comparison.values["rouge_l"]] == [None] * 3
    for found in comparison.differences["rouge_l"][1:]:
        assert found is not None
        assert found.difference == pytest.approx(0.5)
        assert found.interval is None
        assert not found.is_clear
    assert "one image alone: rouge_l, cider." in " ".join(shown(comparison, 120).split())
    assert json.loads(comparison.to_json())["differences"]["rouge_l"][1]["interval"] is None
    evidence = evidence_of(one, "rouge_l")
    assert evidence is not None
    assert (evidence.num_items, evidence.interval) == (1, None)
    captions = [retrieval_report(seed, num_images=1) for seed in (0, 1)]
    retrieval = compare_reports({"a": captions[0], "b": captions[1]})
    assert all(row[1] is not None and row[1].interval is None for row in retrieval.differences.values())


def test_a_kind_of_one_image_has_no_interval():
    kinds = ["number" if i < 2 else "other" for i in range(500)]
    images = ["0" if i < 2 else str(i) for i in range(500)]
    better = [1, 1, *BETTER[2:]]
    comparison = compare_reports(
        {"a": vqa_report([0, 0, *HITS[2:]], kinds, images), "b": vqa_report(better, kinds, images)}
    )
    number, other = (
        comparison.differences[f"answer_accuracy_of_answer_type_{kind}"][1] for kind in ("number", "other")
    )
    assert number is not None
    assert (number.difference, number.interval, number.is_clear) == (1, None, False)
    assert other is not None
    assert other.interval is not None


def test_what_is_undefined_on_the_common_items_has_no_difference():
    columns = {"hallucinated_objects": [0, 0, 1], "mentioned_objects": [0, 0, 2], "found_objects": [1, 0, 1]}
    values = {**columns, "shown_objects": [1, 1, 1], "chair_s": [0, 0, 1]}
    metrics = {"chair_i": 0.5, "chair_s": 1 / 3, "object_recall": 2 / 3}
    items = ItemScores(keys=["0", "1", "2"], values=values)
    one = Report(task="captioning", metrics=metrics, counts={}, items={"image": items})
    other = replace(one, items={"image": replace(items, keys=["0", "1", "x"])})
    comparison = compare_reports({"a": one, "b": other})
    assert comparison.differences["chair_i"] == [None, None]
    assert comparison.differences["object_recall"][1] is not None
    assert comparison.notes[1] == "b: not paired, since they are undefined on the common images: chair_i"
    comparison.to_json()


def test_what_makes_no_comparison_is_an_error():
    with pytest.raises(ValueError, match="reports of one task can be compared, these are of classification, retrieval"):
        compare_reports({"a": report(HITS), "b": retrieval_report(0)})
    with pytest.raises(ValueError, match="image x occurs 2 times"):
        compare_reports({"a": report(HITS), "b": report([1, 0], ["x", "x"])})
    changed = replace(report(HITS), metrics={"accuracy_top_1": 0.9})
    with pytest.raises(ValueError, match=r"b: accuracy_top_1 is 0\.9, but its items give"):
        compare_reports({"a": report(HITS), "b": changed})


def shown(comparison, width: int) -> str:
    console = Console(file=io.StringIO(), width=width)
    for table in comparison_tables(comparison):
        console.print(table)
    for line in legend(comparison):
        console.print(line)
    return console.file.getvalue()


def test_two_reports_fit_a_terminal():
    text = shown(compare_reports({"clip": retrieval_report(0), "sycoca": retrieval_report(1)}), 80)
    assert "sycoca - clip" in text
    assert "text_to_image_recall_at_10" in text  # not cut, not folded
    assert text.count("text_to_image_recall_at_10") == 1


def test_tables_mark_what_is_clear_and_say_what_is_not_known():
    others = {"b": report(BETTER, limit=6, most_frequent_mistakes=2), "c": report(HITS, limit=5)}
    comparison = compare_reports({"a": report(HITS, limit=5), **others})
    text = " ".join(shown(comparison, 120).split())
    assert "*: no interval of the difference holds 0; 1 of 2 here." in text
    assert "chance marks up to about 0.1 of 2." in text
    difference = comparison.differences["accuracy_top_1"][1]
    assert difference is not None
    assert f"+{100 * difference.difference:.1f} *" in text
    assert "classification: differences" in text
    assert "+0.0 to +0.0" in text
    assert "+0.0 *" not in text
    assert (
        "Without interval, since the reports have no values per item, or of one image alone: skipped_samples." in text
    )
    assert "b: other settings: limit 6 instead of 5." in text


def test_reports_of_the_same_weights_are_said_to_be():
    def of(weights: str | None, **settings: object) -> Report:
        named = {} if weights is None else {"weights": f"runs/{weights}", "weights_sha256": weights}
        return replace(report(HITS), settings={**named, **settings})

    same = "a, b: 2 reports are of the same weights, and count as one model"
    assert compare_reports({"a": of("1"), "b": of("1")}).notes == [same]
    assert compare_reports({"a": of("1"), "b": of("2")}).notes == []
    assert compare_reports({"a": of(None), "b": of(None)}).notes == []
    # One model with two options, or in two precisions, is compared on purpose.
    assert compare_reports({"a": of("1", re_rank=0), "b": of("1", re_rank=8)}).notes == [
        "b: other settings: re_rank 8 instead of 0"
    ]
    assert compare_reports({"a": of("1", dtype="float32"), "b": of("1", dtype="bfloat16")}).notes == [
        "b: other settings: dtype bfloat16 instead of float32"
    ]
    assert compare_reports({"a": of("1", dtype="float32"), "b": of("2")}).notes == []
    seeds = compare_reports({"a": of("1"), "b": [of("2"), of("3"), of("3")]}).notes
    assert seeds == ["b: 2 reports are of the same weights, and count as one model"]


def test_json_holds_all_of_it():
    plain = json.loads(compare_reports({"a": report(HITS), "b": report(BETTER)}).to_json())
    assert plain["reports"] == ["a", "b"]
    assert plain["num_reports"] == [1, 1]
    assert plain["values"]["accuracy_top_1"][0].keys() == {"value", "interval", "seed_interval"}
    assert plain["differences"]["accuracy_top_1"][1]["num_items"] == 500
    assert plain["values"]["skipped_samples"][0]["interval"] is None


def seeds(*flips: int) -> list[Report]:
    """Return reports of one row: seed number i has the first ``flips[i]`` items of HITS turned into hits."""
    return [report([1] * count + HITS[count:]) for count in flips]


def test_several_reports_of_a_row_have_intervals_over_seeds_and_over_items():
    first, other = seeds(0, 20, 60), seeds(200, 260)
    comparison = compare_reports({"a": first, "b": other})
    assert comparison.num_reports == [3, 2]
    values = [[one.metrics["accuracy_top_1"] for one in row] for row in (first, other)]
    for found, own in zip(comparison.values["accuracy_top_1"], values, strict=True):
        assert found is not None
        assert found.value == pytest.approx(np.mean(own))
        assert found.seed_interval == t_interval(own, within=(0.0, 1.0))
        assert found.interval is not None
        assert found.interval[0] < found.value < found.interval[1]
    difference = comparison.differences["accuracy_top_1"][1]
    assert difference is not None
    assert difference.difference == pytest.approx(np.mean(values[1]) - np.mean(values[0]))
    assert difference.seed_interval == welch_interval(*values)


def test_the_items_of_all_seeds_are_resampled_alike():
    once = compare_reports({"a": report(HITS), "b": report(BETTER)})
    thrice = compare_reports({"a": [report(HITS)] * 3, "b": [report(BETTER)] * 3})
    for of_one, of_three in zip(once.differences["accuracy_top_1"], thrice.differences["accuracy_top_1"], strict=True):
        assert (of_one and of_one.interval) == (of_three and pytest.approx(of_three.interval))
    assert [one and one.interval for one in once.values["accuracy_top_1"]] == [
        three and pytest.approx(three.interval) for three in thrice.values["accuracy_top_1"]
    ]


def test_seeds_that_differ_as_much_as_the_rows_leave_nothing_clear():
    better = [one + 100 for one in (0, 90)]
    alone = compare_reports({"a": seeds(0), "b": seeds(100)}).differences["accuracy_top_1"][1]
    with_seeds = compare_reports({"a": seeds(0, 90), "b": seeds(*better)}).differences["accuracy_top_1"][1]
    assert alone is not None
    assert with_seeds is not None
    assert alone.is_clear
    assert with_seeds.interval[0] > 0  # other test items would say the same
    assert not with_seeds.is_clear


def test_the_table_says_in_its_head_that_one_report_knows_no_seeds():
    alone = shown(compare_reports({"a": report(HITS), "b": report(BETTER)}), 80)
    assert "test items only" in alone.partition("accuracy_top_1")[0]
    assert "another seed may differ more" in " ".join(alone.split())
    with_seeds = shown(compare_reports({"a": seeds(0, 20), "b": seeds(100, 180)}), 80)
    assert "items and seeds" in with_seeds.partition("accuracy_top_1")[0]
    assert "another seed" not in with_seeds
    assert "2 seeds" in with_seeds.partition("accuracy_top_1")[0]
    assert with_seeds.count("seeds +") + with_seeds.count("seeds -") == 1
    mixed = shown(compare_reports({"a": seeds(0, 20), "b": seeds(100)}), 80)
    assert "test items only" in mixed.partition("accuracy_top_1")[0]
    assert "another seed" in mixed


def test_on_a_narrow_terminal_a_row_is_a_paragraph_that_reads_well():
    text = io.StringIO()
    comparison = compare_reports(
        {f"{name} of a long name": report(hits) for name, hits in (("a", HITS), ("b", BETTER))}
    )
    for table in comparison_tables(comparison, "photos"):
        show_table(Console(file=text, width=40), table)
    lines = text.getvalue().splitlines()
    assert lines[0] == "classification (photos)"
    difference = comparison.differences["accuracy_top_1"][1]
    assert difference is not None
    said = " ".join(" ".join(lines).split())
    assert f"a of a long name, test items only: +{100 * difference.difference:.1f} *, +" in said
    assert " ," not in said


def test_reports_of_one_row_must_be_of_the_same_items():
    with pytest.raises(ValueError, match="b: its reports are of different test items"):
        compare_reports({"a": report(HITS), "b": [report(HITS), report(HITS[:300])]})
