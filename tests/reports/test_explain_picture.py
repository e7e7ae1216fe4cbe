from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from builders.predictors import photo, small_predictor
from sycoca.inference.explanation import Explanation
from sycoca.reports.explain_picture import explanation_figure, save_explanation

CAPTION = "a red circle left of a blue square"


@pytest.fixture
def explanation() -> Explanation:
    return small_predictor().explain(photo(), CAPTION)


def panels(explanation: Explanation) -> dict[str, list[np.ndarray]]:
    """Return the images of every visible panel by its title."""
    axes = [axis for axis in explanation_figure(explanation).axes if axis.get_visible()]
    return {axis.get_title(): [np.asarray(image.get_array()) for image in axis.images] for axis in axes}


def test_there_is_a_panel_for_each_part_and_each_word(explanation: Explanation):
    titles = [axis.get_title() for axis in explanation_figure(explanation).axes if axis.get_visible()]
    whole = ["image", "match with the caption", "seen by captioning in training", "masked", "reconstructed"]
    assert titles == whole + CAPTION.split()


def test_panels_show_what_they_say(explanation: Explanation):
    shown = panels(explanation)
    reconstruction = explanation.reconstruction
    assert reconstruction is not None
    np.testing.assert_array_equal(shown["image"][0], explanation.original)
    np.testing.assert_array_equal(shown["match with the caption"][1], explanation.patch_scores)
    np.testing.assert_array_equal(shown["reconstructed"][0], reconstruction.reconstructed)
    for title, is_gone in (
        ("seen by captioning in training", explanation.is_hidden_from_captioner),
        ("masked", reconstruction.is_masked),
    ):
        per_pixel = is_gone.repeat(8, axis=0).repeat(8, axis=1)
        np.testing.assert_array_equal(shown[title][0][~per_pixel], explanation.original[~per_pixel])
        assert (shown[title][0][per_pixel] == shown[title][0][per_pixel][0]).all()


def test_every_word_has_its_own_map(explanation: Explanation):
    shown = panels(explanation)
    for word, relevance in zip(explanation.words, explanation.relevance, strict=True):
        if explanation.words.count(word) == 1:
            np.testing.assert_array_equal(shown[word][1], relevance.reshape(4, 4))


def test_notes_give_the_range_of_a_map(explanation: Explanation):
    scores = np.linspace(-0.001, 0.456, 16).reshape(4, 4)
    axis = explanation_figure(replace(explanation, patch_scores=scores)).axes[1]
    assert axis.texts[0].get_text() == "cosine 0.00 to 0.46"


def test_a_reconstruction_says_what_it_takes_from_the_true_patches(explanation: Explanation):
    reconstruction = explanation.reconstruction
    assert reconstruction is not None
    for has_true_statistics in (True, False):
        shown = replace(explanation, reconstruction=replace(reconstruction, has_true_statistics=has_true_statistics))
        (note,) = explanation_figure(shown).axes[4].texts
        assert ("true patches' mean and contrast" in note.get_text()) == has_true_statistics


def test_a_truncated_caption_is_marked(explanation: Explanation):
    cut = replace(explanation, words=explanation.words[:3], relevance=explanation.relevance[:3])
    assert "(cut after “circle”)" in explanation_figure(cut).get_suptitle()
    half_word = replace(explanation, words=(*explanation.words[:-1], "squa"))
    assert "(cut after “squa”)" in explanation_figure(half_word).get_suptitle()
    assert explanation_figure(explanation).get_suptitle() == f"“{CAPTION}”"


def test_without_image_decoder_two_panels_are_left_out(explanation: Explanation):
    shown = panels(replace(explanation, reconstruction=None))
    assert "seen by captioning in training" in shown
    assert "reconstructed" not in shown


@pytest.mark.parametrize(
    ("name", "beginning"),
    [("picture.png", b"\x89PNG"), ("deep/picture.svg", b"<?xml"), ("picture.PDF", b"%PDF")],
)
def test_the_suffix_is_the_format(explanation: Explanation, tmp_path, name: str, beginning: bytes):
    save_explanation(replace(explanation, caption="costs $5 or $6_"), tmp_path / name)
    assert (tmp_path / name).read_bytes().startswith(beginning)
    if name.endswith("png"):
        with Image.open(tmp_path / name) as picture:
            assert picture.width > picture.height > 500


def test_refuses_other_suffixes(explanation: Explanation, tmp_path):
    with pytest.raises(ValueError, match=r"picture\.doc must end in one of \.png, \.pdf, \.svg"):
        save_explanation(explanation, tmp_path / "picture.doc")
