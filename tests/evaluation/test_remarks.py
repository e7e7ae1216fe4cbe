import pytest

from sycoca.evaluation.caption_scores import caption_report
from sycoca.evaluation.comparison import compare_reports
from sycoca.evaluation.remarks import class_remarks, retrieval_remarks
from sycoca.evaluation.report import Report


def scored(captions: dict[str, str], references: dict[str, tuple[str, ...]]) -> Report:
    return caption_report(captions, references, with_meteor=False, counts={}, settings={})


def test_cider_of_one_image_is_zero_by_definition_and_said():
    report = scored({"7": "a red door in a wall"}, {"7": ("a red door in a wall", "the red door is shut")})
    assert report.metrics["cider"] == 0
    assert report.metrics["rouge_l"] == 1
    (remark,) = report.remarks
    assert remark.startswith("cider is 0 by definition where all references are of one image")


def test_scripts_without_spaces_are_said():
    captions = {"0": "\u4e00\u53ea\u84dd\u8272\u7684\u732b\u5750\u5728\u6905\u5b50\u4e0a", "1": "\u8f66"}
    report = scored(captions, {"0": ("\u4e00\u53ea\u84dd\u8272\u7684\u732b",), "1": ("\u4e00\u8f86\u8f66",)})
    assert max(report.metrics.values()) < 0.1
    (remark,) = report.remarks
    assert remark.startswith("most captions are one token: they are in a script without spaces between words")


def test_short_captions_have_no_bleu_4():
    references = {"0": ("a red door",), "1": ("a blue car here",)}
    assert scored({"0": "a red door", "1": "a blue car"}, references).remarks == (
        "bleu_4 says nothing where every caption has fewer than 4 words: without an n-gram to match, what"
        " coco-caption adds to avoid division by zero gives 3.2 % at most",
    )
    (empty,) = scored({"0": "", "1": ""}, references).remarks
    assert empty.startswith("bleu_2 and bleu_3 and bleu_4 say nothing where every caption has fewer than 2 words")
    (remark,) = scored({"0": "red door", "1": "car"}, references).remarks
    assert remark.startswith("bleu_3 and bleu_4 say nothing where every caption has fewer than 3 words")
    assert scored({"0": "a red door", "1": "a blue car here"}, references).remarks == ()


def test_bleu_without_an_n_gram_is_at_most_what_is_said():
    for caption, shortest in (("a red dog", 4), ("red dog", 3), ("dog", 2)):
        metrics = scored({str(n): caption for n in range(5)}, {str(n): (caption,) for n in range(5)}).metrics
        values = [metrics[f"bleu_{length}"] for length in range(shortest, 5)]
        assert max(values) < 0.0317
        assert metrics[f"bleu_{shortest - 1}"] == pytest.approx(1)
    assert scored({"0": "a red dog", "1": "a red dog"}, {"0": ("a red dog",), "1": ("a red dog",)}).metrics[
        "bleu_4"
    ] == pytest.approx(0.0316, abs=1e-4)


def test_recalls_among_few_candidates_are_said():
    assert list(retrieval_remarks(11, 55, {})) == []
    assert list(retrieval_remarks(4, 20, {})) == [
        "text_to_image recall at 5 and 10 is 100 % by definition among 4 images"
    ]
    assert next(retrieval_remarks(1, 8, {})) == "image_to_text recall at 10 is 100 % by definition among 8 captions"
    (remark,) = retrieval_remarks(
        1000, 4000, {"image_to_text_recall_at_1_ceiling": 0.04, "mean_text_recall_ceiling": 0.7}
    )
    assert remark == (
        "image_to_text_recall_at_1 is at most 4.0 %, since equal captions of several images, and equal images, are ties"
    )
    assert list(class_remarks(6)) == []
    assert list(class_remarks(5)) == ["accuracy_top_5 is 100 % by definition with 5 classes"]


def test_remarks_are_shown_saved_and_compared(tmp_path):
    report = Report(task="captioning", metrics={"cider": 0.0}, counts={}, remarks=("cider is [0] by definition",))
    assert "cider is [0] by definition" in str(report.table().caption)
    report.save(tmp_path / "r.json")
    assert Report.load(tmp_path / "r.json").remarks == ("cider is [0] by definition",)
    assert "b: cider is [0] by definition" in compare_reports({"a": report, "b": report}).notes


def test_reports_of_earlier_versions_have_none(tmp_path):
    plain = '{"task": "vqa", "metrics": {}, "counts": {}, "settings": {}, "seconds": 1.0}'
    (tmp_path / "r.json").write_text(plain)
    assert Report.load(tmp_path / "r.json").remarks == ()
