"""Whoever mistypes a keyword is told the one that is meant."""

import inspect

import pytest

import sycoca
from builders.predictors import SCENES, photo, photos, small_predictor
from builders.unchecked_shapes import without_shape_checks
from sycoca.inference.decoding.generation_config import GenerationConfig
from sycoca.inference.load import load
from sycoca.inference.model_options import ModelOptions
from sycoca.inference.predictor import Predictor
from sycoca.keywords import suggests_fields, suggests_keywords
from sycoca.model.config import SyCoCaConfig
from sycoca.training.finetune import finetune

PUBLIC = {
    "load": lambda: sycoca.load("weights", devise="cpu"),  # pyright: ignore[reportCallIssue]
    "caption_set": lambda: sycoca.caption_set("weights", "photos", devise=4),  # pyright: ignore[reportCallIssue]
    "evaluate_all": lambda: sycoca.evaluate_all("weights", {}, devise=4),  # pyright: ignore[reportCallIssue]
    "filter_pairs": lambda: sycoca.filter_pairs("weights", "a.csv", devise=4),  # pyright: ignore[reportCallIssue]
    "map_captions": lambda: sycoca.map_captions("weights", "a", "out", devise=4),  # pyright: ignore[reportCallIssue]
    "map_embeddings": lambda: sycoca.map_embeddings("weights", "a", "out", devise=4),  # pyright: ignore[reportCallIssue]
    "map_filter": lambda: sycoca.map_filter("weights", "a", "out", devise=4),  # pyright: ignore[reportCallIssue]
    "map_scores": lambda: sycoca.map_scores("weights", "a", "out", devise=4),  # pyright: ignore[reportCallIssue]
    "index_images": lambda: sycoca.index_images("weights", "a", "out", devise=4),  # pyright: ignore[reportCallIssue]
    "open_index": lambda: sycoca.open_index("photos.lance", devise=4),  # pyright: ignore[reportCallIssue]
    "pretrain": lambda: sycoca.pretrain(None, devise=4),  # pyright: ignore[reportCallIssue]
    "push_to_hub": lambda: sycoca.push_to_hub("weights", "me/mine", devise=4),  # pyright: ignore[reportCallIssue]
}


@pytest.mark.parametrize("name", PUBLIC)
def test_public_functions_do_not_know_the_keyword(name: str):
    with pytest.raises(TypeError, match=rf"^{name}\(\) has no option 'devise'; "):
        PUBLIC[name]()


def test_every_public_function_is_tried():
    functions = {name for name in sycoca.__all__ if name[0].islower() and not name.startswith("_")}
    assert functions == PUBLIC.keys()


@pytest.mark.parametrize(
    ("method", "wrong", "meant"),
    [
        ("caption", "num_beam", "num_beams"),
        ("caption", "batchsize", "batch_size"),
        ("classify", "template", "templates"),
        ("class_probabilities", "scorrer", "scorer"),
        ("embed_images", "batch_sizes", "batch_size"),
        ("explain", "captions", "caption"),
    ],
)
def test_the_predictor_names_the_close_one(method: str, wrong: str, meant: str):
    with pytest.raises(TypeError, match=rf"^{method}\(\) has no option '{wrong}'; did you mean '{meant}'\?$"):
        getattr(small_predictor(), method)(photos(1), **{wrong: 2})


def test_every_public_method_of_the_predictor_is_covered():
    methods = [name for name, _ in inspect.getmembers(Predictor, inspect.isfunction) if not name.startswith("_")]
    assert {"caption", "embed_images", "answers", "explain"} < set(methods)
    for name in methods:
        with pytest.raises(TypeError, match=rf"^{name}\(\) has no option 'xyz'"):
            getattr(small_predictor(), name)(xyz=1)


def test_close_values_are_named_as_well():
    message = r"scorer must be one of cosine, likelihood, got 'cosin' \(did you mean cosine"
    with without_shape_checks(), pytest.raises(ValueError, match=message):
        small_predictor().classify(photos(1), ["cat", "dog"], scorer="cosin")


def test_signatures_stay_readable():
    assert list(inspect.signature(load).parameters) == ["weights", "device", "dtype", "compile", "verify", "base"]
    assert load.__doc__ is not None


def test_known_keywords_pass_and_classes_do_the_same():
    @suggests_keywords
    def total(first: int, /, second: int = 2, *, third: int = 3) -> int:
        return first + second + third

    assert total(1, third=4) == 7
    with pytest.raises(TypeError, match=r"^total\(\) has no option 'first'; allowed: second, third$"):
        total(1, first=2)  # pyright: ignore[reportCallIssue]

    @suggests_fields
    class Options:
        def __init__(self, *, size: int) -> None:
            self.size = size

    assert Options(size=3).size == 3
    with pytest.raises(TypeError, match=r"^Options\(\) has no option 'sizes'; did you mean 'size'\?$"):
        Options(sizes=3)  # pyright: ignore[reportCallIssue]


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (lambda: sycoca.load(None), "weights is a weights folder or hf:owner/name.*, got NoneType None"),
        (lambda: sycoca.caption_set(3, SCENES), "weights is .*, or a Predictor, got int 3"),
        (lambda: sycoca.caption_set("here", [photo()]), r"images\[0\] is a path, since results name their images"),
        (lambda: sycoca.caption_set("here", 3), "images is one or several paths, a SPEC, or a source, got int 3"),
        (lambda: sycoca.filter_pairs("here", ["a", "b"]), "data is a SPEC or a source, got list"),
        (
            lambda: sycoca.pretrain("tiny"),
            r"config is a PretrainConfig: pretrain_preset\(.*, got str 'tiny'",
        ),
        (lambda: finetune("vqa"), "config is a FinetuneConfig: finetune_preset"),
        (lambda: list(small_predictor().generate(photos(1), {})), "config is a GenerationConfig, got dict {}"),
        (
            lambda: list(small_predictor().write_answers(photos(1), [["a"]], None)),
            "config is a Generation",
        ),
    ],
)
def test_arguments_of_another_kind_are_named(use, message: str):
    with without_shape_checks(), pytest.raises(ValueError, match=message):
        use()


def test_options_in_objects_name_the_close_one():
    with pytest.raises(TypeError, match=r"^GenerationConfig\(\) has no option 'num_beam'; did you mean 'num_beams'\?$"):
        GenerationConfig(num_beam=2)
    with pytest.raises(TypeError, match=r"^ModelOptions\(\) has no option 'batchsize'; did you mean 'batch_size'\?$"):
        ModelOptions(batchsize=2)
    with pytest.raises(TypeError, match=r"^SyCoCaConfig\(\) has no option 'text_decode'; did you mean 'text_dec"):
        SyCoCaConfig(text_decode=None)
