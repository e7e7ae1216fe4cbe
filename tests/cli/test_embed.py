import json
from pathlib import Path

import numpy as np
import pytest

from builders.predictors import save_small_weights
from sycoca.cli.command_line import run
from sycoca.cli.main import main
from sycoca.cli.shared.usage import UsageError
from sycoca.data.spec import open_source
from sycoca.evaluation.embedding_files import read_arrays
from sycoca.inference.load import load
from sycoca.inference.provenance import weights_digest

SCENES = "scenes:?split=test&count=5&size=32"
MODEL = ("weights", "weights_sha256", "dtype")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_small_weights(tmp_path_factory.mktemp("model") / "weights"))


@pytest.mark.parametrize("suffix", ["npz", "safetensors"])
def test_embeddings_are_scored_as_the_model_is(
    weights: str, tmp_path: Path, suffix: str, capsys: pytest.CaptureFixture[str]
):
    out = tmp_path / f"pairs.{suffix}"
    assert main(["embed", weights, SCENES, "--out", str(out), "--limit", "4"]) == 0
    printed = capsys.readouterr()
    assert printed.out == ""
    assert f"4 images, 16 texts in {out}" in printed.err
    assert run(["score", "retrieval", "--embeddings", str(out), "--out", str(tmp_path / "scored.json")]) == 0
    run(["evaluate", "retrieval", weights, "--data", SCENES, "--limit", "4", "--out", str(tmp_path / "evaluated.json")])
    scored, evaluated = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("scored", "evaluated"))
    assert scored["metrics"].items() <= evaluated["metrics"].items()
    assert scored["items"] == evaluated["items"]


def test_images_or_texts_alone(weights: str, tmp_path: Path):
    source, predictor = open_source(SCENES), load(weights)
    run(["embed", weights, SCENES, "--out", str(tmp_path / "images.npz"), "--what", "images"])
    arrays = read_arrays(tmp_path / "images.npz")
    assert arrays.keys() == {"images", "keys", *MODEL}
    np.testing.assert_allclose(arrays["images"], predictor.embed_images([source[i] for i in range(5)]), atol=1e-6)
    assert arrays["keys"].tolist() == [source[i].key for i in range(5)]
    run(["embed", weights, SCENES, "--out", str(tmp_path / "texts.npz"), "--what", "texts"])
    arrays = read_arrays(tmp_path / "texts.npz")
    assert arrays.keys() == {"texts", "image_of_text", "keys", *MODEL}
    captions = [caption for index in range(5) for caption in source[index].captions]
    np.testing.assert_allclose(arrays["texts"], predictor.embed_texts(captions), atol=1e-6)


@pytest.mark.parametrize("suffix", ["npz", "safetensors"])
def test_embeddings_name_their_weights_and_are_not_scored_with_those_of_others(
    weights: str, tmp_path: Path, suffix: str
):
    other = str(save_small_weights(tmp_path / "other", seed=2))
    images, texts, others = (tmp_path / f"{name}.{suffix}" for name in ("images", "texts", "others"))
    run(["embed", weights, SCENES, "--out", str(images), "--what", "images", "--precision", "bf16"])
    run(["embed", weights, SCENES, "--out", str(texts), "--what", "texts"])
    run(["embed", other, SCENES, "--out", str(others), "--what", "texts"])
    arrays = read_arrays(images)
    found = [arrays[name].item() for name in MODEL]
    assert found == [weights, weights_digest(weights), "bfloat16"]
    score = ["score", "retrieval", "--image-embeddings", str(images), "--json", "--text-embeddings"]
    assert run([*score, str(texts)]) == 0
    with pytest.raises(ValueError, match=rf"was embedded by {weights}, {others} by other weights, {other}: they are"):
        run([*score, str(others)])


def test_wrong_use_is_told(weights: str, tmp_path: Path):
    with pytest.raises(ValueError, match=r"pairs\.pt must end with .safetensors or .npz"):
        run(["embed", weights, SCENES, "--out", str(tmp_path / "pairs.pt")])
    with pytest.raises(UsageError, match="give --embeddings, or"):
        run(["score", "retrieval", "--image-embeddings", "images.npy"])
