"""What interactive sessions show: one useful line."""

import torch

from builders.predictors import SCENES, photo, photo_source, photos, save_small_weights, small_predictor
from sycoca.data.formats.named_images import NamedImages
from sycoca.data.image_arguments import open_images
from sycoca.data.spec import open_source
from sycoca.evaluation.comparison import compare_reports
from sycoca.evaluation.filter_pairs import filter_pairs
from sycoca.evaluation.report import ItemScores, Report
from sycoca.inference.predictor import Predictor
from sycoca.training.in_memory_source import PairsSource
from sycoca.weights.average import average_weights
from sycoca.weights.folder import load_weights

REPORT = Report(
    task="retrieval",
    metrics={"text_to_image_recall_at_1": 0.5, "text_to_image_median_rank": 2.0, "mean_recall": 0.25, "other": 1.0},
    counts={"images": 1200, "captions": 6000, "truncated_captions": 1},
    items={"image": ItemScores(keys=["a"] * 2, values={"hit": [0, 1]})},
)


def test_predictors():
    predictor = small_predictor(answers=("yes", "no"), model_num_answers=2, model_image_decoder=None)
    number = f"{predictor.model.num_parameters:,}"
    expected = f"<Predictor: {number} parameters, images of 32 px, texts of 28 tokens, text decoder, head for answers; "
    assert repr(predictor) == f"{expected}float64 on cpu>"
    half = Predictor(predictor.model.to(torch.bfloat16), predictor.tokenizer, predictor.config)
    assert repr(half).endswith("; bfloat16 on cpu>")
    assert repr(predictor.tokenizer) == f"<Tokenizer: {predictor.tokenizer.vocab_size} token ids>"


def test_results_of_predictors():
    predictor = small_predictor()
    explanation = predictor.explain(photo(), "a red circle")
    assert repr(explanation) == (
        "<Explanation of 'a red circle': 3 words, 4 x 4 patches, 4 hidden from captioning, 8 masked, reconstructed>"
    )
    assert repr(explanation.reconstruction) == "<Reconstruction of 8 of 16 patches, 32 x 32 px>"
    assert repr(predictor.image_vectors(photos(3))) == ("<ImageVectors of 3 images: embeddings of 10, features of 24>")


def test_reports():
    assert repr(REPORT) == (
        "<Report retrieval: text_to_image_recall_at_1 50.0 %, text_to_image_median_rank 2.0, mean_recall 0.25 and 1"
        " more; 1,200 images, 6,000 captions>"
    )
    assert repr(REPORT.items["image"]) == "<ItemScores of 2 items: hit>"
    small = Report(task="vqa", metrics={"vqa_accuracy": 0.5}, counts={"questions": 2})
    assert repr(small) == "<Report vqa: vqa_accuracy 50.0 %; 2 questions>"
    compared = compare_reports({"first": small, "second": small})
    assert repr(compared) == "<Comparison of vqa: first against second, 1 metrics>"
    result = filter_pairs(small_predictor(), photo_source([("a star", "a dog"), ("red",)]))
    assert repr(result) == "<FilterResult of 'a list': 3 of 3 captions kept>"


def test_sources(tmp_path):
    photo().save(tmp_path / "a.png")
    (tmp_path / "a.jsonl").write_text('{"image": "a.png", "caption": "x"}\n{"image": "a.png", "caption": ""}\n')
    assert repr(open_source(f"{tmp_path}/a.jsonl")) == "<RowSource 'a.jsonl': 1 samples, 1 left out>"
    images = open_images(tmp_path / "a.png")
    assert isinstance(images, NamedImages)
    assert repr(images) == "<NamedImages 'image files': 1 samples>"
    assert repr(PairsSource([(photo(), "x")])) == "<PairsSource 'pairs': 1 samples>"
    assert repr(SCENES).startswith("<ScenesSource 'scenes-easy-test")


def test_weights(tmp_path):
    folder = save_small_weights(tmp_path / "weights")
    assert repr(load_weights(folder)).startswith("<LoadedWeights: ")
    line = repr(average_weights(folder, folder))
    assert line.startswith("<AveragedWeights: ")
    assert "\n" not in line
