import itertools
import math

import pytest
import torch
import torch.nn.functional as F

from builders.predictors import photo, photos, small_predictor
from sycoca.data.class_lists import NamedClass, named_classes
from sycoca.inference import classification
from sycoca.inference.predictor import Predictor

NAMES = ["circle", "red square", "star"]
TEMPLATES = ("a {}", "there is a big {} here")


@pytest.fixture
def predictor() -> Predictor:
    return small_predictor()


def log_probability_of_beginning(predictor: Predictor, image, text: str) -> float:
    """Token by token through the decoder that generates captions, without eos."""
    model = predictor.model
    encoded = model.encode_images(predictor._pixels([image]))
    tokens = predictor.tokenizer.encode(text, predictor.context_length)[:-1]
    state = model.start_decoding(model.memory(encoded), len(tokens))
    total = 0.0
    for token, following in itertools.pairwise(tokens):
        logits = model.next_token_logits(torch.tensor([[token]]), state)
        total += logits.log_softmax(-1)[0, following].item()
    return total


def test_the_ensemble_is_the_mean_of_normalized_prompts(predictor: Predictor):
    (scores,) = predictor.class_scores(photos(2), named_classes(NAMES), templates=TEMPLATES)
    images = predictor.embed_images(photos(2))
    for column, name in enumerate(NAMES):
        prompts = predictor.embed_texts([template.format(name) for template in TEMPLATES])
        expected = predictor.model.logit_scale().item() * images @ F.normalize(prompts.mean(0), dim=0)
        torch.testing.assert_close(scores[:, column], expected, rtol=1e-4, atol=1e-5)


def test_synonyms_join_the_ensemble_and_equal_names_tie(predictor: Predictor):
    happy = NamedClass(label="happy", wordings=("circle", "star"))
    twins = [NamedClass(label=label, wordings=("circle",)) for label in "ab"]
    (scores,) = predictor.class_scores(photos(2), [happy, *twins], templates=("a {}",))
    prompts = predictor.embed_texts(["a circle", "a star"])
    expected = (
        predictor.model.logit_scale().item() * predictor.embed_images(photos(2)) @ F.normalize(prompts.mean(0), dim=0)
    )
    torch.testing.assert_close(scores[:, 0], expected, rtol=1e-4, atol=1e-5)
    assert torch.equal(scores[:, 1], scores[:, 2])


@pytest.mark.parametrize("rows_at_once", [1, 4, 256])
def test_likelihood_is_that_of_a_caption_that_begins_so(
    predictor: Predictor, rows_at_once: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(classification, "_ROWS_AT_ONCE", rows_at_once)
    scores = torch.cat(
        list(
            predictor.class_scores(
                photos(3), named_classes(NAMES), templates=TEMPLATES, scorer="likelihood", batch_size=2
            )
        )
    )
    for row, image in enumerate(photos(3)):
        for column, name in enumerate(NAMES):
            prompts = [log_probability_of_beginning(predictor, image, template.format(name)) for template in TEMPLATES]
            expected = math.log(sum(math.exp(prompt) for prompt in prompts) / len(prompts))
            assert scores[row, column].item() == pytest.approx(expected, rel=1e-4)


def test_classes_of_images(predictor: Predictor):
    probabilities = predictor.class_probabilities(photos(5), NAMES, templates=("a {}",))
    assert probabilities.sum(1).tolist() == pytest.approx([1] * 5)
    expected = predictor.similarity(photos(5), [f"a {name}" for name in NAMES])
    assert predictor.classify(photos(5), NAMES, templates=("a {}",)) == [NAMES[i] for i in expected.argmax(1).tolist()]


def test_a_fine_tuned_head_names_its_classes():
    predictor = small_predictor(model_num_classes=2, class_names=("cat", "dog"))
    features = predictor.image_features(photos(5))
    assert predictor.model.class_head is not None
    linear = predictor.model.class_head.linear.float()
    best = linear(features).argmax(1).tolist()
    predictor.model.double()
    assert predictor.classify(photos(5)) == [("cat", "dog")[i] for i in best]


def test_what_cannot_be_classified(predictor: Predictor):
    with pytest.raises(
        ValueError,
        match="no head for classes: fine-tune it with sycoca finetune classification; or name",
    ):
        predictor.classify(photos(1))
    with pytest.raises(ValueError, match="names the class 'cat' twice"):
        predictor.classify(photos(1), ["cat", "cat"])
    with pytest.raises(ValueError, match="no text decoder"):
        small_predictor(model_text_decoder=None).classify(photos(1), NAMES, scorer="likelihood")


LONG = "very " * 60


def test_classes_whose_prompts_become_equal_are_refused():
    predictor = small_predictor()
    with pytest.raises(ValueError, match=r"the classes 'very very .*red' and 'very very .*blue' have the same prompts"):
        predictor.classify([photo()], [f"{LONG}red", f"{LONG}blue"])
    with pytest.raises(ValueError, match="have the same prompts"):
        predictor.classify([photo()], [f"{LONG}red", f"{LONG}blue"], scorer="likelihood")
    with pytest.raises(ValueError, match="the classes 'Red' and 'red' have the same prompts"):
        predictor.classify([photo()], ["Red", "red", "blue"])
    with pytest.raises(ValueError, match="have the same prompts"):
        predictor.classify([photo()], ["red", "blue"], templates=[f"{LONG}{{}}"])


def test_one_template_that_tells_classes_apart_is_enough(caplog):
    predictor = small_predictor()
    assert len(predictor.classify([photo()], ["red", "blue"], templates=[f"{LONG}{{}}", "{}"])) == 1
    assert "2 of 4 prompts longer than the context of 28 tokens" in caplog.text
    caplog.clear()
    predictor.classify([photo()], ["red", "blue"])
    assert caplog.text == ""


def test_classes_of_one_name_still_tie():
    classes = [NamedClass(label=str(number), wordings=("crane",)) for number in range(2)]
    (scores,) = small_predictor().class_scores([photo()], classes)
    assert scores[0, 0] == scores[0, 1]
