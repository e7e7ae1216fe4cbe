"""Model cards, as people and as the Hugging Face Hub read them."""

import re
from dataclasses import replace

import pytest
from huggingface_hub import ModelCard

from builders.predictors import small_predictor
from sycoca.facts.limit_facts import ABILITIES, ModelLimits, SpoiledAbility
from sycoca.facts.objective_facts import ObjectiveName
from sycoca.inference.predictor import Predictor
from sycoca.model.masking_config import MaskingConfig
from sycoca.weights.model_card import model_card
from sycoca.weights.provenance import DataFacts, Measurement, Provenance

PAIRS: dict[ObjectiveName, float] = {"contrastive": 1.0, "captioning": 2.0, "masked_image": 1.0}

KNOWN = Provenance(
    summary="Trained in a test.",
    base="hf:somebody/her-model@0123abc",
    license="mit",
    objectives=PAIRS,
    trained_on=DataFacts(name="hf:lambda/photos?split=train", num_samples=12_000, num_skipped=7),
    recipe={"steps": "3 of 64 samples each", "seed": "5"},
    measured_on=DataFacts(name="captions.jsonl?split=val|test", num_samples=200),
    measurements=(
        Measurement(name="text_to_image_recall_at_1", value=0.125, text="12.5 %"),
        Measurement(name="bleu_4", value=0.25, text="25.0 %"),
    ),
    config="seed: 5\ndata:\n  train: hf:lambda/photos?split=train\n",
)


@pytest.fixture
def predictor() -> Predictor:
    return small_predictor()


def card_of(predictor: Predictor, provenance: Provenance | None) -> ModelCard:
    """Return the card as the Hub's own library reads it."""
    config = predictor.config if provenance is None else replace(predictor.config, history=(provenance.summary,))
    return ModelCard(model_card(predictor.model, config, provenance))


def section(card: ModelCard, title: str) -> str:
    return card.text.split(f"## {title}\n")[1].split("\n## ")[0]


def test_the_hub_reads_the_front_matter(predictor: Predictor):
    assert card_of(predictor, KNOWN).data.to_dict() == {
        "library_name": "sycoca",
        "license": "mit",
        "pipeline_tag": "image-to-text",
        "tags": [
            "sycoca",
            "image-captioning",
            "image-text-retrieval",
            "zero-shot-image-classification",
            "masked-image-modeling",
        ],
        "base_model": "somebody/her-model",
        "datasets": ["lambda/photos"],
        "metrics": ["recall", "bleu"],
    }


def test_unknown_facts_are_not_in_the_front_matter(predictor: Predictor):
    known = replace(KNOWN, license=None, base="runs/here/weights", trained_on=None, measurements=())
    for provenance in (known, None):
        assert set(card_of(predictor, provenance).data.to_dict()) == {"library_name", "pipeline_tag", "tags"}


def test_the_card_tells_provenance_and_training(predictor: Predictor):
    card = card_of(predictor, KNOWN)
    num_parameters = sum(parameter.numel() for parameter in predictor.model.parameters())
    assert f"A model of {num_parameters:,} parameters that describes images, " in card.text
    assert section(card, "Provenance").strip() == "Trained in a test."
    training = section(card, "Training")
    for row in (
        "| data | 12,000 samples of `hf:lambda/photos?split=train`; 7 unusable ones skipped |",
        "| objectives | contrastive (weight 1), captioning (weight 2), masked image (weight 1) |",
        "| masking | attentive, scored by `token_max`; captioning sees 75% of the patches; 50% are reconstructed |",
        "| steps | 3 of 64 samples each |",
        "| seed | 5 |",
    ):
        assert row in training
    assert "```yaml\nseed: 5\ndata:\n  train: hf:lambda/photos?split=train\n```" in section(card, "Configuration")


def test_the_card_tells_when_and_where_patches_are_hidden(predictor: Predictor):
    masking = MaskingConfig(captioning_hidden_share=0.25, captioning_hidden_until=0.75, attentive_from=0.125)
    card = model_card(predictor.model, replace(predictor.config, masking=masking), KNOWN)
    assert (
        "attentive, scored by `token_max`; random in the first 12% of training; captioning sees 50% of the patches in"
        " 25% of the images until 75% of training; 50% are reconstructed |"
    ) in card
    never = replace(masking, hides_from_captioning=False)
    card = model_card(predictor.model, replace(predictor.config, masking=never), KNOWN)
    assert "captioning sees 100% of the patches; 50% are" in card


def test_the_card_tells_metrics_and_their_data(predictor: Predictor):
    measured = section(card_of(predictor, KNOWN), "Measured")
    assert "on 200 samples of `captions.jsonl?split=val|test`" in measured
    assert "| text_to_image_recall_at_1 | 12.5 % |\n| bleu_4 | 25.0 % |" in measured


def test_cells_are_escaped(predictor: Predictor):
    trained_on = DataFacts(name="a|b.jsonl", num_samples=1)
    assert "samples of `a\\|b.jsonl` |" in card_of(predictor, replace(KNOWN, trained_on=trained_on)).text


def test_unknown_facts_are_not_in_the_card(predictor: Predictor):
    card = card_of(predictor, None)
    titles = re.findall(r"^## (.*)", card.text, flags=re.MULTILINE)
    assert titles == ["Use", "Provenance", "Limits", "Sizes"]
    assert "Not recorded." in section(card, "Provenance")
    assert "No license is stated" in section(card, "Provenance")
    assert "It was not evaluated on held-out data." in section(card, "Limits")


def use_of(objectives: dict[ObjectiveName, float], **changes: object) -> tuple[str, str]:
    predictor = small_predictor(**changes)
    card = card_of(predictor, replace(KNOWN, objectives=objectives))
    return section(card, "Use"), section(card, "Limits")


LINES = {
    "captions": ("predictor.caption(", "sycoca caption "),
    "matches": ("predictor.similarity(", "class_names=", "sycoca evaluate retrieval "),
    "rebuilds": ("predictor.reconstruct(",),
    "answers": ("predictor.ask(", "sycoca ask "),
    "classifies": ('predictor.classify(["photo.jpg"])', "sycoca classify "),
}

WITHOUT_DECODERS: dict[str, object] = {"model_text_decoder": None, "model_image_decoder": None}


@pytest.mark.parametrize(
    ("objectives", "changes", "abilities"),
    [
        (PAIRS, {}, {"captions", "matches", "rebuilds"}),
        ({}, {}, {"captions", "matches", "rebuilds"}),
        ({"contrastive": 1.0}, WITHOUT_DECODERS, {"matches"}),
        (PAIRS | {"contrastive": 0.0}, {"model_image_decoder": None}, {"captions"}),
        ({"answering": 1.0}, {"model_num_answers": 2, "answers": ("yes", "no")}, {"answers", "rebuilds"}),
        (
            {"classification": 1.0},
            WITHOUT_DECODERS | {"model_num_classes": 2, "class_names": ("cat", "dog")},
            {"classifies"},
        ),
    ],
)
def test_only_what_it_can_do_is_shown(
    objectives: dict[ObjectiveName, float], changes: dict[str, object], abilities: set[str]
):
    use, _ = use_of(objectives, **changes)
    for ability, lines in LINES.items():
        for line in lines:
            assert (line in use) == (ability in abilities), line


def test_a_mean_with_a_head_keeps_the_other_tasks():
    spoiled = tuple(SpoiledAbility(ability=ability, reason="averaged") for ability in ABILITIES)
    limits = ModelLimits(spoiled=spoiled)
    predictor = small_predictor(model_num_answers=2, answers=("yes", "no"), limits=limits)
    card = model_card(predictor.model, predictor.config, Provenance(summary="A mean."))
    assert all(line in card for ability in ("answers", "captions", "matches", "rebuilds") for line in LINES[ability])
    text = " ".join(card.split())
    assert "One of the averaged models was trained without the contrastive objective: similarities, retrieval" in text
    assert "do not rely on" not in text


def test_spoiled_abilities_are_among_the_limits():
    _, limits = use_of({"answering": 1.0}, model_num_answers=2, answers=("yes", "no"))
    text = " ".join(limits.split())
    assert "Fine-tuning for VQA changed this model without the captioning objective: do not rely on captions," in text
    assert "Fine-tuning for VQA changed this model without the contrastive objective: do not rely on similari" in text
    _, limits = use_of(PAIRS | {"contrastive": 0.0})
    assert "The contrastive objective was off in training: similarities, retrieval" in " ".join(limits.split())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"base": None, "trained_on": DataFacts(name="scenes:?count=9", num_samples=9)}, "cannot be used on photos"),
        ({"base": None}, "It was trained on 12,000 images; "),
        ({}, "The limits of `hf:somebody/her-model@0123abc`, from which its training started, also apply."),
    ],
)
def test_limits_follow_from_the_data(predictor: Predictor, changes: dict[str, object], said: str):
    limits = " ".join(section(card_of(predictor, replace(KNOWN, **changes)), "Limits").split())
    assert said in limits
    assert "Its vocabulary is small (300 token ids)" in limits
    assert "It was evaluated only on the data above" in limits


def test_a_model_with_much_data_and_a_large_vocabulary_has_fewer_limits(predictor: Predictor):
    large = replace(predictor.config.model.text_encoder, vocab_size=49_408)
    config = replace(predictor.config, model=replace(predictor.config.model, text_encoder=large))
    much = DataFacts(name="shards:laion", num_samples=400_000_000)
    text = model_card(predictor.model, config, replace(KNOWN, base=None, trained_on=much))
    assert "vocabulary is small" not in text
    assert "It was trained on" not in text
