"""How often a caption finds its own image: by hand, by options of evaluations, and by another model."""

from pathlib import Path

import pytest
import torch

from builders.predictors import SCENES, save_small_weights, small_predictor
from sycoca.cli.main import main
from sycoca.evaluation.captioning import CaptioningOptions, evaluate_captioning
from sycoca.evaluation.clip_scores import CaptionJudge, clip_score_part
from sycoca.evaluation.embeddings import ImageEmbeddings
from sycoca.evaluation.report import Report
from sycoca.evaluation.scene_captions import evaluate_scene_captions
from sycoca.evaluation.self_retrieval import SELF_RETRIEVAL, self_retrieval_hits, self_retrieval_part
from sycoca.inference.decoding.generation_config import GenerationConfig


def test_hits_by_hand_and_ties_are_misses():
    images = torch.eye(3)
    captions = torch.tensor([[0.9, 0.1, 0.0], [0.0, 0.1, 0.9], [0.6, 0.0, 0.6]])
    assert self_retrieval_hits(images, captions, torch.arange(3)) == [1, 0, 0]
    assert self_retrieval_hits(images[:2], captions, torch.tensor([0, 1, 0])) == [1, 1, 1]


def test_scenes_are_found_by_whoever_tells_them_apart():
    predictor = small_predictor()
    with torch.no_grad():
        images = predictor.embed_images([SCENES[index] for index in range(5)])
        texts = predictor.embed_texts(captions := [SCENES[index].captions[0] for index in range(5)])
    hits = [int((texts[row] @ images.T).argmax() == row) for row in range(5)]
    part = self_retrieval_part(ImageEmbeddings(predictor), SCENES, captions)
    assert part.values == {SELF_RETRIEVAL: hits}
    assert part.metrics == {SELF_RETRIEVAL: sum(hits) / 5, f"{SELF_RETRIEVAL}_random": 0.2}
    judge = CaptionJudge(predictor=predictor, source=SCENES, weights="small", weights_sha256="0", prefix="")
    named = {SCENES[index].key: caption for index, caption in enumerate(captions)}
    judged = clip_score_part(judge, named, {key: [caption] for key, caption in named.items()})
    assert judged.values[SELF_RETRIEVAL] == hits
    assert judged.metrics[f"{SELF_RETRIEVAL}_random"] == 0.2
    assert judged.metrics[SELF_RETRIEVAL] == sum(hits) / 5


@pytest.mark.parametrize("task", ["captioning", "scene_captions"])
def test_it_is_an_option_of_captioning(task: str):
    predictor = small_predictor()
    generation = GenerationConfig(max_tokens=3)

    def report(self_retrieval: ImageEmbeddings | None):
        if task == "scene_captions":
            return evaluate_scene_captions(
                predictor, SCENES, generation=generation, limit=4, self_retrieval=self_retrieval
            )
        options = CaptioningOptions(generation=generation, with_meteor=False)
        return evaluate_captioning(predictor, SCENES, options=options, limit=4, self_retrieval=self_retrieval)

    plain, measured = report(None), report(ImageEmbeddings(predictor))
    captions = predictor.caption([SCENES[index] for index in range(4)], max_tokens=3)
    part = self_retrieval_part(ImageEmbeddings(predictor), SCENES, captions)
    assert measured.metrics == {**plain.metrics, **part.metrics}
    assert measured.items["image"].values[SELF_RETRIEVAL] == part.values[SELF_RETRIEVAL]
    assert set(measured.remarks) - set(plain.remarks) == set(part.remarks)


def test_commands_have_it(tmp_path: Path):
    weights, out = save_small_weights(tmp_path / "weights"), tmp_path / "report.json"
    command = ["evaluate", "scene-captions", str(weights), "--data", "scenes:?split=test&count=3&size=32"]
    options = ["--self-retrieval", "--guidance-scale", "2", "--max-tokens", "3", "--out", str(out)]
    assert main([*command, *options]) == 0
    report = Report.load(out)
    assert report.metrics[f"{SELF_RETRIEVAL}_random"] == pytest.approx(1 / 3)
    assert report.settings["guidance_scale"] == 2
    assert any("has learned captions without images" in remark for remark in report.remarks)
