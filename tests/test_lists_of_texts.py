"""A text in place of a list of texts is refused wherever users write one: Python would read it letter by letter."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from builders.predictors import open_photo, small_config, small_tokenizer
from builders.unchecked_shapes import without_shape_checks
from sycoca.data.class_lists import NamedClass, checked_templates, named_classes, read_templates
from sycoca.data.samples import ImageTextSample, Question
from sycoca.evaluation.caption_scores import caption_report
from sycoca.evaluation.class_options import ClassOptions
from sycoca.evaluation.zero_shot import ZeroShotPrompts
from sycoca.experiments.benchmark.settings import BenchmarkSettings
from sycoca.metrics.captioning import tokenize
from sycoca.metrics.ptb_tokenizer import tokenize_captions
from sycoca.metrics.vqa import AnnotatorRule, MemberRule, answer_rule, most_frequent_answers
from sycoca.preprocess.config import TokenizerConfig
from sycoca.preprocess.tokenizer import Tokenizer
from sycoca.texts import listed_texts
from sycoca.training.recipes.pretraining.initial_weights_config import InitialWeightsConfig
from sycoca.weights.config import WeightsConfig

CONFIG = small_config(small_tokenizer())


def weights_config(**changes: Any) -> WeightsConfig:
    return WeightsConfig(model=CONFIG.model, masking=CONFIG.masking, transforms=CONFIG.transforms, **changes)


USES: dict[str, Callable[[Any], object]] = {
    "class_names": named_classes,
    "class_names of weights": lambda text: weights_config(class_names=text),
    "answers of weights": lambda text: weights_config(answers=text),
    "history of weights": lambda text: weights_config(history=text),
    "templates": checked_templates,
    "templates of files": read_templates,
    "templates of options": lambda text: ClassOptions(templates=text),
    "templates of prompts": lambda text: ZeroShotPrompts(templates=text),
    "classes of prompts": lambda text: ZeroShotPrompts(classes=text),
    "wordings": lambda text: NamedClass(label="cat", wordings=text),
    "captions of a sample": lambda text: ImageTextSample(key="a", captions=text, open_image=partial(open_photo, 0)),
    "captions to tokenize": tokenize_captions,
    "captions to train on": lambda text: Tokenizer.train(text, TokenizerConfig()),
    "answers of a question": lambda text: Question(question="what?", answers=text),
    "answers to count": lambda text: most_frequent_answers(text, MemberRule()),
    "candidates": lambda text: tokenize(text, [["a cat"]]),
    r"references\[0\] of captions": lambda text: tokenize(["a cat"], [text]),
    r"references\[0\] of a report": lambda text: caption_report({"a": "cat"}, {"a": text}, counts={}, settings={}),
    r"references\[0\] of questions": lambda text: answer_rule([text]),
    "references of an answer": lambda text: MemberRule().accuracy("cat", text),
    "references of annotators": lambda text: AnnotatorRule().accuracy("cat", text),
    "rows": lambda text: BenchmarkSettings(rows=text),
    "start.frozen": lambda text: InitialWeightsConfig(weights="here", frozen=text),
}


@pytest.mark.parametrize("use", USES)
def test_a_text_is_no_list(use: str):
    name = use.split(" of ")[0].split(" to ")[0]
    message = rf"^{name} is a list of texts, got the text 'cat'; write \['cat'\]$"
    with without_shape_checks(), pytest.raises(ValueError, match=message):
        USES[use]("cat")


def test_long_texts_are_shortened():
    with pytest.raises(ValueError, match=r"got the text 'aaa[a]+\.\.\.; write \['aaa"):
        listed_texts("a" * 1000, "texts")
    with pytest.raises(ValueError, match="texts is a list of texts, got int 3"):
        listed_texts(3, "texts")
