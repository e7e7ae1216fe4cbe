"""What users call: batches change nothing, masks are those of training, pictures show what they say."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from builders.predictors import photo, photos, small_predictor
from sycoca.inference.predictor import Predictor
from sycoca.model.masking_config import MaskingConfig
from sycoca.model.patches import PatchSplit, patchify
from sycoca.objectives.masked_image import normalize_patches
from sycoca.preprocess.image_transforms import inference_image, to_pictures

CAPTIONS = ["a red circle", "there is a blue square to the left of a green cross", "a pink star"]


def pixels_of(predictor: Predictor, seed: int = 0) -> torch.Tensor:
    image = inference_image(photo(seed=seed), predictor.image_size, predictor.config.transforms)
    return image[None].double()


def test_embeddings_are_the_models_own_in_any_batch():
    predictor = small_predictor()
    found = predictor.embed_images(photos(5), batch_size=2)
    expected = torch.cat([predictor.model.encode_images(pixels_of(predictor, seed)).image_embeds for seed in range(5)])
    torch.testing.assert_close(found, expected.float())
    assert found.dtype == torch.float32
    assert not found.requires_grad
    texts = predictor.embed_texts(CAPTIONS, batch_size=2)
    torch.testing.assert_close(texts, torch.cat([predictor.embed_texts([caption]) for caption in CAPTIONS]))
    torch.testing.assert_close(texts.norm(dim=1), torch.ones(3))


def test_similarity_is_a_cosine():
    predictor = small_predictor()
    images, texts = predictor.embed_images(photos(2)), predictor.embed_texts(CAPTIONS)
    expected = torch.nn.functional.cosine_similarity(images[:, None], texts[None], dim=-1)
    torch.testing.assert_close(predictor.similarity(photos(2), CAPTIONS), expected)


def test_images_may_be_files_and_functions(tmp_path):
    predictor = small_predictor()
    photo().save(tmp_path / "photo.png")
    given = [photo(), str(tmp_path / "photo.png"), tmp_path / "photo.png", photo]
    embeds = predictor.embed_images(given)
    torch.testing.assert_close(embeds, embeds[:1].expand(4, -1))


def test_captions_are_the_decoded_tokens():
    predictor = small_predictor()
    captions = predictor.caption(photos(3), num_beams=2, max_tokens=5)
    assert captions == [predictor.caption([image], num_beams=2, max_tokens=5)[0] for image in photos(3)]
    assert all(isinstance(caption, str) and caption for caption in captions)


def test_likelihoods_come_in_batches_too():
    predictor = small_predictor()
    together = predictor.caption_log_likelihood(photos(3), CAPTIONS, batch_size=2)
    alone = [
        predictor.caption_log_likelihood([image], [caption]).item()
        for image, caption in zip(photos(3), CAPTIONS, strict=True)
    ]
    assert together.tolist() == pytest.approx(alone, rel=1e-5)
    lengths = torch.tensor([predictor.tokenizer.num_tokens(caption) - 1 for caption in CAPTIONS])
    per_token = predictor.caption_log_likelihood(photos(3), CAPTIONS, per_token=True)
    torch.testing.assert_close(per_token, together / lengths)


@pytest.mark.parametrize("score", ["token_max", "caption"])
def test_patch_scores_are_those_of_training(score: str):
    predictor = small_predictor(masking=MaskingConfig(score=score))
    found = predictor.patch_scores(photos(3), CAPTIONS, batch_size=2)
    model = predictor.model
    for row, caption in enumerate(CAPTIONS):
        tokens = torch.tensor([predictor.tokenizer.encode(caption, predictor.context_length)])
        texts = model.encode_texts(tokens, torch.zeros_like(tokens, dtype=torch.bool))
        patches = model.patch_embeds(model.encode_images(pixels_of(predictor, row)).patch_tokens)[0]
        words = model.token_embeds(texts.token_states)[0, 1:-1] if score == "token_max" else texts.text_embeds
        torch.testing.assert_close(found[row], (patches @ words.T).amax(1).float())


def test_explains_with_the_masks_of_training():
    predictor = small_predictor()
    explanation = predictor.explain(photo(), CAPTIONS[1])
    scores = explanation.patch_scores
    assert scores.shape == (4, 4)
    np.testing.assert_allclose(scores.flatten(), predictor.patch_scores([photo()], [CAPTIONS[1]])[0], rtol=1e-5)
    ranking = scores.flatten().argsort()
    assert set(np.flatnonzero(explanation.is_hidden_from_captioner)) == set(ranking[:4])
    assert set(np.flatnonzero(explanation.is_masked)) == set(ranking[8:])
    assert explanation.caption == CAPTIONS[1]


def test_relevance_of_words_adds_up_to_the_score_of_the_caption():
    explanation = small_predictor().explain(photo(), CAPTIONS[1])
    assert explanation.words == tuple(CAPTIONS[1].split())
    assert explanation.relevance.shape == (len(explanation.words), 16)
    np.testing.assert_allclose(explanation.relevance.max(0), explanation.patch_scores.flatten(), rtol=1e-6)


def test_relevance_of_a_word_is_its_best_token():
    predictor = small_predictor()
    caption = "a zyx red"
    spans = predictor.tokenizer.word_spans(caption, predictor.context_length)
    assert spans[1].stop - spans[1].start > 1
    tokens = torch.tensor([predictor.tokenizer.encode(caption, predictor.context_length)])
    states = predictor.model.encode_texts(tokens, torch.zeros_like(tokens, dtype=torch.bool)).token_states
    words = predictor.model.token_embeds(states)[0, spans[1].start : spans[1].stop]
    patches = predictor.model.patch_embeds(predictor.model.encode_images(pixels_of(predictor)).patch_tokens)[0]
    expected = (patches @ words.T).amax(1).detach()
    np.testing.assert_allclose(predictor.explain(photo(), caption).relevance[1], expected, rtol=1e-6)


def test_explains_a_model_that_hides_nothing_and_reconstructs_nothing():
    predictor = small_predictor(model_image_decoder=None, masking=MaskingConfig(hides_from_captioning=False))
    explanation = predictor.explain(photo(), "a red circle")
    assert not explanation.is_hidden_from_captioner.any()
    assert explanation.reconstruction is None
    np.testing.assert_array_equal(
        explanation.original, to_pictures(pixels_of(predictor), predictor.config.transforms)[0]
    )


def test_explains_an_empty_caption():
    explanation = small_predictor().explain(photo(), "")
    assert explanation.words == ()
    assert explanation.relevance.shape == (0, 16)


def test_random_masks_are_reproducible():
    predictor = small_predictor(masking=MaskingConfig(strategy="random"))
    first, second = predictor.explain(photo(), "a red circle"), predictor.explain(photo(), "a red circle")
    np.testing.assert_array_equal(first.is_masked, second.is_masked)
    assert set(np.flatnonzero(first.is_masked)) != set(first.patch_scores.flatten().argsort()[8:])


def test_reconstruction_changes_masked_patches_only():
    predictor = small_predictor()
    is_masked = np.zeros((4, 4), dtype=bool)
    is_masked[1, 2] = is_masked[3, 0] = True
    found = predictor.reconstruct(photo(), "a red circle", is_masked)
    per_pixel = is_masked.repeat(8, axis=0).repeat(8, axis=1)
    np.testing.assert_array_equal(found.original[~per_pixel], found.reconstructed[~per_pixel])
    np.testing.assert_array_equal(found.original[~per_pixel], found.masked[~per_pixel])
    mean_color = (np.array(predictor.config.transforms.mean) * 255).round()
    np.testing.assert_array_equal(found.masked[per_pixel], np.broadcast_to(mean_color, (128, 3)))
    assert (found.reconstructed[per_pixel] != found.original[per_pixel]).any()
    np.testing.assert_array_equal(found.is_masked, is_masked)


def test_reconstructs_the_patches_that_training_would_mask():
    predictor = small_predictor()
    explanation = predictor.explain(photo(), "a red circle")
    found = predictor.reconstruct(photo(), "a red circle")
    np.testing.assert_array_equal(found.is_masked, explanation.is_masked)
    assert explanation.reconstruction is not None
    np.testing.assert_array_equal(explanation.reconstruction.reconstructed, found.reconstructed)


@pytest.mark.parametrize("normalizes_patches", [True, False])
def test_a_perfect_prediction_gives_the_original(normalizes_patches: bool, monkeypatch: pytest.MonkeyPatch):
    predictor = small_predictor(normalizes_patches=normalizes_patches)

    def know_it_all(images: torch.Tensor, masked: PatchSplit, *_: torch.Tensor) -> torch.Tensor:
        patches = patchify(images, 8)[masked.is_chosen][None]
        return normalize_patches(patches) if normalizes_patches else patches

    monkeypatch.setattr(predictor.model, "reconstruct", know_it_all)
    found = predictor.reconstruct(photo(), "a red circle")
    assert np.abs(found.reconstructed.astype(int) - found.original).max() <= 1
    assert found.is_masked.any()


def test_models_without_a_decoder_say_so():
    predictor = small_predictor(model_text_decoder=None, model_image_decoder=None)
    with pytest.raises(ValueError, match="no text decoder"):
        predictor.caption(photos(1))
    with pytest.raises(ValueError, match="no text decoder"):
        predictor.caption_log_likelihood(photos(1), CAPTIONS[:1])
    with pytest.raises(ValueError, match="no image decoder"):
        predictor.reconstruct(photo(), "a red circle")


def test_refuses_what_does_not_fit():
    predictor = small_predictor()
    with pytest.raises(ValueError, match="got 2 images and 1 captions"):
        predictor.caption_log_likelihood(photos(2), CAPTIONS[:1])
    with pytest.raises(ValueError, match=r"broken\.jpg cannot be read as an image"):
        predictor.embed_images(["broken.jpg"])


@pytest.mark.parametrize(
    ("is_masked", "message"),
    [
        (np.zeros((2, 2), dtype=bool), r"is_masked must be 4 x 4 booleans, got \(2, 2\) of bool"),
        (np.zeros((4, 4), dtype=bool), "at least one patch"),
        (np.ones((4, 4), dtype=bool), "leave at least one"),
    ],
)
def test_refuses_masks_that_make_no_sense(is_masked: np.ndarray, message: str):
    with pytest.raises(ValueError, match=message):
        small_predictor().reconstruct(photo(), "a red circle", is_masked)


def test_half_precision_answers_in_float32():
    predictor = small_predictor()
    half = Predictor(predictor.model.to(torch.bfloat16), predictor.tokenizer, replace(predictor.config))
    assert half.embed_images(photos(2)).dtype == torch.float32
    assert half.caption_log_likelihood(photos(1), CAPTIONS[:1]).dtype == torch.float32
    assert half.caption(photos(2), num_beams=2, max_tokens=3)
    assert half.explain(photo(), "a red circle").reconstruction is not None


def test_a_model_whose_numbers_are_not_finite_says_so():
    predictor = small_predictor(answers=("yes", "no"), model_num_answers=2)
    predictor.model.image_encoder.patch_embedding.weight.data.fill_(float("nan"))
    images = photos(2)
    uses = {
        "image embedding 0": lambda: predictor.embed_images(images),
        "row of class scores 0": lambda: predictor.classify(images, ["a circle", "a square"]),
        "row of answer scores 0": lambda: predictor.ask(images[0], "what is it?"),
        "log-likelihood 0": lambda: predictor.caption_log_likelihood(images, ["a", "b"]),
        "row of patch scores 0": lambda: predictor.patch_scores(images, ["a", "b"]),
        "log-likelihood of candidate 0": lambda: predictor.candidate_log_likelihoods(images, [["a"], ["b"]]),
    }
    for named, use in uses.items():
        with pytest.raises(ValueError, match=f"{named} is not finite: the model has diverged"):
            use()
    predictor.model.text_encoder.positions.data.fill_(float("nan"))
    with pytest.raises(ValueError, match="text embedding 0 is not finite"):
        predictor.embed_texts(["a"])


def test_a_text_beyond_the_context_is_said_once(caplog):
    predictor = small_predictor(answers=("yes", "no"), model_num_answers=2)
    text = "well then " * 30
    uses = {
        "1 of 2 texts": lambda: predictor.embed_texts([text, "red"]),
        "1 of 1 questions": lambda: predictor.ask(photo(), text),
        "1 of 1 captions": lambda: predictor.explain(photo(), text),
        "2 of 2 captions": lambda: predictor.caption_log_likelihood(photos(2), [text, text]),
    }
    for said, use in uses.items():
        use()
        assert caplog.text.count(f"{said} longer than the context of 28 tokens: the rest of them is not read") == 1
        caplog.clear()
    predictor.embed_texts(["a red circle"])
    assert caplog.text == ""
