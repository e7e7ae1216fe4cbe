"""What an explanation says beside its maps, and its JSON, on which the page of `sycoca serve` builds."""

import base64
import io
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from builders.predictors import photo, small_predictor
from sycoca.facts.other_captions import OTHER_CAPTIONS
from sycoca.inference.explaining.explanation import Explanation, Reconstruction
from sycoca.inference.predictor import Predictor

CAPTION = "A red circle left of a blue square"


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    with torch.random.fork_rng():
        torch.manual_seed(1)  # weights with which the model generates several words
        return small_predictor()


@pytest.fixture(scope="module")
def explanation(predictor: Predictor) -> Explanation:
    return predictor.explain(photo(), CAPTION, edited_caption="a green ring")


def test_the_json_has_the_keys_of_the_page(explanation: Explanation):
    plain = json.loads(explanation.to_json(with_pictures=True))
    assert plain["grid"] == [4, 4]
    assert np.allclose(plain["patch_scores"], explanation.patch_scores, atol=1e-5)
    assert np.allclose(plain["image_scores"], explanation.image_scores, atol=1e-5)
    assert [word["text"] for word in plain["words"]] == CAPTION.lower().split()
    assert CAPTION[plain["words"][1]["start"] : plain["words"][1]["end"]] == "red"
    assert np.allclose(plain["words"][1]["scores"], explanation.relevance[1].reshape(4, 4), atol=1e-5)
    assert [CAPTION[phrase["start"] : phrase["end"]] for phrase in plain["noun_phrases"]] == [
        "A red circle",
        "a blue square",
    ]
    assert plain["is_masked"] == explanation.is_masked.tolist()
    assert plain["flat_error"] == explanation.reconstruction.flat_error
    assert plain["is_truncated"] is False
    assert np.allclose(plain["other_word_scores"], explanation.others.word_scores.mean(0), atol=1e-5)
    assert plain["absent"] == {}
    for key, picture in (("image_png", explanation.original), ("masked_png", explanation.reconstruction.masked)):
        encoded = plain[key].removeprefix("data:image/png;base64,")
        with Image.open(io.BytesIO(base64.b64decode(encoded))) as image:
            np.testing.assert_array_equal(np.asarray(image), picture)
    assert "image_png" not in explanation.to_plain()


def test_one_scale_holds_every_map(explanation: Explanation):
    low, high = explanation.scale
    others = explanation.others
    maps = [explanation.patch_scores, explanation.image_scores, explanation.relevance, others.patch_scores]
    maps += [others.word_scores, *(phrase.scores for phrase in explanation.noun_phrases)]
    assert (low, high) == (min(one.min() for one in maps), max(one.max() for one in maps))


def test_image_scores_are_those_of_no_caption(predictor: Predictor, explanation: Explanation):
    np.testing.assert_allclose(explanation.image_scores.flatten(), predictor.saliency([photo()])[0], rtol=1e-5)


def test_other_captions_score_as_if_they_were_the_caption(predictor: Predictor, explanation: Explanation):
    assert explanation.others.captions == OTHER_CAPTIONS
    other = predictor.explain(photo(), OTHER_CAPTIONS[3], other_captions=[CAPTION])
    np.testing.assert_allclose(explanation.others.patch_scores[3], other.patch_scores, rtol=1e-6)
    np.testing.assert_allclose(explanation.others.word_scores[3].flatten(), other.relevance.max(0), rtol=1e-6)
    assert explanation.others.cosines[3] == pytest.approx(other.cosine)
    assert other.others.cosines[0] == pytest.approx(explanation.cosine)
    assert explanation.rank == 1 + sum(cosine >= explanation.cosine for cosine in explanation.others.cosines)
    assert other.to_plain()["rank"] == {"rank": 1 + (other.others.cosines[0] > other.cosine), "count": 2}
    assert predictor.explain(photo(), CAPTION, other_captions=[]).to_plain()["rank"] is None


def test_a_caption_is_no_baseline_for_itself(predictor: Predictor):
    others = predictor.explain(photo(), "A  dog").others
    assert others.captions == tuple(caption for caption in OTHER_CAPTIONS if caption != "a dog")
    assert len(others.captions) == len(others.cosines) == len(others.patch_scores) == len(OTHER_CAPTIONS) - 1
    assert predictor.explain(photo(), "a dog", other_captions=["A DOG"]).others is None


def test_likelihoods_of_tokens_add_up(predictor: Predictor, explanation: Explanation):
    whole = predictor.caption_log_likelihood([photo()], [CAPTION])[0]
    assert explanation.log_likelihood == pytest.approx(float(whole), rel=1e-5)
    assert explanation.tokens[-1].text == "<eos>"
    assert explanation.log_likelihood_per_token == pytest.approx(float(whole) / len(explanation.tokens), rel=1e-5)
    assert sum(explanation.word_log_likelihoods) == pytest.approx(float(whole) - explanation.tokens[-1].log_likelihood)
    assert all(likelihood < 0 for likelihood in explanation.word_log_likelihoods)


def test_a_noun_phrase_scores_as_the_best_of_its_words(explanation: Explanation):
    phrase = explanation.noun_phrases[1]
    assert phrase.text == "a blue square"
    np.testing.assert_array_equal(phrase.scores.flatten(), explanation.relevance[6:8].max(0))


def test_other_captions_reconstruct_the_same_patches(predictor: Predictor, explanation: Explanation):
    empty, edited = explanation.other_reconstructions
    assert (empty.caption, edited.caption) == ("", "a green ring")
    expected = predictor.reconstruct(photo(), "a green ring", explanation.is_masked)
    np.testing.assert_array_equal(edited.reconstruction.reconstructed, expected.reconstructed)
    assert (empty.reconstruction.reconstructed != edited.reconstruction.reconstructed).any()
    (only,) = predictor.explain(photo(), " ", edited_caption="red").other_reconstructions
    assert only.caption == "red"
    error = expected.error
    is_masked = explanation.is_masked.repeat(8, 0).repeat(8, 1)
    difference = (expected.reconstructed / 255 - expected.original / 255)[is_masked]
    assert error == pytest.approx((difference**2).mean())


def test_a_reconstruction_has_the_error_of_patches_of_one_color_beside_it():
    original = np.array([[0, 100, 40, 60], [100, 0, 60, 40]], dtype=np.uint8)[:, :, None].repeat(3, 2)
    normalized = Reconstruction(
        original=original,
        masked=original,
        reconstructed=original,
        is_masked=np.array([[True, False]]),
        has_true_statistics=True,
    )
    assert normalized.error == 0
    assert normalized.flat_error == pytest.approx((50 / 255) ** 2)  # the true mean is 50
    original[:, 2:] = 20
    of_visible = replace(normalized, original=original, has_true_statistics=False)
    assert of_visible.flat_error == pytest.approx((20**2 + 80**2) / 2 / 255**2)


def test_a_caption_is_truncated_where_its_tokens_do_not_fit(predictor: Predictor):
    assert predictor.explain(photo(), "a red circle " * 20, warns=False).is_truncated
    # What is written in two characters is read as one: no letter is lost.
    assert not predictor.explain(photo(), "Cafe\N{COMBINING ACUTE ACCENT}").is_truncated


def test_without_a_caption_the_own_one_is_explained(predictor: Predictor):
    assert predictor.explain(photo(), reconstructs=False).caption == predictor.caption([photo()])[0]
    assert predictor.explain(photo(), reconstructs=False).reconstruction is None


def test_parts_that_a_model_lacks_have_a_reason():
    plain = small_predictor(model_text_decoder=None, model_image_decoder=None).explain(photo(), "").to_plain()
    assert plain["tokens"] is plain["log_likelihood"] is plain["reconstruction_error"] is None
    assert plain["absent"] == {
        "log_likelihood": "this model has no text decoder: it was trained without the objective that needs one",
        "generated": "this model has no text decoder: it was trained without the objective that needs one",
        "reconstruction": "this model has no image decoder: it was trained without the objective that needs one",
        "noun_phrases": "no noun phrase of English was found in the caption",
    }
    assert torch.tensor(plain["image_scores"]).shape == (4, 4)


def test_the_models_own_caption_has_its_attention(predictor: Predictor, explanation: Explanation):
    own = explanation.generated
    assert own.caption == predictor.caption([photo()])[0] != CAPTION
    assert own.attention.shape == (len(own.words), 4, 4)
    np.testing.assert_allclose(own.attention.sum((1, 2)), 1, rtol=1e-6)
    texts = predictor._tokens([own.caption])
    states = predictor.model.encode_texts(texts.tokens, texts.is_padding).token_states
    images = predictor.model.encode_images(predictor._pixels([photo()]))
    layers = predictor.model.caption_attention(images, states)
    word = predictor.tokenizer.word_spans(own.caption, predictor.context_length)[-1]
    expected = layers.mean(0)[0, word.start - 1 : word.stop - 1].mean(0)  # a token is predicted one position before it
    np.testing.assert_allclose(own.attention[-1].flatten(), expected.detach(), rtol=1e-6)
    whole = predictor.caption_log_likelihood([photo()], [own.caption])[0]
    assert sum(token.log_likelihood for token in own.tokens) == pytest.approx(float(whole), rel=1e-5)
    plain = explanation.to_plain()["generated"]
    assert [word["text"] for word in plain["words"]] == list(own.words)
    assert predictor.explain(photo(), CAPTION, generates=False).generated is None
