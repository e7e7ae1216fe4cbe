import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image

from builders.predictors import photo, small_predictor
from sycoca.inference.explaining.explanation import Explanation
from sycoca.reports.explain.picture import explanation_figure, save_explanation
from sycoca.reports.explain.sections import Panel, sections_of, two_decimals

CAPTION = "a red circle left of a blue square"


@pytest.fixture(scope="module")
def explanation() -> Explanation:
    with torch.random.fork_rng():
        torch.manual_seed(1)  # weights with which the model generates several words
        return small_predictor().explain(photo(), CAPTION, edited_caption="a green ring")


def panels(explanation: Explanation) -> dict[str, Panel]:
    """Return the panels by title; of two with the same title the first."""
    found: dict[str, Panel] = {}
    for section in sections_of(explanation):
        for panel in section.panels:
            found.setdefault(panel.title, panel)
    return found


def texts_of(figure: Figure) -> list[str]:
    """Return all texts of a figure, titles and notes of its panels included."""
    of_panels = [text for axis in figure.axes for text in (axis.get_title(), *(own.get_text() for own in axis.texts))]
    return [*(text.get_text() for text in figure.texts), *of_panels]


def test_there_is_a_panel_for_each_part_and_each_word(explanation: Explanation):
    caption, phrases, words, masks, own = sections_of(explanation)
    assert [panel.title for panel in caption.panels] == [
        "image",
        "match with the caption",
        "no caption",
        "other captions",
        "caption minus others",
    ]
    assert [panel.title for panel in phrases.panels] == ["a red circle", "a blue square", "other captions"]
    assert [panel.title for panel in words.panels] == CAPTION.split()
    assert [panel.title for panel in masks.panels] == [
        "visible to captioning",
        "masked",
        "reconstructed",
        "under an empty caption",
        "under the edited caption",
    ]
    said = [word for word in explanation.generated.words if any(map(str.isalnum, word))]
    assert [panel.title for panel in own.panels] == [*said, "mean"]
    drawn = [axis.get_title() for axis in explanation_figure(explanation).axes if axis.get_title()]
    known = [panel.title for section in (caption, phrases, words, masks) for panel in section.panels]
    assert drawn[: len(known)] == known  # what a random model generates has characters that are not drawn


def test_panels_show_what_they_say(explanation: Explanation):
    shown = panels(explanation)
    reconstruction, others = explanation.reconstruction, explanation.others
    assert reconstruction is not None
    assert others is not None
    np.testing.assert_array_equal(shown["image"].picture, explanation.original)
    np.testing.assert_array_equal(shown["match with the caption"].scores, explanation.patch_scores)
    np.testing.assert_array_equal(shown["no caption"].scores, explanation.image_scores)
    np.testing.assert_array_equal(shown["other captions"].scores, others.patch_scores.mean(0))
    difference = explanation.patch_scores - others.patch_scores.mean(0)
    np.testing.assert_array_equal(shown["caption minus others"].scores, difference)
    np.testing.assert_array_equal(shown["red"].scores.flatten(), explanation.relevance[1])
    np.testing.assert_array_equal(shown["a blue square"].scores, explanation.noun_phrases[1].scores)
    np.testing.assert_array_equal(shown["reconstructed"].picture, reconstruction.reconstructed)
    edited = explanation.other_reconstructions[1].reconstruction
    np.testing.assert_array_equal(shown["under the edited caption"].picture, edited.reconstructed)
    assert shown["under the edited caption"].note == f"“a green ring”\nerror {edited.error:.4f}"
    assert shown["masked"].note == f"50 % of the patches\nin one color each: error {reconstruction.flat_error:.4f}"
    phrases = sections_of(explanation)[1]
    np.testing.assert_array_equal(phrases.panels[-1].scores, others.word_scores.mean(0))
    assert phrases.panels[-1].note.endswith("\nbest word, mean of 24")
    for title, is_gone in (
        ("visible to captioning", explanation.is_hidden_from_captioner),
        ("masked", reconstruction.is_masked),
    ):
        per_pixel = is_gone.repeat(8, axis=0).repeat(8, axis=1)
        np.testing.assert_array_equal(shown[title].picture[~per_pixel], explanation.original[~per_pixel])
        assert (shown[title].picture[per_pixel] == shown[title].picture[per_pixel][0]).all()


def test_all_cosines_have_one_scale_and_a_color_bar(explanation: Explanation):
    low, high = explanation.scale
    figure = explanation_figure(explanation)
    limits = {}
    for axis in figure.axes:
        if axis.get_title() and len(axis.images) == 2:
            limits[axis.get_title()] = axis.images[1].get_clim()
    difference = limits.pop("caption minus others")
    assert difference == (-(high - low) / 2, (high - low) / 2)
    cosines = ["match with the caption", "no caption", "other captions", "a red circle", "left", "square"]
    assert {limits[title] for title in cosines} == {(low, high)}
    bars = [axis for axis in figure.axes if axis.get_ylabel()]
    assert [axis.get_ylabel() for axis in bars] == [
        "cosine",
        "difference",
        "cosine",
        "cosine",
        "attention",
    ]
    assert bars[0].get_ylim() == pytest.approx((low, high))


def test_punctuation_has_no_panel(explanation: Explanation):
    dotted = replace(explanation, words=(*explanation.words[:-1], "."))
    assert [panel.title for panel in sections_of(dotted)[2].panels] == CAPTION.split()[:-1]


def test_attention_of_several_words_has_their_mean_beside_it(explanation: Explanation):
    attention = np.random.default_rng(0).random((3, 4, 4))
    own = replace(
        explanation.generated,
        words=("two", "red", "."),
        spans=explanation.spans[:3],
        attention=attention,
        word_log_likelihoods=(-0.5, -1.25, 0.0),
    )
    panels = sections_of(replace(explanation, generated=own))[-1].panels
    assert [(panel.title, panel.note) for panel in panels] == [
        ("two", "log p -0.50"),
        ("red", "log p -1.25"),
        ("mean", "over all words"),
    ]
    np.testing.assert_array_equal(panels[-1].scores, attention.mean(0))


def test_a_map_covers_a_pale_gray_image(explanation: Explanation):
    axes = next(axis for axis in explanation_figure(explanation).axes if axis.get_title() == "match with the caption")
    below, above = axes.images
    assert tuple(below.get_extent()) == tuple(above.get_extent()) == (0, 32, 32, 0)
    gray = explanation.original.mean(2, keepdims=True).repeat(3, 2)
    np.testing.assert_allclose(below.get_array(), 255 - 0.6 * (255 - gray), atol=1)


def test_uniform_attention_has_half_of_the_scale(explanation: Explanation):
    uniform = replace(explanation.generated, attention=np.full_like(explanation.generated.attention, 1 / 16))
    section = sections_of(replace(explanation, generated=uniform))[-1]
    assert "(uniform: 0.062)" in section.title
    assert [(scale.low, scale.high) for scale in section.scales] == [(0.0, 2 / 16)]


def test_words_without_noun_phrases_have_their_baseline_beside_them(explanation: Explanation):
    words = sections_of(replace(explanation, noun_phrases=()))[1]
    assert [panel.title for panel in words.panels] == [*CAPTION.split(), "other captions"]
    alone = sections_of(replace(explanation, noun_phrases=(), others=None))[1]
    assert [panel.title for panel in alone.panels] == CAPTION.split()


def test_the_header_says_what_the_pair_scores(explanation: Explanation):
    texts = texts_of(explanation_figure(explanation))
    assert texts[0] == f"“{CAPTION}”"
    others = explanation.others
    best = others.captions[others.cosines.argmax()]
    mean = explanation.log_likelihood / len(explanation.tokens)
    assert texts[1] == (
        f"cosine {two_decimals(explanation.cosine)} · rank {explanation.rank} of 25 captions · best other: “{best}”"
        f" {two_decimals(float(others.cosines.max()))} · log-likelihood {mean:.2f} nats per token, end included"
    )
    ranked = sorted(zip(others.cosines, others.captions, strict=True), reverse=True)
    footer = " ".join(texts[: len(explanation_figure(explanation).texts)][-1].split())
    assert footer.startswith(
        f"Other captions by cosine: “{ranked[0][1]}” {two_decimals(float(ranked[0][0]))}, “{ranked[1][1]}”"
    )
    assert f"“{ranked[-1][1]}” {two_decimals(float(ranked[-1][0]))}." in footer  # notices about characters may follow
    assert f"log p {explanation.word_log_likelihoods[1]:.2f}" in panels(explanation)["red"].note


def test_a_rounded_zero_has_no_sign():
    assert [two_decimals(value) for value in (-0.004, -0.006, 0.126)] == ["0.00", "-0.01", "0.13"]


def test_notes_give_the_range_of_a_map(explanation: Explanation):
    scores = np.linspace(-0.001, 0.456, 16).reshape(4, 4)
    assert panels(replace(explanation, patch_scores=scores))["match with the caption"].note == "0.00 to 0.46"


def test_a_reconstruction_says_what_it_takes_from_the_true_patches(explanation: Explanation):
    reconstruction = explanation.reconstruction
    assert reconstruction is not None
    for has_true_statistics in (True, False):
        shown = replace(explanation, reconstruction=replace(reconstruction, has_true_statistics=has_true_statistics))
        assert ("true mean and contrast" in sections_of(shown)[3].title) == has_true_statistics


def test_a_truncated_caption_is_marked():
    cut = small_predictor().explain(photo(), "a red circle " * 40, generates=False, reconstructs=False, warns=False)
    title, facts = texts_of(explanation_figure(cut))[:2]
    assert facts.startswith(f"cut after “{cut.words[-1]}” · cosine ")
    assert [len(line) <= 90 for line in title.split("\n")] == [True] * 3
    assert title.endswith(" …”")
    half_a_letter = replace(cut, words=(*cut.words[:2], "circl\N{REPLACEMENT CHARACTER}", "\N{REPLACEMENT CHARACTER}"))
    assert texts_of(explanation_figure(half_a_letter))[1].startswith("cut after “circl” · ")
    long_word = replace(cut, words=("x" * 60,))
    assert texts_of(explanation_figure(long_word))[1].startswith(f"cut after “{'x' * 29}…” · ")


def test_an_empty_caption_has_a_name_and_a_baseline_less():
    empty = small_predictor().explain(photo(), "", other_captions=["a", "b"])
    texts = texts_of(explanation_figure(empty))
    assert texts[0] == "(an empty caption)"
    assert not any("under an empty caption" in text for text in texts)


def test_many_other_captions_are_not_all_listed(explanation: Explanation):
    others = explanation.others
    many = replace(
        others,
        captions=others.captions * 2,
        cosines=np.tile(others.cosines, 2),
        patch_scores=np.tile(others.patch_scores, (2, 1, 1)),
        word_scores=np.tile(others.word_scores, (2, 1, 1)),
    )
    text = " ".join(" ".join(texts_of(explanation_figure(replace(explanation, others=many)))).split())
    assert ", and 24 more." in text


def test_a_model_without_decoders_shows_no_panels_of_them_and_says_why():
    plain = small_predictor(model_text_decoder=None, model_image_decoder=None).explain(
        photo(), "red", other_captions=[]
    )
    caption, phrases, words = sections_of(plain)
    assert [panel.title for panel in caption.panels] == ["image", "match with the caption", "no caption"]
    assert [panel.title for panel in (*phrases.panels, *words.panels)] == ["red", "red"]
    text = " ".join(" ".join(texts_of(explanation_figure(plain))).split())
    assert "No log-likelihood and no caption of its own: this model has no text decoder: it was trained" in text
    assert "No reconstruction: this model has no image decoder" in text


@pytest.mark.parametrize(
    ("name", "beginning"),
    [("picture.png", b"\x89PNG"), ("deep/picture.svg", b"<?xml"), ("picture.PDF", b"%PDF")],
)
def test_the_suffix_is_the_format(explanation: Explanation, tmp_path, name: str, beginning: bytes):
    save_explanation(replace(explanation, caption="costs $5 or $6_"), tmp_path / name)
    assert (tmp_path / name).read_bytes().startswith(beginning)
    if name.endswith("png"):
        with Image.open(tmp_path / name) as picture:
            assert picture.width > 500 < picture.height


def test_json_has_all_of_it(explanation: Explanation, tmp_path):
    save_explanation(explanation, tmp_path / "explained.json")
    plain = json.loads((tmp_path / "explained.json").read_text(encoding="utf-8"))
    assert plain == json.loads(explanation.to_json(with_pictures=True))


def test_refuses_other_suffixes(explanation: Explanation, tmp_path):
    with pytest.raises(ValueError, match=r"picture\.doc must end in one of \.png, \.pdf, \.svg, \.json"):
        save_explanation(explanation, tmp_path / "picture.doc")
