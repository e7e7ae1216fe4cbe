"""The interface over a real connection: answers are the predictor's own, whatever they are computed with."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch

import sycoca
from builders.image_indexes import facts, rows
from builders.predictors import SCENES, small_predictor
from builders.serving import Answer, get, png, post, serving
from sycoca.inference.decoding.generation_config import GenerationConfig
from sycoca.inference.predictor import Predictor
from sycoca.search.fingerprint import fingerprints
from sycoca.search.index_table import IndexTable
from sycoca.serve.application import create_app
from sycoca.serve.settings import ServeSettings

IMAGES = [png(SCENES[index].open_image()) for index in range(8)]
TEXTS = ["a red circle", "a blue square above a green triangle", "nothing", "two"]


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return small_predictor()


@pytest.fixture(scope="module")
def port(predictor: Predictor) -> Iterator[int]:
    with serving(create_app(predictor, settings=ServeSettings(batch_wait_seconds=0.05), name="small")) as port:
        yield port


@pytest.mark.parametrize("options", [{}, {"num_beams": 3}, {"guidance_scale": 3.0}])
def test_caption(port: int, predictor: Predictor, options: dict[str, Any]):
    answer = post(port, "/caption", ("image", IMAGES[0]), *((name, str(value)) for name, value in options.items()))
    assert answer.status == 200
    [expected] = predictor.generate([IMAGES[0]], GenerationConfig(**options))
    found = answer.json
    assert found["caption"] == predictor.tokenizer.decode(expected.tokens)
    assert found["log_likelihood"] == pytest.approx(expected.log_likelihood, abs=1e-9)
    assert "".join(token["text"] for token in found["tokens"]) == found["caption"]
    assert sum(token["log_likelihood"] for token in found["tokens"]) == pytest.approx(found["log_likelihood"], abs=1e-5)


def test_embed(port: int, predictor: Predictor):
    both = post(port, "/embed", ("image", IMAGES[0]), ("text", TEXTS[0])).json
    assert both["image_embed"] == pytest.approx(predictor.embed_images(IMAGES[0])[0].tolist(), abs=1e-6)
    assert both["text_embed"] == pytest.approx(predictor.embed_texts([TEXTS[0]])[0].tolist(), abs=1e-6)
    text_alone = post(port, "/embed", ("text", TEXTS[0])).json
    assert text_alone["image_embed"] is None
    assert text_alone["text_embed"] == both["text_embed"]
    assert post(port, "/embed").status == 422


def test_a_text_longer_than_the_context_is_said_to_be(port: int):
    [notice] = post(port, "/embed", ("text", "a red circle " * 30)).json["notices"]
    assert notice.startswith("the model reads the first 28 tokens")


def test_ask(port: int, predictor: Predictor):
    found = post(port, "/ask", ("image", IMAGES[1]), ("question", "what color?")).json
    assert found["answer"] == predictor.ask(IMAGES[1], "what color?", open_ended=True)
    assert found["log_likelihood"] < 0


def test_ask_a_fine_tuned_model():
    predictor = small_predictor(model_num_answers=3, answers=("red", "green", "blue"))
    with serving(create_app(predictor)) as port:
        found = post(port, "/ask", ("image", IMAGES[1]), ("question", "what color?")).json
    assert found["answer"] == predictor.ask(IMAGES[1], "what color?")


def test_classify(port: int, predictor: Predictor):
    names = ["red circle", "blue square", "green triangle"]
    found = post(port, "/classify", ("image", IMAGES[2]), *(("class_names", name) for name in names)).json["classes"]
    probabilities = predictor.class_probabilities(IMAGES[2], names)[0].tolist()
    assert {one["name"]: one["probability"] for one in found} == pytest.approx(
        dict(zip(names, probabilities, strict=True)), abs=1e-6
    )
    assert found == sorted(found, key=lambda one: -one["probability"])
    cosines = predictor.similarity(IMAGES[2], [f"a photo of a {name}." for name in names])[0].tolist()
    assert {one["name"]: one["cosine"] for one in found} == pytest.approx(
        dict(zip(names, cosines, strict=True)), abs=1e-5
    )


def test_classes_whose_prompts_are_longer_than_the_context_are_said_to_be(port: int):
    def notices(*names: str) -> list[str]:
        return post(port, "/classify", ("image", IMAGES[2]), *(("class_names", name) for name in names)).json["notices"]

    assert notices("red circle", "blue square") == []
    [notice] = notices("red circle", f"blue square {'far away ' * 30}")
    assert notice.startswith("the model reads the first 28 tokens of a text and not the rest of 'a photo of a blue")


def test_classify_without_names_needs_a_head(port: int):
    answer = post(port, "/classify", ("image", IMAGES[2]))
    assert answer.status == 422
    assert "has no head for classes" in answer.json["error"]


def test_explain(port: int, predictor: Predictor):
    given = post(port, "/explain", ("image", IMAGES[3]), ("caption", TEXTS[1])).json
    expected = json.loads(predictor.explain(IMAGES[3], TEXTS[1]).to_json(with_pictures=True))
    assert_close(given, expected | {"notices": []})
    own = post(port, "/explain", ("image", IMAGES[3]), ("reconstruct", "false")).json
    assert own["caption"] == predictor.caption(IMAGES[3])[0]
    assert own["reconstruction_png"] is None


def test_explain_reconstructs_the_same_patches_under_an_edited_caption(port: int, predictor: Predictor):
    fields = (("image", IMAGES[3]), ("caption", TEXTS[1]), ("edited_caption", TEXTS[0]))
    given = post(port, "/explain", *fields).json
    explained = predictor.explain(IMAGES[3], TEXTS[1], edited_caption=TEXTS[0])
    assert_close(given, json.loads(explained.to_json(with_pictures=True)) | {"notices": []})
    assert [one["caption"] for one in given["other_reconstructions"]] == ["", TEXTS[0]]
    answer = post(port, "/explain", ("image", IMAGES[3]), ("edited_caption", " "))
    assert (answer.status, answer.json["error"]) == (422, "edited_caption is empty; write something")


def test_search(tmp_path: Path, predictor: Predictor):
    embeddings = predictor.embed_images(IMAGES).numpy()
    table = IndexTable.create(str(tmp_path / "photos.lance"), facts(embeddings.shape[1], fingerprints(predictor)))
    table.add(rows(embeddings))
    index = sycoca.open_index(tmp_path / "photos.lance")
    with serving(create_app(predictor, index)) as port:
        assert get(port, "/info").json["index"] == {"images": len(IMAGES)}
        found = post(port, "/search", ("image", IMAGES[2]), ("count", "3")).json
        by_text = post(port, "/search", ("text", TEXTS[0]), ("where", "width > 104")).json
        wrong = post(port, "/search", ("text", TEXTS[0]), ("where", "no column"))
        both = post(port, "/search", ("text", TEXTS[0]), ("image", IMAGES[2]))
    assert found["hits"][0]["file"] == "photos/image-2.jpg"
    assert len(found["hits"]) == 3
    assert found["exact"] is True
    assert found["hits"][0]["cosine"] == pytest.approx(1, abs=1e-5)
    assert found["hits"][0]["thumbnail"].startswith("data:image/jpeg;base64,")
    assert found["hits"][0]["columns"]["captions"] == ["caption 2"]
    expected = index.search_embedding(predictor.embed_texts([TEXTS[0]])[0], where="width > 104")
    assert [hit["file"] for hit in by_text["hits"]] == [hit.file for hit in expected]
    assert by_text["median_cosine"] == pytest.approx(expected.median_cosine, abs=1e-5)
    assert wrong.status == 422
    assert "no column" in wrong.json["error"]
    assert both.status == 422


def test_an_index_of_other_weights_is_refused(tmp_path: Path, predictor: Predictor):
    IndexTable.create(str(tmp_path / "photos.lance"), facts(10, {"float64": "of others"}))
    with pytest.raises(ValueError, match="made by other weights"):
        create_app(predictor, sycoca.open_index(tmp_path / "photos.lance"))


def test_an_index_that_is_replaced_by_one_of_other_weights_is_no_fault_of_a_request(
    tmp_path: Path, predictor: Predictor
):
    path, size = tmp_path / "photos.lance", predictor.model.config.embed_dim
    IndexTable.create(str(path), facts(size, fingerprints(predictor)))
    with serving(create_app(predictor, sycoca.open_index(path))) as port:
        assert post(port, "/search", ("text", "a red circle")).status == 200
        IndexTable.create(str(path), facts(size, {"float64": "of others"}))
        answer = post(port, "/search", ("text", "a red circle"))
    assert answer.status == 503
    assert answer.json["error"].startswith("the index was replaced by one of other weights")


def test_search_without_an_index(port: int):
    answer = post(port, "/search", ("text", "a red circle"))
    assert answer.status == 404
    assert answer.json["setting"] == "index"


def test_answers_of_a_batch_are_those_of_one_at_a_time(port: int):
    def ask(index: int) -> Answer:
        image = ("image", IMAGES[index % len(IMAGES)])
        text = TEXTS[index % len(TEXTS)]
        match index % 4:
            case 0:
                return post(port, "/caption", image)
            case 1:
                return post(port, "/embed", image, ("text", text))
            case 2:
                return post(port, "/ask", image, ("question", text))
            case _:
                return post(port, "/classify", image, ("class_names", "a"), ("class_names", "b"))

    alone = [ask(index) for index in range(32)]
    with ThreadPoolExecutor(32) as pool:
        together = list(pool.map(ask, range(32)))
    for one, other in zip(alone, together, strict=True):
        assert one.status == other.status == 200
        assert_close(one.json, other.json)
    sizes = [line for line in get(port, "/metrics").body.decode().splitlines() if line.startswith("sycoca_batch_size_")]
    batches = sum(float(line.split()[-1]) for line in sizes if "_count" in line)
    inputs = sum(float(line.split()[-1]) for line in sizes if "_sum" in line)
    assert inputs > 1.3 * batches  # they were computed together


def assert_close(one: object, other: object) -> None:
    """Compare answers: texts are equal, numbers within 1e-5."""
    match one, other:
        case dict(), dict():
            assert one.keys() == other.keys()
            for key in one:
                assert_close(one[key], other[key])
        case list(), list():
            assert len(one) == len(other)
            for left, right in zip(one, other, strict=True):
                assert_close(left, right)
        case float(), float():
            assert one == pytest.approx(other, abs=1e-5)
        case _:
            assert one == other


def test_a_model_without_text_decoder_says_so():
    predictor = small_predictor(model_text_decoder=None)
    with serving(create_app(predictor)) as port:
        answer = post(port, "/caption", ("image", IMAGES[0]))
        assert answer.status == 422
        assert answer.json["error"].startswith("this model has no text decoder")
        info = get(port, "/info").json
    lacking = {name for name, is_there in info["abilities"].items() if not is_there}
    assert lacking == set(info["absent"]) == {"caption", "ask", "search"}
    assert info["absent"]["caption"] == info["absent"]["ask"]
    assert info["absent"]["ask"].startswith("this model has no text decoder")


def test_info_health_and_examples(port: int):
    assert get(port, "/health").json == {"status": "ok"}
    info = get(port, "/info").json
    assert info["weights"] == "small"
    assert info["abilities"] == {
        "caption": True,
        "embed": True,
        "search": False,
        "ask": True,
        "classify": True,
        "explain": True,
        "reconstruct": True,
    }
    assert set(info["absent"]) == {"search"}
    assert "`sycoca index` makes one" in info["absent"]["search"]
    assert "an animal" in info["class_names"]
    assert info["notice"] is None
    assert info["limits"]["max_upload_bytes"] == 20 * 2**20
    assert info["token_required"] is False
    examples = get(port, "/examples").json
    assert len(examples) == 6
    assert all(one["image"].startswith("data:image/png;base64,") and one["captions"] for one in examples)


def test_weights_that_know_scenes_only_say_so():
    trained = "Trained from scratch (preset `tiny`) for 500 steps of 64 samples on `scenes:?level=easy`, seed 0."
    other = "Fine-tuned for 20 steps of 64 samples on `photos.jsonl`, seed 0."
    infos = []
    for history in ((trained,), (trained, other), ()):
        with serving(create_app(small_predictor(history=history))) as port:
            infos.append(get(port, "/info").json)
    assert ["red circle" in info["class_names"] for info in infos] == [True, False, False]
    with serving(create_app(small_predictor(model_num_classes=2, class_names=("cat", "dog")))) as port:
        assert get(port, "/info").json["class_names"] == []  # the head has its own
    assert [info["notice"] for info in infos] == ["These weights know colored shapes only, not photos.", None, None]


def test_the_documentation_loads_nothing_from_elsewhere(port: int):
    page = get(port, "/docs").body.decode()
    assert "POST /caption" in page
    assert "<script" not in page
    assert "http://" not in page
    assert "https://" not in page
    described = get(port, "/openapi.json").json
    assert set(described["paths"]) >= {"/caption", "/embed", "/ask", "/classify", "/info", "/health", "/metrics"}
