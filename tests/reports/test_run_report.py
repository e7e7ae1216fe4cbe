import re
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from PIL import Image

from builders.predictors import ListSource, photo_source, small_predictor
from sycoca.data.samples import ImageTextSample
from sycoca.reports.page import render_page
from sycoca.reports.run_report import RunRecord, gather_gallery, headline_figures, run_page
from sycoca.reports.sample_gallery import mask_examples
from sycoca.unusable import SkippedSample, unusable

PHOTOS = photo_source([("a red circle",), ("a blue square",), (), ("a green circle", "a circle")])


def broken(_smallest_side: int | None = None) -> Image.Image:
    raise unusable("files/b.jpg", "broken image", "files/b.jpg is cut off")


WITH_BROKEN = ListSource(
    samples=(*PHOTOS.samples, ImageTextSample(key="b.jpg", captions=("a cow",), open_image=broken))
)


@dataclass(frozen=True)
class Config:
    seed: int = 0


def record(**changes: object) -> RunRecord:
    run = RunRecord(
        folder=Path("runs/my run"),
        training="pretraining",
        title="pretraining",
        summary="s",
        config=Config(),
        lines=[],
        facts={"steps": "3"},
        environment={},
        resume_command="sycoca pretrain --resume 'runs/my run'",
        commands_to_try=("sycoca caption {weights} photo.jpg",),
    )
    return replace(run, **changes)  # pyright: ignore[reportArgumentType]


def test_examples_of_a_whole_model():
    examples = gather_gallery(small_predictor(), WITH_BROKEN, "held-out images")
    assert [example.num_images for example in examples.retrieval] == [3, 3, 3]
    assert [example.references[0] for example in examples.captions] == [
        "a red circle",
        "a blue square",
        "a green circle",
    ]
    assert [title for title, _ in examples.masks[0].panels] == [
        "image", "match with the caption", "no caption", "seen by captioning in training", "masked", "reconstructed",
    ]  # fmt: skip
    assert [word for word, _ in examples.masks[0].words] == ["a", "red", "circle"]
    assert examples.skipped == [SkippedSample(name="b.jpg", reason="broken image", detail="files/b.jpg is cut off")]


def test_masks_come_with_the_scale_of_their_maps_and_the_error_beside_its_baseline():
    predictor = small_predictor()
    (example,) = mask_examples(predictor, [PHOTOS[0]], 1)
    explained = predictor.explain(PHOTOS[0], "a red circle", generates=False)
    (low, high), own = explained.scale, explained.reconstruction
    assert own is not None
    assert example.note == (
        f"cosines of patches: dark {low:.2f} to bright {high:.2f}; mean squared error of masked patches"
        f" {own.error:.4f}, in one color each {own.flat_error:.4f}"
    )


def test_a_model_shows_what_it_has():
    predictor = small_predictor(model_text_decoder=None, model_image_decoder=None)
    examples = gather_gallery(predictor, PHOTOS, "held-out images")
    assert examples.captions == ()
    assert [title for title, _ in examples.masks[0].panels] == ["image", "match with the caption", "no caption"]
    assert re.fullmatch(r"cosines of patches: dark \S+ to bright \S+", examples.masks[0].note)
    assert len(examples.retrieval) == 3
    assert gather_gallery(predictor, PHOTOS, "held-out images", can_search=False).retrieval == ()


def test_every_image_is_read_once():
    opened = []

    def opening(sample: ImageTextSample, smallest_side: int | None = None, /) -> Image.Image:
        opened.append(sample.key)
        return sample.open_image(smallest_side)

    counted = ListSource(
        samples=tuple(replace(sample, open_image=partial(opening, sample)) for sample in PHOTOS.samples)
    )
    gather_gallery(small_predictor(), counted, "held-out images")
    assert sorted(opened) == ["photo-0", "photo-1", "photo-3"]


def test_no_readable_sample_means_no_examples():
    nothing = gather_gallery(small_predictor(), ListSource(samples=WITH_BROKEN.samples[-1:]), "held-out images")
    assert (nothing.retrieval, nothing.captions, nothing.masks, len(nothing.skipped)) == ((), (), (), 1)


def test_figures_are_those_of_the_last_validation_with_baselines():
    lines = [
        {"step": 1, "contrastive": 3.0, "captioning": 2.0, "validation_text_to_image_recall_at_1": 0.25},
        {"step": 2, "contrastive": 2.5, "captioning": 1.0, "validation_contrastive": 2.75},
        {"step": 3, "validation_text_to_image_recall_at_1": 0.125, "validation_image_to_text_recall_at_1": 0.5},
    ]
    figures = headline_figures("pretraining", lines, 200)
    assert [(figure.label, figure.value, figure.note) for figure in figures] == [
        ("text-to-image R@1", "12.5 %", "best so far 25.0 %; chance 0.5 %"),
        ("image-to-text R@1", "50.0 %", "chance 0.5 %"),
        ("contrastive loss, ITC", "2.75", ""),
        ("captioning loss, IC", "1", "in training"),
    ]
    assert [figure.evidence for figure in figures] == [
        "N = 200 held-out samples, 95 % interval 8.6 to 17.8 %",
        "N = 200 held-out samples, 95 % interval 43.1 to 56.9 %",
        "N = 200 held-out samples",
        "last logged step",
    ]


def test_a_last_loss_that_is_not_finite_is_not_the_one_before_it():
    lines = [
        {"step": 1, "contrastive": 3.0, "captioning": 2.0, "validation_contrastive": 2.75},
        {"step": 2, "contrastive": 3.0, "captioning": None, "validation_contrastive": None},
    ]
    figures = headline_figures("pretraining", lines, 200)
    assert [(figure.label, figure.value, figure.note) for figure in figures] == [
        ("contrastive loss, ITC", "not finite", ""),
        ("captioning loss, IC", "not finite", "in training"),
    ]


def test_the_contrastive_loss_stands_beside_chance():
    lines = [{"step": 1, "validation_contrastive": 2.75}]
    (figure,) = headline_figures("pretraining", lines, 200, {"contrastive": "chance 4.16, in batches of 64"})
    assert figure.note == "chance 4.16, in batches of 64"


def test_the_held_out_captioning_loss_says_which_patches_it_saw():
    lines = [{"step": 1, "captioning": 1.0, "validation_captioning": 3.0, "validation_masked_captioning": 2.0}]
    assert [(figure.label, figure.value, figure.note) for figure in headline_figures("pretraining", lines, 200)] == [
        ("captioning loss, IC", "3", "all patches visible")
    ]


def test_chance_is_named_where_it_is_known():
    lines = [{"step": 1, "validation_answer_accuracy": 0.5, "validation_cider": 0.75, "validation_mask_coverage": 0.9}]
    notes = {
        training: [(figure.value, figure.note) for figure in headline_figures(training, lines, 200)]
        for training in ("pretraining", "captioning", "vqa")
    }
    assert notes == {
        "pretraining": [("90.0 %", "chance 50.0 %")],
        "captioning": [("0.750", "")],
        "vqa": [("50.0 %", "")],
    }


def test_answers_are_compared_with_the_most_frequent_one():
    measured = {"validation_answer_accuracy": 0.5, "validation_answer_accuracy_most_frequent": 0.125}
    (figure,) = headline_figures("vqa", [{"step": 1, **measured}], 200)
    assert figure.note == "most frequent answer 12.5 %"
    better = {"step": 1, "validation_answer_accuracy": 0.75}
    (figure,) = headline_figures("vqa", [better, {"step": 2, **measured}], 200)
    assert figure.note == "best so far 75.0 %; most frequent answer 12.5 %"


def test_the_best_value_so_far_is_named():
    lines = [{"step": step, "validation_accuracy_top_1": value} for step, value in enumerate((0.5, 0.75, 0.25))]
    (figure,) = headline_figures("classification", lines, None)
    assert (figure.value, figure.note) == ("25.0 %", "best so far 75.0 %")


def test_mask_coverage_stands_beside_what_needs_no_caption():
    values = {"": 0.875, "_no_caption": 0.75, "_other_caption": 0.5}
    lines = [{"step": 1, **{f"validation_mask_coverage{suffix}": value for suffix, value in values.items()}}]
    lines[0] |= {f"validation_described_patch_auc{suffix}": value for suffix, value in values.items()}
    auc, coverage = headline_figures("pretraining", lines, 200)
    assert (auc.label, auc.value) == ("described object patches, ROC AUC", "0.875")
    assert "no caption 0.750, another image's caption 0.500" in auc.note
    assert (coverage.label, coverage.value) == ("mask coverage", "87.5 %")
    assert "no caption 75.0 %, another image's caption 50.0 %" in coverage.note


def test_a_finished_run_names_commands_to_try():
    html = render_page(run_page(record(), None))
    assert "sycoca caption &#39;runs/my run/weights&#39; photo.jpg" in html
    assert "--resume" not in html
    assert "<h1>my run</h1>" in html


def test_a_stopped_run_says_how_to_resume():
    page = run_page(record(stopped_after=1640), None)
    assert page.notice == "Stopped after step 1,640. Resume with: sycoca pretrain --resume 'runs/my run'"
    assert page.next_commands == ["sycoca pretrain --resume 'runs/my run'"]


def test_skipped_samples_of_run_and_examples_are_shown_once():
    one = SkippedSample(name="b.jpg", reason="broken image", detail="files/b.jpg is cut off")
    other = SkippedSample(name="c.jpg", reason="no caption", detail="no caption")
    examples = gather_gallery(small_predictor(), WITH_BROKEN, "held-out images")
    assert run_page(record(skipped=[other, one]), examples).skipped == [other, one]


def test_examples_do_not_repeat_what_training_has_said_of_truncated_captions(caplog):
    gather_gallery(small_predictor(), photo_source([("well then " * 30,)] * 4), "held-out images")
    assert "not read" not in caplog.text
