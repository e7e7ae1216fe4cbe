import json
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest
from safetensors.numpy import save_file

from sycoca.evaluation.embedded_retrieval import score_retrieval
from sycoca.evaluation.embedding_files import EmbeddedPairs, read_arrays, read_pairs, write_arrays

IMAGES = np.eye(3, dtype=np.float32)
TEXTS = np.array([[0.9, 0.2, 0.3], [0.5, 0.1, 0.8], [0.6, 0.4, 0.5], [0.1, 0.7, 0.2]], dtype=np.float32)
OWNERS = np.array([0, 0, 1, 2])


def test_ranks_worked_out_by_hand():
    report = score_retrieval(EmbeddedPairs(images=IMAGES, texts=TEXTS, image_of_text=OWNERS, keys=["a", "b", "c"]))
    assert report.items["image"].values["image_to_text_mean_rank"] == [1, 2, 4]
    assert report.items["caption"].values["text_to_image_mean_rank"] == [1, 2, 3, 2]
    assert report.items["caption"].keys == ["a#0", "a#1", "b#0", "c#0"]
    assert report.metrics["text_to_image_recall_at_1"] == 0.25
    assert report.counts == {"images": 3, "captions": 4}


def test_equal_embeddings_lower_the_ceilings():
    texts = np.concatenate([TEXTS[:1], TEXTS[:1], TEXTS[2:]])
    report = score_retrieval(
        EmbeddedPairs(images=IMAGES, texts=texts, image_of_text=np.array([0, 1, 1, 2]), keys=["a", "b", "c"])
    )
    assert report.metrics["image_to_text_recall_at_1_ceiling"] == pytest.approx(2 / 3)
    assert report.metrics["text_to_image_recall_at_1_ceiling"] == 0.75
    assert "since equal captions of several images" in report.remarks[-1]


def test_cosines_do_not_see_the_length_and_products_do():
    images = np.array([[1.0, 0.0], [8.0, 6.0]])
    texts = np.array([[1.0, 0.0], [3.0, 4.0]])
    pairs = EmbeddedPairs(images=images, texts=texts, image_of_text=np.arange(2), keys=["a", "b"])
    assert score_retrieval(pairs).metrics["text_to_image_recall_at_1"] == 1.0
    assert score_retrieval(pairs, "dot").metrics["text_to_image_recall_at_1"] == 0.5


@pytest.mark.parametrize("suffix", [".npz", ".safetensors", ".NPZ", ".SafeTensors"])
def test_what_is_written_comes_back(tmp_path: Path, suffix: str):
    path = tmp_path / "deep" / f"pairs{suffix}"
    write_arrays(path, {"images": IMAGES, "texts": TEXTS, "image_of_text": OWNERS}, ["ä", "b", "c"])
    pairs = read_pairs(path, path, None)
    np.testing.assert_array_equal(pairs.images, IMAGES)
    np.testing.assert_array_equal(pairs.texts, TEXTS)
    assert pairs.image_of_text.tolist() == [0, 0, 1, 2]
    assert list(pairs.keys) == ["ä", "b", "c"]
    (path.parent / "usual").touch()
    assert path.stat().st_mode == (path.parent / "usual").stat().st_mode
    (path.parent / "usual").unlink()
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_an_interrupted_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "pairs.npz"
    write_arrays(path, {"images": IMAGES}, ["a", "b", "c"])

    def fill_the_disk(file: BinaryIO, **_: np.ndarray) -> None:
        file.write(b"half")
        raise OSError("no space left")

    monkeypatch.setattr(np, "savez", fill_the_disk)
    with pytest.raises(OSError, match="no space left"):
        write_arrays(path, {"images": IMAGES[:1]}, ["a"])
    np.testing.assert_array_equal(read_arrays(path)["images"], IMAGES)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("owners", [[0, 0, 1, 2], ["a", "a", "b", "c"]])
def test_two_files_and_a_list(tmp_path: Path, owners: list):
    write_arrays(tmp_path / "images.npz", {"images": IMAGES}, ["a", "b", "c"])
    np.save(tmp_path / "texts.npy", TEXTS)
    (tmp_path / "owners.json").write_text(json.dumps(owners))
    pairs = read_pairs(tmp_path / "images.npz", tmp_path / "texts.npy", tmp_path / "owners.json")
    assert pairs.image_of_text.tolist() == [0, 0, 1, 2]
    np.save(tmp_path / "owners.npy", OWNERS)
    pairs = read_pairs(tmp_path / "images.npz", tmp_path / "texts.npy", tmp_path / "owners.npy")
    assert pairs.image_of_text.tolist() == [0, 0, 1, 2]


def read(folder: Path, *, images: object = IMAGES, texts: object = TEXTS, owners: object = None) -> EmbeddedPairs:
    np.save(folder / "images.npy", images)  # pyright: ignore[reportArgumentType]
    np.save(folder / "texts.npy", texts)  # pyright: ignore[reportArgumentType]
    (folder / "owners.json").write_text(json.dumps([0, 0, 1, 2] if owners is None else owners))
    return read_pairs(folder / "images.npy", folder / "texts.npy", folder / "owners.json")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"owners": [0, 0, 1]}, "names the image of 3 texts"),
        ({"owners": [0, 0, 1, 3]}, "text 3 belongs to image 3"),
        ({"owners": [0, 0, 1, -1]}, "text 3 belongs to image -1"),
        ({"owners": [0, 0, 1, True]}, "text 3 belongs to image True"),
        ({"owners": [0, 0, 1, "x.jpg"]}, "text 3 belongs to image 'x.jpg'"),
        ({"owners": {}}, "must be a JSON list"),
        ({"texts": TEXTS[:, :2]}, "are not in one space"),
        ({"images": IMAGES[0]}, "images must be a table of numbers"),
        ({"images": np.zeros((0, 3))}, "images must be a table of numbers"),
        ({"images": np.eye(3, dtype=np.int64)}, "images must be a table of numbers"),
    ],
)
def test_what_does_not_fit_together_is_named(tmp_path: Path, changes: dict, message: str):
    with pytest.raises(ValueError, match=message):
        read(tmp_path, **changes)


def test_what_no_metric_can_be_computed_from_is_refused(tmp_path: Path):
    with pytest.raises(ValueError, match="text embedding 0 is zero"):
        score_retrieval(read(tmp_path, texts=np.zeros((4, 3))))
    with pytest.raises(ValueError, match="image embedding 0 is not finite"):
        score_retrieval(read(tmp_path, images=IMAGES * np.nan), "dot")
    with pytest.raises(ValueError, match="image 2 has no caption"):
        score_retrieval(read(tmp_path, owners=[0, 0, 1, 1]))


def test_files_that_cannot_be_used_are_named(tmp_path: Path):
    np.save(tmp_path / "texts.npy", TEXTS)
    with pytest.raises(ValueError, match=r"texts\.npy does not say which image a text belongs to: give --image"):
        read_pairs(tmp_path / "texts.npy", tmp_path / "texts.npy", None)
    save_file({"vectors": IMAGES}, tmp_path / "images.safetensors")
    with pytest.raises(ValueError, match=r"images\.safetensors has no array 'images'; it has vectors"):
        read_pairs(tmp_path / "images.safetensors", tmp_path / "texts.npy", None)
    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object), allow_pickle=True)
    for name in ("broken.npz", "broken.safetensors"):
        (tmp_path / name).write_bytes(b"PK\x03\x04 and nothing more")
    for name in ("objects.npy", "missing.npz", "table.csv", "broken.npz", "broken.safetensors"):
        with pytest.raises(ValueError, match=rf"{name} cannot be read as embeddings"):
            read_arrays(tmp_path / name)
    with pytest.raises(ValueError, match=r"must end with \.safetensors or \.npz"):
        write_arrays(tmp_path / "pairs.npy", {}, [])


@pytest.mark.parametrize("similarity", ["cosine", "dot"])
@pytest.mark.parametrize("number", [float("nan"), float("inf")])
@pytest.mark.parametrize(("array", "named"), [("images", "image embedding 3"), ("texts", "text embedding 3")])
def test_embeddings_that_are_not_finite_are_named(similarity, number, array, named):
    rows = np.random.default_rng(0).standard_normal((4, 5)).astype(np.float32)
    broken = rows.copy()
    broken[3, 2] = number
    arrays = {"images": rows, "texts": rows} | {array: broken}
    pairs = EmbeddedPairs(**arrays, image_of_text=np.arange(4), keys=list("abcd"))
    with pytest.raises(ValueError, match=f"{named} is not finite; it cannot be compared"):
        score_retrieval(pairs, similarity)


def test_large_embeddings_have_the_cosines_of_small_ones():
    rows = np.random.default_rng(0).standard_normal((4, 5)).astype(np.float32)
    pairs = EmbeddedPairs(images=rows * 1e25, texts=rows, image_of_text=np.arange(4), keys=list("abcd"))
    assert score_retrieval(pairs).metrics["image_to_text_recall_at_1"] == 1
