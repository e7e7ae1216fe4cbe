import math
from dataclasses import fields
from itertools import combinations
from typing import get_args

import pytest

from builders.predictors import SCENES, small_predictor
from sycoca.inference.decoding.generation_config import DecodingStrategy, GenerationConfig, GenerationOptions


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_beams": 0}, "num_beams must be at least 1, got 0"),
        ({"min_tokens": -1}, "min_tokens must not be negative, got -1"),
        ({"max_tokens": 0}, "max_tokens must be at least 1, got 0"),
        ({"max_tokens": 3, "min_tokens": 4}, "max_tokens must be at least 4, got 3"),
        ({"top_k": 5}, "set a temperature too"),
        ({"top_p": 0.9}, "set a temperature too"),
        ({"temperature": 0.0}, "temperature must be above 0 and finite, got 0.0"),
        ({"temperature": math.nan}, "temperature must be above 0 and finite, got nan"),
        ({"temperature": math.inf}, "temperature must be above 0 and finite, got inf"),
        ({"num_beams": 2, "length_penalty": math.nan}, "length_penalty must be a number, got nan"),
        ({"num_beams": 2, "length_penalty": -math.inf}, "length_penalty must be a number, got -inf"),
        ({"temperature": 1.0, "top_p": math.nan}, "top_p must be above 0 and at most 1, got nan"),
        ({"temperature": 1.0, "num_beams": 2}, "not both"),
        ({"temperature": 1.0, "top_k": 0}, "top_k must be at least 1, got 0"),
        ({"temperature": 1.0, "top_p": 0.0}, "top_p must be above 0 and at most 1, got 0.0"),
        ({"temperature": 1.0, "top_p": 1.1}, "top_p must be above 0 and at most 1, got 1.1"),
    ],
)
def test_refuses_contradictions(options: dict[str, float], message: str):
    with pytest.raises(ValueError, match=message):
        GenerationConfig(**options)


OPTIONS: dict[DecodingStrategy, dict[str, float]] = {
    "greedy": {},
    "beam_search": {"num_beams": 3},
    "sampling": {"temperature": 1.0},
}
"""Options that lead to each strategy."""


def test_every_strategy_writes_captions_of_its_own():
    configs = {strategy: GenerationConfig(**options) for strategy, options in OPTIONS.items()}
    assert {strategy: config.strategy for strategy, config in configs.items()} == {
        strategy: strategy for strategy in get_args(DecodingStrategy)
    }
    predictor, samples = small_predictor(), [SCENES[index] for index in range(4)]
    found = {strategy: list(predictor.generate(samples, config)) for strategy, config in configs.items()}
    for one, other in combinations(found, 2):
        assert found[one] != found[other], f"{one} does what {other} does"


def test_keywords_of_caption_are_the_fields_of_the_config():
    assert GenerationOptions.__annotations__.keys() == {field.name for field in fields(GenerationConfig)}
